//! Datasets of tensors and added columns: written, read back, damaged, interrupted.

use super::*;
use crate::error::{Error, ErrorKind};
use crate::format::{DatasetKind, Manifest, TensorType, crc32c};
use crate::shard::testing::noise;
use crate::shard::{NewTensor, NewTensorRecord, TensorShard};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn map(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn tensor(name: &str, seed: u64, dtype: TensorType, shape: &[u64]) -> NewTensor {
    let data = noise(seed, dtype.num_bytes(shape).unwrap() as usize).into();
    NewTensor { name: name.to_owned(), dtype, shape: shape.to_vec(), data }
}

fn new_record(number: u64) -> NewTensorRecord {
    let mut fields = vec![tensor("latents", number, TensorType::Float16, &[4, 3 + number, 5])];
    if number.is_multiple_of(2) {
        fields.push(tensor("text", 100 + number, TensorType::Bfloat16, &[7]));
    }
    NewTensorRecord {
        key: format!("clip/{number:03}"),
        caption: (number > 0).then(|| format!("ünï {number}")),
        columns: map(&json!({"score": number as f64 / 2.0, "tags": ["a"], "none": null})),
        fields,
    }
}

fn options() -> DatasetWriterOptions {
    DatasetWriterOptions::default().shard_bytes(4000).description(map(&json!({"vae": "x-1", "fps": 8})))
}

fn written(root: &Path, count: u64) -> Dataset {
    let mut writer = DatasetWriter::create(root, options()).unwrap();
    for number in 0..count {
        writer.add(new_record(number)).unwrap();
    }
    writer.finish().unwrap()
}

/// The elements of a field, read by their place alone.
fn elements(dataset: &Dataset, record: usize, name: &str) -> Option<Vec<u8>> {
    let entry = dataset.field(record, name).unwrap()?;
    let file = fs::read(&entry.path).unwrap();
    let bytes = file[entry.offset as usize..][..entry.bytes as usize].to_vec();
    assert_eq!(crc32c(&bytes), entry.crc32c);
    Some(bytes)
}

#[test]
fn records_of_tensors_come_back_whole_from_several_shards() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = written(&folder.path().join("new/set"), 9);
    assert_eq!((dataset.kind(), dataset.len()), (DatasetKind::Tensor, 9));
    assert!(dataset.manifest().shards.len() > 2);
    assert_eq!(dataset.field_names(), ["latents", "text"]);
    for number in 0..9 {
        let expected = new_record(number as u64);
        let metadata = dataset.metadata(number).unwrap();
        assert_eq!((&metadata.key, &metadata.caption), (&expected.key, &expected.caption));
        assert_eq!(Value::Object(metadata.columns), json!({"score": number as f64 / 2.0, "tags": "[\"a\"]"}));
        assert_eq!(dataset.find(&expected.key).unwrap(), Some(number));
        let entry = dataset.field(number, "latents").unwrap().unwrap();
        assert_eq!((entry.dtype, entry.shape), (TensorType::Float16, vec![4, 3 + number as u64, 5]));
        assert_eq!(elements(&dataset, number, "latents").unwrap(), expected.fields[0].data);
        assert_eq!(elements(&dataset, number, "text").is_some(), number % 2 == 0);
    }
    for error in [dataset.row(0).err(), dataset.record(0).err(), dataset.stream(0).err(), dataset.shard(0).err()] {
        assert_eq!(error.unwrap().kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(dataset.metadata(9).unwrap_err().kind(), ErrorKind::NotFound);
    let unknown = dataset.field(0, "letents").unwrap_err();
    assert!(unknown.to_string().contains("the dataset has: latents, text"), "{unknown}");
    let message = dataset.check_description("text", &map(&json!({"vae": "x-2", "crop": 1, "fps": 8}))).unwrap_err();
    assert!(message.message().contains("vae is \"x-1\", expected \"x-2\"; crop is not said, expected 1"), "{message}");
    dataset.check_description("text", &map(&json!({"vae": "x-1"}))).unwrap();
}

#[test]
fn the_same_records_make_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let hashes = |name| written(&folder.path().join(name), 5).manifest().to_bytes().unwrap();
    assert_eq!(hashes("a"), hashes("b"));
}

#[test]
fn large_tensors_begin_at_a_page_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = DatasetWriter::create(folder.path(), DatasetWriterOptions::default()).unwrap();
    for number in 0..3 {
        let fields =
            vec![tensor("a", number, TensorType::UInt8, &[70_001]), tensor("b", number, TensorType::Int64, &[])];
        writer.add(NewTensorRecord { key: format!("{number}"), fields, ..Default::default() }).unwrap();
    }
    let dataset = writer.finish().unwrap();
    for number in 0..3 {
        assert_eq!(dataset.field(number, "a").unwrap().unwrap().offset % 4096, 0);
        assert_eq!(elements(&dataset, number, "b").unwrap().len(), 8);
    }
}

