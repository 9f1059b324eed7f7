//! Damaged data: every policy, and errors that no policy may hide.

use super::{TestSet, content, video};
use crate::decode::DecodeLimits;
use crate::loader::{Batch, ClipReader, ErrorPolicy, Loader, Next, Shuffle};
use crate::media::Ratio;
use crate::order::{ShortPolicy, Window};
use crate::storage::StorageOptions;
use crate::transform::{DType, TransformOptions};
use crate::{Dataset, ErrorKind, Result};
use std::time::Duration;

fn all(loader: &Loader) -> Vec<Result<Batch>> {
    loader.iter().collect()
}

#[test]
fn a_flipped_byte_is_raised_with_record_file_and_offset_and_the_loader_goes_on() {
    let set = TestSet::new();
    set.damage("clip-002");
    let loader = set.builder().build().unwrap();
    let results = all(&loader);
    assert_eq!(results.len(), 3);
    let errors: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].kind(), ErrorKind::Corrupt);
    assert_eq!(errors[0].record(), Some("clip-002"));
    assert_eq!(errors[0].path().unwrap(), set.shard_path(0));
    assert!(errors[0].offset().is_some());
    assert_eq!(loader.stats().errors, 1);
}

/// Epoch and position of the loader's state.
fn place(loader: &Loader) -> (u64, u64) {
    let state = loader.state();
    (state.epoch, state.position)
}

#[test]
fn the_state_stands_before_a_batch_that_failed_until_the_iteration_goes_on() {
    for number in [0, 3, 6] {
        let set = TestSet::new();
        set.damage(&set.dataset_keys()[number]);
        let build = || set.builder().batch_size(1).shuffle(Shuffle::Off).build().unwrap();
        let loader = build();
        let mut batches = loader.iter();
        for _ in 0..number {
            batches.next().unwrap().unwrap();
        }
        let before = place(&loader);
        assert_eq!(before, (0, number as u64));
        assert!(batches.next().unwrap().is_err());
        assert_eq!(place(&loader), before, "the batch was not handed out");
        // Whoever resumes there meets the same batch, in the same loader and in another.
        let other = build();
        for resumed in [&loader, &other] {
            let state = loader.state();
            resumed.load_state(&state).unwrap();
            assert!(resumed.iter().next().unwrap().is_err());
            assert_eq!(place(resumed), before);
        }
        // Whoever goes on has left it behind, also at the end of an epoch.
        let mut batches = other.iter();
        other.load_state(&loader.state()).unwrap();
        assert!(batches.next().unwrap().is_err());
        let next = batches.next();
        assert_eq!(next.is_some(), number < 6);
        assert_eq!(place(&other), if number < 6 { (0, number as u64 + 2) } else { (1, 0) });
    }
}

#[test]
fn errors_in_a_row_leave_the_state_before_the_first_one() {
    let set = TestSet::new();
    for key in ["clip-000", "clip-002", "clip-004"] {
        set.damage(key);
    }
    let loader = set.builder().batch_size(1).shuffle(Shuffle::Off).build().unwrap();
    let mut batches = loader.iter();
    let mut expected = (0, 0);
    for (position, number) in set.dataset_keys().into_iter().enumerate() {
        let outcome = batches.next().unwrap();
        assert_eq!(outcome.is_err(), ["clip-000", "clip-002", "clip-004"].contains(&&*number));
        if outcome.is_ok() {
            expected = if position == 6 { (1, 0) } else { (0, position as u64 + 1) };
        }
        assert_eq!(place(&loader), expected);
    }
}

#[test]
fn the_only_batch_of_an_epoch_that_fails_is_tried_again_by_a_loader_that_is_resumed() {
    let set = TestSet::with(&[12], 1);
    set.damage("clip-000");
    for policy in [ErrorPolicy::Raise, ErrorPolicy::Skip, ErrorPolicy::Substitute] {
        let loader = set.builder().on_error(policy).build().unwrap();
        let mut batches = loader.iter();
        assert!(batches.next().unwrap().is_err());
        assert_eq!(place(&loader), (0, 0), "{policy:?}");
        assert!(batches.next().is_none());
        assert_eq!(place(&loader), (1, 0), "the iteration was asked on");
        // An epoch that was left early is not come back to for the failure of the next one.
        assert!(loader.iter().next().unwrap().is_err());
        assert_eq!(place(&loader), (1, 0));
    }
}

#[test]
fn a_loader_that_is_closed_after_an_error_stands_before_the_batch_that_failed() {
    let set = TestSet::with(&[12, 12], 1);
    set.damage("clip-001");
    let loader = set.builder().batch_size(1).shuffle(Shuffle::Off).build().unwrap();
    let mut batches = loader.iter();
    batches.next().unwrap().unwrap();
    assert!(batches.next().unwrap().is_err());
    loader.close();
    while batches.next().is_some() {}
    assert_eq!(place(&loader), (0, 1));
}

