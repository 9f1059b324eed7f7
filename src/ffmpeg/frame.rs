//! A decoded picture, owned, and its view in our words.
#![expect(unsafe_code, reason = "owns an AVFrame and borrows its planes")]

use super::calls::{AvResult, check_alloc, pixel_format_name};
use super::live::{Live, get};
use super::packet::Tag;
use crate::media::{FrameView, PixelFormat, PlaneView};
use crate::{Error, Result};
use ffmpeg_next::ffi;
use std::ptr::NonNull;

/// An `AVFrame`.
pub(crate) struct Frame {
    pointer: NonNull<ffi::AVFrame>,
}

// SAFETY: libav's frames have no thread of their own, and their buffers are counted atomically.
unsafe impl Send for Frame {}

impl Frame {
    /// A frame without a picture.
    pub(crate) fn new() -> AvResult<Self> {
        // SAFETY: takes nothing; null is checked.
        let pointer = check_alloc(unsafe { ffi::av_frame_alloc() })?;
        Ok(Self { pointer })
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut ffi::AVFrame {
        self.pointer.as_ptr()
    }

    /// Gives the picture's memory back to the decoder.
    pub(crate) fn clear(&mut self) {
        // SAFETY: a valid frame, and `&mut self` says that no view of it is left.
        unsafe { ffi::av_frame_unref(self.pointer.as_ptr()) };
    }

    fn fields(&self) -> Live<'_, ffi::AVFrame> {
        // SAFETY: allocated by libav, freed in `drop` alone, and written to through `&mut self` alone.
        unsafe { Live::new(self.pointer.as_ptr(), self) }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let mut pointer = self.pointer.as_ptr();
        // SAFETY: allocated by `av_frame_alloc`, freed once, here.
        unsafe { ffi::av_frame_free(&raw mut pointer) };
    }
}

/// A picture that a decoder has just given, borrowed until the decoder is asked for the next one.
#[derive(Clone, Copy)]
pub(crate) struct DecodedFrame<'a> {
    frame: &'a Frame,
    run: u32,
}

impl<'a> DecodedFrame<'a> {
    pub(super) fn new(frame: &'a Frame, run: u32) -> Self {
        Self { frame, run }
    }

    fn tag(self) -> Option<Tag> {
        let fields = self.frame.fields();
        Tag::of_pts(get!(fields.pts))
    }

    /// Number of the packet of this run that the frame comes from; `None` where the decoder lost it.
    pub(crate) fn packet(self) -> Option<u32> {
        self.tag().filter(|tag| tag.run == self.run).map(|tag| tag.number)
    }

    /// True for a frame of a run before this one.
    pub(crate) fn is_left_over(self) -> bool {
        self.tag().is_some_and(|tag| tag.run != self.run)
    }

    /// True where the decoder says that the picture is damaged: refused slices, missing references, concealment.
    pub(crate) fn is_flagged(self) -> bool {
        let fields = self.frame.fields();
        get!(fields.flags) & ffi::AV_FRAME_FLAG_CORRUPT != 0 || get!(fields.decode_error_flags) != 0
    }

    /// True where the decoder put something in the place of what it could not decode.
    pub(crate) fn is_concealed(self) -> bool {
        let fields = self.frame.fields();
        get!(fields.decode_error_flags) != 0
    }

    /// Width and height of the picture, cropped.
    pub(crate) fn size(self) -> (u32, u32) {
        let fields = self.frame.fields();
        (u32::try_from(get!(fields.width)).unwrap_or(0), u32::try_from(get!(fields.height)).unwrap_or(0))
    }

    /// FFmpeg's name of its pixel format, `yuvj` variants included.
    pub(crate) fn format_name(self) -> &'static str {
        let fields = self.frame.fields();
        pixel_format_name(get!(fields.format)).unwrap_or("unknown")
    }

    /// Its pixel format, or [`crate::ErrorKind::Unsupported`] with FFmpeg's name for it.
    pub(crate) fn format(self) -> Result<PixelFormat> {
        let name = self.format_name();
        PixelFormat::parse(name).ok_or_else(|| Error::unsupported(format!("pixel format {name} is not supported")))
    }

    /// The planes.
    pub(crate) fn view(self) -> Result<FrameView<'a>> {
        let format = self.format()?;
        let (width, height) = self.size();
        let mut planes = [PlaneView { data: &[], stride: 0 }; 3];
        for (index, view) in planes.iter_mut().enumerate().take(format.num_planes()) {
            let (samples, rows) = format.plane_size(index, width, height);
            *view = self.plane(index, samples as usize * format.bytes_per_sample(), rows as usize)?;
        }
        Ok(FrameView { format, width, height, planes })
    }

    fn plane(self, index: usize, row_bytes: usize, rows: usize) -> Result<PlaneView<'a>> {
        let fields = self.frame.fields();
        let data = get!(fields.data).get(index).copied().unwrap_or(std::ptr::null_mut());
        let stride = get!(fields.linesize).get(index).copied().unwrap_or(0);
        let stride = usize::try_from(stride).ok().filter(|stride| *stride >= row_bytes && row_bytes > 0 && rows > 0);
        let (Some(stride), Some(data)) = (stride, NonNull::new(data)) else {
            return Err(Error::unsupported(format!("plane {index} of a decoded frame is empty or upside down")));
        };
        let len = stride * (rows - 1) + row_bytes;
        // SAFETY: libavcodec's contract for a received frame: each plane of its format has `rows` rows of `row_bytes`
        // initialised bytes, `linesize` apart; the frame holds a reference to that memory for as long as `'a` (it is
        // cleared through `&mut` alone), and decoders only read what they have given out.
        let data = unsafe { std::slice::from_raw_parts(data.as_ptr(), len) };
        Ok(PlaneView { data, stride })
    }
}
