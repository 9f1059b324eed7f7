//! From options to a loader: the check of all of them, and what they come to.

use super::builder::{LoaderBuilder, Options};
use super::choices::{LastBatch, Ragged};
use super::context::{Column, ColumnOrigin, LoaderShared, Sizes, VideoSpec, open_storage};
use super::field_scan::{Survey, survey};
use super::fields::{self, FieldSpec};
use super::handle::Loader;
use crate::batch::ColumnKind;
use crate::dataset::{Dataset, IndexColumn};
use crate::error::{Error, ErrorKind, Result};
use crate::order::Cut;
use crate::order::{Buckets, Samples, Window};
use crate::storage::memory_bytes;
use crate::threads::num_cores;
use crate::transform::{FrameFormat, MAX_OUTPUT_SIDE, TransformOptions};
use std::sync::Arc;

const MAX_BATCH_SIZE: usize = 1 << 16;
const MAX_WORKERS: usize = 1024;
const MAX_PREFETCH: usize = 4096;
/// Cores: less would pause for minutes after a large clip.
const MIN_CPU_LIMIT: f64 = 0.01;
const MIN_READ_AHEAD: u64 = 1 << 16;

impl LoaderBuilder {
    /// Checks everything and decides from the indexes which records are samples. Nothing is read from shards, but their
    /// indexes for text columns and tensor fields; no thread is started.
    ///
    /// # Errors
    /// `InvalidArgument` naming the option, its value and its range: also a window longer than every record, an unknown
    /// column or field, records of different sizes in one batch where no size is set, batches of more samples than there are where
    /// the last one is dropped, a ragged field where that is an error, a field
    /// whose description is not the one expected. Those of opening shards for fields, where the error policy raises them or no
    /// shard can be read. `LimitExceeded` for a batch that memory cannot hold. `Unsupported` for a storage
    /// engine that the machine lacks.
    pub fn build(self) -> Result<Loader> {
        let Self { dataset, options } = self;
        options.check()?;
        if options.window.is_none() && options.fields.is_empty() {
            return Err(Error::invalid("window must be set where there are no fields"));
        }
        let ragged = options.ragged_fields()?;
        fields::check_names(&options.fields, &ragged)?;
        for (name, expected) in &options.field_descriptions {
            dataset.check_description(name, expected)?;
        }
        let samples = match &options.window {
            Some(window) => Samples::new(&dataset, window).map_err(|error| error.with_path(dataset.root()))?,
            None => Samples::all(&dataset).map_err(|error| error.with_path(dataset.root()))?,
        };
        let Survey { specs, samples, bucket_lens, num_incomplete, incomplete, unreadable } =
            survey(&dataset, &options.fields, &ragged, options.on_error, samples, options.batch_size)?;
        let largest = bucket_lens.iter().copied().max().unwrap_or(samples.len());
        if options.last_batch == LastBatch::Drop && largest < options.batch_size as u64 {
            let (batch_size, of) = (options.batch_size, if bucket_lens.is_empty() { "" } else { " of one shape" });
            return Err(Error::invalid(format!(
                "batch_size is {batch_size} and the last batch is dropped, but there are only {largest} samples{of}: no batch is full"
            )));
        }
        let num_rows = largest.min(options.batch_size as u64) as usize;
        let video = options.window.map(|window| video(&dataset, &options, window, &samples, num_rows)).transpose()?;
        let columns = options.columns.iter().map(|name| column(&dataset, name)).collect::<Result<Vec<_>>>()?;
        let storage = open_storage(&dataset, &options.fields, &options.storage)?;
        #[cfg(test)]
        let storage = match &options.rig {
            Some(rig) => crate::storage::Storage::for_test(&options.storage, rig.clone())?,
            None => storage,
        };
        let cut = Cut {
            num_samples: samples.len(),
            batch_size: options.batch_size as u64,
            drop_last: options.last_batch == LastBatch::Drop,
            buckets: (!bucket_lens.is_empty()).then(|| Arc::new(Buckets::new(&bucket_lens, options.batch_size as u64))),
        };
        let sizes = sizes(&options, video.as_ref(), &specs, num_incomplete);
        let loader = LoaderShared::new(
            dataset, options, video, specs, samples, unreadable, incomplete, storage, columns, cut, sizes,
        );
        let loader = Loader::new(loader);
        if let Some(summary) = loader.short_warning() {
            tracing::warn!("{summary}");
        }
        Ok(loader)
    }
}

/// How many threads and batches there are.
fn sizes(options: &Options, video: Option<&VideoSpec>, fields: &[FieldSpec], num_incomplete: u64) -> Sizes {
    let workers = video.map_or(0, |_| options.decode_workers.unwrap_or_else(available_cores));
    let has_fields = !fields.is_empty();
    let tensor_readers = if has_fields { options.tensor_readers.unwrap_or_else(available_cores) } else { 0 };
    // Enough samples in the making that every thread has one and another waits for it.
    let enough = (2 * workers.max(tensor_readers)).div_ceil(options.batch_size).clamp(3, MAX_PREFETCH);
    let prefetch = options.prefetch_batches.unwrap_or(enough);
    Sizes { workers, tensor_readers, prefetch, num_incomplete }
}

/// The clips, and the check that a batch of `num_rows` of them is possible.
fn video(
    dataset: &Dataset,
    options: &Options,
    window: Window,
    samples: &Samples,
    num_rows: usize,
) -> Result<VideoSpec> {
    let TransformOptions { format, dtype, size, .. } = options.transform;
    let mut video = VideoSpec { window, format, dtype, size };
    let largest = if let Some(size) = size {
        size
    } else {
        let sizes = own_sizes(dataset, options, samples)?;
        video.size = sizes.common;
        sizes.largest
    };
    check_memory(num_rows, "clips", video.num_bytes(video.shape(largest)?)?)?;
    Ok(video)
}

