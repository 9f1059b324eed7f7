//! Which frames a cut holds, and which packets have to be stored for them. Pure arithmetic.

use crate::media::{PacketFlags, TimeBase};
use std::ops::Range;

/// The frames shown at `start <= t < end` seconds after the first one. `frame_pts` rises strictly; `first` is the time of the
/// source's first frame.
pub(super) fn frames(
    frame_pts: &[i64],
    first: i64,
    base: TimeBase,
    start: Option<f64>,
    end: Option<f64>,
) -> Range<usize> {
    let at = |seconds: Option<f64>, default: usize| {
        seconds.map_or(default, |seconds| {
            let ticks = base.ceil_ticks(seconds);
            frame_pts.partition_point(|&pts| pts.saturating_sub(first) < ticks)
        })
    };
    let from = at(start.filter(|&start| start > 0.0), 0);
    from..at(end, frame_pts.len()).max(from)
}

/// The packets to be stored for frames whose packets are `wanted`: from the random access point that governs them to the
/// last one they need. `from_start` and `to_end` keep everything before and behind; `has_frame` tells second fields.
pub(super) fn packets(
    flags: &[PacketFlags],
    has_frame: &[bool],
    wanted: &[u32],
    from_start: bool,
    to_end: bool,
) -> Range<usize> {
    let (Some(&min), Some(&max)) = (wanted.iter().min(), wanted.iter().max()) else { return 0..0 };
    let is = |index: usize, bit: PacketFlags| flags.get(index).is_some_and(|flags| flags.contains(bit));
    let keyframe_before = |end: usize| (0..end).rev().find(|&index| is(index, PacketFlags::KEYFRAME)).unwrap_or(0);
    let start = if from_start {
        0
    } else {
        let governing = keyframe_before(min as usize + 1);
        let next = (governing + 1..flags.len()).find(|&index| is(index, PacketFlags::KEYFRAME)).unwrap_or(flags.len());
        let leads = wanted
            .iter()
            .any(|&packet| (governing..next).contains(&(packet as usize)) && is(packet as usize, PacketFlags::LEADING));
        if leads { keyframe_before(governing) } else { governing }
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

    #[test]
    fn packets_start_at_the_governing_keyframe_or_one_before_where_leading_pictures_are_wanted() {
        let (key, leading, none) = (PacketFlags::KEYFRAME, PacketFlags::LEADING, PacketFlags::default());
        let flags = [key, none, none, key, leading, none, none];
        let all = [true; 7];
        assert_eq!(packets(&flags, &all, &[5], false, false), 3..6);
        assert_eq!(packets(&flags, &all, &[4, 3], false, false), 0..5);
        assert_eq!(packets(&flags, &all, &[5], true, true), 0..7);
        let with_second_field = [true, true, true, true, true, true, false];
        assert_eq!(packets(&flags, &with_second_field, &[5], false, false), 3..7);
    }
}
