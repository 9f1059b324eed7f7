//! Sources of every kind, made by the ffmpeg command: whole and cut, each with the frames that ffmpeg gives.

use super::clip_tests::{check_clip, convert_to, ffmpeg_frames, record_frames};
use super::*;
use crate::decode::DecodePlan;
use crate::media::{Orientation, PacketFlags, Ratio};
use crate::testing::{self, make};
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=3"];
const X264: [&str; 4] = ["-c:v", "libx264", "-x264-params", "keyint=20:min-keyint=20:scenecut=0:bframes=3"];

fn from_test_picture(name: &str, encode: &[&str]) -> PathBuf {
    make(name, &[&SOURCE, encode].concat())
}

fn remux(name: &str, before: &[&str], source: &Path, after: &[&str]) -> PathBuf {
    make(name, &[before, &["-i", source.to_str().unwrap()], after].concat())
}

fn h264() -> PathBuf {
    from_test_picture("plain.mp4", &X264)
}

/// Converts and compares with ffmpeg; the reason for encoding anew, if there was one.
fn check(path: &Path) -> Option<String> {
    check_clip(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).reencoded
}

#[test]
fn every_codec_of_the_fixtures_is_copied() {
    for fixture in testing::ALL {
        assert_eq!(check(&fixture.path()), None, "{}", fixture.name);
    }
}

#[test]
fn every_container_gives_its_frames() {
    let plain = h264();
    let copy = ["-c", "copy"];
    let names = ["remux.ts", "remux.mkv", "remux.flv", "remux.mov", "remux.h264", "remux.avi", "remux.3gp"];
    for name in names {
        assert_eq!(check(&remux(name, &[], &plain, &copy)), None, "{name}");
    }
    let fragmented = ["-c", "copy", "-movflags", "frag_keyframe+empty_moov"];
    assert_eq!(check(&remux("fragmented.mp4", &[], &plain, &fragmented)), None);
    let hevc = testing::HEVC_OPEN_GOP.path();
    for name in ["open_gop.hevc", "open_gop.ts", "open_gop.mkv"] {
        assert_eq!(check(&remux(name, &[], &hevc, &copy)), None, "{name}");
    }
    let (vp9, av1) = (testing::VP9_ODD.path(), testing::AV1.path());
    assert_eq!(check(&remux("vp9.webm", &[], &vp9, &copy)), None);
    assert_eq!(check(&remux("av1.mkv", &[], &av1, &copy)), None);
    assert_eq!(check(&remux("av1.obu", &[], &av1, &copy)), None);
}

#[test]
fn of_av1_only_the_pictures_are_decoded_that_a_frame_needs() {
    let encode = |name, options: &[&str]| {
        from_test_picture(name, &[&["-c:v", "libaom-av1", "-cpu-used", "8", "-g", "60"], options].concat())
    };
    // Frames that name few others: each alone takes half of what lies before it, 45 packets of these thirty.
    for (name, options) in [
        ("av1_layers.mp4", &["-lag-in-frames", "35"][..]),
        ("av1_ten_bits.mkv", &["-lag-in-frames", "19", "-pix_fmt", "yuv420p10le"]),
    ] {
        let output = check_clip(&encode(name, options)).unwrap();
        let num_fed = |frame| DecodePlan::new(&output.stream, &[frame]).unwrap().packets().len();
        let fed: usize = (30..60).map(num_fed).sum();
        assert!(fed < 30 * 30, "{name}: {fed} packets for 30 frames, one by one");
    }
    check(&encode("av1_realtime.mp4", &["-usage", "realtime"]));
    check(&encode("av1_resilient.mp4", &["-usage", "realtime", "-aom-params", "error-resilient=1"]));
}

/// Intra-only frames refer to nothing, and still need the sequence header that only the key frame before them brings.
#[test]
fn frames_of_av1_are_found_behind_pictures_that_refer_to_nothing() {
    let help = Command::new("ffmpeg").args(["-hide_banner", "-h", "encoder=libsvtav1"]).output().unwrap();
    if !String::from_utf8_lossy(&help.stdout).contains("svtav1-params") {
        eprintln!("SKIPPED: this ffmpeg's SVT-AV1 takes no parameters");
        return;
    }
    for (name, gop, params) in [
        ("av1_intra_only.mp4", "1", "irefresh-type=1:lp=1"),
        ("av1_intra_refresh.mkv", "8", "irefresh-type=1:lp=1"),
        ("av1_low_delay.mp4", "20", "pred-struct=1:irefresh-type=1:lp=1"),
    ] {
        let encode = ["-c:v", "libsvtav1", "-preset", "12", "-pix_fmt", "yuv420p", "-g", gop, "-svtav1-params", params];
        check(&from_test_picture(name, &encode));
    }
}

