//! Which frames of a reading are stored, and when: all that the request asks for, or the one on screen at each instant
//! of a rate. Pure arithmetic; the same rule serves while the source is read, on the times that it states, and
//! afterwards, on the times that the record has.

use crate::media::{Clock, Closed, Ratio, TimeBase, is_even};
use crate::{Error, ErrorKind, Result};
use std::ops::Range;

/// So often one frame may be stored; a picture that stands longer is a source with damaged timestamps.
const MAX_REPEATS: u64 = 100_000;
/// Most frames of a clip at a rate: six days at 30 a second.
const MAX_FRAMES: u64 = 1 << 24;

/// Counts instants of a rate from frame to frame.
#[derive(Debug)]
pub(super) struct Instants {
    clock: Clock,
    first: i64,
    next: u64,
}

impl Instants {
    /// Instants from the timestamp `first` on.
    pub(super) fn new(clock: Clock, first: i64) -> Self {
        Self { clock, first, next: 0 }
    }

    /// True where a frame that stands for `ticks` may stand before a jump: then all times decide what is stored.
    pub(super) fn may_jump(&self, ticks: i64) -> bool {
        self.clock.jump().may_be(ticks)
    }

    /// How many instants there are before the frame stamped `pts` is on screen, those of earlier calls left out.
    pub(super) fn before(&mut self, pts: i64) -> Result<u64> {
        let from = self.next;
        while self.clock.tick(0, self.next, false) < pts.saturating_sub(self.first) {
            self.next += 1;
            if self.next - from > MAX_REPEATS {
                let message = format!("one frame is on screen for more than {MAX_REPEATS} frames of the rate");
                return Err(Error::new(ErrorKind::LimitExceeded, message));
            }
        }
        Ok(self.next - from)
    }
}

