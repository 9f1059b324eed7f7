//! `framefeed bench storage`: what it measures and says, and that it writes nothing unasked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};
use support::{Said, Videos, convert, framefeed, testing};

/// Short: what is asserted does not depend on how much is read.
const QUICK: &[&str] = &["--seconds", "0.05", "--runs", "2", "--depth", "1,4", "--block", "64KiB"];

fn bench(path: &Path, args: &[&str]) -> Said {
    let mut command = framefeed(["bench", "storage"]);
    command.arg(path).args(QUICK).args(args).output().expect("the binary runs").into()
}

/// Bytes that repeat with a period that is no multiple of any block.
fn file_in(folder: &Path, name: &str, len: usize) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, (0..len).map(|index| (index % 251) as u8).collect::<Vec<_>>()).unwrap();
    path
}

/// Names, contents and times of change of all below a folder.
fn state(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, Option<Vec<u8>>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        found.insert(folder.clone(), (folder.metadata().unwrap().modified().unwrap(), None));
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let changed = path.metadata().unwrap().modified().unwrap();
                found.insert(path.clone(), (changed, Some(std::fs::read(path).unwrap())));
            }
        }
    }
    found
}

fn assert_spread(value: &Value) {
    let at = |name: &str| value[name].as_f64().unwrap_or_else(|| panic!("{name} is in {value}"));
    assert!(0.0 < at("min") && at("min") <= at("median") && at("median") <= at("max"), "{value}");
}

fn assert_point(point: &Value) {
    assert_spread(&point["gigabytes_per_second"]);
    assert_spread(&point["operations_per_second"]);
    assert!(point["cpu_seconds_per_gigabyte"]["median"].as_f64().unwrap() >= 0.0, "{point}");
    let latency = &point["latency"];
    assert!(latency["n"].as_u64().unwrap() > 0, "{point}");
    let at = |name: &str| latency[name].as_f64();
    assert!(at("p50_micros").unwrap() <= at("max_micros").unwrap() * 1.001, "{latency}");
    // No percentile is told of which fewer than ten reads lie beyond.
    assert_eq!(latency["p99_micros"].is_null(), latency["n"].as_u64().unwrap() < 1000, "{latency}");
    let shares: Vec<f64> =
        latency["distribution"].as_array().unwrap().iter().map(|step| step[1].as_f64().unwrap()).collect();
    assert!(shares.is_sorted() && shares.last() == Some(&1.0), "{latency}");
    assert!(point["kernel_workers"].is_u64() && point["describe"].is_string(), "{point}");
}

#[test]
fn every_engine_measures_a_file_and_says_so_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_in(folder.path(), "data", 1 << 20);
    let report = bench(&path, &["--engine", "pread,mmap,memory", "--direct", "off", "--json"]).json();
    assert_eq!((&report["kind"], &report["files"], &report["bytes"]), (&"file".into(), &1.into(), &(1 << 20).into()));
    for name in ["command", "date", "version", "cache", "pattern"] {
        assert!(report[name].as_str().is_some_and(|text| !text.is_empty()), "{name}: {report}");
    }
    assert!(report["machine"]["cores"].as_u64().unwrap() > 0);
    let points = report["points"].as_array().unwrap();
    points.iter().for_each(assert_point);
    let found: Vec<(&str, u64)> =
        points.iter().map(|point| (point["engine"].as_str().unwrap(), point["depth"].as_u64().unwrap())).collect();
    // What is in memory already has no queue: one depth is all.
    assert_eq!(found, [("pread", 1), ("pread", 4), ("mmap", 1), ("memory", 1)]);
    assert!(points.iter().all(|point| point["block_bytes"] == 65_536 && point["cached_before"] == 1.0), "{report}");
}

