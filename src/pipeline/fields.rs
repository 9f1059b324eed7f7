//! Tensor fields as a loader delivers them: which records have them, of which shapes, and where the bytes of one are.
//! Everything is decided from indexes; no tensor is read.

use super::build::check_memory;
use super::policies::Ragged;
use super::row::Row;
use crate::batch::BatchAssembly;
use crate::buf::Slot;
use crate::dataset::{Dataset, FieldEntry, Samples};
use crate::error::{Error, ErrorKind, Result};
use crate::format::TensorType;
use std::collections::HashMap;
use std::sync::Arc;

/// Entries of a batch that are no fields, as Python names them.
const RESERVED_NAMES: [&str; 12] = [
    "video",
    "key",
    "caption",
    "pts",
    "frame",
    "time_base",
    "record",
    "position",
    "epoch",
    "columns",
    "skipped",
    "substituted",
];
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
    num_axes: usize,
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
pub(super) fn check_names(names: &[String], ragged: Ragged) -> Result<()> {
    for (number, name) in names.iter().enumerate() {
        let fault = if names[..number].contains(name) {
            "is named twice"
        } else if RESERVED_NAMES.contains(&name.as_str()) {
            "is the name of another entry of a batch"
        } else if ragged == Ragged::Pad
            && name.strip_suffix(LENGTHS_SUFFIX).is_some_and(|of| names.iter().any(|other| other == of))
        {
            "is the name of the lengths of another field"
        } else {
            continue;
        };
        return Err(Error::invalid(format!("fields: '{name}' {fault}")));
    }
    Ok(())
}

/// What was found out about the samples' fields.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) specs: Vec<FieldSpec>,
    /// The samples that have all fields, bucket by bucket.
    pub(super) samples: Samples,
    /// Samples of each bucket; empty without buckets.
    pub(super) bucket_lens: Vec<u64>,
    /// Records that were samples but for a field that they lack.
    pub(super) num_incomplete: u64,
}

/// One field while records are looked at.
struct Found {
    dtype: TensorType,
    record: u32,
    shape: Vec<u64>,
    /// Largest side along each axis.
    widest: Vec<u64>,
    /// The shape with the most elements.
    largest: Vec<u64>,
    is_ragged: bool,
}

/// Looks at the fields of all samples.
///
/// # Errors
/// `InvalidArgument` for an unknown field; where no sample has all of them; where a field has several types, or several shapes
/// and `ragged` does not allow it. `LimitExceeded` where memory cannot hold a batch: one of each bucket, one of all in the widest shape where they are padded. Those
/// of opening shards.
pub(super) fn survey(
    dataset: &Dataset,
    names: &[String],
    ragged: Ragged,
    samples: Samples,
    batch_size: usize,
) -> Result<Survey> {
    if names.is_empty() {
        return Ok(Survey { specs: Vec::new(), samples, bucket_lens: Vec::new(), num_incomplete: 0 });
    }
    let mut found: Vec<Option<Found>> = names.iter().map(|_| None).collect();
    let mut buckets: Vec<Vec<u32>> = Vec::new();
    let mut numbers: HashMap<Vec<Vec<u64>>, usize> = HashMap::new();
    let mut num_incomplete = 0;
    'records: for record in samples.records() {
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            let Some(entry) = dataset.field(record, name)? else {
                num_incomplete += 1;
                continue 'records;
            };
            entries.push(entry);
        }
        for ((found, name), entry) in found.iter_mut().zip(names).zip(&entries) {
            match found {
                Some(found) => found.compare(dataset, name, ragged, record, entry)?,
                None => *found = Some(Found::new(record, entry)),
            }
        }
        let number = match ragged {
            Ragged::Bucket => {
                let next = numbers.len();
                *numbers.entry(entries.into_iter().map(|entry| entry.shape).collect()).or_insert(next)
            }
            Ragged::Error | Ragged::Pad => 0,
        };
        if number >= buckets.len() {
            buckets.resize(number + 1, Vec::new());
        }
        buckets[number].push(record as u32);
    }
    if buckets.is_empty() {
        let message = format!("fields: no sample has all of {}", names.join(", "));
        return Err(Error::invalid(message).with_path(dataset.root()));
    }
    let mut specs = Vec::with_capacity(names.len());
    let mut extents = Vec::with_capacity(names.len());
    for (name, found) in names.iter().zip(found.into_iter().flatten()) {
        let (spec, extent) = found.into_spec(name, ragged, batch_size.min(samples.len() as usize));
        specs.push(spec);
        extents.push(extent);
    }
    if ragged == Ragged::Bucket {
        for (shapes, number) in numbers {
            check_rows(&specs, &shapes, batch_size.min(buckets[number].len()))?;
        }
    } else {
        check_rows(&specs, &extents, batch_size.min(buckets[0].len()))?;
    }
    let bucket_lens = match ragged {
        Ragged::Bucket => buckets.iter().map(|bucket| bucket.len() as u64).collect(),
        Ragged::Error | Ragged::Pad => Vec::new(),
    };
    let samples = if num_incomplete == 0 && buckets.len() == 1 { samples } else { samples.narrowed(buckets.concat()) };
    Ok(Survey { specs, samples, bucket_lens, num_incomplete })
}

