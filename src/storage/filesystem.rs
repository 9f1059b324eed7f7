//! Where files are, as far as that decides how they are read best: the kind of file system, and whether the page cache can
//! hold what is going to be read.

use std::fs;
use std::path::Path;

/// The kind of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In memory: a read is a copy, and nothing is gained by having many under way.
    Memory(&'static str),
    /// On another machine, or behind a process: the kernel performs io_uring's reads on threads of its own there, whose
    /// number nobody bounds, and does direct I/O with other rules or not at all.
    Network(&'static str),
    /// On a device of this machine, or unknown.
    Local,
}

/// `f_type` of `statfs(2)`, from the kernel's `magic.h` and the file systems' own sources.
const PLACES: &[(u64, Place)] = &[
    (0x0102_1994, Place::Memory("tmpfs")),
    (0x8584_58F6, Place::Memory("ramfs")),
    (0x6969, Place::Network("nfs")),
    (0xFF53_4D42, Place::Network("cifs")),
    (0xFE53_4D42, Place::Network("smb2")),
    (0x517B, Place::Network("smb")),
    (0x6573_5546, Place::Network("fuse")),
    (0x0BD0_0BD0, Place::Network("lustre")),
    (0x4750_4653, Place::Network("gpfs")),
    (0x00C3_6400, Place::Network("ceph")),
    (0x1983_0326, Place::Network("beegfs")),
    (0xAAD7_AAEA, Place::Network("panfs")),
    (0x0102_1997, Place::Network("9p")),
    (0x5346_414F, Place::Network("afs")),
];

/// Where `path` is; what cannot be looked at counts as local, and fails when it is opened.
pub(super) fn place_of(path: &Path) -> Place {
    // The type of `f_type` differs between architectures; its 32 bits do not.
    rustix::fs::statfs(path).map_or(Place::Local, |facts| place_of_magic(facts.f_type as u64 & 0xFFFF_FFFF))
}

fn place_of_magic(magic: u64) -> Place {
    PLACES.iter().find(|(known, _)| *known == magic).map_or(Place::Local, |(_, place)| *place)
}

/// Bytes of memory that this process may fill, the page cache of its files included: the machine's, or its control group's if that
/// has less. `None` where neither is known.
pub(crate) fn memory_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of_meminfo(&text));
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| limit_of_group(&text));
    machine.into_iter().chain(group).min()
}

/// `MemTotal`, in bytes.
fn total_of_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The lowest `memory.max` (version 2) from the group that `/proc/self/cgroup` names up to the root.
fn limit_of_group(text: &str) -> Option<u64> {
    let name = text.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/');
    let group = Path::new("/sys/fs/cgroup").join(name);
    let limits = group.ancestors().take_while(|folder| folder.starts_with("/sys/fs/cgroup"));
    limits.filter_map(|folder| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_told_by_their_numbers() {
        assert_eq!(place_of_magic(0x0102_1994), Place::Memory("tmpfs"));
        assert_eq!(place_of_magic(0x6969), Place::Network("nfs"));
        assert_eq!(place_of_magic(0xEF53), Place::Local, "ext4");
        assert_eq!(place_of(Path::new("/no/such/place")), Place::Local);
    }

    #[test]
    fn the_total_of_memory_is_read_in_bytes() {
        assert_eq!(total_of_meminfo("MemTotal:       24609592 kB\nMemFree: 1 kB\n"), Some(24_609_592 * 1024));
        assert_eq!(total_of_meminfo("MemTotal: many kB"), None);
        assert!(memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
