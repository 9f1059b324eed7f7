//! What pictures are encoded as, where they have to be encoded anew: the nearest that H.264 has, and their way there.
//!
//! RGB of 8 bits stays RGB. Gray gets chroma of no colour, because FFmpeg's decoders of monochrome H.264 give one format or
//! the other. More than 8 bits become 10, and RGB of that depth Y, Cb and Cr in full range. Range, matrix and siting stay what they
//! are: nothing is stretched or squeezed on the way.

use super::upsample::Upsampler;
use crate::media::{ColorModel, ColorRange, ColorSpec, FrameView, PixelFormat};
use crate::{Error, ErrorKind, Result};
use ffmpeg_next as ff;

/// What a picture is encoded as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Target {
    /// FFmpeg's name of the encoder.
    pub(crate) encoder: &'static str,
    /// What the encoder takes.
    pub(crate) pixel: ff::format::Pixel,
    /// What its packets decode to.
    pub(crate) format: PixelFormat,
    pub(crate) color: ColorSpec,
}

impl Target {
    /// For pictures of `planar` samples.
    pub(crate) fn new(planar: PixelFormat, (width, height): (u32, u32), color: ColorSpec) -> Result<Self> {
        if planar.model == ColorModel::Gbr && planar.depth == 8 {
            return Ok(Self { encoder: "libx264rgb", pixel: ff::format::Pixel::RGB24, format: planar, color });
        }
        let (even_w, even_h) = (width.is_multiple_of(2), height.is_multiple_of(2));
        let (halves_w, halves_h) = match planar.model {
            ColorModel::Gray => (true, true),
            ColorModel::Yuv => (planar.log2_chroma_w > 0, planar.log2_chroma_h > 0),
            ColorModel::Gbr => (false, false),
        };
        let (log2_chroma_w, log2_chroma_h) = match (halves_w && even_w, halves_h && even_h) {
            (true, true) => (1, 1),
            (true, false) => (1, 0),
            (false, _) => (0, 0),
        };
        let depth = if planar.depth > 8 { 10 } else { 8 };
        let format = PixelFormat { model: ColorModel::Yuv, depth, log2_chroma_w, log2_chroma_h };
        let name = format.name();
        let pixel = name.parse().map_err(|_| Error::unsupported(format!("this FFmpeg has no pixel format {name}")))?;
        let color = if planar.model == ColorModel::Gbr { from_rgb(color, height) } else { color };
        Ok(Self { encoder: "libx264", pixel, format, color })
    }
}

/// The colour of what [`Luma`] makes of RGB.
pub(crate) fn from_rgb(color: ColorSpec, height: u32) -> ColorSpec {
    ColorSpec { matrix: ColorSpec::guess(height).matrix, range: ColorRange::Full, ..color }
}

/// From samples of one depth to those of another.
#[derive(Debug, Clone, Copy)]
struct Scale {
    gain: f64,
    bias: f64,
    peak: f64,
}

impl Scale {
    /// In limited range levels count in steps of 2^(depth - 8); full range ends at 2^depth - 1, and its chroma is centred.
    fn new(from: PixelFormat, to: PixelFormat, range: ColorRange, is_chroma: bool) -> Self {
        let peak = |format: PixelFormat| f64::from((1_u32 << format.depth) - 1);
        let middle = |format: PixelFormat| f64::from(1_u32 << (format.depth - 1));
        let gain = match range {
            ColorRange::Limited => 2_f64.powi(i32::from(to.depth) - i32::from(from.depth)),
            ColorRange::Full => peak(to) / peak(from),
        };
        let bias = if is_chroma { middle(to) - gain * middle(from) } else { 0.0 };
        Self { gain, bias, peak: peak(to) }
    }

    fn of(self, sample: f64) -> u16 {
        (sample * self.gain + self.bias).round().clamp(0.0, self.peak) as u16
    }
}

/// How one plane gets its samples.
enum Way {
    /// As they are.
    Copy,
    /// By a table of all samples.
    Table(Vec<u16>),
    /// Chroma onto a finer grid.
    Finer(Box<Upsampler>, Scale),
    /// Chroma of no colour.
    Neutral(u16),
}

