//! The options of a loader, and the check of all of them.

use super::loader::Loader;
use super::schedule::Cut;
use super::shared::{Column, LoaderShared, open_storage};
use crate::batch::ColumnKind;
use crate::dataset::{Dataset, IndexColumn, Samples, Window};
use crate::decode::DecodeLimits;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::StorageOptions;
use crate::transform::{ClipShape, DType, Filter, Fit, Layout, TransformOptions};
use std::num::NonZero;

const MAX_BATCH_SIZE: usize = 1 << 16;
const MAX_WORKERS: usize = 1024;
const MAX_PREFETCH: usize = 4096;
const MIN_READ_AHEAD: u64 = 1 << 16;

/// What becomes of a sample whose record is damaged: bytes that fail their checksum, packets that the decoder refuses, a
/// limit that is exceeded. Anything else (a missing file, a failing disk) is raised under every policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorPolicy {
    /// The loader gives the error in place of the batch; the next call goes on with the batch after.
    #[default]
    Raise,
    /// The batch comes without the sample, with fewer rows; `Batch::skipped` and the statistics say so. A batch that has no
    /// row left is passed over.
    Skip,
    /// Another record stands in, chosen by seed, epoch, position and attempt alone, so that it is the same in every run and
    /// on every rank; `Batch::substituted` and the statistics say so. After 16 damaged ones in a row the error is raised.
    Substitute,
}

impl ErrorPolicy {
    /// `raise`, `skip` or `substitute`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raise => "raise",
            Self::Skip => "skip",
            Self::Substitute => "substitute",
        }
    }

    /// The policy of that name.
    ///
    /// # Errors
    /// `InvalidArgument` that lists the names.
    pub fn parse(name: &str) -> Result<Self> {
        [Self::Raise, Self::Skip, Self::Substitute]
            .into_iter()
            .find(|policy| policy.as_str() == name)
            .ok_or_else(|| Error::invalid(format!("on_error is '{name}', expected one of raise, skip, substitute")))
    }
}

/// Whether the order of an epoch is shuffled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shuffle {
    /// In the order of the dataset's index. The default.
    #[default]
    Off,
    /// By a permutation that depends on seed and epoch.
    On,
}

/// What becomes of the positions at the end of an epoch that do not fill a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastBatch {
    /// They make a smaller batch. The default.
    #[default]
    Keep,
    /// They are left out.
    Drop,
}

/// All that a loader is told; see the setters of [`LoaderBuilder`].
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) batch_size: usize,
    pub(super) window: Option<Window>,
    pub(super) transform: TransformOptions,
    pub(super) shuffle: Shuffle,
    pub(super) seed: u64,
    pub(super) num_epochs: u64,
    pub(super) last_batch: LastBatch,
    pub(super) decode_workers: Option<usize>,
    pub(super) prefetch_batches: Option<usize>,
    pub(super) read_ahead_bytes: u64,
    pub(super) storage: StorageOptions,
    pub(super) on_error: ErrorPolicy,
    pub(super) columns: Vec<String>,
    pub(super) captions: bool,
    pub(super) limits: DecodeLimits,
}

/// Collects the options of a [`Loader`]; [`build`](Self::build) checks them.
#[derive(Debug, Clone)]
pub struct LoaderBuilder {
    dataset: Dataset,
    options: Options,
}

impl LoaderBuilder {
    pub(super) fn new(dataset: Dataset) -> Self {
        let options = Options {
            batch_size: 1,
            window: None,
            transform: TransformOptions::new(),
            shuffle: Shuffle::Off,
            seed: 0,
            num_epochs: 1,
            last_batch: LastBatch::Keep,
            decode_workers: None,
            prefetch_batches: None,
            read_ahead_bytes: 256 << 20,
            storage: StorageOptions::new(),
            on_error: ErrorPolicy::Raise,
            columns: Vec::new(),
            captions: false,
            limits: DecodeLimits::default(),
        };
        Self { dataset, options }
    }

