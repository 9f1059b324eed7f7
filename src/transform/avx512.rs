//! The loops of arithmetic in AVX-512 by hand, as `avx2` has them: twice as wide, a multiplication and a sum in one instruction, and
//! samples picked out of 32 by another. The results are those of the plain loops, bit for bit.
//!
//! Unpacking puts the lower and the upper half of each 128 bits into two vectors, and packing puts them back: values that went
//! through both are in order.

#![expect(unsafe_code, reason = "loads and stores through pointers, within lengths that were compared before")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one argument about lengths holds for all loads and stores of a block"
)]

use super::color::{MIDDLE, SAMPLE_BITS, SUM_BITS, Words};
use super::groups::{Layout, Sixteen};
use super::kernels::{DoubledRow, Kept, vertical_start};
use super::weights::{Regular, Weights};
use std::arch::x86_64::{
    __m128i, __m512i, _mm_cvtsi32_si128, _mm_setr_epi8, _mm256_loadu_si256, _mm256_storeu_si256, _mm512_adds_epi16,
    _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_cvtepi32_epi16, _mm512_cvtepu8_epi16, _mm512_dpbusd_epi32,
    _mm512_dpwssd_epi32, _mm512_loadu_si512, _mm512_mask_blend_epi16, _mm512_mulhrs_epi16, _mm512_packs_epi32,
    _mm512_packus_epi16, _mm512_permutex2var_epi64, _mm512_permutexvar_epi16, _mm512_permutexvar_epi64,
    _mm512_set1_epi8, _mm512_set1_epi16, _mm512_set1_epi32, _mm512_setr_epi64, _mm512_setzero_si512,
    _mm512_shuffle_epi8, _mm512_sll_epi16, _mm512_sll_epi32, _mm512_slli_epi16, _mm512_sra_epi32, _mm512_srai_epi16,
    _mm512_srl_epi32, _mm512_storeu_si512, _mm512_sub_epi16, _mm512_unpackhi_epi8, _mm512_unpackhi_epi16,
    _mm512_unpacklo_epi8, _mm512_unpacklo_epi16, _mm512_xor_si512,
};
use std::ops::Range;

/// Samples of 16 bits in a vector.
const VALUES: usize = 32;
/// Columns that the vertical loop sums together, and pixels that the matrix takes.
const COLUMNS: usize = 2 * VALUES;
/// Outputs of a group.
const OUTPUTS: usize = 16;

/// `dst[x] = ((sum over k of weights[k] * samples[k * stride + x] + half) >> shift) - MIDDLE`. False, and nothing done, where there are
/// fewer columns than [`COLUMNS`], or rows end too early.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn vertical(dst: &mut [i16], samples: &[u8], stride: usize, weights: &[i16], shift: u32) -> bool {
    let reach = weights.len().checked_sub(1).and_then(|rows| rows.checked_mul(stride)?.checked_add(dst.len()));
    if dst.len() < COLUMNS || reach.is_none_or(|reach| reach > samples.len()) {
        return false;
    }
    let last = dst.len() - COLUMNS;
    let kernel = Kernel::of(weights, shift);
    let mut x = 0;
    loop {
        // SAFETY: `x + COLUMNS` is within `dst`, and so within each row: the last one ends at `reach`, within `samples`.
        unsafe {
            let (out, first_row) = (dst.as_mut_ptr().add(x), samples.as_ptr().add(x));
            match kernel {
                Kernel::Widen { left } => widen(out, first_row, left),
                Kernel::Bytes { quad, shift } => quads(out, first_row, stride, weights.len(), quad, shift),
                Kernel::Words => columns(out, first_row, stride, weights, shift),
            }
        }
        if x == last {
            return true;
        }
        // The last columns may overlap the ones before, and give them the same values again.
        x = (x + COLUMNS).min(last);
    }
}

/// How a block of columns is summed.
#[derive(Clone, Copy)]
enum Kernel {
    /// One weight, a power of two: samples are shifted by so many bits.
    Widen {
        left: u32,
    },
    /// At most four weights, all of them so many times the same power of two that a byte holds the rest: so it is where chroma is enlarged twice
    /// by cubic or linear weights. The sums lack that power.
    Bytes {
        quad: i32,
        shift: u32,
    },
    Words,
}