#[test]
fn a_record_that_is_refused_leaves_no_trace_and_names_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = DatasetWriter::create(folder.path(), DatasetWriterOptions::default()).unwrap();
    writer.add(new_record(0)).unwrap();
    let good = || new_record(1);
    let refused: [fn(&mut NewTensorRecord); 6] = [
        |record| record.key = "clip/000".into(),
        |record| record.key = "a.b".into(),
        |record| record.fields[0].name = "a b".into(),
        |record| record.fields[0].shape[0] += 1,
        |record| record.fields = vec![record.fields[0].clone(), record.fields[0].clone()],
        |record| record.fields[0].shape = vec![u64::MAX, 2],
    ];
    for change in refused {
        let mut record = good();
        change(&mut record);
        let key = record.key.clone();
        let error = writer.add(record).unwrap_err();
        assert_eq!(error.record(), Some(key.as_str()), "{error}");
    }
    writer.add(good()).unwrap();
    let dataset = writer.finish().unwrap();
    assert_eq!((dataset.len(), dataset.field_names()), (2, vec!["latents".to_owned(), "text".to_owned()]));
}

#[test]
fn a_writer_that_is_dropped_publishes_nothing_and_the_next_one_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    let mut writer = DatasetWriter::create(&root, DatasetWriterOptions::default().shard_bytes(1)).unwrap();
    writer.add(new_record(0)).unwrap();
    assert!(root.join("shards/00000.tar").exists());
    let second = DatasetWriter::create(&root, DatasetWriterOptions::default()).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Conflict);
    drop(writer);
    assert!(!root.join("shards").exists() && !root.join("manifest.json").exists());
    assert!(!root.join(".framefeed/writer").exists());
    // As a process that was killed leaves it.
    fs::create_dir_all(root.join("shards")).unwrap();
    fs::write(root.join("shards/00007.tar"), b"half").unwrap();
    let unmarked = DatasetWriter::create(&root, DatasetWriterOptions::default()).unwrap_err();
    assert_eq!(unmarked.kind(), ErrorKind::Conflict, "shards that no writer of tensors left");
    fs::write(root.join(".framefeed/writer"), b"").unwrap();
    fs::write(root.join(".framefeed/plan.json"), b"{}").unwrap();
    let converted = DatasetWriter::create(&root, DatasetWriterOptions::default()).unwrap_err();
    assert_eq!(converted.kind(), ErrorKind::Conflict, "a conversion that has not finished");
    assert!(root.join("shards/00007.tar").exists());
    fs::remove_file(root.join(".framefeed/plan.json")).unwrap();
    let unasked = DatasetWriter::create(&root, DatasetWriterOptions::default()).unwrap_err();
    assert_eq!(unasked.kind(), ErrorKind::Conflict, "records of an earlier writer");
    assert!(root.join("shards/00007.tar").exists());
    let anew = DatasetWriterOptions::default().earlier_run(EarlierRun::Discard);
    DatasetWriter::create(&root, anew).unwrap();
    written(&root, 3);
    assert!(!root.join("shards/00007.tar").exists());
    let again = DatasetWriter::create(&root, DatasetWriterOptions::default()).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    let empty = DatasetWriter::create(folder.path().join("e"), DatasetWriterOptions::default()).unwrap();
    assert_eq!(empty.finish().unwrap_err().kind(), ErrorKind::InvalidArgument);
    fs::write(folder.path().join("thesis.tex"), "x").unwrap();
    let foreign = DatasetWriter::create(folder.path(), DatasetWriterOptions::default()).unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::Conflict);
}

