//! The matrix in NEON, and rows of the three colours in one pass.

#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one argument about lengths holds for all loads and stores of a block"
)]

use super::{LEVELS, Phases, VALUES};
use crate::transform::color::{MIDDLE, SAMPLE_BITS, SUM_BITS, Words};
use crate::transform::doubled::{Blocks, DoubledPicture, MARGIN, RgbRows, RowLoops, make_rows};
use crate::transform::kernels::{Rows, vertical_neon};
use crate::transform::scratch::Scratch;
use crate::transform::weights::Taps;
use std::arch::aarch64::{
    int16x8_t, uint8x8_t, uint8x8x2_t, vdupq_n_s16, vld1q_s16, vld2_u8, vqaddq_s16, vqrdmulhq_s16, vqshrun_n_s16,
    vreinterpretq_s16_u16, vshll_n_u8, vst1_u8, vst2_u8, vsubq_s16,
};
use std::ops::Range;

/// The matrix, in vectors.
#[derive(Clone, Copy)]
struct Mixer {
    luma: int16x8_t,
    red: int16x8_t,
    green: [int16x8_t; 2],
    blue: int16x8_t,
    bias: int16x8_t,
}

impl Mixer {
    #[inline]
    #[target_feature(enable = "neon")]
    fn new(words: &Words) -> Self {
        let &Words { luma, red, green: [green_u, green_v], blue, bias } = words;
        Self {
            luma: vdupq_n_s16(luma),
            red: vdupq_n_s16(red),
            green: [vdupq_n_s16(green_u), vdupq_n_s16(green_v)],
            blue: vdupq_n_s16(blue),
            bias: vdupq_n_s16(bias),
        }
    }

    /// Eight pixels: samples of Y, Cb and Cr to levels of red, green and blue.
    #[inline]
    #[target_feature(enable = "neon")]
    fn levels(self, y: int16x8_t, u: int16x8_t, v: int16x8_t) -> [uint8x8_t; 3] {
        let y = vqaddq_s16(vqrdmulhq_s16(y, self.luma), self.bias);
        let red = vqaddq_s16(y, vqrdmulhq_s16(v, self.red));
        let green = vqaddq_s16(y, vqrdmulhq_s16(u, self.green[0]));
        let green = vqaddq_s16(green, vqrdmulhq_s16(v, self.green[1]));
        let blue = vqaddq_s16(y, vqaddq_s16(u, vqrdmulhq_s16(u, self.blue)));
        [
            vqshrun_n_s16::<{ SUM_BITS as i32 }>(red),
            vqshrun_n_s16::<{ SUM_BITS as i32 }>(green),
            vqshrun_n_s16::<{ SUM_BITS as i32 }>(blue),
        ]
    }
}

/// The matrix of Y, Cb and Cr on as many pixels as are a multiple of eight; returns how many.
#[target_feature(enable = "neon")]
pub(in crate::transform) fn matrix(rgb: &mut [&mut [u8]; 3], planes: [&[i16]; 3], words: &Words) -> usize {
    let mixer = Mixer::new(words);
    let lengths = rgb.iter().map(|row| row.len()).chain(planes.iter().map(|row| row.len()));
    let count = lengths.min().unwrap_or(0) / VALUES * VALUES;
    for x in (0..count).step_by(VALUES) {
        // SAFETY: `x + VALUES` is within all three planes.
        let [y, u, v] = planes.map(|row| unsafe { vld1q_s16(row.as_ptr().add(x)) });
        for (out, levels) in rgb.iter_mut().zip(mixer.levels(y, u, v)) {
            // SAFETY: `x + VALUES` is within `out`.
            unsafe { vst1_u8(out.as_mut_ptr().add(x), levels) };
        }
    }
    count
}

/// The loops of rows whose chroma is doubled, by up to `TAPS` weights. They are made in functions for processors that have the
/// instructions, and so nowhere else.
struct Doubler<const TAPS: usize> {
    blocks: Blocks,
    phases: Phases<TAPS>,
    /// Whether there is one weight alone, of the first and second of two outputs in turn.
    keeps: [bool; 2],
    mixer: Mixer,
    /// One past the last sample that the loop meets.
    reach: usize,
}

impl<const TAPS: usize> Doubler<TAPS> {
    /// `None` for fewer columns than the loop takes at once.
    #[target_feature(enable = "neon")]
    fn new(picture: &DoubledPicture<'_>) -> Option<Self> {
        let &DoubledPicture { horizontal, doubling, words, .. } = picture;
        let blocks = Blocks::new(picture, LEVELS)?;
        let phases = Phases::<TAPS>::new(horizontal, blocks.start, 2);
        let reach = MARGIN + blocks.reach(0, phases.reach);
        Some(Self { blocks, phases, keeps: doubling.keeps, mixer: Mixer::new(words), reach })
    }

