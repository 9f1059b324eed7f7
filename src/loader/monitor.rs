//! The one place where the threads of an iteration meet: batches in the making, clips that wait for a decoder, tensors that wait
//! to be read, rows that are to be tried again, and how much of everything there may be.
//!
//! One lock and five conditions. A clip takes milliseconds of work and a tensor tens of microseconds, both a microsecond of
//! this lock, so nothing finer is needed, and every wait can be seen on one page. Whoever changes what others wait for wakes them; cancelling wakes all.
//! There is no way to wait that cancelling does not end.
//!
//! Everything keeps to the [`Bounds`]. Tensors that wait to be read are of batches that were begun.

use super::assemble::{BatchMemory, Finished, Outcome, RowOutcome};
use super::clip_reads::Job;
use super::fields::FieldJob;
use super::row::Task;
use super::stats::{Counters, add_since};
use crate::error::Error;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One batch in the making or finished.
struct Ticket {
    positions: Range<u64>,
    /// Memory of the batch.
    bytes: u64,
    state: TicketState,
}

enum TicketState {
    /// Rows are missing.
    Open { finished: Finished, missing: usize },
    /// All rows are there, a thread puts them together.
    Assembling,
    /// To be delivered.
    Ready(Outcome),
}

#[derive(Default)]
struct State {
    /// In the order of positions. The first one has the number `first_ticket`.
    tickets: VecDeque<Ticket>,
    first_ticket: u64,
    /// Tickets that are not ready.
    num_open: usize,
    jobs: VecDeque<Job>,
    fields: VecDeque<FieldJob>,
    retries: VecDeque<Task>,
    held_bytes: u64,
    /// Memory of all batches in `tickets`.
    batch_bytes: u64,
    /// Nothing more comes from the reader.
    reader_ended: bool,
    failure: Option<Error>,
}

/// What the reader may do next.
pub(super) enum Admission {
    /// Plan this row again.
    Retry(Task),
    /// Plan the next row of the newest batch.
    Row,
    /// Begin a batch.
    Ticket,
    /// Nothing now.
    Full,
    /// Nothing ever: all batches are ready, or the iteration was cancelled.
    Ended,
}

/// What a tensor reader may do next.
pub(super) enum FieldWork {
    /// Read this.
    Job(FieldJob),
    /// Nothing now.
    Idle,
    /// Nothing ever.
    Ended,
}

/// How much there may be between the reader and the consumer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Batches, at most.
    pub(super) tickets: usize,
    /// Memory of batches below which another is begun.
    pub(super) batch_bytes: u64,
    /// Compressed bytes below which another clip is admitted.
    pub(super) held_bytes: u64,
}

/// What the consumer gets.
pub(super) enum Delivery {
    /// The outcome of the batch of these positions.
    Outcome(Range<u64>, Outcome),
    /// The iteration failed as a whole, and is over.
    Failure(Error),
    /// It is over.
    End,
    /// Nothing was ready in time.
    Timeout,
}

pub(super) struct Monitor {
    state: Mutex<State>,
    /// For the reader: room, a retry, or the end.
    room: Condvar,
    /// For the workers: a job, or the end.
    work: Condvar,
    /// For the tensor readers: a tensor, or the end.
    tensors: Condvar,
    /// For the consumer: a batch, or the end.
    ready: Condvar,
    /// For threads that pause: the end.
    end: Condvar,
    cancelled: AtomicBool,
    bounds: Bounds,
}

impl Monitor {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            state: Mutex::default(),
            room: Condvar::new(),
            work: Condvar::new(),
            tensors: Condvar::new(),
            ready: Condvar::new(),
            end: Condvar::new(),
            cancelled: AtomicBool::new(false),
            bounds,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Ends the iteration: every wait returns. What waits for work is dropped.
    pub(super) fn cancel(&self) {
        // Set under the lock, so that nobody checks it and then sleeps through the wake-up.
        let dropped = {
            let mut state = self.lock();
            self.cancelled.store(true, Ordering::Relaxed);
            (std::mem::take(&mut state.jobs), std::mem::take(&mut state.fields), std::mem::take(&mut state.retries))
        };
        drop(dropped);
        self.wake_all();
    }

