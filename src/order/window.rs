//! The window: which frames of a record make one sample.
//!
//! A window is a number of frames and the step from one to the next: a stride in frames, or a rate in frames per second
//! by timestamps. Everything is integer arithmetic on frame numbers and ticks; no float decides which frame is taken.
//!
//! **Stride.** Frame `i` of the window is frame `start + i * stride` of the record. The window fits a record of `n` frames
//! when `(frames - 1) * stride < n`; then there are `n - (frames - 1) * stride` starts. `Start` takes the first, `Center` the one in
//! the middle (rounded down), `Random` one of them with equal chances, `Keyframe` one of those that are a GOP's first frame, of
//! those that do not need the GOP before.
//!
//! **Rate.** Frame `i` is the frame on screen at `t(i) = start + i / fps`, in ticks of the record's time base: the last frame
//! whose timestamp is not after `t(i)`. The last frame of a record is on screen until the record's duration ends, and the
//! window fits when the last instant is before that end: `(frames - 1) / fps < duration`. Starts are whole ticks from the first
//! frame's timestamp on, so `Random` is even over time, and not over frames, where the frame rate varies. `Center` takes the
//! start in the middle, rounded down; `Keyframe` has the timestamps of the same frames to choose from.
//!
//! Timestamps are themselves rounded to ticks; what that means for the frame on screen stands with [`Clock`].
//!
//! A window by rate does not span a **jump** of the timestamps (what counts as one stands with [`Clock`] too). A window
//! that would hold the frame before a jump is placed once more, where all of it lies between two jumps. If no such
//! place is long enough, it passes over jumps as if they were as long as the usual frame.
//!
//! **Short records**, those that the window does not fit, follow [`ShortPolicy`].

use super::epoch::below;
use crate::error::{Error, Result};
use crate::media::{Clock, Closed, Ratio, StreamInfo, TimeBase};
use std::fmt;

/// Jumps are looked for in records of up to so many frames, six days at 30 a second: all timestamps are looked at for it.
const MAX_FRAMES_WITH_JUMPS: u32 = 1 << 24;

/// From one frame of the window to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Every so many frames, at least 1.
    Stride(u32),
    /// So many frames per second, by timestamps.
    Fps(Ratio),
}

/// Where in the record the window lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// At the record's first frame.
    Start,
    /// In the middle.
    Center,
    /// Anywhere, as a pure function of seed, epoch and position.
    #[default]
    Random,
    /// Where a GOP begins, at random as [`Self::Random`]: fewer different windows, and nothing is decoded to get to them.
    Keyframe,
}

impl Placement {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Start, Self::Center, Self::Random, Self::Keyframe];

    /// The name in the API, in Python and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Center => "center",
            Self::Random => "random",
            Self::Keyframe => "keyframe",
        }
    }

    /// The value of that name (upper or lower case).
    ///
    /// # Errors
    /// `InvalidArgument` that lists the known names.
    pub fn parse(name: &str) -> Result<Self> {
        Self::ALL.iter().copied().find(|value| value.as_str().eq_ignore_ascii_case(name)).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|value| value.as_str()).collect();
            Error::invalid(format!("window: placement is '{name}', expected one of {}", known.join(", ")))
        })
    }
}

/// What becomes of a record that is too short for the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ShortPolicy {
    /// It is no sample; how many there are is counted.
    #[default]
    Skip,
    /// The window starts at the first frame, and the last frame is repeated to fill it.
    RepeatLast,
    /// The window starts at the first frame, and the record begins again after its end.
    Loop,
}

/// The frames of a sample: how many, how far apart, where in the record.
///
/// ```
/// use framefeed::{Placement, ShortPolicy, Window};
/// # fn main() -> framefeed::Result<()> {
/// let every_fourth = Window::strided(16, 4).placement(Placement::Center);
/// let eight_per_second = Window::at_fps(16, 8.0)?.short(ShortPolicy::RepeatLast);
/// # (every_fourth.check()?, eight_per_second.check()?);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Window {
    /// Number of frames, 1..=65536.
    pub frames: u32,
    /// From one frame to the next.
    pub step: Step,
    /// Where in the record; random by default.
    pub placement: Placement,
    /// What becomes of short records; they are skipped by default.
    pub short: ShortPolicy,
}

