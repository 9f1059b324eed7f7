//! Times against the ffmpeg command: a clip lasts as long as ffmpeg plays it, its frames keep their content whatever is
//! done to their times, and rates take the frames that were meant.

use super::clip::{ffmpeg_frames, record_frames};
use crate::convert::clip::convert_clip::convert_clip;
use crate::convert::clip::train::{TrainOptions, TrainSize};
use crate::convert::{ClipOutput, ClipRequest};
use crate::media::StreamInfo;
use crate::testing::{ffmpeg, fixtures_dir, make};
use crate::{Placement, ShortPolicy, Window};
use std::path::{Path, PathBuf};

const SIZE: (usize, usize) = (96, 64);
const H264: [&str; 6] = ["-c:v", "libx264", "-bf", "2", "-g", "25"];

/// A test picture of `frames` frames at `rate`, with `after` before the file's name.
fn clip(name: &str, rate: &str, frames: u32, after: &[&str]) -> PathBuf {
    let source = format!("testsrc2=s={}x{}:r={rate},format=yuv420p", SIZE.0, SIZE.1);
    let count = frames.to_string();
    make(name, &[&["-f", "lavfi", "-i", &source, "-frames:v", &count], after].concat())
}

/// A file made of `bytes`, kept beside the other fixtures.
fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let path = fixtures_dir().join(format!("{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    path
}

struct Stored {
    output: ClipOutput,
    folder: tempfile::TempDir,
}

impl Stored {
    fn of(source: &Path, cut: (Option<f64>, Option<f64>), train: Option<TrainOptions>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let request =
            ClipRequest { source: source.to_owned(), start: cut.0, end: cut.1, train, ..ClipRequest::default() };
        let output = convert_clip(&request, &folder.path().join("clip.mp4"), &|| false)
            .unwrap_or_else(|error| panic!("{}: {error}", source.display()));
        Self { output, folder }
    }

    fn whole(source: &Path) -> Self {
        Self::of(source, (None, None), None)
    }

    fn stream(&self) -> &StreamInfo {
        &self.output.stream
    }

    /// Times in seconds from the first frame.
    fn times(&self) -> Vec<f64> {
        let stream = self.stream();
        let first = stream.frame_pts(0).unwrap();
        (0..stream.num_frames()).map(|n| stream.time_base.seconds(stream.frame_pts(n).unwrap() - first)).collect()
    }

    fn steps(&self) -> Vec<f64> {
        self.times().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    fn seconds(&self) -> f64 {
        self.stream().time_base.seconds(self.stream().duration)
    }

    fn warnings_of_times(&self) -> Vec<&str> {
        self.output.warnings.iter().map(String::as_str).filter(|text| text.contains("timestamp")).collect()
    }

    /// The frames are those that ffmpeg decodes from the source.
    fn holds_the_frames_of(&self, source: &Path) {
        assert_eq!(self.output.reencoded, None, "{}", source.display());
        let frames = record_frames(self.stream(), &self.folder.path().join("clip.mp4"));
        assert_eq!(frames, ffmpeg_frames(source, 0, SIZE.0 * SIZE.1 * 3 / 2), "{}", source.display());
    }
}

/// Seconds from the first frame that ffmpeg plays to the end of the last one, as it plays them at their times.
fn played_seconds(path: &Path) -> f64 {
    let args = ["-i", path.to_str().unwrap(), "-map", "0:v:0", "-f", "framecrc", "-"];
    let text = String::from_utf8(ffmpeg(&args)).unwrap();
    let base = text.lines().find_map(|line| line.strip_prefix("#tb 0: ")).unwrap();
    let (num, den) = base.split_once('/').unwrap();
    let base = num.parse::<f64>().unwrap() / den.parse::<f64>().unwrap();
    let frames: Vec<(f64, f64)> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let number = |column: usize| line.split(',').nth(column).unwrap().trim().parse::<f64>().unwrap();
            (number(2), number(3))
        })
        .collect();
    let (last, duration) = frames[frames.len() - 1];
    (last + duration - frames[0].0) * base
}

fn strides(frames: &[u32]) -> Vec<u32> {
    let mut strides: Vec<u32> = frames.windows(2).map(|pair| pair[1] - pair[0]).collect();
    strides.dedup();
    strides
}

