//! Levels of every pixel format and profile against `ffmpeg -pix_fmt rgb24`, and what the report says of what is lost.
//!
//! The oracle is asked for accurate rounding and full chroma interpolation: by default libswscale repeats chroma samples and drops
//! bits, up to 4 levels off. Filters of chroma differ between it and the transform, so that formats with subsampled chroma
//! are compared on flat colours and a slow gradient, the others on noise too. `PIXELS_SWEEP=1` takes more sizes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use framefeed::{Dataset, Layout, Loader, Placement, Window, read_field};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use support::testing::{ffmpeg, make};
use support::{Videos, convert, framefeed, on};

const ORACLE: [&str; 4] = ["-sws_flags", "accurate_rnd+full_chroma_int+full_chroma_inp+bitexact", "-pix_fmt", "rgb24"];
/// Frames of the test picture: flat ones, a gradient, noise.
const FLAT: usize = 7;
const FRAMES: usize = FLAT + 2;

type Frames = BTreeMap<String, Vec<u8>>;

/// The frames of the test picture as RGB.
fn colors((width, height): (u32, u32)) -> Vec<u8> {
    let flat: [[u8; 3]; FLAT] = [[255; 3], [0; 3], [127; 3], [255, 0, 0], [0, 255, 0], [0, 0, 255], [20, 30, 12]];
    let pixels = || (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let mut bytes: Vec<u8> = flat.into_iter().flat_map(|color| pixels().flat_map(move |_| color)).collect();
    bytes.extend(pixels().flat_map(|(x, y)| [70 + x, 80 + y, 200 - u32::midpoint(x, y)].map(|level| level as u8)));
    let mut state = 1_u32;
    bytes.extend(pixels().flat_map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, color @ ..] = state.to_be_bytes();
        color
    }));
    bytes
}

/// A software format that libswscale reads and writes.
struct Format {
    name: String,
    /// Its samples are RGB or gray of at most 8 bits: nothing may change them.
    is_bytes: bool,
    /// Colours between its levels are dithered.
    is_dithered: bool,
}

fn formats() -> Vec<Format> {
    let list = String::from_utf8(ffmpeg(&["-pix_fmts"])).unwrap();
    let lines = list.lines().filter(|line| line.starts_with("IO."));
    let of = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (name, depths) = (words[1], words[4]);
        let families = ["rgb", "bgr", "argb", "abgr", "0rgb", "0bgr", "gbr", "gray", "mono", "ya"];
        let is_bytes = families.iter().any(|family| name.starts_with(family))
            && depths.split('-').all(|depth| depth.parse::<u32>().unwrap() <= 8);
        let is_dithered = depths.split('-').any(|depth| depth.parse::<u32>().unwrap() < 8);
        Format { name: name.to_owned(), is_bytes, is_dithered }
    };
    lines.map(of).collect()
}

/// FFmpeg's name of the pixel format of a file.
fn decoded_format(path: &Path) -> String {
    let output = std::process::Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "stream=pix_fmt", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().trim_end_matches(',').to_owned()
}

