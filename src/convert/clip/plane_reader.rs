//! Any decoded picture as planes of ours. Where a decoder's planes are such already they are borrowed; else every sample is
//! read into memory of the reader's, exactly, whichever way it is packed, and whether rows run downwards or upwards.

use super::reencode::scaling;
use crate::ffmpeg;
use crate::ffmpeg::pixel_layout::{Family, PixelLayout};
use crate::media::{ColorModel, FrameView, PixelFormat, PlaneView};
use crate::{Error, Result};
use ffmpeg_next as ff;

/// Reads pictures of one kind after another. Nothing is allocated per frame.
pub(crate) struct PlaneReader {
    scaler: Option<ff::software::scaling::Context>,
    bridged: ff::frame::Video,
    row: Vec<u32>,
    planes: [Vec<u8>; 3],
}

impl PlaneReader {
    pub(crate) fn new() -> Self {
        Self { scaler: None, bridged: ff::frame::Video::empty(), row: Vec::new(), planes: Default::default() }
    }

    /// The planes of `frame`, in the format that [`PixelLayout::planar`] says.
    pub(crate) fn view<'a>(&'a mut self, frame: &'a ff::frame::Video) -> Result<FrameView<'a>> {
        if let Some(view) = ffmpeg::view(frame) {
            return Ok(view);
        }
        let layout = PixelLayout::of(frame.format())?;
        let format = layout.planar();
        match layout.bridge() {
            Some(pixel) => {
                let failed = |error| {
                    Error::decode(format!("cannot convert a picture of {}: {}", layout.name, ffmpeg::message_of(error)))
                };
                let is_of = |scaler: &ff::software::scaling::Context| {
                    let input = scaler.input();
                    (input.format, input.width, input.height) == (frame.format(), frame.width(), frame.height())
                };
                if !self.scaler.as_ref().is_some_and(is_of) {
                    self.scaler = Some(scaling(frame, pixel).map_err(failed)?);
                }
                if let Some(scaler) = &mut self.scaler {
                    ffmpeg::scale(scaler, frame, &mut self.bridged).map_err(failed)?;
                }
                let packed = PixelLayout::of(pixel)?;
                unpack(&self.bridged, &packed, format, &mut self.row, &mut self.planes)?;
            }
            None => unpack(frame, &layout, format, &mut self.row, &mut self.planes)?,
        }
        let (width, height) = (frame.width(), frame.height());
        let mut planes = [PlaneView { data: &[], stride: 0 }; 3];
        for (number, (view, data)) in planes.iter_mut().zip(&self.planes).enumerate().take(format.num_planes()) {
            let (samples, _) = format.plane_size(number, width, height);
            *view = PlaneView { data, stride: samples as usize * format.bytes_per_sample() };
        }
        Ok(FrameView { format, width, height, planes })
    }
}

/// Reads every colour sample of `frame`, which is of `layout`, into dense planes of `format`.
fn unpack(
    frame: &ff::frame::Video,
    layout: &PixelLayout,
    format: PixelFormat,
    row: &mut Vec<u32>,
    planes: &mut [Vec<u8>; 3],
) -> Result<()> {
    let is_gbr = format.model == ColorModel::Gbr;
    let level = level_of(layout);
    for (number, plane) in planes.iter_mut().enumerate().take(format.num_planes()) {
        // FFmpeg counts red, green, blue; planes are green, blue, red.
        let component = if is_gbr { (number + 1) % 3 } else { number };
        let (width, height) = format.plane_size(number, frame.width(), frame.height());
        row.resize(width as usize, 0);
        plane.clear();
        for y in 0..height {
            if !ffmpeg::read_samples(frame, component, y, row) {
                let message = format!("plane {number} of a decoded picture of {} is empty", layout.name);
                return Err(Error::decode(message));
            }
            if format.bytes_per_sample() == 1 {
                plane.extend(row.iter().map(|&sample| level(sample) as u8));
            } else {
                plane.extend(row.iter().flat_map(|&sample| level(sample).to_le_bytes()));
            }
        }
    }
    Ok(())
}

/// From what stands in a picture to a sample of the planar format.
fn level_of(layout: &PixelLayout) -> fn(u32) -> u16 {
    match (layout.family, layout.is_float, layout.depth()) {
        (_, true, 16) => |bits| unit(half::f16::from_bits(bits as u16).to_f32()),
        (_, true, _) => |bits| unit(f32::from_bits(bits)),
        (Family::Gray, false, 1) if layout.is_inverted => |bit| if bit == 0 { 255 } else { 0 },
        (Family::Gray, false, 1) => |bit| if bit == 0 { 0 } else { 255 },
        (_, false, 17..) => |sample| (sample >> 16) as u16,
        (_, false, _) => |sample| sample as u16,
    }
}

/// A floating-point sample in 16 bits, as libswscale reads it: what is beyond 0 to 1 is cut; no number is 0.
fn unit(sample: f32) -> u16 {
    (sample.clamp(0.0, 1.0) * 65_535.0).round_ties_even() as u16
}