/// What the dataset's index knows about a record's time, enough to say whether a window fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Number of frames.
    pub num_frames: u32,
    /// Ticks from the first frame's timestamp to the end of the last frame.
    pub duration: i64,
    /// Seconds per tick.
    pub time_base: TimeBase,
}

impl From<&StreamInfo> for Extent {
    fn from(stream: &StreamInfo) -> Self {
        Self {
            num_frames: u32::try_from(stream.num_frames()).unwrap_or(u32::MAX),
            duration: stream.duration,
            time_base: stream.time_base,
        }
    }
}

impl Extent {
    /// For people; nothing is decided by it.
    fn seconds(self) -> f64 {
        self.duration as f64 * f64::from(self.time_base.num()) / f64::from(self.time_base.den())
    }

    fn clock(self, fps: Ratio) -> Clock {
        Clock::new(fps, self.num_frames, self.duration, self.time_base)
    }
}

/// `16 frames at stride 4`, `16 frames at 8 per second`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.frames == 1 { "frame" } else { "frames" };
        match self.step {
            Step::Stride(stride) => write!(f, "{} {noun} at stride {stride}", self.frames),
            Step::Fps(fps) => {
                let (rate, digits) = (fps.to_f64(), if fps.to_f64() < 1.0 { 1e6 } else { 1e3 });
                write!(f, "{} {noun} at {} per second", self.frames, (rate * digits).round() / digits)
            }
        }
    }
}

impl Window {
    /// Longest window, in frames.
    pub const MAX_FRAMES: u32 = 1 << 16;
    /// Largest stride, in frames.
    pub const MAX_STRIDE: u32 = 1 << 24;

    /// `frames` frames, every `stride`-th one of the record.
    pub fn strided(frames: u32, stride: u32) -> Self {
        Self { frames, step: Step::Stride(stride), placement: Placement::default(), short: ShortPolicy::default() }
    }

    /// `frames` frames at `fps` frames per second, chosen by timestamps. 29.97 and its like mean the NTSC rates.
    ///
    /// # Errors
    /// `InvalidArgument` when `fps` is not above zero and finite.
    pub fn at_fps(frames: u32, fps: f64) -> Result<Self> {
        let rate = Ratio::from_f64(fps)
            .ok_or_else(|| Error::invalid(format!("window: fps is {fps}, expected a number above 0, at most 1e9")))?;
        Ok(Self { step: Step::Fps(rate), ..Self::strided(frames, 1) })
    }

