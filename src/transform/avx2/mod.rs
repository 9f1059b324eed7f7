//! The loops in AVX2 by hand. One instruction multiplies and sums two products at a time, which the
//! compiler does not find by itself; the results are those of the plain loops, bit for bit.
//!
//! Each function compares the lengths of its slices with what its loops reach before the first load, and then goes
//! through pointers: a check for each load costs more than the arithmetic.

#![expect(unsafe_code, reason = "loads and stores through pointers, within lengths that were compared before")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one argument about lengths holds for all loads and stores of a block"
)]

mod rgb;

pub(super) use rgb::{doubled, matrix};

use super::color::MIDDLE;
use super::groups::{Eight, Layout};
use super::kernels::vertical_start;
use super::weights::{Quad, Regular, Taps, Weights};
use std::arch::x86_64::{
    __m128i, __m256i, _mm_cvtsi32_si128, _mm_loadu_si128, _mm_or_si128, _mm_packus_epi32, _mm_shuffle_epi8,
    _mm_storeu_si128, _mm_unpacklo_epi16, _mm256_add_epi16, _mm256_add_epi32, _mm256_and_si256, _mm256_blend_epi16,
    _mm256_castsi128_si256, _mm256_castsi256_si128, _mm256_cvtepu8_epi16, _mm256_extracti128_si256, _mm256_hadd_epi32,
    _mm256_inserti128_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_packs_epi32,
    _mm256_packus_epi32, _mm256_permute2x128_si256, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256,
    _mm256_shuffle_epi8, _mm256_sll_epi16, _mm256_sll_epi32, _mm256_sra_epi32, _mm256_srai_epi16, _mm256_srl_epi32,
    _mm256_srli_epi32, _mm256_storeu_si256, _mm256_sub_epi16, _mm256_unpackhi_epi8, _mm256_unpackhi_epi16,
    _mm256_unpacklo_epi8, _mm256_unpacklo_epi16,
};
use std::ops::Range;

/// Columns that the vertical loop sums together, in registers.
const COLUMNS: usize = 32;
/// Samples in a vector.
const VALUES: usize = 16;
/// Outputs that the horizontal loop computes together.
const OUTPUTS: usize = 8;
/// Weights of a horizontal table that are multiplied together. Its rows are a multiple of it long.
const TAPS: usize = 8;

/// `dst[x] = ((sum over k of weights[k] * samples[k * stride + x] + half) >> shift) - MIDDLE`. False, and nothing done, where there are
/// fewer columns than [`COLUMNS`], or rows end too early.
#[target_feature(enable = "avx2")]
pub(super) fn vertical(dst: &mut [i16], samples: &[u8], stride: usize, taps: Taps<'_>) -> bool {
    let Taps { weights, shift, quad } = taps;
    let reach = weights.len().checked_sub(1).and_then(|rows| rows.checked_mul(stride)?.checked_add(dst.len()));
    if dst.len() < COLUMNS || reach.is_none_or(|reach| reach > samples.len()) {
        return false;
    }
    if let &[weight] = weights
        && weight > 0
        && weight.count_ones() == 1
        && weight.trailing_zeros() >= shift
    {
        widen(dst, samples, weight.trailing_zeros() - shift);
        return true;
    }
    let (pairs, single) = weights.as_chunks::<2>();
    let last = dst.len() - COLUMNS;
    let mut x = 0;
    loop {
        // SAFETY: `x + COLUMNS` is within `dst`, and so within each row: the last one ends at `reach`, within `samples`.
        unsafe {
            let (out, column) = (dst.as_mut_ptr().add(x), samples.as_ptr().add(x));
            match quad {
                Some(quad) => quads(out, column, stride, weights.len(), quad),
                None => columns(out, column, stride, pairs, single.first().copied(), shift),
            }
        }
        if x == last {
            return true;
        }
        // The last columns may overlap the ones before, and give them the same values again.
        x = (x + COLUMNS).min(last);
    }
}

