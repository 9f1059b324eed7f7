//! The inner loops: vertical pass, horizontal pass, matrix, interleaving. Plain integer code on fixed-size blocks, written so that
//! the compiler vectorises it, compiled for the target's baseline, for AVX2, AVX-512 and NEON, chosen at run time. Where a loop by
//! hand is faster (`avx2`, `avx512`, `neon`), it is that one. All give the same bits, as all arithmetic is integer.
//!
//! The arithmetic is specified in the module's documentation (`transform`); overflow cannot happen for samples within
//! their depth, and samples beyond it (16-bit storage of fewer bits) wrap without a panic.

#![expect(
    unsafe_code,
    reason = "calls of functions compiled for AVX2, AVX-512 or NEON after the processor was asked for it"
)]
#![expect(clippy::inline_always, reason = "a body must be inlined to be compiled for its caller's instruction set")]

use super::color::{MIDDLE, Matrix, SUM_BITS, product};
use super::doubled::{DoubledPicture, Plain, RgbRows, make_rows};
#[cfg(target_arch = "aarch64")]
use super::neon;
use super::planar::Quantizer;
use super::scratch::Scratch;
use super::weights::{Taps, Weights};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use std::ops::Range;

/// Weights per output of a horizontal table come in multiples of this.
pub(super) const HORIZONTAL_MULTIPLE: usize = 8;

/// A sample type of decoded planes.
pub(super) trait Sample: Copy {
    /// The plane's bytes as samples; a last incomplete sample is left out.
    fn view(bytes: &[u8]) -> &[Self];
    /// The samples again as bytes, where each is one.
    fn bytes(samples: &[Self]) -> Option<&[u8]>;
    fn value(self) -> i32;
}

impl Sample for u8 {
    fn view(bytes: &[u8]) -> &[Self] {
        bytes
    }

    fn bytes(samples: &[Self]) -> Option<&[u8]> {
        Some(samples)
    }

    #[inline(always)]
    fn value(self) -> i32 {
        i32::from(self)
    }
}

/// A little-endian `u16`.
impl Sample for [u8; 2] {
    fn view(bytes: &[u8]) -> &[Self] {
        bytes.as_chunks().0
    }

    fn bytes(_: &[Self]) -> Option<&[u8]> {
        None
    }

    #[inline(always)]
    fn value(self) -> i32 {
        i32::from(u16::from_le_bytes(self))
    }
}

/// Which compilation of the loops runs on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Isa(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Baseline,
    /// Made by [`Isa::detect`] alone, after the processor said that it has AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// The same, after it said that it has AVX-512 with words (BW) and multiply-add (VNNI).
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The same, after it said that it has NEON, as all do that have an operating system.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// Rows of one plane as the vertical pass reads them: `rows[k * stride..][..dst.len()]` is the row under weight k.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a, S> {
    pub(super) samples: &'a [S],
    pub(super) stride: usize,
}

impl Rows<'_, u8> {
    /// From row `number` on.
    #[inline]
    pub(super) fn at_row(self, number: usize) -> Self {
        Self { samples: self.samples.get(number * self.stride..).unwrap_or_default(), ..self }
    }
}

/// Declares a loop's dispatcher.
macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident, $body:ident, $avx2:ident, $avx512:ident, $neon:ident $(<$g:ident: $bound:ident>)?,
        ($($arg:ident: $type:ty),+ $(,)?)) => {
        impl Isa {
            $(#[$doc])*
            pub(super) fn $name$(<$g: $bound>)?(self, $($arg: $type),+) {
                match self.0 {
                    Level::Baseline => $body($($arg),+),
                    // SAFETY: the function needs AVX2 and nothing else. `Level::Avx2` is private to this module and made
                    // by `Isa::all` alone, after `is_x86_feature_detected!("avx2")` was true.
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => unsafe { $avx2($($arg),+) },
                    // SAFETY: likewise, after the processor was asked for all that the function needs.
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => unsafe { $avx512($($arg),+) },
                    // SAFETY: likewise.
                    #[cfg(target_arch = "aarch64")]
                    Level::Neon => unsafe { $neon($($arg),+) },
                }
            }
        }
    };
}

impl Isa {
    /// The compilation that every machine of this target runs.
    pub(super) const BASELINE: Self = Self(Level::Baseline);

