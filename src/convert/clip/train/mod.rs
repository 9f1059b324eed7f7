//! The profile `train`: every clip is encoded once more, for fast random access.
//!
//! The source is decoded once. While it is read, each frame that will be stored is resized ([`resize`]), encoded, decoded
//! again and compared ([`encoder`], [`quality`]). Which frames those are ([`choice`]) follows from the times that the source states;
//! only when everything was read is it known whether they were good, and where they were not, the source is decoded a
//! second time, by the times that the record has. The stored clip is then proved GOP by GOP as every other.

mod choice;
mod cost;
mod encoder;
mod options;
mod quality;
mod resize;
#[cfg(test)]
mod tests;
mod totals;

pub use options::{TrainOptions, TrainSize};
pub(in crate::convert) use totals::TrainTotals;
pub use totals::{TrainClipQuality, TrainReport, TrainWindowCost, WindowUse};

use super::mux::Presentation;
use super::reading::Reading;
use super::record_builder::Draft;
use super::reencode;
use crate::convert::source::changes::Appearance;
use crate::convert::source::cut;
use crate::convert::source::frame_observer::Tap;
use crate::convert::source::ingest;
use crate::convert::source::ingest::Given;
use crate::convert::source::opened::Source;
use crate::convert::{ClipOutput, ClipRequest};
use crate::ffmpeg;
use crate::ffmpeg::{StreamFacts, TrackFacts};
use crate::format::REENCODED_FOR_TRAINING;
use crate::media::{Clock, Codec, Orientation, PixelFormat, Ratio, StreamInfo, TimeBase};
use crate::{Error, ErrorKind, Result};
use choice::Instants;
use cost::{Measured, WindowLoad};
use encoder::{Encoded, Encoder};
use ffmpeg_next as ff;
use resize::Resizer;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is told of a clip besides its tables.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct TrainFacts {
    /// PSNR of luma over all frames, decibels, stored against resized.
    pub(crate) psnr_y: f64,
    /// PSNR of all samples.
    pub(crate) psnr: f64,
    /// For each stride of [`cost::STRIDES`].
    pub(crate) windows: [WindowLoad; 2],
}

/// Stores the frames of `request` at `mp4` as `options` want them.
pub(crate) fn convert(
    source: &mut Source,
    request: &ClipRequest,
    options: &TrainOptions,
    mp4: &Path,
    cancel: &dyn Fn() -> bool,
) -> Result<ClipOutput> {
    let mut live = Live::new(options, request, mp4, cancel);
    let reading = Reading::of(source, request, mp4, cancel, &mut live)?;
    let mut warnings = reading.warnings(source);
    warnings.extend(reading.losses(PixelFormat::YUV420P.depth));
    let shown = shown(&reading, request);
    let pts: Vec<i64> = (0..reading.ingest.frames.len()).filter_map(|frame| reading.frame_pts(frame)).collect();
    let rate = options.rate();
    let chosen = choice::chosen(&pts, reading.wanted.clone(), shown.end, rate, reading.time_base)?;
    let encoded = match live.finish(&chosen)? {
        Some(encoded) => encoded,
        None => encode_again(&reading, &chosen, request, options, mp4, cancel)?,
    };
    let (psnr_y, psnr) = (encoded.quality.psnr_y(), encoded.quality.psnr());
    let times = Times::of(&reading, shown, &chosen, rate)?;
    let decoding = encoded.decoding;
    let (stream, bytes) = store(encoded, &times, options, request, mp4, cancel)?;
    let tables = cost::source_tables(&reading.ingest, &source.facts.codec, reading.time_base);
    let before = tables.as_ref().map(|stream| Measured { stream, decoding: reading.ingest.decoding });
    let windows = cost::window_loads(before, Measured { stream: &stream, decoding }, &chosen);
    Ok(ClipOutput {
        stream,
        bytes,
        reencoded: Some(REENCODED_FOR_TRAINING.to_owned()),
        bytes_in: reading.packet_bytes(),
        warnings,
        stream_index: source.index,
        train: Some(TrainFacts { psnr_y, psnr, windows }),
    })
}

/// When the wanted frames are shown: until the cut ends, for the frame behind it may not have been read.
fn shown(reading: &Reading, request: &ClipRequest) -> Presentation {
    let Presentation { start, end } = reading.shown();
    let cut = request.end.map_or(i64::MAX, |end| reading.first_time.saturating_add(reading.time_base.ceil_ticks(end)));
    Presentation { start, end: end.min(cut) }
}

/// When the stored frames are shown.
struct Times {
    pts: Vec<i64>,
    shown: Presentation,
    time_base: TimeBase,
}

