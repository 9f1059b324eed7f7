//! From what a stream and its first frame say to what a record says: colour, orientation, sample aspect ratio.

use crate::ffmpeg::ColorTags;
use crate::ffmpeg::pixel_layout::PixelLayout;
use crate::media::{ChromaLocation, Codec, ColorModel, ColorRange, ColorSpec, Orientation, PixelFormat, Ratio};

/// The colour of a record. `format` is FFmpeg's name of the decoder's pixel format, whose `j` variants mean full range.
pub(crate) fn color(
    frame: ColorTags,
    stream: ColorTags,
    format: &str,
    pixel: PixelFormat,
    codec: Codec,
    height: u32,
) -> ColorSpec {
    let guess = ColorSpec::guess(height);
    let stated =
        |frame: u32, stream: u32| [frame, stream].into_iter().find(|&code| code != 2 && code != 3 && code < 256);
    let is_rgb = pixel.model == ColorModel::Gbr;
    let matrix = if is_rgb {
        Some(0)
    } else {
        stated(frame.matrix, stream.matrix).filter(|&code| code != 0).map(|code| code as u8)
    };
    let base = match matrix {
        Some(code @ (1 | 4..=7)) => code,
        Some(9 | 10) => 9,
        _ => guess.primaries,
    };
    let tagged = |frame: u32, stream: u32| stated(frame, stream).filter(|&code| code != 0).map(|code| code as u8);
    // libswscale takes gray of 8 bits for full range whatever it is tagged, and that of more bits where it is not tagged; but not
    // that of floating-point numbers.
    let is_gray = pixel.model == ColorModel::Gray && !PixelLayout::of_name(format).is_ok_and(|layout| layout.is_float);
    // What a frame says comes first: H.264 keeps a `yuvj` format where the range becomes limited on the way.
    let is_full = is_rgb || (is_gray && pixel.depth == 8) || (format.starts_with("yuvj") && frame.range != 1);
    let range = if is_full {
        Some(ColorRange::Full)
    } else {
        match (frame.range, stream.range) {
            (1, _) | (0, 1) => Some(ColorRange::Limited),
            (2, _) | (0, 2) => Some(ColorRange::Full),
            _ => None,
        }
    };
    let chroma_location = match (frame.chroma_location, stream.chroma_location) {
        (1, _) | (0, 1) => ChromaLocation::Left,
        (2, _) | (0, 2) => ChromaLocation::Center,
        (3, _) | (0, 3) => ChromaLocation::TopLeft,
        // 4:1:0 is of codecs older than any that say so; ffmpeg takes it to lie between its luma samples.
        _ if matches!(codec, Codec::Mjpeg | Codec::Mpeg1) || pixel.log2_chroma_h == 2 => ChromaLocation::Center,
        _ => guess.chroma_location,
    };
    ColorSpec {
        matrix: matrix.unwrap_or(guess.matrix),
        primaries: tagged(frame.primaries, stream.primaries).unwrap_or(base),
        transfer: tagged(frame.transfer, stream.transfer).unwrap_or(if base == 9 { 14 } else { base }),
        range: range.unwrap_or(if is_gray { ColorRange::Full } else { guess.range }),
        chroma_location,
        guessed: matrix.is_none() || range.is_none(),
    }
}

