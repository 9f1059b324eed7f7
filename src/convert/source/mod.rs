//! One source: opened, demuxed and decoded as the ffmpeg command does it, with the times of its frames, what changes
//! on the way, and the reason where it is no use. Nothing is written but packets on their way ([`packet_spill`]).

pub(super) mod bitstream;
pub(super) mod changes;
pub(super) mod color_and_rotation;
pub(super) mod cut;
pub(super) mod frame_observer;
pub(super) mod ingest;
pub(super) mod opened;
pub(super) mod packet_spill;
pub(super) mod pieces;
pub(super) mod reasons;
pub(super) mod source_file;
pub(super) mod streams;
pub(super) mod timeline;
pub(super) mod timestamps;
pub(super) mod unpack;
