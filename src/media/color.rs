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
