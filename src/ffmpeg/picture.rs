//! Decoded pictures: what they say of themselves, and their samples.
#![expect(unsafe_code, reason = "fields and calls of FFmpeg that ffmpeg-next does not wrap")]

use super::colors::{ColorTags, matrix_from};
use super::live::{Live, code, get};
use super::pixel_layout::{Component, Family, PixelLayout};
use crate::media::{FrameView, PlaneView};
use ffmpeg_next::{self as av, ffi};
use std::ptr::NonNull;

/// What a decoded frame says of itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FrameFacts {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// FFmpeg's name of the pixel format.
    pub(crate) format: String,
    pub(crate) color: ColorTags,
    pub(crate) display_matrix: Option<[i32; 9]>,
}

pub(super) fn live_frame(frame: &av::frame::Video) -> Live<'_, ffi::AVFrame> {
    // SAFETY: the frame is alive.
    let pointer = unsafe { frame.as_ptr() };
    // SAFETY: the frame, which is borrowed, owns its structure.
    unsafe { Live::new(pointer, frame) }
}

/// Reads what `frame` says of itself.
pub(crate) fn frame_facts(frame: &av::frame::Video) -> FrameFacts {
    let raw = live_frame(frame);
    let is_limited = code!(raw.color_range) == ffi::AVColorRange::AVCOL_RANGE_MPEG as u32;
    let format = pixel_name(frame);
    FrameFacts {
        width: frame.width(),
        height: frame.height(),
        // A decoder keeps `yuvj` where the range becomes limited on the way: the samples are those of `yuv`.
        format: if is_limited { format.replacen("yuvj", "yuv", 1) } else { format.to_owned() },
        color: ColorTags {
            matrix: code!(raw.colorspace),
            primaries: code!(raw.color_primaries),
            transfer: code!(raw.color_trc),
            range: code!(raw.color_range),
            chroma_location: code!(raw.chroma_location),
        },
        display_matrix: frame
            .side_data(av::frame::side_data::Type::DisplayMatrix)
            .and_then(|data| matrix_from(data.data())),
    }
}

/// FFmpeg's name of a frame's pixel format.
pub(crate) fn pixel_name(frame: &av::frame::Video) -> &'static str {
    frame.format().descriptor().map_or("unknown", av::format::pixel::Descriptor::name)
}

/// The sample aspect ratio that ffmpeg uses for a frame of that stream, 0/1 where nobody says.
pub(crate) fn sample_aspect(
    input: &mut av::format::context::Input,
    index: usize,
    frame: &mut av::frame::Video,
) -> (i32, i32) {
    let Some(mut stream) = input.stream_mut(index) else { return (0, 1) };
    // SAFETY: the stream is alive and borrowed mutably.
    let stream = unsafe { stream.as_mut_ptr() };
    // SAFETY: the frame is alive and borrowed mutably.
    let frame = unsafe { frame.as_mut_ptr() };
    // SAFETY: both are alive; the function reads them and does not use the context.
    let ratio = unsafe { ffi::av_guess_sample_aspect_ratio(std::ptr::null_mut(), stream, frame) };
    (ratio.num, ratio.den)
}

/// What the descriptor of a pixel format says; `None` where there is none, or where pictures lie in a device's memory.
pub(crate) fn pixel_layout(format: av::format::Pixel) -> Option<PixelLayout> {
    let descriptor = format.descriptor()?;
    let name = descriptor.name();
    // SAFETY: descriptors are static tables of FFmpeg's.
    let raw = unsafe { &*descriptor.as_ptr() };
    let has = |flag: libc::c_int| raw.flags & flag as u64 != 0;
    let count = usize::from(raw.nb_components);
    // Of the packed 4:1:1 of DV cameras no descriptor can say where its luma lies; libswscale does not read it either.
    let is_known = !has(ffi::AV_PIX_FMT_FLAG_HWACCEL) && count > 0 && format != av::format::Pixel::UYYVYY411;
    let colors = count - usize::from(has(ffi::AV_PIX_FMT_FLAG_ALPHA) && count > 1);
    let family = if has(ffi::AV_PIX_FMT_FLAG_PAL) {
        Family::Palette
    } else if has(ffi::AV_PIX_FMT_FLAG_BAYER) {
        Family::Bayer
    } else if matches!(format, av::format::Pixel::XYZ12LE | av::format::Pixel::XYZ12BE) {
        Family::Xyz
    } else if has(ffi::AV_PIX_FMT_FLAG_RGB) {
        Family::Rgb
    } else if colors == 1 {
        Family::Gray
    } else {
        Family::Yuv
    };
    let number = |value: libc::c_int| u32::try_from(value).unwrap_or(0);
    let component = |component: &ffi::AVComponentDescriptor| Component {
        plane: number(component.plane) as usize,
        step: number(component.step),
        offset: number(component.offset),
        shift: number(component.shift),
        depth: number(component.depth),
    };
    let [first, second, third, _] = &raw.comp;
    is_known.then(|| PixelLayout {
        name,
        family,
        components: [component(first), component(second), component(third)],
        log2_chroma_w: raw.log2_chroma_w,
        log2_chroma_h: raw.log2_chroma_h,
        has_alpha: has(ffi::AV_PIX_FMT_FLAG_ALPHA),
        is_float: has(ffi::AV_PIX_FMT_FLAG_FLOAT),
        is_big_endian: has(ffi::AV_PIX_FMT_FLAG_BE),
        is_bit_stream: has(ffi::AV_PIX_FMT_FLAG_BITSTREAM),
        is_inverted: format == av::format::Pixel::MonoWhite,
    })
}

