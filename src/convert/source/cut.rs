//! Which frames a cut holds, and which packets have to be stored for them. Pure arithmetic.

use crate::media::{PacketFlags, TimeBase};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

/// How far behind a frame a bound may lie and still mean that frame, in seconds: half a millisecond for a time printed with
/// three decimals, as much for a container that counts milliseconds, and a little for the arithmetic.
const NEAR_SECONDS: f64 = 0.001_001;
/// The same as a share of the time: a number of 32 bits, printed and read again.
const NEAR_SHARE: f64 = 1.0 / (1 << 23) as f64;

/// The frames from `start` on and before `end`, which are seconds after the first frame. `frame_pts` rises strictly; `first` is
/// the time of the source's first frame.
///
/// A bound is the first frame that is not shown before it. But times are printed with three or six decimals or kept in 32
/// bits, and those that were rounded up would miss the frame whose time they are. So a bound that lies behind a frame by no
/// more than a millisecond, and nearer to it than to the next one, is that frame. Start and end follow one rule that never
/// falls: cuts that meet in a printed time share no frame and lose none.
pub(crate) fn frames(
    frame_pts: &[i64],
    first: i64,
    base: TimeBase,
    start: Option<f64>,
    end: Option<f64>,
) -> Range<usize> {
    let from = start.map_or(0, |start| bound(frame_pts, first, base, start));
    let to = end.map_or(frame_pts.len(), |end| bound(frame_pts, first, base, end));
    from..to.max(from)
}

/// The frame that the time `seconds` after the first frame means, or how many frames there are where all are before it.
fn bound(frame_pts: &[i64], first: i64, base: TimeBase, seconds: f64) -> usize {
    if seconds <= 0.0 {
        return 0;
    }
    let time = |index: usize| frame_pts.get(index).map(|&pts| base.seconds(pts.saturating_sub(first)));
    let next = frame_pts.partition_point(|&pts| base.seconds(pts.saturating_sub(first)) < seconds);
    let Some(before) = next.checked_sub(1) else { return next };
    let Some(shown) = time(before) else { return next };
    // Behind the last frame the next one would come after as long as that one came after the frame before it.
    let interval = || before.checked_sub(1).and_then(time).map_or(f64::INFINITY, |earlier| shown - earlier);
    let until = time(next).unwrap_or_else(|| shown + interval());
    let is_near = seconds - shown <= near(seconds) && seconds - shown < until - seconds;
    if is_near { before } else { next }
}

/// How far behind a frame a bound at `seconds` may lie and still mean it.
fn near(seconds: f64) -> f64 {
    NEAR_SECONDS.max(seconds * NEAR_SHARE)
}

/// The earliest time, in ticks after the first frame, of a frame that [`frames`] takes to be at or behind a bound, for frames
/// that come every `interval` ticks: a guess for those who cannot wait for the next frame.
pub(crate) fn earliest(base: TimeBase, interval: f64, seconds: f64) -> i64 {
    let half = interval * base.seconds(1) / 2.0;
    base.ceil_ticks(seconds - near(seconds).min(half * 0.999))
}

/// The packets to be stored for frames whose packets are `wanted`: from the random access point that governs them to the
/// last one they need. `from` and `to_end` keep everything from there on, and behind; `has_frame` tells second fields.
pub(crate) fn packets(
    flags: &[PacketFlags],
    has_frame: &[bool],
    wanted: &[u32],
    from: Option<usize>,
    to_end: bool,
) -> Range<usize> {
    let (Some(&min), Some(&max)) = (wanted.iter().min(), wanted.iter().max()) else { return 0..0 };
    let is = |index: usize, bit: PacketFlags| flags.get(index).is_some_and(|flags| flags.contains(bit));
    let start = if let Some(from) = from {
        from
    } else {
        let governing = keyframe_before(flags, min as usize + 1);
        let next = (governing + 1..flags.len()).find(|&index| is(index, PacketFlags::KEYFRAME)).unwrap_or(flags.len());
        let leads = wanted
            .iter()
            .any(|&packet| (governing..next).contains(&(packet as usize)) && is(packet as usize, PacketFlags::LEADING));
        if leads { keyframe_before(flags, governing) } else { governing }
    };
    let mut end = max as usize + 1;
    if to_end {
        end = flags.len();
    }
    while end < flags.len() && has_frame.get(end) == Some(&false) && !is(end, PacketFlags::KEYFRAME) {
        end += 1;
    }
    start..end
}

