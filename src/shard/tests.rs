//! The writer, the reader and the verifier against each other, and against damage.

use super::sink::Sink;
use super::testing::{KEYS, record, shard, tensor};
use super::*;
use crate::error::{Error, ErrorKind};
use crate::format::{DatasetIndex, DatasetKind, crc32c};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

struct Fixture {
    folder: tempfile::TempDir,
    path: PathBuf,
    summary: ShardSummary,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00000.tar");
    let summary = shard(folder.path(), &path);
    Fixture { folder, path, summary }
}

/// Everything that opening, reading and verifying finds wrong with a file.
fn problems(path: &Path) -> Vec<Error> {
    let shard = match Shard::open(path) {
        Ok(shard) => shard,
        Err(error) => return vec![error],
    };
    let mut found: Vec<Error> = (0..shard.len()).filter_map(|row| shard.record(row).err()).collect();
    found.extend((0..shard.len()).filter_map(|row| shard.stream(row).err()));
    found.extend(shard.verify(None).problems);
    found
}

#[test]
fn an_index_that_is_mapped_gives_the_same_rows_as_one_that_was_read() {
    let fixture = fixture();
    let (read, mapped) = (Shard::open(&fixture.path).unwrap(), Shard::open_bounded(&fixture.path, 0).unwrap());
    let is_mapped = || fs::read_to_string("/proc/self/maps").unwrap().contains(fixture.path.to_str().unwrap());
    assert!(is_mapped());
    let rows = |shard: &Shard| (0..shard.len()).map(|row| shard.record(row).unwrap()).collect::<Vec<_>>();
    assert_eq!(format!("{:?}", rows(&read)), format!("{:?}", rows(&mapped)));
    assert_eq!(read.column_names(), ["score", "views", "good", "tags"]);
    // What was given out keeps the memory.
    let stream = mapped.stream(0).unwrap();
    drop(mapped);
    assert!(is_mapped());
    drop(stream);
    assert!(!is_mapped());
    assert_eq!(rows(&read).len(), KEYS.len());
}

#[test]
fn records_come_back_as_they_were_added() {
    let fixture = fixture();
    let shard = Shard::open(&fixture.path).unwrap();
    assert_eq!((shard.len() as u64, shard.file_bytes()), (fixture.summary.rows, fixture.summary.bytes));
    let file = fs::read(&fixture.path).unwrap();
    for (row, key) in KEYS.into_iter().enumerate() {
        let expected = record(fixture.folder.path(), key, row as u64, row as u32 + 1);
        let actual = shard.record(row).unwrap();
        let mp4 = fs::read(&expected.video_path).unwrap();
        let at = actual.video.offset;
        assert_eq!(file[at as usize..actual.video.end() as usize], mp4);
        assert_eq!((actual.key.as_str(), shard.key(row).unwrap()), (key, key));
        assert_eq!(actual.caption, expected.caption);
        assert_eq!((actual.source_start, actual.source_end), (expected.source_start, expected.source_end));
        assert_eq!((&actual.source, &actual.reencoded), (&expected.source, &expected.reencoded));
        let tags = format!("[\"a\",{row}]");
        let columns = json!({"score": row as f64 + 0.5, "views": row, "good": row % 2 == 0, "tags": tags});
        assert_eq!(Value::Object(actual.columns.clone()), columns);
        let (a, e) = (&actual.stream, &expected.stream);
        assert_eq!((a.codec, a.profile, &a.extradata), (e.codec, e.profile, &e.extradata));
        assert_eq!((a.reorder_frames, a.pixel_format, a.width, a.height), (1, e.pixel_format, 64, 48));
        assert_eq!((a.sample_aspect, a.orientation, a.color), (e.sample_aspect, e.orientation, e.color));
        assert_eq!((a.time_base, a.duration, &a.frame_packets), (e.time_base, e.duration, &e.frame_packets));
        for (a, e) in a.packets.iter().zip(e.packets.iter()) {
            assert_eq!(a, crate::media::PacketEntry { offset: e.offset + at, ..e });
        }
        assert_eq!(a.packets.len(), e.packets.len());
        let gops: Vec<_> = e.gops.iter().map(|g| crate::media::GopEntry { offset: g.offset + at, ..*g }).collect();
        assert_eq!(a.gops, gops);
        for (field, tensor) in actual.fields.iter().zip(&expected.fields) {
            assert_eq!((&field.name, field.dtype, &field.shape), (&tensor.name, tensor.dtype, &tensor.shape));
            let npy = &file[field.member.offset as usize..field.member.end() as usize];
            assert!(npy.starts_with(b"\x93NUMPY\x01\x00"));
            assert_eq!(&npy[field.data_offset as usize..], &*tensor.data);
            assert_eq!(field.data_crc32c, crate::format::crc32c(&tensor.data));
        }
        assert_eq!(actual.fields.len(), expected.fields.len());
        let member = actual.json.unwrap();
        let text = &file[member.offset as usize..member.end() as usize];
        let metadata: Value = serde_json::from_slice(text).unwrap();
        assert_eq!(metadata["caption"].as_str(), expected.caption.as_deref());
        assert_eq!(metadata["columns"]["tags"], json!(["a", row]));
        // Display size: 64 by 48 at 4/3, turned.
        assert_eq!((&metadata["width"], &metadata["height"]), (&json!(48), &json!(85)));
    }
    assert_eq!(shard.record(3).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let report = shard.verify(Some(&fixture.summary.blake3));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!((report.records, report.packets, report.gops), (3, 18, 6));
    assert_eq!((report.bytes, report.blake3), (fixture.summary.bytes, fixture.summary.blake3));
}

#[test]
fn tables_of_a_stream_share_the_index() {
    let fixture = fixture();
    let shard = Shard::open(&fixture.path).unwrap();
    let (a, b) = (shard.stream(2).unwrap(), shard.record(2).unwrap().stream);
    assert_eq!(a.packets.offsets.as_ptr(), b.packets.offsets.as_ptr());
    assert_eq!(a.frame_packets.as_ptr(), b.frame_packets.as_ptr());
    assert_eq!(a.extradata.as_ptr(), b.extradata.as_ptr());
}

#[test]
fn the_same_records_give_the_same_bytes() {
    let (a, b) = (fixture(), fixture());
    assert_eq!(a.summary, b.summary);
    assert!(fs::read(&a.path).unwrap() == fs::read(&b.path).unwrap());
}

#[test]
fn an_empty_shard_opens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let summary = ShardWriter::create(&path).unwrap().finish().unwrap();
    assert_eq!(Shard::open(&path).unwrap().len(), 0);
    assert!(Shard::open(&path).unwrap().verify(Some(&summary.blake3)).problems.is_empty());
}