impl Kernel {
    fn of(weights: &[i16], shift: u32) -> Self {
        if let &[weight] = weights
            && weight > 0
            && weight.count_ones() == 1
            && let Some(left) = weight.trailing_zeros().checked_sub(shift)
        {
            return Self::Widen { left };
        }
        let common = weights.iter().fold(0, |bits, &weight| bits | weight).trailing_zeros();
        if weights.len() > 4 || common >= shift {
            return Self::Words;
        }
        let mut quad = 0;
        for (number, &weight) in weights.iter().enumerate() {
            let Ok(weight) = i8::try_from(weight >> common) else { return Self::Words };
            quad |= i32::from(weight as u8) << (8 * number);
        }
        Self::Bytes { quad, shift: shift - common }
    }
}

/// One block of columns of at most four rows, the weights being bytes.
///
/// # Safety
/// As for [`columns`], of `rows` rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn quads(out: *mut i16, first_row: *const u8, stride: usize, rows: usize, quad: i32, shift: u32) {
    let zero = _mm512_setzero_si512();
    // SAFETY: only rows that there are are read, by the caller's word.
    let row = |number: usize| unsafe {
        if number < rows { load(first_row.wrapping_add(number * stride).cast()) } else { zero }
    };
    let (a, b, c, d) = (row(0), row(1), row(2), row(3));
    let (low, high) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
    let (other_low, other_high) = (_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d));
    let (weights, start) = (_mm512_set1_epi32(quad), _mm512_set1_epi32(vertical_start(shift)));
    let shift = _mm_cvtsi32_si128(shift as i32);
    let first = _mm512_dpbusd_epi32(start, _mm512_unpacklo_epi16(low, other_low), weights);
    let second = _mm512_dpbusd_epi32(start, _mm512_unpackhi_epi16(low, other_low), weights);
    let third = _mm512_dpbusd_epi32(start, _mm512_unpacklo_epi16(high, other_high), weights);
    let fourth = _mm512_dpbusd_epi32(start, _mm512_unpackhi_epi16(high, other_high), weights);
    // The lower and the upper eight of each sixteen columns. What 8-bit samples sum to never saturates.
    let lower = _mm512_packs_epi32(_mm512_sra_epi32(first, shift), _mm512_sra_epi32(second, shift));
    let upper = _mm512_packs_epi32(_mm512_sra_epi32(third, shift), _mm512_sra_epi32(fourth, shift));
    // SAFETY: by the caller's word, and no alignment is asked for.
    unsafe { store_eights(out, lower, upper) };
}

/// Stores the eights of both vectors in turn.
///
/// # Safety
/// [`COLUMNS`] values are writable at `out`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn store_eights(out: *mut i16, lower: __m512i, upper: __m512i) {
    let (front, back) = (_mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15));
    // SAFETY: by the caller's word, and no alignment is asked for.
    unsafe {
        store(out, _mm512_permutex2var_epi64(lower, front, upper));
        store(out.add(VALUES), _mm512_permutex2var_epi64(lower, back, upper));
    }
}

/// One block of columns of one row, shifted to the left: what a single weight that is a power of two comes to.
///
/// # Safety
/// [`COLUMNS`] values are writable at `out`, and as many samples readable at `row`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn widen(out: *mut i16, row: *const u8, left: u32) {
    let (left, middle) = (_mm_cvtsi32_si128(left as i32), _mm512_set1_epi16(MIDDLE as i16));
    // SAFETY: by the caller's word, and no alignment is asked for.
    unsafe {
        let [low, high] = samples(row);
        store(out, _mm512_sub_epi16(_mm512_sll_epi16(low, left), middle));
        store(out.add(VALUES), _mm512_sub_epi16(_mm512_sll_epi16(high, left), middle));
    }
}

