//! The reader: one thread that plans rows in the order of positions. It asks storage for the bytes of clips with many reads in
//! flight, and hands each clip to the workers when all its bytes are there; tensors it hands to the tensor readers.

use super::assemble::BatchMemory;
use super::clip_reads::{ClipBytes, ClipPlace, ClipPlan, Job};
use super::context::VideoSpec;
use super::cpu_budget::Pace;
use super::fields::{self, FieldJob, PlannedTensor};
use super::iteration::Run;
use super::monitor::Admission;
use super::row::{Part, Row, Slots, Task};
use super::stats::{add, add_since};
use crate::dataset::FieldEntry;
use crate::error::{Error, Result};
use crate::order::Order;
use crate::order::Schedule;
use crate::storage::{Completion, ReadEngine, ReadRequest, StorageFile};
use crate::threads::panic_message;
use crate::transform::ClipShape;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// While reads are in flight, the reader looks this often for room that workers made. Reads usually end sooner.
const ROOM_INTERVAL: Duration = Duration::from_millis(5);

/// A clip some of whose reads are not answered.
struct Pending {
    row: Arc<Row>,
    place: ClipPlace,
    clip: ClipPlan,
    bytes: ClipBytes,
    num_missing: usize,
    held_bytes: u64,
    error: Option<Error>,
}

/// A row that is to be planned.
struct Planned {
    task: Task,
    record: usize,
    /// For placing the window.
    draw: u64,
    /// Where its fields are.
    entries: Result<Vec<FieldEntry>>,
}

pub(super) struct Reader<'a> {
    run: &'a Run,
    /// For clips; `None` where there are none.
    engine: Option<Box<dyn ReadEngine>>,
    batches: std::iter::Peekable<Schedule>,
    /// The order of the newest batch's epoch.
    order: Option<Order>,
    /// Rows of the newest batch that are left, in order.
    rows: VecDeque<Planned>,
    pending: HashMap<u64, Pending>,
    /// For each read that is not answered, its clip and its offset in the file.
    reads: HashMap<u64, (u64, u64)>,
    /// Reads that the engine has not accepted yet.
    queue: VecDeque<ReadRequest>,
    /// Tensors that are planned and not handed over yet.
    tensors: Vec<FieldJob>,
    next_clip: u64,
    next_read: u64,
}

