//! Thin functions over libavcodec: the same calls with references for pointers and `Result` for numbers. Nothing is owned
//! here.
#![expect(unsafe_code, reason = "calls into libavcodec")]

use crate::{Error, ErrorKind};
use ffmpeg_next::ffi;
use std::ffi::{CStr, c_int};
use std::fmt;
use std::ptr::{self, NonNull};

/// A negative number that libav returned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct AvError(pub c_int);

pub(crate) type AvResult<T> = Result<T, AvError>;

impl AvError {
    pub(crate) const AGAIN: Self = Self(ffi::AVERROR(libc::EAGAIN));
    pub(crate) const END: Self = Self(ffi::AVERROR_EOF);
    pub(crate) const NO_MEMORY: Self = Self(ffi::AVERROR(libc::ENOMEM));
    pub(crate) const NOT_IMPLEMENTED: Self = Self(ffi::AVERROR(libc::ENOSYS));

    /// An error of ours: `ErrorKind::OutOfMemory` where memory was refused, else `ErrorKind::Decode`.
    pub(crate) fn into_error(self, doing: &str) -> Error {
        let kind = if self == Self::NO_MEMORY { ErrorKind::OutOfMemory } else { ErrorKind::Decode };
        Error::new(kind, format!("cannot {doing}")).with_source(self)
    }
}

impl fmt::Display for AvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; 128];
        // SAFETY: the buffer has the length that is passed, and libav ends what it writes with a zero byte.
        let code = unsafe { ffi::av_strerror(self.0, text.as_mut_ptr().cast(), text.len()) };
        match CStr::from_bytes_until_nul(&text) {
            Ok(text) if code >= 0 => write!(f, "FFmpeg: {}", text.to_string_lossy()),
            _ => write!(f, "FFmpeg: error {}", self.0),
        }
    }
}

impl fmt::Debug for AvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for AvError {}

/// A number as libav returns it: negative is an error.
pub(super) fn check(code: c_int) -> AvResult<c_int> {
    if code < 0 { Err(AvError(code)) } else { Ok(code) }
}

/// A pointer as libav's allocation functions return it: null is refused memory.
pub(super) fn check_alloc<T>(pointer: *mut T) -> AvResult<NonNull<T>> {
    NonNull::new(pointer).ok_or(AvError::NO_MEMORY)
}

/// The default decoder for FFmpeg's codec name.
pub(super) fn find_decoder_by_codec(name: &CStr) -> Option<(ffi::AVCodecID, NonNull<ffi::AVCodec>)> {
    // SAFETY: a C string goes in; what comes out is null or a static table's entry.
    let descriptor = unsafe { ffi::avcodec_descriptor_get_by_name(name.as_ptr()) };
    // SAFETY: not null (checked by `as_ref`), and the table lives as long as the process.
    let id = unsafe { descriptor.as_ref() }?.id;
    find_decoder(id).map(|decoder| (id, decoder))
}

/// The default decoder for a codec.
pub(super) fn find_decoder(id: ffi::AVCodecID) -> Option<NonNull<ffi::AVCodec>> {
    // SAFETY: any id is allowed; what comes out is null or a static table's entry.
    let decoder = unsafe { ffi::avcodec_find_decoder(id) };
    NonNull::new(decoder.cast_mut())
}

/// The pixel format of a number, if it is one.
pub(super) fn pixel_format(format: c_int) -> Option<ffi::AVPixelFormat> {
    if format < 0 || format >= ffi::AVPixelFormat::AV_PIX_FMT_NB as c_int {
        return None;
    }
    // SAFETY: the enum is an `i32` with all values of the libavutil headers that this build links, and the number is
    // below their end and not negative.
    Some(unsafe { std::mem::transmute::<c_int, ffi::AVPixelFormat>(format) })
}

/// FFmpeg's name of a pixel format, if the number is one.
pub(super) fn pixel_format_name(format: c_int) -> Option<&'static str> {
    let format = pixel_format(format)?;
    // SAFETY: any format is allowed; what comes out is null or a static string.
    let name = unsafe { ffi::av_get_pix_fmt_name(format) };
    if name.is_null() {
        return None;
    }
    // SAFETY: not null, a static C string.
    unsafe { CStr::from_ptr(name) }.to_str().ok()
}

/// Zeroed memory of libav's allocator holding `bytes` and its padding, for a field that libav will free.
pub(super) fn padded_copy(bytes: &[u8]) -> AvResult<NonNull<u8>> {
    let len = bytes.len().checked_add(ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize).ok_or(AvError::NO_MEMORY)?;
    // SAFETY: any length is allowed; null is checked.
    let copy = check_alloc(unsafe { ffi::av_mallocz(len) })?.cast::<u8>();
    // SAFETY: the new allocation is longer than `bytes`, and new, so that they do not overlap.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), copy.as_ptr(), bytes.len()) };
    Ok(copy)
}
