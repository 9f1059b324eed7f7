//! One clip on its way: which bytes it needs, and the bytes.

use super::row::Row;
use crate::buf::ByteRange;
use crate::buf::Slot;
use crate::dataset::{Dataset, Window};
use crate::decode::{DecodeLimits, DecodePlan, PacketSource, check_limits};
use crate::error::{Error, ErrorKind, Result};
use crate::format::crc32c;
use crate::media::StreamInfo;
use crate::shard::Shard;
use crate::storage::{CoalescedRange, ReadBytes, coalesce};
use std::path::PathBuf;
use std::sync::Arc;

/// Unwanted bytes between two wanted ranges up to which one read is better than two: about what a network or NVMe read
/// costs anyway.
const MAX_GAP_BYTES: u64 = 16 << 10;
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
        let reads = coalesce(plan.byte_ranges(), MAX_GAP_BYTES, MAX_JOINED_BYTES);
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

/// A clip whose bytes are there.
pub(super) struct Job {
    pub(super) row: Arc<Row>,
    /// Where its frames go.
    pub(super) slot: Slot,
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

/// Gives a decoder the packets of a clip, each checked against its CRC32C right before it is fed.
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
