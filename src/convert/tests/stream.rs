//! The stream that is taken is the one that the ffmpeg command takes, unless another one is asked for.

use super::clip::record_frames;
use crate::convert::*;
use crate::format::crc32c;
use crate::testing::{self, make};
use std::path::{Path, PathBuf};

/// A video of so many pixels, of a picture of its own.
fn track(size: &str, hue: u32) -> PathBuf {
    let source = format!("testsrc2=size={size}:rate=25:duration=0.4,hue=h={hue}");
    make(&format!("track_{size}.mp4"), &["-f", "lavfi", "-i", &source, "-c:v", "libx264"])
}

fn several(name: &str, tracks: &[PathBuf], options: &[&str]) -> PathBuf {
    let mut args = Vec::new();
    for track in tracks {
        args.extend(["-i", track.to_str().unwrap()]);
    }
    let maps: Vec<String> = (0..tracks.len()).map(|number| number.to_string()).collect();
    for map in &maps {
        args.extend(["-map", map]);
    }
    args.extend(["-c", "copy"]);
    args.extend(options);
    make(name, &args)
}

fn convert_stream(source: &Path, stream: StreamChoice) -> Result<(ClipOutput, Vec<u32>)> {
    let folder = tempfile::tempdir().unwrap();
    let mp4 = folder.path().join("clip.mp4");
    let request = ClipRequest { source: source.to_owned(), stream, ..ClipRequest::default() };
    let output = convert_clip(&request, &mp4, &|| false)?;
    let frames = record_frames(&output.stream, &mp4);
    Ok((output, frames))
}

/// What ffmpeg gives with `map`; without any, its own choice.
fn ffmpeg_gives(source: &Path, map: &[&str], frame_bytes: u64) -> Vec<u32> {
    let run = |mode| {
        let args = [&["-i", source.to_str().unwrap()], map, &[mode, "passthrough", "-f", "rawvideo", "-"]].concat();
        testing::ffmpeg(&args)
    };
    run("-vsync").chunks(frame_bytes as usize).map(crc32c).collect()
}

#[test]
fn the_stream_of_the_ffmpeg_command_is_taken() {
    let (small, large, wide) = (track("64x48", 0), track("160x120", 90), track("240x80", 180));
    let huge = track("2880x1800", 30);
    let picture = make("cover.png", &["-f", "lavfi", "-i", "testsrc2=size=640x480", "-frames:v", "1"]);
    let both = || vec![small.clone(), large.clone()];
    let none = ["-disposition:v:0", "0", "-disposition:v:1", "0"];
    let cases = [
        several("two_plain.mkv", &both(), &none),
        // Default counts for five million pixels, and no more than that.
        several("two_first.mkv", &both(), &["-disposition:v:0", "default", "-disposition:v:1", "0"]),
        several("two_second.mkv", &both(), &["-disposition:v:0", "0", "-disposition:v:1", "default"]),
        several("huge.mkv", &[small.clone(), huge], &["-disposition:v:0", "default", "-disposition:v:1", "0"]),
        several("two.mp4", &both(), &[]),
        several("two.mov", &[large.clone(), small.clone()], &[]),
        several("equal.ts", &[wide.clone(), large.clone()], &[]),
        several("three.ts", &[small.clone(), wide, large.clone()], &[]),
        several("programs.ts", &both(), &["-program", "st=0", "-program", "st=1"]),
        several("cover.mp4", &[picture, small.clone()], &["-disposition:v:0", "attached_pic"]),
    ];
    for source in cases {
        let (output, frames) = convert_stream(&source, StreamChoice::Best).unwrap();
        let bytes = output.stream.pixel_format.frame_bytes(output.stream.width, output.stream.height);
        assert!(frames == ffmpeg_gives(&source, &[], bytes), "{}", source.display());
        let is_said = output.warnings.iter().any(|warning| warning.contains("video streams"));
        assert_eq!(
            is_said,
            !source.file_name().unwrap().to_str().unwrap().starts_with("cover"),
            "{:?}",
            output.warnings
        );
    }
}

#[test]
fn a_stream_that_is_asked_for_is_taken() {
    let three = [track("64x48", 0), track("240x80", 180), track("160x120", 90)];
    let source =
        several("asked.ts", &three, &["-program", "program_num=5:st=0:st=1", "-program", "program_num=7:st=2"]);
    for (choice, map) in [
        (StreamChoice::Index(0), "0:0"),
        (StreamChoice::Index(2), "0:2"),
        (StreamChoice::Video(1), "0:v:1"),
        (StreamChoice::Id(0x100), "0:i:0x100"),
        (StreamChoice::Id(0x102), "0:i:0x102"),
        (StreamChoice::Program(7), "0:p:7"),
        (StreamChoice::Program(5), "0:v:1"),
    ] {
        let (output, frames) = convert_stream(&source, choice).unwrap();
        let bytes = output.stream.pixel_format.frame_bytes(output.stream.width, output.stream.height);
        assert!(frames == ffmpeg_gives(&source, &["-map", map], bytes), "{choice}");
        assert!(output.warnings.is_empty(), "{:?}", output.warnings);
    }
    for (choice, name) in [
        (StreamChoice::Index(3), "'3'"),
        (StreamChoice::Video(3), "'v:3'"),
        (StreamChoice::Id(9), "'i:0x9'"),
        (StreamChoice::Program(6), "'p:6'"),
    ] {
        let error = convert_stream(&source, choice).unwrap_err();
        let message = error.report();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(message.contains(name) && message.contains("its video streams are 0, 1, 2"), "{message}");
    }
    // A stream of sound is none.
    let sound = ["-f", "lavfi", "-i", "sine=duration=0.4", "-shortest", "-map", "1", "-map", "0"];
    let track = track("64x48", 0);
    let sounding = make("sounding.mp4", &[&["-i", track.to_str().unwrap()], &sound[..], &["-c:v", "copy"]].concat());
    assert!(convert_stream(&sounding, StreamChoice::Index(0)).is_err());
    assert_eq!(convert_stream(&sounding, StreamChoice::Video(0)).unwrap().0.stream_index, 1);
}

#[test]
fn an_attached_picture_is_no_video() {
    let picture = make("cover.png", &["-f", "lavfi", "-i", "testsrc2=size=640x480", "-frames:v", "1"]);
    let picture = picture.to_str().unwrap();
    let song = ["-f", "lavfi", "-i", "sine=duration=0.4", "-map", "0", "-map", "1", "-disposition:v:0", "attached_pic"];
    let song = make("song.m4a", &[&["-i", picture], &song[..], &["-c:v", "copy"]].concat());
    for (choice, words) in
        [(StreamChoice::Best, "only an attached picture"), (StreamChoice::Video(0), "is an attached picture")]
    {
        let error = convert_stream(&song, choice).unwrap_err();
        assert!(error.message().contains(words), "{}", error.report());
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
