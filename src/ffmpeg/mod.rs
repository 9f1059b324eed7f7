//! Every call into FFmpeg, for reading and converting alike. Raw declarations come from `ffmpeg_next::ffi`; [`calls`]
//! makes functions that return `Result` of them; `Packet`, `Frame`, [`CodecContext`], [`Decoder`] and [`Scaler`] own
//! what they point to. No raw pointer leaves this module.
//!
//! What libav says of our decoding is printed where the environment variable `FRAMEFEED_FFMPEG_LOG` (`error`,
//! `warning`, `info`, `verbose`, `debug`) asks for it; see [`log`].

mod calls;
mod colors;
mod context;
mod decoder;
mod demuxer;
mod fill;
mod frame;
mod library;
mod live;
pub(crate) mod log;
mod muxer;
mod packet;
mod picture;
mod pictures;
pub(crate) mod pixel_layout;
mod scaler;

pub(crate) use calls::AvError;
pub(crate) use colors::ColorTags;
pub(crate) use context::{CodecContext, OpenOptions, Received};
pub(crate) use decoder::{Decoder, MAX_PIXELS};
pub(crate) use demuxer::{
    SCORE_OF_PACKETS, StreamFacts, command_score, complete_parameters, discard_others, indexed_times, is_thumbnails,
    lacks_timestamps, may_set_its_clock, packet_flags, packets_before_cut, program_streams, seek_before,
    set_packet_flags, set_picture_size, single_file_formats, stream_facts,
};
pub(crate) use fill::{Fill, has_unwritten};
pub(crate) use frame::DecodedFrame;
pub(crate) use library::{check_version, init, message_of};
pub(crate) use log::{begin as begin_messages, first_message, is_heard, may_have_warned, take_message};
pub(crate) use muxer::{TrackFacts, add_track, set_encoder_tags};
pub(crate) use picture::{FrameFacts, frame_facts, pixel_name, plane, read_samples, sample_aspect, view};
pub(crate) use scaler::{Scaler, ScalerEnd, scale};
