//! The plan against tables made by hand, and against a decoder that knows which picture refers to which.

use super::DecodePlan;
use crate::buf::ByteRange;
use crate::media::{
    Codec, ColorSpec, GopEntry, Orientation, PacketEntry, PacketFlags, PacketTable, PixelFormat, Ratio, StreamInfo,
    TimeBase,
};
use crate::{ErrorKind, Result};
use arrow::buffer::Buffer;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// One packet of a table made by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A keyframe, after which nothing but LEADING refers to anything before.
    Key,
    /// Refers to the keyframe or P before it.
    P,
    /// Disposable; refers to the keyframe or P before it in decode order and the one before that.
    B,
    /// As `B`, kept for reference by the next `B`s until the next P.
    RefB,
    /// Disposable and leading: refers to its keyframe and to the GOP before.
    LeadingB,
    /// Leading, kept for reference by the leading ones after it.
    LeadingRefB,
    /// The second field of the packet before it; no frame of its own. Disposable if that one is.
    Field,
    /// A frame outside the record's cut; otherwise as `P`.
    DiscardP,
}

use Kind::{B, DiscardP, Field, Key, LeadingB, LeadingRefB, P, RefB};

/// Presentation order does not matter to a plan but for its numbers: frames are numbered in decode order, or as
/// `shuffle` says.
fn stream(kinds: &[Kind], swap: bool) -> StreamInfo {
    let mut entries: Vec<PacketEntry> = Vec::new();
    let mut gops: Vec<GopEntry> = Vec::new();
    let mut frames = Vec::new();
    let mut offset = 1000;
    for (number, kind) in (0_u32..).zip(kinds) {
        let before = entries.last().map_or(PacketFlags::default(), |entry| entry.flags);
        let flags = match kind {
            Key => PacketFlags::KEYFRAME,
            P | RefB => PacketFlags::default(),
            B => PacketFlags::DISPOSABLE,
            LeadingB => PacketFlags::DISPOSABLE | PacketFlags::LEADING,
            LeadingRefB => PacketFlags::LEADING,
            Field => PacketFlags(before.0 & !PacketFlags::KEYFRAME.0),
            DiscardP => PacketFlags::DISCARD,
        };
        if !matches!(kind, Field | DiscardP) {
            frames.push(number);
        }
        if number == 0 || *kind == Key {
            let first_frame = frames.len() as u32 - u32::from(*kind != DiscardP);
            gops.push(GopEntry { offset, size: 0, first_packet: number, num_packets: 0, first_frame, crc32c: 0 });
        }
        let size = 10 + number % 7;
        let gop = gops.last_mut().unwrap();
        (gop.num_packets, gop.size) = (gop.num_packets + 1, gop.size + u64::from(size));
        entries.push(PacketEntry { offset, size, pts: 0, dts: 0, flags, crc32c: 0 });
        offset += u64::from(size);
    }
    if swap {
        frames.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
    }
    StreamInfo {
        codec: Codec::Hevc,
        profile: None,
        extradata: Buffer::from_vec(Vec::<u8>::new()),
        reorder_frames: 2,
        pixel_format: PixelFormat::YUV420P,
        width: 16,
        height: 16,
        sample_aspect: Ratio::ONE,
        orientation: Orientation::UPRIGHT,
        color: ColorSpec::guess(16),
        time_base: TimeBase::new(1, 25).unwrap(),
        duration: frames.len() as i64,
        packets: PacketTable::from_entries(&entries),
        gops,
        frame_packets: frames.into_iter().collect(),
        is_closed: false,
    }
}

fn packets(kinds: &[Kind], frames: &[u32]) -> Vec<u32> {
    DecodePlan::new(&stream(kinds, false), frames).unwrap().packets().to_vec()
}

#[test]
fn disposable_packets_that_nobody_wants_are_left_out() {
    let kinds = [Key, P, B, B, P, B, B];
    assert_eq!(packets(&kinds, &[6]), [0, 1, 4, 6]);
    assert_eq!(packets(&kinds, &[2, 4]), [0, 1, 2, 4]);
    assert_eq!(packets(&kinds, &[0]), [0]);
    assert_eq!(packets(&[Key, P, RefB, B, B, P], &[4]), [0, 1, 2, 4]);
}

