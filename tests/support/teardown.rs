//! For tests of what is left behind: what a process holds, and moments that look random and are the same in every run.

use std::time::{Duration, Instant};

/// Threads, descriptors and mappings of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    threads: usize,
    descriptors: usize,
    mappings: usize,
}

/// A folder whose files count as ours where they are mapped.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("teardown-").tempdir().unwrap()
}

impl Held {
    pub(crate) fn now() -> Self {
        let count = |folder: &str| std::fs::read_dir(folder).unwrap().count();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        Self {
            threads: count("/proc/self/task"),
            descriptors: count("/proc/self/fd"),
            mappings: maps.lines().filter(|line| is_ours(line)).count(),
        }
    }

    /// Asserts that the process holds no more, and no less, than it did. The kernel ends threads, and the workers of a ring, a
    /// moment after they were joined or closed.
    pub(crate) fn assert_is_all(&self) {
        let started = Instant::now();
        while Self::now() != *self && started.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(Self::now(), *self);
    }
}

/// Rings and files; not the allocator's arenas and the stacks that the C library keeps for later threads.
fn is_ours(mapping: &str) -> bool {
    mapping.contains("io_uring") || mapping.contains("teardown-")
}

/// Numbers below a bound, the same in every run.
pub(crate) fn random() -> impl FnMut(u64) -> u64 {
    let mut state = 42_u64;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}
