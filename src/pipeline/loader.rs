//! The loader: what a training job holds. It starts no thread by itself; every iteration does.

use super::batches::Batches;
use super::describe;
use super::options::LoaderBuilder;
use super::schedule::{LoaderState, Schedule};
use super::shared::LoaderShared;
use super::stats::LoaderStats;
use crate::dataset::{Dataset, Window};
use crate::error::Result;
use crate::transform::TransformOptions;
use std::fmt;
use std::sync::Arc;

/// Streams the samples of a dataset in batches.
///
/// Every iteration ([`iter`](Self::iter), or `for batch in &loader`) is one epoch, or as many as [`LoaderBuilder::epochs`] says, and the next
/// iteration goes on with the epoch after, also where one was left early. The order of samples, and the place of every
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

    /// Starts an iteration: its threads read ahead from now on, until it ends or is dropped.
    pub fn iter(&self) -> Batches {
        let shared = &self.0;
        let mut progress = shared.progress();
        let (epoch, position) = progress.next;
        let num_epochs = shared.options.num_epochs;
        let schedule = Schedule::new(shared.cut.clone(), epoch, position, num_epochs);
        progress.state.epoch = epoch;
        progress.state.position = position;
        progress.next = (epoch.saturating_add(num_epochs), 0);
        progress.iteration += 1;
        let (seed, iteration) = (progress.state.order.seed, progress.iteration);
        drop(progress);
        Batches::start(Arc::clone(shared), schedule, seed, iteration)
    }

    /// Batches of one whole iteration.
    pub fn len(&self) -> u64 {
        Schedule::new(self.0.cut.clone(), 0, 0, self.0.options.num_epochs).num_batches()
    }

    /// True where an iteration gives no batch: fewer samples than a batch has, and the last one dropped.
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

    /// The four axes of one sample's frames, in the order of the layout; `None` where there are none.
    pub fn sample_shape(&self) -> Option<[usize; 4]> {
        self.0.video.as_ref().map(|video| video.shape.shape(self.0.options.transform.layout))
    }

    /// Where the loader stands: behind the last batch that was delivered, whatever was read ahead.
    pub fn state(&self) -> LoaderState {
        self.0.progress().state.clone()
    }

    /// Makes the next iteration begin where `state` was taken. An iteration that runs is not changed.
    ///
    /// # Errors
    /// `InvalidArgument` that names both values, where the state is of another dataset, seed, shuffling or number of samples, or
    /// with buckets of another batch size.
    pub fn load_state(&self, state: &LoaderState) -> Result<()> {
        state.check(&self.state().order)?;
        self.restart(|progress| {
            progress.state = state.clone();
            progress.next = (state.epoch, state.position);
        });
        Ok(())
    }

    /// Makes the next iteration begin with `epoch`.
    pub fn set_epoch(&self, epoch: u64) {
        self.restart(|progress| {
            progress.state.epoch = epoch;
            progress.state.position = 0;
            progress.next = (epoch, 0);
        });
    }

    fn restart(&self, change: impl FnOnce(&mut super::shared::Progress)) {
        let mut progress = self.0.progress();
        change(&mut progress);
        // An iteration that still runs must not move the state from here on.
        progress.iteration += 1;
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
