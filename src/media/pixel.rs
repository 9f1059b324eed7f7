//! Planar pixel formats, by what they are rather than by a list of names.

use std::fmt;

/// What the planes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColorModel {
    /// Luma alone, one plane.
    Gray,
    /// Luma and two chroma planes.
    Yuv,
    /// Green, blue, red planes, in FFmpeg's order (`gbrp`).
    Gbr,
}

/// A planar format as software decoders give it: samples of up to 8 bits are bytes, of 9 to 16 bits little-endian `u16`
/// with the value in the low bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PixelFormat {
    /// What the planes mean.
    pub model: ColorModel,
    /// Bits per sample, 8..=16.
    pub depth: u8,
    /// Chroma width is `ceil(width / 2^log2_chroma_w)`; 0 unless [`ColorModel::Yuv`].
    pub log2_chroma_w: u8,
    /// Chroma height is `ceil(height / 2^log2_chroma_h)`; 0 unless [`ColorModel::Yuv`].
    pub log2_chroma_h: u8,
}

impl PixelFormat {
    /// 8-bit 4:2:0.
    pub const YUV420P: Self = Self { model: ColorModel::Yuv, depth: 8, log2_chroma_w: 1, log2_chroma_h: 1 };

    /// Number of planes, 1 or 3.
    pub fn num_planes(self) -> usize {
        if self.model == ColorModel::Gray { 1 } else { 3 }
    }

    /// Bytes per sample, 1 or 2.
    pub fn bytes_per_sample(self) -> usize {
        if self.depth > 8 { 2 } else { 1 }
    }

    /// Size in samples of a plane of a `width` by `height` picture.
    pub fn plane_size(self, plane: usize, width: u32, height: u32) -> (u32, u32) {
        if plane == 0 || self.model != ColorModel::Yuv {
            (width, height)
        } else {
            (width.div_ceil(1 << self.log2_chroma_w), height.div_ceil(1 << self.log2_chroma_h))
        }
    }

    /// Bytes of all planes of a picture without padding.
    pub fn frame_bytes(self, width: u32, height: u32) -> u64 {
        (0..self.num_planes())
            .map(|plane| {
                let (w, h) = self.plane_size(plane, width, height);
                u64::from(w) * u64::from(h) * self.bytes_per_sample() as u64
            })
            .sum()
    }

    /// FFmpeg's name without the `j` variants (range is told apart elsewhere): `yuv420p`, `yuv420p10le`, `gray`, `gbrp`.
    pub fn name(self) -> String {
        let base = match self.model {
            ColorModel::Gray if self.depth == 8 => "gray".to_owned(),
            ColorModel::Gray => "gray".to_owned(),
            ColorModel::Gbr => "gbrp".to_owned(),
            ColorModel::Yuv => match (self.log2_chroma_w, self.log2_chroma_h) {
                (1, 1) => "yuv420p",
                (1, 0) => "yuv422p",
                (0, 0) => "yuv444p",
                (0, 1) => "yuv440p",
                (2, 0) => "yuv411p",
                _ => "yuv410p",
            }
            .to_owned(),
        };
        if self.depth > 8 { format!("{base}{}le", self.depth) } else { base }
    }

    /// The format of that name.
    pub fn parse(name: &str) -> Option<Self> {
        let (base, depth) = match name.strip_suffix("le") {
            Some(rest) => {
                let digits = rest.len() - rest.bytes().rev().take_while(u8::is_ascii_digit).count();
                let (base, depth) = rest.split_at(digits);
                (base, depth.parse::<u8>().ok().filter(|depth| (9..=16).contains(depth))?)
            }
            None => (name, 8),
        };
        let (model, log2_chroma_w, log2_chroma_h) = match base {
            "gray" => (ColorModel::Gray, 0, 0),
            "gbrp" => (ColorModel::Gbr, 0, 0),
            "yuv420p" | "yuvj420p" => (ColorModel::Yuv, 1, 1),
            "yuv422p" | "yuvj422p" => (ColorModel::Yuv, 1, 0),
            "yuv444p" | "yuvj444p" => (ColorModel::Yuv, 0, 0),
            "yuv440p" | "yuvj440p" => (ColorModel::Yuv, 0, 1),
            "yuv411p" | "yuvj411p" => (ColorModel::Yuv, 2, 0),
            "yuv410p" => (ColorModel::Yuv, 2, 2),
            _ => return None,
        };
        Some(Self { model, depth, log2_chroma_w, log2_chroma_h })
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in
            ["yuv420p", "yuv420p10le", "yuv422p12le", "yuv444p", "gray", "gray10le", "gbrp", "gbrp12le", "yuv411p"]
        {
            assert_eq!(PixelFormat::parse(name).map(PixelFormat::name).as_deref(), Some(name));
        }
        assert_eq!(PixelFormat::parse("yuvj420p"), Some(PixelFormat::YUV420P));
        assert_eq!(PixelFormat::parse("nv12"), None);
        assert_eq!(PixelFormat::parse("yuv420p77le"), None);
    }

    #[test]
    fn odd_sizes_round_chroma_up() {
        assert_eq!(PixelFormat::YUV420P.plane_size(1, 5, 3), (3, 2));
        assert_eq!(PixelFormat::YUV420P.frame_bytes(5, 3), 15 + 6 + 6);
    }
}
