//! Decodes clips, one after another, on the calling thread, with decoders that stay open in between.
//!
//! After an error of any kind, a reached limit or a cancellation the decoder in use is closed; the next clip gets a new
//! one, so that a bad clip leaves nothing behind: so it does after a picture that the decoder says is damaged. At most one decoded frame is held outside the decoder.

use super::limits::Stopwatch;
use super::plan::{DecodePlan, Segment, Wanted};
use super::{DecodeLimits, DecodeStats};
use crate::ffmpeg::{AvError, CodecContext, DecodedFrame, Fill, OpenOptions, Received};
use crate::media::nal::{begins_by_idr, nal_length};
use crate::media::{Codec, FrameView, PixelFormat, StreamInfo};
use crate::{Error, ErrorKind, Result};

/// Where a decoder finds the bytes of a record's packets.
pub trait PacketSource {
    /// The bytes of packet `index`, checked against its CRC. Called with the plan's packets, in their order, and before that with those that begin
    /// GOPs of the profile `train`; never blocks for long, since the bytes were read before.
    fn packet(&self, index: u32) -> Result<&[u8]>;
}

/// How a [`ClipDecoder`] works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecoderOptions {
    /// How many decoders stay open, the least recently used is closed for a new one. Each holds the memory of its reference
    /// pictures. 0 opens one per clip. Default 16: clips of one encoder differ in size and colour.
    pub cached_decoders: usize,
    /// Most memory that open decoders may hold, in bytes, as far as it can be told from the size of their pictures. A decoder
    /// that exceeds it alone is closed after its clip. Default 32 MiB: a dozen decoders of 256 lines stay open, one of 1080, none of
    /// 2160, whose opening is nothing beside its decoding. They hold more than can be told, up to about twice as much.
    pub cached_bytes: u64,
}

impl Default for DecoderOptions {
    fn default() -> Self {
        Self { cached_decoders: 16, cached_bytes: 32 << 20 }
    }
}

impl DecoderOptions {
    /// Sets [`Self::cached_decoders`].
    #[must_use]
    pub fn cached_decoders(mut self, decoders: usize) -> Self {
        self.cached_decoders = decoders;
        self
    }

    /// Sets [`Self::cached_bytes`].
    #[must_use]
    pub fn cached_bytes(mut self, bytes: u64) -> Self {
        self.cached_bytes = bytes;
        self
    }
}

/// Pictures that an open decoder holds, typically: four references, the one being decoded, and those on their way out.
const HELD_PICTURES: u64 = 8;
/// What it holds beside them.
const HELD_TABLES: u64 = 1 << 20;

/// Everything that a decoder was opened with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Configuration {
    codec: Codec,
    profile: Option<i32>,
    extradata: Vec<u8>,
    reorder_frames: u8,
    pixel_format: PixelFormat,
    size: (u32, u32),
    max_pixels: u64,
}

/// What is passed to the sink: positions in the request, and the frame.
type Sink<'a> = dyn FnMut(&[u32], &FrameView<'_>) -> Result<()> + 'a;

/// Decodes clips on one thread.
pub struct ClipDecoder {
    options: DecoderOptions,
    fill: Fill,
    /// Open decoders to be restarted, the most recently used one last.
    cache: Vec<(Configuration, CodecContext)>,
}

impl ClipDecoder {
    /// A decoder of clips without open decoders.
    pub fn new(options: DecoderOptions) -> Self {
        Self::filled(options, Fill::None)
    }

    /// A decoder whose pictures begin with that content, for proofs that no clip depends on what it is.
    pub(crate) fn filled(options: DecoderOptions, fill: Fill) -> Self {
        Self { options, fill, cache: Vec::new() }
    }

