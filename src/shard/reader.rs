//! Reading one shard.

use crate::error::{Error, Result};
use crate::format::Record;
use crate::media::StreamInfo;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open shard: its index, mapped and checked. Reading the clips' bytes is the caller's business.
#[derive(Debug)]
pub struct Shard {
    path: PathBuf,
}

impl Shard {
    /// Opens a shard, checks trailer and index.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        Err(Error::unsupported("reading shards").with_path(path))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        0
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of the file.
    pub fn file_bytes(&self) -> u64 {
        0
    }

    /// The key of a record.
    pub fn key(&self, _row: usize) -> Result<&str> {
        Err(Error::unsupported("reading shards"))
    }

    /// One record, validated.
    pub fn record(&self, _row: usize) -> Result<Record> {
        Err(Error::unsupported("reading shards"))
    }

    /// The stream of one record, validated; cheaper than [`record`](Self::record).
    pub fn stream(&self, _row: usize) -> Result<StreamInfo> {
        Err(Error::unsupported("reading shards"))
    }
}