/// The frames to be stored, in order, by their numbers in the reading; with a rate some come several times, some never.
/// `pts` are the times of all frames of the reading, `wanted` the ones that were asked for, `end` when the last is
/// over.
pub(super) fn chosen(
    pts: &[i64],
    wanted: Range<usize>,
    end: i64,
    rate: Option<Ratio>,
    time_base: TimeBase,
) -> Result<Vec<u32>> {
    let Some(rate) = rate else { return Ok(wanted.map(|frame| frame as u32).collect()) };
    let shown = pts.get(wanted.clone()).unwrap_or_default();
    let first = shown.first().copied().unwrap_or(0);
    let clock = Clock::new(rate, shown.len() as u32, end.saturating_sub(first), time_base);
    // A jump is not filled with thousands of the same frame.
    let closed = Closed::of(shown, end, clock.jump());
    let (shown, end) = closed.as_ref().map_or((shown, end), |closed| (closed.pts.as_slice(), closed.end));
    let clock = clock.with_duration(end.saturating_sub(first));
    let mut instants = Instants::new(clock, first);
    let mut chosen = Vec::new();
    let ends = shown.iter().skip(1).chain(std::iter::once(&end));
    for (frame, &end) in (0_u32..).zip(ends) {
        let count = instants.before(end)?;
        if chosen.len() as u64 + count > MAX_FRAMES {
            let message = format!("at that rate it has more than {MAX_FRAMES} frames");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        chosen.extend((0..count).map(|_| frame));
    }
    let pts = |frame: u32| shown.get(frame as usize).copied().unwrap_or(end);
    let mut chosen = evened(&clock, &chosen, end.saturating_sub(first), &pts).unwrap_or(chosen);
    for frame in &mut chosen {
        *frame += wanted.start as u32;
    }
    Ok(chosen)
}

/// The frames in even steps, where the rounding of timestamps is all that makes them uneven. The end is rounded too: an
/// instant within a tick of it may be one too many.
fn evened(clock: &Clock, chosen: &[u32], duration: i64, pts: &dyn Fn(u32) -> i64) -> Option<Vec<u32>> {
    if is_even(chosen) {
        return None;
    }
    let (_, shorter) = chosen.split_last()?;
    let ends_late = clock.tick(0, shorter.len() as u64, false) >= duration.saturating_sub(1);
    clock.evened(0, chosen, pts).or_else(|| {
        let stride = shorter.get(1).and_then(|second| second.checked_sub(*shorter.first()?)).unwrap_or(0);
        let is_even = ends_late && stride > 0 && is_even(shorter) && clock.is_part_of_own_rate(stride, pts);
        let evened = || clock.evened(0, shorter, pts).filter(|_| ends_late);
        if is_even { Some(shorter.to_vec()) } else { evened() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn base(num: u32, den: u32) -> TimeBase {
        TimeBase::new(num, den).unwrap()
    }

    fn rate(fps: f64) -> Option<Ratio> {
        Ratio::from_f64(fps)
    }

    #[test]
    fn without_a_rate_all_wanted_frames_are_chosen() {
        assert_eq!(chosen(&[0, 5, 6, 9], 1..3, 9, None, base(1, 10)).unwrap(), [1, 2]);
    }

    #[test]
    fn a_lower_rate_leaves_frames_out_and_a_higher_one_repeats_them() {
        let pts: Vec<i64> = (0..12).collect();
        assert_eq!(chosen(&pts, 0..12, 12, rate(8.0), base(1, 30)).unwrap(), [0, 3, 7, 11]);
        assert_eq!(chosen(&pts[..3], 0..3, 3, rate(60.0), base(1, 30)).unwrap(), [0, 0, 1, 1, 2, 2]);
        assert_eq!(chosen(&pts, 4..12, 12, rate(10.0), base(1, 30)).unwrap(), [4, 7, 10]);
    }

    #[test]
    fn rounded_timestamps_of_the_same_rate_give_every_frame_once() {
        // 30000/1001 in milliseconds.
        let pts: Vec<i64> = (0..300).map(|n| (f64::from(n) * 1001.0 / 30.0).round() as i64).collect();
        let all: Vec<u32> = (0..300).collect();
        assert_eq!(chosen(&pts, 0..300, 10_010, rate(29.97), base(1, 1000)).unwrap(), all);
    }

    #[test]
    fn a_jump_is_not_filled() {
        let mut pts: Vec<i64> = (0..50).map(|n| n * 40).collect();
        pts.extend((0..50).map(|n| 3_600_000 + n * 40));
        let given = chosen(&pts, 0..100, 3_602_000, rate(25.0), base(1, 1000)).unwrap();
        assert_eq!(given, (0..100).collect::<Vec<_>>());
        assert_eq!(chosen(&pts, 10..90, 3_601_600, rate(12.5), base(1, 1000)).unwrap().len(), 40);
        // Slides stand as long as they say.
        let slides: Vec<i64> = (0..4).map(|n| n * 30_000).collect();
        assert_eq!(chosen(&slides, 0..4, 120_000, rate(1.0), base(1, 1000)).unwrap().len(), 120);
    }

    #[test]
    fn a_part_of_a_source_in_milliseconds_keeps_every_frame() {
        // A cut begins at a timestamp that was itself rounded.
        let pts: Vec<i64> = (0..300).map(|n| (f64::from(n) * 1000.0 / 30.0).round() as i64).collect();
        for start in 0..3 {
            let all: Vec<u32> = (start..290).collect();
            assert_eq!(chosen(&pts, start as usize..290, pts[290], rate(30.0), base(1, 1000)).unwrap(), all);
        }
    }

    #[test]
    fn a_frame_that_stands_for_ever_is_an_error() {
        let error = chosen(&[0, 1 << 50], 0..2, (1 << 50) + 1, rate(30.0), base(1, 90_000)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        // No frame stands too long here, but all of them together do.
        let pts: Vec<i64> = (0..200).map(|frame| frame * 90_000).collect();
        let error = chosen(&pts, 0..200, 200 * 90_000, rate(30.0), base(1, 30)).unwrap_err();
        assert!(error.kind() == ErrorKind::LimitExceeded && error.message().starts_with("at that rate"), "{error}");
    }

    proptest! {
        #[test]
        fn the_chosen_frames_are_those_of_the_window_by_rate(
            gaps in proptest::collection::vec(1_i64..90, 1..40),
            last in 1_i64..90,
            fps in 1_u32..70,
            den in proptest::sample::select(vec![30_u32, 100, 1000]),
        ) {
            let pts: Vec<i64> = gaps.iter().scan(500, |at, gap| { *at += gap; Some(*at) }).collect();
            let end = pts[pts.len() - 1] + last;
            let duration = end - pts[0];
            let given = chosen(&pts, 0..pts.len(), end, rate(f64::from(fps)), base(1, den)).unwrap();
            // The loader's rule, instant by instant, in fractions of a tick.
            let is_rounded = duration / pts.len() as i64 >= 2;
            let twice = |ticks: i64| 2 * i128::from(ticks) * i128::from(fps);
            let slack = if is_rounded { i128::from(fps) } else { 0 };
            let mut expected = Vec::new();
            for index in 0_i64.. {
                let instant = 2 * i128::from(index) * i128::from(den) + slack;
                if instant >= twice(duration) {
                    break;
                }
                expected.push(pts.iter().filter(|&&pts_n| twice(pts_n - pts[0]) <= instant).count() as u32 - 1);
            }
            if given != expected {
                // Every k-th frame, within the rounding of timestamps.
                prop_assert!((expected.len() - 1..=expected.len()).contains(&given.len()));
                prop_assert!(given.windows(2).all(|pair| pair[1] - pair[0] == given[1] - given[0]), "{:?}", given);
                for (index, (&frame, &other)) in given.iter().zip(&expected).enumerate() {
                    let distance = twice(pts[frame.max(other) as usize] - pts[0]) - 2 * index as i128 * i128::from(den);
                    prop_assert!(frame == other || distance.abs() <= 3 * i128::from(fps));
                }
            }
        }
    }
}
