//! Pictures that change on the way, against what the ffmpeg command shows of them.

use super::clip::{ffmpeg_frames, record_frames};
use crate::convert::*;
use crate::testing::{self, make};
use std::path::{Path, PathBuf};

const X264: [&str; 4] = ["-c:v", "libx264", "-x264-params", "keyint=10:min-keyint=10:scenecut=0:bframes=2"];

/// 20 frames of a picture with colours and soft edges, encoded by `encode`: at hard ones a conversion of subsampled chroma
/// depends on its filters more than on what is tested here.
fn part(name: &str, size: &str, encode: &[&str]) -> PathBuf {
    let source = format!("testsrc2=size={size}:rate=25:duration=0.8,gblur=sigma=4");
    make(name, &[&["-f", "lavfi", "-i", &source], encode].concat())
}

/// One part behind the other, as a recorder that is switched over writes them.
fn joined(folder: &Path, name: &str, parts: &[&Path]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, parts.iter().flat_map(|part| std::fs::read(part).unwrap()).collect::<Vec<u8>>()).unwrap();
    path
}

/// Two parts of `extension` that differ in what `first` and `second` ask of the encoder.
fn changing(folder: &Path, name: &str, extension: &str, first: (&str, &[&str]), second: (&str, &[&str])) -> PathBuf {
    let file = |which: &str| format!("change_{name}_{which}.{extension}");
    let (a, b) = (part(&file("a"), first.0, first.1), part(&file("b"), second.0, second.1));
    joined(folder, &format!("{name}.{extension}"), &[&a, &b])
}

fn convert_with(source: &Path, mp4: &Path, request: &ClipRequest) -> Result<ClipOutput> {
    convert_clip(&ClipRequest { source: source.to_owned(), ..request.clone() }, mp4, &|| false)
}

fn psnr(a: &[u8], b: &[u8]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares: u64 = a.iter().zip(b).map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum();
    10.0 * (255.0 * 255.0 * a.len() as f64 / squares.max(1) as f64).log10()
}

/// Worst frame of `stored` against what ffmpeg shows of `source`, in RGB.
fn worst_frame(source: &Path, stored: &Path, num_frames: usize) -> f64 {
    let (expected, given) = (testing::shown_planes(source, "rgb24"), testing::shown_planes(stored, "rgb24"));
    assert!(expected.len() == given.len() && expected.len().is_multiple_of(num_frames), "{}", source.display());
    let frame = expected.len() / num_frames;
    let pairs = expected.chunks_exact(frame).zip(given.chunks_exact(frame));
    pairs.map(|(a, b)| psnr(a, b)).fold(f64::MAX, f64::min)
}

fn tagged<'a>(matrix: &'a str, range: &'a str) -> Vec<&'a str> {
    [&X264[..], &["-colorspace", matrix, "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", range]]
        .concat()
}

