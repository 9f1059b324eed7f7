//! One iteration as the consumer sees it: an iterator that owns its threads.

use super::assemble::Outcome;
use super::batch::{Batch, Skipped};
use super::context::LoaderShared;
use super::iteration::Run;
use super::monitor::{Bounds, Delivery, Monitor};
use super::progress::Place;
use super::stats::{add, add_duration};
use super::{reader, tensors, worker};
use crate::error::{Error, ErrorKind, Result};
use crate::order::Schedule;
use crate::threads::panic_message;
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What [`Batches::next_within`] found.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "matched at once and not kept")]
pub enum Next {
    /// The next batch, or the error in its place.
    Batch(Result<Batch>),
    /// The iteration is over.
    End,
    /// Nothing was ready in time; call again.
    Timeout,
}

/// The batches of one iteration of a [`Loader`](crate::Loader), in the order of positions.
///
/// The iteration takes its place in the loader's order with the first batch or error; until then it may as well not be
/// there.
///
/// An error stands in the place of its batch, and the next call goes on with the batch after it. The loader's state
/// does not go with an error: it stands before the batch that failed until a later one is handed out or the end is
/// reached, so that a job that saves it and ends has lost nothing. An epoch whose samples were all left out, from its
/// first to its last, has such an error at its end, the first sample's: a job must not take it for done. An error that
/// ends the iteration (of the storage engine, or of starting threads) is followed by the end. Dropping it at any moment
/// stops its threads and waits for them: as long as it takes to end the reads in flight, and to decode the frame at
/// hand.
pub struct Batches {
    pub(super) run: Arc<Run>,
    /// Where it begins, and its number once it has handed out something.
    place: Place,
    number: Option<u64>,
    is_over: bool,
    /// Epoch and end of the outcomes that came since the state was moved last: errors, batches that were passed over,
    /// and the one that is not confirmed yet.
    unconfirmed: Option<(u64, u64)>,
    /// For telling how many batches are to come.
    schedule: Schedule,
    /// Left out since the last batch.
    skipped: Vec<Skipped>,
    /// The epoch at hand, as long as it gave nothing but samples that were left out; `None` where its begin was not seen.
    barren: Option<Barren>,
    /// When the consumer last went, from the first batch on.
    last_seen: Option<Instant>,
}

/// An epoch that gave nothing so far.
#[derive(Default)]
struct Barren {
    num_skipped: usize,
    first: Option<Error>,
}

impl Barren {
    fn add(&mut self, num_skipped: usize, first: Option<Error>) {
        self.num_skipped += num_skipped;
        self.first = self.first.take().or(first);
    }

    /// The first sample's error, as that of a whole epoch.
    fn into_error(self, epoch: u64) -> Option<Error> {
        let context =
            format!("nothing is left of epoch {epoch}, all {} samples were skipped, the first", self.num_skipped);
        self.first.map(|first| first.in_context(&context))
    }
}

impl Batches {
    /// Starts to read where the loader's next iteration begins.
    pub(super) fn start(shared: Arc<LoaderShared>) -> Self {
        let place = shared.progress().next();
        let schedule = Schedule::new(shared.cut.clone(), place.0, place.1, shared.options.num_epochs);
        let monitor = Monitor::new(Bounds {
            tickets: shared.sizes.prefetch,
            batch_bytes: shared.options.prefetch_bytes,
            held_bytes: shared.options.read_ahead_bytes,
        });
        let run = Arc::new(Run::new(shared, monitor));
        run.shared.add_run(&run);
        let mut batches = Self {
            run: Arc::clone(&run),
            place,
            number: None,
            is_over: false,
            unconfirmed: None,
            schedule: schedule.clone(),
            skipped: Vec::new(),
            barren: None,
            last_seen: None,
        };
        if run.shared.is_closed() {
            return batches;
        }
        batches.spawn("ff-read".to_owned(), move |run| reader::read(run, schedule));
        for number in 0..run.shared.sizes.workers {
            batches.spawn(format!("ff-decode-{number}"), worker::work);
        }
        for number in 0..run.shared.sizes.tensor_readers {
            batches.spawn(format!("ff-tensor-{number}"), tensors::read);
        }
        batches
    }

