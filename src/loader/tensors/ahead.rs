//! Reading ahead: many chunks in flight, of this tensor and the next ones, each right into its place in the batch.

use super::{Tensor, count_read};
use crate::buf::Slot;
use crate::error::{Error, Result};
use crate::loader::choices::Checksum;
use crate::loader::cpu_budget::Pace;
use crate::loader::fields::FieldJob;
use crate::loader::iteration::Run;
use crate::loader::monitor::FieldWork;
use crate::loader::stats::add_since;
use crate::storage::{Completion, ReadEngine, ReadRequest};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Bytes of a read: large enough for a disk, small enough to be checked while they are in the cache.
const CHUNK_BYTES: usize = 512 << 10;
/// While reads are in flight and the engine has room, the thread looks this often for more to read.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// Low bits of a read's tag, which number the chunk; the others number the tensor.
const CHUNK_BITS: u32 = 24;
const CHUNK_MASK: u64 = (1 << CHUNK_BITS) - 1;

/// A tensor some of whose chunks are not there.
struct Reading {
    tensor: Tensor,
    /// What is not asked for yet: its place, and its offset in the file.
    rest: Option<(Slot, u64)>,
    /// Chunks that are there, by number, to be joined again.
    chunks: Vec<Option<Slot>>,
    /// What lies behind the elements in their place.
    padding: Slot,
    num_in_flight: usize,
    error: Option<Error>,
}

struct AheadReader<'a> {
    run: &'a Run,
    engine: Box<dyn ReadEngine>,
    readings: HashMap<u64, Reading>,
    /// The one that has chunks to be asked for.
    current: Option<u64>,
    next_number: u64,
}

/// The thread's life.
pub(super) fn read(run: &Run, engine: Box<dyn ReadEngine>) -> Result<()> {
    AheadReader { run, engine, readings: HashMap::new(), current: None, next_number: 0 }.run()
}

impl AheadReader<'_> {
    fn run(&mut self) -> Result<()> {
        let mut pace = Pace::new(self.run);
        while self.fill()? {
            pace.rest();
            let start = Instant::now();
            let has_room = self.engine.in_flight() < self.engine.capacity();
            let completion = self.engine.wait(has_room.then_some(LOOK_INTERVAL))?;
            add_since(&self.run.shared.counters.tensor_read_nanos, start);
            if let Some(completion) = completion {
                self.complete(completion);
            }
        }
        Ok(())
    }

    /// Keeps the engine full. Gives false when the iteration is over.
    fn fill(&mut self) -> Result<bool> {
        let (monitor, counters) = (&self.run.monitor, &self.run.shared.counters);
        while self.engine.in_flight() < self.engine.capacity() {
            if monitor.is_cancelled() {
                return Ok(false);
            }
            if self.current.is_some() {
                self.submit()?;
                continue;
            }
            match monitor.next_field(self.engine.in_flight() == 0, counters) {
                FieldWork::Job(job) => self.begin(job),
                FieldWork::Idle => break,
                FieldWork::Ended => return Ok(false),
            }
        }
        Ok(true)
    }

    fn begin(&mut self, job: FieldJob) {
        let Some((tensor, slot)) = Tensor::begin(self.run, job) else { return };
        if tensor.len == 0 {
            return tensor.finish(self.run, Some(slot), Ok(()));
        }
        let (elements, padding) = slot.split_at(tensor.len);
        let reading = Reading {
            rest: Some((elements, tensor.entry.offset)),
            chunks: Vec::with_capacity(tensor.len.div_ceil(CHUNK_BYTES)),
            tensor,
            padding,
            num_in_flight: 0,
            error: None,
        };
        self.readings.insert(self.next_number, reading);
        self.current = Some(self.next_number);
        self.next_number += 1;
    }

    /// Asks for the next chunk of the current tensor.
    fn submit(&mut self) -> Result<()> {
        let Some(number) = self.current.take() else { return Ok(()) };
        let Some(reading) = self.readings.get_mut(&number) else { return Ok(()) };
        let Some((rest, offset)) = reading.rest.take() else { return Ok(()) };
        let len = rest.len().min(CHUNK_BYTES);
        let (chunk, rest) = rest.split_at(len);
        if !rest.is_empty() {
            reading.rest = Some((rest, offset + len as u64));
            self.current = Some(number);
        }
        let tag = number << CHUNK_BITS | reading.chunks.len() as u64;
        reading.chunks.push(None);
        reading.num_in_flight += 1;
        count_read(self.run, len);
        let start = Instant::now();
        self.engine.submit(ReadRequest::into_slot(tag, &reading.tensor.file, offset, chunk))?;
        add_since(&self.run.shared.counters.tensor_read_nanos, start);
        Ok(())
    }

    fn complete(&mut self, completion: Completion) {
        let (number, chunk) = (completion.tag >> CHUNK_BITS, (completion.tag & CHUNK_MASK) as usize);
        let Some(reading) = self.readings.get_mut(&number) else { return };
        reading.num_in_flight -= 1;
        match completion.into_slot() {
            Ok(slot) => {
                if self.run.shared.options.checksum == Checksum::On {
                    let start = Instant::now();
                    reading.tensor.checks.add(chunk, slot.bytes());
                    add_since(&self.run.shared.counters.tensor_check_nanos, start);
                }
                reading.chunks[chunk] = Some(slot);
            }
            Err(error) => {
                reading.error.get_or_insert(error);
                reading.rest = None;
                self.current = self.current.filter(|&current| current != number);
            }
        }
        if reading.num_in_flight > 0 || reading.rest.is_some() {
            return;
        }
        if let Some(Reading { tensor, chunks, padding, error, .. }) = self.readings.remove(&number) {
            let chunks = chunks.into_iter().chain([Some(padding)]);
            let whole = chunks.reduce(|front, back| front?.join(back?).ok()).flatten();
            tensor.finish(self.run, whole, error.map_or(Ok(()), Err));
        }
    }
}
