//! libavcodec in thin owning types. Raw declarations come from `ffmpeg_next::ffi`; [`calls`] makes functions that return
//! [`AvResult`] of them; [`Packet`], [`Frame`] and [`CodecContext`] own what they point to. No raw pointer leaves this
//! module, but for `CodecContext::open_raw`, which takes one from libavformat's safe wrapper.
//!
//! libav's messages are switched off, for the whole process, when the first decoder is opened; the environment variable
//! `FRAMEFEED_FFMPEG_LOG` (`error`, `warning`, `info`, `verbose`, `debug`) switches them on.

mod calls;
mod context;
mod frame;
mod packet;

pub(crate) use calls::{AvError, AvResult, init_logging};
pub(crate) use context::{CodecContext, OpenOptions, Received};
pub(crate) use frame::{DecodedFrame, Frame, FrameColor};
pub(crate) use packet::Packet;
