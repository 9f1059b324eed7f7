//! Frames to pictures of 8-bit 4:2:0, upright and in square pixels: crop, resize and turn, each plane by itself, by the
//! same filters and weights as [`Transform`](super::Transform). Matrix, primaries and transfer stay what they are; so does
//! the range. Nothing is allocated per frame.
//!
//! Steps 1 to 3 of the module's arithmetic, then in place of the matrix `out = clamp((h * factor + bias) >> 20, 0, 255)`. The
//! factor is `2^14`, one, but for full range of more than 8 bits, whose white is `2^d - 1` and becomes 255. Chroma lies where
//! H.264 has it by default: on the left luma sample of two, between two rows. A picture that is at most one pixel wider or
//! higher than asked for is cut and not resampled; without any change the samples stay the same.

use super::apply::{PlaneTables, check_frame, check_source};
use super::color::{MIDDLE, SAMPLE_BITS};
use super::geometry::{Axis, Geometry};
use super::kernels::Isa;
use super::options::{Filter, Fit, MAX_OUTPUT_SIDE, TransformOptions};
use super::scratch::Scratch;
use crate::media::{
    ChromaLocation, ColorModel, ColorRange, ColorSpec, FrameView, Orientation, PixelFormat, Ratio, StreamInfo,
};
use crate::{Error, Result};

/// Fraction bits of the last step's factor.
const FACTOR_BITS: u32 = 14;
/// Fraction bits that the last step takes away: the factor's and those of resampled samples.
pub(super) const LEVEL_SHIFT: u32 = FACTOR_BITS + SAMPLE_BITS;

/// What a decoded picture is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PlanarSource {
    /// Gray or YUV.
    pub format: PixelFormat,
    pub width: u32,
    pub height: u32,
    pub sample_aspect: Ratio,
    pub orientation: Orientation,
    pub color: ColorSpec,
}

impl PlanarSource {
    /// Pictures of a record.
    pub(super) fn of(stream: &StreamInfo) -> Self {
        let &StreamInfo { width, height, sample_aspect, orientation, color, .. } = stream;
        Self { format: stream.pixel_format, width, height, sample_aspect, orientation, color }
    }

    /// Width and height as displayed, in square pixels, rounded to the nearest.
    pub(crate) fn display_size(&self) -> (u32, u32) {
        let width = (f64::from(self.width) * self.sample_aspect.to_f64()).round().clamp(1.0, f64::from(u32::MAX));
        self.orientation.display_size(width as u32, self.height)
    }
}

/// From resampled samples to levels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quantizer {
    pub(super) factor: i32,
    pub(super) bias: i32,
}

impl Quantizer {
    /// `zero` is the level that stands for none: 0 of full luma, 128 of chroma.
    fn new(format: PixelFormat, range: ColorRange, zero: i32) -> Self {
        let one = 1_i32 << FACTOR_BITS;
        let factor = match range {
            ColorRange::Full if format.depth > 8 => {
                let peak = f64::from((1_u32 << format.depth) - 1) / f64::from(1_u32 << (format.depth - 8));
                (f64::from(one) * 255.0 / peak).round() as i32
            }
            _ => one,
        };
        let of_zero = (zero << SAMPLE_BITS) * (one - factor);
        Self { factor, bias: of_zero + MIDDLE * factor + (1 << (LEVEL_SHIFT - 1)) }
    }

    #[inline]
    pub(super) fn of(self, sample: i16) -> u8 {
        (i32::from(sample).wrapping_mul(self.factor).wrapping_add(self.bias) >> LEVEL_SHIFT).clamp(0, 255) as u8
    }

    /// Whether a level of eight bits stays what it is.
    fn is_plain(self) -> bool {
        self.factor == 1 << FACTOR_BITS
    }
}

/// Luma, or the chroma planes.
#[derive(Debug)]
struct Plane {
    tables: PlaneTables,
    geometry: Geometry,
    level: Quantizer,
}

