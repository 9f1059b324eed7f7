//! The proof of a stored clip: every GOP, decoded alone from the stored packets by the reader's own decoder and plans, gives
//! the frames that the source gave.

use super::av::{self, Decoder};
use super::ingest::frame_crc;
use super::mux::Stored;
use crate::decode::{ClipDecoder, DecodeLimits, DecodePlan, DecoderOptions, PacketSource};
use crate::media::{Codec, FrameView, PacketFlags, StreamInfo};
use crate::{Error, ErrorKind, Result};
use ffmpeg_next as ff;

/// So many GOPs with packets that may be left out are also decoded without those: without all that are disposable, and, where reaches are
/// known, so many frames alone.
const GOPS_WITH_GAPS: usize = 2;
const FRAMES_ALONE: usize = 8;

/// What the proof is about.
pub(super) struct Proof<'a> {
    pub(super) stored: &'a Stored,
    /// For each frame of the record the checksum of its planes.
    pub(super) crcs: &'a [u32],
    pub(super) cancel: &'a dyn Fn() -> bool,
}

/// What a proof found wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
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

impl Proof<'_> {
    /// The first problem at or after GOP `from`.
    pub(super) fn first_problem(&self, stream: &StreamInfo, from: usize) -> Result<Option<Problem>> {
        let mut decoder = ClipDecoder::new(DecoderOptions::default());
        let mut frame_of = vec![None; stream.packets.len()];
        for (frame, &packet) in stream.frame_packets.iter().enumerate() {
            if let Some(slot) = frame_of.get_mut(packet as usize) {
                *slot = Some(frame as u32);
            }
        }
        let flags = |packet: usize| PacketFlags(stream.packets.flags.get(packet).copied().unwrap_or(0));
        let mut with_gaps = 0;
        for (number, gop) in stream.gops.iter().enumerate().skip(from) {
            let packets = gop.first_packet as usize..(gop.first_packet + gop.num_packets) as usize;
            let frames = |is_asked: &dyn Fn(PacketFlags) -> bool| -> Vec<u32> {
                let asked = packets.clone().filter(|&packet| is_asked(flags(packet)));
                asked.filter_map(|packet| frame_of.get(packet).copied().flatten()).collect()
            };
            let leads = |flags: PacketFlags| flags.contains(PacketFlags::LEADING);
            // Leading pictures need the GOP before; the others must do without it.
            for asked in [frames(&|flags| !leads(flags)), frames(&leads)] {
                if let Some(problem) = self.compare(&mut decoder, stream, &asked)? {
                    return Ok(Some(Problem::Gop(number, problem)));
                }
            }
            let is_disposable = |flags: PacketFlags| flags.contains(PacketFlags::DISPOSABLE);
            let has_reach = packets.clone().any(|packet| flags(packet).reach().is_some());
            if with_gaps < GOPS_WITH_GAPS && (has_reach || packets.clone().any(|packet| is_disposable(flags(packet)))) {
                with_gaps += 1;
                let mut asked = vec![frames(&|flags| !is_disposable(flags) && !leads(flags))];
                if stream.codec == Codec::Av1 {
                    let all = frames(&|_| true);
                    let step = all.len().div_ceil(FRAMES_ALONE).max(1);
                    asked.extend(all.into_iter().rev().step_by(step).map(|frame| vec![frame]));
                }
                for asked in asked {
                    if self.compare(&mut decoder, stream, &asked)?.is_some() {
                        return Ok(Some(Problem::References));
                    }
                }
            }
        }
        Ok(None)
    }

    /// What differs among `frames`, decoded as a reader does.
    fn compare(&self, decoder: &mut ClipDecoder, stream: &StreamInfo, frames: &[u32]) -> Result<Option<String>> {
        if frames.is_empty() {
            return Ok(None);
        }
        let plan = DecodePlan::new(stream, frames)?;
        let limits = DecodeLimits::default().max_packets(u64::MAX).max_bytes(u64::MAX);
        let limits = limits.max_decoded_frames(u64::MAX).timeout(None);
        let mut different = None;
        let mut sink = |positions: &[u32], view: &FrameView<'_>| -> Result<()> {
            let crc = frame_crc(view);
            for frame in positions.iter().filter_map(|&position| frames.get(position as usize)) {
                if self.crcs.get(*frame as usize) != Some(&crc) {
                    different.get_or_insert_with(|| format!("frame {frame} is another one than in the source"));
                }
            }
            Ok(())
        };
        match decoder.decode(stream, &plan, self.stored, &limits, self.cancel, &mut sink) {
            Ok(_) => Ok(different),
            Err(error) if matches!(error.kind(), ErrorKind::Decode | ErrorKind::Corrupt) => {
                Ok(Some(error.message().to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// Decodes all packets in order: (packet, checksum) of each frame, in the decoder's order.
    pub(super) fn decode_all(&self, delay: u8) -> Result<Vec<(u32, u32)>> {
        let mut decoder = Decoder::new(&self.stored.parameters, ff::Rational::new(1, 1000), delay)?;
        let mut frame = ff::frame::Video::empty();
        let mut frames = Vec::new();
        let mut drain = |decoder: &mut Decoder| {
            while decoder.receive(&mut frame).unwrap_or(false) {
                let packet = frame.pts().and_then(|pts| u32::try_from(pts).ok());
                if let Some((packet, view)) = packet.zip(av::view(&frame)) {
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
        decoder.finish();
        drain(&mut decoder);
        Ok(frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::clip_tests::convert_to;
    use crate::convert::mux::read_back;
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
        let mut proof = Proof { stored: &stored, crcs: &[], cancel: &|| false };
        let crcs: Vec<u32> = proof.decode_all(0).unwrap().into_iter().map(|(_, crc)| crc).collect();
        proof.crcs = &crcs;
        assert_eq!(proof.first_problem(&stream, 0).unwrap(), None);

        let honest: Vec<PacketEntry> = stream.packets.iter().collect();
        let needed: Vec<usize> =
            (0..honest.len()).filter(|&index| honest[index].flags.reach().is_some_and(|reach| reach > 2)).collect();
        for (lie, enough) in [(PacketFlags::default().with_reach(1), 1), (PacketFlags::DISPOSABLE, needed.len() / 2)] {
            let found = needed.iter().filter(|&&index| {
                let mut entries = honest.clone();
                entries[index].flags = lie;
                stream.packets = PacketTable::from_entries(&entries);
                proof.first_problem(&stream, 0).unwrap() == Some(Problem::References)
            });
            let found = found.count();
            assert!(found >= enough, "{lie:?}: {found} of {} lies found", needed.len());
        }
    }
}
