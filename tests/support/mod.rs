//! The real binary, run on folders of generated videos.
#![allow(dead_code, reason = "each test takes what it needs")]

#[path = "../../src/testing.rs"]
pub(crate) mod testing;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use testing::Fixture;

/// The command, without the environment's say.
pub(crate) fn framefeed<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_framefeed"));
    command.args(args).env_remove("FRAMEFEED_LOG");
    command
}

/// What a finished command said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    /// The JSON object on stdout of a command that went well.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).expect("stdout is one JSON object")
    }

    /// Asserts failure with `code` and a message that has all of `parts`, and no panic.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not in: {}", self.stderr);
        }
    }
}

pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Said {
    framefeed(args).output().expect("the binary runs").into()
}

/// `framefeed convert SRC --out OUT --json ARGS...`.
pub(crate) fn convert(source: &Path, out: &Path, args: &[&str]) -> Said {
    let mut command = framefeed(["convert"]);
    command.arg(source).arg("--out").arg(out).arg("--json").args(args);
    command.output().expect("the binary runs").into()
}

/// `framefeed COMMAND OUT ARGS...`.
pub(crate) fn on(command: &str, out: &Path, args: &[&str]) -> Said {
    framefeed([command]).arg(out).args(args).output().expect("the binary runs").into()
}

/// A folder of videos for one test.
pub(crate) struct Videos {
    pub(crate) dir: tempfile::TempDir,
}

impl Videos {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    /// Puts a generated video at `name`.
    pub(crate) fn add(&self, name: &str, fixture: &Fixture) -> PathBuf {
        self.copy(name, &fixture.path())
    }

    pub(crate) fn copy(&self, name: &str, from: &Path) -> PathBuf {
        let path = self.source().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        std::fs::copy(from, &path).expect("the video can be copied");
        path
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.source().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
        std::fs::write(&path, content).expect("the file can be written");
        path
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.dir.path().join("videos")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    /// A dozen small videos in a few folders.
    pub(crate) fn several() -> Self {
        let videos = Self::new();
        for number in 0..4 {
            videos.add(&format!("a/{number}.mp4"), &testing::H264);
            videos.add(&format!("b/{number}.mp4"), &testing::HEVC_OPEN_GOP);
            videos.add(&format!("c/{number}.avi"), &testing::MPEG4);
        }
        videos
    }
}

/// Every published file of a dataset with its hash: everything but the conversion's own folder.
pub(crate) fn published(out: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for folder in [out.to_owned(), out.join("shards")] {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                let name = path.strip_prefix(out).expect("inside").to_string_lossy().into_owned();
                let hash = blake3::hash(&std::fs::read(&path).expect("a readable file"));
                files.insert(name, hash.to_hex().to_string());
            }
        }
    }
    files
}

/// Adds a column with a small tensor for each record.
pub(crate) fn add_column(out: &Path, name: &str) {
    let dataset = framefeed::Dataset::open(out).expect("a dataset");
    let description = serde_json::json!({"model": "x"}).as_object().expect("an object").clone();
    let mut writer = framefeed::ColumnWriter::create(&dataset, name, description).expect("a new column");
    // What an earlier writer left is taken up.
    for record in writer.position()..dataset.len() {
        let tensor = framefeed::NewTensor {
            name: name.to_owned(),
            dtype: framefeed::TensorType::UInt8,
            shape: vec![2],
            data: vec![record as u8, 7].into(),
        };
        writer.add(record, vec![tensor]).expect("a tensor");
    }
    writer.finish().expect("a column");
}

/// All keys of a dataset.
pub(crate) fn keys(out: &Path) -> Vec<String> {
    let dataset = framefeed::Dataset::open(out).expect("a dataset");
    let mut keys: Vec<String> = (0..dataset.len()).map(|row| dataset.row(row).expect("a row").key.to_owned()).collect();
    keys.sort();
    keys
}

/// The record with that key.
pub(crate) fn record(out: &Path, key: &str) -> framefeed::Record {
    let dataset = framefeed::Dataset::open(out).expect("a dataset");
    let row = dataset.find(key).expect("an index").unwrap_or_else(|| panic!("no record {key}"));
    dataset.record(row).expect("a record")
}