/// Makes pictures for the encoder from views of a source's.
pub(crate) struct PictureMaker {
    target: Target,
    source: PixelFormat,
    size: (u32, u32),
    /// Luma's and chroma's, where the source is not RGB.
    ways: [Way; 2],
}

impl PictureMaker {
    /// Of pictures of that kind; `color` is the source's.
    pub(crate) fn new(source: PixelFormat, size: (u32, u32), color: ColorSpec, target: Target) -> Self {
        let scale = |is_chroma| Scale::new(source, target.format, color.range, is_chroma);
        let by_table = |is_chroma| {
            let scale = scale(is_chroma);
            Way::Table((0..1_u32 << source.depth).map(|sample| scale.of(f64::from(sample))).collect())
        };
        let same_depth = source.depth == target.format.depth;
        let luma = if same_depth { Way::Copy } else { by_table(false) };
        let subsampling = |format: PixelFormat| (format.log2_chroma_w, format.log2_chroma_h);
        let chroma = if source.model == ColorModel::Gray {
            Way::Neutral(1 << (target.format.depth - 1))
        } else if subsampling(source) != subsampling(target.format) {
            let upsampler = Upsampler::new(source, target.format, size, color.chroma_location);
            Way::Finer(Box::new(upsampler), scale(true))
        } else if same_depth {
            Way::Copy
        } else {
            by_table(true)
        };
        Self { target, source, size, ways: [luma, chroma] }
    }

    /// The picture of `view`.
    pub(crate) fn make(&mut self, view: &FrameView<'_>) -> Result<ff::frame::Video> {
        let (width, height) = self.size;
        if view.format != self.source || (view.width, view.height) != self.size {
            return Err(Error::unsupported("its pictures change their size or format on the way"));
        }
        let mut picture = ff::frame::Video::new(self.target.pixel, width, height);
        if picture.planes() == 0 {
            return Err(Error::new(ErrorKind::OutOfMemory, format!("no memory for a picture of {width}x{height}")));
        }
        if self.target.format.model == ColorModel::Gbr {
            interleave(view, &mut picture);
        } else if self.source.model == ColorModel::Gbr {
            let luma = Luma::new(self.source, self.target.format, self.target.color, height);
            for y in 0..height {
                luma.row(view, y, &mut |plane, x, sample| put(&mut picture, plane, y, x, sample));
            }
        } else {
            let [luma, chroma] = &mut self.ways;
            luma.apply(view, 0, self.target.format, &mut picture);
            chroma.apply(view, 1, self.target.format, &mut picture);
            chroma.apply(view, 2, self.target.format, &mut picture);
        }
        Ok(picture)
    }
}

/// Rows of a plane of an encoder's picture.
fn rows(picture: &mut ff::frame::Video, plane: usize) -> std::slice::ChunksMut<'_, u8> {
    let stride = picture.stride(plane).max(1);
    picture.data_mut(plane).chunks_mut(stride)
}

/// One sample of two bytes.
fn put(picture: &mut ff::frame::Video, plane: usize, y: u32, x: usize, sample: u16) {
    let at = y as usize * picture.stride(plane) + 2 * x;
    if let Some(bytes) = picture.data_mut(plane).get_mut(at..at + 2) {
        bytes.copy_from_slice(&sample.to_le_bytes());
    }
}

/// Planes of green, blue and red as pixels of red, green and blue.
fn interleave(view: &FrameView<'_>, picture: &mut ff::frame::Video) {
    for (y, out) in (0..view.height).zip(rows(picture, 0)) {
        let [green, blue, red] = [0, 1, 2].map(|plane| view.row(plane, y));
        for (((pixel, &r), &g), &b) in out.as_chunks_mut::<3>().0.iter_mut().zip(red).zip(green).zip(blue) {
            *pixel = [r, g, b];
        }
    }
}

