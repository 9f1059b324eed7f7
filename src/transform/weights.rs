//! Filter weights in fixed point, one table per plane and axis.
//!
//! For output i with centre c, scale s = max(step, 1) and filter f of support r, sample n has the weight f((n + 0.5 - c) / s)
//! for n from floor(c - r s + 0.5) up to but not including floor(c + r s + 0.5), cut at the edges of the plane, and the
//! weights are divided by their sum. That is Pillow's definition, which torchvision's antialiased resize shares. Where no
//! sample is under the filter the nearest one has all the weight.
//!
//! Weights are stored as `round(w * 2^bits)` in `i16`, the rounding error of each being carried to the next, so that every
//! row of weights sums to exactly 2^bits and a flat picture stays flat. `bits` is one number per table: the largest that
//! keeps all weights in `i16` and the accumulator in `i32`.

use super::color::MIDDLE;
use super::geometry::Axis;
use super::groups::Groups;
use super::options::Filter;
use crate::{Error, ErrorKind, Result};
use std::ops::Range;

/// How far rounding may have moved a position.
const EDGE: f64 = 1e-9;

impl Filter {
    /// Half the filter's width in source samples when the picture is not shrunk.
    fn support(self) -> f64 {
        match self {
            Self::Area => 0.5,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The filter for an axis of a chroma plane that is subsampled by 2^`log2` along it. A box that enlarges repeats samples, which is what was asked for of luma but
    /// would give colours in blocks, displaced by up to half a chroma sample: enlarged chroma is interpolated instead.
    pub(super) fn of_chroma(self, log2: u8, axis: Axis) -> Self {
        if self == Self::Area && log2 > 0 && axis.step < 1.0 { Self::Bilinear } else { self }
    }

    fn weight(self, x: f64) -> f64 {
        match self {
            // A sample on the edge belongs to the window that ends there, whatever rounding did to the edge.
            Self::Area => f64::from(u8::from(x > -0.5 + EDGE && x <= 0.5 + EDGE)),
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Bicubic => cubic(x.abs()),
            Self::Lanczos if x.abs() < 3.0 => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}

/// Cubic convolution with a = -0.5 (Keys 1981).
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (std::f64::consts::PI * x).sin() / (std::f64::consts::PI * x) }
}

/// Fixed-point weights of all outputs along one axis of one plane.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    /// First sample of each output.
    firsts: Vec<u32>,
    /// Number of weights of each output, at least 1, without the zeros that pad the table.
    taps: Vec<u32>,
    /// `stride` weights per output; those beyond the output's taps are zero.
    values: Vec<i16>,
    stride: usize,
    bits: u32,
    /// Largest of `firsts`.
    last_first: u32,
    regular: Option<Regular>,
    groups: Groups,
    /// Of each output, where they were asked for.
    quads: Vec<Option<Quad>>,
}

/// The weights of an output of the vertical pass, and how many bits are cut off its sum.
#[derive(Clone, Copy)]
pub(super) struct Taps<'a> {
    pub(super) weights: &'a [i16],
    pub(super) shift: u32,
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "for AVX2 and AVX-512"))]
    pub(super) quad: Option<Quad>,
}

/// At most four weights, all of them a whole number of 128ths, that bytes hold: so it is where chroma is enlarged twice by cubic or
/// linear weights. Zeros behind the last. Neither pair of them takes bytes beyond 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quad(pub(super) [[i8; 2]; 2]);

impl Quad {
    /// Fraction bits of these weights.
    const BITS: u32 = 7;

    fn of(weights: &[i16], bits: u32) -> Option<Self> {
        let unit = bits.checked_sub(Self::BITS)?;
        let mut bytes = [0; 4];
        for (byte, &weight) in bytes.get_mut(..weights.len())?.iter_mut().zip(weights) {
            *byte = i8::try_from(weight >> unit).ok().filter(|&byte| i16::from(byte) << unit == weight)?;
        }
        let [a, b, c, d] = bytes;
        let limit = 1 << Self::BITS;
        let is_small = |a: i8, b: i8| {
            let (a, b) = (i32::from(a), i32::from(b));
            a.max(0) + b.max(0) <= limit && a.min(0) + b.min(0) >= -limit
        };
        (is_small(a, b) && is_small(c, d)).then_some(Self([[a, b], [c, d]]))
    }

