//! Rows that the passes hand to one another.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line, and of the longest vector: what lies across two of them is stored in two steps.
const LINE: usize = 64;

/// Zeros to begin with, the first at a multiple of [`LINE`] bytes.
#[derive(Debug)]
pub(super) struct Scratch<T> {
    values: Vec<T>,
    start: usize,
    len: usize,
}

impl<T: Copy + Default> Scratch<T> {
    pub(super) fn new(len: usize) -> Self {
        let spare = LINE / size_of::<T>();
        let values = vec![T::default(); len + spare];
        let start = values.as_ptr().align_offset(LINE);
        // No result depends on the alignment, should it not be had.
        Self { values, start: start.min(spare), len }
    }
}

impl<T> Deref for Scratch<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values[self.start..][..self.len]
    }
}

impl<T> DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.start..][..self.len]
    }
}
