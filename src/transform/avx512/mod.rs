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

mod rgb;

pub(super) use rgb::{doubled, matrix};

use super::color::MIDDLE;
use super::groups::{Layout, Sixteen};
use super::kernels::{Rows, vertical_start};
use super::weights::{Quad, Regular, Taps, Weights};
use std::arch::x86_64::{
    __m128i, __m512i, _mm_cvtsi32_si128, _mm256_loadu_si256, _mm256_storeu_si256, _mm512_add_epi16,
    _mm512_castsi256_si512, _mm512_cvtepi32_epi16, _mm512_cvtepu8_epi16, _mm512_dpwssd_epi32, _mm512_inserti64x4,
    _mm512_loadu_si512, _mm512_maddubs_epi16, _mm512_mask_blend_epi16, _mm512_packs_epi32, _mm512_permutex2var_epi64,
    _mm512_permutexvar_epi16, _mm512_set1_epi16, _mm512_set1_epi32, _mm512_setr_epi64, _mm512_setzero_si512,
    _mm512_sll_epi16, _mm512_sll_epi32, _mm512_sra_epi32, _mm512_srai_epi16, _mm512_srl_epi32, _mm512_storeu_si512,
    _mm512_sub_epi16, _mm512_unpackhi_epi8, _mm512_unpackhi_epi16, _mm512_unpacklo_epi8, _mm512_unpacklo_epi16,
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
pub(super) fn vertical(dst: &mut [i16], samples: &[u8], stride: usize, taps: Taps<'_>) -> bool {
    let Taps { weights, shift, .. } = taps;
    let reach = weights.len().checked_sub(1).and_then(|rows| rows.checked_mul(stride)?.checked_add(dst.len()));
    if dst.len() < COLUMNS || reach.is_none_or(|reach| reach > samples.len()) {
        return false;
    }
    let last = dst.len() - COLUMNS;
    let kernel = Kernel::of(taps);
    let mut x = 0;
    loop {
        // SAFETY: `x + COLUMNS` is within `dst`, and so within each row: the last one ends at `reach`, within `samples`.
        unsafe {
            let (out, first_row) = (dst.as_mut_ptr().add(x), samples.as_ptr().add(x));
            match kernel {
                Kernel::Widen { left } => widen(out, first_row, left),
                Kernel::Bytes(quad) => {
                    let count = weights.len();
                    let (a, b) = (row_of(first_row, stride, 0, count), row_of(first_row, stride, 1, count));
                    let (c, d) = (row_of(first_row, stride, 2, count), row_of(first_row, stride, 3, count));
                    let [front, back] = Summer::new(quad).sums(a, b, c, d);
                    store(out, front);
                    store(out.add(VALUES), back);
                }
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
    /// Weights that are bytes.
    Bytes(Quad),
    Words,
}

impl Kernel {
    fn of(taps: Taps<'_>) -> Self {
        let Taps { weights, shift, quad } = taps;
        if let &[weight] = weights
            && weight > 0
            && weight.count_ones() == 1
            && let Some(left) = weight.trailing_zeros().checked_sub(shift)
        {
            return Self::Widen { left };
        }
        quad.map_or(Self::Words, Self::Bytes)
    }
}

/// The same as [`vertical`] for two planes at once, with weights that are bytes. False, and nothing done, where they are not, for few
/// columns, or where rows end too early.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn vertical_of_two(dst: &mut [&mut [i16]; 2], rows: [Rows<'_, u8>; 2], taps: Taps<'_>) -> bool {
    let Some(quad) = taps.quad else { return false };
    let (len, num_rows) = (dst[0].len(), taps.weights.len());
    let reach = |rows: &Rows<'_, u8>| num_rows.checked_sub(1)?.checked_mul(rows.stride)?.checked_add(len);
    let is_short = |rows: &Rows<'_, u8>| reach(rows).is_none_or(|reach| reach > rows.samples.len());
    if len < VALUES || dst[1].len() != len || rows.iter().any(is_short) {
        return false;
    }
    let summer = Summer::new(quad);
    let (first, second, strides) = (rows[0].samples, rows[1].samples, [rows[0].stride, rows[1].stride]);
    let (last, mut x) = (len - VALUES, 0);
    loop {
        // SAFETY: `x + VALUES` is within both of `dst`, and so within each row, the last of which ends within its samples.
        unsafe {
            let at = [first.as_ptr().add(x), second.as_ptr().add(x)];
            let (a, b) = (two_rows(at, strides, 0, num_rows), two_rows(at, strides, 1, num_rows));
            let (c, d) = (two_rows(at, strides, 2, num_rows), two_rows(at, strides, 3, num_rows));
            let [u, v] = summer.sums(a, b, c, d);
            store(dst[0].as_mut_ptr().add(x), u);
            store(dst[1].as_mut_ptr().add(x), v);
        }
        if x == last {
            return true;
        }
        // The last columns may overlap the ones before, and give them the same values again.
        x = (x + VALUES).min(last);
    }
}

/// Row `number` of `count` of both planes, half a vector of each; zeros behind the last.
///
/// # Safety
/// If there is such a row, so many bytes are readable there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn two_rows(first: [*const u8; 2], strides: [usize; 2], number: usize, count: usize) -> __m512i {
    if number >= count {
        return _mm512_setzero_si512();
    }
    // SAFETY: by the caller's word, and no alignment is asked for.
    unsafe {
        let u = _mm256_loadu_si256(first[0].add(number * strides[0]).cast());
        let v = _mm256_loadu_si256(first[1].add(number * strides[1]).cast());
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(u), v)
    }
}

/// Row `number` of `count`; zeros behind the last.
///
/// # Safety
/// If there is such a row, [`COLUMNS`] bytes are readable there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn row_of(first_row: *const u8, stride: usize, number: usize, count: usize) -> __m512i {
    // SAFETY: by the caller's word.
    unsafe { if number < count { load(first_row.add(number * stride).cast()) } else { _mm512_setzero_si512() } }
}

