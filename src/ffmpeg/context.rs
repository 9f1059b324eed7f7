//! An open decoder.
#![expect(unsafe_code, reason = "owns an AVCodecContext")]

use super::calls::{AvError, AvResult, check, check_alloc, find_decoder_by_codec, padded_copy};
use super::fill::Fill;
use super::frame::{DecodedFrame, Frame};
use super::live::{LiveMut, get, set};
use super::log;
use super::packet::{Packet, Tag};
use super::pictures::Pictures;
use crate::media::nal::{find_start_code, nal_length, units};
use crate::media::{Codec, StreamInfo};
use crate::{Error, Result};
use ffmpeg_next::ffi;
use std::ffi::{CString, c_int};
use std::ptr::{self, NonNull};
use std::sync::Arc;

const OUTPUT_CORRUPT: c_int = ffi::AV_CODEC_FLAG_OUTPUT_CORRUPT as c_int;

/// How to open a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenOptions {
    /// Pictures of more pixels than this are refused by the decoder before it allocates them.
    pub max_pixels: u64,
    /// What the memory of each picture holds before the decoder writes to it.
    pub fill: Fill,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { max_pixels: super::MAX_PIXELS, fill: Fill::None }
    }
}

/// What a decoder has to say when asked for a frame.
pub(crate) enum Received<'a> {
    /// The next frame in presentation order.
    Frame(DecodedFrame<'a>),
    /// It wants another packet first.
    NeedsPacket,
    /// It was drained, and has no frame left.
    End,
}

/// An open decoder with one thread, the packet it is fed from and the one frame it gives.
pub(crate) struct CodecContext {
    pointer: NonNull<ffi::AVCodecContext>,
    packet: Packet,
    frame: Frame,
    /// Configuration to hand over with the next packet.
    pending_extradata: Option<Vec<u8>>,
    /// Which packets bring parameter sets of their own, where that can be told; and whether one did.
    sets: Option<ParameterSets>,
    has_foreign_sets: bool,
    /// Where the context takes its pictures from; there is none until the context knows of it.
    pictures: Option<Arc<Pictures>>,
    /// Counts the runs of packets since it was opened: frames of an earlier one may still come out.
    run: u32,
    /// Whether it holds nothing of an earlier run; whether it was told that no packet follows.
    is_blank: bool,
    is_drained: bool,
}

// SAFETY: a codec context may move between threads as long as one uses it at a time, which `&mut self` ensures; with
// thread_count 1 it has no thread of its own but a wrapped library's, which the library synchronises.
unsafe impl Send for CodecContext {}

/// How to find within packets of H.264 or HEVC what changes more of a decoder than its pictures: parameter sets, the end of a sequence.
#[derive(Debug, Clone, Copy)]
struct ParameterSets {
    codec: Codec,
    nal_length: u8,
}

impl ParameterSets {
    /// `None` where a packet would have to be searched for start codes.
    fn of(codec: Codec, extradata: &[u8]) -> Option<Self> {
        let nal_length = nal_length(codec, extradata);
        (nal_length > 0).then_some(Self { codec, nal_length })
    }

    /// True as well of a packet that is no list of units, or whose units hold start codes, which none may: whatever a decoder takes
    /// those for. libavcodec goes on at a start code, and takes a packet that looks like an `avcC` for one.
    fn are_in(self, packet: &[u8]) -> bool {
        let mut units = units(packet, self.nal_length);
        let found = units.by_ref().any(|unit| self.is_one(unit) || find_start_code(unit).is_some());
        found || !units.is_at_end() || matches!(packet, [1, _, 0, _, length, ..] if length & 0xfc == 0xfc)
    }

    fn is_one(self, unit: &[u8]) -> bool {
        let header = unit.first().copied().unwrap_or_default();
        match self.codec {
            // SPS, PPS, end of sequence, end of stream, SPS extension, subset SPS.
            Codec::H264 => matches!(header & 0x1f, 7 | 8 | 10 | 11 | 13 | 15),
            // VPS, SPS, PPS, end of sequence, end of bitstream.
            _ => matches!(header >> 1 & 0x3f, 32..=34 | 36 | 37),
        }
    }
}

