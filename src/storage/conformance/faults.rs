//! What goes wrong below the engines, and what is refused to them.

use super::*;
use crate::buf::Slot;
use crate::storage::file::Source;

/// Set by `refused.rs` for its children that may lock no memory.
pub(in crate::storage) const EXPECT_NO_LOCKED_MEMORY: &str = "FRAMEFEED_TEST_EXPECT_NO_LOCKED_MEMORY";

/// Storages of every engine that reads descriptors, with those answers of the operating system.
fn tampered(answers: Answers, options: &StorageOptions) -> Vec<(&'static str, Storage)> {
    let rig = || Rig { answers: Some(answers), ..Rig::default() };
    let options = options.clone().depth(DEPTH);
    let kinds = [
        ("uring", options.clone().engine(EngineKind::Uring)),
        ("pread", options.clone().engine(EngineKind::Pread)),
        ("pread, inline", options.engine(EngineKind::Pread).pread_threads(0)),
    ];
    let kinds = kinds.into_iter().filter(|(name, _)| *name != "uring" || uring_is_to_be_had());
    kinds.map(|(name, options)| (name, Storage::for_test(&options, rig()).unwrap())).collect()
}

fn file_of(len: usize) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    let bytes: Vec<u8> = (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    (dir, path, bytes)
}

#[test]
fn a_bad_block_is_the_error_of_its_reads_alone_with_path_offset_and_length() {
    let (_dir, path, bytes) = file_of(300_000);
    let answers = Answers { bad_byte: Some(10 * 8192 + 50), short_in: Some(4), ..Answers::default() };
    for direct in [DirectIo::On, DirectIo::Off] {
        for (name, storage) in tampered(answers, &StorageOptions::new().direct_io(direct).max_retries(1)) {
            let file = storage.open(&path).unwrap();
            let ranges: Vec<_> = (0..30).map(|i| (i * 8192 + 10, 100)).collect();
            let results = read_all(&mut *storage.engine().unwrap(), &file, &ranges);
            for (&(offset, len), result) in ranges.iter().zip(results) {
                if offset == 10 * 8192 + 10 {
                    let error = result.unwrap_err();
                    assert_eq!(
                        (error.kind(), error.path(), error.offset()),
                        (ErrorKind::Io, Some(&*path), Some(offset))
                    );
                    assert!(error.message().contains("100 bytes"), "{name}: {error}");
                } else {
                    assert!(*result.unwrap() == bytes[offset as usize..][..len], "{name}: {offset}");
                }
            }
            assert_eq!(storage.buffer_stats().in_use_bytes, 0, "{name}");
        }
    }
}

#[test]
fn an_error_that_passes_is_not_seen_and_one_that_stays_is() {
    let (_dir, path, bytes) = file_of(100_000);
    for (flaky_times, max_retries) in [(2, 2), (2, 1)] {
        let answers = Answers { flaky_times, ..Answers::default() };
        for (name, storage) in tampered(answers, &StorageOptions::new().max_retries(max_retries)) {
            let file = storage.open(&path).unwrap();
            let result = read_all(&mut *storage.engine().unwrap(), &file, &[(0, 100_000)]).pop().unwrap();
            if max_retries < flaky_times {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Io, "{name}");
            } else {
                assert!(*result.unwrap() == *bytes, "{name}");
            }
        }
    }
}

#[test]
fn a_read_that_pauses_stops_no_other_and_is_given_up_with_its_engine() {
    let (_dir, path, bytes) = file_of(300_000);
    // Repeated for more than a minute: whoever waited for it would be noticed.
    let answers = Answers { bad_byte: Some(5), ..Answers::default() };
    for (name, storage) in tampered(answers, &StorageOptions::new().max_retries(100)) {
        if name == "pread, inline" {
            continue; // the caller's thread is the one that pauses
        }
        let file = storage.open(&path).unwrap();
        let mut engine = storage.engine().unwrap();
        engine.submit(ReadRequest::new(99, &file, 0, 100)).unwrap();
        for tag in 1..11 {
            engine.submit(ReadRequest::new(tag, &file, tag * 8192, 4000)).unwrap();
        }
        for _ in 1..11 {
            let completion = engine.wait(None).unwrap().unwrap();
            let begin = completion.tag as usize * 8192;
            assert!(*completion.into_bytes().unwrap() == bytes[begin..begin + 4000], "{name}");
        }
        assert_eq!(engine.in_flight(), 1, "{name}");
        drop(engine);
        assert_eq!(storage.buffer_stats().in_use_bytes, 0, "{name}");
    }
}

