//! What the stored tensors of a dataset are like, from a sample of its records.

use crate::dataset::Dataset;
use crate::error::Result;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A type and shape of a field, and how many records of the sample have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ShapeCount {
    /// Type of the elements, by NumPy's name.
    pub dtype: String,
    /// Axes, slowest first.
    pub shape: Vec<u64>,
    /// Records of the sample.
    pub records: u64,
}

/// A field, and what its tensors are like.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FieldCount {
    /// Its name.
    pub name: String,
    /// The column that it was added with; nothing where the records themselves have it.
    pub column: Option<String>,
    /// What it is, in the words of whoever wrote it.
    pub description: Map<String, Value>,
    /// Records of the sample that have it.
    pub records: u64,
    /// Bytes of its elements in the sample.
    pub bytes: u64,
    /// Types and shapes in the sample, the most frequent first.
    pub shapes: Vec<ShapeCount>,
}

/// Looks at all fields of every `step`th record.
pub(super) fn count_fields(dataset: &Dataset, step: usize) -> Result<Vec<FieldCount>> {
    dataset.field_names().into_iter().map(|name| count(dataset, name, step)).collect()
}

fn count(dataset: &Dataset, name: String, step: usize) -> Result<FieldCount> {
    let (mut records, mut bytes) = (0, 0_u64);
    let mut tally: BTreeMap<(&str, Vec<u64>), u64> = BTreeMap::new();
    for record in (0..dataset.len()).step_by(step) {
        let Some(entry) = dataset.field(record, &name)? else { continue };
        records += 1;
        bytes = bytes.saturating_add(entry.bytes);
        *tally.entry((entry.dtype.name(), entry.shape)).or_default() += 1;
    }
    let mut shapes: Vec<ShapeCount> = tally
        .into_iter()
        .map(|((dtype, shape), records)| ShapeCount { dtype: dtype.to_owned(), shape, records })
        .collect();
    shapes.sort_by_key(|count| std::cmp::Reverse(count.records)); // stable: equal counts stay in their own order
    let description = dataset.description(&name)?.clone();
    let added = dataset.manifest().columns.iter().find(|set| set.fields.contains(&name));
    let column = added.map(|set| set.name.clone());
    Ok(FieldCount { name, column, description, records, bytes, shapes })
}
