//! Reads through an io_uring ring of the engine's own.
//!
//! Invariants, on which the soundness of this file rests:
//!
//! 1. A read in the kernel is an [`Op`] in a slot. The slot owns the memory and the file, and is emptied only after the
//!    read's completion was taken from the queue. Its index is the read's `user_data`.
//! 2. Every occupied slot has exactly one entry in the submission queue, the kernel or the completion queue. So there are never
//!    more entries than slots, and neither queue overflows.
//! 3. Nobody looks at the memory while its slot is occupied.
//! 4. An engine that is dropped waits until every slot is empty. Where that fails, buffers and files are leaked, and it is said.
//!
//! A ring is bound to the thread that uses it first (single issuer, deferred task running, where the kernel has them), and
//! made anew when an idle engine is moved to another.
#![expect(unsafe_code, reason = "the kernel writes to buffers by address")]

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, opcode, squeue};

use super::engine::{Completion, ReadEngine, ReadRequest, check_range, engine_is_full, past_end};
use super::file::{Source, StorageFile};
use super::pread::{read_error, read_to};
use super::progress::{ReadProgress, Step};
use super::resident::ReadContext;
use super::target::{Memory, ReadOutcome};
use crate::error::{Error, ErrorKind, Result};

/// Entries that may wait in the submission queue before the kernel is called without being waited for.
const SUBMIT_BATCH: usize = 16;

/// Pause after the kernel said that it lacks memory for requests (EAGAIN, EBUSY).
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// One read in the kernel.
struct Op {
    tag: u64,
    file: StorageFile,
    offset: u64,
    len: usize,
    progress: ReadProgress,
    memory: Memory,
}

/// See the module.
pub(super) struct UringEngine {
    ring: Ring,
    context: ReadContext,
    capacity: usize,
    slots: Vec<Option<Op>>,
    /// Indices of the empty slots.
    free: Vec<usize>,
    /// Entries in the submission queue that the kernel was not told of.
    unsubmitted: usize,
    ready: VecDeque<Completion>,
    /// Completions on their way from the queue; here to be allocated once.
    reaped: Vec<(u64, i32)>,
}

/// A ring and the thread that it belongs to.
struct Ring {
    uring: IoUring,
    flags: &'static str,
    /// `None` until it is used.
    thread: Option<ThreadId>,
}

type Setup = fn(&mut io_uring::Builder) -> &mut io_uring::Builder;

/// What to ask the kernel for, best first. A kernel that does not know a flag says EINVAL.
const SETUPS: [(&str, Setup); 3] = [
    ("single issuer, deferred task running", |builder| {
        builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all()
    }),
    ("cooperative task running", |builder| builder.setup_coop_taskrun().setup_submit_all()),
    ("plain", |builder| builder),
];

impl Ring {
    /// A ring for `depth` reads, disabled until [`bind`](Self::bind) so that any thread may become its issuer.
    fn new(depth: usize) -> io::Result<Self> {
        let entries = u32::try_from(depth.next_power_of_two()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut refused = io::Error::from(io::ErrorKind::Unsupported);
        for (flags, setup) in SETUPS {
            match setup(IoUring::builder().setup_r_disabled()).build(entries) {
                Ok(uring) => {
                    let params = uring.params();
                    if !(params.is_feature_ext_arg() && params.is_feature_nodrop()) {
                        return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel is older than 5.11"));
                    }
                    return Ok(Self { uring, flags, thread: None });
                }
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = error,
                Err(error) => return Err(error),
            }
        }
        Err(refused)
    }

    /// Makes the current thread the issuer.
    fn bind(&mut self) -> io::Result<()> {
        self.uring.submitter().register_enable_rings()?;
        self.thread = Some(std::thread::current().id());
        Ok(())
    }

    fn is_of_another_thread(&self) -> bool {
        self.thread.is_some_and(|thread| thread != std::thread::current().id())
    }
}

/// Finds out whether rings for `depth` reads may be made and used, and with which flags; else why not, in words.
pub(super) fn probe(depth: usize) -> std::result::Result<&'static str, String> {
    let attempt = || -> io::Result<&'static str> {
        let mut ring = Ring::new(depth)?;
        ring.bind()?;
        // Some filters let a ring be made and refuse its use.
        // SAFETY: a no-op has no buffer and no descriptor that would have to outlive it.
        unsafe { ring.uring.submission().push(&opcode::Nop::new().build()) }
            .map_err(|_| io::Error::other("the submission queue has no room"))?;
        loop {
            match ring.uring.submit_and_wait(1) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => break,
            }
        }
        Ok(ring.flags)
    };
    attempt().map_err(|error| error.to_string())
}