/// One video of raw pictures for each pixel format that the container names; files by key.
fn raw_videos(videos: &Videos, formats: &[Format], size: (u32, u32)) -> BTreeMap<String, PathBuf> {
    let folder = videos.source();
    std::fs::create_dir_all(&folder).unwrap();
    let source = videos.dir.path().join("colors.rgb");
    std::fs::write(&source, colors(size)).unwrap();
    let size = format!("{}x{}", size.0, size.1);
    let mut args: Vec<String> =
        ["-f", "rawvideo", "-s", &size, "-r", "25", "-pix_fmt", "rgb24", "-i"].map(str::to_owned).into();
    args.push(source.to_str().unwrap().to_owned());
    let path = |format: &str| folder.join(format!("{format}.nut"));
    for Format { name: format, .. } in formats {
        let words = ["-sws_flags", "accurate_rnd+bitexact", "-pix_fmt", format, "-c:v", "rawvideo", "-strict", "-1"];
        args.extend(words.map(str::to_owned));
        args.push(path(format).to_str().unwrap().to_owned());
    }
    ffmpeg(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let mut files = BTreeMap::new();
    for Format { name, .. } in formats {
        let file = path(name);
        // A tag that the container lacks is another format's.
        if decoded_format(&file) == *name {
            files.insert(name.clone(), file);
        } else {
            std::fs::remove_file(file).unwrap();
        }
    }
    files
}

/// All frames of the files as the oracle shows them.
fn oracle(videos: &Videos, files: &BTreeMap<String, PathBuf>) -> Frames {
    let folder = videos.dir.path().join("oracle");
    std::fs::create_dir_all(&folder).unwrap();
    let mut args = Vec::new();
    for file in files.values() {
        args.extend(["-i".to_owned(), file.to_str().unwrap().to_owned()]);
    }
    let out = |key: &str| folder.join(format!("{key}.rgb"));
    for (number, key) in files.keys().enumerate() {
        args.extend(["-map".to_owned(), format!("{number}:v:0")]);
        args.extend(ORACLE.map(str::to_owned));
        args.extend(["-f", "rawvideo", out(key).to_str().unwrap()].map(str::to_owned));
    }
    ffmpeg(&args.iter().map(String::as_str).collect::<Vec<_>>());
    files.keys().map(|key| (key.clone(), std::fs::read(out(key)).unwrap())).collect()
}

/// All frames of those records of a dataset of the profile raw.
fn raw_frames<'a>(out: &Path, keys: impl Iterator<Item = &'a String>) -> Frames {
    let dataset = Dataset::open(out).unwrap();
    let frames = |key: &String| {
        let record = dataset.find(key).unwrap().unwrap_or_else(|| panic!("no record {key}"));
        (key.clone(), read_field(&dataset, record, "frames").unwrap().unwrap().data)
    };
    keys.map(frames).collect()
}

/// All frames of a dataset of clips that have `frames` frames and that size each.
fn clip_frames(out: &Path, frames: usize, (width, height): (u32, u32)) -> Frames {
    let window = Window::strided(frames as u32, 1).placement(Placement::Start);
    let builder = Loader::builder(Dataset::open(out).unwrap()).batch_size(1).window(window);
    let loader = builder.size(height, width).layout(Layout::Thwc).build().unwrap();
    let one = |batch: framefeed::Result<framefeed::Batch>| {
        let batch = batch.unwrap();
        (batch.keys[0].clone(), batch.video.unwrap().data.to_vec())
    };
    loader.into_iter().map(one).collect()
}

/// Whether chroma is interpolated. Of formats that are not planar it is taken to be.
fn is_subsampled(format: &str) -> bool {
    let planar = framefeed::PixelFormat::parse(format.trim_end_matches("be"));
    planar.is_none_or(|format| (format.log2_chroma_w, format.log2_chroma_h) != (0, 0))
}

/// Pixels at the right and lower edge that the chroma of a picture of odd size does not tell: libswscale stretches it there,
/// already where it makes the test's files.
const EDGE: u32 = 6;

/// How many levels the farthest sample is off, for each frame of each key.
fn distances(given: &Frames, expected: &Frames, (width, height): (u32, u32)) -> BTreeMap<String, Vec<u8>> {
    let frame = (width * height * 3) as usize;
    let is_odd = width % 2 == 1 || height % 2 == 1;
    let of = |(key, expected): (&String, &Vec<u8>)| {
        let given = &given[key];
        assert_eq!((given.len(), expected.len()), (FRAMES * frame, FRAMES * frame), "{key}");
        let edge = if is_odd && is_subsampled(key) { EDGE } else { 0 };
        let is_inside = |at: usize| {
            let pixel = at as u32 / 3;
            pixel % width + edge < width && pixel / width + edge < height
        };
        let farthest = |(a, b): (&[u8], &[u8])| {
            let pairs = a.iter().zip(b).enumerate().filter(|(at, _)| is_inside(*at));
            pairs.map(|(_, (a, b))| a.abs_diff(*b)).max().unwrap()
        };
        (key.clone(), given.chunks(frame).zip(expected.chunks(frame)).map(farthest).collect())
    };
    expected.iter().map(of).collect()
}

