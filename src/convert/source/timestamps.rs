//! Timestamps that a record can keep: presentation times that rise from frame to frame, decode times that rise from
//! packet to packet and never pass the presentation time. What the source says is kept wherever it can be; pure
//! arithmetic on ticks.
//!
//! What is repaired, and how:
//! - Times in decode order, although frames are shown in another one (a container without composition offsets): they are
//!   put in order, so that steps stay even.
//! - Times that stand still, go back or are missing: the frames are spread between those around them whose times rise.
//!   Where that would leave less than half the usual step, neighbours give some of their time, and the clip lasts as
//!   long as a player shows it: until the latest time. Only where all of the clip is too short for that, it ends later.

use crate::media::{Closed, JumpLimit};

/// Times beyond this magnitude are no times. Sums and differences of a few of them fit 64 bits.
const MAX_TICKS: i64 = 1 << 60;

/// What the source says of a packet's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SourceTime {
    pub(crate) pts: Option<i64>,
    pub(crate) dts: Option<i64>,
    /// Ticks, 0 where unknown.
    pub(crate) duration: i64,
}

/// Times of all packets, and what had to be done to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Times {
    /// For each packet. Strictly rising over frames in presentation order.
    pub(crate) pts: Vec<i64>,
    /// For each packet, strictly rising, nowhere above `pts`.
    pub(crate) dts: Vec<i64>,
    /// Ticks that the last frame is shown.
    pub(crate) last_duration: i64,
    /// How many frames got another presentation time than their packet had, for whatever reason.
    pub(crate) repaired_frames: usize,
    /// How many of them have a time that was another frame's: times in decode order were put in order.
    pub(crate) ordered_frames: usize,
    /// How many of them had a time that stood still or went back, or gave time to such a frame.
    pub(crate) spread_frames: usize,
    /// How many of them had no time, and got one that does not follow from an even rate.
    pub(crate) guessed_frames: usize,
    /// True where the source's decode times could not be kept.
    pub(crate) new_dts: bool,
}

/// Repairs what needs it. `frames` names the packet of each frame in presentation order; `interval` is the number of
/// ticks between frames where no two times tell; what is longer than `jump` may be no part of the usual.
pub(crate) fn repair(packets: &[SourceTime], frames: &[u32], interval: f64, jump: JumpLimit) -> Times {
    let interval = if interval.is_finite() && interval >= 1.0 { interval.min(MAX_TICKS as f64) } else { 1.0 };
    let stated: Vec<Option<i64>> = frames.iter().map(|&packet| usable(time_of(packets, packet).pts)).collect();
    let mut candidates = if stated.iter().flatten().count() * 2 > stated.len() {
        stated.clone()
    } else {
        decode_grid(packets, frames).unwrap_or(stated.clone())
    };
    let ordered_frames = put_in_order(&mut candidates, frames);
    let usual = Usual::of(&candidates, interval);
    let frame_pts = storable(rising(&candidates, usual, jump));
    let count = |is_counted: &dyn Fn(usize, i64) -> bool| {
        frame_pts.iter().enumerate().filter(|&(frame, &pts)| is_counted(frame, pts)).count()
    };
    let candidate = |frame: usize| candidates.get(frame).copied().flatten();
    let repaired_frames = count(&|frame, pts| stated.get(frame).copied().flatten() != Some(pts));
    let spread_frames = count(&|frame, pts| candidate(frame).is_some_and(|time| time != pts));
    let has_times = candidates.iter().any(Option::is_some);
    let guessed_frames = count(&|frame, pts| {
        let neighbours = [frame.checked_sub(1), frame.checked_add(1)];
        let steps = neighbours.into_iter().flatten().filter_map(|other| Some(frame_pts.get(other)?.abs_diff(pts)));
        has_times && candidate(frame).is_none() && !steps.into_iter().any(|step| usual.is_about(step))
    });

    let mut pts: Vec<Option<i64>> = vec![None; packets.len()];
    for (&packet, &time) in frames.iter().zip(&frame_pts) {
        if let Some(slot) = pts.get_mut(packet as usize) {
            *slot = Some(time);
        }
    }
    // Packets without a frame of their own keep what they say, where the rest did. Those before all others lie before what
    // is shown.
    let mut known = frame_pts.first().copied().unwrap_or(0);
    let leading = pts.iter().position(Option::is_some).unwrap_or(0);
    let led: Vec<i64> = (0..leading).map(|index| known.saturating_sub(usual.times(leading - index))).collect();
    let pts: Vec<i64> = pts
        .into_iter()
        .zip(packets)
        .enumerate()
        .map(|(index, (time, source))| {
            let stated = usable(source.pts).filter(|_| repaired_frames == 0);
            match time.or(stated).or(led.get(index).copied()) {
                Some(time) if index >= leading => known = time,
                Some(time) => return time,
                None => {}
            }
            known
        })
        .collect();

    let kept: Option<Vec<i64>> = packets.iter().map(|packet| usable(packet.dts)).collect();
    let kept = kept.filter(|dts| {
        dts.windows(2).all(|pair| matches!(pair, [a, b] if a < b)) && dts.iter().zip(&pts).all(|(dts, pts)| dts <= pts)
    });
    let new_dts = kept.is_none();
    let dts = kept.unwrap_or_else(|| decode_times(&pts));

    let last_duration = frames.last().map_or(0, |&packet| time_of(packets, packet).duration).min(MAX_TICKS);
    let last_duration =
        if last_duration > 0 && repaired_frames == 0 { last_duration } else { average(&frame_pts, usual, jump) };
    Times { pts, dts, last_duration, repaired_frames, ordered_frames, spread_frames, guessed_frames, new_dts }
}

