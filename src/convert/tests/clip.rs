//! Clips against the ffmpeg command: the frames of a stored clip are the source's frames in every byte of every plane, as
//! the record tells them and as ffmpeg plays the MP4.

use crate::convert::source::ingest::frame_crc;
use crate::convert::*;
use crate::decode::{ClipDecoder, DecodeLimits, DecodePlan, DecoderOptions, PacketSource};
use crate::format::crc32c;
use crate::media::StreamInfo;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Checksums of all frames as the ffmpeg command gives them: the one of `FRAMEFEED_FFMPEG` where that is set. It should be of the version of
/// the libraries, as what is made of damaged pictures changes.
pub(crate) fn ffmpeg_frames(path: &Path, stream: usize, frame_bytes: usize) -> Vec<u32> {
    use std::io::Read as _;
    let mut child = Command::new(std::env::var_os("FRAMEFEED_FFMPEG").unwrap_or_else(|| "ffmpeg".into()))
        // One thread: with several, what ffmpeg makes of damaged pictures differs from run to run.
        .args(["-v", "quiet", "-nostdin", "-threads", "1", "-noautorotate", "-i"])
        .arg(path)
        .args(["-map", &format!("0:{stream}"), "-vsync", "passthrough", "-f", "rawvideo", "-"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the tests need the ffmpeg command");
    let mut stdout = child.stdout.take().unwrap();
    let mut frames = Vec::new();
    let mut frame = vec![0; frame_bytes];
    while stdout.read_exact(&mut frame).is_ok() {
        frames.push(crc32c(&frame));
    }
    child.wait().unwrap();
    frames
}

/// The bytes of a stored clip.
struct Bytes<'a>(&'a StreamInfo, Vec<u8>);

impl PacketSource for Bytes<'_> {
    fn packet(&self, index: u32) -> Result<&[u8]> {
        let packet = self.0.packets.get(index as usize).unwrap();
        let data = &self.1[packet.offset as usize..packet.offset as usize + packet.size as usize];
        assert_eq!(crc32c(data), packet.crc32c, "packet {index}");
        Ok(data)
    }
}

/// All frames of a record in order, and then shuffled and few at a time, and some of them alone, through the reader's own plan and decoder.
pub(crate) fn record_frames(stream: &StreamInfo, mp4: &Path) -> Vec<u32> {
    let bytes = Bytes(stream, std::fs::read(mp4).unwrap());
    for gop in &stream.gops {
        let run = &bytes.1[gop.offset as usize..(gop.offset + gop.size) as usize];
        assert_eq!(crc32c(run), gop.crc32c, "gop at packet {}", gop.first_packet);
    }
    let mut decoder = ClipDecoder::new(DecoderOptions::default());
    let mut decode = |frames: &[u32]| -> Vec<u32> {
        let mut out = vec![0; frames.len()];
        let plan = DecodePlan::new(stream, frames).unwrap();
        decoder
            .decode(stream, &plan, &bytes, &DecodeLimits::default(), &|| false, &mut |positions, view| {
                for &position in positions {
                    out[position as usize] = frame_crc(view);
                }
                Ok(())
            })
            .unwrap();
        out
    };
    let all: Vec<u32> = (0..stream.num_frames() as u32).collect();
    let in_order = decode(&all);
    let mut state = 1_u64;
    for _ in 0..10 {
        let some: Vec<u32> = (0..5)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 33) % all.len() as u64) as u32
            })
            .collect();
        let expected: Vec<u32> = some.iter().map(|&frame| in_order[frame as usize]).collect();
        assert_eq!(decode(&some), expected, "{some:?}");
    }
    for &frame in all.iter().rev().step_by(all.len().div_ceil(50)) {
        assert_eq!(decode(&[frame]), [in_order[frame as usize]], "frame {frame} alone");
    }
    in_order
}

fn clips() -> Option<PathBuf> {
    let folder = std::env::var_os("FRAMEFEED_CLIPS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED: FRAMEFEED_CLIPS names no folder of clips");
    }
    folder
}

/// Converts a part of `source` with the full check.
pub(crate) fn convert_to(source: &Path, mp4: &Path, start: Option<f64>, end: Option<f64>) -> Result<ClipOutput> {
    let request = ClipRequest { source: source.to_owned(), start, end, ..ClipRequest::default() };
    convert_clip(&request, mp4, &|| false)
}

/// Converts `path` as a whole and compares its frames with those of the ffmpeg command.
pub(crate) fn check_clip(path: &Path) -> Result<ClipOutput> {
    let folder = tempfile::tempdir().unwrap();
    let mp4 = folder.path().join("clip.mp4");
    let output = convert_to(path, &mp4, None, None)?;
    let stream = &output.stream;
    let frame_bytes = stream.pixel_format.frame_bytes(stream.width, stream.height) as usize;
    let given = record_frames(stream, &mp4);
    assert!(given == ffmpeg_frames(&mp4, 0, frame_bytes), "{}: the MP4 plays other frames", path.display());
    if output.reencoded.is_none() {
        let expected = ffmpeg_frames(path, output.stream_index, frame_bytes);
        assert!(given == expected, "{}: {} of {} frames, or others", path.display(), given.len(), expected.len());
    }
    Ok(output)
}

#[test]
fn every_clip_of_the_corpus_keeps_its_frames() {
    let Some(folder) = clips() else { return };
    let index = std::fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut failed = Vec::new();
    for line in index.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (name, decoded) = (fields[0], fields[14]);
        if !name.contains(&only) {
            continue;
        }
        let result = std::panic::catch_unwind(|| check_clip(&folder.join(name)));
        match result {
            Ok(Ok(output)) => {
                let stream = &output.stream;
                let shape = (stream.num_frames(), stream.packets.len(), stream.gops.len());
                eprintln!("{name} [{decoded}] {shape:?} {:?} {:?}", output.reencoded, output.warnings);
            }
            Ok(Err(error)) => {
                eprintln!("{name} [{decoded}] {}", error.report());
                failed.extend((!decoded.is_empty()).then(|| name.to_owned()));
            }
            Err(_) => failed.push(name.to_owned()),
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
