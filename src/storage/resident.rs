//! Reading of what is in memory already: `mmap` and `memory` differ only in how a file is opened.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::bytes::ReadBytes;
use super::engine::past_end;
use super::file::{DiskFile, Source, StorageFile};
use super::mmap::Mapping;
use super::progress::{Chunk, Policy, ReadPlan};
use super::target::{ReadOutcome, ReadTarget, fill};
use crate::buf::{BufferPool, PADDING, PooledBuffer};
use crate::error::{Error, ErrorKind, Result};

/// How often a thread that pauses looks whether its read is still wanted.
const CLOSING_INTERVAL: Duration = Duration::from_millis(10);

/// What every engine needs for its reads.
#[derive(Clone)]
pub(super) struct ReadContext {
    pub pool: BufferPool,
    pub max_read_bytes: usize,
    pub policy: Policy,
    /// Raised when nobody waits for the reads any more.
    pub closing: Arc<AtomicBool>,
    /// What is done to the answers of the operating system, for tests.
    #[cfg(test)]
    pub tamper: Option<super::faulty::Tamper>,
}

impl ReadContext {
    /// How a range of `disk` is read.
    pub(super) fn plan(disk: &DiskFile, offset: u64, len: usize) -> ReadPlan {
        ReadPlan::new(offset, len, disk.direct.as_ref().map(|direct| direct.align))
    }

    /// Sleeps before a read is repeated; false where nobody waits for it any more.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        loop {
            if self.closing.load(Ordering::Relaxed) {
                return false;
            }
            match end.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(CLOSING_INTERVAL)),
                _ => return true,
            }
        }
    }

    /// The answer of the operating system to `chunk`, as reads are to take it.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "tests have answers changed"))]
    pub(super) fn answer(&self, chunk: Chunk, answer: io::Result<usize>) -> io::Result<usize> {
        #[cfg(test)]
        if let Some(tamper) = &self.tamper {
            return tamper.answer(chunk, answer);
        }
        let _ = chunk;
        answer
    }

    /// A buffer for a read. The pool has no budget of its own: it never waits.
    pub(super) fn buffer(&self, len: usize) -> Result<PooledBuffer> {
        self.pool.try_acquire(len)?.ok_or_else(|| Error::new(ErrorKind::OutOfMemory, "the read buffers are used up"))
    }
}

/// Reads a range, checked against the file's length, of a file in memory.
pub(super) fn read_resident(
    context: &ReadContext,
    file: &StorageFile,
    offset: u64,
    target: ReadTarget,
) -> Result<ReadOutcome> {
    let (start, len) = (offset as usize, target.len()); // within the file, which is in memory
    match (file.source(), target) {
        (Source::Resident(buffer), ReadTarget::Pool { .. }) => {
            Ok(ReadOutcome::Bytes(ReadBytes::resident(buffer.clone(), start, len)))
        }
        (Source::Resident(buffer), ReadTarget::Slot(slot)) => fill(slot, buffer.get(start..start + len)),
        (Source::Mapped(mapping), target) => {
            let now = mapping.file_len().map_err(|error| Error::io("look at", file.path(), error))?;
            if offset + len as u64 > now {
                return Err(past_end(file, offset, len, now.saturating_sub(offset)));
            }
            let has_padding = offset + (len + PADDING) as u64 <= now;
            read_mapped(context, mapping, start, target, has_padding)
        }
        (Source::Disk(_), _) => Err(Error::invalid("the file is not in memory").with_path(file.path())),
    }
}

fn read_mapped(
    context: &ReadContext,
    mapping: &Arc<Mapping>,
    start: usize,
    target: ReadTarget,
    has_padding: bool,
) -> Result<ReadOutcome> {
    let len = target.len();
    let bytes = match target {
        ReadTarget::Slot(slot) => return fill(slot, mapping.bytes().get(start..start + len)),
        ReadTarget::Pool { .. } if has_padding => ReadBytes::mapped(mapping, start, len),
        ReadTarget::Pool { .. } => None,
    };
    if let Some(bytes) = bytes {
        return Ok(ReadOutcome::Bytes(bytes));
    }
    // The padding would lie behind the file's end: a copy has its own.
    let mut buffer = context.buffer(len)?;
    buffer.copy_from_slice(&mapping.bytes()[start..start + len]);
    Ok(ReadOutcome::Bytes(ReadBytes::pooled(buffer, 0, len)))
}
