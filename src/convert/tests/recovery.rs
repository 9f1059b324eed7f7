//! H.264 that starts elsewhere than at IDR pictures: open GOPs, gradual refresh, I pictures that nothing marks, and messages that lie.

use super::clip::{check_clip, convert_to, ffmpeg_frames, record_frames};
use crate::convert::*;
use crate::decode::DecodePlan;
use crate::media::{PacketFlags, StreamInfo};
use crate::testing::{self, make};
use std::path::{Path, PathBuf};

const SOURCE: [&str; 4] = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=6"];
const OPEN: &str = "open-gop=1:keyint=25:min-keyint=25:bframes=3:scenecut=0";

/// By x264 with those parameters, and more arguments.
fn x264(name: &str, parameters: &str, more: &[&str]) -> PathBuf {
    let encode = ["-c:v", "libx264", "-preset", "veryfast", "-x264-params", parameters];
    make(name, &[&SOURCE[..], &encode, more].concat())
}

fn remux(name: &str, source: &Path) -> PathBuf {
    make(name, &["-i", source.to_str().unwrap(), "-c", "copy"])
}

fn frame_bytes(stream: &StreamInfo) -> usize {
    stream.pixel_format.frame_bytes(stream.width, stream.height) as usize
}

/// Packets decoded per frame, of windows of 16 all over the record.
fn amplification(stream: &StreamInfo) -> f64 {
    let count = stream.num_frames() as u32;
    let plans = (0..count - 16).map(|first| DecodePlan::new(stream, &(first..first + 16).collect::<Vec<_>>()).unwrap());
    let fed: usize = plans.map(|plan| plan.packets().len()).sum();
    fed as f64 / 16.0 / f64::from(count - 16)
}

/// Stores pieces of so many seconds of the beginning; all their frames must be those of the whole, as the record gives them and as
/// ffmpeg plays them. Gives the bytes of all.
fn split_until(path: &Path, end: f64, seconds: f64, check: CheckLevel) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mp4 = folder.path().join("piece.mp4");
    let (mut given, mut bytes, mut piece) = (Vec::new(), 0, 0_u32);
    let mut expected = None;
    loop {
        let start = f64::from(piece) * seconds;
        if start >= end - 1e-6 {
            break;
        }
        let request = ClipRequest {
            source: path.to_owned(),
            start: Some(start),
            end: Some(start + seconds),
            check,
            ..ClipRequest::default()
        };
        let output = convert_clip(&request, &mp4, &|| false).unwrap();
        assert_eq!(output.reencoded, None, "{} from {start}", path.display());
        let frames = record_frames(&output.stream, &mp4);
        let played = ffmpeg_frames(&mp4, 0, frame_bytes(&output.stream));
        let first = frames.iter().zip(&played).position(|(ours, other)| ours != other);
        let counts = (frames.len(), played.len());
        assert!(
            frames == played,
            "{} from {start}: {counts:?} frames, the first that differs {first:?}",
            path.display()
        );
        expected.get_or_insert_with(|| ffmpeg_frames(path, 0, frame_bytes(&output.stream)));
        given.extend(frames);
        bytes += output.bytes;
        piece += 1;
    }
    let mut expected = expected.unwrap();
    expected.truncate((end * 25.0).round() as usize);
    assert!(given == expected, "{}: {} frames in pieces of {seconds} s", path.display(), given.len());
    bytes
}

/// All of it.
fn split(path: &Path, seconds: f64, check: CheckLevel) -> u64 {
    split_until(path, 6.0, seconds, check)
}

