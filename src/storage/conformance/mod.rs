//! One suite for every engine and every wrapper: what [`ReadEngine`] promises, tried on each.
//!
//! Engines of io_uring are left out, visibly, where the kernel refuses it; `REQUIRE_URING=1` makes that a failure. The
//! suite runs once more in child processes to which io_uring is refused (see `refused.rs`).

pub(in crate::storage) mod faults;
mod slots;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use super::faulty::{Answers, Faults, Rig};
use super::*;
use crate::buf::PADDING;
use crate::error::ErrorKind;

/// Set by `refused.rs` for its children: what they must find.
pub(in crate::storage) const EXPECT_ENGINE: &str = "FRAMEFEED_TEST_EXPECT_ENGINE";

const DEPTH: usize = 16;

struct Setup {
    name: &'static str,
    storage: Storage,
    dir: tempfile::TempDir,
}

impl Setup {
    /// A file of `len` bytes that no two blocks of are alike.
    fn file(&self, name: &str, len: usize) -> (PathBuf, Vec<u8>) {
        let bytes: Vec<u8> = (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let path = self.dir.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        (path, bytes)
    }
}

/// What an engine or wrapper is made of.
struct Recipe {
    name: &'static str,
    options: StorageOptions,
    rig: Rig,
}

impl Recipe {
    fn new(name: &'static str, engine: EngineKind, options: StorageOptions) -> Self {
        Self { name, options: options.engine(engine).depth(DEPTH).max_read_bytes(1 << 20), rig: Rig::default() }
    }

    /// With the operating system asked for at most so many bytes at once.
    fn in_pieces(mut self, max_chunk: usize) -> Self {
        self.rig.max_chunk = Some(max_chunk);
        self
    }

    fn faults(mut self, faults: Faults) -> Self {
        self.rig.faults = Some(faults);
        self
    }

