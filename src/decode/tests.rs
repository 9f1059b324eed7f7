//! Every frame that comes out is equal, byte by byte, to what the `ffmpeg` command gives for the file.

use super::fixture_stream::FixtureStream;
use super::{ClipDecoder, DecodeLimits, DecodePlan, DecodeStats, DecoderOptions, PacketSource};
use crate::media::FrameView;
use crate::testing::{self, Fixture};
use crate::{Error, ErrorKind, Result};
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// A fixture, its record, and what `ffmpeg` makes of it.
struct Case {
    name: &'static str,
    record: FixtureStream,
    truth: Vec<Vec<u8>>,
}

impl Case {
    fn new(fixture: &Fixture) -> Self {
        let path = fixture.path();
        let record = FixtureStream::open(&path);
        let (width, height) = (record.stream.width, record.stream.height);
        let truth = testing::raw_planes(&path, 0, record.stream.pixel_format.frame_bytes(width, height) as usize);
        assert_eq!(record.stream.num_frames(), truth.len(), "{}: frame count", fixture.name);
        assert_eq!(truth.len(), fixture.frames as usize, "{}: frames made", fixture.name);
        Self { name: fixture.name, record, truth }
    }

    fn plan(&self, frames: &[u32]) -> DecodePlan {
        DecodePlan::new(&self.record.stream, frames).unwrap()
    }

    /// Decodes `frames` and compares each with the truth.
    fn check(&self, decoder: &mut ClipDecoder, frames: &[u32]) -> DecodeStats {
        let plan = self.plan(frames);
        let (result, planes) = decode(decoder, &self.record, &plan, &DecodeLimits::default(), &|| false);
        let stats = result.unwrap_or_else(|error| panic!("{} {frames:?}: {}", self.name, error.report()));
        assert_eq!(planes.len(), frames.len(), "{}: {frames:?}", self.name);
        for (planes, frame) in planes.iter().zip(frames) {
            let equal = planes.as_ref() == Some(&self.truth[*frame as usize]);
            assert!(equal, "{}: frame {frame} differs, {}", self.name, testing::ffmpeg_version());
        }
        assert_eq!(stats.packets as usize, plan.packets().len().min(stats.packets as usize));
        stats
    }
}

fn packed(view: &FrameView<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for plane in 0..view.format.num_planes() {
        let (_, rows) = view.format.plane_size(plane, view.width, view.height);
        (0..rows).for_each(|row| bytes.extend_from_slice(view.row(plane, row)));
    }
    bytes
}

/// Planes by position in the request, as far as they came.
fn decode(
    decoder: &mut ClipDecoder,
    record: &FixtureStream,
    plan: &DecodePlan,
    limits: &DecodeLimits,
    cancel: &dyn Fn() -> bool,
) -> (Result<DecodeStats>, Vec<Option<Vec<u8>>>) {
    let mut planes: Vec<Option<Vec<u8>>> = Vec::new();
    let mut sink = |positions: &[u32], view: &FrameView<'_>| {
        for &position in positions {
            let len = planes.len().max(position as usize + 1);
            planes.resize(len, None);
            assert!(planes[position as usize].is_none(), "position {position} came twice");
            planes[position as usize] = Some(packed(view));
        }
        Ok(())
    };
    let result = decoder.decode(&record.stream, plan, record, limits, cancel, &mut sink);
    (result, planes)
}

fn decoder() -> ClipDecoder {
    ClipDecoder::new(DecoderOptions::default())
}

/// Numbers below `end` that look random and are the same in every run.
fn numbers(seed: u64, end: usize) -> impl Iterator<Item = u32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize % end) as u32
    })
}

#[test]
fn all_frames_in_order_are_what_ffmpeg_gives() {
    for fixture in &testing::ALL {
        let case = Case::new(fixture);
        let all: Vec<u32> = (0..case.truth.len() as u32).collect();
        let stats = case.check(&mut decoder(), &all);
        assert_eq!(stats.delivered_frames as usize, all.len());
        assert_eq!((stats.refused_packets, stats.flagged_frames), (0, 0), "{}", case.name);
    }
}

#[test]
fn frames_in_random_order_with_repeats_are_what_ffmpeg_gives() {
    let mut decoder = decoder();
    for fixture in &testing::ALL {
        let case = Case::new(fixture);
        for seed in 0..12 {
            let frames: Vec<u32> = numbers(seed, case.truth.len()).take(1 + seed as usize).collect();
            case.check(&mut decoder, &frames);
        }
    }
}