fn time_of(packets: &[SourceTime], packet: u32) -> SourceTime {
    packets.get(packet as usize).copied().unwrap_or_default()
}

fn usable(time: Option<i64>) -> Option<i64> {
    time.filter(|time| (-MAX_TICKS..=MAX_TICKS).contains(time))
}

/// Average step without jumps, at least 1.
fn average(pts: &[i64], usual: Usual, jump: JumpLimit) -> i64 {
    let [first, .., last] = *pts else { return usual.ticks.round().max(1.0) as i64 };
    let jumps = Closed::of(pts, last.saturating_add(1), jump).map_or(0, |closed| closed.jumped());
    let ticks = last.saturating_sub(first).saturating_sub(jumps);
    ((ticks as f64 / (pts.len() - 1) as f64).round() as i64).max(1)
}

/// Without presentation times: the frames take the decode times of their packets, in order.
fn decode_grid(packets: &[SourceTime], frames: &[u32]) -> Option<Vec<Option<i64>>> {
    let mut times: Vec<i64> =
        frames.iter().map(|&packet| usable(time_of(packets, packet).dts)).collect::<Option<Vec<_>>>()?;
    times.sort_unstable();
    Some(times.into_iter().map(Some).collect())
}

/// Sorts times that rise in decode order where frames are shown in another one: right times never do. Goes from place
/// to place where both orders have seen the same frames. Returns how many frames got another time.
fn put_in_order(times: &mut [Option<i64>], frames: &[u32]) -> usize {
    // Position of each frame among the frames in decode order.
    let mut decoded: Vec<usize> = (0..frames.len()).collect();
    decoded.sort_by_key(|&frame| frames.get(frame).copied());
    let mut rank = vec![0; frames.len()];
    for (position, &frame) in decoded.iter().enumerate() {
        if let Some(slot) = rank.get_mut(frame) {
            *slot = position;
        }
    }
    let (mut moved, mut start, mut furthest) = (0, 0, 0);
    for (shown, &position) in rank.iter().enumerate() {
        furthest = furthest.max(position);
        if furthest > shown {
            continue;
        }
        // Frames `start..=shown` are the same in both orders.
        let by_decoding: Option<Vec<i64>> = decoded
            .get(start..=shown)
            .unwrap_or_default()
            .iter()
            .map(|&frame| times.get(frame).copied().flatten())
            .collect();
        let rises = |times: &Vec<i64>| times.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        if let Some(sorted) = by_decoding.filter(rises)
            && let Some(slots) = times.get_mut(start..=shown)
        {
            for (slot, time) in slots.iter_mut().zip(sorted) {
                moved += usize::from(*slot != Some(time));
                *slot = Some(time);
            }
        }
        start = shown + 1;
    }
    moved
}

/// The usual step from frame to frame.
#[derive(Debug, Clone, Copy)]
struct Usual {
    ticks: f64,
}

