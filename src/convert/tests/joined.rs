//! Streams that are not cut where an MP4 wants it: recordings that begin in the middle of a GOP, and hidden frames in packets of their
//! own.

use super::clip::{check_clip, convert_to, ffmpeg_frames, record_frames};
use crate::testing::{self, make};
use std::path::{Path, PathBuf};

/// A transport stream, or an elementary one, of so many seconds.
fn stream(name: &str, seconds: u32, encode: &[&str]) -> PathBuf {
    let source = format!("testsrc2=size=160x120:rate=25:duration={seconds}");
    make(name, &[&["-f", "lavfi", "-i", &source][..], encode].concat())
}

/// The file from byte `first` on.
fn without_beginning(source: &Path, first: usize, folder: &Path) -> PathBuf {
    let bytes = std::fs::read(source).unwrap();
    let path = folder.join(source.file_name().unwrap());
    std::fs::write(&path, &bytes[first..]).unwrap();
    path
}

const LONG_GOPS: [(&str, &[&str]); 3] = [
    ("long.ts", &["-c:v", "libx264", "-g", "250", "-bf", "2", "-preset", "veryfast"]),
    (
        "long_hevc.ts",
        &[
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-x265-params",
            "log-level=none:keyint=250:min-keyint=250:pools=1",
        ],
    ),
    ("long_mpeg2.ts", &["-c:v", "mpeg2video", "-g", "250", "-bf", "2", "-sc_threshold", "1000000000"]),
];

#[test]
fn what_begins_within_a_long_gop_is_copied_from_the_first_keyframe() {
    let folder = tempfile::tempdir().unwrap();
    for (name, encode) in LONG_GOPS {
        // Nothing is found of the stream within the five seconds that are searched.
        let whole = stream(name, 22, encode);
        let path = without_beginning(&whole, 188 * 60, folder.path());
        let output = check_clip(&path).unwrap();
        assert_eq!(output.reencoded, None, "{name}: {:?}", output.warnings);
        assert_eq!((output.stream.width, output.stream.height), (160, 120), "{name}");
        let first = output.stream.packets.get(0).unwrap();
        assert!(first.flags.contains(crate::media::PacketFlags::KEYFRAME), "{name}");
        let warning = output.warnings.iter().find(|warning| warning.contains("in the middle of a GOP"));
        assert!(warning.is_some_and(|it| it.contains("packets before the first keyframe gave no frame")), "{name}");
        assert!(
            output.warnings.iter().all(|warning| !warning.contains("could not be decoded")),
            "{:?}",
            output.warnings
        );
        // A cut of it.
        let mp4 = folder.path().join("cut.mp4");
        let cut = convert_to(&path, &mp4, Some(2.0), Some(4.0)).unwrap();
        assert_eq!(cut.reencoded, None, "{name}");
        let all = ffmpeg_frames(&path, cut.stream_index, 160 * 120 * 3 / 2);
        assert!(record_frames(&cut.stream, &mp4) == all[50..100], "{name}");
    }
}

