//! The stored tensors of a dataset: which there are, where they lie, and what they are said to be.

use super::shards::Shards;
use crate::error::{Error, Result};
use crate::format::{ColumnSet, Manifest, TensorField, TensorType};
use crate::shard::TensorShard;
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;

/// A stored tensor: where its elements lie, and what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldEntry {
    /// The shard.
    pub path: Arc<Path>,
    /// Type of the elements.
    pub dtype: TensorType,
    /// Axes, slowest first; empty for a single number.
    pub shape: Vec<u64>,
    /// Offset of the first element in the shard.
    pub offset: u64,
    /// Bytes of the elements: dense, in C order, little-endian.
    pub bytes: u64,
    /// CRC32C of those bytes.
    pub crc32c: u32,
}

impl FieldEntry {
    /// Of a field that has been validated, so that the sums hold.
    pub(super) fn new(path: Arc<Path>, field: TensorField) -> Self {
        let header = u64::from(field.data_offset);
        Self {
            path,
            dtype: field.dtype,
            shape: field.shape,
            offset: field.member.offset.saturating_add(header),
            bytes: field.member.size.saturating_sub(header),
            crc32c: field.data_crc32c,
        }
    }
}

/// Where a field's tensors lie.
pub(super) enum Home<'a> {
    /// In the shards of the records themselves.
    Record,
    /// In shards beside them.
    Column(&'a Shards<TensorShard>),
}

/// The shards of the column sets, in the order of the manifest.
pub(super) struct Fields(Vec<Shards<TensorShard>>);

impl Fields {
    pub(super) fn new(root: &Path, manifest: &Manifest) -> Self {
        Self(manifest.columns.iter().map(|set| Shards::new(root, &set.shards)).collect())
    }

    pub(super) fn names(manifest: &Manifest) -> Vec<String> {
        let added = manifest.columns.iter().flat_map(|set| &set.fields);
        manifest.fields.iter().chain(added).cloned().collect()
    }

    /// `None` where there is no such field.
    pub(super) fn find(&self, manifest: &Manifest, name: &str) -> Option<Home<'_>> {
        let column = |set: &ColumnSet| set.fields.iter().any(|field| field == name);
        match manifest.columns.iter().zip(&self.0).find(|(set, _)| column(set)) {
            Some((_, shards)) => Some(Home::Column(shards)),
            None => manifest.fields.iter().any(|field| field == name).then_some(Home::Record),
        }
    }

    /// `None` where there is no such field.
    pub(super) fn description<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a Map<String, Value>> {
        match manifest.columns.iter().find(|set| set.fields.iter().any(|field| field == name)) {
            Some(set) => Some(&set.description),
            None => manifest.fields.iter().any(|field| field == name).then_some(&manifest.description),
        }
    }
}

/// The field of a row of a tensor shard, which must be the record with that key.
pub(super) fn tensor_entry(shard: &TensorShard, row: usize, key: &str, name: &str) -> Result<Option<FieldEntry>> {
    same_key(key, shard.key(row)?, shard.path())?;
    Ok(shard.field(row, name)?.map(|field| FieldEntry::new(shard.shared_path(), field)))
}

/// The dataset's index decided which record is which; a shard that says otherwise is another shard.
pub(super) fn same_key(expected: &str, found: &str, path: &Path) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::corrupt(format!("the dataset's index says '{expected}', the shard says '{found}'")).with_path(path))
}

/// Every key of `expected` is in `actual`, with that value.
pub(super) fn check_description(name: &str, actual: &Map<String, Value>, expected: &Map<String, Value>) -> Result<()> {
    let differences: Vec<String> = expected
        .iter()
        .filter(|(key, value)| actual.get(*key) != Some(value))
        .map(|(key, value)| match actual.get(key) {
            Some(found) => format!("{key} is {found}, expected {value}"),
            None => format!("{key} is not said, expected {value}"),
        })
        .collect();
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!("field '{name}' is not what is expected: {}", differences.join("; "))))
}
