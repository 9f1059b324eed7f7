//! Pictures of 8-bit YUV whose luma is taken as it is and whose chroma is enlarged twice along the rows, row by row: chroma's
//! vertical pass, then its horizontal pass and the matrix in one. So it is of clips that were encoded at the size of the output.
//!
//! The loops are those of `kernels`, by hand where there are any; what they need is made once for all rows of a picture.

use super::color::{MIDDLE, Matrix, SAMPLE_BITS, Words};
use super::kernels::{HORIZONTAL_MULTIPLE, Rows, horizontal_outputs, matrix_body, vertical_body};
use super::scratch::Scratch;
use super::weights::{Taps, Weights};
use std::ops::Range;

/// A horizontal table that doubles the samples of a row.
#[derive(Debug)]
pub(super) struct Doubling {
    /// The outputs whose weights repeat every second one.
    pub(super) outputs: Range<usize>,
    /// Most pairs of weights of these outputs, one to three.
    pub(super) pairs: usize,
    /// Which of two outputs in turn is a sample as it is, so that it is not summed. So it is where chroma lies on the left.
    pub(super) keeps: [bool; 2],
}

impl Doubling {
    /// What `weights` do, if that is it.
    pub(super) fn of(weights: &Weights) -> Option<Self> {
        let regular = weights.regular().filter(|regular| regular.period == 2)?;
        let outputs = regular.outputs.clone();
        let taps = [0, 1].map(|phase| weights.row(outputs.start + phase).1.len());
        let pairs = taps[0].max(taps[1]).div_ceil(2);
        (pairs <= 3).then_some(Self { outputs, pairs, keeps: taps.map(|taps| taps == 1) })
    }
}

/// Such a picture.
pub(super) struct DoubledPicture<'a> {
    /// From the first row and column that are shown.
    pub(super) luma: Rows<'a, u8>,
    pub(super) width: usize,
    /// Both planes from the first column that is needed on, which the tables count from.
    pub(super) chroma: [Rows<'a, u8>; 2],
    pub(super) chroma_width: usize,
    pub(super) vertical: &'a Weights,
    pub(super) shift: u32,
    pub(super) horizontal: &'a Weights,
    pub(super) doubling: &'a Doubling,
    pub(super) matrix: &'a Matrix,
    pub(super) words: &'a Words,
}

/// Rows of bytes of the three colours.
pub(super) struct RgbRows<'a> {
    pub(super) planes: [&'a mut [u8]; 3],
    /// From a row of a plane to the next.
    pub(super) stride: usize,
}

impl RgbRows<'_> {
    fn row(&mut self, number: usize, width: usize) -> [&mut [u8]; 3] {
        let (start, [red, green, blue]) = (number * self.stride, &mut self.planes);
        let end = start + width;
        [&mut red[start..end], &mut green[start..end], &mut blue[start..end]]
    }
}

/// Most pixels at both edges together that are made one by one.
const EDGES: usize = 16;

/// Values before the first sample of a row of chroma that loops may read, and as many behind what the tables ask for: they do whole
/// blocks from the row's begin to its end, though what comes out at the edges is not it.
pub(super) const MARGIN: usize = 32;

/// Which columns the loops do, by blocks: `regular` are right, those around it are made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocks {
    pub(super) first: usize,
    /// Where the last block begins, which may overlap the one before.
    pub(super) last: usize,
    /// Columns of each.
    pub(super) len: usize,
    /// The first of the regular columns.
    pub(super) start: usize,
    /// One past the last of these.
    pub(super) end: usize,
}

