//! `convert --profile train`: size, times, GOPs, quality and reports of clips that are encoded once more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use framefeed::{
    ClipReader, ColorRange, Dataset, DecodeLimits, Layout, Loader, Orientation, PacketFlags, PixelFormat, Placement,
    Ratio, Record, StorageOptions, Window,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use support::testing::{self, make};
use support::{Videos, convert, on, published, record};

const TRAIN: [&str; 2] = ["--profile", "train"];
const X264: [&str; 6] =
    ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", "keyint=20:min-keyint=20:scenecut=0:bframes=3"];

/// A moving fractal of 100 frames, 25 a second: fine structure, no flat areas.
fn fractal(name: &str, (width, height): (u32, u32), encode: &[&str]) -> PathBuf {
    let source = format!("mandelbrot=size={width}x{height}:rate=25:end_scale=0.1");
    make(name, &[&["-f", "lavfi", "-i", &source, "-frames:v", "100"], encode].concat())
}

fn small() -> PathBuf {
    fractal("fractal.mp4", (192, 128), &X264)
}

fn to_train(videos: &Videos, args: &[&str]) -> Value {
    convert(&videos.source(), &videos.out(), &[&TRAIN, args].concat()).json()
}

/// One video as the only clip of a dataset, with its report.
fn one(path: &Path, args: &[&str]) -> (Videos, Value, Record) {
    let videos = Videos::new();
    let extension = path.extension().unwrap().to_str().unwrap();
    videos.copy(&format!("a.{extension}"), path);
    let report = to_train(&videos, args);
    let check = on("verify", &videos.out(), &["--decode", "--json"]).json();
    assert_eq!(check["problems"], json!([]));
    let record = record(&videos.out(), "a");
    (videos, report, record)
}

/// Frames of each GOP.
fn gop_lengths(record: &Record) -> Vec<u32> {
    record.stream.gops.iter().map(|gop| gop.num_packets).collect()
}

fn seconds(record: &Record) -> Vec<f64> {
    let stream = &record.stream;
    let first = stream.frame_pts(0).unwrap();
    let second = |frame| stream.time_base.seconds(stream.frame_pts(frame).unwrap() - first);
    (0..stream.num_frames()).map(second).collect()
}

/// The frames of a window of the only record as 8-bit RGB, pixel by pixel.
fn rgb(out: &Path, window: Window, (height, width): (u32, u32)) -> Vec<u8> {
    let builder = Loader::builder(Dataset::open(out).unwrap()).batch_size(1).window(window.placement(Placement::Start));
    let loader = builder.size(height, width).layout(Layout::Thwc).build().unwrap();
    let batch = loader.into_iter().next().unwrap().unwrap();
    batch.video.unwrap().data.to_vec()
}

#[test]
fn clips_become_upright_square_small_and_keep_all_frames_and_times() {
    let (videos, report, record) = one(&small(), &["--short-side", "64"]);
    let stream = &record.stream;
    assert_eq!((stream.width, stream.height, stream.num_frames()), (96, 64, 100));
    assert_eq!((stream.sample_aspect, stream.orientation), (Ratio::ONE, Orientation::UPRIGHT));
    assert_eq!((stream.pixel_format, stream.codec.as_str()), (PixelFormat::YUV420P, "h264"));
    assert_eq!(record.reencoded.as_deref(), Some("profile train"));
    assert!(seconds(&record).iter().enumerate().all(|(n, t)| (t - n as f64 / 25.0).abs() < 1e-9));
    assert_eq!(report["reencoded"], json!([]), "what was asked for is no surprise");
    let manifest: Value = serde_json::from_slice(&std::fs::read(videos.out().join("manifest.json")).unwrap()).unwrap();
    assert_eq!((&manifest["profile"], &manifest["kind"]), (&json!("train"), &json!("video")));
}

