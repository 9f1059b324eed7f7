//! libswscale, with every parameter that decides a sample.
#![expect(unsafe_code, reason = "fields and calls of FFmpeg that ffmpeg-next does not wrap")]

use super::live::get;
use super::picture::live_frame;
use crate::media::{ColorRange, ColorSpec};
use crate::{Error, Result};
use ffmpeg_next::{self as av, ffi};
use std::ptr::NonNull;

/// Makes `out` of `frame`, which must be of the format and size that `scaler` was made for. As the wrapper's own
/// call, which does not say whether it succeeded.
pub(crate) fn scale(
    scaler: &mut av::software::scaling::Context,
    frame: &av::frame::Video,
    out: &mut av::frame::Video,
) -> std::result::Result<(), av::Error> {
    let (from, to) = (*scaler.input(), *scaler.output());
    if (from.format, from.width, from.height) != (frame.format(), frame.width(), frame.height()) {
        return Err(av::Error::InputChanged);
    }
    if (to.format, to.width, to.height) != (out.format(), out.width(), out.height()) {
        *out = av::frame::Video::new(to.format, to.width, to.height);
    }
    if out.planes() == 0 {
        return Err(av::Error::Other { errno: libc::ENOMEM });
    }
    // SAFETY: the context is alive and borrowed mutably.
    let context = unsafe { scaler.as_mut_ptr() };
    // SAFETY: both frames have the planes of the formats and sizes that the context was made for.
    let scaled = unsafe { scale_planes(context, frame, out) };
    if scaled < 0 { Err(av::Error::from(scaled)) } else { Ok(()) }
}

/// Calls libswscale on all rows of `frame`.
///
/// # Safety
/// `context` was made for frames of the formats and sizes of `frame` and `out`, and nobody else uses the planes of `out`.
unsafe fn scale_planes(
    context: *mut ffi::SwsContext,
    frame: &av::frame::Video,
    out: &mut av::frame::Video,
) -> libc::c_int {
    let (from, to) = (live_frame(frame), live_frame(out));
    let (rows, data, strides) = (frame.height() as libc::c_int, get!(from.data), get!(from.linesize));
    let (out, out_strides) = (get!(to.data), get!(to.linesize));
    // SAFETY: by the caller's promise.
    unsafe {
        ffi::sws_scale(context, data.as_ptr().cast(), strides.as_ptr(), 0, rows, out.as_ptr(), out_strides.as_ptr())
    }
}

/// One end of a [`Scaler`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ScalerEnd {
    pub(crate) pixel: av::format::Pixel,
    /// Width and height.
    pub(crate) size: (u32, u32),
    /// Of this, matrix and range count.
    pub(crate) color: ColorSpec,
}

impl ScalerEnd {
    fn is_full(&self) -> i64 {
        i64::from(self.color.range == ColorRange::Full)
    }

    /// The pixel format without the range that `yuvj` brings; it is given apart.
    fn samples(&self) -> av::format::Pixel {
        use av::format::Pixel;
        match self.pixel {
            Pixel::YUVJ411P => Pixel::YUV411P,
            Pixel::YUVJ420P => Pixel::YUV420P,
            Pixel::YUVJ422P => Pixel::YUV422P,
            Pixel::YUVJ440P => Pixel::YUV440P,
            Pixel::YUVJ444P => Pixel::YUV444P,
            pixel => pixel,
        }
    }

    /// The matrix as libswscale counts them, which is as H.273 does; BT.601 where it knows none.
    fn matrix(&self) -> libc::c_int {
        match self.color.matrix {
            code @ (1 | 4..=7 | 9 | 10) => code.into(),
            _ => 5,
        }
    }
}

/// libswscale from one size, pixel format, matrix and range to others, as the ffmpeg command's `scale` filter uses
/// it, with the flags that make it exact on every machine.
pub(crate) struct Scaler {
    context: NonNull<ffi::SwsContext>,
    from: ScalerEnd,
    out: av::frame::Video,
}

