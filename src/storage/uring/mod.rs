//! Reads through an io_uring ring of the engine's own.
//!
//! A request is a [`Read`] that is performed in [`Part`]s, as many at once as the ring has entries and the limit of bytes in
//! flight allows; requests begin in the order in which they came.
//!
//! Invariants, on which the soundness of this file rests:
//!
//! 1. A [`Part`] in the kernel is in the slab of parts, and its [`Read`] in the slab of reads. The read owns the memory and the file.
//!    A part is taken out of its slab only after its completion was taken from the queue, a read only when it has no part.
//!    The part's number is the `user_data`.
//! 2. Every part has exactly one entry in the submission queue, the kernel or the completion queue, or waits in `delayed` or
//!    `stalled`. So there are never more entries than the slab of parts has room, and neither queue overflows.
//! 3. Parts of one read do not overlap, and nobody looks at a read's memory while it has parts.
//! 4. An engine that is dropped waits until no part is in the kernel. Where that fails, memory and files are leaked, and it
//!    is said.
//!
//! Files of FUSE are not read by the ring (see `StorageFile::is_fuse`): `wait` performs their reads in the caller's thread.
//!
//! A ring is bound to the thread that uses it first (single issuer, deferred task running, where the kernel has them), and
//! made anew when an idle engine is moved to another.
#![expect(unsafe_code, reason = "the kernel writes to buffers by address")]

mod read;
mod registered;
mod ring;
mod slab;

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{opcode, squeue};

use super::engine::{Completion, ReadEngine, ReadRequest, check_range, engine_is_full};
use super::file::Source;
use super::options::{RegisterBuffers, RingMode, StorageOptions};
use super::pread::read_to;
use super::progress::{Chunk, Step};
use super::resident::ReadContext;
use super::target::Memory;
use crate::error::{Error, ErrorKind, Result};
use read::{Failure, Part, Read};
pub(super) use registered::Refusals;
use registered::Registered;
use ring::Ring;
pub(super) use ring::probe;
use slab::Slab;

/// Entries that may wait in the submission queue before the kernel is called without being waited for.
const SUBMIT_BATCH: usize = 16;

/// Pause after the kernel said that it lacks memory for requests (EAGAIN, EBUSY).
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// Most parts of one engine.
const MAX_PARTS: usize = 4096;

/// What an engine is to be, from the options of its storage.
#[derive(Clone)]
pub(super) struct UringSettings {
    capacity: usize,
    mode: RingMode,
    register_buffers: RegisterBuffers,
    split_bytes: usize,
    max_in_flight_bytes: usize,
    refusals: Arc<Refusals>,
}

impl UringSettings {
    pub(super) fn new(options: &StorageOptions, mode: RingMode, refusals: &Arc<Refusals>) -> Self {
        Self {
            capacity: options.depth,
            mode,
            register_buffers: options.register_buffers,
            split_bytes: options.split_bytes,
            max_in_flight_bytes: options.max_in_flight_bytes,
            refusals: Arc::clone(refusals),
        }
    }

    /// Parts that an engine may have under way: one for each read, and as many as a long read may have.
    fn num_parts(&self) -> usize {
        (self.max_in_flight_bytes / self.split_bytes).clamp(self.capacity, MAX_PARTS)
    }
}

/// See the module.
pub(super) struct UringEngine {
    ring: Ring,
    context: ReadContext,
    settings: UringSettings,
    reads: Slab<Read>,
    parts: Slab<Part>,
    /// Reads with parts that were not begun, first come first.
    waiting: VecDeque<usize>,
    /// Bytes of all parts.
    bytes_in_flight: usize,
    /// Parts that are asked for again at some time.
    delayed: Vec<(Instant, usize)>,
    /// Parts that wait for a ring that is not polled, because their file cannot be.
    stalled: Vec<usize>,
    /// Requests that the ring must not perform.
    aside: VecDeque<ReadRequest>,
    /// Entries in the submission queue that the kernel was not told of.
    unsubmitted: usize,
    ready: VecDeque<Completion>,
    /// Bytes of the completions that are ready. They hold memory: reads that need more of it wait until they are taken.
    ready_bytes: usize,
    /// Completions on their way from the queue; here to be allocated once.
    reaped: Vec<(u64, i32)>,
}