    /// Samples per batch, 1 to 65536; 1 by default.
    #[must_use]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.options.batch_size = batch_size;
        self
    }

    /// The frames of a sample. Must be set.
    #[must_use]
    pub fn window(mut self, window: Window) -> Self {
        self.options.window = Some(window);
        self
    }

    /// Output height and width. By default the records' display size, which must then be the same for all samples.
    #[must_use]
    pub fn size(mut self, height: u32, width: u32) -> Self {
        self.options.transform = self.options.transform.size(height, width);
        self
    }

    /// What to do where the aspect ratios differ; crop by default.
    #[must_use]
    pub fn fit(mut self, fit: Fit) -> Self {
        self.options.transform = self.options.transform.fit(fit);
        self
    }

    /// Resampling filter; bicubic by default.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.options.transform = self.options.transform.filter(filter);
        self
    }

    /// Order of the axes of each sample; (T, C, H, W) by default.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.options.transform = self.options.transform.layout(layout);
        self
    }

    /// Type of the elements; `uint8` by default.
    #[must_use]
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.options.transform = self.options.transform.dtype(dtype);
        self
    }

    /// Factor from 8-bit levels, for float types; 1/255 by default.
    #[must_use]
    pub fn scale(mut self, scale: f64) -> Self {
        self.options.transform = self.options.transform.scale(scale);
        self
    }

    /// Mean and standard deviation per channel after scaling, for float types.
    #[must_use]
    pub fn normalize(mut self, mean: [f32; 3], std: [f32; 3]) -> Self {
        self.options.transform = self.options.transform.normalize(mean, std);
        self
    }

    /// All of the options from `size` to `normalize` at once.
    #[must_use]
    pub fn transform(mut self, transform: TransformOptions) -> Self {
        self.options.transform = transform;
        self
    }

    /// Whether epochs are shuffled; off by default.
    #[must_use]
    pub fn shuffle(mut self, shuffle: Shuffle) -> Self {
        self.options.shuffle = shuffle;
        self
    }

    /// The seed of order, placement and substitutes; 0 by default.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    /// Epochs in one iteration, at least 1; 1 by default. The next iteration goes on with the epoch after. Within an
    /// iteration the next epoch is read ahead while the last one ends.
    #[must_use]
    pub fn epochs(mut self, num_epochs: u64) -> Self {
        self.options.num_epochs = num_epochs;
        self
    }

    /// What becomes of the positions at the end of an epoch that do not fill a batch.
    #[must_use]
    pub fn last_batch(mut self, last_batch: LastBatch) -> Self {
        self.options.last_batch = last_batch;
        self
    }

    /// Threads that decode and transform, 1 to 1024; as many as there are cores by default. What is delivered does not
    /// depend on it.
    #[must_use]
    pub fn decode_workers(mut self, decode_workers: usize) -> Self {
        self.options.decode_workers = Some(decode_workers);
        self
    }

    /// Batches that are in the making or finished, 1 to 4096, besides the one that the consumer holds. By default 3, or
    /// more where that many clips would leave workers idle. Each takes the memory of one batch.
    #[must_use]
    pub fn prefetch_batches(mut self, prefetch_batches: usize) -> Self {
        self.options.prefetch_batches = Some(prefetch_batches);
        self
    }

    /// Compressed bytes that may be asked for and not decoded yet, at least 65536; 256 MiB by default. One clip may exceed
    /// it. Raise it where storage has a high latency.
    #[must_use]
    pub fn read_ahead_bytes(mut self, read_ahead_bytes: u64) -> Self {
        self.options.read_ahead_bytes = read_ahead_bytes;
        self
    }

    /// How storage is read.
    #[must_use]
    pub fn storage(mut self, storage: StorageOptions) -> Self {
        self.options.storage = storage;
        self
    }

    /// What becomes of damaged samples; they are raised by default.
    #[must_use]
    pub fn on_error(mut self, on_error: ErrorPolicy) -> Self {
        self.options.on_error = on_error;
        self
    }

    /// User columns that batches carry; none by default.
    #[must_use]
    pub fn columns<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.options.columns = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Batches carry captions. Off by default: they are read from the shards' indexes.
    #[must_use]
    pub fn with_captions(mut self) -> Self {
        self.options.captions = true;
        self
    }

    /// What one clip may cost.
    #[must_use]
    pub fn limits(mut self, limits: DecodeLimits) -> Self {
        self.options.limits = limits;
        self
    }

    /// Checks everything and decides from the dataset's index which records are samples. Nothing is read from shards, but
    /// for text columns; no thread is started.
    ///
    /// # Errors
    /// `InvalidArgument` naming the option, its value and its range: also a window longer than every record, an unknown
    /// column, records of different sizes where no size is set. `Unsupported` for a storage engine that the machine lacks.
    pub fn build(self) -> Result<Loader> {
        let Self { dataset, options } = self;
        options.check()?;
        let window = options.window.ok_or_else(|| Error::invalid("window must be set"))?;
        let samples = Samples::new(&dataset, &window)?;
        let (height, width) = match options.transform.size {
            Some(size) => size,
            None => common_size(&dataset, &samples)?,
        };
        let shape = ClipShape { frames: window.frames as usize, height: height as usize, width: width as usize };
        let clip_bytes = shape.num_bytes(options.transform.dtype)?;
        let rows = options.batch_size.min(usize::try_from(samples.len()).unwrap_or(usize::MAX));
        let batch_bytes = clip_bytes.checked_mul(rows).filter(|&bytes| isize::try_from(bytes).is_ok());
        let batch_bytes = batch_bytes.ok_or_else(|| {
            Error::new(ErrorKind::LimitExceeded, format!("a batch of {rows} clips of {clip_bytes} bytes is too large"))
        })?;
        let columns = options.columns.iter().map(|name| column(&dataset, name)).collect::<Result<Vec<_>>>()?;
        let storage = open_storage(&dataset, &options.storage)?;
        let workers = options.decode_workers.unwrap_or_else(available_cores);
        // Enough clips in the making that every worker has one and another waits for it.
        let enough = (2 * workers).div_ceil(options.batch_size).clamp(3, MAX_PREFETCH);
        let prefetch = options.prefetch_batches.unwrap_or(enough);
        let cut = Cut {
            num_samples: samples.len(),
            batch_size: options.batch_size as u64,
            drop_last: options.last_batch == LastBatch::Drop,
        };
        let sizes = super::shared::Sizes { shape, clip_bytes, batch_bytes, workers, prefetch };
        Ok(Loader::new(LoaderShared::new(dataset, options, window, samples, storage, columns, cut, sizes)))
    }
}