impl Blocks {
    /// Blocks of `len` columns; `None` for a row that has fewer.
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        allow(dead_code, reason = "for loops by hand")
    )]
    pub(super) fn new(picture: &DoubledPicture<'_>, len: usize) -> Option<Self> {
        let Range { start, end } = picture.doubling.outputs;
        // A block begins with the first of two outputs in turn. Where the edges are wide, it is no use to go over them.
        let (first, beyond) = (start % 2, picture.width - end);
        let first = if start <= MARGIN { first } else { start };
        let last = if beyond <= MARGIN { end + beyond / 2 * 2 } else { end }.checked_sub(len)?;
        (first <= last).then_some(Self { first, last, len, start, end })
    }

    /// One past the last sample of chroma that blocks meet, whose outputs of a phase begin at `first` for the column `start`, and which
    /// read so many of it.
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        allow(dead_code, reason = "for loops by hand")
    )]
    pub(super) fn reach(&self, first: usize, len: usize) -> usize {
        (first + len + self.last / 2).saturating_sub(self.start / 2)
    }

    /// Where the sample of chroma of `column` lies in a row with margins, by that of `start`.
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        allow(dead_code, reason = "for loops by hand")
    )]
    #[inline]
    pub(super) fn at(&self, column: usize) -> usize {
        MARGIN + column / 2 - self.start / 2
    }
}

/// The loops that rows are made by.
pub(super) trait RowLoops {
    /// The vertical pass of both planes of chroma.
    fn vertical(&self, out: [&mut [i16]; 2], rows: [Rows<'_, u8>; 2], taps: Taps<'_>);

    /// The columns that [`Self::blocks`] makes, the regular ones right; `None` if it makes all of them right.
    fn layout(&self) -> Option<&Blocks>;

    /// The rest, of as many pixels as are computed at once. False, and nothing done, where a row is too short. `chroma` has [`MARGIN`]s.
    fn blocks(&self, rgb: &mut [&mut [u8]; 3], luma: &[u8], chroma: [&[i16]; 2]) -> bool;
}

/// Makes rows `rows` of the picture, into `out` from its first row on. `sums` are as long as the tables of the picture ask for, and two
/// [`MARGIN`]s.
pub(super) fn make_rows(
    loops: &impl RowLoops,
    picture: &DoubledPicture<'_>,
    rows: Range<usize>,
    sums: &mut [Scratch<i16>; 2],
    out: &mut RgbRows<'_>,
) {
    let edges = loops.layout().map(|layout| Edges::new(picture, layout));
    for (number, y) in rows.enumerate() {
        let (first_row, taps) = picture.vertical.taps(y, picture.shift);
        let ([u, v], columns) = (&mut *sums, MARGIN..MARGIN + picture.chroma_width);
        let planes = [picture.chroma[0].at_row(first_row), picture.chroma[1].at_row(first_row)];
        loops.vertical([&mut u[columns.clone()], &mut v[columns]], planes, taps);
        let (luma, chroma) = (&picture.luma.at_row(y).samples[..picture.width], [&u[MARGIN..], &v[MARGIN..]]);
        let mut rgb = out.row(number, picture.width);
        if !loops.blocks(&mut rgb, luma, [&**u, &**v]) {
            make_pixels(picture, 0..picture.width, &mut rgb, luma, chroma);
        } else if let Some(edges) = &edges {
            edges.make(picture, &mut rgb, luma, chroma);
        }
    }
}

/// The pixels that blocks do not make, or not right.
struct Edges {
    /// Where there are more than a few, the edges are made whole.
    wide: Option<[Range<usize>; 2]>,
    count: usize,
    /// Column, first sample of chroma and weights of each.
    pixels: [(usize, usize, [i16; HORIZONTAL_MULTIPLE]); EDGES],
}

impl Edges {
    fn new(picture: &DoubledPicture<'_>, layout: &Blocks) -> Self {
        let &Blocks { first, last, len, start, end } = layout;
        let (horizontal, width) = (picture.horizontal, picture.width);
        let mut edges = Self { wide: None, count: 0, pixels: [(0, 0, [0; HORIZONTAL_MULTIPLE]); EDGES] };
        for x in (0..start).chain(end..width) {
            // Of two columns in turn one is often a sample as it is, at the edges as elsewhere.
            let ((sample, row), (regular, other)) = (horizontal.row(x), horizontal.row(start + (x + start) % 2));
            let is_regular = row == other && sample + start / 2 + 1 == regular + (x + 2 - start % 2) / 2;
            if is_regular && (first..last + len).contains(&x) {
                continue;
            }
            let (Some(pixel), Some(taps)) = (edges.pixels.get_mut(edges.count), taps_of(horizontal, x)) else {
                edges.wide = Some([0..start, end..width]);
                return edges;
            };
            *pixel = (x, sample, taps);
            edges.count += 1;
        }
        edges
    }