/// One block of columns.
///
/// # Safety
/// [`COLUMNS`] values are writable at `out`, and as many samples readable at the start of each row, one row for each weight,
/// `stride` apart.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn columns(out: *mut i16, first_row: *const u8, stride: usize, weights: &[i16], shift: u32) {
    let mut sums = [_mm512_set1_epi32(vertical_start(shift)); 4];
    let mut row = first_row;
    for pair in weights.chunks(2) {
        let (a, b) = (pair[0], pair.get(1).copied());
        // SAFETY: two rows, or the last one, lie here by the caller's word; the pointer behind them is not read from.
        let (first, second) = unsafe {
            let second = match b {
                Some(_) => samples(row.wrapping_add(stride)),
                None => [_mm512_setzero_si512(); 2],
            };
            (samples(row), second)
        };
        let weights = both(a, b.unwrap_or(0));
        for part in 0..2 {
            let (low, high) =
                (_mm512_unpacklo_epi16(first[part], second[part]), _mm512_unpackhi_epi16(first[part], second[part]));
            sums[2 * part] = _mm512_dpwssd_epi32(sums[2 * part], low, weights);
            sums[2 * part + 1] = _mm512_dpwssd_epi32(sums[2 * part + 1], high, weights);
        }
        row = row.wrapping_add(2 * stride);
    }
    let shift = _mm_cvtsi32_si128(shift as i32);
    for part in 0..2 {
        let (low, high) = (_mm512_sra_epi32(sums[2 * part], shift), _mm512_sra_epi32(sums[2 * part + 1], shift));
        // What 8-bit samples sum to never saturates.
        // SAFETY: by the caller's word, and no alignment is asked for.
        unsafe { store(out.add(VALUES * part), _mm512_packs_epi32(low, high)) };
    }
}

/// `dst[x] = (sum over k of weights_x[k] * row[first_x + k] + half) >> bits` for outputs of a run whose weights repeat; returns which
/// were done.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn horizontal_regular(dst: &mut [i16], row: &[i16], weights: &Weights, regular: &Regular) -> Range<usize> {
    let taps = |phase: usize| weights.row(regular.outputs.start + phase % regular.period).1.len();
    match taps(0).max(taps(1)).div_ceil(2) {
        1 => regular_outputs::<1>(dst, row, weights, regular),
        2 => regular_outputs::<2>(dst, row, weights, regular),
        3 => regular_outputs::<3>(dst, row, weights, regular),
        4 => regular_outputs::<4>(dst, row, weights, regular),
        // No filter has so many weights where nothing is shrunk.
        _ => 0..0,
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn regular_outputs<const PAIRS: usize>(
    dst: &mut [i16],
    row: &[i16],
    weights: &Weights,
    regular: &Regular,
) -> Range<usize> {
    let Regular { period, ref outputs } = *regular;
    if outputs.end > dst.len() || dst.len() > weights.len() {
        return 0..0;
    }
    let mut done = outputs.start..outputs.start;
    let block = VALUES * period;
    let [(first, taps), (second, other_taps)] = [0, 1].map(|phase| weights.row(outputs.start + phase % period));
    let (taps, other_taps) = (pairs::<PAIRS>(taps), pairs::<PAIRS>(other_taps));
    let rounding = Rounding::new(weights.bits());
    let reach = first.max(second) + 2 * PAIRS + VALUES - 1;
    while done.end < outputs.end {
        // The last block may overlap the one before, and give the same values again.
        let x = done.end.min(outputs.end.saturating_sub(block));
        if x < outputs.start {
            return done;
        }
        let step = (x - outputs.start) / period;
        if reach + step > row.len() {
            return done;
        }
        let Some(out) = dst.get_mut(x..x + block) else { return done };
        // SAFETY: the samples of both phases end at `reach + step` at most, within `row`; `out` is `VALUES` long for each phase, and
        // no alignment is asked for.
        unsafe {
            let (samples, out) = (row.as_ptr().add(step), out.as_mut_ptr());
            let even = phase(samples.add(first), &taps, rounding);
            if period == 1 {
                store(out, even);
            } else {
                let odd = phase(samples.add(second), &other_taps, rounding);
                store_eights(out, _mm512_unpacklo_epi16(even, odd), _mm512_unpackhi_epi16(even, odd));
            }
        }
        done.end = x + block;
    }
    done
}

/// Each two weights in every element; zeros behind the last.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn pairs<const PAIRS: usize>(weights: &[i16]) -> [__m512i; PAIRS] {
    let mut pairs = [_mm512_setzero_si512(); PAIRS];
    for (pair, weights) in pairs.iter_mut().zip(weights.chunks(2)) {
        *pair = both(weights[0], weights.get(1).copied().unwrap_or(0));
    }
    pairs
}

