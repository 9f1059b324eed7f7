//! Pictures of 8-bit 4:2:0 as I420, upright: their samples as decoded, moved but never computed. Which pictures those are, and
//! what a record says beside its frames so that somebody can turn them into RGB.

use crate::ffmpeg;
use crate::media::{ChromaLocation, FrameView, Orientation, PixelFormat, PlaneView, StreamInfo};
use crate::{Error, Result};
use serde_json::{Map, Value, json};

/// User columns that a conversion to I420 writes; the sources may not bring them.
pub(crate) const COLUMNS: [&str; 5] =
    ["frames_matrix", "frames_range", "frames_color_guessed", "frames_chroma_location", "frames_sample_aspect"];

/// How a picture of 8-bit 4:2:0 holds its chroma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chroma {
    /// A plane of U, a plane of V.
    Planes,
    /// One plane of pairs, U first.
    PairsUv,
    /// One plane of pairs, V first.
    PairsVu,
}

impl Chroma {
    /// Of FFmpeg's pixel format of that name; `None` where it is not 8-bit 4:2:0.
    pub(crate) fn of(format: &str) -> Option<Self> {
        match format {
            "yuv420p" | "yuvj420p" | "yuva420p" => Some(Self::Planes),
            "nv12" => Some(Self::PairsUv),
            "nv21" => Some(Self::PairsVu),
            _ => None,
        }
    }
}

/// Refuses pictures that cannot be stored without being converted. `format` is FFmpeg's name.
pub(crate) fn check_picture(format: &str, width: u32, height: u32) -> Result<()> {
    if Chroma::of(format).is_none() {
        return Err(Error::unsupported(format!(
            "its pictures are {format}, expected 8-bit 4:2:0 (yuv420p, nv12): frames of the format yuv420 are never converted"
        )));
    }
    let is_even = width.is_multiple_of(2) && height.is_multiple_of(2);
    if !is_even || width == 0 || height == 0 {
        return Err(Error::unsupported(format!(
            "its pictures are {width}x{height}, expected an even width and height for frames of the format yuv420"
        )));
    }
    Ok(())
}

/// The [`COLUMNS`] of a clip: colour as decided at conversion, and the sample aspect ratio of the upright picture.
pub(crate) fn columns(stream: &StreamInfo) -> Result<Map<String, Value>> {
    let color = stream.color;
    let matrix = color.matrix_name().ok_or_else(|| {
        Error::unsupported(format!(
            "colour matrix {} (H.273) has no name, so nobody could turn frames of the format yuv420 into RGB",
            color.matrix
        ))
    })?;
    let (num, den) = (stream.sample_aspect.num(), stream.sample_aspect.den());
    let (num, den) = if stream.orientation.swaps_axes() { (den, num) } else { (num, den) };
    let location = chroma_location(color.chroma_location, stream.orientation);
    let values = [
        json!(matrix),
        json!(color.range.as_str()),
        json!(color.guessed),
        json!(location),
        json!(format!("{num}:{den}")),
    ];
    Ok(COLUMNS.iter().map(|name| (*name).to_owned()).zip(values).collect())
}

/// Where the first chroma sample of the turned picture lies in the block of luma samples that it is of: FFmpeg's name, and in its
/// manner those of the places on the right, which only turned pictures have.
fn chroma_location(location: ChromaLocation, orientation: Orientation) -> &'static str {
    let from = match location {
        ChromaLocation::Left => (0, 1),
        ChromaLocation::Center => (1, 1),
        ChromaLocation::TopLeft => (0, 0),
    };
    let names = [["topleft", "top", "topright"], ["left", "center", "right"], ["bottomleft", "bottom", "bottomright"]];
    let mut places = (0_u32..).zip(names).flat_map(|(y, row)| (0_u32..).zip(row).map(move |(x, name)| (x, y, name)));
    places.find(|&(x, y, _)| orientation.source_of(x, y, 3, 3) == from).map_or("center", |(_, _, name)| name)
}

/// The samples of one plane.
#[derive(Clone, Copy)]
pub(crate) struct Samples<'a> {
    /// From the first sample to at least the last one.
    data: &'a [u8],
    /// Bytes from a row to the next.
    stride: usize,
    /// Bytes from a sample to the next in its row.
    step: usize,
}

