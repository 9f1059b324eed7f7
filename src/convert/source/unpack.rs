//! Packets in the portions that an MP4 wants, where the source has them in others. FFmpeg's bitstream filters do the work where there
//! is one, and packets that are in order pass unchanged:
//!
//! - MPEG-4 as old AVI files have it, two pictures in one packet and an empty one behind: one picture in each.
//! - VP9 whose hidden frames are packets of their own: joined with the shown frame that follows.
//! - AV1 likewise. FFmpeg's filter wants temporal delimiters, which most containers leave out, so this is done here.
#![expect(unsafe_code, reason = "ffmpeg-next has no bitstream filters")]

use super::bitstream::shows_no_frame;
use crate::media::Codec;
use crate::{Error, Result};
use ffmpeg_next::{self as av, ffi};
use std::ffi::CStr;
use std::ptr::NonNull;

/// What is done to the packets of a codec.
pub(crate) enum Unpacker {
    Filter(Filter),
    Joiner(Joiner),
}

/// Takes a packet that comes out; its pts is that of the packet that it stands for.
type Take<'a> = dyn FnMut(&av::Packet) -> Result<()> + 'a;

impl Unpacker {
    /// For a stream of those parameters; `None` for a codec whose packets need nothing.
    pub(crate) fn new(codec: &str, parameters: &av::codec::Parameters) -> Result<Option<Self>> {
        Ok(match Codec::parse(codec) {
            Some(Codec::Mpeg4) => Some(Self::Filter(Filter::new(c"mpeg4_unpack_bframes", parameters)?)),
            Some(Codec::Vp9) => Some(Self::Filter(Filter::new(c"vp9_superframe", parameters)?)),
            Some(Codec::Av1) => Some(Self::Joiner(Joiner::default())),
            _ => None,
        })
    }

    /// Parameters of what comes out, where they may be others.
    pub(crate) fn parameters(&mut self) -> Option<av::codec::Parameters> {
        match self {
            Self::Filter(filter) => Some(filter.parameters()),
            Self::Joiner(_) => None,
        }
    }

    /// Passes a packet through (`None` ends the stream); hands what comes out to `take`.
    pub(crate) fn filter(&mut self, packet: Option<av::Packet>, take: &mut Take<'_>) -> Result<()> {
        match self {
            Self::Filter(filter) => filter.filter(packet, take),
            Self::Joiner(joiner) => joiner.join(packet.as_ref(), take),
        }
    }
}

/// Puts packets of AV1 that show nothing before the one that follows.
#[derive(Default)]
pub(crate) struct Joiner {
    hidden: Vec<u8>,
    pts: Option<i64>,
}

impl Joiner {
    fn join(&mut self, packet: Option<&av::Packet>, take: &mut Take<'_>) -> Result<()> {
        if let Some((packet, data)) = packet.and_then(|packet| Some((packet, packet.data()?))) {
            if shows_no_frame(data) {
                self.hidden.extend_from_slice(data);
                self.pts = packet.pts();
                return Ok(());
            }
            if self.hidden.is_empty() {
                return take(packet);
            }
            self.hidden.extend_from_slice(data);
            self.pts = packet.pts();
        }
        if self.hidden.is_empty() {
            return Ok(());
        }
        let mut joined = av::Packet::copy(&self.hidden);
        joined.set_pts(self.pts);
        self.hidden.clear();
        take(&joined)
    }
}

/// The decoder configuration that a packet brings along, in parameter sets or a sequence header; `None` where it has none.
pub(crate) fn configuration_in(packet: &[u8], parameters: &av::codec::Parameters) -> Option<Vec<u8>> {
    let mut filter = Filter::new(c"extract_extradata", parameters).ok()?;
    let mut found = None;
    let mut take = |packet: &av::Packet| {
        let configuration =
            packet.side_data().find(|data| data.kind() == av::codec::packet::side_data::Type::NewExtraData);
        found = configuration.map(|data| data.data().to_vec());
        Ok(())
    };
    filter.filter(Some(av::Packet::copy(packet)), &mut take).ok()?;
    found
}

/// An open bitstream filter.
pub(crate) struct Filter {
    context: NonNull<ffi::AVBSFContext>,
}

impl Filter {
    /// The filter of that name, for a stream of those parameters.
    fn new(name: &CStr, parameters: &av::codec::Parameters) -> Result<Self> {
        let missing = || Error::unsupported(format!("this FFmpeg has no {}", name.to_string_lossy()));
        // SAFETY: a C string goes in; what comes out is null or a static table's entry.
        let filter = unsafe { ffi::av_bsf_get_by_name(name.as_ptr()) };
        if filter.is_null() {
            return Err(missing());
        }
        let mut context = std::ptr::null_mut();
        // SAFETY: the filter is an entry of a static table, and `context` takes one pointer.
        if unsafe { ffi::av_bsf_alloc(filter, &raw mut context) } < 0 {
            return Err(missing());
        }
        let mut this = Self { context: NonNull::new(context).ok_or_else(missing)? };
        let input = this.fields().par_in;
        // SAFETY: used while `parameters` is borrowed.
        let from = unsafe { parameters.as_ptr() };
        // SAFETY: both are valid parameters, the first owned by the filter.
        if unsafe { ffi::avcodec_parameters_copy(input, from) } < 0 {
            return Err(missing());
        }
        // SAFETY: allocated, not yet initialised.
        if unsafe { ffi::av_bsf_init(this.context.as_ptr()) } < 0 {
            return Err(missing());
        }
        Ok(this)
    }

    fn fields(&mut self) -> &mut ffi::AVBSFContext {
        // SAFETY: allocated by FFmpeg, freed in `drop` alone, borrowed through `&mut self` alone.
        unsafe { self.context.as_mut() }
    }

    fn parameters(&mut self) -> av::codec::Parameters {
        let mut parameters = av::codec::Parameters::new();
        let from = self.fields().par_out;
        // SAFETY: new, and borrowed mutably.
        let to = unsafe { parameters.as_mut_ptr() };
        // SAFETY: both are valid; what fails to be copied for lack of memory stays empty, and the muxer refuses it.
        unsafe { ffi::avcodec_parameters_copy(to, from) };
        parameters
    }

    fn filter(&mut self, packet: Option<av::Packet>, take: &mut Take<'_>) -> Result<()> {
        use av::codec::packet::Mut as _;
        let refused = || Error::decode("a packet could not be unpacked");
        let mut packet = packet;
        let pointer = packet.as_mut().map_or(std::ptr::null_mut(), av::Packet::as_mut_ptr);
        // SAFETY: an initialised filter, and a valid packet or null; the filter takes over the packet's content.
        if unsafe { ffi::av_bsf_send_packet(self.context.as_ptr(), pointer) } < 0 {
            return Err(refused());
        }
        loop {
            let mut out = av::Packet::empty();
            // SAFETY: an initialised filter and an empty packet.
            match unsafe { ffi::av_bsf_receive_packet(self.context.as_ptr(), out.as_mut_ptr()) } {
                0 => take(&out)?,
                code if code == ffi::AVERROR_EOF || code == ffi::AVERROR(libc::EAGAIN) => return Ok(()),
                _ => return Err(refused()),
            }
        }
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        let mut pointer = self.context.as_ptr();
        // SAFETY: allocated by `av_bsf_alloc`, freed once, here.
        unsafe { ffi::av_bsf_free(&raw mut pointer) };
    }
}
