//! From resampled planes to R, G, B: the inverse of a matrix of ITU-T H.273 and of the range, as one 3x3 integer matrix.
//!
//! Primaries and transfer are left as they are: no gamut or tone mapping, the RGB is the source's own R'G'B'.

use crate::media::{ColorModel, ColorRange, ColorSpec, PixelFormat};
use crate::{Error, Result};

/// Fraction bits of resampled samples in units of an 8-bit level.
pub(super) const SAMPLE_BITS: u32 = 6;

/// The sample that stands for a level of none: resampled samples count from the middle of the levels.
pub(super) const MIDDLE: i32 = 128 << SAMPLE_BITS;

/// Fraction bits of the matrix, which are those that a product of two words loses to be a word again.
pub(super) const MATRIX_BITS: u32 = 15;

/// Fraction bits of what the matrix sums to, in units of a level: entries are halved, so that those of most colours are below one.
pub(super) const SUM_BITS: u32 = SAMPLE_BITS - 1;

/// `out[c] = clamp((sum over p of product(planes[p], values[c][p]) + bias[c]) >> SUM_BITS, 0, 255)`, where a [`product`] is rounded,
/// all in `i32`. `bias` holds the offsets of the range and one half, so results are rounded half up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matrix {
    pub(super) values: [[i32; 3]; 3],
    pub(super) bias: [i32; 3],
    /// The same in 16 bits, where that can be.
    pub(super) words: Option<Words>,
}

/// The matrix of Y, Cb and Cr, or of gray, for sums of 16 bits that saturate:
///
/// ```text
/// y = product(Y, luma) + bias        green = (y + product(Cb, green[0])) + product(Cr, green[1])
/// red = y + product(Cr, red)         blue = y + (Cb + product(Cb, blue))
/// ```
///
/// No sum saturates that is not clamped in the end: it is [`Matrix`] for all samples. Blue's own entry is often above one. The samples of
/// gray for Cb and Cr are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) luma: i16,
    pub(super) red: i16,
    pub(super) green: [i16; 2],
    pub(super) blue: i16,
    pub(super) bias: i16,
}

impl Words {
    fn new(values: [[i32; 3]; 3], bias: [i32; 3]) -> Option<Self> {
        let [[luma, red_u, red], [luma_of_green, green_u, green_v], [luma_of_blue, blue, blue_v]] = values;
        let is_shared = luma == luma_of_green && luma == luma_of_blue && bias[0] == bias[1] && bias[0] == bias[2];
        // Luma and what green takes of Cb leave room for each other, and luma cannot bring back what saturates of blue.
        let is_small = luma.abs() + green_u.abs() + bias[0].abs() < 1 << 15 && luma - bias[0] <= 3 << 13;
        if !is_shared || !is_small || (red_u, blue_v) != (0, 0) {
            return None;
        }
        let word = |value: i32| i16::try_from(value).ok();
        Some(Self {
            luma: word(luma)?,
            red: word(red)?,
            green: [word(green_u)?, word(green_v)?],
            blue: word(blue - (1 << MATRIX_BITS))?,
            bias: word(bias[0])?,
        })
    }

    /// Red, green and blue of a pixel.
    #[inline]
    pub(super) fn levels(&self, y: i16, u: i16, v: i16) -> [u8; 3] {
        let product = |sample: i16, entry: i16| product(i32::from(sample), i32::from(entry));
        let y = product(y, self.luma) + i32::from(self.bias);
        let green = y + product(u, self.green[0]) + product(v, self.green[1]);
        let sums = [y + product(v, self.red), green, y + i32::from(u) + product(u, self.blue)];
        sums.map(|sum| (sum >> SUM_BITS).clamp(0, 255) as u8)
    }
}

/// A sample times an entry, rounded half up.
#[inline]
pub(super) fn product(sample: i32, entry: i32) -> i32 {
    (sample.wrapping_mul(entry).wrapping_add(1 << (MATRIX_BITS - 1))) >> MATRIX_BITS
}