impl<'a> Samples<'a> {
    /// One sample after another.
    pub(crate) fn dense(plane: PlaneView<'a>) -> Self {
        Self { data: plane.data, stride: plane.stride, step: 1 }
    }

    /// The first samples and the second ones of a plane of pairs.
    pub(crate) fn pairs(plane: PlaneView<'a>) -> (Self, Self) {
        let of = |data| Self { data, stride: plane.stride, step: 2 };
        (of(plane.data), of(plane.data.get(1..).unwrap_or_default()))
    }

    /// Writes the plane of `width` by `height` samples, turned for display, dense, into `out`. False where `out` has
    /// another size, or the plane is shorter than that.
    fn turn(self, (width, height): (u32, u32), orientation: Orientation, out: &mut [u8]) -> bool {
        let at = |x: u32, y: u32| y as usize * self.stride + x as usize * self.step;
        let (out_width, _) = orientation.display_size(width, height);
        let count = width as usize * height as usize;
        if count == 0
            || out.len() != count
            || self.stride <= at(width - 1, 0)
            || self.data.len() <= at(width - 1, height - 1)
        {
            return false;
        }
        let from = |x: u32, y: u32| {
            let (x, y) = orientation.source_of(x, y, width, height);
            at(x, y)
        };
        for (y, row) in (0_u32..).zip(out.chunks_exact_mut(out_width as usize)) {
            // Turning is affine: the samples of a row are equally far apart, forwards or backwards.
            let (first, last) = (from(0, y), from(out_width - 1, y));
            let step = first.abs_diff(last).checked_div(row.len() - 1).unwrap_or(1);
            let Some(samples) = self.data.get(first.min(last)..=first.max(last)) else { return false };
            if step == 1 && first <= last {
                row.copy_from_slice(samples);
            } else if first <= last {
                row.iter_mut().zip(samples.iter().step_by(step)).for_each(|(to, from)| *to = *from);
            } else {
                row.iter_mut().rev().zip(samples.iter().step_by(step)).for_each(|(to, from)| *to = *from);
            }
        }
        true
    }
}

/// A decoded picture of 8-bit 4:2:0.
pub(crate) struct Picture<'a> {
    /// Width of luma in samples.
    pub(crate) width: u32,
    /// Rows of luma.
    pub(crate) height: u32,
    /// Y, U, V.
    pub(crate) planes: [Samples<'a>; 3],
}

impl<'a> Picture<'a> {
    /// `None` where the format is another one.
    pub(crate) fn of(view: &FrameView<'a>) -> Option<Self> {
        let planes = view.planes.map(Samples::dense);
        (view.format == PixelFormat::YUV420P).then_some(Self { width: view.width, height: view.height, planes })
    }

    /// Writes the picture as I420, turned for display: rows of Y, then U, then V, dense. Its sides are even, and `out` is
    /// one and a half times as many bytes as it has pixels; anything else is a decode error.
    pub(crate) fn write(&self, orientation: Orientation, out: &mut [u8]) -> Result<()> {
        let (width, height) = (self.width, self.height);
        let luma = (width as usize * height as usize).min(out.len());
        let (y, chroma) = out.split_at_mut(luma);
        let (u, v) = chroma.split_at_mut(chroma.len() / 2);
        let chroma = (width / 2, height / 2);
        let is_even = width.is_multiple_of(2) && height.is_multiple_of(2);
        let [whole, first, second] = self.planes;
        if is_even
            && whole.turn((width, height), orientation, y)
            && first.turn(chroma, orientation, u)
            && second.turn(chroma, orientation, v)
        {
            return Ok(());
        }
        Err(Error::decode(format!("a picture of {width}x{height} does not have the planes of the clip's others")))
    }
}