#[test]
fn a_dataset_is_read_by_the_windows_of_the_loader() {
    let videos = Videos::new();
    videos.add("a.mp4", &testing::H264);
    videos.add("b.mp4", &testing::HEVC_OPEN_GOP);
    convert(&videos.source(), &videos.out(), &[]).json();
    let before = state(&videos.out());
    let report = bench(&videos.out(), &["--engine", "pread", "--direct", "off", "--json"]).json();
    assert_eq!((&report["kind"], &report["checksum"]), (&"dataset".into(), &true.into()));
    assert!(report["pattern"].as_str().unwrap().contains("windows of 16 frames"), "{report}");
    let points = report["points"].as_array().unwrap();
    assert_eq!(points.len(), 2);
    points.iter().for_each(assert_point);
    assert!(points.iter().all(|point| point["block_bytes"].is_null()));
    assert_eq!(state(&videos.out()), before);
    bench(&videos.out(), &["--window", "9999"]).fails(1, &["no record has 9999 frames", "out"]);
}

#[test]
fn the_table_is_on_stdout_and_a_folder_is_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    file_in(folder.path(), "a", 300_000);
    file_in(folder.path(), "short", 10);
    let before = state(folder.path());
    let said = bench(folder.path(), &["--engine", "pread,mmap", "--pattern", "sequential", "--threads", "2"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for word in ["folder", "in 2 files", "GB/s", "CPU s/GB", "p99", "pread", "mmap", "64KiB"] {
        assert!(said.stdout.contains(word), "{word:?} is not in {}", said.stdout);
    }
    assert_eq!(said.stderr, "");
    assert_eq!(state(folder.path()), before);
}

#[test]
fn a_file_is_made_on_request_alone_and_removed_unless_kept() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--create", "1MiB", "--engine", "pread", "--direct", "off", "--json"];
    let report = bench(folder.path(), &args).json();
    assert_eq!((&report["kind"], &report["bytes"]), (&"file".into(), &(1 << 20).into()));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    bench(folder.path(), &[&args[..], &["--keep"]].concat()).json();
    let kept: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].metadata().unwrap().len(), 1 << 20);
    let kept = kept[0].path();
    // What is there already is not written over.
    bench(folder.path(), &args).fails(1, &["cannot create"]);
    bench(&kept, &args).fails(1, &["this is none"]);
    assert_eq!(kept.metadata().unwrap().len(), 1 << 20);
}

#[test]
fn the_report_is_one_page_that_needs_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_in(folder.path(), "a <b>&c", 1 << 20);
    let page = folder.path().join("report.html");
    let said = bench(&path, &["--engine", "pread,mmap", "--report", page.to_str().unwrap()]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let html = std::fs::read_to_string(&page).unwrap();
    for reference in ["http", "src=", "href", "url(", "@import", "<script", "<link", "<b>&c"] {
        assert!(!html.contains(reference), "{reference:?} is in the page");
    }
    for word in [
        "a &lt;b&gt;&amp;c",
        "Rate over reads in flight",
        "Latency of a read",
        "CPU seconds per GB",
        "Kernel",
        "prefers-color-scheme",
        "@media print",
    ] {
        assert!(html.contains(word), "{word:?} is not in the page");
    }
    assert!(html.matches("<svg").count() >= 4 && html.matches("<svg").count() == html.matches("</svg>").count());
    assert!(!html.contains("NaN") && !html.contains("inf"), "a plot has a place that is no number");
    bench(&path, &["--report", folder.path().to_str().unwrap()]).fails(1, &["no regular file"]);
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = file_in(folder.path(), "empty", 0);
    bench(&empty, &[]).fails(1, &["nothing to read", "empty"]);
    bench(&folder.path().join("missing"), &[]).fails(1, &["not found", "missing"]);
    let small = file_in(folder.path(), "small", 1000);
    bench(&small, &["--engine", "pread"]).fails(1, &["--block is 65536", "small"]);
    bench(Path::new("/dev/null"), &[]).fails(1, &["expected a file", "/dev/null"]);
    bench(&small, &["--engine", "floppy"]).fails(2, &["floppy"]);
    bench(&small, &["--depth", "0"]).fails(1, &["--depth"]);
}

