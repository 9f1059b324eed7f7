//! Which packets to read and to feed for a set of frames. Pure arithmetic on a record's tables.
//!
//! The wanted packets are grouped by GOP. A *segment* is a run of GOPs that is decoded without a break: it starts at a
//! GOP's first packet and ends at the last packet that a wanted frame needs. A GOP of which a [`PacketFlags::LEADING`]
//! packet is wanted has the GOP before it in its segment; apart from that, every needed GOP is a segment of its own,
//! so that nothing of a GOP is decoded after its last wanted frame. Within a segment these packets are left out:
//!
//! - DISPOSABLE ones that nobody wants, but for the first and keyframes, with which parameters come;
//! - LEADING ones of the segment's first GOP, which could not be decoded (unless one is wanted: then the GOP is the
//!   record's first, and all its packets are fed as in a decode of the whole record). Of H.264 only those that are disposable as
//!   well: the others count in the order of reference pictures, and the pictures of a gradual refresh are what it consists of.
//! - those that nobody wants and whose [`PacketFlags::reach`] ends before the next packet that is fed.
//!
//! The reach is known of AV1, whose pictures name the slots that they read and write. It says nothing of codecs whose decoders take a gap
//! for damage: libavcodec puts a copy of another picture where H.264's `frame_num` jumps, which moves later reference lists (of 1,920
//! frames of two clips by x264 with one reference 106 came out different), and refuses an HEVC picture whose RPS names one that is
//! not there, needed or not.
//!
//! Second fields (packets without a frame of their own) go with the packet before them.

use crate::buf::ByteRange;
use crate::media::{Codec, PacketEntry, PacketFlags, StreamInfo};
use crate::{Error, Result};
use std::ops::Range;

/// How far from a packet's frame the frame of the next packet is looked for. Codecs reorder by 16 frames at most; beyond,
/// the answer is that it has none, which feeds a packet too many and harms nothing.
const REORDER_WINDOW: usize = 64;

/// One wanted frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Number of the packet that it comes from.
    pub packet: u32,
    /// Number of the frame.
    pub frame: u32,
    /// Where in `DecodePlan::positions` its places in the request stand.
    pub positions: Range<usize>,
}

/// Packets that are decoded without a break, from a decoder in its first state to a drained one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    /// Range in `DecodePlan::packets`.
    pub packets: Range<usize>,
    /// Range in `DecodePlan::wanted`.
    pub wanted: Range<usize>,
}

/// The packets to read and decode for some frames of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodePlan {
    packets: Vec<u32>,
    segments: Vec<Segment>,
    wanted: Vec<Wanted>,
    positions: Vec<u32>,
    byte_ranges: Vec<ByteRange>,
    num_bytes: u64,
    num_wanted_bytes: u64,
}

impl DecodePlan {
    /// Plans for `frames`, numbers in presentation order, in any order and with repeats.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArgument`] for a number outside the record, [`crate::ErrorKind::Corrupt`] where the
    /// record's tables contradict each other.
    pub fn new(stream: &StreamInfo, frames: &[u32]) -> Result<Self> {
        let mut plan = Self {
            packets: Vec::new(),
            segments: Vec::new(),
            wanted: Vec::with_capacity(frames.len()),
            positions: Vec::with_capacity(frames.len()),
            byte_ranges: Vec::new(),
            num_bytes: 0,
            num_wanted_bytes: 0,
        };
        plan.collect_wanted(stream, frames)?;
        plan.cut_segments(stream)?;
        plan.measure(stream)?;
        Ok(plan)
    }

    /// The packets to feed, ascending, each once.
    pub fn packets(&self) -> &[u32] {
        &self.packets
    }

    /// Number of different frames wanted.
    pub fn num_wanted_frames(&self) -> usize {
        self.wanted.len()
    }

    /// Number of runs of packets that are decoded without a break.
    pub fn num_segments(&self) -> usize {
        self.segments.len()
    }

    /// Where the packets lie in the shard file: packets that touch are one range; in the order of the packets.
    pub fn byte_ranges(&self) -> &[ByteRange] {
        &self.byte_ranges
    }

    /// Bytes of all packets to feed.
    pub fn num_bytes(&self) -> u64 {
        self.num_bytes
    }

    /// Bytes of the packets of the wanted frames alone.
    pub fn num_wanted_bytes(&self) -> u64 {
        self.num_wanted_bytes
    }

    /// Packets decoded per wanted frame; 1 where nothing is decoded in vain.
    pub fn decode_amplification(&self) -> f64 {
        if self.wanted.is_empty() { 1.0 } else { self.packets.len() as f64 / self.wanted.len() as f64 }
    }