/// The orientation that the ffmpeg command gives a picture by default, from a display matrix (16.16 fixed point, row by row).
/// `None` for an angle that is no multiple of 90 degrees.
pub(crate) fn orientation(matrix: Option<[i32; 9]>) -> Option<Orientation> {
    let Some(matrix) = matrix else { return Some(Orientation::UPRIGHT) };
    let [a, b, _, c, d, ..] = matrix.map(|value| f64::from(value) / 65536.0);
    let (scale_x, scale_y) = (a.hypot(c), b.hypot(d));
    if scale_x == 0.0 || scale_y == 0.0 {
        return Some(Orientation::UPRIGHT);
    }
    // The angle as `av_display_rotation_get` and the command's rounding give it, clockwise.
    let degrees = (b / scale_y).atan2(a / scale_x).to_degrees().rem_euclid(360.0);
    let near = |angle: f64| (degrees - angle).abs() < 1.0;
    if near(90.0) {
        Some(if c > 0.0 { Orientation::new(3, true) } else { Orientation::new(1, false) })
    } else if near(180.0) {
        match (a < 0.0, d < 0.0) {
            (true, true) => Some(Orientation::new(2, false)),
            (true, false) => Some(Orientation::new(0, true)),
            (false, true) => Some(Orientation::new(2, true)),
            (false, false) => Some(Orientation::UPRIGHT),
        }
    } else if near(270.0) {
        Some(if c < 0.0 { Orientation::new(1, true) } else { Orientation::new(3, false) })
    } else if near(0.0) || near(360.0) {
        Some(if d < 0.0 { Orientation::new(2, true) } else { Orientation::UPRIGHT })
    } else {
        None
    }
}

/// The sample aspect ratio; 1/1 where unknown or senseless.
pub(crate) fn sample_aspect((num, den): (i32, i32)) -> Ratio {
    u32::try_from(num)
        .ok()
        .zip(u32::try_from(den).ok())
        .and_then(|(num, den)| Ratio::new(num, den))
        .unwrap_or(Ratio::ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(a: i32, b: i32, c: i32, d: i32) -> [i32; 9] {
        [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    }

    #[test]
    fn matrices_of_all_eight_orientations_are_told_apart() {
        for (values, turns, mirrored) in [
            ((1, 0, 0, 1), 0, false),
            ((0, 1, -1, 0), 1, false),
            ((-1, 0, 0, -1), 2, false),
            ((0, -1, 1, 0), 3, false),
            ((-1, 0, 0, 1), 0, true),
            ((1, 0, 0, -1), 2, true),
            ((0, 1, 1, 0), 3, true),
            ((0, -1, -1, 0), 1, true),
        ] {
            let (a, b, c, d) = values;
            assert_eq!(orientation(Some(matrix(a, b, c, d))), Some(Orientation::new(turns, mirrored)), "{values:?}");
        }
        assert_eq!(orientation(Some(matrix(1, 1, -1, 1))), None);
        assert_eq!(orientation(None), Some(Orientation::UPRIGHT));
    }

    #[test]
    fn untagged_colour_is_guessed_by_height_and_tags_are_kept() {
        let none = ColorTags { matrix: 2, primaries: 2, transfer: 2, range: 0, chroma_location: 0 };
        let limited = ColorTags { range: 1, ..none };
        let sd = color(none, none, "yuv420p", PixelFormat::YUV420P, Codec::H264, 480);
        assert_eq!((sd.matrix, sd.guessed, sd.range), (6, true, ColorRange::Limited));
        let tagged = ColorTags { matrix: 9, primaries: 9, transfer: 16, range: 1, chroma_location: 3 };
        let hdr = color(tagged, none, "yuv420p10le", PixelFormat::YUV420P, Codec::Hevc, 480);
        assert_eq!((hdr.matrix, hdr.transfer, hdr.guessed), (9, 16, false));
        assert_eq!(hdr.chroma_location, ChromaLocation::TopLeft);
        for (depth, tagged, expected) in [
            (8, none, ColorRange::Full),
            (8, limited, ColorRange::Full),
            (16, none, ColorRange::Full),
            (16, limited, ColorRange::Limited),
        ] {
            let gray = PixelFormat { model: ColorModel::Gray, depth, log2_chroma_w: 0, log2_chroma_h: 0 };
            let range = color(tagged, none, &gray.name(), gray, Codec::Png, 480).range;
            assert_eq!(range, expected, "{depth} bits, tagged {}", tagged.range);
        }
        let full = color(none, none, "yuvj420p", PixelFormat::YUV420P, Codec::Mjpeg, 1080);
        assert_eq!((full.matrix, full.range, full.chroma_location), (1, ColorRange::Full, ChromaLocation::Center));
    }
}
