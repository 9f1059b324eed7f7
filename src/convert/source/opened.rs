//! A source file, opened: which of its streams is the video, what it says of itself, and whether it is a video at all.

use super::ingest::ENCRYPTED;
use super::reasons;
use super::source_file::{self, SourceFile};
use super::streams::{self, Chosen, StreamChoice};
use crate::ffmpeg;
use crate::ffmpeg::StreamFacts;
use crate::media::TimeBase;
use crate::{Error, ErrorKind, Result};
use ffmpeg_next as ff;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// An opened source.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) input: ff::format::context::Input,
    pub(crate) index: usize,
    pub(crate) facts: StreamFacts,
    pub(crate) time_base: TimeBase,
    /// Usual ticks between two frames.
    pub(crate) interval: f64,
    pub(crate) file_bytes: u64,
    /// Video streams that somebody might have meant; 1 where one was asked for.
    pub(crate) num_video_streams: usize,
    pub(crate) duration_seconds: Option<f64>,
    /// Length of the video stream as the container states it.
    pub(crate) stream_ticks: Option<i64>,
    /// When to give up.
    pub(crate) deadline: Instant,
}

/// The time that one clip may take: half an hour, and a minute for every megabyte of the file. Ordinary sources need a
/// hundredth of it; what needs more is made to.
pub(crate) fn deadline(file_bytes: u64) -> Instant {
    Instant::now() + Duration::from_secs(1800 + (file_bytes >> 20).min(1 << 20) * 60)
}

impl Source {
    /// Opens `path` and chooses its video stream.
    pub(crate) fn open(path: &Path, choice: StreamChoice) -> Result<Self> {
        let file_bytes = SourceFile::open(path)?.len();
        let deadline = deadline(file_bytes);
        let mut input = source_file::open_input(path, deadline, false)
            .map_err(|error| reasons::of_opening(path, error).with_path(path))?;
        if matches!(input.format().name(), "tty" | "lrc" | "srt" | "webvtt" | "ass") {
            let text = Error::unsupported("is a text file, not a video");
            return Err(reasons::of_no_stream(path, text).with_path(path));
        }
        let Chosen { index, num_streams } = streams::choose(&input, choice).map_err(|error| {
            let has_video = input.streams().any(|stream| stream.parameters().medium() == ff::media::Type::Video);
            let error = if has_video { error } else { reasons::of_no_stream(path, error) };
            error.with_path(path)
        })?;
        let stream = input.stream(index).ok_or_else(|| Error::unsupported("has no video stream").with_path(path))?;
        let facts = ffmpeg::stream_facts(&stream);
        if facts.is_encrypted {
            return Err(Error::unsupported(ENCRYPTED).with_path(path));
        }
        if let Some(error) = reasons::of_dolby_vision(&facts.dolby_vision) {
            return Err(error.with_path(path));
        }
        let base = stream.time_base();
        let time_base = u32::try_from(base.numerator())
            .ok()
            .zip(u32::try_from(base.denominator()).ok())
            .and_then(|(num, den)| TimeBase::new(num, den))
            .ok_or_else(|| Error::corrupt(format!("time base {base} is not positive")).with_path(path))?;
        let rate = [stream.avg_frame_rate(), stream.rate()]
            .into_iter()
            .find(|rate| rate.numerator() > 0 && rate.denominator() > 0)
            .map_or(25.0, f64::from);
        let interval = 1.0 / (rate * time_base.seconds(1));
        let stream_ticks = Some(stream.duration()).filter(|&ticks| ticks > 0);
        let duration_seconds = match stream_ticks {
            Some(ticks) => Some(time_base.seconds(ticks)),
            None => (input.duration() > 0).then(|| input.duration() as f64 / 1e6),
        };
        ffmpeg::discard_others(&mut input, index);
        Ok(Self {
            path: path.to_owned(),
            input,
            index,
            facts,
            time_base,
            interval,
            file_bytes,
            num_video_streams: if choice == StreamChoice::Best { num_streams } else { 1 },
            duration_seconds,
            stream_ticks,
            deadline,
        })
    }

    /// The decoder configuration of the chosen stream, as found: a copy, so that what is changed in it does not reach
    /// the demuxer.
    pub(crate) fn parameters(&self) -> Result<ff::codec::Parameters> {
        let stream = self.input.stream(self.index);
        Ok(stream.ok_or_else(|| Error::corrupt("the video stream is gone").with_path(&self.path))?.parameters().clone())
    }

    /// Ends the call where the budget is used up or the caller wants it.
    pub(crate) fn check_budget(&self, cancel: &dyn Fn() -> bool) -> Result<()> {
        if cancel() {
            return Err(Error::new(ErrorKind::Closed, "cancelled"));
        }
        if Instant::now() > self.deadline {
            return Err(source_file::out_of_time().with_path(&self.path));
        }
        Ok(())
    }
}