impl UringEngine {
    /// An engine with a ring of its own.
    pub(super) fn new(context: &ReadContext, settings: UringSettings) -> io::Result<Self> {
        let num_parts = settings.num_parts();
        Ok(Self {
            ring: Ring::new(num_parts, settings.mode)?,
            context: context.clone(),
            reads: Slab::new(settings.capacity),
            parts: Slab::new(num_parts),
            waiting: VecDeque::new(),
            bytes_in_flight: 0,
            delayed: Vec::new(),
            stalled: Vec::new(),
            aside: VecDeque::new(),
            unsubmitted: 0,
            ready: VecDeque::new(),
            ready_bytes: 0,
            reaped: Vec::new(),
            settings,
        })
    }

    /// Parts in the kernel or in its queues.
    fn num_in_kernel(&self) -> usize {
        self.parts.len() - self.delayed.len() - self.stalled.len()
    }

    /// Sees to it that the ring belongs to the current thread.
    fn bind_to_thread(&mut self) -> Result<()> {
        if self.ring.is_of_another_thread() {
            if self.reads.len() > 0 {
                return Err(moved_with_reads());
            }
            self.ring = self.new_ring()?;
        }
        if !self.ring.is_bound() {
            self.ring.bind().map_err(ring_is_broken)?;
            let submitter = self.ring.uring.submitter();
            self.ring.registered = Registered::new(&submitter, self.settings.register_buffers, &self.settings.refusals);
        }
        Ok(())
    }

    fn new_ring(&self) -> Result<Ring> {
        Ring::new(self.settings.num_parts(), self.settings.mode).map_err(ring_is_broken)
    }

    /// Accepts a read, or answers it where there is nothing to wait for.
    fn accept(&mut self, request: ReadRequest) -> Result<Option<Completion>> {
        let ReadRequest { tag, file, offset, target } = request;
        check_range(&file, offset, target.len(), self.context.max_read_bytes)?;
        if file.is_fuse() {
            self.aside.push_back(ReadRequest { tag, file, offset, target });
            return Ok(None);
        }
        let Source::Disk(disk) = file.source() else {
            return read_to(&self.context, &file, offset, target)
                .map(|outcome| Some(Completion { tag, result: Ok(outcome) }));
        };
        let plan = ReadContext::plan(disk, offset, target.len());
        if plan.is_empty() {
            let outcome = Memory::prepare(&self.context, disk, &plan, target)?.finish(&plan, 0)?;
            return Ok(Some(Completion { tag, result: Ok(outcome) }));
        }
        let read = Read::new(tag, file, offset, target, plan);
        let number = self.reads.insert(read).map_err(|_| engine_is_full(self.settings.capacity))?;
        self.waiting.push_back(number);
        Ok(None)
    }

    /// Begins as many parts as there is room for, and those whose pause is over.
    fn begin(&mut self) {
        if !self.stalled.is_empty() {
            return; // until the ring was made anew
        }
        self.begin_delayed();
        while let Some(&number) = self.waiting.front() {
            let Some(read) = self.reads.get_mut(number) else {
                self.waiting.pop_front();
                continue;
            };
            let len = read.next_len(self.settings.split_bytes);
            if len == 0 {
                self.waiting.pop_front();
                self.finish_if_over(number);
                continue;
            }
            // There is always something that goes on: a part, or a completion that the caller is about to take.
            let held = self.bytes_in_flight + if read.has_memory() { 0 } else { self.ready_bytes };
            let has_room = held == 0 || held + len <= self.settings.max_in_flight_bytes;
            if self.parts.is_full() || !has_room {
                return;
            }
            self.begin_part(number, len);
        }
    }

