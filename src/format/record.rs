//! One row of a shard's index, as the rest of the crate sees it.

use super::TensorType;
use crate::media::StreamInfo;
use serde_json::{Map, Value};

/// A run of bytes in the shard file: the content of one tar member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Byte offset of its first byte in the shard file.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
    /// CRC32C of its bytes.
    pub crc32c: u32,
}

impl Member {
    /// The offset behind its last byte. Saturates; a validated member never does.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.size)
    }
}

/// One stored tensor of a record, the member `<key>.<name>.npy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorField {
    /// Its name: letters, digits, `_` and `-`.
    pub name: String,
    /// The NPY file.
    pub member: Member,
    /// Type of the elements.
    pub dtype: TensorType,
    /// Axes, slowest first; empty for a single number.
    pub shape: Vec<u64>,
    /// Bytes of the NPY header; the elements follow, dense, in C order, little-endian.
    pub data_offset: u32,
    /// CRC32C of the elements' bytes.
    pub data_crc32c: u32,
}

/// One record of a tensor shard: stored tensors, and what is known about them. Has been validated, as a [`Record`] has.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorRecord {
    /// Unique in the dataset; also the name of its members up to the first dot.
    pub key: String,
    /// The JSON file with caption and metadata.
    pub json: Option<Member>,
    /// What the tensors are of.
    pub caption: Option<String>,
    /// The user's columns that have a value here: booleans, integers, floats and text.
    pub columns: Map<String, Value>,
    /// Stored tensors, in the order of their members.
    pub fields: Vec<TensorField>,
}

/// One stored clip with everything that the index knows about it. A `Record` has been validated: its packets, GOPs and
/// frames agree with each other and lie inside its members (`FORMAT.md`, "What a reader checks").
#[derive(Debug, Clone)]
pub struct Record {
    /// Unique in the dataset; also the name of its members up to the first dot.
    pub key: String,
    /// The video stream. Packet and GOP offsets count from the start of the shard file.
    pub stream: StreamInfo,
    /// The MP4 file.
    pub video: Member,
    /// The JSON file with caption and metadata.
    pub json: Option<Member>,
    /// What the clip shows.
    pub caption: Option<String>,
    /// The user's columns that have a value here: booleans, integers, floats and text.
    pub columns: Map<String, Value>,
    /// Where the clip came from, as the source list named it.
    pub source: String,
    /// Start of the cut in seconds from the source's first frame.
    pub source_start: Option<f64>,
    /// End of the cut in seconds from the source's first frame.
    pub source_end: Option<f64>,
    /// Why the video was re-encoded; `None` where its packets are the source's.
    pub reencoded: Option<String>,
    /// Stored tensors, in the order of their members.
    pub fields: Vec<TensorField>,
}