impl Usual {
    /// The median of the steps of neighbours that rise; `interval` where that is the same to a tick, or there are none.
    fn of(candidates: &[Option<i64>], interval: f64) -> Self {
        let step = |pair: &[Option<i64>]| match *pair {
            [Some(a), Some(b)] if b > a => Some(b - a),
            _ => None,
        };
        let mut steps: Vec<i64> = candidates.windows(2).filter_map(step).collect();
        steps.sort_unstable();
        let median = steps.get(steps.len() / 2).map_or(interval, |&median| median as f64);
        Self { ticks: if (median - interval).abs() <= 1.0 { interval } else { median } }
    }

    /// The shortest step of a frame that is given its time.
    fn shortest(self) -> i64 {
        ((self.ticks / 2.0).ceil() as i64).max(1)
    }

    fn is_about(self, step: u64) -> bool {
        (step as f64 - self.ticks).abs() <= self.ticks / 2.0 + 1.0
    }

    fn times(self, count: usize) -> i64 {
        (count as f64 * self.ticks).round() as i64
    }
}

/// Strictly rising times from candidates that may be missing, equal or out of order: the largest set of candidates that
/// leaves a tick for every frame in between is kept, and the rest is spread between its neighbours, as the module says.
/// Frames without a time beside a jump follow the one before it: they do not divide the jump.
fn rising(candidates: &[Option<i64>], usual: Usual, jump: JumpLimit) -> Vec<i64> {
    // `t[j] - t[i] >= j - i` for kept frames is the same as "`t[n] - n` never falls".
    let keys: Vec<(usize, i64)> = candidates
        .iter()
        .enumerate()
        .filter_map(|(n, time)| time.and_then(|time| time.checked_sub(n as i64)).map(|key| (n, key)))
        .collect();
    let mut anchors: Vec<(usize, i64)> =
        longest_non_falling(&keys).into_iter().map(|(n, key)| (n, key + n as i64)).collect();
    if anchors.is_empty() {
        return (0..candidates.len()).map(|n| usual.times(n)).collect();
    }
    pin_the_ends(&mut anchors, candidates);
    let anchors = with_room(&anchors, usual.shortest());
    let (Some(&(first, first_time)), Some(&(last, last_time))) = (anchors.first(), anchors.last()) else {
        return Vec::new();
    };
    let mut times = Vec::with_capacity(candidates.len());
    for n in 0..first {
        times.push(first_time.saturating_sub(usual.times(first - n)));
    }
    for pair in anchors.windows(2) {
        let [(from, from_time), (to, to_time)] = *pair else { continue };
        if to > from + 1 && jump.may_be(to_time.saturating_sub(from_time).saturating_sub(usual.times(to - from))) {
            times.extend((0..to - from).map(|n| from_time.saturating_add(usual.times(n))));
            continue;
        }
        for n in from..to {
            let span = i128::from(to_time) - i128::from(from_time);
            times.push(from_time.saturating_add((span * (n - from) as i128 / (to - from) as i128) as i64));
        }
    }
    for n in last..candidates.len() {
        times.push(last_time.saturating_add(usual.times(n - last)));
    }
    times
}

/// The times, or where they are too far apart to rise within what can be stored, a tick for each frame.
fn storable(times: Vec<i64>) -> Vec<i64> {
    let rise = times.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    if rise && times.iter().all(|time| (-2 * MAX_TICKS..=2 * MAX_TICKS).contains(time)) {
        times
    } else {
        (0..times.len() as i64).collect()
    }
}

/// A player shows the first frame at its time and is done at the latest time: where the first or the last frame's own
/// time is not kept because others are the same or later, the frames still share the time between.
fn pin_the_ends(anchors: &mut Vec<(usize, i64)>, candidates: &[Option<i64>]) {
    let Some(&(first, first_time)) = anchors.first() else { return };
    if let Some(&Some(time)) = candidates.first()
        && first > 0
        && time <= first_time
    {
        anchors.insert(0, (0, time));
    }
    let Some(&(last, last_time)) = anchors.last() else { return };
    if let Some(&Some(time)) = candidates.last()
        && last + 1 < candidates.len()
    {
        anchors.push((candidates.len() - 1, time.max(last_time)));
    }
}

