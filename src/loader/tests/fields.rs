//! Tensor fields: what is delivered is what was written, whatever threads, engines, shapes and damage.

use crate::dataset::{DatasetWriter, DatasetWriterOptions};
use crate::format::TensorType;
use crate::loader::{Batch, Checksum, ErrorPolicy, LastBatch, Limit, Loader, LoaderBuilder, Ragged, Shuffle};
use crate::shard::{NewTensor, NewTensorRecord};
use crate::storage::{DirectIo, EngineKind, StorageOptions};
use crate::{Dataset, ErrorKind, Result};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use tempfile::TempDir;

const NUM_RECORDS: usize = 23;
/// A record without text.
const INCOMPLETE: usize = 7;
/// More than two chunks of either way of reading, and no multiple of anything.
const LATENTS: [u64; 3] = [7, 131, 373];

/// A dataset in a folder of its own.
pub(super) struct Tensors {
    folder: TempDir,
}

fn content(record: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251 + record * 97) as u8 | 1).collect()
}

fn text_shape(record: usize) -> Vec<u64> {
    vec![record as u64 % 4 + 1, 3, record as u64 % 2 + 5]
}

fn bytes_of(shape: &[u64], item: usize) -> usize {
    shape.iter().product::<u64>() as usize * item
}

fn latents(record: usize) -> Vec<u8> {
    content(record, bytes_of(&LATENTS, 4))
}

fn text(record: usize) -> Vec<u8> {
    content(1000 + record, bytes_of(&text_shape(record), 2))
}

fn tensor(name: &str, dtype: TensorType, shape: &[u64], data: Vec<u8>) -> NewTensor {
    NewTensor { name: name.to_owned(), dtype, shape: shape.to_vec(), data: data.into() }
}

impl Tensors {
    pub(super) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let vae = json!({"vae": "v1", "fps": 8}).as_object().unwrap().clone();
        let options = DatasetWriterOptions::default().shard_bytes(8 << 20).description(vae);
        let mut writer = DatasetWriter::create(folder.path().join("set"), options).unwrap();
        for record in 0..NUM_RECORDS {
            let mut fields = vec![tensor("latents", TensorType::Float32, &LATENTS, latents(record))];
            if record != INCOMPLETE {
                fields.push(tensor("text", TensorType::Int16, &text_shape(record), text(record)));
            }
            let columns = json!({"score": record}).as_object().unwrap().clone();
            let caption = Some(format!("caption {record}"));
            writer.add(NewTensorRecord { key: format!("r{record:02}"), caption, columns, fields }).unwrap();
        }
        let dataset = writer.finish().unwrap();
        assert!(dataset.manifest().shards.len() > 2);
        Self { folder }
    }

    pub(super) fn dataset(&self) -> Dataset {
        Dataset::open(self.folder.path().join("set")).unwrap()
    }

    pub(super) fn builder(&self) -> LoaderBuilder {
        Loader::builder(self.dataset()).batch_size(4).fields(["latents"]).shuffle(Shuffle::On).tensor_readers(2)
    }

    pub(super) fn ragged(&self, ragged: Ragged) -> LoaderBuilder {
        self.builder().fields(["text", "latents"]).ragged(ragged)
    }

    /// Puts other bytes in the place of a record's field.
    fn change(&self, record: usize, field: &str, change: impl Fn(&mut Vec<u8>, usize)) {
        let entry = self.dataset().field(record, field).unwrap().unwrap();
        let mut bytes = std::fs::read(&entry.path).unwrap();
        change(&mut bytes, entry.offset as usize);
        // A new file: the old one may be mapped.
        std::fs::remove_file(&entry.path).unwrap();
        std::fs::write(&entry.path, bytes).unwrap();
    }

    fn damage(&self, record: usize) {
        self.change(record, "latents", |bytes, offset| bytes[offset + bytes_of(&LATENTS, 4) - 1] ^= 0x40);
    }
}

pub(super) fn batches(loader: &Loader) -> Vec<Batch> {
    loader.iter().map(Result::unwrap).collect()
}