/// Everything that opening and verifying says of a file's bytes.
fn problems(path: &Path, bytes: &[u8], blake3: &str) -> Vec<Error> {
    fs::write(path, bytes).unwrap();
    match TensorShard::open(path) {
        Err(error) => vec![error],
        Ok(shard) => shard.verify(Some(blake3)).problems,
    }
}

#[test]
fn a_shard_that_cannot_be_finished_ends_the_writer_and_nothing_is_published_without_its_records() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    let mut writer = DatasetWriter::create(&root, DatasetWriterOptions::default().shard_bytes(4000)).unwrap();
    writer.add(new_record(0)).unwrap();
    // The name that the shard is to be published under is taken by a folder.
    fs::create_dir_all(root.join("shards/00000.tar/x")).unwrap();
    let error = (1..9).find_map(|number| writer.add(new_record(number)).err()).unwrap();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(writer.add(new_record(9)).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Closed);
    assert!(!root.join("manifest.json").exists());
}

#[test]
fn every_flipped_byte_and_every_cut_of_a_tensor_shard_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = written(&folder.path().join("set"), 2);
    let entry = &dataset.manifest().shards[0];
    let whole = fs::read(dataset.root().join(&entry.file)).unwrap();
    let path = folder.path().join("damaged.tar");
    assert!(problems(&path, &whole, &entry.blake3).is_empty());
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let found = problems(&path, &bytes, &entry.blake3);
        assert!(!found.is_empty(), "byte {at}");
        assert!(found.iter().all(|error| error.path() == Some(&path)), "byte {at}: {found:?}");
    }
    for len in (0..whole.len()).step_by(7) {
        assert!(
            TensorShard::open({
                fs::write(&path, &whole[..len]).unwrap();
                &path
            })
            .is_err(),
            "{len} bytes"
        );
    }
}

#[test]
fn an_index_of_tensors_that_lies_with_the_right_checksum_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = written(&folder.path().join("set"), 2);
    let entry = &dataset.manifest().shards[0];
    let whole = fs::read(dataset.root().join(&entry.file)).unwrap();
    let trailer = whole.len() - 1024 - 64;
    let number = |at: usize| u64::from_le_bytes(whole[trailer + at..trailer + at + 8].try_into().unwrap()) as usize;
    let index = number(16)..number(16) + number(24);
    let path = folder.path().join("lying.tar");
    let (mut caught, mut tried) = (0, 0);
    for position in index.clone() {
        for value in [whole[position] ^ 0xff, whole[position].wrapping_add(1)] {
            let mut bytes = whole.clone();
            bytes[position] = value;
            let crc = crc32c(&bytes[index.clone()]).to_le_bytes();
            bytes[trailer + 40..trailer + 44].copy_from_slice(&crc);
            let crc = crc32c(&bytes[trailer..trailer + 60]).to_le_bytes();
            bytes[trailer + 60..trailer + 64].copy_from_slice(&crc);
            fs::write(&path, &bytes).unwrap();
            let found: Vec<Error> = match TensorShard::open(&path) {
                Err(error) => vec![error],
                Ok(shard) => {
                    let fields = (0..shard.len()).filter_map(|row| shard.field(row, "latents").err());
                    let records = (0..shard.len()).filter_map(|row| shard.record(row).err());
                    fields.chain(records).chain(shard.verify(None).problems).collect()
                }
            };
            // A name that this build does not know is no damage by itself.
            let is_told = |error: &Error| error.is_data_error() || error.kind() == ErrorKind::Unsupported;
            assert!(found.iter().all(is_told), "byte {position}: {found:?}");
            tried += 1;
            caught += usize::from(!found.is_empty());
        }
    }
    // The rest are padding, captions and numbers of the user's columns, where another value is as good.
    assert!(caught * 4 > tried, "{caught} of {tried}");
}