impl Scaler {
    pub(crate) fn new(from: ScalerEnd, to: ScalerEnd) -> Result<Self> {
        use av::software::scaling::Flags;
        let no_memory = || Error::new(crate::ErrorKind::OutOfMemory, "no memory to scale pictures");
        // SAFETY: takes nothing; null where there is no memory.
        let context = NonNull::new(unsafe { ffi::sws_alloc_context() }).ok_or_else(no_memory)?;
        let out = av::frame::Video::new(to.pixel, to.size.0, to.size.1);
        // From here on dropping frees the context.
        let scaler = Self { context, from, out };
        if scaler.out.planes() == 0 {
            return Err(no_memory());
        }
        let flags =
            Flags::BICUBIC | Flags::ACCURATE_RND | Flags::FULL_CHR_H_INT | Flags::FULL_CHR_H_INP | Flags::BITEXACT;
        let format = |pixel: av::format::Pixel| ffi::AVPixelFormat::from(pixel) as i64;
        let mut options = vec![
            (c"sws_flags", i64::from(flags.bits())),
            (c"srcw", from.size.0.into()),
            (c"srch", from.size.1.into()),
            (c"src_format", format(from.samples())),
            (c"src_range", from.is_full()),
            (c"dstw", to.size.0.into()),
            (c"dsth", to.size.1.into()),
            (c"dst_format", format(to.samples())),
            (c"dst_range", to.is_full()),
        ];
        // Chroma between two lines, as MPEG-2 has it: the filter's default, for this format alone.
        let between = |end: ScalerEnd, name| (end.pixel == av::format::Pixel::YUV420P).then_some((name, 128));
        options.extend([between(from, c"src_v_chr_pos"), between(to, c"dst_v_chr_pos")].into_iter().flatten());
        for (name, value) in options {
            // SAFETY: a live context, whose first field is its class; the name ends with a zero.
            let code = unsafe { ffi::av_opt_set_int(context.as_ptr().cast(), name.as_ptr(), value, 0) };
            if code < 0 {
                return Err(Error::unsupported(format!("libswscale does not know {}", name.to_string_lossy())));
            }
        }
        // SAFETY: a live context that was not initialised yet; filters may be null.
        let code = unsafe { ffi::sws_init_context(context.as_ptr(), std::ptr::null_mut(), std::ptr::null_mut()) };
        if code < 0 {
            let (from, to) = (from.pixel, to.pixel);
            return Err(Error::unsupported(format!("cannot convert pictures from {from:?} to {to:?}")));
        }
        // SAFETY: any number may be asked for; the table lives for ever.
        let source = unsafe { ffi::sws_getCoefficients(from.matrix()) };
        // SAFETY: as above.
        let target = unsafe { ffi::sws_getCoefficients(to.matrix()) };
        let (source_full, target_full) = (from.is_full() as libc::c_int, to.is_full() as libc::c_int);
        // Brightness, contrast and saturation stay. Formats without a matrix refuse, and need none.
        // SAFETY: a live, initialised context and two tables of FFmpeg's own.
        unsafe {
            ffi::sws_setColorspaceDetails(
                context.as_ptr(),
                source,
                source_full,
                target,
                target_full,
                0,
                1 << 16,
                1 << 16,
            )
        };
        Ok(scaler)
    }

    /// The picture made of `frame`, which must be as the scaler was made for. It stays until the next one.
    pub(crate) fn run(&mut self, frame: &av::frame::Video) -> Result<&av::frame::Video> {
        let size = (frame.width(), frame.height());
        if frame.format() != self.from.pixel || size != self.from.size {
            return Err(Error::decode("a frame is not of the size and format that its look says"));
        }
        // SAFETY: both frames have the planes of the sizes and formats that the context was made for, at least so
        // many rows; the planes of ours nobody else has.
        let scaled = unsafe { scale_planes(self.context.as_ptr(), frame, &mut self.out) };
        if scaled < 0 {
            return Err(Error::decode("a frame cannot be converted"));
        }
        Ok(&self.out)
    }
}

impl Drop for Scaler {
    fn drop(&mut self) {
        // SAFETY: the context is ours, and nobody uses it any more.
        unsafe { ffi::sws_freeContext(self.context.as_ptr()) };
    }
}
