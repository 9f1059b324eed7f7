//! Writing one tensor shard: as a shard of videos is written, without the videos.

use super::row_sink::RowSink;
use super::sink::{NewTensor, ShardSummary, Sink};
use crate::error::Result;
use crate::format::{self, TensorRecord, validate_tensor_record};
use serde_json::{Map, Value, json};
use std::path::Path;

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
    rows: RowSink<TensorRecord>,
    metadata: Metadata,
}

impl TensorShardWriter {
    /// Starts the shard that will be `path`. Its folder must exist.
    pub fn create(path: &Path) -> Result<Self> {
        Self::with_metadata(path, Metadata::Written)
    }

    /// As [`create`](Self::create), choosing whether records have JSON members.
    pub(crate) fn with_metadata(path: &Path, metadata: Metadata) -> Result<Self> {
        Ok(Self { rows: RowSink::create(path)?, metadata })
    }

    /// Bytes written so far, without the index.
    pub fn bytes(&self) -> u64 {
        self.rows.bytes()
    }

    /// Number of records so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True before the first record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a record. After an error other than of the shard file itself the writer is as before, and takes further
    /// records.
    pub fn add(&mut self, record: NewTensorRecord) -> Result<()> {
        let metadata = self.metadata;
        self.rows.add(record.key.clone(), |sink| append(sink, record, metadata))
    }

    /// Writes the index, publishes the file (fsync, rename, fsync of the folder) and says what it is.
    pub fn finish(self) -> Result<ShardSummary> {
        self.rows.finish(format::encode_tensor_index)
    }
}

/// Appends the members of a record.
fn append(sink: &mut Sink, record: NewTensorRecord, metadata: Metadata) -> Result<TensorRecord> {
    let NewTensorRecord { key, caption, mut columns, fields } = record;
    format::check_column_names(&columns)?;
    let json = match metadata {
        Metadata::LeftOut => None,
        Metadata::Written => {
            let text = format!("{}\n", json!({"key": key, "caption": caption, "columns": columns}));
            Some(sink.append_member(&format!("{key}.json"), text.as_bytes())?)
        }
    };
    let fields = fields.iter().map(|tensor| sink.append_tensor(&key, tensor)).collect::<Result<Vec<_>>>()?;
    columns.retain(|_, value| !value.is_null());
    let record = TensorRecord { key, json, caption, columns, fields };
    // What is published must be readable.
    validate_tensor_record(&record, sink.position)?;
    Ok(record)
}
