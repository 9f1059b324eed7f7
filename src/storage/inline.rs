//! The engine that has no threads and no queue in the kernel: `wait` performs the next read in the caller's thread.
//!
//! It serves files in memory (`mmap`, `memory`), and `pread` without threads: wherever the page cache is warm, a read is one
//! copy, and the bytes are in the cache of the very core that looks at them next.

use std::collections::VecDeque;
use std::time::Duration;

use super::engine::{Completion, ReadEngine, ReadRequest, engine_is_full};
use super::file::Source;
use super::pread::read_to;
use super::resident::ReadContext;
use crate::error::Result;

/// Answers in the caller's thread, in the order of submission.
pub(super) struct InlineEngine {
    name: &'static str,
    context: ReadContext,
    capacity: usize,
    queue: VecDeque<ReadRequest>,
}

impl InlineEngine {
    pub(super) fn new(name: &'static str, context: ReadContext, capacity: usize) -> Self {
        Self { name, context, capacity, queue: VecDeque::new() }
    }
}

impl ReadEngine for InlineEngine {
    fn name(&self) -> &'static str {
        self.name
    }

    fn capacity(&self) -> usize {
        self.capacity
    }

    fn is_inline(&self) -> bool {
        true
    }

    fn in_flight(&self) -> usize {
        self.queue.len()
    }

    fn submit(&mut self, request: ReadRequest) -> Result<()> {
        if self.queue.len() >= self.capacity {
            return Err(engine_is_full(self.capacity));
        }
        if let Source::Mapped(mapping) = request.file.source() {
            mapping.will_need(request.offset, request.target.len());
        }
        self.queue.push_back(request);
        Ok(())
    }

    fn wait(&mut self, _timeout: Option<Duration>) -> Result<Option<Completion>> {
        Ok(self.queue.pop_front().map(|request| {
            let ReadRequest { tag, file, offset, target } = request;
            Completion { tag, result: read_to(&self.context, &file, offset, target) }
        }))
    }
}
