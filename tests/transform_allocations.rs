//! The transform allocates when it is made and never again: a counting allocator sees every call of this test's thread.
#![allow(unsafe_code, reason = "a global allocator that counts and hands on")]
#![allow(clippy::unwrap_used)]

use framefeed::{
    Codec, ColorSpec, DType, Fit, FrameFormat, FrameView, Layout, Orientation, PacketTable, PixelFormat, PlaneView,
    Ratio, StreamInfo, TimeBase, Transform, TransformOptions,
};
use std::alloc::{GlobalAlloc, Layout as MemoryLayout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: MemoryLayout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: MemoryLayout) {
        // SAFETY: `pointer` came from `System.alloc` with that layout, as the caller promises of ours.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn applying_a_transform_allocates_nothing() {
    for (format, turns, dtype, layout, fit, frames) in [
        ("yuv420p", 0, DType::Uint8, Layout::Tchw, Fit::Crop, FrameFormat::Rgb),
        ("yuv420p10le", 1, DType::Float16, Layout::Thwc, Fit::Pad, FrameFormat::Rgb),
        ("gray", 2, DType::Float32, Layout::Cthw, Fit::Stretch, FrameFormat::Rgb),
        ("yuv420p", 0, DType::Uint8, Layout::Tchw, Fit::Crop, FrameFormat::Yuv420),
        ("yuv420p10le", 3, DType::Uint8, Layout::Tchw, Fit::Stretch, FrameFormat::Yuv420),
    ] {
        let stream = StreamInfo {
            codec: Codec::H264,
            profile: None,
            extradata: arrow::buffer::Buffer::from(&[][..]),
            reorder_frames: 0,
            pixel_format: PixelFormat::parse(format).unwrap(),
            width: 320,
            height: 180,
            sample_aspect: Ratio::ONE,
            orientation: Orientation::new(turns, false),
            color: ColorSpec::guess(180),
            time_base: TimeBase::new(1, 25).unwrap(),
            duration: 1,
            packets: PacketTable::default(),
            gops: Vec::new(),
            frame_packets: vec![0_u32].into(),
            is_closed: false,
        };
        let before_new = ALLOCATIONS.with(Cell::get);
        let options = TransformOptions::new().size(96, 64).dtype(dtype).layout(layout).fit(fit).format(frames);
        let mut transform = Transform::new(&options, &stream).unwrap();
        let data = vec![100_u8; 640 * 180];
        let plane = PlaneView { data: &data, stride: 640 };
        let frame = FrameView { format: stream.pixel_format, width: 320, height: 180, planes: [plane; 3] };
        let mut clip = vec![0; transform.clip_shape(4).num_bytes(dtype).unwrap()];
        let before = ALLOCATIONS.with(Cell::get);
        assert!(before > before_new, "the counter counts");
        for t in 0..4 {
            transform.apply(&frame, &mut clip, 4, t).unwrap();
        }
        assert_eq!(ALLOCATIONS.with(Cell::get), before, "{format}");
    }
}
