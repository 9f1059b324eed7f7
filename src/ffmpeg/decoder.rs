//! A decoder as the ffmpeg command opens it, for sources. Records are read by [`CodecContext`](super::CodecContext).
#![expect(unsafe_code, reason = "fields and calls of FFmpeg that ffmpeg-next does not wrap")]

use super::fill::Fill;
use super::library::message_of;
use super::live::{Live, LiveMut, get, set};
use crate::threads::thread_time;
use crate::{Error, Result};
use ffmpeg_next::{self as av, ffi};
use std::time::Duration;

/// A decoder opened as the ffmpeg command opens it, on one thread.
pub(crate) struct Decoder {
    inner: av::decoder::Video,
    took: Duration,
}

impl Decoder {
    /// A decoder for a stream of those parameters. `delay` is the least number of frames to hold back. Pictures begin
    /// with `fill`.
    pub(crate) fn new(
        parameters: &av::codec::Parameters,
        time_base: av::Rational,
        delay: u8,
        fill: Fill,
    ) -> Result<Self> {
        let mut context = av::codec::Context::from_parameters(parameters.clone())
            .map_err(|error| Error::decode(message_of(error)))?;
        // SAFETY: the context is alive and borrowed mutably.
        let pointer = unsafe { context.as_mut_ptr() };
        // SAFETY: as above.
        let raw = unsafe { LiveMut::new(pointer, &mut context) };
        set!(raw.thread_count = 1);
        // With threads for frames FFmpeg 5.1 warns of every `get_buffer2` but its own, and a warning is a doubt.
        set!(raw.thread_type = ffi::FF_THREAD_SLICE as libc::c_int);
        set!(raw.has_b_frames = get!(raw.has_b_frames).max(i32::from(delay)));
        set!(raw.max_pixels = MAX_PIXELS as i64);
        fill.serve(&raw);
        let mut decoder = context.decoder();
        decoder.set_packet_time_base(time_base);
        let inner = decoder.video().map_err(|error| match error {
            av::Error::DecoderNotFound => Error::unsupported("this FFmpeg has no decoder for the codec"),
            other => Error::decode(format!("cannot open the decoder: {}", message_of(other))),
        })?;
        Ok(Self { inner, took: Duration::ZERO })
    }

    /// Feeds a packet; its pts comes back as its frame's pts.
    pub(crate) fn send(&mut self, packet: &av::Packet) -> std::result::Result<(), av::Error> {
        let begun = thread_time();
        let sent = self.inner.send_packet(packet);
        self.took += thread_time().saturating_sub(begun);
        sent
    }

    /// Says that no packet follows. `gives_all`: also frames come out of which the decoder is not sure that they are
    /// whole.
    pub(crate) fn finish(&mut self, gives_all: bool) {
        if gives_all {
            // SAFETY: the context is alive and borrowed mutably.
            let pointer = unsafe { self.inner.as_mut_ptr() };
            // SAFETY: as above.
            let raw = unsafe { LiveMut::new(pointer, &mut self.inner) };
            set!(raw.flags = get!(raw.flags) | ffi::AV_CODEC_FLAG_OUTPUT_CORRUPT as libc::c_int);
        }
        let _ = self.inner.send_eof();
    }

    /// The next frame; `None` where the decoder needs more packets or has ended.
    pub(crate) fn receive(&mut self, frame: &mut av::frame::Video) -> std::result::Result<bool, av::Error> {
        let begun = thread_time();
        let received = self.inner.receive_frame(frame);
        self.took += thread_time().saturating_sub(begun);
        match received {
            Ok(()) => Ok(true),
            Err(av::Error::Eof) => Ok(false),
            Err(av::Error::Other { errno }) if errno == libc::EAGAIN => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Processor time of its decoding so far.
    pub(crate) fn took(&self) -> Duration {
        self.took
    }

    /// How many frames the decoder holds back by now.
    pub(crate) fn delay(&self) -> u8 {
        // SAFETY: the context is alive.
        let pointer = unsafe { self.inner.as_ptr() };
        // SAFETY: as above.
        let raw = unsafe { Live::new(pointer, &self.inner) };
        u8::try_from(get!(raw.has_b_frames)).unwrap_or(0)
    }
}

/// Pictures beyond that many pixels are refused where nobody sets another limit: 8192 by 8192.
pub(crate) const MAX_PIXELS: u64 = 1 << 26;