#[test]
fn every_pixel_format_of_raw_video_keeps_ffmpegs_levels_in_every_profile() {
    let formats = formats();
    let is_bytes = |key: &str| formats.iter().any(|format| format.name == key && format.is_bytes);
    let is_dithered = |key: &str| formats.iter().any(|format| format.name == key && format.is_dithered);
    let whole = std::env::var_os("PIXELS_SWEEP").is_some();
    for size in if whole { vec![(48, 32), (37, 25), (49, 32), (48, 33), (2, 2)] } else { vec![(48, 32), (37, 25)] } {
        let videos = Videos::new();
        let files = raw_videos(&videos, &formats, size);
        assert!(files.len() >= 120, "{} formats", files.len());
        let expected = oracle(&videos, &files);
        let profile = |name: &str, args: &[&str]| -> PathBuf {
            let out = videos.dir.path().join(name);
            let report = convert(&videos.source(), &out, &[&["--profile", name], args].concat()).json();
            assert_eq!((&report["failed"], report["clips"].as_u64()), (&json!([]), Some(files.len() as u64)));
            out
        };
        let check = |what: &str, given: &Frames, expected: &Frames, frames: &dyn Fn(&str) -> usize| {
            let mut wrong = Vec::new();
            for (key, levels) in distances(given, expected, size) {
                let bound = if is_bytes(&key) && what != "train" { 0 } else { 2 };
                let levels = &levels[..frames(&key)];
                if levels.iter().any(|&level| level > bound) {
                    wrong.push(format!("{key}: {levels:?}"));
                }
            }
            assert!(wrong.is_empty(), "{what} {size:?}:\n{}", wrong.join("\n"));
        };
        let is_even = size.0 % 2 == 0 && size.1 % 2 == 0;
        let frames = |key: &str| match (is_subsampled(key), is_even) {
            (false, _) => FRAMES,
            (true, true) => FLAT + 1,
            // Over pictures of odd sizes libswscale stretches the chroma.
            (true, false) => FLAT,
        };
        let (raw, copy) = (profile("raw", &[]), profile("copy", &[]));
        let (raw, clips) = (raw_frames(&raw, files.keys()), clip_frames(&copy, FRAMES, size));
        check("raw", &raw, &expected, &frames);
        check("copy", &clips, &expected, &frames);
        check("copy against raw", &clips, &raw, &|key| if is_subsampled(key) { FLAT + 1 } else { FRAMES });
        assert_eq!(on("verify", &copy, &["--decode", "--json"]).json()["problems"], json!([]));
        // The profile has no pictures below 16 lines.
        if is_even && size.1 >= 16 {
            let side = format!("{}x{}", size.1, size.0);
            let train = profile("train", &["--size", &side, "--crf", "2"]);
            // Chroma of half the size blurs all but flat colours, of which the first two are white and black.
            let frames = |key: &str| if is_dithered(key) { 2 } else { FLAT };
            check("train", &clip_frames(&train, FRAMES, size), &expected, &frames);
        }
    }
}

/// A slow gradient with flat patches, as codecs make them.
fn coded(name: &str, encode: &[&str]) -> PathBuf {
    let source = "color=black:s=64x48:r=25:d=0.24,format=gbrp,geq=r='40+2*X':g='60+3*Y':b='200-X-Y'";
    make(name, &[&["-f", "lavfi", "-i", source], encode].concat())
}