    /// Starts a thread whose panic ends the iteration with an error.
    pub(super) fn spawn(&mut self, name: String, body: impl FnOnce(&Run) + Send + 'static) {
        let run = Arc::clone(&self.run);
        let guarded = move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&run))) {
                let message = format!("a thread of the loader panicked: {}", panic_message(&*panic));
                run.monitor.fail(Error::new(ErrorKind::Closed, message));
            }
        };
        match std::thread::Builder::new().name(name).spawn(guarded) {
            Ok(thread) => self.run.threads().push(thread),
            Err(error) => {
                let message = format!("cannot start thread {} of the loader", self.run.threads().len() + 1);
                self.run.monitor.fail(Error::new(ErrorKind::Io, message).with_source(error));
            }
        }
    }

    /// Batches that are still to come, those that will be passed over for want of rows included.
    pub fn num_left(&self) -> u64 {
        self.schedule.num_batches()
    }

    /// Samples that the error policy left out since the last batch: at the end, those that no batch tells of any more.
    pub fn left_out(&self) -> &[Skipped] {
        &self.skipped
    }

    /// The next batch, waiting for it no longer than `timeout`: for a consumer that has other things to look at, such as
    /// signals. A `timeout` beyond what the clock can tell is none.
    pub fn next_within(&mut self, timeout: Duration) -> Next {
        self.advance(Instant::now().checked_add(timeout))
    }

    /// As [`next_within`](Self::next_within), but the loader's state stands before the batch until
    /// [`confirm`](Self::confirm) is called: for a consumer that may still fail to hand it on. What it fails with must
    /// not lose the batch.
    pub fn fetch_within(&mut self, timeout: Duration) -> Next {
        self.fetch(Instant::now().checked_add(timeout))
    }

    /// Moves the loader's state behind the batch that was fetched last.
    pub fn confirm(&mut self) {
        if let (Some(number), Some((epoch, end))) = (self.number, self.unconfirmed.take()) {
            let shared = &self.run.shared;
            shared.progress().advance(number, epoch, end, &shared.cut);
        }
    }

    fn advance(&mut self, deadline: Option<Instant>) -> Next {
        let next = self.fetch(deadline);
        if matches!(next, Next::Batch(Ok(_))) {
            self.confirm();
        }
        next
    }

    fn fetch(&mut self, deadline: Option<Instant>) -> Next {
        let start = Instant::now();
        if self.is_over {
            return Next::End;
        }
        let next = loop {
            self.follow();
            match self.run.monitor.next_outcome(deadline) {
                Delivery::Timeout => break Next::Timeout,
                Delivery::End => break Next::End,
                Delivery::Failure(error) => {
                    // The end that follows is none of the epoch.
                    self.unconfirmed = None;
                    break Next::Batch(Err(error));
                }
                Delivery::Outcome(positions, outcome) => {
                    if !self.begin() {
                        continue;
                    }
                    let epoch = self.schedule.next().map_or(0, |(epoch, _)| epoch);
                    self.unconfirmed = Some((epoch, positions.end));
                    if let Some(next) = self.receive(epoch, &positions, outcome) {
                        break Next::Batch(next);
                    }
                }
            }
        };
        match &next {
            Next::Batch(Ok(batch)) => self.count_batch(batch),
            Next::End => {
                self.is_over = true;
                // Whoever asked on after an error has gone past it.
                self.confirm();
            }
            Next::Batch(Err(_)) | Next::Timeout => {}
        }
        let counters = &self.run.shared.counters;
        let now = Instant::now();
        match self.last_seen {
            None => add_duration(&counters.startup_nanos, now - start),
            Some(since) => {
                add_duration(&counters.consumer_wait_nanos, now - start);
                // The time between two calls is the consumer's own.
                add_duration(&counters.elapsed_nanos, now - since);
            }
        }
        if self.last_seen.is_some() || !matches!(next, Next::Timeout) {
            self.last_seen = Some(now);
        }
        next
    }

    /// An iteration that has handed out nothing goes where the loader's next one begins: others may have taken the
    /// place that it read ahead for, or the loader was resumed.
    fn follow(&mut self) {
        if self.number.is_some() || self.run.shared.progress().next() == self.place {
            return;
        }
        self.stop();
        *self = Self::start(Arc::clone(&self.run.shared));
    }

    /// Takes its place with the first batch or error. False where that is another's meanwhile.
    fn begin(&mut self) -> bool {
        if self.number.is_none() {
            let shared = &self.run.shared;
            self.number = shared.progress().begin(self.place, shared.options.num_epochs);
        }
        self.number.is_some()
    }

    /// What an outcome is to the consumer; `None` where it is passed over.
    fn receive(&mut self, epoch: u64, positions: &Range<u64>, outcome: Outcome) -> Option<Result<Batch>> {
        if positions.start == 0 {
            self.barren = Some(Barren::default());
        }
        match outcome {
            Outcome::Raised(error) => {
                self.barren = None;
                Some(Err(error))
            }
            Outcome::Batch(mut batch) => {
                self.barren = None;
                self.leave_out(std::mem::take(&mut batch.skipped));
                batch.skipped = std::mem::take(&mut self.skipped);
                self.run.shared.warn_of(batch.substituted.first());
                Some(Ok(*batch))
            }
            Outcome::Empty(skipped, first) => {
                if let Some(barren) = &mut self.barren {
                    barren.add(skipped.len(), first);
                }
                self.leave_out(skipped);
                let is_last = self.run.shared.cut.num_batches(positions.end) == 0;
                let barren = self.barren.take_if(|_| is_last)?;
                barren.into_error(epoch).map(Err)
            }
        }
    }

    fn leave_out(&mut self, skipped: Vec<Skipped>) {
        add(&self.run.shared.counters.skipped, skipped.len() as u64);
        self.run.shared.warn_of(skipped.first());
        self.skipped.extend(skipped);
    }

    fn count_batch(&self, batch: &Batch) {
        let counters = &self.run.shared.counters;
        add(&counters.batches_delivered, 1);
        add(&counters.samples_delivered, batch.len() as u64);
        add(&counters.frames_delivered, batch.video.as_ref().map_or(0, |video| video.frames.len() as u64));
        add(&counters.tensor_bytes, batch.num_bytes() as u64);
        let mut replaced: Vec<u64> = batch.substituted.iter().map(|sample| sample.position).collect();
        replaced.dedup();
        add(&counters.substituted, replaced.len() as u64);
    }

    /// Ends the threads.
    fn stop(&self) {
        self.run.monitor.cancel();
        self.run.join();
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance(None) {
            Next::Batch(batch) => Some(batch),
            Next::End | Next::Timeout => None,
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.stop();
        // What is kept for reuse would else come to its limit in some later epoch, whatever the first ones left.
        self.run.shared.storage.release_idle();
        crate::buf::release_free_memory();
    }
}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").field("num_left", &self.num_left()).finish_non_exhaustive()
    }
}