/// `dst[x] = (samples[x] << left) - MIDDLE`: what a single weight that is a power of two comes to. There are at least [`VALUES`] columns, and no
/// fewer samples.
#[inline]
#[target_feature(enable = "avx2")]
fn widen(dst: &mut [i16], samples: &[u8], left: u32) {
    let (left, middle) = (_mm_cvtsi32_si128(left as i32), _mm256_set1_epi16(MIDDLE as i16));
    let last = dst.len().min(samples.len()).saturating_sub(VALUES);
    let mut x = 0;
    while let (Some(bytes), Some(out)) = (samples.get(x..x + VALUES), dst.get_mut(x..x + VALUES)) {
        // SAFETY: both are `VALUES` long, and no alignment is asked for.
        unsafe {
            let values = _mm256_cvtepu8_epi16(_mm_loadu_si128(bytes.as_ptr().cast()));
            let values = _mm256_sub_epi16(_mm256_sll_epi16(values, left), middle);
            _mm256_storeu_si256(out.as_mut_ptr().cast(), values);
        }
        if x == last {
            return;
        }
        x = (x + VALUES).min(last);
    }
}

/// One block of columns of at most four rows, the weights being bytes.
///
/// # Safety
/// As for [`columns`], of `rows` rows.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn quads(out: *mut i16, first_row: *const u8, stride: usize, rows: usize, quad: Quad) {
    // SAFETY: by the caller's word.
    let (a, b, c, d) = unsafe {
        (
            row_of(first_row, stride, 0, rows),
            row_of(first_row, stride, 1, rows),
            row_of(first_row, stride, 2, rows),
            row_of(first_row, stride, 3, rows),
        )
    };
    let [ab, cd] = quad.0.map(|[a, b]| i16::from_le_bytes([a.cast_unsigned(), b.cast_unsigned()]));
    let (ab, cd, start) = (_mm256_set1_epi16(ab), _mm256_set1_epi16(cd), _mm256_set1_epi16(Quad::START));
    let low = _mm256_add_epi16(start, _mm256_maddubs_epi16(_mm256_unpacklo_epi8(a, b), ab));
    let low = _mm256_add_epi16(low, _mm256_maddubs_epi16(_mm256_unpacklo_epi8(c, d), cd));
    let high = _mm256_add_epi16(start, _mm256_maddubs_epi16(_mm256_unpackhi_epi8(a, b), ab));
    let high = _mm256_add_epi16(high, _mm256_maddubs_epi16(_mm256_unpackhi_epi8(c, d), cd));
    // Columns 0 to 7 and 16 to 23, and 8 to 15 and 24 to 31.
    let (outer, inner) = (_mm256_srai_epi16::<1>(low), _mm256_srai_epi16::<1>(high));
    // SAFETY: by the caller's word.
    unsafe { store_eights(out, outer, inner) };
}

/// Row `number` of `count`; zeros behind the last.
///
/// # Safety
/// If there is such a row, [`COLUMNS`] bytes are readable there.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn row_of(first_row: *const u8, stride: usize, number: usize, count: usize) -> __m256i {
    // SAFETY: by the caller's word.
    unsafe { if number < count { load(first_row.add(number * stride)) } else { _mm256_setzero_si256() } }
}

/// Stores the eights of both vectors in turn.
///
/// # Safety
/// Two vectors are writable at `out`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store_eights(out: *mut i16, lower: __m256i, upper: __m256i) {
    // SAFETY: so says the caller, and no alignment is asked for.
    unsafe {
        _mm256_storeu_si256(out.cast(), _mm256_permute2x128_si256::<0x20>(lower, upper));
        _mm256_storeu_si256(out.add(VALUES).cast(), _mm256_permute2x128_si256::<0x31>(lower, upper));
    }
}

