//! Raw video to shards.

mod clip;

pub use clip::{CheckLevel, ClipOutput, ClipRequest, SourceInfo, convert_clip, probe};