/// Refuses batches that the memory of the machine, or of the process's control group, cannot hold: the system would grant it, and end
/// the process when it is written to.
pub(super) fn check_memory(rows: usize, what: &str, row_bytes: usize) -> Result<()> {
    let memory = memory_bytes().map_or(isize::MAX as usize, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if row_bytes.checked_mul(rows).is_some_and(|bytes| bytes <= memory) {
        return Ok(());
    }
    let message = format!("a batch of {rows} {what} of {row_bytes} bytes does not fit in {memory} bytes of memory");
    Err(Error::new(ErrorKind::LimitExceeded, message))
}

impl Options {
    /// What becomes of each field where it is ragged.
    pub(super) fn ragged_fields(&self) -> Result<Vec<Ragged>> {
        for (number, (name, _)) in self.field_ragged.iter().enumerate() {
            if !self.fields.contains(name) {
                return Err(Error::invalid(format!("ragged: '{name}' is none of the fields {:?}", self.fields)));
            }
            if self.field_ragged[..number].iter().any(|(other, _)| other == name) {
                return Err(Error::invalid(format!("ragged: '{name}' is named twice")));
            }
        }
        let of = |field: &String| self.field_ragged.iter().find(|(name, _)| name == field).map(|&(_, ragged)| ragged);
        Ok(self.fields.iter().map(|field| of(field).unwrap_or(self.ragged)).collect())
    }

    fn check(&self) -> Result<()> {
        let range = |name: &str, value: usize, max: usize| {
            if (1..=max).contains(&value) {
                Ok(())
            } else {
                Err(Error::invalid(format!("{name} is {value}, expected 1 to {max}")))
            }
        };
        range("batch_size", self.batch_size, MAX_BATCH_SIZE)?;
        range("decode_workers", self.decode_workers.unwrap_or(1), MAX_WORKERS)?;
        range("tensor_readers", self.tensor_readers.unwrap_or(1), MAX_WORKERS)?;
        range("prefetch_batches", self.prefetch_batches.unwrap_or(1), MAX_PREFETCH)?;
        if let Some(cores) = self.cpu_limit
            && !(MIN_CPU_LIMIT..=MAX_WORKERS as f64).contains(&cores)
        {
            let message = format!("cpu_limit is {cores}, expected {MIN_CPU_LIMIT} to {MAX_WORKERS}");
            return Err(Error::invalid(message));
        }
        if self.read_ahead_bytes < MIN_READ_AHEAD {
            let message = format!("read_ahead_bytes is {}, expected at least {MIN_READ_AHEAD}", self.read_ahead_bytes);
            return Err(Error::invalid(message));
        }
        if self.prefetch_bytes == 0 {
            return Err(Error::invalid("prefetch_bytes is 0, expected at least 1"));
        }
        if self.num_epochs == 0 {
            return Err(Error::invalid("epochs is 0, expected at least 1"));
        }
        self.window.as_ref().map_or(Ok(()), Window::check)?;
        self.transform.check()?;
        self.storage.validate()
    }
}

fn available_cores() -> usize {
    num_cores().min(MAX_WORKERS)
}

/// A user's column comes before one of the index that has the same name.
fn column(dataset: &Dataset, name: &str) -> Result<Column> {
    let own = dataset.own_columns().find(|(known, _)| *known == name);
    let (kind, origin) = match (dataset.column(name), own) {
        (Err(error), Some((_, kind))) if error.kind() == ErrorKind::InvalidArgument => (kind, ColumnOrigin::Index),
        (kind, _) => (kind?, ColumnOrigin::User),
    };
    let kind = match kind {
        IndexColumn::Bool => ColumnKind::Bool,
        IndexColumn::Int64 => ColumnKind::Int64,
        IndexColumn::Float64 => ColumnKind::Float64,
        IndexColumn::Text => ColumnKind::Text,
    };
    Ok(Column { name: name.to_owned(), kind, origin })
}

/// The display sizes of samples, (height, width).
struct OwnSizes {
    /// That of all, where it is one.
    common: Option<(u32, u32)>,
    /// That of the most pixels, of those that a picture can have.
    largest: (u32, u32),
}

/// The samples' own sizes. Where they differ, only batches of one sample are possible.
fn own_sizes(dataset: &Dataset, options: &Options, samples: &Samples) -> Result<OwnSizes> {
    let mut sizes: Option<OwnSizes> = None;
    for record in samples.records() {
        let row = dataset.row(record)?;
        let size @ (height, width) = (row.height, row.width);
        if options.transform.format == FrameFormat::Yuv420 && (height % 2 == 1 || width % 2 == 1) {
            return Err(Error::invalid(format!(
                "size must be set: record '{}' is of {height}x{width} (height x width), and yuv420 has even sides",
                row.key
            )));
        }
        let sizes = sizes.get_or_insert(OwnSizes { common: Some(size), largest: (0, 0) });
        if let Some(first) = sizes.common.filter(|&first| first != size) {
            if options.batch_size > 1 {
                return Err(Error::invalid(format!(
                    "size must be set, or batch_size be 1: the samples are of different sizes, {}x{} and {height}x{width} (height x width)",
                    first.0, first.1
                )));
            }
            sizes.common = None;
        }
        let pixels = |(height, width): (u32, u32)| u64::from(height) * u64::from(width);
        if height.max(width) <= MAX_OUTPUT_SIDE && pixels(size) > pixels(sizes.largest) {
            sizes.largest = size;
        }
    }
    sizes.ok_or_else(|| Error::invalid("the dataset is empty"))
}