    /// With short, interrupted and failing answers below the engine, none of which may show.
    fn tampered(mut self) -> Self {
        let (short_in, interrupted_in) = (Some(3), Some(5));
        self.rig.answers = Some(Answers { short_in, interrupted_in, flaky_times: 2, ..Answers::default() });
        self
    }
}

fn recipes() -> Vec<Recipe> {
    let buffered = || StorageOptions::new().direct_io(DirectIo::Off);
    let direct = || StorageOptions::new().direct_io(DirectIo::On);
    let uring = |name, options| Recipe::new(name, EngineKind::Uring, options);
    let pread = |name, options| Recipe::new(name, EngineKind::Pread, options);
    let reorder = |seed| Faults { reorder: Some(seed), ..Faults::default() };
    let late = || Faults { delay: Duration::from_micros(300), reorder: Some(5), ..Faults::default() };
    let plain = StorageOptions::new;
    vec![
        Recipe::new("auto", EngineKind::Auto, plain()),
        uring("uring", buffered()),
        uring("uring, direct", direct()),
        uring("uring, in pieces", buffered()).in_pieces(7777),
        uring("uring, direct, in pieces", direct()).in_pieces(8192),
        uring("uring, split", buffered().split_bytes(10_000)),
        uring("uring, direct, split", direct().split_bytes(10_000)),
        uring("uring, few bytes at once", buffered().split_bytes(20_000).max_in_flight_bytes(1 << 16)),
        uring("uring, direct, registered buffers", direct().split_bytes(1 << 16).register_buffers(RegisterBuffers::On)),
        uring("uring, direct, polled", direct().ring_mode(RingMode::Polled)),
        uring("uring, polled", buffered().ring_mode(RingMode::Polled)),
        uring("uring, direct, submission thread", direct().ring_mode(RingMode::SubmissionThread)),
        uring("uring, submission thread", buffered().ring_mode(RingMode::SubmissionThread)),
        uring("uring, reordered", buffered()).faults(reorder(1)),
        uring("uring, late", buffered()).faults(late()),
        uring("uring, tampered", buffered().split_bytes(1 << 16)).tampered(),
        uring("uring, direct, tampered", direct().split_bytes(1 << 16)).tampered(),
        pread("pread", buffered()),
        pread("pread, direct", direct()),
        pread("pread, in pieces", buffered()).in_pieces(7777),
        pread("pread, direct, in pieces", direct()).in_pieces(8192),
        pread("pread, late", buffered()).faults(late()),
        pread("pread, direct, tampered", direct()).tampered(),
        pread("pread, inline", buffered().pread_threads(0)),
        pread("pread, inline, direct", direct().pread_threads(0)),
        pread("pread, inline, tampered", buffered().pread_threads(0)).tampered(),
        Recipe::new("mmap", EngineKind::Mmap, plain()),
        Recipe::new("memory", EngineKind::Memory, plain()),
        Recipe::new("memory, reordered", EngineKind::Memory, plain()).faults(reorder(9)),
    ]
}

fn uring_is_to_be_had() -> bool {
    static SAID: Once = Once::new();
    let Err(reason) = uring::probe(DEPTH, RingMode::Interrupts) else { return true };
    assert!(std::env::var_os("REQUIRE_URING").is_none_or(|value| value != "1"), "io_uring is refused: {reason}");
    SAID.call_once(|| eprintln!("SKIPPED: the uring engines, because io_uring is refused: {reason}"));
    false
}

/// Runs a claim on every engine and wrapper.
fn each(claim: impl Fn(&Setup)) {
    let uring = uring_is_to_be_had();
    let said_no_direct = Once::new();
    for Recipe { name, options, rig } in recipes() {
        if options.engine == EngineKind::Uring && !uring {
            continue;
        }
        let storage = Storage::for_test(&options, rig).unwrap();
        let setup = Setup { name, storage, dir: tempfile::tempdir().unwrap() };
        if options.direct_io == DirectIo::On && !setup.storage.open(&setup.file("probe", 1).0).unwrap().is_direct() {
            // Not left out: then this is a test of the fallback.
            said_no_direct.call_once(|| eprintln!("SKIPPED: direct reads, which the temporary folder does not allow"));
        }
        claim(&setup);
    }
}

/// Reads all ranges with as many in flight as the engine takes; results by index.
fn read_all(engine: &mut dyn ReadEngine, file: &StorageFile, ranges: &[(u64, usize)]) -> Vec<crate::Result<ReadBytes>> {
    let mut results = HashMap::new();
    let mut next = 0;
    while results.len() < ranges.len() {
        while next < ranges.len() && engine.in_flight() < engine.capacity() {
            let (offset, len) = ranges[next];
            engine.submit(ReadRequest::new(next as u64, file, offset, len)).unwrap();
            next += 1;
        }
        let completion = engine.wait(None).unwrap().expect("a completion, because reads are in flight");
        assert!(results.insert(completion.tag, completion.into_bytes()).is_none(), "a tag came back twice");
    }
    assert_eq!(engine.in_flight(), 0);
    (0..ranges.len() as u64).map(|tag| results.remove(&tag).unwrap()).collect()
}

fn read_one(setup: &Setup, file: &StorageFile, offset: u64, len: usize) -> crate::Result<ReadBytes> {
    let mut engine = setup.storage.engine().unwrap();
    read_all(&mut *engine, file, &[(offset, len)]).pop().unwrap()
}

fn many_ranges(len: usize) -> Vec<(u64, usize)> {
    let mut ranges = vec![(0, len), (0, 1), (len - 1, 1), (len - 64, 64), (len - 65, 1), (4095, 2), (4096, 4096)];
    let mut random = 12_345_u64;
    for _ in 0..150 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let offset = (random >> 33) as usize % len;
        let longest = if random & 64 == 0 { 300 } else { len };
        ranges.push((offset, ((random >> 17) as usize % longest).min(len - offset)));
    }
    ranges.into_iter().map(|(offset, len)| (offset as u64, len)).collect()
}

fn assert_past_end(result: crate::Result<ReadBytes>, path: &Path, offset: u64, len: usize, name: &str) {
    let error = result.expect_err(name);
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}");
    assert_eq!(error.path(), Some(path), "{name}");
    assert_eq!(error.offset(), Some(offset), "{name}");
    assert!(error.message().contains(&format!("expected {len} bytes")), "{name}: {error}");
}

#[test]
fn any_range_gives_exactly_its_bytes_and_readable_padding() {
    each(|setup| {
        let (path, bytes) = setup.file("a", 300_003);
        let file = setup.storage.open(&path).unwrap();
        assert_eq!((file.len(), file.path()), (bytes.len() as u64, &*path));
        let ranges = many_ranges(bytes.len());
        let mut engine = setup.storage.engine().unwrap();
        let results = read_all(&mut *engine, &file, &ranges);
        for (&(offset, len), result) in ranges.iter().zip(results) {
            let read = result.unwrap();
            let wanted = &bytes[offset as usize..offset as usize + len];
            assert!(&*read == wanted, "{}: {offset}+{len}", setup.name);
            assert_eq!(read.padded().len(), len + PADDING);
            let at_once = setup.storage.read_at(&file, offset, len).unwrap();
            assert!(&*at_once == wanted, "{}: read_at {offset}+{len}", setup.name);
        }
    });
}

