//! What the memory of a picture holds before its decoder writes to it.
//!
//! A decoder writes every sample of a sound picture. Of a damaged one it may leave out parts, and then shows what the memory held
//! before: usually another picture. A decode that begins with known memory is a function of its packets, and a clip that gives the same
//! frames with two different fills depends on no such memory.
#![expect(unsafe_code, reason = "writes to the memory of a picture that libavcodec asks for")]

use super::calls::pixel_format;
use super::live::{Live, LiveMut, get, set};
use crate::media::FrameView;
use ffmpeg_next::ffi;
use std::ffi::c_int;

/// What is written to the memory of a picture before its decoder gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fill {
    /// Nothing: it holds what it held.
    #[default]
    None,
    /// The middle of the range of samples: in YUV a gray.
    Gray,
    /// Zeros.
    Zeros,
    /// A pattern that no encoder makes, so that what was not written is found: see [`has_unwritten`].
    Pattern,
}

/// The pattern of 8-bit samples, from left to right.
const BYTES: [u8; 8] = [13, 229, 61, 197, 5, 247, 89, 163];
/// That of deeper ones, four in either byte order, each within 9 bits.
const WORDS: [u8; 8] = [1, 0, 0, 1, 1, 1, 0, 0];

/// Bytes of memory to write at once.
const CHUNK: usize = 64;

impl Fill {
    /// Eight bytes that are repeated through the memory of a picture with samples of `depth` bits. All samples are in range: decoders
    /// look up tables by them.
    fn bytes(self, depth: c_int) -> Option<[u8; 8]> {
        match self {
            Self::None => None,
            // Both bytes of a sample are the same, so that its byte order does not matter.
            Self::Gray if depth > 8 => Some([1 << (depth - 9).clamp(0, 7); 8]),
            Self::Gray => Some([0x80; 8]),
            Self::Zeros => Some([0; 8]),
            Self::Pattern => Some(pattern(depth > 8)),
        }
    }

    /// Fills the memory that `frame` has just been given.
    ///
    /// # Safety
    /// `frame` is a frame that `get_buffer2` gave memory to, which nobody else uses yet.
    pub(super) unsafe fn fill(self, frame: *mut ffi::AVFrame) {
        if self == Self::None {
            return;
        }
        // SAFETY: by the caller's promise, for as long as this function runs.
        let frame = unsafe { Live::new(frame, &self) };
        let Some(bytes) = self.bytes(depth(get!(frame.format))) else { return };
        let mut chunk = [0; CHUNK];
        chunk.chunks_exact_mut(bytes.len()).for_each(|place| place.copy_from_slice(&bytes));
        for buffer in get!(frame.buf) {
            // SAFETY: null, or a reference to memory that the frame owns.
            let Some(buffer) = (unsafe { buffer.as_ref() }) else { continue };
            // SAFETY: the reference owns `size` bytes there, which nobody else uses yet.
            let memory = unsafe { std::slice::from_raw_parts_mut(buffer.data, buffer.size) };
            for place in memory.chunks_mut(CHUNK) {
                let len = place.len();
                place.copy_from_slice(chunk.get(..len).unwrap_or_default());
            }
        }
    }

    /// Has a context that is not open yet fill its pictures, which libavcodec allocates.
    pub(super) fn serve(self, context: &LiveMut<'_, ffi::AVCodecContext>) {
        let get_buffer: GetBuffer = match self {
            Self::None => ffi::avcodec_default_get_buffer2,
            Self::Gray => get_gray,
            Self::Zeros => get_zeros,
            Self::Pattern => get_pattern,
        };
        set!(context.get_buffer2 = Some(get_buffer));
    }
}

/// libavcodec's `get_buffer2`.
pub(super) type GetBuffer = unsafe extern "C" fn(*mut ffi::AVCodecContext, *mut ffi::AVFrame, c_int) -> c_int;

fn pattern(is_deep: bool) -> [u8; 8] {
    if is_deep { WORDS } else { BYTES }
}

/// Bits of a sample of that pixel format; 8 of one that is unknown.
fn depth(format: c_int) -> c_int {
    let Some(format) = pixel_format(format) else { return 8 };
    // SAFETY: any format is allowed; what comes out is null or an entry of a static table.
    let descriptor = unsafe { ffi::av_pix_fmt_desc_get(format) };
    // SAFETY: as above.
    unsafe { descriptor.as_ref() }.map_or(8, |descriptor| descriptor.comp[0].depth)
}

