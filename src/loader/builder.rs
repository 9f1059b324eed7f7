//! The options of a loader.

use super::choices::{Checksum, ErrorPolicy, LastBatch, Ragged, Redraw, Shuffle};
use super::stage_bench::Stage;
use crate::dataset::Dataset;
use crate::decode::DecodeLimits;
use crate::order::{Draw, Window};
use crate::storage::StorageOptions;
use crate::transform::{DType, Filter, Fit, FrameFormat, Layout, TransformOptions};
use serde_json::{Map, Value};

/// All that a loader is told; see the setters of [`LoaderBuilder`].
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) batch_size: usize,
    pub(super) window: Option<Window>,
    pub(super) fields: Vec<String>,
    pub(super) ragged: Ragged,
    /// Of single fields, in place of `ragged`.
    pub(super) field_ragged: Vec<(String, Ragged)>,
    pub(super) checksum: Checksum,
    pub(super) field_descriptions: Vec<(String, Map<String, Value>)>,
    pub(super) transform: TransformOptions,
    pub(super) shuffle: Shuffle,
    pub(super) redraw: Redraw,
    pub(super) seed: u64,
    pub(super) num_epochs: u64,
    pub(super) last_batch: LastBatch,
    pub(super) decode_workers: Option<usize>,
    pub(super) tensor_readers: Option<usize>,
    pub(super) cpu_limit: Option<f64>,
    pub(super) prefetch_batches: Option<usize>,
    pub(super) prefetch_bytes: u64,
    pub(super) read_ahead_bytes: u64,
    pub(super) storage: StorageOptions,
    pub(super) on_error: ErrorPolicy,
    pub(super) columns: Vec<String>,
    pub(super) captions: bool,
    pub(super) limits: DecodeLimits,
    /// The stage that is left out: only in the loader inside a [`PartialLoader`](super::PartialLoader).
    pub(super) without: Option<Stage>,
    /// What goes wrong on purpose.
    #[cfg(test)]
    pub(super) rig: Option<crate::storage::faulty::Rig>,
}

impl Options {
    /// What random windows depend on.
    pub(super) fn draw(&self) -> Draw {
        match (self.redraw, self.shuffle) {
            (Redraw::On, _) | (Redraw::WithShuffle, Shuffle::On) => Draw::Position,
            (Redraw::Off, _) | (Redraw::WithShuffle, Shuffle::Off) => Draw::Record,
        }
    }
}

/// Collects the options of a [`Loader`](super::Loader); [`build`](Self::build) checks them.
#[derive(Debug, Clone)]
pub struct LoaderBuilder {
    pub(super) dataset: Dataset,
    pub(super) options: Options,
}

impl LoaderBuilder {
    pub(super) fn new(dataset: Dataset) -> Self {
        let options = Options {
            batch_size: 1,
            window: None,
            fields: Vec::new(),
            ragged: Ragged::Error,
            field_ragged: Vec::new(),
            checksum: Checksum::On,
            field_descriptions: Vec::new(),
            transform: TransformOptions::new(),
            shuffle: Shuffle::Off,
            redraw: Redraw::WithShuffle,
            seed: 0,
            num_epochs: 1,
            last_batch: LastBatch::Keep,
            decode_workers: None,
            tensor_readers: None,
            cpu_limit: None,
            prefetch_batches: None,
            prefetch_bytes: 8 << 30,
            read_ahead_bytes: 256 << 20,
            storage: StorageOptions::new(),
            on_error: ErrorPolicy::Raise,
            columns: Vec::new(),
            captions: false,
            limits: DecodeLimits::default(),
            without: None,
            #[cfg(test)]
            rig: None,
        };
        Self { dataset, options }
    }

