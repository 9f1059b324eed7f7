//! What all threads of a loader, and all its iterations, have in common.

use super::options::Options;
use super::run::Run;
use super::schedule::{Cut, LoaderState};
use super::stats::{Counters, LoaderStats};
use super::worker::Tools;
use crate::batch::{BatchPool, ColumnKind};
use crate::dataset::{Dataset, Samples, Window};
use crate::error::Result;
use crate::storage::{Storage, StorageOptions};
use crate::transform::ClipShape;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// A user column that batches carry.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: ColumnKind,
}

/// What the options come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) shape: ClipShape,
    pub(super) clip_bytes: usize,
    pub(super) batch_bytes: usize,
    pub(super) workers: usize,
    pub(super) prefetch: usize,
}

/// Where the loader stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// The next sample to be delivered.
    pub(super) state: LoaderState,
    /// Epoch and position that the next iteration begins with.
    pub(super) next: (u64, u64),
    /// Number of the newest iteration; older ones no longer move `state`.
    pub(super) iteration: u64,
}

pub(super) struct LoaderShared {
    pub(super) dataset: Dataset,
    pub(super) options: Options,
    pub(super) window: Window,
    pub(super) samples: Samples,
    pub(super) storage: Storage,
    pub(super) columns: Vec<Column>,
    pub(super) cut: Cut,
    pub(super) sizes: Sizes,
    pub(super) memory: BatchPool,
    pub(super) counters: Counters,
    progress: Mutex<Progress>,
    /// Open decoders and tables of workers that have ended, for those of the next iteration.
    parked: Mutex<Vec<Tools>>,
    /// The newest iteration, for its queues' depths.
    current: Mutex<Weak<Run>>,
}

/// The storage for a dataset's shards, chosen by where they are and how many bytes they have.
pub(super) fn open_storage(dataset: &Dataset, options: &StorageOptions) -> Result<Storage> {
    let mut options = options.clone();
    if options.data_bytes.is_none() {
        options.data_bytes =
            Some(dataset.manifest().shards.iter().map(|shard| shard.bytes).fold(0, u64::saturating_add));
    }
    Storage::for_path(&options, dataset.root())
}

/// Batches that a consumer holds while it asks for the next: the one it works on and the one that it is given.
const HELD_BY_CONSUMER: usize = 2;

impl LoaderShared {
    #[expect(clippy::too_many_arguments, reason = "called once, by the builder")]
    pub(super) fn new(
        dataset: Dataset,
        options: Options,
        window: Window,
        samples: Samples,
        storage: Storage,
        columns: Vec<Column>,
        cut: Cut,
        sizes: Sizes,
    ) -> Self {
        let state = LoaderState::new(options.seed, 0, 0, samples.len());
        let memory = BatchPool::new(sizes.batch_bytes, sizes.prefetch + HELD_BY_CONSUMER);
        let progress = Mutex::new(Progress { state, next: (0, 0), iteration: 0 });
        let (counters, parked) = (Counters::default(), Mutex::default());
        let current = Mutex::default();
        Self {
            dataset,
            options,
            window,
            samples,
            storage,
            columns,
            cut,
            sizes,
            memory,
            counters,
            progress,
            parked,
            current,
        }
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
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

    pub(super) fn set_current(&self, run: &Arc<Run>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(run);
    }

    pub(super) fn stats(&self) -> LoaderStats {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let (ready_batches, queued_clips, held_bytes) = current.map_or((0, 0, 0), |run| run.monitor.depths());
        LoaderStats {
            ready_batches,
            queued_clips,
            held_bytes,
            num_workers: self.sizes.workers as u64,
            num_short: self.samples.num_short(),
            batch_memory: self.memory.stats(),
            ..self.counters.snapshot()
        }
    }
}