    /// Horizontal pass of chroma and matrix in one; false, and nothing done, where a row is too short.
    #[target_feature(enable = "neon")]
    fn row(&self, rgb: &mut [&mut [u8]; 3], luma: &[u8], chroma: [&[i16]; 2]) -> bool {
        let Blocks { first, last, .. } = self.blocks;
        let lengths = rgb.iter().map(|row| row.len()).chain([luma.len()]);
        if lengths.min().unwrap_or(0) < last + LEVELS || chroma.iter().any(|plane| plane.len() < self.reach) {
            return false;
        }
        let mut x = first;
        loop {
            let at = self.blocks.at(x);
            // SAFETY: `x` is at most `last`, so that the samples of both phases end at `reach` at most, within both planes.
            let (u, v) = unsafe {
                let [u, v] = [chroma[0].as_ptr().add(at), chroma[1].as_ptr().add(at)];
                ([self.phase(0, u), self.phase(1, u)], [self.phase(0, v), self.phase(1, v)])
            };
            // SAFETY: `x + LEVELS` is at most `last + LEVELS`, within `luma`.
            let bytes = unsafe { vld2_u8(luma.as_ptr().add(x)) };
            let (even, odd) = (sample(bytes.0), sample(bytes.1));
            let (even, odd) = (self.mixer.levels(even, u[0], v[0]), self.mixer.levels(odd, u[1], v[1]));
            for (channel, out) in rgb.iter_mut().enumerate() {
                // SAFETY: likewise within `out`.
                unsafe { vst2_u8(out.as_mut_ptr().add(x), uint8x8x2_t(even[channel], odd[channel])) };
            }
            if x == last {
                return true;
            }
            // The last block may overlap the one before, and give the same values again.
            x = (x + LEVELS).min(last);
        }
    }

    /// The first or second of two outputs in turn, eight of them: the samples as they are, or weighted.
    ///
    /// # Safety
    /// [`Phases::reach`] samples are readable at `samples`.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn phase(&self, phase: usize, samples: *const i16) -> int16x8_t {
        // SAFETY: by the caller's word.
        unsafe {
            if self.keeps[phase] {
                vld1q_s16(samples.add(self.phases.firsts[phase]))
            } else {
                self.phases.eight(phase, samples)
            }
        }
    }
}

/// Levels that are taken as they are to samples.
#[inline]
#[target_feature(enable = "neon")]
fn sample(levels: uint8x8_t) -> int16x8_t {
    let left = vshll_n_u8::<{ SAMPLE_BITS as i32 }>(levels);
    vsubq_s16(vreinterpretq_s16_u16(left), vdupq_n_s16(MIDDLE as i16))
}

impl<const TAPS: usize> RowLoops for Doubler<TAPS> {
    fn vertical(&self, out: [&mut [i16]; 2], rows: [Rows<'_, u8>; 2], taps: Taps<'_>) {
        let [u, v] = out;
        // SAFETY: these loops are made where the processor has what the functions need.
        unsafe {
            vertical_neon(u, rows[0], taps);
            vertical_neon(v, rows[1], taps);
        }
    }

    fn layout(&self) -> Option<&Blocks> {
        Some(&self.blocks)
    }

    fn blocks(&self, rgb: &mut [&mut [u8]; 3], luma: &[u8], chroma: [&[i16]; 2]) -> bool {
        // SAFETY: likewise.
        unsafe { self.row(rgb, luma, chroma) }
    }
}

/// Makes rows of a picture; false, and nothing done, where it has fewer columns than the loop takes at once.
#[target_feature(enable = "neon")]
pub(in crate::transform) fn doubled(
    picture: &DoubledPicture<'_>,
    rows: Range<usize>,
    sums: &mut [Scratch<i16>; 2],
    out: &mut RgbRows<'_>,
) -> bool {
    match picture.doubling.pairs {
        1 => doubled_by::<2>(picture, rows, sums, out),
        2 => doubled_by::<4>(picture, rows, sums, out),
        _ => doubled_by::<6>(picture, rows, sums, out),
    }
}

#[target_feature(enable = "neon")]
fn doubled_by<const TAPS: usize>(
    picture: &DoubledPicture<'_>,
    rows: Range<usize>,
    sums: &mut [Scratch<i16>; 2],
    out: &mut RgbRows<'_>,
) -> bool {
    let Some(loops) = Doubler::<TAPS>::new(picture) else { return false };
    make_rows(&loops, picture, rows, sums, out);
    true
}
