//! How far the stored pictures are from the resized ones that they were made from: PSNR over all frames of a clip.

use crate::media::FrameView;

/// PSNR of pictures without any difference, in the place of infinity; H.264 of eight bits ends near 60.
const SAME: f64 = 100.0;

/// Squared differences of 8-bit samples, added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Errors {
    squares: u64,
    samples: u64,
}

impl Errors {
    fn psnr(self) -> f64 {
        if self.squares == 0 {
            return SAME;
        }
        (10.0 * (255.0 * 255.0 * self.samples as f64 / self.squares as f64).log10()).min(SAME)
    }
}

/// The differences of a clip so far: of luma, and of the chroma planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Quality {
    luma: Errors,
    chroma: Errors,
}

impl Quality {
    /// Adds a picture, I420 of the size of `decoded`, which is 8-bit 4:2:0.
    pub(super) fn add(&mut self, picture: &[u8], decoded: &FrameView<'_>) {
        let mut rest = picture;
        for plane in 0..decoded.format.num_planes() {
            let (width, height) = decoded.format.plane_size(plane, decoded.width, decoded.height);
            let errors = if plane == 0 { &mut self.luma } else { &mut self.chroma };
            for row in 0..height {
                let Some((this, after)) = rest.split_at_checked(width as usize) else { return };
                let squares = this.iter().zip(decoded.row(plane, row)).map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2));
                errors.squares += u64::from(squares.sum::<u32>());
                errors.samples += u64::from(width);
                rest = after;
            }
        }
    }

    /// PSNR of luma in decibels, from the mean squared error over all frames.
    pub(super) fn psnr_y(&self) -> f64 {
        self.luma.psnr()
    }

    /// PSNR of all samples, luma and chroma.
    pub(super) fn psnr(&self) -> f64 {
        let (luma, chroma) = (self.luma, self.chroma);
        Errors { squares: luma.squares + chroma.squares, samples: luma.samples + chroma.samples }.psnr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{PixelFormat, PlaneView};

    #[test]
    fn psnr_is_that_of_the_mean_squared_error_over_all_frames() {
        let decoded = [100_u8; 24];
        let planes = [(0, 4), (16, 2), (20, 2)].map(|(at, stride)| PlaneView { data: &decoded[at..], stride });
        let view = FrameView { format: PixelFormat::YUV420P, width: 4, height: 4, planes };
        let mut quality = Quality::default();
        quality.add(&[100; 24], &view);
        assert_eq!((quality.psnr_y(), quality.psnr()), (SAME, SAME));
        let mut picture = [100; 24];
        (picture[0], picture[23]) = (104, 94);
        quality.add(&picture, &view);
        // 16 over 2 x 16 samples of luma; 16 + 36 over 48 samples.
        let expected = |mean: f64| 10.0 * (65_025.0 / mean).log10();
        assert!((quality.psnr_y() - expected(0.5)).abs() < 1e-9);
        assert!((quality.psnr() - expected(52.0 / 48.0)).abs() < 1e-9);
    }
}
