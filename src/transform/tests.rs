//! The transform against its float64 model, and what must hold whatever the arithmetic.

use super::kernels::Isa;
use super::reference::{self, Plane, Region};
use super::*;
use crate::ErrorKind;
use crate::media::{
    ChromaLocation, Codec, ColorModel, ColorRange, ColorSpec, FrameView, Orientation, PacketTable, PixelFormat,
    PlaneView, Ratio, StreamInfo, TimeBase,
};
use half::{bf16, f16};
use proptest::prelude::*;

fn stream(format: &str, width: u32, height: u32) -> StreamInfo {
    StreamInfo {
        codec: Codec::H264,
        profile: None,
        extradata: arrow::buffer::Buffer::from(&[][..]),
        reorder_frames: 0,
        pixel_format: PixelFormat::parse(format).unwrap(),
        width,
        height,
        sample_aspect: Ratio::ONE,
        orientation: Orientation::UPRIGHT,
        color: ColorSpec { matrix: 1, ..ColorSpec::guess(height) },
        time_base: TimeBase::new(1, 25).unwrap(),
        duration: 1,
        packets: PacketTable::default(),
        gops: Vec::new(),
        frame_packets: vec![0_u32].into(),
        is_closed: false,
    }
}

/// An owned picture with padded rows.
struct Picture {
    format: PixelFormat,
    size: (u32, u32),
    planes: Vec<(Vec<u8>, usize)>,
}

impl Picture {
    /// `value(plane, x, y)` at every sample, taken modulo 2^depth.
    fn new(stream: &StreamInfo, mut value: impl FnMut(usize, usize, usize) -> u32) -> Self {
        let (format, size) = (stream.pixel_format, (stream.width, stream.height));
        let planes = (0..format.num_planes())
            .map(|plane| {
                let (width, height) = format.plane_size(plane, size.0, size.1);
                let stride = (width as usize + 5) * format.bytes_per_sample();
                // Padding is not picture: it must not be looked at.
                let mut data = vec![0xaa; stride * height as usize];
                for y in 0..height as usize {
                    for x in 0..width as usize {
                        let sample = value(plane, x, y) & ((1 << format.depth) - 1);
                        if format.bytes_per_sample() == 1 {
                            data[y * stride + x] = sample as u8;
                        } else {
                            data[y * stride + 2 * x..][..2].copy_from_slice(&(sample as u16).to_le_bytes());
                        }
                    }
                }
                (data, stride)
            })
            .collect();
        Self { format, size, planes }
    }

    /// Noise: a different value everywhere, the whole range.
    fn noise(stream: &StreamInfo, seed: u32) -> Self {
        let mut state = seed | 1;
        Self::new(stream, |_, _, _| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 13
        })
    }

    fn view(&self) -> FrameView<'_> {
        let empty = PlaneView { data: &[], stride: 0 };
        let planes = std::array::from_fn(|p| {
            self.planes.get(p).map_or(empty, |(data, stride)| PlaneView { data, stride: *stride })
        });
        FrameView { format: self.format, width: self.size.0, height: self.size.1, planes }
    }

    fn reference_planes(&self, location: ChromaLocation) -> Vec<Plane> {
        let format = self.format;
        (0..format.num_planes())
            .map(|plane| {
                let (width, height) = format.plane_size(plane, self.size.0, self.size.1);
                let view = self.view();
                let unit = f64::from(1_u32 << (format.depth - 8));
                let values = (0..height).flat_map(|y| {
                    let row = view.row(plane, y).to_vec();
                    row.chunks_exact(format.bytes_per_sample())
                        .map(|s| f64::from(s[0]) + s.get(1).map_or(0.0, |&high| 256.0 * f64::from(high)))
                        .map(|v| v / unit)
                        .collect::<Vec<_>>()
                });
                let chroma = plane > 0 && format.model == ColorModel::Yuv;
                let pitch = |log2: u8| if chroma { f64::from(1_u32 << log2) } else { 1.0 };
                let (px, py) = (pitch(format.log2_chroma_w), pitch(format.log2_chroma_h));
                let left = location != ChromaLocation::Center;
                let top = location == ChromaLocation::TopLeft;
                Plane {
                    width: width as usize,
                    height: height as usize,
                    values: values.collect(),
                    pitch: (px, py),
                    centre: (if left { 0.5 } else { px / 2.0 }, if top { 0.5 } else { py / 2.0 }),
                }
            })
            .collect()
    }
}