    /// Ends the iteration with an error for the consumer. The first one counts.
    pub(super) fn fail(&self, error: Error) {
        self.lock().failure.get_or_insert(error);
        self.cancel();
    }

    fn wake_all(&self) {
        self.room.notify_all();
        self.work.notify_all();
        self.tensors.notify_all();
        self.ready.notify_all();
        self.end.notify_all();
    }

    /// Returns after that time, or when the iteration is cancelled.
    pub(super) fn pause(&self, duration: Duration) {
        let state = self.lock();
        let paused = self.end.wait_timeout_while(state, duration, |_| !self.is_cancelled());
        drop(paused.unwrap_or_else(PoisonError::into_inner));
    }

    /// For the reader: what to do next. `has_rows`: the newest batch has rows to be planned; `has_batches`: there are
    /// batches to begin; `may_wait`: wait rather than return `Full`.
    pub(super) fn admit(&self, has_rows: bool, has_batches: bool, may_wait: bool, counters: &Counters) -> Admission {
        let mut state = self.lock();
        loop {
            if self.is_cancelled() {
                return Admission::Ended;
            }
            if state.held_bytes < self.bounds.held_bytes {
                if let Some(task) = state.retries.pop_front() {
                    return Admission::Retry(task);
                }
                if has_rows {
                    return Admission::Row;
                }
                let is_full = state.tickets.len() >= self.bounds.tickets
                    || (state.batch_bytes >= self.bounds.batch_bytes && !state.tickets.is_empty());
                if has_batches && !is_full {
                    return Admission::Ticket;
                }
            }
            if !has_rows && !has_batches && state.num_open == 0 {
                return Admission::Ended;
            }
            if !may_wait {
                return Admission::Full;
            }
            let start = Instant::now();
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            add_since(&counters.read_blocked_nanos, start);
        }
    }

    /// For the reader: begins a batch and gives its number.
    pub(super) fn open_ticket(&self, epoch: u64, positions: Range<u64>, memory: BatchMemory) -> u64 {
        let mut state = self.lock();
        let rows = (positions.end - positions.start) as usize;
        let bytes = memory.num_bytes();
        state.batch_bytes += bytes;
        let finished = Finished::new(epoch, memory, rows);
        state.tickets.push_back(Ticket { positions, bytes, state: TicketState::Open { finished, missing: rows } });
        state.num_open += 1;
        state.first_ticket + state.tickets.len() as u64 - 1
    }

    /// For the reader: counts bytes that are asked for, until `release`.
    pub(super) fn hold(&self, bytes: u64) {
        self.lock().held_bytes += bytes;
    }

    /// Gives back what `hold` counted.
    pub(super) fn release(&self, bytes: u64) {
        let mut state = self.lock();
        state.held_bytes = state.held_bytes.saturating_sub(bytes);
        drop(state);
        self.room.notify_one();
    }

    /// For the reader: a clip whose bytes are there.
    pub(super) fn push_job(&self, job: Job) {
        let mut state = self.lock();
        if self.is_cancelled() {
            return;
        }
        state.jobs.push_back(job);
        drop(state);
        self.work.notify_one();
    }

    /// For the reader: tensors that may be read; takes them out of `jobs`.
    pub(super) fn push_fields(&self, jobs: &mut Vec<FieldJob>) {
        if jobs.is_empty() {
            return;
        }
        let mut state = self.lock();
        if self.is_cancelled() {
            drop(state);
            return jobs.clear();
        }
        let is_one = jobs.len() == 1;
        state.fields.extend(jobs.drain(..));
        drop(state);
        if is_one { self.tensors.notify_one() } else { self.tensors.notify_all() }
    }

