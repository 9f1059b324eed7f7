//! Colour as decided at conversion, in the code points of ITU-T H.273 (the numbers that H.264, HEVC and MP4's `colr` use).

/// Whether luma uses 16..=235 (at 8 bits) or the whole range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColorRange {
    /// Video range, 16..=235 and 16..=240 at 8 bits.
    Limited,
    /// Full range, also called JPEG or PC range.
    Full,
}

/// Where chroma samples of subsampled formats lie against luma samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChromaLocation {
    /// Horizontally on the left luma sample, vertically between two (MPEG-2, H.264, HEVC by default).
    Left,
    /// Between four luma samples (MPEG-1, JPEG).
    Center,
    /// On the top left luma sample (Blu-ray UHD, AV1 "colocated").
    TopLeft,
}

/// How to turn a record's planes into colours. What the source did not say was decided at conversion, and `guessed` is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColorSpec {
    /// MatrixCoefficients of H.273: 0 RGB, 1 BT.709, 4 FCC, 5 and 6 BT.601, 7 SMPTE 240M, 9 BT.2020 non-constant.
    pub matrix: u8,
    /// ColourPrimaries of H.273.
    pub primaries: u8,
    /// TransferCharacteristics of H.273.
    pub transfer: u8,
    /// Limited or full range.
    pub range: ColorRange,
    /// Chroma siting.
    pub chroma_location: ChromaLocation,
    /// True where the source did not state matrix or range.
    pub guessed: bool,
}

impl ColorSpec {
    /// What an untagged source of that height gets: BT.709 from 720 lines up, BT.601 below, limited range.
    pub fn guess(coded_height: u32) -> Self {
        let code = if coded_height >= 720 { 1 } else { 6 };
        Self {
            matrix: code,
            primaries: code,
            transfer: code,
            range: ColorRange::Limited,
            chroma_location: ChromaLocation::Left,
            guessed: true,
        }
    }

    /// The matrix that frames of YUV planes of that height are converted by: the stated one, or what an untagged source gets where
    /// none is stated that could be meant (0, RGB in three YUV planes; 2, unspecified; 3, reserved).
    pub fn matrix_in_use(self, coded_height: u32) -> u8 {
        if matches!(self.matrix, 0 | 2 | 3) { Self::guess(coded_height).matrix } else { self.matrix }
    }

    /// FFmpeg's name of the matrix: `bt709`, `smpte170m`, `bt2020nc`, ...; `None` for code points that have none.
    pub fn matrix_name(self) -> Option<&'static str> {
        Some(match self.matrix {
            0 => "gbr",
            1 => "bt709",
            4 => "fcc",
            5 => "bt470bg",
            6 => "smpte170m",
            7 => "smpte240m",
            8 => "ycgco",
            9 => "bt2020nc",
            10 => "bt2020c",
            11 => "smpte2085",
            12 => "chroma-derived-nc",
            13 => "chroma-derived-c",
            14 => "ictcp",
            _ => return None,
        })
    }

    /// FFmpeg's name of the primaries: `bt709`, `smpte170m`, `bt2020`, ...; `None` for code points that have none.
    pub fn primaries_name(self) -> Option<&'static str> {
        Some(match self.primaries {
            1 => "bt709",
            4 => "bt470m",
            5 => "bt470bg",
            6 => "smpte170m",
            7 => "smpte240m",
            8 => "film",
            9 => "bt2020",
            10 => "smpte428",
            11 => "smpte431",
            12 => "smpte432",
            22 => "ebu3213",
            _ => return None,
        })
    }

    /// FFmpeg's name of the transfer function: `bt709`, `iec61966-2-1` (sRGB), `smpte2084` (PQ), ...; `None` for code
    /// points that have none.
    pub fn transfer_name(self) -> Option<&'static str> {
        Some(match self.transfer {
            1 => "bt709",
            4 => "bt470m",
            5 => "bt470bg",
            6 => "smpte170m",
            7 => "smpte240m",
            8 => "linear",
            9 => "log100",
            10 => "log316",
            11 => "iec61966-2-4",
            12 => "bt1361e",
            13 => "iec61966-2-1",
            14 => "bt2020-10",
            15 => "bt2020-12",
            16 => "smpte2084",
            17 => "smpte428",
            18 => "arib-std-b67",
            _ => return None,
        })
    }
}

impl ColorRange {
    /// `limited` or `full`, as in the index.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Limited => "limited",
            Self::Full => "full",
        }
    }

    /// The inverse of [`Self::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Limited, Self::Full].into_iter().find(|range| range.as_str() == name)
    }
}

impl ChromaLocation {
    /// `left`, `center` or `topleft`, FFmpeg's names, as in the index.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Center => "center",
            Self::TopLeft => "topleft",
        }
    }

    /// The inverse of [`Self::as_str`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Left, Self::Center, Self::TopLeft].into_iter().find(|location| location.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primaries_and_transfer_functions_have_the_names_that_ffmpeg_gives_them() {
        use ffmpeg_next::color::{Primaries, TransferCharacteristic as Transfer};
        let primaries = [
            (1, Primaries::BT709),
            (4, Primaries::BT470M),
            (5, Primaries::BT470BG),
            (6, Primaries::SMPTE170M),
            (7, Primaries::SMPTE240M),
            (8, Primaries::Film),
            (9, Primaries::BT2020),
            (10, Primaries::SMPTE428),
            (11, Primaries::SMPTE431),
            (12, Primaries::SMPTE432),
            (22, Primaries::JEDEC_P22),
        ];
        let transfers = [
            (1, Transfer::BT709),
            (4, Transfer::GAMMA22),
            (5, Transfer::GAMMA28),
            (6, Transfer::SMPTE170M),
            (7, Transfer::SMPTE240M),
            (8, Transfer::Linear),
            (9, Transfer::Log),
            (10, Transfer::LogSqrt),
            (11, Transfer::IEC61966_2_4),
            (12, Transfer::BT1361_ECG),
            (13, Transfer::IEC61966_2_1),
            (14, Transfer::BT2020_10),
            (15, Transfer::BT2020_12),
            (16, Transfer::SMPTE2084),
            (17, Transfer::SMPTE428),
            (18, Transfer::ARIB_STD_B67),
        ];
        for code in 0..=255 {
            let spec = ColorSpec { primaries: code, transfer: code, ..ColorSpec::guess(720) };
            let expected = primaries.iter().find(|(known, _)| *known == code).map(|(_, known)| known.name().unwrap());
            assert_eq!(spec.primaries_name(), expected, "{code}");
            let expected = transfers.iter().find(|(known, _)| *known == code).map(|(_, known)| known.name().unwrap());
            assert_eq!(spec.transfer_name(), expected, "{code}");
        }
    }
}
