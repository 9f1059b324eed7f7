//! The frame on screen: which frame of a record is shown at an instant, and which frames a rate in frames per second
//! takes. Windows, `frames_at` and the profile `train` all ask here. Integer arithmetic on ticks.
//!
//! **The rule.** On screen is the last frame whose timestamp is not after the instant. Timestamps are themselves
//! rounded to ticks: at 30 frames a second and a tick of a millisecond, frames 0, 1, 2 are stamped 0, 33, 67, and the
//! frame meant for 66.67 would be missed by a hair, and frame 1 taken twice. So where a record's frames are 2 ticks
//! long or longer on average, a frame counts as on screen from half a tick before its timestamp. Where ticks are
//! coarser (often one tick is one frame), timestamps are taken as exact.
//!
//! **Even steps.** Rounding also moves the timestamp that a window starts from, so half a tick is not always enough:
//! two errors of half a tick add up to a whole one. A rate that is a k-th of the record's own takes every k-th frame,
//! where those are stamped within a tick of even steps, and differ from the rule's frames by one whose timestamp is
//! within a tick and a half of the instant.
//!
//! **Jumps.** A frame that stands for more than [`JUMP_SECONDS`], for more than [`JUMP_STEPS`] steps of the rate, and
//! for more than [`JUMP_INTERVALS`] times the median distance of frames, stands before a jump of the timestamps: a
//! recording that paused, or a clock that was set. See [`JumpLimit`] and [`Closed`].

use super::{Ratio, TimeBase};

/// Durations are clamped to this many ticks, so that no product below overflows 128 bits.
const MAX_TICKS: i64 = 1 << 60;
/// Average ticks per frame from which timestamps count as rounded.
const ROUNDED_TICKS_PER_FRAME: i64 = 2;
/// A jump is longer. The ffmpeg command takes the same length for one, where it corrects jumps
/// (`-dts_delta_threshold`).
const JUMP_SECONDS: i64 = 10;
/// A jump is longer than so many steps of a rate: what is sampled once a minute may stand for a minute.
const JUMP_STEPS: i64 = 10;
/// A jump is longer than so many median distances of two frames: a slide show has none.
const JUMP_INTERVALS: i64 = 100;

/// True where timestamps of a record are rounded, false where a tick is about a frame and timestamps are exact.
fn is_rounded(num_frames: u32, duration: i64) -> bool {
    duration / i64::from(num_frames.max(1)) >= ROUNDED_TICKS_PER_FRAME
}

