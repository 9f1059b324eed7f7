//! Which part of the decoded picture becomes which part of the output, in exact proportions.
//!
//! Source coordinates are continuous: luma pixel n covers n..n+1 and its centre is n + 0.5. Fit is decided in display
//! space (rotated, square pixels) and carried back to the decoded picture, so that the picture is resampled as decoded and
//! turned only when it is written. The crop box is not rounded to pixels, and pixels just outside of it that lie under the
//! filter take part, as when the whole picture is resized and then cropped.

use super::options::{Fit, TransformOptions};
use crate::media::{ChromaLocation, Orientation, PixelFormat, Ratio};

/// The sampling positions along one axis: sample i is taken at `start + (i + 0.5) * step`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    pub(super) start: f64,
    pub(super) step: f64,
    pub(super) len: u32,
}

impl Axis {
    /// `len` samples spread evenly over the middle `part` (0 to 1) of `source` pixels.
    fn centred(source: u32, part: f64, len: u32) -> Self {
        let source = f64::from(source);
        Self { start: source * (1.0 - part) / 2.0, step: source * part / f64::from(len), len }
    }

    /// The same positions in samples of a plane subsampled by 2^`log2`, whose first sample lies on the centre of luma
    /// pixel 0 (`cosited`) or in the middle of the luma pixels it stands for.
    fn subsampled(self, log2: u8, cosited: bool) -> Self {
        let factor = f64::from(1_u32 << log2);
        // Cosited: chroma sample j (centre j + 0.5) is at luma j * factor + 0.5.
        let shift = if cosited { 0.5 - 0.5 / factor } else { 0.0 };
        Self { start: self.start / factor + shift, step: self.step / factor, len: self.len }
    }
}

/// Where the resampled picture (the grid, in decoded orientation) comes from and where it goes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Geometry {
    /// Height and width of the output frame.
    pub(super) size: (u32, u32),
    /// Row and column of the output frame where the turned grid begins; above zero only with [`Fit::Pad`].
    pub(super) origin: (u32, u32),
    /// Columns of the grid, in luma pixels.
    pub(super) x: Axis,
    /// Rows of the grid, in luma pixels.
    pub(super) y: Axis,
    /// How the grid is turned when it is written.
    pub(super) orientation: Orientation,
}

impl Geometry {
    /// The geometry of a decoded picture of `width` by `height`; `display` is its display size (width, height).
    pub(super) fn new(
        options: &TransformOptions,
        (width, height): (u32, u32),
        aspect: Ratio,
        orientation: Orientation,
        display: (u32, u32),
    ) -> Self {
        let (fit, (out_h, out_w)) = match options.size {
            Some(size) => (options.fit, size),
            None => (Fit::Stretch, (display.1, display.0)),
        };
        let mut shown = (f64::from(width) * aspect.to_f64(), f64::from(height));
        if orientation.swaps_axes() {
            shown = (shown.1, shown.0);
        }
        // Source pixels (in display space) per output pixel, if the axis alone decided.
        let ratio = (shown.0 / f64::from(out_w), shown.1 / f64::from(out_h));
        let (part, inner) = match fit {
            Fit::Stretch => ((1.0, 1.0), (out_w, out_h)),
            Fit::Crop if ratio.0 > ratio.1 => ((ratio.1 / ratio.0, 1.0), (out_w, out_h)),
            Fit::Crop => ((1.0, ratio.0 / ratio.1), (out_w, out_h)),
            Fit::Pad if ratio.0 > ratio.1 => ((1.0, 1.0), (out_w, contained(out_h, ratio.1 / ratio.0))),
            Fit::Pad => ((1.0, 1.0), (contained(out_w, ratio.0 / ratio.1), out_h)),
        };
        let (part_x, part_y) = if orientation.swaps_axes() { (part.1, part.0) } else { part };
        let (grid_w, grid_h) = orientation.display_size(inner.0, inner.1);
        Self {
            size: (out_h, out_w),
            origin: ((out_h - inner.1) / 2, (out_w - inner.0) / 2),
            x: Axis::centred(width, part_x, grid_w),
            y: Axis::centred(height, part_y, grid_h),
            orientation,
        }
    }

    /// The grid in samples of a plane: columns, rows.
    pub(super) fn plane(&self, plane: usize, format: PixelFormat, location: ChromaLocation) -> (Axis, Axis) {
        if plane == 0 {
            return (self.x, self.y);
        }
        (
            self.x.subsampled(format.log2_chroma_w, location != ChromaLocation::Center),
            self.y.subsampled(format.log2_chroma_h, location == ChromaLocation::TopLeft),
        )
    }

