//! What goes wrong with one source is that one's failure: the others are converted, now and when the command is run again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use std::fmt::Write as _;
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
                writeln!(list, "{name},{},{},{key}", time(from), time(to)).unwrap();
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

/// Lists as pandas and people write them: what is wrong with a row or a column is lost alone, and said.
#[test]
fn bad_rows_and_columns_of_a_list_are_lost_alone_also_when_the_command_is_run_again() {
    let videos = Videos::new();
    videos.add("a.mp4", &testing::H264);
    let csv: &[&[u8]] = &[
        b",path,start,end,note,note,x\x1b[31m\n",
        b"0,a.mp4,0,1,n,m,1\n",
        b"1,a.mp4,0\n",
        b"2,a.mp4,0,1,n,m,1,extra\n",
        b"3,a\xff.mp4,0,1,n,m,1\n",
        b"4,a.mp4,1,2,n,m,1\n",
        b"5,gone.mp4,1,2,n,m,1\n",
        b"6,a.mp4,1,2,\"n,m,1\n",
    ];
    let list = videos.write("l.csv", csv.concat());
    for up_to_date in [false, true] {
        let report = convert(&list, &videos.out(), &[]).json();
        assert_eq!((&report["clips"], &report["up_to_date"]), (&json!(2), &json!(up_to_date)), "{report}");
        let said = left_out(&report);
        for (place, part) in [
            ("l.csv, line 3", "has 3 values, expected 7"),
            ("l.csv, line 4", "has 8 values"),
            ("l.csv, line 5", "not UTF-8"),
            ("l.csv, line 7)", "No such file"),
            ("l.csv, line 8", "quotes are not closed"),
            ("l.csv, line 1", "'note' stands twice"),
            ("l.csv, line 2", "control characters"),
        ] {
            let is_said = said.iter().any(|(source, reason)| source.ends_with(place) && reason.contains(part));
            assert!(is_said, "{place}: {part} is not in {said:?}");
        }
        assert_eq!(said.len(), 7, "{said:?}");
        assert!(report["warnings"].to_string().contains("column 1 has no name"), "{report}");
    }
    assert_eq!(Value::Object(record(&videos.out(), "a_0000").columns), json!({"note": "n"}));
}

#[test]
fn sources_that_cannot_be_read_are_left_out_alone_and_what_is_no_file_is_not_opened() {
    let videos = Videos::new();
    videos.add("good.mp4", &testing::H264);
    let fifo = |name: &str| {
        let path = videos.source().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
        path
    };
    let (named, list) = (fifo("fifo.mp4"), fifo("fifo.csv"));
    fifo("good.txt");
    fifo("fifo_without_extension");
    std::fs::create_dir(videos.source().join("good.json")).unwrap();
    videos.write("playlist.mp4", "ffconcat version 1.0\nfile fifo.mp4\n");
    videos.write("playlist.ts", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfifo.mp4\n#EXT-X-ENDLIST\n");
    videos.add("bad.mp4", &testing::H264);
    videos.write("bad.json", "{\"a\": 1, \"a\": 2}");
    let huge = std::fs::File::create(videos.source().join("huge.json")).unwrap();
    huge.set_len(1 << 40).unwrap();
    videos.add("huge.mp4", &testing::H264);
    let mut command = support::framefeed(["convert", "--json", "--out"]);
    command.arg(videos.out()).arg(videos.source()).args([&named, &list]).arg(videos.source().join("gone.mp4"));
    for _ in 0..2 {
        let report = support::Said::from(command.output().unwrap()).json();
        assert_eq!((&report["clips"], keys(&videos.out())), (&json!(1), vec!["good".to_owned()]), "{report}");
        let sources: Vec<String> = left_out(&report).into_iter().map(|(source, _)| source).collect();
        let expected = ["bad.mp4", "fifo.csv", "fifo.mp4", "gone.mp4", "huge.mp4", "playlist.mp4", "playlist.ts"];
        assert_eq!(sources, expected, "{report}");
        let warnings = report["warnings"].to_string();
        assert!(warnings.contains("good.txt") && warnings.contains("good.json"), "{warnings}");
    }
    let out = videos.dir.path().join("strict");
    convert(&videos.source(), &out, &["--on-error", "fail"]).fails(1, &["error: "]);
}

/// Puts `value` behind the first box or chunk of that name, `at` bytes after the name.
fn patched(bytes: &[u8], name: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let found = bytes.windows(name.len()).position(|part| part == name).expect("the name is there") + name.len() + at;
    bytes[found..found + value.len()].copy_from_slice(value);
    bytes
}

/// The frames of each piece, in the order of the keys.
fn piece_frames(out: &Path, stem: &str) -> Vec<usize> {
    let keys = keys(out);
    let pieces = keys.iter().filter(|key| key.starts_with(stem));
    pieces.map(|key| record(out, key).stream.num_frames()).collect()
}

#[test]
fn a_source_is_split_by_what_it_holds_whatever_its_header_claims() {
    let videos = Videos::new();
    let avi = std::fs::read(clip("claims.avi", "25", "4", &["-c:v", "mpeg4", "-pix_fmt", "yuv420p"])).unwrap();
    let claims = patched(&avi, b"strh", 4 + 32, &0x7fff_ffff_u32.to_le_bytes());
    videos.write("length.avi", patched(&claims, b"avih", 4 + 16, &0x7fff_ffff_u32.to_le_bytes()));
    let x264 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "ultrafast", "-g", "25", "-bf", "2"];
    let fragments = [&x264[..], &["-movflags", "frag_keyframe+empty_moov"]].concat();
    let fragmented = std::fs::read(clip("fragments.mp4", "25", "4", &fragments)).unwrap();
    let claims = patched(&fragmented, b"mdhd", 16, &u32::MAX.to_be_bytes());
    videos.write("fragmented.mp4", patched(&claims, b"mvhd", 16, &u32::MAX.to_be_bytes()));
    let plain = std::fs::read(clip("whole.mp4", "25", "4", &x264)).unwrap();
    videos.write("plain.mp4", &plain);
    videos.write("longer.mp4", patched(&plain, b"mdhd", 16, &u32::MAX.to_be_bytes()));
    videos.copy("raw.h264", &clip("raw.h264", "25", "4", &x264));
    videos.copy("matroska.mkv", &clip("whole.mkv", "25", "4", &x264));
    let jump = [&["-vf", "setpts='if(gte(N,50),PTS+7200/TB,PTS)'", "-fps_mode", "passthrough"], &x264[..]].concat();
    videos.copy("jump.mkv", &clip("jump.mkv", "25", "4", &jump));
    // A broadcast whose clock is set on the way goes on as if it was not.
    let no_offset = clip("clock_a.ts", "25", "2", &x264);
    let offset = clip("clock_b.ts", "25", "2", &[&x264[..], &["-output_ts_offset", "3600"]].concat());
    videos.write("clock.ts", [no_offset, offset].map(|path| std::fs::read(path).unwrap()).concat());
    let report = convert(&videos.source(), &videos.out(), &["--split-seconds", "1", "--check", "fast"]).json();
    assert_eq!((&report["frames"], &report["failed"]), (&json!(8 * 100), &json!([])), "{report}");
    for stem in ["length", "fragmented", "plain", "longer", "raw", "matroska", "clock"] {
        assert_eq!(piece_frames(&videos.out(), stem), [25; 4], "{stem}");
    }
    let jump = piece_frames(&videos.out(), "jump");
    assert!(jump.len() <= 5 && jump.iter().sum::<usize>() == 100, "{jump:?}");
    let plan = std::fs::metadata(videos.out().join(".framefeed/plan.json")).unwrap().len();
    assert!(plan < 20_000, "a plan of {plan} bytes");
}

