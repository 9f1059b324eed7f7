//! The look at the fields of all samples when a loader is built: which records have them, and of which shapes.

use super::build::check_memory;
use super::choices::{ErrorPolicy, Ragged};
use super::fields::{FieldSpec, widen};
use crate::dataset::{Dataset, FieldEntry};
use crate::error::{Error, Result};
use crate::format::TensorType;
use crate::order::{MAX_LISTED, Samples};
use std::collections::HashMap;

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
    /// The first of these.
    pub(super) incomplete: Vec<u32>,
    /// Samples whose shapes are not known, because their shard can't be read: ascending.
    pub(super) unreadable: Vec<u32>,
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

/// All fields while records are looked at.
struct Scan<'a> {
    dataset: &'a Dataset,
    names: &'a [String],
    /// One for each name.
    ragged: &'a [Ragged],
    /// One for each name; `None` before the first record that has all of them.
    found: Vec<Option<Found>>,
    buckets: Vec<Vec<u32>>,
    /// The bucket of each combination of shapes: of fields that are not in buckets, no shape.
    numbers: HashMap<Vec<Vec<u64>>, usize>,
    num_incomplete: u64,
    incomplete: Vec<u32>,
    unreadable: Vec<u32>,
    /// Of the first record that can't be read.
    first_error: Option<Error>,
}

/// Looks at the fields of all samples. Where the error policy passes over damage, a record whose shard can't be read stays a
/// sample, so that the others keep their positions; it fails when its turn comes. With buckets it stands in the first one.
///
/// # Errors
/// `InvalidArgument` for an unknown field; where no sample has all of them; where a field has several types, or several shapes
/// and `ragged` does not allow it. `LimitExceeded` where memory cannot hold a batch: one of each bucket, one of all in the widest shape where they are padded. Those
/// of opening shards, where the policy raises them or no other shard has a sample.
pub(super) fn survey(
    dataset: &Dataset,
    names: &[String],
    ragged: &[Ragged],
    on_error: ErrorPolicy,
    samples: Samples,
    batch_size: usize,
) -> Result<Survey> {
    let mut scan = Scan::new(dataset, names, ragged);
    if names.is_empty() {
        return Ok(scan.into_survey(Vec::new(), samples, Vec::new()));
    }
    for record in samples.records() {
        scan.look_at(record, on_error)?;
    }
    scan.check_found()?;
    let specs = scan.specs(batch_size, &samples)?;
    let buckets = std::mem::take(&mut scan.buckets);
    let bucket_lens = if ragged.contains(&Ragged::Bucket) {
        buckets.iter().map(|bucket| bucket.len() as u64).collect()
    } else {
        Vec::new()
    };
    let is_whole = scan.num_incomplete == 0 && buckets.len() == 1;
    let samples = if is_whole { samples } else { samples.narrowed(buckets.concat()) };
    Ok(scan.into_survey(specs, samples, bucket_lens))
}

impl<'a> Scan<'a> {
    fn new(dataset: &'a Dataset, names: &'a [String], ragged: &'a [Ragged]) -> Self {
        Self {
            dataset,
            names,
            ragged,
            found: names.iter().map(|_| None).collect(),
            buckets: Vec::new(),
            numbers: HashMap::new(),
            num_incomplete: 0,
            incomplete: Vec::new(),
            unreadable: Vec::new(),
            first_error: None,
        }
    }

    fn look_at(&mut self, record: usize, on_error: ErrorPolicy) -> Result<()> {
        let entries =
            self.names.iter().map(|name| self.dataset.field(record, name)).collect::<Result<Option<Vec<_>>>>();
        let number = match entries {
            Ok(Some(entries)) => self.add(record, entries)?,
            Ok(None) => {
                self.num_incomplete += 1;
                if self.incomplete.len() < MAX_LISTED {
                    self.incomplete.push(record as u32);
                }
                return Ok(());
            }
            Err(error) if on_error.passes_over(&error) => {
                self.unreadable.push(record as u32);
                self.first_error.get_or_insert(error);
                0
            }
            Err(error) => return Err(error),
        };
        if number >= self.buckets.len() {
            self.buckets.resize(number + 1, Vec::new());
        }
        self.buckets[number].push(record as u32);
        Ok(())
    }

    /// Compares a record with those before; gives its bucket.
    fn add(&mut self, record: usize, entries: Vec<FieldEntry>) -> Result<usize> {
        let fields = self.found.iter_mut().zip(self.names).zip(self.ragged).zip(&entries);
        for (((found, name), &ragged), entry) in fields {
            match found {
                Some(found) => found.compare(self.dataset, name, ragged, record, entry)?,
                None => *found = Some(Found::new(record, entry)),
            }
        }
        if !self.ragged.contains(&Ragged::Bucket) {
            return Ok(0);
        }
        let shape = |(entry, &ragged): (FieldEntry, &Ragged)| match ragged {
            Ragged::Bucket => entry.shape,
            Ragged::Error | Ragged::Pad => Vec::new(),
        };
        let next = self.numbers.len();
        Ok(*self.numbers.entry(entries.into_iter().zip(self.ragged).map(shape).collect()).or_insert(next))
    }

    /// Refuses a dataset of which no record is known to have all fields.
    fn check_found(&mut self) -> Result<()> {
        if self.found.iter().all(Option::is_some) {
            return Ok(());
        }
        let names = self.names.join(", ");
        Err(match self.first_error.take() {
            Some(first) => {
                let num_unreadable = self.unreadable.len();
                first.in_context(&format!(
                    "fields: {num_unreadable} samples can't be read and no other has {names}, the first"
                ))
            }
            None => Error::invalid(format!("fields: no sample has all of {names}")).with_path(self.dataset.root()),
        })
    }

    /// The fields, once it is sure that memory holds a batch of them.
    fn specs(&mut self, batch_size: usize, samples: &Samples) -> Result<Vec<FieldSpec>> {
        let mut specs = Vec::with_capacity(self.names.len());
        let mut extents = Vec::with_capacity(self.names.len());
        let fields = self.names.iter().zip(self.ragged).zip(self.found.drain(..).flatten());
        for ((name, &ragged), found) in fields {
            let (spec, extent) = found.into_spec(name, ragged, batch_size.min(samples.len() as usize));
            specs.push(spec);
            extents.push(extent);
        }
        if self.ragged.contains(&Ragged::Bucket) {
            for (shapes, &number) in &self.numbers {
                let sides = extents.iter().zip(shapes).zip(self.ragged);
                let sides =
                    sides.map(|((extent, shape), &ragged)| if ragged == Ragged::Bucket { shape } else { extent });
                let sides: Vec<_> = sides.cloned().collect();
                check_rows(&specs, &sides, batch_size.min(self.buckets[number].len()))?;
            }
        } else {
            check_rows(&specs, &extents, batch_size.min(self.buckets[0].len()))?;
        }
        Ok(specs)
    }

    fn into_survey(self, specs: Vec<FieldSpec>, samples: Samples, bucket_lens: Vec<u64>) -> Survey {
        let Self { num_incomplete, incomplete, unreadable, .. } = self;
        Survey { specs, samples, bucket_lens, num_incomplete, incomplete, unreadable }
    }
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