#[test]
fn mpeg_streams_with_open_gops_are_copied() {
    let mpeg2 = ["-c:v", "mpeg2video", "-g", "12", "-bf", "2", "-sc_threshold", "1000000000"];
    for name in ["mpeg2.ts", "mpeg2.mpg", "mpeg2.m2v", "mpeg2.mkv"] {
        assert_eq!(check(&from_test_picture(name, &mpeg2)), None, "{name}");
    }
    let mpeg1 = ["-c:v", "mpeg1video", "-g", "12", "-bf", "2"];
    assert_eq!(check(&from_test_picture("mpeg1.mpg", &mpeg1)), None);
    let closed = ["-c:v", "mpeg2video", "-g", "12", "-bf", "2", "-flags", "+cgop", "-sc_threshold", "1000000000"];
    assert_eq!(check(&from_test_picture("mpeg2_closed.ts", &closed)), None);
}

#[test]
fn mpeg4_from_avi_is_copied_packed_or_not() {
    let with_b = ["-c:v", "mpeg4", "-g", "12", "-bf", "2"];
    assert_eq!(check(&from_test_picture("mpeg4_b.avi", &with_b)), None);
    let plain = ["-c:v", "mpeg4", "-g", "12", "-vtag", "DIVX"];
    assert_eq!(check(&from_test_picture("mpeg4_plain.avi", &plain)), None);
    let packed = ["-c:v", "libxvid", "-g", "12", "-bf", "2", "-q:v", "4"];
    assert_eq!(check(&from_test_picture("mpeg4_packed.avi", &packed)), None);
}

#[test]
fn what_an_mp4_cannot_hold_is_encoded_anew_with_all_frames() {
    let cases: [(&str, &[&str]); 7] = [
        ("vp8.webm", &["-c:v", "libvpx", "-b:v", "500k"]),
        ("flv1.flv", &["-c:v", "flv1"]),
        ("ffv1.mkv", &["-c:v", "ffv1", "-pix_fmt", "yuv422p10le"]),
        ("prores.mov", &["-c:v", "prores_ks"]),
        ("rgb.mov", &["-c:v", "png"]),
        ("raw.avi", &["-c:v", "rawvideo", "-pix_fmt", "yuv420p"]),
        ("palette.gif", &[]),
    ];
    for (name, encode) in cases {
        assert!(check(&from_test_picture(name, encode)).is_some(), "{name}");
    }
    let odd = make("odd.webm", &["-f", "lavfi", "-i", "testsrc2=size=75x53:duration=0.4", "-c:v", "libvpx"]);
    assert!(check(&odd).is_some());
}