/// The frame on screen at `tick`, the latest timestamp that it may have; `pts` rises, and frame 0 is on screen before
/// it.
fn on_screen(num_frames: u32, tick: i64, pts: &dyn Fn(u32) -> i64) -> u32 {
    let (mut low, mut high) = (0, num_frames);
    while low < high {
        let middle = low + (high - low) / 2;
        if pts(middle) <= tick {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low.saturating_sub(1)
}

/// True where the frames are equally far apart.
pub(crate) fn is_even(frames: &[u32]) -> bool {
    let stride = |pair: &[u32]| match *pair {
        [a, b] => i64::from(b) - i64::from(a),
        _ => 0,
    };
    let mut strides = frames.windows(2).map(stride);
    strides.next().is_none_or(|first| strides.all(|stride| stride == first))
}

/// The frame on screen `seconds` after the first frame's timestamp; `None` before the first frame and from `duration`
/// on.
pub(crate) fn frame_at(
    seconds: f64,
    num_frames: u32,
    duration: i64,
    time_base: TimeBase,
    pts: &dyn Fn(u32) -> i64,
) -> Option<u32> {
    // Seconds are rounded to what a float can say. That must not move an instant over the tick that it means.
    let snapped = |ticks: f64| {
        let nearest = ticks.round();
        if (ticks - nearest).abs() <= 1e-6 + nearest.abs() * 1e-15 { nearest } else { ticks }
    };
    let ticks = seconds * f64::from(time_base.den()) / f64::from(time_base.num());
    let duration = duration.clamp(1, MAX_TICKS);
    if num_frames == 0 || !(0.0..duration as f64).contains(&snapped(ticks)) {
        return None;
    }
    let slack = if is_rounded(num_frames, duration) { 0.5 } else { 0.0 };
    let tick = snapped(ticks + slack).floor() as i64;
    Some(on_screen(num_frames, pts(0).saturating_add(tick), pts))
}

/// The instants of a rate in a record's ticks. One step is `num / den` ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    num: i128,
    den: i128,
    num_frames: u32,
    duration: i64,
    jump: JumpLimit,
    is_rounded: bool,
}

impl Clock {
    /// Instants `fps` a second in a record of `num_frames` frames that takes `duration` ticks.
    pub(crate) fn new(fps: Ratio, num_frames: u32, duration: i64, time_base: TimeBase) -> Self {
        let duration = duration.clamp(1, MAX_TICKS);
        let num = i128::from(fps.den()) * i128::from(time_base.den());
        let den = i128::from(fps.num()) * i128::from(time_base.num());
        let steps = i64::try_from(i128::from(JUMP_STEPS) * num / den).unwrap_or(i64::MAX);
        let jump = JumpLimit(JumpLimit::new(time_base).0.max(steps));
        Self { num, den, num_frames, duration, jump, is_rounded: is_rounded(num_frames, duration) }
    }

    /// The same instants in a record of as many frames that takes `duration` ticks.
    pub(crate) fn with_duration(self, duration: i64) -> Self {
        let duration = duration.clamp(1, MAX_TICKS);
        Self { duration, is_rounded: is_rounded(self.num_frames, duration), ..self }
    }

    /// The last tick, counted from the first frame's timestamp, that a timestamp may have whose frame is on screen at
    /// instant `index` after tick `start`; instants beyond the record begin again at its first frame where it `wraps`.
    pub(crate) fn tick(&self, start: u64, index: u64, wraps: bool) -> i64 {
        let mut instant = i128::from(start) * self.den + i128::from(index) * self.num;
        if wraps {
            instant %= i128::from(self.duration) * self.den;
        }
        let tick = if self.is_rounded { (2 * instant + self.den) / (2 * self.den) } else { instant / self.den };
        i64::try_from(tick).unwrap_or(i64::MAX)
    }

    /// How many ticks there are at which a window of `frames` instants may start: those whose last instant is before
    /// the record's end.
    pub(crate) fn num_starts(&self, frames: u32) -> u64 {
        self.num_starts_before(frames, self.duration)
    }

    /// The same with another end than the record's.
    pub(crate) fn num_starts_before(&self, frames: u32, end: i64) -> u64 {
        let room = i128::from(end) * self.den - i128::from(frames.saturating_sub(1)) * self.num;
        if room <= 0 { 0 } else { ((room + self.den - 1) / self.den) as u64 }
    }

    /// The frames on screen at `count` instants from tick `start` on, which is counted from the first frame's
    /// timestamp. Instants beyond the end give the last frame, or begin again where the record `wraps`.
    pub(crate) fn frames(&self, start: u64, count: u32, wraps: bool, pts: &dyn Fn(u32) -> i64) -> Vec<u32> {
        let first = pts(0);
        let at = |index: u64| first.saturating_add(self.tick(start, index, wraps));
        let frames: Vec<u32> = (0..u64::from(count)).map(|index| on_screen(self.num_frames, at(index), pts)).collect();
        if wraps {
            return frames;
        }
        self.evened(start, &frames, pts).unwrap_or(frames)
    }

    /// Every k-th frame in the place of `frames`, where the rule of even steps says so.
    pub(crate) fn evened(&self, start: u64, frames: &[u32], pts: &dyn Fn(u32) -> i64) -> Option<Vec<u32>> {
        let (&first, &last) = (frames.first()?, frames.last()?);
        let steps = u32::try_from(frames.len()).ok()?.checked_sub(1).filter(|&steps| steps > 0)?;
        let stride = (u64::from(last.checked_sub(first)?) + u64::from(steps) / 2) / u64::from(steps);
        let stride = u32::try_from(stride).ok().filter(|&stride| stride > 0)?;
        if is_even(frames) || !self.is_part_of_own_rate(stride, pts) {
            return None;
        }
        let from_last = u64::from(last).checked_sub(u64::from(stride) * u64::from(steps));
        let bases = [Some(first), from_last.and_then(|base| u32::try_from(base).ok())];
        bases.into_iter().flatten().find_map(|base| self.even_from(base, stride, start, frames, pts))
    }

    /// True where timestamps are rounded, and a step of the rate is `stride` frames of the record on average, as far as
    /// the first and the last timestamp tell.
    pub(crate) fn is_part_of_own_rate(&self, stride: u32, pts: &dyn Fn(u32) -> i64) -> bool {
        let Some(steps) = self.num_frames.checked_sub(1).filter(|_| self.is_rounded) else { return false };
        let span = i128::from(pts(steps)) - i128::from(pts(0));
        let (stride, error) = (i128::from(stride), self.den);
        let difference = (stride * span).saturating_mul(self.den) - i128::from(steps) * self.num;
        difference.abs() <= stride * error
    }

    /// The frames `base`, `base + stride`, ..., where they may stand for `frames`.
    fn even_from(
        &self,
        base: u32,
        stride: u32,
        start: u64,
        frames: &[u32],
        pts: &dyn Fn(u32) -> i64,
    ) -> Option<Vec<u32>> {
        let (zero, from) = (i128::from(pts(0)), i128::from(pts(base)));
        let mut even = Vec::with_capacity(frames.len());
        for (index, &frame) in frames.iter().enumerate() {
            let number = u64::from(base) + u64::from(stride) * index as u64;
            let number = u32::try_from(number).ok().filter(|&number| number < self.num_frames)?;
            let passed = index as i128 * self.num;
            // Two rounding errors of half a tick, and never more.
            let error = (i128::from(pts(number)) - from) * self.den - passed;
            if error.abs() > self.den {
                return None;
            }
            if number != frame {
                let later = i128::from(pts(number.max(frame))) - zero;
                let distance = later * self.den - (i128::from(start) * self.den + passed);
                if number.abs_diff(frame) > 1 || 2 * distance.abs() > 3 * self.den {
                    return None;
                }
            }
            even.push(number);
        }
        Some(even)
    }

    /// What counts as a jump for this rate.
    pub(crate) fn jump(&self) -> JumpLimit {
        self.jump
    }
}

/// Ticks that a frame may stand without a jump after it, as far as its own time can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JumpLimit(i64);

impl JumpLimit {
    /// The limit without regard to a rate.
    pub(crate) fn new(time_base: TimeBase) -> Self {
        let ticks = i128::from(JUMP_SECONDS) * i128::from(time_base.den()) / i128::from(time_base.num());
        Self(i64::try_from(ticks).unwrap_or(i64::MAX))
    }

    /// True where a frame that stands for `ticks` may stand before a jump; the other frames decide.
    pub(crate) fn may_be(self, ticks: i64) -> bool {
        ticks > self.0
    }
}

/// Times of frames without the jumps between them: the frame before a jump stands for the median distance of frames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    /// For each frame, rising.
    pub(crate) pts: Vec<i64>,
    /// End of the last frame.
    pub(crate) end: i64,
    /// Frames that stand before a jump, and how many ticks were closed there.
    pub(crate) jumps: Vec<(usize, i64)>,
}

