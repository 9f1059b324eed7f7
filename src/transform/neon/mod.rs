//! The loops in NEON by hand: products of 16 bits summed in 32, which the compiler does in 32 bits or one output at a time. Interleaving and the
//! vertical pass of wider samples are as compiled. The results are those of the plain loops, bit for bit; they were compared under
//! emulation and not timed.
//!
//! As in `avx2`, lengths are compared before the first load.

#![expect(unsafe_code, reason = "loads and stores through pointers, within lengths that were compared before")]
#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one argument about lengths holds for all loads and stores of a block"
)]

mod rgb;

pub(super) use rgb::{doubled, matrix};

use super::color::MIDDLE;
use super::groups::{Eight, Layout};
use super::planar::{LEVEL_SHIFT, Quantizer};
use super::weights::{Regular, Taps, Weights};
use std::arch::aarch64::{
    int16x4_t, int16x8_t, int16x8x2_t, int32x4_t, uint8x16_t, vdup_n_s16, vdupq_n_s32, vget_low_s16, vget_low_u8,
    vld1_s16, vld1q_s16, vld1q_u8, vmlal_high_lane_s16, vmlal_high_laneq_s16, vmlal_high_s16, vmlal_lane_s16,
    vmlal_laneq_s16, vmlal_s16, vmovl_high_u8, vmovl_u8, vmovn_high_s32, vmovn_s32, vpaddq_s32, vqshrn_high_n_u16,
    vqshrn_n_u16, vqshrun_high_n_s32, vqshrun_n_s32, vqtbl1q_u8, vreinterpretq_s16_u8, vreinterpretq_s16_u16,
    vreinterpretq_u8_s16, vrshlq_s32, vst1q_s16, vst1q_u8, vst2q_s16,
};
use std::ops::Range;

/// Columns that the vertical loop sums together, in registers.
const COLUMNS: usize = 32;
/// Samples of 16 bits in a vector, and outputs that the horizontal loops compute together.
const VALUES: usize = 8;
/// Levels in a vector.
const LEVELS: usize = 16;

/// `dst[x] = ((sum over k of weights[k] * samples[k * stride + x] + half) >> shift) - MIDDLE`. False, and nothing done, where there are
/// fewer columns than [`COLUMNS`], or rows end too early.
#[target_feature(enable = "neon")]
pub(super) fn vertical(dst: &mut [i16], samples: &[u8], stride: usize, taps: Taps<'_>) -> bool {
    let Taps { weights, shift, .. } = taps;
    let reach = weights.len().checked_sub(1).and_then(|rows| rows.checked_mul(stride)?.checked_add(dst.len()));
    if dst.len() < COLUMNS || reach.is_none_or(|reach| reach > samples.len()) {
        return false;
    }
    let last = dst.len() - COLUMNS;
    let mut x = 0;
    loop {
        // SAFETY: `x + COLUMNS` is within `dst`, and so within each row: the last one ends at `reach`, within `samples`.
        unsafe {
            columns(dst.as_mut_ptr().add(x), samples.as_ptr().add(x), stride, weights, shift);
        }
        if x == last {
            return true;
        }
        // The last columns may overlap the ones before, and give them the same values again.
        x = (x + COLUMNS).min(last);
    }
}

/// One block of columns.
///
/// # Safety
/// [`COLUMNS`] values are writable at `out`, and as many samples readable at the start of each row, one row for each weight,
/// `stride` apart.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn columns(out: *mut i16, first_row: *const u8, stride: usize, weights: &[i16], shift: u32) {
    let mut sums = [[vdupq_n_s32(-(MIDDLE << shift)); 2]; COLUMNS / VALUES];
    let mut row = first_row;
    let (fours, rest) = weights.as_chunks::<4>();
    for four in fours {
        // SAFETY: four weights; as many rows lie here by the caller's word, and the pointer behind the last is not read from.
        unsafe {
            let weights = vld1_s16(four.as_ptr());
            add_row::<0>(&mut sums, row, weights);
            add_row::<1>(&mut sums, row.wrapping_add(stride), weights);
            add_row::<2>(&mut sums, row.wrapping_add(2 * stride), weights);
            add_row::<3>(&mut sums, row.wrapping_add(3 * stride), weights);
        }
        row = row.wrapping_add(4 * stride);
    }
    for &weight in rest {
        // SAFETY: likewise.
        unsafe { add_row::<0>(&mut sums, row, vdup_n_s16(weight)) };
        row = row.wrapping_add(stride);
    }
    for (part, sums) in sums.into_iter().enumerate() {
        // SAFETY: by the caller's word; there are four vectors of [`VALUES`] in [`COLUMNS`].
        unsafe { vst1q_s16(out.add(VALUES * part), rounded(sums, shift)) };
    }
}

