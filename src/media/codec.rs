//! The codecs that a record may hold, by FFmpeg's names.

use std::fmt;

/// A video codec that an MP4 file can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// H.264, MPEG-4 part 10.
    H264,
    /// HEVC, H.265.
    Hevc,
    /// VVC, H.266.
    Vvc,
    /// AV1.
    Av1,
    /// VP9.
    Vp9,
    /// MPEG-4 part 2 visual.
    Mpeg4,
    /// MPEG-2 video, H.262.
    Mpeg2,
    /// MPEG-1 video.
    Mpeg1,
    /// Motion JPEG.
    Mjpeg,
    /// PNG pictures.
    Png,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::H264,
        Self::Hevc,
        Self::Vvc,
        Self::Av1,
        Self::Vp9,
        Self::Mpeg4,
        Self::Mpeg2,
        Self::Mpeg1,
        Self::Mjpeg,
        Self::Png,
    ];

    /// FFmpeg's name, which is also the name in the index.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Hevc => "hevc",
            Self::Vvc => "vvc",
            Self::Av1 => "av1",
            Self::Vp9 => "vp9",
            Self::Mpeg4 => "mpeg4",
            Self::Mpeg2 => "mpeg2video",
            Self::Mpeg1 => "mpeg1video",
            Self::Mjpeg => "mjpeg",
            Self::Png => "png",
        }
    }

    /// The codec of that name, if it is one of ours.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.as_str() == name)
    }

    /// True where every packet can be decoded alone.
    pub fn is_intra_only(self) -> bool {
        matches!(self, Self::Mjpeg | Self::Png)
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