/// Turns decoded pictures of one kind into I420 of one size. All tables and scratch memory are made once; one per thread.
#[derive(Debug)]
pub(crate) struct PlanarTransform {
    source: PlanarSource,
    luma: Plane,
    /// `None` for gray, whose chroma is neutral.
    chroma: Option<Plane>,
    isa: Isa,
    column_sums: Scratch<i16>,
    samples: Scratch<i16>,
}

impl PlanarTransform {
    /// Pictures of `source` to `size` (height, width; both even), brought there by `fit`, which leaves no border, and resampled by
    /// `filter`.
    ///
    /// A size that is odd, zero or above [`MAX_OUTPUT_SIDE`] is an invalid argument; planes of RGB, and pictures beyond the
    /// transform's limits, are unsupported.
    pub(crate) fn new(source: PlanarSource, size: (u32, u32), fit: Fit, filter: Filter) -> Result<Self> {
        check_source(source.width, source.height, source.format)?;
        if source.format.model == ColorModel::Gbr {
            return Err(Error::unsupported("planes of RGB have no luma"));
        }
        if fit == Fit::Pad {
            return Err(Error::invalid("fit is 'pad', expected crop or stretch for planes"));
        }
        for side in [size.0, size.1] {
            if side == 0 || side % 2 == 1 || side > MAX_OUTPUT_SIDE {
                return Err(Error::invalid(format!("size: {side}, expected an even number, 2 to {MAX_OUTPUT_SIDE}")));
            }
        }
        let geometry = geometry(&source, size, fit);
        let plane = |number: usize, geometry: Geometry, zero: i32| -> Result<Plane> {
            let PlanarSource { format, width, height, color, .. } = source;
            let axes = geometry.plane(number, format, color.chroma_location);
            let tables = PlaneTables::new(number, axes, (width, height), format, filter)?;
            Ok(Plane { tables, geometry, level: Quantizer::new(format, color.range, zero) })
        };
        let chroma =
            if source.format.model == ColorModel::Yuv { Some(plane(1, geometry.halved(), 128)?) } else { None };
        let luma = plane(0, geometry, 0)?;
        let row_len = luma.tables.row_len().max(chroma.as_ref().map_or(0, |chroma| chroma.tables.row_len()));
        Ok(Self {
            isa: Isa::detect(),
            column_sums: Scratch::new(row_len),
            samples: Scratch::new(luma.geometry.x.len as usize),
            source,
            luma,
            chroma,
        })
    }

    /// Height and width of every picture that comes out.
    pub(crate) fn output_size(&self) -> (u32, u32) {
        self.luma.geometry.size
    }

    /// Uses these loops.
    #[cfg(test)]
    pub(super) fn use_isa(&mut self, isa: Isa) {
        self.isa = isa;
    }

    /// Bytes of a picture: H rows of W samples of Y, then U and V of half the rows and columns each.
    pub(crate) fn num_bytes(&self) -> usize {
        let (height, width) = self.output_size();
        height as usize * width as usize / 2 * 3
    }

    /// Writes `frame` into `out`, of [`Self::num_bytes`]. Another length is an invalid argument; a frame of another size
    /// or format, or with shorter planes, is a decode error.
    pub(crate) fn apply(&mut self, frame: &FrameView<'_>, out: &mut [u8]) -> Result<()> {
        let bytes = self.num_bytes();
        if out.len() != bytes {
            return Err(Error::invalid(format!("picture is {} bytes, expected {bytes}", out.len())));
        }
        let PlanarSource { format, width, height, .. } = self.source;
        check_frame(frame, format, width, height)?;
        let (luma, chroma) = out.split_at_mut(bytes / 3 * 2);
        let (isa, sums, samples) = (self.isa, &mut self.column_sums, &mut self.samples);
        let mut write = |plane: &Plane, number: usize, out: &mut [u8]| {
            if plane.is_copied(format) {
                plane.copy(frame, number, out);
                return;
            }
            for y in 0..plane.tables.num_rows() {
                let row = &mut samples[..plane.geometry.x.len as usize];
                plane.tables.resample(isa, frame.planes[number], format, y, sums, row);
                plane.put(isa, y, row, out);
            }
        };
        write(&self.luma, 0, luma);
        match &self.chroma {
            None => chroma.fill(128),
            Some(plane) => {
                let (first, second) = chroma.split_at_mut(bytes / 6);
                write(plane, 1, first);
                write(plane, 2, second);
            }
        }
        Ok(())
    }
}