fn add_column(dataset: &Dataset, stop_at: usize) -> Option<Dataset> {
    let mut writer = ColumnWriter::create(dataset, "text2", map(&json!({"model": "t5"}))).unwrap();
    for record in writer.position()..dataset.len() {
        if record == stop_at {
            return None;
        }
        if record % 3 != 1 {
            writer
                .add(record, vec![tensor("text2", record as u64, TensorType::Float32, &[record as u64 + 1])])
                .unwrap();
        }
    }
    Some(writer.finish().unwrap())
}

#[test]
fn a_column_is_added_beside_what_is_there_and_the_old_dataset_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let old = written(&folder.path().join("set"), 9);
    let before = fs::read(old.root().join("shards/00001.tar")).unwrap();
    let new = add_column(&old, usize::MAX).unwrap();
    assert_eq!(fs::read(old.root().join("shards/00001.tar")).unwrap(), before);
    assert_eq!(old.field_names(), ["latents", "text"]);
    assert_eq!(new.field_names(), ["latents", "text", "text2"]);
    for record in 0..9 {
        assert_eq!(elements(&new, record, "latents"), elements(&old, record, "latents"));
        let expected = (record % 3 != 1).then(|| noise(record as u64, 4 * (record + 1)));
        assert_eq!(elements(&new, record, "text2"), expected);
    }
    assert_eq!(Value::Object(new.description("text2").unwrap().clone()), json!({"model": "t5"}));
    let twice = ColumnWriter::create(&new, "text2", Map::new()).unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::Conflict);
    // The reader that has the old manifest may not add it again either.
    assert_eq!(ColumnWriter::create(&old, "text2", Map::new()).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn an_interrupted_column_is_gone_on_with_and_ends_as_an_undisturbed_one() {
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = add_column(&written(&folder.path().join("a"), 9), usize::MAX).unwrap();
    let dataset = written(&folder.path().join("b"), 9);
    let manifest = fs::read(dataset.root().join("manifest.json")).unwrap();
    for stop_at in [0, 1, 4, 5, 8] {
        assert!(add_column(&dataset, stop_at).is_none());
        assert_eq!(fs::read(dataset.root().join("manifest.json")).unwrap(), manifest);
        assert_eq!(Dataset::open(dataset.root()).unwrap().field_names(), ["latents", "text"]);
    }
    let writer = ColumnWriter::create(&dataset, "text2", map(&json!({"model": "t5"}))).unwrap();
    // Record 7 has no tensors, and nothing told the writer so.
    assert_eq!((writer.position(), writer.num_found()), (7, 7));
    let progress = |description| dataset.column_progress("text2", &map(&description)).unwrap();
    assert_eq!(progress(json!({"model": "t5"})), ColumnProgress::Stored(7));
    assert_eq!(progress(json!({"model": "t6"})), ColumnProgress::Stored(0));
    let other = ColumnWriter::create(&dataset, "text3", Map::new()).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict, "two writers at once");
    drop(writer);
    let finished = add_column(&dataset, usize::MAX).unwrap();
    assert_eq!(finished.manifest().to_bytes().unwrap(), undisturbed.manifest().to_bytes().unwrap());
    assert_eq!(files(finished.root()), files(undisturbed.root()), "nothing else is left");
    assert_eq!(dataset.column_progress("text2", &map(&json!({"model": "t5"}))).unwrap(), ColumnProgress::Published);
    let other = dataset.column_progress("text2", &Map::new()).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
}

/// The hash of every file of a folder, but of what belongs to writers alone.
fn files(root: &Path) -> BTreeMap<PathBuf, blake3::Hash> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file())
    {
        let name = entry.path().strip_prefix(root).unwrap().to_owned();
        if !name.starts_with(".framefeed") {
            found.insert(name, blake3::hash(&fs::read(entry.path()).unwrap()));
        }
    }
    found
}

/// Copies a folder as it is at this moment, as a killed process leaves it.
fn killed(root: &Path, copy: &Path) {
    let _ = fs::remove_dir_all(copy);
    for entry in walkdir::WalkDir::new(root).into_iter().map(Result::unwrap) {
        let to = copy.join(entry.path().strip_prefix(root).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir_all(to).unwrap();
        } else {
            assert!(fs::copy(entry.path(), to).is_ok());
        }
    }
}