impl Matrix {
    /// The matrix for frames of that format and colour. A matrix that is no linear function of R'G'B' (constant luminance,
    /// ICtCp) or that depends on the primaries is unsupported.
    pub(super) fn new(format: PixelFormat, color: ColorSpec, height: u32) -> Result<Self> {
        let (rows, offsets) = exact(format, color, height)?;
        let unit = f64::from(1_u32 << MATRIX_BITS) / 2.0;
        let values = rows.map(|row| row.map(|entry| (entry * unit).round() as i32));
        let bias = rows.map(|row| {
            let level: f64 = row.iter().zip(offsets).map(|(entry, offset)| entry * f64::from(128 - offset)).sum();
            (level * f64::from(1_u32 << SUM_BITS)).round() as i32 + (1 << (SUM_BITS - 1))
        });
        Ok(Self { values, bias, words: Words::new(values, bias) })
    }
}

/// Rows for R, G, B over planes 0, 1, 2, in units of 8-bit levels (a sample of depth d counts as sample / 2^(d - 8)), and
/// the level of each plane that stands for zero.
fn exact(format: PixelFormat, color: ColorSpec, height: u32) -> Result<([[f64; 3]; 3], [i32; 3])> {
    // Full range ends at 2^d - 1, which is 255.75 and not 255 at 10 bits.
    let peak = f64::from((1_u32 << format.depth) - 1) / f64::from(1_u32 << (format.depth - 8));
    let (luma, chroma, black) = match color.range {
        ColorRange::Limited => (255.0 / 219.0, 255.0 / 224.0, 16),
        ColorRange::Full => (255.0 / peak, 255.0 / peak, 0),
    };
    match format.model {
        ColorModel::Gray => Ok(([[luma, 0.0, 0.0]; 3], [black; 3])),
        ColorModel::Gbr => Ok(([[0.0, 0.0, luma], [luma, 0.0, 0.0], [0.0, luma, 0.0]], [black; 3])),
        ColorModel::Yuv => {
            let rows = difference_rows(color, height)?;
            Ok((rows.map(|[u, v]| [luma, u * chroma, v * chroma]), [black, 128, 128]))
        }
    }
}

