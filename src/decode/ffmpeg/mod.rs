//! libavcodec in thin owning types. Raw declarations come from `ffmpeg_next::ffi`; [`calls`] makes functions that return
//! `Result` of them; `Packet`, `Frame` and [`CodecContext`] own what they point to. No raw pointer leaves this module.
//!
//! libav's messages are switched off, for the whole process, when the first decoder is opened; the environment variable
//! `FRAMEFEED_FFMPEG_LOG` (`error`, `warning`, `info`, `verbose`, `debug`) switches them on.

mod calls;
mod context;
mod fill;
mod frame;
mod packet;
mod pictures;

pub(crate) use calls::AvError;
pub(crate) use context::{CodecContext, OpenOptions, Received};
pub(crate) use fill::{Fill, has_unwritten};
pub(crate) use frame::DecodedFrame;
