//! `framefeed convert` from end to end: what gets in, what does not and why, and that running again changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::json;
use std::path::Path;
use support::{Videos, convert, framefeed, keys, on, published, record, testing};

#[test]
fn a_folder_becomes_a_dataset_and_a_second_run_converts_nothing() {
    let videos = Videos::several();
    videos.write("a/0.json", r#"{"caption": "from json", "score": 0.5, "tags": ["x"]}"#);
    videos.write("a/1.txt", "a caption\n");
    let report = convert(&videos.source(), &videos.out(), &["--shard-size", "100KB"]).json();
    assert_eq!((&report["clips"], &report["clips_converted"]), (&json!(12), &json!(12)));
    assert_eq!((&report["sources"], &report["up_to_date"]), (&json!(12), &json!(false)));
    assert!(report["shards"].as_u64().unwrap() > 1, "{report}");
    assert_eq!(report["failed"], json!([]));
    assert_eq!(
        report["frames"].as_u64().unwrap(),
        4 * u64::from(testing::H264.frames + testing::HEVC_OPEN_GOP.frames + testing::MPEG4.frames)
    );
    assert_eq!(keys(&videos.out())[0], "a/0");
    let first = record(&videos.out(), "a/0");
    assert_eq!(first.caption.as_deref(), Some("from json"));
    assert_eq!(first.columns["score"], json!(0.5));
    assert_eq!(first.columns["tags"], json!("[\"x\"]"));
    assert_eq!(first.source, videos.source().join("a/0.mp4").to_str().unwrap());
    assert_eq!(record(&videos.out(), "a/1").caption.as_deref(), Some("a caption"));

    let before = published(&videos.out());
    let again = convert(&videos.source(), &videos.out(), &["--shard-size", "100KB"]).json();
    assert_eq!((&again["up_to_date"], &again["clips_converted"]), (&json!(true), &json!(0)));
    assert_eq!((&again["clips_reused"], &again["frames"]), (&json!(12), &report["frames"]));
    assert_eq!(published(&videos.out()), before);

    let check = on("verify", &videos.out(), &["--decode", "--json"]).json();
    assert_eq!((&check["problems"], &check["records"], &check["frames"]), (&json!([]), &json!(12), &report["frames"]));
}

#[test]
fn the_bytes_depend_neither_on_the_number_of_jobs_nor_on_the_run() {
    let videos = Videos::several();
    let (one, many) = (videos.dir.path().join("one"), videos.dir.path().join("many"));
    convert(&videos.source(), &one, &["--jobs", "1", "--shard-size", "150KB"]).json();
    convert(&videos.source(), &many, &["--jobs", "7", "--shard-size", "150KB"]).json();
    assert_eq!(published(&one), published(&many));
    let other = videos.dir.path().join("other");
    convert(&videos.source(), &other, &["--seed", "1", "--shard-size", "150KB"]).json();
    assert_ne!(published(&one), published(&other));
    assert_eq!(keys(&one), keys(&other));
}

#[test]
fn a_list_cuts_exactly_and_keeps_its_columns() {
    let videos = Videos::new();
    videos.add("v/a.mp4", &testing::H264);
    let list = videos.write(
        "list.csv",
        "path,start,end,key,caption,score,key2\nv/a.mp4,0.5,1,mid,\"a, b\",3,x\nv/a.mp4,1.52,,,,,\nv/a.mp4,,0.04,,,1.5,\n",
    );
    let report = convert(&list, &videos.out(), &[]).json();
    assert_eq!((&report["clips"], &report["sources"]), (&json!(3), &json!(1)), "{report}");
    assert_eq!(keys(&videos.out()), ["a_0000", "a_0001", "mid"]);
    let mid = record(&videos.out(), "mid");
    // 25 frames a second: 0.52, 0.56, ... 0.96 are frames 13 to 24.
    assert_eq!(mid.stream.num_frames(), 12);
    assert_eq!(
        (mid.caption.as_deref(), &mid.columns["score"], &mid.columns["key2"]),
        (Some("a, b"), &json!(3.0), &json!("x"))
    );
    assert_eq!((mid.source_start, mid.source_end), (Some(0.5), Some(1.0)));
    assert_eq!(record(&videos.out(), "a_0000").stream.num_frames(), testing::H264.frames as usize - 38);
    assert_eq!(record(&videos.out(), "a_0001").stream.num_frames(), 1);
}

#[test]
fn splitting_loses_no_frame() {
    let videos = Videos::new();
    videos.add("a.mp4", &testing::H264);
    let report = convert(&videos.source(), &videos.out(), &["--split-seconds", "0.5"]).json();
    assert_eq!(report["frames"], json!(testing::H264.frames), "{report}");
    assert_eq!(keys(&videos.out()), ["a_0000", "a_0001", "a_0002", "a_0003"]);
}

#[test]
fn what_cannot_be_converted_is_listed_with_its_reason_or_fails_the_run() {
    let videos = Videos::new();
    let good = videos.add("good.mp4", &testing::H264);
    let bytes = std::fs::read(&good).unwrap();
    videos.write("truncated.mp4", &bytes[..bytes.len() / 10]);
    videos.write("empty.mp4", "");
    videos.write("text.mp4", "this is no video, whatever its name says\n".repeat(50));
    videos.write("folder.mp4/inside.mp4", &bytes);
    videos.copy("bad_sidecar.mp4", &good);
    videos.write("bad_sidecar.json", "{");
    std::os::unix::fs::symlink("nowhere", videos.source().join("dangling.mp4")).unwrap();
    let report = convert(&videos.source(), &videos.out(), &[]).json();
    assert_eq!(keys(&videos.out()), ["folder_mp4/inside", "good"]);
    let failed: Vec<String> = report["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["source"].as_str().unwrap().rsplit('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(failed, ["bad_sidecar.mp4", "dangling.mp4", "empty.mp4", "text.mp4", "truncated.mp4"], "{report}");
    for failure in report["failed"].as_array().unwrap() {
        assert!(failure["reason"].as_str().unwrap().len() > 10 && failure["kind"].is_string(), "{failure}");
    }
    let lines = std::fs::read_to_string(videos.out().join(".framefeed/failures.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 5);

    let strict = videos.dir.path().join("strict");
    convert(&videos.source(), &strict, &["--on-error", "fail"]).fails(1, &["error: "]);
    assert!(!strict.join("manifest.json").exists());
    // The failure of a finished run counts too.
    convert(&videos.source(), &videos.out(), &["--on-error", "fail"]).fails(1, &["error: "]);
}

#[test]
fn a_failing_clip_fails_the_run_where_that_is_asked_and_skipping_goes_on_from_there() {
    let videos = Videos::new();
    videos.add("good.mp4", &testing::H264);
    videos.write("empty.mp4", "");
    convert(&videos.source(), &videos.out(), &["--on-error", "fail"]).fails(1, &["empty.mp4"]);
    assert!(!videos.out().join("manifest.json").exists());
    let report = convert(&videos.source(), &videos.out(), &[]).json();
    assert_eq!((&report["clips"], report["failed"].as_array().unwrap().len()), (&json!(1), 1));
}

#[test]
fn where_nothing_can_be_converted_there_is_no_dataset() {
    let videos = Videos::new();
    videos.write("empty.mp4", "");
    convert(&videos.source(), &videos.out(), &[]).fails(1, &["nothing could be converted", "empty.mp4"]);
    assert!(!videos.out().join("manifest.json").exists());
    // Mended, the same command works.
    videos.add("empty.mp4", &testing::H264);
    assert_eq!(convert(&videos.source(), &videos.out(), &[]).json()["clips"], json!(1));
    convert(&videos.dir.path().join("nothing-here"), &videos.out(), &[]).fails(1, &["nothing-here"]);
    std::fs::create_dir(videos.dir.path().join("void")).unwrap();
    convert(&videos.dir.path().join("void"), &videos.out(), &[]).fails(1, &["no video"]);
}

#[test]
fn bad_list_rows_are_listed_with_their_lines() {
    let videos = Videos::new();
    videos.add("a.mp4", &testing::H264);
    let list = videos.write("l.jsonl", "{\"path\": \"a.mp4\", \"start\": 0, \"end\": 1}\n{\"path\": \"a.mp4\", \"start\": 2, \"end\": 1}\n{\"path\": \"gone.mp4\"}\nnot json\n{\"path\": \"a.mp4\", \"start\": 100, \"end\": 200}\n");
    let report = convert(&list, &videos.out(), &[]).json();
    assert_eq!(report["clips"], json!(1));
    let text = report["failed"].to_string();
    for part in ["line 2", "line 3", "gone.mp4", "line 4", "no frame"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    convert(&list, &videos.dir.path().join("strict"), &["--on-error", "fail"]).fails(1, &["line 2"]);
}

#[test]
fn folders_in_the_way_are_conflicts_and_stay_as_they_are() {
    let videos = Videos::new();
    videos.add("a.mp4", &testing::H264);
    convert(&videos.source(), &videos.out(), &[]).json();
    let before = published(&videos.out());
    convert(&videos.source(), &videos.out(), &["--seed", "9"]).fails(1, &["conflict", "hint: "]);
    videos.add("b.mp4", &testing::H264);
    convert(&videos.source(), &videos.out(), &[]).fails(1, &["conflict", "other sources", "hint: "]);
    std::fs::remove_dir_all(videos.out().join(".framefeed")).unwrap();
    convert(&videos.source(), &videos.out(), &[]).fails(1, &["conflict", "another dataset", "hint: "]);
    assert_eq!(published(&videos.out()), before);
    convert(&videos.source(), &videos.source(), &[]).fails(1, &["conflict", "not empty"]);
    convert(&videos.source(), &videos.source().join("a.mp4"), &[]).fails(1, &["conflict", "is a file"]);
}

#[test]
fn a_missing_shard_is_made_again_with_the_same_bytes() {
    let videos = Videos::several();
    convert(&videos.source(), &videos.out(), &["--shard-size", "100KB"]).json();
    let before = published(&videos.out());
    let (missing, cut) = {
        let mut shards = before.keys().filter(|name| name.starts_with("shards/"));
        (videos.out().join(shards.next().unwrap()), videos.out().join(shards.next().unwrap()))
    };
    std::fs::remove_file(missing).unwrap();
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 512]).unwrap();
    let report = convert(&videos.source(), &videos.out(), &["--shard-size", "100KB"]).json();
    assert!((1..12).contains(&report["clips_converted"].as_u64().unwrap()), "{report}");
    assert_eq!(published(&videos.out()), before);
}

#[test]
fn an_output_folder_that_cannot_be_written_is_named() {
    let videos = Videos::new();
    videos.add("a.mp4", &testing::H264);
    convert(&videos.source(), Path::new("/proc/no-such-folder/out"), &[]).fails(1, &["/proc/no-such-folder/out"]);
    let parent = videos.write("file", "x");
    convert(&videos.source(), &parent.join("out"), &[]).fails(1, &["file/out"]);
}

#[test]
fn a_file_that_may_not_be_read_is_listed() {
    use std::os::unix::fs::PermissionsExt as _;
    let videos = Videos::new();
    videos.add("a.mp4", &testing::H264);
    let secret = videos.add("secret.mp4", &testing::H264);
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&secret).is_ok() {
        eprintln!("SKIPPED: this user may read everything");
        return;
    }
    let report = convert(&videos.source(), &videos.out(), &[]).json();
    assert!(report["failed"].to_string().contains("Permission denied"), "{report}");
}

#[test]
fn a_full_disk_is_an_error_and_the_same_command_goes_on() {
    let videos = Videos::several();
    // A limit on the size of a file stands in for a full disk: writing fails half-way through a shard.
    let limited = |kilobytes: u32| {
        let mut command = std::process::Command::new("sh");
        // The signal is ignored, so that the write fails instead.
        let script = format!("trap '' XFSZ; ulimit -f {kilobytes}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_framefeed"), "convert"]);
        command.arg(videos.source()).arg("--out").arg(videos.out());
        support::Said::from(command.output().unwrap())
    };
    limited(16).fails(1, &["i/o", "File too large"]);
    assert!(!videos.out().join("manifest.json").exists());
    limited(100).fails(1, &["i/o", "File too large"]);
    assert!(!videos.out().join("manifest.json").exists());
    convert(&videos.source(), &videos.out(), &[]).json();
    let undisturbed = videos.dir.path().join("undisturbed");
    convert(&videos.source(), &undisturbed, &[]).json();
    assert_eq!(published(&videos.out()), published(&undisturbed));
}

#[test]
fn two_conversions_into_one_folder_do_not_meet() {
    let videos = Videos::several();
    let mut children: Vec<_> = (0..4)
        .map(|_| {
            let mut command = framefeed(["convert"]);
            command.arg(videos.source()).arg("--out").arg(videos.out()).arg("--json");
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let said: Vec<support::Said> = children.drain(..).map(|child| child.wait_with_output().unwrap().into()).collect();
    assert!(said.iter().any(|said| said.code == Some(0)));
    for said in said.iter().filter(|said| said.code != Some(0)) {
        said.fails(1, &["conflict", "another writer", "process"]);
    }
    on("verify", &videos.out(), &[]).fails(0, &[]);
}