    /// What the sums of 16 bits begin with, which lose one bit: half of that, and the middle of the levels, which counts as none.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "for AVX2 and AVX-512"))]
    pub(super) const START: i16 = 1 - (2 * MIDDLE) as i16;
}

/// A run of outputs whose weights repeat: those of output i are those of output i - `period`, one sample further on. So it is where
/// the scale is 1 (period 1) or chroma is enlarged twice (period 2), away from the edges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Regular {
    pub(super) period: usize,
    /// A multiple of the period long.
    pub(super) outputs: Range<usize>,
}

/// Fewest outputs of a run whose weights repeat.
const MIN_REGULAR: usize = 64;

/// Most bits that keep a vertical accumulator over samples of that depth within `i32`: samples below 2^depth, and positive
/// weights that sum to less than 1.4 (the test below measures 1.34 at most, for Lanczos at an edge).
pub(super) fn vertical_bits(depth: u8) -> u32 {
    30 - u32::from(depth)
}

/// Most bits that keep a horizontal accumulator over the vertical pass's results within `i32`: two passes of weights whose
/// positive sum is 1.34 and negative sum -0.34 take 255.996 * 64 to less than 1.92 times that, 31,400, and 31,400 * 2^16 < 2^31. Samples
/// that count from the middle of the levels stay below that.
pub(super) const HORIZONTAL_BITS: u32 = 16;

impl Weights {
    /// Weights of `axis` over a plane of `source` samples, at most `max_bits` (14 or more) of fraction, padded with zeros to
    /// a multiple of `multiple` per output.
    pub(super) fn new(axis: Axis, source: u32, filter: Filter, max_bits: u32, multiple: usize) -> Result<Self> {
        let mut exact = Vec::new();
        let (mut firsts, mut taps) = (Vec::with_capacity(axis.len as usize), Vec::with_capacity(axis.len as usize));
        for i in 0..axis.len {
            let begin = exact.len();
            firsts.push(window(axis, i, source, filter, &mut exact));
            taps.push((exact.len() - begin) as u32);
        }
        let largest = exact.iter().fold(0.0, |max: f64, w| max.max(w.abs()));
        // One unit is kept free for the carried error.
        let bits = (0..=max_bits).rev().find(|bits| largest * f64::from(1_u32 << bits) < 32_766.0).unwrap_or(0);
        let stride = (taps.iter().copied().max().unwrap_or(1) as usize).next_multiple_of(multiple);
        let mut values = Vec::new();
        let total = stride.checked_mul(firsts.len()).ok_or_else(|| out_of_memory(stride))?;
        values.try_reserve_exact(total).map_err(|_| out_of_memory(stride))?;
        values.resize(total, 0);
        let mut weights = exact.iter();
        for (&taps, row) in taps.iter().zip(values.chunks_exact_mut(stride)) {
            let mut carried = 0.0;
            for (value, weight) in row.iter_mut().zip(weights.by_ref().take(taps as usize)) {
                carried += weight * f64::from(1_u32 << bits);
                *value = carried.round() as i16;
                carried -= f64::from(*value);
            }
        }
        let last_first = firsts.iter().copied().max().unwrap_or(0);
        let mut this = Self {
            firsts,
            taps,
            values,
            stride,
            bits,
            last_first,
            regular: None,
            groups: Groups::default(),
            quads: Vec::new(),
        };
        this.regular = [1, 2].into_iter().find_map(|period| this.find_regular(period));
        Ok(this)
    }

    /// The run around the middle output, where it is long enough to be worth it.
    fn find_regular(&self, period: usize) -> Option<Regular> {
        let repeats = |i: usize| {
            let ((first, row), (before, other)) = (self.row(i), self.row(i - period));
            first == before + 1 && row == other
        };
        let middle = (self.len() / 2).max(period);
        let end = (middle..self.len()).find(|&i| !repeats(i)).unwrap_or(self.len());
        let start = (period..middle).rev().find(|&i| !repeats(i)).map_or(0, |i| i + 1 - period);
        let outputs = start..end.saturating_sub(end.saturating_sub(start) % period);
        (outputs.len() >= MIN_REGULAR).then_some(Regular { period, outputs })
    }

