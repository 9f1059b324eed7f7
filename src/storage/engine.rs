//! The contract between those who want bytes and those who fetch them.

use std::fmt;
use std::time::Duration;

use super::bytes::ReadBytes;
use super::file::StorageFile;
use super::target::{ReadOutcome, ReadTarget};
use crate::buf::Slot;
use crate::error::{Error, ErrorKind, Result};

/// One read.
#[derive(Debug)]
pub struct ReadRequest {
    /// Comes back in the completion. The engine does not look at it; it need not be unique.
    pub tag: u64,
    /// The file, opened by any [`Storage`](super::Storage).
    pub file: StorageFile,
    /// First byte.
    pub offset: u64,
    /// How many bytes, and where to.
    pub target: ReadTarget,
}

impl ReadRequest {
    /// A read of `len` bytes to the storage's pool.
    pub fn new(tag: u64, file: &StorageFile, offset: u64, len: usize) -> Self {
        Self { tag, file: file.clone(), offset, target: ReadTarget::Pool { len } }
    }

    /// A read that fills `slot`.
    pub fn into_slot(tag: u64, file: &StorageFile, offset: u64, slot: Slot) -> Self {
        Self { tag, file: file.clone(), offset, target: ReadTarget::Slot(slot) }
    }
}

/// What became of one read.
pub struct Completion {
    /// The request's.
    pub tag: u64,
    /// Exactly the bytes asked for, or why there are none.
    pub result: Result<ReadOutcome>,
}

impl Completion {
    /// The bytes of a read to the pool, or why there are none.
    pub fn into_bytes(self) -> Result<ReadBytes> {
        self.result?.into_bytes()
    }

    /// The slot of a read to a slot, filled, or why it is not.
    pub fn into_slot(self) -> Result<Slot> {
        self.result?.into_slot()
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").field("tag", &self.tag).field("result", &self.result).finish()
    }
}

/// Reads ranges of files, many at a time.
///
/// # Contract
///
/// **Order.** `submit` any number of requests, at most [`capacity`](Self::capacity) of them unanswered; `wait` for their
/// completions. Every accepted request is answered by exactly one completion, in any order. Reads may begin at `submit`
/// or at the next `wait`; `wait(Some(Duration::ZERO))` begins all of them and blocks for none.
///
/// **Bytes.** A completion holds all the bytes of its request or an error: short reads are continued, interrupted ones
/// (EINTR, EAGAIN) are repeated. A request of length 0 gives no bytes, at any offset up to the file's end. A slot comes
/// back filled to its last byte, and is given up on an error.
///
/// **Errors.** What is wrong with one read comes as its completion, with file and offset, and harms no other:
/// [`ErrorKind::Corrupt`] where the range passes the end of the file, known at opening or met while reading (the file was
/// cut); [`ErrorKind::LimitExceeded`] where it is longer than the storage allows, before anything is allocated;
/// [`ErrorKind::OutOfMemory`]; [`ErrorKind::Io`] for the rest. `submit` itself fails with [`ErrorKind::LimitExceeded`] when
/// the engine is full, and then has taken nothing. `wait` itself fails where the engine is broken; drop it then.
///
/// **Blocking.** `submit` may block for as long as the kernel takes to accept reads, never for their completion. `wait` blocks
/// until there is a completion or the timeout is over (no timeout: for as long as it takes) and gives `None` then, and at
/// once when nothing is in flight. Engines without threads (`mmap`, `memory`, `pread` with none) perform one read in each
/// `wait`, whatever the timeout; so does `uring` with files of FUSE, which a ring does not read correctly.
///
/// **Threads.** One engine belongs to one thread at a time. It may be moved to another while nothing is in flight.
/// Make one per reader thread; they share nothing but the pool of buffers.
///
/// **Dropping.** Blocks until the operating system writes to none of the engine's buffers any more; reads that it has not begun
/// are given up, with their slots. Bytes that were handed out stay valid: they own their memory.
pub trait ReadEngine: Send {
    /// `uring`, `pread`, ...
    fn name(&self) -> &'static str;

    /// Most requests that may be in flight.
    fn capacity(&self) -> usize;

    /// True where [`wait`](Self::wait) performs the reads itself, in the caller's thread and in the order of submission.
    fn is_inline(&self) -> bool {
        false
    }

    /// Requests that were accepted and not answered yet.
    fn in_flight(&self) -> usize;

    /// Accepts one request.
    fn submit(&mut self, request: ReadRequest) -> Result<()>;

    /// The next completion.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<Completion>>;
}

/// The error of a `submit` to an engine with `capacity` requests in flight.
pub(super) fn engine_is_full(capacity: usize) -> Error {
    Error::new(ErrorKind::LimitExceeded, format!("{capacity} reads are in flight, and no more are accepted"))
        .of_machine()
}

/// Checks that the range lies in the file and is not longer than `max_len`; nothing is allocated for one that is.
pub(super) fn check_range(file: &StorageFile, offset: u64, len: usize, max_len: usize) -> Result<()> {
    if offset.checked_add(len as u64).is_none_or(|end| end > file.len()) {
        return Err(past_end(file, offset, len, file.len().saturating_sub(offset)));
    }
    if len > max_len {
        let message = format!("a read of {len} bytes exceeds the limit of {max_len} bytes");
        return Err(Error::new(ErrorKind::LimitExceeded, message).with_path(file.path()).with_offset(offset));
    }
    Ok(())
}

/// The error of a read that met the end of the file after `got` bytes.
pub(super) fn past_end(file: &StorageFile, offset: u64, len: usize, got: u64) -> Error {
    Error::corrupt(format!("unexpected end of file: expected {len} bytes, found {got}"))
        .with_path(file.path())
        .with_offset(offset)
}