/// Each source with the words of its warning: the frame and both values.
fn sources(folder: &Path) -> Vec<(PathBuf, &'static str, bool)> {
    let x264 = |more: &[&'static str]| [&X264[..], more].concat();
    let mpeg2 = |more: &[&'static str]| [&["-c:v", "mpeg2video", "-g", "10", "-q:v", "2"], more].concat();
    let (bt709, bt601) = (tagged("bt709", "tv"), tagged("smpte170m", "tv"));
    let full = [&["-vf", "scale=out_range=pc", "-pix_fmt", "yuvj420p"], &tagged("bt709", "pc")[..]].concat();
    let (small, large) = ("160x120", "320x180");
    let rotated = ["-bsf:v", "h264_metadata=display_orientation=insert:rotate=90"];
    vec![
        (
            changing(folder, "size", "h264", (small, &X264), (large, &X264)),
            "at frame 20: size 160x120 to 320x180",
            true,
        ),
        (changing(folder, "smaller", "ts", (large, &X264), (small, &X264)), "size 320x180 to 160x120", true),
        (
            changing(folder, "mpeg2_size", "ts", (small, &mpeg2(&[])), (large, &mpeg2(&[]))),
            "size 160x120 to 320x180",
            true,
        ),
        (changing(folder, "matrix", "ts", (small, &bt709), (small, &bt601)), "matrix bt709 to smpte170m", true),
        (changing(folder, "range", "ts", (small, &bt709), (small, &full)), "range limited to full", true),
        (changing(folder, "range_back", "h264", (small, &full), (small, &bt709)), "range full to limited", true),
        (
            changing(folder, "format", "h264", (small, &X264), (small, &x264(&["-pix_fmt", "yuv422p"]))),
            "pixel format yuv420p to yuv422p",
            true,
        ),
        (
            changing(folder, "depth", "ts", (small, &x264(&["-pix_fmt", "yuv420p10le"])), (small, &X264)),
            "pixel format yuv420p10le to yuv420p",
            true,
        ),
        (changing(folder, "rotation", "h264", (small, &X264), (small, &x264(&rotated))), "rotation 0 degrees to", true),
        (
            changing(
                folder,
                "aspect",
                "ts",
                (small, &mpeg2(&["-aspect", "4:3"])),
                (small, &mpeg2(&["-aspect", "16:9"])),
            ),
            "sample aspect ratio 1:1 to 4:3",
            false,
        ),
        (
            changing(
                folder,
                "primaries",
                "ts",
                (small, &bt709),
                (small, &[&bt709[..], &["-color_primaries", "bt470bg"]].concat()),
            ),
            "primaries 1 to 5",
            false,
        ),
    ]
}

#[test]
fn later_frames_are_made_like_the_first_and_both_values_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let mp4 = folder.path().join("clip.mp4");
    let mut poor = Vec::new();
    for (source, words, converts) in sources(folder.path()) {
        let name = source.file_name().unwrap().to_str().unwrap().to_owned();
        for check in [CheckLevel::Full, CheckLevel::Fast] {
            let request = ClipRequest { check, ..ClipRequest::default() };
            let output = convert_with(&source, &mp4, &request).unwrap_or_else(|error| panic!("{name}: {error}"));
            let warnings = output.warnings.join("\n");
            assert!(warnings.contains(words) && warnings.contains("at frame "), "{name}: {warnings}");
            assert_eq!(output.reencoded.is_some(), converts, "{name}: {:?}", output.reencoded);
            assert!(output.reencoded.is_none_or(|reason| reason.contains(words)), "{name}");
            let stream = &output.stream;
            let num_frames =
                testing::shown_planes(&source, "rgb24").len() / (stream.width * stream.height * 3) as usize;
            assert_eq!(stream.num_frames(), num_frames, "{name}");
            let given = record_frames(stream, &mp4);
            let frame_bytes = stream.pixel_format.frame_bytes(stream.width, stream.height);
            assert!(given == ffmpeg_frames(&mp4, 0, frame_bytes as usize), "{name}: the MP4 plays other frames");
            let worst = worst_frame(&source, &mp4, num_frames);
            eprintln!("{name}: worst frame {worst:.1} dB");
            poor.extend((worst < 35.0).then(|| format!("{name}: {worst:.1} dB")));
        }
    }
    assert!(poor.is_empty(), "{poor:?}");
}

#[test]
fn a_change_is_refused_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mp4 = folder.path().join("clip.mp4");
    for train in [None, Some(TrainOptions::default())] {
        let request = ClipRequest { on_change: OnChange::Refuse, train, ..ClipRequest::default() };
        for (source, words, _) in sources(folder.path()) {
            let error = convert_with(&source, &mp4, &request).expect_err(words);
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", error.report());
            assert!(error.message().contains(words) && error.path() == Some(&source), "{}", error.report());
            // What lies on one side of the change has none.
            if source.extension().unwrap() == "ts" {
                let whole = ClipRequest { start: None, end: Some(0.5), ..request.clone() };
                let output = convert_with(&source, &mp4, &whole).unwrap();
                assert!(!output.warnings.iter().any(|warning| warning.contains("changes")), "{:?}", output.warnings);
            }
        }
        let plain = part("change_plain.ts", "160x120", &X264);
        convert_with(&plain, &mp4, &request).unwrap();
    }
}

#[test]
fn a_cut_behind_the_change_looks_like_its_own_frames() {
    let folder = tempfile::tempdir().unwrap();
    let mp4 = folder.path().join("clip.mp4");
    let source = changing(folder.path(), "cut", "h264", ("160x120", &X264), ("320x180", &X264));
    let request = ClipRequest { start: Some(1.0), ..ClipRequest::default() };
    let output = convert_with(&source, &mp4, &request).unwrap();
    let stream = &output.stream;
    assert_eq!((stream.width, stream.height, stream.num_frames()), (320, 180, 15), "{:?}", output.warnings);
    assert!(!output.warnings.iter().any(|warning| warning.contains("changes")), "{:?}", output.warnings);
    assert_eq!(output.reencoded, None);
    let train = Some(TrainOptions::default());
    let output = convert_with(&source, &mp4, &ClipRequest { train, ..request }).unwrap();
    assert_eq!((output.stream.width, output.stream.height), (320, 180));
}