/// All frames right, whole and in pieces, with `gops` GOPs by either check.
fn check_all(path: &Path, gops: std::ops::RangeInclusive<usize>) -> StreamInfo {
    let output = check_clip(path).unwrap();
    assert_eq!(output.reencoded, None, "{}", path.display());
    assert_eq!(output.warnings, Vec::<String>::new(), "{}", path.display());
    let found = output.stream.gops.len();
    assert!(gops.contains(&found), "{}: {found} GOPs, not {gops:?}", path.display());
    let folder = tempfile::tempdir().unwrap();
    let request = ClipRequest { source: path.to_owned(), check: CheckLevel::Fast, ..ClipRequest::default() };
    let fast = convert_clip(&request, &folder.path().join("clip.mp4"), &|| false).unwrap();
    assert_eq!(fast.stream.packets.flags, output.stream.packets.flags, "{}", path.display());
    output.stream
}

#[test]
fn open_gops_are_places_to_start() {
    let cases: [(&str, &str, &[&str]); 6] = [
        ("open.mp4", "", &[]),
        ("open_pyramid.mp4", ":b-pyramid=normal:ref=4:bframes=6:b-adapt=0", &[]),
        ("open_strict.mp4", ":b-pyramid=strict:ref=3:weightp=2", &[]),
        ("open_one_reference.mp4", ":ref=1:b-pyramid=none", &[]),
        ("open_interlaced.mp4", ":tff=1:bluray-compat=1", &["-flags", "+ilme+ildct"]),
        ("open_10.mp4", ":ref=2", &["-pix_fmt", "yuv420p10le"]),
    ];
    for (name, more, args) in cases {
        let stream = check_all(&x264(name, &format!("{OPEN}{more}"), args), 6..=7);
        let leading = stream.packets.iter().any(|entry| entry.flags.contains(PacketFlags::LEADING));
        assert!(leading, "{name}");
    }
}

#[test]
fn open_gops_cost_what_closed_ones_do() {
    let closed = x264("closed.mp4", "keyint=25:min-keyint=25:bframes=3:scenecut=0", &[]);
    let open = x264("open.mp4", OPEN, &[]);
    let figures = |path: &Path| {
        let stream = check_all(path, 6..=6);
        let pieces = split(path, 1.0, CheckLevel::Full);
        (amplification(&stream), pieces as f64 / std::fs::metadata(path).unwrap().len() as f64)
    };
    let (closed, open) = (figures(&closed), figures(&open));
    assert!(open.0 < closed.0 * 1.1 + 0.1, "decoded per frame: {open:?}, of closed GOPs {closed:?}");
    assert!(open.1 < closed.1 * 1.25, "bytes of the pieces per byte: {open:?}, of closed GOPs {closed:?}");
}

#[test]
fn pieces_of_open_gops_are_right_however_short_and_in_every_container() {
    let open = x264("open_pyramid.mp4", &format!("{OPEN}:b-pyramid=normal:ref=4:bframes=6:b-adapt=0"), &[]);
    split_until(&open, 2.2, 0.04, CheckLevel::Fast);
    split(&open, 0.6, CheckLevel::Full);
    for name in ["open.ts", "open.mkv", "open.flv", "open.h264"] {
        let path = remux(name, &open);
        let output = check_clip(&path).unwrap();
        assert_eq!((output.reencoded, output.stream.gops.len()), (None, 6), "{name}");
        split(&path, 1.5, CheckLevel::Fast);
    }
}

#[test]
fn a_gradual_refresh_is_a_place_to_start_and_its_own_pictures_lead() {
    for (name, more, gops) in [
        ("refresh.mp4", "keyint=25:bframes=0", 5..=6),
        ("refresh_b.mp4", "keyint=25:bframes=2", 5..=6),
        // Refreshes that do not end before the next one begins, and some that lie.
        ("refresh_long.mp4", "keyint=6:bframes=0", 10..=24),
    ] {
        let path = x264(name, &format!("intra-refresh=1:scenecut=0:ref=1:{more}"), &[]);
        let stream = check_clip(&path).unwrap().stream;
        assert!(gops.contains(&stream.gops.len()), "{name}: {} GOPs", stream.gops.len());
        let second = stream.gops[1].first_packet as usize;
        let both = PacketFlags::KEYFRAME | PacketFlags::LEADING;
        assert!(stream.packets.get(second).unwrap().flags.contains(both), "{name}");
        split(&path, 1.3, CheckLevel::Full);
    }
}