fn run(options: &TransformOptions, stream: &StreamInfo, picture: &Picture) -> Vec<u8> {
    let mut transform = Transform::new(options, stream).unwrap();
    let mut clip = vec![0x55; transform.clip_shape(1).num_bytes(options.dtype).unwrap()];
    transform.apply(&picture.view(), &mut clip, 1, 0).unwrap();
    clip
}

/// The largest difference to the model, for an upright picture and layout THWC.
fn worst(got: &[u8], stream: &StreamInfo, picture: &Picture, options: &TransformOptions, region: Region) -> f64 {
    let (height, width) = options.size.unwrap();
    let (height, width) = (height as usize, width as usize);
    let planes: Vec<_> = picture
        .reference_planes(stream.color.chroma_location)
        .iter()
        .map(|plane| {
            // Enlarged chroma is interpolated where the filter is a box.
            let name = |from: f64, to: f64, outputs: usize, pitch: f64| {
                let area = pitch > 1.0 && options.filter == Filter::Area && (to - from) / outputs as f64 / pitch < 1.0;
                if area { "bilinear" } else { options.filter.as_str() }
            };
            let names =
                (name(region.0, region.2, width, plane.pitch.0), name(region.1, region.3, height, plane.pitch.1));
            reference::resample(plane, region, width, height, names)
        })
        .collect();
    let model = match stream.pixel_format.model {
        ColorModel::Gray => "gray",
        ColorModel::Gbr => "gbr",
        ColorModel::Yuv => "yuv",
    };
    let full = stream.color.range == ColorRange::Full;
    let mut worst = 0.0_f64;
    for (i, pixel) in got.chunks_exact(3).enumerate() {
        let sample = std::array::from_fn(|p| planes.get(p).map_or(0.0, |plane| plane[i]));
        let exact = reference::rgb(sample, model, stream.color.matrix, full, stream.pixel_format.depth.into());
        for (&level, exact) in pixel.iter().zip(exact) {
            worst = worst.max((f64::from(level) - exact.clamp(0.0, 255.0)).abs());
        }
    }
    worst
}

fn whole(stream: &StreamInfo) -> Region {
    (0.0, 0.0, f64::from(stream.width), f64::from(stream.height))
}

const FORMATS: [&str; 12] = [
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv440p",
    "yuv411p",
    "yuv410p",
    "gray",
    "gbrp",
    "yuv420p10le",
    "yuv422p12le",
    "yuv444p16le",
    "gray10le",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]
    #[test]
    fn no_level_is_further_from_the_model_than_rounding_and_a_tenth(
        format in proptest::sample::select(&FORMATS[..]), filter in proptest::sample::select(Filter::ALL),
        width in 1_u32..70, height in 1_u32..70, out_w in 1_u32..60, out_h in 1_u32..60, seed: u32,
        matrix in proptest::sample::select(&[1_u8, 4, 5, 6, 7, 8, 9][..]), full: bool,
        location in proptest::sample::select(&[ChromaLocation::Left, ChromaLocation::Center, ChromaLocation::TopLeft][..]),
    ) {
        let mut stream = stream(format, width, height);
        stream.color.matrix = matrix;
        stream.color.range = if full { ColorRange::Full } else { ColorRange::Limited };
        stream.color.chroma_location = location;
        let picture = Picture::noise(&stream, seed);
        let options = TransformOptions::new().size(out_h, out_w).fit(Fit::Stretch).filter(filter).layout(Layout::Thwc);
        let got = run(&options, &stream, &picture);
        let worst = worst(&got, &stream, &picture, &options, whole(&stream));
        prop_assert!(worst < 0.6, "{worst}");
    }

    #[test]
    fn a_crop_is_the_middle_of_the_picture(
        width in 2_u32..90, height in 2_u32..90, out_w in 1_u32..40, out_h in 1_u32..40, seed: u32,
    ) {
        let stream = stream("yuv420p", width, height);
        let picture = Picture::noise(&stream, seed);
        let options = TransformOptions::new().size(out_h, out_w).layout(Layout::Thwc).filter(Filter::Bilinear);
        let (w, h) = (f64::from(width), f64::from(height));
        let scale = (w / f64::from(out_w)).min(h / f64::from(out_h));
        let (cut_w, cut_h) = (w - scale * f64::from(out_w), h - scale * f64::from(out_h));
        let region = (cut_w / 2.0, cut_h / 2.0, w - cut_w / 2.0, h - cut_h / 2.0);
        let worst = worst(&run(&options, &stream, &picture), &stream, &picture, &options, region);
        prop_assert!(worst < 0.6, "{worst}");
    }
}