fn num_elements(shape: &[u64]) -> u64 {
    shape.iter().fold(1, |count, &side| count.saturating_mul(side))
}

impl Found {
    fn new(record: usize, entry: &FieldEntry) -> Self {
        let shape = entry.shape.clone();
        let (widest, largest) = (shape.clone(), shape.clone());
        Self { dtype: entry.dtype, record: record as u32, widest, largest, shape, is_ragged: false }
    }

    fn compare(
        &mut self,
        dataset: &Dataset,
        name: &str,
        ragged: Ragged,
        record: usize,
        entry: &FieldEntry,
    ) -> Result<()> {
        self.is_ragged |= entry.shape != self.shape;
        let fault = if entry.dtype != self.dtype {
            "has several types"
        } else if self.is_ragged && ragged == Ragged::Error {
            "has several shapes (ragged may be \"pad\" or \"bucket\")"
        } else if entry.shape.len() != self.shape.len() && ragged == Ragged::Pad {
            "can't be padded, it has several numbers of axes"
        } else {
            widen(&mut self.widest, &entry.shape);
            if num_elements(&entry.shape) > num_elements(&self.largest) {
                self.largest.clone_from(&entry.shape);
            }
            return Ok(());
        };
        let (first, other) = (dataset.key(self.record as usize)?, dataset.key(record)?);
        Err(Error::invalid(format!(
            "fields: '{name}' {fault}: {:?} {} in record '{first}', {:?} {} in record '{other}'",
            self.shape, self.dtype, entry.shape, entry.dtype
        )))
    }

    /// The field, and the sides of the largest row that a batch of `num_rows` or fewer may have.
    fn into_spec(self, name: &str, ragged: Ragged, num_rows: usize) -> (FieldSpec, Vec<u64>) {
        let spec = FieldSpec {
            name: name.to_owned(),
            dtype: self.dtype,
            num_axes: self.shape.len(),
            shape: (!self.is_ragged).then_some(self.shape),
            has_lengths: self.is_ragged && ragged == Ragged::Pad,
        };
        // A row alone is as large as its tensor.
        let extent = if num_rows > 1 { self.widest } else { self.largest };
        (spec, extent)
    }
}

/// Refuses what memory cannot hold: `num_rows` rows of those sides of each field.
fn check_rows(specs: &[FieldSpec], extents: &[Vec<u64>], num_rows: usize) -> Result<()> {
    specs.iter().zip(extents).try_for_each(|(spec, sides)| {
        check_memory(num_rows, &format!("tensors of field '{}'", spec.name), spec.row_bytes(sides)?)
    })
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
