//! A source file, opened: which of its streams is the video, what it says of itself, and whether it is a video at all.

use super::av::{self, StreamFacts};
use crate::media::TimeBase;
use crate::{Error, ErrorKind, Result};
use ffmpeg_next as ff;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// An opened source.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) input: ff::format::context::Input,
    pub(super) index: usize,
    pub(super) facts: StreamFacts,
    pub(super) time_base: TimeBase,
    /// Usual ticks between two frames.
    pub(super) interval: f64,
    pub(super) file_bytes: u64,
    /// Video streams, attached pictures excluded.
    pub(super) num_video_streams: usize,
    pub(super) duration_seconds: Option<f64>,
    /// When to give up.
    pub(super) deadline: Instant,
}

/// The time that one clip may take: half an hour, and a minute for every megabyte of the file. Ordinary sources need a
/// hundredth of it; what needs more is made to.
pub(super) fn deadline(file_bytes: u64) -> Instant {
    Instant::now() + Duration::from_secs(1800 + (file_bytes >> 20).min(1 << 20) * 60)
}

impl Source {
    /// Opens `path` and chooses its video stream.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|error| Error::io("open", path, error))?;
        if metadata.is_dir() {
            return Err(Error::invalid("is a folder, not a video").with_path(path));
        }
        if !metadata.is_file() {
            return Err(Error::invalid("is not a regular file").with_path(path));
        }
        if metadata.len() == 0 {
            return Err(Error::corrupt("the file is empty").with_path(path));
        }
        std::fs::File::open(path).map_err(|error| Error::io("open", path, error))?;
        let deadline = deadline(metadata.len());
        let mut input = av::open_input(path, deadline, false).map_err(|error| explain(path, &error))?;
        if matches!(input.format().name(), "tty" | "lrc" | "srt" | "webvtt" | "ass") {
            return Err(Error::unsupported("is a text file, not a video").with_path(path));
        }
        let index = choose(&input).ok_or_else(|| Error::unsupported("has no video stream").with_path(path))?;
        let num_video_streams = video_streams(&input).count();
        let stream = input.stream(index).ok_or_else(|| Error::unsupported("has no video stream").with_path(path))?;
        let facts = av::stream_facts(&stream);
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
        let duration_seconds = if stream.duration() > 0 {
            Some(time_base.seconds(stream.duration()))
        } else {
            (input.duration() > 0).then(|| input.duration() as f64 / 1e6)
        };
        av::discard_others(&mut input, index);
        Ok(Self {
            path: path.to_owned(),
            input,
            index,
            facts,
            time_base,
            interval,
            file_bytes: metadata.len(),
            num_video_streams,
            duration_seconds,
            deadline,
        })
    }

    /// The decoder configuration of the chosen stream, as found.
    pub(super) fn parameters(&self) -> Result<ff::codec::Parameters> {
        let stream = self.input.stream(self.index);
        Ok(stream.ok_or_else(|| Error::corrupt("the video stream is gone").with_path(&self.path))?.parameters())
    }

    /// Ends the call where the budget is used up or the caller wants it.
    pub(super) fn check_budget(&self, cancel: &dyn Fn() -> bool) -> Result<()> {
        if cancel() {
            return Err(Error::new(ErrorKind::Closed, "cancelled"));
        }
        if Instant::now() > self.deadline {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "converting takes longer than any ordinary file of its size",
            )
            .with_path(&self.path));
        }
        Ok(())
    }
}

fn video_streams(input: &ff::format::context::Input) -> impl Iterator<Item = ff::format::stream::Stream<'_>> {
    input.streams().filter(|stream| {
        stream.parameters().medium() == ff::media::Type::Video
            && !stream.disposition().contains(ff::format::stream::Disposition::ATTACHED_PIC)
    })
}

/// FFmpeg's best video stream; where that is an attached picture, the largest other one.
fn choose(input: &ff::format::context::Input) -> Option<usize> {
    let best = input.streams().best(ff::media::Type::Video).map(|stream| stream.index());
    let others = || video_streams(input).map(|stream| stream.index());
    best.filter(|&best| others().any(|index| index == best)).or_else(|| {
        let pixels = |stream: &ff::format::stream::Stream<'_>| {
            let facts = av::stream_facts(stream);
            u64::from(facts.width) * u64::from(facts.height)
        };
        // Of equals the first, as FFmpeg does.
        video_streams(input)
            .map(|stream| (pixels(&stream), stream.index()))
            .max_by_key(|&(pixels, index)| (pixels, std::cmp::Reverse(index)))
            .map(|(_, index)| index)
    })
}

/// Why a file could not be opened, in words that name the cause where it can be told.
fn explain(path: &Path, error: &Error) -> Error {
    use std::io::Read as _;
    let message = error.message();
    let mut head = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(4096).read_to_end(&mut head);
    }
    if error.kind() == ErrorKind::Unsupported {
        return Error::unsupported(message).with_path(path);
    }
    let is_text = !head.is_empty() && std::str::from_utf8(&head).is_ok_and(|text| !text.contains('\0'));
    if is_text {
        return Error::unsupported("is a text file, not a video").with_path(path);
    }
    if message.contains("moov atom not found") {
        return Error::corrupt("truncated: the index of the MP4 (moov) is missing").with_path(path);
    }
    let known = [(4, b"ftyp".as_slice()), (0, b"\x1aE\xdf\xa3"), (0, b"RIFF"), (0, b"FLV")];
    if known.iter().any(|(at, magic)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic))) {
        return Error::corrupt(format!("truncated or damaged: {message}")).with_path(path);
    }
    Error::unsupported(format!("is not a video that FFmpeg knows: {message}")).with_path(path)
}