/// One block of columns.
///
/// # Safety
/// [`COLUMNS`] values are writable at `out`, and as many samples readable at the start of each row, one row for each weight,
/// `stride` apart.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn columns(
    out: *mut i16,
    first_row: *const u8,
    stride: usize,
    pairs: &[[i16; 2]],
    single: Option<i16>,
    shift: u32,
) {
    let mut sums = [_mm256_set1_epi32(vertical_start(shift)); 4];
    let mut row = first_row;
    for &[a, b] in pairs {
        let both = _mm256_set1_epi32(i32::from(a as u16) | i32::from(b) << 16);
        // SAFETY: two rows lie here by the caller's word; the pointer to the third is not read from unless it is there.
        unsafe {
            add_rows(&mut sums, load(row), load(row.wrapping_add(stride)), both);
        }
        row = row.wrapping_add(2 * stride);
    }
    if let Some(weight) = single {
        // SAFETY: the last row lies here by the caller's word.
        let last = unsafe { load(row) };
        add_rows(&mut sums, last, _mm256_setzero_si256(), _mm256_set1_epi32(i32::from(weight as u16)));
    }
    let shift = _mm_cvtsi32_si128(shift as i32);
    let (a, b) = (_mm256_sra_epi32(sums[0], shift), _mm256_sra_epi32(sums[1], shift));
    let (c, d) = (_mm256_sra_epi32(sums[2], shift), _mm256_sra_epi32(sums[3], shift));
    // Columns 0 to 7 and 16 to 23, 8 to 15 and 24 to 31. What 8-bit samples sum to never saturates.
    let (outer, inner) = (_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    // SAFETY: by the caller's word.
    unsafe { store_eights(out, outer, inner) };
}

/// Adds two rows of bytes times the weights in the lower and upper half of each element of `both`.
#[inline]
#[target_feature(enable = "avx2")]
fn add_rows(sums: &mut [__m256i; 4], first: __m256i, second: __m256i, both: __m256i) {
    let zero = _mm256_setzero_si256();
    let (low, high) = (_mm256_unpacklo_epi8(first, second), _mm256_unpackhi_epi8(first, second));
    let columns = [
        _mm256_unpacklo_epi8(low, zero),
        _mm256_unpackhi_epi8(low, zero),
        _mm256_unpacklo_epi8(high, zero),
        _mm256_unpackhi_epi8(high, zero),
    ];
    for (sum, columns) in sums.iter_mut().zip(columns) {
        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(columns, both));
    }
}

/// `dst[x] = (sum over k of weights_x[k] * row[first_x + k] + half) >> bits`, for as many outputs as are a multiple of
/// eight; returns how many.
#[target_feature(enable = "avx2")]
pub(super) fn horizontal(dst: &mut [i16], row: &[i16], weights: &Weights) -> usize {
    if weights.reach() > row.len() || dst.len() > weights.len() || !weights.stride().is_multiple_of(TAPS) {
        return 0;
    }
    let count = dst.len() / OUTPUTS * OUTPUTS;
    for x in (0..count).step_by(OUTPUTS) {
        // SAFETY: `x + OUTPUTS` is within `dst`, and so within the table, none of whose rows reaches beyond `row`.
        unsafe {
            let out = dst.as_mut_ptr().add(x);
            match weights.stride() {
                8 => outputs::<1>(out, row.as_ptr(), weights, x, 1),
                16 => outputs::<2>(out, row.as_ptr(), weights, x, 2),
                24 => outputs::<3>(out, row.as_ptr(), weights, x, 3),
                stride => outputs::<0>(out, row.as_ptr(), weights, x, stride / TAPS),
            }
        }
    }
    count
}

/// The same for outputs of a run whose weights repeat; returns which were done. Each load then serves eight outputs of a phase,
/// and the weights are the same for all of them.
#[target_feature(enable = "avx2")]
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
#[target_feature(enable = "avx2")]
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
                _mm256_storeu_si256(out.cast(), even);
            } else {
                let odd = phase(samples.add(second), &other_taps, rounding);
                store_eights(out, _mm256_unpacklo_epi16(even, odd), _mm256_unpackhi_epi16(even, odd));
            }
        }
        done.end = x + block;
    }
    done
}

/// Each two weights in every element; zeros behind the last.
#[inline]
#[target_feature(enable = "avx2")]
fn pairs<const PAIRS: usize>(weights: &[i16]) -> [__m256i; PAIRS] {
    let mut pairs = [_mm256_setzero_si256(); PAIRS];
    for (pair, weights) in pairs.iter_mut().zip(weights.chunks(2)) {
        let (a, b) = (weights[0], weights.get(1).copied().unwrap_or(0));
        *pair = _mm256_set1_epi32(i32::from(a as u16) | i32::from(b) << 16);
    }
    pairs
}

/// `(sum + half) >> bits` of 32-bit sums to 16 bits, of which there are at most that many.
#[derive(Clone, Copy)]
struct Rounding {
    half: __m256i,
    bits: __m128i,
    rest: __m128i,
}

