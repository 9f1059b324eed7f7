//! What all threads of a loader, and all its iterations, have in common.

use super::batch::Skipped;
use super::builder::Options;
use super::choices::Shuffle;
use super::cpu_budget::CpuBudget;
use super::fields::FieldSpec;
use super::iteration::Run;
use super::open_files::Files;
use super::progress::Progress;
use super::stats::{Counters, LoaderStats};
use super::worker::Tools;
use crate::batch::{BatchPool, ColumnKind};
use crate::dataset::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::format::crc32c;
use crate::order::{Cut, OrderKey};
use crate::order::{Samples, Window};
use crate::storage::{Storage, StorageOptions};
use crate::transform::{ClipShape, DType, FrameFormat, MAX_OUTPUT_SIDE};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A column that batches carry.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: ColumnKind,
    pub(super) origin: ColumnOrigin,
}

/// Where a column's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnOrigin {
    /// The user wrote them.
    User,
    /// The dataset's index has them for every record.
    Index,
}

/// The clips of batches.
#[derive(Debug, Clone, Copy)]
pub(super) struct VideoSpec {
    pub(super) window: Window,
    pub(super) format: FrameFormat,
    pub(super) dtype: DType,
    /// Height and width of all clips; `None` where each has its own, and batches are of one sample.
    pub(super) size: Option<(u32, u32)>,
}

impl VideoSpec {
    /// The shape of a clip of a record of that display size, height and width.
    ///
    /// # Errors
    /// `LimitExceeded` for a size of its own that no picture can have.
    pub(super) fn shape(&self, display: (u32, u32)) -> Result<ClipShape> {
        let (height, width) = self.size.unwrap_or(display);
        if height.max(width) > MAX_OUTPUT_SIDE {
            let message = format!("the display size is {height}x{width}, at most {MAX_OUTPUT_SIDE} a side are allowed");
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        let (frames, height, width) = (self.window.frames as usize, height as usize, width as usize);
        Ok(ClipShape { format: self.format, frames, height, width })
    }

    /// Bytes of a clip of that shape.
    pub(super) fn num_bytes(&self, shape: ClipShape) -> Result<usize> {
        shape.num_bytes(self.dtype)
    }

    /// The shape of all clips, where they have one.
    pub(super) fn common_shape(&self) -> Option<ClipShape> {
        self.size.and_then(|size| self.shape(size).ok())
    }
}

/// What the options come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// 0 without a window.
    pub(super) workers: usize,
    /// 0 without fields.
    pub(super) tensor_readers: usize,
    pub(super) prefetch: usize,
    pub(super) num_incomplete: u64,
}

pub(super) struct LoaderShared {
    pub(super) dataset: Dataset,
    pub(super) options: Options,
    /// `None` without a window.
    pub(super) video: Option<VideoSpec>,
    pub(super) fields: Vec<FieldSpec>,
    pub(super) samples: Samples,
    /// Samples of which nothing is known, ascending: they fail, also where their shard comes back with who knows which shapes.
    pub(super) unreadable: Vec<u32>,
    /// The first records that lack a field.
    pub(super) incomplete: Vec<u32>,
    pub(super) storage: Storage,
    pub(super) columns: Vec<Column>,
    pub(super) cut: Cut,
    pub(super) sizes: Sizes,
    pub(super) files: Files,
    pub(super) memory: BatchPool,
    pub(super) counters: Counters,
    /// What processor time its threads may use, where that is limited.
    pub(super) cpu_budget: Option<CpuBudget>,
    progress: Mutex<Progress>,
    /// Whether the log was told of a sample that was left out or replaced.
    has_warned: AtomicBool,
    /// Open decoders and tables of workers that have ended, for those of the next iteration.
    parked: Mutex<Vec<Tools>>,
    /// The iterations that run, the newest one last.
    runs: Mutex<Vec<Weak<Run>>>,
    is_closed: AtomicBool,
}

/// The storage for the shards of a dataset's records and of its columns that have one of `fields`, chosen by where they are and
/// how many bytes they have.
pub(super) fn open_storage(dataset: &Dataset, fields: &[String], options: &StorageOptions) -> Result<Storage> {
    let mut options = options.clone();
    if options.data_bytes.is_none() {
        let manifest = dataset.manifest();
        let sets = manifest.columns.iter().filter(|set| set.fields.iter().any(|field| fields.contains(field)));
        let shards = manifest.shards.iter().chain(sets.flat_map(|set| &set.shards));
        options.data_bytes = Some(shards.map(|shard| shard.bytes).fold(0, u64::saturating_add));
    }
    Storage::for_path(&options, dataset.root())
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the loader was closed")
}

