//! Tensor fields as a loader delivers them, and where the bytes of one are. Everything is decided from indexes; no tensor is
//! read.

use super::choices::Ragged;
use super::row::Row;
use crate::batch::BatchAssembly;
use crate::buf::Slot;
use crate::dataset::{Dataset, FieldEntry};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{TensorType, is_batch_entry};
use std::sync::Arc;

/// What Python adds to a field's name for its lengths.
const LENGTHS_SUFFIX: &str = "_lengths";

/// One field of a loader.
#[derive(Debug)]
pub(super) struct FieldSpec {
    pub(super) name: String,
    pub(super) dtype: TensorType,
    /// Sides along each axis; `None` where they differ from record to record.
    pub(super) shape: Option<Vec<u64>>,
    /// Number of axes of the first record's.
    pub(super) num_axes: usize,
    /// Whether batches say how much of a row is its own.
    pub(super) has_lengths: bool,
}

impl FieldSpec {
    /// Bytes of a tensor of those sides.
    pub(super) fn row_bytes(&self, sides: &[u64]) -> Result<usize> {
        let item = self.dtype.size_bytes();
        let bytes = sides.iter().try_fold(item, |bytes, &side| bytes.checked_mul(usize::try_from(side).ok()?));
        bytes.filter(|&bytes| isize::try_from(bytes).is_ok()).ok_or_else(|| {
            let message = format!("field '{}': a tensor of {sides:?} {} is too large", self.name, self.dtype);
            Error::new(ErrorKind::LimitExceeded, message)
        })
    }
}

/// Makes `extents` large enough for `shape` as well. Shapes of other numbers of axes meet only where no row was known.
pub(super) fn widen(extents: &mut Vec<u64>, shape: &[u64]) {
    if extents.len() == shape.len() {
        extents.iter_mut().zip(shape).for_each(|(extent, &side)| *extent = side.max(*extent));
    } else {
        *extents = shape.to_vec();
    }
}

/// One tensor on its way into a batch.
#[derive(Debug)]
pub(super) struct FieldJob {
    pub(super) row: Arc<Row>,
    pub(super) tensor: PlannedTensor,
}

/// Where one tensor is, and where it goes.
#[derive(Debug)]
pub(super) struct PlannedTensor {
    /// Number of the field.
    pub(super) number: usize,
    pub(super) entry: FieldEntry,
    /// Where it goes: memory for a tensor of `extents`.
    pub(super) slot: Slot,
    pub(super) extents: Vec<u64>,
    /// Where the slot is not of the batch, but of memory of its own.
    pub(super) apart: Option<BatchAssembly>,
}

/// Refuses fields that are named twice, or like another entry of a batch.
pub(super) fn check_names(names: &[String], ragged: &[Ragged]) -> Result<()> {
    let is_padded = |name: &str| names.iter().zip(ragged).any(|(other, &r)| other == name && r == Ragged::Pad);
    for (number, name) in names.iter().enumerate() {
        let fault = if names[..number].contains(name) {
            "is named twice"
        } else if is_batch_entry(name) {
            "is the name of another entry of a batch"
        } else if name.strip_suffix(LENGTHS_SUFFIX).is_some_and(is_padded) {
            "is the name of the lengths of another field"
        } else {
            continue;
        };
        return Err(Error::invalid(format!("fields: '{name}' {fault}")));
    }
    Ok(())
}

/// Where the fields of a record are.
///
/// # Errors
/// Those of the shards' indexes. `Corrupt` where a field is missing that the survey saw.
pub(super) fn entries(dataset: &Dataset, specs: &[FieldSpec], record: usize) -> Result<Vec<FieldEntry>> {
    let entry = |spec: &FieldSpec| {
        let missing = || Error::corrupt(format!("field '{}' is missing", spec.name));
        dataset.field(record, &spec.name)?.ok_or_else(missing)
    };
    specs.iter().map(entry).collect()
}

/// The sides of a row of each field, so that all of `rows` have room.
pub(super) fn extents<'a>(specs: &[FieldSpec], rows: impl Iterator<Item = &'a Vec<FieldEntry>>) -> Arc<[Vec<u64>]> {
    let mut extents: Vec<Vec<u64>> = specs.iter().map(|spec| vec![0; spec.num_axes]).collect();
    for row in rows {
        extents.iter_mut().zip(row).for_each(|(extents, entry)| widen(extents, &entry.shape));
    }
    extents.into()
}
