//! What the user may ask of a transform, and the shape of what comes out. Checked as a whole by [`TransformOptions::check`].

use crate::{Error, Result};
use std::fmt;

/// Largest output height or width in pixels.
pub const MAX_OUTPUT_SIDE: u32 = 16_384;

/// How a picture of one aspect ratio comes into a rectangle of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Fit {
    /// Fill the rectangle and cut off, at equal parts on both sides, what stands out. Nothing is distorted. The default.
    #[default]
    Crop,
    /// Show the whole picture, centred, and fill the rest with the pad colour.
    Pad,
    /// Show the whole picture, distorted to the rectangle.
    Stretch,
}

/// The resampling filter. All are antialiased: the filter is widened by the scale when the picture shrinks, as in Pillow
/// and in torchvision with `antialias=True`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Filter {
    /// Box of width 1: the mean of the pixels whose centres lie under an output pixel (Pillow's `BOX`).
    /// Subsampled chroma that is enlarged to the output is interpolated as by `Bilinear`.
    Area,
    /// Triangle of width 2 (Pillow's `BILINEAR`).
    Bilinear,
    /// Cubic convolution with a = -0.5, width 4 (Pillow's `BICUBIC`). The default.
    #[default]
    Bicubic,
    /// Sinc windowed by sinc, width 6 (Pillow's `LANCZOS`).
    Lanczos,
}

/// Order of the axes of a clip: T frames, C = 3 channels (R, G, B), H rows, W columns; the last one is contiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Layout {
    /// (T, C, H, W), torchvision's video layout. The default.
    #[default]
    Tchw,
    /// (T, H, W, C), what encoders and image viewers want.
    Thwc,
    /// (C, T, H, W), what 3-D convolutions want.
    Cthw,
}

/// What a frame of a clip is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FrameFormat {
    /// R, G and B of each pixel. The default.
    #[default]
    Rgb,
    /// 8-bit Y, U and V by the clip's own matrix and range, chroma of half the rows and columns, cosited with the left luma sample
    /// of two and between two rows: half the bytes, for conversion on a GPU. A frame is one plane of H * 3 / 2 rows: H rows of Y, and
    /// as many bytes as a quarter of them each of U and of V, in rows of W / 2.
    Yuv420,
}

/// Type of the elements of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DType {
    /// 0..=255. Scale, mean and std are not applied. The default.
    #[default]
    Uint8,
    /// IEEE 754 half precision.
    Float16,
    /// The upper half of a `float32`.
    Bfloat16,
    /// IEEE 754 single precision.
    Float32,
}

macro_rules! named {
    ($type:ident, $what:literal, $($variant:ident => $name:literal),+) => {
        impl $type {
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in the API, in Python and on the command line.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The value of that name (upper or lower case). An unknown name is an invalid argument that lists the known ones.
            pub fn parse(name: &str) -> Result<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str().eq_ignore_ascii_case(name)).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|value| value.as_str()).collect();
                    Error::invalid(format!("{} is '{name}', expected one of {}", $what, known.join(", ")))
                })
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

named!(Fit, "fit", Crop => "crop", Pad => "pad", Stretch => "stretch");
named!(Filter, "filter", Area => "area", Bilinear => "bilinear", Bicubic => "bicubic", Lanczos => "lanczos");
named!(FrameFormat, "format", Rgb => "rgb", Yuv420 => "yuv420");
named!(Layout, "layout", Tchw => "TCHW", Thwc => "THWC", Cthw => "CTHW");
named!(DType, "dtype", Uint8 => "uint8", Float16 => "float16", Bfloat16 => "bfloat16", Float32 => "float32");

impl DType {
    /// Bytes per element.
    pub fn num_bytes(self) -> usize {
        match self {
            Self::Uint8 => 1,
            Self::Float16 | Self::Bfloat16 => 2,
            Self::Float32 => 4,
        }
    }
}

/// How decoded frames become tensors. The defaults give 8-bit RGB at display size, in (T, C, H, W).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TransformOptions {
    /// Output (height, width) in pixels, each 1 to [`MAX_OUTPUT_SIDE`]. `None`: the clip's own display size (rotated, with
    /// square pixels), which differs from clip to clip.
    pub size: Option<(u32, u32)>,
    /// What a frame is. [`FrameFormat::Yuv420`] has an even size, [`Layout::Tchw`], [`DType::Uint8`] and no borders.
    pub format: FrameFormat,
    /// What to do where the aspect ratios differ. Not used when `size` is `None`.
    pub fit: Fit,
    /// Resampling filter, for luma and chroma.
    pub filter: Filter,
    /// Order of the axes.
    pub layout: Layout,
    /// Type of the elements.
    pub dtype: DType,
    /// What an 8-bit level is multiplied by, for float types; finite and not 0. 1/255 by default, so that values are 0 to 1.
    pub scale: f64,
    /// Subtracted per channel after scaling, for float types; finite. 0 by default.
    pub mean: [f32; 3],
    /// Divided by per channel after that, for float types; finite and above 0. 1 by default.
    pub std: [f32; 3],
    /// Colour of the borders of [`Fit::Pad`] in 8-bit R, G, B, before scale, mean and std. Black by default.
    pub pad: [u8; 3],
}