#[test]
fn every_matrix_range_and_depth_matches_the_model_on_a_colour_cube() {
    for matrix in [1, 4, 5, 6, 7, 8, 9] {
        for range in [ColorRange::Limited, ColorRange::Full] {
            for format in ["yuv444p", "yuv444p9le", "yuv444p10le", "yuv444p12le", "yuv444p16le", "gbrp", "gbrp10le"] {
                let mut stream = stream(format, 81, 9);
                stream.color.matrix = matrix;
                stream.color.range = range;
                let peak = (1_u32 << stream.pixel_format.depth) - 1;
                let picture = Picture::new(&stream, |plane, x, y| [x % 9, x / 9, y][plane] as u32 * peak / 8);
                let options = TransformOptions::new().size(9, 81).layout(Layout::Thwc);
                let worst = worst(&run(&options, &stream, &picture), &stream, &picture, &options, whole(&stream));
                assert!(worst < 0.54, "matrix {matrix} {range:?} {format}: {worst}");
            }
        }
    }
}

#[test]
fn extreme_shapes_are_within_one_level_of_the_model() {
    for (width, height, out_w, out_h) in
        [(1, 1, 1, 1), (1, 1, 9, 7), (16, 4000, 16, 16), (4000, 16, 5, 40), (3, 5, 200, 1)]
    {
        for &filter in Filter::ALL {
            for format in ["yuv420p", "yuv420p10le", "yuv444p16le"] {
                let stream = stream(format, width, height);
                let picture = Picture::noise(&stream, 7);
                let options =
                    TransformOptions::new().size(out_h, out_w).fit(Fit::Stretch).filter(filter).layout(Layout::Thwc);
                let worst = worst(&run(&options, &stream, &picture), &stream, &picture, &options, whole(&stream));
                // Thousands of weights to a pixel: see the bound in the module's documentation.
                assert!(worst < 0.9, "{width}x{height} to {out_w}x{out_h} {filter} {format}: {worst}");
            }
        }
    }
}

#[test]
fn a_flat_picture_stays_flat_and_neutral_chroma_is_grey() {
    for &filter in Filter::ALL {
        for (format, unit) in [("yuv420p", 1), ("yuv420p10le", 4), ("yuv422p12le", 16)] {
            let stream = stream(format, 37, 53);
            for level in [16, 17, 90, 128, 200, 235] {
                let picture = Picture::new(&stream, |plane, _, _| if plane == 0 { level * unit } else { 128 * unit });
                let options = TransformOptions::new().size(20, 90).filter(filter);
                let clip = run(&options, &stream, &picture);
                let expected = ((f64::from(level) - 16.0) * 255.0 / 219.0).round() as u8;
                assert!(clip.iter().all(|&value| value == expected), "{filter} {format} {level}");
            }
        }
    }
}