#[test]
fn raw_pictures_stored_upside_down_are_encoded_anew() {
    let raw = from_test_picture("raw.avi", &["-c:v", "rawvideo", "-pix_fmt", "yuv420p"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("upside_down.avi");
    std::fs::write(&path, testing::upside_down(std::fs::read(raw).unwrap())).unwrap();
    let output = check_clip(&path).unwrap();
    assert!(output.reencoded.is_some() && output.stream.num_frames() == 75);
}

#[test]
fn colour_codes_that_nobody_has_defined_are_no_obstacle() {
    let tagged = from_test_picture("tagged.mkv", &["-c:v", "ffv1", "-pix_fmt", "yuv420p", "-colorspace", "bt709"]);
    let mut bytes = std::fs::read(tagged).unwrap();
    // MatrixCoefficients, one byte long.
    let at = bytes.windows(4).position(|element| element == [0x55, 0xB1, 0x81, 1]).unwrap();
    bytes[at + 3] = 200;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("matrix.mkv");
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(check_clip(&path).unwrap().stream.num_frames(), 75);
}

#[test]
fn edit_lists_variable_rates_and_odd_start_times_are_kept() {
    let plain = h264();
    // Starts between two key frames: the packets before are decoded and not shown.
    let trimmed = remux("trimmed.mp4", &["-ss", "1.1"], &plain, &["-c", "copy"]);
    let output = check_clip(&trimmed).unwrap();
    let packets = output.stream.packets.iter();
    assert!(packets.filter(|packet| packet.flags.contains(PacketFlags::DISCARD)).count() > 0);
    let late = remux("late.mkv", &["-itsoffset", "7.5"], &plain, &["-c", "copy"]);
    check(&late);
    let early = remux("early.mov", &["-itsoffset", "-0.3"], &plain, &["-c", "copy", "-avoid_negative_ts", "disabled"]);
    check(&early);
    let variable = [&["-vf", "setpts='N*N/(200*TB)'", "-vsync", "vfr"], X264.as_slice()].concat();
    let output = check_clip(&from_test_picture("variable.mp4", &variable)).unwrap();
    let stream = output.stream;
    let gaps: Vec<i64> =
        (1..stream.num_frames()).map(|n| stream.frame_pts(n).unwrap() - stream.frame_pts(n - 1).unwrap()).collect();
    assert!(gaps.last() > gaps.first());
}

#[test]
fn rotation_and_pixel_shape_are_stated_and_kept_in_the_mp4() {
    let turned = remux("turned.mp4", &[], &h264(), &["-c", "copy", "-metadata:s:v", "rotate=90"]);
    let wide = from_test_picture("wide.mp4", &[&["-vf", "setsar=4/3"], X264.as_slice()].concat());
    let output = check_clip(&turned).unwrap();
    assert_ne!(output.stream.orientation, Orientation::UPRIGHT);
    let output = check_clip(&wide).unwrap();
    assert_eq!(output.stream.sample_aspect, Ratio::new(4, 3).unwrap());
    for source in [turned, wide] {
        let folder = tempfile::tempdir().unwrap();
        let mp4 = folder.path().join("clip.mp4");
        let first = convert_to(&source, &mp4, None, None).unwrap();
        let second = convert_to(&mp4, &folder.path().join("again.mp4"), None, None).unwrap();
        assert_eq!(second.stream.orientation, first.stream.orientation);
        assert_eq!(second.stream.sample_aspect, first.stream.sample_aspect);
    }
}

#[test]
fn the_best_of_several_tracks_is_taken_and_pictures_are_not() {
    let plain = h264();
    let plain = plain.to_str().unwrap();
    let small = ["-map", "1:v", "-map", "0:v", "-c:v", "libx264", "-s:v:0", "64x48"];
    let two = make("two.mp4", &[&["-i", plain, "-i", plain], small.as_slice()].concat());
    let output = check_clip(&two).unwrap();
    assert!(output.warnings.iter().any(|warning| warning.contains("2 video streams")), "{:?}", output.warnings);
    let picture = make("picture.png", &["-f", "lavfi", "-i", "testsrc2=size=640x480", "-frames:v", "1"]);
    let picture = picture.to_str().unwrap();
    let cover = ["-map", "1", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic"];
    let covered = make("covered.mp4", &[&["-i", plain, "-i", picture], cover.as_slice()].concat());
    let output = check_clip(&covered).unwrap();
    assert_eq!(output.stream.width, 160);
    assert!(output.warnings.is_empty(), "{:?}", output.warnings);
}

#[test]
fn a_cut_holds_exactly_the_frames_of_its_time() {
    let plain = h264();
    let copy = ["-c", "copy"];
    let mpeg2 = ["-c:v", "mpeg2video", "-g", "12", "-bf", "2", "-sc_threshold", "1000000000"];
    let sources = [
        plain.clone(),
        remux("remux.ts", &[], &plain, &copy),
        remux("remux.mkv", &[], &plain, &copy),
        remux("remux.h264", &[], &plain, &copy),
        remux("trimmed.mp4", &["-ss", "1.1"], &plain, &copy),
        testing::HEVC_OPEN_GOP.path(),
        testing::H264_OPEN_GOP.path(),
        testing::VP9_ODD.path(),
        from_test_picture("mpeg2.ts", &mpeg2),
        from_test_picture("mpeg2.mpg", &mpeg2),
        from_test_picture("mpeg4_b.avi", &["-c:v", "mpeg4", "-g", "12", "-bf", "2"]),
        from_test_picture("vp8.webm", &["-c:v", "libvpx", "-b:v", "500k"]),
    ];
    for source in sources {
        let folder = tempfile::tempdir().unwrap();
        let whole_path = folder.path().join("whole.mp4");
        let whole = convert_to(&source, &whole_path, None, None).unwrap();
        let frames = record_frames(&whole.stream, &whole_path);
        let base = whole.stream.time_base;
        let time = |n: usize| whole.stream.frame_pts(n).unwrap();
        let (first, whole_end) = (time(0), time(0) + whole.stream.duration);
        for (start, end) in [(0.0, 0.5), (0.5, 1.0), (0.44, 0.97), (1.0, 1.04), (1.2, 9.0), (0.76, 0.8)] {
            let expected: Vec<u32> = (0..frames.len())
                .filter(|&n| {
                    let t = base.seconds(time(n) - first) + 1e-9;
                    start <= t && t < end
                })
                .map(|n| frames[n])
                .collect();
            let path = folder.path().join("cut.mp4");
            let what = format!("{} {start}..{end}", source.display());
            let cut =
                convert_to(&source, &path, Some(start), Some(end)).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(cut.stream.num_frames(), expected.len(), "{what}");
            assert_eq!(cut.stream.time_base, base, "{what}");
            let from = (0..frames.len()).find(|&n| base.seconds(time(n) - first) + 1e-9 >= start).unwrap();
            let end = if from + expected.len() < frames.len() { time(from + expected.len()) } else { whole_end };
            assert_eq!(cut.stream.duration, end - time(from), "{what}: another duration");
            let frame_bytes = cut.stream.pixel_format.frame_bytes(cut.stream.width, cut.stream.height) as usize;
            let given = record_frames(&cut.stream, &path);
            if cut.reencoded.is_none() {
                assert_eq!(given, expected, "{what}");
            }
            assert_eq!(ffmpeg_frames(&path, 0, frame_bytes), given, "{what}: the MP4 plays other frames");
        }
    }
}

#[test]
fn what_is_no_video_is_said_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let plain = std::fs::read(h264()).unwrap();
    let audio = make("audio.m4a", &["-f", "lavfi", "-i", "sine=duration=0.2"]);
    let cases = [
        (write("empty.mp4", b""), ErrorKind::Corrupt, "empty"),
        (write("text.mp4", b"this is no video\n".repeat(50).as_slice()), ErrorKind::Unsupported, "text file"),
        (write("text.txt", b"this is no video\n".repeat(50).as_slice()), ErrorKind::Unsupported, "text file"),
        (write("cut.mp4", &plain[..plain.len() / 2]), ErrorKind::Corrupt, "truncated"),
        (folder.path().to_owned(), ErrorKind::InvalidArgument, "folder"),
        (folder.path().join("missing.mp4"), ErrorKind::NotFound, "open"),
        (audio, ErrorKind::Unsupported, "no video stream"),
    ];
    for (path, kind, word) in cases {
        let error = convert_to(&path, &folder.path().join("out.mp4"), None, None).unwrap_err();
        assert_eq!(error.kind(), kind, "{}", error.report());
        assert!(error.report().contains(word) && error.path() == Some(&path), "{}", error.report());
    }
    let error = convert_to(&h264(), &folder.path().join("out.mp4"), Some(100.0), Some(101.0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{}", error.report());
    assert_eq!(
        convert_to(&h264(), &folder.path().join("out.mp4"), Some(2.0), Some(1.0)).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}

#[test]
fn the_same_source_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    for source in [h264(), from_test_picture("vp8.webm", &["-c:v", "libvpx", "-b:v", "500k"])] {
        let (a, b) = (folder.path().join("a.mp4"), folder.path().join("b.mp4"));
        convert_to(&source, &a, Some(0.5), Some(1.5)).unwrap();
        convert_to(&source, &b, Some(0.5), Some(1.5)).unwrap();
        assert!(std::fs::read(a).unwrap() == std::fs::read(b).unwrap(), "{}", source.display());
    }
}

#[test]
fn a_cancelled_conversion_ends_as_closed() {
    let folder = tempfile::tempdir().unwrap();
    let request = ClipRequest { source: h264(), ..ClipRequest::default() };
    let error = convert_clip(&request, &folder.path().join("out.mp4"), &|| true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

/// `source` with another display matrix (a, b, c, d of its upper left corner) in its only track.
fn with_matrix(source: &Path, target: &Path, (a, b, c, d): (i32, i32, i32, i32)) {
    let mut bytes = std::fs::read(source).unwrap();
    let tkhd = bytes.windows(4).position(|kind| kind == b"tkhd").unwrap();
    // Version 0: the matrix starts 44 bytes behind the box's name.
    for (at, value) in [(0, a), (4, b), (12, c), (16, d)] {
        let at = tkhd + 44 + at;
        bytes[at..at + 4].copy_from_slice(&(value << 16).to_be_bytes());
    }
    std::fs::write(target, bytes).unwrap();
}

#[test]
fn every_orientation_is_the_one_that_ffmpeg_shows() {
    let folder = tempfile::tempdir().unwrap();
    let source = h264();
    let unturned = testing::raw_planes(&source, 0, 160 * 120 * 3 / 2);
    let matrices = [
        (1, 0, 0, 1),
        (0, 1, -1, 0),
        (-1, 0, 0, -1),
        (0, -1, 1, 0),
        (-1, 0, 0, 1),
        (1, 0, 0, -1),
        (0, 1, 1, 0),
        (0, -1, -1, 0),
    ];
    let mut seen = Vec::new();
    for matrix in matrices {
        let path = folder.path().join("turned.mp4");
        with_matrix(&source, &path, matrix);
        let output = convert_to(&path, &folder.path().join("out.mp4"), None, None).unwrap();
        let orientation = output.stream.orientation;
        assert!(!seen.contains(&orientation), "{matrix:?}");
        seen.push(orientation);
        let shown = testing::ffmpeg(&["-i", path.to_str().unwrap(), "-frames:v", "1", "-f", "rawvideo", "-"]);
        let (width, height) = orientation.display_size(160, 120);
        for y in 0..height {
            for x in 0..width {
                let (from_x, from_y) = orientation.source_of(x, y, 160, 120);
                let expected = unturned[0][(from_y * 160 + from_x) as usize];
                assert_eq!(shown[(y * width + x) as usize], expected, "{matrix:?} at {x}, {y}");
            }
        }
    }
}

#[test]
fn a_stream_that_starts_in_the_middle_keeps_what_ffmpeg_shows() {
    let copy = ["-c", "copy"];
    let hevc = testing::HEVC_OPEN_GOP.path();
    // Starts at a CRA picture whose leading pictures refer to what is gone.
    let tail = remux("tail.ts", &["-ss", "1.0"], &remux("open_gop.ts", &[], &hevc, &copy), &copy);
    assert_eq!(check(&tail), None);
    let mpeg2 = ["-c:v", "mpeg2video", "-g", "12", "-bf", "2", "-sc_threshold", "1000000000"];
    let whole = from_test_picture("mpeg2.ts", &mpeg2);
    assert_eq!(check(&remux("mpeg2_tail.ts", &["-ss", "1.3"], &whole, &copy)), None);
    let avc = testing::H264_OPEN_GOP.path();
    check(&remux("avc_tail.mkv", &["-ss", "1.0"], &avc, &copy));
    check(&remux("avc_tail.mp4", &["-ss", "1.0"], &avc, &copy));
    // Bytes lost in the middle of a stream without an index.
    let folder = tempfile::tempdir().unwrap();
    for source in [remux("remux.ts", &[], &h264(), &copy), whole, tail] {
        let mut bytes = std::fs::read(&source).unwrap();
        let middle = bytes.len() / 2;
        bytes.drain(middle..middle + 188 * 7);
        let path = folder.path().join("lossy.ts");
        std::fs::write(&path, bytes).unwrap();
        check(&path);
    }
}

#[test]
fn a_file_that_ends_early_says_how_much_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let copy = ["-c", "copy"];
    let early = |path: &Path, start| {
        let output = convert_to(path, &folder.path().join("clip.mp4"), start, None).unwrap();
        let is_early = output.warnings.iter().find(|warning| warning.starts_with("the file ends early"));
        is_early.map(|warning| (warning.clone(), output.stream.num_frames()))
    };
    for (name, options) in
        [("faststart.mp4", ["-movflags", "faststart"]), ("faststart.mov", ["-movflags", "faststart"])]
    {
        let whole = remux(name, &[], &h264(), &[&copy[..], &options].concat());
        assert_eq!((early(&whole, None), early(&whole, Some(1.0))), (None, None), "{name}");
        let bytes = std::fs::read(&whole).unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let (warning, frames) = early(&path, None).unwrap();
        assert!(warning.contains("it names 75 packets"), "{warning}");
        assert!((10..70).contains(&frames), "{frames} frames");
    }
    // An index at the end, edit lists that leave out the end, and an AVI whose header counts places without a picture.
    let cut = ["-ss", "0.5", "-t", "1.2"];
    let in_front = ["-c", "copy", "-movflags", "faststart"];
    for source in [
        h264(),
        remux("edit_list.mp4", &cut, &h264(), &copy),
        remux("edit_list_in_front.mp4", &cut, &h264(), &in_front),
        remux("remux.avi", &[], &h264(), &copy),
    ] {
        assert_eq!(early(&source, None), None, "{}", source.display());
    }
}

/// What a decoder puts in the place of a damaged keyframe is taken from the picture before.
#[test]
fn a_damaged_keyframe_begins_no_gop_by_either_check() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.mp4");
    let whole = convert_to(&h264(), &path, None, None).unwrap().stream;
    let entry = whole.packets.get(whole.gops[1].first_packet as usize).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = (entry.offset + u64::from(entry.size) / 2) as usize;
    bytes[middle..middle + 64].fill(0x55);
    std::fs::write(&path, bytes).unwrap();
    let by = |check| {
        let request = ClipRequest { source: path.clone(), check, ..ClipRequest::default() };
        convert_clip(&request, &folder.path().join("clip.mp4"), &|| false).unwrap()
    };
    let (full, fast) = (by(CheckLevel::Full), by(CheckLevel::Fast));
    assert!(full.stream.gops.len() < whole.gops.len(), "{:?}", full.warnings);
    assert_eq!((&full.stream.gops, &full.warnings), (&fast.stream.gops, &fast.warnings));
    assert_eq!(full.stream.packets.flags, fast.stream.packets.flags);
}

#[test]
fn a_sound_source_is_not_doubted() {
    let _listening = crate::decode::ffmpeg::log::Listening::begin();
    let mut paths: Vec<PathBuf> = testing::ALL.iter().map(testing::Fixture::path).collect();
    paths.push(h264());
    for path in paths {
        let mut source = source::Source::open(&path, StreamChoice::default()).unwrap();
        let mut store = store::PacketStore::new(&path);
        let whole = ingest::Range::default();
        let reading = ingest::read(&mut source, whole, Some(&mut store), &|| false, &mut |_| Ok(())).unwrap().unwrap();
        assert!(!reading.has_warnings && !reading.is_unheard, "{}", path.display());
    }
}

#[test]
fn flipped_bytes_give_the_frames_of_ffmpeg_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let copy = ["-c", "copy"];
    let sources = [h264(), remux("remux.mkv", &[], &h264(), &copy), remux("remux.ts", &[], &h264(), &copy)];
    let mut state = 7_u64;
    for source in sources {
        let good = std::fs::read(&source).unwrap();
        for round in 0..8 {
            let mut bytes = good.clone();
            for _ in 0..=round {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (state >> 33) as usize % bytes.len();
                bytes[at] ^= 1 << (state >> 29 & 7);
            }
            let path = folder.path().join(source.file_name().unwrap());
            std::fs::write(&path, bytes).unwrap();
            let result = std::panic::catch_unwind(|| check_clip(&path));
            let Ok(result) = result else {
                let kept = std::env::temp_dir().join("framefeed-flipped").join(path.file_name().unwrap());
                std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
                std::fs::copy(&path, &kept).unwrap();
                panic!("round {round}, kept as {}", kept.display());
            };
            if let Err(error) = result {
                assert!(error.path().is_some(), "{}", error.report());
            }
        }
    }
}
