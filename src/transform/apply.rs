//! The transform of one kind of clip: to RGB here, to planes by `planar`.

use super::color::{Matrix, SAMPLE_BITS};
use super::doubled::{DoubledPicture, Doubling, MARGIN, RgbRows};
use super::geometry::{Axis, Geometry};
use super::kernels::{HORIZONTAL_MULTIPLE, Isa, Rows, Sample};
use super::options::{ClipShape, DType, Filter, FrameFormat, MAX_OUTPUT_SIDE, TransformOptions};
use super::planar::{PlanarSource, PlanarTransform};
use super::scratch::Scratch;
use super::store::Store;
use super::weights::{HORIZONTAL_BITS, Weights, vertical_bits};
use crate::media::{ColorModel, FrameView, PixelFormat, PlaneView, StreamInfo};
use crate::{Error, ErrorKind, Result};

/// Largest width or height of a decoded picture: what the codecs allow, and what keeps the tables small.
const MAX_SOURCE_SIDE: u32 = 65_535;

/// Rows of the three colours that are made before they are written to the clip, where they cannot be made there.
const ROWS: usize = 4;

/// Tables of one kind of plane.
#[derive(Debug)]
pub(super) struct PlaneTables {
    horizontal: Weights,
    vertical: Weights,
    /// First column that the horizontal pass needs; its table counts from there.
    first_column: usize,
    num_columns: usize,
    /// Whether the horizontal pass changes nothing.
    keeps_columns: bool,
    /// Whether the vertical pass changes nothing but where rows begin.
    keeps_rows: bool,
}

impl PlaneTables {
    /// Of plane `plane` of pictures of that size and format, sampled along `axes` (columns, rows).
    pub(super) fn new(
        plane: usize,
        (x, y): (Axis, Axis),
        (width, height): (u32, u32),
        format: PixelFormat,
        filter: Filter,
    ) -> Result<Self> {
        let (plane_w, plane_h) = format.plane_size(plane, width, height);
        let (filter_x, filter_y) = if plane == 0 {
            (filter, filter)
        } else {
            (filter.of_chroma(format.log2_chroma_w, x), filter.of_chroma(format.log2_chroma_h, y))
        };
        let mut horizontal = Weights::new(x, plane_w, filter_x, HORIZONTAL_BITS, HORIZONTAL_MULTIPLE)?;
        let mut vertical = Weights::new(y, plane_h, filter_y, vertical_bits(format.depth), 1)?;
        let (first_column, end) = horizontal.extent();
        horizontal.rebase(first_column);
        horizontal.group();
        vertical.find_quads();
        let (keeps_columns, keeps_rows) = (horizontal.is_identity(), vertical.is_identity());
        Ok(Self { horizontal, vertical, first_column, num_columns: end - first_column, keeps_columns, keeps_rows })
    }

    /// Values of scratch memory that [`Self::resample`] takes.
    pub(super) fn row_len(&self) -> usize {
        self.horizontal.groups().reach().max(self.num_columns + self.horizontal.stride())
    }

    /// Whether the plane's own samples of some region come out.
    pub(super) fn keeps_samples(&self) -> bool {
        self.keeps_columns && self.keeps_rows
    }

    /// Row and column of the first output's first sample.
    pub(super) fn origin(&self) -> (usize, usize) {
        (self.vertical.row(0).0, self.first_column)
    }

    /// Rows of the grid.
    pub(super) fn num_rows(&self) -> usize {
        self.vertical.len()
    }

    /// Rows of 8-bit samples from row `first` of the plane and the first column that is needed on.
    fn rows<'a>(&self, view: PlaneView<'a>, first: usize) -> Rows<'a, u8> {
        let start = first * view.stride + self.first_column;
        Rows { samples: view.data.get(start..).unwrap_or_default(), stride: view.stride }
    }

    /// Bits that a sum of the vertical pass loses, from samples of `depth` bits with the weights' fraction to 8-bit levels with
    /// that of samples.
    fn vertical_shift(&self, depth: u8) -> u32 {
        self.vertical.bits() + u32::from(depth) - 8 - SAMPLE_BITS
    }

    /// Row `y` of the grid into `out`.
    pub(super) fn resample(
        &self,
        isa: Isa,
        view: PlaneView<'_>,
        format: PixelFormat,
        y: usize,
        column_sums: &mut [i16],
        out: &mut [i16],
    ) {
        let sums = if self.keeps_columns { &mut *out } else { &mut column_sums[..self.num_columns] };
        if format.bytes_per_sample() == 1 {
            self.sum_columns::<u8>(isa, view, format.depth, y, sums);
        } else {
            self.sum_columns::<[u8; 2]>(isa, view, format.depth, y, sums);
        }
        if !self.keeps_columns {
            isa.horizontal(out, column_sums, &self.horizontal);
        }
    }

    fn sum_columns<S: Sample>(&self, isa: Isa, view: PlaneView<'_>, depth: u8, y: usize, sums: &mut [i16]) {
        let stride = view.stride / size_of::<S>();
        let (first_row, taps) = self.vertical.taps(y, self.vertical_shift(depth));
        let samples = S::view(view.data).get(first_row * stride + self.first_column..).unwrap_or_default();
        isa.vertical(sums, Rows { samples, stride }, taps);
    }
}