#[test]
fn without_scaling_gray_comes_through_untouched() {
    let mut stream = stream("gray", 33, 21);
    stream.color.range = ColorRange::Full;
    let picture = Picture::noise(&stream, 3);
    for &filter in Filter::ALL {
        let clip = run(&TransformOptions::new().filter(filter), &stream, &picture);
        let source: Vec<u8> = (0..21).flat_map(|y| picture.view().row(0, y).to_vec()).collect();
        assert!(clip.chunks_exact(33 * 21).all(|channel| channel == source), "{filter}");
    }
}

#[test]
fn each_of_the_eight_orientations_equals_turning_the_upright_result() {
    // A picture of three columns has rows as far apart as interleaved pixels.
    for (width, height) in [(24, 16), (3, 16), (24, 3)] {
        for &fit in Fit::ALL {
            for turns in 0..4 {
                for &layout in Layout::ALL {
                    turning_is_index_arithmetic((width, height), fit, Orientation::new(turns, false), layout);
                    turning_is_index_arithmetic((width, height), fit, Orientation::new(turns, true), layout);
                }
            }
        }
    }
}

fn turning_is_index_arithmetic((width, height): (u32, u32), fit: Fit, orientation: Orientation, layout: Layout) {
    let upright = stream("yuv420p", 46, 31);
    let turned = StreamInfo { orientation, ..upright.clone() };
    let picture = Picture::noise(&upright, 11);
    // Even borders, so that padding is the same on both sides.
    let (w, h) = orientation.display_size(width, height);
    let options = TransformOptions::new().fit(fit).pad([9, 8, 7]);
    let flat = run(&options.clone().size(height, width).layout(Layout::Thwc), &upright, &picture);
    let got = run(&options.clone().size(h, w).layout(layout), &turned, &picture);
    for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
        let (sx, sy) = orientation.source_of(x, y, width, height);
        for c in 0..3 {
            let at = match layout {
                Layout::Thwc => ((y * w + x) * 3 + c) as usize,
                Layout::Tchw | Layout::Cthw => ((c * h + y) * w + x) as usize,
            };
            let expected = flat[((sy * width + sx) * 3 + c) as usize];
            assert_eq!(got[at], expected, "{width}x{height} {fit} {orientation:?} {layout} at {x},{y}");
        }
    }
}

#[test]
fn layouts_are_transposes_of_each_other_and_frames_stay_in_their_slots() {
    let stream = stream("yuv420p", 20, 14);
    let pictures: Vec<_> = (0..3).map(|seed| Picture::noise(&stream, 100 + seed)).collect();
    let (frames, height, width) = (3, 8, 10);
    let clip = |layout| {
        let options = TransformOptions::new().size(8, 10).fit(Fit::Pad).layout(layout);
        let mut transform = Transform::new(&options, &stream).unwrap();
        let mut clip = vec![0x55; transform.clip_shape(frames).num_bytes(DType::Uint8).unwrap()];
        // Out of order: every frame writes all of its own slot and nothing else.
        for t in [2, 0, 1] {
            transform.apply(&pictures[t].view(), &mut clip, frames, t).unwrap();
        }
        clip
    };
    let (tchw, thwc, cthw) = (clip(Layout::Tchw), clip(Layout::Thwc), clip(Layout::Cthw));
    for t in 0..frames {
        for c in 0..3 {
            for y in 0..height {
                for x in 0..width {
                    let value = thwc[((t * height + y) * width + x) * 3 + c];
                    assert_eq!(tchw[((t * 3 + c) * height + y) * width + x], value);
                    assert_eq!(cthw[((c * frames + t) * height + y) * width + x], value);
                }
            }
        }
    }
}

