//! What is delivered, and in which order.

use super::{LENGTHS, TestSet, content, keys, video};
use crate::decode::DecodeLimits;
use crate::loader::{ClipReader, LastBatch, Shuffle};
use crate::order::{Placement, ShortPolicy, Window};
use crate::storage::{EngineKind, StorageOptions};
use crate::transform::{DType, Layout, TransformOptions};
use crate::{ColumnValues, ErrorKind};
use std::collections::HashSet;

#[test]
fn every_epoch_yields_every_sample_once_in_an_order_of_its_own() {
    let set = TestSet::new();
    let loader = set.builder().build().unwrap();
    assert_eq!((loader.len(), loader.num_samples(), loader.num_short()), (3, 7, 0));
    let (first, second) = (keys(&loader), keys(&loader));
    for epoch in [&first, &second] {
        assert_eq!(epoch.len(), 7);
        assert_eq!(epoch.iter().collect::<HashSet<_>>().len(), 7);
    }
    assert_ne!(first, second);
    loader.set_epoch(0);
    assert_eq!(keys(&loader), first);
}

#[test]
fn unshuffled_is_the_order_of_the_index() {
    let set = TestSet::new();
    let loader = set.builder().shuffle(Shuffle::Off).build().unwrap();
    let dataset = set.dataset();
    let expected: Vec<String> = (0..7).map(|record| dataset.row(record).unwrap().key.to_owned()).collect();
    assert_eq!(keys(&loader), expected);
    assert_eq!(keys(&loader), expected);
}

#[test]
fn batches_are_equal_byte_for_byte_whatever_workers_engines_and_budgets() {
    let set = TestSet::new();
    let run = |workers: usize, prefetch: usize, engine: EngineKind, read_ahead: u64| {
        let storage = StorageOptions::new().engine(engine);
        let builder = set.builder().decode_workers(workers).prefetch_batches(prefetch).seed(5).epochs(3);
        let loader = builder.storage(storage).read_ahead_bytes(read_ahead).build().unwrap();
        loader.iter().map(|batch| content(&batch.unwrap())).collect::<Vec<_>>()
    };
    let expected = run(1, 1, EngineKind::Pread, 1 << 16);
    assert_eq!(expected.len(), 9);
    for (workers, prefetch, engine) in
        [(1, 1, EngineKind::Pread), (2, 3, EngineKind::Mmap), (4, 8, EngineKind::Auto), (7, 2, EngineKind::Pread)]
    {
        assert_eq!(run(workers, prefetch, engine, 1 << 26), expected, "{workers} workers, {engine:?}");
    }
}

#[test]
fn a_row_is_what_a_clip_decoded_alone_gives() {
    let set = TestSet::new();
    let loader = set.builder().layout(Layout::Cthw).dtype(DType::Float32).build().unwrap();
    let mut reader = ClipReader::new(&set.dataset(), &StorageOptions::new()).unwrap();
    for batch in &loader {
        let batch = batch.unwrap();
        let clips = video(&batch);
        assert_eq!(clips.shape, [batch.len(), 3, 4, 16, 16]);
        assert_eq!((clips.num_frames(), clips.clip_bytes()), (4, 4 * 3 * 16 * 16 * 4));
        for (row, video) in clips.data.chunks(clips.clip_bytes()).enumerate() {
            let (record, frames) = (batch.records[row] as usize, &clips.frames[row * 4..][..4]);
            let clip = reader.tensor(record, frames, loader.transform_options(), &DecodeLimits::default()).unwrap();
            assert_eq!(clip.shape, [3, 4, 16, 16]);
            assert!(*clip.data == *video, "row {row} of {batch:?}");
            let (_, stream) = set.dataset().stream(record).unwrap();
            let pts: Vec<i64> = frames.iter().map(|&frame| stream.frame_pts(frame as usize).unwrap()).collect();
            assert_eq!(clips.pts[row * 4..][..4], pts);
        }
    }
}