#[test]
fn gops_are_closed_and_exactly_as_long_as_asked_and_b_frames_are_disposable() {
    for (gop, expected) in [(16, vec![16, 16, 16, 16, 16, 16, 4]), (12, vec![12, 12, 12, 12, 12, 12, 12, 12, 4])] {
        let (_videos, _, record) = one(&small(), &["--short-side", "64", "--gop", &gop.to_string()]);
        assert_eq!(gop_lengths(&record), expected);
        let stream = &record.stream;
        let packets: Vec<_> = stream.packets.iter().collect();
        for (number, entry) in stream.gops.iter().enumerate() {
            let range = entry.first_packet as usize..(entry.first_packet + entry.num_packets) as usize;
            assert!(packets[range.start].flags.contains(PacketFlags::KEYFRAME));
            // Closed: it has exactly the frames of its place, and none leads.
            assert_eq!(entry.first_frame as usize, number * gop);
            assert!(packets[range.clone()].iter().all(|packet| !packet.flags.contains(PacketFlags::LEADING)));
            let frames =
                stream.frame_packets.iter().enumerate().filter(|(_, packet)| range.contains(&(**packet as usize)));
            assert!(frames.map(|(frame, _)| frame / gop).all(|place| place == number));
        }
        // Every eighth frame of a GOP, and its last, are anchors; all others are B-frames that nobody refers to.
        let last = stream.num_frames() - 1;
        for (frame, &packet) in stream.frame_packets.iter().enumerate() {
            let is_anchor = (frame % gop).is_multiple_of(8) || frame % gop == gop - 1 || frame == last;
            let disposable = packets[packet as usize].flags.contains(PacketFlags::DISPOSABLE);
            assert_eq!(disposable, !is_anchor, "GOPs of {gop}, frame {frame}");
        }
    }
}

#[test]
fn every_frame_on_its_own_is_the_frame_of_the_whole_clip() {
    let (videos, _, record) = one(&small(), &["--short-side", "64", "--gop", "8"]);
    let dataset = Dataset::open(videos.out()).unwrap();
    let mut reader = ClipReader::new(&dataset, &StorageOptions::default()).unwrap();
    let limits = DecodeLimits::default();
    let all: Vec<u32> = (0..record.stream.num_frames() as u32).collect();
    let whole = reader.frames(0, &all, &limits).unwrap();
    for frame in (0..100_u32).rev().step_by(7) {
        let alone = reader.frames(0, &[frame], &limits).unwrap();
        assert!(alone[0].planes == whole[frame as usize].planes, "{frame}");
    }
}

#[test]
fn a_decoder_that_goes_on_from_window_to_window_gives_the_frames_of_a_new_one() {
    let videos = Videos::new();
    videos.copy("a.mp4", &small());
    // Of the same configuration: one decoder serves both.
    videos
        .copy("b.mp4", &make("moving.mp4", &["-f", "lavfi", "-i", "testsrc2=size=192x128:rate=25", "-frames:v", "90"]));
    to_train(&videos, &["--short-side", "64", "--gop", "8"]);
    let dataset = Dataset::open(videos.out()).unwrap();
    let new_reader = || ClipReader::new(&dataset, &StorageOptions::default()).unwrap();
    let limits = DecodeLimits::default();
    let whole = [0, 1].map(|record| {
        let (_, stream) = dataset.stream(record).unwrap();
        assert!(stream.is_closed);
        new_reader().frames(record, &(0..stream.num_frames() as u32).collect::<Vec<_>>(), &limits).unwrap()
    });
    let (mut reader, mut state) = (new_reader(), 1_u32);
    let mut draw = |end: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % end
    };
    for _ in 0..300 {
        let record = draw(2) as usize;
        let (stride, len) = (1 + draw(4), 1 + draw(20));
        let last = whole[record].len() as u32 - 1;
        let start = draw(last);
        let mut frames: Vec<u32> = (0..len).map(|i| (start + i * stride).min(last)).collect();
        if draw(4) == 0 {
            frames.reverse();
        }
        for (frame, decoded) in frames.iter().zip(reader.frames(record, &frames, &limits).unwrap()) {
            assert!(decoded.planes == whole[record][*frame as usize].planes, "frame {frame} of {frames:?}, {record}");
        }
    }
}

#[test]
fn a_rate_takes_the_frame_on_screen_at_each_instant() {
    let (_videos, _, record) = one(&small(), &["--short-side", "64", "--fps", "10"]);
    assert_eq!(record.stream.num_frames(), 40);
    assert!(seconds(&record).iter().enumerate().all(|(n, t)| (t - n as f64 / 10.0).abs() < 1e-12));
    let (_videos, _, record) = one(&small(), &["--short-side", "64", "--fps", "29.97"]);
    assert_eq!((record.stream.time_base.num(), record.stream.time_base.den()), (1001, 30_000));
    assert_eq!((record.stream.num_frames(), record.stream.duration), (120, 120));
}

