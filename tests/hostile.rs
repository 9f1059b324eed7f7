//! Clips that are made to cost: a picture of 16000 by 16000, headers that claim a billion frames, a GOP without an end, garbage behind
//! a sound beginning. Each is refused or bounded, is named, and stands in nobody's way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use framefeed::{Dataset, DecodeLimits, ErrorKind, ErrorPolicy, Loader, LoaderBuilder, Redraw, Window};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use support::testing::{self, make};
use support::{Videos, convert, keys, on};

/// 200 frames, of which the first alone is a keyframe.
fn endless() -> Vec<u8> {
    let size = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25", "-frames:v", "200", "-pix_fmt", "yuv420p"];
    let gop = ["-c:v", "libx264", "-x264-params", "keyint=infinite:scenecut=0:bframes=0"];
    std::fs::read(make("endless.mp4", &[&size[..], &gop].concat())).unwrap()
}

/// The MP4 with `value` in the place of the number `offset` bytes behind the begin of the box's name.
fn patched(mp4: &[u8], name: [u8; 4], offset: usize, value: u32) -> Vec<u8> {
    let mut bytes = mp4.to_vec();
    let at = bytes.windows(4).position(|window| *window == name).unwrap() + offset;
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// The MP4 whose packets are noise from their second third on.
fn noisy(mp4: &[u8]) -> Vec<u8> {
    let mut bytes = mp4.to_vec();
    let mdat = bytes.windows(4).position(|window| window == b"mdat").unwrap();
    let size = u32::from_be_bytes(bytes[mdat - 4..mdat].try_into().unwrap()) as usize;
    let mut state = 1_u64;
    for byte in &mut bytes[mdat + size / 3..mdat - 4 + size] {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
    bytes
}

/// The reason that the report gives for a source.
fn reason<'a>(report: &'a Value, name: &str) -> &'a str {
    let failed = report["failed"].as_array().unwrap();
    let found = failed.iter().find(|failed| failed["source"].as_str().unwrap().ends_with(name));
    found.unwrap_or_else(|| panic!("{name} is not among {failed:?}"))["reason"].as_str().unwrap()
}

fn loader(out: &Path, window: Window) -> LoaderBuilder {
    Loader::builder(Dataset::open(out).unwrap()).window(window).size(32, 32).decode_workers(2)
}

#[test]
fn what_headers_claim_is_refused_with_a_reason_and_the_others_are_converted() {
    let videos = Videos::new();
    let mp4 = endless();
    videos.add("good.mp4", &testing::H264);
    let huge = ["-f", "lavfi", "-i", "color=size=16000x16000", "-frames:v", "1", "-pix_fmt", "gray", "-c:v", "png"];
    videos.copy("huge.mkv", &make("huge.mkv", &huge));
    // Sizes of a billion packets, which the box does not hold; and one size for a billion of them.
    videos.write("sizes.mp4", patched(&mp4, *b"stsz", 12, 1_000_000_000));
    videos.write("size.mp4", patched(&patched(&mp4, *b"stsz", 12, 1_000_000_000), *b"stsz", 8, 1));
    // Durations of a billion packets: there are only 200, which play.
    videos.write("times.mp4", patched(&mp4, *b"stts", 12, 1_000_000_000));
    let report = convert(&videos.source(), &videos.out(), &[]).json();
    assert_eq!(keys(&videos.out()), ["good", "times"]);
    assert!(reason(&report, "huge.mkv").contains("16000x16000"), "{report}");
    assert!(reason(&report, "sizes.mp4").contains("damaged"), "{report}");
    assert!(reason(&report, "size.mp4").contains("no frame"), "{report}");
    assert_eq!(support::record(&videos.out(), "times").stream.num_frames(), 200);
    on("verify", &videos.out(), &["--decode", "--json"]).json();
}

#[test]
fn garbage_behind_a_sound_beginning_ends_the_clip_and_is_reported() {
    let videos = Videos::new();
    videos.write("noise.mp4", noisy(&endless()));
    let report = convert(&videos.source(), &videos.out(), &[]).json();
    assert!(report.to_string().contains("could not be decoded"), "{report}");
    on("verify", &videos.out(), &["--decode", "--json"]).json();
    let frames = support::record(&videos.out(), "noise").stream.num_frames();
    assert!((40..200).contains(&frames), "{frames}");
    // Whatever was stored is delivered, all of it and every time.
    let loader = loader(&videos.out(), Window::strided(frames as u32, 1)).epochs(2).build().unwrap();
    let clips: Vec<_> = loader.iter().map(|batch| batch.unwrap().video.unwrap().data.to_vec()).collect();
    assert_eq!(clips.len(), 2);
    assert_eq!(clips[0], clips[1]);
}

#[test]
fn a_gop_without_an_end_costs_what_the_limits_allow() {
    let videos = Videos::new();
    videos.add("good.mp4", &testing::H264);
    videos.write("endless.mp4", endless());
    convert(&videos.source(), &videos.out(), &[]).json();
    let packets = DecodeLimits::default().max_packets(100);
    // The good clip's GOPs have 12 frames; in the other one a window at random needs all packets before it.
    let random = || loader(&videos.out(), Window::strided(4, 1)).redraw(Redraw::On);
    let build = |policy| random().limits(packets).on_error(policy).epochs(40).build();
    let skipping = build(ErrorPolicy::Skip).unwrap();
    let delivered: Vec<String> = skipping.iter().flat_map(|batch| batch.unwrap().keys).collect();
    let (good, endless) = (delivered.iter().filter(|key| *key == "good").count(), skipping.stats().skipped);
    assert_eq!(good, 40);
    assert!(endless > 5 && delivered.len() as u64 == 80 - endless, "{delivered:?}, {endless} skipped");
    let error = build(ErrorPolicy::Raise).unwrap().iter().find_map(Result::err).unwrap();
    assert_eq!((error.kind(), error.record()), (ErrorKind::LimitExceeded, Some("endless")), "{error}");
    assert!(error.message().contains("at most 100 are allowed"), "{error}");
}

#[test]
fn time_bounds_a_clip_and_leaving_the_loop_ends_it() {
    let videos = Videos::new();
    let large = ["-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=25", "-frames:v", "120", "-pix_fmt", "yuv420p"];
    let gop = ["-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "keyint=infinite:scenecut=0"];
    videos.copy("large.mp4", &make("large.mp4", &[&large[..], &gop].concat()));
    convert(&videos.source(), &videos.out(), &["--check", "fast"]).json();
    let limits = DecodeLimits::default().timeout(Some(Duration::from_millis(5)));
    let bounded = loader(&videos.out(), Window::strided(120, 1)).limits(limits).build().unwrap();
    let error = bounded.iter().find_map(Result::err).unwrap();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    assert!(error.message().contains("longer than 0.005 s"), "{error}");
    // Enlarged, so that the clip alone takes many seconds.
    let window = Window::strided(120, 1);
    let builder = Loader::builder(Dataset::open(videos.out()).unwrap()).window(window).size(1080, 1920);
    let unbounded = builder.decode_workers(1).build().unwrap();
    let mut batches = unbounded.iter();
    while unbounded.stats().read_bytes == 0 {
        let _ = batches.next_within(Duration::from_millis(1));
    }
    let start = Instant::now();
    drop(batches);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}
