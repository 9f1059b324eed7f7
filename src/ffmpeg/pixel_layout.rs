//! Pixel formats of decoders by what FFmpeg's descriptors say of them, never by their names: which samples a picture has,
//! which planar format of ours holds them all, and what is lost where fewer are stored.

use super::picture;
use crate::media::{ColorModel, PixelFormat};
use crate::{Error, Result};
use ffmpeg_next::format::Pixel;

/// What the samples of a format mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Gray,
    Yuv,
    Rgb,
    /// Bytes that point into a table of colours.
    Palette,
    /// One colour for each pixel, as sensors have them.
    Bayer,
    /// CIE XYZ.
    Xyz,
}

/// Where the samples of one component lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Component {
    pub(crate) plane: usize,
    /// Bytes, or bits in bit streams, from one sample to the next in a row.
    pub(crate) step: u32,
    /// Bytes, or bits in bit streams, before the first sample.
    pub(crate) offset: u32,
    /// Bits below the sample.
    pub(crate) shift: u32,
    pub(crate) depth: u32,
}

/// What FFmpeg's descriptor says of a pixel format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PixelLayout {
    pub(crate) name: &'static str,
    pub(crate) family: Family,
    /// Luma and chroma; or red, green and blue. Without alpha.
    pub(crate) components: [Component; 3],
    pub(crate) log2_chroma_w: u8,
    pub(crate) log2_chroma_h: u8,
    pub(crate) has_alpha: bool,
    pub(crate) is_float: bool,
    pub(crate) is_big_endian: bool,
    /// Samples that are no whole bytes, packed.
    pub(crate) is_bit_stream: bool,
    /// One bit, and 0 is white.
    pub(crate) is_inverted: bool,
}

impl PixelLayout {
    /// Of FFmpeg's format of that name; unsupported where it has none, or one that only a device can read.
    pub(crate) fn of_name(name: &str) -> Result<Self> {
        let pixel: Pixel = name.parse().map_err(|_| unknown(name))?;
        Self::of(pixel)
    }

    /// Of a frame's format.
    pub(crate) fn of(pixel: Pixel) -> Result<Self> {
        picture::pixel_layout(pixel)
            .ok_or_else(|| unknown(pixel.descriptor().map_or("unknown", |format| format.name())))
    }

    /// Colour components, without alpha.
    pub(crate) fn num_components(&self) -> usize {
        if self.family == Family::Gray { 1 } else { 3 }
    }

    /// The most bits that a colour component has.
    pub(crate) fn depth(&self) -> u32 {
        self.components.iter().take(self.num_components()).map(|component| component.depth).max().unwrap_or(0)
    }

    /// The packed RGB that libswscale has to make of a picture before its samples can be read one by one: what stands in a
    /// table, has to be interpolated, or has fewer than eight bits, which are widened as the ffmpeg command widens them.
    pub(crate) fn bridge(&self) -> Option<Pixel> {
        match self.family {
            Family::Xyz => Some(Pixel::RGB48LE),
            Family::Bayer if self.components.iter().any(|component| component.step > 1) => Some(Pixel::RGB48LE),
            Family::Palette | Family::Bayer => Some(Pixel::RGB24),
            Family::Rgb if !self.is_float && self.depth() <= 8 && !self.is_bytes() => Some(Pixel::RGB24),
            Family::Gray | Family::Yuv | Family::Rgb => None,
        }
    }

    fn is_bytes(&self) -> bool {
        !self.is_bit_stream && self.components.iter().all(|component| (component.depth, component.shift) == (8, 0))
    }

    /// The planar format that holds every colour sample of a picture as it is.
    pub(crate) fn planar(&self) -> PixelFormat {
        let depth = match self.bridge() {
            Some(Pixel::RGB48LE) => 16,
            Some(_) => 8,
            None if self.is_float => 16,
            None => self.depth().clamp(8, 16) as u8,
        };
        match self.family {
            Family::Gray => PixelFormat { model: ColorModel::Gray, depth, log2_chroma_w: 0, log2_chroma_h: 0 },
            Family::Yuv => PixelFormat {
                model: ColorModel::Yuv,
                depth,
                log2_chroma_w: self.log2_chroma_w,
                log2_chroma_h: self.log2_chroma_h,
            },
            Family::Rgb | Family::Palette | Family::Bayer | Family::Xyz => {
                PixelFormat { model: ColorModel::Gbr, depth, log2_chroma_w: 0, log2_chroma_h: 0 }
            }
        }
    }