#[test]
fn codecs_that_no_mp4_holds_keep_ffmpegs_levels() {
    // Name, arguments, levels that may be off: 0 where the samples are bytes of RGB or gray.
    let cases: [(&str, &[&str], u8); 19] = [
        ("gray_ffv1.mkv", &["-c:v", "ffv1", "-pix_fmt", "gray"], 0),
        ("gray_tagged.mkv", &["-c:v", "ffv1", "-pix_fmt", "gray", "-color_range", "tv"], 0),
        ("gray_png.mov", &["-c:v", "png", "-pix_fmt", "gray"], 0),
        ("gray_y4m.y4m", &["-pix_fmt", "gray", "-strict", "-1"], 0),
        ("gray16.mkv", &["-c:v", "ffv1", "-pix_fmt", "gray16le"], 2),
        ("gray16_full.mkv", &["-c:v", "ffv1", "-pix_fmt", "gray16le", "-color_range", "pc"], 2),
        ("gray16_limited.mkv", &["-c:v", "ffv1", "-pix_fmt", "gray16le", "-color_range", "tv"], 2),
        ("gray16_png.mov", &["-c:v", "png", "-pix_fmt", "gray16be"], 2),
        ("ya8.mkv", &["-c:v", "ffv1", "-pix_fmt", "ya8"], 0),
        ("ya16.mov", &["-c:v", "png", "-pix_fmt", "ya16be"], 2),
        ("rgb555.mov", &["-c:v", "qtrle", "-pix_fmt", "rgb555be"], 0),
        ("rgb24.mov", &["-c:v", "qtrle", "-pix_fmt", "rgb24"], 0),
        ("rgb565.avi", &["-c:v", "zmbv", "-pix_fmt", "rgb565le"], 0),
        ("blocks.avi", &["-c:v", "msvideo1", "-pix_fmt", "rgb555le"], 0),
        ("vectors.avi", &["-c:v", "cinepak"], 0),
        ("palette.mov", &["-c:v", "png", "-pix_fmt", "pal8"], 0),
        ("rgb48.mov", &["-c:v", "png", "-pix_fmt", "rgb48be"], 2),
        ("half.mov", &["-c:v", "exr", "-pix_fmt", "gbrpf32le"], 2),
        ("v210.mov", &["-c:v", "v210", "-pix_fmt", "yuv422p10le"], 2),
    ];
    let videos = Videos::new();
    let mut files = BTreeMap::new();
    for (name, encode, _) in cases {
        let key = name.split_once('.').unwrap().0;
        files.insert(key.to_owned(), videos.copy(name, &coded(name, encode)));
    }
    let expected = oracle(&videos, &files);
    for profile in ["raw", "copy"] {
        let out = videos.dir.path().join(profile);
        let report = convert(&videos.source(), &out, &["--profile", profile]).json();
        assert_eq!(report["failed"], json!([]), "{profile}");
        let given = if profile == "raw" { raw_frames(&out, files.keys()) } else { clip_frames(&out, 6, (64, 48)) };
        for (name, _, bound) in cases {
            let key = name.split_once('.').unwrap().0;
            let (given, expected) = (&given[key], &expected[key]);
            assert_eq!(given.len(), expected.len(), "{profile} {name}");
            let farthest = given.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(farthest <= bound, "{profile} {name}: {farthest} levels off");
        }
    }
}