    /// Begins the next part, of `len` bytes, of a read. There is room for it.
    fn begin_part(&mut self, number: usize, len: usize) {
        let Some(read) = self.reads.get_mut(number) else { return };
        let (file, plan) = (read.file.clone(), read.plan);
        let memory = read.take_memory(|target| match file.source() {
            Source::Disk(disk) => Memory::prepare(&self.context, disk, &plan, target),
            Source::Mapped(_) | Source::Resident(_) => Err(no_descriptor()),
        });
        if let Err(error) = memory {
            // Nothing of it is under way: the next look at it ends it.
            read.fail(0, Failure::Other(error.with_path(file.path())));
            return;
        }
        let begin = read.begin_part(len);
        let progress = plan.part(begin, len, self.context.policy);
        let part = Part { read: number, begin, num_bytes: len, progress };
        let Ok(part) = self.parts.insert(part) else { return };
        self.bytes_in_flight += len;
        self.push(part);
    }

    fn begin_delayed(&mut self) {
        if self.delayed.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(index) = self.delayed.iter().position(|(due, _)| *due <= now) {
            let (_, part) = self.delayed.swap_remove(index);
            self.push(part);
        }
    }

    /// Puts what a part has to ask for into the submission queue. Where that fails the part ends: it would wait for ever.
    fn push(&mut self, number: usize) {
        if let Err(error) = self.try_push(number) {
            self.end_part(number, Some(Failure::Other(error)));
        }
    }

    fn try_push(&mut self, number: usize) -> Result<()> {
        let Some(part) = self.parts.get_mut(number) else { return Ok(()) };
        let chunk = part.progress.next();
        if self.ring.mode == RingMode::Polled && !chunk.is_direct {
            self.stalled.push(number);
            return Ok(());
        }
        let Some(read) = self.reads.get_mut(part.read) else { return Err(no_descriptor()) };
        let entry = entry(&mut self.ring, &self.settings.refusals, read, chunk)?.user_data(number as u64);
        // SAFETY: the entry's descriptor and memory are owned by the part's read, which stays in its slab until the
        // completion has come (invariant 1); the entry lies within the memory (checked by `entry`), overlaps no other,
        // and nobody looks at the memory meanwhile (invariant 3).
        while unsafe { self.ring.uring.submission().push(&entry) }.is_err() {
            // With a submission thread, entries that the kernel has not taken yet. Else not reached, by invariant 2.
            self.enter(0, None)?;
        }
        self.unsubmitted += 1;
        Ok(())
    }