/// Writes one byte of a file in place.
fn poke(path: &Path, position: usize, value: u8) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[value], position as u64).unwrap();
}

#[test]
fn every_flipped_byte_is_found() {
    let fixture = fixture();
    let bytes = fs::read(&fixture.path).unwrap();
    for (position, &byte) in bytes.iter().enumerate() {
        // One bit, a different one for each byte, so that each kind of flip happens in each kind of structure.
        poke(&fixture.path, position, byte ^ (1 << (position % 8)));
        let found = problems(&fixture.path);
        assert!(!found.is_empty(), "byte {position} of {}", bytes.len());
        assert!(found.iter().all(|error| error.kind() == ErrorKind::Corrupt && error.path().is_some()), "{found:?}");
        poke(&fixture.path, position, byte);
    }
}

#[test]
fn every_truncated_shard_is_refused() {
    let fixture = fixture();
    let bytes = fs::read(&fixture.path).unwrap();
    let damaged_path = fixture.folder.path().join("damaged.tar");
    for length in 0..bytes.len() {
        fs::write(&damaged_path, &bytes[..length]).unwrap();
        let error = Shard::open(&damaged_path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{length} bytes: {error}");
        assert_eq!(error.path(), Some(damaged_path.as_path()));
    }
}

#[test]
fn a_shard_that_shrinks_or_changes_after_opening_is_reported() {
    let fixture = fixture();
    let shard = Shard::open(&fixture.path).unwrap();
    assert_eq!(shard.verify(Some(&"0".repeat(64))).problems.len(), 1);
    // A new file takes the name; the open shard keeps its mapping.
    let other = fixture.folder.path().join("other");
    fs::write(&other, b"short").unwrap();
    fs::rename(&other, &fixture.path).unwrap();
    assert_eq!(shard.verify(None).problems[0].kind(), ErrorKind::Corrupt);
    assert!(shard.record(2).is_ok());
}

/// Writes one byte of the index and makes every checksum of the file right again.
fn lie(path: &Path, bytes: &mut [u8], index: &std::ops::Range<usize>, position: usize, value: u8) {
    let trailer = bytes.len() - 1024 - 64;
    bytes[position] = value;
    let crc = crc32c(&bytes[index.clone()]);
    bytes[trailer + 40..trailer + 44].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32c(&bytes[trailer..trailer + 60]);
    bytes[trailer + 60..trailer + 64].copy_from_slice(&crc.to_le_bytes());
    poke(path, position, value);
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes[trailer..trailer + 64], trailer as u64).unwrap();
}

