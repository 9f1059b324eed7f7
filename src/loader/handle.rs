//! The loader: what a training job holds. It starts no thread by itself; every iteration does.

use super::batches::Batches;
use super::builder::LoaderBuilder;
use super::context::{LoaderShared, VideoSpec};
use super::describe;
use super::excluded::{self, Excluded};
use super::stats::LoaderStats;
use crate::dataset::Dataset;
use crate::error::Result;
use crate::order::Window;
use crate::order::{LoaderState, Schedule};
use crate::transform::TransformOptions;
use std::fmt;
use std::sync::Arc;

/// Streams the samples of a dataset in batches.
///
/// Every iteration ([`iter`](Self::iter), or `for batch in &loader`) is one epoch, or as many as [`LoaderBuilder::epochs`] says, and the next
/// iteration goes on with the epoch after, also where one was left early. An iteration that was not asked for a batch does not count. The order of samples, and the place of every
/// random window, depend on seed, epoch and position alone.
pub struct Loader(Arc<LoaderShared>);

impl Loader {
    /// A loader of `dataset` with the default options.
    pub fn builder(dataset: Dataset) -> LoaderBuilder {
        LoaderBuilder::new(dataset)
    }

    pub(super) fn new(shared: LoaderShared) -> Self {
        Self(Arc::new(shared))
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &LoaderShared {
        &self.0
    }

    /// Starts an iteration: its threads read ahead from now on, until it ends or is dropped. It takes its place, the next epoch or
    /// where the loader was resumed, with its first batch. One that is dropped before leaves no trace.
    pub fn iter(&self) -> Batches {
        Batches::start(Arc::clone(&self.0))
    }

    /// Ends all iterations and waits for their threads. Those that run give an error of the kind `Closed`, and so does every one that
    /// is started later. Everything else can still be asked for.
    pub fn close(&self) {
        self.0.close();
    }

    /// Whether the loader was closed.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Batches of one whole iteration.
    pub fn len(&self) -> u64 {
        Schedule::new(self.0.cut.clone(), 0, 0, self.0.options.num_epochs).num_batches()
    }

    /// True where an iteration gives no batch, which no loader does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Samples of one epoch.
    pub fn num_samples(&self) -> u64 {
        self.0.samples.len()
    }

    /// Records that the window does not fit.
    pub fn num_short(&self) -> u64 {
        self.0.samples.num_short()
    }

    /// Records that lack one of the fields.
    pub fn num_incomplete(&self) -> u64 {
        self.0.sizes.num_incomplete
    }

    /// The dataset.
    pub fn dataset(&self) -> &Dataset {
        &self.0.dataset
    }

    /// The window; `None` where the loader delivers fields alone.
    pub fn window(&self) -> Option<&Window> {
        self.0.video.as_ref().map(|video| &video.window)
    }

    /// How frames become tensors.
    pub fn transform_options(&self) -> &TransformOptions {
        &self.0.options.transform
    }

    /// The four axes of one sample's frames, in the order of the layout; `None` where there are no frames, or each record has its
    /// own size.
    pub fn sample_shape(&self) -> Option<[usize; 4]> {
        let shape = self.0.video.as_ref().and_then(VideoSpec::common_shape);
        shape.map(|shape| shape.shape(self.0.options.transform.layout))
    }

    /// Records that are no samples, and why: the first thousand of those that are too short for the window, and of those that lack a
    /// field.
    ///
    /// # Errors
    /// Those of reading the index, and of opening shards for fields.
    pub fn excluded(&self) -> Result<Vec<Excluded>> {
        excluded::list(&self.0)
    }

    /// How many records are left out because they are too short, in one sentence; `None` where none are. It is logged once, when the
    /// loader is built.
    pub fn short_warning(&self) -> Option<String> {
        excluded::warning(&self.0)
    }

    /// Where the loader stands: behind the last batch that was delivered, whatever was read ahead. An error moves
    /// nothing: a loader that is resumed from here tries the batch that failed once more. Where the iteration went on
    /// after it, the loader stands behind the batch that came then.
    pub fn state(&self) -> LoaderState {
        self.0.progress().state().clone()
    }

    /// Makes the next iteration begin where `state` was taken. An iteration that has handed out a batch is not changed.
    ///
    /// # Errors
    /// `InvalidArgument` that names both values, where the state is of another dataset, seed, shuffling or number of samples, or
    /// with buckets of another batch size.
    pub fn load_state(&self, state: &LoaderState) -> Result<()> {
        state.check(&self.state().order)?;
        self.0.progress().load(state, &self.0.cut);
        Ok(())
    }

    /// Makes the next iteration begin with `epoch`: at its begin, or where [`load_state`](Self::load_state) resumed it, as long as that
    /// epoch is not over and no other was begun or set since.
    pub fn set_epoch(&self, epoch: u64) {
        self.0.progress().set_epoch(epoch);
    }

    /// What was done so far, in all iterations.
    pub fn stats(&self) -> LoaderStats {
        self.0.stats()
    }

    /// What was chosen, in a few lines for people: engine, threads, budgets, what the machine lacks.
    pub fn describe(&self) -> String {
        describe::describe(&self.0, self.len(), self.0.options.seed)
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("dataset", &self.0.dataset).field("len", &self.len()).finish_non_exhaustive()
    }
}

impl IntoIterator for &Loader {
    type Item = Result<super::Batch>;
    type IntoIter = Batches;
    fn into_iter(self) -> Batches {
        self.iter()
    }
}

impl IntoIterator for Loader {
    type Item = Result<super::Batch>;
    type IntoIter = Batches;
    fn into_iter(self) -> Batches {
        self.iter()
    }
}