    /// Decodes the frames of `plan`, which was made for `stream`, and hands each different one to `sink` once: with its
    /// positions in the request and the planes, valid during the call. Frames come in presentation order within a
    /// segment of the plan, segments in the order of the record.
    ///
    /// `cancel` is asked between packets and between frames.
    ///
    /// # Errors
    /// [`ErrorKind::Decode`] where a wanted frame did not come out, which the message names; [`ErrorKind::Corrupt`] where a
    /// frame is not of the record's size or format; [`ErrorKind::Unsupported`] for a codec that this FFmpeg cannot decode, or a frame of a
    /// format beyond this build; [`ErrorKind::LimitExceeded`]; [`ErrorKind::Closed`] when cancelled; what `source` and `sink` return.
    pub fn decode(
        &mut self,
        stream: &StreamInfo,
        plan: &DecodePlan,
        source: &dyn PacketSource,
        limits: &DecodeLimits,
        cancel: &dyn Fn() -> bool,
        sink: &mut Sink<'_>,
    ) -> Result<DecodeStats> {
        check_limits(stream, plan, limits)?;
        let configuration = Configuration::new(stream, limits);
        let (watch, stats) = (Stopwatch::start(limits.timeout), DecodeStats::default());
        let mut run = Run {
            stream,
            plan,
            source,
            limits,
            cancel,
            sink,
            fill: self.fill,
            watch,
            stats,
            refusal: None,
            is_damaged: false,
            is_closed: false,
        };
        run.is_closed = run.looks_closed()?;
        let mut open = self.take(&configuration);
        let (is_closed, whole) = (run.is_closed, [plan.whole()]);
        let segments = if is_closed { &whole } else { plan.segments() };
        for segment in segments {
            let reused = open.take().and_then(|mut used| used.restart(stream, is_closed).then_some(used));
            let mut decoder = reused.map_or_else(|| run.open(), Ok)?;
            run.segment(&mut decoder, segment)?;
            // A packet that was refused may have left anything behind, and so may a damaged picture.
            let is_damaged = std::mem::take(&mut run.is_damaged);
            if run.refusal.take().is_none() && !is_damaged {
                decoder.rest(is_closed);
                open = Some(decoder);
            }
        }
        let stats = run.stats;
        if let Some(decoder) = open {
            self.put(configuration, decoder);
        }
        Ok(stats)
    }

    /// Closes all open decoders.
    pub fn clear(&mut self) {
        self.cache.clear();
    }

    fn take(&mut self, configuration: &Configuration) -> Option<CodecContext> {
        let index = self.cache.iter().rposition(|(cached, _)| cached == configuration)?;
        Some(self.cache.remove(index).1)
    }

    fn put(&mut self, configuration: Configuration, decoder: CodecContext) {
        self.cache.push((configuration, decoder));
        let excess = self.cache.len().saturating_sub(self.options.cached_decoders);
        self.cache.drain(..excess);
        self.shrink(self.options.cached_bytes);
    }

    /// Closes open decoders, the least recently used first, until their pictures take at most `bytes`, as far as that can
    /// be told.
    pub fn shrink(&mut self, bytes: u64) {
        let mut held = self.cache.iter().fold(0_u64, |bytes, (entry, _)| bytes.saturating_add(entry.held_bytes()));
        while held > bytes {
            let (closed, _) = self.cache.remove(0);
            held = held.saturating_sub(closed.held_bytes());
        }
    }
}

impl std::fmt::Debug for ClipDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.cache.len();
        f.debug_struct("ClipDecoder")
            .field("options", &self.options)
            .field("fill", &self.fill)
            .field("open", &open)
            .finish()
    }
}

impl Configuration {
    fn new(stream: &StreamInfo, limits: &DecodeLimits) -> Self {
        Self {
            codec: stream.codec,
            profile: stream.profile,
            extradata: stream.extradata.as_slice().to_vec(),
            reorder_frames: stream.reorder_frames,
            pixel_format: stream.pixel_format,
            size: (stream.width, stream.height),
            max_pixels: limits.max_pixels,
        }
    }

    /// What an open decoder holds, roughly: libavcodec keeps the pictures that its references and its output took.
    fn held_bytes(&self) -> u64 {
        let (width, height) = self.size;
        self.pixel_format.frame_bytes(width, height).saturating_mul(HELD_PICTURES).saturating_add(HELD_TABLES)
    }
}

