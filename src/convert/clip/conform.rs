//! Making frames like the first ones of their clip, as the ffmpeg command does where the picture changes on the way: their
//! size, pixel format, matrix and range, turned as they are.

use crate::convert::source::changes::{Appearance, Shown};
use crate::ffmpeg;
use crate::ffmpeg::pixel_layout::PixelLayout;
use crate::ffmpeg::{Scaler, ScalerEnd, StreamFacts};
use crate::media::Orientation;
use crate::{Error, ErrorKind, Result};
use ffmpeg_next as ff;

/// See the module's docs.
pub(crate) struct Conformer {
    stream: StreamFacts,
    guess_height: u32,
    to: Shown,
    end: ScalerEnd,
    /// How frames of one look and format are converted; most clips have one, which needs nothing.
    route: Option<(Appearance, ff::format::Pixel, Route)>,
}

/// What is to be done to frames of one look.
enum Route {
    Keep,
    Scale(Scaler),
    /// To full chroma, turned, to the end.
    Turn(Scaler, Orientation, Scaler),
}

impl Conformer {
    /// Makes frames like one of the look `first`.
    pub(crate) fn new(first: &Appearance, stream: &StreamFacts) -> Result<Self> {
        let guess_height = first.facts.height;
        let to = first.shown(stream, guess_height);
        let name = first.facts.format.as_str();
        let pixel = name.parse().map_err(|_| Error::unsupported(format!("pixel format {name} is unknown")))?;
        let end = ScalerEnd { pixel, size: to.size, color: to.color };
        Ok(Self { stream: stream.clone(), guess_height, end, to, route: None })
    }

    /// `frame` itself where it is like the first ones, else what was made of it.
    pub(crate) fn conform<'a>(&'a mut self, frame: &'a ff::frame::Video) -> Result<&'a ff::frame::Video> {
        let look = Appearance { facts: ffmpeg::frame_facts(frame), sample_aspect: (0, 1) };
        let pixel = frame.format();
        if self.route.as_ref().is_none_or(|(known, format, _)| *known != look || *format != pixel) {
            let route = self.route_of(&look, pixel)?;
            self.route = Some((look, pixel, route));
        }
        match self.route.as_mut().map(|(_, _, route)| route) {
            None | Some(Route::Keep) => Ok(frame),
            Some(Route::Scale(scaler)) => scaler.run(frame),
            Some(Route::Turn(first, by, second)) => {
                let turned = turn(first.run(frame)?, *by)?;
                second.run(&turned)
            }
        }
    }

    fn route_of(&self, look: &Appearance, pixel: ff::format::Pixel) -> Result<Route> {
        let from = look.shown(&self.stream, self.guess_height);
        let begin = ScalerEnd { pixel, size: from.size, color: from.color };
        if from.has_samples_of(&self.to) && begin.pixel == self.end.pixel {
            return Ok(Route::Keep);
        }
        let by = turn_between(from.orientation, self.to.orientation);
        if by == Orientation::UPRIGHT {
            return Ok(Route::Scale(Scaler::new(begin, self.end)?));
        }
        let depth = PixelLayout::of_name(&look.facts.format).map_or(8, |layout| layout.planar().depth);
        let pixel = if depth > 8 { ff::format::Pixel::YUV444P16LE } else { ff::format::Pixel::YUV444P };
        let full = ScalerEnd { pixel, ..begin };
        let (width, height) = begin.size;
        let turned = ScalerEnd { size: by.display_size(width, height), ..full };
        Ok(Route::Turn(Scaler::new(begin, full)?, by, Scaler::new(turned, self.end)?))
    }
}

/// How a stored picture of the orientation `from` is turned, so that it is shown the same by the orientation `to`.
fn turn_between(from: Orientation, to: Orientation) -> Orientation {
    let all = (0..4).flat_map(|turns| [Orientation::new(turns, false), Orientation::new(turns, true)]);
    // Three by two pixels tell all eight apart.
    let (width, height) = (3, 2);
    let is_same = |by: &Orientation| {
        let (turned_width, turned_height) = by.display_size(width, height);
        let shown = to.display_size(turned_width, turned_height);
        shown == from.display_size(width, height)
            && (0..shown.1).all(|y| {
                (0..shown.0).all(|x| {
                    let (turned_x, turned_y) = to.source_of(x, y, turned_width, turned_height);
                    by.source_of(turned_x, turned_y, width, height) == from.source_of(x, y, width, height)
                })
            })
    };
    all.into_iter().find(is_same).unwrap_or_default()
}

/// `frame`, whose planes are all of its size, turned.
fn turn(frame: &ff::frame::Video, by: Orientation) -> Result<ff::frame::Video> {
    let failed = || Error::decode("a frame cannot be turned");
    let view = ffmpeg::view(frame).ok_or_else(failed)?;
    let (width, height) = by.display_size(frame.width(), frame.height());
    let mut turned = ff::frame::Video::new(frame.format(), width, height);
    if turned.planes() < view.format.num_planes() {
        return Err(Error::new(ErrorKind::OutOfMemory, format!("no memory for a picture of {width}x{height}")));
    }
    let bytes = view.format.bytes_per_sample();
    for plane in 0..view.format.num_planes() {
        let stride = turned.stride(plane).max(1);
        let rows = turned.data_mut(plane).chunks_mut(stride).take(height as usize);
        for (y, row) in (0..).zip(rows) {
            for (x, sample) in (0..width).zip(row.chunks_exact_mut(bytes)) {
                let (from_x, from_y) = by.source_of(x, y, frame.width(), frame.height());
                let at = from_x as usize * bytes;
                let from = view.row(plane, from_y).get(at..at + bytes).ok_or_else(failed)?;
                sample.copy_from_slice(from);
            }
        }
    }
    Ok(turned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turned_picture_is_shown_as_before() {
        let all = || (0..4).flat_map(|turns| [Orientation::new(turns, false), Orientation::new(turns, true)]);
        for from in all() {
            assert_eq!(turn_between(from, from), Orientation::UPRIGHT);
            assert_eq!(turn_between(from, Orientation::UPRIGHT), from);
            // Every other one is needed by exactly one orientation.
            let needed: std::collections::HashSet<_> = all().map(|to| turn_between(from, to)).collect();
            assert_eq!(needed.len(), 8);
        }
    }
}
