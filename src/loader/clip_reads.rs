//! One clip on its way: which bytes it needs, and the bytes.

use super::row::Row;
use crate::batch::BatchAssembly;
use crate::buf::ByteRange;
use crate::buf::Slot;
use crate::dataset::Dataset;
use crate::decode::{DecodeLimits, DecodePlan, PacketSource, check_limits};
use crate::error::{Error, ErrorKind, Result};
use crate::format::crc32c;
use crate::media::StreamInfo;
use crate::order::RecordExtents as _;
use crate::order::Window;
use crate::shard::Shard;
use crate::storage::{CoalescedRange, ReadBytes, coalesce};
use crate::transform::ClipShape;
use std::path::PathBuf;
use std::sync::Arc;

/// Unwanted bytes between two wanted ranges up to which one read is better than two: about what a network or NVMe read
/// costs anyway.
const MAX_GAP_BYTES: u64 = 16 << 10;
/// Unwanted bytes of a clip, at most, as a part of the wanted ones or as a number of bytes, whichever is more: the smallest gaps are read,
/// as many as that allows. Windows of a megabyte read 2 to 4 percent too much in 3 to 6 reads so, and small ones are one or two reads.
const UNWANTED_PART: u64 = 10;
const UNWANTED_BYTES: u64 = 64 << 10;
/// Longest joined read. A single packet may be longer.
const MAX_JOINED_BYTES: u64 = 8 << 20;

/// A clip as planned: which frames, packets and bytes.
#[derive(Debug)]
pub(super) struct ClipPlan {
    pub(super) record: usize,
    pub(super) shard: Arc<Shard>,
    pub(super) stream: StreamInfo,
    pub(super) frames: Vec<u32>,
    pub(super) plan: DecodePlan,
    /// What to read of the shard's file.
    pub(super) reads: Vec<CoalescedRange>,
    /// Bytes of the packets.
    pub(super) needed_bytes: u64,
}

impl ClipPlan {
    /// Plans the window of a record.
    pub(super) fn of_window(dataset: &Dataset, record: usize, window: &Window, draw: u64) -> Result<Self> {
        let (shard, stream) = dataset.stream(record)?;
        let frames = window.select(&stream, draw).ok_or_else(|| {
            Error::corrupt("the window fits by the dataset's index, and not by the shard's").with_path(shard.path())
        })?;
        Self::new(record, shard, stream, frames)
    }

    /// Plans given frames of a record.
    pub(super) fn of_frames(dataset: &Dataset, record: usize, frames: &[u32]) -> Result<Self> {
        let (shard, stream) = dataset.stream(record)?;
        Self::new(record, shard, stream, frames.to_vec())
    }

    fn new(record: usize, shard: Arc<Shard>, stream: StreamInfo, frames: Vec<u32>) -> Result<Self> {
        let plan = DecodePlan::new(&stream, &frames).map_err(|error| error.with_path(shard.path()))?;
        let needed_bytes = plan.num_bytes();
        let reads = coalesce(plan.byte_ranges(), gap_to_read(plan.byte_ranges()), MAX_JOINED_BYTES);
        Ok(Self { record, shard, stream, frames, plan, reads, needed_bytes })
    }

    /// Bytes of all reads.
    pub(super) fn read_bytes(&self) -> u64 {
        self.reads.iter().fold(0, |bytes, read| bytes.saturating_add(read.range.len))
    }

    /// Refuses what the decoder would refuse later, before anything is read or memory taken for it.
    pub(super) fn check(&self, limits: &DecodeLimits) -> Result<()> {
        check_limits(&self.stream, &self.plan, limits)?;
        let bytes = self.read_bytes();
        if bytes > limits.max_bytes {
            let message = format!("{bytes} bytes to read, at most {} are allowed", limits.max_bytes);
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        Ok(())
    }
}

/// The largest gap between wanted ranges that is read rather than left out.
fn gap_to_read(ranges: &[ByteRange]) -> u64 {
    let pairs = ranges.iter().zip(ranges.iter().skip(1));
    let gaps = pairs.filter_map(|(one, next)| next.offset.checked_sub(one.end()));
    let mut gaps: Vec<u64> = gaps.filter(|gap| (1..=MAX_GAP_BYTES).contains(gap)).collect();
    gaps.sort_unstable();
    let wanted = ranges.iter().fold(0_u64, |bytes, range| bytes.saturating_add(range.len));
    let mut left = (wanted / UNWANTED_PART).max(UNWANTED_BYTES);
    let refused = gaps.iter().copied().find(|&gap| {
        let fits = gap <= left;
        left = left.saturating_sub(gap);
        !fits
    });
    // Of gaps of one size all are read or none.
    gaps.into_iter().take_while(|&gap| refused.is_none_or(|refused| gap < refused)).last().unwrap_or(0)
}

/// The shard and the ranges of it that a loader reads for the window of a record, or `None` where the record is too short. The
/// window's place is drawn by `draw`, as a loader draws it by position.
///
/// # Errors
/// `NotFound` where there is no such record; those of opening the shard.
pub fn window_reads(
    dataset: &Dataset,
    record: usize,
    window: &Window,
    draw: u64,
) -> Result<Option<(PathBuf, Vec<ByteRange>)>> {
    if !window.fits(dataset.extent(record)?) {
        return Ok(None);
    }
    let clip = ClipPlan::of_window(dataset, record, window, draw)?;
    Ok(Some((clip.shard.path().to_owned(), clip.reads.iter().map(|read| read.range).collect())))
}

/// Where a clip's frames go.
#[derive(Debug)]
pub(super) struct ClipPlace {
    /// Memory for a clip of `shape`, and of no other.
    pub(super) slot: Slot,
    pub(super) shape: ClipShape,
    /// Where the slot is not of the batch, but of memory of its own: that of a substitute of another size.
    pub(super) apart: Option<BatchAssembly>,
}

/// A clip whose bytes are there.
pub(super) struct Job {
    pub(super) row: Arc<Row>,
    /// Where its frames go.
    pub(super) place: ClipPlace,
    pub(super) clip: ClipPlan,
    pub(super) bytes: ClipBytes,
    /// What the reader counted for it.
    pub(super) held_bytes: u64,
}

/// The bytes of a clip's packets: what was read, by offset in the shard's file.
#[derive(Debug, Default)]
pub(super) struct ClipBytes(Vec<(u64, ReadBytes)>);

impl ClipBytes {
    /// Adds what one read gave. Reads come in any order and do not overlap.
    pub(super) fn add(&mut self, offset: u64, bytes: ReadBytes) {
        let at = self.0.partition_point(|(other, _)| *other < offset);
        self.0.insert(at, (offset, bytes));
    }

