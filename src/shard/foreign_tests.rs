//! Shards and datasets as other programs see them: tar programs, webdataset, pyarrow, and the reader in pure Python.
//!
//! Python is `FRAMEFEED_PYTHON`, or `.venv/bin/python` of the source tree; it needs pyarrow and webdataset. What is not
//! installed is skipped with a message; `REQUIRE_PYTHON=1` turns a missing Python into a failure.

use super::testing::{KEYS, record, shard};
use super::*;
use crate::format::{DatasetKind, Manifest, ShardEntry, npy_header};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn python() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("FRAMEFEED_PYTHON").map(PathBuf::from);
    let found = named.or_else(|| Some(here.join(".venv/bin/python")).filter(|path| path.exists()));
    if found.is_none() {
        assert!(std::env::var_os("REQUIRE_PYTHON").is_none_or(|value| value != "1"), "REQUIRE_PYTHON=1, but no Python");
        eprintln!("SKIPPED: no Python; set FRAMEFEED_PYTHON or make .venv");
    }
    found
}

/// Runs a program; `None`, said aloud, where it is not installed.
fn run(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: {} is not installed", command.get_program().display());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn reader() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pyreader/framefeed_reader")
}

/// Names and contents that a shard must give.
fn expected_members(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut members = Vec::new();
    for (number, key) in KEYS.into_iter().enumerate() {
        let record = record(folder, key, number as u64, number as u32 + 1);
        members.push((format!("{key}.mp4"), fs::read(record.video_path).unwrap()));
        for tensor in record.fields {
            let mut npy = npy_header(tensor.dtype, &tensor.shape, 0).unwrap();
            npy.extend_from_slice(&tensor.data);
            members.push((format!("{key}.{}.npy", tensor.name), npy));
        }
    }
    members
}

fn extracts_with(program: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00000.tar");
    shard(folder.path(), &path);
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let Some(output) = run(Command::new(program).arg("-xf").arg(&path).arg("-C").arg(&out).env("LC_ALL", "C.UTF-8"))
    else {
        return;
    };
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    succeeded(&output);
    for (name, bytes) in expected_members(folder.path()) {
        assert_eq!(fs::read(out.join(&name)).unwrap(), bytes, "{name}");
    }
    assert!(fs::read(out.join("__framefeed__/index.arrow")).unwrap().ends_with(b"ARROW1"));
    let listed = run(Command::new(program).arg("-tf").arg(&path).env("LC_ALL", "C.UTF-8")).unwrap();
    assert_eq!(succeeded(&listed).lines().count(), 3 + 3 + 2 + 1);
}

#[test]
fn gnu_tar_lists_and_extracts_a_shard() {
    extracts_with("tar");
}

#[test]
fn bsdtar_lists_and_extracts_a_shard() {
    extracts_with("bsdtar");
}

#[test]
fn tarfile_webdataset_and_pyarrow_read_a_shard() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("00000.tar");
    shard(folder.path(), &path);
    let script = r#"
import json, sys, tarfile
import pyarrow as pa, webdataset as wds
path = sys.argv[1]
with tarfile.open(path) as tar:
    names = tar.getnames()
    # Not through a Python file object: a thread of Arrow's that gives one back while Python ends ends the process.
    index = pa.ipc.open_file(pa.py_buffer(tar.extractfile("__framefeed__/index.arrow").read())).read_all()
    index.validate(full=True)
    sizes = {name: len(tar.extractfile(name).read()) for name in names}
samples = list(wds.WebDataset(path, shardshuffle=False))
print(json.dumps({
    "names": names, "sizes": sizes, "keys": index["key"].to_pylist(), "frames": index["frames"].to_pylist(),
    "wds": [[s["__key__"], sorted(k for k in s if not k.startswith("__")), len(s["mp4"])] for s in samples],
}))
"#;
    let output = run(Command::new(python).arg("-c").arg(script).arg(&path)).unwrap();
    let seen: Value = serde_json::from_str(&succeeded(&output)).unwrap();
    assert_eq!(seen["names"].as_array().unwrap().len(), 9);
    for (name, bytes) in expected_members(folder.path()) {
        assert_eq!(seen["sizes"][&name], bytes.len(), "{name}");
    }
    assert_eq!(seen["keys"], serde_json::json!(KEYS));
    assert_eq!(seen["frames"], serde_json::json!([2, 5, 8]));
    let samples = seen["wds"].as_array().unwrap();
    assert_eq!(samples.len(), 3);
    for (sample, key) in samples.iter().zip(KEYS) {
        assert_eq!(sample[0], key);
    }
    assert_eq!(samples[0][1], serde_json::json!(["json", "latent.npy", "mp4"]));
}