/// The anchors without those that have to give their time to frames beside them: between two that are not neighbours,
/// each step is `shortest` ticks or more.
fn with_room(anchors: &[(usize, i64)], shortest: i64) -> Vec<(usize, i64)> {
    let lacks_room = |from: (usize, i64), to: (usize, i64)| {
        i128::from(to.1) - i128::from(from.1) < (to.0 - from.0) as i128 * i128::from(shortest)
    };
    let mut kept: Vec<(usize, i64)> = Vec::with_capacity(anchors.len());
    let mut rest = anchors.iter().copied();
    kept.extend(rest.next());
    while let (Some(mut to), Some(mut from)) = (rest.next(), kept.last().copied()) {
        let is_spread = to.0 > from.0 + 1 || to.1 <= from.1;
        let mut takes_left = true;
        while is_spread && lacks_room(from, to) {
            // From both sides by turns, as far as there are any.
            if (takes_left || rest.len() == 0) && kept.len() > 1 {
                kept.pop();
                from = kept.last().copied().unwrap_or(from);
            } else if let Some(next) = rest.next() {
                to = next;
            } else {
                // Where even that saturates, the times are not storable, and nobody has any more to give.
                to.1 = from.1.saturating_add(shortest.saturating_mul((to.0 - from.0) as i64));
                break;
            }
            takes_left = !takes_left;
        }
        kept.push(to);
    }
    kept
}

fn longest_non_falling(keys: &[(usize, i64)]) -> Vec<(usize, i64)> {
    // tails[k]: index into `keys` of the smallest end of a run of length k + 1.
    let mut tails: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = vec![None; keys.len()];
    for (index, &(_, key)) in keys.iter().enumerate() {
        let length = tails.partition_point(|&tail| keys.get(tail).is_some_and(|&(_, end)| end <= key));
        if let Some(slot) = before.get_mut(index) {
            *slot = length.checked_sub(1).and_then(|previous| tails.get(previous).copied());
        }
        match tails.get_mut(length) {
            Some(tail) => *tail = index,
            None => tails.push(index),
        }
    }
    let mut run = Vec::with_capacity(tails.len());
    let mut at = tails.last().copied();
    while let Some(index) = at {
        run.extend(keys.get(index).copied());
        at = before.get(index).copied().flatten();
    }
    run.reverse();
    run
}

