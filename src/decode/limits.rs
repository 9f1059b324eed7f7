//! What decoding one clip may cost, and what it did cost.

use crate::threads::thread_time;
use crate::{Error, ErrorKind, Result};
use std::time::{Duration, Instant};

/// The time that one call has taken: processor time of the calling thread, so that a busy machine does not use up a clip's budget.
/// The clock on the wall is asked first. It is never behind, and costs a tenth.
#[derive(Debug)]
pub(super) struct Stopwatch {
    timeout: Option<Duration>,
    started: Instant,
    used_before: Duration,
}

impl Stopwatch {
    pub(super) fn start(timeout: Option<Duration>) -> Self {
        let used_before = timeout.map_or(Duration::ZERO, |_| thread_time());
        Self { timeout, started: Instant::now(), used_before }
    }

    /// # Errors
    /// `LimitExceeded` that blames the machine, where the time is used up.
    pub(super) fn check(&self) -> Result<()> {
        let Some(timeout) = self.timeout.filter(|&timeout| self.started.elapsed() > timeout) else { return Ok(()) };
        if thread_time().saturating_sub(self.used_before) <= timeout {
            return Ok(());
        }
        let message = format!("decoding took longer than {} s of processor time", timeout.as_secs_f64());
        Err(Error::new(ErrorKind::LimitExceeded, message).of_machine())
    }
}

/// The budget of one [`super::ClipDecoder::decode`] call. Whatever goes beyond ends it with
/// [`crate::ErrorKind::LimitExceeded`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeLimits {
    /// Packets that may be fed. Known from the plan, so too long a clip costs nothing. Default 100,000 (an hour of video
    /// without a random access point).
    pub max_packets: u64,
    /// Bytes of the packets that may be fed, and of what is read from the file to get them. Known from the plan, so that a
    /// clip beyond it is neither read nor held in memory. Default 2^30, which is 1 GiB.
    pub max_bytes: u64,
    /// Frames that the decoder may give, wanted or not. Default 100,000.
    pub max_decoded_frames: u64,
    /// Width times height of one picture, as the codec stores it. A header that claims more allocates nothing. Default
    /// 2^26, which is 8192 by 8192.
    pub max_pixels: u64,
    /// Processor time of the calling thread, looked at between packets and between frames; `None` is no limit. Default 2 minutes,
    /// far beyond any sound clip. Time says something about the machine as well, so a loader tries such a clip once more with as
    /// much time, and then raises the error under every policy.
    pub timeout: Option<Duration>,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_packets: 100_000,
            max_bytes: 1 << 30,
            max_decoded_frames: 100_000,
            max_pixels: crate::ffmpeg::MAX_PIXELS,
            timeout: Some(Duration::from_secs(120)),
        }
    }
}

impl DecodeLimits {
    /// Sets [`Self::max_packets`].
    #[must_use]
    pub fn max_packets(mut self, packets: u64) -> Self {
        self.max_packets = packets;
        self
    }

    /// Sets [`Self::max_bytes`].
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets [`Self::max_decoded_frames`].
    #[must_use]
    pub fn max_decoded_frames(mut self, frames: u64) -> Self {
        self.max_decoded_frames = frames;
        self
    }

    /// Sets [`Self::max_pixels`].
    #[must_use]
    pub fn max_pixels(mut self, pixels: u64) -> Self {
        self.max_pixels = pixels;
        self
    }

    /// Sets [`Self::timeout`].
    #[must_use]
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }
}

/// What one [`super::ClipDecoder::decode`] call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DecodeStats {
    /// Packets fed.
    pub packets: u64,
    /// Bytes of these packets.
    pub packet_bytes: u64,
    /// Frames that the decoder gave.
    pub decoded_frames: u64,
    /// Different frames handed to the sink.
    pub delivered_frames: u64,
    /// Frames handed to the sink that the decoder flagged as damaged. They are what a decode of the whole record gives too.
    pub flagged_frames: u64,
    /// Packets that the decoder refused. The frames that were wanted came out all the same.
    pub refused_packets: u64,
    /// Decoders opened; 0 where one could be used again.
    pub decoders_opened: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_uses_up_no_time_and_work_does() {
        let limit = Duration::from_millis(20);
        let watch = Stopwatch::start(Some(limit));
        std::thread::sleep(3 * limit);
        watch.check().unwrap();
        let begin = thread_time();
        let mut number = 1_u64;
        while thread_time() < begin + 2 * limit {
            number = std::hint::black_box(number.wrapping_mul(3));
        }
        let error = watch.check().unwrap_err();
        assert!(error.is_out_of_time() && !error.is_data_error(), "{error}");
        Stopwatch::start(None).check().unwrap();
    }
}