    /// Those of this machine, the best last.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let known = {
            use std::arch::is_x86_feature_detected as has;
            let avx2 = has!("avx2");
            let avx512 = avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512vnni");
            [(true, Level::Baseline), (avx2, Level::Avx2), (avx512, Level::Avx512)]
        };
        #[cfg(target_arch = "aarch64")]
        let known = [(true, Level::Baseline), (std::arch::is_aarch64_feature_detected!("neon"), Level::Neon)];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let known = [(true, Level::Baseline)];
        known.into_iter().filter_map(|(has, level)| has.then_some(Self(level)))
    }

    /// Makes rows `rows` of such a picture, into `out` from its first row on. `sums` are as long as [`Self::horizontal`] asks for, and
    /// two margins.
    pub(super) fn doubled(
        self,
        picture: &DoubledPicture<'_>,
        rows: Range<usize>,
        sums: &mut [Scratch<i16>; 2],
        out: &mut RgbRows<'_>,
    ) {
        #[cfg(target_arch = "x86_64")]
        let (avx512, avx2) = (self.0 == Level::Avx512, self.0 != Level::Baseline);
        // SAFETY: the processor has what the functions need, as above.
        #[cfg(target_arch = "x86_64")]
        let is_made = avx512 && unsafe { avx512::doubled(picture, rows.clone(), sums, out) }
            || avx2 && unsafe { avx2::doubled(picture, rows.clone(), sums, out) };
        // SAFETY: likewise.
        #[cfg(target_arch = "aarch64")]
        let is_made = self.0 == Level::Neon && unsafe { neon::doubled(picture, rows.clone(), sums, out) };
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let is_made = false;
        if !is_made {
            make_rows(&Plain(picture), picture, rows, sums, out);
        }
    }

    /// The best one of this machine.
    pub(super) fn detect() -> Self {
        Self::all().last().unwrap_or(Self::BASELINE)
    }
}

dispatched! {
    /// `dst[x] = ((sum over k of weights[k] * row_k[x] + half) >> shift) - MIDDLE`.
    vertical, vertical_body, vertical_avx2, vertical_avx512, vertical_neon<S: Sample>,
    (dst: &mut [i16], rows: Rows<'_, S>, taps: Taps<'_>)
}

dispatched! {
    /// `dst[x] = (sum over k of weights_x[k] * row[first_x + k] + half) >> bits`. `row` has at least
    /// `weights.stride()` values beyond those that the weights reach, and as many as its groups reach.
    horizontal, horizontal_body, horizontal_avx2, horizontal_avx512, horizontal_neon, (dst: &mut [i16], row: &[i16], weights: &Weights)
}

dispatched! {
    /// One row of three planes to one row each of R, G, B; see [`Matrix`]. All six have the same length.
    matrix, matrix_body, matrix_avx2, matrix_avx512, matrix_neon, (rgb: [&mut [u8]; 3], planes: [&[i16]; 3], matrix: &Matrix)
}

dispatched! {
    /// One row of a resampled plane to levels of eight bits.
    levels, levels_body, levels_avx2, levels_avx2, levels_neon, (out: &mut [u8], row: &[i16], quantizer: Quantizer)
}

dispatched! {
    /// `out[3 * x + c] = rgb[c][x]`.
    interleave, interleave_body, interleave_avx2, interleave_avx2, interleave_neon, (out: &mut [u8], rgb: [&[u8]; 3])
}

