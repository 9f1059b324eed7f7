//! A record in the making: packets with times and frames with their packets, on the way to a proven MP4 with its tables.

use super::entry_points::Places;
use super::gops;
use super::mux::{self, MuxPacket, Presentation, Stored};
use super::proof;
use super::proof::Proof;
use crate::convert::CheckLevel;
use crate::convert::source::bitstream::{PictureFacts, Scanner};
use crate::convert::source::packet_spill::{PacketStore, Slot};
use crate::ffmpeg::TrackFacts;
use crate::format::{Member, validate_stream};
use crate::media::{
    Codec, ColorSpec, Orientation, PacketEntry, PacketFlags, PacketTable, PixelFormat, Ratio, StreamInfo, TimeBase,
};
use crate::{Error, Result};
use arrow::buffer::Buffer;
use ffmpeg_next as ff;
use std::path::Path;

/// A packet of the draft, in decode order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DraftPacket {
    pub(crate) slot: Slot,
    pub(crate) pts: i64,
    pub(crate) dts: i64,
    /// A player may start there.
    pub(crate) is_key: bool,
    /// The source's decoder gave a frame from it, wanted or not.
    pub(crate) has_frame: bool,
    /// Decoded because others need it, not a frame of the record.
    pub(crate) discard: bool,
}

/// Everything but the bytes.
pub(crate) struct Draft {
    pub(crate) codec: Codec,
    pub(crate) packets: Vec<DraftPacket>,
    /// Packet of each frame, in presentation order.
    pub(crate) frame_packets: Vec<u32>,
    /// Checksum of each frame's planes; `None` where a sequential decode of the stored packets has to tell.
    pub(crate) crcs: Option<Vec<u32>>,
    /// The source decodes with complaints. Then what a decoder puts in the place of the damage may come from any picture,
    /// and none is disposable.
    pub(crate) is_damaged: bool,
    /// The decoder warned of something: tables that are missing, say, in the place of which it takes those of another picture. Or
    /// packets bring parameter sets that the configuration lacks. The GOPs are believed only when they are proved.
    pub(crate) is_doubted: bool,
    /// Only what the bitstream confirms is a place where decoding may start, nothing that would have to be proved.
    pub(crate) only_sure: bool,
    pub(crate) shown: Presentation,
    pub(crate) time_base: TimeBase,
    pub(crate) delay: u8,
    pub(crate) parameters: ff::codec::Parameters,
    pub(crate) track: TrackFacts,
    pub(crate) pixel_format: PixelFormat,
    pub(crate) size: (u32, u32),
    pub(crate) sample_aspect: Ratio,
    pub(crate) orientation: Orientation,
    pub(crate) color: ColorSpec,
}

/// A stored record.
pub(crate) struct Finished {
    pub(crate) stream: StreamInfo,
    pub(crate) bytes: u64,
    /// Random access points that turned out not to be any, though the stream says they are.
    pub(crate) merged_gops: usize,
}

impl Draft {
    /// Writes the MP4, reads it back, proves it, and makes the tables.
    pub(crate) fn finish(
        mut self,
        store: &PacketStore,
        path: &Path,
        level: CheckLevel,
        cancel: &dyn Fn() -> bool,
    ) -> Result<Finished> {
        let packets = self.mux_packets(|_| true);
        let mut stored = mux::write(path, store, &packets, self.shown, self.time_base, &self.parameters, &self.track)?;
        self.is_damaged |= proof::has_odd_units(&stored, self.codec)?;
        let mut facts = self.stored_facts(&stored)?;
        if facts.iter().any(|facts| facts.misses_references) {
            // What stands in for them depends on what else was decoded.
            self.is_damaged = true;
            for facts in &mut facts {
                facts.disposable = false;
            }
        }
        let flags = self.flags(&facts);
        self.delay = self.delay.max(stored.facts.video_delay);
        let mut proof = Proof { stored: &stored, crcs: &[], is_damaged: self.is_damaged, cancel };
        let crcs = if let Some(crcs) = self.crcs.take() {
            crcs
        } else {
            let given = proof.decode_all(self.delay)?;
            if !given.iter().map(|(packet, _)| packet).eq(&self.frame_packets) {
                return Err(Error::decode(format!(
                    "the stored packets give {} frames where {} were expected, or another order",
                    given.len(),
                    self.frame_packets.len()
                )));
            }
            given.into_iter().map(|(_, crc)| crc).collect()
        };
        proof.crcs = &crcs;
        let mut places = Places::new(&facts, flags);
        // What a damaged source gives is told by decoding alone, and so is where H.264 can start without an IDR picture.
        if level == CheckLevel::Full || self.is_damaged || self.is_doubted || places.has_doubtful() {
            let stream = self.stream_info(&stored, places.flags())?;
            places.prove(&proof, stream)?;
        }
        if places.merged() > 0 {
            // What an MP4 names as a place to start must be one for whoever plays it.
            let keyframes = self.mux_packets(|index| places.is_place(index));
            // The file is written anew, so nothing may be mapped of it.
            drop(stored);
            stored = mux::write(path, store, &keyframes, self.shown, self.time_base, &self.parameters, &self.track)?;
        }
        let stream = self.stream_info(&stored, places.flags())?;
        // A record that a shard would refuse is no record: its frames are encoded anew, or the clip fails alone.
        let video = Member { offset: 0, size: stored.bytes, crc32c: 0 };
        validate_stream(&stream, &video)
            .map_err(|error| Error::unsupported(format!("its tables contradict each other: {}", error.message())))?;
        Ok(Finished { stream, bytes: stored.bytes, merged_gops: places.denied() })
    }