/// `AVCodecParameters` that we own.
struct Parameters(NonNull<ffi::AVCodecParameters>);

impl Drop for Parameters {
    fn drop(&mut self) {
        let mut pointer = self.0.as_ptr();
        // SAFETY: allocated by `avcodec_parameters_alloc`, freed once, here, with the extradata it owns.
        unsafe { ffi::avcodec_parameters_free(&raw mut pointer) };
    }
}

impl Parameters {
    fn of_stream(stream: &StreamInfo, id: ffi::AVCodecID) -> AvResult<Self> {
        // SAFETY: takes nothing; null is checked.
        let mut this = Self(check_alloc(unsafe { ffi::avcodec_parameters_alloc() })?);
        let extradata = stream.extradata.as_slice();
        let copy = if extradata.is_empty() { ptr::null_mut() } else { padded_copy(extradata)?.as_ptr() };
        // SAFETY: new, and used through `this` alone.
        let fields = unsafe { LiveMut::new(this.0.as_ptr(), &mut this) };
        set!(fields.extradata = copy);
        set!(fields.extradata_size = c_int::try_from(extradata.len()).map_err(|_| AvError::NO_MEMORY)?);
        set!(fields.codec_type = ffi::AVMediaType::AVMEDIA_TYPE_VIDEO);
        set!(fields.codec_id = id);
        set!(fields.profile = stream.profile.unwrap_or(ffi::FF_PROFILE_UNKNOWN));
        set!(fields.width = c_int::try_from(stream.width).unwrap_or(0));
        set!(fields.height = c_int::try_from(stream.height).unwrap_or(0));
        set!(fields.video_delay = c_int::from(stream.reorder_frames));
        Ok(this)
    }
}

impl CodecContext {
    /// Opens the decoder of a record.
    pub(crate) fn open(stream: &StreamInfo, options: OpenOptions) -> Result<Self> {
        let name = CString::new(stream.codec.as_str()).map_err(|_| no_decoder(stream.codec))?;
        let (id, decoder) = find_decoder_by_codec(&name).ok_or_else(|| no_decoder(stream.codec))?;
        let doing = "set up the decoder";
        let parameters = Parameters::of_stream(stream, id).map_err(|error| error.into_error(doing))?;
        // SAFETY: `parameters` lives until the end of this function.
        let mut this = unsafe { Self::open_with(decoder, parameters.0.as_ptr(), options) }?;
        this.sets = ParameterSets::of(stream.codec, stream.extradata.as_slice());
        Ok(this)
    }

    /// Opens the decoder for what libavformat found in a file.
    #[cfg(test)]
    pub(crate) fn open_parameters(parameters: &ffmpeg_next::codec::Parameters, options: OpenOptions) -> Result<Self> {
        // SAFETY: used while `parameters` is borrowed.
        let pointer = unsafe { parameters.as_ptr() };
        let decoder = super::calls::find_decoder(parameters.id().into())
            .ok_or_else(|| Error::unsupported(format!("this FFmpeg has no decoder for {:?}", parameters.id())))?;
        // SAFETY: as above.
        unsafe { Self::open_with(decoder, pointer, options) }
    }

