//! `framefeed bench loader`: what it measures and says, and that what it leaves out is marked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use framefeed::{Dataset, DatasetWriter, DatasetWriterOptions, NewTensor, NewTensorRecord, TensorType};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::{Said, Videos, convert, framefeed, published, testing};

/// Short: what is asserted does not depend on how much is loaded.
const QUICK: &[&str] = &["--runs", "1", "--batch-size", "2"];
const SMALL: &[&str] = &["--size", "32x48", "--frames", "4"];
const PIXEL_BYTES: f64 = 32.0 * 48.0 * 3.0;

fn bench(path: &Path, args: &[&str]) -> Said {
    let mut command = framefeed(["bench", "loader"]);
    let seconds = if args.contains(&"--seconds") { &[][..] } else { &["--seconds", "0.05"] };
    command.arg(path).args(QUICK).args(seconds).args(args).output().expect("the binary runs").into()
}

/// Five clips of two codecs.
fn videos() -> Videos {
    let videos = Videos::new();
    for number in 0..3 {
        videos.add(&format!("a{number}.mp4"), &testing::H264);
    }
    videos.add("b.mp4", &testing::HEVC_OPEN_GOP);
    videos.add("c.avi", &testing::MPEG4);
    convert(&videos.source(), &videos.out(), &["--check", "fast"]).json();
    videos
}

/// Five records with latents of one shape and text of several; the third has no text.
fn tensors(folder: &Path) -> PathBuf {
    let path = folder.join("set");
    let mut writer = DatasetWriter::create(&path, DatasetWriterOptions::default()).unwrap();
    for record in 0..5_u64 {
        let bytes = |len: u64| (0..len).map(|at| (at + record) as u8 | 1).collect::<Vec<u8>>();
        let tensor = |name: &str, shape: &[u64]| NewTensor {
            name: name.to_owned(),
            dtype: TensorType::UInt8,
            shape: shape.to_vec(),
            data: bytes(shape.iter().product()).into(),
        };
        let mut fields = vec![tensor("latents", &[4, 8, 8])];
        if record != 2 {
            fields.push(tensor("text", &[record + 1, 3]));
        }
        let key = format!("clip/{record}");
        writer.add(NewTensorRecord { key, caption: None, columns: serde_json::Map::new(), fields }).unwrap();
    }
    writer.finish().unwrap();
    path
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_else(|| panic!("{name} is in {value}"))
}

fn median(figures: &Value, name: &str) -> f64 {
    let spread = &figures[name];
    let (min, median, max) = (number(spread, "min"), number(spread, "median"), number(spread, "max"));
    assert!(0.0 < min && min <= median && median <= max, "{name}: {spread}");
    median
}

fn assert_close(actual: f64, expected: f64) {
    assert!((actual - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{actual} is not {expected}");
}

/// The shares of every kind of threads are a whole, and what is in a queue is within its bound.
fn assert_sums(figures: &Value) {
    for threads in figures["threads"].as_array().unwrap() {
        let stages = threads["stages"].as_array().unwrap();
        assert_close(stages.iter().map(|stage| number(stage, "share")).sum(), 1.0);
        let seconds: f64 = stages.iter().map(|stage| number(stage, "seconds")).sum();
        assert!(seconds >= number(threads, "seconds") * 0.999, "{threads}");
    }
    for queue in figures["queues"].as_array().unwrap() {
        let (empty, full) = (number(queue, "empty"), number(queue, "full"));
        assert!((0.0..=1.0).contains(&empty) && (0.0..=1.0).contains(&full) && empty + full <= 1.0 + 1e-9, "{queue}");
        assert!((0.0..=number(queue, "bound")).contains(&number(queue, "mean")), "{queue}");
    }
    let limits = ["unknown", "plan", "storage", "check", "decode", "transform", "consumer"];
    assert!(limits.contains(&figures["limited_by"].as_str().unwrap()), "{figures}");
}

fn names<'a>(values: &'a Value, name: &str) -> Vec<&'a str> {
    values.as_array().unwrap().iter().map(|value| value[name].as_str().unwrap()).collect()
}