    /// For a tensor reader: the next tensor. `may_wait`: wait rather than return `Idle`.
    pub(super) fn next_field(&self, may_wait: bool, counters: &Counters) -> FieldWork {
        let mut state = self.lock();
        loop {
            if self.is_cancelled() {
                return FieldWork::Ended;
            }
            if let Some(job) = state.fields.pop_front() {
                return FieldWork::Job(job);
            }
            if !may_wait {
                return FieldWork::Idle;
            }
            if state.reader_ended {
                return FieldWork::Ended;
            }
            let start = Instant::now();
            state = self.tensors.wait(state).unwrap_or_else(PoisonError::into_inner);
            add_since(&counters.tensor_wait_nanos, start);
        }
    }

    /// For the reader: nothing more comes.
    pub(super) fn end_reading(&self) {
        self.lock().reader_ended = true;
        self.wake_all();
    }

    /// For a worker: the next clip, or `None` when the iteration is over.
    pub(super) fn next_job(&self, counters: &Counters) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if self.is_cancelled() {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.reader_ended {
                return None;
            }
            let start = Instant::now();
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            add_since(&counters.worker_wait_nanos, start);
        }
    }

    /// A row that is to be tried again with another record.
    pub(super) fn retry(&self, task: Task) {
        let mut state = self.lock();
        if self.is_cancelled() {
            return;
        }
        state.retries.push_back(task);
        drop(state);
        self.room.notify_one();
    }

    /// The outcome of one row. Whoever brings the last one gets the batch to put together, and then calls `publish`.
    pub(super) fn settle(&self, number: u64, row: usize, outcome: RowOutcome) -> Option<Finished> {
        let mut state = self.lock();
        let index = usize::try_from(number.checked_sub(state.first_ticket)?).ok()?;
        let ticket = state.tickets.get_mut(index)?;
        let TicketState::Open { finished, missing } = &mut ticket.state else { return None };
        finished.set(row, outcome);
        *missing -= 1;
        if *missing > 0 {
            return None;
        }
        match std::mem::replace(&mut ticket.state, TicketState::Assembling) {
            TicketState::Open { finished, .. } => Some(finished),
            _ => None,
        }
    }

    /// A batch is put together.
    pub(super) fn publish(&self, number: u64, outcome: Outcome) {
        let mut state = self.lock();
        let index = number.checked_sub(state.first_ticket).and_then(|index| usize::try_from(index).ok());
        if let Some(ticket) = index.and_then(|index| state.tickets.get_mut(index)) {
            ticket.state = TicketState::Ready(outcome);
            state.num_open -= 1;
        }
        drop(state);
        self.ready.notify_one();
        self.room.notify_one();
    }

    /// For the consumer: the next batch in the order of positions.
    pub(super) fn next_outcome(&self, deadline: Option<Instant>) -> Delivery {
        let mut state = self.lock();
        loop {
            if let Some(error) = state.failure.take() {
                return Delivery::Failure(error);
            }
            if self.is_cancelled() {
                return Delivery::End;
            }
            match state.tickets.pop_front() {
                Some(Ticket { positions, bytes, state: TicketState::Ready(outcome) }) => {
                    state.first_ticket += 1;
                    state.batch_bytes -= bytes;
                    drop(state);
                    self.room.notify_one();
                    return Delivery::Outcome(positions, outcome);
                }
                Some(ticket) => state.tickets.push_front(ticket),
                None if state.reader_ended => return Delivery::End,
                None => {}
            }
            state = match deadline {
                None => self.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Delivery::Timeout;
                    }
                    self.ready.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Batches that are ready, clips that wait for a worker, bytes held.
    pub(super) fn depths(&self) -> (u64, u64, u64) {
        let state = self.lock();
        let ready = state.tickets.iter().filter(|ticket| matches!(ticket.state, TicketState::Ready(_))).count();
        (ready as u64, state.jobs.len() as u64, state.held_bytes)
    }
}
