//! Packets to frames: the plan (which packets for which frames) and the decoders.
//!
//! A frame is known by the packet that it comes from: decoders are given the packet's number in the place of its
//! presentation time, and give it back on the frame, so that no timestamp of any file decides which frame is which.
//!
//! What a frame decodes to is a function of the record alone: every run of packets ([`DecodePlan`]) starts on a decoder
//! in the state of a newly opened one, whatever it decoded before. Clips of the profile `train` are closed: each GOP begins by an IDR picture, which
//! makes any decoder forget, so theirs go on from clip to clip, and frames of an earlier one are told by the run that their packet carries.
//!
//! This module reads no files and checks no checksums; packets come from a [`PacketSource`], which has checked them.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod clip;
#[cfg(test)]
pub(crate) mod fixture_stream;
mod limits;
mod plan;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod tests;

pub(crate) use clip::check_limits;
pub use clip::{ClipDecoder, DecoderOptions, PacketSource};
pub use limits::{DecodeLimits, DecodeStats};
pub use plan::DecodePlan;
