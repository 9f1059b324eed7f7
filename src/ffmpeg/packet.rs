//! A packet whose memory is used again and again.
#![expect(unsafe_code, reason = "owns an AVPacket")]

use super::calls::{AvError, AvResult, check, check_alloc};
use ffmpeg_next::ffi;
use std::ffi::c_int;
use std::ptr::{self, NonNull};

const PADDING: usize = ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;

/// What a packet is called, and the frame that comes of it: its number within a run of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    /// At most [`Tag::MAX_RUN`].
    pub run: u32,
    pub number: u32,
}

impl Tag {
    /// With one more bit the tag would be negative.
    pub(super) const MAX_RUN: u32 = u32::MAX >> 1;

    fn pts(self) -> i64 {
        i64::from(self.run) << 32 | i64::from(self.number)
    }

    /// `None` for the timestamp of no packet.
    pub(super) fn of_pts(pts: i64) -> Option<Self> {
        let pts = u64::try_from(pts).ok()?;
        Some(Self { run: (pts >> 32) as u32, number: pts as u32 })
    }
}

/// An `AVPacket` that owns a reference-counted buffer, with zeroed padding after the bytes.
pub(crate) struct Packet {
    pointer: NonNull<ffi::AVPacket>,
    /// Bytes that the packet's buffer holds, without padding; 0 where it has none.
    capacity: usize,
}

// SAFETY: libav's packets have no thread of their own, and their buffers are counted atomically.
unsafe impl Send for Packet {}

impl Packet {
    /// An empty packet.
    pub(crate) fn new() -> AvResult<Self> {
        // SAFETY: takes nothing; null is checked.
        let pointer = check_alloc(unsafe { ffi::av_packet_alloc() })?;
        Ok(Self { pointer, capacity: 0 })
    }

    pub(super) fn as_ptr(&self) -> *const ffi::AVPacket {
        self.pointer.as_ptr()
    }

    fn fields(&mut self) -> &mut ffi::AVPacket {
        // SAFETY: allocated by libav, freed in `drop` alone, and borrowed through `&mut self` alone.
        unsafe { self.pointer.as_mut() }
    }

    /// Fills the packet with a copy of `bytes`, and the tag for pts. Side data is dropped.
    pub(super) fn fill(&mut self, tag: Tag, bytes: &[u8]) -> AvResult<()> {
        let len = c_int::try_from(bytes.len()).map_err(|_| AvError::NO_MEMORY)?;
        // SAFETY: a valid packet; frees its side data and sets their count to 0.
        unsafe { ffi::av_packet_free_side_data(self.pointer.as_ptr()) };
        if bytes.len() > self.capacity || !self.is_writable() {
            self.allocate(bytes.len().max(4096).next_power_of_two())?;
        }
        let packet = self.fields();
        packet.pts = tag.pts();
        packet.dts = ffi::AV_NOPTS_VALUE;
        packet.flags = 0;
        packet.size = len;
        let data = packet.data;
        // SAFETY: the buffer holds `capacity` bytes and the padding, nobody else refers to it (it is writable), and
        // `bytes` is not part of it, as no reference to it is ever given out.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len()) };
        // SAFETY: `bytes.len() <= capacity`, and the padding follows the capacity.
        let end = unsafe { data.add(bytes.len()) };
        // SAFETY: as above: at least the padding's bytes are left after `end`.
        unsafe { ptr::write_bytes(end, 0, PADDING) };
        Ok(())
    }

    /// Attaches decoder configuration that the decoder takes over before it decodes this packet.
    pub(super) fn set_new_extradata(&mut self, extradata: &[u8]) -> AvResult<()> {
        let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_NEW_EXTRADATA;
        // SAFETY: a valid packet; what comes out is null or `extradata.len()` bytes (with padding) that it owns.
        let data = unsafe { ffi::av_packet_new_side_data(self.pointer.as_ptr(), kind, extradata.len()) };
        let data = check_alloc(data)?;
        // SAFETY: new memory of that length.
        unsafe { ptr::copy_nonoverlapping(extradata.as_ptr(), data.as_ptr(), extradata.len()) };
        Ok(())
    }

    fn is_writable(&mut self) -> bool {
        let buffer = self.fields().buf;
        // SAFETY: a valid buffer, since it is not null.
        !buffer.is_null() && unsafe { ffi::av_buffer_is_writable(buffer) } == 1
    }

    fn allocate(&mut self, capacity: usize) -> AvResult<()> {
        let size = c_int::try_from(capacity).map_err(|_| AvError::NO_MEMORY)?;
        self.capacity = 0;
        // SAFETY: a valid packet; drops its reference to the old buffer.
        unsafe { ffi::av_packet_unref(self.pointer.as_ptr()) };
        // SAFETY: a valid, blank packet; gives it a buffer of `size` bytes and the padding.
        check(unsafe { ffi::av_new_packet(self.pointer.as_ptr(), size) })?;
        self.capacity = capacity;
        Ok(())
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        let mut pointer = self.pointer.as_ptr();
        // SAFETY: allocated by `av_packet_alloc`, freed once, here.
        unsafe { ffi::av_packet_free(&raw mut pointer) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_timestamps_and_what_is_no_timestamp_is_no_tag() {
        for (run, number) in [(0, 0), (0, u32::MAX), (Tag::MAX_RUN, u32::MAX), (7, 9)] {
            let tag = Tag { run, number };
            assert!(tag.pts() >= 0);
            assert_eq!(Tag::of_pts(tag.pts()), Some(tag));
        }
        assert_eq!(Tag::of_pts(ffi::AV_NOPTS_VALUE), None);
    }
}