#[test]
fn chunks_are_the_frames_of_the_record_one_after_another() {
    let set = TestSet::with(&[700, 3], 1);
    let dataset = set.dataset();
    let (long, limits) = (dataset.find("clip-000").unwrap().unwrap(), DecodeLimits::default());
    let mut reader = ClipReader::new(&dataset, &StorageOptions::new()).unwrap();
    for layout in [Layout::Tchw, Layout::Thwc] {
        let options = TransformOptions::new().size(16, 16).layout(layout);
        for (frames, chunk) in [(0..700, 32), (0..700, 1), (5..698, 7), (3..3, 4), (690..700, 1000)] {
            let (mut bytes, mut lengths) = (Vec::new(), Vec::new());
            reader
                .for_each_chunk(long, frames.clone(), chunk, &options, &limits, &|| false, &mut |clip| {
                    bytes.extend_from_slice(&clip.data);
                    lengths.push(clip.shape[0]);
                    Ok(())
                })
                .unwrap();
            let numbers: Vec<u32> = frames.clone().collect();
            let expected: Vec<usize> = numbers.chunks(chunk as usize).map(<[u32]>::len).collect();
            assert_eq!(lengths, expected, "{frames:?} in {chunk}");
            let whole = reader.tensor(long, &numbers, &options, &limits);
            assert!(numbers.is_empty() || bytes == *whole.unwrap().data, "{frames:?} in {chunk}");
        }
    }
}

#[test]
fn chunks_end_with_what_their_sink_says_and_refuse_what_is_not_there() {
    let set = TestSet::with(&[700], 1);
    let mut reader = ClipReader::new(&set.dataset(), &StorageOptions::new()).unwrap();
    let (options, limits) = (TransformOptions::new().size(16, 16), DecodeLimits::default());
    let mut run = |frames, chunk, cancelled: bool, allowed: usize| {
        let mut seen = 0;
        let result = reader.for_each_chunk(0, frames, chunk, &options, &limits, &|| cancelled, &mut |_| {
            seen += 1;
            if seen > allowed { Err(crate::Error::invalid("enough")) } else { Ok(()) }
        });
        (result.unwrap_err(), seen)
    };
    let (error, seen) = run(0..700, 10, false, 3);
    assert!(seen == 4 && error.message() == "enough" && error.record() == Some("clip-000"), "{error}");
    assert_eq!(run(0..700, 10, true, 99).0.kind(), ErrorKind::Closed);
    assert_eq!(run(0..701, 10, false, 99).0.kind(), ErrorKind::InvalidArgument);
    assert_eq!(run(0..700, 0, false, 99).0.kind(), ErrorKind::InvalidArgument);
    set.damage("clip-000");
    let (error, _) = run(0..700, 10, false, 99);
    assert_eq!((error.kind(), error.record()), (ErrorKind::Corrupt, Some("clip-000")));
}

#[test]
fn the_last_batch_is_kept_or_dropped() {
    let set = TestSet::new();
    let sizes = |last_batch| {
        let loader = set.builder().last_batch(last_batch).build().unwrap();
        let sizes: Vec<usize> = loader.iter().map(|batch| batch.unwrap().len()).collect();
        assert_eq!(loader.len(), sizes.len() as u64);
        assert_eq!((loader.state().epoch, loader.state().position), (1, 0));
        sizes
    };
    assert_eq!(sizes(LastBatch::Keep), [3, 3, 1]);
    assert_eq!(sizes(LastBatch::Drop), [3, 3]);
}

#[test]
fn resuming_anywhere_gives_what_the_uninterrupted_run_gives() {
    let set = TestSet::new();
    let build = || set.builder().seed(11).epochs(2).build().unwrap();
    let loader = build();
    let mut states = vec![loader.state()];
    let mut all = Vec::new();
    for batch in &loader {
        all.push(content(&batch.unwrap()));
        states.push(loader.state());
    }
    assert_eq!((all.len(), states[6].epoch), (6, 2));
    for (done, state) in states.iter().enumerate() {
        let other = build();
        other.load_state(state).unwrap();
        assert_eq!(other.state(), *state);
        let rest: Vec<_> = other.iter().take(6 - done).map(|batch| content(&batch.unwrap())).collect();
        assert_eq!(rest, all[done..], "after {done} batches");
    }
    let other = set.builder().seed(12).build().unwrap().state();
    let error = loader.load_state(&other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("seed is 12, this loader's is 11"), "{error}");
    assert_eq!(loader.state().epoch, 2);
}

#[test]
fn an_iteration_that_is_left_early_moves_on_to_the_next_epoch() {
    let set = TestSet::new();
    let loader = set.builder().build().unwrap();
    drop(loader.iter().next().unwrap().unwrap());
    assert_eq!((loader.state().epoch, loader.state().position), (0, 3));
    assert!(loader.iter().all(|batch| batch.unwrap().epoch == 1));
}

