//! The proof of a stored clip: every GOP, decoded alone from the stored packets by the reader's own decoder and plans, gives
//! the frames that the source gave.
//!
//! What decoders make of damage may depend on what they decoded before: on the memory of pictures, and on tables of theirs. So the proof
//! decodes with another content of that memory than the source was decoded with, by a decoder that has been used. A source with signs of
//! damage is decoded by a used decoder and by a new one for each GOP; where a GOP itself shows such signs, also as windows that end
//! at some of its frames. A clip that passes has one content, whatever is decoded before it.

use super::mux::Stored;
use crate::convert::source::ingest::frame_crc;
use crate::decode::{ClipDecoder, DecodeLimits, DecodePlan, DecoderOptions, PacketSource};
use crate::ffmpeg;
use crate::ffmpeg::Decoder;
use crate::ffmpeg::Fill;
use crate::media::{Codec, FrameView, PacketFlags, StreamInfo, nal};
use crate::{Error, ErrorKind, Result};
use ffmpeg_next as ff;
use std::ops::Range;

/// So many GOPs with packets that may be left out are also decoded without those: without all that are disposable, and, where reaches are
/// known, so many frames alone.
const GOPS_WITH_GAPS: usize = 2;
const FRAMES_ALONE: usize = 8;
/// So many windows that end within a GOP with signs of damage are decoded.
const DAMAGED_WINDOWS: usize = 16;
/// So many frames of a record of one GOP are decoded before its proof, so that the decoder has been used.
const FRAMES_BEFORE: usize = 16;

/// What the proof is about.
pub(crate) struct Proof<'a> {
    pub(crate) stored: &'a Stored,
    /// For each frame of the record the checksum of its planes.
    pub(crate) crcs: &'a [u32],
    /// The source decodes with signs of damage.
    pub(crate) is_damaged: bool,
    pub(crate) cancel: &'a dyn Fn() -> bool,
}

/// True where the stored packets of H.264 or HEVC hold what no encoder writes, so that a decoder of lengths may see other units than a
/// decoder of start codes did: empty ones, start codes within a unit, the forbidden bit.
pub(crate) fn has_odd_units(stored: &Stored, codec: Codec) -> Result<bool> {
    let length = nal::nal_length(codec, &stored.facts.extradata);
    if length == 0 {
        return Ok(false);
    }
    for index in 0..stored.packets.len() {
        let mut units = nal::units(stored.packet(index)?, length);
        let is_odd =
            |unit: &[u8]| unit.first().is_none_or(|header| header & 0x80 != 0) || nal::find_start_code(unit).is_some();
        if units.any(is_odd) || !units.is_at_end() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a proof found wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// A GOP does not give its frames when it is decoded alone.
    Gop(usize, String),
    /// A GOP does not give its other frames without the packets that are said not to be needed for them.
    References,
}

impl PacketSource for Stored {
    fn packet(&self, index: u32) -> Result<&[u8]> {
        Self::packet(self, index as usize)
    }
}

/// The decoders of a proof.
struct Decoders {
    /// Goes on from clip to clip, as a reader's does.
    used: ClipDecoder,
    /// Opens a decoder for each call.
    new: ClipDecoder,
}

impl Default for Decoders {
    fn default() -> Self {
        let once = DecoderOptions::default().cached_decoders(0);
        let used = DecoderOptions::default().cached_bytes(u64::MAX);
        Self { used: ClipDecoder::filled(used, Fill::Zeros), new: ClipDecoder::filled(once, Fill::Gray) }
    }
}

/// A record's GOPs with their frames.
struct Gops<'a> {
    stream: &'a StreamInfo,
    /// The frame of each packet.
    frame_of: Vec<Option<u32>>,
}

impl<'a> Gops<'a> {
    fn new(stream: &'a StreamInfo) -> Self {
        let mut frame_of = vec![None; stream.packets.len()];
        for (frame, &packet) in stream.frame_packets.iter().enumerate() {
            if let Some(slot) = frame_of.get_mut(packet as usize) {
                *slot = Some(frame as u32);
            }
        }
        Self { stream, frame_of }
    }

    fn packets(&self, gop: usize) -> Range<usize> {
        self.stream.gops.get(gop).map_or(0..0, |gop| {
            let first = gop.first_packet as usize;
            first..first + gop.num_packets as usize
        })
    }

    fn flags(&self, packet: usize) -> PacketFlags {
        PacketFlags(self.stream.packets.flags.get(packet).copied().unwrap_or(0))
    }