impl Closed {
    /// `None` where there is no jump. `pts` rise, and the last frame ends at `end`.
    pub(crate) fn of(pts: &[i64], end: i64, limit: JumpLimit) -> Option<Self> {
        let gap = |frame: usize| -> Option<i64> {
            Some(pts.get(frame + 1).copied().unwrap_or(end).saturating_sub(*pts.get(frame)?))
        };
        // The median is looked for only where there is something to compare with it.
        (0..pts.len()).find(|&frame| gap(frame).is_some_and(|ticks| limit.may_be(ticks)))?;
        let mut gaps: Vec<i64> = (0..pts.len().saturating_sub(1)).filter_map(gap).collect();
        gaps.sort_unstable();
        let median = gaps.get(gaps.len() / 2).copied()?.max(1);
        let mut closed = Self { pts: Vec::with_capacity(pts.len()), end, jumps: Vec::new() };
        let mut shift = 0_i64;
        for (frame, &time) in pts.iter().enumerate() {
            closed.pts.push(time.saturating_sub(shift));
            let Some(ticks) = gap(frame).filter(|&ticks| limit.may_be(ticks)) else { continue };
            if ticks / JUMP_INTERVALS > median {
                closed.jumps.push((frame, ticks - median));
                shift = shift.saturating_add(ticks - median);
            }
        }
        closed.end = end.saturating_sub(shift);
        (!closed.jumps.is_empty()).then_some(closed)
    }

