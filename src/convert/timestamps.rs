//! Timestamps that a record can keep: presentation times that rise from frame to frame, decode times that rise from packet to
//! packet and never pass the presentation time. What the source says is kept wherever it can be; pure arithmetic on ticks.

/// What the source says of a packet's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SourceTime {
    pub(super) pts: Option<i64>,
    pub(super) dts: Option<i64>,
    /// Ticks, 0 where unknown.
    pub(super) duration: i64,
}

/// Times of all packets, and what had to be done to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Times {
    /// For each packet. Strictly rising over frames in presentation order.
    pub(super) pts: Vec<i64>,
    /// For each packet, strictly rising, nowhere above `pts`.
    pub(super) dts: Vec<i64>,
    /// Ticks that the last frame is shown.
    pub(super) last_duration: i64,
    /// How many frames got another presentation time than their packet had.
    pub(super) repaired_frames: usize,
    /// True where the source's decode times could not be kept.
    pub(super) new_dts: bool,
}

/// Repairs what needs it. `frames` names the packet of each frame in presentation order; `interval` is the usual number of
/// ticks between frames, for where nothing else tells.
pub(super) fn repair(packets: &[SourceTime], frames: &[u32], interval: f64) -> Times {
    let interval = if interval.is_finite() && interval >= 1.0 { interval } else { 1.0 };
    let stated: Vec<Option<i64>> = frames.iter().map(|&packet| time_of(packets, packet).pts).collect();
    let candidates = if stated.iter().flatten().count() * 2 > stated.len() {
        stated.clone()
    } else {
        decode_grid(packets, frames).unwrap_or(stated.clone())
    };
    let frame_pts = rising(&candidates, interval);
    let repaired_frames = frame_pts.iter().zip(&stated).filter(|(pts, stated)| Some(**pts) != **stated).count();

    let mut pts: Vec<Option<i64>> = vec![None; packets.len()];
    for (&packet, &time) in frames.iter().zip(&frame_pts) {
        if let Some(slot) = pts.get_mut(packet as usize) {
            *slot = Some(time);
        }
    }
    // Packets without a frame of their own keep what they say, where the rest did.
    let mut known = frame_pts.first().copied().unwrap_or(0);
    let pts: Vec<i64> = pts
        .into_iter()
        .zip(packets)
        .map(|(time, source)| {
            known = time.or(source.pts.filter(|_| repaired_frames == 0)).unwrap_or(known);
            known
        })
        .collect();

    let kept: Option<Vec<i64>> = packets.iter().map(|packet| packet.dts).collect();
    let kept = kept.filter(|dts| {
        dts.windows(2).all(|pair| matches!(pair, [a, b] if a < b)) && dts.iter().zip(&pts).all(|(dts, pts)| dts <= pts)
    });
    let new_dts = kept.is_none();
    let dts = kept.unwrap_or_else(|| decode_times(&pts));

    let average = match frame_pts.as_slice() {
        [first, .., last] => ((last - first) as f64 / (frame_pts.len() - 1) as f64).round() as i64,
        _ => interval.round() as i64,
    };
    let last_duration = frames.last().map_or(0, |&packet| time_of(packets, packet).duration);
    let last_duration = if last_duration > 0 && repaired_frames == 0 { last_duration } else { average.max(1) };
    Times { pts, dts, last_duration, repaired_frames, new_dts }
}

fn time_of(packets: &[SourceTime], packet: u32) -> SourceTime {
    packets.get(packet as usize).copied().unwrap_or_default()
}

/// Without presentation times: the frames take the decode times of their packets, in order.
fn decode_grid(packets: &[SourceTime], frames: &[u32]) -> Option<Vec<Option<i64>>> {
    let mut times: Vec<i64> = frames.iter().map(|&packet| time_of(packets, packet).dts).collect::<Option<Vec<_>>>()?;
    times.sort_unstable();
    Some(times.into_iter().map(Some).collect())
}

/// Strictly rising times from candidates that may be missing, equal or out of order: the largest set of candidates that
/// leaves a tick for every frame in between is kept, the rest is spread evenly between its neighbours.
fn rising(candidates: &[Option<i64>], interval: f64) -> Vec<i64> {
    // `t[j] - t[i] >= j - i` for kept frames is the same as "`t[n] - n` never falls".
    let keys: Vec<(usize, i64)> = candidates
        .iter()
        .enumerate()
        .filter_map(|(n, time)| time.and_then(|time| time.checked_sub(n as i64)).map(|key| (n, key)))
        .collect();
    let anchors: Vec<(usize, i64)> =
        longest_non_falling(&keys).into_iter().map(|(n, key)| (n, key + n as i64)).collect();
    let (Some(&(first, first_time)), Some(&(last, last_time))) = (anchors.first(), anchors.last()) else {
        return (0..candidates.len()).map(|n| (n as f64 * interval).round() as i64).collect();
    };
    let average =
        if last > first { ((last_time - first_time) as f64 / (last - first) as f64).max(1.0) } else { interval };
    let mut times = Vec::with_capacity(candidates.len());
    for n in 0..first {
        times.push(first_time - ((first - n) as f64 * average).round() as i64);
    }
    for pair in anchors.windows(2) {
        let [(from, from_time), (to, to_time)] = *pair else { continue };
        for n in from..to {
            let share = (to_time - from_time) as i128 * (n - from) as i128 / (to - from) as i128;
            times.push(from_time + share as i64);
        }
    }
    for n in last..candidates.len() {
        times.push(last_time + ((n - last) as f64 * average).round() as i64);
    }
    times
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

/// Decode times for packets with those presentation times: the presentation times in order, moved back as a whole so far
/// that none is after its packet's presentation time.
pub(super) fn decode_times(pts: &[i64]) -> Vec<i64> {
    let mut times = pts.to_vec();
    times.sort_unstable();
    let mut previous = i64::MIN;
    for time in &mut times {
        *time = (*time).max(previous.saturating_add(1));
        previous = *time;
    }
    let delay = times.iter().zip(pts).map(|(dts, pts)| dts - pts).max().unwrap_or(0).max(0);
    for time in &mut times {
        *time -= delay;
    }
    times
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packets(times: &[(Option<i64>, Option<i64>)]) -> Vec<SourceTime> {
        times.iter().map(|&(pts, dts)| SourceTime { pts, dts, duration: 0 }).collect()
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

    proptest! {
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