    /// Tells the kernel of new entries, and waits for `want` completions or until the timeout is over. Interruptions and
    /// a busy kernel count as a timeout: the caller looks at the queue and comes again.
    fn enter(&mut self, want: usize, timeout: Option<Duration>) -> Result<()> {
        let timespec = timeout.map(Timespec::from);
        let mut args = SubmitArgs::new();
        if let Some(timespec) = &timespec {
            args = args.timespec(timespec);
        }
        let outcome = self.ring.uring.submitter().submit_with_args(want, &args);
        self.unsubmitted = match self.ring.mode {
            // The thread takes them by itself.
            RingMode::SubmissionThread => 0,
            RingMode::Interrupts | RingMode::Polled => self.ring.uring.submission().len(),
        };
        match outcome {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR) => Ok(()),
                Some(libc::EAGAIN | libc::EBUSY) => {
                    std::thread::sleep(timeout.map_or(BUSY_PAUSE, |timeout| timeout.min(BUSY_PAUSE)));
                    Ok(())
                }
                _ => Err(Error::new(ErrorKind::Io, "the io_uring ring failed").with_source(error)),
            },
        }
    }

    /// Takes all completions from the queue. A part that is not complete goes on, unless the engine is `closing`.
    fn reap(&mut self, closing: bool) {
        let mut reaped = std::mem::take(&mut self.reaped);
        reaped.extend(self.ring.uring.completion().map(|entry| (entry.user_data(), entry.result())));
        for (user_data, result) in reaped.drain(..) {
            self.advance(user_data as usize, result, closing);
        }
        self.reaped = reaped;
    }

    /// Takes the kernel's answer to the entry of a part.
    fn advance(&mut self, number: usize, result: i32, closing: bool) {
        let Some(part) = self.parts.get_mut(number) else {
            tracing::error!("io_uring completed a read that was not submitted");
            return;
        };
        if closing {
            return self.end_part(number, None);
        }
        if self.ring.mode == RingMode::Polled && result == -libc::EOPNOTSUPP {
            self.stalled.push(number);
            return;
        }
        // A negative result is an error number.
        let answer = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.saturating_neg()));
        let answer = self.context.answer(part.progress.next(), answer);
        match part.progress.advance(answer) {
            Step::Again => self.push(number),
            Step::Later(pause) => self.delayed.push((Instant::now() + pause, number)),
            Step::Done => self.end_part(number, None),
            Step::End(got) => self.end_part(number, Some(Failure::End(got))),
            Step::Failed(error) => self.end_part(number, Some(Failure::Os(error))),
        }
    }

    /// A part is not under way any more.
    fn end_part(&mut self, number: usize, failure: Option<Failure>) {
        let Some(part) = self.parts.remove(number) else { return };
        self.bytes_in_flight -= part.num_bytes;
        let Some(read) = self.reads.get_mut(part.read) else { return };
        read.num_parts -= 1;
        if let Some(failure) = failure {
            read.fail(part.begin, failure);
        }
        self.finish_if_over(part.read);
    }

    /// Answers a read that has no part under way and none to come.
    fn finish_if_over(&mut self, number: usize) {
        let is_over = |read: &mut Read| read.num_parts == 0 && read.next_len(self.settings.split_bytes) == 0;
        if !self.reads.get_mut(number).is_some_and(is_over) {
            return;
        }
        if let Some(read) = self.reads.remove(number) {
            if !read.is_begun_whole() {
                // It failed while parts of it were still waiting for their turn.
                self.waiting.retain(|&other| other != number);
            }
            let completion = Completion { tag: read.tag, result: read.finish() };
            self.answer(completion);
        }
    }

    /// Goes on without polling once everything that could be polled for has come, where something cannot.
    fn leave_polling(&mut self) -> Result<()> {
        if self.stalled.is_empty() || self.num_in_kernel() > 0 {
            return Ok(());
        }
        self.settings.refusals.note_mode("the file, or a read of it, cannot be polled");
        self.settings.mode = RingMode::Interrupts;
        self.ring = self.new_ring()?;
        self.bind_to_thread()?;
        for part in std::mem::take(&mut self.stalled) {
            self.push(part);
        }
        Ok(())
    }

    /// Performs one of the reads that the ring must not, after the kernel was told of all others.
    fn read_aside(&mut self) -> Result<()> {
        let Some(ReadRequest { tag, file, offset, target }) = self.aside.pop_front() else { return Ok(()) };
        if self.unsubmitted > 0 {
            self.enter(0, Some(Duration::ZERO))?;
        }
        let result = read_to(&self.context, &file, offset, target);
        self.answer(Completion { tag, result });
        Ok(())
    }

    /// Waits until the kernel writes to no memory any more.
    fn drain(&mut self) -> Result<()> {
        if self.num_in_kernel() > 0 && self.ring.is_of_another_thread() {
            return Err(moved_with_reads());
        }
        self.reap(true);
        while self.num_in_kernel() > 0 {
            self.enter(1, None)?;
            self.reap(true);
        }
        Ok(())
    }

    /// Has a completion wait for whoever takes it.
    fn answer(&mut self, completion: Completion) {
        self.ready_bytes += num_bytes(&completion);
        self.ready.push_back(completion);
    }

    /// One look at what goes on, with a wait for something to happen where nothing is ready.
    fn step(&mut self, left: Option<Duration>) -> Result<()> {
        let now = Instant::now();
        let pause = self.delayed.iter().map(|(due, _)| due.saturating_duration_since(now)).min();
        let limit = left.into_iter().chain(pause).min();
        if self.num_in_kernel() > 0 {
            // The kernel keeps to no timeout while it polls. With a completion at hand it is only told of what is new.
            let may_wait = self.ready.is_empty() && !(self.ring.mode == RingMode::Polled && limit.is_some());
            self.enter(usize::from(may_wait), limit)?;
        } else if self.ready.is_empty() && self.stalled.is_empty() {
            // All that is under way is in a pause.
            std::thread::sleep(limit.unwrap_or_default());
        }
        self.reap(false);
        self.leave_polling()?;
        self.begin();
        Ok(())
    }
}

