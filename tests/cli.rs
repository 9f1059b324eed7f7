//! The command line itself: help, usage errors, info, verify, extract, what goes to which stream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::json;
use std::ffi::OsStr;
use std::io::Read as _;
use support::{Videos, convert, framefeed, published, record, run, testing};

fn dataset() -> Videos {
    let videos = Videos::new();
    videos.add("x/h264.mp4", &testing::H264);
    videos.add("x/hevc.mp4", &testing::HEVC_OPEN_GOP);
    videos.write("x/h264.json", r#"{"score": 1}"#);
    convert(&videos.source(), &videos.out(), &[]).json();
    videos
}

#[test]
fn help_shows_every_command_and_usage_errors_exit_with_2() {
    let help = run(["--help"]);
    assert_eq!(help.code, Some(0));
    for word in ["convert", "info", "verify", "extract", "Examples"] {
        assert!(help.stdout.contains(word), "{word}");
    }
    let convert_help = run(["convert", "--help"]).stdout;
    for word in ["--out", "--split-seconds", "--shard-size", "[default: 1GiB]", "--on-error", "--jobs", "caption"] {
        assert!(convert_help.contains(word), "{word}");
    }
    assert_eq!(run(["--version"]).stdout, format!("framefeed {}\n", env!("CARGO_PKG_VERSION")));
    for usage in [
        &[][..],
        &["frobnicate"],
        &["convert"],
        &["convert", "a"],
        &["convert", "a", "--out", "b", "--shard-size", "1XB"],
        &["convert", "a", "--out", "b", "--split-seconds", "0"],
        &["convert", "a", "--out", "b", "--on-error", "shrug"],
        &["extract", "a"],
    ] {
        let said = run(usage);
        assert_eq!(said.code, Some(2), "{usage:?}");
        assert_eq!(said.stdout, "");
    }
}

#[test]
fn the_summary_is_on_stdout_and_nothing_else_is() {
    let videos = Videos::new();
    videos.add("a.mp4", &testing::H264);
    videos.write("b.mp4", "");
    let mut command = framefeed(["convert"]);
    let said = support::Said::from(command.arg(videos.source()).arg("-o").arg(videos.out()).output().unwrap());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.starts_with("1 clip from 2 sources"), "{}", said.stdout);
    assert!(said.stdout.contains("left out (1):") && said.stdout.contains("b.mp4"), "{}", said.stdout);
    assert_eq!(said.stderr, "");
}

#[test]
fn info_counts_and_estimates() {
    let videos = dataset();
    let out = videos.out();
    let info = run([
        OsStr::new("info"),
        out.as_os_str(),
        "--window".as_ref(),
        "8".as_ref(),
        "--stride".as_ref(),
        "2".as_ref(),
        "--json".as_ref(),
    ])
    .json();
    assert_eq!((&info["clips"], &info["shards"]), (&json!(2), &json!(1)));
    assert_eq!(info["frames"], json!(testing::H264.frames + testing::HEVC_OPEN_GOP.frames));
    assert_eq!(info["columns"], json!(["score"]));
    assert_eq!(info["codecs"].as_array().unwrap().len(), 2);
    let amplification = info["window"]["decode_amplification"].as_f64().unwrap();
    assert!((1.0..10.0).contains(&amplification), "{info}");
    let window = |name: &str| info["window"][name].as_f64().unwrap();
    assert!(window("bytes_per_window") > 100.0 && window("decoded_per_core_second") > 1.0, "{info}");
    assert!(info["gop_frames"]["max"].as_u64().unwrap() >= info["gop_frames"]["median"].as_u64().unwrap());
    let text = run([OsStr::new("info"), out.as_os_str(), "--window".as_ref(), "8".as_ref()]).stdout;
    assert!(
        text.contains("h264 yuv420p") && text.contains("per frame delivered") && text.contains("frames/s per core"),
        "{text}"
    );
    let one = run([OsStr::new("info"), out.as_os_str(), "--window".as_ref(), "1".as_ref()]);
    assert!(one.stdout.contains("1 frame, stride 4: "), "{}", one.stdout);
    let long = run([OsStr::new("info"), out.as_os_str(), "--window".as_ref(), "5000".as_ref()]);
    assert!(long.code == Some(0) && long.stdout.contains("no clip is long enough"), "{}", long.stdout);
    run([OsStr::new("info"), out.as_os_str(), "--window".as_ref(), "0".as_ref()])
        .fails(1, &["frames is 0, expected 1 to 65536"]);
    run([OsStr::new("info"), videos.source().as_os_str()])
        .fails(1, &["not found", "manifest.json", "framefeed convert"]);
}