    /// Samples per batch, 1 to 65536; 1 by default.
    #[must_use]
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.options.batch_size = batch_size;
        self
    }

    /// The frames of a sample. Must be set, unless there are [`fields`](Self::fields): without a window no video is touched.
    #[must_use]
    pub fn window(mut self, window: Window) -> Self {
        self.options.window = Some(window);
        self
    }

    /// Tensor fields that batches carry, in that order; none by default. Records that lack one of them are no samples;
    /// [`Loader::num_incomplete`](super::Loader::num_incomplete) counts them. Building looks at every record's entry in the shards' indexes.
    #[must_use]
    pub fn fields<S: Into<String>>(mut self, fields: impl IntoIterator<Item = S>) -> Self {
        self.options.fields = fields.into_iter().map(Into::into).collect();
        self
    }

    /// What becomes of fields whose shape differs from sample to sample; an error by default.
    #[must_use]
    pub fn ragged(mut self, ragged: Ragged) -> Self {
        self.options.ragged = ragged;
        self
    }

    /// As [`ragged`](Self::ragged), of one field: latents in buckets and text padded, say. May be called for each field.
    #[must_use]
    pub fn field_ragged(mut self, name: impl Into<String>, ragged: Ragged) -> Self {
        self.options.field_ragged.push((name.into(), ragged));
        self
    }

    /// Whether the bytes of fields are checked; they are by default. Where the bytes are in memory already it costs a tenth to
    /// a fifth of the processor time; where storage is the limit, no rate.
    #[must_use]
    pub fn checksum(mut self, checksum: Checksum) -> Self {
        self.options.checksum = checksum;
        self
    }

    /// What a field's description must say, such as which VAE made the latents: every key given must be there and equal.
    #[must_use]
    pub fn field_description(mut self, field: impl Into<String>, expected: Map<String, Value>) -> Self {
        self.options.field_descriptions.push((field.into(), expected));
        self
    }

    /// Output height and width. By default the records' display size, which must then be the same for all samples, or
    /// [`batch_size`](Self::batch_size) 1.
    #[must_use]
    pub fn size(mut self, height: u32, width: u32) -> Self {
        self.options.transform = self.options.transform.size(height, width);
        self
    }

    /// What a frame is; RGB by default.
    #[must_use]
    pub fn format(mut self, format: FrameFormat) -> Self {
        self.options.transform = self.options.transform.format(format);
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

    /// Whether random windows lie elsewhere in each epoch; where epochs are shuffled by default.
    #[must_use]
    pub fn redraw(mut self, redraw: Redraw) -> Self {
        self.options.redraw = redraw;
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

    /// Threads that read and check tensor fields, 1 to 1024, each with a storage engine of its own; as many as there are cores by
    /// default. What is delivered does not depend on it.
    #[must_use]
    pub fn tensor_readers(mut self, tensor_readers: usize) -> Self {
        self.options.tensor_readers = Some(tensor_readers);
        self
    }

    /// Processor time that the loader's threads may use, in cores: 1.5 is one and a half seconds a second, on average over some clips.
    /// No limit by default. Threads that would use more pause between one clip, or tensor, and the next. What is delivered does not
    /// depend on it. What does not count is used by whoever asks for batches, by the kernel, and by the threads of the engine `pread`.
    #[must_use]
    pub fn cpu_limit(mut self, cores: f64) -> Self {
        self.options.cpu_limit = Some(cores);
        self
    }

    /// Batches that are in the making or finished, 1 to 4096, besides the one that the consumer holds. By default 3, or
    /// more where that many samples would leave threads idle. Each takes the memory of one batch.
    #[must_use]
    pub fn prefetch_batches(mut self, prefetch_batches: usize) -> Self {
        self.options.prefetch_batches = Some(prefetch_batches);
        self
    }

    /// Memory of the batches that are in the making or finished, in bytes, at least 1; 8 GiB by default. A batch is begun
    /// while they take less, and where there is none.
    #[must_use]
    pub fn prefetch_bytes(mut self, prefetch_bytes: u64) -> Self {
        self.options.prefetch_bytes = prefetch_bytes;
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
}