#[test]
fn small_and_empty_files_are_read() {
    each(|setup| {
        for len in [0, 1, 63, 64, 65, 4095, 4096, 4097] {
            let (path, bytes) = setup.file("a", len);
            let file = setup.storage.open(&path).unwrap();
            assert_eq!(&*read_one(setup, &file, 0, len).unwrap(), &*bytes, "{}: {len}", setup.name);
            assert_past_end(read_one(setup, &file, 0, len + 1), &path, 0, len + 1, setup.name);
        }
    });
}

#[test]
fn a_range_of_no_bytes_is_read_anywhere_up_to_the_end() {
    each(|setup| {
        let (path, bytes) = setup.file("a", 5000);
        let file = setup.storage.open(&path).unwrap();
        for offset in [0, 1, 4096, bytes.len() as u64] {
            let read = read_one(setup, &file, offset, 0).unwrap();
            assert_eq!((read.len(), read.padded().len()), (0, PADDING), "{}", setup.name);
        }
        assert_past_end(read_one(setup, &file, 5001, 0), &path, 5001, 0, setup.name);
    });
}

#[test]
fn a_range_past_the_end_is_an_error_with_path_offset_and_length_and_allocates_nothing() {
    each(|setup| {
        let (path, _) = setup.file("a", 5000);
        let file = setup.storage.open(&path).unwrap();
        let before = setup.storage.buffer_stats().num_allocated;
        for (offset, len) in [(0, 5001), (4999, 2), (5000, 1), (9999, 1), (u64::MAX, 1), (1, usize::MAX), (0, 1 << 60)]
        {
            assert_past_end(read_one(setup, &file, offset, len), &path, offset, len, setup.name);
            assert_past_end(setup.storage.read_at(&file, offset, len), &path, offset, len, setup.name);
        }
        assert_eq!(setup.storage.buffer_stats().num_allocated, before, "{}", setup.name);
    });
}

#[test]
fn a_read_over_the_limit_is_refused_and_allocates_nothing() {
    each(|setup| {
        let path = setup.dir.path().join("sparse");
        std::fs::File::create(&path).unwrap().set_len((1 << 20) + 1).unwrap();
        let file = setup.storage.open(&path).unwrap();
        let before = setup.storage.buffer_stats().num_allocated;
        let error = read_one(setup, &file, 0, (1 << 20) + 1).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::LimitExceeded, Some(&*path)), "{}", setup.name);
        assert_eq!(setup.storage.buffer_stats().num_allocated, before, "{}", setup.name);
        assert!(read_one(setup, &file, 1, 1 << 20).unwrap().iter().all(|&byte| byte == 0), "{}", setup.name);
    });
}

#[test]
fn what_is_no_file_cannot_be_opened() {
    each(|setup| {
        let missing = setup.dir.path().join("missing");
        let error = setup.storage.open(&missing).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::NotFound, Some(&*missing)), "{}", setup.name);
        let fifo = setup.dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        for path in [setup.dir.path(), &fifo, Path::new("/dev/zero")] {
            let error = setup.storage.open(path).unwrap_err();
            assert_eq!((error.kind(), error.path()), (ErrorKind::InvalidArgument, Some(path)), "{}", setup.name);
        }
    });
}

#[test]
fn a_full_engine_refuses_more_and_goes_on() {
    each(|setup| {
        let (path, bytes) = setup.file("a", 70_000);
        let file = setup.storage.open(&path).unwrap();
        let mut engine = setup.storage.engine().unwrap();
        assert_eq!(engine.capacity(), DEPTH);
        let request = |tag| ReadRequest::new(tag, &file, tag * 10, 60_000);
        for tag in 0..DEPTH as u64 {
            engine.submit(request(tag)).unwrap();
        }
        assert_eq!(engine.submit(request(99)).unwrap_err().kind(), ErrorKind::LimitExceeded, "{}", setup.name);
        let mut seen = Vec::new();
        while let Some(Completion { tag, result }) = engine.wait(None).unwrap() {
            assert!(*result.unwrap() == bytes[tag as usize * 10..][..60_000], "{}", setup.name);
            seen.push(tag);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..DEPTH as u64).collect::<Vec<_>>(), "{}", setup.name);
    });
}