    /// The frames of a GOP whose packets have flags that are asked for, in the order of the packets.
    fn frames(&self, gop: usize, is_asked: impl Fn(PacketFlags) -> bool) -> Vec<u32> {
        let asked = self.packets(gop).filter(|&packet| is_asked(self.flags(packet)));
        asked.filter_map(|packet| self.frame_of.get(packet).copied().flatten()).collect()
    }

    /// Packets may be left out of a GOP.
    fn has_gaps(&self, gop: usize) -> bool {
        self.packets(gop).any(|packet| is_disposable(self.flags(packet)) || self.flags(packet).reach().is_some())
    }
}

fn leads(flags: PacketFlags) -> bool {
    flags.contains(PacketFlags::LEADING)
}

fn is_disposable(flags: PacketFlags) -> bool {
    flags.contains(PacketFlags::DISPOSABLE)
}

/// About `count` of `frames`, from the last one on.
fn some(frames: &[u32], count: usize) -> impl Iterator<Item = u32> {
    frames.iter().rev().step_by(frames.len().div_ceil(count).max(1)).copied()
}

/// What decoding some frames showed.
#[derive(Default)]
struct Seen {
    /// What differs, or which frame did not come out.
    problem: Option<String>,
    /// FFmpeg complained, refused a packet or flagged a frame.
    is_damaged: bool,
}