/// Reads the samples of row `y` of a component, of which a row has as many as `samples`, without their neighbours in
/// their bytes; floating-point ones as their bits. False where the picture has no such row.
pub(crate) fn read_samples(frame: &av::frame::Video, component: usize, y: u32, samples: &mut [u32]) -> bool {
    let Some(layout) = pixel_layout(frame.format()) else { return false };
    let Some(&Component { plane, .. }) =
        layout.components.get(component).filter(|_| component < layout.num_components())
    else {
        return false;
    };
    let is_chroma = layout.family == Family::Yuv && component > 0;
    let (w, h) = if is_chroma { (layout.log2_chroma_w, layout.log2_chroma_h) } else { (0, 0) };
    let (width, height) = (frame.width().div_ceil(1 << w), frame.height().div_ceil(1 << h));
    let raw = live_frame(frame);
    let (planes, linesizes) = (get!(raw.data), get!(raw.linesize));
    let is_there = planes.get(plane).is_some_and(|data| !data.is_null());
    if !is_there || y >= height || samples.len() != width as usize {
        return false;
    }
    let mut data = [std::ptr::null::<u8>(); 4];
    let mut strides = [0; 4];
    for (to, from) in data.iter_mut().zip(&planes) {
        *to = from.cast_const();
    }
    for (to, from) in strides.iter_mut().zip(&linesizes) {
        *to = *from;
    }
    let Some(descriptor) = frame.format().descriptor() else { return false };
    let (out, bytes) = (samples.as_mut_ptr().cast(), size_of::<u32>() as libc::c_int);
    let (y, component, width) = (y as libc::c_int, component as libc::c_int, width as libc::c_int);
    // SAFETY: FFmpeg's contract for a decoded frame: the planes of its format have their rows, `linesize` apart in
    // either direction, and row `y` of the component, which is one of the format's, lies in a plane that is there; it
    // has `width` samples, and `samples` has room for as many of four bytes.
    unsafe {
        ffi::av_read_image_line2(
            out,
            data.as_mut_ptr(),
            strides.as_ptr(),
            descriptor.as_ptr(),
            0,
            y,
            component,
            width,
            0,
            bytes,
        );
    };
    true
}

/// The frame's planes as our own view, without alpha; `None` where its samples do not lie plane by plane as ours do,
/// or the picture is stored upside down.
pub(crate) fn view(frame: &av::frame::Video) -> Option<FrameView<'_>> {
    let layout = pixel_layout(frame.format())?;
    let (format, numbers) = (layout.planar(), layout.planes()?);
    let (width, height) = (frame.width(), frame.height());
    let mut planes = [PlaneView { data: &[], stride: 0 }; 3];
    for (index, (view, number)) in planes.iter_mut().zip(numbers).enumerate().take(format.num_planes()) {
        let (samples, rows) = format.plane_size(index, width, height);
        *view = plane(frame, number, samples as usize * format.bytes_per_sample(), rows as usize)?;
    }
    Some(FrameView { format, width, height, planes })
}

/// A plane of the frame's format with `rows` rows of `row_bytes`; `None` where it is empty or its rows run upwards.
pub(crate) fn plane(frame: &av::frame::Video, index: usize, row_bytes: usize, rows: usize) -> Option<PlaneView<'_>> {
    let raw = live_frame(frame);
    let data = NonNull::new(*get!(raw.data).get(index)?)?;
    let stride = usize::try_from(*get!(raw.linesize).get(index)?).ok()?;
    if stride < row_bytes || row_bytes == 0 || rows == 0 {
        return None;
    }
    let len = stride.checked_mul(rows - 1)?.checked_add(row_bytes)?;
    // SAFETY: FFmpeg's contract for a decoded frame: each plane of its format has `rows` rows of `row_bytes`
    // initialised bytes, `linesize` apart, which is not negative here; they stay, and are only read, while the frame
    // is borrowed.
    let data = unsafe { std::slice::from_raw_parts(data.as_ptr(), len) };
    Some(PlaneView { data, stride })
}