#[test]
fn an_index_that_lies_with_the_right_checksum_never_panics() {
    let fixture = fixture();
    let mut bytes = fs::read(&fixture.path).unwrap();
    let trailer = bytes.len() - 1024 - 64;
    let number = |at: usize| u64::from_le_bytes(bytes[trailer + at..trailer + at + 8].try_into().unwrap()) as usize;
    let index = number(16)..number(16) + number(24);
    let (mut caught, mut tried) = (0, 0);
    for position in index.clone() {
        let honest = bytes[position];
        for value in [honest ^ 0xff, honest.wrapping_add(1)] {
            lie(&fixture.path, &mut bytes, &index, position, value);
            tried += 1;
            let found = problems(&fixture.path);
            caught += usize::from(!found.is_empty());
            for error in found {
                // A name that this build does not know is no damage by itself.
                let is_told = error.is_data_error() || error.kind() == ErrorKind::Unsupported;
                assert!(is_told, "{position} {value:#x}: {}", error.report());
            }
        }
        lie(&fixture.path, &mut bytes, &index, position, honest);
    }
    assert!(problems(&fixture.path).is_empty());
    // The rest are padding, text, colours and the like, where another value is as good.
    assert!(caught * 3 > tried, "{caught} of {tried}");
}

#[test]
fn a_row_count_that_lies_is_found() {
    let fixture = fixture();
    let mut bytes = fs::read(&fixture.path).unwrap();
    let trailer = bytes.len() - 1024 - 64;
    bytes[trailer + 32] += 1;
    let crc = crc32c(&bytes[trailer..trailer + 60]);
    bytes[trailer + 60..trailer + 64].copy_from_slice(&crc.to_le_bytes());
    fs::write(&fixture.path, bytes).unwrap();
    let error = Shard::open(&fixture.path).unwrap_err();
    assert!(error.message().contains("has 3 rows, its trailer says 4"), "{error}");
}

#[test]
fn files_that_are_no_shards_are_typed_errors() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.tar");
    assert_eq!(Shard::open(&missing).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(Shard::open(folder.path()).unwrap_err().kind(), ErrorKind::Corrupt);
    for content in [&b""[..], b"hello", &[0; 10_240]] {
        let path = folder.path().join("x.tar");
        fs::write(&path, content).unwrap();
        let error = Shard::open(&path).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(path.as_path())));
    }
}

#[test]
fn a_refused_record_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00000.tar");
    let mut writer = ShardWriter::create(&path).unwrap();
    for (number, key) in KEYS.into_iter().enumerate() {
        let good = || record(folder.path(), key, number as u64, number as u32 + 1);
        let refused: [fn(&mut NewRecord); 10] = [
            |r| r.key = "../x".to_owned(),
            |r| r.video_path = "missing.mp4".into(),
            |r| r.fields = vec![tensor("a/b", 1, 2)],
            |r| r.fields = vec![tensor("a", 1, 2), tensor("a", 2, 2)],
            |r| r.fields = vec![NewTensor { shape: vec![3, 2], ..tensor("a", 1, 2) }],
            |r| r.columns = json!({"": 1}).as_object().unwrap().clone(),
            |r| r.stream.duration = 0,
            |r| r.stream.gops[0].crc32c ^= 1,
            |r| r.stream.packets.crc32c = r.stream.packets.crc32c.iter().map(|crc| crc ^ 1).collect(),
            |r| r.source_start = Some(f64::NAN),
        ];
        for (case, change) in refused.into_iter().enumerate() {
            let mut bad = good();
            change(&mut bad);
            let error = writer.add(bad).expect_err(&format!("case {case}"));
            assert!(error.record().is_some(), "case {case}");
        }
        writer.add(good()).unwrap();
        assert_eq!(writer.add(good()).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert_eq!(writer.finish().unwrap(), fixture().summary);
}

#[test]
fn a_dropped_writer_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let mut writer = ShardWriter::create(&path).unwrap();
    writer.add(record(folder.path(), "a", 1, 1)).unwrap();
    drop(writer);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["1.mp4"]);
}

#[test]
fn a_folder_that_takes_no_files_is_named() {
    let error = ShardWriter::create(Path::new("/proc/nope/a.tar")).unwrap_err();
    assert!(error.path().unwrap().starts_with("/proc/nope"));
    let folder = tempfile::tempdir().unwrap();
    let error = ShardWriter::create(&folder.path().join("missing/a.tar")).unwrap_err();
    assert!(error.path().unwrap().starts_with(folder.path()));
}

#[test]
fn a_full_disk_is_an_io_error_with_the_name() {
    let path = Path::new("set/.a.tar.tmp");
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let error = Sink::of_file(path.to_owned(), full).append_member("a.json", b"{}").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.path(), Some(path));
    assert!(error.report().contains("No space"), "{}", error.report());
}