/// True where a picture whose memory was filled with [`Fill::Pattern`] still shows it somewhere: eight bytes of a row.
///
/// The memory that libavcodec allocates is aligned, and so are its rows: the pattern lies in memory as the addresses count.
pub(crate) fn has_unwritten(view: &FrameView<'_>) -> bool {
    let pattern = pattern(view.format.bytes_per_sample() > 1);
    (0..view.format.num_planes()).any(|plane| {
        let (_, rows) = view.format.plane_size(plane, view.width, view.height);
        (0..rows).any(|row| {
            let row = view.row(plane, row);
            let offset = row.as_ptr().align_offset(pattern.len()).min(row.len());
            let (_, aligned) = row.split_at(offset);
            let (words, _) = aligned.as_chunks::<8>();
            words.contains(&pattern)
        })
    })
}

/// # Safety
/// Called by libavcodec as `get_buffer2`.
unsafe fn get_filled(context: *mut ffi::AVCodecContext, frame: *mut ffi::AVFrame, flags: c_int, fill: Fill) -> c_int {
    // SAFETY: the arguments are passed on as they came.
    let code = unsafe { ffi::avcodec_default_get_buffer2(context, frame, flags) };
    if code >= 0 {
        // SAFETY: the frame was just given its memory.
        unsafe { fill.fill(frame) };
    }
    code
}

unsafe extern "C" fn get_gray(context: *mut ffi::AVCodecContext, frame: *mut ffi::AVFrame, flags: c_int) -> c_int {
    // SAFETY: libavcodec calls it as `get_buffer2`.
    unsafe { get_filled(context, frame, flags, Fill::Gray) }
}

unsafe extern "C" fn get_zeros(context: *mut ffi::AVCodecContext, frame: *mut ffi::AVFrame, flags: c_int) -> c_int {
    // SAFETY: as above.
    unsafe { get_filled(context, frame, flags, Fill::Zeros) }
}

unsafe extern "C" fn get_pattern(context: *mut ffi::AVCodecContext, frame: *mut ffi::AVFrame, flags: c_int) -> c_int {
    // SAFETY: as above.
    unsafe { get_filled(context, frame, flags, Fill::Pattern) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{PixelFormat, PlaneView};

    /// Aligned as libavcodec's memory is.
    #[repr(align(64))]
    struct Memory([u8; 4096]);

    impl Memory {
        /// A picture of 16x32 that begins so many bytes into the memory.
        fn view(&self, format: PixelFormat, crop: usize) -> FrameView<'_> {
            let plane = PlaneView { data: &self.0[crop..crop + 64 * 31 + 32], stride: 64 };
            FrameView { format, width: 16, height: 32, planes: [plane; 3] }
        }
    }

    #[test]
    fn the_pattern_is_found_wherever_a_picture_begins_and_nothing_else_is() {
        for format in [PixelFormat::YUV420P, PixelFormat::parse("yuv420p10le").unwrap()] {
            let pattern = pattern(format.bytes_per_sample() > 1);
            for crop in (0..32).step_by(format.bytes_per_sample()) {
                let filled = Memory(std::array::from_fn(|index| pattern[index % 8]));
                assert!(has_unwritten(&filled.view(format, crop)), "crop {crop}");
                let mut written = Memory(std::array::from_fn(|index| (index % 7) as u8));
                assert!(!has_unwritten(&written.view(format, crop)), "crop {crop}");
                // One run of eight bytes is enough.
                let place = (64 * 20 + crop).next_multiple_of(8);
                written.0[place..place + 8].copy_from_slice(&pattern);
                assert!(has_unwritten(&written.view(format, crop)), "crop {crop}");
            }
        }
    }

    #[test]
    fn every_fill_is_within_the_range_of_the_samples() {
        for depth in 9..=16 {
            for fill in [Fill::Gray, Fill::Zeros, Fill::Pattern] {
                let bytes = fill.bytes(depth).unwrap();
                for pair in bytes.chunks(2).map(|pair| [pair[0], pair[1]]) {
                    let sample = u32::from(u16::from_le_bytes(pair).max(u16::from_be_bytes(pair)));
                    assert!(sample < 1 << depth, "{fill:?} of {depth} bits: {sample}");
                }
            }
        }
        assert_eq!(Fill::Gray.bytes(10), Some([2; 8]));
        assert_eq!(Fill::None.bytes(8), None);
    }
}
