//! Writing one tensor shard: as a shard of videos is written, without the videos.

use super::sink::{NewTensor, ShardSummary, Sink};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, TensorRecord, validate_tensor_record};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A record to be added to a tensor shard.
#[derive(Debug, Clone, Default)]
pub struct NewTensorRecord {
    /// Passes [`validate_key`](crate::validate_key), unique in the shard.
    pub key: String,
    /// What the tensors are of.
    pub caption: Option<String>,
    /// The user's columns. Nested values are stored as JSON text, `null` as a missing value.
    pub columns: Map<String, Value>,
    /// The tensors; none is allowed.
    pub fields: Vec<NewTensor>,
}

/// Whether a record has a `<key>.json` beside its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metadata {
    /// It has one: the shard is all there is of the record.
    Written,
    /// It has none: caption and columns are in the shard that this one stands beside.
    LeftOut,
}

/// Writes a tensor shard under a temporary name (`.<name>.tmp` beside it) and publishes it whole. Dropped without
/// [`finish`](Self::finish), it removes the temporary file.
#[derive(Debug)]
pub struct TensorShardWriter {
    path: PathBuf,
    sink: Sink,
    metadata: Metadata,
    rows: Vec<TensorRecord>,
    keys: HashSet<String>,
    is_broken: bool,
}

impl TensorShardWriter {
    /// Starts the shard that will be `path`. Its folder must exist.
    pub fn create(path: &Path) -> Result<Self> {
        Self::with_metadata(path, Metadata::Written)
    }

    /// As [`create`](Self::create), choosing whether records have JSON members.
    pub(crate) fn with_metadata(path: &Path, metadata: Metadata) -> Result<Self> {
        let sink = Sink::create(format::temporary_name(path)?)?;
        let (rows, keys) = (Vec::new(), HashSet::new());
        Ok(Self { path: path.to_owned(), sink, metadata, rows, keys, is_broken: false })
    }

    /// Bytes written so far, without the index.
    pub fn bytes(&self) -> u64 {
        self.sink.position
    }

    /// Number of records so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True before the first record.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Appends a record. After an error other than of the shard file itself the writer is as before, and takes further
    /// records.
    pub fn add(&mut self, record: NewTensorRecord) -> Result<()> {
        self.check_whole()?;
        let (key, mark) = (record.key.clone(), self.sink.mark());
        let added = self.append(record).and_then(|record| {
            // What is published must be readable.
            validate_tensor_record(&record, self.sink.position).map(|()| record)
        });
        match added {
            Ok(record) => {
                self.keys.insert(key);
                self.rows.push(record);
                Ok(())
            }
            Err(error) => {
                // A file that cannot be cut back cannot be finished either; the first error says why.
                self.is_broken = self.sink.rewind(mark).is_err();
                Err(error.with_record(key))
            }
        }
    }

    fn check_whole(&self) -> Result<()> {
        if self.is_broken {
            return Err(Error::new(ErrorKind::Io, "shard could not be cut back after an error").with_path(&self.path));
        }
        Ok(())
    }

    fn append(&mut self, record: NewTensorRecord) -> Result<TensorRecord> {
        let NewTensorRecord { key, caption, mut columns, fields } = record;
        format::validate_key(&key)?;
        if self.keys.contains(&key) {
            return Err(Error::invalid("a record with this key is in the shard already"));
        }
        format::check_column_names(&columns)?;
        let json = match self.metadata {
            Metadata::LeftOut => None,
            Metadata::Written => {
                let text = format!("{}\n", json!({"key": key, "caption": caption, "columns": columns}));
                Some(self.sink.append_member(&format!("{key}.json"), text.as_bytes())?)
            }
        };
        let fields = fields.iter().map(|tensor| self.sink.append_tensor(&key, tensor)).collect::<Result<Vec<_>>>()?;
        columns.retain(|_, value| !value.is_null());
        Ok(TensorRecord { key, json, caption, columns, fields })
    }

    /// Writes the index, publishes the file (fsync, rename, fsync of the folder) and says what it is.
    pub fn finish(self) -> Result<ShardSummary> {
        self.check_whole()?;
        let index = format::encode_tensor_index(&self.rows)?;
        self.sink.finish(&index, self.rows.len() as u64, &self.path)
    }
}
