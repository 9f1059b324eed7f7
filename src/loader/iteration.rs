//! One iteration: what its threads share, and what becomes of a row that is settled or has failed.

use super::assemble::{DeliveredRow, Outcome, RowFacts, RowOutcome, RowSource};
use super::batch::Skipped;
use super::choices::{ErrorPolicy, Shuffle};
use super::context::{ColumnOrigin, LoaderShared};
use super::monitor::Monitor;
use super::row::{Settled, Task};
use super::stats::add;
use crate::error::{Error, ErrorKind, Result};
use crate::format::DatasetKind;
use crate::order::Order;
use crate::threads::panic_message;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Records that failed in one place, of which a batch tells.
const MAX_FAILED_LISTED: usize = 16;

pub(super) struct Run {
    pub(super) shared: Arc<LoaderShared>,
    pub(super) monitor: Monitor,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Run {
    pub(super) fn new(shared: Arc<LoaderShared>, monitor: Monitor) -> Self {
        Self { shared, monitor, threads: Mutex::default() }
    }

    /// Its threads that were not joined yet.
    pub(super) fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its threads, which were told to end. Whoever calls it second waits for the first.
    pub(super) fn join(&self) {
        for thread in self.threads().drain(..) {
            // Its body catches panics, so there is nothing to learn from the result.
            let _ = thread.join();
        }
    }

    /// The order of an epoch.
    pub(super) fn order(&self, epoch: u64) -> Order {
        let (seed, shuffle) = (self.shared.options.seed, self.shared.options.shuffle == Shuffle::On);
        let order = match &self.shared.cut.buckets {
            Some(buckets) => Order::bucketed(seed, epoch, Arc::clone(buckets), shuffle),
            None => Order::new(seed, epoch, self.shared.samples.len(), shuffle),
        };
        order.drawn_by(self.shared.options.draw())
    }

    /// All parts of a row are settled.
    pub(super) fn row_settled(&self, settled: Settled) {
        let Settled { mut task, record, result } = settled;
        let delivered = result.and_then(|content| {
            let facts = catch_unwind(AssertUnwindSafe(|| facts(&self.shared, record)));
            let facts = facts.unwrap_or_else(|panic| {
                Err(Error::corrupt(format!("reading the record panicked: {}", panic_message(&*panic))))
            });
            Ok(DeliveredRow { facts: facts?, content })
        });
        match delivered {
            Ok(mut delivered) => {
                delivered.facts.position = task.position;
                delivered.facts.failed = std::mem::take(&mut task.failed);
                self.deliver(task, RowOutcome::Delivered(Box::new(delivered)));
            }
            Err(error) => self.row_failed(task, record, error),
        }
    }

    /// The row of a task is settled; the last one of a batch puts it together.
    fn deliver(&self, task: Task, outcome: RowOutcome) {
        let Task { ticket, row, slots, .. } = task;
        // The batch's memory can be taken whole only when no slot is left.
        drop(slots);
        let Some(finished) = self.monitor.settle(ticket, row, outcome) else { return };
        let outcome = catch_unwind(AssertUnwindSafe(|| finished.assemble(&self.shared))).unwrap_or_else(|panic| {
            Outcome::Raised(Error::new(ErrorKind::Closed, format!("collation panicked: {}", panic_message(&*panic))))
        });
        self.monitor.publish(ticket, outcome);
    }

    /// The sample of a task could not be read or decoded: what the error policy says.
    pub(super) fn row_failed(&self, mut task: Task, record: usize, error: Error) {
        if self.monitor.is_cancelled() {
            return;
        }
        let (counters, policy) = (&self.shared.counters, self.shared.options.on_error);
        add(&counters.errors, 1);
        let error = match self.shared.dataset.key(record) {
            Ok(key) => error.with_record(key),
            Err(_) => error,
        };
        if !policy.passes_over(&error) {
            return self.deliver(task, RowOutcome::Raised(error));
        }
        let (epoch, position, record) = (task.epoch, task.position, record as u64);
        let failed = Skipped { epoch, position, record, reason: error.report() };
        tracing::debug!(position, record, reason = failed.reason, "a sample could not be read or decoded");
        if policy == ErrorPolicy::Skip {
            return self.deliver(task, RowOutcome::Skipped(failed, error));
        }
        if self.order(epoch).substitute(position, task.attempt + 1).is_none() {
            let message = format!("no sound record is left to stand in at position {position}, the last one failed");
            let error = Error::new(ErrorKind::LimitExceeded, message).with_source(error);
            return self.deliver(task, RowOutcome::Raised(error));
        }
        task.attempt += 1;
        if task.failed.len() < MAX_FAILED_LISTED {
            task.failed.push(failed);
        }
        self.monitor.retry(task);
    }
}

/// What the dataset says of a record. Position and failed records are the task's.
fn facts(shared: &LoaderShared, record: usize) -> Result<RowFacts> {
    let mut facts = RowFacts {
        position: 0,
        record: record as u64,
        key: String::new(),
        caption: None,
        source: None,
        columns: Vec::new(),
        failed: Vec::new(),
    };
    let dataset = &shared.dataset;
    let has_user_columns = shared.columns.iter().any(|column| column.origin == ColumnOrigin::User);
    let mut columns = serde_json::Map::new();
    if shared.options.captions || has_user_columns {
        let whole = dataset.metadata(record)?;
        (facts.key, facts.caption, columns) = (whole.key, whole.caption, whole.columns);
    } else {
        dataset.key(record)?.clone_into(&mut facts.key);
    }
    for column in &shared.columns {
        facts.columns.push(match column.origin {
            ColumnOrigin::User => columns.swap_remove(&column.name),
            ColumnOrigin::Index => Some(dataset.own_value(record, &column.name)?),
        });
    }
    if dataset.kind() == DatasetKind::Video {
        let row = dataset.row(record)?;
        let seconds = row.time_base.seconds(row.duration);
        facts.source = Some(RowSource { fps: row.fps, seconds, size: (row.height, row.width) });
    }
    Ok(facts)
}
