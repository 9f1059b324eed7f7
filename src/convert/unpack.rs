//! MPEG-4 as old AVI files have it, two pictures in one packet and an empty one behind, as one picture in each packet: what
//! an MP4 wants. FFmpeg's `mpeg4_unpack_bframes` does the work; packets that are not packed pass unchanged.
#![expect(unsafe_code, reason = "ffmpeg-next has no bitstream filters")]

use crate::{Error, Result};
use ffmpeg_next::{self as av, ffi};
use std::ptr::NonNull;

/// An open bitstream filter.
pub(super) struct Unpacker {
    context: NonNull<ffi::AVBSFContext>,
}

impl Unpacker {
    /// A filter for a stream of those parameters.
    pub(super) fn new(parameters: &av::codec::Parameters) -> Result<Self> {
        let missing = || Error::unsupported("this FFmpeg has no mpeg4_unpack_bframes");
        // SAFETY: a C string goes in; what comes out is null or a static table's entry.
        let filter = unsafe { ffi::av_bsf_get_by_name(c"mpeg4_unpack_bframes".as_ptr()) };
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

    /// Parameters of what comes out.
    pub(super) fn parameters(&mut self) -> av::codec::Parameters {
        let mut parameters = av::codec::Parameters::new();
        let from = self.fields().par_out;
        // SAFETY: new, and borrowed mutably.
        let to = unsafe { parameters.as_mut_ptr() };
        // SAFETY: both are valid; what fails to be copied for lack of memory stays empty, and the muxer refuses it.
        unsafe { ffi::avcodec_parameters_copy(to, from) };
        parameters
    }

    /// Filters a packet (`None` ends the stream); hands what comes out to `take`, with the pts of the packet that it stands for.
    pub(super) fn filter(
        &mut self,
        packet: Option<av::Packet>,
        take: &mut dyn FnMut(&av::Packet) -> Result<()>,
    ) -> Result<()> {
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

impl Drop for Unpacker {
    fn drop(&mut self) {
        let mut pointer = self.context.as_ptr();
        // SAFETY: allocated by `av_bsf_alloc`, freed once, here.
        unsafe { ffi::av_bsf_free(&raw mut pointer) };
    }
}