/// The submission entry for a chunk of a read.
fn entry(ring: &mut Ring, refusals: &Refusals, read: &mut Read, chunk: Chunk) -> Result<squeue::Entry> {
    let Ring { uring, registered, .. } = ring;
    let submitter = uring.submitter();
    let (file, memory) = read.file_and_memory();
    let (Source::Disk(disk), Some(memory)) = (file.source(), memory) else {
        return Err(no_descriptor().with_path(file.path()));
    };
    let len = u32::try_from(chunk.len).map_err(|_| Error::new(ErrorKind::Io, "a part exceeds 4 GiB"))?;
    // This check is what the kernel's write to the memory relies on.
    if chunk.at.checked_add(chunk.len).is_none_or(|end| end > memory.len()) {
        return Err(Error::new(ErrorKind::Io, "a part lies outside of its memory"));
    }
    let address = memory.as_mut_ptr().wrapping_add(chunk.at);
    let descriptor = disk.descriptor(chunk.is_direct);
    let number = registered.file(&submitter, refusals, (file, descriptor), chunk.is_direct);
    let (target, flags) = match number {
        Some(number) => (Fd(number as i32), squeue::Flags::FIXED_FILE),
        None => (Fd(descriptor.as_raw_fd()), squeue::Flags::empty()),
    };
    let buffer = if registered.knows_buffers() {
        memory.region().and_then(|region| registered.buffer(&submitter, refusals, region))
    } else {
        None
    };
    let entry = match buffer {
        Some(buffer) => opcode::ReadFixed::new(target, address, len, buffer).offset(chunk.offset).build(),
        None => opcode::Read::new(target, address, len).offset(chunk.offset).build(),
    };
    Ok(entry.flags(flags))
}

/// Bytes that a completion holds.
fn num_bytes(completion: &Completion) -> usize {
    completion.result.as_ref().map_or(0, |outcome| outcome.len())
}

fn no_descriptor() -> Error {
    Error::new(ErrorKind::Io, "the file has no descriptor")
}

fn moved_with_reads() -> Error {
    Error::invalid("the engine was moved to another thread with reads in flight")
}

fn ring_is_broken(error: io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot set up the io_uring ring").with_source(error)
}

impl ReadEngine for UringEngine {
    fn name(&self) -> &'static str {
        "uring"
    }

    fn capacity(&self) -> usize {
        self.settings.capacity
    }

    fn in_flight(&self) -> usize {
        self.reads.len() + self.aside.len() + self.ready.len()
    }

    fn submit(&mut self, request: ReadRequest) -> Result<()> {
        if self.in_flight() >= self.settings.capacity {
            return Err(engine_is_full(self.settings.capacity));
        }
        self.bind_to_thread()?;
        let tag = request.tag;
        match self.accept(request) {
            Ok(None) => self.begin(),
            Ok(Some(completion)) => self.answer(completion),
            Err(error) => self.answer(Completion { tag, result: Err(error) }),
        }
        if self.unsubmitted >= SUBMIT_BATCH {
            // Whatever goes wrong with the ring shows at the next wait, too: the request was taken.
            let _ = self.enter(0, Some(Duration::ZERO));
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<Completion>> {
        if self.in_flight() == 0 {
            return Ok(None);
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.bind_to_thread()?;
        self.reap(false);
        self.begin();
        if self.ready.is_empty() {
            self.read_aside()?;
        }
        let mut entered = false;
        loop {
            if self.unsubmitted == 0 || entered {
                if let Some(completion) = self.ready.pop_front() {
                    self.ready_bytes -= num_bytes(&completion);
                    if self.reads.len() == 0 {
                        self.ring.release_closed_files();
                    }
                    return Ok(Some(completion));
                }
                if self.reads.len() == 0 {
                    return Ok(None);
                }
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if entered && left == Some(Duration::ZERO) {
                return Ok(None);
            }
            self.step(left)?;
            entered = true;
        }
    }
}

impl Drop for UringEngine {
    fn drop(&mut self) {
        if let Err(error) = self.drain() {
            tracing::error!("{} reads are leaked with their memory: {}", self.reads.len(), error.report());
            self.reads.leak();
        }
    }
}