#[test]
fn a_long_read_goes_beyond_the_bytes_in_flight_and_short_ones_keep_to_them() {
    if !uring_is_to_be_had() {
        return;
    }
    let (_dir, path, bytes) = file_of(1 << 20);
    let options = StorageOptions::new().engine(EngineKind::Uring).depth(DEPTH);
    let options = options.max_in_flight_bytes(1 << 16).split_bytes(1 << 14);
    let storage = Storage::new(&options).unwrap();
    let file = storage.open(&path).unwrap();
    let mut engine = storage.engine().unwrap();
    for tag in 0..DEPTH as u64 {
        engine.submit(ReadRequest::new(tag, &file, tag, 60_000)).unwrap();
    }
    while let Some(completion) = engine.wait(None).unwrap() {
        let begin = completion.tag as usize;
        assert!(*completion.into_bytes().unwrap() == bytes[begin..begin + 60_000]);
    }
    // One in flight or ready, and one in the caller's hands.
    let peak = storage.buffer_stats().peak_bytes;
    assert!(peak < 3 * 70_000, "{peak} bytes");
    let slot = Slot::zeroed(1 << 20).unwrap();
    engine.submit(ReadRequest::into_slot(0, &file, 0, slot)).unwrap();
    assert!(*engine.wait(None).unwrap().unwrap().into_slot().unwrap().bytes() == *bytes);
}

#[test]
fn buffers_are_registered_or_it_is_said_why_not() {
    if !uring_is_to_be_had() {
        return;
    }
    let (_dir, path, bytes) = file_of(200_000);
    let options = StorageOptions::new().engine(EngineKind::Uring).register_buffers(RegisterBuffers::On);
    let storage = Storage::new(&options).unwrap();
    let file = storage.open(&path).unwrap();
    let mut engine = storage.engine().unwrap();
    for result in read_all(&mut *engine, &file, &[(7, 190_000); 50]) {
        assert!(*result.unwrap() == bytes[7..190_007]);
    }
    if std::env::var_os(EXPECT_NO_LOCKED_MEMORY).is_some() {
        assert!(storage.describe().contains("without registered buffers: "), "{}", storage.describe());
    }
}

#[test]
fn files_in_memory_are_mapped_and_it_is_said() {
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("SKIPPED: no tmpfs at /dev/shm");
        return;
    };
    let path = dir.path().join("a");
    std::fs::write(&path, [4; 9000]).unwrap();
    let storage = Storage::for_path(&StorageOptions::new(), dir.path()).unwrap();
    assert_eq!(storage.kind(), EngineKind::Mmap, "{}", storage.describe());
    assert!(storage.describe().contains("tmpfs"), "{}", storage.describe());
    let mut engine = storage.engine().unwrap();
    assert!(engine.is_inline());
    let file = storage.open(&path).unwrap();
    assert!(*read_all(&mut *engine, &file, &[(1, 8999)]).pop().unwrap().unwrap() == [4; 8999]);
    // What is linked from elsewhere is read, not mapped.
    let elsewhere = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    std::fs::write(elsewhere.path().join("b"), [5; 9000]).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("b"), dir.path().join("b")).unwrap();
    let linked = storage.open(&dir.path().join("b")).unwrap();
    assert!(matches!((file.source(), linked.source()), (Source::Mapped(_), Source::Disk(_))));
    assert!(*read_all(&mut *engine, &linked, &[(1, 8999)]).pop().unwrap().unwrap() == [5; 8999]);
    std::fs::File::options().write(true).open(&path).unwrap().set_len(5000).unwrap();
    let error = read_all(&mut *engine, &file, &[(1, 8999)]).pop().unwrap().unwrap_err();
    assert!(error.to_string().contains("unexpected end of file"), "{error}");
}
