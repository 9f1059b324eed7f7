//! Writing one tensor shard: as a shard of videos is written, without the videos.

use super::journal::{FinishedShard, Journal, Recovered};
use super::row_sink::RowSink;
use super::sink::{NewTensor, ShardSummary, Sink};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, TensorRecord, validate_tensor_record};
use serde_json::{Map, Value, json};
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
/// [`finish`](Self::finish), it removes the temporary file, unless it was made to be resumed.
#[derive(Debug)]
pub struct TensorShardWriter {
    /// `None` only on the way out.
    rows: Option<RowSink<TensorRecord>>,
    /// Of a resumable shard.
    journal: Option<Journal>,
    path: PathBuf,
    metadata: Metadata,
}

impl TensorShardWriter {
    /// Starts the shard that will be `path`. Its folder must exist.
    pub fn create(path: &Path) -> Result<Self> {
        let rows = Some(RowSink::create(path)?);
        Ok(Self { rows, journal: None, path: path.to_owned(), metadata: Metadata::Written })
    }

    /// Goes on with the shard that will be `path` behind the last record that an earlier writer stored, or starts it. Dropped
    /// without [`finish`](Self::finish), its records stay for the next one.
    pub(crate) fn resumable(path: &Path, metadata: Metadata) -> Result<Self> {
        let (rows, journal) = if let Some(Recovered { sink, rows, journal }) = Journal::recover(path)? {
            (RowSink::resumed(path, sink, rows, |row: &TensorRecord| &row.key), journal)
        } else {
            let mut rows = RowSink::create(path)?;
            rows.sink_mut().set_kept(true);
            (rows, Journal::create(path)?)
        };
        Ok(Self { rows: Some(rows), journal: Some(journal), path: path.to_owned(), metadata })
    }

    /// Bytes written so far, without the index.
    pub fn bytes(&self) -> u64 {
        self.rows.as_ref().map_or(0, RowSink::bytes)
    }

    /// Number of records so far.
    pub fn len(&self) -> usize {
        self.records().len()
    }

    /// True before the first record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The records so far.
    pub(crate) fn records(&self) -> &[TensorRecord] {
        self.rows.as_ref().map_or(&[], RowSink::rows)
    }

    /// Appends a record. After an error other than of the shard file itself the writer is as before, and takes further
    /// records.
    pub fn add(&mut self, record: NewTensorRecord) -> Result<()> {
        let (metadata, journal) = (self.metadata, &mut self.journal);
        let Some(rows) = &mut self.rows else { return Err(Error::new(ErrorKind::Closed, "the shard is finished")) };
        rows.add(record.key.clone(), |sink| {
            let row = append(sink, record, metadata)?;
            journal.as_mut().map_or(Ok(()), |journal| journal.append(&row, sink))?;
            Ok(row)
        })
    }

    /// Writes the index, publishes the file (fsync, rename, fsync of the folder) and says what it is.
    pub fn finish(mut self) -> Result<ShardSummary> {
        let Some(rows) = self.rows.take() else { return Err(Error::new(ErrorKind::Closed, "the shard is finished")) };
        let summary = rows.finish(format::encode_tensor_index)?;
        if let Some(journal) = self.journal.take() {
            FinishedShard::note(&self.path, summary.rows, &summary.blake3)?;
            journal.remove();
        }
        Ok(summary)
    }

    /// Removes what was written, also where it is resumable.
    pub(crate) fn discard(mut self) {
        if let Some(rows) = &mut self.rows {
            rows.sink_mut().set_kept(false);
        }
        self.rows = None;
        if let Some(journal) = self.journal.take() {
            journal.remove();
        }
    }
}

/// What is resumable is made to last; nothing is left of a shard without a record.
impl Drop for TensorShardWriter {
    fn drop(&mut self) {
        let (Some(mut rows), Some(mut journal)) = (self.rows.take(), self.journal.take()) else { return };
        if rows.rows().is_empty() {
            rows.sink_mut().set_kept(false);
            journal.remove();
        } else if let Err(error) = journal.sync(rows.sink_mut()) {
            tracing::warn!("{}", error.report());
        }
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