#[test]
fn cuts_by_frame_numbers_hold_these_frames() {
    let videos = Videos::new();
    let encode = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "ultrafast", "-g", "30", "-bf", "2"];
    let path = clip("numbered.mp4", "30000/1001", "4", &encode);
    videos.copy("a.mp4", &path);
    let shown = frames(&path);
    let rows = [
        json!({"start_frame": 0, "end_frame": 17, "key": "first"}),
        json!({"start_frame": 17, "end_frame": 18, "key": "one"}),
        json!({"start_frame": 18.0, "key": "rest"}),
        json!({"end_frame": shown.len(), "key": "all"}),
        json!({"start_frame": shown.len(), "key": "behind"}),
        json!({"end_frame": shown.len() + 1, "key": "beyond"}),
        json!({"start_frame": 3, "end": 1.0, "key": "mixed"}),
    ];
    let lines: Vec<String> = rows
        .into_iter()
        .map(|mut row| {
            row["path"] = json!("a.mp4");
            row.to_string()
        })
        .collect();
    let list = videos.write("l.jsonl", lines.join("\n"));
    let report = convert(&list, &videos.out(), &[]).json();
    let said: Vec<String> =
        left_out(&report).into_iter().map(|(source, reason)| format!("{source}: {reason}")).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    for (line, part) in [("line 5", "start_frame is"), ("line 6", "end_frame is"), ("line 7", "seconds (start, end)")] {
        assert!(said.iter().any(|said| said.contains(line) && said.contains(part)), "{line}: {part}: {said:?}");
    }
    let last = shown.len();
    for (key, range) in [("first", 0..17), ("one", 17..18), ("rest", 18..last), ("all", 0..last)] {
        assert!(frames(&extracted(&videos, key)) == shown[range], "{key}");
    }
}