    /// The planes of a picture that are those of [`Self::planar`], in our order; `None` where its samples lie otherwise.
    pub(crate) fn planes(&self) -> Option<[usize; 3]> {
        let bytes = if self.depth() > 8 { 2 } else { 1 };
        let lies_alone = |component: &Component| {
            let Component { step, offset, shift, depth, .. } = *component;
            (step, offset, shift, depth) == (bytes, 0, 0, self.depth())
        };
        let is_ours = matches!(self.family, Family::Gray | Family::Yuv | Family::Rgb)
            && !self.is_float
            && !self.is_bit_stream
            && (bytes == 1 || !self.is_big_endian)
            && (8..=16).contains(&self.depth())
            && self.components.iter().take(self.num_components()).all(lies_alone);
        let [first, second, third] = self.components.map(|component| component.plane);
        let planes = if self.family == Family::Rgb { [second, third, first] } else { [first, second, third] };
        let are_apart = self.family == Family::Gray || (first != second && first != third && second != third);
        (is_ours && are_apart).then_some(planes)
    }

    /// What is lost where `depth` bits of each colour sample are stored, in words.
    pub(crate) fn losses(&self, depth: u8) -> Vec<String> {
        let name = self.name;
        let mut losses = Vec::new();
        if self.is_float {
            losses.push(format!(
                "its floating-point samples ({name}) were cut to 0..1, and {depth} bits of each are stored"
            ));
        } else if self.depth() > u32::from(depth) {
            losses.push(format!("{depth} of the {} bits of its samples ({name}) are stored", self.depth()));
        }
        if self.family == Family::Palette {
            losses.push(format!("the colours of its palette ({name}) are stored, not the numbers in it"));
        } else if self.has_alpha {
            losses.push(format!("its alpha channel ({name}) is not stored"));
        }
        losses
    }
}

fn unknown(name: &str) -> Error {
    Error::unsupported(format!("its pictures are of the pixel format {name}, which cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> PixelLayout {
        PixelLayout::of_name(name).unwrap()
    }

    #[test]
    fn depth_and_family_are_those_of_the_descriptor() {
        for (name, planar, is_direct) in [
            ("yuv420p", "yuv420p", true),
            ("yuvj422p", "yuv422p", true),
            ("yuva444p10le", "yuv444p10le", true),
            ("yuva444p10be", "yuv444p10le", false),
            ("gbrap", "gbrp", true),
            ("gbrp12le", "gbrp12le", true),
            ("nv12", "yuv420p", false),
            ("nv24", "yuv444p", false),
            ("yuv410p", "yuv410p", true),
            ("yuv440p12le", "yuv440p12le", true),
            ("uyvy422", "yuv422p", false),
            ("p010le", "yuv420p10le", false),
            ("p416be", "yuv444p16le", false),
            ("y210le", "yuv422p10le", false),
            ("ayuv64le", "yuv444p16le", false),
            ("gray", "gray", true),
            ("gray14le", "gray14le", true),
            ("gray16be", "gray16le", false),
            ("ya8", "gray", false),
            ("ya16le", "gray16le", false),
            ("monow", "gray", false),
            ("grayf32le", "gray16le", false),
            ("rgb24", "gbrp", false),
            ("0bgr", "gbrp", false),
            ("rgb565le", "gbrp", false),
            ("bgr4", "gbrp", false),
            ("pal8", "gbrp", false),
            ("x2rgb10le", "gbrp10le", false),
            ("rgba64be", "gbrp16le", false),
            ("gbrpf32le", "gbrp16le", false),
            ("xyz12le", "gbrp16le", false),
            ("bayer_rggb8", "gbrp", false),
            ("bayer_gbrg16be", "gbrp16le", false),
        ] {
            let layout = of(name);
            assert_eq!((layout.planar().name().as_str(), layout.planes().is_some()), (planar, is_direct), "{name}");
        }
        assert_eq!(of("gbrap").planes(), Some([0, 1, 2]));
        for name in ["cuda", "vaapi", "no such format"] {
            assert!(PixelLayout::of_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn what_is_lost_is_said() {
        let said = |name: &str, depth| of(name).losses(depth).join("; ");
        for (name, depth) in [("yuv420p", 8), ("nv12", 8), ("p010le", 10), ("rgb0", 8), ("monob", 8), ("rgb565le", 8)] {
            assert_eq!(said(name, depth), "", "{name}");
        }
        assert_eq!(said("p010le", 8), "8 of the 10 bits of its samples (p010le) are stored");
        assert_eq!(said("gray16be", 10), "10 of the 16 bits of its samples (gray16be) are stored");
        assert_eq!(said("ya8", 8), "its alpha channel (ya8) is not stored");
        assert!(said("rgba64le", 8).contains("8 of the 16 bits") && said("rgba64le", 8).contains("alpha"));
        assert!(said("pal8", 8).contains("palette") && !said("pal8", 8).contains("alpha"));
        assert!(said("gbrpf32le", 10).contains("cut to 0..1, and 10 bits"));
    }
}
