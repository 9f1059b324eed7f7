//! An engine that fails as it is told, around any other: for the tests of whoever reads through one.

use std::time::Duration;

use super::engine::{Completion, ReadEngine, ReadRequest};
use crate::error::{Error, Result};

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    /// Every read after so many fails with EIO.
    pub fail_after: Option<u64>,
    /// Reads that touch this byte of any file fail with EIO.
    pub bad_byte: Option<u64>,
    /// Completions come back in an order of their own, by this seed, held back until nothing else is to be had.
    pub reorder: Option<u64>,
    /// Every completion is late by so much.
    pub delay: Duration,
}

/// See the module.
pub(crate) struct FaultyEngine {
    inner: Box<dyn ReadEngine>,
    faults: Faults,
    num_submitted: u64,
    /// Completions that are held back, and those of reads that failed before they began.
    held: Vec<Completion>,
    random: u64,
}

impl FaultyEngine {
    pub(crate) fn new(inner: Box<dyn ReadEngine>, faults: Faults) -> Self {
        let random = faults.reorder.unwrap_or_default() | 1;
        Self { inner, faults, num_submitted: 0, held: Vec::new(), random }
    }

    fn fails(&self, request: &ReadRequest) -> bool {
        let touched = request.offset..request.offset.saturating_add(request.target.len() as u64);
        self.faults.fail_after.is_some_and(|after| self.num_submitted >= after)
            || self.faults.bad_byte.is_some_and(|byte| touched.contains(&byte))
    }

    fn pick(&mut self) -> Option<Completion> {
        if self.held.is_empty() {
            return None;
        }
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let index = if self.faults.reorder.is_some() { (self.random >> 33) as usize % self.held.len() } else { 0 };
        Some(self.held.remove(index))
    }
}

impl ReadEngine for FaultyEngine {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capacity(&self) -> usize {
        self.inner.capacity()
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight() + self.held.len()
    }

    fn submit(&mut self, request: ReadRequest) -> Result<()> {
        if self.in_flight() >= self.capacity() {
            return Err(super::engine::engine_is_full(self.capacity()));
        }
        if self.fails(&request) {
            let error = Error::io("read", request.file.path(), std::io::Error::from_raw_os_error(libc::EIO));
            self.held.push(Completion { tag: request.tag, result: Err(error.with_offset(request.offset)) });
        } else {
            self.inner.submit(request)?;
        }
        self.num_submitted += 1;
        Ok(())
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<Option<Completion>> {
        let limit = timeout.map(|timeout| timeout.saturating_sub(self.faults.delay));
        std::thread::sleep(timeout.map_or(self.faults.delay, |timeout| timeout.min(self.faults.delay)));
        if self.faults.reorder.is_some() {
            while let Some(completion) = self.inner.wait(limit)? {
                self.held.push(completion);
            }
        } else if self.held.is_empty() {
            return self.inner.wait(limit);
        }
        Ok(self.pick())
    }
}