#[test]
fn the_datasets_index_says_what_the_shards_say() {
    let fixture = fixture();
    let second = fixture.folder.path().join("00001.tar");
    let mut writer = ShardWriter::create(&second).unwrap();
    let mut extra = record(fixture.folder.path(), "other", 4, 2);
    extra.columns = json!({"views": 0.25, "good": "yes"}).as_object().unwrap().clone();
    writer.add(extra).unwrap();
    writer.finish().unwrap();
    let build = || build_index([Shard::open(&fixture.path), Shard::open(&second)]).unwrap();
    let built = build();
    assert_eq!(build().bytes, built.bytes);
    let path = fixture.folder.path().join("index.arrow");
    fs::write(&path, &built.bytes).unwrap();
    let index = DatasetIndex::open(&path, &built.entry, DatasetKind::Video).unwrap();
    assert_eq!((index.len(), built.frames), (4, 2 + 5 + 8 + 5));
    // `tags` is text, `good` is text in one of the shards; `views` has integers and floats.
    assert_eq!(index.column_names(), ["score", "views"]);
    assert_eq!(Value::Object(index.columns(1).unwrap()), json!({"score": 1.5, "views": 1.0}));
    assert_eq!(Value::Object(index.columns(3).unwrap()), json!({"views": 0.25}));
    let row = index.row(2).unwrap();
    assert_eq!((row.shard, row.row, row.key), (0, 2, KEYS[2]));
    assert_eq!((row.frames, row.gops, row.max_gop_frames, row.width, row.height), (8, 3, 3, 48, 85));
    assert_eq!((row.duration, row.fps, row.codec), (8 * 512, 25.0, crate::media::Codec::H264));
    assert_eq!(row.bytes, Shard::open(&fixture.path).unwrap().record(2).unwrap().video.size);
    assert_eq!((index.row(3).unwrap().shard, index.row(3).unwrap().row), (1, 0));
    assert_eq!((index.find("other").unwrap(), index.find("nope").unwrap()), (Some(3), None));
    assert_eq!(index.row(4).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(index.batch(0).unwrap().num_rows(), 4);
    let mapped = DatasetIndex::open_bounded(&path, &built.entry, DatasetKind::Video, 0).unwrap();
    assert!(fs::read_to_string("/proc/self/maps").unwrap().contains(path.to_str().unwrap()));
    assert!((0..4).all(|row| mapped.row(row).unwrap() == index.row(row).unwrap()));
}

#[test]
fn a_key_in_two_shards_is_a_conflict() {
    let fixture = fixture();
    let error = build_index([Shard::open(&fixture.path), Shard::open(&fixture.path)]).unwrap_err();
    assert_eq!((error.kind(), error.record()), (ErrorKind::Conflict, Some(KEYS[0])));
}

#[test]
fn damage_to_the_datasets_index_is_found() {
    let fixture = fixture();
    let built = build_index([Shard::open(&fixture.path)]).unwrap();
    let path = fixture.folder.path().join("index.arrow");
    let rows = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let index = DatasetIndex::open(&path, &built.entry, DatasetKind::Video)?;
        (0..index.len()).map(|row| index.row(row).map(|row| format!("{row:?}"))).collect::<Result<Vec<_>, Error>>()
    };
    let expected = rows(&built.bytes).unwrap();
    for position in 0..built.bytes.len() {
        let mut damaged = built.bytes.clone();
        damaged[position] ^= 1 << (position % 8);
        // Bytes that are not read (the stream's schema and its end mark) may change; rows may not.
        match rows(&damaged) {
            Ok(rows) => assert_eq!(rows, expected, "byte {position}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
        }
        assert_ne!(blake3::hash(&damaged).to_hex().to_string(), built.entry.blake3);
    }
    for length in 0..built.bytes.len() {
        assert!(rows(&built.bytes[..length]).is_err());
    }
}

#[test]
fn an_index_of_many_batches_finds_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tar");
    let mut writer = ShardWriter::create(&path).unwrap();
    writer.add(record(folder.path(), "a", 1, 1)).unwrap();
    writer.finish().unwrap();
    let record = Shard::open(&path).unwrap().record(0).unwrap();
    let mut builder = crate::format::IndexBuilder::default();
    for row in 0..40_000 {
        builder.add(row / 7, row % 7, &record).unwrap();
    }
    let (bytes, entry) = builder.finish().unwrap();
    fs::write(&path, bytes).unwrap();
    let index = DatasetIndex::open(&path, &entry, DatasetKind::Video).unwrap();
    assert_eq!((index.num_batches(), index.len()), (3, 40_000));
    for row in [0, 16_383, 16_384, 32_768, 39_999] {
        assert_eq!(index.row(row).unwrap().shard, row as u32 / 7);
    }
}