impl UringEngine {
    /// An engine with a ring of its own for `capacity` reads.
    pub(super) fn new(context: &ReadContext, capacity: usize) -> io::Result<Self> {
        Ok(Self {
            ring: Ring::new(capacity)?,
            context: context.clone(),
            capacity,
            slots: (0..capacity).map(|_| None).collect(),
            free: (0..capacity).rev().collect(),
            unsubmitted: 0,
            ready: VecDeque::new(),
            reaped: Vec::new(),
        })
    }

    /// Reads in the kernel or on the way to it.
    fn num_occupied(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Sees to it that the ring belongs to the current thread.
    fn bind_to_thread(&mut self) -> Result<()> {
        let broken = |error| Error::new(ErrorKind::Io, "cannot set up the io_uring ring").with_source(error);
        if self.ring.is_of_another_thread() {
            if self.num_occupied() > 0 {
                return Err(Error::invalid("the engine was moved to another thread with reads in flight"));
            }
            self.ring = Ring::new(self.capacity).map_err(broken)?;
        }
        if self.ring.thread.is_none() {
            self.ring.bind().map_err(broken)?;
        }
        Ok(())
    }

    /// Begins a read, or gives its result where there is nothing to wait for.
    fn begin(&mut self, request: ReadRequest) -> Result<Option<ReadOutcome>> {
        let ReadRequest { tag, file, offset, target } = request;
        let len = target.len();
        check_range(&file, offset, len, self.context.max_read_bytes)?;
        let Source::Disk(disk) = file.source() else {
            return read_to(&self.context, &file, offset, target).map(Some);
        };
        let (memory, progress) = Memory::prepare(&self.context, disk, offset, target)?;
        if progress.is_done() {
            return memory.finish(&progress, len).map(Some);
        }
        let op = Op { tag, file, offset, len, progress, memory };
        let slot = self.free.pop().ok_or_else(|| engine_is_full(self.capacity))?;
        self.slots[slot] = Some(op);
        self.push(slot)?;
        Ok(None)
    }

    /// Puts the next part of the read in `slot` into the submission queue. Where that fails the slot is emptied: it would
    /// wait for ever.
    fn push(&mut self, slot: usize) -> Result<()> {
        let outcome = self.try_push(slot);
        if outcome.is_err() && self.slots[slot].take().is_some() {
            self.free.push(slot);
        }
        outcome
    }

    fn try_push(&mut self, slot: usize) -> Result<()> {
        let Some(op) = &mut self.slots[slot] else { return Ok(()) };
        let entry = op.entry(slot)?;
        // SAFETY: the entry's descriptor and buffer are owned by the op in this slot, which stays occupied until the
        // completion has come (invariant 1); the entry lies within the buffer (checked by `Op::entry`), and nobody looks
        // at the buffer meanwhile (invariant 3).
        while unsafe { self.ring.uring.submission().push(&entry) }.is_err() {
            // Not reached, by invariant 2; handled all the same, because the slot must get its entry.
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
        self.unsubmitted = self.ring.uring.submission().len();
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

    /// Takes all completions from the queue. A read that is not complete goes on, unless the engine is `closing`.
    fn reap(&mut self, closing: bool) {
        let mut reaped = std::mem::take(&mut self.reaped);
        reaped.extend(self.ring.uring.completion().map(|entry| (entry.user_data(), entry.result())));
        for (user_data, result) in reaped.drain(..) {
            self.advance(user_data as usize, result, closing);
        }
        self.reaped = reaped;
    }

    /// Takes the kernel's answer to the entry of `slot`.
    fn advance(&mut self, slot: usize, result: i32, closing: bool) {
        let Some(op) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            tracing::error!("io_uring completed a read that was not submitted");
            return;
        };
        // A negative result is an error number.
        let answer = usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(result.saturating_neg()));
        let step = op.progress.advance(answer);
        if matches!(step, Step::Again) && !closing {
            let tag = op.tag;
            if let Err(error) = self.push(slot) {
                self.ready.push_back(Completion { tag, result: Err(error) });
            }
            return;
        }
        let Some(op) = self.slots[slot].take() else { return };
        self.free.push(slot);
        let Op { tag, file, offset, len, progress, memory } = op;
        let result = match step {
            Step::Done => memory.finish(&progress, len),
            Step::End(got) => Err(past_end(&file, offset, len, got)),
            Step::Failed(error) => Err(read_error(&file, offset, len, error)),
            Step::Again => return, // closing: nobody waits for it
        };
        self.ready.push_back(Completion { tag, result });
    }

    /// Waits until the kernel writes to no buffer any more.
    fn drain(&mut self) -> Result<()> {
        if self.num_occupied() > 0 && self.ring.is_of_another_thread() {
            return Err(Error::invalid("the engine was moved to another thread with reads in flight"));
        }
        self.reap(true);
        while self.num_occupied() > 0 {
            self.enter(1, None)?;
            self.reap(true);
        }
        Ok(())
    }
}

impl Op {
    /// The submission entry for the next part of the read.
    fn entry(&mut self, slot: usize) -> Result<squeue::Entry> {
        let internal = |message: &str| Error::new(ErrorKind::Io, message);
        let Source::Disk(disk) = self.file.source() else {
            return Err(internal("the file has no descriptor").with_path(self.file.path()));
        };
        let chunk = self.progress.next();
        let descriptor = Fd(disk.descriptor(chunk.is_direct).as_raw_fd());
        let len = u32::try_from(chunk.len).map_err(|_| internal("a part exceeds 4 GiB"))?;
        // This check is what the kernel's write to the buffer relies on.
        if chunk.at.checked_add(chunk.len).is_none_or(|end| end > self.memory.len()) {
            return Err(internal("a part lies outside of its buffer"));
        }
        let address = self.memory.as_mut_ptr().wrapping_add(chunk.at);
        Ok(opcode::Read::new(descriptor, address, len).offset(chunk.offset).build().user_data(slot as u64))
    }
}

impl ReadEngine for UringEngine {
    fn name(&self) -> &'static str {
        "uring"
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn in_flight(&self) -> usize {
        self.num_occupied() + self.ready.len()
    }

