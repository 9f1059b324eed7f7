//! One clip: the wanted frames of a reading, copied or encoded anew, written as an MP4 with its tables, and proved.

pub(super) mod conform;
pub(super) mod convert_clip;
pub(super) mod edit_list;
pub(super) mod encoder_target;
pub(super) mod entry_points;
pub(super) mod gops;
pub(super) mod i420;
pub(super) mod mux;
pub(super) mod plane_reader;
pub(super) mod proof;
pub(super) mod raw_frames;
pub(super) mod reading;
pub(super) mod record_builder;
pub(super) mod reencode;
pub(super) mod train;
pub(super) mod upsample;