fn draws() -> impl Iterator<Item = u64> {
    (0..200_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[test]
fn a_clock_that_is_set_on_the_way_makes_no_gap() {
    let kinds: [(&str, &[&str]); 3] = [
        ("set.ts", &H264),
        ("set2.ts", &["-c:v", "mpeg2video", "-bf", "2", "-g", "12"]),
        ("set.mpg", &["-c:v", "mpeg2video", "-bf", "2", "-g", "12"]),
    ];
    for (name, encode) in kinds {
        let part = |offset: &str| {
            std::fs::read(clip(name, "25", 50, &[encode, &["-output_ts_offset", offset]].concat())).unwrap()
        };
        for (number, offsets) in [["0", "3600", "0"], ["10", "9", "30"], ["20", "0", "72000"]].into_iter().enumerate() {
            let bytes = offsets.map(part).concat();
            let path = written(&format!("{number}{name}"), &bytes);
            let stored = Stored::whole(&path);
            assert_eq!(stored.stream().num_frames(), 150, "{name} {offsets:?}");
            let (ours, played) = (stored.seconds(), played_seconds(&path));
            assert!((ours - played).abs() < 0.07 && (ours - 6.0).abs() < 0.07, "{name} {offsets:?}: {ours} {played}");
            assert!(stored.steps().iter().all(|step| (0.019..0.061).contains(step)), "{name}: {:?}", stored.steps());
            let warnings = stored.warnings_of_times();
            assert!(warnings.iter().any(|text| text.contains(" at frame 50, the first of 2 jumps")), "{warnings:?}");
            stored.holds_the_frames_of(&path);
            // A cut is a part of what is played.
            let cut = Stored::of(&path, (Some(2.4), Some(3.2)), None);
            assert_eq!(cut.stream().num_frames(), 20);
            let all = record_frames(stored.stream(), &stored.folder.path().join("clip.mp4"));
            assert_eq!(record_frames(cut.stream(), &cut.folder.path().join("clip.mp4")), all[60..80], "{name}");
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_gap_that_the_container_means_is_kept_and_windows_do_not_stand_in_it() {
    let late = ["-vf", "setpts='if(gte(N,50),PTS+3000/TB,PTS)'", "-fps_mode", "passthrough"];
    for name in ["gap.flv", "gap.mkv", "gap.mp4"] {
        let path = clip(name, "25", 100, &[&H264[..], &late].concat());
        let stored = Stored::whole(&path);
        stored.holds_the_frames_of(&path);
        let (ours, played) = (stored.seconds(), played_seconds(&path));
        assert!((ours - played).abs() < 0.07 && (ours - 3004.0).abs() < 0.1, "{name}: {ours} {played}");
        // FFmpeg's FLV has no times right behind the gap; such frames are shown before it.
        let steps = stored.steps();
        let last = steps.iter().position(|&step| step > 10.0).unwrap();
        assert!(last == 49 || (name == "gap.flv" && last < 52), "{name}: {steps:?}");
        assert!(
            steps.iter().enumerate().all(|(n, step)| n == last || (0.03..0.05).contains(step)),
            "{name}: {steps:?}"
        );
        let warnings = stored.warnings_of_times();
        let expected = format!("after frame {last}: ");
        assert!(matches!(*warnings, [text] if text.contains(&expected)), "{name}: {warnings:?}");
        for placement in Placement::ALL {
            for (fps, stride) in [(12.5, 2), (25.0, 1), (5.0, 5)] {
                let window = Window::at_fps(8, fps).unwrap().placement(*placement);
                for draw in draws() {
                    let frames = window.select(stored.stream(), draw).unwrap();
                    assert_eq!(strides(&frames), [stride], "{name} {placement:?} {fps}: {frames:?}");
                    let is_between = frames[7] <= last as u32 || frames[0] > last as u32;
                    assert!(is_between, "{name} {placement:?} {fps}: {frames:?}");
                }
            }
        }
        let train = TrainOptions::new().size(TrainSize::ShortSide(32)).fps(Some(25.0));
        let trained = Stored::of(&path, (None, None), Some(train));
        assert_eq!((trained.stream().num_frames(), trained.stream().duration), (100, 100), "{name}");
    }
}

#[test]
fn times_farther_than_thirty_hours_are_none() {
    let late = ["-vf", "setpts='if(gte(N,50),PTS+200000/TB,PTS)'", "-fps_mode", "passthrough"];
    let path = clip("far.mkv", "25", 100, &[&["-c:v", "libx264", "-bf", "0"][..], &late].concat());
    let stored = Stored::whole(&path);
    stored.holds_the_frames_of(&path);
    assert!((stored.seconds() - 4.0).abs() < 0.05, "{}", stored.seconds());
    let warnings = stored.warnings_of_times();
    assert!(
        matches!(*warnings, [text] if text.starts_with("50 of 100 timestamps are more than 30 hours")),
        "{warnings:?}"
    );
}

#[test]
fn frames_with_equal_times_share_the_time_that_is_played() {
    let base = clip("equal_base.mp4", "25", 50, &["-c:v", "libx264", "-bf", "0", "-g", "10"]);
    let base = base.to_str().unwrap();
    // At the start, at the end, in the middle, every second frame; in milliseconds.
    let rules = ["if(lt(N,25),0,TS-960)", "if(gt(N,24),1000,TS)", "if(between(N,20,30),800,TS)", "TS-40*mod(N,2)"];
    for (number, rule) in rules.into_iter().enumerate() {
        let path =
            make(&format!("equal{number}.mkv"), &["-i", base, "-c", "copy", "-bsf:v", &format!("setts=ts='{rule}'")]);
        let stored = Stored::whole(&path);
        stored.holds_the_frames_of(&path);
        let (ours, played) = (stored.seconds(), played_seconds(&path));
        assert!((ours - played).abs() < 0.09, "{rule}: {ours} {played}");
        assert!(stored.steps().iter().all(|&step| step > 0.0195), "{rule}: {:?}", stored.steps());
        let warnings = stored.warnings_of_times();
        assert!(matches!(*warnings, [text] if text.contains("stand still or go back")), "{rule}: {warnings:?}");
    }
}

#[test]
fn times_in_decode_order_are_put_in_order() {
    let base = clip("ordered_base.mp4", "30", 60, &["-c:v", "libx264", "-bf", "2", "-g", "30"]);
    for name in ["ordered.mp4", "ordered.mkv", "ordered.flv"] {
        let path = make(name, &["-i", base.to_str().unwrap(), "-c", "copy", "-bsf:v", "setts=ts=DTS+1024"]);
        let stored = Stored::whole(&path);
        stored.holds_the_frames_of(&path);
        assert!(stored.steps().iter().all(|step| (step - 1.0 / 30.0).abs() < 0.0011), "{name}: {:?}", stored.steps());
        let warnings = stored.warnings_of_times();
        assert!(matches!(*warnings, [text] if text.contains("in decode order")), "{name}: {warnings:?}");
        let frames = Window::at_fps(60, 30.0).unwrap().placement(Placement::Start).select(stored.stream(), 0);
        assert_eq!(frames.unwrap(), (0..60).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn coarse_ticks_step_evenly_at_their_own_rate_and_its_fractions() {
    let x264: &[&str] = &["-c:v", "libx264", "-g", "60"];
    let kinds: [(&str, &str, f64, &[&str]); 11] = [
        ("c.mov", "240", 240.0, &["-c:v", "libx264", "-video_track_timescale", "600"]),
        ("c.mkv", "240", 240.0, x264),
        ("c.mkv", "144", 144.0, x264),
        ("c.flv", "165", 165.0, x264),
        ("c.webm", "120", 120.0, &["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "200k"]),
        ("c.gif", "24", 24.0, &[]),
        ("c.gif", "30", 30.0, &[]),
        ("c.gif", "50", 50.0, &[]),
        ("c.mkv", "30000/1001", 29.97, x264),
        ("c.mkv", "60000/1001", 59.94, x264),
        ("c.avi", "12", 12.0, &["-c:v", "mpeg4"]),
    ];
    for (name, rate, fps, encode) in kinds {
        let path = clip(name, rate, 90, encode);
        // From its middle too: there the first timestamp is itself rounded.
        for start in [None, Some(10.2 / fps), Some(31.4 / fps)] {
            let stored = Stored::of(&path, (start, None), None);
            assert_eq!(stored.warnings_of_times(), [""; 0], "{name} {rate}");
            let stream = stored.stream();
            for divisor in [1_u32, 2, 3, 4] {
                for placement in Placement::ALL {
                    let window = Window::at_fps(12, fps / f64::from(divisor)).unwrap().placement(*placement);
                    for draw in draws() {
                        let frames = window.select(stream, draw).unwrap();
                        assert_eq!(strides(&frames), [divisor], "{name} {rate} {placement:?}: {frames:?}");
                    }
                }
            }
            if start.is_none() {
                for wanted in [fps, fps / 2.0, 7.0] {
                    let window = Window::at_fps(12, wanted).unwrap().placement(Placement::Start);
                    let frames = window.short(ShortPolicy::RepeatLast).select(stream, 0).unwrap();
                    let exact = crate::media::Ratio::from_f64(wanted).unwrap().to_f64();
                    let at = |index: usize| stream.frame_at(index as f64 / exact);
                    for (index, &frame) in frames.iter().enumerate() {
                        assert!(at(index).is_none_or(|named| named == frame), "{name} {rate} {wanted}: {index}");
                    }
                }
            }
            let last = stream.num_frames() as u32 - 1;
            assert_eq!(stream.frame_at(stored.seconds() - 1e-4), Some(last), "{name} {rate}");
            assert_eq!(stream.frame_at(stored.seconds()), None, "{name} {rate}");
        }
    }
}

#[test]
fn a_still_of_more_ticks_than_an_mp4_counts_is_stored() {
    let still = "setpts='if(gte(N,20),PTS+1.9/TB,PTS)'";
    let timescale = ["-vf", still, "-fps_mode", "passthrough", "-video_track_timescale", "1000000000"];
    let path = clip("still_base.mp4", "10", 40, &[&["-c:v", "libx264", "-bf", "0"][..], &timescale].concat());
    // More than 2^32 ticks, but no step too long: the MP4's times are exact.
    let exact = Stored::whole(&path);
    let mp4 = exact.folder.path().join("clip.mp4");
    assert!((played_seconds(&mp4) - 5.9).abs() < 0.01, "{}", played_seconds(&mp4));
    assert_eq!(exact.stream().frame_pts(39), Some(5_800_000_000));
    let mut bytes = std::fs::read(path).unwrap();
    let (before, after) = (2_000_000_000_u32.to_be_bytes(), 3_100_000_000_u32.to_be_bytes());
    let table = bytes.windows(4).position(|kind| kind == b"stts").unwrap();
    let at = table + bytes[table..].windows(4).position(|delta| delta == before).unwrap();
    bytes[at..at + 4].copy_from_slice(&after);
    // The edit list would end too early.
    let edits = bytes.windows(4).position(|kind| kind == b"edts").unwrap();
    bytes[edits..edits + 4].copy_from_slice(b"free");
    let path = written("still.mp4", &bytes);
    let stored = Stored::whole(&path);
    let stream = stored.stream();
    assert_eq!((stream.num_frames(), stream.time_base.den()), (40, 1_000_000_000));
    let pts: Vec<i64> = (0..40).map(|frame| stream.frame_pts(frame).unwrap()).collect();
    let expected = |n: i64| n * 100_000_000 + if n >= 20 { 3_000_000_000 } else { 0 };
    assert_eq!(pts, (0..40).map(expected).collect::<Vec<_>>());
    stored.holds_the_frames_of(&path);
    // The MP4 alone plays at the same times, to its coarser tick.
    let mp4 = stored.folder.path().join("clip.mp4");
    assert!((played_seconds(&mp4) - 7.0).abs() < 0.11, "{}", played_seconds(&mp4));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn what_is_normal_for_a_container_is_no_warning() {
    let mpeg4: &[&str] = &["-c:v", "mpeg4", "-bf", "2"];
    let mpeg2: &[&str] = &["-c:v", "mpeg2video", "-bf", "2"];
    // A clock of 33 bits that starts again after 1.2 seconds.
    let wrapping = [&H264[..], &["-output_ts_offset", "95441"]].concat();
    let kinds: [(&str, &[&str]); 10] = [
        ("nw.ts", &wrapping),
        ("n.avi", mpeg4),
        ("nh.avi", &H264),
        ("n.h264", &H264),
        ("n.m2v", mpeg2),
        ("n.mpg", mpeg2),
        ("nh.mpg", &H264),
        ("n.ts", &H264),
        ("n.asf", &["-c:v", "wmv2"]),
        ("n.flv", &H264),
    ];
    for (name, encode) in kinds {
        let stored = Stored::whole(&clip(name, "25", 50, encode));
        assert_eq!(stored.warnings_of_times(), [""; 0], "{name}");
        assert!((stored.seconds() - 2.0).abs() < 0.05, "{name}: {}", stored.seconds());
        assert!(stored.steps().iter().all(|step| (step - 0.04).abs() < 0.002), "{name}: {:?}", stored.steps());
    }
}
