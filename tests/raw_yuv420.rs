//! Frames stored as the decoder's own 4:2:0 (`convert --profile raw --format yuv420`), against the ffmpeg command.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use framefeed::{Dataset, Loader, Ragged, TensorType, read_field};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::testing::{self, make};
use support::{Said, Videos, convert, on, published};

const YUV420: [&str; 4] = ["--profile", "raw", "--format", "yuv420"];
const SOURCE: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=2"];
const X264: [&str; 6] =
    ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", "keyint=20:min-keyint=20:scenecut=0:bframes=3"];

fn from_test_picture(name: &str, encode: &[&str]) -> PathBuf {
    make(name, &[&SOURCE, encode].concat())
}

fn to_yuv420(videos: &Videos) -> Value {
    convert(&videos.source(), &videos.out(), &YUV420).json()
}

/// Shape and bytes of the frames of the record with that key, and its columns.
fn frames(dataset: &Dataset, key: &str) -> (Vec<u64>, Vec<u8>, Value) {
    let record = dataset.find(key).unwrap().unwrap_or_else(|| panic!("no record {key}"));
    let tensor = read_field(dataset, record, "frames").unwrap().unwrap();
    assert_eq!(tensor.dtype, TensorType::UInt8);
    (tensor.shape, tensor.data, Value::Object(dataset.metadata(record).unwrap().columns))
}

/// Asserts that the record has exactly these frames of `height` by `width`.
#[track_caller]
fn check(dataset: &Dataset, key: &str, (height, width): (u64, u64), expected: &[u8]) {
    let (shape, data, _) = frames(dataset, key);
    assert_eq!(shape, [expected.len() as u64 / (height * width * 3 / 2), height * 3 / 2, width], "{key}");
    assert!(data == expected, "{key}");
}

/// `source` with another display matrix (a, b, c, d of its upper left corner) in its only track, at `name`.
fn add_turned(videos: &Videos, name: &str, source: &Path, (a, b, c, d): (i32, i32, i32, i32)) -> PathBuf {
    let mut bytes = std::fs::read(source).unwrap();
    let tkhd = bytes.windows(4).position(|kind| kind == b"tkhd").unwrap();
    // Version 0: the matrix starts 44 bytes behind the box's name.
    for (at, value) in [(0, a), (4, b), (12, c), (16, d)] {
        bytes[tkhd + 44 + at..][..4].copy_from_slice(&(value << 16).to_be_bytes());
    }
    videos.write(name, bytes)
}

#[test]
fn stored_planes_are_those_that_ffmpeg_decodes() {
    let videos = Videos::new();
    for (key, fixture) in [
        ("h264", testing::H264),
        ("interlaced", testing::H264_INTERLACED),
        ("cropped", testing::H264_CROPPED),
        ("hevc", testing::HEVC_OPEN_GOP),
        ("av1", testing::AV1),
        ("mpeg4", testing::MPEG4),
    ] {
        videos.add(&format!("{key}.mp4"), &fixture);
    }
    let full = videos.copy("full.mov", &from_test_picture("full.mov", &["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"]));
    let report = to_yuv420(&videos);
    assert_eq!((&report["clips"], &report["failed"], &report["reencoded"]), (&json!(7), &json!([]), &json!([])));
    let dataset = Dataset::open(videos.out()).unwrap();
    let description = json!({"axes": "THW", "color": "YUV420", "layout": "I420", "size": null});
    assert_eq!(Value::Object(dataset.description("frames").unwrap().clone()), description);
    for (key, size) in [
        ("h264", (96, 128)),
        ("interlaced", (96, 128)),
        ("cropped", (74, 98)),
        ("hevc", (96, 128)),
        ("av1", (96, 128)),
        ("mpeg4", (74, 98)),
    ] {
        let path = videos.source().join(format!("{key}.mp4"));
        check(&dataset, key, size, &testing::shown_planes(&path, "yuv420p"));
        let (_, _, columns) = frames(&dataset, key);
        assert_eq!((&columns["frames_matrix"], &columns["frames_range"]), (&json!("smpte170m"), &json!("limited")));
        assert_eq!((&columns["frames_sample_aspect"], columns["fps"].as_f64()), (&json!("1:1"), Some(25.0)));
    }
    // Asked for yuv420p, ffmpeg would change the range.
    check(&dataset, "full", (120, 160), &testing::shown_planes(&full, "yuvj420p"));
    assert_eq!(frames(&dataset, "full").2["frames_range"], json!("full"));
    assert!(on("verify", &videos.out(), &[]).stdout.starts_with("sound: 7 records in"));
    assert_eq!(to_yuv420(&videos)["up_to_date"], json!(true));
}