#[test]
fn an_idle_engine_has_nothing_to_wait_for_and_a_timeout_of_zero_makes_progress() {
    each(|setup| {
        let (path, bytes) = setup.file("a", 70_000);
        let file = setup.storage.open(&path).unwrap();
        let mut engine = setup.storage.engine().unwrap();
        assert!(engine.wait(None).unwrap().is_none(), "{}", setup.name);
        engine.submit(ReadRequest::new(7, &file, 3, 60_000)).unwrap();
        let started = std::time::Instant::now();
        let completion = loop {
            if let Some(completion) = engine.wait(Some(Duration::ZERO)).unwrap() {
                break completion;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "{}: no progress", setup.name);
        };
        assert_eq!(completion.tag, 7);
        assert!(*completion.result.unwrap() == bytes[3..60_003]);
        assert!(engine.wait(Some(Duration::from_secs(60))).unwrap().is_none(), "{}", setup.name);
    });
}

#[test]
fn bytes_outlive_the_engine_and_the_storage() {
    let mut kept = Vec::new();
    each(|setup| {
        let (path, bytes) = setup.file("a", 9000);
        let file = setup.storage.open(&path).unwrap();
        let read = read_one(setup, &file, 5, 8000).unwrap();
        let part = read.slice(100..200).unwrap();
        drop((file, read));
        assert!(*part == bytes[105..205], "{}", setup.name);
    });
    // And beyond the setup itself.
    each_storage(|storage, path, bytes| {
        let file = storage.open(path).unwrap();
        let mut engine = storage.engine().unwrap();
        kept.push((read_all(&mut *engine, &file, &[(1, 4000)]).pop().unwrap().unwrap(), bytes[1..4001].to_vec()));
    });
    assert!(!kept.is_empty());
    for (read, bytes) in kept {
        assert!(*read == *bytes);
    }
}

/// As [`each`] for closures that keep something: each storage is dropped before the next one is made.
fn each_storage(mut claim: impl FnMut(&Storage, &Path, &[u8])) {
    let claim = std::cell::RefCell::new(&mut claim);
    each(|setup| {
        let (path, bytes) = setup.file("kept", 5000);
        (claim.borrow_mut())(&setup.storage, &path, &bytes);
    });
}

#[test]
fn an_engine_dropped_with_reads_in_flight_gives_all_memory_back() {
    each(|setup| {
        let (path, _) = setup.file("a", 900_000);
        let file = setup.storage.open(&path).unwrap();
        for num_answered in 0..DEPTH {
            let mut engine = setup.storage.engine().unwrap();
            for tag in 0..DEPTH as u64 {
                engine.submit(ReadRequest::new(tag, &file, tag * 1000, 700_000)).unwrap();
            }
            for _ in 0..num_answered {
                engine.wait(None).unwrap().unwrap().result.unwrap();
            }
            drop(engine);
            assert_eq!(setup.storage.buffer_stats().in_use_bytes, 0, "{}", setup.name);
        }
    });
}

#[test]
fn memory_of_a_dropped_engine_is_written_to_no_more() {
    each(|setup| {
        let (path, _) = setup.file("a", 1 << 20);
        let other = setup.dir.path().join("b");
        std::fs::write(&other, vec![0xB7; 1 << 20]).unwrap();
        let file = setup.storage.open(&path).unwrap();
        // A mapped file's last bytes are copied to a buffer at once, before anything that is still under way can arrive.
        let other = Storage::new(&StorageOptions::new().engine(EngineKind::Mmap)).unwrap().open(&other).unwrap();
        // Only a read that the device has to deliver is under way for long enough to be caught.
        let num_rounds = if file.is_direct() { 6 } else { 1 };
        for _ in 0..num_rounds {
            let mut engine = setup.storage.engine().unwrap();
            for tag in 0..DEPTH as u64 {
                engine.submit(ReadRequest::new(tag, &file, 0, 1 << 20)).unwrap();
            }
            // Begins them all, and may end one.
            drop(engine.wait(Some(Duration::ZERO)).unwrap());
            drop(engine);
            // These get the memory that the dropped reads had.
            let ranges = [(0, 1 << 20); DEPTH];
            let reads = read_all(&mut *setup.storage.engine().unwrap(), &other, &ranges);
            std::thread::sleep(Duration::from_millis(5));
            for read in reads {
                assert!(read.unwrap().iter().all(|&byte| byte == 0xB7), "{}", setup.name);
            }
        }
    });
}

