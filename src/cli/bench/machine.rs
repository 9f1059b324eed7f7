//! The machine, its file system and its device, as far as the kernel tells.

use serde::Serialize;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

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
            cores: num_cores(),
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

/// Cores that this process may use.
pub(super) fn num_cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
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

/// CPU time of this process so far: user and kernel, all threads, those of io_uring's workers included.
pub(super) fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Now, in UTC, to the minute.
pub(super) fn date() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", seconds / 3600 % 24, seconds / 60 % 60)
}

/// Year, month and day of a number of days since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
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

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(20_782), (2026, 11, 25));
        assert_eq!(civil(11_016), (2000, 2, 29));
    }
}