#[test]
fn names_as_long_as_a_file_system_takes_have_keys_of_their_own() {
    let videos = Videos::new();
    let long = |fill: &str, tail: &str| {
        let count = (255 - tail.len()) / fill.len();
        fill.repeat(count) + &"y".repeat(255 - tail.len() - count * fill.len()) + tail
    };
    let names = [
        long("x", "1.mp4"),
        long("x", "2.mp4"),
        long("x", ".mp4"),
        long("x", ".mov"),
        long("日", "1.mp4"),
        long("日", "2.mp4"),
        long("🎥", ".mp4"),
        format!("{}/a.mp4", long("d", "1")),
        format!("{}/a.mp4", long("d", "2")),
        format!("{}/{}", long("é", ""), long("é", ".mp4")),
    ];
    for name in &names {
        assert!(name.split('/').all(|part| part.len() == 255 || part == "a.mp4"), "{name}");
        videos.add(name, &testing::H264);
    }
    let report = convert(&videos.source(), &videos.out(), &["--check", "fast"]).json();
    assert_eq!((&report["clips"], &report["failed"]), (&json!(names.len()), &json!([])), "{report}");
    let found = keys(&videos.out());
    assert_eq!(found.len(), names.len());
    let again = convert(&videos.source(), &videos.out(), &["--check", "fast"]).json();
    assert_eq!(again["up_to_date"], json!(true));
    let other = videos.dir.path().join("other");
    convert(&videos.source(), &other, &["--split-seconds", "1", "--check", "fast"]).json();
    assert_eq!(keys(&other).len(), 2 * names.len());
    for key in &found {
        assert!(framefeed::validate_key(key).is_ok(), "{key}");
        let file = videos.dir.path().join(long("o", ".mp4"));
        let said = support::run([
            "extract".as_ref(),
            videos.out().as_os_str(),
            key.as_ref(),
            "-fo".as_ref(),
            file.as_os_str(),
        ]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
    }
}

/// What the command says holds nothing that a terminal would obey; JSON is exact all the same.
#[test]
fn names_cannot_speak_to_a_terminal() {
    let videos = Videos::new();
    let evil = "a\u{1b}[2J\u{1b}]0;t\u{7}\u{9b}31m\rb\nleft out (0):";
    videos.add(&format!("{evil}.mp4"), &testing::H264);
    videos.write(&format!("{evil}.json"), format!(r#"{{"score {}": 1, "caption": "\u001b[31mred"}}"#, "\u{202e}x"));
    videos.write(&format!("empty {evil}.mp4"), "");
    videos.write(&format!("part {evil}.mp4.part"), "");
    let plain = |text: &str| {
        let bad = text.chars().find(|&c| (c.is_control() && c != '\n') || c == '\u{202e}');
        assert!(bad.is_none(), "{bad:?} in {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("left out (0)")), "{text}");
    };
    let out = videos.dir.path().join("out \u{1b}[31m");
    let run = |args: &[&std::ffi::OsStr]| {
        let said = support::run(args);
        plain(&said.stdout);
        plain(&said.stderr);
        said
    };
    let (source, o) = (videos.source(), out.as_os_str());
    let args = ["-vv".as_ref(), "convert".as_ref(), source.as_os_str(), "--out".as_ref(), o];
    let said = run(&args);
    assert!(said.code == Some(0) && said.stdout.contains(r"a\u{1b}[2J"), "{} {}", said.stdout, said.stderr);
    let report = convert(&source, &out, &[]);
    plain(&report.stdout);
    let report = report.json();
    assert_eq!(report["failed"][0]["source"], json!(source.join(format!("empty {evil}.mp4"))));
    assert!(run(&["info".as_ref(), o]).stdout.contains("score"));
    assert_eq!(run(&["verify".as_ref(), o]).code, Some(0));
    run(&["extract".as_ref(), o, "\u{1b}[31m".as_ref(), "-o".as_ref(), "x".as_ref()]).fails(1, &["no such record"]);
    run(&["info".as_ref(), "\u{1b}[31m\nnone".as_ref()]).fails(1, &["not found"]);
    run(&["info".as_ref(), o, "\u{1b}[31m".as_ref()]).fails(2, &["unexpected argument"]);
    run(&["bench".as_ref(), "storage".as_ref(), "\u{1b}[31m".as_ref()]).fails(1, &[]);
    let shard = std::fs::read_dir(out.join("shards")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(&shard, "x").unwrap();
    assert_eq!(run(&["verify".as_ref(), o]).code, Some(1));
}

#[test]
fn unfinished_downloads_and_small_copies_are_passed_over_and_said() {
    let videos = Videos::new();
    for name in
        ["ytdlp/done [abc].mp4", "ytdlp/done [abc].f137.mp4", "ytdlp/clip.mp4.part", "GX010001.MP4", "GX010001.LRV"]
    {
        videos.add(name, &testing::H264);
    }
    let report = convert(&videos.source(), &videos.out(), &[]).json();
    assert_eq!(keys(&videos.out()), ["GX010001", "ytdlp/done__abc_"]);
    let warnings = report["warnings"].to_string();
    for part in ["done [abc].f137.mp4", "clip.mp4.part", "GX010001.LRV"] {
        assert!(warnings.contains(part), "{part} is not in {warnings}");
    }
    // What is downloaded meanwhile does not make it another conversion.
    std::fs::remove_file(videos.source().join("ytdlp/clip.mp4.part")).unwrap();
    assert_eq!(convert(&videos.source(), &videos.out(), &[]).json()["up_to_date"], json!(true));
    let named = videos.source().join("GX010001.LRV");
    assert_eq!(convert(&named, &videos.dir.path().join("named"), &[]).json()["clips"], json!(1));
}
