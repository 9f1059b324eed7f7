//! The proof of a stored clip: every GOP, decoded alone from the stored packets, gives the frames that the source gave.

use super::av::{self, Decoder};
use super::gops;
use super::ingest::frame_crc;
use super::mux::Stored;
use crate::media::PacketFlags;
use crate::{Error, ErrorKind, Result};
use ffmpeg_next as ff;
use std::collections::HashMap;

/// So many GOPs may turn out to depend on the one before; where there are more, none is believed.
const MAX_MERGES: usize = 24;

/// What the proof is about.
pub(super) struct Proof<'a> {
    pub(super) stored: &'a Stored,
    /// For each frame of the record its packet.
    pub(super) frame_packets: &'a [u32],
    /// For each frame of the record the checksum of its planes.
    pub(super) crcs: &'a [u32],
    /// Frames that a decoder holds back.
    pub(super) delay: u8,
    pub(super) cancel: &'a dyn Fn() -> bool,
}

impl Proof<'_> {
    /// Takes back the flag of every random access point from which decoding does not give the same frames. Returns how
    /// many there were; an error where even decoding from the first packet gives others.
    pub(super) fn confirm(&self, flags: &mut [PacketFlags]) -> Result<usize> {
        let wanted: HashMap<u32, u32> = self.frame_packets.iter().copied().zip(self.crcs.iter().copied()).collect();
        let mut merges = 0;
        let mut gop = 0;
        loop {
            let bounds = gops::bounds(flags);
            let (Some(&first), Some(&end)) = (bounds.get(gop), bounds.get(gop + 1)) else { return Ok(merges) };
            let before = gop.checked_sub(1).and_then(|before| bounds.get(before)).copied();
            let Some(problem) = self.compare(flags, before, first, end, &wanted)? else {
                gop += 1;
                continue;
            };
            if gop == 0 {
                return Err(Error::decode(problem));
            }
            merges += 1;
            if merges > MAX_MERGES {
                let end = flags.len();
                for &start in bounds.iter().filter(|&&start| 0 < start && start < end) {
                    gops::unconfirm(flags, start);
                }
                gop = 0;
            } else {
                gops::unconfirm(flags, first);
                gop -= 1;
            }
        }
    }

    /// What differs in the GOP `first..end`; `before` is the start of the GOP before it.
    fn compare(
        &self,
        flags: &[PacketFlags],
        before: Option<usize>,
        first: usize,
        end: usize,
        wanted: &HashMap<u32, u32>,
    ) -> Result<Option<String>> {
        let leads = |index: &usize| flags.get(*index).is_some_and(|flags| flags.contains(PacketFlags::LEADING));
        let alone: Vec<usize> = (first..end).filter(|index| !leads(index)).collect();
        if let Some(problem) = self.compare_run(&alone, first..end, wanted, |packet| !leads(packet))? {
            return Ok(Some(problem));
        }
        let Some(last) = (first..end).rev().find(leads) else { return Ok(None) };
        // Leading pictures are decoded from the GOP before, without its own leading ones.
        let start = before.unwrap_or(first);
        let run: Vec<usize> = (start..=last).filter(|index| *index >= first || !leads(index)).collect();
        self.compare_run(&run, first..end, wanted, leads)
    }

    fn compare_run(
        &self,
        run: &[usize],
        range: std::ops::Range<usize>,
        wanted: &HashMap<u32, u32>,
        is_asked: impl Fn(&usize) -> bool,
    ) -> Result<Option<String>> {
        let given = self.decode(run)?;
        let given: HashMap<u32, u32> = given.into_iter().collect();
        for packet in range.filter(is_asked) {
            let Some(expected) = wanted.get(&(packet as u32)) else { continue };
            match given.get(&(packet as u32)) {
                Some(crc) if crc == expected => {}
                Some(_) => return Ok(Some(format!("packet {packet} gives another frame than in the source"))),
                None => return Ok(Some(format!("packet {packet} gives no frame, and does in the source"))),
            }
        }
        Ok(None)
    }

    /// Decodes a run of packets; (packet, checksum) of each frame, in the decoder's order.
    pub(super) fn decode(&self, run: &[usize]) -> Result<Vec<(u32, u32)>> {
        let mut decoder = Decoder::new(&self.stored.parameters, ff::Rational::new(1, 1000), self.delay)?;
        let mut frame = ff::frame::Video::empty();
        let mut frames = Vec::new();
        let mut bytes = Vec::new();
        let mut drain = |decoder: &mut Decoder| {
            while decoder.receive(&mut frame).unwrap_or(false) {
                let packet = frame.pts().and_then(|pts| u32::try_from(pts).ok());
                if let Some((packet, view)) = packet.zip(av::view(&frame)) {
                    frames.push((packet, frame_crc(&view)));
                }
            }
        };
        for &index in run {
            if (self.cancel)() {
                return Err(Error::new(ErrorKind::Closed, "cancelled"));
            }
            self.stored.read(index, &mut bytes)?;
            let mut packet = ff::Packet::copy(&bytes);
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