    fn find(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let (start, bytes) = self.0.get(self.0.partition_point(|(start, _)| *start <= offset).checked_sub(1)?)?;
        let from = usize::try_from(offset - start).ok()?;
        bytes.get(from..from.checked_add(len)?)
    }
}

/// Gives a decoder the packets of a clip, each checked against its CRC32C when it is asked for, just before it is fed.
pub(super) struct CheckedPackets<'a> {
    pub(super) clip: &'a ClipPlan,
    pub(super) bytes: &'a ClipBytes,
}

impl PacketSource for CheckedPackets<'_> {
    fn packet(&self, index: u32) -> Result<&[u8]> {
        let packet = self.clip.stream.packets.get(index as usize).ok_or_else(|| no_packet(index))?;
        let place = |error: Error| error.with_offset(packet.offset).with_path(self.clip.shard.path());
        let bytes = self.bytes.find(packet.offset, packet.size as usize);
        let bytes = bytes.ok_or_else(|| place(Error::corrupt(format!("packet {index} was not read"))))?;
        let actual = crc32c(bytes);
        if actual != packet.crc32c {
            let expected = packet.crc32c;
            let message = format!("packet {index} has CRC32C {actual:08x}, the index says {expected:08x}");
            return Err(place(Error::corrupt(message)));
        }
        Ok(bytes)
    }
}

/// Checks all packets of a clip, and nothing else.
pub(super) fn check_packets(clip: &ClipPlan, bytes: &ClipBytes) -> Result<()> {
    let source = CheckedPackets { clip, bytes };
    clip.plan.packets().iter().try_for_each(|&index| source.packet(index).map(drop))
}

fn no_packet(index: u32) -> Error {
    Error::corrupt(format!("the plan names packet {index}, which the record lacks"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The gap that is read of ranges of those lengths, with those gaps behind them.
    fn gap(ranges: &[(u64, u64)]) -> u64 {
        let mut offset = 1000;
        let ranges: Vec<_> = ranges
            .iter()
            .map(|&(len, gap)| {
                let range = ByteRange::new(offset, len);
                offset += len + gap;
                range
            })
            .collect();
        gap_to_read(&ranges)
    }

    #[test]
    fn small_gaps_are_read_as_long_as_they_are_a_small_part() {
        assert_eq!((gap(&[]), gap(&[(10, 0)]), gap(&[(10, 0), (10, 0)])), (0, 0, 0));
        assert_eq!(gap(&[(10, 300), (10, 16 << 10), (10, 0)]), 16 << 10);
        assert_eq!(gap(&[(10, 300), (10, (16 << 10) + 1), (10, 0)]), 300, "what is beyond a read's worth is left out");
        // Five of them would be 80 KiB.
        let five = [(10, 16 << 10), (10, 16 << 10), (10, 16 << 10), (10, 16 << 10), (10, (16 << 10) - 1), (10, 0)];
        assert_eq!(gap(&five), (16 << 10) - 1);
        assert_eq!(gap(&vec![(10, 16 << 10); 1000]), 0);
        let many: Vec<_> = (0..100).map(|number| (10, 1000 + number)).collect();
        assert_eq!(gap(&many), 1000 + 62, "63 gaps are 64 KiB");
        // A tenth of two megabytes.
        let large: Vec<_> = (0..100).map(|number| (20_000, 10_000 + number)).collect();
        assert_eq!(gap(&large), 10_000 + 18);
    }

    #[test]
    fn ranges_that_overlap_have_no_gap() {
        assert_eq!(gap_to_read(&[ByteRange::new(0, 100), ByteRange::new(50, 100), ByteRange::new(10, 1)]), 0);
        assert_eq!(gap_to_read(&[ByteRange::new(0, u64::MAX), ByteRange::new(u64::MAX, u64::MAX)]), 0);
    }
}
