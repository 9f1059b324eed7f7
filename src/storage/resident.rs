//! Reading of what is in memory already, and the engine of those files: `mmap` and `memory` differ only in how a file
//! is opened.

use std::collections::VecDeque;
use std::time::Duration;

use super::bytes::ReadBytes;
use super::engine::{Completion, ReadEngine, ReadRequest, engine_is_full, past_end};
use super::file::{Source, StorageFile};
use super::pread::read_now;
use crate::buf::{BufferPool, PooledBuffer};
use crate::error::{Error, ErrorKind, Result};

/// What every engine needs for its reads.
#[derive(Clone)]
pub(super) struct ReadContext {
    pub pool: BufferPool,
    pub max_read_bytes: usize,
    /// Most bytes asked of the operating system at once.
    pub max_chunk: usize,
}

impl ReadContext {
    /// A buffer for a read. The pool has no budget of its own: it never waits.
    pub(super) fn buffer(&self, len: usize) -> Result<PooledBuffer> {
        self.pool.try_acquire(len)?.ok_or_else(|| Error::new(ErrorKind::OutOfMemory, "the read buffers are used up"))
    }
}

/// Reads a range, checked against the file's length, of a file in memory.
pub(super) fn read_resident(context: &ReadContext, file: &StorageFile, offset: u64, len: usize) -> Result<ReadBytes> {
    let start = offset as usize; // within the file, which is in memory
    match file.source() {
        Source::Resident(buffer) => Ok(ReadBytes::resident(buffer.clone(), start, len)),
        Source::Mapped(mapping) => {
            let now = mapping.file_len().map_err(|error| Error::io("look at", file.path(), error))?;
            if offset + len as u64 > now {
                return Err(past_end(file, offset, len, now.saturating_sub(offset)));
            }
            if let Some(bytes) = ReadBytes::mapped(mapping, start, len) {
                return Ok(bytes);
            }
            // The padding would lie behind the mapping: a copy has its own.
            let mut buffer = context.buffer(len)?;
            buffer.copy_from_slice(&mapping.bytes()[start..start + len]);
            Ok(ReadBytes::pooled(buffer, 0, len))
        }
        Source::Disk(_) => Err(Error::invalid("the file is not in memory").with_path(file.path())),
    }
}

/// Answers in the caller's thread, in the order of submission.
pub(super) struct ResidentEngine {
    name: &'static str,
    context: ReadContext,
    capacity: usize,
    queue: VecDeque<ReadRequest>,
}

impl ResidentEngine {
    pub(super) fn new(name: &'static str, context: ReadContext, capacity: usize) -> Self {
        Self { name, context, capacity, queue: VecDeque::new() }
    }
}

impl ReadEngine for ResidentEngine {
    fn name(&self) -> &'static str {
        self.name
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn in_flight(&self) -> usize {
        self.queue.len()
    }

    fn submit(&mut self, request: ReadRequest) -> Result<()> {
        if self.queue.len() >= self.capacity {
            return Err(engine_is_full(self.capacity));
        }
        if let Source::Mapped(mapping) = request.file.source() {
            mapping.will_need(request.offset, request.len);
        }
        self.queue.push_back(request);
        Ok(())
    }

    fn wait(&mut self, _timeout: Option<Duration>) -> Result<Option<Completion>> {
        Ok(self.queue.pop_front().map(|request| Completion {
            tag: request.tag,
            result: read_now(&self.context, &request.file, request.offset, request.len),
        }))
    }
}