#[test]
fn what_is_passed_over_moves_the_state_with_the_batch_that_tells_of_it() {
    let set = TestSet::new();
    let keys = set.dataset_keys();
    for number in [1, 2, 6] {
        set.damage(&keys[number]);
    }
    let loader = set.builder().batch_size(1).shuffle(Shuffle::Off).on_error(ErrorPolicy::Skip).build().unwrap();
    let mut batches = loader.iter();
    let places = std::iter::from_fn(|| batches.next().map(|batch| batch.map(|_| place(&loader)).unwrap()));
    assert_eq!(places.collect::<Vec<_>>(), [(0, 1), (0, 4), (0, 5), (0, 6)]);
    assert_eq!(place(&loader), (1, 0), "the end has passed over the last one");
}

#[test]
fn a_batch_that_is_not_confirmed_leaves_the_state_before_it() {
    let set = TestSet::new();
    let loader = set.builder().build().unwrap();
    let mut batches = loader.iter();
    let fetch = |batches: &mut crate::Batches| matches!(batches.fetch_within(Duration::MAX), Next::Batch(Ok(_)));
    assert!(fetch(&mut batches) && place(&loader) == (0, 0));
    batches.confirm();
    assert_eq!(place(&loader), (0, 3));
    batches.confirm();
    assert_eq!(place(&loader), (0, 3));
    assert!(fetch(&mut batches) && place(&loader) == (0, 3));
    batches.next().unwrap().unwrap();
    assert_eq!(place(&loader), (1, 0));
}

#[test]
fn skipping_leaves_the_sample_out_and_says_so() {
    let set = TestSet::new();
    let sound: Vec<_> = all(&set.builder().build().unwrap()).into_iter().map(Result::unwrap).collect();
    set.damage("clip-002");
    let loader = set.builder().on_error(ErrorPolicy::Skip).build().unwrap();
    let mut iteration = loader.iter();
    let batches: Vec<_> = iteration.by_ref().map(Result::unwrap).collect();
    // Where the damaged sample was the only one of the last batch, no batch tells of it.
    let mut skipped = iteration.left_out().to_vec();
    for (batch, sound) in batches.iter().zip(&sound) {
        let clip_bytes = video(sound).clip_bytes();
        let rows: Vec<usize> = (0..sound.len()).filter(|&row| sound.keys[row] != "clip-002").collect();
        let expected: Vec<u8> =
            rows.iter().flat_map(|&row| video(sound).data.chunks(clip_bytes).nth(row).unwrap().to_vec()).collect();
        assert_eq!(video(batch).shape[0], rows.len());
        assert!(*video(batch).data == expected[..], "the other rows are what they were");
        assert_eq!(batch.keys, rows.iter().map(|&row| sound.keys[row].clone()).collect::<Vec<_>>());
        skipped.extend(batch.skipped.clone());
    }
    assert_eq!(skipped.len(), 1);
    assert!(skipped[0].reason.contains("clip-002") && skipped[0].reason.contains("CRC32C"), "{}", skipped[0].reason);
    assert_eq!((loader.stats().skipped, loader.stats().errors), (1, 1));
}

#[test]
fn a_batch_with_nothing_left_is_passed_over() {
    let set = TestSet::new();
    set.damage("clip-002");
    set.damage("clip-005");
    let loader = set.builder().batch_size(1).on_error(ErrorPolicy::Skip).build().unwrap();
    let batches: Vec<_> = all(&loader).into_iter().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 5);
    assert!(batches.iter().all(|batch| batch.len() == 1));
    assert_eq!(loader.stats().skipped, 2);
    assert_eq!((loader.state().epoch, loader.state().position), (1, 0));
}

#[test]
fn a_substitute_is_the_same_in_every_run() {
    let set = TestSet::new();
    set.damage("clip-002");
    set.damage("clip-003");
    let run = |workers| {
        let builder = set.builder().decode_workers(workers).on_error(ErrorPolicy::Substitute).epochs(4);
        let loader = builder.build().unwrap();
        let batches: Vec<_> = all(&loader).into_iter().map(Result::unwrap).collect();
        assert_eq!(loader.stats().substituted, 8);
        for batch in &batches {
            assert!(batch.keys.iter().all(|key| key != "clip-002" && key != "clip-003"));
            for failed in &batch.substituted {
                assert!(batch.positions.contains(&failed.position));
            }
        }
        assert_eq!(batches.iter().map(Batch::len).sum::<usize>(), 28);
        batches.iter().map(content).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(4));
}

#[test]
fn when_everything_is_damaged_substitution_ends_with_an_error() {
    let set = TestSet::with(&[12, 12], 1);
    set.damage("clip-000");
    set.damage("clip-001");
    let loader = set.builder().on_error(ErrorPolicy::Substitute).build().unwrap();
    let error = loader.iter().next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
}

#[test]
fn a_missing_shard_is_raised_under_every_policy_and_named() {
    let set = TestSet::new();
    std::fs::remove_file(set.shard_path(1)).unwrap();
    for policy in [ErrorPolicy::Raise, ErrorPolicy::Skip, ErrorPolicy::Substitute] {
        let loader = set.builder().on_error(policy).build().unwrap();
        let errors: Vec<_> = all(&loader).into_iter().filter_map(Result::err).collect();
        assert!(!errors.is_empty());
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            assert_eq!(error.path().unwrap(), set.shard_path(1));
        }
    }
}

