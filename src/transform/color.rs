//! From resampled planes to R, G, B: the inverse of a matrix of ITU-T H.273 and of the range, as one 3x3 integer matrix.
//!
//! Primaries and transfer are left as they are: no gamut or tone mapping, the RGB is the source's own R'G'B'.

use crate::media::{ColorModel, ColorRange, ColorSpec, PixelFormat};
use crate::{Error, Result};

/// Fraction bits of the matrix. The largest entry, BT.2020 limited, is 2.1418 * 2^13 = 17546 and fits `i16`.
pub(super) const MATRIX_BITS: u32 = 13;

/// Fraction bits of resampled samples in units of an 8-bit level.
pub(super) const SAMPLE_BITS: u32 = 6;

/// `out[c] = clamp((values[c] . planes + bias[c]) >> (MATRIX_BITS + SAMPLE_BITS), 0, 255)`, all in `i32`, with samples in
/// 1/64 of an 8-bit level. `bias` holds the offsets of the range and one half, so results are rounded half up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Matrix {
    pub(super) values: [[i32; 3]; 3],
    pub(super) bias: [i32; 3],
}

impl Matrix {
    /// The matrix for frames of that format and colour. A matrix that is no linear function of R'G'B' (constant luminance,
    /// ICtCp) or that depends on the primaries is unsupported.
    pub(super) fn new(format: PixelFormat, color: ColorSpec, height: u32) -> Result<Self> {
        let (rows, offsets) = exact(format, color, height)?;
        let unit = f64::from(1_u32 << MATRIX_BITS);
        let values = rows.map(|row| row.map(|value| (value * unit).round() as i32));
        let bias = values.map(|row| {
            let offset: i32 = row.iter().zip(offsets).map(|(value, offset)| value * offset).sum();
            (1 << (MATRIX_BITS + SAMPLE_BITS - 1)) - (offset << SAMPLE_BITS)
        });
        Ok(Self { values, bias })
    }

    /// Whether red takes nothing of the second plane, and blue nothing of the third. So it is of Y, Cb and Cr.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "for AVX2 and AVX-512"))]
    pub(super) fn has_zeros(&self) -> bool {
        self.values[0][1] == 0 && self.values[2][2] == 0
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
            let sum: i32 = (0..3).map(|p| matrix.values[c][p] * (planes[p] << SAMPLE_BITS)).sum();
            ((sum + matrix.bias[c]) >> (MATRIX_BITS + SAMPLE_BITS)).clamp(0, 255)
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