    /// The packets as they go into the MP4. What is decoded and not shown must lie outside the one edit: times before the
    /// start do; others are put behind the end, where no key frame may be.
    fn mux_packets(&self, is_place: impl Fn(usize) -> bool) -> Vec<MuxPacket> {
        let mut packets = Vec::with_capacity(self.packets.len());
        for (index, packet) in self.packets.iter().enumerate() {
            let hidden = packet.discard && (self.shown.start..self.shown.end).contains(&packet.pts);
            packets.push(MuxPacket {
                slot: packet.slot,
                pts: if hidden {
                    self.shown.end.saturating_add(packet.pts.saturating_sub(self.shown.start))
                } else {
                    packet.pts
                },
                dts: packet.dts,
                keyframe: !hidden && (index == 0 || packet.is_key && is_place(index)),
            });
        }
        packets
    }

    /// What the stored bytes say of each packet.
    fn stored_facts(&self, stored: &Stored) -> Result<Vec<PictureFacts>> {
        let mut scanner = Scanner::new(self.codec, &stored.facts.extradata);
        let mut all = Vec::with_capacity(self.packets.len());
        for index in 0..self.packets.len() {
            let mut facts = scanner.scan(stored.packet(index)?);
            if self.only_sure && facts.recovery.take().is_some() {
                facts.random_access = false;
            }
            if self.is_damaged {
                (facts.disposable, facts.slots) = (false, None);
            }
            all.push(facts);
        }
        Ok(all)
    }

    /// The flags that follow from what the stored bytes say.
    fn flags(&self, facts: &[PictureFacts]) -> Vec<PacketFlags> {
        let pts: Vec<i64> = self.packets.iter().map(|packet| packet.pts).collect();
        let has_frame: Vec<bool> = self.packets.iter().map(|packet| packet.has_frame).collect();
        let discard: Vec<bool> = self.packets.iter().map(|packet| packet.discard).collect();
        gops::flags(facts, &pts, &has_frame, &discard)
    }

    fn stream_info(&self, stored: &Stored, flags: &[PacketFlags]) -> Result<StreamInfo> {
        let entries: Vec<PacketEntry> = stored
            .packets
            .iter()
            .zip(&self.packets)
            .zip(flags)
            .map(|((stored, draft), &flags)| PacketEntry {
                offset: stored.offset,
                size: stored.size,
                pts: draft.pts,
                dts: draft.dts,
                flags,
                crc32c: stored.crc32c,
            })
            .collect();
        let table = PacketTable::from_entries(&entries);
        let gops = gops::table(flags, &table.offsets, &table.sizes, &self.frame_packets, |index| stored.packet(index))?;
        Ok(StreamInfo {
            codec: self.codec,
            profile: stored.facts.profile,
            extradata: Buffer::from_vec(stored.facts.extradata.clone()),
            reorder_frames: self.delay,
            pixel_format: self.pixel_format,
            width: self.size.0,
            height: self.size.1,
            sample_aspect: self.sample_aspect,
            orientation: self.orientation,
            color: self.color,
            time_base: self.time_base,
            duration: self.shown.end.saturating_sub(self.shown.start),
            packets: table,
            gops,
            frame_packets: self.frame_packets.iter().copied().collect(),
            is_closed: false,
        })
    }
}
