//! The reader: one thread that plans clips in the order of positions, asks storage for their bytes with many reads in
//! flight, and hands each clip to the workers when all its bytes are there.

use super::clip::{ClipBytes, ClipPlan, Job, Task};
use super::monitor::Admission;
use super::run::Run;
use super::schedule::Schedule;
use super::stats::{add, add_since};
use super::worker::panic_message;
use crate::buf::Slot;
use crate::dataset::Order;
use crate::error::{Error, Result};
use crate::storage::{Completion, ReadEngine, ReadRequest, StorageFile};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Shard files that are kept open: well below the usual limit of 1024 descriptors.
const MAX_OPEN_FILES: usize = 256;
/// While reads are in flight, the reader looks this often for room that workers made. Reads usually end sooner.
const ROOM_INTERVAL: Duration = Duration::from_millis(5);

/// A clip some of whose reads are not answered.
struct Pending {
    task: Task,
    clip: ClipPlan,
    bytes: ClipBytes,
    num_missing: usize,
    held_bytes: u64,
    error: Option<Error>,
}

/// The batch whose clips are being planned.
struct Current {
    order: Order,
    ticket: u64,
    /// Positions and slots that are left, in order.
    clips: VecDeque<(usize, u64, Slot)>,
}

pub(super) struct Reader<'a> {
    run: &'a Run,
    engine: Box<dyn ReadEngine>,
    batches: std::iter::Peekable<Schedule>,
    current: Option<Current>,
    pending: HashMap<u64, Pending>,
    /// For each read that is not answered, its clip and its offset in the file.
    reads: HashMap<u64, (u64, u64)>,
    /// Reads that the engine has not accepted yet.
    queue: VecDeque<ReadRequest>,
    next_clip: u64,
    next_read: u64,
    files: Files,
}

/// The thread's life.
pub(super) fn read(run: &Run, schedule: Schedule) {
    let engine = run.shared.storage.engine();
    let result = engine.and_then(|engine| {
        let mut reader = Reader {
            run,
            engine,
            batches: schedule.peekable(),
            current: None,
            pending: HashMap::new(),
            queue: VecDeque::new(),
            reads: HashMap::new(),
            next_clip: 0,
            next_read: 0,
            files: Files::default(),
        };
        reader.run()
    });
    match result {
        Ok(()) => run.monitor.end_reading(),
        Err(error) => run.monitor.fail(error),
    }
}

