//! From opened shards to the dataset's index.

use super::{Shard, TensorShard};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{DatasetKind, IndexBuilder, IndexEntry};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

/// The bytes of a dataset's `index.arrow`, what the manifest says about them, and totals of the dataset.
#[derive(Debug)]
pub struct BuiltIndex {
    /// The file.
    pub bytes: Vec<u8>,
    /// For the manifest; its file is `index.arrow`.
    pub entry: IndexEntry,
    /// Frames of all records.
    pub frames: u64,
    /// Duration of all records in seconds.
    pub seconds: f64,
}

/// Builds the dataset's index from its shards, in their order in the manifest. The same shards give the same bytes. Every
/// row is validated; a key that two records share is a [`ErrorKind::Conflict`]. Takes memory for the rows of the index,
/// not for the shards: they may be opened one by one.
pub fn build_index(shards: impl IntoIterator<Item = Result<Arc<Shard>>>) -> Result<BuiltIndex> {
    let mut builder = IndexBuilder::new(DatasetKind::Video);
    let mut keys = Keys::default();
    let (mut frames, mut seconds) = (0, 0.0);
    for (number, shard) in shards.into_iter().enumerate() {
        let shard = shard?;
        for row in 0..shard.len() {
            let record = shard.record(row)?;
            keys.add(&record.key, shard.path())?;
            frames += record.stream.num_frames() as u64;
            seconds += record.stream.time_base.seconds(record.stream.duration);
            builder.add(small(number, shard.path())?, small(row, shard.path())?, &record)?;
        }
    }
    let (bytes, entry) = builder.finish()?;
    Ok(BuiltIndex { bytes, entry, frames, seconds })
}

/// As [`build_index`], for a dataset of tensors: it has no frames and no duration.
pub fn build_tensor_index(shards: impl IntoIterator<Item = Result<Arc<TensorShard>>>) -> Result<BuiltIndex> {
    let mut builder = IndexBuilder::new(DatasetKind::Tensor);
    let mut keys = Keys::default();
    for (number, shard) in shards.into_iter().enumerate() {
        let shard = shard?;
        for row in 0..shard.len() {
            let record = shard.record(row)?;
            keys.add(&record.key, shard.path())?;
            builder.add_tensors(small(number, shard.path())?, small(row, shard.path())?, &record);
        }
    }
    let (bytes, entry) = builder.finish()?;
    Ok(BuiltIndex { bytes, entry, frames: 0, seconds: 0.0 })
}

/// The keys so far: each may be there once.
#[derive(Default)]
struct Keys(HashSet<String>);

impl Keys {
    fn add(&mut self, key: &str, path: &Path) -> Result<()> {
        if self.0.insert(key.to_owned()) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, "two records have this key").with_record(key).with_path(path))
    }
}

fn small(number: usize, path: &Path) -> Result<u32> {
    let limit = |_| Error::new(ErrorKind::LimitExceeded, "more than 2^32 shards or rows").with_path(path);
    u32::try_from(number).map_err(limit)
}
