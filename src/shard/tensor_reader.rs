//! Reading one tensor shard.

use super::reader::IndexOfFile;
use crate::error::{Error, Result};
use crate::format::{MAX_READ_INDEX_BYTES, TensorField, TensorRecord, TensorRows, Trailer, tar};
use std::path::Path;
use std::sync::Arc;

/// An open tensor shard: its index, checked, in memory or, where it is large, mapped. Reading the tensors' bytes is the caller's business.
#[derive(Debug)]
pub struct TensorShard {
    path: Arc<Path>,
    file_bytes: u64,
    trailer: Trailer,
    rows: TensorRows,
}

impl TensorShard {
    /// Opens a tensor shard, with the checks and under the conditions of [`Shard::open`](super::Shard::open).
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        let open = || {
            let IndexOfFile { file_bytes, trailer, index } = IndexOfFile::open(path, MAX_READ_INDEX_BYTES)?;
            let in_index = |error: Error| error.with_offset(trailer.index_offset);
            let rows = TensorRows::parse(index).map_err(in_index)?;
            trailer.check_rows(rows.len()).map_err(in_index)?;
            Ok(Arc::new(Self { path: Arc::from(path), file_bytes, trailer, rows }))
        };
        open().map_err(|error: Error| error.with_path(path))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file, shared.
    pub(crate) fn shared_path(&self) -> Arc<Path> {
        Arc::clone(&self.path)
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of the file.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Names of the user's columns that some record has a value of.
    pub fn column_names(&self) -> Vec<String> {
        self.rows.column_names()
    }

    /// The key of a record.
    pub fn key(&self, row: usize) -> Result<&str> {
        self.rows.key(row).map_err(|error| error.with_path(&self.path))
    }

    /// One record, validated.
    pub fn record(&self, row: usize) -> Result<TensorRecord> {
        self.rows.record(row, self.data_end()).map_err(|error| error.with_path(&self.path))
    }

    /// The tensor of that name of one record, validated; `None` where the record has none.
    pub fn field(&self, row: usize, name: &str) -> Result<Option<TensorField>> {
        self.rows.field(row, name, self.data_end()).map_err(|error| error.with_path(&self.path))
    }

    pub(super) fn trailer(&self) -> &Trailer {
        &self.trailer
    }

    fn data_end(&self) -> u64 {
        self.trailer.index_offset.saturating_sub(tar::BLOCK)
    }
}