#[test]
fn float_types_follow_the_formula_from_the_uint8_result() {
    let stream = stream("yuv420p", 24, 24);
    let picture = Picture::noise(&stream, 5);
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let plain = TransformOptions::new().size(12, 12);
    let options = plain.clone().normalize(mean, std);
    let levels = run(&plain, &stream, &picture);
    for &layout in Layout::ALL {
        let levels = run(&plain.clone().layout(layout), &stream, &picture);
        for dtype in [DType::Float32, DType::Float16, DType::Bfloat16] {
            let clip = run(&options.clone().layout(layout).dtype(dtype), &stream, &picture);
            for (i, (&level, bytes)) in levels.iter().zip(clip.chunks_exact(dtype.num_bytes())).enumerate() {
                let c = if layout == Layout::Thwc { i % 3 } else { i / 144 };
                let expected = (f32::from(level) / 255.0 - mean[c]) / std[c];
                let ok = match dtype {
                    DType::Float32 => bytes == expected.to_ne_bytes(),
                    DType::Float16 => bytes == f16::from_f32(expected).to_ne_bytes(),
                    _ => bytes == bf16::from_f32(expected).to_ne_bytes(),
                };
                assert!(ok, "{dtype} {layout} element {i}, level {level}");
            }
        }
    }
    let raw = run(&TransformOptions::new().size(12, 12).scale(1.0).dtype(DType::Float32), &stream, &picture);
    assert!(raw.chunks_exact(4).zip(&levels).all(|(bytes, &level)| bytes == f32::from(level).to_ne_bytes()));
}

#[test]
fn padding_has_the_pad_colour_and_the_picture_is_centred() {
    let stream = stream("yuv420p", 40, 20);
    let picture = Picture::new(&stream, |plane, _, _| if plane == 0 { 235 } else { 128 });
    let options = TransformOptions::new().size(20, 20).fit(Fit::Pad).pad([10, 20, 30]).layout(Layout::Thwc);
    let clip = run(&options, &stream, &picture);
    for (y, row) in clip.chunks_exact(60).enumerate() {
        let expected = if (5..15).contains(&y) { [255; 3] } else { [10, 20, 30] };
        assert!(row.chunks_exact(3).all(|pixel| pixel == expected), "row {y}");
    }
}

#[test]
fn only_rows_and_columns_under_the_crop_and_its_filter_are_touched() {
    let stream = stream("yuv420p", 1280, 720);
    let options = TransformOptions::new().size(256, 256);
    let clean = Picture::noise(&stream, 9);
    let mut spoilt = Picture::noise(&stream, 9);
    for (plane, (data, stride)) in spoilt.planes.iter_mut().enumerate() {
        // The crop is columns 280..1000; bicubic reaches 2 * 2.8125 luma or 2 * 1.41 chroma samples further.
        let (left, right, reach) = if plane == 0 { (280, 1000, 6) } else { (140, 500, 4) };
        let stride = *stride;
        for row in data.chunks_exact_mut(stride) {
            row[..left - reach].fill(0);
            row[right + reach..].fill(255);
        }
    }
    assert_eq!(run(&options, &stream, &clean), run(&options, &stream, &spoilt));
}