#[test]
fn frames_for_training_and_raw_ones_follow_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let mp4 = folder.path().join("clip.mp4");
    let (bt709, bt601) = (tagged("bt709", "tv"), tagged("smpte170m", "tv"));
    let small = "160x120";
    for source in [
        changing(folder.path(), "train_matrix", "ts", (small, &bt709), (small, &bt601)),
        changing(folder.path(), "train_size", "ts", (small, &bt709), ("320x240", &bt709)),
    ] {
        let request = ClipRequest { source: source.clone(), ..ClipRequest::default() };
        let train = ClipRequest { train: Some(TrainOptions::default()), ..request.clone() };
        let output = convert_clip(&train, &mp4, &|| false).unwrap();
        assert!(output.warnings.iter().any(|warning| warning.contains("at frame 20")), "{:?}", output.warnings);
        let worst = worst_frame(&source, &mp4, 40);
        assert!(worst > 36.0, "{}: worst frame {worst:.1} dB", source.display());

        let output = convert_clip(&request, &mp4, &|| false).unwrap();
        let raw = folder.path().join("frames.raw");
        crate::convert::clip::raw_frames::RawFrames::rgb(&output, &request, &mp4, None, &raw, &|| false).unwrap();
        let (expected, given) = (testing::shown_planes(&source, "rgb24"), std::fs::read(&raw).unwrap());
        let frame = expected.len() / 40;
        let of = |number: usize| number * frame..(number + 1) * frame;
        let [first, last] = [of(0), of(39)].map(|frame| psnr(&expected[frame.clone()], &given[frame]));
        assert!(last > first - 4.0, "{}: raw frames {first:.1} and {last:.1} dB", source.display());
        crate::convert::clip::raw_frames::RawFrames::yuv420(&output, &request, &mp4, &raw, &|| false).unwrap();
        assert_eq!(std::fs::metadata(&raw).unwrap().len(), 40 * 160 * 120 * 3 / 2);
    }
}

/// The NAL units of H.264 with start codes, without the parameter sets that are repeated.
fn with_first_parameters_only(bytes: &[u8]) -> Vec<u8> {
    let mut seen = std::collections::HashSet::new();
    let mut kept = Vec::new();
    for unit in crate::media::nal::units(bytes, 0) {
        let kind = unit[0] & 0x1f;
        if !matches!(kind, 7 | 8) || seen.insert(kind) {
            kept.extend([0, 0, 0, 1]);
            kept.extend(unit);
        }
    }
    kept
}

/// The pictures look alike, and the decoder's configuration is another one from the middle on.
#[test]
fn parameter_sets_that_change_in_band_leave_no_wrong_frame_by_either_check() {
    let folder = tempfile::tempdir().unwrap();
    let mp4 = folder.path().join("clip.mp4");
    let params = |more: &str| format!("keyint=5:min-keyint=5:scenecut=0:bframes=0{more}");
    let (one, other) = (params(":cabac=1:ref=3"), params(":cabac=0:ref=1:qp=30"));
    let encode = |params| ["-c:v", "libx264", "-x264-params", params];
    let a = part("change_sets_a.h264", "160x120", &encode(&one));
    let b = part("change_sets_b.h264", "160x120", &encode(&other));
    let path = folder.path().join("sets.h264");
    let parts = [&a, &b].map(|path| with_first_parameters_only(&std::fs::read(path).unwrap()));
    std::fs::write(&path, parts.concat()).unwrap();
    let repeated = joined(folder.path(), "repeated.h264", &[&a, &b]);
    for source in [path, repeated] {
        let expected = ffmpeg_frames(&source, 0, 160 * 120 * 3 / 2);
        for check in [CheckLevel::Full, CheckLevel::Fast] {
            let request = ClipRequest { check, on_change: OnChange::Refuse, ..ClipRequest::default() };
            let output = convert_with(&source, &mp4, &request).unwrap();
            assert_eq!(output.reencoded, None);
            assert!(record_frames(&output.stream, &mp4) == expected, "{}: {check:?}", source.display());
        }
    }
}