impl Proof<'_> {
    /// The first problem among the first `count` GOPs, the last one first: so each is decoded behind others than in the source.
    pub(crate) fn first_problem(&self, stream: &StreamInfo, count: usize) -> Result<Option<Problem>> {
        let mut decoders = Decoders::default();
        let gops = Gops::new(stream);
        if stream.gops.len() == 1 {
            let mut before = gops.frames(0, |flags| !leads(flags));
            before.sort_unstable();
            before.truncate(FRAMES_BEFORE);
            self.compare(&mut decoders.used, stream, &before)?;
        }
        let mut with_gaps = 0;
        for number in (0..count.min(stream.gops.len())).rev() {
            // Leading pictures need the GOP before; the others must do without it.
            for asked in [gops.frames(number, |flags| !leads(flags)), gops.frames(number, leads)] {
                if let Some(problem) = self.of_gop(&mut decoders, stream, &asked)? {
                    return Ok(Some(Problem::Gop(number, problem)));
                }
            }
            if with_gaps < GOPS_WITH_GAPS && gops.has_gaps(number) {
                with_gaps += 1;
                let mut asked = vec![gops.frames(number, |flags| !is_disposable(flags) && !leads(flags))];
                if stream.codec == Codec::Av1 {
                    asked.extend(some(&gops.frames(number, |_| true), FRAMES_ALONE).map(|frame| vec![frame]));
                }
                for asked in asked {
                    if self.compare(&mut decoders.used, stream, &asked)?.problem.is_some() {
                        return Ok(Some(Problem::References));
                    }
                }
            }
        }
        Ok(None)
    }

    /// What is wrong with `frames` of one GOP.
    fn of_gop(&self, decoders: &mut Decoders, stream: &StreamInfo, frames: &[u32]) -> Result<Option<String>> {
        let seen = self.compare(&mut decoders.used, stream, frames)?;
        if seen.problem.is_some() || !self.is_damaged {
            return Ok(seen.problem);
        }
        let again = self.compare(&mut decoders.new, stream, frames)?;
        if again.problem.is_some() || !(seen.is_damaged || again.is_damaged) {
            return Ok(again.problem);
        }
        for frame in some(frames, DAMAGED_WINDOWS) {
            for decoder in [&mut decoders.used, &mut decoders.new] {
                let seen = self.compare(decoder, stream, &[frame])?;
                if seen.problem.is_some() {
                    return Ok(seen.problem);
                }
            }
        }
        Ok(None)
    }

    /// Decodes `frames` as a reader does and compares them.
    fn compare(&self, decoder: &mut ClipDecoder, stream: &StreamInfo, frames: &[u32]) -> Result<Seen> {
        if frames.is_empty() {
            return Ok(Seen::default());
        }
        let plan = DecodePlan::new(stream, frames)?;
        let limits = DecodeLimits::default().max_packets(u64::MAX).max_bytes(u64::MAX);
        let limits = limits.max_decoded_frames(u64::MAX).timeout(None);
        let mut problem = None;
        let mut sink = |positions: &[u32], view: &FrameView<'_>| -> Result<()> {
            let crc = frame_crc(view);
            for frame in positions.iter().filter_map(|&position| frames.get(position as usize)) {
                if self.crcs.get(*frame as usize) != Some(&crc) {
                    problem.get_or_insert_with(|| format!("frame {frame} is another one than in the source"));
                }
            }
            Ok(())
        };
        ffmpeg::begin_messages();
        match decoder.decode(stream, &plan, self.stored, &limits, self.cancel, &mut sink) {
            Ok(stats) => {
                let said = ffmpeg::first_message();
                let is_damaged = stats.flagged_frames + stats.refused_packets > 0 || said.is_some();
                if stream.codec == Codec::Hevc {
                    // Equal frames prove nothing here: where a picture is missing, FFmpeg's decoder predicts motion from the vectors that
                    // the memory of another picture holds, which may be one of another clip.
                    problem = problem.or(said.map(|said| format!("the decoder complains: {said}")));
                }
                Ok(Seen { problem, is_damaged })
            }
            Err(error) if matches!(error.kind(), ErrorKind::Decode | ErrorKind::Corrupt) => {
                Ok(Seen { problem: Some(error.message().to_owned()), is_damaged: true })
            }
            Err(error) => Err(error),
        }
    }

    /// Decodes all packets in order: (packet, checksum) of each frame, in the decoder's order.
    pub(crate) fn decode_all(&self, delay: u8) -> Result<Vec<(u32, u32)>> {
        let mut decoder = Decoder::new(&self.stored.parameters, ff::Rational::new(1, 1000), delay, Fill::Gray)?;
        let mut frame = ff::frame::Video::empty();
        let mut frames = Vec::new();
        let mut drain = |decoder: &mut Decoder| {
            while decoder.receive(&mut frame).unwrap_or(false) {
                let packet = frame.pts().and_then(|pts| u32::try_from(pts).ok());
                if let Some((packet, view)) = packet.zip(ffmpeg::view(&frame)) {
                    frames.push((packet, frame_crc(&view)));
                }
            }
        };
        for index in 0..self.stored.packets.len() {
            if (self.cancel)() {
                return Err(Error::new(ErrorKind::Closed, "cancelled"));
            }
            let mut packet = ff::Packet::copy(self.stored.packet(index)?);
            packet.set_pts(Some(index as i64));
            packet.set_dts(Some(index as i64));
            // A packet that the decoder refuses gives no frame; the ffmpeg command goes on as well.
            let _ = decoder.send(&packet);
            drain(&mut decoder);
        }
        decoder.finish(false);
        drain(&mut decoder);
        Ok(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::clip::mux::read_back;
    use crate::convert::tests::clip::convert_to;
    use crate::media::{PacketEntry, PacketTable};
    use crate::testing;

    #[test]
    fn packets_that_are_needed_though_their_flags_deny_it_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let mp4 = folder.path().join("clip.mp4");
        let source = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=3"];
        let encode = ["-c:v", "libaom-av1", "-cpu-used", "8", "-g", "60", "-lag-in-frames", "35"];
        let video = testing::make("av1_layers.mp4", &[&source[..], &encode].concat());
        let mut stream = convert_to(&video, &mp4, None, None).unwrap().stream;
        let bytes = std::fs::metadata(&mp4).unwrap().len();
        let stored = read_back(&mp4, bytes, stream.packets.len()).unwrap();
        let mut proof = Proof { stored: &stored, crcs: &[], is_damaged: false, cancel: &|| false };
        let crcs: Vec<u32> = proof.decode_all(0).unwrap().into_iter().map(|(_, crc)| crc).collect();
        proof.crcs = &crcs;
        assert_eq!(proof.first_problem(&stream, usize::MAX).unwrap(), None);

        let honest: Vec<PacketEntry> = stream.packets.iter().collect();
        let needed: Vec<usize> =
            (0..honest.len()).filter(|&index| honest[index].flags.reach().is_some_and(|reach| reach > 2)).collect();
        for (lie, enough) in [(PacketFlags::default().with_reach(1), 1), (PacketFlags::DISPOSABLE, needed.len() / 2)] {
            let found = needed.iter().filter(|&&index| {
                let mut entries = honest.clone();
                entries[index].flags = lie;
                stream.packets = PacketTable::from_entries(&entries);
                proof.first_problem(&stream, usize::MAX).unwrap() == Some(Problem::References)
            });
            let found = found.count();
            assert!(found >= enough, "{lie:?}: {found} of {} lies found", needed.len());
        }
    }
}
