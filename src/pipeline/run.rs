//! One iteration: what its threads share, and what becomes of a clip that failed.

use super::assemble::{Outcome, RowOutcome};
use super::batch::Skipped;
use super::clip::Task;
use super::monitor::Monitor;
use super::options::{ErrorPolicy, Shuffle};
use super::shared::LoaderShared;
use super::stats::add;
use super::worker::panic_message;
use crate::dataset::Order;
use crate::error::{Error, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Substitutes that are tried for one sample before its error is raised.
const MAX_ATTEMPTS: u32 = 16;

pub(super) struct Run {
    pub(super) shared: Arc<LoaderShared>,
    pub(super) monitor: Monitor,
    pub(super) seed: u64,
}

impl Run {
    /// The order of an epoch.
    pub(super) fn order(&self, epoch: u64) -> Order {
        let shuffle = self.shared.options.shuffle == Shuffle::On;
        Order::new(self.seed, epoch, self.shared.samples.len(), shuffle)
    }

    /// The row of a task is settled; the last one of a batch puts it together.
    pub(super) fn deliver(&self, task: Task, outcome: RowOutcome) {
        let Task { ticket, row, slot, .. } = task;
        // The batch's memory can be taken whole only when no slot is left.
        drop(slot);
        let Some(finished) = self.monitor.settle(ticket, row, outcome) else { return };
        let outcome = catch_unwind(AssertUnwindSafe(|| finished.assemble(&self.shared))).unwrap_or_else(|panic| {
            Outcome::Raised(Error::new(ErrorKind::Closed, format!("collation panicked: {}", panic_message(&*panic))))
        });
        self.monitor.publish(ticket, outcome);
    }

    /// The clip of a task could not be read or decoded: what the error policy says.
    pub(super) fn clip_failed(&self, mut task: Task, record: usize, error: Error) {
        if self.monitor.is_cancelled() {
            return;
        }
        let (counters, policy) = (&self.shared.counters, self.shared.options.on_error);
        add(&counters.errors, 1);
        let error = match self.shared.dataset.row(record) {
            Ok(row) => error.with_record(row.key),
            Err(_) => error,
        };
        if policy == ErrorPolicy::Raise || !error.is_data_error() {
            return self.deliver(task, RowOutcome::Raised(error));
        }
        let (epoch, position, record) = (task.epoch, task.position, record as u64);
        let failed = Skipped { epoch, position, record, reason: error.report() };
        tracing::debug!(position, record, reason = failed.reason, "a sample could not be decoded");
        if policy == ErrorPolicy::Skip {
            return self.deliver(task, RowOutcome::Skipped(failed));
        }
        if task.attempt >= MAX_ATTEMPTS {
            let message = format!("no sound substitute for position {position} in {MAX_ATTEMPTS} attempts");
            let error = Error::new(ErrorKind::LimitExceeded, message).with_source(error);
            return self.deliver(task, RowOutcome::Raised(error));
        }
        task.attempt += 1;
        task.failed.push(failed);
        self.monitor.retry(task);
    }
}