impl Reader<'_> {
    fn run(&mut self) -> Result<()> {
        loop {
            let has_clips = self.current.as_ref().is_some_and(|current| !current.clips.is_empty());
            let has_batches = self.batches.peek().is_some();
            let may_wait = self.pending.is_empty();
            let counters = &self.run.shared.counters;
            let mut timeout = Duration::ZERO;
            match self.run.monitor.admit(has_clips, has_batches, may_wait, counters) {
                Admission::Retry(task) => self.plan_substitute(task),
                Admission::Clip => self.plan_next(),
                Admission::Ticket => self.begin_batch()?,
                Admission::Full => timeout = ROOM_INTERVAL,
                Admission::Ended => return Ok(()),
            }
            self.submit()?;
            self.collect(timeout)?;
        }
    }

    fn begin_batch(&mut self) -> Result<()> {
        let Some((epoch, positions)) = self.batches.next() else { return Ok(()) };
        let shared = &self.run.shared;
        let rows = (positions.end - positions.start) as usize;
        let (assembly, slots) = shared.memory.acquire(rows, shared.sizes.clip_bytes)?;
        let clips = positions.clone().zip(slots).enumerate();
        let clips = clips.map(|(row, (position, slot))| (row, position, slot)).collect();
        let ticket = self.run.monitor.open_ticket(epoch, positions, assembly);
        let order = match self.current.take() {
            Some(current) if current.order.epoch() == epoch => current.order,
            _ => self.run.order(epoch),
        };
        self.current = Some(Current { order, ticket, clips });
        Ok(())
    }

    fn plan_next(&mut self) {
        let Some(current) = &mut self.current else { return };
        let Some((row, position, slot)) = current.clips.pop_front() else { return };
        let (sample, draw) = (current.order.at(position), current.order.placement_draw(position, 0));
        let epoch = current.order.epoch();
        let task = Task { ticket: current.ticket, row, epoch, position, attempt: 0, failed: Vec::new(), slot };
        self.plan(task, sample, draw);
    }

    fn plan_substitute(&mut self, task: Task) {
        let order = self.run.order(task.epoch);
        let sample = order.substitute(task.position, task.attempt);
        let draw = order.placement_draw(task.position, task.attempt);
        self.plan(task, sample, draw);
    }

    fn plan(&mut self, task: Task, sample: u64, draw: u64) {
        let (run, shared) = (self.run, &self.run.shared);
        let record = shared.samples.record(sample);
        let start = Instant::now();
        let planned = catch_unwind(AssertUnwindSafe(|| {
            let clip = ClipPlan::of_window(&shared.dataset, record, &shared.window, draw)?;
            clip.check(&shared.options.limits).map_err(|error| error.with_path(clip.shard.path()))?;
            let file = self.files.get(clip.shard.path(), |path| shared.storage.open(path))?;
            Ok((clip, file))
        }));
        add_since(&shared.counters.plan_nanos, start);
        let planned = planned
            .unwrap_or_else(|panic| Err(Error::corrupt(format!("planning panicked: {}", panic_message(&*panic)))));
        let (clip, file) = match planned {
            Ok(planned) => planned,
            Err(error) => return run.clip_failed(task, record, error),
        };
        let held_bytes = clip.read_bytes();
        run.monitor.hold(held_bytes);
        add(&shared.counters.num_reads, clip.reads.len() as u64);
        add(&shared.counters.read_bytes, held_bytes);
        add(&shared.counters.needed_bytes, clip.needed_bytes);
        let number = self.next_clip;
        self.next_clip += 1;
        for read in &clip.reads {
            let (offset, len) = (read.range.offset, usize::try_from(read.range.len).unwrap_or(usize::MAX));
            self.reads.insert(self.next_read, (number, offset));
            self.queue.push_back(ReadRequest::new(self.next_read, &file, offset, len));
            self.next_read += 1;
        }
        let num_missing = clip.reads.len();
        let pending = Pending { task, clip, bytes: ClipBytes::default(), num_missing, held_bytes, error: None };
        if num_missing == 0 { self.hand_over(pending) } else { drop(self.pending.insert(number, pending)) }
    }

    fn submit(&mut self) -> Result<()> {
        while self.engine.in_flight() < self.engine.capacity() {
            let Some(request) = self.queue.pop_front() else { break };
            self.engine.submit(request)?;
        }
        Ok(())
    }

    /// Takes completions: waits up to `timeout` for the first, and for no other.
    fn collect(&mut self, mut timeout: Duration) -> Result<()> {
        while self.engine.in_flight() > 0 {
            let start = Instant::now();
            let completion = self.engine.wait(Some(timeout))?;
            if !timeout.is_zero() {
                add_since(&self.run.shared.counters.read_wait_nanos, start);
            }
            let Some(completion) = completion else { break };
            self.complete(completion);
            timeout = Duration::ZERO;
        }
        Ok(())
    }

    fn complete(&mut self, completion: Completion) {
        let Some((number, offset)) = self.reads.remove(&completion.tag) else { return };
        let Some(pending) = self.pending.get_mut(&number) else { return };
        pending.num_missing -= 1;
        match completion.into_bytes() {
            Ok(bytes) => pending.bytes.add(offset, bytes),
            Err(error) => drop(pending.error.get_or_insert(error)),
        }
        if pending.num_missing > 0 {
            return;
        }
        if let Some(pending) = self.pending.remove(&number) {
            self.hand_over(pending);
        }
    }

    /// All reads of a clip are answered.
    fn hand_over(&self, pending: Pending) {
        let Pending { task, clip, bytes, held_bytes, error, .. } = pending;
        match error {
            None => self.run.monitor.push_job(Job { task, clip, bytes, held_bytes }),
            Some(error) => {
                self.run.monitor.release(held_bytes);
                self.run.clip_failed(task, clip.record, error.with_path(clip.shard.path()));
            }
        }
    }
}

/// Open shard files, the least recently used is closed for a new one. Reads in flight keep theirs open.
#[derive(Default)]
struct Files {
    /// With the time of its last use.
    open: HashMap<PathBuf, (StorageFile, u64)>,
    clock: u64,
}

impl Files {
    fn get(&mut self, path: &Path, open: impl FnOnce(&Path) -> Result<StorageFile>) -> Result<StorageFile> {
        self.clock += 1;
        if let Some((file, used)) = self.open.get_mut(path) {
            *used = self.clock;
            return Ok(file.clone());
        }
        let file = open(path)?;
        if self.open.len() >= MAX_OPEN_FILES {
            let oldest = self.open.iter().min_by_key(|(_, (_, used))| *used).map(|(path, _)| path.clone());
            oldest.map(|path| self.open.remove(&path));
        }
        self.open.insert(path.to_owned(), (file.clone(), self.clock));
        Ok(file)
    }
}
