//! The loader over storage that fails: each read in turn, late and out of order, and below the engine's own repetitions.

use super::fields::Tensors;
use super::{TestSet, content};
use crate::loader::{Batch, ErrorPolicy, Loader, LoaderBuilder, Ragged};
use crate::storage::faulty::{Answers, Faults, Rig};
use crate::storage::{EngineKind, StorageOptions};
use crate::{Error, ErrorKind};
use std::time::Duration;

/// Ways of reading: with threads, in the loader's own thread, mapped, and by a ring where the kernel has one.
fn storages() -> Vec<StorageOptions> {
    let pread = || StorageOptions::new().engine(EngineKind::Pread);
    let mut all = vec![pread(), pread().pread_threads(0), StorageOptions::new().engine(EngineKind::Mmap)];
    let uring = StorageOptions::new().engine(EngineKind::Uring);
    match TestSet::with(&[4], 1).builder().storage(uring.clone()).build() {
        Ok(_) => all.push(uring),
        Err(error) => {
            assert!(std::env::var_os("REQUIRE_URING").is_none_or(|value| value != "1"), "{error}");
            eprintln!("SKIPPED: the uring engine: {error}");
        }
    }
    all
}

impl LoaderBuilder {
    /// Over a storage that fails so. One read at a time and thread, so that the order of reads is known.
    fn rigged(mut self, storage: &StorageOptions, rig: Rig) -> Self {
        self.options.rig = Some(rig);
        self.storage(storage.clone())
    }
}

/// What came in the place of each batch: its content, or the error.
fn outcomes<T>(loader: &Loader, content: impl Fn(&Batch) -> T) -> Vec<Result<T, Error>> {
    loader.iter().map(|batch| batch.map(|batch| content(&batch))).collect()
}

/// Nothing that was read, or was to be, is held when no iteration runs.
fn assert_nothing_is_held(loader: &Loader) {
    let (stats, storage) = (loader.stats(), &loader.shared().storage);
    assert_eq!((stats.held_bytes, stats.queued_clips, stats.ready_batches), (0, 0, 0));
    assert_eq!(storage.buffer_stats().in_use_bytes, 0);
}

/// Fails each read in turn. Every batch is the sound one or an error of the kind I/O, and the next epoch is sound again.
fn fail_each_read<T: PartialEq + std::fmt::Debug>(build: impl Fn() -> LoaderBuilder, content: impl Fn(&Batch) -> T) {
    for storage in storages() {
        let loader = build().rigged(&storage, Rig::default()).build().unwrap();
        let sound: Vec<T> = outcomes(&loader, &content).into_iter().map(Result::unwrap).collect();
        let num_reads = loader.stats().num_reads;
        let mut num_failed = 0;
        for number in 0..num_reads {
            for policy in [ErrorPolicy::Raise, ErrorPolicy::Skip, ErrorPolicy::Substitute] {
                if policy != ErrorPolicy::Raise && number % 5 != 0 {
                    continue;
                }
                let faults = Faults { fail_only: Some(number), ..Faults::default() };
                let rig = Rig { faults: Some(faults), ..Rig::default() };
                let loader = build().on_error(policy).rigged(&storage, rig).build().unwrap();
                let outcomes = outcomes(&loader, &content);
                assert_eq!(outcomes.len(), sound.len());
                for (outcome, sound) in outcomes.iter().zip(&sound) {
                    match outcome {
                        Ok(batch) => assert_eq!(batch, sound),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                            assert!(error.path().is_some() && error.record().is_some(), "{error}");
                        }
                    }
                }
                num_failed += outcomes.iter().filter(|outcome| outcome.is_err()).count();
                assert_eq!((loader.stats().skipped, loader.stats().substituted), (0, 0));
                assert_eq!((loader.state().epoch, loader.state().position), (1, 0), "errors have their place as well");
                assert_nothing_is_held(&loader);
            }
        }
        assert!(num_failed as u64 >= num_reads, "{num_failed} of {num_reads} reads failed");
    }
}

#[test]
fn a_failed_read_of_a_clip_is_an_error_in_the_place_of_its_batch_under_every_policy() {
    let set = TestSet::new();
    fail_each_read(|| set.builder().decode_workers(2), content);
}