    /// # Safety
    /// `parameters` points to valid parameters.
    unsafe fn open_with(
        decoder: NonNull<ffi::AVCodec>,
        parameters: *const ffi::AVCodecParameters,
        options: OpenOptions,
    ) -> Result<Self> {
        let failed = |error: AvError| error.into_error("open the decoder");
        // Before the context, which has no owner until `this` is made.
        let packet = Packet::new().map_err(failed)?;
        let frame = Frame::new().map_err(failed)?;
        // SAFETY: the decoder is an entry of a static table; null is checked.
        let pointer = check_alloc(unsafe { ffi::avcodec_alloc_context3(decoder.as_ptr()) }).map_err(failed)?;
        let mut this = Self {
            pointer,
            packet,
            frame,
            pending_extradata: None,
            sets: None,
            has_foreign_sets: false,
            pictures: None,
            run: 0,
            is_blank: true,
            is_drained: false,
        };
        // SAFETY: a new context and, by the caller's promise, valid parameters.
        check(unsafe { ffi::avcodec_parameters_to_context(this.pointer.as_ptr(), parameters) }).map_err(failed)?;
        this.pictures = Some(Pictures::serve(&this.fields(), options.fill));
        let fields = this.fields();
        set!(fields.thread_count = 1);
        // With threads for frames FFmpeg 5.1 warns of a `get_buffer2` that is not its own.
        set!(fields.thread_type = ffi::FF_THREAD_SLICE as c_int);
        set!(fields.log_level_offset = log::level_offset());
        set!(fields.max_pixels = i64::try_from(options.max_pixels).unwrap_or(i64::MAX));
        // SAFETY: a context that is not open yet, and the decoder it was made for.
        check(unsafe { ffi::avcodec_open2(this.pointer.as_ptr(), decoder.as_ptr(), ptr::null_mut()) })
            .map_err(failed)?;
        Ok(this)
    }

    fn fields(&mut self) -> LiveMut<'_, ffi::AVCodecContext> {
        // SAFETY: allocated by libav, freed in `drop` alone, and borrowed through `&mut self` alone.
        unsafe { LiveMut::new(self.pointer.as_ptr(), self) }
    }

    /// Feeds packet `number`. Its bytes are copied. An error is about this packet: frames before it can still be
    /// received, and decoding may go on with the next one, as the `ffmpeg` command does. Receive until
    /// [`Received::NeedsPacket`] before the next call.
    pub(crate) fn send(&mut self, number: u32, bytes: &[u8]) -> AvResult<()> {
        if bytes.is_empty() {
            // libav takes an empty packet for the end of the stream.
            return Ok(());
        }
        self.is_blank = false;
        self.packet.fill(Tag { run: self.run, number }, bytes)?;
        self.has_foreign_sets |= self.sets.is_none_or(|sets| sets.are_in(bytes));
        if let Some(extradata) = self.pending_extradata.take() {
            self.packet.set_new_extradata(&extradata)?;
        }
        // SAFETY: an open decoder and a valid packet.
        check(unsafe { ffi::avcodec_send_packet(self.pointer.as_ptr(), self.packet.as_ptr()) }).map(drop)
    }

    /// Says that no packet follows, and whether one was refused; the frames held back can be received until [`Received::End`]. Then
    /// [`Self::flush`] or [`Self::restart`].
    pub(crate) fn drain(&mut self, has_refused: bool) -> AvResult<()> {
        (self.is_blank, self.is_drained) = (false, true);
        if !has_refused {
            // After a start at a recovery point H.264 holds back for good what is drained before its first frame came out, though the
            // frames are whole (FFmpeg 5.1; later ones do not).
            let fields = self.fields();
            set!(fields.flags = get!(fields.flags) | OUTPUT_CORRUPT);
        }
        // SAFETY: an open decoder; null is the end of the stream.
        match check(unsafe { ffi::avcodec_send_packet(self.pointer.as_ptr(), ptr::null()) }) {
            Ok(_) | Err(AvError::END) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The next frame in presentation order. The one before is given back to the decoder.
    pub(crate) fn receive(&mut self) -> AvResult<Received<'_>> {
        // SAFETY: an open decoder and a valid frame, of which no view is left (`&mut self`).
        match check(unsafe { ffi::avcodec_receive_frame(self.pointer.as_ptr(), self.frame.as_mut_ptr()) }) {
            Ok(_) => Ok(Received::Frame(DecodedFrame::new(&self.frame, self.run))),
            Err(AvError::AGAIN) => Ok(Received::NeedsPacket),
            Err(AvError::END) => Ok(Received::End),
            Err(error) => Err(error),
        }
    }

    /// Forgets all pictures and references, so that decoding can start anew at a keyframe. Parameter sets stay.
    pub(crate) fn flush(&mut self) {
        self.frame.clear();
        self.has_foreign_sets |= self.pending_extradata.take().is_some();
        (self.is_blank, self.is_drained) = (true, false);
        let fields = self.fields();
        set!(fields.flags = get!(fields.flags) & !OUTPUT_CORRUPT);
        // SAFETY: an open decoder.
        unsafe { ffi::avcodec_flush_buffers(self.pointer.as_ptr()) };
    }

    /// Between two runs: gives back the pictures. After a run that is closed it keeps them, as the next one may go on from here.
    pub(crate) fn rest(&mut self, is_closed: bool) {
        if self.may_go_on(is_closed) {
            self.frame.clear();
        } else {
            self.flush();
        }
    }

    fn may_go_on(&self, is_closed: bool) -> bool {
        is_closed && !self.is_drained && !self.has_foreign_sets
    }

    /// Brings the decoder in the state of a new one for `stream`, with which it was opened: parameter sets that came within packets
    /// since are overruled. False where the codec knows no way, and a new decoder has to be opened. For a run that is closed, its GOPs
    /// beginning by IDR pictures, it may go on as it is, which is a tenth of the time of decoding a small clip: the first picture
    /// makes it forget its references and pushes out what it holds, and those frames belong to no packet of the new run.
    pub(crate) fn restart(&mut self, stream: &StreamInfo, is_closed: bool) -> bool {
        self.run = self.run.wrapping_add(1) & Tag::MAX_RUN;
        if !self.is_blank && !self.may_go_on(is_closed) {
            self.flush();
        }
        match stream.codec {
            // Both take parameter sets from side data as they do from the configuration.
            Codec::H264 | Codec::Hevc if !stream.extradata.is_empty() => {
                if std::mem::take(&mut self.has_foreign_sets) {
                    self.pending_extradata = Some(stream.extradata.as_slice().to_vec());
                }
                true
            }
            // A random access point carries all that later packets refer to.
            Codec::Av1 | Codec::Vp9 | Codec::Png => true,
            _ => false,
        }
    }
}