impl Default for TransformOptions {
    fn default() -> Self {
        Self {
            size: None,
            format: FrameFormat::default(),
            fit: Fit::default(),
            filter: Filter::default(),
            layout: Layout::default(),
            dtype: DType::default(),
            scale: 1.0 / 255.0,
            mean: [0.0; 3],
            std: [1.0; 3],
            pad: [0; 3],
        }
    }
}

impl TransformOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Output height and width.
    #[must_use]
    pub fn size(mut self, height: u32, width: u32) -> Self {
        self.size = Some((height, width));
        self
    }

    /// What a frame is.
    #[must_use]
    pub fn format(mut self, format: FrameFormat) -> Self {
        self.format = format;
        self
    }

    /// What to do where the aspect ratios differ.
    #[must_use]
    pub fn fit(mut self, fit: Fit) -> Self {
        self.fit = fit;
        self
    }

    /// Resampling filter.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Order of the axes.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// Type of the elements.
    #[must_use]
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    /// Factor from 8-bit levels, for float types.
    #[must_use]
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = scale;
        self
    }

    /// Mean and standard deviation per channel, in the unit that `scale` gives, for float types.
    #[must_use]
    pub fn normalize(mut self, mean: [f32; 3], std: [f32; 3]) -> Self {
        self.mean = mean;
        self.std = std;
        self
    }

    /// Colour of the borders of [`Fit::Pad`].
    #[must_use]
    pub fn pad(mut self, rgb: [u8; 3]) -> Self {
        self.pad = rgb;
        self
    }

    /// Checks every field; the first bad one is an invalid argument that names the field, its value and its range.
    pub fn check(&self) -> Result<()> {
        if let Some((height, width)) = self.size {
            for (name, side) in [("height", height), ("width", width)] {
                if !(1..=MAX_OUTPUT_SIDE).contains(&side) {
                    return Err(Error::invalid(format!("size: {name} is {side}, expected 1 to {MAX_OUTPUT_SIDE}")));
                }
            }
        }
        if self.format == FrameFormat::Yuv420 {
            self.check_planar()?;
        }
        if !self.scale.is_finite() || self.scale == 0.0 {
            return Err(Error::invalid(format!("scale is {}, expected a finite number other than 0", self.scale)));
        }
        for (channel, mean) in self.mean.iter().enumerate() {
            if !mean.is_finite() {
                return Err(Error::invalid(format!("mean[{channel}] is {mean}, expected a finite number")));
            }
        }
        for (channel, std) in self.std.iter().enumerate() {
            if !(std.is_finite() && *std > 0.0) {
                return Err(Error::invalid(format!("std[{channel}] is {std}, expected a finite number above 0")));
            }
        }
        let normal = Self::default();
        if self.dtype == DType::Uint8 && (self.scale, self.mean, self.std) != (normal.scale, normal.mean, normal.std) {
            return Err(Error::invalid("scale, mean and std are of the float types, dtype is uint8"));
        }
        Ok(())
    }

    /// Refuses what is of RGB alone.
    fn check_planar(&self) -> Result<()> {
        if let Some((height, width)) = self.size
            && (height % 2 == 1 || width % 2 == 1)
        {
            return Err(Error::invalid(format!("size is {height}x{width}, expected even numbers for yuv420")));
        }
        if self.fit == Fit::Pad {
            return Err(Error::invalid("fit is 'pad', expected crop or stretch for yuv420"));
        }
        if self.layout != Layout::Tchw {
            return Err(Error::invalid(format!("layout is '{}', expected TCHW for yuv420", self.layout)));
        }
        if self.dtype != DType::Uint8 {
            return Err(Error::invalid(format!("dtype is '{}', expected uint8 for yuv420", self.dtype)));
        }
        Ok(())
    }
}

/// Frames, height and width of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClipShape {
    /// What a frame is.
    pub format: FrameFormat,
    /// Number of frames, T.
    pub frames: usize,
    /// Rows of the picture, H.
    pub height: usize,
    /// Columns, W.
    pub width: usize,
}

impl ClipShape {
    /// Channels of RGB, C.
    pub const CHANNELS: usize = 3;

    /// The four dimensions in the order of `layout`: of RGB three channels of H rows; of YUV 4:2:0 one of H * 3 / 2.
    pub fn shape(self, layout: Layout) -> [usize; 4] {
        let Self { frames, height, width, .. } = self;
        let (channels, height) = match self.format {
            FrameFormat::Rgb => (Self::CHANNELS, height),
            FrameFormat::Yuv420 => (1, height / 2 * 3),
        };
        match layout {
            Layout::Tchw => [frames, channels, height, width],
            Layout::Thwc => [frames, height, width, channels],
            Layout::Cthw => [channels, frames, height, width],
        }
    }