#[test]
fn rates_amplifications_and_sums_agree() {
    let videos = videos();
    let before = published(&videos.out());
    let report = bench(&videos.out(), &[SMALL, &["--decode-workers", "2,1,2", "--json"]].concat()).json();
    assert_eq!((&report["records"], &report["samples"], &report["batch_size"]), (&5.into(), &5.into(), &2.into()));
    assert_eq!((&report["checked"]["rows"], &report["checked"]["loaders"]), (&2.into(), &2.into()));
    assert_eq!(report["checked"]["batches"], 3);
    assert!(report["window"].as_str().unwrap().contains("4 frames at stride 1"), "{report}");
    assert!(report["cache"].as_str().unwrap().starts_with("warm") && report["machine"]["cores"].is_u64(), "{report}");
    assert_eq!(report["bounds"].as_array().unwrap().len(), 0);
    let points = report["points"].as_array().unwrap();
    assert_eq!(points.iter().map(|point| point["workers"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    for point in points {
        assert_sums(point);
        let frames = median(point, "frames_per_second");
        assert_close(median(point, "samples_per_second") * 4.0, frames);
        assert_close(median(point, "tensor_bytes_per_second"), frames * PIXEL_BYTES);
        assert_close(median(point, "decode_amplification") * frames, median(point, "frames_decoded_per_second"));
        assert!(median(point, "read_amplification") >= 1.0 && median(point, "read_bytes_per_second") > 0.0);
        assert!(median(point, "frames_per_cpu_second") > 0.0);
        assert_eq!(names(&point["threads"], "name"), ["decode workers", "reader", "consumer"]);
        assert_eq!((&point["threads"][0]["count"], &point["skipped"]), (&point["workers"], &0.into()));
    }
    assert_close(number(&points[0], "speedup"), 1.0);
    assert_close(number(&points[1], "efficiency") * 2.0, number(&points[1], "speedup"));
    assert_eq!(published(&videos.out()), before);
}

#[test]
fn bounds_are_marked_and_empty_ones_have_no_rate_of_tensors() {
    let videos = videos();
    let args = [SMALL, &["--decode-workers", "1", "--profile-stages", "--json"]].concat();
    let report = bench(&videos.out(), &args).json();
    let bounds = &report["bounds"];
    assert_eq!(names(bounds, "without"), ["transform", "decode", "storage"]);
    assert_eq!(names(bounds, "batches"), ["empty", "empty", "real"]);
    for bound in bounds.as_array().unwrap() {
        assert_sums(bound);
        let whole = median(&report["points"][0], "frames_per_second");
        assert_close(number(bound, "ratio") * whole, median(bound, "frames_per_second"));
        assert_eq!(bound["tensor_bytes_per_second"].is_null(), bound["batches"] == "empty", "{bound}");
        let share = |name: &str| {
            let stages = bound["threads"][0]["stages"].as_array().unwrap();
            number(stages.iter().find(|stage| stage["name"] == name).unwrap(), "share")
        };
        assert_eq!(share("transform") == 0.0, bound["batches"] == "empty", "{bound}");
    }
    assert!(bounds[1]["frames_decoded_per_second"].is_null() && bounds[1]["decode_amplification"].is_null());
    // The whole loader, and the one on mapped files.
    assert_eq!(report["checked"]["loaders"], 2);
}

#[test]
fn tensors_are_measured_by_samples_padded_ones_checked_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = tensors(folder.path());
    let args = ["--fields", "latents,text", "--ragged", "pad", "--decode-workers", "1", "--profile-stages", "--json"];
    let report = bench(&path, &args).json();
    assert_eq!((&report["samples"], &report["incomplete_records"]), (&4.into(), &1.into()));
    assert!(report["window"].is_null() && report["fields"][1] == "text", "{report}");
    let point = &report["points"][0];
    assert_sums(point);
    assert_eq!(names(&point["threads"], "name"), ["tensor readers", "reader", "consumer"]);
    assert!(point["frames_per_second"].is_null() && point["decode_amplification"].is_null());
    assert!(median(point, "tensor_bytes_per_second") >= median(point, "samples_per_second") * 256.0);
    assert_eq!(names(&report["bounds"], "without"), ["checksum", "storage"]);
    assert_eq!(names(&report["bounds"], "batches"), ["real", "real"]);
}

#[test]
fn the_table_says_what_was_checked_and_stages_on_request() {
    let videos = videos();
    let args = [SMALL, &["--decode-workers", "1"]].concat();
    let said = bench(&videos.out(), &args);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    for word in ["5 samples of 5 records", "checked: 2 rows", "frames/CPU s", "limited by", "decode x"] {
        assert!(said.stdout.contains(word), "{word:?} is not in {}", said.stdout);
    }
    assert!(!said.stdout.contains("wait for clips") && !said.stdout.contains("no transform"), "{}", said.stdout);
    let said = bench(&videos.out(), &[&args[..], &["--profile-stages"]].concat());
    for word in ["wait for clips", "no transform", "batches are empty", "finished batches"] {
        assert!(said.stdout.contains(word), "{word:?} is not in {}", said.stdout);
    }
}

#[test]
fn the_report_is_one_page_that_needs_nothing_else() {
    let videos = videos();
    let page = videos.dir.path().join("report.html");
    let args = [SMALL, &["--decode-workers", "1,2", "--report", page.to_str().unwrap()]].concat();
    let said = bench(&videos.out(), &args);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let html = std::fs::read_to_string(&page).unwrap();
    for reference in ["http", "src=", "href", "url(", "@import", "<script", "<link", "NaN"] {
        assert!(!html.contains(reference), "{reference:?} is in the page");
    }
    let words =
        ["Rate over workers", "Where the time goes", "If a stage took no time", "Rates and amplification", "Kernel"];
    for word in words {
        assert!(html.contains(word), "{word:?} is not in the page");
    }
    // Rates by wall and CPU time, shares and bounds; the legend has more.
    assert_eq!(html.matches("<svg class=\"plot").count(), 4);
    assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
    assert_eq!(html.matches("class=\"bound empty\"").count(), 2);
}

#[test]
fn damaged_samples_are_left_out_and_counted() {
    let videos = videos();
    let dataset = Dataset::open(videos.out()).unwrap();
    let (shard, stream) = dataset.stream(dataset.find("b").unwrap().unwrap()).unwrap();
    let mut bytes = std::fs::read(shard.path()).unwrap();
    for packet in stream.packets.iter() {
        bytes[packet.offset as usize + packet.size as usize / 2] ^= 0x10;
    }
    let path = shard.path().to_owned();
    drop((shard, dataset));
    std::fs::write(path, bytes).unwrap();
    let report = bench(&videos.out(), &[SMALL, &["--decode-workers", "2", "--json"]].concat()).json();
    assert!(report["points"][0]["skipped"].as_u64().unwrap() > 0, "{report}");
    assert!(report["notes"].to_string().contains("framefeed verify"), "{report}");
}

#[test]
fn what_cannot_be_loaded_is_named() {
    let folder = tempfile::tempdir().unwrap();
    bench(folder.path(), &[]).fails(1, &["no dataset: it has no manifest.json", "framefeed convert"]);
    let videos = videos();
    let out = videos.out();
    bench(&out, &["--frames", "9999", "--size", "8x8"]).fails(1, &["9999 frames", "the longest has 50"]);
    videos.add("d.mp4", &testing::H264_CROPPED);
    let mixed = videos.dir.path().join("mixed");
    convert(&videos.source(), &mixed, &["--check", "fast"]).json();
    bench(&mixed, &[]).fails(1, &["of different sizes", "--size HxW"]);
    bench(&out, &["--fields", "latents"]).fails(1, &["no field 'latents'"]);
    bench(&out, &["--decode-workers", "0"]).fails(1, &["--decode-workers is 0"]);
    bench(&out, &["--seconds", "0"]).fails(1, &["--seconds"]);
    bench(&out, &["--layout", "HWCT"]).fails(2, &["expected one of TCHW"]);
    bench(&out, &["--size", "8"]).fails(2, &["256x256"]);
    bench(&out, &["--fps", "8", "--stride", "2"]).fails(2, &["--stride"]);
    bench(&tensors(folder.path()), &[]).fails(1, &["--fields", "latents, text"]);
}

#[test]
fn cold_is_one_epoch_that_finds_nothing_in_the_page_cache() {
    // Beside the build: a folder for temporary files may be in memory, where nothing can be dropped.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let videos = videos();
    let out = folder.path().join("out");
    convert(&videos.source(), &out, &["--check", "fast"]).json();
    let args = [SMALL, &["--decode-workers", "1", "--cold", "--json"]].concat();
    let since = Instant::now();
    let report = bench(&out, &[&args[..], &["--seconds", "600"]].concat()).json();
    assert!(since.elapsed() < Duration::from_secs(300), "it went on behind the end of the epoch");
    assert!(report["cache"].as_str().unwrap().starts_with("cold"), "{report}");
    if report["machine"]["file_system"].as_str().is_some_and(|name| name.contains("tmpfs")) {
        eprintln!("SKIPPED: the build is on tmpfs");
        return;
    }
    assert!(number(&report["points"][0], "cached_before") < 0.01, "{}", report["points"][0]);
    let report = bench(&out, &[&args[..], &["--profile-stages"]].concat()).json();
    // Mapped files are to be in the cache, whatever else is cold.
    assert!(number(&report["bounds"][2], "cached_before") > 0.99, "{}", report["bounds"][2]);
}

#[test]
fn an_interrupted_run_ends_at_once() {
    let videos = videos();
    let mut command = framefeed(["bench", "loader"]);
    command.arg(videos.out()).args(SMALL).args(["--seconds", "600"]);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let since = Instant::now();
    let tasks = PathBuf::from(format!("/proc/{}/task", child.id()));
    let is_loading = || {
        let names = tasks.read_dir().into_iter().flatten().flatten();
        names
            .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
            .any(|name| name.starts_with("ff-"))
    };
    while !is_loading() {
        assert!(since.elapsed() < Duration::from_secs(60), "no loader was started");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(since.elapsed() < Duration::from_secs(90), "it went on");
}