impl Way {
    fn apply(&mut self, view: &FrameView<'_>, plane: usize, to: PixelFormat, picture: &mut ff::frame::Video) {
        let (width, height) = to.plane_size(plane, view.width, view.height);
        let width = width as usize;
        let is_wide = to.bytes_per_sample() == 2;
        match self {
            Self::Copy => {
                for (y, out) in (0..height).zip(rows(picture, plane)) {
                    out.iter_mut().zip(view.row(plane, y)).for_each(|(out, &byte)| *out = byte);
                }
            }
            Self::Table(table) => {
                let level = |sample: u16| table.get(usize::from(sample)).copied().unwrap_or(0).to_le_bytes();
                for (y, out) in (0..height).zip(rows(picture, plane)) {
                    let samples = view.row(plane, y).as_chunks::<2>().0;
                    let pairs = out.as_chunks_mut::<2>().0.iter_mut().zip(samples);
                    pairs.for_each(|(out, &sample)| *out = level(u16::from_le_bytes(sample)));
                }
            }
            Self::Finer(upsampler, scale) => {
                let mut out = rows(picture, plane);
                upsampler.plane(view, plane, &mut |_, samples| {
                    let Some(out) = out.next() else { return };
                    let levels = samples.iter().map(|&sample| scale.of(f64::from(sample)));
                    if is_wide {
                        let pairs = out.as_chunks_mut::<2>().0.iter_mut().zip(levels);
                        pairs.for_each(|(out, level)| *out = level.to_le_bytes());
                    } else {
                        out.iter_mut().zip(levels).for_each(|(out, level)| *out = level as u8);
                    }
                });
            }
            Self::Neutral(level) => {
                for (_, out) in (0..height).zip(rows(picture, plane)) {
                    if is_wide {
                        out.as_chunks_mut::<2>().0.iter_mut().take(width).for_each(|out| *out = level.to_le_bytes());
                    } else {
                        out.iter_mut().take(width).for_each(|out| *out = *level as u8);
                    }
                }
            }
        }
    }
}

/// From green, blue and red to luma and two chroma planes in full range, none subsampled.
pub(crate) struct Luma {
    red: f32,
    green: f32,
    blue: f32,
    /// From samples of the source to those of the result.
    gain: f32,
    middle: f32,
    peak: f32,
    is_deep: bool,
}

impl Luma {
    /// `to` has more than 8 bits; `color` is that of the result, whose matrix is BT.709 or BT.601.
    pub(crate) fn new(from: PixelFormat, to: PixelFormat, color: ColorSpec, height: u32) -> Self {
        let (red, blue) = if color.matrix_in_use(height) == 1 { (0.2126, 0.0722) } else { (0.299, 0.114) };
        let peak = |format: PixelFormat| ((1_u32 << format.depth) - 1) as f32;
        Self {
            red,
            green: 1.0 - red - blue,
            blue,
            gain: peak(to) / peak(from),
            middle: (1_u32 << (to.depth - 1)) as f32,
            peak: peak(to),
            is_deep: from.bytes_per_sample() == 2,
        }
    }

