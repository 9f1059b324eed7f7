//! Positional reads: one of them in the caller's thread, and an engine that performs many on a few threads of its own.
//!
//! What a container gets that is refused io_uring. With no threads at all it is the engine of `inline.rs`. Threads live as long as their engine and are joined when it is dropped.

use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::bytes::ReadBytes;
use super::engine::{Completion, ReadEngine, ReadRequest, check_range, engine_is_full, past_end};
use super::file::{DiskFile, Source, StorageFile};
use super::progress::Step;
use super::resident::{ReadContext, read_resident};
use super::target::{Memory, ReadOutcome, ReadTarget};
use crate::error::{Error, ErrorKind, Result};

/// Reads a range to the pool in the caller's thread, wherever the file is.
pub(super) fn read_now(context: &ReadContext, file: &StorageFile, offset: u64, len: usize) -> Result<ReadBytes> {
    read_to(context, file, offset, ReadTarget::Pool { len })?.into_bytes()
}

/// Reads a range in the caller's thread, wherever the file is.
pub(super) fn read_to(
    context: &ReadContext,
    file: &StorageFile,
    offset: u64,
    target: ReadTarget,
) -> Result<ReadOutcome> {
    check_range(file, offset, target.len(), context.max_read_bytes)?;
    match file.source() {
        Source::Disk(disk) => read_disk(context, file, disk, offset, target),
        Source::Mapped(_) | Source::Resident(_) => read_resident(context, file, offset, target),
    }
}

fn read_disk(
    context: &ReadContext,
    file: &StorageFile,
    disk: &DiskFile,
    offset: u64,
    target: ReadTarget,
) -> Result<ReadOutcome> {
    let len = target.len();
    let plan = ReadContext::plan(disk, offset, len);
    let mut memory = Memory::prepare(context, disk, &plan, target)?;
    let mut progress = plan.whole(context.policy);
    while !progress.is_done() {
        let chunk = progress.next();
        let descriptor = disk.descriptor(chunk.is_direct);
        let answer = descriptor.read_at(&mut memory.bytes_mut()[chunk.at..chunk.at + chunk.len], chunk.offset);
        match progress.advance(context.answer(chunk, answer)) {
            Step::Done | Step::Again => {}
            Step::Later(pause) => std::thread::sleep(pause),
            Step::End(got) => return Err(past_end(file, offset, len, got)),
            Step::Failed(error) => return Err(read_error(file, offset, len, error)),
        }
    }
    memory.finish(&plan, len)
}

/// The error of a read that the operating system refused.
pub(super) fn read_error(file: &StorageFile, offset: u64, len: usize, error: io::Error) -> Error {
    Error::io(&format!("read {len} bytes"), file.path(), error).with_offset(offset)
}

impl DiskFile {
    /// The descriptor for a direct or a buffered read.
    pub(super) fn descriptor(&self, is_direct: bool) -> &std::fs::File {
        match &self.direct {
            Some(direct) if is_direct => &direct.file,
            _ => &self.buffered,
        }
    }
}

/// See the module.
pub(super) struct PreadEngine {
    capacity: usize,
    in_flight: usize,
    /// `None` once the engine is being dropped.
    requests: Option<Sender<ReadRequest>>,
    completions: Receiver<Completion>,
    closing: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl PreadEngine {
    /// An engine with `num_threads` threads that takes `capacity` reads at once.
    pub(super) fn new(context: &ReadContext, capacity: usize, num_threads: usize) -> Result<Self> {
        // Both queues hold all that may be in flight: neither side ever waits for room.
        let (requests, request_queue) = bounded::<ReadRequest>(capacity);
        let (completion_queue, completions) = bounded(capacity);
        let closing = Arc::new(AtomicBool::new(false));
        let mut engine =
            Self { capacity, in_flight: 0, requests: Some(requests), completions, closing, threads: Vec::new() };
        for number in 0..num_threads.min(capacity) {
            let (context, queue, results) = (context.clone(), request_queue.clone(), completion_queue.clone());
            let closing = engine.closing.clone();
            let thread = std::thread::Builder::new()
                .name(format!("ff-pread-{number}"))
                .spawn(move || serve(&context, &queue, &results, &closing))
                .map_err(|error| Error::new(ErrorKind::Io, "cannot start a reader thread").with_source(error))?;
            engine.threads.push(thread);
        }
        Ok(engine)
    }
}

fn serve(context: &ReadContext, queue: &Receiver<ReadRequest>, results: &Sender<Completion>, closing: &AtomicBool) {
    for request in queue {
        if closing.load(Ordering::Relaxed) {
            continue;
        }
        let ReadRequest { tag, file, offset, target } = request;
        let read = || read_to(context, &file, offset, target);
        // A panic would lose the completion, and with it whoever waits for it.
        let result = catch_unwind(AssertUnwindSafe(read))
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Io, "the reader thread panicked").with_path(file.path())));
        if results.send(Completion { tag, result }).is_err() {
            return;
        }
    }
}

impl ReadEngine for PreadEngine {
    fn name(&self) -> &'static str {
        "pread"
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn submit(&mut self, request: ReadRequest) -> Result<()> {
        if self.in_flight >= self.capacity {
            return Err(engine_is_full(self.capacity));
        }
        match &self.requests {
            Some(requests) if requests.send(request).is_ok() => {
                self.in_flight += 1;
                Ok(())
            }
            _ => Err(threads_ended()),
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<Completion>> {
        if self.in_flight == 0 {
            return Ok(None);
        }
        let completion = match timeout.and_then(|timeout| Instant::now().checked_add(timeout)) {
            Some(deadline) => self.completions.recv_deadline(deadline),
            None => self.completions.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match completion {
            Ok(completion) => {
                self.in_flight -= 1;
                Ok(Some(completion))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(threads_ended()),
        }
    }
}

fn threads_ended() -> Error {
    Error::new(ErrorKind::Closed, "the reader threads of the pread engine have ended")
}

impl Drop for PreadEngine {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        self.requests = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reader thread panicked");
            }
        }
    }
}