/// The last keyframe of the packets before `end`, or the first packet.
pub(crate) fn keyframe_before(flags: &[PacketFlags], end: usize) -> usize {
    let before = flags.get(..end).unwrap_or(flags);
    before.iter().rposition(|flags| flags.contains(PacketFlags::KEYFRAME)).unwrap_or(0)
}

/// Whether FFmpeg 5.1 loses frames of a recording that begins at a recovery point, whose packets are shown at `pts`: it gives a
/// picture that it decoded before it gave the first one only while packets come. When it is drained, the first picture of that kind
/// ends it. `delay` is how many pictures it holds back.
pub(crate) fn loses_its_end(pts: impl Iterator<Item = i64>, delay: usize) -> bool {
    let mut held = BinaryHeap::new();
    let mut first_given_at = None;
    for (index, pts) in pts.enumerate() {
        held.push(Reverse((pts, index)));
        if held.len() > delay
            && let Some(Reverse((_, 0))) = held.pop()
        {
            first_given_at = Some(index);
        }
    }
    first_given_at.is_none_or(|at| held.iter().any(|Reverse((_, index))| *index <= at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_holds_its_start_and_not_its_end() {
        let base = TimeBase::new(1, 10).unwrap();
        let pts = [100, 101, 103, 105, 110];
        assert_eq!(frames(&pts, 100, base, Some(0.1), Some(0.5)), 1..3);
        assert_eq!(frames(&pts, 100, base, None, Some(0.35)), 0..3);
        assert_eq!(frames(&pts, 100, base, Some(0.11), None), 2..5);
        assert_eq!(frames(&pts, 100, base, Some(5.0), Some(6.0)), 5..5);
    }

    /// The rates of films, broadcasts and screens, with the time base that their MP4s have.
    const RATES: [(u32, u32); 5] = [(30, 1), (30_000, 1001), (24_000, 1001), (60_000, 1001), (240, 1)];

    /// A way of writing a time down: its name, and what is read again.
    type Print = (&'static str, fn(f64) -> f64);

    const PRINTS: [Print; 6] = [
        ("float64", |time| time),
        ("6 decimals", |time| format!("{time:.6}").parse().unwrap()),
        ("3 decimals", |time| format!("{time:.3}").parse().unwrap()),
        ("3 decimals, cut off", |time| (time * 1000.0 + 1e-9).floor() / 1000.0),
        ("float32", |time| f64::from(time as f32)),
        ("float32 in decimals", |time| (time as f32).to_string().parse().unwrap()),
    ];

    struct Random(u64);

    impl Random {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) as usize % end
        }
    }

    /// Checks 200 random cuts of frames at `pts`, whose times people print as `times`, a fifth of them of one frame.
    fn check_cuts(pts: &[i64], base: TimeBase, times: &[f64], what: &str) {
        for (name, print) in PRINTS {
            let mut random = Random(7);
            for _ in 0..200 {
                let from = random.below(pts.len() - 1);
                let length = if random.below(5) == 0 { 1 } else { 1 + random.below(pts.len() - 1 - from) };
                let (start, end) = (print(times[from]), print(times[from + length]));
                let cut = frames(pts, pts[0], base, Some(start), Some(end));
                assert_eq!(cut, from..from + length, "{what}, {name}: {start} to {end}");
            }
        }
    }

    #[test]
    fn cuts_by_printed_times_hold_the_frames_that_they_name() {
        for (num, den) in RATES {
            let base = TimeBase::new(1, num).unwrap();
            let pts: Vec<i64> = (0..20_000).map(|frame| 1234 + frame * i64::from(den)).collect();
            let times: Vec<f64> = (0..20_000).map(|frame| f64::from(frame * den) / f64::from(num)).collect();
            check_cuts(&pts, base, &times, &format!("{num}/{den}"));
        }
    }

    #[test]
    fn cuts_of_a_container_that_counts_milliseconds_hold_them_too() {
        let base = TimeBase::new(1, 1000).unwrap();
        for (num, den) in RATES {
            let times: Vec<f64> = (0..20_000).map(|frame| f64::from(frame * den) / f64::from(num)).collect();
            let pts: Vec<i64> = times.iter().map(|time| (time * 1000.0).round() as i64).collect();
            let stated: Vec<f64> = pts.iter().map(|&pts| pts as f64 / 1000.0).collect();
            // By the times that it states, and by those of the rate, which it rounded.
            check_cuts(&pts, base, &stated, &format!("{num}/{den} in milliseconds"));
            check_cuts(&pts, base, &times, &format!("{num}/{den}, rounded to milliseconds"));
        }
    }

    #[test]
    fn cuts_of_frames_at_any_times_hold_them_while_print_and_frames_can_be_told_apart() {
        let base = TimeBase::new(1, 90_000).unwrap();
        let mut random = Random(3);
        let pts: Vec<i64> = (0..5000)
            .scan(0, |at, _| {
                *at += 200 + random.below(9000) as i64;
                Some(*at)
            })
            .collect();
        let times: Vec<f64> = pts.iter().map(|&at| (at - pts[0]) as f64 / 90_000.0).collect();
        check_cuts(&pts, base, &times, "variable rate");
    }

    #[test]
    fn after_hours_a_time_in_32_bits_still_names_its_frame() {
        let base = TimeBase::new(1, 30_000).unwrap();
        let pts: Vec<i64> = (0..40 * 108_000).map(|frame| frame * 1001).collect();
        for frame in (0..pts.len()).step_by(997) {
            let time = (frame as f64 * 1001.0 / 30_000.0) as f32;
            let cut = frames(&pts, 0, base, Some(f64::from(time)), Some(time.to_string().parse().unwrap()));
            assert_eq!(cut, frame..frame, "{time}");
        }
    }

    #[test]
    fn cuts_that_meet_lose_no_frame_and_share_none() {
        let base = TimeBase::new(1, 30_000).unwrap();
        let pts: Vec<i64> = (0..1000).map(|frame| frame * 1001).collect();
        let mut random = Random(5);
        let mut bounds: Vec<f64> = (0..300).map(|_| random.below(40_000) as f64 / 1000.0).collect();
        bounds.sort_by(f64::total_cmp);
        let mut next = 0;
        let ends = bounds.iter().map(|&bound| Some(bound)).chain([None]);
        for (start, end) in [None].into_iter().chain(bounds.iter().map(|&bound| Some(bound))).zip(ends) {
            let cut = frames(&pts, 0, base, start, end);
            assert_eq!(cut.start, next, "{start:?} to {end:?}");
            next = cut.end;
        }
        assert_eq!(next, pts.len());
    }

    #[test]
    fn what_is_a_millisecond_away_from_every_frame_is_rounded_up() {
        let base = TimeBase::new(1, 1000).unwrap();
        let pts = [0, 40, 80, 120];
        assert_eq!(frames(&pts, 0, base, Some(0.0411), Some(0.0789)), 2..2);
        assert_eq!(frames(&pts, 0, base, Some(0.041), Some(0.1211)), 1..4);
        // Frames closer than that are told apart as well as a time can be.
        let dense: Vec<i64> = (0..100).collect();
        let base = TimeBase::new(1, 4000).unwrap();
        assert_eq!(frames(&dense, 0, base, Some(10.1 / 4000.0), Some(20.0 / 4000.0)), 10..20);
        assert_eq!(frames(&dense, 0, base, Some(10.9 / 4000.0), Some(100.0 / 4000.0)), 11..100);
    }

    #[test]
    fn packets_start_at_the_governing_keyframe_or_one_before_where_leading_pictures_are_wanted() {
        let (key, leading, none) = (PacketFlags::KEYFRAME, PacketFlags::LEADING, PacketFlags::default());
        let flags = [key, none, none, key, leading, none, none];
        let all = [true; 7];
        assert_eq!(packets(&flags, &all, &[5], None, false), 3..6);
        assert_eq!(packets(&flags, &all, &[4, 3], None, false), 0..5);
        assert_eq!(packets(&flags, &all, &[5], Some(0), true), 0..7);
        let with_second_field = [true, true, true, true, true, true, false];
        assert_eq!(packets(&flags, &with_second_field, &[5], None, false), 3..7);
    }

    #[test]
    fn what_is_drained_too_early_is_lost() {
        let loses = |pts: &[i64], delay| loses_its_end(pts.iter().copied(), delay);
        // Without delay all come out at once; with one, the first picture does when the next one is there.
        assert!(!loses(&[0, 1], 0));
        assert!(loses(&[0], 1) && loses(&[0, 1], 1) && !loses(&[0, 1, 2], 1));
        // The anchor of a pyramid is decoded early and given late: it was seen to take a picture behind it along.
        let pyramid = [6, 4, 3, 5, 13, 9, 7, 8, 10, 11, 12, 20];
        assert!(loses(&pyramid, 2));
        assert!(!loses(&[&pyramid[..], &[16, 14]].concat(), 2));
    }
}
