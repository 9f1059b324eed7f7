//! Gray pictures against Pillow's `resize`, the definition that the filters follow. Needs a Python with Pillow (`PYTHON`, or
//! `python3`); says so and passes where there is none, fails instead where `REQUIRE_PILLOW=1`.
#![allow(clippy::unwrap_used)]

use framefeed::{
    Codec, ColorRange, ColorSpec, DType, Filter, Fit, FrameView, Orientation, PacketTable, PixelFormat, PlaneView,
    Ratio, StreamInfo, TimeBase, Transform, TransformOptions,
};
use std::io::Write;
use std::process::{Command, Stdio};

/// Width, height and values in, width and height out, a filter's number in Pillow. `F` images are neither rounded nor
/// clamped between Pillow's two passes, `L` images are.
const SCRIPT: &str = "
import struct, sys
from PIL import Image
w, h, ow, oh, number = map(int, sys.argv[1:])
image = Image.frombytes('L', (w, h), sys.stdin.buffer.read()).convert('F').resize((ow, oh), number)
sys.stdout.buffer.write(image.tobytes())
";

fn pillow(size: (u32, u32), out: (u32, u32), number: u32, values: &[u8]) -> Vec<f32> {
    let mut child = Command::new(python())
        .args(["-c", SCRIPT])
        .args([size.0, size.1, out.0, out.1, number].map(|value| value.to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(values).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout.chunks_exact(4).map(|bytes| f32::from_ne_bytes(bytes.try_into().unwrap())).collect()
}

fn python() -> String {
    std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

fn ours(size: (u32, u32), out: (u32, u32), filter: Filter, values: &[u8]) -> Vec<u8> {
    let format = PixelFormat::parse("gray").unwrap();
    let stream = StreamInfo {
        codec: Codec::Mjpeg,
        profile: None,
        extradata: arrow::buffer::Buffer::from(&[][..]),
        reorder_frames: 0,
        pixel_format: format,
        width: size.0,
        height: size.1,
        sample_aspect: Ratio::ONE,
        orientation: Orientation::UPRIGHT,
        color: ColorSpec { range: ColorRange::Full, ..ColorSpec::guess(size.1) },
        time_base: TimeBase::new(1, 25).unwrap(),
        duration: 1,
        packets: PacketTable::default(),
        gops: Vec::new(),
        frame_packets: vec![0_u32].into(),
        is_closed: false,
    };
    let options = TransformOptions::new().size(out.1, out.0).fit(Fit::Stretch).filter(filter);
    let mut transform = Transform::new(&options, &stream).unwrap();
    let mut clip = vec![0; transform.clip_shape(1).num_bytes(DType::Uint8).unwrap()];
    let empty = PlaneView { data: &[], stride: 0 };
    let planes = [PlaneView { data: values, stride: size.0 as usize }, empty, empty];
    transform.apply(&FrameView { format, width: size.0, height: size.1, planes }, &mut clip, 1, 0).unwrap();
    clip.truncate(clip.len() / 3);
    clip
}

#[test]
fn gray_pictures_are_resized_as_pillow_does_it() {
    let found = Command::new(python()).args(["-c", "import PIL"]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("REQUIRE_PILLOW").is_none(), "REQUIRE_PILLOW is set and {} has no Pillow", python());
        eprintln!("SKIPPED: {} has no Pillow; set PYTHON to one that has", python());
        return;
    }
    let numbers = [(Filter::Lanczos, 1), (Filter::Bilinear, 2), (Filter::Bicubic, 3), (Filter::Area, 4)];
    for (size, out) in [((640, 360), (256, 256)), ((97, 61), (33, 50)), ((50, 40), (173, 190)), ((16, 2000), (16, 16))]
    {
        let mut state = 9_u32;
        let values: Vec<u8> = (0..size.0 * size.1)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        for (filter, number) in numbers {
            let theirs = pillow(size, out, number, &values);
            let got = ours(size, out, filter, &values);
            assert_eq!(got.len(), theirs.len());
            for (i, (&level, exact)) in got.iter().zip(theirs).enumerate() {
                let away = (f32::from(level) - exact.clamp(0.0, 255.0)).abs();
                assert!(away < 0.6, "{filter} {size:?} to {out:?}, pixel {i}: {level} is not {exact}");
            }
        }
    }
}
