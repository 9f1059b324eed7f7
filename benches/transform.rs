//! One frame to a 256x256 RGB clip slot, one thread, source and destination in cache. Before it measures, each case is
//! compared with the float64 reference: no level may be more than 0.6 away from the exact value.

use criterion::{Criterion, criterion_group, criterion_main};
use framefeed::{
    Codec, ColorSpec, DType, Filter, FrameView, Layout, Orientation, PacketTable, PixelFormat, PlaneView, Ratio,
    StreamInfo, TimeBase, Transform, TransformOptions,
};
use std::hint::black_box;

#[path = "../src/transform/reference.rs"]
mod reference;

fn stream(format: &str, width: u32, height: u32, turns: u8) -> StreamInfo {
    StreamInfo {
        codec: Codec::H264,
        profile: None,
        extradata: arrow::buffer::Buffer::from(&[][..]),
        reorder_frames: 0,
        pixel_format: PixelFormat::parse(format).expect("a format's name"),
        width,
        height,
        sample_aspect: Ratio::ONE,
        orientation: Orientation::new(turns, false),
        color: ColorSpec::guess(height),
        time_base: TimeBase::new(1, 25).expect("a positive time base"),
        duration: 1,
        packets: PacketTable::default(),
        gops: Vec::new(),
        frame_packets: vec![0_u32].into(),
        is_closed: false,
    }
}

/// Noise within the depth, as planes of bytes.
fn noise(stream: &StreamInfo) -> Vec<Vec<u8>> {
    let format = stream.pixel_format;
    let mut state = 1_u64;
    (0..format.num_planes())
        .map(|plane| {
            let (width, height) = format.plane_size(plane, stream.width, stream.height);
            (0..width as usize * height as usize)
                .flat_map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let sample = (state >> 40) as u16 & ((1_u32 << format.depth) - 1) as u16;
                    sample.to_le_bytes().into_iter().take(format.bytes_per_sample())
                })
                .collect()
        })
        .collect()
}

fn view<'a>(stream: &StreamInfo, planes: &'a [Vec<u8>]) -> FrameView<'a> {
    let format = stream.pixel_format;
    let planes = std::array::from_fn(|p| {
        let width = format.plane_size(p, stream.width, stream.height).0 as usize;
        PlaneView { data: planes.get(p).map_or(&[], Vec::as_slice), stride: width * format.bytes_per_sample() }
    });
    FrameView { format, width: stream.width, height: stream.height, planes }
}

/// Compares an upright 4:2:0 frame, cropped to a square in (T, H, W, C), with the reference.
fn check(stream: &StreamInfo, planes: &[Vec<u8>], options: &TransformOptions, clip: &[u8], side: usize) {
    let format = stream.pixel_format;
    let unit = f64::from(1_u32 << (format.depth - 8));
    let (width, height) = (f64::from(stream.width), f64::from(stream.height));
    let left = (width - height) / 2.0;
    let filter = options.filter.as_str();
    let resampled: Vec<_> = (0..3)
        .map(|p| {
            let (plane_w, plane_h) = format.plane_size(p, stream.width, stream.height);
            let values = planes[p]
                .chunks_exact(format.bytes_per_sample())
                .map(|s| (f64::from(s[0]) + s.get(1).map_or(0.0, |&high| 256.0 * f64::from(high))) / unit)
                .collect();
            let pitch = if p == 0 { 1.0 } else { 2.0 };
            let plane = reference::Plane {
                width: plane_w as usize,
                height: plane_h as usize,
                values,
                pitch: (pitch, pitch),
                centre: (0.5, pitch / 2.0),
            };
            reference::resample(&plane, (left, 0.0, width - left, height), side, side, (filter, filter))
        })
        .collect();
    let matrix = stream.color.matrix;
    for (i, pixel) in clip.chunks_exact(3).enumerate() {
        let exact = reference::rgb(
            [resampled[0][i], resampled[1][i], resampled[2][i]],
            "yuv",
            matrix,
            false,
            format.depth.into(),
        );
        for (&level, exact) in pixel.iter().zip(exact) {
            let away = (f64::from(level) - exact.clamp(0.0, 255.0)).abs();
            assert!(away < 0.6, "pixel {i} is {level}, expected {exact}");
        }
    }
}

fn transform(criterion: &mut Criterion) {
    let base = TransformOptions::new().size(256, 256);
    let cases = [
        ("720p_8bit_bicubic", stream("yuv420p", 1280, 720, 0), base.clone()),
        ("720p_8bit_bilinear", stream("yuv420p", 1280, 720, 0), base.clone().filter(Filter::Bilinear)),
        ("720p_8bit_area", stream("yuv420p", 1280, 720, 0), base.clone().filter(Filter::Area)),
        ("720p_8bit_lanczos", stream("yuv420p", 1280, 720, 0), base.clone().filter(Filter::Lanczos)),
        ("720p_10bit_bicubic", stream("yuv420p10le", 1280, 720, 0), base.clone()),
        ("720p_8bit_bicubic_rotated", stream("yuv420p", 1280, 720, 1), base.clone()),
        ("720p_8bit_bicubic_thwc", stream("yuv420p", 1280, 720, 0), base.clone().layout(Layout::Thwc)),
        ("720p_8bit_bicubic_float16", stream("yuv420p", 1280, 720, 0), base.clone().dtype(DType::Float16)),
        ("1080p_8bit_bicubic", stream("yuv420p", 1920, 1080, 0), base.clone()),
        ("2160p_8bit_bicubic", stream("yuv420p", 3840, 2160, 0), base.clone()),
        ("360p_8bit_bicubic", stream("yuv420p", 640, 360, 0), base.clone()),
        ("256p_8bit_bicubic", stream("yuv420p", 456, 256, 0), base.clone()),
        ("240p_8bit_bicubic", stream("yuv420p", 320, 240, 0), base),
    ];
    let mut group = criterion.benchmark_group("transform_to_256x256");
    for (name, stream, options) in cases {
        let planes = noise(&stream);
        let frame = view(&stream, &planes);
        let upright = StreamInfo { orientation: Orientation::UPRIGHT, ..stream.clone() };
        let plain = options.clone().layout(Layout::Thwc).dtype(DType::Uint8);
        let mut clip = vec![0; 256 * 256 * 3];
        let mut checked = Transform::new(&plain, &upright).expect("good options");
        checked.apply(&frame, &mut clip, 1, 0).expect("a good frame");
        check(&stream, &planes, &plain, &clip, 256);

        let mut transform = Transform::new(&options, &stream).expect("good options");
        let mut clip = vec![0; transform.clip_shape(1).num_bytes(options.dtype).expect("a small clip")];
        group.bench_function(name, |bencher| {
            bencher.iter(|| transform.apply(black_box(&frame), black_box(&mut clip), 1, 0).expect("a good frame"));
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(300)).measurement_time(std::time::Duration::from_secs(1)); targets = transform }
criterion_main!(benches);