impl Times {
    /// Those of the source; or with a rate, ticks of one frame from 0 on.
    fn of(reading: &Reading, shown: Presentation, chosen: &[u32], rate: Option<Ratio>) -> Result<Self> {
        let Some(rate) = rate else {
            let pts = chosen.iter().filter_map(|&frame| reading.frame_pts(frame as usize)).collect();
            return Ok(Self { pts, shown, time_base: reading.time_base });
        };
        let time_base = TimeBase::new(rate.den(), rate.num()).ok_or_else(|| Error::invalid("fps is 0"))?;
        let count = chosen.len() as i64;
        Ok(Self { pts: (0..count).collect(), shown: Presentation { start: 0, end: count }, time_base })
    }
}

/// Writes and proves the MP4; the stream and its bytes.
fn store(
    encoded: Encoded,
    times: &Times,
    options: &TrainOptions,
    request: &ClipRequest,
    mp4: &Path,
    cancel: &dyn Fn() -> bool,
) -> Result<(StreamInfo, u64)> {
    let Encoded { kind, store, packets, parameters, crcs, .. } = encoded;
    let frame_pts = |frame: u32| times.pts.get(frame as usize).copied().unwrap_or(0);
    let (packets, frame_packets) = reencode::draft_packets(&packets, &store, frame_pts)?;
    let draft = Draft {
        codec: Codec::H264,
        packets,
        frame_packets,
        crcs: Some(crcs),
        is_damaged: false,
        is_doubted: false,
        only_sure: true,
        shown: times.shown,
        time_base: times.time_base,
        delay: 0,
        parameters,
        track: TrackFacts { sample_aspect: (1, 1), display_matrix: None },
        pixel_format: PixelFormat::YUV420P,
        size: (kind.size.1, kind.size.0),
        sample_aspect: Ratio::ONE,
        orientation: Orientation::UPRIGHT,
        color: kind.color,
    };
    let finished = draft.finish(&store, mp4, request.check, cancel)?;
    let stream = finished.stream;
    let whole = stream.gops.split_last().map_or(&[][..], |(_, whole)| whole);
    if finished.merged_gops > 0 || whole.iter().any(|gop| gop.num_packets != options.gop_frames) {
        return Err(Error::decode("the encoder did not keep to closed GOPs of the length that it was told"));
    }
    Ok((stream, finished.bytes))
}

/// Decodes the source a second time and encodes the frames `chosen`.
fn encode_again(
    reading: &Reading,
    chosen: &[u32],
    request: &ClipRequest,
    options: &TrainOptions,
    mp4: &Path,
    cancel: &dyn Fn() -> bool,
) -> Result<Encoded> {
    let mut source = Source::open(&request.source, request.stream)?;
    let stream = source.facts.clone();
    let mut maker = Maker::new(*options, stream, mp4, cancel);
    let mut left = chosen.iter().peekable();
    let mut sink = |given: &Given<'_>| {
        while left.next_if(|&&frame| frame as usize == given.number).is_some() {
            maker.store(given.number as u32, given.frame, given.sample_aspect)?;
        }
        Ok(())
    };
    let ingest = ingest::read(&mut source, reading.range, None, cancel, &mut sink)?;
    if ingest.is_none() || left.peek().is_some() {
        return Err(Error::decode("the source reads differently the second time"));
    }
    maker.finish()?.ok_or_else(|| Error::decode("no frame was encoded"))
}

/// Frames on their way from the decoder into packets.
struct Maker<'a> {
    options: TrainOptions,
    stream: StreamFacts,
    mp4: &'a Path,
    cancel: &'a dyn Fn() -> bool,
    tools: Option<(Resizer, Encoder)>,
    picture: Vec<u8>,
    /// Numbers of the frames that were encoded, in order.
    stored: Vec<u32>,
}

impl<'a> Maker<'a> {
    fn new(options: TrainOptions, stream: StreamFacts, mp4: &'a Path, cancel: &'a dyn Fn() -> bool) -> Self {
        Self { options, stream, mp4, cancel, tools: None, picture: Vec::new(), stored: Vec::new() }
    }

    /// Encodes frame `number`, which may be the one before again. The first one says what all of them are made like.
    fn store(&mut self, number: u32, frame: &ff::frame::Video, sample_aspect: (i32, i32)) -> Result<()> {
        // One frame of the source may be many here.
        if (self.cancel)() {
            return Err(Error::new(ErrorKind::Closed, "cancelled"));
        }
        let (resizer, encoder) = match &mut self.tools {
            Some(tools) => tools,
            none => {
                let first = Appearance { facts: ffmpeg::frame_facts(frame), sample_aspect };
                let resizer = Resizer::new(&first, &self.stream, &self.options)?;
                let TrainOptions { gop_frames, crf, .. } = self.options;
                let encoder = Encoder::open(resizer.kind(), gop_frames, crf, self.mp4)?;
                none.insert((resizer, encoder))
            }
        };
        if self.stored.last() != Some(&number) {
            resizer.resize(frame, &mut self.picture)?;
        }
        encoder.push(&self.picture)?;
        self.stored.push(number);
        Ok(())
    }