impl Drop for CodecContext {
    fn drop(&mut self) {
        let mut pointer = self.pointer.as_ptr();
        // SAFETY: allocated by `avcodec_alloc_context3`, freed once, here.
        unsafe { ffi::avcodec_free_context(&raw mut pointer) };
    }
}

fn no_decoder(codec: Codec) -> Error {
    Error::unsupported(format!("this FFmpeg has no decoder for {codec}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_are_found_in_packets_and_what_is_no_packet_counts_as_some() {
        let h264 = ParameterSets::of(Codec::H264, &[1, 0x64, 0, 30, 0xff, 0xe1]).unwrap();
        for (packet, expected) in [
            (&[0, 0, 0, 2, 0x65, 9, 0, 0, 0, 1, 0x41][..], false),
            (&[0, 0, 0, 2, 0x65, 9, 0, 0, 0, 1, 0x68], true),
            (&[0, 0, 0, 2, 0x67, 9], true),
            (&[0, 0, 0, 9, 0x65, 9], true),
            (&[1, 0x64, 0, 30, 0xff, 0xe1, 0, 1, 0x67], true),
            (&[0, 0, 0, 1, 0x0a], true),
            (&[0, 0, 0, 6, 0x06, 9, 0, 0, 1, 0x67], true),
        ] {
            assert_eq!(h264.are_in(packet), expected, "{packet:?}");
        }
        let hvcc: Vec<u8> = std::iter::once(1).chain([0; 20]).chain([0xf0]).collect();
        let hevc = ParameterSets::of(Codec::Hevc, &hvcc).unwrap();
        assert!(hevc.are_in(&[2, 0x42, 1]) && !hevc.are_in(&[2, 0x26, 1]));
        assert!(ParameterSets::of(Codec::H264, &[0, 0, 0, 1, 0x67]).is_none());
        // A list of one unit of 0x0100 bytes, and an `avcC` as well.
        let short = ParameterSets::of(Codec::H264, &[1, 0x64, 0, 30, 0xfd]).unwrap();
        let packet: Vec<u8> = [1, 0, 0, 0, 0xfd].into_iter().chain([7; 253]).collect();
        assert!(short.are_in(&packet));
    }
}