fn resume() -> DatasetWriterOptions {
    options().earlier_run(EarlierRun::Resume)
}

#[test]
fn a_writer_that_died_is_resumed_behind_its_last_record() {
    let folder = tempfile::tempdir().unwrap();
    let (root, copy) = (folder.path().join("set"), folder.path().join("copy"));
    let mut writer = DatasetWriter::create(&root, options()).unwrap();
    let expected = files(written(&folder.path().join("undisturbed"), 9).root());
    for count in 0..=9 {
        killed(&root, &copy);
        let mut second = DatasetWriter::create(&copy, resume()).unwrap();
        assert_eq!((second.num_found(), second.len()), (count as usize, count as usize));
        for number in 0..9 {
            let record = new_record(number);
            assert_eq!(second.contains(&record.key), number < count);
            match second.add(record) {
                Ok(()) => assert!(number >= count),
                Err(error) => assert!(number < count && error.kind() == ErrorKind::InvalidArgument),
            }
        }
        second.finish().unwrap();
        assert_eq!(files(&copy), expected, "{count} records");
        if count < 9 {
            writer.add(new_record(count)).unwrap();
        }
    }
    // What was not asked to be resumed is not touched.
    killed(&root, &copy);
    let before = files(&copy);
    assert_eq!(DatasetWriter::create(&copy, options()).unwrap_err().kind(), ErrorKind::Conflict);
    let other = resume().description(Map::new());
    let error = DatasetWriter::create(&copy, other).unwrap_err();
    assert!(error.kind() == ErrorKind::Conflict && error.message().contains(r#"{"vae":"x-1","fps":8}"#), "{error}");
    assert_eq!(files(&copy), before);
    // A writer that resumes and is dropped keeps what there is, another one does not.
    drop(DatasetWriter::create(&copy, resume()).unwrap());
    assert_eq!(DatasetWriter::create(&copy, resume()).unwrap().num_found(), 9);
    DatasetWriter::create(&copy, resume()).unwrap().discard();
    assert_eq!(files(&copy), BTreeMap::new());
}

#[test]
fn a_published_dataset_is_resumed_as_one_in_which_all_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = written(&folder.path().join("set"), 4);
    let before = files(dataset.root());
    let mut writer = DatasetWriter::create(dataset.root(), resume()).unwrap();
    assert!(writer.contains("clip/003") && writer.num_found() == 4);
    assert_eq!(writer.add(new_record(3)).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(writer.add(new_record(4)).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(writer.finish().unwrap().len(), 4);
    drop(DatasetWriter::create(dataset.root(), resume()).unwrap());
    DatasetWriter::create(dataset.root(), resume()).unwrap().discard();
    assert_eq!(files(dataset.root()), before);
    let other = DatasetWriter::create(dataset.root(), resume().description(Map::new())).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Conflict);
}

#[test]
fn a_resumed_shard_ends_behind_its_last_whole_record_wherever_shard_and_journal_are_cut_or_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (root, copy) = (folder.path().join("set"), folder.path().join("copy"));
    let mut writer = DatasetWriter::create(&root, options().shard_bytes(1 << 20)).unwrap();
    for number in 0..5 {
        writer.add(new_record(number)).unwrap();
    }
    let whole = files(&root);
    let undisturbed = DatasetWriter::create(folder.path().join("other"), options().shard_bytes(1 << 20));
    let mut undisturbed = undisturbed.unwrap();
    (0..5).for_each(|number| undisturbed.add(new_record(number)).unwrap());
    let expected = files(undisturbed.finish().unwrap().root());
    let mut counts = BTreeSet::new();
    for name in whole.keys() {
        let bytes = fs::read(root.join(name)).unwrap();
        for at in (0..bytes.len()).step_by(331) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            for damaged in [&bytes[..at], &flipped] {
                killed(&root, &copy);
                fs::write(copy.join(name), damaged).unwrap();
                let mut second = DatasetWriter::create(&copy, resume().shard_bytes(1 << 20)).unwrap();
                let found = second.num_found();
                counts.insert(found);
                for number in found as u64..5 {
                    second.add(new_record(number)).unwrap();
                }
                second.finish().unwrap();
                assert_eq!(files(&copy), expected, "{} byte {at}", name.display());
            }
        }
    }
    assert_eq!(counts, (0..5).collect(), "every record was once the last one");
}

