//! Writing one shard.

use crate::error::{Error, Result};
use crate::media::StreamInfo;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A clip to be added to a shard.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// Passes [`validate_key`](crate::validate_key), unique in the shard.
    pub key: String,
    /// The stream; packet and GOP offsets count from the MP4's first byte.
    pub stream: StreamInfo,
    /// What the clip shows.
    pub caption: Option<String>,
    /// The user's columns. Nested values are stored as JSON text, `null` as a missing value.
    pub columns: Map<String, Value>,
    /// Where the clip came from.
    pub source: String,
    /// Start of the cut in seconds from the source's first frame.
    pub source_start: Option<f64>,
    /// End of the cut in seconds from the source's first frame.
    pub source_end: Option<f64>,
    /// Why it was re-encoded, if it was.
    pub reencoded: Option<String>,
    /// Tensors: name and NPY bytes.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The MP4 file to append.
    pub video_path: PathBuf,
}

/// What a finished shard is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSummary {
    /// Records.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// BLAKE3 of the file, 64 hexadecimal digits.
    pub blake3: String,
}

/// Writes a shard under a temporary name and publishes it whole. Dropped without [`finish`](Self::finish), it removes
/// the temporary file.
#[derive(Debug)]
pub struct ShardWriter {}

impl ShardWriter {
    /// Starts the shard that will be `path`.
    pub fn create(path: &Path) -> Result<Self> {
        Err(Error::unsupported("writing shards").with_path(path))
    }

    /// Bytes written so far, without the index.
    pub fn bytes(&self) -> u64 {
        0
    }

    /// Appends a clip.
    pub fn add(&mut self, record: NewRecord) -> Result<()> {
        Err(Error::unsupported("writing shards").with_record(record.key))
    }

    /// Writes the index, publishes the file and says what it is.
    pub fn finish(self) -> Result<ShardSummary> {
        Err(Error::unsupported("writing shards"))
    }
}