#[test]
fn lossy_video_that_is_encoded_anew_stays_within_two_levels_nearly_everywhere() {
    let cases: [(&str, &[&str]); 5] = [
        ("vp8.webm", &["-c:v", "libvpx", "-b:v", "1M"]),
        ("svq1.mov", &["-c:v", "svq1"]),
        ("prores.mov", &["-c:v", "prores_ks"]),
        ("wmv2.wmv", &["-c:v", "wmv2"]),
        ("flash.flv", &["-c:v", "flv1"]),
    ];
    let videos = Videos::new();
    let mut files = BTreeMap::new();
    for (name, encode) in cases {
        let encode = [&["-vf", "scale=64x48"], encode].concat();
        let source = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.24"];
        let made = make(&format!("levels_{name}"), &[&source[..], &encode].concat());
        files.insert(name.split_once('.').unwrap().0.to_owned(), videos.copy(name, &made));
    }
    let (raw, copy) = (videos.dir.path().join("raw"), videos.dir.path().join("copy"));
    let report = convert(&videos.source(), &copy, &[]).json();
    assert_eq!((&report["failed"], report["reencoded"].as_array().unwrap().len()), (&json!([]), 5));
    convert(&videos.source(), &raw, &["--profile", "raw"]).json();
    // Against the source's own frames by the same transform: chroma of a test picture is interpolated otherwise by ffmpeg.
    let (given, expected) = (clip_frames(&copy, 6, (64, 48)), raw_frames(&raw, files.keys()));
    for key in files.keys() {
        let (given, expected) = (&given[key], &expected[key]);
        assert_eq!(given.len(), expected.len(), "{key}");
        let off = given.iter().zip(expected).filter(|(a, b)| a.abs_diff(**b) > 2).count();
        let farthest = given.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        // Chroma of 4:1:0 is interpolated twice, to 4:2:0 first, which sharp edges feel.
        let (percent, levels) = if key == "svq1" { (5, 16) } else { (1, 8) };
        let what = format!("{key}: {off} of {} samples, at most {farthest} levels", given.len());
        assert!(off * 100 <= percent * given.len() && farthest <= levels, "{what}");
        eprintln!("{what}");
    }
}

#[test]
fn what_is_lost_is_a_warning_in_the_report() {
    let warnings = |name: &str, encode: &[&str], profile: &str| -> Vec<String> {
        let videos = Videos::new();
        videos.copy(name, &coded(name, encode));
        let report = convert(&videos.source(), &videos.out(), &["--profile", profile]).json();
        serde_json::from_value(report["warnings"].clone()).unwrap()
    };
    let gray16 = ["-c:v", "ffv1", "-pix_fmt", "gray16le"];
    for (profile, depth) in [("copy", 10), ("train", 8), ("raw", 8)] {
        let said = warnings("gray16.mkv", &gray16, profile);
        assert!(said.len() == 1 && said[0].contains(&format!("{depth} of the 16 bits")), "{profile}: {said:?}");
        let said = warnings("alpha.mov", &["-c:v", "qtrle", "-pix_fmt", "argb"], profile);
        assert!(said.len() == 1 && said[0].contains("alpha channel (argb) is not stored"), "{profile}: {said:?}");
        let said = warnings("palette.mov", &["-c:v", "png", "-pix_fmt", "pal8"], profile);
        assert!(said.len() == 1 && said[0].contains("palette (pal8)"), "{profile}: {said:?}");
        assert_eq!(warnings("plain.mkv", &["-c:v", "ffv1", "-pix_fmt", "yuv422p"], profile), [""; 0], "{profile}");
    }
}

#[test]
fn a_growth_by_encoding_anew_is_in_the_report_and_in_the_summary() {
    let videos = Videos::new();
    let vp8 = make(
        "grows.webm",
        &["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=1", "-c:v", "libvpx", "-b:v", "100k"],
    );
    videos.copy("grows.webm", &vp8);
    let report: Value = convert(&videos.source(), &videos.out(), &[]).json();
    let clip = &report["reencoded"][0];
    let (bytes_in, bytes_out) = (clip["bytes_in"].as_u64().unwrap(), clip["bytes_out"].as_u64().unwrap());
    let file = std::fs::metadata(&vp8).unwrap().len();
    assert!(bytes_in <= file && bytes_in > file / 2, "{bytes_in} of {file}");
    assert!(bytes_out > bytes_in, "{bytes_out}");
    assert_eq!((&report["reencoded_bytes_in"], &report["reencoded_bytes_out"]), (&json!(bytes_in), &json!(bytes_out)));
    let run =
        framefeed(["convert"]).arg(videos.source()).arg("--out").arg(videos.dir.path().join("text")).output().unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(text.contains("re-encoding made the video larger: ") && text.contains(" before, "), "{text}");
}