/// What sums up to four rows of bytes by weights that are bytes, in 16 bits.
#[derive(Clone, Copy)]
struct Summer([__m512i; 2]);

impl Summer {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn new(Quad([first, second]): Quad) -> Self {
        let both = |[a, b]: [i8; 2]| i16::from_le_bytes([a.cast_unsigned(), b.cast_unsigned()]);
        Self([_mm512_set1_epi16(both(first)), _mm512_set1_epi16(both(second))])
    }

    /// Sums of the columns of four rows, in order.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn sums(self, a: __m512i, b: __m512i, c: __m512i, d: __m512i) -> [__m512i; 2] {
        let Self([ab, cd]) = self;
        let start = _mm512_set1_epi16(Quad::START);
        let low = _mm512_add_epi16(start, _mm512_maddubs_epi16(_mm512_unpacklo_epi8(a, b), ab));
        let low = _mm512_add_epi16(low, _mm512_maddubs_epi16(_mm512_unpacklo_epi8(c, d), cd));
        let high = _mm512_add_epi16(start, _mm512_maddubs_epi16(_mm512_unpackhi_epi8(a, b), ab));
        let high = _mm512_add_epi16(high, _mm512_maddubs_epi16(_mm512_unpackhi_epi8(c, d), cd));
        eights(_mm512_srai_epi16::<1>(low), _mm512_srai_epi16::<1>(high))
    }
}

/// The eights of both vectors in turn.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn eights(lower: __m512i, upper: __m512i) -> [__m512i; 2] {
    let (front, back) = (_mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15));
    [_mm512_permutex2var_epi64(lower, front, upper), _mm512_permutex2var_epi64(lower, back, upper)]
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
                let [front, back] = eights(_mm512_unpacklo_epi16(even, odd), _mm512_unpackhi_epi16(even, odd));
                store(out, front);
                store(out.add(VALUES), back);
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
