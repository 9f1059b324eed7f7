//! The MP4 muxer's tracks, and what encoders are told of their pictures.
#![expect(unsafe_code, reason = "fields and calls of FFmpeg that ffmpeg-next does not wrap")]

use super::live::{LiveMut, get, set};
use crate::media::{ColorRange, ColorSpec};
use crate::{Error, Result};
use ffmpeg_next::{self as av, ffi};

/// What an MP4 track says of its pictures besides the decoder configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrackFacts {
    pub(crate) sample_aspect: (i32, i32),
    pub(crate) display_matrix: Option<[i32; 9]>,
}

/// Adds a video track with those parameters to an MP4 that is about to be written.
pub(crate) fn add_track(
    output: &mut av::format::context::Output,
    parameters: &av::codec::Parameters,
    time_base: av::Rational,
    facts: &TrackFacts,
) -> Result<()> {
    let mut stream = output
        .add_stream(av::encoder::find(av::codec::Id::None))
        .map_err(|error| Error::unsupported(format!("cannot add a track: {error}")))?;
    stream.set_parameters(parameters.clone());
    stream.set_time_base(time_base);
    // SAFETY: the stream is alive and borrowed mutably.
    let pointer = unsafe { stream.as_mut_ptr() };
    // SAFETY: as above.
    let raw = unsafe { LiveMut::new(pointer, &mut stream) };
    let ratio = ffi::AVRational { num: facts.sample_aspect.0, den: facts.sample_aspect.1.max(1) };
    set!(raw.sample_aspect_ratio = ratio);
    let (par, mut owner) = (get!(raw.codecpar), &raw);
    // SAFETY: every stream owns its parameters.
    let par = unsafe { LiveMut::new(par, &mut owner) };
    set!(par.sample_aspect_ratio = ratio);
    // The muxer chooses the tag of MP4; the source's may be another container's.
    set!(par.codec_tag = 0);
    clear_side_data(&par);
    if let Some(matrix) = facts.display_matrix {
        add_display_matrix(&raw, &matrix)?;
    }
    Ok(())
}

/// Leaves the source's side data out, as FFmpeg did that kept it elsewhere than in the parameters: what a record says
/// of colour and shape is all there is.
#[cfg(has_coded_side_data)]
fn clear_side_data(par: &LiveMut<'_, ffi::AVCodecParameters>) {
    // SAFETY: the parameters are alive.
    let list = unsafe { &raw mut (*par.as_ptr()).coded_side_data };
    // SAFETY: as above.
    let count = unsafe { &raw mut (*par.as_ptr()).nb_coded_side_data };
    // SAFETY: the list and its length, as the parameters have them.
    unsafe { ffi::av_packet_side_data_free(list, count) };
}

#[cfg(not(has_coded_side_data))]
fn clear_side_data(_: &LiveMut<'_, ffi::AVCodecParameters>) {}

fn add_display_matrix(stream: &LiveMut<'_, ffi::AVStream>, matrix: &[i32; 9]) -> Result<()> {
    let bytes = new_display_matrix(stream);
    if bytes.is_null() {
        return Err(Error::new(crate::ErrorKind::OutOfMemory, "no memory for the display matrix"));
    }
    // SAFETY: so many bytes were just allocated there, and of the matrix there are as many.
    unsafe { std::ptr::copy_nonoverlapping(matrix.as_ptr().cast(), bytes, DISPLAY_MATRIX_BYTES) };
    Ok(())
}

const DISPLAY_MATRIX_BYTES: usize = size_of::<[i32; 9]>();

/// Memory for the matrix, which the stream keeps; null where there is none. From FFmpeg 6.1 on it belongs to the
/// stream's parameters.
#[cfg(has_coded_side_data)]
fn new_display_matrix(stream: &LiveMut<'_, ffi::AVStream>) -> *mut u8 {
    let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
    let par = get!(stream.codecpar);
    // SAFETY: every stream owns its parameters.
    let list = unsafe { &raw mut (*par).coded_side_data };
    // SAFETY: as above.
    let count = unsafe { &raw mut (*par).nb_coded_side_data };
    // SAFETY: the list and its length, as the parameters have them.
    let entry = unsafe { ffi::av_packet_side_data_new(list, count, kind, DISPLAY_MATRIX_BYTES, 0) };
    if entry.is_null() {
        return std::ptr::null_mut();
    }
    // SAFETY: an entry that was just made.
    unsafe { (*entry).data }
}

/// The same of older FFmpegs.
#[cfg(not(has_coded_side_data))]
fn new_display_matrix(stream: &LiveMut<'_, ffi::AVStream>) -> *mut u8 {
    let kind = ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX;
    // SAFETY: a stream that is borrowed mutably.
    unsafe { ffi::av_stream_new_side_data(stream.as_ptr(), kind, DISPLAY_MATRIX_BYTES) }
}

/// Gives an encoder its colour tags and pixel shape, one thread, and bit-exact output with global headers.
pub(crate) fn set_encoder_tags(encoder: &mut av::encoder::video::Video, color: ColorSpec, sample_aspect: (i32, i32)) {
    encoder.set_colorspace(av::color::Space::from(space(color.matrix)));
    // SAFETY: the context is alive and borrowed mutably.
    let pointer = unsafe { encoder.as_mut_ptr() };
    // SAFETY: as above.
    let raw = unsafe { LiveMut::new(pointer, encoder) };
    set!(raw.sample_aspect_ratio = ffi::AVRational { num: sample_aspect.0, den: sample_aspect.1.max(1) });
    set!(raw.thread_count = 1);
    set!(
        raw.color_range = match color.range {
            ColorRange::Limited => ffi::AVColorRange::AVCOL_RANGE_MPEG,
            ColorRange::Full => ffi::AVColorRange::AVCOL_RANGE_JPEG,
        }
    );
    let flags = (ffi::AV_CODEC_FLAG_BITEXACT | ffi::AV_CODEC_FLAG_GLOBAL_HEADER) as i32;
    set!(raw.flags = get!(raw.flags) | flags);
}

/// FFmpeg's matrix of that code point; unspecified for those that records of ours rarely have.
pub(super) fn space(code: u8) -> ffi::AVColorSpace {
    match code {
        0 => ffi::AVColorSpace::AVCOL_SPC_RGB,
        1 => ffi::AVColorSpace::AVCOL_SPC_BT709,
        4 => ffi::AVColorSpace::AVCOL_SPC_FCC,
        5 => ffi::AVColorSpace::AVCOL_SPC_BT470BG,
        6 => ffi::AVColorSpace::AVCOL_SPC_SMPTE170M,
        7 => ffi::AVColorSpace::AVCOL_SPC_SMPTE240M,
        8 => ffi::AVColorSpace::AVCOL_SPC_YCGCO,
        9 => ffi::AVColorSpace::AVCOL_SPC_BT2020_NCL,
        _ => ffi::AVColorSpace::AVCOL_SPC_UNSPECIFIED,
    }
}