    /// Sets where in the record the window lies.
    #[must_use]
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = placement;
        self
    }

    /// Sets what becomes of short records.
    #[must_use]
    pub fn short(mut self, short: ShortPolicy) -> Self {
        self.short = short;
        self
    }

    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// `InvalidArgument` naming the field and its range.
    pub fn check(&self) -> Result<()> {
        let range = |name: &str, value: u32, max: u32| {
            if (1..=max).contains(&value) {
                Ok(())
            } else {
                Err(Error::invalid(format!("window: {name} is {value}, expected 1 to {max}")))
            }
        };
        range("frames", self.frames, Self::MAX_FRAMES)?;
        match self.step {
            Step::Stride(stride) => range("stride", stride, Self::MAX_STRIDE),
            Step::Fps(_) => Ok(()),
        }
    }

    /// True where the record is long enough for the window.
    pub fn fits(&self, extent: Extent) -> bool {
        extent.num_frames > 0 && self.num_starts(extent) > 0
    }

    /// What a record must have for the window to fit: `61 frames`, `more than 1.875 s`.
    pub(crate) fn needed(&self) -> String {
        let steps = self.frames.saturating_sub(1);
        match self.step {
            Step::Stride(stride) => format!("{} frames", u64::from(steps) * u64::from(stride) + 1),
            Step::Fps(fps) => format!("more than {} s", rounded(f64::from(steps) / fps.to_f64())),
        }
    }

    /// What a record has, in the unit of [`needed`](Self::needed).
    pub(crate) fn measured(&self, extent: Extent) -> String {
        match self.step {
            Step::Stride(_) => format!("{} frames", extent.num_frames),
            Step::Fps(_) => format!("{} s", rounded(extent.seconds())),
        }
    }

    /// Whether a record has more than another of what the window needs.
    pub(crate) fn is_longer(&self, extent: Extent, other: Extent) -> bool {
        match self.step {
            Step::Stride(_) => extent.num_frames > other.num_frames,
            Step::Fps(_) => extent.seconds() > other.seconds(),
        }
    }

    /// How many different starts there are: frames for a stride, ticks for a rate. Zero where the window does not fit.
    fn num_starts(&self, extent: Extent) -> u64 {
        match self.step {
            Step::Stride(stride) => {
                let span = u64::from(self.frames.saturating_sub(1)) * u64::from(stride);
                u64::from(extent.num_frames).saturating_sub(span)
            }
            Step::Fps(fps) => extent.clock(fps).num_starts(self.frames),
        }
    }

    /// The frame numbers of the window in a record, `frames` of them, or `None` where the record is no sample: it has no
    /// frame, or is short and short ones are skipped. `draw` places random windows: 64 random bits.
    pub fn select(&self, stream: &StreamInfo, draw: u64) -> Option<Vec<u32>> {
        let keyframes = || stream.gop_starts();
        let pts = |frame| stream.frame_pts(frame as usize).unwrap_or(i64::MAX);
        self.select_from(Extent::from(stream), draw, &pts, &keyframes)
    }

    /// Which of `num_starts` starts is taken; `keyframes` are the starts at keyframes, ascending.
    fn start(&self, num_starts: u64, draw: u64, keyframes: &dyn Fn() -> Vec<u64>) -> u64 {
        match self.placement {
            Placement::Start => 0,
            Placement::Center => num_starts.saturating_sub(1) / 2,
            Placement::Random => below(draw, num_starts),
            Placement::Keyframe => {
                let starts: Vec<u64> = keyframes().into_iter().filter(|&start| start < num_starts).collect();
                starts.get(below(draw, starts.len() as u64) as usize).copied().unwrap_or(0)
            }
        }
    }

    fn select_from(
        &self,
        extent: Extent,
        draw: u64,
        pts: &dyn Fn(u32) -> i64,
        keyframes: &dyn Fn() -> Vec<u32>,
    ) -> Option<Vec<u32>> {
        let last_frame = extent.num_frames.checked_sub(1)?;
        let num_starts = self.num_starts(extent);
        if num_starts == 0 && self.short == ShortPolicy::Skip {
            return None;
        }
        let keyframes = || keyframes().into_iter().filter(|&frame| frame <= last_frame);
        let wraps = num_starts == 0 && self.short == ShortPolicy::Loop;
        Some(match self.step {
            Step::Stride(stride) => {
                let start = self.start(num_starts, draw, &|| keyframes().map(u64::from).collect());
                (0..u64::from(self.frames))
                    .map(|index| {
                        let frame = start + index * u64::from(stride);
                        if wraps { frame % u64::from(extent.num_frames) } else { frame.min(u64::from(last_frame)) }
                    })
                    .map(|frame| frame as u32)
                    .collect()
            }
            Step::Fps(fps) => {
                let clock = extent.clock(fps);
                let ticks = |frame: u32| u64::try_from(pts(frame).saturating_sub(pts(0))).unwrap_or(u64::MAX);
                let start = self.start(num_starts, draw, &|| keyframes().map(ticks).collect());
                let frames = clock.frames(start, self.frames, wraps, pts);
                let end = pts(0).saturating_add(extent.duration);
                let stands =
                    |frame: u32| if frame < last_frame { pts(frame + 1) } else { end }.saturating_sub(pts(frame));
                let may_jump = frames.iter().any(|&frame| clock.jump().may_be(stands(frame)));
                if may_jump && extent.num_frames <= MAX_FRAMES_WITH_JUMPS {
                    let all: Vec<i64> = (0..extent.num_frames).map(pts).collect();
                    if let Some(closed) = Closed::of(&all, end, clock.jump()) {
                        return Some(self.between_jumps(&closed, clock, draw, &|| keyframes().collect()));
                    }
                }
                frames
            }
        })
    }

    /// The frames of a window in a record whose times jump.
    fn between_jumps(&self, closed: &Closed, clock: Clock, draw: u64, keyframes: &dyn Fn() -> Vec<u32>) -> Vec<u32> {
        let pts = |frame: u32| closed.pts.get(frame as usize).copied().unwrap_or(closed.end);
        let first = pts(0);
        let clock = clock.with_duration(closed.end.saturating_sub(first));
        // First tick and number of starts of each part, or of all of it where none is long enough.
        let starts_in = |&(start, end): &(i64, i64)| (start as u64, clock.num_starts_before(self.frames, end - start));
        let mut runs: Vec<(u64, u64)> = closed.parts().iter().map(starts_in).filter(|run| run.1 > 0).collect();
        if runs.is_empty() {
            runs.push((0, clock.num_starts(self.frames)));
        }
        let num_starts = runs.iter().fold(0_u64, |sum, run| sum.saturating_add(run.1));
        // The starts are numbered across the runs.
        let number_of = |tick: u64| {
            let mut before = 0;
            for &(start, count) in &runs {
                if (start..start.saturating_add(count)).contains(&tick) {
                    return Some(before + (tick - start));
                }
                before += count;
            }
            None
        };
        let ticks = |frame: u32| number_of(u64::try_from(pts(frame).saturating_sub(first)).ok()?);
        let mut number = self.start(num_starts, draw, &|| keyframes().into_iter().filter_map(ticks).collect());
        let mut start = 0;
        for &(from, count) in &runs {
            start = from.saturating_add(number);
            if number < count {
                break;
            }
            number -= count;
        }
        clock.frames(start, self.frames, num_starts == 0 && self.short == ShortPolicy::Loop, &pts)
    }
}

