//! The frame on screen: which frames of a record a rate in frames per second takes. Integer arithmetic on ticks.
//!
//! Timestamps are themselves rounded to ticks: at 30 frames a second and a tick of a millisecond, frames 0, 1, 2 are
//! stamped 0, 33, 67, and the frame meant for 66.67 would be missed by a hair, and frame 1 taken twice. So where a record's
//! frames are 8 ticks long or longer on average, a frame counts as on screen from half a tick before its timestamp. Where ticks
//! are coarse (often one tick is one frame), they are taken as exact.

use super::{Ratio, TimeBase};

/// Durations are clamped to this many ticks, so that no product below overflows 128 bits.
const MAX_TICKS: i64 = 1 << 60;
/// Average ticks per frame from which timestamps count as rounded.
const FINE_TICKS_PER_FRAME: i64 = 8;

/// The instants of a rate in a record's ticks. One step is `num / den` ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    num: i128,
    den: i128,
    duration: i64,
    has_fine_ticks: bool,
}

impl Clock {
    /// Instants `fps` a second in a record of `num_frames` frames that takes `duration` ticks.
    pub(crate) fn new(fps: Ratio, num_frames: u32, duration: i64, time_base: TimeBase) -> Self {
        let duration = duration.clamp(1, MAX_TICKS);
        Self {
            num: i128::from(fps.den()) * i128::from(time_base.den()),
            den: i128::from(fps.num()) * i128::from(time_base.num()),
            duration,
            has_fine_ticks: duration / i64::from(num_frames.max(1)) >= FINE_TICKS_PER_FRAME,
        }
    }

    /// The last tick, counted from the first frame's timestamp, that a timestamp may have whose frame is on screen at
    /// instant `index` after tick `start`; instants beyond the record begin again at its first frame where it `wraps`.
    pub(crate) fn tick(&self, start: u64, index: u64, wraps: bool) -> i64 {
        let mut instant = i128::from(start) * self.den + i128::from(index) * self.num;
        if wraps {
            instant %= i128::from(self.duration) * self.den;
        }
        let tick = if self.has_fine_ticks { (2 * instant + self.den) / (2 * self.den) } else { instant / self.den };
        i64::try_from(tick).unwrap_or(i64::MAX)
    }

    /// How many ticks there are at which a window of `frames` instants may start: those whose last instant is before the
    /// record's end.
    pub(crate) fn num_starts(&self, frames: u32) -> u64 {
        let room = i128::from(self.duration) * self.den - i128::from(frames.saturating_sub(1)) * self.num;
        if room <= 0 { 0 } else { ((room + self.den - 1) / self.den) as u64 }
    }
}