/// Batches that a consumer holds while it asks for the next: the one it works on and the one that it is given.
const HELD_BY_CONSUMER: usize = 2;

impl LoaderShared {
    #[expect(clippy::too_many_arguments, reason = "called once, by the builder")]
    pub(super) fn new(
        dataset: Dataset,
        options: Options,
        video: Option<VideoSpec>,
        fields: Vec<FieldSpec>,
        samples: Samples,
        unreadable: Vec<u32>,
        incomplete: Vec<u32>,
        storage: Storage,
        columns: Vec<Column>,
        cut: Cut,
        sizes: Sizes,
    ) -> Self {
        let order = OrderKey {
            seed: options.seed,
            shuffle: options.shuffle == Shuffle::On,
            num_samples: samples.len(),
            bucket_batch_size: cut.buckets.is_some().then_some(cut.batch_size),
            bucket_crc32c: cut.buckets.as_ref().map(|buckets| crc32c(&buckets.identity(&samples))),
            dataset: dataset.manifest().id.clone(),
        };
        let num_parts = usize::from(video.is_some()) + fields.len();
        let memory = BatchPool::new((sizes.prefetch + HELD_BY_CONSUMER) * num_parts);
        let progress = Mutex::new(Progress::new(order));
        let (files, counters, parked) = (Files::default(), Counters::default(), Mutex::default());
        let cpu_budget = options.cpu_limit.map(CpuBudget::new);
        let (runs, has_warned, is_closed) = (Mutex::default(), AtomicBool::new(false), AtomicBool::new(false));
        Self {
            dataset,
            options,
            video,
            fields,
            samples,
            unreadable,
            incomplete,
            storage,
            columns,
            cut,
            sizes,
            files,
            memory,
            counters,
            cpu_budget,
            progress,
            has_warned,
            parked,
            runs,
            is_closed,
        }
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says in the log, once in the life of the loader, that a sample was left out or replaced: of thousands, the counters tell.
    pub(super) fn warn_of(&self, lost: Option<&Skipped>) {
        let Some(lost) = lost else { return };
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            let policy = self.options.on_error.as_str();
            tracing::warn!(
                policy,
                reason = lost.reason,
                "a sample could not be read or decoded; more are only counted"
            );
        }
    }

    /// The clips of batches, where there are any.
    pub(super) fn video(&self) -> Result<&VideoSpec> {
        self.video.as_ref().ok_or_else(|| Error::invalid("the loader has no window"))
    }

    /// Decoders and tables for one worker.
    pub(super) fn take_tools(&self) -> Tools {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps a worker's decoders and tables for the next iteration.
    pub(super) fn park_tools(&self, tools: Tools) {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        if parked.len() < self.sizes.workers {
            parked.push(tools);
        }
    }

    fn runs(&self) -> MutexGuard<'_, Vec<Weak<Run>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An iteration begins. Where the loader is closed it ends with that error.
    pub(super) fn add_run(&self, run: &Arc<Run>) {
        {
            let mut runs = self.runs();
            runs.retain(|run| run.strong_count() > 0);
            runs.push(Arc::downgrade(run));
        }
        // After it was added: whoever closes the loader sets the flag first, and then looks for iterations.
        if self.is_closed.load(Ordering::SeqCst) {
            run.monitor.fail(closed());
        }
    }

    /// Ends all iterations, those that run and those to come, and gives back what was kept for them.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        let runs: Vec<_> = self.runs().iter().filter_map(Weak::upgrade).collect();
        for run in &runs {
            run.monitor.fail(closed());
        }
        for run in runs {
            run.join();
        }
        drop(std::mem::take(&mut *self.parked.lock().unwrap_or_else(PoisonError::into_inner)));
        self.storage.release_idle();
        crate::buf::release_free_memory();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    pub(super) fn stats(&self) -> LoaderStats {
        let current = self.runs().last().and_then(Weak::upgrade);
        let (ready_batches, queued_clips, held_bytes) = current.map_or((0, 0, 0), |run| run.monitor.depths());
        LoaderStats {
            ready_batches,
            queued_clips,
            held_bytes,
            prefetch_batches: self.sizes.prefetch as u64,
            read_ahead_bytes: self.options.read_ahead_bytes,
            num_workers: self.sizes.workers as u64,
            num_tensor_readers: self.sizes.tensor_readers as u64,
            num_short: self.samples.num_short(),
            num_incomplete: self.sizes.num_incomplete,
            batch_memory: self.memory.stats(),
            ..self.counters.snapshot()
        }
    }
}