/// Seconds with as many digits as people read.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extent(num_frames: u32, duration: i64, num: u32, den: u32) -> Extent {
        Extent { num_frames, duration, time_base: TimeBase::new(num, den).unwrap() }
    }

    fn cfr(num_frames: u32, den: u32) -> Extent {
        extent(num_frames, i64::from(num_frames), 1, den)
    }

    fn identity(frame: u32) -> i64 {
        i64::from(frame)
    }

    #[test]
    fn a_stride_counts_frames() {
        let window = Window::strided(3, 4).placement(Placement::Start);
        assert_eq!(window.select_from(cfr(9, 30), 0, &identity, &Vec::new).unwrap(), [0, 4, 8]);
        assert!(!window.fits(cfr(8, 30)));
        let center = window.placement(Placement::Center);
        assert_eq!(center.select_from(cfr(12, 30), 0, &identity, &Vec::new).unwrap(), [1, 5, 9]);
        let random = window.placement(Placement::Random);
        assert_eq!(random.select_from(cfr(12, 30), u64::MAX, &identity, &Vec::new).unwrap(), [3, 7, 11]);
    }

    #[test]
    fn keyframes_are_where_windows_may_start() {
        let keyframes = || vec![0, 5, 10, 15, 20];
        let starts = |window: Window, pts: &dyn Fn(u32) -> i64, extent: Extent| -> Vec<u32> {
            let window = window.placement(Placement::Keyframe);
            let draws = (0..64).map(|draw| draw << 58);
            let mut starts: Vec<u32> =
                draws.map(|draw| window.select_from(extent, draw, pts, &keyframes).unwrap()[0]).collect();
            starts.dedup();
            starts
        };
        // Twenty frames: the fifth GOP has none, and a window from frame 15 on does not fit.
        assert_eq!(starts(Window::strided(3, 3), &identity, cfr(20, 30)), [0, 5, 10]);
        assert_eq!(starts(Window::strided(20, 1), &identity, cfr(20, 30)), [0]);
        assert_eq!(starts(Window::strided(9, 3).short(ShortPolicy::Loop), &identity, cfr(20, 30)), [0]);
        // Of frames that stay on screen for 4 ticks, with timestamps from 100 on.
        let rate = Window::at_fps(3, 2.5).unwrap();
        let pts = |frame: u32| 100 + 4 * i64::from(frame);
        assert_eq!(starts(rate, &pts, extent(20, 80, 1, 30)), [0, 5, 10]);
        let selected =
            rate.placement(Placement::Keyframe).select_from(extent(20, 80, 1, 30), 1 << 63, &pts, &keyframes);
        assert_eq!(selected.unwrap(), [5, 8, 11]);
    }

    #[test]
    fn a_short_record_follows_its_policy() {
        let window = Window::strided(6, 2);
        assert_eq!(window.select_from(cfr(5, 30), 9, &identity, &Vec::new), None);
        let repeat = window.short(ShortPolicy::RepeatLast);
        assert_eq!(repeat.select_from(cfr(5, 30), 9, &identity, &Vec::new).unwrap(), [0, 2, 4, 4, 4, 4]);
        let looped = window.short(ShortPolicy::Loop);
        assert_eq!(looped.select_from(cfr(5, 30), 9, &identity, &Vec::new).unwrap(), [0, 2, 4, 1, 3, 0]);
        assert_eq!(looped.select_from(cfr(0, 30), 9, &identity, &Vec::new), None);
    }

    #[test]
    fn a_short_record_by_rate_follows_its_policy() {
        // 5 frames at 10 a second last half a second; the window wants 0, 0.2, 0.4, 0.6, 0.8.
        let window = Window::at_fps(5, 5.0).unwrap();
        assert_eq!(window.select_from(cfr(5, 10), 0, &identity, &Vec::new), None);
        let repeat = window.short(ShortPolicy::RepeatLast);
        assert_eq!(repeat.select_from(cfr(5, 10), 0, &identity, &Vec::new).unwrap(), [0, 2, 4, 4, 4]);
        let looped = window.short(ShortPolicy::Loop);
        assert_eq!(looped.select_from(cfr(5, 10), 0, &identity, &Vec::new).unwrap(), [0, 2, 4, 1, 3]);
    }

    #[test]
    fn a_rate_takes_the_frame_on_screen() {
        // 30 frames a second in ticks of a frame, 8 wanted: 0, 3.75, 7.5, 11.25 ticks.
        let window = Window::at_fps(4, 8.0).unwrap().placement(Placement::Start);
        assert_eq!(window.select_from(cfr(12, 30), 0, &identity, &Vec::new).unwrap(), [0, 3, 7, 11]);
        assert!(!window.fits(cfr(11, 30)), "11 frames end at 11.0, before 11.25");
    }

    #[test]
    fn variable_frame_rate_comes_out_right() {
        // Timestamps in milliseconds: a frame that stays on screen is taken as often as it is seen.
        let pts = [1000_i64, 1040, 1500, 1510, 1520, 2000];
        let window = Window::at_fps(10, 10.0).unwrap().placement(Placement::Start);
        let frames = window.select_from(extent(6, 1100, 1, 1000), 0, &|frame| pts[frame as usize], &Vec::new).unwrap();
        assert_eq!(frames, [0, 1, 1, 1, 1, 2, 4, 4, 4, 4]);
    }

    #[test]
    fn timestamps_rounded_to_milliseconds_lose_no_frame() {
        let pts = |frame: u32| (f64::from(frame) * 1000.0 / 30.0).round() as i64;
        let window = Window::at_fps(90, 30.0).unwrap().placement(Placement::Start);
        let frames = window.select_from(extent(90, 3000, 1, 1000), 0, &pts, &Vec::new).unwrap();
        assert_eq!(frames, (0..90).collect::<Vec<_>>());
    }

    #[test]
    fn a_window_by_rate_lies_between_jumps() {
        // Two seconds, an hour of nothing, two seconds; and the same where the last frame stands for ever.
        let mut pts: Vec<i64> = (0..50).map(|n| n * 40).collect();
        pts.extend((0..50).map(|n| 3_600_000 + n * 40));
        for duration in [3_602_000, 4_000_000_000] {
            let extent = extent(100, duration, 1, 1000);
            let keyframes = || vec![0, 30, 50, 80];
            let mut firsts = std::collections::BTreeSet::new();
            for placement in Placement::ALL {
                for draw in (0..64).map(|draw| draw << 58) {
                    let window = Window::at_fps(16, 12.5).unwrap().placement(*placement);
                    let frames = window.select_from(extent, draw, &|frame| pts[frame as usize], &keyframes).unwrap();
                    assert!(frames.windows(2).all(|pair| pair[1] - pair[0] == 2), "{placement:?}: {frames:?}");
                    assert!(frames[15] < 50 || frames[0] >= 50, "{placement:?}: {frames:?}");
                    firsts.insert((placement.as_str(), frames[0]));
                }
            }
            let firsts_of =
                |name: &str| firsts.iter().filter(|first| first.0 == name).map(|first| first.1).collect::<Vec<_>>();
            assert_eq!(firsts_of("keyframe"), [0, 50]);
            assert!(firsts_of("random").len() > 20, "{firsts:?}");
            // No part is long enough: jumps are passed over.
            let long = Window::at_fps(40, 12.5).unwrap();
            let frames = long.select_from(extent, 7 << 60, &|frame| pts[frame as usize], &keyframes).unwrap();
            assert!(frames.windows(2).all(|pair| pair[1] - pair[0] == 2), "{frames:?}");
            let repeated = Window::at_fps(80, 12.5).unwrap().short(ShortPolicy::RepeatLast);
            let frames = repeated.select_from(extent, 0, &|frame| pts[frame as usize], &keyframes).unwrap();
            assert_eq!(frames[..50], (0..100).step_by(2).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn windows_are_described_in_words() {
        assert_eq!(Window::strided(1, 4).to_string(), "1 frame at stride 4");
        assert_eq!(Window::at_fps(16, 8.0).unwrap().to_string(), "16 frames at 8 per second");
        assert_eq!(Window::at_fps(2, 1.0 / 3600.0).unwrap().to_string(), "2 frames at 0.000278 per second");
        assert_eq!(Window::at_fps(2, 29.97).unwrap().to_string(), "2 frames at 29.97 per second");
    }

    #[test]
    fn hostile_extents_do_not_panic() {
        let max = Ratio::new(u32::MAX, u32::MAX).unwrap();
        for step in [Step::Stride(Window::MAX_STRIDE), Step::Fps(max), Step::Fps(Ratio::new(1, u32::MAX).unwrap())] {
            for short in [ShortPolicy::Skip, ShortPolicy::RepeatLast, ShortPolicy::Loop] {
                for duration in [i64::MIN, -1, 0, 1, i64::MAX] {
                    let window = Window { step, short, ..Window::strided(3, 1) };
                    let extent = extent(u32::MAX, duration, u32::MAX, u32::MAX);
                    for pts in [i64::MIN, 0, i64::MAX] {
                        let _ = window.select_from(extent, u64::MAX, &|_| pts, &Vec::new);
                    }
                }
            }
        }
    }

    /// The definition, word by word, in fractions over a common denominator: `t * num_fps * tb_num` is a whole number.
    fn naive(window: &Window, fps: Ratio, pts: &[i64], duration: i64, tb: TimeBase, start: i64) -> Vec<u32> {
        let (p, q) = (i128::from(fps.den()) * i128::from(tb.den()), i128::from(fps.num()) * i128::from(tb.num()));
        let is_rounded = duration >= 2 * pts.len() as i64;
        (0..window.frames)
            .map(|index| {
                let t_times_2q = 2 * (i128::from(pts[0] + start) * q + i128::from(index) * p);
                let slack = if is_rounded { q } else { 0 };
                (0..pts.len()).rev().find(|&n| 2 * i128::from(pts[n]) * q <= t_times_2q + slack).unwrap() as u32
            })
            .collect()
    }

    proptest! {
        #[test]
        fn rates_agree_with_the_definition(
            gaps in prop::collection::vec(1_i64..200, 1..40), first in -500_i64..500, last in 1_i64..200,
            frames in 1_u32..20, rate in (1_u32..100_000, 1_u32..2000), den in 1_u32..2000, draw: u64,
        ) {
            let pts: Vec<i64> = std::iter::once(first)
                .chain(gaps.iter().scan(first, |at, gap| { *at += gap; Some(*at) })).collect();
            let duration = pts[pts.len() - 1] - first + last;
            let fps = Ratio::new(rate.0, rate.1).unwrap();
            let tb = TimeBase::new(1, den).unwrap();
            let window = Window { step: Step::Fps(fps), ..Window::strided(frames, 1) };
            let extent = Extent { num_frames: pts.len() as u32, duration, time_base: tb };
            // The starts, one by one: those whose last instant is before the end.
            let (p, q) = (i128::from(rate.1) * i128::from(den), i128::from(rate.0));
            let starts: Vec<i64> = (0..duration)
                .take_while(|&start| i128::from(start) * q + i128::from(frames - 1) * p < i128::from(duration) * q)
                .collect();
            prop_assert_eq!(window.num_starts(extent), starts.len() as u64);
            let selected = window.select_from(extent, draw, &|frame| pts[frame as usize], &Vec::new);
            if starts.is_empty() {
                prop_assert!(selected.is_none() && !window.fits(extent));
            } else {
                let start = starts[below(draw, starts.len() as u64) as usize];
                let (selected, plain) = (selected.unwrap(), naive(&window, fps, &pts, duration, tb, start));
                if selected != plain {
                    // Even steps, and each frame within the rounding of two timestamps.
                    let stride = selected[1] - selected[0];
                    prop_assert!(stride > 0 && selected.windows(2).all(|pair| pair[1] - pair[0] == stride));
                    for (index, (&frame, &other)) in selected.iter().zip(&plain).enumerate() {
                        let step = p * index as i128;
                        let from = i128::from(pts[frame as usize] - pts[selected[0] as usize]);
                        prop_assert!((from * q - step).abs() < q);
                        let later = i128::from(pts[frame.max(other) as usize] - pts[0] - start);
                        prop_assert!(frame == other || 2 * (later * q - step).abs() <= 3 * q);
                    }
                }
            }
        }

        #[test]
        fn strides_stay_inside(n in 1_u32..500, frames in 1_u32..40, stride in 1_u32..20, draw: u64) {
            let window = Window::strided(frames, stride);
            match window.select_from(cfr(n, 30), draw, &identity, &Vec::new) {
                None => prop_assert!((frames - 1) * stride >= n),
                Some(selected) => {
                    prop_assert_eq!(selected.len(), frames as usize);
                    prop_assert!(selected.windows(2).all(|pair| pair[1] - pair[0] == stride));
                    prop_assert!(selected[selected.len() - 1] < n);
                }
            }
        }
    }
}