#[test]
fn what_begins_between_keyframes_says_what_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let x264 = |more| ["-c:v", "libx264", "-preset", "veryfast", "-x264-params", more];
    let plain = x264("keyint=50:min-keyint=50:bframes=0:scenecut=0");
    let open = x264("keyint=50:min-keyint=50:bframes=3:b-adapt=0:open-gop=1:scenecut=0");
    let mpeg2 = ["-c:v", "mpeg2video", "-g", "50", "-bf", "2", "-sc_threshold", "1000000000"];
    for (name, encode, is_open) in [
        ("between.ts", &plain[..], false),
        ("between.h264", &plain, false),
        ("between_open.ts", &open, true),
        ("between_open.h264", &open, true),
        ("between_mpeg2.m2v", &mpeg2, true),
    ] {
        let whole = stream(name, 6, encode);
        let size = std::fs::metadata(&whole).unwrap().len() as usize;
        let path = without_beginning(&whole, size / 8 / 188 * 188, folder.path());
        let output = check_clip(&path).unwrap();
        assert_eq!(output.reencoded, None, "{name}");
        let warning = output.warnings.iter().find(|warning| warning.contains("in the middle of a GOP"));
        let warning = warning.unwrap_or_else(|| panic!("{name}: {:?}", output.warnings));
        assert!(warning.contains("before the first keyframe"), "{name}: {warning}");
        let led = warning.contains("behind the first keyframe need what was before it");
        assert_eq!(led, is_open, "{name}: {warning}");
        let stream = &output.stream;
        let lost = stream.packets.len() - stream.num_frames();
        assert!(lost <= 3 && (lost > 0) == is_open, "{name}: {lost} packets give no frame");
        // Nothing is taken for damaged that is not: pictures that nobody needs are left out.
        let is_disposable =
            |flags: &u8| crate::media::PacketFlags(*flags).contains(crate::media::PacketFlags::DISPOSABLE);
        assert_eq!(stream.packets.flags.iter().any(is_disposable), is_open, "{name}");
    }
    // What begins with a keyframe says nothing.
    assert_eq!(check_clip(&stream("between.ts", 6, &plain)).unwrap().warnings, Vec::<String>::new());
}

#[test]
fn hidden_frames_in_packets_of_their_own_are_joined_with_the_next() {
    let split = |name: &str, source: &Path, filter: &str, folder: &Path| {
        let (source, path) = (source.to_str().unwrap(), folder.join(name));
        let filter = ["-c", "copy", "-bsf:v", filter, "-fflags", "-autobsf", path.to_str().unwrap()];
        testing::ffmpeg(&[&["-i", source][..], &filter].concat());
        path
    };
    let folder = tempfile::tempdir().unwrap();
    // Hidden frames take two passes.
    let (vp9, log) = (folder.path().join("vp9.webm"), folder.path().join("log"));
    for pass in ["1", "2"] {
        let source = ["-y", "-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=3,noise=alls=8:allf=t"];
        let encode = ["-c:v", "libvpx-vp9", "-crf", "40", "-b:v", "0", "-auto-alt-ref", "1", "-lag-in-frames", "25"];
        let passes = ["-cpu-used", "4", "-pass", pass, "-passlogfile", log.to_str().unwrap(), vp9.to_str().unwrap()];
        testing::ffmpeg(&[&source[..], &encode, &passes].concat());
    }
    let sources =
        [(vp9, "vp9_split.mkv", "vp9_superframe_split"), (testing::AV1.path(), "av1_split.mkv", "av1_frame_split")];
    let (mp4, whole_mp4) = (folder.path().join("split.mp4"), folder.path().join("whole.mp4"));
    for (whole, name, filter) in sources {
        let path = split(name, &whole, filter, folder.path());
        let packets = testing::ffmpeg(&["-i", path.to_str().unwrap(), "-c", "copy", "-f", "framecrc", "-"]);
        let packets = String::from_utf8(packets).unwrap().lines().filter(|line| line.starts_with('0')).count();
        let output = check_clip(&path).unwrap();
        assert_eq!((output.reencoded, output.warnings), (None, vec![]), "{name}");
        let stream = output.stream;
        assert!(packets > stream.num_frames(), "{name}: {packets} packets");
        assert_eq!(stream.packets.len(), stream.num_frames(), "{name}");
        // The same bytes as where they never were apart.
        let expected = convert_to(&whole, &whole_mp4, None, None).unwrap().stream;
        let given = convert_to(&path, &mp4, None, None).unwrap().stream;
        assert_eq!(given.packets.crc32c, expected.packets.crc32c, "{name}");
        assert_eq!(given.packets.flags, expected.packets.flags, "{name}");
        let cut = convert_to(&path, &mp4, Some(0.4), Some(1.0)).unwrap();
        assert_eq!(cut.reencoded, None, "{name}");
        let frame_bytes = cut.stream.pixel_format.frame_bytes(cut.stream.width, cut.stream.height) as usize;
        assert!(record_frames(&cut.stream, &mp4) == ffmpeg_frames(&whole, 0, frame_bytes)[10..25], "{name}");
    }
}