#[test]
fn verify_lists_every_flipped_byte_and_missing_shard() {
    let videos = dataset();
    let out = videos.out();
    let verify =
        |args: &[&str]| run([OsStr::new("verify"), out.as_os_str()].into_iter().chain(args.iter().map(OsStr::new)));
    assert!(verify(&[]).stdout.starts_with("sound: 2 clips in 1 shard"), "{}", verify(&[]).stdout);
    let shard = out.join(published(&out).keys().find(|name| name.starts_with("shards/")).unwrap());
    let good = std::fs::read(&shard).unwrap();
    let packet = record(&out, "x/h264").stream.packets.get(3).unwrap();
    let mut bad = good.clone();
    bad[packet.offset as usize + 5] ^= 1;
    std::fs::write(&shard, &bad).unwrap();
    let said = verify(&["--json"]);
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let check: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert!(check["problems"].to_string().contains("x/h264"), "{check}");
    assert_eq!(verify(&["--decode"]).code, Some(1));
    let said = run([
        OsStr::new("extract"),
        out.as_os_str(),
        "x/h264".as_ref(),
        "-o".as_ref(),
        videos.dir.path().join("bad.mp4").as_os_str(),
    ]);
    said.fails(1, &["corrupt", "checksum", "x/h264"]);
    assert!(!videos.dir.path().join("bad.mp4").exists());
    std::fs::write(&shard, &good[..good.len() / 2]).unwrap();
    assert_eq!(verify(&["--decode"]).code, Some(1));
    std::fs::remove_file(&shard).unwrap();
    let said = verify(&["--decode"]);
    assert_eq!(said.code, Some(1));
    assert!(said.stdout.contains(shard.file_name().unwrap().to_str().unwrap()), "{}", said.stdout);
    std::fs::write(&shard, &good).unwrap();
    assert_eq!(verify(&["--decode"]).code, Some(0));
    std::fs::write(out.join("index.arrow"), "x").unwrap();
    assert!(verify(&["--decode"]).stdout.contains("index.arrow"));
    run([OsStr::new("verify"), videos.source().as_os_str()]).fails(1, &["manifest.json"]);
}

#[test]
fn extract_gives_a_playable_file_and_replaces_none() {
    let videos = dataset();
    let (out, file) = (videos.out(), videos.dir.path().join("clip.mp4"));
    let extract = |key: &str, to: &OsStr, more: &[&str]| {
        let args = [OsStr::new("extract"), out.as_os_str(), key.as_ref(), "-o".as_ref(), to];
        framefeed(args.into_iter().chain(more.iter().map(OsStr::new))).output().unwrap()
    };
    assert!(extract("x/h264", file.as_os_str(), &[]).status.success());
    let bytes = std::fs::read(&file).unwrap();
    let (width, height) = testing::H264.size;
    let frame_bytes = (width * height * 3 / 2) as usize;
    assert_eq!(testing::raw_planes(&file, 0, frame_bytes), testing::raw_planes(&testing::H264.path(), 0, frame_bytes));
    assert_eq!(extract("x/h264", OsStr::new("-"), &[]).stdout, bytes);
    support::Said::from(extract("x/hevc", file.as_os_str(), &[])).fails(1, &["already exists", "--force"]);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
    assert!(extract("x/hevc", file.as_os_str(), &["--force"]).status.success());
    assert_ne!(std::fs::read(&file).unwrap(), bytes);
    support::Said::from(extract("nope", file.as_os_str(), &["--force"])).fails(1, &["no such record", "nope"]);
    let names: Vec<_> = std::fs::read_dir(videos.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_crash() {
    let videos = dataset();
    let mut child =
        framefeed([OsStr::new("extract"), videos.out().as_os_str(), "x/h264".as_ref(), "-o".as_ref(), "-".as_ref()])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(matches!(child.wait().unwrap().code(), Some(0 | 1)));
    assert!(!stderr.contains("panicked"), "{stderr}");
}