impl Rounding {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(bits: u32) -> Self {
        let bits = bits.clamp(1, 16);
        Self {
            half: _mm256_set1_epi32(1_i32 << (bits - 1)),
            bits: _mm_cvtsi32_si128(bits as i32),
            rest: _mm_cvtsi32_si128(16 - bits as i32),
        }
    }

    /// Sums of even and of odd outputs, which began with [`Self::half`], to all of them in order. Cut off like the plain loop's, not
    /// saturated.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn interleaved(self, even: __m256i, odd: __m256i) -> __m256i {
        _mm256_blend_epi16::<0b1010_1010>(_mm256_srl_epi32(even, self.bits), _mm256_sll_epi32(odd, self.rest))
    }

    /// Eight sums to the lower half of the elements.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn narrowed(self, sums: __m256i) -> __m128i {
        let values = _mm256_srli_epi32::<16>(_mm256_sll_epi32(sums, self.rest));
        _mm_packus_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values))
    }
}

/// Sixteen outputs one sample apart.
///
/// # Safety
/// `2 * PAIRS + VALUES - 1` samples are readable at `samples`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn phase<const PAIRS: usize>(samples: *const i16, weights: &[__m256i; PAIRS], rounding: Rounding) -> __m256i {
    let (mut even, mut odd) = (rounding.half, rounding.half);
    for (pair, &weights) in weights.iter().enumerate() {
        // SAFETY: by the caller's word.
        let (a, b) = unsafe { (load(samples.add(2 * pair).cast()), load(samples.add(2 * pair + 1).cast())) };
        even = _mm256_add_epi32(even, _mm256_madd_epi16(a, weights));
        odd = _mm256_add_epi32(odd, _mm256_madd_epi16(b, weights));
    }
    rounding.interleaved(even, odd)
}

