//! What the profile `train` makes of each clip.

use crate::media::Ratio;
use crate::transform::MAX_OUTPUT_SIDE;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Shortest side of a stored picture.
const MIN_SIDE: u32 = 16;
/// Longest GOP.
const MAX_GOP_FRAMES: u32 = 1024;

/// Size of the pictures of [`Profile::Train`](crate::Profile::Train).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrainSize {
    /// The shorter side has this many pixels, or what the clip has if that is less: nothing is enlarged. The other side follows,
    /// to the nearest even number.
    ShortSide(u32),
    /// Height and width. The picture fills them, and what stands out is cut off at equal parts, as the loader's `crop` does.
    Exact(u32, u32),
}

/// How [`Profile::Train`](crate::Profile::Train) encodes clips anew.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrainOptions {
    /// Size in pixels, even, 16 to [`MAX_OUTPUT_SIDE`] a side. Default: the shorter side 256.
    pub size: TrainSize,
    /// Frames a second, above 0 and at most 1000: the frame on screen at each instant, from the clip's first frame on. `None`
    /// keeps all frames and their timestamps. Default: `None`.
    pub fps: Option<f64>,
    /// Frames of a GOP, 1 to 1024; a clip's last one may have fewer. Short ones are cheap to enter, long ones small. Default: 16.
    pub gop_frames: u32,
    /// Constant rate factor of libx264, 1 (best) to 51; some 6 more halve the size. Default: 18.
    pub crf: f64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self { size: TrainSize::ShortSide(256), fps: None, gop_frames: 16, crf: 18.0 }
    }
}

impl TrainOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`Self::size`].
    #[must_use]
    pub fn size(mut self, size: TrainSize) -> Self {
        self.size = size;
        self
    }

    /// Sets [`Self::fps`].
    #[must_use]
    pub fn fps(mut self, fps: Option<f64>) -> Self {
        self.fps = fps;
        self
    }

    /// Sets [`Self::gop_frames`].
    #[must_use]
    pub fn gop_frames(mut self, frames: u32) -> Self {
        self.gop_frames = frames;
        self
    }

    /// Sets [`Self::crf`].
    #[must_use]
    pub fn crf(mut self, crf: f64) -> Self {
        self.crf = crf;
        self
    }

    /// Checks every field against its range.
    pub(in crate::convert) fn check(&self) -> Result<()> {
        let sides = match self.size {
            TrainSize::ShortSide(side) => vec![("short_side", side)],
            TrainSize::Exact(height, width) => vec![("size: height", height), ("size: width", width)],
        };
        for (name, side) in sides {
            if !(MIN_SIDE..=MAX_OUTPUT_SIDE).contains(&side) || side % 2 == 1 {
                let range = format!("an even number, {MIN_SIDE} to {MAX_OUTPUT_SIDE}");
                return Err(Error::invalid(format!("{name} is {side}, expected {range}")));
            }
        }
        if let Some(fps) = self.fps
            && (self.rate().is_none() || fps > 1000.0)
        {
            return Err(Error::invalid(format!("fps is {fps}, expected a number above 0, at most 1000")));
        }
        if !(1..=MAX_GOP_FRAMES).contains(&self.gop_frames) {
            return Err(Error::invalid(format!("gop is {}, expected 1 to {MAX_GOP_FRAMES} frames", self.gop_frames)));
        }
        if !(1.0..=51.0).contains(&self.crf) {
            return Err(Error::invalid(format!("crf is {}, expected 1 to 51", self.crf)));
        }
        Ok(())
    }

    /// [`Self::fps`] as an exact rate; 29.97 and its like mean the NTSC rates.
    pub(super) fn rate(&self) -> Option<Ratio> {
        self.fps.and_then(Ratio::from_f64)
    }

    /// Height and width of the stored pictures of a clip that is displayed at `width` by `height`, both even.
    pub(super) fn output_size(&self, (width, height): (u32, u32)) -> (u32, u32) {
        let even = |side: u32| (side & !1).max(2);
        match self.size {
            TrainSize::Exact(height, width) => (height, width),
            TrainSize::ShortSide(side) if side >= width.min(height) => (even(height), even(width)),
            TrainSize::ShortSide(side) => {
                let scale = |long: u32, short: u32| {
                    let half = f64::from(long) * f64::from(side) / f64::from(short) / 2.0;
                    (half.round() as u32 * 2).clamp(side, MAX_OUTPUT_SIDE)
                };
                if height <= width { (side, scale(width, height)) } else { (scale(height, width), side) }
            }
        }
    }

    /// Bytes that so many seconds take, by experience, of a source of `pixels` pixels; for the size of shards.
    pub(in crate::convert) fn estimated_bytes(&self, seconds: f64, pixels: u64) -> f64 {
        let pixels = match self.size {
            TrainSize::Exact(height, width) => f64::from(height) * f64::from(width),
            TrainSize::ShortSide(side) => (f64::from(side) * f64::from(side) * 16.0 / 9.0).min(pixels as f64),
        };
        let bytes_per_pixel = 0.03 * 2.0_f64.powf((18.0 - self.crf) / 6.0);
        seconds * self.fps.unwrap_or(30.0) * pixels * bytes_per_pixel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        let good = TrainOptions::new().fps(Some(29.97)).size(TrainSize::Exact(256, 464)).crf(1.0).gop_frames(1);
        good.check().unwrap();
        let cases = [
            (good.size(TrainSize::ShortSide(255)), "short_side is 255"),
            (good.size(TrainSize::ShortSide(14)), "short_side is 14"),
            (good.size(TrainSize::Exact(256, 16_386)), "size: width is 16386"),
            (good.size(TrainSize::Exact(17, 256)), "size: height is 17"),
            (good.fps(Some(0.0)), "fps is 0"),
            (good.fps(Some(f64::NAN)), "fps is NaN"),
            (good.fps(Some(1001.0)), "fps is 1001"),
            (good.gop_frames(0), "gop is 0"),
            (good.gop_frames(1025), "gop is 1025"),
            (good.crf(0.5), "crf is 0.5"),
            (good.crf(f64::NAN), "crf is NaN"),
        ];
        for (options, message) in cases {
            let error = options.check().unwrap_err();
            assert!(error.message().starts_with(message), "{error}");
        }
    }

    #[test]
    fn the_short_side_is_exact_even_and_never_enlarged() {
        let size = |side, display| TrainOptions::new().size(TrainSize::ShortSide(side)).output_size(display);
        assert_eq!(size(256, (1920, 1080)), (256, 456));
        assert_eq!(size(256, (1080, 1920)), (456, 256));
        assert_eq!(size(256, (1024, 1024)), (256, 256));
        assert_eq!(size(256, (320, 240)), (240, 320));
        assert_eq!(size(256, (99, 75)), (74, 98));
        assert_eq!(size(256, (1, 1)), (2, 2));
        assert_eq!(size(256, (1000, 257)), (256, 996));
        assert_eq!(size(16, (65_535, 20)), (16, MAX_OUTPUT_SIDE));
    }
}