    /// Bytes read per byte of a wanted frame's packet, before the storage rounds to blocks.
    pub fn byte_amplification(&self) -> f64 {
        if self.num_wanted_bytes == 0 { 1.0 } else { self.num_bytes as f64 / self.num_wanted_bytes as f64 }
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// All segments as one, for a stream whose GOPs take nothing from before them.
    pub(super) fn whole(&self) -> Segment {
        Segment { packets: 0..self.packets.len(), wanted: 0..self.wanted.len() }
    }

    pub(super) fn wanted(&self, range: Range<usize>) -> &[Wanted] {
        self.wanted.get(range).unwrap_or_default()
    }

    pub(super) fn segment_packets(&self, range: Range<usize>) -> &[u32] {
        self.packets.get(range).unwrap_or_default()
    }

    pub(super) fn positions(&self, wanted: &Wanted) -> &[u32] {
        self.positions.get(wanted.positions.clone()).unwrap_or_default()
    }

    /// Fills `wanted`, by packet, and `positions`.
    fn collect_wanted(&mut self, stream: &StreamInfo, frames: &[u32]) -> Result<()> {
        let mut rows = Vec::with_capacity(frames.len());
        for (position, &frame) in (0_u32..).zip(frames) {
            let Some(&packet) = stream.frame_packets.get(frame as usize) else {
                let count = stream.num_frames();
                return Err(Error::invalid(format!("frame {frame} was asked for, the record has {count}")));
            };
            rows.push((packet, frame, position));
        }
        rows.sort_unstable();
        for (packet, frame, position) in rows {
            let at = self.positions.len();
            self.positions.push(position);
            match self.wanted.last_mut() {
                Some(last) if last.packet == packet && last.frame == frame => last.positions.end = at + 1,
                Some(last) if last.packet == packet => {
                    return Err(Error::corrupt(format!("frames {} and {frame} come from one packet", last.frame)));
                }
                _ => self.wanted.push(Wanted { packet, frame, positions: at..at + 1 }),
            }
        }
        Ok(())
    }

    /// Groups `wanted` into segments and lists their packets.
    fn cut_segments(&mut self, stream: &StreamInfo) -> Result<()> {
        let mut start = 0;
        while let Some(first) = self.wanted.get(start) {
            let mut gop = Gop::of_packet(stream, first.packet)?;
            let mut end = start + gop.count_wanted(self.wanted(start..self.wanted.len()));
            let first_gop = if gop.wants_leading(stream, self.wanted(start..end)) && gop.index > 0 {
                Gop::at(stream, gop.index - 1)?
            } else {
                gop
            };
            // The next needed GOP belongs to this segment if it refers to the last one.
            while let Some(next) = self.wanted.get(end) {
                let next_gop = Gop::of_packet(stream, next.packet)?;
                let next_end = end + next_gop.count_wanted(self.wanted(end..self.wanted.len()));
                let refers = next_gop.wants_leading(stream, self.wanted(end..next_end));
                if next_gop.index != gop.index + 1 || !refers {
                    break;
                }
                (gop, end) = (next_gop, next_end);
            }
            let packets_start = self.packets.len();
            self.list_packets(stream, first_gop, start..end)?;
            self.segments.push(Segment { packets: packets_start..self.packets.len(), wanted: start..end });
            start = end;
        }
        Ok(())
    }

    /// Appends the packets of one segment, from the first of `first_gop` on.
    fn list_packets(&mut self, stream: &StreamInfo, first_gop: Gop, range: Range<usize>) -> Result<()> {
        let Some(wanted) = self.wanted.get(range) else { return Ok(()) };
        let Some(last) = wanted.last() else { return Ok(()) };
        let feed_leading = stream.codec == Codec::H264 || first_gop.wants_leading(stream, wanted);
        let mut next_wanted = wanted.iter().peekable();
        // The frame of the last wanted packet, while packets follow that may be its second field.
        let mut field_of = None;
        let mut packet = first_gop.start;
        let mut knows_reaches = false;
        let start = self.packets.len();
        while let Some(entry) = stream.packets.get(packet as usize) {
            let has = |flag| entry.flags.contains(flag);
            if let Some(this) = next_wanted.next_if(|next| next.packet == packet) {
                self.packets.push(packet);
                field_of = Some(this.frame);
            } else if field_of.is_some_and(|frame| is_field(stream, packet, frame, entry)) {
                self.packets.push(packet);
                if has(PacketFlags::DISCARD) {
                    // It may as well be a lead-out's own frame: one is enough.
                    field_of = None;
                }
            } else if packet > last.packet {
                break;
            } else {
                field_of = None;
                let undecodable = has(PacketFlags::LEADING) && first_gop.contains(packet) && !feed_leading;
                let is_start = packet == first_gop.start || has(PacketFlags::KEYFRAME);
                if !undecodable && (is_start || !has(PacketFlags::DISPOSABLE)) {
                    self.packets.push(packet);
                    knows_reaches |= entry.flags.reach().is_some();
                }
            }
            packet += 1;
        }
        if next_wanted.peek().is_some() {
            return Err(Error::corrupt("the packets of the record's GOPs are not in order"));
        }
        if knows_reaches {
            self.drop_out_of_reach(stream, start);
        }
        Ok(())
    }

    /// Takes out of the packets from place `start` on what no packet needs that stays.
    fn drop_out_of_reach(&mut self, stream: &StreamInfo, start: usize) {
        let wanted = &self.wanted;
        let is_wanted = |packet| wanted.binary_search_by_key(&packet, |wanted| wanted.packet).is_ok();
        // The packet after the one looked at that stays: from the last to the first.
        let mut next = None;
        let mut end = self.packets.len();
        for place in (start..end).rev() {
            let Some(&packet) = self.packets.get(place) else { break };
            let flags = stream.packets.get(packet as usize).map_or(PacketFlags::default(), |entry| entry.flags);
            let is_start = place == start || flags.contains(PacketFlags::KEYFRAME);
            let reach = flags.reach().filter(|_| !is_start && !is_wanted(packet));
            let is_needed = |next| reach.is_none_or(|reach| next - packet <= u32::from(reach));
            if next.is_none_or(is_needed) {
                next = Some(packet);
                end -= 1;
                self.packets.swap(place, end);
            }
        }
        self.packets.drain(start..end);
    }

    /// Adds up the bytes and their places.
    fn measure(&mut self, stream: &StreamInfo) -> Result<()> {
        for &packet in &self.packets {
            let entry = packet_entry(stream, packet)?;
            let size = u64::from(entry.size);
            if entry.offset.checked_add(size).is_none() {
                let message = format!("packet {packet} ends beyond any file");
                return Err(Error::corrupt(message).with_offset(entry.offset));
            }
            self.num_bytes += size;
            match self.byte_ranges.last_mut() {
                Some(last) if last.end() == entry.offset => last.len += size,
                _ => self.byte_ranges.push(ByteRange::new(entry.offset, size)),
            }
        }
        for wanted in &self.wanted {
            self.num_wanted_bytes += u64::from(packet_entry(stream, wanted.packet)?.size);
        }
        Ok(())
    }
}

/// A GOP's place: its number, its first packet and the packet after its last.
#[derive(Debug, Clone, Copy)]
struct Gop {
    index: usize,
    start: u32,
    end: u32,
}

impl Gop {
    fn at(stream: &StreamInfo, index: usize) -> Result<Self> {
        let place = stream.gops.get(index).and_then(|gop| {
            let end = gop.first_packet.checked_add(gop.num_packets)?;
            (end as usize <= stream.packets.len()).then_some(Self { index, start: gop.first_packet, end })
        });
        place.ok_or_else(|| Error::corrupt(format!("GOP {index} lies outside the record's packets")))
    }