#[test]
fn the_frames_at_a_rate_are_those_that_the_loader_takes_from_the_copy() {
    let variable = [&["-vf", "setpts='N*N/(200*TB)'", "-vsync", "vfr"], X264.as_slice()].concat();
    let path = fractal("fractal_variable.mkv", (192, 128), &variable);
    let (videos, report, record) = one(&path, &["--short-side", "128", "--fps", "4", "--crf", "4"]);
    assert!(report["train"]["psnr_y_mean"].as_f64().unwrap() > 45.0, "{report}");
    let frames = record.stream.num_frames() as u32;
    assert!(frames > 190, "frame 99 stands at 49 s");
    let copy = videos.dir.path().join("copy");
    convert(&videos.source(), &copy, &[]).json();
    let window = Window::at_fps(frames, 4.0).unwrap();
    let expected = rgb(&copy, window, (128, 192));
    let given = rgb(&videos.out(), Window::strided(frames, 1), (128, 192));
    let bytes = 128 * 192 * 3;
    for (number, (a, b)) in given.chunks(bytes).zip(expected.chunks(bytes)).enumerate() {
        assert!(psnr(a, b) > 35.0, "frame {number}: {}", psnr(a, b));
    }
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a.abs_diff(b)).powi(2)).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares.max(1e-9)).log10()
}

#[test]
fn the_loader_gives_pictures_close_to_those_of_the_copy() {
    let path = fractal("fractal_large.mp4", (640, 360), &X264);
    let (videos, report, record) = one(&path, &["--short-side", "128"]);
    assert_eq!((record.stream.width, record.stream.height), (228, 128));
    let train = &report["train"];
    assert!(train["psnr_y_mean"].as_f64().unwrap() > 36.0, "{report}");
    assert!(train["psnr_mean"].as_f64().unwrap() > 37.0, "{report}");
    assert_eq!(train["lowest"]["key"], json!("a"));
    let copy = videos.dir.path().join("copy");
    convert(&videos.source(), &copy, &[]).json();
    let window = Window::strided(50, 2);
    let (given, expected) = (rgb(&videos.out(), window, (128, 128)), rgb(&copy, window, (128, 128)));
    // The chroma of the small picture has a quarter of its samples; the copy's has more.
    let luma = |rgb: &[u8]| -> Vec<u8> {
        let level = |pixel: &[u8]| (u32::from(pixel[0]) * 2 + u32::from(pixel[1]) * 7 + u32::from(pixel[2])) / 10;
        rgb.chunks(3).map(|pixel| level(pixel) as u8).collect()
    };
    let likeness = psnr(&luma(&given), &luma(&expected));
    assert!(likeness > 33.0, "{likeness}");
}

#[test]
fn rotation_and_sample_aspect_are_applied_and_odd_sizes_become_even() {
    let turned =
        make("fractal_turned.mp4", &["-i", small().to_str().unwrap(), "-c", "copy", "-metadata:s:v", "rotate=90"]);
    let (_videos, _, record) = one(&turned, &["--short-side", "64"]);
    assert_eq!((record.stream.width, record.stream.height, record.stream.orientation), (64, 96, Orientation::UPRIGHT));
    let wide = fractal("fractal_wide.mp4", (180, 144), &[&["-vf", "setsar=64/45"], X264.as_slice()].concat());
    let (_videos, _, record) = one(&wide, &["--short-side", "72"]);
    assert_eq!((record.stream.width, record.stream.height, record.stream.sample_aspect), (128, 72, Ratio::ONE));
    let (_videos, _, record) = one(&testing::H264_444_ODD.path(), &[]);
    assert_eq!((record.stream.width, record.stream.height), (98, 74));
}

#[test]
fn pictures_are_turned_as_ffmpeg_turns_them() {
    for rotate in ["90", "180", "270"] {
        let name = format!("fractal_by_{rotate}.mp4");
        let rotate = format!("rotate={rotate}");
        let turned = make(&name, &["-i", small().to_str().unwrap(), "-c", "copy", "-metadata:s:v", &rotate]);
        let (videos, _, record) = one(&turned, &["--short-side", "128", "--crf", "4"]);
        let dataset = Dataset::open(videos.out()).unwrap();
        let mut reader = ClipReader::new(&dataset, &StorageOptions::default()).unwrap();
        let given = reader.frames(0, &[0], &DecodeLimits::default()).unwrap();
        let (luma, expected) = (&given[0].planes[0], testing::shown_planes(&turned, "yuv420p"));
        assert_eq!(luma.len() as u32, record.stream.width * record.stream.height);
        let likeness = psnr(luma, &expected[..luma.len()]);
        assert!(likeness > 45.0, "{rotate}: {likeness}");
    }
}

#[test]
fn an_exact_size_is_cropped_from_the_middle() {
    let (_videos, _, record) = one(&small(), &["--size", "64x64"]);
    assert_eq!((record.stream.width, record.stream.height), (64, 64));
}