pub(super) fn records(batches: &[Batch]) -> Vec<u64> {
    batches.iter().flat_map(|batch| batch.records.clone()).collect()
}

type FieldContent = (Vec<usize>, Vec<u8>, Option<Vec<u64>>);

/// Everything that must not depend on threads or timing.
pub(super) fn fingerprint(batch: &Batch) -> (u64, Vec<u64>, Vec<u64>, Vec<FieldContent>) {
    let fields = batch.fields.iter().map(|field| (field.shape.clone(), field.data.to_vec(), field.lengths.clone()));
    (batch.epoch, batch.positions.clone(), batch.records.clone(), fields.collect())
}

/// One row of the text field as it should be in a batch of those sides.
fn padded_text(record: usize, sides: &[usize]) -> Vec<u8> {
    let (source, shape) = (text(record), text_shape(record));
    let mut padded = vec![0; sides.iter().product::<usize>() * 2];
    for (number, element) in source.chunks(2).enumerate() {
        let (plane, row, at) =
            (number / (3 * shape[2] as usize), number / shape[2] as usize % 3, number % shape[2] as usize);
        let place = (plane * sides[1] + row) * sides[2] + at;
        padded[place * 2..][..2].copy_from_slice(element);
    }
    padded
}

fn check_text(batch: &Batch) {
    let field = batch.field("text").unwrap();
    let row_bytes = field.shape[1..].iter().product::<usize>() * 2;
    for (data, &record) in field.data.chunks(row_bytes).zip(&batch.records) {
        assert!(data == padded_text(record as usize, &field.shape[1..]), "record {record} in {field:?}");
    }
}

pub(super) fn check_latents(batch: &Batch) {
    let field = batch.field("latents").unwrap();
    assert_eq!(field.shape, [batch.len(), 7, 131, 373]);
    assert_eq!((field.dtype, field.data.as_ptr() as usize % 4096), (TensorType::Float32, 0));
    for (data, &record) in field.data.chunks(bytes_of(&LATENTS, 4)).zip(&batch.records) {
        assert!(data == latents(record as usize), "record {record}");
    }
}

#[test]
fn tensors_come_as_they_were_written_and_no_frame_is_decoded() {
    let set = Tensors::new();
    let loader = set.builder().with_captions().columns(["score"]).build().unwrap();
    assert_eq!((loader.len(), loader.num_samples(), loader.num_incomplete()), (6, 23, 0));
    let all = batches(&loader);
    for batch in &all {
        assert!(batch.video.is_none());
        check_latents(batch);
        let captions: Vec<_> = batch.records.iter().map(|record| Some(format!("caption {record}"))).collect();
        assert_eq!(batch.captions.as_ref().unwrap(), &captions);
        assert_eq!(batch.keys, batch.records.iter().map(|record| format!("r{record:02}")).collect::<Vec<_>>());
    }
    assert_eq!(records(&all).into_iter().collect::<BTreeSet<_>>(), (0..23).collect());
    let (stats, bytes) = (loader.stats(), (23 * bytes_of(&LATENTS, 4)) as u64);
    assert_eq!((stats.fields_read, stats.field_bytes, stats.read_bytes, stats.tensor_bytes), (23, bytes, bytes, bytes));
    assert_eq!((stats.num_workers, stats.frames_decoded, stats.num_tensor_readers), (0, 0, 2));
}

#[test]
fn batches_are_equal_byte_for_byte_whatever_readers_engines_and_budgets() {
    let set = Tensors::new();
    let run = |ragged, readers: usize, prefetch: usize, storage: StorageOptions| {
        let builder = set.ragged(ragged).tensor_readers(readers).prefetch_batches(prefetch).storage(storage);
        let loader = builder.epochs(2).prefetch_bytes(if prefetch == 1 { 1 } else { 1 << 30 }).build().unwrap();
        batches(&loader).iter().map(fingerprint).collect::<Vec<_>>()
    };
    let engine = |engine| StorageOptions::new().engine(engine);
    for ragged in [Ragged::Pad, Ragged::Bucket] {
        let expected = run(ragged, 1, 1, engine(EngineKind::Memory));
        for (readers, prefetch, storage) in [
            (1, 3, engine(EngineKind::Pread).pread_threads(0)),
            (3, 2, engine(EngineKind::Pread).pread_threads(0)),
            (2, 3, engine(EngineKind::Pread)),
            (3, 1, engine(EngineKind::Mmap)),
            (2, 4, engine(EngineKind::Auto)),
            (2, 4, engine(EngineKind::Auto).direct_io(DirectIo::On).depth(3)),
        ] {
            assert!(run(ragged, readers, prefetch, storage.clone()) == expected, "{readers} readers, {storage:?}");
        }
    }
}