/// What can be said before anything is read or opened.
pub(crate) fn check_limits(stream: &StreamInfo, plan: &DecodePlan, limits: &DecodeLimits) -> Result<()> {
    let packets = plan.packets().len() as u64;
    if packets > limits.max_packets {
        return Err(limit(format!("{packets} packets to decode, at most {} are allowed", limits.max_packets)));
    }
    let bytes = plan.num_bytes();
    if bytes > limits.max_bytes {
        return Err(limit(format!("{bytes} bytes to decode, at most {} are allowed", limits.max_bytes)));
    }
    let (width, height) = (stream.width, stream.height);
    if u64::from(width) * u64::from(height) > limits.max_pixels {
        return Err(limit(format!("a picture of {width}x{height}, at most {} pixels are allowed", limits.max_pixels)));
    }
    Ok(())
}

fn limit(message: String) -> Error {
    Error::new(ErrorKind::LimitExceeded, message)
}

/// One call of [`ClipDecoder::decode`].
struct Run<'a, 'b> {
    stream: &'a StreamInfo,
    plan: &'a DecodePlan,
    source: &'a dyn PacketSource,
    limits: &'a DecodeLimits,
    cancel: &'a dyn Fn() -> bool,
    sink: &'a mut Sink<'b>,
    fill: Fill,
    watch: Stopwatch,
    stats: DecodeStats,
    /// The first packet of this segment that the decoder refused, and why.
    refusal: Option<(u32, AvError)>,
    /// The decoder flagged a picture of this segment.
    is_damaged: bool,
    /// Nothing of it depends on what a decoder had before.
    is_closed: bool,
}

/// The wanted frames of one segment and which of them are still to come.
struct Awaited<'a> {
    wanted: &'a [Wanted],
    delivered: Vec<bool>,
    remaining: usize,
}

impl Run<'_, '_> {
    /// Whether every segment begins by an IDR picture, for a record that says so: a record may say anything.
    fn looks_closed(&self) -> Result<bool> {
        let length = match (self.stream.is_closed, self.stream.codec) {
            (true, Codec::H264) => nal_length(Codec::H264, &self.stream.extradata),
            _ => return Ok(false),
        };
        for segment in self.plan.segments() {
            let first = self.plan.segment_packets(segment.packets.clone()).first();
            let Some(&first) = first.filter(|_| length > 0) else { return Ok(false) };
            if !begins_by_idr(self.source.packet(first)?, length) {
                return Ok(false);
            }
        }
        Ok(!self.plan.segments().is_empty())
    }

    fn open(&mut self) -> Result<CodecContext> {
        self.stats.decoders_opened += 1;
        CodecContext::open(self.stream, OpenOptions { max_pixels: self.limits.max_pixels, fill: self.fill })
    }

    fn segment(&mut self, decoder: &mut CodecContext, segment: &Segment) -> Result<()> {
        let wanted = self.plan.wanted(segment.wanted.clone());
        let mut awaited = Awaited { wanted, delivered: vec![false; wanted.len()], remaining: wanted.len() };
        let mut last = 0;
        for &packet in self.plan.segment_packets(segment.packets.clone()) {
            self.check_time()?;
            let bytes = self.source.packet(packet)?;
            self.stats.packets += 1;
            self.stats.packet_bytes += bytes.len() as u64;
            if let Err(error) = decoder.send(packet, bytes) {
                self.refuse(packet, error)?;
            }
            last = packet;
            self.receive(decoder, packet, &mut awaited)?;
            if awaited.remaining == 0 {
                return Ok(());
            }
        }
        if let Err(error) = decoder.drain(self.refusal.is_some()) {
            self.refuse(last, error)?;
        }
        self.receive(decoder, last, &mut awaited)?;
        self.missing(&awaited).map_or(Ok(()), Err)
    }

    /// Takes all frames that the decoder has ready after `packet`.
    fn receive(&mut self, decoder: &mut CodecContext, packet: u32, awaited: &mut Awaited<'_>) -> Result<()> {
        // Each error is about one packet or frame held inside, of which there are few: this only ends a decoder gone mad.
        let mut errors = 0;
        while errors < 256 {
            self.check_time()?;
            match decoder.receive() {
                Ok(Received::Frame(frame)) => self.deliver(frame, awaited)?,
                Ok(Received::NeedsPacket | Received::End) => break,
                Err(error) => {
                    self.refuse(packet, error)?;
                    errors += 1;
                }
            }
        }
        Ok(())
    }

