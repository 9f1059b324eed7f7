//! What is left behind when engines are dropped with reads in flight. A process of its own, because it counts the
//! process's threads, descriptors and mappings.

use std::time::{Duration, Instant};

use framefeed::{DirectIo, EngineKind, ReadRequest, Storage, StorageOptions};

/// Threads, descriptors and mappings of this process.
fn held() -> (usize, usize, usize) {
    let count = |folder: &str| std::fs::read_dir(folder).unwrap().count();
    let mappings = std::fs::read_to_string("/proc/self/maps").unwrap().lines().filter(|line| is_ours(line)).count();
    (count("/proc/self/task"), count("/proc/self/fd"), mappings)
}

/// Rings and files; not the allocator's arenas and the stacks that the C library keeps for later threads.
fn is_ours(mapping: &str) -> bool {
    mapping.contains("io_uring") || mapping.contains("teardown-")
}

#[test]
fn engines_dropped_at_any_moment_leave_no_thread_descriptor_or_mapping_behind() {
    let dir = tempfile::Builder::new().prefix("teardown-").tempdir().unwrap();
    let path = dir.path().join("a");
    std::fs::write(&path, vec![5; 3 << 20]).unwrap();
    let before = held();
    let mut random = 42_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for round in 0..400 {
        let kind = [EngineKind::Auto, EngineKind::Pread, EngineKind::Mmap, EngineKind::Memory][round % 4];
        let direct = if round % 8 < 4 { DirectIo::On } else { DirectIo::Off };
        let storage = Storage::new(&StorageOptions::new().engine(kind).direct_io(direct).depth(8)).unwrap();
        let file = storage.open(&path).unwrap();
        let mut engine = storage.engine().unwrap();
        for tag in 0..next(9) {
            let offset = next(1 << 20);
            engine.submit(ReadRequest::new(tag, &file, offset, next(2 << 20) as usize)).unwrap();
        }
        for _ in 0..next(9) {
            let timeout = Some(Duration::from_micros(next(200)));
            if let Some(completion) = engine.wait(timeout).unwrap() {
                assert!(completion.result.unwrap().iter().all(|&byte| byte == 5));
            }
        }
        drop(engine);
        assert_eq!(storage.buffer_stats().in_use_bytes, 0, "round {round}");
    }
    // The kernel ends threads, and the workers of a ring, a moment after they were joined or closed.
    let started = Instant::now();
    while held() != before && started.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(held(), before, "threads, descriptors, mappings");
}