/// Two weights in every element.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn both(a: i16, b: i16) -> __m512i {
    _mm512_set1_epi32(i32::from(a as u16) | i32::from(b) << 16)
}

/// `(sum + half) >> bits` of 32-bit sums to 16 bits, of which there are at most that many.
#[derive(Clone, Copy)]
struct Rounding {
    half: __m512i,
    bits: __m128i,
    rest: __m128i,
}

impl Rounding {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn new(bits: u32) -> Self {
        let bits = bits.clamp(1, 16);
        Self {
            half: _mm512_set1_epi32(1_i32 << (bits - 1)),
            bits: _mm_cvtsi32_si128(bits as i32),
            rest: _mm_cvtsi32_si128(16 - bits as i32),
        }
    }
}

/// [`VALUES`] outputs one sample apart.
///
/// # Safety
/// `2 * PAIRS + VALUES - 1` samples are readable at `samples`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn phase<const PAIRS: usize>(samples: *const i16, weights: &[__m512i; PAIRS], rounding: Rounding) -> __m512i {
    let (mut even, mut odd) = (rounding.half, rounding.half);
    for (pair, &weights) in weights.iter().enumerate() {
        // SAFETY: by the caller's word.
        let (a, b) = unsafe { (load(samples.add(2 * pair)), load(samples.add(2 * pair + 1))) };
        even = _mm512_dpwssd_epi32(even, a, weights);
        odd = _mm512_dpwssd_epi32(odd, b, weights);
    }
    let (even, odd) = (_mm512_srl_epi32(even, rounding.bits), _mm512_sll_epi32(odd, rounding.rest));
    // Cut off like the plain loop's, not saturated.
    _mm512_mask_blend_epi16(0xAAAA_AAAA, even, odd)
}

/// The same for outputs whose samples lie close together, by groups of sixteen; returns how many were done.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn horizontal_grouped(dst: &mut [i16], row: &[i16], bits: u32, groups: &Layout<Sixteen, 32>) -> usize {
    match groups.pairs {
        1 => grouped::<1>(dst, row, bits, groups),
        2 => grouped::<2>(dst, row, bits, groups),
        3 => grouped::<3>(dst, row, bits, groups),
        4 => grouped::<4>(dst, row, bits, groups),
        5 => grouped::<5>(dst, row, bits, groups),
        6 => grouped::<6>(dst, row, bits, groups),
        _ => 0,
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn grouped<const PAIRS: usize>(dst: &mut [i16], row: &[i16], bits: u32, groups: &Layout<Sixteen, 32>) -> usize {
    if groups.reach > row.len() {
        return 0;
    }
    let (rounding, mut done) = (Rounding::new(bits), 0);
    let weights = groups.weights.as_chunks::<PAIRS>().0;
    for ((out, group), weights) in dst.as_chunks_mut::<OUTPUTS>().0.iter_mut().zip(&groups.groups).zip(weights) {
        let mut sums = rounding.half;
        // SAFETY: 32 samples from the group's first on, and as many for each further pair, end at `reach` at most, within `row`. The
        // other loads and the store are of arrays of their size; no alignment is asked for.
        unsafe {
            let first = row.as_ptr().add(group.first as usize);
            let index = load(group.index.as_ptr().cast());
            for (pair, weights) in weights.iter().enumerate() {
                let samples = _mm512_permutexvar_epi16(index, load(first.add(2 * pair)));
                sums = _mm512_dpwssd_epi32(sums, samples, load(weights.as_ptr()));
            }
            // Cut off like the plain loop's, not saturated.
            let values = _mm512_cvtepi32_epi16(_mm512_sra_epi32(sums, rounding.bits));
            _mm256_storeu_si256(out.as_mut_ptr().cast(), values);
        }
        done += OUTPUTS;
    }
    done
}

/// The matrix, in vectors.
struct Mixer {
    luma: __m512i,
    red: __m512i,
    green: [__m512i; 2],
    blue: __m512i,
    bias: __m512i,
    /// Of each 128 bits, a byte of the lower half and one of the upper half in turn.
    in_turn: __m512i,
}

impl Mixer {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn new(words: &Words) -> Self {
        let &Words { luma, red, green: [green_u, green_v], blue, bias } = words;
        let in_turn = _mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
        Self {
            luma: _mm512_set1_epi16(luma),
            red: _mm512_set1_epi16(red),
            green: [_mm512_set1_epi16(green_u), _mm512_set1_epi16(green_v)],
            blue: _mm512_set1_epi16(blue),
            bias: _mm512_set1_epi16(bias),
            in_turn: _mm512_broadcast_i32x4(in_turn),
        }
    }

    /// [`VALUES`] pixels: samples of Y, Cb and Cr to levels of red, green and blue that are not clamped yet.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn levels(&self, y: __m512i, u: __m512i, v: __m512i) -> [__m512i; 3] {
        let y = _mm512_adds_epi16(_mm512_mulhrs_epi16(y, self.luma), self.bias);
        let red = _mm512_adds_epi16(y, _mm512_mulhrs_epi16(v, self.red));
        let green = _mm512_adds_epi16(y, _mm512_mulhrs_epi16(u, self.green[0]));
        let green = _mm512_adds_epi16(green, _mm512_mulhrs_epi16(v, self.green[1]));
        let blue = _mm512_adds_epi16(y, _mm512_adds_epi16(u, _mm512_mulhrs_epi16(u, self.blue)));
        [_mm512_srai_epi16::<SUM_BITS>(red), _mm512_srai_epi16::<SUM_BITS>(green), _mm512_srai_epi16::<SUM_BITS>(blue)]
    }

    /// Levels of even and of odd columns to bytes of all.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn bytes(&self, even: __m512i, odd: __m512i) -> __m512i {
        _mm512_shuffle_epi8(_mm512_packus_epi16(even, odd), self.in_turn)
    }
}