/// The frame as a picture of 8-bit 4:2:0; `None` where its format is another one, or the picture is stored upside down.
pub(crate) fn picture_420(frame: &ffmpeg_next::frame::Video) -> Option<Picture<'_>> {
    let chroma = Chroma::of(ffmpeg::pixel_name(frame))?;
    let (width, height) = (frame.width(), frame.height());
    let (samples, rows) = (width.div_ceil(2) as usize, height.div_ceil(2) as usize);
    let (u, v) = match chroma {
        Chroma::Planes => (
            Samples::dense(ffmpeg::plane(frame, 1, samples, rows)?),
            Samples::dense(ffmpeg::plane(frame, 2, samples, rows)?),
        ),
        Chroma::PairsUv => Samples::pairs(ffmpeg::plane(frame, 1, 2 * samples, rows)?),
        Chroma::PairsVu => {
            let (v, u) = Samples::pairs(ffmpeg::plane(frame, 1, 2 * samples, rows)?);
            (u, v)
        }
    };
    let luma = Samples::dense(ffmpeg::plane(frame, 0, width as usize, height as usize)?);
    Some(Picture { width, height, planes: [luma, u, v] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::media::ColorSpec;

    /// Numbered samples in rows of `stride` bytes, the padding 255.
    fn plane(width: usize, height: usize, stride: usize, first: u8) -> Vec<u8> {
        let row = |y: usize| (0..stride).map(move |x| if x < width { first + (y * width + x) as u8 } else { 255 });
        (0..height).flat_map(row).collect()
    }

    fn view<'a>(y: &'a [u8], u: &'a [u8], v: &'a [u8]) -> FrameView<'a> {
        let planes = [(y, 9), (u, 5), (v, 5)].map(|(data, stride)| PlaneView { data, stride });
        FrameView { format: PixelFormat::YUV420P, width: 6, height: 4, planes }
    }

    #[test]
    fn every_sample_of_every_plane_goes_where_its_turned_picture_shows_it() {
        let (y, u, v) = (plane(6, 4, 9, 0), plane(3, 2, 5, 100), plane(3, 2, 5, 200));
        let picture = Picture::of(&view(&y, &u, &v)).unwrap();
        for (turns, mirrored) in (0..4).flat_map(|turns| [(turns, false), (turns, true)]) {
            let orientation = Orientation::new(turns, mirrored);
            let mut out = vec![0; 36];
            picture.write(orientation, &mut out).unwrap();
            let mut expected = Vec::new();
            for (first, width, height) in [(0, 6, 4), (100, 3, 2), (200, 3, 2)] {
                let (shown_w, shown_h) = orientation.display_size(width, height);
                for at in 0..shown_w * shown_h {
                    let (x, y) = orientation.source_of(at % shown_w, at / shown_w, width, height);
                    expected.push((first + y * width + x) as u8);
                }
            }
            assert_eq!(out, expected, "{orientation:?}");
        }
    }

    #[test]
    fn pairs_of_chroma_are_taken_apart() {
        let pairs = [1, 2, 3, 4, 255, 5, 6, 7, 8];
        let (first, second) = Samples::pairs(PlaneView { data: &pairs, stride: 5 });
        for (samples, expected) in [(first, [1, 3, 5, 7]), (second, [2, 4, 6, 8])] {
            let mut out = [0; 4];
            assert!(samples.turn((2, 2), Orientation::UPRIGHT, &mut out));
            assert_eq!(out, expected);
            assert!(samples.turn((2, 2), Orientation::new(2, false), &mut out));
            assert_eq!(out, [expected[3], expected[2], expected[1], expected[0]]);
        }
    }

    #[test]
    fn a_picture_that_does_not_fit_is_an_error() {
        let (y, u, v) = (plane(6, 4, 9, 0), plane(3, 2, 5, 100), plane(3, 2, 5, 200));
        let fails = |picture: &Picture<'_>, bytes: usize| {
            let error = picture.write(Orientation::UPRIGHT, &mut vec![0; bytes]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Decode);
        };
        let whole = Picture::of(&view(&y, &u, &v)).unwrap();
        whole.write(Orientation::UPRIGHT, &mut [0; 36]).unwrap();
        for bytes in [0, 23, 35, 37] {
            fails(&whole, bytes);
        }
        fails(&Picture::of(&view(&y[..32], &u, &v)).unwrap(), 36);
        fails(&Picture::of(&view(&y, &u[..7], &v)).unwrap(), 36);
        fails(&Picture { width: 5, ..whole }, 30);
        let deep = FrameView { format: PixelFormat { depth: 10, ..PixelFormat::YUV420P }, ..view(&y, &u, &v) };
        assert!(Picture::of(&deep).is_none());
    }

    #[test]
    fn pictures_that_would_have_to_be_converted_are_refused() {
        for format in ["yuv420p", "yuvj420p", "yuva420p", "nv12", "nv21"] {
            check_picture(format, 64, 48).unwrap();
        }
        for format in ["yuv420p10le", "yuv422p", "yuv444p", "yuv410p", "p010le", "nv16", "gray", "rgb24", "yuv420p9le"]
        {
            let error = check_picture(format, 64, 48).unwrap_err();
            assert!(error.kind() == ErrorKind::Unsupported && error.message().contains(format), "{error}");
        }
        for (width, height) in [(63, 48), (64, 47), (0, 48)] {
            let error = check_picture("yuv420p", width, height).unwrap_err();
            assert!(error.message().contains(&format!("{width}x{height}, expected an even")), "{error}");
        }
    }

    #[test]
    fn matrices_have_the_names_that_ffmpeg_gives_them() {
        use ffmpeg_next::color::Space;
        let known = [
            (0, Space::RGB),
            (1, Space::BT709),
            (4, Space::FCC),
            (5, Space::BT470BG),
            (6, Space::SMPTE170M),
            (7, Space::SMPTE240M),
            (8, Space::YCGCO),
            (9, Space::BT2020NCL),
            (10, Space::BT2020CL),
            (11, Space::SMPTE2085),
            (12, Space::ChromaDerivedNCL),
            (13, Space::ChromaDerivedCL),
            (14, Space::ICTCP),
        ];
        for matrix in 0..=255 {
            let name = ColorSpec { matrix, ..ColorSpec::guess(720) }.matrix_name();
            let expected = known.iter().find(|(code, _)| *code == matrix).map(|(_, space)| space.name().unwrap());
            assert_eq!(name, expected, "{matrix}");
        }
    }

    #[test]
    fn what_is_said_beside_the_frames_is_of_the_turned_picture() {
        use crate::media::{Codec, ColorRange, PacketTable, Ratio, TimeBase};
        let mut stream = StreamInfo {
            codec: Codec::H264,
            profile: None,
            extradata: arrow::buffer::Buffer::from_vec(Vec::<u8>::new()),
            reorder_frames: 0,
            pixel_format: PixelFormat::YUV420P,
            width: 6,
            height: 4,
            sample_aspect: Ratio::new(64, 45).unwrap(),
            orientation: Orientation::UPRIGHT,
            color: ColorSpec { range: ColorRange::Full, ..ColorSpec::guess(720) },
            time_base: TimeBase::new(1, 25).unwrap(),
            duration: 1,
            packets: PacketTable::from_entries(&[]),
            gops: Vec::new(),
            frame_packets: Vec::<u32>::new().into(),
            is_closed: false,
        };
        let said = |stream: &StreamInfo| Value::Object(columns(stream).unwrap());
        let upright = json!({
            "frames_matrix": "bt709", "frames_range": "full", "frames_color_guessed": true,
            "frames_chroma_location": "left", "frames_sample_aspect": "64:45",
        });
        assert_eq!(said(&stream), upright);
        // Turned by half and mirrored is upside down: what was on the left still is.
        stream.orientation = Orientation::new(2, true);
        assert_eq!(said(&stream), upright);
        stream.orientation = Orientation::new(3, false);
        assert_eq!(said(&stream)["frames_sample_aspect"], json!("45:64"));
        // A quarter turn to the left brings the left side down, one to the right up.
        assert_eq!(said(&stream)["frames_chroma_location"], json!("bottom"));
        stream.orientation = Orientation::new(1, false);
        assert_eq!(said(&stream)["frames_chroma_location"], json!("top"));
        stream.color.chroma_location = ChromaLocation::TopLeft;
        assert_eq!(said(&stream)["frames_chroma_location"], json!("topright"));
        stream.orientation = Orientation::UPRIGHT;
        assert_eq!(said(&stream)["frames_chroma_location"], json!("topleft"));
        stream.color.matrix = 200;
        let error = columns(&stream).unwrap_err();
        assert!(error.kind() == ErrorKind::Unsupported && error.message().contains("matrix 200"), "{error}");
    }
}