#[test]
fn each_frame_alone_is_what_ffmpeg_gives() {
    let mut decoder = decoder();
    for fixture in &testing::ALL {
        let case = Case::new(fixture);
        for frame in 0..case.truth.len() as u32 {
            case.check(&mut decoder, &[frame]);
        }
    }
}

#[test]
fn strided_windows_are_what_ffmpeg_gives_and_leave_out_disposable_packets() {
    for fixture in [testing::H264, testing::HEVC_OPEN_GOP, testing::MPEG2] {
        let case = Case::new(&fixture);
        let frames: Vec<u32> = (2..case.truth.len() as u32).step_by(7).collect();
        let stats = case.check(&mut decoder(), &frames);
        let span = (frames.last().unwrap() - frames[0]) as u64;
        assert!(stats.packets < span, "{}: {} packets for {span} frames", case.name, stats.packets);
    }
}

#[test]
fn open_gops_are_random_access_points_with_leading_packets() {
    for (fixture, least_gops) in [(testing::HEVC_OPEN_GOP, 4), (testing::MPEG2, 4), (testing::H264_OPEN_GOP, 1)] {
        let record = FixtureStream::open(&fixture.path());
        assert!(record.stream.gops.len() >= least_gops, "{}: {} GOPs", fixture.name, record.stream.gops.len());
        let leading = record.stream.packets.iter().any(|entry| entry.flags.0 & 8 != 0);
        assert_eq!(leading, least_gops > 1, "{}: leading packets", fixture.name);
    }
}

#[test]
fn clips_of_one_coded_size_and_different_windows_alternate_without_mixing() {
    let cases = [Case::new(&testing::H264_CROPPED), Case::new(&testing::H264_CROPPED_OTHER)];
    let mut decoder = decoder();
    for round in 0..100_u32 {
        for case in &cases {
            let stats = case.check(&mut decoder, &[(round * 7) % 30, (round * 11 + 3) % 30]);
            assert_eq!(stats.decoders_opened, u64::from(round == 0), "{}", case.name);
        }
    }
}

#[test]
fn decoders_whose_pictures_exceed_the_budget_are_closed_after_their_clip() {
    let cases = [Case::new(&testing::H264_CROPPED), Case::new(&testing::H264_CROPPED_OTHER)];
    let held = |case: &Case| {
        let stream = &case.record.stream;
        8 * stream.pixel_format.frame_bytes(stream.width, stream.height) + (1 << 20)
    };
    let both = held(&cases[0]) + held(&cases[1]);
    // Room for both, for one, and for none.
    for (bytes, opened) in [(both, [1, 1, 0, 0]), (both - 1, [1, 1, 1, 1]), (1, [1, 1, 1, 1])] {
        let mut decoder = ClipDecoder::new(DecoderOptions::default().cached_bytes(bytes));
        let found = [0, 1, 0, 1].map(|case: usize| cases[case].check(&mut decoder, &[3]).decoders_opened);
        assert_eq!(found, opened, "{bytes} bytes");
        let again = cases[1].check(&mut decoder, &[3]).decoders_opened;
        assert_eq!(again, u64::from(bytes == 1), "{bytes} bytes");
        decoder.shrink(0);
        assert_eq!(cases[1].check(&mut decoder, &[3]).decoders_opened, 1, "{bytes} bytes");
    }
}

#[test]
fn parameter_sets_within_packets_do_not_reach_the_next_clip() {
    // Both have one configuration, but the first carries the parameter sets of another encode within its packets.
    let good = Case::new(&testing::H264);
    let other = FixtureStream::open(&testing::H264_10BIT.path());
    let mut poisoned = FixtureStream::open(&testing::H264.path());
    let sets = parameter_sets(other.stream.extradata.as_slice());
    for packet in &mut poisoned.packets {
        packet.splice(0..0, sets.iter().copied());
    }
    let mut decoder = decoder();
    for _ in 0..3 {
        let plan = DecodePlan::new(&poisoned.stream, &[0, 5]).unwrap();
        let (result, _) = decode(&mut decoder, &poisoned, &plan, &DecodeLimits::default(), &|| false);
        assert!(result.is_err(), "foreign parameter sets changed nothing: the test tests nothing");
        good.check(&mut decoder, &[0, 5, 20]);
    }
    // The same, kept open on purpose: frames of the right format come out, the decoder is kept.
    let mut repeated = FixtureStream::open(&testing::H264.path());
    let last = repeated.packets.len() - 1;
    repeated.packets[last].extend_from_slice(&sets);
    let end = repeated.stream.num_frames() as u32 - 1;
    let plan = DecodePlan::new(&repeated.stream, &[0, end]).unwrap();
    decode(&mut decoder, &repeated, &plan, &DecodeLimits::default(), &|| false).0.unwrap();
    good.check(&mut decoder, &[0, 5, 20]);
}