#[test]
fn a_failed_read_of_a_tensor_is_an_error_in_the_place_of_its_batch_under_every_policy() {
    let set = Tensors::new();
    // One reader, so that the reads of its engine are all there are.
    let content = super::fields::fingerprint;
    fail_each_read(|| set.ragged(Ragged::Pad).tensor_readers(1).batch_size(7), content);
}

#[test]
fn a_disk_that_dies_is_an_error_for_every_batch_from_then_on_and_memory_goes_round() {
    let set = TestSet::new();
    for storage in storages() {
        for after in [0, 1, 3, 8] {
            let faults = Faults { fail_after: Some(after), ..Faults::default() };
            let rig = Rig { faults: Some(faults), ..Rig::default() };
            let builder = set.builder().batch_size(2).prefetch_batches(2).rigged(&storage, rig);
            let loader = builder.build().unwrap();
            for epoch in 0..6 {
                let outcomes = outcomes(&loader, |batch| batch.epoch);
                assert_eq!(outcomes.len(), 4, "every epoch has all its batches, or an error in the place of each");
                let last = outcomes.iter().rev().take(usize::from(after < 8));
                assert!(last.flatten().next().is_none());
                assert_eq!(loader.state().epoch, epoch + 1);
            }
            assert_nothing_is_held(&loader);
            let memory = loader.stats().batch_memory;
            assert!(memory.num_allocated <= 4, "{memory:?}");
        }
    }
}

#[test]
fn late_reordered_short_and_interrupted_answers_change_nothing() {
    let (clips, tensors) = (TestSet::new(), Tensors::new());
    let expected = outcomes(&clips.builder().build().unwrap(), content).into_iter().map(Result::unwrap);
    let expected: Vec<_> = expected.collect();
    let fields = |loader: &Loader| -> Vec<_> {
        outcomes(loader, super::fields::fingerprint).into_iter().map(Result::unwrap).collect()
    };
    let expected_fields = fields(&tensors.ragged(Ragged::Pad).build().unwrap());
    let (short_in, interrupted_in) = (Some(3), Some(5));
    let answers = Answers { short_in, interrupted_in, flaky_times: 2, ..Answers::default() };
    let late = Faults { delay: Duration::from_micros(200), reorder: Some(3), ..Faults::default() };
    for storage in storages() {
        for rig in [
            Rig { answers: Some(answers), ..Rig::default() },
            Rig { faults: Some(late.clone()), ..Rig::default() },
            Rig { faults: Some(late.clone()), answers: Some(answers), max_chunk: Some(5000) },
        ] {
            let loader = clips.builder().rigged(&storage, rig.clone()).build().unwrap();
            let batches: Vec<_> = outcomes(&loader, content).into_iter().map(Result::unwrap).collect();
            assert_eq!(batches, expected);
            assert_nothing_is_held(&loader);
            let loader = tensors.ragged(Ragged::Pad).rigged(&storage, rig).build().unwrap();
            assert_eq!(fields(&loader), expected_fields);
            assert_nothing_is_held(&loader);
        }
    }
}

#[test]
fn a_place_on_the_disk_that_cannot_be_read_fails_what_lies_there_and_nothing_else() {
    let set = TestSet::new();
    let dataset = set.dataset();
    let record = dataset.find("clip-004").unwrap().unwrap();
    let (shard, stream) = dataset.stream(record).unwrap();
    let packet = stream.packets.get(0).unwrap();
    let sound = outcomes(&set.builder().batch_size(1).build().unwrap(), content);
    for storage in storages() {
        if storage.engine == EngineKind::Mmap {
            continue; // nothing is asked of the operating system
        }
        let answers = Answers { bad_byte: Some(packet.offset + 1), ..Answers::default() };
        let rig = Rig { answers: Some(answers), ..Rig::default() };
        let builder = set.builder().batch_size(1).rigged(&storage.clone().max_retries(0), rig);
        let loader = builder.build().unwrap();
        let found = outcomes(&loader, content);
        let mut num_failed = 0;
        for (found, sound) in found.iter().zip(&sound) {
            match found {
                Ok(found) => assert_eq!(found, sound.as_ref().unwrap()),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                    num_failed += usize::from(error.path() == Some(shard.path()));
                }
            }
        }
        assert!(num_failed >= 1);
        assert_nothing_is_held(&loader);
    }
}