    /// Ticks that were closed.
    pub(crate) fn jumped(&self) -> i64 {
        self.jumps.iter().fold(0, |sum, &(_, ticks)| sum.saturating_add(ticks))
    }

    /// The parts between the jumps: the first tick and the end of each, counted from the first frame.
    pub(crate) fn parts(&self) -> Vec<(i64, i64)> {
        let first = self.pts.first().copied().unwrap_or(0);
        let time = |frame: usize| self.pts.get(frame).copied().unwrap_or(self.end).saturating_sub(first);
        let starts = std::iter::once(0).chain(self.jumps.iter().map(|&(frame, _)| frame + 1));
        let ends = self.jumps.iter().map(|&(frame, _)| frame + 1).chain(std::iter::once(self.pts.len()));
        starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| (time(start), time(end))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn base(den: u32) -> TimeBase {
        TimeBase::new(1, den).unwrap()
    }

    /// Timestamps of a constant rate as a muxer rounds them, `offset` being how far the first is from its tick.
    fn rounded(count: u32, fps: f64, den: u32, offset: f64) -> Vec<i64> {
        (0..count).map(|n| (f64::from(n) / fps * f64::from(den) + offset).round() as i64).collect()
    }

    fn steps(frames: &[u32]) -> Vec<u32> {
        let mut steps: Vec<u32> = frames.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.dedup();
        steps
    }

    #[test]
    fn a_record_at_its_own_rate_and_its_fractions_steps_evenly() {
        // Rates and ticks a second of QuickTime, Matroska and FLV, GIF, AVI, MPEG-TS.
        let kinds = [
            (240.0, 600),
            (144.0, 1000),
            (240.0, 1000),
            (120.0, 1000),
            (165.0, 1000),
            (24.0, 100),
            (30.0, 100),
            (50.0, 100),
            (1000.0, 1000),
            (25.0, 25),
            (59.94, 600),
            (30.0, 1000),
            (23.976, 1000),
            (29.97, 1000),
            (59.94, 1000),
            (119.88, 1000),
            (29.97, 90_000),
            (60.0, 90_000),
        ];
        for (fps, den) in kinds {
            let rate = Ratio::from_f64(fps).unwrap();
            for offset in [0.0, 0.49, -0.49, 0.25] {
                let times = rounded(400, rate.to_f64(), den, if den == 25 || fps > 999.0 { 0.0 } else { offset });
                let pts = |frame: u32| times[frame as usize];
                let last = (f64::from(den) / fps).round() as i64;
                let duration = times[399] - times[0] + last.max(1);
                for divisor in [1_u32, 2, 3, 4, 5, 10] {
                    let wanted = Ratio::new(rate.num(), rate.den() * divisor).unwrap();
                    let clock = Clock::new(wanted, 400, duration, base(den));
                    for start in 0..clock.num_starts(24).min(3 * u64::from(den)) {
                        let frames = clock.frames(start, 24, false, &pts);
                        assert_eq!(steps(&frames), [divisor], "{fps} in 1/{den} by {divisor} from {start}: {frames:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn seconds_name_the_frame_that_a_window_takes() {
        for (fps, den) in [(30.0, 1000), (12.0, 12), (240.0, 600), (144.0, 1000), (24.0, 100), (29.97, 90_000)] {
            let rate = Ratio::from_f64(fps).unwrap();
            let times = rounded(90, rate.to_f64(), den, 0.0);
            let pts = |frame: u32| times[frame as usize];
            let duration = times[89] + (f64::from(den) / fps).round() as i64;
            for wanted in [fps, fps / 2.0, 8.0, 7.3] {
                let wanted = Ratio::from_f64(wanted).unwrap();
                let clock = Clock::new(wanted, 90, duration, base(den));
                let count = (1..=1000).rfind(|&count| clock.num_starts(count) > 0).unwrap();
                let seconds = |index: u32| f64::from(index) / wanted.to_f64();
                let named: Vec<u32> =
                    (0..count).map(|index| frame_at(seconds(index), 90, duration, base(den), &pts).unwrap()).collect();
                assert_eq!(named, clock.frames(0, count, false, &pts), "{fps} in 1/{den} at {wanted}");
            }
        }
    }

    #[test]
    fn the_last_tick_belongs_to_the_last_frame() {
        let pts = |frame: u32| 5 + i64::from(frame);
        let at = |seconds: f64| frame_at(seconds, 36, 36, base(12), &pts);
        assert_eq!((at(0.0), at(2.95), at(2.9999), at(3.0), at(-0.01)), (Some(0), Some(35), Some(35), None, None));
        assert_eq!((at(f64::NAN), at(f64::INFINITY), at(f64::MAX)), (None, None, None));
        assert_eq!((0..36).map(|n| at(f64::from(n) / 12.0).unwrap()).collect::<Vec<_>>(), (0..36).collect::<Vec<_>>());
    }

    #[test]
    fn a_long_pause_is_closed_and_a_slide_show_is_not() {
        let limit = JumpLimit::new(base(1000));
        let mut pts: Vec<i64> = (0..50).map(|n| n * 40).collect();
        pts.extend((0..50).map(|n| 3_600_000 + n * 40));
        let closed = Closed::of(&pts, 3_602_000, limit).unwrap();
        assert_eq!(closed.pts, (0..100).map(|n| n * 40).collect::<Vec<_>>());
        assert_eq!((closed.end, closed.jumps.as_slice()), (4000, [(49, 3_598_000)].as_slice()));
        assert_eq!(closed.parts(), [(0, 2000), (2000, 4000)]);
        let slides: Vec<i64> = (0..20).map(|n| n * 30_000).collect();
        assert_eq!(Closed::of(&slides, 600_000, limit), None);
        assert_eq!(Closed::of(&[0], i64::MAX, limit), None);
        // At a frame a minute, nothing that stands for five of them is a jump.
        let slow = Clock::new(Ratio::new(1, 60).unwrap(), 100, 300_000, base(1000)).jump();
        assert!(!slow.may_be(300_000) && slow.may_be(600_001));
    }

    proptest! {
        #[test]
        fn what_is_evened_differs_within_a_tick_and_a_half(
            gaps in prop::collection::vec(1_i64..9, 2..60), fps in 1_u32..400, start in 0_u64..40, count in 2_u32..12,
        ) {
            let times: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let pts = |frame: u32| times[frame as usize];
            let duration = times[times.len() - 1] - times[0] + 4;
            let clock = Clock::new(Ratio::new(fps, 1).unwrap(), times.len() as u32, duration, base(600));
            let frames = clock.frames(start, count, false, &pts);
            for (index, &frame) in frames.iter().enumerate() {
                let plain = on_screen(times.len() as u32, times[0] + clock.tick(start, index as u64, false), &pts);
                let instant = start as f64 + index as f64 * 600.0 / f64::from(fps);
                let later = (pts(frame.max(plain)) - times[0]) as f64;
                prop_assert!(frame == plain || (later - instant).abs() <= 1.5);
            }
        }
    }
}