/// SPS and PPS of an `avcC`, each behind a four-byte length.
fn parameter_sets(avcc: &[u8]) -> Vec<u8> {
    let (mut at, mut sets) = (6, Vec::new());
    for _ in 0..2 {
        let length = usize::from(u16::from_be_bytes([avcc[at], avcc[at + 1]]));
        sets.extend_from_slice(&(length as u32).to_be_bytes());
        sets.extend_from_slice(&avcc[at + 2..at + 2 + length]);
        at += 2 + length + 1;
    }
    sets
}

#[test]
fn a_bad_clip_leaves_nothing_behind() {
    for fixture in &testing::ALL {
        let good = Case::new(fixture);
        let mut decoder = decoder();
        good.check(&mut decoder, &[0, 1]);
        let mut bad = FixtureStream::open(&fixture.path());
        for (seed, packet) in bad.packets.iter_mut().enumerate() {
            let keep = packet.len().min(8);
            for (byte, noise) in packet[keep..].iter_mut().zip(numbers(seed as u64, 256)) {
                *byte = noise as u8;
            }
        }
        let frames: Vec<u32> = (0..good.truth.len() as u32).collect();
        // Whether an error or garbage comes out is the codec's affair; a crash, a hang or traces in good clips are not.
        let plan = DecodePlan::new(&bad.stream, &frames).unwrap();
        let (_, planes) = decode(&mut decoder, &bad, &plan, &DecodeLimits::default(), &|| false);
        assert!(planes.iter().zip(&good.truth).any(|(bad, good)| bad.as_ref() != Some(good)) || planes.is_empty());
        good.check(&mut decoder, &frames);
    }
}

#[test]
fn a_refused_packet_is_named_with_the_frame_that_it_cost() {
    let mut record = FixtureStream::open(&testing::H264.path());
    record.packets[0] = vec![0xff; 100];
    let plan = DecodePlan::new(&record.stream, &[0]).unwrap();
    let mut decoder = decoder();
    let (result, planes) = decode(&mut decoder, &record, &plan, &DecodeLimits::default(), &|| false);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.report().contains("frame 0 (packet 0)") && error.report().contains("refused packet 0"), "{error:?}");
    assert!(planes.is_empty());
}

#[test]
fn a_truncated_packet_is_flagged_refused_or_missing_but_never_silent() {
    // VP9 cannot tell: its arithmetic decoder reads zeros past the end. The checksums are there for that.
    for fixture in [testing::H264, testing::HEVC_OPEN_GOP, testing::AV1] {
        let mut record = FixtureStream::open(&fixture.path());
        let half = record.packets[0].len() / 2;
        record.packets[0].truncate(half);
        let plan = DecodePlan::new(&record.stream, &[0]).unwrap();
        let (result, _) = decode(&mut decoder(), &record, &plan, &DecodeLimits::default(), &|| false);
        match result {
            Ok(stats) => assert!(stats.flagged_frames + stats.refused_packets > 0, "{}: {stats:?}", fixture.name),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Decode, "{}: {error}", fixture.name),
        }
    }
}

#[test]
fn an_empty_packet_is_no_end_of_the_stream() {
    let mut record = FixtureStream::open(&testing::MJPEG_ODD.path());
    record.packets[1].clear();
    let mut decoder = decoder();
    let plan = DecodePlan::new(&record.stream, &[0, 2]).unwrap();
    decode(&mut decoder, &record, &plan, &DecodeLimits::default(), &|| false).0.unwrap();
    let plan = DecodePlan::new(&record.stream, &[0, 1]).unwrap();
    let error = decode(&mut decoder, &record, &plan, &DecodeLimits::default(), &|| false).0.unwrap_err();
    assert!(error.message().starts_with("frame 1 "), "{error}");
}

