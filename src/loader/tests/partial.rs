//! Loaders that leave out a stage do all the others' work, and give nothing that could be taken for frames.

use super::TestSet;
use crate::loader::{Loader, LoaderStats, PartialBatch, Stage};
use std::time::Duration;

fn whole(set: &TestSet) -> LoaderStats {
    let loader = set.builder().build().unwrap();
    loader.iter().for_each(|batch| drop(batch.unwrap()));
    loader.stats()
}

fn without(set: &TestSet, stage: Stage) -> (Vec<PartialBatch>, LoaderStats) {
    let loader = set.builder().build_without(stage).unwrap();
    let (mut iteration, mut batches) = (loader.start(), Vec::new());
    while let Some(batch) = iteration.next_within(Duration::from_secs(10)) {
        batches.extend(batch.unwrap());
    }
    (batches, loader.stats())
}

#[test]
fn without_transform_the_same_frames_are_decoded_and_none_is_transformed() {
    let set = TestSet::new();
    let (batches, stats) = without(&set, Stage::Transform);
    let whole = whole(&set);
    let counts = |stats: &LoaderStats| (stats.frames_decoded, stats.read_bytes, stats.samples_delivered);
    assert_eq!(counts(&stats), counts(&whole));
    assert!(stats.decode_nanos > 0 && stats.transform_nanos == 0 && whole.transform_nanos > 0);
    assert_eq!(batches.iter().map(|batch| batch.num_rows as u64).sum::<u64>(), whole.samples_delivered);
    assert!(batches.iter().all(|batch| batch.without == Stage::Transform));
}

#[test]
fn without_decode_the_same_bytes_are_read_and_checked() {
    let set = TestSet::new();
    let (batches, stats) = without(&set, Stage::Decode);
    let whole = whole(&set);
    assert_eq!((stats.read_bytes, stats.num_reads), (whole.read_bytes, whole.num_reads));
    assert_eq!((stats.frames_decoded, stats.packets_decoded, stats.transform_nanos), (0, 0, 0));
    assert_eq!(stats.samples_delivered, whole.samples_delivered);
    assert!(batches.iter().all(|batch| batch.without == Stage::Decode));
    set.damage("clip-001");
    let loader = set.builder().build_without(Stage::Decode).unwrap();
    let mut iteration = loader.start();
    let failed = std::iter::from_fn(|| iteration.next_within(Duration::from_secs(10))).filter(Result::is_err).count();
    assert_eq!(failed, 1);
}

#[test]
fn a_loader_without_a_window_has_no_stage_to_leave_out() {
    let error = Loader::builder(TestSet::new().dataset()).fields(["x"]).build_without(Stage::Decode).unwrap_err();
    assert!(error.message().contains("no stage 'decode'"), "{error}");
}