/// Inserts a recovery point before the picture of every `step`-th packet of an elementary stream, whatever it is.
fn lie(source: &Path, step: usize, target: &Path) {
    let bytes = std::fs::read(source).unwrap();
    let starts: Vec<usize> = memchr::memmem::find_iter(&bytes, &[0, 0, 1]).collect();
    let (mut out, mut slices) = (bytes[..starts[0]].to_vec(), 0);
    for (index, &start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(bytes.len());
        if bytes[start + 3] & 0x1f == 1 && bytes[start + 3] & 0x60 != 0 {
            slices += 1;
            if slices % step == 0 {
                out.extend([0, 0, 1, 6, 6, 1, 0b1100_0100, 0x80]);
            }
        }
        out.extend(&bytes[start..end]);
    }
    std::fs::write(target, out).unwrap();
}

#[test]
fn recovery_points_that_lie_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let one_slice = x264("closed.h264", "keyint=100:min-keyint=100:bframes=3:scenecut=0:slices=1:ref=4", &[]);
    for step in [1, 5] {
        let mut before = folder.path().join("lies.h264");
        lie(&one_slice, step, &before);
        for container in ["lies.h264", "lies.mp4", "lies.ts"] {
            let path = folder.path().join(container);
            if path != before {
                testing::ffmpeg(&["-y", "-i", before.to_str().unwrap(), "-c", "copy", path.to_str().unwrap()]);
            }
            before.clone_from(&path);
            let output = check_clip(&path).unwrap();
            assert_eq!((output.reencoded, output.stream.gops.len()), (None, 2), "{container}, every {step}");
            assert!(output.warnings.iter().any(|warning| warning.contains("are none")), "{:?}", output.warnings);
            split(&path, 1.7, CheckLevel::Fast);
        }
    }
}

#[test]
fn i_pictures_that_nothing_marks_are_places_to_start_where_there_is_one_reference() {
    // The picture changes wholly every 15 frames, which is more often than x264 may make IDR pictures.
    let changes =
        "color=red:s=160x120:r=25:d=4,geq=lum='mod(floor(N/15)*97+X*(1+mod(floor(N/15)\\,5))\\,255)':cb=128:cr=128";
    let source = ["-f", "lavfi", "-i", changes, "-pix_fmt", "yuv420p"];
    let encode = |name, references| {
        let parameters = format!("keyint=50:min-keyint=50:scenecut=40:bframes=0:ref={references}");
        make(name, &[&source[..], &["-c:v", "libx264", "-x264-params", &parameters]].concat())
    };
    let one = check_all(&encode("i_pictures_1.mp4", 1), 6..=8);
    assert!(one.packets.iter().all(|entry| !entry.flags.contains(PacketFlags::LEADING)));
    // More references say nothing, where an IDR picture comes every 50 frames.
    check_all(&encode("i_pictures_4.mp4", 4), 2..=4);
}

#[test]
fn windows_begin_where_a_gop_can_be_decoded_alone() {
    let path = x264("open.mp4", OPEN, &[]);
    let folder = tempfile::tempdir().unwrap();
    let stream = convert_to(&path, &folder.path().join("clip.mp4"), None, None).unwrap().stream;
    let starts = stream.gop_starts();
    assert_eq!(starts.len(), 6);
    assert!(starts.iter().zip(&stream.gops).any(|(&frame, gop)| frame > gop.first_frame));
    for (number, &frame) in starts.iter().enumerate().skip(1) {
        assert!(frame >= stream.gops[number].first_frame);
        let plan = DecodePlan::new(&stream, &[frame]).unwrap();
        assert_eq!(plan.packets(), [stream.gops[number].first_packet]);
    }
}