#[test]
fn padded_rows_have_zeros_and_their_lengths() {
    let set = Tensors::new();
    let loader = set.ragged(Ragged::Pad).epochs(3).build().unwrap();
    assert_eq!((loader.num_samples(), loader.num_incomplete(), loader.stats().num_incomplete), (22, 1, 1));
    for batch in batches(&loader) {
        check_latents(&batch);
        check_text(&batch);
        let field = batch.field("text").unwrap();
        let shapes: Vec<_> = batch.records.iter().map(|&record| text_shape(record as usize)).collect();
        assert_eq!(field.lengths.as_ref().unwrap(), &shapes.concat());
        let largest = |axis: usize| shapes.iter().map(|shape| shape[axis] as usize).max().unwrap();
        assert_eq!(field.shape, [batch.len(), largest(0), largest(1), largest(2)]);
        assert!(batch.field("latents").unwrap().lengths.is_none(), "it is not ragged");
    }
}

#[test]
fn a_padded_batch_beyond_memory_is_refused_before_it_is_made() {
    let folder = TempDir::new().unwrap();
    let mut writer = DatasetWriter::create(folder.path().join("set"), DatasetWriterOptions::default()).unwrap();
    for (key, shape) in [("tall", [1 << 22, 1]), ("wide", [1, 1 << 22])] {
        let fields = vec![tensor("map", TensorType::UInt8, &shape, vec![1; 1 << 22])];
        writer.add(NewTensorRecord { key: key.to_owned(), fields, ..NewTensorRecord::default() }).unwrap();
    }
    let builder = || Loader::builder(Dataset::open(folder.path().join("set")).unwrap()).fields(["map"]).batch_size(2);
    writer.finish().unwrap();
    let error = builder().ragged(Ragged::Pad).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(error.to_string().contains("field 'map'") && error.to_string().contains("memory"), "{error}");
    assert_eq!(batches(&builder().ragged(Ragged::Pad).batch_size(1).build().unwrap()).len(), 2, "nothing to be padded");
    assert_eq!(batches(&builder().ragged(Ragged::Bucket).build().unwrap()).len(), 2, "each of its own shape");
}

#[test]
fn buckets_have_one_shape_a_batch_and_every_sample_once() {
    let set = Tensors::new();
    for last_batch in [LastBatch::Keep, LastBatch::Drop] {
        let loader = set.ragged(Ragged::Bucket).batch_size(3).last_batch(last_batch).epochs(2).build().unwrap();
        let all = batches(&loader);
        assert_eq!(all.len() as u64, loader.len());
        for epoch in 0..2 {
            let of_epoch = all.iter().filter(|batch| batch.epoch == epoch).flat_map(|batch| batch.records.clone());
            let mut seen: Vec<_> = of_epoch.collect();
            seen.sort_unstable();
            match last_batch {
                LastBatch::Keep => assert_eq!(seen, (0..23).filter(|&r| r != INCOMPLETE as u64).collect::<Vec<_>>()),
                LastBatch::Drop => assert!(seen.windows(2).all(|pair| pair[0] < pair[1]) && seen.len() % 3 == 0),
            }
        }
        for batch in &all {
            check_latents(batch);
            check_text(batch);
            let shapes: BTreeSet<_> = batch.records.iter().map(|&record| text_shape(record as usize)).collect();
            assert_eq!(shapes.len(), 1);
            assert!(batch.field("text").unwrap().lengths.is_none());
        }
    }
}