/// Adds [`COLUMNS`] bytes times one of the weights.
///
/// # Safety
/// So many bytes are readable at `row`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add_row<const LANE: i32>(sums: &mut [[int32x4_t; 2]; COLUMNS / VALUES], row: *const u8, weights: int16x4_t) {
    // SAFETY: so says the caller.
    let (a, b) = unsafe { (vld1q_u8(row), vld1q_u8(row.add(LEVELS))) };
    let values = [vmovl_u8(vget_low_u8(a)), vmovl_high_u8(a), vmovl_u8(vget_low_u8(b)), vmovl_high_u8(b)];
    for (sums, values) in sums.iter_mut().zip(values) {
        *sums = add_lane::<LANE>(*sums, vreinterpretq_s16_u16(values), weights);
    }
}

/// The products of eight values and eight weights, added to eight sums.
#[inline]
#[target_feature(enable = "neon")]
fn add(sums: [int32x4_t; 2], values: int16x8_t, weights: int16x8_t) -> [int32x4_t; 2] {
    [vmlal_s16(sums[0], vget_low_s16(values), vget_low_s16(weights)), vmlal_high_s16(sums[1], values, weights)]
}

/// The products of eight values and one of the weights, added to eight sums.
#[inline]
#[target_feature(enable = "neon")]
fn add_lane<const LANE: i32>(sums: [int32x4_t; 2], values: int16x8_t, weights: int16x4_t) -> [int32x4_t; 2] {
    [
        vmlal_lane_s16::<LANE>(sums[0], vget_low_s16(values), weights),
        vmlal_high_lane_s16::<LANE>(sums[1], values, weights),
    ]
}

/// `(sum + half) >> bits`, of which there are at most 16. Cut off like the plain loop's, not saturated; a sum that overflows by the half
/// gives the same 16 bits, as `bits` are no more.
#[inline]
#[target_feature(enable = "neon")]
fn rounded(sums: [int32x4_t; 2], bits: u32) -> int16x8_t {
    let right = vdupq_n_s32(-(bits as i32));
    vmovn_high_s32(vmovn_s32(vrshlq_s32(sums[0], right)), vrshlq_s32(sums[1], right))
}

/// `dst[x] = (sum over k of weights_x[k] * row[first_x + k] + half) >> bits`, for as many outputs as are a multiple of
/// eight; returns how many.
#[target_feature(enable = "neon")]
pub(super) fn horizontal(dst: &mut [i16], row: &[i16], weights: &Weights) -> usize {
    if weights.reach() > row.len() || dst.len() > weights.len() || !weights.stride().is_multiple_of(VALUES) {
        return 0;
    }
    let count = dst.len() / VALUES * VALUES;
    for x in (0..count).step_by(VALUES) {
        // SAFETY: `x + VALUES` is within `dst`, and so within the table, none of whose rows reaches beyond `row`.
        unsafe {
            let out = dst.as_mut_ptr().add(x);
            match weights.stride() {
                8 => outputs::<8>(out, row.as_ptr(), weights, x, 8),
                16 => outputs::<16>(out, row.as_ptr(), weights, x, 16),
                24 => outputs::<24>(out, row.as_ptr(), weights, x, 24),
                stride => outputs::<0>(out, row.as_ptr(), weights, x, stride),
            }
        }
    }
    count
}