/// Turns decoded frames of one geometry and colour into frames of a clip. All tables and scratch memory are made once; use
/// one per thread. What it computes is specified in the crate's `transform` module, bit by bit.
#[derive(Debug)]
pub struct Transform {
    options: TransformOptions,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Rgb(Box<RgbTransform>),
    Yuv420(Box<PlanarTransform>),
}

impl Transform {
    /// Prepares the transform of frames of `stream`: checks the options, computes all tables and allocates all scratch
    /// memory. It depends on the stream's size, format, sample aspect, orientation and colour only, so that one may serve
    /// all clips that agree in these.
    ///
    /// Bad options are invalid arguments that name the field. A colour matrix that is no linear function of R'G'B', planes of RGB
    /// where YUV is asked for, an own size that is odd there, and pictures beyond 65535 pixels a side, are unsupported. A clip whose
    /// own display size exceeds [`MAX_OUTPUT_SIDE`], where `size` is `None`, exceeds a limit.
    pub fn new(options: &TransformOptions, stream: &StreamInfo) -> Result<Self> {
        options.check()?;
        let display = stream.display_size();
        if options.size.is_none() && display.0.max(display.1) > MAX_OUTPUT_SIDE {
            let (width, height) = display;
            let message =
                format!("size is None and the clip's display size is {width}x{height}, limit {MAX_OUTPUT_SIDE}");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        let kind = match options.format {
            FrameFormat::Rgb => Kind::Rgb(Box::new(RgbTransform::new(options, stream)?)),
            FrameFormat::Yuv420 => {
                let size = options.size.unwrap_or((display.1, display.0));
                if size.0 % 2 == 1 || size.1 % 2 == 1 {
                    let message = format!(
                        "size is None and the clip's display size is {}x{}, yuv420 has an even one",
                        size.1, size.0
                    );
                    return Err(Error::unsupported(message));
                }
                let source = PlanarSource::of(stream);
                Kind::Yuv420(Box::new(PlanarTransform::new(source, size, options.fit, options.filter)?))
            }
        };
        Ok(Self { options: options.clone(), kind })
    }

    /// Height and width of every output picture.
    pub fn output_size(&self) -> (u32, u32) {
        match &self.kind {
            Kind::Rgb(transform) => transform.geometry.size,
            Kind::Yuv420(transform) => transform.output_size(),
        }
    }

    /// Shape of a clip of `frames` output frames.
    pub fn clip_shape(&self, frames: usize) -> ClipShape {
        let (height, width) = self.output_size();
        ClipShape { format: self.options.format, frames, height: height as usize, width: width as usize }
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.options.dtype
    }

    /// The options it was made with.
    pub fn options(&self) -> &TransformOptions {
        &self.options
    }

    /// Writes `frame` as frame `t` of a clip of `num_frames` frames. `clip` is the whole clip's memory, exactly
    /// `self.clip_shape(num_frames).num_bytes(dtype)` bytes, of any alignment; floats are in the machine's byte order.
    /// Every byte of frame `t` is written and no other. Allocates nothing.
    ///
    /// A wrong `clip` or `t` is an invalid argument; a frame that is not of the stream's size and format, or whose planes are
    /// shorter than that, is a decode error.
    pub fn apply(&mut self, frame: &FrameView<'_>, clip: &mut [u8], num_frames: usize, t: usize) -> Result<()> {
        let shape = self.clip_shape(num_frames);
        let bytes = shape.num_bytes(self.options.dtype)?;
        if clip.len() != bytes {
            return Err(Error::invalid(format!("clip is {} bytes, expected {bytes}", clip.len())));
        }
        if t >= num_frames {
            return Err(Error::invalid(format!("t is {t}, expected less than the clip's {num_frames} frames")));
        }
        match &mut self.kind {
            Kind::Rgb(transform) => transform.apply(frame, clip, shape, t),
            Kind::Yuv420(transform) => {
                let bytes = transform.num_bytes();
                transform.apply(frame, &mut clip[t * bytes..][..bytes])
            }
        }
    }

    /// Uses these loops.
    #[cfg(test)]
    pub(super) fn use_isa(&mut self, isa: Isa) {
        match &mut self.kind {
            Kind::Rgb(transform) => transform.isa = isa,
            Kind::Yuv420(transform) => transform.use_isa(isa),
        }
    }
}

/// To R, G, B, in any layout and type.
#[derive(Debug)]
struct RgbTransform {
    format: PixelFormat,
    width: u32,
    height: u32,
    geometry: Geometry,
    luma: PlaneTables,
    chroma: Option<PlaneTables>,
    /// Where rows are made in one pass: how columns of chroma are doubled.
    doubling: Option<Doubling>,
    matrix: Matrix,
    store: Store,
    isa: Isa,
    /// One row after the vertical pass, and as many values again as a row of weights is long, so that padded weights (zeros)
    /// meet something readable.
    column_sums: Scratch<i16>,
    /// The same of both planes of chroma, where they are needed at once.
    chroma_sums: [Scratch<i16>; 2],
    /// One row of each plane after the horizontal pass.
    samples: [Scratch<i16>; 3],
    /// Up to [`ROWS`] rows of each colour.
    rgb: [Scratch<u8>; 3],
}

impl RgbTransform {
    fn new(options: &TransformOptions, stream: &StreamInfo) -> Result<Self> {
        let (width, height, format) = (stream.width, stream.height, stream.pixel_format);
        check_source(width, height, format)?;
        let (aspect, display) = (stream.sample_aspect, stream.display_size());
        let geometry = Geometry::new(options, (width, height), aspect, stream.orientation, display);
        let tables = |plane: usize| {
            let axes = geometry.plane(plane, format, stream.color.chroma_location);
            PlaneTables::new(plane, axes, (width, height), format, options.filter)
        };
        let luma = tables(0)?;
        let subsampled = format.model == ColorModel::Yuv && (format.log2_chroma_w > 0 || format.log2_chroma_h > 0);
        let chroma = if subsampled { Some(tables(1)?) } else { None };
        let row_len = luma.row_len().max(chroma.as_ref().map_or(0, PlaneTables::row_len));
        let grid = geometry.x.len as usize;
        let matrix = Matrix::new(format, stream.color, height)?;
        let doubled = chroma.as_ref().filter(|_| format.depth == 8 && luma.keeps_samples() && matrix.words.is_some());
        Ok(Self {
            doubling: doubled.and_then(|chroma| Doubling::of(&chroma.horizontal)),
            matrix,
            store: Store::new(options),
            isa: Isa::detect(),
            column_sums: Scratch::new(row_len),
            chroma_sums: std::array::from_fn(|_| Scratch::new(row_len + 2 * MARGIN)),
            samples: std::array::from_fn(|_| Scratch::new(grid)),
            rgb: std::array::from_fn(|_| Scratch::new(ROWS * grid)),
            format,
            width,
            height,
            geometry,
            luma,
            chroma,
        })
    }

