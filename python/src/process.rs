//! Objects that a fork must not touch.
//!
//! A forked child has the parent's memory, but none of its threads, and shares its rings and file positions. What owns threads or
//! locks is therefore usable only in the process that made it, and is not torn down in any other: there is nobody to join.

use pyo3::prelude::*;
use std::process;

use crate::errors::closed;

/// A value for the process that made it. Elsewhere it can't be reached, and dropping it forgets it.
pub(crate) struct Owned<T> {
    /// `None` only inside `drop`.
    value: Option<T>,
    process: u32,
}

impl<T> Owned<T> {
    /// For the calling process.
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value), process: process::id() }
    }

    /// The value, in its own process.
    pub(crate) fn get(&self) -> Option<&T> {
        self.value.as_ref().filter(|_| self.process == process::id())
    }

    /// The value, or an error that says what it is and what to do.
    pub(crate) fn here(&self, what: &str) -> PyResult<&T> {
        self.get().ok_or_else(|| {
            closed(format!(
                "{what} was made in process {} and is used in its fork {}: make one in each process",
                self.process,
                process::id()
            ))
        })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        let value = self.value.take();
        if self.process != process::id() {
            std::mem::forget(value);
        }
    }
}
