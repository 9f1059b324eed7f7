//! The matrix in AVX-512, and rows of the three colours in one pass.

#![expect(
    clippy::multiple_unsafe_ops_per_block,
    reason = "one argument about lengths holds for all loads and stores of a block"
)]

use super::{COLUMNS, Rounding, VALUES, load, pairs, phase, store};
use crate::transform::color::{SAMPLE_BITS, SUM_BITS, Words};
use crate::transform::doubled::{Blocks, DoubledPicture, MARGIN, RgbRows, RowLoops, make_rows};
use crate::transform::kernels::{Rows, vertical_avx512};
use crate::transform::scratch::Scratch;
use crate::transform::weights::Taps;
use std::arch::x86_64::{
    __m512i, _mm_setr_epi8, _mm512_adds_epi16, _mm512_and_si512, _mm512_broadcast_i32x4, _mm512_mulhrs_epi16,
    _mm512_packus_epi16, _mm512_permutexvar_epi64, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_setr_epi64,
    _mm512_shuffle_epi8, _mm512_slli_epi16, _mm512_srai_epi16, _mm512_xor_si512,
};
use std::ops::Range;

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
pub(in crate::transform) fn matrix(rgb: &mut [&mut [u8]; 3], planes: [&[i16]; 3], words: &Words) -> usize {
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

/// The loops of rows whose chroma is doubled, by up to `PAIRS` pairs of weights. They are made in functions for processors that have
/// the instructions, and so nowhere else.
struct Doubler<const PAIRS: usize> {
    blocks: Blocks,
    /// First sample, weights, and whether there is one weight alone, of the first and second of two outputs in turn.
    firsts: [usize; 2],
    weights: [[__m512i; PAIRS]; 2],
    keeps: [bool; 2],
    rounding: Rounding,
    mixer: Mixer,
    /// One past the last sample that the loop meets.
    reach: usize,
}

impl<const PAIRS: usize> Doubler<PAIRS> {
    /// `None` for fewer columns than the loop takes at once.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn new(picture: &DoubledPicture<'_>) -> Option<Self> {
        let &DoubledPicture { horizontal, doubling, words, .. } = picture;
        let blocks = Blocks::new(picture, COLUMNS)?;
        let [(first, taps), (second, other_taps)] = [0, 1].map(|phase| horizontal.row(blocks.start + phase));
        Some(Self {
            blocks,
            firsts: [first, second],
            weights: [pairs(taps), pairs(other_taps)],
            keeps: doubling.keeps,
            rounding: Rounding::new(horizontal.bits()),
            mixer: Mixer::new(words),
            reach: MARGIN + blocks.reach(first.max(second), 2 * PAIRS + VALUES - 1),
        })
    }

    /// Horizontal pass of chroma and matrix in one; false, and nothing done, where a row is too short.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn row(&self, rgb: &mut [&mut [u8]; 3], luma: &[u8], chroma: [&[i16]; 2]) -> bool {
        let Blocks { first, last, .. } = self.blocks;
        let lengths = rgb.iter().map(|row| row.len()).chain([luma.len()]);
        if lengths.min().unwrap_or(0) < last + COLUMNS || chroma.iter().any(|plane| plane.len() < self.reach) {
            return false;
        }
        let (middle, upper) = (_mm512_set1_epi8(i8::MIN), _mm512_set1_epi16(!0xFF));
        let mut x = first;
        loop {
            let at = self.blocks.at(x);
            // SAFETY: `x` is at most `last`, so that the samples of both phases end at `reach` at most, within both planes.
            let (u, v) = unsafe {
                let [u, v] = [chroma[0].as_ptr().add(at), chroma[1].as_ptr().add(at)];
                ([self.phase::<0>(u), self.phase::<1>(u)], [self.phase::<0>(v), self.phase::<1>(v)])
            };
            // SAFETY: `x + COLUMNS` is at most `last + COLUMNS`, within `luma`.
            let bytes = unsafe { load(luma.as_ptr().add(x).cast()) };
            // Signed levels, in the upper byte of each word, and down to where a sample has them.
            let levels = _mm512_xor_si512(bytes, middle);
            let even = _mm512_srai_epi16::<{ 8 - SAMPLE_BITS }>(_mm512_slli_epi16::<8>(levels));
            let odd = _mm512_srai_epi16::<{ 8 - SAMPLE_BITS }>(_mm512_and_si512(levels, upper));
            let (even, odd) = (self.mixer.levels(even, u[0], v[0]), self.mixer.levels(odd, u[1], v[1]));
            for (channel, out) in rgb.iter_mut().enumerate() {
                let values = self.mixer.bytes(even[channel], odd[channel]);
                // SAFETY: likewise within `out`, and that many bytes are a vector.
                unsafe { store(out.as_mut_ptr().add(x).cast(), values) };
            }
            if x == last {
                return true;
            }
            // The last block may overlap the one before, and give the same values again.
            x = (x + COLUMNS).min(last);
        }
    }

    /// The first or second of two outputs in turn, [`VALUES`] of them: the samples as they are, or weighted.
    ///
    /// # Safety
    /// From the phase's first sample on, as many are readable behind `samples` as [`phase`] asks for.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn phase<const SECOND: usize>(&self, samples: *const i16) -> __m512i {
        // SAFETY: by the caller's word.
        unsafe {
            let samples = samples.add(self.firsts[SECOND]);
            if self.keeps[SECOND] { load(samples) } else { phase(samples, &self.weights[SECOND], self.rounding) }
        }
    }
}

impl<const PAIRS: usize> RowLoops for Doubler<PAIRS> {
    fn vertical(&self, mut out: [&mut [i16]; 2], rows: [Rows<'_, u8>; 2], taps: Taps<'_>) {
        // SAFETY: these loops are made where the processor has what the functions need.
        unsafe {
            if !super::vertical_of_two(&mut out, rows, taps) {
                let [u, v] = out;
                vertical_avx512(u, rows[0], taps);
                vertical_avx512(v, rows[1], taps);
            }
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
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(in crate::transform) fn doubled(
    picture: &DoubledPicture<'_>,
    rows: Range<usize>,
    sums: &mut [Scratch<i16>; 2],
    out: &mut RgbRows<'_>,
) -> bool {
    match picture.doubling.pairs {
        1 => doubled_by::<1>(picture, rows, sums, out),
        2 => doubled_by::<2>(picture, rows, sums, out),
        _ => doubled_by::<3>(picture, rows, sums, out),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn doubled_by<const PAIRS: usize>(
    picture: &DoubledPicture<'_>,
    rows: Range<usize>,
    sums: &mut [Scratch<i16>; 2],
    out: &mut RgbRows<'_>,
) -> bool {
    let Some(loops) = Doubler::<PAIRS>::new(picture) else { return false };
    make_rows(&loops, picture, rows, sums, out);
    true
}