#[test]
fn memory_is_recycled() {
    each(|setup| {
        let (path, _) = setup.file("a", 100_000);
        let file = setup.storage.open(&path).unwrap();
        let mut engine = setup.storage.engine().unwrap();
        let ranges = vec![(10_000, 90_000); 200];
        for _ in 0..3 {
            for result in read_all(&mut *engine, &file, &ranges) {
                drop(result.unwrap());
            }
        }
        drop(engine);
        let stats = setup.storage.buffer_stats();
        assert!(stats.num_allocated <= 200 + DEPTH as u64, "{}: {stats:?}", setup.name);
        assert_eq!(stats.in_use_bytes, 0, "{}", setup.name);
    });
}

#[test]
fn engines_of_many_threads_do_not_disturb_each_other() {
    each(|setup| {
        let (path, bytes) = setup.file("a", 200_000);
        let file = setup.storage.open(&path).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let ranges = many_ranges(bytes.len());
                    let mut engine = setup.storage.engine().unwrap();
                    let results = read_all(&mut *engine, &file, &ranges);
                    for (&(offset, len), result) in ranges.iter().zip(results) {
                        assert!(*result.unwrap() == bytes[offset as usize..offset as usize + len], "{}", setup.name);
                    }
                });
            }
        });
    });
}

#[test]
fn an_idle_engine_may_be_moved_to_another_thread() {
    each(|setup| {
        let (path, bytes) = setup.file("a", 5000);
        let file = setup.storage.open(&path).unwrap();
        let mut engine = setup.storage.engine().unwrap();
        for _ in 0..3 {
            engine = std::thread::scope(|scope| {
                let file = &file;
                scope
                    .spawn(move || {
                        for result in read_all(&mut *engine, file, &[(0, 5000); 20]) {
                            drop(result.unwrap());
                        }
                        engine
                    })
                    .join()
                    .unwrap()
            });
        }
        assert!(*read_all(&mut *engine, &file, &[(0, 5000)]).pop().unwrap().unwrap() == *bytes, "{}", setup.name);
    });
}

#[test]
fn a_file_cut_after_it_was_opened_is_an_error_or_has_its_old_bytes() {
    each(|setup| {
        let (path, bytes) = setup.file("a", 300_000);
        let file = setup.storage.open(&path).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(100_000).unwrap();
        if setup.storage.kind() == EngineKind::Memory {
            assert!(*read_one(setup, &file, 0, 300_000).unwrap() == *bytes);
            return;
        }
        assert!(*read_one(setup, &file, 0, 100_000).unwrap() == bytes[..100_000], "{}", setup.name);
        for (offset, len) in [(0, 300_000), (99_999, 2), (100_000, 1), (200_000, 10)] {
            assert_past_end(read_one(setup, &file, offset, len), &path, offset, len, setup.name);
            assert_past_end(setup.storage.read_at(&file, offset, len), &path, offset, len, setup.name);
        }
    });
}

#[test]
fn a_failed_read_harms_no_other() {
    each(|setup| {
        let (path, bytes) = setup.file("a", 50_000);
        let options = setup.storage.options();
        for (faults, fails) in [
            (Faults { fail_after: Some(7), ..Faults::default() }, (|tag| tag >= 7) as fn(usize) -> bool),
            (Faults { bad_byte: Some(10_050), reorder: Some(3), ..Faults::default() }, |tag| tag == 10),
        ] {
            let storage = Storage::for_test(options, Rig { faults: Some(faults), ..Rig::default() }).unwrap();
            let file = storage.open(&path).unwrap();
            let ranges: Vec<(u64, usize)> = (0..40).map(|i| (i * 1000, 100)).collect();
            let results = read_all(&mut *storage.engine().unwrap(), &file, &ranges);
            for (tag, result) in results.into_iter().enumerate() {
                if fails(tag) {
                    let error = result.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Io, "{}", setup.name);
                    assert_eq!((error.path(), error.offset()), (Some(&*path), Some(tag as u64 * 1000)));
                    assert!(error.is_retryable());
                } else {
                    assert!(*result.unwrap() == bytes[tag * 1000..tag * 1000 + 100], "{}", setup.name);
                }
            }
        }
    });
}

