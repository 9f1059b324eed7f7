//! The machine, its file system and its device, as far as the kernel tells.

use serde::Serialize;
use std::fs;
use std::path::Path;

/// Where something was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Version of the kernel.
    pub kernel: String,
    /// Type of the file system.
    pub file_system: String,
    /// What the file system lies on, as the mount table names it.
    pub device: String,
}

impl Machine {
    /// This one, and the file system of `path`.
    pub(super) fn of(path: &Path) -> Self {
        let (file_system, device) = mount_of(path).unwrap_or_else(|| ("unknown".to_owned(), "unknown".to_owned()));
        Self {
            cpu: value("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: value("/proc/meminfo", "MemTotal")
                .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
                .map_or(0, |kib| kib << 10),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned()),
            file_system,
            device,
        }
    }
}

/// The value of the first line `name: value`.
fn value(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Type and source of the mount that a path lies on: the longest mount point that is its prefix, the last one of equals.
fn mount_of(path: &Path) -> Option<(String, String)> {
    let path = fs::canonicalize(path).ok()?;
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mounts = table.lines().filter_map(parse_mount);
    let (_, kind, source) =
        mounts.filter(|(point, ..)| path.starts_with(point)).max_by_key(|(point, ..)| point.len())?;
    Some((kind, source))
}

/// Mount point, type and source of a line of `mountinfo`.
fn parse_mount(line: &str) -> Option<(String, String, String)> {
    let (left, right) = line.split_once(" - ")?;
    let point = left.split(' ').nth(4)?.replace("\\040", " ");
    let mut right = right.split(' ');
    Some((point, right.next()?.to_owned(), right.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_lines_are_parsed() {
        let line = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(parse_mount(line), Some(("/mnt 2".into(), "ext3".into(), "/dev/root".into())));
        assert_eq!(parse_mount("nonsense"), None);
    }

    #[test]
    fn the_root_lies_on_something() {
        let machine = Machine::of(Path::new("/"));
        assert!(machine.cores > 0 && machine.memory_bytes > 0 && machine.file_system != "unknown");
    }
}
