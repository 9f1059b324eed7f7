//! Loaders that leave out a stage, for measuring what the others would give without it.
//!
//! What such a loader makes are no samples: the memory of its frames holds whatever was there before. So it gives a type of its
//! own, from which no pixel and no [`Batch`](super::Batch) can be had.

use super::batches::{Batches, Next};
use super::builder::LoaderBuilder;
use super::handle::Loader;
use super::stats::LoaderStats;
use crate::error::{Error, Result};
use std::fmt;
use std::time::Duration;

/// A stage that can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Frames are decoded and dropped.
    Transform,
    /// Packets are read and checked, and neither decoded nor transformed.
    Decode,
}

impl Stage {
    /// `transform` or `decode`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transform => "transform",
            Self::Decode => "decode",
        }
    }
}

impl LoaderBuilder {
    /// A loader that leaves out a stage, and is like [`build`](Self::build)'s in everything else: threads, order, reads, memory.
    ///
    /// # Errors
    /// Those of `build`; `InvalidArgument` where there is no window, and so nothing that could be left out.
    pub fn build_without(mut self, stage: Stage) -> Result<PartialLoader> {
        if self.options.window.is_none() {
            return Err(Error::invalid(format!(
                "without a window there is no stage '{}' to leave out",
                stage.as_str()
            )));
        }
        self.options.without = Some(stage);
        Ok(PartialLoader { loader: self.build()?, stage })
    }
}

/// A loader that leaves out a stage.
#[derive(Debug)]
pub struct PartialLoader {
    loader: Loader,
    stage: Stage,
}

impl PartialLoader {
    /// Starts an iteration, as [`Loader::iter`] does.
    pub fn start(&self) -> PartialBatches {
        PartialBatches { batches: self.loader.iter(), stage: self.stage }
    }

    /// What was done so far. Frames and bytes that count as delivered are those of places that were not filled.
    pub fn stats(&self) -> LoaderStats {
        self.loader.stats()
    }
}

/// The batches of one iteration of a [`PartialLoader`].
pub struct PartialBatches {
    batches: Batches,
    stage: Stage,
}

impl PartialBatches {
    /// The next batch within `timeout`: `Ok(None)` where nothing was ready in time, `None` at the end.
    pub fn next_within(&mut self, timeout: Duration) -> Option<Result<Option<PartialBatch>>> {
        match self.batches.next_within(timeout) {
            Next::Batch(batch) => {
                Some(batch.map(|batch| Some(PartialBatch { without: self.stage, num_rows: batch.len() })))
            }
            Next::Timeout => Some(Ok(None)),
            Next::End => None,
        }
    }
}

impl fmt::Debug for PartialBatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartialBatches").field("without", &self.stage).field("batches", &self.batches).finish()
    }
}

/// That a batch went through all stages but one. Its memory is recycled already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartialBatch {
    /// What was left out.
    pub without: Stage,
    /// Samples that went through.
    pub num_rows: usize,
}