#[test]
fn resuming_anywhere_gives_the_rest() {
    let set = Tensors::new();
    for ragged in [Ragged::Pad, Ragged::Bucket] {
        let build = || set.ragged(ragged).batch_size(3).seed(3).build().unwrap();
        let loader = build();
        let mut states = vec![loader.state()];
        let mut all = Vec::new();
        for batch in &loader {
            all.push(fingerprint(&batch.unwrap()));
            states.push(loader.state());
        }
        assert_eq!((loader.state().epoch, loader.state().position), (1, 0));
        for (done, state) in states[..all.len()].iter().enumerate() {
            let other = build();
            other.load_state(state).unwrap();
            assert!(batches(&other).iter().map(fingerprint).eq(all[done..].iter().cloned()), "after {done} batches");
        }
    }
}

#[test]
fn damage_follows_the_policy() {
    let set = Tensors::new();
    set.damage(5);
    let error = set.builder().build().unwrap().iter().find_map(Result::err).unwrap();
    assert_eq!((error.kind(), error.record()), (ErrorKind::Corrupt, Some("r05")));
    assert!(error.path().is_some() && error.offset().is_some(), "{error}");
    assert!(error.message().starts_with("field 'latents' has CRC32C"), "{error}");

    let loader = set.builder().on_error(ErrorPolicy::Skip).build().unwrap();
    let all = batches(&loader);
    all.iter().for_each(check_latents);
    let seen = records(&all).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(seen, (0..23).filter(|&record| record != 5).collect());
    assert_eq!((loader.stats().skipped, loader.stats().errors), (1, 1));

    let unchecked = set.builder().checksum(Checksum::Off).build().unwrap();
    assert_eq!(records(&batches(&unchecked)).len(), 23);
}

#[test]
fn a_substitute_is_the_same_in_every_run_and_of_the_bucket() {
    let set = Tensors::new();
    set.damage(5);
    set.damage(12);
    for ragged in [Ragged::Pad, Ragged::Bucket] {
        let run = |readers, batch_size| {
            let builder = set.ragged(ragged).on_error(ErrorPolicy::Substitute).tensor_readers(readers);
            let loader = builder.batch_size(batch_size).epochs(6).build().unwrap();
            let all = batches(&loader);
            assert_eq!(loader.stats().substituted, 12);
            for batch in &all {
                assert!(batch.records.iter().all(|record| ![5, 12].contains(record)));
                // Also where the substitute is larger than what was planned for the batch.
                check_latents(batch);
                check_text(batch);
            }
            all.iter().map(fingerprint).collect::<Vec<_>>()
        };
        for batch_size in [1, 3] {
            assert!(run(1, batch_size) == run(4, batch_size), "{ragged:?} in batches of {batch_size}");
        }
    }
}

#[test]
fn a_shard_that_was_cut_while_it_was_open_is_damage_of_its_last_records() {
    let set = Tensors::new();
    for storage in [StorageOptions::new(), StorageOptions::new().engine(EngineKind::Pread).pread_threads(0)] {
        let build = |policy| set.builder().storage(storage.clone()).on_error(policy).build().unwrap();
        let loaders = [ErrorPolicy::Raise, ErrorPolicy::Skip, ErrorPolicy::Substitute].map(build);
        let dataset = set.dataset();
        let entry = dataset.field(2, "latents").unwrap().unwrap();
        let whole = std::fs::read(&entry.path).unwrap();
        let copied = entry.path.with_extension("copied");
        std::fs::rename(&entry.path, &copied).unwrap();
        std::fs::write(&entry.path, &whole[..entry.offset as usize + 900]).unwrap();
        let [raise, skip, substitute] = loaders;
        let error = raise.iter().find_map(Result::err).unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        let kept = batches(&skip);
        kept.iter().for_each(check_latents);
        assert!(records(&kept).len() < 23 && !records(&kept).contains(&2));
        let replaced = batches(&substitute);
        replaced.iter().for_each(check_latents);
        assert_eq!(records(&replaced).len(), 23);
        std::fs::rename(&copied, &entry.path).unwrap();
    }
}

