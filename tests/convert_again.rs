//! A conversion that is repeated when something of its dataset is gone or damaged: what others have added stays, or the run
//! says what would be lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use framefeed::{Dataset, Manifest};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use support::{Videos, add_column, convert, on, published, testing};

const ARGS: [&str; 2] = ["--shard-size", "1"];

/// A dataset of three shards, with a column.
struct Set {
    videos: Videos,
    out: PathBuf,
    before: BTreeMap<String, String>,
}

impl Set {
    fn new(columns: &[&str]) -> Self {
        let videos = Videos::new();
        videos.add("a.mp4", &testing::H264);
        videos.add("b.mp4", &testing::HEVC_OPEN_GOP);
        videos.add("c.avi", &testing::MPEG4);
        let out = videos.out();
        convert(&videos.source(), &out, &ARGS).json();
        for name in columns {
            add_column(&out, name);
        }
        let before = published(&out);
        Self { videos, out, before }
    }

    fn shards(&self) -> Vec<PathBuf> {
        Dataset::open(&self.out).unwrap().manifest().shards.iter().map(|shard| self.out.join(&shard.file)).collect()
    }

    fn again(&self) -> support::Said {
        convert(&self.videos.source(), &self.out, &ARGS)
    }

    /// The same command makes everything as it was.
    #[track_caller]
    fn is_mended(&self) -> Value {
        let report = self.again().json();
        assert_eq!(published(&self.out), self.before);
        on("verify", &self.out, &[]).fails(0, &[]);
        assert_eq!(self.again().json()["up_to_date"], true);
        report
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn columns_stay_when_the_index_or_a_shard_or_both_are_made_again() {
    let set = Set::new(&["latents", "text"]);
    let (index, shards) = (set.out.join("index.arrow"), set.shards());
    std::fs::remove_file(&index).unwrap();
    assert_eq!(set.is_mended()["clips_converted"], 0);
    std::fs::remove_file(&shards[1]).unwrap();
    assert_eq!(set.is_mended()["clips_converted"], 1);
    std::fs::remove_file(&index).unwrap();
    std::fs::remove_file(&shards[0]).unwrap();
    std::fs::remove_file(&shards[2]).unwrap();
    assert_eq!(set.is_mended()["clips_converted"], 2);
    std::fs::remove_dir_all(set.out.join("shards")).unwrap();
    assert_eq!(set.is_mended()["clips_converted"], 3);
    // What the run noted of its units is lost as well.
    std::fs::remove_dir_all(set.out.join(".framefeed/units")).unwrap();
    assert_eq!(set.is_mended()["clips_converted"], 3);
    let manifest = Dataset::open(&set.out).unwrap().manifest().clone();
    let names: Vec<&str> = manifest.columns.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(names, ["latents", "text"]);
    assert_eq!(manifest.columns[0].description["model"], "x");
}

#[test]
fn finished_shards_that_were_damaged_are_made_again() {
    for columns in [&[][..], &["latents"]] {
        let set = Set::new(columns);
        let shards = set.shards();
        // In the middle of the packets; at the end, where the trailer is; in the index; cut off; other bytes with the old time.
        flip(&shards[0], 3000);
        let report = set.is_mended();
        assert_eq!(report["clips_converted"], 1);
        assert!(report["warnings"][0].as_str().unwrap().contains("a finished shard was damaged"), "{report}");
        let len = std::fs::metadata(&shards[1]).unwrap().len() as usize;
        flip(&shards[1], len - 1030);
        assert_eq!(set.is_mended()["clips_converted"], 1);
        flip(&shards[1], len - 3000);
        assert_eq!(set.is_mended()["clips_converted"], 1);
        std::fs::File::options().write(true).open(&shards[2]).unwrap().set_len(5000).unwrap();
        assert_eq!(set.is_mended()["clips_converted"], 1);
        let index = set.out.join("index.arrow");
        flip(&index, 700);
        assert_eq!(set.is_mended()["clips_converted"], 0);
    }
}

#[test]
fn a_shard_of_another_time_is_read_whole_once_and_kept() {
    let set = Set::new(&["latents"]);
    let (shard, report) = (&set.shards()[0], set.out.join(".framefeed/units"));
    let noted = || -> Vec<Value> {
        let mut files: Vec<_> = std::fs::read_dir(&report).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()).collect()
    };
    let before = noted();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    std::fs::File::options().append(true).open(shard).unwrap().set_modified(time).unwrap();
    assert_eq!(set.again().json()["up_to_date"], true);
    let after = noted();
    assert_eq!(after[0]["modified_nanos"], 1_000_000_000_000_000_000_i64);
    assert_eq!((&before[1], &before[2]), (&after[1], &after[2]));
    assert_eq!(published(&set.out), set.before);
}

#[test]
fn shards_that_columns_depend_on_are_not_replaced_by_others() {
    let set = Set::new(&["latents"]);
    // As if the shard had been made by another version, which writes other bytes.
    let mut manifest = Manifest::read(&set.out).unwrap();
    manifest.shards[1].blake3 = "0".repeat(64);
    manifest.write(&set.out).unwrap();
    let before = published(&set.out);
    let shards = set.shards();
    set.again().fails(1, &["conflict", "latents", "would be lost", "copy"]);
    assert_eq!(published(&set.out), before);
    // It is damaged: it is not replaced either.
    flip(&shards[1], 3000);
    let before = published(&set.out);
    set.again().fails(1, &["conflict", "latents", shards[1].file_name().unwrap().to_str().unwrap()]);
    assert_eq!(published(&set.out), before);
    // Or is gone.
    std::fs::remove_file(&shards[1]).unwrap();
    let before = published(&set.out);
    let said = set.again();
    said.fails(1, &["conflict", "latents"]);
    assert!(!said.stderr.contains("hint: "), "{}", said.stderr);
    assert_eq!(published(&set.out), before);
    // Without columns nothing depends on it.
    manifest.columns.clear();
    manifest.write(&set.out).unwrap();
    set.again().json();
    on("verify", &set.out, &[]).fails(0, &[]);
}

#[test]
fn a_manifest_that_is_damaged_is_replaced_only_where_it_cannot_have_named_columns() {
    let set = Set::new(&[]);
    flip(&set.out.join("manifest.json"), 100);
    set.is_mended();
    let set = Set::new(&["latents"]);
    flip(&set.out.join("manifest.json"), 100);
    set.again().fails(1, &["conflict", "manifest", "columns", "copy"]);
    // What the message says to do brings everything back.
    std::fs::remove_file(set.out.join("manifest.json")).unwrap();
    let report = set.again().json();
    assert!(report["warnings"][0].as_str().unwrap().contains("add those columns again"), "{report}");
    add_column(&set.out, "latents");
    assert_eq!(published(&set.out), set.before);
}

#[test]
fn the_description_of_raw_frames_stays() {
    let videos = Videos::new();
    videos.add("a.mp4", &testing::H264);
    let args = ["--profile", "raw", "--size", "32x32"];
    convert(&videos.source(), &videos.out(), &args).json();
    add_column(&videos.out(), "latents");
    let before = published(&videos.out());
    for gone in ["index.arrow", "shards"] {
        let path = videos.out().join(gone);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
        convert(&videos.source(), &videos.out(), &args).json();
        assert_eq!(published(&videos.out()), before, "{gone}");
    }
}
