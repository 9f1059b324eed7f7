//! What is left behind when engines are dropped with reads in flight. A process of its own, because it counts the
//! process's threads, descriptors and mappings.

#[path = "support/teardown.rs"]
mod teardown;

use framefeed::{DirectIo, EngineKind, ReadRequest, Storage, StorageOptions};
use std::time::Duration;
use teardown::Held;

#[test]
fn engines_dropped_at_any_moment_leave_no_thread_descriptor_or_mapping_behind() {
    let dir = teardown::folder();
    let path = dir.path().join("a");
    std::fs::write(&path, vec![5; 3 << 20]).unwrap();
    let before = Held::now();
    let mut next = teardown::random();
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
    before.assert_is_all();
}