impl Plane {
    /// Whether the picture's own bytes are what is asked for, of an upright region of it.
    fn is_copied(&self, format: PixelFormat) -> bool {
        let keeps = format.bytes_per_sample() == 1 && self.level.is_plain() && self.tables.keeps_samples();
        keeps && self.geometry.orientation == Orientation::UPRIGHT
    }

    fn copy(&self, frame: &FrameView<'_>, number: usize, out: &mut [u8]) {
        let (first_row, first_column) = self.tables.origin();
        let rows = out.chunks_exact_mut(self.geometry.x.len as usize);
        for (out, y) in rows.zip(first_row..) {
            out.copy_from_slice(&frame.row(number, y as u32)[first_column..][..out.len()]);
        }
    }

    /// Writes grid row `y` where the upright picture shows it.
    fn put(&self, isa: Isa, y: usize, row: &[i16], out: &mut [u8]) {
        let at = |x: i64| {
            let (row, column) = self.geometry.place(x, y as i64);
            row * i64::from(self.geometry.size.1) + column
        };
        let (first, step) = (at(0), at(1) - at(0));
        if step == 1 {
            isa.levels(&mut out[first as usize..][..row.len()], row, self.level);
            return;
        }
        for (x, &sample) in (0_i64..).zip(row) {
            out[(first + x * step) as usize] = self.level.of(sample);
        }
    }
}

/// The grid of luma.
fn geometry(source: &PlanarSource, size: (u32, u32), fit: Fit) -> Geometry {
    let (shown_w, shown_h) = source.display_size();
    let cuts = |shown: u32, side: u32| shown >= side && shown - side <= 1;
    let is_square = source.sample_aspect.num() == source.sample_aspect.den();
    if is_square && cuts(shown_h, size.0) && cuts(shown_w, size.1) {
        let (width, height) = source.orientation.display_size(size.1, size.0);
        let axis = |len| Axis { start: 0.0, step: 1.0, len };
        return Geometry { size, origin: (0, 0), x: axis(width), y: axis(height), orientation: source.orientation };
    }
    let options = TransformOptions::new().size(size.0, size.1).fit(fit);
    let picture = (source.width, source.height);
    Geometry::new(&options, picture, source.sample_aspect, source.orientation, (shown_w, shown_h))
}