/// Outputs `x` to `x + VALUES`. `STRIDE` is `stride`, or 0 where the compiler need not know.
///
/// # Safety
/// [`VALUES`] values are writable at `out`; the table has so many outputs from `x` on, `stride` weights for each, a multiple of
/// [`VALUES`], and at `row` at least [`Weights::reach`] values are readable.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn outputs<const STRIDE: usize>(out: *mut i16, row: *const i16, weights: &Weights, x: usize, stride: usize) {
    let stride = if STRIDE == 0 { stride } else { STRIDE };
    let (firsts, values) = weights.raw();
    let mut sums = [vdupq_n_s32(0); VALUES];
    for (output, sum) in (x..).zip(&mut sums) {
        // SAFETY: by the caller's word the output is in the table, and its samples and weights readable.
        unsafe {
            let (samples, weights) = (row.add(*firsts.add(output) as usize), values.add(output * stride));
            for k in (0..stride).step_by(VALUES) {
                let (samples, weights) = (vld1q_s16(samples.add(k)), vld1q_s16(weights.add(k)));
                *sum = vmlal_high_s16(vmlal_s16(*sum, vget_low_s16(samples), vget_low_s16(weights)), samples, weights);
            }
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let low = vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
    let high = vpaddq_s32(vpaddq_s32(e, f), vpaddq_s32(g, h));
    // SAFETY: by the caller's word eight values are writable there.
    unsafe { vst1q_s16(out, rounded([low, high], weights.bits())) };
}

/// The same for outputs whose samples lie close together, by groups of eight; returns how many were done.
#[target_feature(enable = "neon")]
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
#[target_feature(enable = "neon")]
fn grouped<const PAIRS: usize>(dst: &mut [i16], row: &[i16], bits: u32, groups: &Layout<Eight, 16>) -> usize {
    if groups.reach > row.len() {
        return 0;
    }
    let mut done = 0;
    let weights = groups.weights.as_chunks::<PAIRS>().0;
    for ((out, group), weights) in dst.as_chunks_mut::<VALUES>().0.iter_mut().zip(&groups.groups).zip(weights) {
        let four = |half: usize| {
            let mut sums = [vdupq_n_s32(0); 2];
            // SAFETY: eight samples from each of the group's firsts on, and as many for each further pair, end at `reach` at most, within
            // `row`. The other loads are of halves of arrays of 32 bytes.
            unsafe {
                let first = row.as_ptr().add(group.firsts[half] as usize);
                let shuffle = vld1q_u8(group.shuffle.as_ptr().add(LEVELS * half));
                for (pair, weights) in weights.iter().enumerate() {
                    let samples = vqtbl1q_u8(vreinterpretq_u8_s16(vld1q_s16(first.add(2 * pair))), shuffle);
                    sums = add(sums, vreinterpretq_s16_u8(samples), vld1q_s16(weights.as_ptr().add(VALUES * half)));
                }
            }
            vpaddq_s32(sums[0], sums[1])
        };
        let values = rounded([four(0), four(1)], bits);
        // SAFETY: an array of eight values.
        unsafe { vst1q_s16(out.as_mut_ptr(), values) };
        done += VALUES;
    }
    done
}

/// The weights of a run of outputs that repeat: those of one period, of which each output is a phase.
struct Phases<const TAPS: usize> {
    firsts: [usize; 2],
    /// Up to eight of each.
    weights: [int16x8_t; 2],
    bits: u32,
    /// One past the last sample that eight outputs of each phase meet, from the run's start on.
    reach: usize,
}

impl<const TAPS: usize> Phases<TAPS> {
    #[inline]
    #[target_feature(enable = "neon")]
    fn new(weights: &Weights, start: usize, period: usize) -> Self {
        let rows = [0, 1].map(|phase| weights.row(start + phase % period));
        let firsts = rows.map(|(first, _)| first);
        let vector = |row: &[i16]| {
            let padded: [i16; VALUES] = std::array::from_fn(|k| row.get(k).copied().unwrap_or(0));
            // SAFETY: an array of eight.
            unsafe { vld1q_s16(padded.as_ptr()) }
        };
        Self {
            firsts,
            weights: rows.map(|(_, row)| vector(row)),
            bits: weights.bits(),
            reach: firsts[0].max(firsts[1]) + TAPS + VALUES - 1,
        }
    }

    /// Eight outputs of a phase, which lie one sample apart.
    ///
    /// # Safety
    /// [`Self::reach`] samples are readable at `samples`.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn eight(&self, phase: usize, samples: *const i16) -> int16x8_t {
        let (samples, weights) = (samples.wrapping_add(self.firsts[phase]), self.weights[phase]);
        // SAFETY: by the caller's word, `TAPS` vectors one sample apart are readable from the phase's first on.
        unsafe {
            let mut sums = add_two::<0, 1>([vdupq_n_s32(0); 2], samples, weights);
            if TAPS > 2 {
                sums = add_two::<2, 3>(sums, samples, weights);
            }
            if TAPS > 4 {
                sums = add_two::<4, 5>(sums, samples, weights);
            }
            if TAPS > 6 {
                sums = add_two::<6, 7>(sums, samples, weights);
            }
            rounded(sums, self.bits)
        }
    }
}

