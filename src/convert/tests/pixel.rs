//! Every pixel format that this FFmpeg knows, on its way through the reader of planes, the maker of pictures for the encoder
//! and the transform, against what libswscale makes of the same picture.
//!
//! The oracle rounds accurately and interpolates chroma at all sizes; without that it repeats chroma samples and drops bits, up to 4
//! levels off. Where chroma is interpolated, filters differ: such formats get flat colours and a slow gradient, the others noise too.
//! Chroma of odd sizes is stretched over the picture by libswscale, half a sample too far at its end; of such pictures the flat
//! ones are compared, and the encoder's with those of the transform.

use crate::convert::clip::encoder_target::{PictureMaker, Target};
use crate::convert::clip::plane_reader::PlaneReader;
use crate::convert::clip::reencode::scaling;
use crate::convert::source::color_and_rotation;
use crate::ffmpeg;
use crate::ffmpeg::ColorTags;
use crate::ffmpeg::pixel_layout::{Family, PixelLayout};
use crate::media::{
    Codec, ColorModel, ColorSpec, FrameView, Orientation, PacketTable, PixelFormat, Ratio, StreamInfo, TimeBase,
};
use crate::testing;
use crate::transform::{Layout, Transform, TransformOptions};
use arrow::buffer::Buffer;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame::Video;

/// Name, and whether libswscale reads and writes it.
fn formats() -> Vec<(String, bool, bool)> {
    let list = String::from_utf8(testing::ffmpeg(&["-pix_fmts"])).unwrap();
    let lines = list.lines().skip_while(|line| !line.starts_with("-----")).skip(1);
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let (flags, name) = (words.next().unwrap(), words.next().unwrap());
            (flags.to_owned(), name.to_owned())
        })
        .filter(|(flags, _)| !flags.contains('H'))
        .map(|(flags, name)| (name, flags.contains('I'), flags.contains('O')))
        .collect()
}

/// Pictures of RGB: flat colours, a slow gradient, and noise.
fn colors((width, height): (u32, u32)) -> Vec<(&'static str, Video)> {
    let picture = |of: &mut dyn FnMut(u32, u32) -> [u8; 3]| {
        let mut picture = Video::new(Pixel::RGB24, width, height);
        let stride = picture.stride(0);
        for y in 0..height {
            for x in 0..width {
                let at = y as usize * stride + 3 * x as usize;
                picture.data_mut(0)[at..at + 3].copy_from_slice(&of(x, y));
            }
        }
        picture
    };
    let mut state = 1_u32;
    let mut random = |_: u32, _: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, r, g, b] = state.to_be_bytes();
        [r, g, b]
    };
    let flat = [
        ("white", [255; 3]),
        ("black", [0; 3]),
        ("gray", [127; 3]),
        ("red", [255, 0, 0]),
        ("green", [0, 255, 0]),
        ("blue", [0, 0, 255]),
        ("dark", [20, 30, 12]),
    ];
    let mut pictures: Vec<_> = flat.into_iter().map(|(name, rgb)| (name, picture(&mut |_, _| rgb))).collect();
    pictures.push(("gradient", picture(&mut |x, y| [70 + 2 * x, 80 + 3 * y, 200 - x - y].map(|level| level as u8))));
    pictures.push(("noise", picture(&mut random)));
    pictures
}

fn converted(picture: &Video, to: Pixel) -> Video {
    let mut out = Video::empty();
    scaling(picture, to).unwrap().run(picture, &mut out).unwrap();
    out
}

/// A picture's bytes without padding, where it has one plane of three bytes a pixel.
fn rgb_bytes(picture: &Video) -> Vec<u8> {
    let bytes = 3 * picture.width() as usize;
    picture.data(0).chunks(picture.stride(0)).flat_map(|row| &row[..bytes]).copied().collect()
}

/// What the loader gives of a picture.
fn shown(view: &FrameView<'_>, color: ColorSpec) -> Vec<u8> {
    let stream = StreamInfo {
        codec: Codec::H264,
        profile: None,
        extradata: Buffer::from_vec(Vec::<u8>::new()),
        reorder_frames: 0,
        pixel_format: view.format,
        width: view.width,
        height: view.height,
        sample_aspect: Ratio::ONE,
        orientation: Orientation::UPRIGHT,
        color,
        time_base: TimeBase::new(1, 25).unwrap(),
        duration: 1,
        packets: PacketTable::from_entries(&[]),
        gops: Vec::new(),
        frame_packets: Vec::<u32>::new().into(),
        is_closed: false,
    };
    let mut transform = Transform::new(&TransformOptions::new().layout(Layout::Thwc), &stream).unwrap();
    let mut out = vec![0; (view.width * view.height * 3) as usize];
    transform.apply(view, &mut out, 1, 0).unwrap();
    out
}