#[test]
fn records_that_say_they_are_closed_are_decoded_like_others_whatever_was_decoded_before() {
    let mut decoder = decoder();
    for fixture in &testing::ALL {
        let plain = Case::new(fixture);
        let mut closed = Case::new(fixture);
        closed.record.stream.is_closed = true;
        for seed in 0..12 {
            let frames: Vec<u32> = numbers(seed, closed.truth.len()).take(1 + seed as usize).collect();
            closed.check(&mut decoder, &frames);
            // Ended early, by a limit, by nothing to do.
            let plan = closed.plan(&frames);
            let limits = DecodeLimits::default().max_decoded_frames(1 + seed % 3);
            let _ = decode(&mut decoder, &closed.record, &plan, &limits, &|| false);
            decode(&mut decoder, &closed.record, &closed.plan(&[]), &limits, &|| false).0.unwrap();
            if seed % 3 == 0 {
                plain.check(&mut decoder, &frames);
            }
        }
    }
}

/// What is done to each packet of a record, in some of its lies not to the first.
type Lie<'a> = &'a dyn Fn(&mut Vec<u8>);

#[test]
fn a_closed_record_that_lies_spoils_no_other() {
    let mut good = Case::new(&testing::H264);
    good.record.stream.is_closed = true;
    let all: Vec<u32> = (0..good.truth.len() as u32).collect();
    let unit = |header: u8, rest: &[u8]| [&[0, 0, 0, 1 + rest.len() as u8, header], rest].concat();
    let insert = |unit: &[u8], packet: &mut Vec<u8>| packet.splice(..0, unit.iter().copied()).for_each(drop);
    // A slice header that libavcodec refuses before it forgets its references.
    let is_slice = |header: u8| matches!(header & 0x1f, 1 | 5);
    let refused = |packet: &mut Vec<u8>| {
        for at in 4..packet.len().saturating_sub(1).min(1000) {
            if packet[at - 4..at - 2] == [0, 0] && is_slice(packet[at]) {
                packet[at + 1] = 0x9a;
                return;
            }
        }
    };
    let lies: [Lie<'_>; 5] = [
        &|packet| insert(&unit(0x0a, &[]), packet),
        &|packet| insert(&unit(0x06, &[5, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80]), packet),
        &|packet| packet.iter_mut().skip(200).for_each(|byte| *byte = 0x55),
        &|packet| packet.truncate(packet.len() / 2),
        &refused,
    ];
    for (number, lie) in lies.iter().enumerate() {
        let mut liar = FixtureStream::open(&testing::H264.path());
        liar.stream.is_closed = true;
        liar.packets.iter_mut().skip(usize::from(number < 4)).for_each(lie);
        let mut decoder = decoder();
        for seed in 0..20 {
            let frames: Vec<u32> = numbers(seed, all.len()).take(1 + seed as usize % 5).collect();
            let plan = DecodePlan::new(&liar.stream, &frames).unwrap();
            let (result, used) = decode(&mut decoder, &liar, &plan, &DecodeLimits::default(), &|| false);
            good.check(&mut decoder, &frames);
            // What comes of a whole picture depends on nothing else; a broken one is an error, or what the codec makes of it.
            let (_, fresh) = decode(&mut self::decoder(), &liar, &plan, &DecodeLimits::default(), &|| false);
            assert!(
                used == fresh || (number >= 2 && used.len() <= fresh.len()),
                "lie {number}, {frames:?}: {result:?}"
            );
        }
        good.check(&mut decoder, &all);
    }
}

#[test]
fn limits_end_a_clip_and_the_next_one_is_decoded() {
    let case = Case::new(&testing::H264);
    let mut decoder = decoder();
    let plan = case.plan(&[0, 40]);
    let default = DecodeLimits::default;
    let packets = plan.packets().len() as u64;
    for limits in [
        default().max_packets(packets - 1),
        default().max_bytes(plan.num_bytes() - 1),
        default().max_decoded_frames(1),
        default().max_pixels(128 * 96 - 1),
        default().timeout(Some(Duration::ZERO)),
    ] {
        let error = decode(&mut decoder, &case.record, &plan, &limits, &|| false).0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{limits:?}: {error}");
        case.check(&mut decoder, &[0, 40]);
    }
    let exact = default().max_packets(packets).max_bytes(plan.num_bytes()).max_pixels(128 * 96);
    decode(&mut decoder, &case.record, &plan, &exact, &|| false).0.unwrap();
}