    /// The grid of chroma that has half the columns and half the rows of the output and lies, in the turned picture, on the
    /// left luma sample of two and between two rows. No borders.
    pub(super) fn halved(&self) -> Self {
        // One step along the grid's columns (rows) moves so many columns of the turned picture.
        let column = |x, y| self.place(x, y).1 as f64;
        let (along_x, along_y) = (column(1, 0) - column(0, 0), column(0, 1) - column(0, 0));
        let halved = |axis: Axis, along: f64| Axis {
            // Half an output pixel to the left of the middle of the two.
            start: axis.start - 0.5 * along * axis.step,
            step: 2.0 * axis.step,
            len: axis.len / 2,
        };
        Self {
            size: (self.size.0 / 2, self.size.1 / 2),
            origin: (0, 0),
            x: halved(self.x, along_x),
            y: halved(self.y, along_y),
            orientation: self.orientation,
        }
    }

    /// Size of the turned grid inside the output frame: height and width.
    pub(super) fn inner(&self) -> (u32, u32) {
        let (width, height) = self.orientation.display_size(self.x.len, self.y.len);
        (height, width)
    }

    /// Output (row, column) of grid pixel (`x`, `y`). Affine, so it may be asked for pixels beyond the grid.
    pub(super) fn place(&self, x: i64, y: i64) -> (i64, i64) {
        let (w, h) = (i64::from(self.x.len), i64::from(self.y.len));
        let x = if self.orientation.is_mirrored() { w - 1 - x } else { x };
        let (row, column) = match self.orientation.quarter_turns() {
            0 => (y, x),
            1 => (x, h - 1 - y),
            2 => (h - 1 - y, w - 1 - x),
            _ => (w - 1 - x, y),
        };
        (row + i64::from(self.origin.0), column + i64::from(self.origin.1))
    }
}

/// The side of a picture that covers `part` of `side`: rounded to the nearest pixel, at least one.
fn contained(side: u32, part: f64) -> u32 {
    ((f64::from(side) * part).round() as u32).clamp(1, side)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(options: &TransformOptions, size: (u32, u32), aspect: (u32, u32), turns: u8) -> Geometry {
        let orientation = Orientation::new(turns, false);
        let aspect = Ratio::new(aspect.0, aspect.1).unwrap();
        let display = orientation.display_size((f64::from(size.0) * aspect.to_f64()).round() as u32, size.1);
        Geometry::new(options, size, aspect, orientation, display)
    }

    #[test]
    fn crop_takes_the_middle_without_distortion() {
        let g = geometry(&TransformOptions::new().size(256, 256), (1280, 720), (1, 1), 0);
        assert_eq!(g.x, Axis { start: 280.0, step: 720.0 / 256.0, len: 256 });
        assert_eq!(g.y, Axis { start: 0.0, step: 720.0 / 256.0, len: 256 });
    }

    #[test]
    fn pad_shows_everything_and_centres_it() {
        let g = geometry(&TransformOptions::new().size(256, 256).fit(Fit::Pad), (1280, 720), (1, 1), 0);
        assert_eq!((g.origin, g.inner()), ((56, 0), (144, 256)));
        let g = geometry(&TransformOptions::new().size(256, 256).fit(Fit::Pad), (1280, 720), (1, 1), 1);
        assert_eq!((g.origin, g.inner()), ((0, 56), (256, 144)));
        let g = geometry(&TransformOptions::new().size(1, 3).fit(Fit::Pad), (1, 4000), (1, 1), 0);
        assert_eq!((g.origin, g.inner()), ((0, 1), (1, 1)));
    }

    #[test]
    fn non_square_pixels_are_squared_by_geometry() {
        // 720x576 at 64:45 is shown as 1024x576: a square takes 405 of the 720 columns.
        let g = geometry(&TransformOptions::new().size(64, 64), (720, 576), (64, 45), 0);
        assert!((g.x.start - 157.5).abs() < 1e-9 && (g.x.step * 64.0 - 405.0).abs() < 1e-9);
        let g = geometry(&TransformOptions::new(), (720, 576), (64, 45), 0);
        assert_eq!(g.size, (576, 1024));
    }

    #[test]
    fn placement_is_the_inverse_of_the_orientation() {
        for turns in 0..4 {
            for mirrored in [false, true] {
                let orientation = Orientation::new(turns, mirrored);
                let display = orientation.display_size(5, 3);
                let options = TransformOptions::new();
                let g = Geometry::new(&options, (5, 3), Ratio::ONE, orientation, display);
                for y in 0..display.1 {
                    for x in 0..display.0 {
                        let (sx, sy) = orientation.source_of(x, y, 5, 3);
                        assert_eq!(g.place(i64::from(sx), i64::from(sy)), (i64::from(y), i64::from(x)));
                    }
                }
            }
        }
    }

    #[test]
    fn chroma_siting_moves_the_chroma_grid() {
        let g = geometry(&TransformOptions::new(), (4, 4), (1, 1), 0);
        let at = |location| g.plane(1, PixelFormat::YUV420P, location);
        assert_eq!(at(ChromaLocation::Center).0.start, 0.0);
        assert_eq!((at(ChromaLocation::Left).0.start, at(ChromaLocation::Left).1.start), (0.25, 0.0));
        assert_eq!((at(ChromaLocation::TopLeft).0.start, at(ChromaLocation::TopLeft).1.start), (0.25, 0.25));
        assert_eq!(at(ChromaLocation::Left).0.step, 0.5);
    }
}
