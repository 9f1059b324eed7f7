//! Reads of a file system whose device fails in every way: whatever happens below the kernel, a read gives exactly its bytes
//! or the error that it must give, on every engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod faulty_fs;

use std::collections::HashMap;
use std::sync::Once;
use std::time::Duration;

use faulty_fs::{FaultyFs, LEN, Pages, Trouble, content};
use framefeed::{
    DirectIo, EngineKind, Error, ErrorKind, ReadEngine, ReadOutcome, ReadRequest, Result, Slot, Storage, StorageFile,
    StorageOptions,
};

/// The engines that read while the file system has trouble, by name; not `mmap` (an error is a signal there) and `memory`
/// (reads nothing but whole files, when they are opened).
fn storages(max_retries: u32) -> Vec<(&'static str, Storage)> {
    static SAID: Once = Once::new();
    let options = || StorageOptions::new().depth(16).max_retries(max_retries);
    let (uring, pread) = (options().engine(EngineKind::Uring), options().engine(EngineKind::Pread));
    let mut storages = vec![
        ("pread", Storage::new(&pread.clone()).unwrap()),
        ("pread, direct", Storage::new(&pread.clone().direct_io(DirectIo::On)).unwrap()),
        ("pread, inline", Storage::new(&pread.pread_threads(0)).unwrap()),
    ];
    match Storage::new(&uring) {
        Ok(storage) => {
            storages.push(("uring", storage));
            storages.push(("uring, direct", Storage::new(&uring.direct_io(DirectIo::On)).unwrap()));
        }
        Err(error) => {
            let required = std::env::var_os("REQUIRE_URING").is_some_and(|value| value == "1");
            assert!(!required, "{}", error.report());
            SAID.call_once(|| eprintln!("SKIPPED: the uring engines: {}", error.report()));
        }
    }
    storages
}

/// True for the engines that read files of FUSE one at a time, in `wait`, as the contract allows them to.
fn reads_in_wait(name: &str) -> bool {
    name != "pread" && name != "pread, direct"
}

/// Runs a claim on every engine, each with a file system of its own: what passed on one comes again on the next.
fn each(trouble: &Trouble, claim: impl Fn(&str, &Storage, &mut FaultyFs, &StorageFile)) {
    each_retrying(1, trouble, claim);
}

fn each_retrying(max_retries: u32, trouble: &Trouble, claim: impl Fn(&str, &Storage, &mut FaultyFs, &StorageFile)) {
    for (name, storage) in storages(max_retries) {
        let Some(mut mounted) = FaultyFs::mount(trouble) else { return };
        let file = storage.open(&mounted.path()).unwrap();
        claim(name, &storage, &mut mounted, &file);
    }
}

fn ranges() -> Vec<(u64, usize)> {
    let mut ranges = vec![(0, LEN), (0, 1), (LEN - 1, 1), (4095, 2), (4096, 4096), (LEN, 0)];
    let mut random = 99_u64;
    for _ in 0..34 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let offset = (random >> 33) as usize % LEN;
        let longest = if random & 64 == 0 { 300 } else { LEN };
        ranges.push((offset, ((random >> 17) as usize % longest).min(LEN - offset)));
    }
    ranges.into_iter().map(|(offset, len)| (offset as u64, len)).collect()
}

/// Reads all ranges with as many in flight as the engine takes, every other one into a slot; results by index.
fn read_all(engine: &mut dyn ReadEngine, file: &StorageFile, ranges: &[(u64, usize)]) -> Vec<Result<ReadOutcome>> {
    let mut results = HashMap::new();
    let mut next = 0;
    while results.len() < ranges.len() {
        while next < ranges.len() && engine.in_flight() < engine.capacity() {
            let ((offset, len), tag) = (ranges[next], next as u64);
            engine
                .submit(match tag % 2 {
                    0 => ReadRequest::new(tag, file, offset, len),
                    _ => ReadRequest::into_slot(tag, file, offset, Slot::zeroed(len).unwrap()),
                })
                .unwrap();
            next += 1;
        }
        let completion = engine.wait(None).unwrap().expect("a completion, because reads are in flight");
        assert!(results.insert(completion.tag, completion.result).is_none(), "a tag came back twice");
    }
    assert_eq!(engine.in_flight(), 0);
    (0..ranges.len() as u64).map(|tag| results.remove(&tag).unwrap()).collect()
}