fn farthest(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

fn color_of(name: &str, planar: PixelFormat) -> ColorSpec {
    // Chroma between its luma samples, where libswscale takes it to lie.
    let tags = ColorTags { matrix: 2, primaries: 2, transfer: 2, range: 0, chroma_location: 2 };
    color_and_rotation::color(tags, tags, name, planar, Codec::Mjpeg, 32)
}

/// How far the planes of a picture are from what libswscale shows, what the encoder gets of them as well, and that from them.
fn distances(name: &str, picture: &Video) -> [u8; 3] {
    let layout = PixelLayout::of(picture.format()).unwrap();
    let planar = layout.planar();
    let color = color_of(name, planar);
    let expected = rgb_bytes(&converted(picture, Pixel::RGB24));
    let mut reader = PlaneReader::new();
    let view = reader.view(picture).unwrap();
    assert_eq!(view.format, planar, "{name}");
    let raw = shown(&view, color);
    let size = (view.width, view.height);
    let target = Target::new(planar, size, color).unwrap();
    let encoded = PictureMaker::new(planar, size, color, target).make(&view).unwrap();
    let mut again = PlaneReader::new();
    let view = again.view(&encoded).unwrap();
    assert_eq!((view.format, encoded.format()), (target.format, target.pixel), "{name}");
    let encoded = shown(&view, target.color);
    [farthest(&raw, &expected), farthest(&encoded, &expected), farthest(&encoded, &raw)]
}

#[test]
fn every_pixel_format_has_the_levels_of_libswscale() {
    ffmpeg::init();
    let mut wrong = Vec::new();
    let (mut compared, mut unread) = (0, Vec::new());
    for size in [(48, 32), (37, 25)] {
        let pictures = colors(size);
        for (name, is_read, is_written) in formats() {
            let Ok(pixel) = name.parse::<Pixel>() else { panic!("{name} is unknown") };
            let Ok(layout) = PixelLayout::of(pixel) else {
                unread.push(name);
                continue;
            };
            if !(is_read && is_written) {
                continue;
            }
            let planar = layout.planar();
            let is_interpolated = (planar.log2_chroma_w, planar.log2_chroma_h) != (0, 0);
            for (kind, picture) in &pictures {
                if *kind == "noise" && is_interpolated {
                    continue;
                }
                let deep = planar.depth > 8;
                let picture = if deep {
                    converted(&converted(picture, Pixel::GBRP16LE), pixel)
                } else {
                    converted(picture, pixel)
                };
                let [raw, mut encoded, from_raw] = distances(&name, &picture);
                compared += 1;
                let is_exact = planar.depth == 8 && planar.model != ColorModel::Yuv;
                let bound = if is_exact { 0 } else { 2 };
                let is_stretched = *kind == "gradient" && is_interpolated && size.0 % 2 == 1;
                if is_stretched {
                    encoded = from_raw;
                }
                if (raw > bound && !is_stretched) || encoded > bound || from_raw > bound {
                    wrong.push(format!("{name} {kind} {size:?}: {raw}, encoded {encoded}, {from_raw} from that"));
                }
            }
        }
    }
    unread.sort();
    unread.dedup();
    assert_eq!(unread, ["uyyvyy411"]);
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 2 * 150 * 8, "{compared}");
}

/// Formats that libswscale does not write, and some that it does not read: their samples are put in place by hand.
#[test]
fn samples_are_read_from_where_they_lie() {
    ffmpeg::init();
    let (width, height) = (7, 3);
    for (name, planar) in [
        ("nv16", "yuv422p"),
        ("nv24", "yuv444p"),
        ("nv42", "yuv444p"),
        ("nv20le", "yuv422p10le"),
        ("nv20be", "yuv422p10le"),
        ("p010be", "yuv420p10le"),
        ("y210le", "yuv422p10le"),
        ("yvyu422", "yuv422p"),
        ("uyvy422", "yuv422p"),
        ("yuv420p9be", "yuv420p9le"),
        ("gray14be", "gray14le"),
        ("ya16be", "gray16le"),
        ("0bgr", "gbrp"),
        ("rgba64be", "gbrp16le"),
        ("x2bgr10le", "gbrp10le"),
        ("gbrap12be", "gbrp12le"),
    ] {
        let pixel: Pixel = name.parse().unwrap();
        let layout = PixelLayout::of(pixel).unwrap();
        let mut picture = Video::new(pixel, width, height);
        for plane in 0..picture.planes() {
            picture.data_mut(plane).fill(0xA5);
        }
        let format = layout.planar();
        assert_eq!(format.name(), planar, "{name}");
        let mask = (1_u32 << layout.depth()) - 1;
        let sample = |component: usize, x: u32, y: u32| (component as u32 * 977 + x * 131 + y * 59 + 17) & mask;
        for component in 0..layout.num_components() {
            let at = layout.components[component];
            let plane = if layout.family == Family::Yuv { component } else { 0 };
            let (w, h) = format.plane_size(plane, width, height);
            for y in 0..h {
                for x in 0..w {
                    let place = y as usize * picture.stride(at.plane) + (x * at.step + at.offset) as usize;
                    let value = sample(component, x, y) << at.shift;
                    let bytes = &mut picture.data_mut(at.plane)[place..];
                    match (at.shift + at.depth > 8, layout.is_big_endian) {
                        (false, _) => bytes[0] = value as u8,
                        // Neighbours may lie in the same two bytes.
                        (true, false) => {
                            let rest = u16::from_le_bytes([bytes[0], bytes[1]]) & !((mask << at.shift) as u16);
                            bytes[..2].copy_from_slice(&(rest | value as u16).to_le_bytes());
                        }
                        (true, true) => bytes[..2].copy_from_slice(&(value as u16).to_be_bytes()),
                    }
                }
            }
        }
        let mut reader = PlaneReader::new();
        let view = reader.view(&picture).unwrap();
        for plane in 0..format.num_planes() {
            let component = if format.model == ColorModel::Gbr { (plane + 1) % 3 } else { plane };
            let (w, h) = format.plane_size(plane, width, height);
            for y in 0..h {
                let row = view.row(plane, y);
                for x in 0..w {
                    let given = match format.bytes_per_sample() {
                        1 => u32::from(row[x as usize]),
                        _ => u32::from(u16::from_le_bytes([row[2 * x as usize], row[2 * x as usize + 1]])),
                    };
                    assert_eq!(given, sample(component, x, y), "{name}, plane {plane}, {x}, {y}");
                }
            }
        }
    }
}