    /// The run of outputs whose weights repeat.
    pub(super) fn regular(&self) -> Option<&Regular> {
        self.regular.as_ref()
    }

    /// Fraction bits of all weights.
    pub(super) fn bits(&self) -> u32 {
        self.bits
    }

    /// Number of outputs.
    pub(super) fn len(&self) -> usize {
        self.firsts.len()
    }

    /// Weights per output, with padding.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// First sample of output `i` and its weights, without padding.
    #[inline]
    pub(super) fn row(&self, i: usize) -> (usize, &[i16]) {
        (self.firsts[i] as usize, &self.values[i * self.stride..][..self.taps[i] as usize])
    }

    /// The same for the vertical pass, whose sums lose `shift` bits.
    #[inline]
    pub(super) fn taps(&self, i: usize, shift: u32) -> (usize, Taps<'_>) {
        let (first, weights) = self.row(i);
        // Of 8-bit samples, the sums of bytes lose one bit.
        let quad = self.quads.get(i).copied().flatten().filter(|_| shift + Quad::BITS == self.bits + 1);
        (first, Taps { weights, shift, quad })
    }

    /// Finds the weights that are bytes.
    pub(super) fn find_quads(&mut self) {
        self.quads = (0..self.len()).map(|i| Quad::of(self.row(i).1, self.bits)).collect();
    }

    /// First sample of output `i` and all its weights with padding.
    pub(super) fn padded_row(&self, i: usize) -> (usize, &[i16]) {
        (self.firsts[i] as usize, &self.values[i * self.stride..][..self.stride])
    }

    /// The same of some outputs.
    pub(super) fn padded_rows(&self, outputs: Range<usize>) -> impl Iterator<Item = (usize, &[i16])> {
        outputs.map(|i| self.padded_row(i))
    }

    /// The samples that any output needs: first and one past the last.
    pub(super) fn extent(&self) -> (usize, usize) {
        let first = self.firsts.iter().copied().min().unwrap_or(0);
        let end = self.firsts.iter().zip(&self.taps).map(|(first, taps)| first + taps).max().unwrap_or(0);
        (first as usize, end as usize)
    }

    /// Whether the outputs are samples one after another, from some on.
    pub(super) fn is_identity(&self) -> bool {
        let origin = self.firsts.first().map_or(0, |&first| first as usize);
        let one = |(i, (first, row)): (usize, (usize, &[i16]))| {
            first == origin + i && row.len() == 1 && i32::from(row[0]) == 1 << self.bits
        };
        (0..self.len()).map(|i| (i, self.row(i))).all(one)
    }

    /// The outputs laid out by [`Self::group`].
    pub(super) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Lays the outputs out in groups, where that can be.
    pub(super) fn group(&mut self) {
        self.groups = Groups::new(self);
    }

    /// One past the last sample that any output's weights meet, with padding.
    pub(super) fn reach(&self) -> usize {
        self.last_first as usize + self.stride
    }

    /// First sample of each output, [`Self::len`] of them and none beyond `reach() - stride()`; and for each output
    /// `stride()` weights with padding.
    pub(super) fn raw(&self) -> (*const u32, *const i16) {
        (self.firsts.as_ptr(), self.values.as_ptr())
    }

    /// Counts samples from `origin` on, which is at most the first that any output needs, instead of from the first of the plane. Comes
    /// before [`Self::group`].
    pub(super) fn rebase(&mut self, origin: usize) {
        for first in &mut self.firsts {
            *first = first.saturating_sub(origin as u32);
        }
        self.last_first = self.firsts.iter().copied().max().unwrap_or(0);
    }
}

fn out_of_memory(stride: usize) -> Error {
    Error::new(ErrorKind::OutOfMemory, format!("no memory for resampling tables of {stride} weights per pixel"))
}