    fn make(&self, picture: &DoubledPicture<'_>, rgb: &mut [&mut [u8]; 3], luma: &[u8], chroma: [&[i16]; 2]) {
        if let Some(wide) = &self.wide {
            return wide.iter().for_each(|pixels| make_pixels(picture, pixels.clone(), rgb, luma, chroma));
        }
        let ([red, green, blue], bits) = (rgb, picture.horizontal.bits());
        for &(x, first, ref taps) in &self.pixels[..self.count] {
            let (u, v) = (weighted(&chroma[0][first..], taps, bits), weighted(&chroma[1][first..], taps, bits));
            [red[x], green[x], blue[x]] = picture.words.levels(luma_sample(luma[x]), u, v);
        }
    }
}

fn taps_of(horizontal: &Weights, x: usize) -> Option<[i16; HORIZONTAL_MULTIPLE]> {
    horizontal.padded_row(x).1.try_into().ok()
}

/// One output of the horizontal pass.
#[inline]
fn weighted(row: &[i16], taps: &[i16; HORIZONTAL_MULTIPLE], bits: u32) -> i16 {
    let Some(samples) = row.first_chunk::<HORIZONTAL_MULTIPLE>() else { return 0 };
    let mut sum = 1_i32 << (bits - 1);
    for k in 0..HORIZONTAL_MULTIPLE {
        sum = sum.wrapping_add(i32::from(samples[k]).wrapping_mul(i32::from(taps[k])));
    }
    (sum >> bits) as i16
}

/// Luma that is taken as it is.
#[inline]
fn luma_sample(level: u8) -> i16 {
    (i16::from(level) << SAMPLE_BITS) - MIDDLE as i16
}

/// Pixels that are computed at once by the plain loops: what is put aside between the two passes.
const BLOCK: usize = 64;

/// These pixels by the plain loops.
fn make_pixels(
    picture: &DoubledPicture<'_>,
    pixels: Range<usize>,
    rgb: &mut [&mut [u8]; 3],
    luma: &[u8],
    chroma: [&[i16]; 2],
) {
    let mut samples = [[0_i16; BLOCK]; 3];
    let mut x = pixels.start;
    while x < pixels.end {
        let len = BLOCK.min(pixels.end - x);
        let [y, u, v] = samples.each_mut().map(|samples| &mut samples[..len]);
        y.iter_mut().zip(&luma[x..]).for_each(|(y, &level)| *y = luma_sample(level));
        horizontal_outputs(x..x + len, u, chroma[0], picture.horizontal);
        horizontal_outputs(x..x + len, v, chroma[1], picture.horizontal);
        matrix_body(rgb.each_mut().map(|row| &mut row[x..x + len]), [y, u, v], picture.matrix);
        x += len;
    }
}

/// The plain loops.
pub(super) struct Plain<'a>(pub(super) &'a DoubledPicture<'a>);

impl RowLoops for Plain<'_> {
    fn vertical(&self, out: [&mut [i16]; 2], rows: [Rows<'_, u8>; 2], taps: Taps<'_>) {
        out.into_iter().zip(rows).for_each(|(out, rows)| vertical_body(out, rows, taps));
    }

    fn layout(&self) -> Option<&Blocks> {
        None
    }

    fn blocks(&self, rgb: &mut [&mut [u8]; 3], luma: &[u8], chroma: [&[i16]; 2]) -> bool {
        make_pixels(self.0, 0..luma.len(), rgb, luma, chroma.map(|row| &row[MARGIN..]));
        true
    }
}