/// Every range's bytes, by an engine and at once.
fn assert_all_is_read(name: &str, storage: &Storage, file: &StorageFile) {
    let (bytes, ranges) = (content(), ranges());
    let results = read_all(&mut *storage.engine().unwrap(), file, &ranges);
    for (&(offset, len), result) in ranges.iter().zip(results) {
        let wanted = &bytes[offset as usize..][..len];
        assert!(*result.unwrap() == *wanted, "{name}: {offset}+{len}");
    }
    let (offset, len) = ranges[7];
    let at_once = storage.read_at(file, offset, len).unwrap();
    assert!(*at_once == bytes[offset as usize..][..len], "{name}: read_at {offset}+{len}");
}

/// The error of a device that cannot read, with file, offset and length.
fn assert_is_eio(error: &Error, file: &StorageFile, range: (u64, usize), name: &str) {
    assert_is_of_device(error, libc::EIO, file, range, name);
}

fn assert_is_of_device(error: &Error, errno: i32, file: &StorageFile, (offset, len): (u64, usize), name: &str) {
    assert_eq!(error.kind(), ErrorKind::Io, "{name}: {error}");
    assert_eq!((error.path(), error.offset()), (Some(file.path()), Some(offset)), "{name}");
    assert!(error.message().contains(&format!("read {len} bytes")), "{name}: {error}");
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    assert_eq!(cause.and_then(std::io::Error::raw_os_error), Some(errno), "{name}");
}

#[test]
fn reads_that_are_cut_short_go_on_to_their_last_byte() {
    each(&Trouble { longest_answer: Some(20_000), ..Trouble::default() }, |name, storage, mounted, file| {
        assert_all_is_read(name, storage, file);
        assert!(mounted.count().short_answers > 0, "{name}: no answer was short");
    });
}

#[test]
fn interrupted_and_refused_reads_are_repeated() {
    let passing = vec![libc::EINTR, libc::EAGAIN, libc::EINTR];
    for longest_answer in [None, Some(30_000)] {
        each(
            &Trouble { passing: passing.clone(), longest_answer, ..Trouble::default() },
            |name, storage, mounted, file| {
                assert_all_is_read(name, storage, file);
                assert!(mounted.count().errors >= 3, "{name}: nothing was interrupted");
            },
        );
    }
}

#[test]
fn answers_in_another_order_reach_their_own_reads() {
    for pages in [Pages::Uncached, Pages::Cached] {
        each(&Trouble { pages, newest_first: true, ..Trouble::default() }, |name, storage, mounted, file| {
            assert_all_is_read(name, storage, file);
            // The page cache reads many ranges in one go.
            if pages == Pages::Uncached && !reads_in_wait(name) {
                assert!(mounted.count().overtakings > 0, "{name}: all came in order");
            }
        });
    }
}

#[test]
fn a_bad_block_is_the_error_of_the_reads_that_touch_it_and_harms_no_other() {
    const BAD: usize = 100_000;
    let page = BAD / 4096 * 4096;
    for pages in [Pages::Uncached, Pages::Cached] {
        each(&Trouble { pages, bad_byte: Some(BAD as u64), ..Trouble::default() }, |name, storage, _, file| {
            let bytes = content();
            // By whole pages: of a page that cannot be read the page cache has nothing.
            let mut ranges = vec![(page as u64, 4096), (0, LEN), (BAD as u64, 1)];
            ranges.extend((0..LEN as u64 / 4096).map(|page| (page * 4096, 4096)));
            let results = read_all(&mut *storage.engine().unwrap(), file, &ranges);
            let mut num_bad = 0;
            for (&(offset, len), result) in ranges.iter().zip(results) {
                if (offset as usize..offset as usize + len).contains(&BAD) {
                    num_bad += 1;
                    assert_is_eio(&result.unwrap_err(), file, (offset, len), name);
                } else {
                    assert!(*result.unwrap() == bytes[offset as usize..][..len], "{name}: {offset}+{len}");
                }
            }
            assert_eq!(num_bad, 4);
            let error = storage.read_at(file, BAD as u64 - 10, 20).unwrap_err();
            assert_is_eio(&error, file, (BAD as u64 - 10, 20), name);
        });
    }
}