    fn deliver(&mut self, frame: DecodedFrame<'_>, awaited: &mut Awaited<'_>) -> Result<()> {
        if frame.is_left_over() {
            return Ok(());
        }
        self.stats.decoded_frames += 1;
        if self.stats.decoded_frames > self.limits.max_decoded_frames {
            return Err(limit(format!("more than {} decoded frames", self.limits.max_decoded_frames)));
        }
        if frame.is_flagged() && self.is_closed {
            // What is concealed may be taken from another record.
            return Err(Error::corrupt("a picture is damaged, which none of the profile train was"));
        }
        self.is_damaged |= frame.is_concealed();
        let found = frame.packet().and_then(|packet| awaited.find(packet));
        let Some(wanted) = found else { return Ok(()) };
        // The record's is one that this build knows: whoever gives another one is not what was recorded.
        let format = frame.format().map_err(|error| at_frame(&error, wanted).of_data())?;
        let (size, expected) = (frame.size(), (self.stream.width, self.stream.height));
        if (size, format) != (expected, self.stream.pixel_format) {
            return Err(Error::corrupt(format!(
                "frame {} is {}x{} {format}, the record says {}x{} {}",
                wanted.frame, size.0, size.1, expected.0, expected.1, self.stream.pixel_format
            )));
        }
        let view = frame.view().map_err(|error| at_frame(&error, wanted))?;
        self.stats.delivered_frames += 1;
        self.stats.flagged_frames += u64::from(frame.is_flagged());
        (self.sink)(self.plan.positions(wanted), &view)
    }

    /// Counts a packet that the decoder refused. Decoding goes on, as it did when the record was made; refused memory
    /// ends it.
    fn refuse(&mut self, packet: u32, error: AvError) -> Result<()> {
        if error == AvError::NO_MEMORY {
            return Err(error.into_error("decode"));
        }
        if self.is_closed {
            // What comes after it may be taken from another record.
            return Err(Error::corrupt(format!("packet {packet} is refused, which none of the profile train was"))
                .with_source(error));
        }
        self.stats.refused_packets += 1;
        self.refusal.get_or_insert((packet, error));
        Ok(())
    }

    fn check_time(&self) -> Result<()> {
        if (self.cancel)() {
            return Err(Error::new(ErrorKind::Closed, "decoding was cancelled"));
        }
        self.watch.check()
    }

    /// The error for the first wanted frame that did not come out.
    fn missing(&self, awaited: &Awaited<'_>) -> Option<Error> {
        let (wanted, _) = awaited.wanted.iter().zip(&awaited.delivered).find(|(_, delivered)| !**delivered)?;
        let message = format!("frame {} (packet {}) did not come out of the decoder", wanted.frame, wanted.packet);
        Some(match self.refusal {
            // FFmpeg has decoders that do nothing but drive hardware, which this machine lacks.
            Some((_, error)) if error == AvError::NOT_IMPLEMENTED && self.stats.decoded_frames == 0 => {
                Error::unsupported(format!("this FFmpeg's decoder for {} does not work here", self.stream.codec))
                    .with_source(error)
            }
            Some((packet, error)) => {
                Error::decode(format!("{message}, which refused packet {packet}")).with_source(error)
            }
            None => Error::decode(message),
        })
    }
}

impl<'a> Awaited<'a> {
    /// The wanted frame of `packet`, the first time that it comes.
    fn find(&mut self, packet: u32) -> Option<&'a Wanted> {
        let index = self.wanted.binary_search_by_key(&packet, |wanted| wanted.packet).ok()?;
        let delivered = self.delivered.get_mut(index).filter(|delivered| !**delivered)?;
        *delivered = true;
        self.remaining -= 1;
        self.wanted.get(index)
    }
}

fn at_frame(error: &Error, wanted: &Wanted) -> Error {
    Error::new(error.kind(), format!("frame {}: {}", wanted.frame, error.message()))
}