/// Two shards, an index and a manifest.
fn dataset(folder: &Path) -> PathBuf {
    let root = folder.join("dataset");
    fs::create_dir_all(root.join("shards")).unwrap();
    let mut entries = Vec::new();
    let mut entry = |id: &str, summary: ShardSummary| {
        let file = format!("shards/{id}.tar");
        entries.push(ShardEntry {
            id: id.into(),
            file,
            rows: summary.rows,
            bytes: summary.bytes,
            blake3: summary.blake3,
        });
    };
    entry("a", shard(folder, &root.join("shards/a.tar")));
    let mut writer = ShardWriter::create(&root.join("shards/b.tar")).unwrap();
    writer.add(record(folder, "other", 7, 4)).unwrap();
    entry("b", writer.finish().unwrap());
    let built = build_index(entries.iter().map(|entry| Shard::open(&root.join(&entry.file)))).unwrap();
    crate::format::publish(&root.join("index.arrow"), &built.bytes).unwrap();
    let manifest = Manifest::new(DatasetKind::Video, "copy", built.entry, entries);
    let fields = vec!["latent".to_owned()];
    let manifest = Manifest { frames: built.frames, seconds: built.seconds, fields, ..manifest };
    manifest.write(&root).unwrap();
    root
}

#[test]
fn the_reader_in_pure_python_agrees_about_a_dataset() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = dataset(folder.path());
    let output = run(Command::new(python).arg(reader()).arg(&root)).unwrap();
    let lines: Vec<Value> = succeeded(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shards = ["a", "b"].map(|id| Shard::open(&root.join(format!("shards/{id}.tar"))).unwrap());
    let ours: Vec<_> = shards.iter().flat_map(|shard| (0..shard.len()).map(|row| shard.record(row).unwrap())).collect();
    assert_eq!(lines.len(), ours.len());
    for (theirs, ours) in lines.iter().zip(ours) {
        assert_eq!(theirs["key"], ours.key);
        assert_eq!(theirs["frames"], ours.stream.num_frames());
        assert_eq!(theirs["duration"], ours.stream.duration);
        assert_eq!((&theirs["offset"], &theirs["bytes"]), (&ours.video.offset.into(), &ours.video.size.into()));
        assert_eq!(theirs["crc32c"], ours.video.crc32c);
        assert_eq!(theirs["packets_crc32c"], packets_digest(&ours.stream));
        assert_eq!(theirs["columns"], Value::Object(ours.columns));
        assert_eq!(theirs["caption"], ours.caption.map_or(Value::Null, Value::from));
    }
}

/// The digest that the Python reader prints, over all columns of the packet table.
fn packets_digest(stream: &crate::media::StreamInfo) -> u32 {
    stream.packets.iter().fold(0, |digest: u32, packet| {
        let mut bytes = digest.to_le_bytes().to_vec();
        bytes.extend(packet.offset.to_le_bytes());
        bytes.extend(packet.size.to_le_bytes());
        bytes.extend(packet.pts.to_le_bytes());
        bytes.extend(packet.dts.to_le_bytes());
        bytes.push(packet.flags.0);
        bytes.extend(packet.crc32c.to_le_bytes());
        crate::format::crc32c(&bytes)
    })
}

#[test]
fn the_reader_in_pure_python_finds_damage() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = dataset(folder.path());
    let at = Shard::open(&root.join("shards/a.tar")).unwrap().record(1).unwrap();
    let (first, json) = (at.stream.packets.get(0).unwrap().offset, at.json.unwrap().offset);
    let length = |file: &str| fs::metadata(root.join(file)).unwrap().len();
    for (file, position) in [
        ("shards/a.tar", first + 3),
        ("shards/a.tar", at.video.offset + 1),
        ("shards/a.tar", at.video.offset - 300),
        ("shards/a.tar", json + 5),
        ("shards/a.tar", length("shards/a.tar") - 1),
        ("shards/a.tar", length("shards/a.tar") - 1024 - 20),
        ("shards/a.tar", length("shards/a.tar") - 1024 - 2000),
        ("manifest.json", 40),
        ("index.arrow", length("index.arrow") / 3),
        ("index.arrow", length("index.arrow") - 100),
    ] {
        let path = root.join(file);
        let bytes = fs::read(&path).unwrap();
        let mut damaged = bytes.clone();
        damaged[position as usize] ^= 4;
        fs::write(&path, damaged).unwrap();
        let output = run(Command::new(&python).arg(reader()).arg(&root)).unwrap();
        assert_eq!(
            output.status.code(),
            Some(1),
            "{file} byte {position}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn members_above_8_gib_are_listed_by_every_tar() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.tar");
    let size = (9_u64 << 30) + 5;
    let header = crate::format::tar::header("large.mp4", size);
    let second = crate::format::tar::header("small.json", 2);
    let next = (header.len() as u64 + size).next_multiple_of(512);
    let file = fs::File::create(&path).unwrap();
    // Nothing is stored but two headers: the file has a hole.
    file.set_len(next + 512 + 512 + 1024).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &header, 0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &second, next).unwrap();
    for program in ["tar", "bsdtar"] {
        let Some(output) = run(Command::new(program).arg("-tvf").arg(&path)) else { continue };
        let text = succeeded(&output);
        assert!(text.contains(&size.to_string()) && text.contains("small.json"), "{program}: {text}");
    }
    let Some(python) = python() else { return };
    let script = "import sys, tarfile; print([(m.name, m.size) for m in tarfile.open(sys.argv[1])])";
    let output = run(Command::new(python).arg("-c").arg(script).arg(&path)).unwrap();
    assert_eq!(succeeded(&output).trim(), format!("[('large.mp4', {size}), ('small.json', 2)]"));
}