/// What R, G and B add to luma, per unit of the first and second chroma plane.
fn difference_rows(color: ColorSpec, height: u32) -> Result<[[f64; 2]; 3]> {
    let code = color.matrix_in_use(height);
    let (red, blue) = match code {
        1 => (0.2126, 0.0722),
        4 => (0.30, 0.11),
        5 | 6 => (0.299, 0.114),
        7 => (0.212, 0.087),
        // YCgCo: the chroma planes are Cg and Co.
        8 => return Ok([[-1.0, 1.0], [1.0, 0.0], [-1.0, -1.0]]),
        9 => (0.2627, 0.0593),
        _ => {
            return Err(Error::unsupported(format!("colour matrix {code} (H.273), expected 1, 4 to 9 or unspecified")));
        }
    };
    let green = 1.0 - red - blue;
    let (u, v) = (2.0 * (1.0 - blue), 2.0 * (1.0 - red));
    Ok([[0.0, v], [-u * blue / green, -v * red / green], [u, 0.0]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn spec(matrix: u8, range: ColorRange) -> ColorSpec {
        ColorSpec { matrix, range, ..ColorSpec::guess(480) }
    }

    fn rgb(matrix: &Matrix, planes: [i32; 3]) -> [i32; 3] {
        std::array::from_fn(|c| {
            let sum: i32 = (0..3).map(|p| product((planes[p] << SAMPLE_BITS) - MIDDLE, matrix.values[c][p])).sum();
            ((sum + matrix.bias[c]) >> SUM_BITS).clamp(0, 255)
        })
    }

    #[test]
    fn neutral_chroma_is_grey_in_every_matrix_and_range() {
        for code in [1, 4, 5, 6, 7, 8, 9] {
            for range in [ColorRange::Limited, ColorRange::Full] {
                let matrix = Matrix::new(PixelFormat::YUV420P, spec(code, range), 480).unwrap();
                for y in 0..256 {
                    let [r, g, b] = rgb(&matrix, [y, 128, 128]);
                    assert!(r == g && g == b, "matrix {code}, {range:?}, {y}: {r} {g} {b}");
                }
            }
        }
    }

    #[test]
    fn sums_of_words_that_saturate_are_the_matrix() {
        let mut state = 1_u32;
        let mut sample = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // A third of them at the ends of what a word holds.
            [(state >> 16) as i16, ((state >> 16) as i16) / 4, [i16::MIN, i16::MAX][(state >> 31) as usize]]
                [(state >> 8) as usize % 3]
        };
        let word = |sample: i16, entry: i16| product(i32::from(sample), i32::from(entry)) as i16;
        for code in [1, 4, 5, 6, 7, 9] {
            for range in [ColorRange::Limited, ColorRange::Full] {
                let matrix = Matrix::new(PixelFormat::YUV420P, spec(code, range), 480).unwrap();
                let words = matrix.words.unwrap();
                for _ in 0..100_000 {
                    let planes = [sample(), sample(), sample()];
                    let expected = matrix.values.map(|row| {
                        let products = row.iter().zip(planes).map(|(&entry, sample)| product(i32::from(sample), entry));
                        ((products.sum::<i32>() + matrix.bias[0]) >> SUM_BITS).clamp(0, 255) as u8
                    });
                    let [y, u, v] = planes;
                    assert_eq!(words.levels(y, u, v), expected, "{planes:?}");
                    let y = word(y, words.luma).saturating_add(words.bias);
                    let green = y.saturating_add(word(u, words.green[0])).saturating_add(word(v, words.green[1]));
                    let blue = y.saturating_add(u.saturating_add(word(u, words.blue)));
                    let saturated = [y.saturating_add(word(v, words.red)), green, blue]
                        .map(|sum| (sum >> SUM_BITS).clamp(0, 255) as u8);
                    assert_eq!(saturated, expected, "{planes:?}");
                }
            }
        }
        // Neither has luma in common, or zeros.
        assert!(Matrix::new(PixelFormat::YUV420P, spec(8, ColorRange::Full), 480).unwrap().words.is_none());
    }

    #[test]
    fn black_and_white_are_reached_exactly() {
        let limited = Matrix::new(PixelFormat::YUV420P, spec(1, ColorRange::Limited), 720).unwrap();
        assert_eq!((rgb(&limited, [16, 128, 128]), rgb(&limited, [235, 128, 128])), ([0; 3], [255; 3]));
        let full = Matrix::new(PixelFormat::YUV420P, spec(1, ColorRange::Full), 720).unwrap();
        assert_eq!((rgb(&full, [0, 128, 128]), rgb(&full, [255, 128, 128])), ([0; 3], [255; 3]));
    }

    #[test]
    fn bars_of_bt601_come_out_as_the_standard_says() {
        // 100 % red and blue of BT.601, limited range: Y, Cb, Cr as in BT.601's own table.
        let matrix = Matrix::new(PixelFormat::YUV420P, spec(6, ColorRange::Limited), 480).unwrap();
        for (yuv, expected) in [([81, 90, 240], [255, 0, 0]), ([41, 240, 110], [0, 0, 255])] {
            for (value, wanted) in rgb(&matrix, yuv).into_iter().zip(expected) {
                assert!((value - wanted).abs() <= 2, "{yuv:?}: {value} is not {wanted}");
            }
        }
    }

    #[test]
    fn a_matrix_that_is_not_linear_is_unsupported_and_named() {
        for code in [10, 11, 12, 13, 14, 255] {
            let error = Matrix::new(PixelFormat::YUV420P, spec(code, ColorRange::Limited), 480).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.message().contains(&format!("matrix {code}")));
        }
    }

    #[test]
    fn unspecified_matrices_are_guessed_by_height() {
        let new = |code, height| Matrix::new(PixelFormat::YUV420P, spec(code, ColorRange::Limited), height).unwrap();
        assert_eq!(new(2, 720), new(1, 720));
        assert_eq!(new(2, 719), new(6, 719));
        assert_eq!(new(0, 480), new(6, 480));
    }
}