#[test]
fn a_header_that_claims_a_huge_picture_is_refused_by_the_decoder() {
    // The record claims a small picture, the bitstream (PNG, by its header) one of 16000 by 16000.
    let source = testing::make("huge.png", &["-f", "lavfi", "-i", "color=black:size=16x16", "-frames:v", "1"]);
    let mut png = std::fs::read(source).unwrap();
    png[16..20].copy_from_slice(&16_000_u32.to_be_bytes());
    png[20..24].copy_from_slice(&16_000_u32.to_be_bytes());
    let mut record = FixtureStream::open(&testing::MJPEG_ODD.path());
    record.stream.codec = crate::Codec::Png;
    record.packets[0] = png;
    let plan = DecodePlan::new(&record.stream, &[0]).unwrap();
    let error = decode(&mut decoder(), &record, &plan, &DecodeLimits::default(), &|| false).0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode, "{}", error.report());
}

#[test]
fn cancelling_ends_a_clip_between_packets() {
    let case = Case::new(&testing::H264);
    let mut decoder = decoder();
    let asked = Cell::new(0);
    let cancel = || asked.replace(asked.get() + 1) >= 5;
    let plan = case.plan(&(0..50).collect::<Vec<_>>());
    let (result, planes) = decode(&mut decoder, &case.record, &plan, &DecodeLimits::default(), &cancel);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
    assert!(planes.len() < 5);
    case.check(&mut decoder, &[49, 0]);
}

#[test]
fn errors_of_source_and_sink_come_back_as_they_are() {
    struct Broken<'a>(&'a FixtureStream, u32, RefCell<Vec<u32>>);
    impl PacketSource for Broken<'_> {
        fn packet(&self, index: u32) -> Result<&[u8]> {
            self.2.borrow_mut().push(index);
            if index == self.1 { Err(Error::corrupt("checksum").with_offset(9)) } else { self.0.packet(index) }
        }
    }
    let case = Case::new(&testing::H264);
    let mut decoder = decoder();
    let plan = case.plan(&[30, 0, 11]);
    let source = Broken(&case.record, plan.packets()[2], RefCell::default());
    let limits = DecodeLimits::default();
    let error =
        decoder.decode(&case.record.stream, &plan, &source, &limits, &|| false, &mut |_, _| Ok(())).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(9)));
    assert_eq!(source.2.into_inner(), plan.packets()[..3]);
    let mut full = |_: &[u32], _: &FrameView<'_>| Err(Error::new(ErrorKind::OutOfMemory, "full"));
    let error = decoder.decode(&case.record.stream, &plan, &case.record, &limits, &|| false, &mut full).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    case.check(&mut decoder, &[30, 0, 11]);
}

#[test]
fn a_frame_that_is_not_of_the_records_size_or_format_is_an_error() {
    let record = |change: &dyn Fn(&mut FixtureStream)| {
        let mut record = FixtureStream::open(&testing::MJPEG_ODD.path());
        change(&mut record);
        let plan = DecodePlan::new(&record.stream, &[2]).unwrap();
        decode(&mut decoder(), &record, &plan, &DecodeLimits::default(), &|| false).0
    };
    assert!(record(&|_| ()).is_ok());
    let size = record(&|record| record.stream.width += 1).unwrap_err();
    assert!(size.kind() == ErrorKind::Corrupt && size.message().contains("99x75"), "{size}");
    let format = record(&|record| record.stream.pixel_format.depth = 10).unwrap_err();
    assert!(format.kind() == ErrorKind::Corrupt && format.message().contains("yuv420p10le"), "{format}");
}

#[test]
fn packed_pixel_formats_are_unsupported_by_name() {
    let source = testing::make("packed.png", &["-f", "lavfi", "-i", "testsrc=size=16x16", "-frames:v", "1"]);
    let mut record = FixtureStream::open(&testing::MJPEG_ODD.path());
    record.stream.codec = crate::Codec::Png;
    record.packets[0] = std::fs::read(source).unwrap();
    let plan = DecodePlan::new(&record.stream, &[0]).unwrap();
    let error = decode(&mut decoder(), &record, &plan, &DecodeLimits::default(), &|| false).0.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("rgb24"), "{error}");
}