#[test]
fn more_bits_become_eight_and_the_tags_stay() {
    let encode = [
        "-c:v",
        "libx265",
        "-pix_fmt",
        "yuv420p10le",
        "-tag:v",
        "hvc1",
        "-x265-params",
        "log-level=none:pools=1:frame-threads=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:range=limited",
    ];
    let path = fractal("fractal_hdr.mp4", (192, 128), &encode);
    let (videos, report, record) = one(&path, &["--short-side", "64", "--crf", "10"]);
    let color = record.stream.color;
    assert_eq!(record.stream.pixel_format, PixelFormat::YUV420P);
    assert_eq!((color.matrix, color.primaries, color.transfer, color.range), (9, 9, 16, ColorRange::Limited));
    assert!(report["train"]["psnr_y_mean"].as_f64().unwrap() > 42.0, "{report}");
    // The stream says so itself.
    let clip = videos.dir.path().join("clip.mp4");
    on("extract", &videos.out(), &["a", "-o", clip.to_str().unwrap()]).fails(0, &[]);
    let probe = ["-v", "error", "-select_streams", "v", "-show_entries"];
    let entries = "stream=color_space,color_primaries,color_transfer,color_range";
    let mut command = std::process::Command::new("ffprobe");
    let output = command.args(probe).arg(entries).args(["-of", "csv=p=0"]).arg(&clip).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "tv,bt2020nc,smpte2084,bt2020");
}

#[test]
fn every_kind_of_source_is_encoded_with_all_its_frames() {
    let videos = Videos::new();
    for (number, fixture) in testing::ALL.iter().enumerate() {
        let extension = fixture.name.rsplit_once('.').unwrap().1;
        videos.add(&format!("{number}.{extension}"), fixture);
    }
    videos.copy("rgb.mov", &fractal("fractal_rgb.mov", (96, 64), &["-c:v", "png"]));
    videos.copy("vp8.webm", &fractal("fractal_vp8.webm", (96, 64), &["-c:v", "libvpx", "-b:v", "500k"]));
    let report = to_train(&videos, &["--short-side", "64"]);
    assert_eq!(report["failed"], json!([]));
    // The profile stores 8 bits, and says where there were more.
    let warnings = report["warnings"].as_array().unwrap();
    let deep =
        testing::ALL.iter().filter(|fixture| fixture.encode.iter().any(|option| option.ends_with("10le"))).count();
    assert_eq!(warnings.len(), deep, "{warnings:?}");
    assert!(warnings.iter().all(|warning| warning.as_str().unwrap().contains(": 8 of the 10 bits of its samples")));
    let frames: u32 = testing::ALL.iter().map(|fixture| fixture.frames).sum();
    assert_eq!(report["frames"], json!(frames + 200));
    let check = on("verify", &videos.out(), &["--decode", "--json"]).json();
    assert_eq!((&check["problems"], &check["frames"]), (&json!([]), &report["frames"]));
    for window in report["train"]["windows"].as_array().unwrap() {
        // Packets of VP8 tell nothing; that clip is long enough for both strides.
        let count = |name: &str| window[name].as_u64().unwrap();
        assert!(count("windows_before") > 0 && count("windows_before") + 8 == count("windows"), "{window}");
    }
}

#[test]
fn cuts_have_exactly_their_frames_with_and_without_a_rate() {
    let videos = Videos::new();
    videos.copy("v/a.mp4", &small());
    let list = videos.write("list.csv", "path,start,end,key,caption\nv/a.mp4,0.5,1,mid,words\nv/a.mp4,3,,tail,\n");
    convert(&list, &videos.out(), &[&TRAIN, ["--short-side", "64"].as_slice()].concat()).json();
    // 25 frames a second: 0.52, 0.56, ... 0.96 are frames 13 to 24.
    let mid = record(&videos.out(), "mid");
    assert_eq!((mid.stream.num_frames(), gop_lengths(&mid), mid.caption.as_deref()), (12, vec![12], Some("words")));
    assert_eq!((mid.source_start, mid.source_end), (Some(0.5), Some(1.0)));
    assert_eq!(record(&videos.out(), "tail").stream.num_frames(), 25);
    let rate = videos.dir.path().join("rate");
    convert(&list, &rate, &[&TRAIN, ["--short-side", "64", "--fps", "10"].as_slice()].concat()).json();
    assert_eq!(record(&rate, "mid").stream.num_frames(), 5);
    assert_eq!(record(&rate, "tail").stream.num_frames(), 10);
}