impl Options {
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
        range("prefetch_batches", self.prefetch_batches.unwrap_or(1), MAX_PREFETCH)?;
        if self.read_ahead_bytes < MIN_READ_AHEAD {
            let message = format!("read_ahead_bytes is {}, expected at least {MIN_READ_AHEAD}", self.read_ahead_bytes);
            return Err(Error::invalid(message));
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
    std::thread::available_parallelism().map_or(1, NonZero::get).min(MAX_WORKERS)
}

fn column(dataset: &Dataset, name: &str) -> Result<Column> {
    let kind = match dataset.column(name)? {
        IndexColumn::Bool => ColumnKind::Bool,
        IndexColumn::Int64 => ColumnKind::Int64,
        IndexColumn::Float64 => ColumnKind::Float64,
        IndexColumn::Text => ColumnKind::Text,
    };
    Ok(Column { name: name.to_owned(), kind })
}

/// The display size of all samples, (height, width).
fn common_size(dataset: &Dataset, samples: &Samples) -> Result<(u32, u32)> {
    let mut common = None;
    for record in samples.records() {
        let row = dataset.row(record)?;
        let size = (row.height, row.width);
        let first = *common.get_or_insert(size);
        if first != size {
            return Err(Error::invalid(format!(
                "size must be set: the samples are of different sizes, {}x{} and {}x{} (height x width)",
                first.0, first.1, size.0, size.1
            )));
        }
    }
    common.ok_or_else(|| Error::invalid("the dataset is empty"))
}
