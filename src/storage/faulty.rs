//! Faults to order, for tests: an engine that fails as it is told, around any other ([`FaultyEngine`]), and answers of the
//! operating system that are changed before the engine sees them ([`Tamper`]), below its own repetitions.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::engine::{Completion, ReadEngine, ReadRequest};
use super::progress::Chunk;
use crate::error::{Error, Result};

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    /// Every read after so many fails with EIO.
    pub fail_after: Option<u64>,
    /// The read of that number fails with EIO, and no other.
    pub fail_only: Option<u64>,
    /// Reads that touch this byte of any file fail with EIO.
    pub bad_byte: Option<u64>,
    /// Completions come back in an order of their own, by this seed, held back until nothing else is to be had.
    pub reorder: Option<u64>,
    /// Every completion is late by so much.
    pub delay: Duration,
}

/// What is done to a storage for a test.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rig {
    /// Above the engine.
    pub faults: Option<Faults>,
    /// Below it.
    pub answers: Option<Answers>,
    /// Most bytes asked of the operating system at once.
    pub max_chunk: Option<usize>,
}

/// What the operating system answers, as it pleases the test.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answers {
    /// One in so many answers has fewer bytes than it might.
    pub short_in: Option<u64>,
    /// One in so many answers is EINTR or EAGAIN.
    pub interrupted_in: Option<u64>,
    /// What touches this byte is EIO, always.
    pub bad_byte: Option<u64>,
    /// In every eighth block of 4 KiB, the first so many requests that begin there are EIO, then it works.
    pub flaky_times: u32,
}

#[derive(Debug, Default)]
struct TamperState {
    random: u64,
    failures: HashMap<u64, u32>,
}

impl TamperState {
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random >> 33
    }

    fn one_in(&mut self, n: Option<u64>) -> bool {
        let random = self.next();
        n.is_some_and(|n| random.is_multiple_of(n))
    }
}

/// Changes answers of the operating system to requests of any thread. Clones share what they remember.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tamper {
    answers: Answers,
    state: Arc<Mutex<TamperState>>,
}

impl Tamper {
    pub(crate) fn new(answers: Answers) -> Self {
        Self { answers, state: Arc::default() }
    }

    pub(super) fn answer(&self, chunk: Chunk, answer: io::Result<usize>) -> io::Result<usize> {
        let mut state = self.state.lock().unwrap();
        let error = |errno| Err(io::Error::from_raw_os_error(errno));
        let touched = chunk.offset..chunk.offset + chunk.len as u64;
        if self.answers.bad_byte.is_some_and(|byte| touched.contains(&byte)) {
            return error(libc::EIO);
        }
        if (chunk.offset / 4096).is_multiple_of(8) {
            let failures = state.failures.entry(chunk.offset).or_default();
            if *failures < self.answers.flaky_times {
                *failures += 1;
                return error(libc::EIO);
            }
        }
        if state.one_in(self.answers.interrupted_in) {
            return error(if state.one_in(Some(2)) { libc::EINTR } else { libc::EAGAIN });
        }
        match answer {
            Ok(got) if got > 0 && state.one_in(self.answers.short_in) => Ok(1 + state.next() as usize % got),
            answer => answer,
        }
    }
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
            || self.faults.fail_only == Some(self.num_submitted)
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

    fn is_inline(&self) -> bool {
        self.inner.is_inline()
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
