//! What goes wrong with one source is that one's failure: the others are converted, now and when the command is run again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use support::{Videos, convert, keys, on, record, testing};

/// A video at `rate` frames a second; every frame looks different.
fn clip(name: &str, rate: &str, seconds: &str, encode: &[&str]) -> PathBuf {
    let source = format!("testsrc2=size=128x96:rate={rate}:duration={seconds}");
    testing::make(name, &[&["-f", "lavfi", "-i", &source], encode].concat())
}

/// The frames of a file as the ffmpeg command shows them.
fn frames(path: &Path) -> Vec<Vec<u8>> {
    testing::raw_planes(path, 0, 128 * 96 * 3 / 2)
}

/// The MP4 of a record as `framefeed extract` writes it.
fn extracted(videos: &Videos, key: &str) -> PathBuf {
    let path = videos.dir.path().join(format!("{}.mp4", key.replace('/', "_")));
    let said =
        support::run(["extract".as_ref(), videos.out().as_os_str(), key.as_ref(), "-o".as_ref(), path.as_os_str()]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    path
}

/// The sources that a report lists as left out, without their folder, with the reasons.
fn left_out(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name = |source: &Value| text(source).rsplit('/').next().unwrap().to_owned();
    report["failed"].as_array().unwrap().iter().map(|f| (name(&f["source"]), text(&f["reason"]))).collect()
}

/// libdav1d and mjpeg hand out frames of packets that an edit list marks as not to be shown: what this ffmpeg shows is kept.
#[test]
fn a_clip_whose_edit_list_hides_frames_that_the_decoder_shows_has_the_frames_that_ffmpeg_shows() {
    let videos = Videos::new();
    let av1 = ["-c:v", "libaom-av1", "-cpu-used", "8", "-g", "50", "-pix_fmt", "yuv420p"];
    let (av1, good) = (clip("long_gop_av1.mp4", "25", "4", &av1), testing::H264.path());
    let trimmed = |name, source: &Path, before: &[&str], after: &[&str]| {
        testing::make(name, &[before, &["-i", source.to_str().unwrap(), "-c", "copy"], after].concat())
    };
    let mjpeg = clip("plain_mjpeg.mov", "25", "2", &["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"]);
    let early = ["-avoid_negative_ts", "disabled"];
    let sources = [
        ("av1.mp4", trimmed("trimmed_av1.mp4", &av1, &["-ss", "2.52"], &[])),
        ("mjpeg.mov", trimmed("early_mjpeg.mov", &mjpeg, &["-itsoffset", "-0.5"], &early)),
        ("h264.mp4", trimmed("trimmed_h264.mp4", &good, &["-ss", "0.6"], &[])),
    ];
    videos.copy("good.mp4", &good);
    for (name, path) in &sources {
        videos.copy(name, path);
    }
    for profile in ["copy", "train"] {
        let out = videos.dir.path().join(profile);
        let report = convert(&videos.source(), &out, &["--profile", profile]).json();
        assert_eq!((&report["clips"], &report["failed"]), (&json!(4), &json!([])), "{report}");
        for (name, path) in &sources {
            let (key, shown) = (name.split('.').next().unwrap(), frames(path));
            assert_eq!(record(&out, key).stream.num_frames(), shown.len(), "{name}, {profile}");
        }
        assert_eq!(on("verify", &out, &["--decode"]).code, Some(0));
    }
    convert(&videos.source(), &videos.out(), &[]).json();
    for (name, path) in &sources {
        let key = name.split('.').next().unwrap();
        assert!(frames(&extracted(&videos, key)) == frames(path), "{name}: other frames than ffmpeg's");
    }
}

/// A plan may come from an earlier version of the program, which let through what a shard refuses.
#[test]
fn a_clip_that_its_shard_refuses_fails_alone_also_when_the_command_is_run_again() {
    let videos = Videos::new();
    videos.add("good.mp4", &testing::H264);
    videos.add("bad.mp4", &testing::HEVC_OPEN_GOP);
    videos.write("empty.mp4", "");
    convert(&videos.source(), &videos.out(), &["--on-error", "fail"]).fails(1, &["empty.mp4"]);
    let plan = videos.out().join(".framefeed/plan.json");
    let mut value: Value = serde_json::from_slice(&std::fs::read(&plan).unwrap()).unwrap();
    let clips = value["units"][0]["clips"].as_array_mut().unwrap();
    clips.iter_mut().find(|clip| clip["key"] == "bad").unwrap()["columns"] = json!({"a\u{1b}[31mb": 1});
    std::fs::write(&plan, value.to_string()).unwrap();

    convert(&videos.source(), &videos.out(), &["--on-error", "fail"]).fails(1, &[]);
    for _ in 0..2 {
        let report = convert(&videos.source(), &videos.out(), &[]).json();
        assert_eq!((keys(&videos.out()), &report["clips"]), (vec!["good".to_owned()], &json!(1)));
        let left_out = left_out(&report);
        assert_eq!(left_out[0].0, "bad.mp4", "{report}");
        assert!(left_out[0].1.contains("column name") && !left_out[0].1.contains(".framefeed"), "{report}");
    }
}

/// A way of writing a time down.
type Print = (&'static str, fn(f64) -> String);

/// Cuts by times as people print them, of a real file: each holds the frames whose times they are.
#[test]
fn cuts_by_printed_times_hold_the_frames_that_they_name() {
    let encode = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "30", "-preset", "ultrafast"];
    let prints: [Print; 4] = [
        ("repr", |time| format!("{time:?}")),
        ("ffprobe", |time| format!("{time:.6}")),
        ("scenedetect", |time| format!("{time:.3}")),
        ("float32", |time| format!("{:?}", time as f32)),
    ];
    let mut random = 7_u64;
    let mut below = |end: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % end
    };
    let videos = Videos::new();
    let mut list = "path,start,end,key\n".to_owned();
    let mut wanted = Vec::new();
    for (name, num, den) in [("ntsc.mp4", 30_000, 1001), ("film.mkv", 24_000, 1001), ("plain.mp4", 30, 1)] {
        let path = clip(name, &format!("{num}/{den}"), "10", &encode);
        videos.copy(name, &path);
        let shown = frames(&path);
        for (print_name, print) in prints {
            for number in 0..4 {
                let from = below(shown.len() - 1);
                let to = if number == 0 { from + 1 } else { from + 1 + below(shown.len() - 1 - from).min(40) };
                let time = |frame: usize| print(frame as f64 * f64::from(den) / f64::from(num));
                let key = format!("{}_{print_name}_{from}_{to}", name.replace('.', "_"));
                list += &format!("{name},{},{},{key}\n", time(from), time(to));
                wanted.push((key, shown[from..to].to_vec()));
            }
        }
    }
    let list = videos.write("cuts.csv", list);
    let report = convert(&list, &videos.out(), &["--check", "fast"]).json();
    assert_eq!((&report["clips"], &report["failed"]), (&json!(wanted.len()), &json!([])), "{report}");
    for (key, shown) in wanted {
        assert!(frames(&extracted(&videos, &key)) == shown, "{key}");
    }
}