    /// `None` where nothing was encoded.
    fn finish(self) -> Result<Option<Encoded>> {
        self.tools.map(|(_, encoder)| encoder.finish()).transpose()
    }
}

/// Encodes while the source is read, by the times that its packets state.
struct Live<'a> {
    options: TrainOptions,
    request: &'a ClipRequest,
    mp4: &'a Path,
    cancel: &'a dyn Fn() -> bool,
    run: Option<Run<'a>>,
}

/// One reading. There is none any more once it is sure that its frames are not the right ones.
struct Run<'a> {
    maker: Maker<'a>,
    time_base: TimeBase,
    /// Usual ticks between two frames.
    interval: f64,
    /// Time of the source's first frame.
    first: Option<i64>,
    instants: Option<Instants>,
    /// The last wanted frame, with a rate: how often it is stored depends on when the next one comes.
    held: Option<Held>,
}

/// A frame that is kept.
struct Held {
    number: u32,
    pts: i64,
    sample_aspect: (i32, i32),
    frame: ff::frame::Video,
}

impl<'a> Live<'a> {
    fn new(options: &TrainOptions, request: &'a ClipRequest, mp4: &'a Path, cancel: &'a dyn Fn() -> bool) -> Self {
        Self { options: *options, request, mp4, cancel, run: None }
    }

    /// What was encoded, where it is the frames `chosen`.
    fn finish(self, chosen: &[u32]) -> Result<Option<Encoded>> {
        let Some(Run { mut maker, held, .. }) = self.run else { return Ok(None) };
        let Some(missing) = chosen.strip_prefix(maker.stored.as_slice()) else { return Ok(None) };
        for &number in missing {
            match &held {
                Some(held) if held.number == number => maker.store(number, &held.frame, held.sample_aspect)?,
                _ => return Ok(None),
            }
        }
        maker.finish()
    }
}

impl Tap for Live<'_> {
    fn keeps_packets(&self) -> bool {
        false
    }

    fn begin(&mut self, source: &Source, first_time: Option<i64>) {
        self.run = Some(Run {
            maker: Maker::new(self.options, source.facts.clone(), self.mp4, self.cancel),
            time_base: source.time_base,
            interval: source.interval,
            first: first_time,
            instants: None,
            held: None,
        });
    }

    fn frame(&mut self, given: &Given<'_>) -> Result<()> {
        let Some(run) = &mut self.run else { return Ok(()) };
        if !run.frame(given, self.request, self.options.rate())? {
            self.run = None;
        }
        Ok(())
    }
}

impl Run<'_> {
    /// False where the times do not say whether the frame is wanted.
    fn frame(&mut self, given: &Given<'_>, request: &ClipRequest, rate: Option<Ratio>) -> Result<bool> {
        let number = given.number as u32;
        if rate.is_none() && request.start.is_none() && request.end.is_none() {
            self.maker.store(number, given.frame, given.sample_aspect)?;
            return Ok(true);
        }
        let Some(pts) = given.pts else { return Ok(false) };
        let first = *self.first.get_or_insert(pts);
        let at = |seconds: f64| first.saturating_add(self.time_base.ceil_ticks(seconds));
        let end = request.end.map_or(i64::MAX, at);
        let is_behind = |bound: f64| {
            bound <= 0.0 || pts >= first.saturating_add(cut::earliest(self.time_base, self.interval, bound))
        };
        let is_wanted = request.start.is_none_or(is_behind) && !request.end.is_some_and(is_behind);
        let Some(rate) = rate else {
            if is_wanted {
                self.maker.store(number, given.frame, given.sample_aspect)?;
            }
            return Ok(true);
        };
        if let Some((held, instants)) = self.held.take().zip(self.instants.as_mut()) {
            if instants.may_jump(pts.saturating_sub(held.pts)) {
                return Ok(false);
            }
            let Ok(count) = instants.before(pts.min(end)) else { return Ok(false) };
            for _ in 0..count {
                self.maker.store(held.number, &held.frame, held.sample_aspect)?;
            }
        }
        if is_wanted {
            // Whether ticks are fine is decided by the whole record; the usual interval foretells it.
            let clock = Clock::new(rate, 1, self.interval as i64, self.time_base);
            self.instants.get_or_insert_with(|| Instants::new(clock, pts));
            let Given { sample_aspect, frame, .. } = *given;
            self.held = Some(Held { number, pts, sample_aspect, frame: frame.clone() });
        }
        Ok(true)
    }
}