/// The products of eight samples from number `A` on and weight `A`, and of those from `B` on and weight `B`, added to eight sums.
///
/// # Safety
/// These samples are readable behind `samples`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn add_two<const A: i32, const B: i32>(
    sums: [int32x4_t; 2],
    samples: *const i16,
    weights: int16x8_t,
) -> [int32x4_t; 2] {
    // SAFETY: so says the caller.
    let (a, b) = unsafe { (vld1q_s16(samples.add(A as usize)), vld1q_s16(samples.add(B as usize))) };
    let [low, high] =
        [vmlal_laneq_s16::<A>(sums[0], vget_low_s16(a), weights), vmlal_high_laneq_s16::<A>(sums[1], a, weights)];
    [vmlal_laneq_s16::<B>(low, vget_low_s16(b), weights), vmlal_high_laneq_s16::<B>(high, b, weights)]
}

/// Most weights of an output of the run.
fn taps(weights: &Weights, regular: &Regular) -> usize {
    let taps = |phase: usize| weights.row(regular.outputs.start + phase % regular.period).1.len();
    taps(0).max(taps(1))
}

/// The same for outputs of a run whose weights repeat; returns which were done.
#[target_feature(enable = "neon")]
pub(super) fn horizontal_regular(dst: &mut [i16], row: &[i16], weights: &Weights, regular: &Regular) -> Range<usize> {
    match taps(weights, regular).div_ceil(2) {
        1 => regular_outputs::<2>(dst, row, weights, regular),
        2 => regular_outputs::<4>(dst, row, weights, regular),
        3 => regular_outputs::<6>(dst, row, weights, regular),
        4 => regular_outputs::<8>(dst, row, weights, regular),
        // No filter has so many weights where nothing is shrunk.
        _ => 0..0,
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn regular_outputs<const TAPS: usize>(
    dst: &mut [i16],
    row: &[i16],
    weights: &Weights,
    regular: &Regular,
) -> Range<usize> {
    let Regular { period, ref outputs } = *regular;
    if outputs.end > dst.len() || dst.len() > weights.len() {
        return 0..0;
    }
    let (phases, block) = (Phases::<TAPS>::new(weights, outputs.start, period), VALUES * period);
    let mut done = outputs.start..outputs.start;
    while done.end < outputs.end {
        // The last block may overlap the one before, and give the same values again.
        let x = done.end.min(outputs.end.saturating_sub(block));
        if x < outputs.start {
            return done;
        }
        let step = (x - outputs.start) / period;
        if phases.reach + step > row.len() {
            return done;
        }
        let Some(out) = dst.get_mut(x..x + block) else { return done };
        // SAFETY: the samples of both phases end at `reach + step`, within `row`; `out` is `VALUES` long for each phase.
        unsafe {
            let (samples, out) = (row.as_ptr().add(step), out.as_mut_ptr());
            let even = phases.eight(0, samples);
            if period == 1 {
                vst1q_s16(out, even);
            } else {
                vst2q_s16(out, int16x8x2_t(even, phases.eight(1, samples)));
            }
        }
        done.end = x + block;
    }
    done
}

/// `(sum >> (16 + REST)).clamp(0, 255)`: to 16 bits without a sign, which never saturates at the top, and to 8.
#[inline]
#[target_feature(enable = "neon")]
fn clamped<const REST: i32>(sums: [[int32x4_t; 2]; 2]) -> uint8x16_t {
    let [low, high] = sums.map(|[a, b]| vqshrun_high_n_s32::<16>(vqshrun_n_s32::<16>(a), b));
    vqshrn_high_n_u16::<REST>(vqshrn_n_u16::<REST>(low), high)
}

/// One row of a resampled plane to levels of eight bits, as many as are a multiple of sixteen; returns how many.
#[target_feature(enable = "neon")]
pub(super) fn levels(out: &mut [u8], row: &[i16], quantizer: Quantizer) -> usize {
    let (factor, bias) = (vdup_n_s16(quantizer.factor as i16), vdupq_n_s32(quantizer.bias));
    let mut done = 0;
    for (out, row) in out.as_chunks_mut::<LEVELS>().0.iter_mut().zip(row.as_chunks::<LEVELS>().0) {
        // SAFETY: loads of sixteen values and a store of as many bytes, arrays of that length.
        unsafe {
            let values = [vld1q_s16(row.as_ptr()), vld1q_s16(row.as_ptr().add(VALUES))];
            let sums = values.map(|values| add_lane::<0>([bias; 2], values, factor));
            vst1q_u8(out.as_mut_ptr(), clamped::<{ LEVEL_SHIFT as i32 - 16 }>(sums));
        }
        done += LEVELS;
    }
    done
}