    fn submit(&mut self, request: ReadRequest) -> Result<()> {
        if self.in_flight() >= self.capacity {
            return Err(engine_is_full(self.capacity));
        }
        self.bind_to_thread()?;
        let tag = request.tag;
        match self.begin(request) {
            Ok(None) => {}
            Ok(Some(outcome)) => self.ready.push_back(Completion { tag, result: Ok(outcome) }),
            Err(error) => self.ready.push_back(Completion { tag, result: Err(error) }),
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
        let mut entered = false;
        loop {
            if self.unsubmitted == 0 || entered {
                if let Some(completion) = self.ready.pop_front() {
                    return Ok(Some(completion));
                }
                if self.num_occupied() == 0 {
                    return Ok(None);
                }
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if entered && left == Some(Duration::ZERO) {
                return Ok(None);
            }
            // With a completion at hand the kernel is only told of what is new.
            let want = usize::from(self.ready.is_empty());
            self.enter(want, left)?;
            self.reap(false);
            entered = true;
        }
    }
}

impl Drop for UringEngine {
    fn drop(&mut self) {
        if let Err(error) = self.drain() {
            tracing::error!("{} reads are leaked with their memory: {}", self.num_occupied(), error.report());
            std::mem::forget(std::mem::take(&mut self.slots));
        }
    }
}