#[test]
fn with_every_trouble_at_once_a_read_has_its_bytes_or_the_error_of_the_bad_byte() {
    const BAD: u64 = 150_001;
    let trouble = Trouble {
        longest_answer: Some(30_000),
        bad_byte: Some(BAD),
        passing: vec![libc::EAGAIN, libc::EINTR],
        newest_first: true,
        ..Trouble::default()
    };
    each(&trouble, |name, storage, _, file| {
        let (bytes, ranges) = (content(), ranges());
        let results = read_all(&mut *storage.engine().unwrap(), file, &ranges);
        for (&(offset, len), result) in ranges.iter().zip(results) {
            match result {
                Ok(read) => assert!(*read == bytes[offset as usize..][..len], "{name}: {offset}+{len}"),
                Err(error) => {
                    assert!((offset..offset + len as u64).contains(&BAD), "{name}: {offset}+{len}: {error}");
                    assert_is_eio(&error, file, (offset, len), name);
                }
            }
        }
    });
}

#[test]
fn an_error_of_the_network_that_passes_in_time_is_not_seen_and_one_that_does_not_is() {
    let trouble = Trouble { passing: vec![libc::EIO, libc::ESTALE, libc::ETIMEDOUT], ..Trouble::default() };
    // Offsets of their own, because a file system of this kind forgets no failure.
    let ranges: Vec<(u64, usize)> = (0..4).map(|i| (i * 40_000 + 1, 1000)).collect();
    for max_retries in [3, 2] {
        each_retrying(max_retries, &trouble, |name, storage, _, file| {
            let bytes = content();
            let results = read_all(&mut *storage.engine().unwrap(), file, &ranges);
            for (&(offset, len), result) in ranges.iter().zip(results) {
                if max_retries == 3 {
                    assert!(*result.unwrap() == bytes[offset as usize..][..len], "{name}: {offset}+{len}");
                } else {
                    assert_is_of_device(&result.unwrap_err(), libc::ETIMEDOUT, file, (offset, len), name);
                }
            }
        });
    }
}

#[test]
fn a_silent_device_holds_up_neither_submit_nor_a_wait_with_a_timeout() {
    each(&Trouble { silent: true, ..Trouble::default() }, |name, storage, mounted, file| {
        if reads_in_wait(name) {
            return;
        }
        let bytes = content();
        let mut engine = storage.engine().unwrap();
        for tag in 0..16 {
            engine.submit(ReadRequest::new(tag, file, tag * 1000, 5000)).unwrap();
        }
        for timeout in [Duration::ZERO, Duration::from_millis(20)] {
            assert!(engine.wait(Some(timeout)).unwrap().is_none(), "{name}: an answer of a silent device");
        }
        mounted.speak();
        while let Some(completion) = engine.wait(None).unwrap() {
            let tag = completion.tag as usize;
            assert!(*completion.into_bytes().unwrap() == bytes[tag * 1000..][..5000], "{name}: {tag}");
        }
    });
}

#[test]
fn an_engine_that_is_dropped_waits_for_a_device_that_is_silent_and_frees_all_memory() {
    each(&Trouble { silent: true, ..Trouble::default() }, |name, storage, mounted, file| {
        let mut engine = storage.engine().unwrap();
        for tag in 0..16 {
            engine.submit(ReadRequest::new(tag, file, tag * 1000, 5000)).unwrap();
        }
        if !reads_in_wait(name) {
            assert!(engine.wait(Some(Duration::ZERO)).unwrap().is_none(), "{name}");
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Late enough for the engine to wait, mostly; right whether it does or not.
                std::thread::sleep(Duration::from_millis(5));
                mounted.speak();
            });
            drop(engine);
        });
        assert_eq!(storage.buffer_stats().in_use_bytes, 0, "{name}");
    });
}

#[test]
fn files_that_are_mapped_or_read_whole_are_read_through_an_orderly_file_system() {
    let trouble = Trouble { pages: Pages::Cached, newest_first: true, ..Trouble::default() };
    let Some(mounted) = FaultyFs::mount(&trouble) else { return };
    for kind in [EngineKind::Mmap, EngineKind::Memory] {
        let storage = Storage::new(&StorageOptions::new().engine(kind)).unwrap();
        let file = storage.open(&mounted.path()).unwrap();
        assert_all_is_read(kind.as_str(), &storage, &file);
    }
}

#[test]
fn a_file_that_cannot_be_read_whole_is_an_error_of_opening_it_into_memory() {
    let Some(mounted) = FaultyFs::mount(&Trouble { bad_byte: Some(9), ..Trouble::default() }) else { return };
    let storage = Storage::new(&StorageOptions::new().engine(EngineKind::Memory)).unwrap();
    let error = storage.open(&mounted.path()).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Io, Some(&*mounted.path())), "{error}");
}