#[test]
fn a_file_of_another_storage_is_read_as_well() {
    each(|setup| {
        let (path, bytes) = setup.file("a", 20_000);
        for kind in [EngineKind::Pread, EngineKind::Mmap, EngineKind::Memory] {
            let file = Storage::new(&StorageOptions::new().engine(kind)).unwrap().open(&path).unwrap();
            assert!(*read_one(setup, &file, 100, 19_900).unwrap() == bytes[100..], "{} of {kind:?}", setup.name);
        }
    });
}

#[test]
fn the_end_of_a_mapped_file_is_copied_and_the_rest_is_not() {
    let setup_dir = tempfile::tempdir().unwrap();
    let path = setup_dir.path().join("a");
    std::fs::write(&path, vec![7; 8192]).unwrap();
    let storage = Storage::new(&StorageOptions::new().engine(EngineKind::Mmap)).unwrap();
    let file = storage.open(&path).unwrap();
    drop(storage.read_at(&file, 0, 8192 - PADDING).unwrap());
    assert_eq!(storage.buffer_stats().num_allocated, 0);
    assert_eq!(storage.read_at(&file, 1, 8192 - PADDING).unwrap().padded().len(), 8192);
    assert_eq!(storage.buffer_stats().num_allocated, 1);
}

#[test]
fn files_are_put_into_the_memory_engine_alone() {
    let path = Path::new("/nowhere/a");
    let memory = Storage::new(&StorageOptions::new().engine(EngineKind::Memory)).unwrap();
    memory.put(path, b"bytes").unwrap();
    let file = memory.open(path).unwrap();
    memory.put(path, b"others").unwrap();
    assert_eq!(&*memory.read_at(&file, 0, 5).unwrap(), b"bytes");
    assert_eq!(memory.open(path).unwrap().len(), 6);
    let pread = Storage::new(&StorageOptions::new().engine(EngineKind::Pread)).unwrap();
    assert_eq!(pread.put(path, b"").unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn direct_reads_fall_back_where_the_file_system_has_none() {
    // tmpfs; where there is none of it, every file system gives the same answer through the page cache.
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("SKIPPED: no tmpfs at /dev/shm");
        return;
    };
    let path = dir.path().join("a");
    std::fs::write(&path, [9; 10_000]).unwrap();
    for engine in [EngineKind::Auto, EngineKind::Pread] {
        let options = StorageOptions::new().engine(engine).direct_io(DirectIo::On);
        let storage = Storage::new(&options).unwrap();
        let file = storage.open(&path).unwrap();
        assert!(!file.is_direct());
        let read = read_all(&mut *storage.engine().unwrap(), &file, &[(1, 9999)]).pop().unwrap();
        assert!(*read.unwrap() == [9; 9999]);
    }
}

#[test]
fn an_engine_with_reads_in_flight_does_not_work_on_another_thread() {
    if !uring_is_to_be_had() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    std::fs::write(&path, [3; 10_000]).unwrap();
    let storage = Storage::new(&StorageOptions::new().engine(EngineKind::Uring)).unwrap();
    let file = storage.open(&path).unwrap();
    let mut engine = storage.engine().unwrap();
    let request = |tag| ReadRequest::new(tag, &file, 0, 10_000);
    engine.submit(request(1)).unwrap();
    let foreign = request(2);
    let engine_there = &mut engine;
    let errors = std::thread::scope(|scope| {
        let there = scope.spawn(move || (engine_there.submit(foreign).is_err(), engine_there.wait(None).is_err()));
        there.join().unwrap()
    });
    assert_eq!(errors, (true, true));
    assert_eq!(engine.wait(None).unwrap().unwrap().tag, 1);
    assert!(engine.wait(None).unwrap().is_none());
}

#[test]
fn auto_is_the_engine_that_this_process_expects() {
    let storage = Storage::new(&StorageOptions::new()).unwrap();
    let named = Storage::new(&StorageOptions::new().engine(EngineKind::Uring));
    if let Ok(expected) = std::env::var(EXPECT_ENGINE) {
        assert_eq!(storage.kind().as_str(), expected, "{}", storage.describe());
    }
    assert_eq!(storage.engine().unwrap().name(), storage.kind().as_str());
    if storage.kind() == EngineKind::Uring {
        named.unwrap();
        assert!(storage.describe().starts_with("uring ("), "{}", storage.describe());
    } else {
        assert_eq!(named.unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(storage.describe().contains("io_uring is refused: "), "{}", storage.describe());
    }
}