#[test]
fn a_cut_shard_and_another_shard_are_told() {
    let set = TestSet::new();
    let bytes = std::fs::read(set.shard_path(1)).unwrap();
    std::fs::write(set.shard_path(1), &bytes[..bytes.len() - 512]).unwrap();
    let error = set.dataset().shard(1).unwrap_err();
    assert_eq!((error.kind(), error.path().unwrap()), (ErrorKind::Corrupt, &*set.shard_path(1)));
    // A sound shard of the same size with other content in the first one's place.
    let other = TestSet::with(&[12, 12], 2);
    std::fs::copy(other.shard_path(0), other.shard_path(1)).unwrap();
    let dataset = other.dataset();
    let error = (0..2).find_map(|record| dataset.record(record).err()).unwrap();
    assert_eq!((error.kind(), error.path().unwrap()), (ErrorKind::Corrupt, &*other.shard_path(1)));
}

#[test]
fn a_clip_beyond_its_limits_is_an_error() {
    let set = TestSet::new();
    let limits = DecodeLimits { max_decoded_frames: 1, ..DecodeLimits::default() };
    let loader = set.builder().limits(limits).build().unwrap();
    assert_eq!(loader.iter().next().unwrap().unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn a_clip_beyond_its_limits_is_not_read() {
    let set = TestSet::new();
    let dataset = set.dataset();
    let mut reader = ClipReader::new(&dataset, &StorageOptions::new()).unwrap();
    let (options, default) = (TransformOptions::default(), DecodeLimits::default);
    // Opening a shard for its bytes would find it gone.
    dataset.stream(0).unwrap();
    let gone = [0, 1].map(|number| std::fs::remove_file(set.shard_path(number)));
    assert!(gone.iter().all(Result::is_ok));
    for limits in [default().max_packets(0), default().max_pixels(1), default().max_bytes(1)] {
        let errors =
            [reader.frames(0, &[0], &limits).unwrap_err(), reader.tensor(0, &[0], &options, &limits).unwrap_err()];
        assert!(errors.iter().all(|error| error.kind() == ErrorKind::LimitExceeded), "{errors:?}");
    }
    assert_eq!(reader.frames(0, &[0], &default()).unwrap_err().kind(), ErrorKind::NotFound);

    let set = TestSet::new();
    let loader = set.builder().limits(default().max_bytes(1)).build().unwrap();
    assert_eq!(loader.iter().next().unwrap().unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(loader.stats().num_reads, 0);
}

#[test]
fn a_tensor_beyond_memory_is_an_error_and_does_not_end_the_process() {
    let limits = DecodeLimits::default();
    let wide = TestSet::changed(&[4], 1, |record| record.stream.sample_aspect = Ratio::new(u32::MAX, 1).unwrap());
    let mut reader = ClipReader::new(&wide.dataset(), &StorageOptions::new()).unwrap();
    let options = TransformOptions { dtype: DType::Float32, ..TransformOptions::default() };
    let error = reader.tensor(0, &[0; 4096], &options, &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");

    // More than 47 bits of addresses.
    let options = TransformOptions { size: Some((16_384, 16_384)), ..options };
    let error = reader.tensor(0, &vec![0; 1 << 17], &options, &limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
}

#[test]
fn a_batch_of_clips_beyond_memory_is_refused() {
    let set = TestSet::new();
    let options =
        TransformOptions { size: Some((16_384, 16_384)), dtype: DType::Float32, ..TransformOptions::default() };
    let window = Window::strided(10_000, 1).short(ShortPolicy::Loop);
    let error = set.builder().window(window).transform(options).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.to_string().contains("memory"), "{error}");
}

#[test]
fn single_clips_name_what_is_wrong() {
    let set = TestSet::new();
    set.damage("clip-002");
    let dataset = set.dataset();
    let mut reader = ClipReader::new(&dataset, &StorageOptions::new()).unwrap();
    let limits = DecodeLimits::default();
    let damaged = dataset.find("clip-002").unwrap().unwrap();
    let error = reader.frames(damaged, &[0], &limits).unwrap_err();
    assert_eq!((error.kind(), error.record()), (ErrorKind::Corrupt, Some("clip-002")));
    let sound = dataset.find("clip-001").unwrap().unwrap();
    assert_eq!(reader.frames(sound, &[25], &limits).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(reader.frames(7, &[0], &limits).unwrap_err().kind(), ErrorKind::NotFound);
    let frames = reader.frames(sound, &[24, 0, 24], &limits).unwrap();
    assert_eq!(frames[0], frames[2]);
    assert_ne!(frames[0], frames[1]);
}

#[test]
fn a_folder_without_a_manifest_is_no_dataset() {
    let folder = tempfile::TempDir::new().unwrap();
    assert_eq!(Dataset::open(folder.path()).unwrap_err().kind(), ErrorKind::NotFound);
}