    fn of_packet(stream: &StreamInfo, packet: u32) -> Result<Self> {
        let after = stream.gops.partition_point(|gop| gop.first_packet <= packet);
        let gop = after.checked_sub(1).map(|index| Self::at(stream, index)).transpose()?;
        gop.filter(|gop| gop.contains(packet))
            .ok_or_else(|| Error::corrupt(format!("packet {packet} is in no GOP of the record")))
    }

    fn contains(self, packet: u32) -> bool {
        (self.start..self.end).contains(&packet)
    }

    /// How many of `wanted`, which are sorted by packet and start in this GOP, are in it.
    fn count_wanted(self, wanted: &[Wanted]) -> usize {
        wanted.partition_point(|wanted| wanted.packet < self.end)
    }

    /// True where one of `wanted` comes from a LEADING packet of this GOP.
    fn wants_leading(self, stream: &StreamInfo, wanted: &[Wanted]) -> bool {
        wanted.iter().filter(|wanted| self.contains(wanted.packet)).any(|wanted| {
            let entry = stream.packets.get(wanted.packet as usize);
            entry.is_some_and(|entry| entry.flags.contains(PacketFlags::LEADING))
        })
    }
}

/// True where `packet`, which follows the packet of `frame` (directly, or after others for which this was true), gives no
/// frame of its own and starts no GOP.
fn is_field(stream: &StreamInfo, packet: u32, frame: u32, entry: PacketEntry) -> bool {
    let first = (frame as usize).saturating_sub(REORDER_WINDOW);
    let end = (frame as usize).saturating_add(REORDER_WINDOW).min(stream.num_frames());
    let near = stream.frame_packets.get(first..end).unwrap_or_default();
    !entry.flags.contains(PacketFlags::KEYFRAME) && !near.contains(&packet)
}

fn packet_entry(stream: &StreamInfo, packet: u32) -> Result<PacketEntry> {
    stream
        .packets
        .get(packet as usize)
        .ok_or_else(|| Error::corrupt(format!("packet {packet} is named, the record has {}", stream.packets.len())))
}