/// The matrix on as many pixels as are a multiple of [`COLUMNS`]; returns how many.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn matrix(rgb: &mut [&mut [u8]; 3], planes: [&[i16]; 3], words: &Words) -> usize {
    let lengths = rgb.iter().map(|row| row.len()).chain(planes.iter().map(|row| row.len()));
    let count = lengths.min().unwrap_or(0) / COLUMNS * COLUMNS;
    let mixer = Mixer::new(words);
    let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    for x in (0..count).step_by(COLUMNS) {
        // SAFETY: `x + COLUMNS` is within all three planes, and two vectors are that many values.
        let (first, second) = unsafe {
            let [y, u, v] = [planes[0].as_ptr().add(x), planes[1].as_ptr().add(x), planes[2].as_ptr().add(x)];
            (
                mixer.levels(load(y), load(u), load(v)),
                mixer.levels(load(y.add(VALUES)), load(u.add(VALUES)), load(v.add(VALUES))),
            )
        };
        for (channel, out) in rgb.iter_mut().enumerate() {
            let bytes = _mm512_packus_epi16(first[channel], second[channel]);
            // SAFETY: `x + COLUMNS` is within `out`, and that many bytes are a vector.
            unsafe { store(out.as_mut_ptr().add(x).cast(), _mm512_permutexvar_epi64(order, bytes)) };
        }
    }
    count
}

/// Horizontal pass of chroma and matrix in one, for luma that is taken as it is and Y, Cb and Cr; returns which columns were done.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn doubled(rgb: &mut [&mut [u8]; 3], row: &DoubledRow<'_>, words: &Words) -> Range<usize> {
    let (pairs, kept) = row.weighting();
    match pairs {
        1 => doubled_blocks::<1>(rgb, row, words, kept),
        2 => doubled_blocks::<2>(rgb, row, words, kept),
        3 => doubled_blocks::<3>(rgb, row, words, kept),
        // No filter has so many weights where nothing is shrunk.
        _ => 0..0,
    }
}