/// Chroma siting of what comes out.
pub(crate) const OUTPUT_LOCATION: ChromaLocation = ChromaLocation::Left;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::PlaneView;
    use crate::transform::reference::{Plane as Exact, resample};

    fn source(format: PixelFormat, (width, height): (u32, u32)) -> PlanarSource {
        let color = ColorSpec::guess(height);
        PlanarSource { format, width, height, sample_aspect: Ratio::ONE, orientation: Orientation::UPRIGHT, color }
    }

    /// Samples that look like a picture: smooth, with an edge.
    fn planes(source: &PlanarSource) -> [Vec<u8>; 3] {
        let top = f64::from((1_u32 << source.format.depth) - 1);
        std::array::from_fn(|plane| {
            let (w, h) = source.format.plane_size(plane, source.width, source.height);
            let sample = |x: u32, y: u32| {
                let (x, y) = (f64::from(x) / f64::from(w), f64::from(y) / f64::from(h));
                let edge = if x + y > 1.1 { 0.3 } else { 0.0 };
                let wave = (x * 9.0 + plane as f64).sin() * (y * 7.0).cos() * 0.25;
                ((0.4 + wave + edge) * top).round() as u16
            };
            let all = (0..h).flat_map(|y| (0..w).map(move |x| sample(x, y)));
            if source.format.bytes_per_sample() == 1 {
                all.map(|sample| sample as u8).collect()
            } else {
                all.flat_map(u16::to_le_bytes).collect()
            }
        })
    }

    fn view<'a>(source: &PlanarSource, planes: &'a [Vec<u8>; 3]) -> FrameView<'a> {
        let PlanarSource { format, width, height, .. } = *source;
        let planes = std::array::from_fn(|plane| PlaneView {
            data: &planes[plane],
            stride: format.plane_size(plane, width, height).0 as usize * format.bytes_per_sample(),
        });
        FrameView { format, width, height, planes }
    }

    fn apply(source: PlanarSource, size: (u32, u32)) -> Vec<u8> {
        let mut transform = PlanarTransform::new(source, size, Fit::Crop, Filter::Bicubic).unwrap();
        assert_eq!(transform.output_size(), size);
        let mut out = vec![0; transform.num_bytes()];
        transform.apply(&view(&source, &planes(&source)), &mut out).unwrap();
        out
    }

    #[test]
    fn a_picture_of_the_asked_size_keeps_its_samples_and_an_odd_one_loses_its_last_row_and_column() {
        let even = source(PixelFormat::YUV420P, (34, 22));
        assert_eq!(apply(even, (22, 34)), planes(&even).concat());
        let odd = source(PixelFormat::YUV420P, (35, 23));
        let given = planes(&odd);
        let mut expected = Vec::new();
        for (plane, (w, h, stride)) in [(34, 22, 35), (17, 11, 18), (17, 11, 18)].into_iter().enumerate() {
            given[plane].chunks(stride).take(h).for_each(|row| expected.extend_from_slice(&row[..w]));
        }
        assert_eq!(apply(odd, (22, 34)), expected);
    }

    /// The plane `number` of `source` as the float64 reference resamples it for the upright picture, chroma on the left.
    fn exact(source: &PlanarSource, number: usize, size: (u32, u32)) -> Vec<f64> {
        let PlanarSource { format, width, height, .. } = *source;
        let (w, h) = format.plane_size(number, width, height);
        let scale = f64::from(1_u32 << (format.depth - 8));
        let bytes = &planes(source)[number];
        let values: Vec<f64> = if format.bytes_per_sample() == 1 {
            bytes.iter().map(|&byte| f64::from(byte)).collect()
        } else {
            bytes.chunks(2).map(|pair| f64::from(u16::from_le_bytes([pair[0], pair[1]])) / scale).collect()
        };
        let pitch = (f64::from(width) / f64::from(w), f64::from(height) / f64::from(h));
        // Left: on the first luma sample horizontally, between two rows vertically.
        let centre = (0.5, pitch.1 / 2.0);
        let plane = Exact { width: w as usize, height: h as usize, values, pitch, centre };
        let step = f64::from(width) / f64::from(size.1);
        let shift = if number == 0 { 0.0 } else { -0.5 * step };
        let region = (shift, 0.0, f64::from(width) + shift, f64::from(height));
        let (out_w, out_h) = if number == 0 { (size.1, size.0) } else { (size.1 / 2, size.0 / 2) };
        resample(&plane, region, out_w as usize, out_h as usize, ("bicubic", "bicubic"))
    }

    #[test]
    fn every_plane_is_the_float64_model_of_the_upright_picture_to_within_a_level() {
        let yuv = |depth, w, h| PixelFormat { depth, log2_chroma_w: w, log2_chroma_h: h, ..PixelFormat::YUV420P };
        for format in [yuv(8, 1, 1), yuv(10, 1, 1), yuv(8, 1, 0), yuv(12, 0, 0)] {
            let source = source(format, (96, 64));
            let size = (32, 48);
            let out = apply(source, size);
            let expected: Vec<f64> = (0..3).flat_map(|plane| exact(&source, plane, size)).collect();
            assert_eq!(out.len(), expected.len());
            let worst =
                out.iter().zip(&expected).map(|(&a, b)| (f64::from(a) - b.clamp(0.0, 255.0)).abs()).fold(0.0, f64::max);
            assert!(worst < 0.6, "{format}: {worst}");
        }
    }

    #[test]
    fn turned_pictures_are_the_upright_ones_turned() {
        // A gray picture has no siting, so turning it before and after is the same to the bit.
        let gray = PixelFormat { model: ColorModel::Gray, log2_chroma_w: 0, log2_chroma_h: 0, ..PixelFormat::YUV420P };
        let source = source(gray, (40, 24));
        let upright = apply(source, (12, 20));
        for (turns, mirrored) in (0..4).flat_map(|turns| [(turns, false), (turns, true)]) {
            let orientation = Orientation::new(turns, mirrored);
            let (w, h) = orientation.display_size(20, 12);
            let turned = apply(PlanarSource { orientation, ..source }, (h, w));
            for y in 0..h {
                for x in 0..w {
                    let (sx, sy) = orientation.source_of(x, y, 20, 12);
                    assert_eq!(turned[(y * w + x) as usize], upright[(sy * 20 + sx) as usize], "{orientation:?}");
                }
            }
            assert!(turned[(w * h) as usize..].iter().all(|&chroma| chroma == 128));
        }
    }

    #[test]
    fn chroma_of_a_turned_picture_lies_on_the_left_of_the_upright_one() {
        // A ramp along the axis that becomes the upright picture's columns, in 4:4:4: sample n of luma is 2 n.
        let format = PixelFormat { log2_chroma_w: 0, log2_chroma_h: 0, ..PixelFormat::YUV420P };
        let orientation = Orientation::new(1, false);
        let source = PlanarSource { orientation, ..source(format, (16, 64)) };
        // Turned clockwise, the bottom row becomes the first column.
        let rows: Vec<u8> = (0..64_u8).flat_map(|y| [2 * (63 - y); 16]).collect();
        let planes = [rows.clone(), rows.clone(), rows];
        let mut transform = PlanarTransform::new(source, (16, 64), Fit::Crop, Filter::Bicubic).unwrap();
        let mut out = vec![0; transform.num_bytes()];
        transform.apply(&view(&source, &planes), &mut out).unwrap();
        // Chroma sample j lies on luma sample 2 j.
        for j in 2..30_usize {
            assert!(out[16 * 64 + j].abs_diff(out[2 * j]) <= 1, "{j}: {} {}", out[16 * 64 + j], out[2 * j]);
        }
    }

    #[test]
    fn white_of_full_range_with_more_bits_is_white() {
        for (range, expected) in [(ColorRange::Full, 255), (ColorRange::Limited, 235)] {
            let format = PixelFormat { depth: 10, ..PixelFormat::YUV420P };
            let mut source = source(format, (8, 8));
            source.color.range = range;
            let white: u16 = if range == ColorRange::Full { 1023 } else { 940 };
            let luma: Vec<u8> = std::iter::repeat_n(white.to_le_bytes(), 64).flatten().collect();
            let chroma: Vec<u8> = std::iter::repeat_n(512_u16.to_le_bytes(), 16).flatten().collect();
            let planes = [luma, chroma.clone(), chroma];
            let mut transform = PlanarTransform::new(source, (8, 8), Fit::Crop, Filter::Bicubic).unwrap();
            let mut out = vec![0; transform.num_bytes()];
            transform.apply(&view(&source, &planes), &mut out).unwrap();
            assert!(out[..64].iter().all(|&level| level == expected), "{range:?}: {}", out[0]);
            assert!(out[64..].iter().all(|&level| level == 128), "{range:?}");
        }
    }

    #[test]
    fn bad_sizes_and_frames_are_refused() {
        let source = source(PixelFormat::YUV420P, (16, 16));
        for size in [(0, 2), (2, 3), (2, MAX_OUTPUT_SIDE + 2)] {
            assert!(PlanarTransform::new(source, size, Fit::Crop, Filter::Bicubic).is_err(), "{size:?}");
        }
        let mut transform = PlanarTransform::new(source, (8, 8), Fit::Crop, Filter::Bicubic).unwrap();
        let given = planes(&source);
        let mut out = vec![0; 96];
        transform.apply(&view(&source, &given), &mut out).unwrap();
        assert!(transform.apply(&view(&source, &given), &mut out[..95]).is_err());
        let short = [given[0][..255].to_vec(), given[1].clone(), given[2].clone()];
        assert!(transform.apply(&view(&source, &short), &mut out).is_err());
    }
}