#[test]
fn a_missing_shard_is_raised_under_every_policy() {
    let set = Tensors::new();
    let policies = [ErrorPolicy::Raise, ErrorPolicy::Skip, ErrorPolicy::Substitute];
    let loaders = policies.map(|policy| set.builder().on_error(policy).build().unwrap());
    let entry = set.dataset().field(0, "latents").unwrap().unwrap();
    std::fs::remove_file(&entry.path).unwrap();
    for loader in loaders {
        let error = loader.iter().find_map(Result::err).unwrap();
        assert_eq!((error.kind(), error.path()), (ErrorKind::NotFound, Some(&*entry.path)));
    }
}

#[test]
fn memory_is_flat_over_many_epochs() {
    let set = Tensors::new();
    for ragged in [Ragged::Pad, Ragged::Bucket] {
        let loader = set.ragged(ragged).prefetch_batches(3).build().unwrap();
        for _ in 0..20 {
            for batch in &loader {
                drop(batch.unwrap());
            }
        }
        // Two fields, three batches in the making and two that go to and fro; a few more where sizes differ.
        let memory = loader.stats().batch_memory;
        assert!(memory.num_allocated <= 12 && memory.num_recycled > 200, "{ragged:?}: {memory:?}");
    }
}

#[test]
fn leaving_an_iteration_at_any_moment_ends_its_threads() {
    let set = Tensors::new();
    for storage in [StorageOptions::new(), StorageOptions::new().engine(EngineKind::Pread).pread_threads(0)] {
        let loader = set.ragged(Ragged::Pad).epochs(50).storage(storage).build().unwrap();
        for round in 0..60_u64 {
            let mut batches = loader.iter();
            let run = std::sync::Arc::downgrade(&batches.run);
            for _ in 0..round % 4 {
                batches.next().unwrap().unwrap();
            }
            std::thread::sleep(std::time::Duration::from_micros(round * 97 % 3000));
            drop(batches);
            assert_eq!(run.strong_count(), 0, "round {round}");
        }
    }
}

#[test]
fn a_slow_consumer_is_told_that_it_is_the_limit() {
    let set = Tensors::new();
    let loader = set.builder().batch_size(2).prefetch_batches(2).build().unwrap();
    for batch in &loader {
        batch.unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(loader.stats().ready_batches <= 2);
    }
    assert_eq!(loader.stats().limited_by(), Limit::Consumer, "{:?}", loader.stats());
}

#[test]
fn bad_options_are_named() {
    let set = Tensors::new();
    let message = |builder: LoaderBuilder| {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        error.to_string()
    };
    let described = |value: &str| {
        let expected: Map<String, Value> = json!({"vae": value}).as_object().unwrap().clone();
        set.builder().field_description("latents", expected)
    };
    described("v1").build().unwrap();
    for (builder, expected) in [
        (set.builder().fields(["nope"]), "no field 'nope', the dataset has: latents, text"),
        (set.builder().fields(["latents", "latents"]), "'latents' is named twice"),
        (set.builder().fields(["text"]), "'text' has several shapes"),
        (set.builder().fields(["text"]), "[1, 3, 5] int16 in record 'r00', [2, 3, 6] int16 in record 'r01'"),
        (set.builder().tensor_readers(0), "tensor_readers is 0, expected 1 to"),
        (set.builder().prefetch_bytes(0), "prefetch_bytes is 0"),
        (set.builder().fields([""; 0]), "window must be set"),
        (described("v2"), "vae"),
    ] {
        let message = message(builder);
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[test]
fn describe_says_how_fields_are_read() {
    let set = Tensors::new();
    let text = set.ragged(Ragged::Bucket).build().unwrap().describe();
    for expected in [
        "22 of 23 records",
        "1 lack a field",
        "latents [7, 131, 373] float32",
        "text ragged int16",
        "2 threads",
        "checksum on",
        "ragged: bucket",
        "4 buckets",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    assert!(!text.contains("ffmpeg"), "{text}");
}