#[test]
fn frames_that_are_not_the_streams_are_rejected_without_a_panic() {
    let stream = stream("yuv420p", 16, 16);
    let mut transform = Transform::new(&TransformOptions::new().size(8, 8), &stream).unwrap();
    let mut clip = vec![0; transform.clip_shape(2).num_bytes(DType::Uint8).unwrap()];
    let picture = Picture::noise(&stream, 1);
    let view = picture.view();
    assert_eq!(transform.apply(&view, &mut clip, 2, 2).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(transform.apply(&view, &mut clip, 3, 0).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(transform.apply(&view, &mut [], usize::MAX, 0).unwrap_err().kind(), ErrorKind::LimitExceeded);
    let mut other = view;
    other.width = 14;
    assert_eq!(transform.apply(&other, &mut clip, 2, 0).unwrap_err().kind(), ErrorKind::Decode);
    for (data, stride) in
        [(&view.planes[1].data[..8], view.planes[1].stride), (view.planes[1].data, 4), (&[], usize::MAX)]
    {
        let mut short = view;
        short.planes[1] = PlaneView { data, stride };
        assert_eq!(transform.apply(&short, &mut clip, 2, 0).unwrap_err().kind(), ErrorKind::Decode);
    }
    transform.apply(&view, &mut clip, 2, 1).unwrap();
}

#[test]
fn streams_beyond_reason_are_rejected_with_typed_errors() {
    let options = TransformOptions::new().size(8, 8);
    let kind = |options: &TransformOptions, stream: &StreamInfo| Transform::new(options, stream).unwrap_err().kind();
    assert_eq!(kind(&options, &stream("yuv420p", 0, 16)), ErrorKind::Unsupported);
    assert_eq!(kind(&options, &stream("yuv420p", 16, u32::MAX)), ErrorKind::Unsupported);
    let mut odd = stream("yuv420p", 16, 16);
    odd.pixel_format.depth = 32;
    assert_eq!(kind(&options, &odd), ErrorKind::Unsupported);
    assert_eq!(kind(&TransformOptions::new(), &stream("yuv420p", 20_000, 16)), ErrorKind::LimitExceeded);
    // Absurd sample aspects still give a picture.
    for aspect in [Ratio::new(u32::MAX, 1), Ratio::new(1, u32::MAX)] {
        let mut wide = stream("yuv420p", 16, 16);
        wide.sample_aspect = aspect.unwrap();
        let picture = Picture::noise(&wide, 2);
        for &fit in Fit::ALL {
            run(&options.clone().fit(fit), &wide, &picture);
        }
    }
}

#[test]
fn samples_beyond_the_depth_do_not_panic() {
    let stream = stream("yuv420p10le", 64, 64);
    let mut picture = Picture::noise(&stream, 2);
    picture.planes.iter_mut().for_each(|(data, _)| data.fill(0xff));
    run(&TransformOptions::new().size(20, 20), &stream, &picture);
}

/// Of the picture by these loops.
fn run_by(isa: Isa, options: &TransformOptions, stream: &StreamInfo, picture: &Picture) -> Vec<u8> {
    let mut transform = Transform::new(options, stream).unwrap();
    transform.use_isa(isa);
    let mut clip = vec![0; transform.clip_shape(1).num_bytes(options.dtype).unwrap()];
    transform.apply(&picture.view(), &mut clip, 1, 0).unwrap();
    clip
}

/// Rows of planes whose chroma is enlarged twice and whose luma stays are made in one pass, interleaved ones in three.
#[test]
fn rows_made_in_one_pass_are_those_made_in_three() {
    let (width, height) = (302, 30);
    // With zeros in the matrix, and without (YCgCo).
    for (location, matrix) in [
        (ChromaLocation::Left, 1),
        (ChromaLocation::Center, 5),
        (ChromaLocation::TopLeft, 9),
        (ChromaLocation::Left, 8),
    ] {
        let mut stream = stream("yuv420p", width, height);
        (stream.color.chroma_location, stream.color.matrix) = (location, matrix);
        let picture = Picture::noise(&stream, 11);
        for (filter, out_w) in Filter::ALL.iter().flat_map(|&filter| [302, 256, 254, 200, 34].map(|w| (filter, w))) {
            for isa in Isa::all() {
                let options = TransformOptions::new().size(height, out_w).fit(Fit::Crop).filter(filter);
                let planes = run_by(isa, &options.clone().layout(Layout::Tchw), &stream, &picture);
                let pixels = run_by(isa, &options.layout(Layout::Thwc), &stream, &picture);
                let area = (out_w * height) as usize;
                let interleaved = (0..3 * area).map(|at| planes[at % 3 * area + at / 3]).collect::<Vec<_>>();
                assert!(interleaved == pixels, "{isa:?}, {filter:?}, {location:?}, {out_w} columns");
            }
        }
    }
}

#[test]
fn planes_are_those_of_the_picture_where_nothing_is_resized_and_a_crop_is_its_middle() {
    let stream = stream("yuv420p", 40, 24);
    let picture = Picture::noise(&stream, 3);
    let options = TransformOptions::new().format(FrameFormat::Yuv420);
    let dense = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| -> Vec<u8> {
        let planes = picture.planes.iter().zip([1, 2, 2]);
        planes
            .flat_map(|((data, stride), part)| {
                (rows.start / part..rows.end / part).flat_map({
                    let columns = columns.clone();
                    move |y| data[y * stride..][columns.start / part..columns.end / part].iter().copied()
                })
            })
            .collect()
    };
    assert_eq!(run(&options, &stream, &picture), dense(0..24, 0..40));
    assert_eq!(run(&options.clone().size(24, 24), &stream, &picture), dense(0..24, 8..32));
    assert_eq!(run(&options.clone().size(24, 40).fit(Fit::Stretch), &stream, &picture), dense(0..24, 0..40));
    let transform = Transform::new(&options.clone().size(24, 40), &stream).unwrap();
    assert_eq!(transform.clip_shape(3).shape(Layout::Tchw), [3, 1, 36, 40]);
}

#[test]
fn an_own_size_that_is_odd_and_planes_of_rgb_have_no_yuv() {
    let options = TransformOptions::new().format(FrameFormat::Yuv420);
    let odd = Transform::new(&options, &stream("yuv420p", 35, 24)).unwrap_err();
    let rgb = Transform::new(&options.size(24, 40), &stream("gbrp", 40, 24)).unwrap_err();
    assert_eq!((odd.kind(), rgb.kind()), (ErrorKind::Unsupported, ErrorKind::Unsupported));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]
    #[test]
    fn all_compilations_of_the_loops_give_the_same_bytes(
        format in proptest::sample::select(&FORMATS[..]), filter in proptest::sample::select(Filter::ALL),
        width in 1_u32..300, height in 1_u32..60, out_w in 1_u32..100, out_h in 1_u32..20, seed: u32, fill: bool,
        scale in 0_u32..6, fit in proptest::sample::select(Fit::ALL), layout in proptest::sample::select(Layout::ALL),
        location in proptest::sample::select(&[ChromaLocation::Left, ChromaLocation::Center, ChromaLocation::TopLeft][..]),
        turns in 0_u8..4, mirrored: bool, planar: bool,
    ) {
        // Half of the time at scales where weights repeat: 1 and 2, of the picture or of its chroma.
        let (out_w, out_h) = match scale {
            0 => (width, height.min(20)),
            1 => (2 * width, (2 * height).min(20)),
            2 => (width, height),
            _ => (out_w, out_h),
        };
        let mut stream = stream(format, width, height);
        // YCgCo, whose matrix alone has no zeros.
        stream.color.matrix = if seed.is_multiple_of(4) { 8 } else { 1 };
        stream.color.chroma_location = location;
        // Upright more often than not: other rows are written one by one.
        stream.orientation = if seed.is_multiple_of(3) { Orientation::new(turns, mirrored) } else { Orientation::UPRIGHT };
        let mut picture = Picture::noise(&stream, seed);
        if fill {
            // The extremes, and beyond where a depth leaves bits free.
            picture.planes.iter_mut().for_each(|(data, _)| data.fill(0xff));
        }
        let options = TransformOptions::new().size(out_h, out_w).fit(fit).filter(filter).layout(layout);
        let options = if planar && stream.pixel_format.model != ColorModel::Gbr && fit != Fit::Pad {
            let even = |side: u32| side.next_multiple_of(2);
            options.format(FrameFormat::Yuv420).layout(Layout::Tchw).size(even(out_h), even(out_w))
        } else {
            options
        };
        let expected = run_by(Isa::BASELINE, &options, &stream, &picture);
        for isa in Isa::all() {
            prop_assert_eq!(&run_by(isa, &options, &stream, &picture), &expected, "{:?}", isa);
        }
    }
}