/// The thread's life.
pub(super) fn read(run: &Run, schedule: Schedule) {
    let engine = run.shared.video.as_ref().map(|_| run.shared.storage.engine()).transpose();
    let result = engine.and_then(|engine| {
        let mut reader = Reader {
            run,
            engine,
            batches: schedule.peekable(),
            order: None,
            rows: VecDeque::new(),
            pending: HashMap::new(),
            reads: HashMap::new(),
            queue: VecDeque::new(),
            tensors: Vec::new(),
            next_clip: 0,
            next_read: 0,
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
        let mut pace = Pace::new(self.run);
        loop {
            pace.book();
            let has_rows = !self.rows.is_empty();
            let has_batches = self.batches.peek().is_some();
            let may_wait = self.pending.is_empty();
            let counters = &self.run.shared.counters;
            let mut timeout = Duration::ZERO;
            match self.run.monitor.admit(has_rows, has_batches, may_wait, counters) {
                Admission::Retry(task) => self.plan_substitute(task),
                Admission::Row => self.plan_next(),
                Admission::Ticket => self.begin_batch()?,
                Admission::Full => timeout = ROOM_INTERVAL,
                Admission::Ended => return Ok(()),
            }
            self.run.monitor.push_fields(&mut self.tensors);
            self.submit()?;
            self.collect(timeout)?;
        }
    }

    /// Looks up the fields of all rows of the next batch, which decide how much memory it takes, and takes it.
    fn begin_batch(&mut self) -> Result<()> {
        let Some((epoch, positions)) = self.batches.next() else { return Ok(()) };
        let shared = &self.run.shared;
        let order = match self.order.take() {
            Some(order) if order.epoch() == epoch => order,
            _ => self.run.order(epoch),
        };
        let start = Instant::now();
        let record = |position| shared.samples.record(order.at(position));
        let entries: Vec<_> = positions.clone().map(|position| self.entries(record(position))).collect();
        let extents = fields::extents(&shared.fields, entries.iter().flatten());
        add_since(&shared.counters.plan_nanos, start);
        let first = record(positions.start);
        let (memory, slots) = self.take_memory(&positions, first, extents)?;
        let ticket = self.run.monitor.open_ticket(epoch, positions.clone(), memory);
        for (row, ((position, entries), slots)) in positions.zip(entries).zip(slots).enumerate() {
            let task = Task { ticket, row, epoch, position, attempt: 0, failed: Vec::new(), slots };
            let record = record(position);
            let draw = order.placement_draw(position, 0, record);
            self.rows.push_back(Planned { task, record, draw, entries });
        }
        self.order = Some(order);
        // Without clips nothing is asked for that would have to be admitted row by row.
        while shared.video.is_none() && !self.rows.is_empty() {
            self.plan_next();
        }
        Ok(())
    }

    /// The memory of a batch, and that of each of its rows. The first record's size is that of all, or there is no other row.
    fn take_memory(
        &self,
        positions: &Range<u64>,
        first: usize,
        extents: Arc<[Vec<u64>]>,
    ) -> Result<(BatchMemory, Vec<Slots>)> {
        let shared = &self.run.shared;
        let rows = (positions.end - positions.start) as usize;
        let slots = || Slots { video: None, fields: Vec::new(), extents: Arc::clone(&extents) };
        let mut all: Vec<Slots> = std::iter::repeat_with(slots).take(rows).collect();
        let mut video = None;
        if let Some(spec) = &shared.video {
            // Where the first record's size is not to be had, planning fails its row, and the memory is not used.
            let clip_bytes = self.shape(spec, first).and_then(|shape| spec.num_bytes(shape)).unwrap_or(0);
            let (assembly, slots) = shared.memory.acquire(rows, clip_bytes)?;
            all.iter_mut().zip(slots).for_each(|(row, slot)| row.video = Some(slot));
            video = Some(assembly);
        }
        let mut fields = Vec::with_capacity(shared.fields.len());
        for (spec, extents) in shared.fields.iter().zip(extents.iter()) {
            let (assembly, slots) = shared.memory.acquire(rows, spec.row_bytes(extents)?)?;
            all.iter_mut().zip(slots).for_each(|(row, slot)| row.fields.push(Some(slot)));
            fields.push(assembly);
        }
        Ok((BatchMemory { video, fields, extents }, all))
    }

    /// The shape of a record's clip, by the dataset's index.
    fn shape(&self, video: &VideoSpec, record: usize) -> Result<ClipShape> {
        match video.size {
            Some(size) => video.shape(size),
            None => self.run.shared.dataset.row(record).and_then(|row| video.shape((row.height, row.width))),
        }
    }

    fn entries(&self, record: usize) -> Result<Vec<FieldEntry>> {
        let shared = &self.run.shared;
        let entries = guarded(|| fields::entries(&shared.dataset, &shared.fields, record))?;
        if shared.unreadable.binary_search(&(record as u32)).is_ok() {
            return Err(Error::corrupt("its shard could not be read when the loader was built"));
        }
        Ok(entries)
    }

    fn plan_next(&mut self) {
        if let Some(planned) = self.rows.pop_front() {
            self.plan(planned);
        }
    }

    fn plan_substitute(&mut self, task: Task) {
        let order = self.run.order(task.epoch);
        let substitute = order.substitute(task.position, task.attempt);
        // There is one, or the row would not have come back. The failed one ends it if not.
        let substitute = substitute.unwrap_or_else(|| order.at(task.position));
        let record = self.run.shared.samples.record(substitute);
        let draw = order.placement_draw(task.position, task.attempt, record);
        let entries = self.entries(record);
        self.plan(Planned { task, record, draw, entries });
    }

    /// Begins the parts of a row.
    fn plan(&mut self, planned: Planned) {
        let Planned { mut task, record, draw, entries } = planned;
        let start = Instant::now();
        let clip = self.run.shared.video.as_ref().map(|video| {
            let (clip, file) = self.plan_clip(video, record, draw)?;
            Ok((video, clip, file))
        });
        let parts = clip.transpose().and_then(|clip| {
            let tensors = self.plan_fields(&mut task, entries?)?;
            // Last, so that a row that fails before keeps its slot.
            let place = clip.as_ref().map(|(video, clip, _)| self.place_clip(video, &mut task, clip)).transpose()?;
            Ok((clip.zip(place), tensors))
        });
        add_since(&self.run.shared.counters.plan_nanos, start);
        let (clip, tensors) = match parts {
            Ok(parts) => parts,
            Err(error) => return self.run.row_failed(task, record, error),
        };
        let row = Row::new(task, record, usize::from(clip.is_some()) + tensors.len());
        self.tensors.extend(tensors.into_iter().map(|tensor| FieldJob { row: Arc::clone(&row), tensor }));
        if let Some(((_, clip, file), place)) = clip {
            self.ask_for(row, place, clip, &file);
        }
    }

    /// Finds a clip its place: the row's slot, or memory of its own where that is for a clip of another size.
    fn place_clip(&self, video: &VideoSpec, task: &mut Task, clip: &ClipPlan) -> Result<ClipPlace> {
        let (width, height) = clip.stream.display_size();
        let shape = video.shape((height, width))?;
        let bytes = video.num_bytes(shape)?;
        if let Some(slot) = task.slots.video.take_if(|slot| slot.len() == bytes) {
            return Ok(ClipPlace { slot, shape, apart: None });
        }
        let (assembly, mut slots) = self.run.shared.memory.acquire(1, bytes)?;
        let slot = slots.pop().ok_or_else(|| Error::invalid("a batch of one row has no slot"))?;
        Ok(ClipPlace { slot, shape, apart: Some(assembly) })
    }

    fn plan_clip(&self, video: &VideoSpec, record: usize, draw: u64) -> Result<(ClipPlan, StorageFile)> {
        let shared = &self.run.shared;
        guarded(|| {
            let clip = ClipPlan::of_window(&shared.dataset, record, &video.window, draw)?;
            clip.check(&shared.options.limits).map_err(|error| error.with_path(clip.shard.path()))?;
            let file = shared.files.get(&shared.storage, clip.shard.path())?;
            Ok((clip, file))
        })
    }

    /// Finds each tensor its place: the row's slot, or memory of its own where that is gone or too small.
    fn plan_fields(&self, task: &mut Task, entries: Vec<FieldEntry>) -> Result<Vec<PlannedTensor>> {
        let shared = &self.run.shared;
        let Slots { fields: slots, extents, .. } = &mut task.slots;
        let mut tensors = Vec::with_capacity(entries.len());
        for (number, entry) in entries.into_iter().enumerate() {
            let extents = &extents[number];
            let fits =
                entry.shape.len() == extents.len() && entry.shape.iter().zip(extents).all(|(side, of)| side <= of);
            let tensor = if let Some(slot) = slots[number].take_if(|_| fits) {
                PlannedTensor { number, entry, slot, extents: extents.clone(), apart: None }
            } else {
                let bytes = shared.fields[number].row_bytes(&entry.shape)?;
                let (assembly, mut slots) = shared.memory.acquire(1, bytes)?;
                let slot = slots.pop().ok_or_else(|| Error::invalid("a batch of one row has no slot"))?;
                let extents = entry.shape.clone();
                PlannedTensor { number, entry, slot, extents, apart: Some(assembly) }
            };
            tensors.push(tensor);
        }
        Ok(tensors)
    }

    /// Asks for the bytes of a clip.
    fn ask_for(&mut self, row: Arc<Row>, place: ClipPlace, clip: ClipPlan, file: &StorageFile) {
        let (run, counters) = (self.run, &self.run.shared.counters);
        let held_bytes = clip.read_bytes();
        run.monitor.hold(held_bytes);
        add(&counters.num_reads, clip.reads.len() as u64);
        add(&counters.read_bytes, held_bytes);
        add(&counters.needed_bytes, clip.needed_bytes);
        let number = self.next_clip;
        self.next_clip += 1;
        for read in &clip.reads {
            let (offset, len) = (read.range.offset, usize::try_from(read.range.len).unwrap_or(usize::MAX));
            self.reads.insert(self.next_read, (number, offset));
            self.queue.push_back(ReadRequest::new(self.next_read, file, offset, len));
            self.next_read += 1;
        }
        let num_missing = clip.reads.len();
        let pending = Pending { row, place, clip, bytes: ClipBytes::default(), num_missing, held_bytes, error: None };
        if num_missing == 0 { self.hand_over(pending) } else { drop(self.pending.insert(number, pending)) }
    }

    fn submit(&mut self) -> Result<()> {
        let Some(engine) = &mut self.engine else { return Ok(()) };
        while engine.in_flight() < engine.capacity() {
            let Some(request) = self.queue.pop_front() else { break };
            engine.submit(request)?;
        }
        Ok(())
    }

    /// Takes completions: waits up to `timeout` for the first, and for no other.
    fn collect(&mut self, mut timeout: Duration) -> Result<()> {
        while let Some(engine) = &mut self.engine
            && engine.in_flight() > 0
        {
            let start = Instant::now();
            let completion = engine.wait(Some(timeout))?;
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
        let Pending { row, place, clip, bytes, held_bytes, error, .. } = pending;
        let Some(error) = error else {
            return self.run.monitor.push_job(Job { row, place, clip, bytes, held_bytes });
        };
        self.run.monitor.release(held_bytes);
        let result = Err(error.with_path(clip.shard.path()));
        let slot = place.apart.is_none().then_some(place.slot);
        if let Some(settled) = row.settle(Part::Clip { slot, result }) {
            self.run.row_settled(settled);
        }
    }
}

/// Runs what looks at indexes; a panic there is an error of the record.
fn guarded<T>(plan: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(plan))
        .unwrap_or_else(|panic| Err(Error::corrupt(format!("planning panicked: {}", panic_message(&*panic)))))
}