#[test]
fn sources_without_timestamps_are_encoded_at_a_rate_as_well() {
    let raw = make("fractal.h264", &["-i", small().to_str().unwrap(), "-c", "copy"]);
    let (_videos, _, record) = one(&raw, &["--short-side", "64"]);
    assert_eq!(record.stream.num_frames(), 100);
    let (_videos, report, record) = one(&raw, &["--short-side", "64", "--fps", "5"]);
    assert_eq!(record.stream.num_frames(), 20, "{report}");
}

#[test]
fn the_bytes_depend_neither_on_the_number_of_jobs_nor_on_the_run_and_other_options_are_refused() {
    let videos = Videos::several();
    let args = |more: &[&str]| -> Vec<String> {
        let all = [&TRAIN, ["--short-side", "64", "--shard-size", "10KB"].as_slice(), more].concat();
        all.into_iter().map(str::to_owned).collect()
    };
    let into = |out: &Path, more: &[&str]| {
        let args = args(more);
        convert(&videos.source(), out, &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let many = videos.dir.path().join("many");
    let report = into(&videos.out(), &["--jobs", "1"]).json();
    assert_eq!(report["clips"], json!(12));
    into(&many, &["--jobs", "3"]).json();
    let before = published(&videos.out());
    assert_eq!(before, published(&many));
    let again = into(&videos.out(), &[]).json();
    assert_eq!((&again["up_to_date"], &again["train"]), (&json!(true), &report["train"]));
    for other in [&["--gop", "8"][..], &["--crf", "20"], &["--fps", "12"]] {
        into(&videos.out(), other).fails(1, &["conflict", "other sources or options"]);
    }
    convert(&videos.source(), &videos.out(), &["--shard-size", "10KB"]).fails(1, &["conflict"]);
    // A shard that is gone is made again with the same bytes.
    let shard = before.keys().find(|name| name.starts_with("shards/")).unwrap();
    std::fs::remove_file(videos.out().join(shard)).unwrap();
    into(&videos.out(), &["--jobs", "2"]).json();
    assert_eq!(published(&videos.out()), before);
}

#[test]
fn windows_cost_less_than_before_and_the_report_says_how_much() {
    let long = fractal("fractal_long_gop.mp4", (192, 128), &["-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "250"]);
    let videos = Videos::new();
    videos.copy("a.mp4", &long);
    let report = to_train(&videos, &["--short-side", "64"]);
    let windows = report["train"]["windows"].as_array().unwrap();
    assert_eq!(windows.iter().map(|w| w["stride"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 4]);
    for window in windows {
        let amplification = |when: &str| window[when]["decode_amplification"].as_f64().unwrap();
        let bytes = |when: &str| window[when]["bytes_per_window"].as_f64().unwrap();
        assert!(amplification("before") > 1.5 * amplification("after") && amplification("after") >= 1.0, "{window}");
        assert!(bytes("before") > bytes("after"), "{window}");
        for when in ["before", "after"] {
            assert!(window[when]["decoded_per_core_second"].as_f64().unwrap() > 1.0, "{window}");
        }
    }
    let said = support::run([
        "convert",
        videos.source().to_str().unwrap(),
        "--out",
        videos.out().to_str().unwrap(),
        "--profile",
        "train",
        "--short-side",
        "64",
    ]);
    for part in ["PSNR", "lowest", "stride 1", "stride 4", "from the sources", "now", "frames/s per core"] {
        assert!(said.stdout.contains(part), "{part} is not in {}", said.stdout);
    }
}

#[test]
fn audio_alone_and_options_of_other_profiles_are_refused() {
    let videos = Videos::new();
    videos.copy("a.mp4", &small());
    videos.copy("sound.m4v", &make("sound.mp4", &["-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac"]));
    let report = to_train(&videos, &["--short-side", "64"]);
    assert_eq!(report["clips"], json!(1));
    assert!(report["failed"][0]["reason"].as_str().unwrap().contains("no video stream"), "{report}");
    let other = videos.dir.path().join("other");
    convert(&videos.source(), &other, &["--gop", "8"]).fails(1, &["profile train"]);
    convert(&videos.source(), &other, &["--profile", "train", "--gop", "0"]).fails(1, &["gop is 0"]);
    convert(&videos.source(), &other, &["--profile", "train", "--short-side", "63"]).fails(1, &["short_side is 63"]);
    convert(&videos.source(), &other, &["--profile", "train", "--size", "64x64", "--short-side", "64"]).fails(2, &[]);
    convert(&videos.source(), &other, &["--profile", "train", "--format", "rgb"]).fails(1, &["profile raw"]);
}