    /// Writes frame `t` of a clip of that shape.
    fn apply(&mut self, frame: &FrameView<'_>, clip: &mut [u8], shape: ClipShape, t: usize) -> Result<()> {
        check_frame(frame, self.format, self.width, self.height)?;
        if self.geometry.inner() != self.geometry.size {
            self.store.border(clip, shape, t, &self.geometry);
        }
        if self.write_doubled(frame, clip, shape, t) {
            return Ok(());
        }
        for y in 0..self.luma.num_rows() {
            for plane in 0..self.format.num_planes() {
                self.resample(plane, frame.planes[plane], y);
            }
            let [first, second, third] = &self.samples;
            // Gray goes through the same matrix, whose other columns are zero.
            let planes = [&**first, &**second, &**third];
            let place = self.store.place(shape, t, &self.geometry, y);
            if let Some(rows) = self.store.rows(clip, &place, first.len()) {
                self.isa.matrix(rows, planes, &self.matrix);
                continue;
            }
            let len = first.len();
            self.isa.matrix(self.rgb.each_mut().map(|row| &mut row[..len]), planes, &self.matrix);
            self.store.write(self.isa, clip, &place, self.rgb.each_ref().map(|row| &row[..len]));
        }
        Ok(())
    }

    /// Writes the frame in one pass over its rows, if it can be had so: 8-bit luma taken as it is, chroma enlarged twice.
    fn write_doubled(&mut self, frame: &FrameView<'_>, clip: &mut [u8], shape: ClipShape, t: usize) -> bool {
        let (Some(chroma), Some(doubling), Some(words)) = (&self.chroma, &self.doubling, &self.matrix.words) else {
            return false;
        };
        let (first_row, num_rows) = (self.luma.origin().0, self.luma.num_rows());
        let picture = DoubledPicture {
            luma: self.luma.rows(frame.planes[0], first_row),
            width: self.luma.num_columns,
            chroma: [1, 2].map(|plane| chroma.rows(frame.planes[plane], 0)),
            chroma_width: chroma.num_columns,
            vertical: &chroma.vertical,
            shift: chroma.vertical_shift(self.format.depth),
            horizontal: &chroma.horizontal,
            doubling,
            matrix: &self.matrix,
            words,
        };
        let sums = &mut self.chroma_sums;
        if let Some(mut out) = self.store.all_rows(clip, shape, t, &self.geometry) {
            self.isa.doubled(&picture, 0..num_rows, sums, &mut out);
            return true;
        }
        let stride = picture.width;
        for first in (0..num_rows).step_by(ROWS) {
            let rows = first..num_rows.min(first + ROWS);
            let planes = self.rgb.each_mut().map(|rows| &mut **rows);
            self.isa.doubled(&picture, rows.clone(), sums, &mut RgbRows { planes, stride });
            for (number, y) in rows.enumerate() {
                let place = self.store.place(shape, t, &self.geometry, y);
                let rgb = self.rgb.each_ref().map(|rows| &rows[number * stride..][..stride]);
                self.store.write(self.isa, clip, &place, rgb);
            }
        }
        true
    }

