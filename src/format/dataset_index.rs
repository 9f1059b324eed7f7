//! The dataset's index: one small row per clip over all shards.

use super::IndexEntry;
use crate::error::{Error, Result};
use crate::media::{Codec, PixelFormat, TimeBase};
use arrow::record_batch::RecordBatch;
use serde_json::{Map, Value};
use std::path::Path;

/// One row of the dataset's index.
#[derive(Debug, Clone, Copy)]
pub struct IndexRow<'a> {
    /// Number of the shard in the manifest.
    pub shard: u32,
    /// Row in the shard's index.
    pub row: u32,
    /// The record's key.
    pub key: &'a str,
    /// Exact number of frames.
    pub frames: u32,
    /// Display width in square pixels.
    pub width: u32,
    /// Display height in square pixels.
    pub height: u32,
    /// Ticks from the first frame to the end of the last one.
    pub duration: i64,
    /// Length of a tick.
    pub time_base: TimeBase,
    /// Average frames per second.
    pub fps: f64,
    /// Codec of the packets.
    pub codec: Codec,
    /// Format of the decoded planes.
    pub pixel_format: PixelFormat,
    /// Number of GOPs.
    pub gops: u32,
    /// Frames of the GOP with the most of them.
    pub max_gop_frames: u32,
    /// Bytes of the MP4.
    pub bytes: u64,
}

/// The index of a dataset, mapped. Rows are in the order of the shards in the manifest, and of the rows in each shard.
/// Batches of rows are checked against their CRC32C and parsed when they are first touched.
#[derive(Debug)]
pub struct DatasetIndex {}

impl DatasetIndex {
    /// Maps the file and checks its footer against the manifest's entry.
    pub fn open(path: &Path, _entry: &IndexEntry) -> Result<Self> {
        Err(Error::unsupported("reading the index").with_path(path))
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        0
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row `index`.
    pub fn row(&self, _index: usize) -> Result<IndexRow<'_>> {
        Err(Error::unsupported("reading the index"))
    }

    /// Names of the user's columns in the index: those with numbers or booleans.
    pub fn column_names(&self) -> &[String] {
        &[]
    }

    /// The user's columns of row `index` that have a value.
    pub fn columns(&self, _index: usize) -> Result<Map<String, Value>> {
        Err(Error::unsupported("reading the index"))
    }

    /// The first row with that key; looks at all of them.
    pub fn find(&self, _key: &str) -> Result<Option<usize>> {
        Err(Error::unsupported("reading the index"))
    }

    /// Number of batches; all but the last have the same number of rows.
    pub fn num_batches(&self) -> usize {
        0
    }

    /// Batch `number` as Arrow columns, checked.
    pub fn batch(&self, _number: usize) -> Result<&RecordBatch> {
        Err(Error::unsupported("reading the index"))
    }
}
