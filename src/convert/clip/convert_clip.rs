//! One clip of one source, stored as a playable MP4 with its tables: the media side of conversion.

use super::reading::{Reading, named};
use super::train::{self, TrainFacts, TrainOptions};
use crate::convert::source::changes::OnChange;
use crate::convert::source::frame_observer::Tap;
use crate::convert::source::ingest;
use crate::convert::source::ingest::{FrameSink, Given, Range};
use crate::convert::source::opened::Source;
use crate::convert::source::source_file;
use crate::convert::source::streams::StreamChoice;
use crate::ffmpeg::FrameFacts;
use crate::ffmpeg::log::Listening;
use crate::media::{ColorSpec, PixelFormat, StreamInfo};
use crate::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// How thoroughly a converted clip is proved before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckLevel {
    /// The source's packets are decoded, then every GOP of the stored clip is decoded alone, and all frames must be equal: to the
    /// source's, or, where they were encoded anew, to those of the encoded packets decoded in order.
    #[default]
    Full,
    /// The source's packets are decoded once; GOPs are believed where the bitstream confirms them, and FFmpeg has no complaint.
    Fast,
}

/// What a look at a source's headers tells. Nothing of it is promised by the file: counts are known after conversion only.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub(crate) struct SourceInfo {
    /// Duration in seconds as the container states it.
    pub duration_seconds: Option<f64>,
    /// Index of the chosen video stream among the file's streams.
    pub stream_index: usize,
    /// How many video streams there are that somebody might have meant, attached pictures excluded.
    pub num_video_streams: usize,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Width of the decoded picture before rotation, 0 where the headers do not say.
    pub width: u32,
    /// Height of the decoded picture before rotation, 0 where the headers do not say.
    pub height: u32,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bits per second of the video stream or the file, as stated or estimated by the container.
    pub bit_rate: Option<u64>,
}

/// Which part of which file to store.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ClipRequest {
    /// The file.
    pub source: PathBuf,
    /// Which of its streams.
    pub stream: StreamChoice,
    /// Start in seconds after the first frame; `None` is the first frame.
    pub start: Option<f64>,
    /// End in seconds after the first frame, exclusive; `None` is after the last frame.
    pub end: Option<f64>,
    /// How thoroughly to prove the result.
    pub check: CheckLevel,
    /// What to do where the picture changes on the way.
    pub on_change: OnChange,
    /// Encode the frames anew in this way; `None` keeps their packets.
    pub train: Option<TrainOptions>,
    /// The frames will be stored as a tensor of 8-bit samples, and the MP4 not at all.
    pub is_raw: bool,
}

/// A stored clip.
#[derive(Debug, Clone)]
pub(crate) struct ClipOutput {
    /// Everything about the stream; offsets are relative to the MP4's first byte, all checksums are filled in.
    pub stream: StreamInfo,
    /// Bytes of the MP4.
    pub bytes: u64,
    /// Why the pictures were encoded anew; `None` where the source's packets were copied.
    pub reencoded: Option<String>,
    /// Bytes of the source's packets of this clip.
    pub bytes_in: u64,
    /// What a person should know about this source.
    pub warnings: Vec<String>,
    /// Index of the chosen video stream among the file's streams.
    pub stream_index: usize,
    /// With the profile `train`.
    pub(crate) train: Option<TrainFacts>,
}

/// Looks at the headers of `path`: no frame is decoded beyond what finding the streams takes.
pub(crate) fn probe(path: &Path, stream: StreamChoice) -> Result<SourceInfo> {
    let _listening = Listening::begin();
    let source = source_file::watched(|| Source::open(path, stream))?;
    Ok(SourceInfo {
        duration_seconds: source.duration_seconds,
        stream_index: source.index,
        num_video_streams: source.num_video_streams,
        codec: source.facts.codec.clone(),
        width: source.facts.width,
        height: source.facts.height,
        file_bytes: source.file_bytes,
        bit_rate: source.facts.bit_rate,
    })
}