#[test]
fn only_needed_gops_are_decoded_each_from_its_keyframe() {
    let kinds = [Key, P, P, Key, P, P, Key, P, P];
    assert_eq!(packets(&kinds, &[7, 1]), [0, 1, 6, 7]);
    let plan = DecodePlan::new(&stream(&kinds, false), &[7, 1, 4]).unwrap();
    assert_eq!((plan.packets(), plan.num_segments()), ([0, 1, 3, 4, 6, 7].as_slice(), 3));
}

#[test]
fn a_leading_frame_needs_the_gop_before_but_not_its_leading_frames() {
    let kinds = [Key, P, B, Key, LeadingRefB, LeadingB, P, B, Key, LeadingRefB, LeadingB, P, B];
    // A leading frame: the GOP before whole, without what is disposable or leading in it.
    let plan = DecodePlan::new(&stream(&kinds, false), &[10]).unwrap();
    assert_eq!((plan.packets(), plan.num_segments()), ([3, 6, 8, 9, 10].as_slice(), 1));
    // A frame that is not leading: leading ones are neither wanted nor decodable.
    assert_eq!(packets(&kinds, &[11]), [8, 11]);
    // Two GOPs in a row, the second one wanted for a leading frame: one segment, nothing fed twice.
    assert_eq!(packets(&kinds, &[7, 10]), [3, 6, 7, 8, 9, 10]);
    assert_eq!(packets(&kinds, &[5, 10]), [0, 1, 3, 4, 5, 6, 8, 9, 10]);
    // The same, the second one wanted for another frame: two segments.
    let plan = DecodePlan::new(&stream(&kinds, false), &[6, 12]).unwrap();
    assert_eq!((plan.packets(), plan.num_segments()), ([3, 6, 8, 11, 12].as_slice(), 2));
    // A leading frame of the first GOP came out when all was decoded: so all is fed.
    assert_eq!(packets(&[Key, LeadingRefB, LeadingB, P], &[2]), [0, 1, 2]);
    assert_eq!(packets(&[Key, LeadingRefB, LeadingB, P], &[3]), [0, 3]);
}

#[test]
fn of_h264_leading_pictures_are_fed_that_others_may_count() {
    let of_h264 = |kinds: &[Kind]| StreamInfo { codec: Codec::H264, ..stream(kinds, false) };
    let kinds = [Key, P, B, Key, LeadingRefB, LeadingB, P, B, Key, LeadingRefB, LeadingB, P, B];
    let plan = |frame: u32| DecodePlan::new(&of_h264(&kinds), &[frame]).unwrap();
    assert_eq!(plan(11).packets(), [8, 9, 11]);
    assert_eq!(plan(10).packets(), [3, 4, 6, 8, 9, 10]);
    // A gradual refresh: its first picture leads as well, and needs the GOP before as the others do.
    let mut stream = of_h264(&[Key, P, Key, LeadingRefB, P]);
    let mut entries: Vec<PacketEntry> = stream.packets.iter().collect();
    entries[2].flags |= PacketFlags::LEADING;
    stream.packets = PacketTable::from_entries(&entries);
    let plan = |frame: u32| DecodePlan::new(&stream, &[frame]).unwrap().packets().to_vec();
    assert_eq!((plan(4), plan(3), plan(2)), (vec![2, 3, 4], vec![0, 1, 2, 3], vec![0, 1, 2]));
}

#[test]
fn second_fields_go_with_their_first() {
    let kinds = [Key, Field, P, Field, B, Field, B, Field, P, Field, Key, Field];
    assert_eq!(packets(&kinds, &[0]), [0, 1]);
    assert_eq!(packets(&kinds, &[2]), [0, 1, 2, 3, 4, 5]);
    assert_eq!(packets(&kinds, &[3]), [0, 1, 2, 3, 6, 7]);
    assert_eq!(packets(&kinds, &[4]), [0, 1, 2, 3, 8, 9]);
}