/// With as many pairs of weights.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn doubled_blocks<const PAIRS: usize>(
    rgb: &mut [&mut [u8]; 3],
    row: &DoubledRow<'_>,
    words: &Words,
    kept: Kept,
) -> Range<usize> {
    let &DoubledRow { luma, chroma, weights, regular } = row;
    let outputs = regular.outputs.clone();
    let lengths = rgb.iter().map(|row| row.len()).chain([luma.len(), weights.len()]);
    let mut done = outputs.start..outputs.start;
    if lengths.min().unwrap_or(0) < outputs.end || outputs.len() < COLUMNS {
        return done;
    }
    let [(first, taps), (second, other_taps)] = [0, 1].map(|phase| weights.row(outputs.start + phase));
    let (taps, other_taps) = (pairs::<PAIRS>(taps), pairs::<PAIRS>(other_taps));
    let (keeps_first, keeps_second) = (kept == Kept::First, kept == Kept::Second);
    let (rounding, mixer) = (Rounding::new(weights.bits()), Mixer::new(words));
    let reach = first.max(second) + 2 * PAIRS + VALUES - 1;
    let (middle, upper) = (_mm512_set1_epi8(i8::MIN), _mm512_set1_epi16(!0xFF));
    while done.end < outputs.end {
        // The last block may overlap the one before, and give the same values again.
        let x = done.end.min(outputs.end - COLUMNS);
        let step = (x - outputs.start) / 2;
        if chroma.iter().any(|plane| reach + step > plane.len()) {
            return done;
        }
        // SAFETY: the samples of both phases end at `reach + step` at most, within both planes.
        let (u, v) = unsafe {
            let (u, v) = (chroma[0].as_ptr().add(step), chroma[1].as_ptr().add(step));
            (
                (
                    every_second(keeps_first, u.add(first), &taps, rounding),
                    every_second(keeps_second, u.add(second), &other_taps, rounding),
                ),
                (
                    every_second(keeps_first, v.add(first), &taps, rounding),
                    every_second(keeps_second, v.add(second), &other_taps, rounding),
                ),
            )
        };
        // SAFETY: `x + COLUMNS` is at most `outputs.end`, within `luma`.
        let bytes = unsafe { load(luma.as_ptr().add(x).cast()) };
        // Signed levels, in the upper byte of each word, and down to where a sample has them.
        let levels = _mm512_xor_si512(bytes, middle);
        let even = _mm512_srai_epi16::<{ 8 - SAMPLE_BITS }>(_mm512_slli_epi16::<8>(levels));
        let odd = _mm512_srai_epi16::<{ 8 - SAMPLE_BITS }>(_mm512_and_si512(levels, upper));
        let (even, odd) = (mixer.levels(even, u.0, v.0), mixer.levels(odd, u.1, v.1));
        for (channel, out) in rgb.iter_mut().enumerate() {
            let values = mixer.bytes(even[channel], odd[channel]);
            // SAFETY: `x + COLUMNS` is at most `outputs.end`, within `out`, and that many bytes are a vector.
            unsafe { store(out.as_mut_ptr().add(x).cast(), values) };
        }
        done.end = x + COLUMNS;
    }
    done
}

/// Each second of twice [`VALUES`] outputs: the samples as they are, or as [`phase`] gives them.
///
/// # Safety
/// As for [`phase`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn every_second<const PAIRS: usize>(
    is_kept: bool,
    samples: *const i16,
    weights: &[__m512i; PAIRS],
    rounding: Rounding,
) -> __m512i {
    // SAFETY: by the caller's word.
    unsafe { if is_kept { load(samples) } else { phase(samples, weights, rounding) } }
}

/// [`COLUMNS`] samples of a byte as two vectors.
///
/// # Safety
/// So many bytes are readable at `row`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn samples(row: *const u8) -> [__m512i; 2] {
    // SAFETY: so says the caller, and no alignment is asked for.
    let (low, high) = unsafe { (_mm256_loadu_si256(row.cast()), _mm256_loadu_si256(row.add(VALUES).cast())) };
    [_mm512_cvtepu8_epi16(low), _mm512_cvtepu8_epi16(high)]
}

/// # Safety
/// [`VALUES`] values are readable there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn load(values: *const i16) -> __m512i {
    // SAFETY: so says the caller, and no alignment is asked for.
    unsafe { _mm512_loadu_si512(values.cast()) }
}

/// # Safety
/// [`VALUES`] values are writable there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn store(values: *mut i16, vector: __m512i) {
    // SAFETY: so says the caller, and no alignment is asked for.
    unsafe { _mm512_storeu_si512(values.cast(), vector) };
}