/// Decode times for packets with those presentation times: the presentation times in order, moved back as a whole so
/// far that none is after its packet's presentation time.
pub(crate) fn decode_times(pts: &[i64]) -> Vec<i64> {
    let mut times = pts.to_vec();
    times.sort_unstable();
    let mut previous = i64::MIN;
    for time in &mut times {
        *time = (*time).max(previous.saturating_add(1));
        previous = *time;
    }
    let delay = times.iter().zip(pts).map(|(dts, pts)| dts.saturating_sub(*pts)).max().unwrap_or(0).max(0);
    for time in &mut times {
        *time = time.saturating_sub(delay);
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::TimeBase;
    use proptest::prelude::*;

    fn repair(packets: &[SourceTime], frames: &[u32], interval: f64) -> Times {
        super::repair(packets, frames, interval, JumpLimit::new(TimeBase::new(1, 1000).unwrap()))
    }

    fn packets(times: &[(Option<i64>, Option<i64>)]) -> Vec<SourceTime> {
        times.iter().map(|&(pts, dts)| SourceTime { pts, dts, duration: 0 }).collect()
    }

    #[test]
    fn packets_before_the_first_frame_lie_before_what_is_shown() {
        // Hidden by an edit list, of a source whose times have to be put in order.
        let source = packets(&[
            (Some(0), Some(0)),
            (Some(1), Some(1)),
            (Some(2), Some(2)),
            (Some(3), Some(3)),
            (Some(4), Some(4)),
        ]);
        let times = repair(&source, &[2, 4, 3], 1.0);
        assert!(times.repaired_frames > 0);
        assert_eq!(times.pts, [0, 1, 2, 4, 3]);
    }

    #[test]
    fn good_times_are_kept() {
        let source = packets(&[(Some(0), Some(-2)), (Some(6), Some(0)), (Some(2), Some(2)), (Some(4), Some(4))]);
        let times = repair(&source, &[0, 2, 3, 1], 2.0);
        assert_eq!(times.pts, [0, 6, 2, 4]);
        assert_eq!(times.dts, [-2, 0, 2, 4]);
        assert_eq!((times.repaired_frames, times.new_dts, times.last_duration), (0, false, 2));
    }

    #[test]
    fn a_missing_and_a_doubled_time_are_spread_between_their_neighbours() {
        let source = packets(&[(Some(0), None), (Some(10), None), (None, None), (Some(30), None), (Some(30), None)]);
        let times = repair(&source, &[0, 1, 2, 3, 4], 10.0);
        assert_eq!(times.pts, [0, 10, 16, 23, 30]);
        assert!(times.new_dts);
    }

    #[test]
    fn without_presentation_times_the_decode_times_are_the_grid() {
        let source = packets(&[(None, Some(0)), (None, Some(1)), (None, Some(2)), (None, Some(4))]);
        assert_eq!(repair(&source, &[0, 2, 3, 1], 1.0).pts, [0, 4, 1, 2]);
    }

    #[test]
    fn without_any_time_the_frame_rate_is_the_grid() {
        let times = repair(&packets(&[(None, None); 4]), &[0, 2, 1, 3], 3.5);
        assert_eq!(times.pts, [0, 7, 4, 11]);
        assert!(times.dts.iter().zip(&times.pts).all(|(dts, pts)| dts <= pts));
    }

    /// Frames in the order of their packets, with these times.
    fn shown_in_order(times: &[Option<i64>], interval: f64) -> (Vec<i64>, Times) {
        let source: Vec<SourceTime> = times.iter().map(|&pts| SourceTime { pts, dts: None, duration: 0 }).collect();
        let frames: Vec<u32> = (0..source.len() as u32).collect();
        let times = repair(&source, &frames, interval);
        (times.pts.clone(), times)
    }

    fn shortest_step(times: &[i64]) -> i64 {
        times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(i64::MAX)
    }

    #[test]
    fn a_clock_that_went_back_leaves_no_burst() {
        // Two seconds, and two more that begin one second before the end of the first.
        let times: Vec<Option<i64>> = (0..50).chain(25..75).map(|n| Some(n * 40)).collect();
        let (pts, repaired) = shown_in_order(&times, 40.0);
        assert_eq!((pts[0], pts[99]), (0, 74 * 40));
        assert!(shortest_step(&pts) >= 20, "{pts:?}");
        assert_eq!((pts[5], pts[95]), (200, 70 * 40), "times far from the place are kept");
        assert!(repaired.spread_frames >= 25 && repaired.ordered_frames == 0);
    }

    #[test]
    fn times_in_decode_order_are_sorted_where_frames_are_shown_in_another() {
        // I P B B, twice; the second time right.
        let source = packets(&[
            (Some(0), Some(0)),
            (Some(10), Some(10)),
            (Some(20), Some(20)),
            (Some(30), Some(30)),
            (Some(60), Some(40)),
            (Some(40), Some(50)),
            (Some(50), Some(60)),
        ]);
        let times = repair(&source, &[0, 2, 3, 1, 5, 6, 4], 10.0);
        assert_eq!(times.pts, [0, 30, 10, 20, 60, 40, 50]);
        assert_eq!((times.ordered_frames, times.repaired_frames, times.spread_frames), (3, 3, 0));
    }

    #[test]
    fn only_times_that_do_not_follow_from_an_even_rate_are_guessed() {
        let (pts, times) = shown_in_order(&[Some(0), None, Some(20), None, None, Some(50), Some(60), None], 10.0);
        assert_eq!(pts, (0..8).map(|n| n * 10).collect::<Vec<_>>());
        assert_eq!((times.repaired_frames, times.guessed_frames), (4, 0));
        let (pts, times) = shown_in_order(&[Some(0), Some(10), None, Some(100), Some(110), Some(120)], 10.0);
        assert_eq!((pts[2], times.guessed_frames), (55, 1));
    }

    #[test]
    fn a_jump_says_nothing_of_the_last_frames_time() {
        let times: Vec<Option<i64>> = (0..100).map(|n| Some(n * 40 + if n >= 50 { 3_600_000 } else { 0 })).collect();
        assert_eq!(shown_in_order(&times, 40.0).1.last_duration, 40);
    }

    proptest! {
        #[test]
        fn times_that_rise_are_kept(gaps in proptest::collection::vec(1_i64..500, 1..60), first in -999_i64..999) {
            let times = gaps.iter().scan(first, |at, gap| { *at += gap; Some(Some(*at)) }).collect::<Vec<_>>();
            let (pts, repaired) = shown_in_order(&times, 10.0);
            prop_assert_eq!(pts.into_iter().map(Some).collect::<Vec<_>>(), times);
            prop_assert_eq!(repaired.repaired_frames + repaired.spread_frames + repaired.guessed_frames, 0);
        }

        #[test]
        fn frames_that_stand_still_share_the_time_that_is_played(
            stands in proptest::collection::vec(any::<bool>(), 1..80), step in 2_i64..5000,
        ) {
            let times = stands.iter().scan(0, |at, stands| { *at += if *stands { 0 } else { step }; Some(*at) });
            let times: Vec<i64> = std::iter::once(0).chain(times).collect();
            let (pts, _) = shown_in_order(&times.iter().copied().map(Some).collect::<Vec<_>>(), step as f64);
            let half = (step + 1) / 2;
            let count = times.len() as i64 - 1;
            prop_assert!(shortest_step(&pts) >= half, "{pts:?}");
            prop_assert_eq!((pts[0], pts[times.len() - 1]), (0, times[times.len() - 1].max(half * count)));
        }

        #[test]
        fn a_step_back_is_spread(first in 2_i64..60, second in 2_i64..60, back in 1_i64..60, step in 2_i64..5000) {
            let part = |from: i64, count: i64| (0..count).map(move |n| Some((from + n) * step));
            let times: Vec<Option<i64>> = part(0, first).chain(part(first - back, second)).collect();
            let (pts, _) = shown_in_order(&times, step as f64);
            let (steps, half) = (first + second - 1, (step + 1) / 2);
            prop_assert!(shortest_step(&pts) >= half, "{pts:?}");
            let span = pts[pts.len() - 1] - pts[0];
            prop_assert!((steps * half..=steps * step).contains(&span));
            if back <= first {
                // As played: until the latest time, or as long as that many frames take at least.
                let played = step * (first - 1).max(first - back + second - 1);
                prop_assert_eq!(span, played.max(steps * half));
            }
        }

        #[test]
        fn decode_order_is_undone(
            groups in proptest::collection::vec((2_usize..6, any::<u64>()), 1..8), step in 1_i64..5000, first in -9_i64..9,
        ) {
            // Each group is decoded from its last frame on, the rest in any order.
            let mut frames = vec![0_u32];
            for (size, seed) in groups {
                let start = frames.len() as u32;
                let mut rest: Vec<u32> = (start + 1..start + size as u32).collect();
                rest.rotate_left(seed as usize % (size - 1));
                frames.extend(rest);
                frames.push(start);
            }
            let source: Vec<SourceTime> = (0..frames.len() as i64)
                .map(|n| SourceTime { pts: Some(first + n * step), dts: Some(first + n * step), duration: 0 })
                .collect();
            let times = repair(&source, &frames, step as f64);
            let shown: Vec<i64> = frames.iter().map(|&packet| times.pts[packet as usize]).collect();
            prop_assert_eq!(shown, (0..frames.len() as i64).map(|n| first + n * step).collect::<Vec<_>>());
        }

        #[test]
        fn extreme_times_do_not_panic(
            stated in proptest::collection::vec((proptest::option::of(any::<i64>()), proptest::option::of(any::<i64>()), any::<i64>()), 1..20),
            interval: f64,
        ) {
            let source: Vec<SourceTime> =
                stated.iter().map(|&(pts, dts, duration)| SourceTime { pts, dts, duration }).collect();
            let frames: Vec<u32> = (0..source.len() as u32).collect();
            let times = repair(&source, &frames, interval);
            prop_assert!(times.pts.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", times.pts);
            prop_assert!(times.dts.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", times.dts);
            prop_assert!(times.dts.iter().zip(&times.pts).all(|(dts, pts)| dts <= pts));
            prop_assert!(times.last_duration > 0 && times.last_duration <= MAX_TICKS * 2);
        }

        #[test]
        fn whatever_the_source_says_times_rise(
            stated in proptest::collection::vec((proptest::option::of(-50_i64..50), proptest::option::of(-50_i64..50)), 1..40),
            frameless in 0_usize..4,
        ) {
            let source = packets(&stated);
            let frames: Vec<u32> = (0..source.len().saturating_sub(frameless) as u32).rev().collect();
            let times = repair(&source, &frames, 2.0);
            let shown: Vec<i64> = frames.iter().map(|&packet| times.pts[packet as usize]).collect();
            prop_assert!(shown.windows(2).all(|pair| pair[0] < pair[1]), "{shown:?}");
            prop_assert!(times.dts.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", times.dts);
            prop_assert!(times.dts.iter().zip(&times.pts).all(|(dts, pts)| dts <= pts));
            prop_assert!(times.last_duration > 0);
        }
    }
}