#[test]
fn frames_outside_the_cut_are_fed_where_others_need_them() {
    let kinds = [Key, DiscardP, DiscardP, P, P, DiscardP, DiscardP];
    assert_eq!(packets(&kinds, &[1]), [0, 1, 2, 3]);
    // The packet after the last frame may be its second field: one more is fed, and no second one.
    assert_eq!(packets(&kinds, &[2]), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn requests_may_repeat_and_come_in_any_order() {
    let kinds = [Key, P, P, Key, P];
    let plan = DecodePlan::new(&stream(&kinds, false), &[4, 0, 4, 2, 0]).unwrap();
    assert_eq!((plan.packets(), plan.num_wanted_frames()), ([0, 1, 2, 3, 4].as_slice(), 3));
    let wanted = plan.wanted(0..3);
    let rows: Vec<_> = wanted.iter().map(|wanted| (wanted.frame, plan.positions(wanted).to_vec())).collect();
    assert_eq!(rows, [(0, vec![1, 4]), (2, vec![3]), (4, vec![0, 2])]);
}

#[test]
fn intra_only_records_cost_what_is_wanted() {
    let plan = DecodePlan::new(&stream(&[Key; 100], false), &[99, 5, 6]).unwrap();
    assert_eq!((plan.packets(), plan.num_segments()), ([5, 6, 99].as_slice(), 3));
    assert_eq!((plan.decode_amplification(), plan.byte_amplification()), (1.0, 1.0));
    assert_eq!(plan.byte_ranges().len(), 2);
}

#[test]
fn byte_ranges_hold_the_packets_and_no_other_byte() {
    let stream = stream(&[Key, P, B, P, B, Key, P], false);
    let plan = DecodePlan::new(&stream, &[3, 6]).unwrap();
    let range = |packets: std::ops::RangeInclusive<usize>| {
        let first = stream.packets.get(*packets.start()).unwrap().offset;
        let last = stream.packets.get(*packets.end()).unwrap();
        ByteRange::new(first, last.offset + u64::from(last.size) - first)
    };
    assert_eq!(plan.byte_ranges(), [range(0..=1), range(3..=3), range(5..=6)]);
    assert_eq!(plan.num_bytes(), plan.byte_ranges().iter().map(|range| range.len).sum::<u64>());
    assert_eq!(plan.num_wanted_bytes(), 13 + 16);
}

#[test]
fn one_frame_none_and_ten_thousand() {
    assert_eq!(packets(&[Key], &[0, 0]), [0]);
    let none = DecodePlan::new(&stream(&[Key], false), &[]).unwrap();
    assert_eq!((none.packets().len(), none.num_segments(), none.num_bytes()), (0, 0, 0));
    let kinds: Vec<Kind> = std::iter::once(Key).chain(std::iter::repeat_n(P, 9_999)).collect();
    assert_eq!(packets(&kinds, &[9_999]).len(), 10_000);
    assert_eq!(packets(&kinds, &[0]), [0]);
}

#[test]
fn a_frame_outside_the_record_is_an_invalid_argument() {
    let error = DecodePlan::new(&stream(&[Key, P], false), &[0, 2]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("frame 2") && error.message().contains("has 2"), "{error}");
}

#[test]
fn tables_that_contradict_each_other_are_corrupt() {
    let corrupt = |change: &dyn Fn(&mut StreamInfo)| {
        let mut stream = stream(&[Key, P, P, Key, P, P], false);
        change(&mut stream);
        DecodePlan::new(&stream, &[1, 4]).map(|plan| plan.packets().to_vec())
    };
    let check = |result: Result<Vec<u32>>| assert_eq!(result.map_err(|e| e.kind()), Err(ErrorKind::Corrupt));
    check(corrupt(&|stream| stream.gops.clear()));
    check(corrupt(&|stream| stream.gops[1].num_packets = 1));
    check(corrupt(&|stream| stream.gops[1].num_packets = u32::MAX));
    check(corrupt(&|stream| stream.gops[0].first_packet = 2));
    check(corrupt(&|stream| stream.frame_packets = [0, 1, 2, 3, 99, 5].into_iter().collect()));
    check(corrupt(&|stream| stream.frame_packets = [0, 1, 2, 3, 1, 5].into_iter().collect()));
    check(corrupt(&|stream| stream.packets.offsets = vec![u64::MAX; 6].into()));
}

/// The packets whose pictures each packet's picture refers to, by the rules of [`Kind`].
fn references(kinds: &[Kind]) -> Vec<Vec<u32>> {
    let (mut anchors, mut kept): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
    let mut all = Vec::new();
    for (number, kind) in (0_u32..).zip(kinds) {
        let last_two: Vec<u32> = anchors.iter().rev().take(2).copied().collect();
        let mut refs = match kind {
            Key => Vec::new(),
            P | DiscardP => anchors.last().copied().into_iter().collect(),
            // Before the first P of a GOP a B must not refer to the GOP before.
            B | RefB => anchors.last().copied().into_iter().chain(kept.iter().copied()).collect(),
            LeadingB | LeadingRefB => last_two.into_iter().chain(kept.iter().copied()).collect(),
            Field => vec![number - 1],
        };
        refs.dedup();
        all.push(refs);
        match kind {
            Key | P | DiscardP => {
                anchors.push(number);
                kept.clear();
            }
            RefB | LeadingRefB => kept.push(number),
            _ => {}
        }
    }
    all
}

/// `stream` with the reach of packets that give a frame and are referred to, where `says` has it said.
fn with_reaches(mut stream: StreamInfo, kinds: &[Kind], says: &[bool]) -> StreamInfo {
    let mut entries: Vec<PacketEntry> = stream.packets.iter().collect();
    for (number, references) in references(kinds).into_iter().enumerate() {
        for reference in references.into_iter().map(|reference| reference as usize) {
            let has_frame = !matches!(kinds[reference], DiscardP | Field);
            if has_frame && !entries[reference].flags.contains(PacketFlags::DISPOSABLE) && says[reference % says.len()]
            {
                let reach = u8::try_from(number - reference).unwrap_or(0);
                entries[reference].flags = PacketFlags(entries[reference].flags.0 & 0x0f).with_reach(reach);
            }
        }
    }
    stream.packets = PacketTable::from_entries(&entries);
    stream
}

#[test]
fn what_is_out_of_reach_of_all_that_is_fed_is_left_out() {
    let kinds = [Key, P, RefB, B, B, P, RefB, B, B, P, B];
    let plan = |says: &[bool], frame| {
        let stream = with_reaches(stream(&kinds, false), &kinds, says);
        DecodePlan::new(&stream, &[frame]).unwrap().packets().to_vec()
    };
    assert_eq!(plan(&[false], 10), [0, 1, 2, 5, 6, 9, 10]);
    assert_eq!(plan(&[true], 10), [0, 1, 5, 9, 10]);
    assert_eq!(plan(&[true], 8), [0, 1, 5, 6, 8]);
    assert_eq!(plan(&[true], 2), [0, 1, 2]);
    // Known of the second of the two alone.
    let says: Vec<bool> = (0..11).map(|packet| packet == 6).collect();
    assert_eq!(plan(&says, 10), [0, 1, 2, 5, 9, 10]);
}

/// GOPs with the structure that codecs allow: leading packets directly after the keyframe, none in the first GOP.
fn any_record() -> impl Strategy<Value = Vec<Kind>> {
    let leading = prop_oneof![Just(LeadingB), Just(LeadingRefB)];
    let trailing = prop_oneof![3 => Just(P), 3 => Just(B), 1 => Just(RefB), 1 => Just(DiscardP)];
    let gop = (proptest::collection::vec(leading, 0..3), proptest::collection::vec(trailing, 0..12));
    (proptest::collection::vec(gop, 1..7), any::<bool>()).prop_map(|(gops, fields)| {
        let mut kinds = Vec::new();
        for (leading, mut trailing) in gops {
            let leading = if kinds.is_empty() { Vec::new() } else { leading };
            if let Some(first) = trailing.first_mut().filter(|_| !leading.is_empty()) {
                // Trailing pictures do not refer to leading ones.
                *first = P;
            }
            let gop = std::iter::once(Key).chain(leading).chain(trailing);
            kinds.extend(gop.flat_map(|kind| std::iter::once(kind).chain(fields.then_some(Field))));
        }
        kinds
    })
}

proptest! {
    #[test]
    fn every_wanted_frame_is_decodable_and_nothing_is_fed_that_could_be_dropped(
        kinds in any_record(),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..9),
        swap in any::<bool>(),
        says in proptest::collection::vec(any::<bool>(), 1..9),
    ) {
        let stream = with_reaches(stream(&kinds, swap), &kinds, &says);
        let frames: Vec<u32> = picks.iter().map(|pick| pick.index(stream.num_frames()) as u32).collect();
        let plan = DecodePlan::new(&stream, &frames).unwrap();
        let references = references(&kinds);
        let wanted: BTreeSet<u32> = frames.iter().map(|frame| stream.frame_packets[*frame as usize]).collect();

        // A decoder that starts each segment empty and keeps every picture whose references it has.
        let mut complete = BTreeSet::new();
        for segment in plan.segments() {
            let mut decoded = BTreeSet::new();
            for &packet in plan.segment_packets(segment.packets.clone()) {
                if references[packet as usize].iter().all(|reference| decoded.contains(reference)) {
                    decoded.insert(packet);
                }
            }
            for wanted in plan.wanted(segment.wanted.clone()) {
                prop_assert!(decoded.contains(&wanted.packet), "packet {} cannot be decoded", wanted.packet);
                let field = wanted.packet + 1;
                let has_field = kinds.get(field as usize) == Some(&Field);
                prop_assert!(!has_field || decoded.contains(&field), "packet {} lacks its second field", wanted.packet);
            }
            complete.extend(decoded);
        }

        prop_assert!(plan.packets().is_sorted_by(|a, b| a < b));
        for &packet in plan.packets() {
            // Everything fed was decodable: nothing was fed in vain.
            prop_assert!(complete.contains(&packet), "packet {packet} was fed and cannot be decoded");
            let entry = stream.packets.get(packet as usize).unwrap();
            let own = packet.saturating_sub(u32::from(kinds[packet as usize] == Field));
            let dropped = entry.flags.contains(PacketFlags::DISPOSABLE) && !wanted.contains(&own);
            prop_assert!(!dropped, "packet {packet} is disposable and nobody wants it");
            let within = |reach: u8| plan.packets().iter().any(|&next| packet < next && next <= packet + u32::from(reach));
            let is_out = entry.flags.reach().is_some_and(|reach| !within(reach));
            prop_assert!(!is_out || wanted.contains(&own) || kinds[packet as usize] == Key, "packet {packet} is out of reach");
        }

        // Positions: each request once, at the right frame.
        let mut places = BTreeMap::new();
        for row in plan.wanted(0..plan.num_wanted_frames()) {
            for &position in plan.positions(row) {
                prop_assert_eq!(places.insert(position, row.frame), None);
            }
        }
        prop_assert_eq!(places.into_values().collect::<Vec<_>>(), frames);
    }

    #[test]
    fn no_table_makes_the_plan_panic(
        gops in proptest::collection::vec((0..40_u32, prop_oneof![0..40_u32, Just(u32::MAX)]), 0..6),
        frame_packets in proptest::collection::vec(0..40_u32, 0..30),
        flags in proptest::collection::vec(any::<u8>(), 0..30),
        offset in any::<u64>(),
        frames in proptest::collection::vec(0..30_u32, 0..6),
    ) {
        let mut stream = stream(&[Key], false);
        let packet = |flags: u8| PacketEntry {
            offset, size: 7, pts: 0, dts: 0, flags: PacketFlags(flags), crc32c: 0,
        };
        stream.packets = PacketTable::from_entries(&flags.into_iter().map(packet).collect::<Vec<_>>());
        stream.gops = gops.into_iter().map(|(first_packet, num_packets)| GopEntry {
            offset: 0, size: 0, first_packet, num_packets, first_frame: 0, crc32c: 0,
        }).collect();
        stream.frame_packets = frame_packets.into_iter().collect();
        if let Ok(plan) = DecodePlan::new(&stream, &frames) {
            prop_assert!(plan.packets().is_sorted_by(|a, b| a < b));
            let planned: BTreeSet<_> = plan.packets().iter().collect();
            for frame in frames {
                prop_assert!(planned.contains(&stream.frame_packets[frame as usize]));
            }
        }
    }
}