/// By hand for bytes, of wider samples as compiled.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
pub(super) fn vertical_avx2<S: Sample>(dst: &mut [i16], rows: Rows<'_, S>, taps: Taps<'_>) {
    let bytes = S::bytes(rows.samples);
    if !bytes.is_some_and(|samples| avx2::vertical(dst, samples, rows.stride, taps)) {
        vertical_body(dst, rows, taps);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn vertical_avx512<S: Sample>(dst: &mut [i16], rows: Rows<'_, S>, taps: Taps<'_>) {
    let bytes = S::bytes(rows.samples);
    if !bytes.is_some_and(|samples| avx512::vertical(dst, samples, rows.stride, taps)) {
        vertical_avx2(dst, rows, taps);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn horizontal_avx2(dst: &mut [i16], row: &[i16], weights: &Weights) {
    let done = match (weights.regular(), weights.groups().eights()) {
        (Some(regular), _) => avx2::horizontal_regular(dst, row, weights, regular),
        (None, Some(groups)) => 0..avx2::horizontal_grouped(dst, row, weights.bits(), groups),
        (None, None) => 0..avx2::horizontal(dst, row, weights),
    };
    horizontal_around(done, dst, row, weights);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn horizontal_avx512(dst: &mut [i16], row: &[i16], weights: &Weights) {
    let done = match (weights.regular(), weights.groups().sixteens()) {
        (Some(regular), _) => avx512::horizontal_regular(dst, row, weights, regular),
        (None, Some(groups)) => 0..avx512::horizontal_grouped(dst, row, weights.bits(), groups),
        (None, None) => return horizontal_avx2(dst, row, weights),
    };
    horizontal_around(done, dst, row, weights);
}

/// The outputs beside those that are done.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn horizontal_around(done: Range<usize>, dst: &mut [i16], row: &[i16], weights: &Weights) {
    let Range { start, end } = done;
    let len = dst.len();
    horizontal_outputs(0..start, &mut dst[..start], row, weights);
    horizontal_outputs(end..len, &mut dst[end..], row, weights);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn matrix_avx2(mut rgb: [&mut [u8]; 3], planes: [&[i16]; 3], matrix: &Matrix) {
    let done = matrix.words.as_ref().map_or(0, |words| avx2::matrix(&mut rgb, planes, words));
    matrix_body(rgb.map(|row| &mut row[done..]), planes.map(|row| &row[done..]), matrix);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn matrix_avx512(mut rgb: [&mut [u8]; 3], planes: [&[i16]; 3], matrix: &Matrix) {
    let done = matrix.words.as_ref().map_or(0, |words| avx512::matrix(&mut rgb, planes, words));
    matrix_avx2(rgb.map(|row| &mut row[done..]), planes.map(|row| &row[done..]), matrix);
}

/// As compiled.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn levels_avx2(out: &mut [u8], row: &[i16], quantizer: Quantizer) {
    levels_body(out, row, quantizer);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn interleave_avx2(out: &mut [u8], rgb: [&[u8]; 3]) {
    let done = avx2::interleave(out, rgb);
    interleave_body(&mut out[3 * done..], rgb.map(|row| &row[done..]));
}

/// By hand for bytes, of wider samples as compiled.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
pub(super) fn vertical_neon<S: Sample>(dst: &mut [i16], rows: Rows<'_, S>, taps: Taps<'_>) {
    let bytes = S::bytes(rows.samples);
    if !bytes.is_some_and(|samples| neon::vertical(dst, samples, rows.stride, taps)) {
        vertical_body(dst, rows, taps);
    }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn horizontal_neon(dst: &mut [i16], row: &[i16], weights: &Weights) {
    let done = match (weights.regular(), weights.groups().eights()) {
        (Some(regular), _) => neon::horizontal_regular(dst, row, weights, regular),
        (None, Some(groups)) => 0..neon::horizontal_grouped(dst, row, weights.bits(), groups),
        (None, None) => 0..neon::horizontal(dst, row, weights),
    };
    horizontal_around(done, dst, row, weights);
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn matrix_neon(mut rgb: [&mut [u8]; 3], planes: [&[i16]; 3], matrix: &Matrix) {
    let done = matrix.words.as_ref().map_or(0, |words| neon::matrix(&mut rgb, planes, words));
    matrix_body(rgb.map(|row| &mut row[done..]), planes.map(|row| &row[done..]), matrix);
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn levels_neon(out: &mut [u8], row: &[i16], quantizer: Quantizer) {
    let done = neon::levels(out, row, quantizer);
    levels_body(&mut out[done..], &row[done..], quantizer);
}

/// As compiled, which is by the instruction made for it.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn interleave_neon(out: &mut [u8], rgb: [&[u8]; 3]) {
    interleave_body(out, rgb);
}

/// What the sums of the vertical pass begin with: half of what is cut off, and the middle of the levels, which counts as none.
#[inline(always)]
pub(super) fn vertical_start(shift: u32) -> i32 {
    ((1 << shift) >> 1) - (MIDDLE << shift)
}

/// Columns that are summed together, in registers.
const BLOCK: usize = 32;

#[inline(always)]
pub(super) fn vertical_body<S: Sample>(dst: &mut [i16], rows: Rows<'_, S>, taps: Taps<'_>) {
    let width = dst.len();
    let mut x = 0;
    while x + BLOCK <= width {
        vertical_block::<S, BLOCK>(dst, x, rows, taps);
        x += BLOCK;
    }
    if x < width && width >= BLOCK {
        // The last columns are done by a block that overlaps the one before and gives it the same values again.
        vertical_block::<S, BLOCK>(dst, width - BLOCK, rows, taps);
        return;
    }
    while x < width {
        vertical_block::<S, 1>(dst, x, rows, taps);
        x += 1;
    }
}

#[inline(always)]
fn vertical_block<S: Sample, const N: usize>(dst: &mut [i16], x: usize, rows: Rows<'_, S>, taps: Taps<'_>) {
    let Taps { weights, shift, .. } = taps;
    let mut sums = [vertical_start(shift); N];
    let mut start = x;
    for &weight in weights {
        let Some(samples) = rows.samples.get(start..).and_then(|rest| rest.first_chunk::<N>()) else { return };
        for (sum, sample) in sums.iter_mut().zip(samples) {
            *sum = sum.wrapping_add(sample.value().wrapping_mul(i32::from(weight)));
        }
        // Behind the last row there may be nothing to point to.
        start = start.wrapping_add(rows.stride);
    }
    for (value, sum) in dst[x..x + N].iter_mut().zip(sums) {
        *value = (sum >> shift) as i16;
    }
}

#[inline(always)]
fn horizontal_body(dst: &mut [i16], row: &[i16], weights: &Weights) {
    horizontal_outputs(0..dst.len(), dst, row, weights);
}

/// These outputs of the table, into `dst`, which is as long.
#[inline(always)]
pub(super) fn horizontal_outputs(outputs: Range<usize>, dst: &mut [i16], row: &[i16], weights: &Weights) {
    match weights.stride() {
        8 => horizontal_taps::<8>(outputs, dst, row, weights),
        16 => horizontal_taps::<16>(outputs, dst, row, weights),
        _ => horizontal_long(outputs, dst, row, weights),
    }
}

#[inline(always)]
fn horizontal_taps<const N: usize>(outputs: Range<usize>, dst: &mut [i16], row: &[i16], weights: &Weights) {
    let half = 1_i32 << (weights.bits() - 1);
    for (value, (first, taps)) in dst.iter_mut().zip(weights.padded_rows(outputs)) {
        let (Some(samples), Some(taps)) =
            (row.get(first..).and_then(<[i16]>::first_chunk::<N>), taps.first_chunk::<N>())
        else {
            return;
        };
        let mut sum = half;
        for k in 0..N {
            sum = sum.wrapping_add(i32::from(samples[k]).wrapping_mul(i32::from(taps[k])));
        }
        *value = (sum >> weights.bits()) as i16;
    }
}

#[inline(always)]
fn horizontal_long(outputs: Range<usize>, dst: &mut [i16], row: &[i16], weights: &Weights) {
    let half = 1_i32 << (weights.bits() - 1);
    for (value, (first, taps)) in dst.iter_mut().zip(weights.padded_rows(outputs)) {
        let Some(samples) = row.get(first..first + taps.len()) else { return };
        let mut sum = half;
        for (&sample, &tap) in samples.iter().zip(taps) {
            sum = sum.wrapping_add(i32::from(sample).wrapping_mul(i32::from(tap)));
        }
        *value = (sum >> weights.bits()) as i16;
    }
}

#[inline(always)]
pub(super) fn matrix_body(rgb: [&mut [u8]; 3], planes: [&[i16]; 3], matrix: &Matrix) {
    for ((out, row), bias) in rgb.into_iter().zip(matrix.values).zip(matrix.bias) {
        let samples = planes[0].iter().zip(planes[1]).zip(planes[2]);
        for (value, ((&a, &b), &c)) in out.iter_mut().zip(samples) {
            let sum = product(i32::from(a), row[0]) + product(i32::from(b), row[1]) + product(i32::from(c), row[2]);
            *value = ((sum + bias) >> SUM_BITS).clamp(0, 255) as u8;
        }
    }
}

#[inline(always)]
fn levels_body(out: &mut [u8], row: &[i16], quantizer: Quantizer) {
    out.iter_mut().zip(row).for_each(|(out, &sample)| *out = quantizer.of(sample));
}

#[inline(always)]
fn interleave_body(out: &mut [u8], rgb: [&[u8]; 3]) {
    let pixels = out.as_chunks_mut::<3>().0;
    for (((pixel, &r), &g), &b) in pixels.iter_mut().zip(rgb[0]).zip(rgb[1]).zip(rgb[2]) {
        *pixel = [r, g, b];
    }
}