/// Appends the normalised weights of output `i` without leading and trailing zeros; returns the first sample.
fn window(axis: Axis, i: u32, source: u32, filter: Filter, weights: &mut Vec<f64>) -> u32 {
    let centre = axis.start + (f64::from(i) + 0.5) * axis.step;
    let scale = axis.step.max(1.0);
    let reach = filter.support() * scale;
    let limit = f64::from(source);
    let mut first = (centre - reach + 0.5).floor().clamp(0.0, limit) as u32;
    let end = (centre + reach + 0.5 + EDGE * scale).floor().clamp(0.0, limit) as u32;
    let begin = weights.len();
    weights.extend((first..end).map(|n| filter.weight((f64::from(n) + 0.5 - centre) / scale)));
    let negligible = |w: f64| w.abs() < 1e-9;
    while weights.len() > begin && weights.last().is_some_and(|&w| negligible(w)) {
        weights.pop();
    }
    let zeros = weights[begin..].iter().take_while(|&&w| negligible(w)).count();
    weights.drain(begin..begin + zeros);
    first += zeros as u32;
    let sum: f64 = weights[begin..].iter().sum();
    if weights.len() == begin || sum < 1e-6 {
        weights.truncate(begin);
        weights.push(1.0);
        return centre.floor().clamp(0.0, limit - 1.0) as u32;
    }
    for weight in &mut weights[begin..] {
        *weight /= sum;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_unscaled_axis_has_one_weight_of_one() {
        for &filter in Filter::ALL {
            let weights = Weights::new(Axis { start: 0.0, step: 1.0, len: 7 }, 7, filter, 22, 1).unwrap();
            for i in 0..7 {
                assert_eq!(weights.row(i), (i, &[16_384_i16][..]), "{filter}");
            }
        }
    }

    #[test]
    fn halving_by_box_takes_pairs() {
        let weights = Weights::new(Axis { start: 0.0, step: 2.0, len: 3 }, 6, Filter::Area, 22, 4).unwrap();
        assert_eq!(weights.row(1), (2, &[16_384_i16, 16_384][..]));
        assert_eq!((weights.bits(), weights.stride(), weights.extent()), (15, 4, (0, 6)));
    }

    #[test]
    fn weights_repeat_where_the_scale_is_one_or_a_half() {
        let regular = |step: f64, start: f64, source| {
            let axis = Axis { start, step, len: 200 };
            Weights::new(axis, source, Filter::Bicubic, 16, 8).unwrap().regular().cloned()
        };
        assert_eq!(regular(1.0, 0.0, 200), Some(Regular { period: 1, outputs: 0..200 }));
        assert_eq!(regular(1.0, 0.25, 201), Some(Regular { period: 1, outputs: 1..199 }));
        let twice = regular(0.5, 0.25, 101).unwrap();
        assert!(twice.period == 2 && twice.outputs.len() > 190 && twice.outputs.len() % 2 == 0, "{twice:?}");
        assert_eq!(regular(1.7, 0.0, 340), None);
    }

    proptest! {
        #[test]
        fn weights_sum_to_one_and_stay_within_the_bounds_that_the_accumulators_assume(
            source in 1_u32..3000, len in 1_u32..300, part in 0.01_f64..=1.0, shift in 0.0_f64..=0.375,
            max_bits in 14_u32..=22, filter in proptest::sample::select(Filter::ALL),
        ) {
            let taken = f64::from(source) * part;
            let axis = Axis { start: (f64::from(source) - taken) / 2.0 + shift, step: taken / f64::from(len), len };
            let weights = Weights::new(axis, source, filter, max_bits, 8).unwrap();
            prop_assert!(weights.bits() >= 14 && weights.bits() <= max_bits);
            for i in 0..weights.len() {
                let (first, row) = weights.row(i);
                prop_assert!(first + row.len() <= source as usize);
                prop_assert_eq!(row.iter().map(|&w| i64::from(w)).sum::<i64>(), 1 << weights.bits());
                let positive: i64 = row.iter().map(|&w| i64::from(w.max(0))).sum();
                prop_assert!(positive as f64 / f64::from(1_u32 << weights.bits()) < 1.345, "{}", positive);
            }
        }
    }
}
