//! What a window of frames costs in decoding and in bytes: from the stored clip, and from the source that it was made from, whose packets
//! were seen when it was read.

use crate::convert::clip::gops;
use crate::convert::source::ingest::Ingest;
use crate::decode::DecodePlan;
use crate::media::{Codec, ColorSpec, Orientation, PacketEntry, PacketTable, PixelFormat, Ratio, StreamInfo, TimeBase};
use arrow::buffer::Buffer;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::time::Duration;

/// Frames of the windows.
pub(in crate::convert) const WINDOW_FRAMES: u32 = 16;
/// Their strides.
pub(in crate::convert) const STRIDES: [u32; 2] = [1, 4];
/// Windows of a clip, spread evenly.
const WINDOWS_PER_CLIP: u64 = 8;

/// Packets and bytes of some windows, and how long decoding takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::convert) struct Load {
    pub(in crate::convert) windows: u64,
    pub(in crate::convert) packets: u64,
    pub(in crate::convert) bytes: u64,
    /// Processor time of the packets, at the mean that was measured when all of the clip's were decoded.
    #[serde(default)]
    pub(in crate::convert) nanos: u64,
    /// Windows of which that is known.
    #[serde(default)]
    pub(in crate::convert) timed: u64,
}

impl Load {
    fn add(&mut self, plan: &DecodePlan, packet_nanos: u64) {
        let packets = plan.packets().len() as u64;
        self.windows += 1;
        self.timed += 1;
        self.packets += packets;
        self.bytes += plan.num_bytes();
        self.nanos += packets.saturating_mul(packet_nanos);
    }

    pub(in crate::convert) fn merge(&mut self, other: Self) {
        self.windows += other.windows;
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.timed += other.timed;
        self.nanos = self.nanos.saturating_add(other.nanos);
    }
}

/// The same windows, of the source and of the stored clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct WindowLoad {
    /// Has fewer windows than `stored` where the packets of sources tell nothing.
    pub(in crate::convert) source: Load,
    pub(in crate::convert) stored: Load,
}

/// A clip's tables, and how long decoding all of it took.
#[derive(Clone, Copy)]
pub(super) struct Measured<'a> {
    pub(super) stream: &'a StreamInfo,
    pub(super) decoding: Duration,
}

impl Measured<'_> {
    fn packet_nanos(self) -> u64 {
        self.decoding.as_nanos() as u64 / (self.stream.packets.len() as u64).max(1)
    }
}

/// For each of [`STRIDES`], windows of `stored`, whose frame `n` is frame `chosen[n]` of `source`.
pub(super) fn window_loads(source: Option<Measured<'_>>, stored: Measured<'_>, chosen: &[u32]) -> [WindowLoad; 2] {
    STRIDES.map(|stride| {
        let mut load = WindowLoad::default();
        let span = (WINDOW_FRAMES as usize - 1) * stride as usize;
        let Some(starts) = stored.stream.num_frames().checked_sub(span).filter(|&starts| starts > 0) else {
            return load;
        };
        for start in spread(starts as u64) {
            let frames: Vec<u32> = (0..WINDOW_FRAMES).map(|index| start as u32 + index * stride).collect();
            let of_source = frames.iter().map(|&frame| chosen.get(frame as usize).copied());
            if let Ok(plan) = DecodePlan::new(stored.stream, &frames) {
                load.stored.add(&plan, stored.packet_nanos());
            }
            if let Some((source, frames)) = source.zip(of_source.collect::<Option<Vec<u32>>>())
                && let Ok(plan) = DecodePlan::new(source.stream, &frames)
            {
                load.source.add(&plan, source.packet_nanos());
            }
        }
        load
    })
}

/// Different numbers below `count`, few and evenly spread, with no period in common with a GOP: multiples of the golden ratio.
fn spread(count: u64) -> Vec<u64> {
    let place = |n: u64| {
        let fraction = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((u128::from(fraction) * u128::from(count)) >> 64) as u64
    };
    let mut places: Vec<u64> = (0..WINDOWS_PER_CLIP).map(place).collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// The tables of a source as far as plans need them; `None` for codecs whose packets are not understood.
pub(super) fn source_tables(ingest: &Ingest, codec: &str, time_base: TimeBase) -> Option<StreamInfo> {
    let codec = Codec::parse(codec)?;
    let frame_packets: Vec<u32> = ingest.frames.iter().map(|frame| frame.packet).collect();
    let mut has_frame = vec![false; ingest.packets.len()];
    let mut order = vec![None; ingest.packets.len()];
    for (&packet, number) in frame_packets.iter().zip(0_i64..) {
        *has_frame.get_mut(packet as usize)? = true;
        *order.get_mut(packet as usize)? = Some(number);
    }
    let mut known = 0;
    let order = order.into_iter().map(|number| {
        known = number.unwrap_or(known);
        known
    });
    let facts: Vec<_> = ingest.packets.iter().map(|packet| packet.facts).collect();
    let flags = gops::flags(&facts, &order.collect::<Vec<_>>(), &has_frame, &vec![false; facts.len()]);
    let mut offset = 0;
    let entries: Vec<PacketEntry> = ingest
        .packets
        .iter()
        .zip(&flags)
        .map(|(packet, &flags)| {
            let entry = PacketEntry { offset, size: packet.bytes, pts: 0, dts: 0, flags, crc32c: 0 };
            offset += u64::from(packet.bytes);
            entry
        })
        .collect();
    let packets = PacketTable::from_entries(&entries);
    let unread = |_| Ok::<&[u8], Infallible>(&[]);
    let Ok(gops) = gops::table(&flags, &packets.offsets, &packets.sizes, &frame_packets, unread);
    Some(StreamInfo {
        codec,
        profile: None,
        extradata: Buffer::from_vec(Vec::<u8>::new()),
        reorder_frames: 0,
        pixel_format: PixelFormat::YUV420P,
        width: 1,
        height: 1,
        sample_aspect: Ratio::ONE,
        orientation: Orientation::UPRIGHT,
        color: ColorSpec::guess(1),
        time_base,
        duration: 1,
        packets,
        gops,
        frame_packets: frame_packets.into(),
        is_closed: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_spread_over_the_clip_and_are_all_of_them_where_there_are_few() {
        assert_eq!(spread(1), [0]);
        let many = spread(1000);
        assert_eq!(many.len(), 8);
        assert!(many.windows(2).all(|pair| pair[1] - pair[0] < 250) && many[7] > 750, "{many:?}");
    }
}