    /// Row `y` of the grid of one plane, into `samples[plane]`.
    fn resample(&mut self, plane: usize, view: PlaneView<'_>, y: usize) {
        let tables = match &self.chroma {
            Some(chroma) if plane > 0 => chroma,
            _ => &self.luma,
        };
        let (isa, sums) = (self.isa, &mut self.column_sums);
        tables.resample(isa, view, self.format, y, sums, &mut self.samples[plane]);
    }
}

/// Refuses a frame that is not of that format and size, or whose planes are shorter than that.
pub(super) fn check_frame(frame: &FrameView<'_>, format: PixelFormat, width: u32, height: u32) -> Result<()> {
    if (frame.format, frame.width, frame.height) != (format, width, height) {
        return Err(Error::decode(format!(
            "frame is {}x{} {}, expected {width}x{height} {format}",
            frame.width, frame.height, frame.format
        )));
    }
    let sample = format.bytes_per_sample();
    for (plane, view) in frame.planes.iter().enumerate().take(format.num_planes()) {
        let (width, height) = format.plane_size(plane, width, height);
        let row = width as usize * sample;
        let needed = (height as usize - 1).checked_mul(view.stride).and_then(|bytes| bytes.checked_add(row));
        if view.stride < row || view.stride % sample != 0 || needed.is_none_or(|needed| view.data.len() < needed) {
            return Err(Error::decode(format!(
                "plane {plane} has {} bytes with {} a row, expected {width}x{height} samples of {sample} bytes",
                view.data.len(),
                view.stride
            )));
        }
    }
    Ok(())
}

pub(super) fn check_source(width: u32, height: u32, format: PixelFormat) -> Result<()> {
    if width == 0 || height == 0 || width > MAX_SOURCE_SIDE || height > MAX_SOURCE_SIDE {
        return Err(Error::unsupported(format!("picture of {width}x{height}, expected 1 to {MAX_SOURCE_SIDE} a side")));
    }
    if !(8..=16).contains(&format.depth) || format.log2_chroma_w > 2 || format.log2_chroma_h > 2 {
        return Err(Error::unsupported(format!(
            "pixel format of {} bits with chroma subsampled by 2^{} and 2^{}, expected 8 to 16 bits and at most 2^2",
            format.depth, format.log2_chroma_w, format.log2_chroma_h
        )));
    }
    Ok(())
}