#[test]
fn turned_clips_are_stored_as_ffmpeg_shows_them_and_say_what_rgb_takes() {
    let tags = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"];
    let tagged = from_test_picture("tagged.mp4", &[&["-vf", "setsar=64/45"], &X264[..], &tags].concat());
    let videos = Videos::new();
    for (key, matrix, size, aspect) in [
        ("upright", (1, 0, 0, 1), (120, 160), "64:45"),
        ("right", (0, 1, -1, 0), (160, 120), "45:64"),
        ("over", (-1, 0, 0, -1), (120, 160), "64:45"),
        ("left", (0, -1, 1, 0), (160, 120), "45:64"),
        ("mirrored", (-1, 0, 0, 1), (120, 160), "64:45"),
        ("mirrored-right", (0, 1, 1, 0), (160, 120), "45:64"),
    ] {
        let path = add_turned(&videos, &format!("{key}.mp4"), &tagged, matrix);
        to_yuv420(&videos);
        let dataset = Dataset::open(videos.out()).unwrap();
        check(&dataset, key, size, &testing::shown_planes(&path, "yuv420p"));
        let (_, _, columns) = frames(&dataset, key);
        let said = ["frames_matrix", "frames_range", "frames_sample_aspect"].map(|name| &columns[name]);
        assert_eq!(said, [&json!("bt709"), &json!("limited"), &json!(aspect)], "{key}");
        assert_eq!(columns["frames_color_guessed"], json!(false), "{key}");
        std::fs::remove_dir_all(videos.out()).unwrap();
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_an_mp4_cannot_hold_is_stored_as_its_own_decoder_gives_it() {
    let videos = Videos::new();
    let raw = |format| ["-c:v", "rawvideo", "-pix_fmt", format];
    let cases: [(&str, &[&str]); 5] = [
        ("vp8.webm", &["-c:v", "libvpx", "-b:v", "500k"]),
        ("nv12.nut", &raw("nv12")),
        ("nv21.nut", &raw("nv21")),
        ("alpha.nut", &raw("yuva420p")),
        ("ffv1.mkv", &["-c:v", "ffv1", "-pix_fmt", "yuv420p"]),
    ];
    for (name, encode) in cases {
        videos.copy(name, &from_test_picture(name, encode));
    }
    let report = to_yuv420(&videos);
    assert_eq!((&report["clips"], &report["failed"], &report["reencoded"]), (&json!(5), &json!([]), &json!([])));
    let dataset = Dataset::open(videos.out()).unwrap();
    for (name, _) in cases {
        let expected = testing::shown_planes(&videos.source().join(name), "yuv420p");
        assert_eq!(expected.len(), 50 * 160 * 120 * 3 / 2);
        check(&dataset, name.split_once('.').unwrap().0, (120, 160), &expected);
    }
}

#[test]
fn cuts_have_exactly_their_frames() {
    let videos = Videos::new();
    let frame = 160 * 120 * 3 / 2;
    let sources = [("h264.mp4", &X264[..]), ("vp8.webm", &["-c:v", "libvpx", "-b:v", "500k"])];
    for (name, encode) in sources {
        videos.copy(name, &from_test_picture(name, encode));
    }
    let rows = "path,start,end\nh264.mp4,0.4,1.2\nvp8.webm,0.4,1.2\n";
    let list = videos.write("cuts.csv", rows);
    convert(&list, &videos.out(), &YUV420).json();
    let dataset = Dataset::open(videos.out()).unwrap();
    for (name, _) in sources {
        let all = testing::shown_planes(&videos.source().join(name), "yuv420p");
        let (_, found, _) = frames(&dataset, name.split_once('.').unwrap().0);
        assert!(found == all[10 * frame..30 * frame], "{name}: {} frames", found.len() / frame);
    }
}

/// A file that says a colour matrix that nobody has defined.
fn unknown_matrix() -> Vec<u8> {
    let encode = ["-c:v", "ffv1", "-pix_fmt", "yuv420p", "-colorspace", "bt709"];
    let mut bytes = std::fs::read(from_test_picture("tagged.mkv", &encode)).unwrap();
    // MatrixCoefficients, one byte long.
    let at = bytes.windows(4).position(|element| element == [0x55, 0xB1, 0x81, 1]).unwrap();
    bytes[at + 3] = 200;
    bytes
}

#[test]
fn clips_that_cannot_be_stored_unchanged_are_left_out_with_their_reasons() {
    let videos = Videos::new();
    videos.add("good.mp4", &testing::H264);
    let fixtures = [
        ("deep.mp4", testing::H264_10BIT, "yuv420p10le, expected 8-bit 4:2:0"),
        ("wide.mp4", testing::H264_422, "yuv422p, expected 8-bit 4:2:0"),
        ("full.mp4", testing::H264_444_ODD, "yuv444p, expected 8-bit 4:2:0"),
        ("odd.mp4", testing::VP9_ODD, "99x75, expected an even width and height"),
        ("odd.mov", testing::MJPEG_ODD, "99x75, expected an even width and height"),
    ];
    for (name, fixture, _) in &fixtures {
        videos.add(name, fixture);
    }
    videos.copy("rgb.mov", &from_test_picture("rgb.mov", &["-c:v", "png"]));
    let raw = from_test_picture("raw.avi", &["-c:v", "rawvideo", "-pix_fmt", "yuv420p"]);
    videos.write("bottom.avi", testing::upside_down(std::fs::read(raw).unwrap()));
    videos.write("matrix.mkv", unknown_matrix());
    let reasons = fixtures.map(|(name, _, reason)| (name, reason)).into_iter().chain([
        ("rgb.mov", "rgb24, expected 8-bit 4:2:0"),
        ("bottom.avi", "stored from the bottom row up"),
        ("matrix.mkv", "colour matrix 200"),
    ]);
    let report = to_yuv420(&videos);
    assert_eq!((&report["clips"], report["failed"].as_array().unwrap().len()), (&json!(1), 8), "{report:#}");
    for (name, reason) in reasons {
        let is_it = |failure: &&Value| failure["source"].as_str().unwrap().ends_with(&format!("/{name}"));
        let failure = report["failed"].as_array().unwrap().iter().find(is_it).unwrap();
        assert_eq!(failure["kind"], json!("unsupported"), "{failure}");
        assert!(
            failure["key"].as_str().is_some_and(|key| key.starts_with(name.split_once('.').unwrap().0)),
            "{failure}"
        );
        assert!(failure["reason"].as_str().unwrap().contains(reason), "{failure}");
        let alone = videos.dir.path().join("alone");
        let said = convert(&videos.source().join(name), &alone, &[&YUV420[..], &["--on-error", "fail"]].concat());
        said.fails(1, &["unsupported", reason, name]);
        assert!(!alone.join("manifest.json").exists());
        std::fs::remove_dir_all(alone).unwrap();
    }
}

#[test]
fn a_source_that_brings_a_column_of_that_name_is_left_out_with_its_reason() {
    let videos = Videos::new();
    let path = videos.add("a.mp4", &testing::H264);
    videos.add("b.mp4", &testing::H264_CROPPED);
    let beside = videos.write("a.json", r#"{"frames_range": "full", "score": 1}"#);
    let report = to_yuv420(&videos);
    let failure = &report["failed"][0];
    assert_eq!((&report["clips"], &failure["source"]), (&json!(1), &json!(path.to_str().unwrap())));
    assert_eq!((&failure["key"], &failure["kind"]), (&Value::Null, &json!("invalid argument")));
    assert!(failure["reason"].as_str().unwrap().contains("'frames_range'"), "{failure}");
    // A list names its line; and nobody else minds.
    std::fs::remove_file(beside).unwrap();
    let list = videos.write("list.csv", "path,frames_matrix\na.mp4,bt709\n");
    let out = videos.dir.path().join("listed");
    convert(&list, &out, &[&YUV420[..], &["--on-error", "fail"]].concat())
        .fails(1, &["invalid argument", "'frames_matrix'", "list.csv, line 2"]);
    let rgb = videos.dir.path().join("rgb");
    assert_eq!(convert(&list, &rgb, &["--profile", "raw"]).json()["clips"], json!(1));
    assert_eq!(frames(&Dataset::open(rgb).unwrap(), "a").2["frames_matrix"], json!("bt709"));
}

#[test]
fn options_that_contradict_each_other_are_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, out) = (folder.path().join("missing.mp4"), folder.path().join("out"));
    let with = |args: &[&str]| -> Said { convert(&missing, &out, args) };
    with(&[&YUV420[..], &["--size", "32x48"]].concat()).fails(1, &["size is of frames of the format rgb"]);
    for format in ["rgb", "yuv420"] {
        with(&["--format", format]).fails(1, &["format is of the frames of the profile raw"]);
    }
    with(&["--profile", "raw", "--format", "nv12"]).fails(2, &["nv12", "rgb", "yuv420"]);
    with(&YUV420).fails(1, &["not found"]);
    assert!(!out.exists());
}

#[test]
fn a_conversion_is_not_gone_on_with_in_another_format() {
    let videos = Videos::new();
    videos.add("a.mp4", &testing::H264);
    let out = |name: &str| videos.dir.path().join(name);
    let run = |name: &str, args: &[&str]| convert(&videos.source(), &out(name), args);
    let rgb = ["--profile", "raw", "--format", "rgb"];
    run("yuv420", &YUV420).json();
    for args in [&rgb[..], &rgb[..2], &[]] {
        run("yuv420", args).fails(1, &["other sources or options"]);
    }
    assert_eq!(run("yuv420", &YUV420).json()["up_to_date"], json!(true));
    // RGB is RGB, whether it is asked for or not.
    run("rgb", &rgb[..2]).json();
    run("rgb", &YUV420).fails(1, &["other sources or options"]);
    assert_eq!(run("rgb", &rgb).json()["up_to_date"], json!(true));
    assert_ne!(published(&out("rgb")), published(&out("yuv420")));
}

#[test]
fn the_loader_gives_the_stored_bytes() {
    let videos = Videos::new();
    for number in 0..5 {
        videos.add(&format!("{number}.mp4"), &testing::H264);
    }
    videos.add("other.mp4", &testing::H264_CROPPED);
    convert(&videos.source(), &videos.out(), &[&YUV420[..], &["--shard-size", "2MB"]].concat()).json();
    let dataset = Dataset::open(videos.out()).unwrap();
    assert!(dataset.manifest().shards.len() > 1);
    let builder = Loader::builder(dataset.clone()).batch_size(2).fields(["frames"]).ragged(Ragged::Bucket);
    let mut seen = Vec::new();
    for batch in &builder.build().unwrap() {
        let batch = batch.unwrap();
        let field = batch.field("frames").unwrap();
        let bytes = field.shape[1..].iter().product::<usize>();
        for (key, row) in batch.keys.iter().zip(field.data.chunks_exact(bytes)) {
            let (shape, data, _) = frames(&dataset, key);
            assert_eq!(field.shape[1..], *shape.iter().map(|&axis| axis as usize).collect::<Vec<_>>());
            assert!(row == data, "{key}");
            seen.push(key.clone());
        }
    }
    seen.sort();
    assert_eq!(seen, ["0", "1", "2", "3", "4", "other"]);
}

#[test]
fn the_independent_reader_agrees() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("FRAMEFEED_PYTHON").map(PathBuf::from);
    let Some(python) = named.or_else(|| Some(here.join(".venv/bin/python")).filter(|path| path.exists())) else {
        assert!(std::env::var_os("REQUIRE_PYTHON").is_none_or(|value| value != "1"), "REQUIRE_PYTHON=1, but no Python");
        eprintln!("SKIPPED: no Python; set FRAMEFEED_PYTHON or make .venv");
        return;
    };
    let videos = Videos::new();
    videos.add("a.mp4", &testing::H264_CROPPED);
    to_yuv420(&videos);
    let dataset = Dataset::open(videos.out()).unwrap();
    let (shape, _, columns) = frames(&dataset, "a");
    let mut command = Command::new(python);
    let said = command.arg(here.join("tests/pyreader/framefeed_reader")).arg(videos.out()).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let row: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!((&row["key"], &row["columns"]), (&json!("a"), &columns));
    assert_eq!((&row["tensors"]["frames"][0], &row["tensors"]["frames"][1]), (&json!("uint8"), &json!(shape)));
    let npy = videos.dir.path().join("a.npy");
    assert_eq!(on("extract", &videos.out(), &["a", "--field", "frames", "-o", npy.to_str().unwrap()]).code, Some(0));
    let bytes = std::fs::read(npy).unwrap();
    assert!(bytes.ends_with(&testing::shown_planes(&videos.source().join("a.mp4"), "yuv420p")));
}