    /// Number of elements. Exceeding `usize` is [`crate::ErrorKind::LimitExceeded`].
    pub fn num_elements(self) -> Result<usize> {
        let mut sides = self.shape(Layout::Tchw).into_iter();
        sides.try_fold(1, usize::checked_mul).ok_or_else(|| self.too_large())
    }

    /// Bytes of a dense clip of that type. Exceeding `usize` is [`crate::ErrorKind::LimitExceeded`].
    pub fn num_bytes(self, dtype: DType) -> Result<usize> {
        self.num_elements()?.checked_mul(dtype.num_bytes()).ok_or_else(|| self.too_large())
    }

    fn too_large(self) -> Error {
        let Self { frames, height, width, .. } = self;
        Error::new(
            crate::ErrorKind::LimitExceeded,
            format!("a clip of {frames} frames of {width}x{height} has more bytes than memory has addresses"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn hostile_options_are_rejected_and_the_field_is_named() {
        let good = TransformOptions::new().size(1, MAX_OUTPUT_SIDE);
        let planar = TransformOptions::new().format(FrameFormat::Yuv420).size(2, 4);
        good.check().unwrap();
        planar.check().unwrap();
        let cases = [
            (good.clone().size(0, 4), "size: height"),
            (good.clone().size(4, 0), "size: width"),
            (good.clone().size(MAX_OUTPUT_SIDE + 1, 4), "size: height"),
            (good.clone().size(4, u32::MAX), "size: width"),
            (good.clone().scale(0.0), "scale"),
            (good.clone().scale(f64::NAN), "scale"),
            (good.clone().scale(f64::INFINITY), "scale"),
            (good.clone().normalize([0.0, f32::NAN, 0.0], [1.0; 3]), "mean[1]"),
            (good.clone().normalize([0.5; 3], [0.5; 3]), "scale, mean and std"),
            (good.clone().normalize([0.0, 0.0, f32::INFINITY], [1.0; 3]), "mean[2]"),
            (good.clone().normalize([0.0; 3], [0.0, 1.0, 1.0]), "std[0]"),
            (good.clone().normalize([0.0; 3], [1.0, -1.0, 1.0]), "std[1]"),
            (good.clone().normalize([0.0; 3], [1.0, 1.0, f32::NAN]), "std[2]"),
            (good.clone().format(FrameFormat::Yuv420), "size is 1x16384"),
            (planar.clone().size(4, 7), "size is 4x7"),
            (planar.clone().fit(Fit::Pad), "fit is 'pad'"),
            (planar.clone().layout(Layout::Thwc), "layout is 'THWC'"),
            (planar.dtype(DType::Float16), "dtype is 'float16'"),
        ];
        for (options, field) in cases {
            let error = options.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().starts_with(field), "{error}");
        }
    }

    #[test]
    fn names_parse_back_in_any_case_and_unknown_names_list_the_known() {
        for &layout in Layout::ALL {
            assert_eq!(Layout::parse(layout.as_str()).unwrap(), layout);
            assert_eq!(Layout::parse(&layout.as_str().to_lowercase()).unwrap(), layout);
        }
        assert_eq!(DType::parse("bfloat16").unwrap(), DType::Bfloat16);
        assert_eq!(Filter::parse("lanczos").unwrap(), Filter::Lanczos);
        let error = Fit::parse("cover").unwrap_err();
        assert_eq!(error.message(), "fit is 'cover', expected one of crop, pad, stretch");
    }

    #[test]
    fn shapes_follow_the_layout_and_overflow_is_an_error() {
        let shape = ClipShape { format: FrameFormat::Rgb, frames: 2, height: 5, width: 7 };
        assert_eq!(shape.shape(Layout::Tchw), [2, 3, 5, 7]);
        assert_eq!(shape.shape(Layout::Thwc), [2, 5, 7, 3]);
        assert_eq!(shape.shape(Layout::Cthw), [3, 2, 5, 7]);
        assert_eq!(shape.num_bytes(DType::Float16).unwrap(), 2 * 3 * 5 * 7 * 2);
        let huge = ClipShape { frames: usize::MAX / 2, ..shape };
        assert_eq!(huge.num_bytes(DType::Uint8).unwrap_err().kind(), ErrorKind::LimitExceeded);
        let planar = ClipShape { format: FrameFormat::Yuv420, frames: 2, height: 6, width: 8 };
        assert_eq!(planar.shape(Layout::Tchw), [2, 1, 9, 8]);
        assert_eq!(planar.num_bytes(DType::Uint8).unwrap(), 2 * (48 + 12 + 12));
    }
}