#[test]
fn short_records_follow_the_policy_and_are_counted() {
    let set = TestSet::new();
    let window = Window::strided(5, 3).placement(Placement::Start);
    let skip = set.builder().window(window).build().unwrap();
    // 13 frames are needed; 12, 9 and 4 are fewer.
    assert_eq!((skip.num_samples(), skip.num_short()), (4, 3));
    assert_eq!(keys(&skip).iter().collect::<HashSet<_>>().len(), 4);
    assert_eq!(skip.stats().num_short, 3);
    let repeat = set.builder().window(window.short(ShortPolicy::RepeatLast)).build().unwrap();
    assert_eq!((repeat.num_samples(), repeat.num_short()), (7, 3));
    for batch in &repeat {
        let batch = batch.unwrap();
        for (key, frames) in batch.keys.iter().zip(video(&batch).frames.chunks(5)) {
            let last = LENGTHS[key[5..].parse::<usize>().unwrap()] - 1;
            assert_eq!(frames, [0, 3, 6, 9, 12].map(|frame: u32| frame.min(last)));
        }
    }
}

#[test]
fn captions_and_columns_come_row_by_row_in_one_type() {
    let set = TestSet::new();
    let loader = set.builder().with_captions().columns(["score", "tag", "even", "ratio"]).build().unwrap();
    for batch in &loader {
        let batch = batch.unwrap();
        let index: Vec<usize> = batch.keys.iter().map(|key| key[5..].parse().unwrap()).collect();
        let captions: Vec<_> = index.iter().map(|&i| (i != 3).then(|| format!("caption {i}"))).collect();
        assert_eq!(batch.captions.as_ref().unwrap(), &captions);
        let column = |name: &str| batch.columns.iter().find(|(known, _)| known == name).unwrap().1.clone();
        assert_eq!(column("score"), ColumnValues::Int64(index.iter().map(|&i| Some(i as i64)).collect()));
        assert_eq!(column("tag"), ColumnValues::Text(index.iter().map(|&i| Some(format!("t{i}"))).collect()));
        assert_eq!(column("even"), ColumnValues::Bool(index.iter().map(|&i| Some(i.is_multiple_of(2))).collect()));
        assert_eq!(column("ratio"), ColumnValues::Float64(index.iter().map(|&i| Some(i as f64 / 2.0)).collect()));
    }
}

#[test]
fn a_dataset_of_one_sample_and_batches_larger_than_the_dataset_work() {
    let one = TestSet::with(&[12], 1);
    let loader = one.builder().build().unwrap();
    assert_eq!(keys(&loader), ["clip-000"]);
    let set = TestSet::new();
    let large = set.builder().batch_size(100).build().unwrap();
    assert_eq!(large.len(), 1);
    assert_eq!(large.iter().next().unwrap().unwrap().len(), 7);
    let error = set.builder().batch_size(100).last_batch(LastBatch::Drop).build().unwrap_err();
    assert!(error.message().contains("only 7 samples"), "{error}");
}

#[test]
fn bad_options_are_named_with_their_range() {
    let set = TestSet::new();
    let message = |builder: crate::LoaderBuilder| {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        error.to_string()
    };
    for (builder, expected) in [
        (set.builder().batch_size(0), "batch_size is 0, expected 1 to"),
        (set.builder().decode_workers(0), "decode_workers is 0, expected 1 to"),
        (set.builder().cpu_limit(0.0), "cpu_limit is 0, expected 0.01 to"),
        (set.builder().cpu_limit(f64::NAN), "cpu_limit is NaN"),
        (set.builder().prefetch_batches(0), "prefetch_batches is 0, expected 1 to"),
        (set.builder().epochs(0), "epochs is 0"),
        (set.builder().read_ahead_bytes(1), "read_ahead_bytes is 1"),
        (set.builder().size(0, 16), "size"),
        (set.builder().window(Window::strided(32, 1)), "the longest has 31 frames"),
        (set.builder().columns(["nope"]), "no column 'nope', the dataset has: even, ratio, score, tag, shard, row"),
        (crate::Loader::builder(set.dataset()), "window must be set"),
        (crate::Loader::builder(set.dataset()).window(Window::strided(1, 1)).batch_size(2), "size must be set"),
    ] {
        let message = message(builder);
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[test]
fn the_table_has_a_row_for_every_record() {
    let table = TestSet::new().dataset().table().unwrap();
    assert_eq!(table.num_rows(), 7);
    assert!(table.column_by_name("key").is_some());
}
