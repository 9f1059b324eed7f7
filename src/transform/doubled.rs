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
        let start = number * self.stride;
        self.planes.each_mut().map(|plane| &mut plane[start..start + width])
    }
}

/// Pixels at both edges together that are computed at once.
pub(super) const EDGES: usize = 16;

/// The loops that rows are made by.
pub(super) trait RowLoops {
    /// The vertical pass of both planes of chroma.
    fn vertical(&self, out: [&mut [i16]; 2], rows: [Rows<'_, u8>; 2], taps: Taps<'_>);

    /// The rest, of as many pixels as are computed at once; says which were done.
    fn blocks(&self, rgb: &mut [&mut [u8]; 3], luma: &[u8], chroma: [&[i16]; 2]) -> Range<usize>;

    /// The matrix on a few pixels.
    fn few(&self, samples: &[[i16; EDGES]; 3]) -> [[u8; EDGES]; 3];
}

/// Makes rows `rows` of the picture, into `out` from its first row on. `sums` are as long as the tables of the picture ask for.
pub(super) fn make_rows(
    loops: &impl RowLoops,
    picture: &DoubledPicture<'_>,
    rows: Range<usize>,
    sums: &mut [Scratch<i16>; 2],
    out: &mut RgbRows<'_>,
) {
    for (number, y) in rows.enumerate() {
        let (first_row, taps) = picture.vertical.taps(y, picture.shift);
        let columns = sums.each_mut().map(|sums| &mut sums[..picture.chroma_width]);
        loops.vertical(columns, picture.chroma.map(|plane| plane.from_row(first_row)), taps);
        let chroma = sums.each_ref().map(|sums| &**sums);
        let luma = &picture.luma.from_row(y).samples[..picture.width];
        let mut rgb = out.row(number, picture.width);
        let done = loops.blocks(&mut rgb, luma, chroma);
        if done != (0..picture.width) {
            make_edges(loops, picture, done, &mut rgb, luma, chroma);
        }
    }
}

/// The pixels around those that are done.
fn make_edges(
    loops: &impl RowLoops,
    picture: &DoubledPicture<'_>,
    done: Range<usize>,
    rgb: &mut [&mut [u8]; 3],
    luma: &[u8],
    chroma: [&[i16]; 2],
) {
    let (left, right) = (done.start, luma.len() - done.end);
    if left + right > EDGES || picture.horizontal.stride() != HORIZONTAL_MULTIPLE {
        make_pixels(picture, 0..left, rgb, luma, chroma);
        return make_pixels(picture, done.end..luma.len(), rgb, luma, chroma);
    }
    let mut samples = [[0; EDGES]; 3];
    edge_samples(picture.horizontal, 0..left, &mut samples, 0, luma, chroma);
    edge_samples(picture.horizontal, done.end..luma.len(), &mut samples, left, luma, chroma);
    for (row, levels) in rgb.iter_mut().zip(loops.few(&samples)) {
        row[..left].copy_from_slice(&levels[..left]);
        row[done.end..].copy_from_slice(&levels[left..left + right]);
    }
}

/// Samples of the three planes for these pixels, to places from `at` on.
#[inline]
fn edge_samples(
    horizontal: &Weights,
    pixels: Range<usize>,
    [y, u, v]: &mut [[i16; EDGES]; 3],
    at: usize,
    luma: &[u8],
    chroma: [&[i16]; 2],
) {
    for (at, x) in (at..EDGES).zip(pixels) {
        let (first, taps) = horizontal.padded_row(x);
        let Some(taps) = taps.first_chunk() else { return };
        y[at] = luma_sample(luma[x]);
        u[at] = weighted(chroma[0], first, taps, horizontal.bits());
        v[at] = weighted(chroma[1], first, taps, horizontal.bits());
    }
}

/// One output of the horizontal pass.
#[inline]
fn weighted(row: &[i16], first: usize, taps: &[i16; HORIZONTAL_MULTIPLE], bits: u32) -> i16 {
    let Some(samples) = row.get(first..).and_then(|row| row.first_chunk::<HORIZONTAL_MULTIPLE>()) else { return 0 };
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

    fn blocks(&self, rgb: &mut [&mut [u8]; 3], luma: &[u8], chroma: [&[i16]; 2]) -> Range<usize> {
        make_pixels(self.0, 0..luma.len(), rgb, luma, chroma);
        0..luma.len()
    }

    fn few(&self, samples: &[[i16; EDGES]; 3]) -> [[u8; EDGES]; 3] {
        let mut levels = [[0; EDGES]; 3];
        let rows = levels.each_mut().map(|row| row.as_mut_slice());
        matrix_body(rows, samples.each_ref().map(|row| row.as_slice()), self.0.matrix);
        levels
    }
}