#[test]
fn records_without_tensors_are_not_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = written(&folder.path().join("set"), 9);
    let mut writer = ColumnWriter::create(&dataset, "n", Map::new()).unwrap();
    writer.add(1, vec![tensor("n", 1, TensorType::Bool, &[1])]).unwrap();
    writer.skip(4).unwrap();
    assert_eq!(writer.skip(4).unwrap_err().kind(), ErrorKind::InvalidArgument);
    drop(writer);
    let create = |earlier| ColumnWriter::create_with(&dataset, "n", Map::new(), earlier);
    assert_eq!(create(EarlierRun::Resume).unwrap().position(), 5);
    assert_eq!(create(EarlierRun::Refuse).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(create(EarlierRun::Discard).unwrap().position(), 0);
    assert!(!dataset.root().join("columns").exists(), "a column without a record leaves nothing");
}

#[test]
fn a_damaged_shard_of_an_interrupted_column_is_not_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = written(&folder.path().join("set"), 9);
    assert!(add_column(&dataset, 8).is_none());
    let columns = fs::read_dir(dataset.root().join("columns")).unwrap().next().unwrap().unwrap().path();
    let path = columns.join("00000.tar");
    let mut bytes = fs::read(&path).unwrap();
    bytes[700] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = ColumnWriter::create(&dataset, "text2", map(&json!({"model": "t5"}))).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(&*path)));
}

#[test]
fn records_out_of_order_and_fields_that_exist_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = written(&folder.path().join("set"), 4);
    let mut writer = ColumnWriter::create(&dataset, "more", Map::new()).unwrap();
    let one = |name: &str| vec![tensor(name, 1, TensorType::Bool, &[1])];
    writer.add(2, one("more")).unwrap();
    for (record, name) in [(2, "more"), (0, "more"), (4, "more"), (3, "latents"), (3, "a b")] {
        assert_eq!(writer.add(record, one(name)).unwrap_err().kind(), ErrorKind::InvalidArgument, "{record} {name}");
    }
    writer.add(3, one("more")).unwrap();
    let dataset = writer.finish().unwrap();
    let has: Vec<bool> = (0..4).map(|record| dataset.field(record, "more").unwrap().is_some()).collect();
    assert_eq!(has, [false, false, true, true]);
    let column = || ColumnWriter::create(&dataset, "nothing", Map::new()).unwrap();
    assert_eq!(column().finish().unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(column().position(), 0, "rows without tensors are not taken over");
    assert_eq!(ColumnWriter::create(&dataset, "a/b", Map::new()).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_column_that_does_not_mirror_the_dataset_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let new = add_column(&written(&folder.path().join("set"), 9), usize::MAX).unwrap();
    let change = |change: fn(&mut Manifest)| {
        let mut manifest = new.manifest().clone();
        change(&mut manifest);
        manifest.to_bytes().unwrap_err().kind()
    };
    for found in [
        change(|manifest| drop(manifest.columns[0].shards.pop())),
        change(|manifest| manifest.columns[0].shards[0].rows += 1),
        change(|manifest| manifest.columns[0].fields = vec!["latents".into()]),
        change(|manifest| manifest.columns[0].shards[0].file = "../x".into()),
        change(|manifest| manifest.columns[0].shards[0].file = manifest.shards[0].file.clone()),
        change(|manifest| manifest.columns.push(manifest.columns[0].clone())),
    ] {
        assert_eq!(found, ErrorKind::Corrupt);
    }
    // Shards of equal numbers of rows that are exchanged.
    let mut manifest = new.manifest().clone();
    let rows: Vec<u64> = manifest.shards.iter().map(|shard| shard.rows).collect();
    let twin = (1..rows.len()).find(|&number| rows[number] == rows[0]).expect("two shards of equal length");
    manifest.columns[0].shards.swap(0, twin);
    manifest.write(new.root()).unwrap();
    let error = Dataset::open(new.root()).unwrap().field(0, "text2").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("the shard says"), "{error}");
}