/// Stores the frames of `request` at `mp4_path`, which is created or overwritten. `cancel` is asked often; when it
/// returns true the call ends with [`crate::ErrorKind::Closed`].
pub(crate) fn convert_clip(request: &ClipRequest, mp4_path: &Path, cancel: &dyn Fn() -> bool) -> Result<ClipOutput> {
    check_times(request)?;
    let _listening = Listening::begin();
    let path = &request.source;
    let mut source = Source::open(path, request.stream)?;
    if !source.facts.decodable {
        return Err(Error::unsupported(format!("this FFmpeg has no decoder for {}", named(&source))).with_path(path));
    }
    if let Some(options) = &request.train {
        return train::convert(&mut source, request, options, mp4_path, cancel).map_err(|error| error.with_path(path));
    }
    let reading = Reading::of(&mut source, request, mp4_path, cancel, &mut ())?;
    let mut warnings = reading.warnings(&source);
    let mut reason = reading.not_copyable(&source.facts.codec);
    let mut finished = None;
    if reason.is_none() {
        match reading.copy(&source, mp4_path, request, cancel) {
            Ok(copied) => finished = Some(copied),
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Decode) => {
                reason = Some(format!("its packets do not play the same from an MP4: {}", error.message()));
            }
            Err(error) => return Err(error.with_path(path)),
        }
    }
    let is_copied = finished.is_some();
    let finished = match finished {
        Some(finished) => finished,
        None => reading.reencode(mp4_path, request, cancel).map_err(|error| error.with_path(path))?,
    };
    if finished.merged_gops > 0 {
        warnings.push(match finished.merged_gops {
            1 => "a keyframe is none: decoding cannot start there".to_owned(),
            count => format!("{count} keyframes are none: decoding cannot start there"),
        });
    }
    if request.is_raw || !is_copied {
        warnings.extend(reading.losses(if request.is_raw { 8 } else { finished.stream.pixel_format.depth }));
    }
    Ok(ClipOutput {
        stream: finished.stream,
        bytes: finished.bytes,
        reencoded: reason,
        bytes_in: reading.packet_bytes(),
        warnings,
        stream_index: source.index,
        train: None,
    })
}

/// A source that is read once more for its frames.
pub(crate) struct SourceFrames<'a> {
    request: &'a ClipRequest,
    reading: Reading,
}

impl<'a> SourceFrames<'a> {
    /// Of `request`, as [`convert_clip`] read it to store it beside `mp4_path`.
    pub(crate) fn open(request: &'a ClipRequest, mp4_path: &Path, cancel: &dyn Fn() -> bool) -> Result<Self> {
        let _listening = Listening::begin();
        let mut source = Source::open(&request.source, request.stream)?;
        let reading = Reading::of(&mut source, request, mp4_path, cancel, &mut ())?;
        Ok(Self { request, reading })
    }

    /// The samples of its pictures as planes, and their colour.
    pub(crate) fn pictures(&self) -> Result<(PixelFormat, ColorSpec)> {
        self.reading.pictures().map_err(|error| error.with_path(&self.request.source))
    }

    /// Hands each frame to `sink` with its number among those of the request.
    pub(crate) fn read(&self, cancel: &dyn Fn() -> bool, sink: &mut FrameSink<'_>) -> Result<()> {
        let _listening = Listening::begin();
        let path = &self.request.source;
        self.reading.frames(self.request, cancel, sink).map_err(|error| error.with_path(path))
    }
}

/// When the frames of `request` are shown, in seconds after the source's first one, as [`convert_clip`] stores them.
pub(crate) fn frame_seconds(request: &ClipRequest, cancel: &dyn Fn() -> bool) -> Result<Vec<f64>> {
    let _listening = Listening::begin();
    let path = &request.source;
    let mut source = Source::open(path, request.stream)?;
    // Nothing is kept, so nothing is written beside the file that is named here.
    let reading = Reading::of(&mut source, request, path, cancel, &mut TimesOnly)?;
    let pts = (0..reading.ingest.frames.len()).filter_map(|frame| reading.frame_pts(frame));
    Ok(pts.map(|pts| reading.time_base.seconds(pts.saturating_sub(reading.first_time))).collect())
}

/// A reading whose packets and frames are not kept.
struct TimesOnly;

impl Tap for TimesOnly {
    fn keeps_packets(&self) -> bool {
        false
    }

    fn begin(&mut self, _: &Source, _: Option<i64>) {}

    fn frame(&mut self, _: &Given<'_>) -> Result<()> {
        Ok(())
    }
}

/// What the first picture of `path` says of itself; `None` where there is none.
pub(crate) fn first_picture(
    path: &Path,
    stream: StreamChoice,
    cancel: &dyn Fn() -> bool,
) -> Result<Option<FrameFacts>> {
    let _listening = Listening::begin();
    let mut source = Source::open(path, stream)?;
    let range = Range { first_frame_only: true, ..Range::default() };
    let ingest = ingest::read(&mut source, range, None, cancel, &mut |_| Ok(()))?.unwrap_or_default();
    Ok(ingest.appearances.first().map(|look| look.facts.clone()))
}

/// When the picture of a source changes, in seconds after its first frame. Decodes all of it.
pub(crate) fn change_seconds(request: &ClipRequest, cancel: &dyn Fn() -> bool) -> Result<Vec<f64>> {
    let path = &request.source;
    let mut source = Source::open(path, request.stream)?;
    Ok(Reading::of(&mut source, request, path, cancel, &mut TimesOnly)?.change_seconds())
}

fn check_times(request: &ClipRequest) -> Result<()> {
    let times = [("start", request.start), ("end", request.end)];
    for (name, time) in times {
        if time.is_some_and(|time| !time.is_finite() || time < 0.0) {
            return Err(Error::invalid(format!("{name} must be a number of seconds, at least 0")));
        }
    }
    if let (start, Some(end)) = (request.start.unwrap_or(0.0), request.end)
        && end <= start
    {
        return Err(Error::invalid(format!("cut from {start} s to {end} s is empty")).with_path(&request.source));
    }
    Ok(())
}