    /// Calls `put` with plane, column and sample for all of row `y`.
    pub(crate) fn row(&self, view: &FrameView<'_>, y: u32, put: &mut dyn FnMut(usize, usize, u16)) {
        let planes = [0, 1, 2].map(|plane| view.row(plane, y));
        let sample = |plane: &[u8], x: usize| {
            let level = if self.is_deep {
                plane.get(2 * x..2 * x + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
            } else {
                plane.get(x).copied().map_or(0, u16::from)
            };
            f32::from(level) * self.gain
        };
        for x in 0..view.width as usize {
            let [g, b, r] = planes.map(|plane| sample(plane, x));
            let luma = self.red * r + self.green * g + self.blue * b;
            let chroma = [(b - luma) / (2.0 * (1.0 - self.blue)), (r - luma) / (2.0 * (1.0 - self.red))];
            let levels = [luma, chroma[0] + self.middle, chroma[1] + self.middle];
            for (plane, level) in levels.into_iter().enumerate() {
                put(plane, x, level.round().clamp(0.0, self.peak) as u16);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::ColorRange::{Full, Limited};
    use crate::media::PlaneView;

    fn target(name: &str, size: (u32, u32)) -> (&'static str, String) {
        let target = Target::new(PixelFormat::parse(name).unwrap(), size, ColorSpec::guess(480)).unwrap();
        (target.encoder, target.format.name())
    }

    #[test]
    fn targets_are_the_nearest_that_the_encoder_takes_at_every_size() {
        for (source, even, odd_rows, odd) in [
            ("gray", "yuv420p", "yuv422p", "yuv444p"),
            ("gray16le", "yuv420p10le", "yuv422p10le", "yuv444p10le"),
            ("yuv420p", "yuv420p", "yuv422p", "yuv444p"),
            ("yuv420p9le", "yuv420p10le", "yuv422p10le", "yuv444p10le"),
            ("yuv422p12le", "yuv422p10le", "yuv422p10le", "yuv444p10le"),
            ("yuv440p", "yuv444p", "yuv444p", "yuv444p"),
            ("yuv411p", "yuv422p", "yuv422p", "yuv444p"),
            ("yuv410p", "yuv420p", "yuv422p", "yuv444p"),
            ("gbrp16le", "yuv444p10le", "yuv444p10le", "yuv444p10le"),
        ] {
            let expected = [even, odd_rows, odd].map(|name| ("libx264", name.to_owned()));
            assert_eq!([(64, 48), (64, 47), (63, 47)].map(|size| target(source, size)), expected, "{source}");
        }
        assert_eq!(target("gbrp", (63, 47)), ("libx264rgb", "gbrp".to_owned()));
    }

    #[test]
    fn depths_change_with_black_white_and_gray_in_their_places() {
        let format = |depth| PixelFormat { depth, ..PixelFormat::YUV420P };
        let of = |from, range, is_chroma, sample: u32| {
            Scale::new(format(from), format(10), range, is_chroma).of(f64::from(sample))
        };
        for (from, range, is_chroma, sample, expected) in [
            (16, Full, false, 0xFFFF, 1023),
            (16, Full, false, 0, 0),
            (16, Limited, false, 235 << 8, 940),
            (9, Limited, false, 32, 64),
            (9, Full, false, 511, 1023),
            (9, Full, true, 256, 512),
            (16, Full, true, 0x8000, 512),
            (12, Limited, true, 2048, 512),
            (16, Limited, false, 0xFFFF, 1023),
        ] {
            assert_eq!(of(from, range, is_chroma, sample), expected, "{from} {range:?} {is_chroma} {sample}");
        }
    }

    #[test]
    fn rgb_of_ten_bits_comes_back_from_luma_and_chroma_within_two_of_1023() {
        let from = PixelFormat { model: ColorModel::Gbr, depth: 10, log2_chroma_w: 0, log2_chroma_h: 0 };
        let samples: Vec<u8> = (0..64_u16).flat_map(|x| (x * 16).to_le_bytes()).collect();
        let reversed: Vec<u8> = (0..64_u16).rev().flat_map(|x| (x * 13 + 7).to_le_bytes()).collect();
        let flat = [0xFF, 0x03].repeat(64);
        let planes = [&samples, &reversed, &flat].map(|data| PlaneView { data, stride: 128 });
        let view = FrameView { format: from, width: 64, height: 1, planes };
        let target = Target::new(from, (64, 1), ColorSpec::guess(720)).unwrap();
        assert_eq!((target.color.range, target.color.matrix), (ColorRange::Full, 6), "by the picture's height");
        let mut out = [[0_f64; 64]; 3];
        Luma::new(from, target.format, target.color, 1).row(&view, 0, &mut |plane, x, sample| {
            out[plane][x] = f64::from(sample);
        });
        let [luma, blues, reds] = out;
        for (x, ((y, u), v)) in luma.into_iter().zip(blues).zip(reds).enumerate() {
            let (u, v) = (u - 512.0, v - 512.0);
            let (r, b) = (y + 1.402 * v, y + 1.772 * u);
            let g = (y - 0.299 * r - 0.114 * b) / 0.587;
            let exact = [x as f64 * 16.0, (63 - x) as f64 * 13.0 + 7.0, 1023.0];
            for (given, exact) in [g, b, r].into_iter().zip(exact) {
                assert!((given - exact).abs() <= 2.0, "{x}: {given}, not {exact}");
            }
        }
    }
}