#[test]
fn an_interrupted_run_ends_at_once_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = framefeed(["bench", "storage"]);
    command.arg(folder.path()).args(["--create", "1MiB", "--seconds", "600", "--engine", "pread", "--direct", "off"]);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let since = Instant::now();
    while folder.path().read_dir().unwrap().count() == 0 {
        assert!(since.elapsed() < Duration::from_secs(60), "no file was made");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn fio_is_compared_where_it_is_installed_and_missed_where_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = file_in(folder.path(), "data", 4 << 20);
    let args = ["--engine", "pread,memory", "--direct", "off", "--seconds", "0.2", "--compare-fio", "--json"];
    let mut command = framefeed(["bench", "storage"]);
    command.arg(&path).args(["--depth", "1", "--block", "64KiB", "--runs", "1"]).args(args);
    let without = Said::from(command.env("PATH", folder.path()).output().unwrap()).json();
    assert!(without["fio_version"].is_null());
    assert!(without["notes"].to_string().contains("apt-get install fio"), "{without}");
    assert!(without["points"][0]["fio"].is_null());
    if Command::new("fio").arg("--version").output().is_err() {
        eprintln!("fio is not installed: the comparison is not tested");
        return;
    }
    let mut command = framefeed(["bench", "storage"]);
    command.arg(&path).args(["--depth", "1", "--block", "64KiB", "--runs", "1"]).args(args);
    let with = Said::from(command.output().unwrap()).json();
    assert!(with["fio_version"].as_str().unwrap().starts_with("fio"));
    let fio = &with["points"][0]["fio"];
    assert_eq!(fio["engine"], "psync");
    assert_spread(&fio["gigabytes_per_second"]);
    assert!(fio["rate_ratio"].as_f64().unwrap() > 0.0 && fio["cpu_ratio"].as_f64().unwrap() > 0.0, "{fio}");
    assert!(with["points"][1]["fio"].is_null(), "fio has no such engine");
}

/// A block device that this user may read, where there is one.
fn block_device() -> Option<PathBuf> {
    let names = Path::new("/sys/block").read_dir().ok()?.flatten().map(|entry| entry.file_name());
    names.map(|name| Path::new("/dev").join(name)).find(|path| {
        let mut byte = [0];
        std::fs::File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut byte)).is_ok_and(|n| n == 1)
    })
}

#[test]
fn a_block_device_is_read_where_there_is_one() {
    let Some(device) = block_device() else {
        eprintln!("no block device can be read here: reading one is not tested");
        return;
    };
    let report = bench(&device, &["--bytes", "1MiB", "--engine", "pread,mmap", "--json"]).json();
    assert_eq!(report["kind"], "block device");
    assert!(report["bytes"].as_u64().unwrap() > 0);
    let points = report["points"].as_array().unwrap();
    assert!(points.iter().all(|point| point["engine"] == "pread"), "{report}");
    assert!(!points.is_empty() && report["notes"].to_string().contains("mmap reads no block devices"), "{report}");
}

#[test]
fn cold_is_cold_for_every_engine_also_where_one_maps_the_file() {
    // Beside the build: a folder for temporary files may be in memory, where nothing can be dropped.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = file_in(folder.path(), "a", 16 << 20);
    std::fs::File::open(&path).unwrap().sync_all().unwrap();
    let said = bench(&path, &["--engine", "mmap,pread", "--direct", "off", "--cold", "--json"]);
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    if report["machine"]["file_system"].as_str().is_some_and(|name| name.contains("tmpfs")) {
        eprintln!("SKIPPED: the build is on tmpfs");
        return;
    }
    let notes = report["notes"].to_string();
    assert!(!notes.contains("stayed in the page cache"), "{notes}");
    for point in report["points"].as_array().unwrap() {
        assert!(point["cached_before"].as_f64().is_none_or(|share| share < 0.01), "{point}");
    }
}