/// The same for outputs whose samples lie close together, by groups of eight; returns how many were done.
#[target_feature(enable = "avx2")]
pub(super) fn horizontal_grouped(dst: &mut [i16], row: &[i16], bits: u32, groups: &Layout<Eight, 16>) -> usize {
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
#[target_feature(enable = "avx2")]
fn grouped<const PAIRS: usize>(dst: &mut [i16], row: &[i16], bits: u32, groups: &Layout<Eight, 16>) -> usize {
    if groups.reach > row.len() {
        return 0;
    }
    let (rounding, mut done) = (Rounding::new(bits), 0);
    let weights = groups.weights.as_chunks::<PAIRS>().0;
    for ((out, group), weights) in dst.as_chunks_mut::<OUTPUTS>().0.iter_mut().zip(&groups.groups).zip(weights) {
        let mut sums = rounding.half;
        // SAFETY: eight samples from each of the group's firsts on, and as many for each further pair, end at `reach` at most, within
        // `row`. The other loads and the store are of arrays of their size; no alignment is asked for.
        unsafe {
            let [low, high] = group.firsts;
            let (low, high) = (row.as_ptr().add(low as usize), row.as_ptr().add(high as usize));
            let shuffle = load(group.shuffle.as_ptr());
            for (pair, weights) in weights.iter().enumerate() {
                let samples = load_two(low.add(2 * pair), high.add(2 * pair));
                let samples = _mm256_shuffle_epi8(samples, shuffle);
                sums = _mm256_add_epi32(sums, _mm256_madd_epi16(samples, load(weights.as_ptr().cast())));
            }
            _mm_storeu_si128(out.as_mut_ptr().cast(), rounding.narrowed(sums));
        }
        done += OUTPUTS;
    }
    done
}

/// Pixels that are interleaved together: as many as bytes in half a vector.
const PIXELS: usize = 16;

/// For each third of 48 interleaved bytes and each channel: which pixel each byte shows, and 0x80 where it is another channel's.
const INTERLEAVED: [[[u8; PIXELS]; 3]; 3] = {
    let mut masks = [[[0x80; PIXELS]; 3]; 3];
    let mut byte = 0;
    while byte < 3 * PIXELS {
        masks[byte / PIXELS][byte % 3][byte % PIXELS] = (byte / 3) as u8;
        byte += 1;
    }
    masks
};

/// `out[3 * x + c] = rgb[c][x]` on as many pixels as are a multiple of sixteen; returns how many.
#[target_feature(enable = "avx2")]
pub(super) fn interleave(out: &mut [u8], rgb: [&[u8]; 3]) -> usize {
    let chunks = rgb.map(|row| row.as_chunks::<PIXELS>().0);
    let mut done = 0;
    for (((out, r), g), b) in
        out.as_chunks_mut::<{ 3 * PIXELS }>().0.iter_mut().zip(chunks[0]).zip(chunks[1]).zip(chunks[2])
    {
        // SAFETY: three stores to an array of 48 bytes; no alignment is asked for.
        unsafe {
            let (r, g, b) = (load_half(r), load_half(g), load_half(b));
            for (part, [of_r, of_g, of_b]) in INTERLEAVED.iter().enumerate() {
                let rg = _mm_or_si128(_mm_shuffle_epi8(r, load_half(of_r)), _mm_shuffle_epi8(g, load_half(of_g)));
                let rgb = _mm_or_si128(rg, _mm_shuffle_epi8(b, load_half(of_b)));
                _mm_storeu_si128(out.as_mut_ptr().add(PIXELS * part).cast(), rgb);
            }
        }
        done += PIXELS;
    }
    done
}

/// An array of half a vector.
#[inline]
#[target_feature(enable = "avx2")]
fn load_half(bytes: &[u8; PIXELS]) -> __m128i {
    // SAFETY: sixteen bytes, and no alignment is asked for.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// Outputs `x` to `x + OUTPUTS`. `CHUNKS` is `chunks`, or 0 where the compiler need not know.
///
/// # Safety
/// [`OUTPUTS`] values are writable at `out`; the table has so many outputs from `x` on, `chunks * TAPS` weights for each, and at
/// `row` at least [`Weights::reach`] values are readable.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn outputs<const CHUNKS: usize>(out: *mut i16, row: *const i16, weights: &Weights, x: usize, chunks: usize) {
    let chunks = if CHUNKS == 0 { chunks } else { CHUNKS };
    let (firsts, values) = weights.raw();
    let mut pairs = [_mm256_setzero_si256(); OUTPUTS / 2];
    for (pair, sum) in pairs.iter_mut().enumerate() {
        let even = x + 2 * pair;
        // SAFETY: by the caller's word both outputs are in the table, and their samples and weights readable.
        unsafe {
            let (a, b) = (row.add(*firsts.add(even) as usize), row.add(*firsts.add(even + 1) as usize));
            let weights = values.add(even * chunks * TAPS);
            for chunk in (0..chunks * TAPS).step_by(TAPS) {
                let samples = load_two(a.add(chunk), b.add(chunk));
                let weights = load_two(weights.add(chunk), weights.add(chunks * TAPS + chunk));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(samples, weights));
            }
        }
    }
    let [ab, cd, ef, gh] = pairs;
    // Even outputs in the lower half, odd ones in the upper.
    let sums = _mm256_hadd_epi32(_mm256_hadd_epi32(ab, cd), _mm256_hadd_epi32(ef, gh));
    let sums = _mm256_add_epi32(sums, _mm256_set1_epi32(1_i32 << (weights.bits() - 1)));
    let values = _mm256_sra_epi32(sums, _mm_cvtsi32_si128(weights.bits() as i32));
    // Cut off like the plain loop's, not saturated.
    let values = _mm256_and_si256(values, _mm256_set1_epi32(0xFFFF));
    let packed = _mm256_packus_epi32(values, values);
    let (even, odd) = (_mm256_castsi256_si128(packed), _mm256_extracti128_si256::<1>(packed));
    // SAFETY: by the caller's word eight values are writable there, and no alignment is asked for.
    unsafe { _mm_storeu_si128(out.cast(), _mm_unpacklo_epi16(even, odd)) };
}

/// # Safety
/// 32 bytes are readable at `bytes`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load(bytes: *const u8) -> __m256i {
    // SAFETY: so says the caller, and no alignment is asked for.
    unsafe { _mm256_loadu_si256(bytes.cast()) }
}

/// # Safety
/// Eight values are readable at each of the two.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_two(low: *const i16, high: *const i16) -> __m256i {
    // SAFETY: so says the caller, and no alignment is asked for.
    let (low, high): (__m128i, __m128i) = unsafe { (_mm_loadu_si128(low.cast()), _mm_loadu_si128(high.cast())) };
    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
}
