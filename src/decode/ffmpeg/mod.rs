//! libavcodec in thin owning types. Raw declarations come from `ffmpeg_next::ffi`; [`calls`] makes functions that return
//! `Result` of them; `Packet`, `Frame` and [`CodecContext`] own what they point to. No raw pointer leaves this module.
//!
//! What libav says of our decoding is printed where the environment variable `FRAMEFEED_FFMPEG_LOG` (`error`, `warning`,
//! `info`, `verbose`, `debug`) asks for it; see [`log`].

mod calls;
mod context;
mod fill;
mod frame;
pub(crate) mod log;
mod packet;
mod pictures;

pub(crate) use calls::AvError;
pub(crate) use context::{CodecContext, OpenOptions, Received};
pub(crate) use fill::{Fill, has_unwritten};
pub(crate) use frame::DecodedFrame;
