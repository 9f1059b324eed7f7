//! The index of a tensor shard as typed columns, and columns to rows.

use super::columns::{self, COLUMNS};
use super::field_columns::FieldColumns;
use super::ipc::{IpcFile, no_panic};
use super::rows::{Members, check_schema, column};
use super::schema::tensor_shard_fields;
use super::validate::{check_fields, check_member};
use super::{TensorField, TensorRecord, tar, validate_key};
use crate::error::{Error, Result};
use arrow::array::{Array, StringArray, StructArray};
use arrow::buffer::Buffer;
use arrow::record_batch::RecordBatch;
use serde_json::Map;

/// The columns of a tensor shard's index, all of the same length.
#[derive(Debug)]
pub(crate) struct TensorRows {
    key: StringArray,
    json: Members,
    caption: StringArray,
    fields: FieldColumns,
    columns: Option<StructArray>,
}

impl TensorRows {
    /// Parses the bytes of an index. Reads no rows yet.
    pub(crate) fn parse(index: Buffer) -> Result<Self> {
        let file = IpcFile::parse(index)?;
        if file.num_batches() != 1 {
            return Err(Error::corrupt(format!("index has {} batches, expected 1", file.num_batches())));
        }
        no_panic(|| Self::from_batch(&file.batch(0)?))
    }

    fn from_batch(batch: &RecordBatch) -> Result<Self> {
        check_schema(batch, &tensor_shard_fields())?;
        let columns = match batch.column_by_name(COLUMNS) {
            Some(_) => Some(column::<StructArray>(batch, COLUMNS)?),
            None => None,
        };
        columns.as_ref().map_or(Ok(()), columns::check_struct)?;
        Ok(Self {
            key: column(batch, "key")?,
            json: Members::new(column(batch, "json")?, 0)?,
            caption: column(batch, "caption")?,
            fields: FieldColumns::new(&column(batch, "fields")?)?,
            columns,
        })
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.key.len()
    }

    /// Names of the user's columns.
    pub(crate) fn column_names(&self) -> Vec<String> {
        self.columns.as_ref().map_or_else(Vec::new, columns::names)
    }

    /// The key of a row.
    pub(crate) fn key(&self, row: usize) -> Result<&str> {
        if row < self.len() { Ok(self.key.value(row)) } else { Err(self.no_row(row)) }
    }

    fn no_row(&self, row: usize) -> Error {
        Error::invalid(format!("row {row} of a shard with {} rows", self.len()))
    }

    /// A row, validated; `data_end` is where the members of the shard end.
    pub(crate) fn record(&self, row: usize, data_end: u64) -> Result<TensorRecord> {
        let key = self.key(row)?.to_owned();
        let record = || {
            let record = TensorRecord {
                key: key.clone(),
                json: self.json.get(row),
                caption: self.caption.is_valid(row).then(|| self.caption.value(row).to_owned()),
                columns: self.columns.as_ref().map_or_else(Map::new, |columns| columns::decode(columns, row)),
                fields: self.fields.row(row)?,
            };
            validate_tensor_record(&record, data_end)?;
            Ok(record)
        };
        record().map_err(|error: Error| error.with_record(&key))
    }

    /// The tensor of that name in a row, validated by itself.
    pub(crate) fn field(&self, row: usize, name: &str, data_end: u64) -> Result<Option<TensorField>> {
        let key = self.key(row)?;
        let find = || {
            let field = self.fields.find(row, name)?;
            check_fields(field.as_slice(), tar::BLOCK, data_end)?;
            Ok(field)
        };
        find().map_err(|error: Error| error.with_record(key))
    }
}

/// Checks everything that later arithmetic relies on.
pub(crate) fn validate_tensor_record(record: &TensorRecord, data_end: u64) -> Result<()> {
    validate_key(&record.key).map_err(|error| Error::corrupt("index has an invalid key").with_source(error))?;
    let mut position = tar::BLOCK;
    if let Some(json) = &record.json {
        position = check_member("json", json, position, data_end)?;
    }
    check_fields(&record.fields, position, data_end).map(drop)
}
