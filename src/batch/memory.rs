//! The memory of a batch: one aligned buffer, written by many threads at once and recycled for ever.
//!
//! A buffer goes through three types. [`BatchAssembly`] and its [`Slot`]s share it while the clips are written: every
//! slot is the only way to its own part. When all slots are gone, the assembly gives the [`BatchBuffer`], the whole memory
//! with one owner. When that owner drops it, wherever and whenever, the memory returns to the [`BatchPool`], or is freed
//! where the pool is gone or full. The sharing itself is [`Filling`]'s.
//!
//! The pool never makes anyone wait: how many batches are in flight is the loader's to bound, and how many the consumer
//! keeps is the consumer's. It keeps what comes back, up to a number, and counts every allocation.

use crate::buf::{AlignedBuffer, BUFFER_ALIGN, Filling, Home, Slot};
use crate::error::{Error, ErrorKind, Result};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What a pool of batch memory has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BatchPoolStats {
    /// Buffers taken from the allocator.
    pub num_allocated: u64,
    /// Buffers that were used again.
    pub num_recycled: u64,
}

/// Largest buffer: far beyond any memory, so that rounding does not overflow.
const MAX_BYTES: usize = isize::MAX as usize / 4;

/// The size that is allocated for `len` bytes: at most a sixteenth more, so that batches of nearly the same size share buffers.
fn rounded(len: usize) -> usize {
    len.next_multiple_of((len.next_power_of_two() / 32).max(BUFFER_ALIGN))
}

/// The inner part of a pool, which lives until the pool is dropped; buffers hold on to it weakly.
struct PoolShared {
    /// Unused buffers, the one that came back last at the end.
    free: Mutex<Vec<AlignedBuffer>>,
    max_free: usize,
    max_spare_bytes: usize,
    num_allocated: AtomicU64,
    num_recycled: AtomicU64,
}

/// Buffers for batches, of the sizes that batches have. Clones are one pool.
#[derive(Clone)]
pub(crate) struct BatchPool(Arc<PoolShared>);

impl BatchPool {
    /// A pool that keeps at most `max_free` unused buffers: the ones that came back last.
    pub(crate) fn new(max_free: usize) -> Self {
        Self::limited(max_free, usize::MAX)
    }

    /// Of these, none that is larger than `max_spare_bytes`.
    pub(crate) fn limited(max_free: usize, max_spare_bytes: usize) -> Self {
        Self(Arc::new(PoolShared {
            free: Mutex::default(),
            max_free,
            max_spare_bytes,
            num_allocated: AtomicU64::new(0),
            num_recycled: AtomicU64::new(0),
        }))
    }

    /// The counters.
    pub(crate) fn stats(&self) -> BatchPoolStats {
        BatchPoolStats {
            num_allocated: self.0.num_allocated.load(Ordering::Relaxed),
            num_recycled: self.0.num_recycled.load(Ordering::Relaxed),
        }
    }

    /// Memory for `num_rows` rows of `row_bytes` bytes, dense, and the slots to write them to. Its content is what the last
    /// user left.
    ///
    /// # Errors
    /// `OutOfMemory`; `LimitExceeded` where the size overflows.
    pub(crate) fn acquire(&self, num_rows: usize, row_bytes: usize) -> Result<(BatchAssembly, Vec<Slot>)> {
        let len = num_rows.checked_mul(row_bytes).filter(|&len| len <= MAX_BYTES).ok_or_else(|| {
            Error::new(ErrorKind::LimitExceeded, format!("{num_rows} rows of {row_bytes} bytes are too large"))
        })?;
        let recycled = self.take_free(len);
        let counter = if recycled.is_some() { &self.0.num_recycled } else { &self.0.num_allocated };
        counter.fetch_add(1, Ordering::Relaxed);
        let buffer = match recycled {
            Some(buffer) => buffer,
            None => AlignedBuffer::zeroed(rounded(len))?,
        };
        let pool: Weak<PoolShared> = Arc::downgrade(&self.0);
        let (filling, mut rest) = Filling::new(buffer, pool.clone());
        let mut slots = Vec::with_capacity(num_rows);
        for _ in 0..num_rows {
            // `len` bytes, all the slots, are within the buffer.
            let (slot, tail) = rest.split_at(row_bytes);
            slots.push(slot);
            rest = tail;
        }
        Ok((BatchAssembly { filling, len, pool }, slots))
    }

    /// The smallest unused buffer that holds `len` bytes, unless it is more than twice as large.
    fn take_free(&self, len: usize) -> Option<AlignedBuffer> {
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &AlignedBuffer| buffer.len() >= len && buffer.len() / 2 <= rounded(len);
        let fitting = free.iter().enumerate().filter(|(_, buffer)| fits(buffer));
        let (best, _) = fitting.min_by_key(|(_, buffer)| buffer.len())?;
        Some(free.remove(best))
    }
}

impl fmt::Debug for BatchPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BatchPool").field(&self.stats()).finish()
    }
}

impl Home for PoolShared {
    fn take_back(&self, buffer: AlignedBuffer) {
        if buffer.len() > self.max_spare_bytes {
            return;
        }
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(buffer);
        // What has been unused for longest is of a size that is not wanted any more.
        let surplus = (free.len() > self.max_free).then(|| free.remove(0));
        drop(free);
        drop(surplus);
    }
}

/// A batch's memory while its clips are written.
pub(crate) struct BatchAssembly {
    filling: Filling,
    len: usize,
    pool: Weak<PoolShared>,
}

impl BatchAssembly {
    /// Bytes of all rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The whole memory, once all slots are dropped.
    ///
    /// # Errors
    /// `Closed` where a slot is still alive, which is a fault of the caller.
    pub(crate) fn finish(self) -> Result<BatchBuffer> {
        let buffer = self.filling.finish();
        let buffer =
            buffer.ok_or_else(|| Error::new(ErrorKind::Closed, "a clip of the batch is still being written"))?;
        Ok(BatchBuffer { buffer: Some(buffer), len: self.len, pool: self.pool })
    }
}

impl fmt::Debug for BatchAssembly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchAssembly").field("len", &self.len).finish_non_exhaustive()
    }
}

/// The memory of a batch: dense, 4096-aligned. It returns to its loader's pool when dropped, also after the loader is gone,
/// from any thread.
pub struct BatchBuffer {
    /// `None` only inside `drop`.
    buffer: Option<AlignedBuffer>,
    len: usize,
    pool: Weak<PoolShared>,
}

impl BatchBuffer {
    /// The address of the first byte, for handing the memory to another library that keeps this buffer alive meanwhile.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.buffer.as_mut().map_or(std::ptr::null_mut(), AlignedBuffer::as_mut_ptr)
    }

    /// Keeps the first `len` bytes. Does nothing where there are fewer.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl Deref for BatchBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.buffer.as_deref().and_then(|bytes| bytes.get(..self.len)).unwrap_or_default()
    }
}

impl DerefMut for BatchBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        self.buffer.as_deref_mut().and_then(|bytes| bytes.get_mut(..len)).unwrap_or_default()
    }
}

impl Drop for BatchBuffer {
    fn drop(&mut self) {
        if let (Some(buffer), Some(pool)) = (self.buffer.take(), self.pool.upgrade()) {
            pool.take_back(buffer);
        }
    }
}

impl fmt::Debug for BatchBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BatchBuffer({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_disjoint_and_together_the_whole() {
        let pool = BatchPool::new(2);
        let (assembly, slots) = pool.acquire(10, 100).unwrap();
        std::thread::scope(|scope| {
            for (index, mut slot) in slots.into_iter().enumerate() {
                scope.spawn(move || slot.bytes_mut().fill(index as u8));
            }
        });
        let buffer = assembly.finish().unwrap();
        assert_eq!(buffer.len(), 1000);
        assert_eq!(buffer.as_ptr() as usize % 4096, 0);
        assert!(buffer.iter().enumerate().all(|(at, &byte)| byte as usize == at / 100));
    }

    #[test]
    fn a_living_slot_keeps_the_batch_from_being_finished() {
        let pool = BatchPool::new(2);
        let (assembly, slots) = pool.acquire(2, 50).unwrap();
        assert_eq!(assembly.finish().unwrap_err().kind(), ErrorKind::Closed);
        drop(slots);
    }

    #[test]
    fn a_batch_that_is_given_up_returns_its_memory_when_the_last_slot_is_gone() {
        let pool = BatchPool::new(2);
        let (assembly, mut slots) = pool.acquire(2, 32).unwrap();
        drop(assembly);
        slots.pop();
        assert_eq!(pool.0.free.lock().unwrap().len(), 0);
        slots.pop();
        assert_eq!(pool.0.free.lock().unwrap().len(), 1);
    }

    #[test]
    fn memory_is_recycled_also_from_another_thread() {
        let pool = BatchPool::new(2);
        let take = || {
            let (assembly, slots) = pool.acquire(2, 32).unwrap();
            drop(slots);
            assembly.finish().unwrap()
        };
        let (first, second) = (take(), take());
        std::thread::spawn(move || drop(first)).join().unwrap();
        drop(second);
        for _ in 0..100 {
            drop(take());
        }
        assert_eq!(pool.stats(), BatchPoolStats { num_allocated: 2, num_recycled: 100 });
    }

    #[test]
    fn a_buffer_outlives_its_pool_and_more_than_enough_is_freed() {
        let pool = BatchPool::new(1);
        let take = || {
            let (assembly, slots) = pool.acquire(1, 64).unwrap();
            drop(slots);
            assembly.finish().unwrap()
        };
        let (first, second, third) = (take(), take(), take());
        drop(first);
        drop(second);
        assert_eq!(pool.0.free.lock().unwrap().len(), 1);
        drop(pool);
        assert_eq!(third.len(), 64);
    }

    #[test]
    fn buffers_of_nearly_the_same_size_are_shared_and_others_are_not() {
        let pool = BatchPool::new(2);
        let take = |len: usize| {
            let (assembly, slots) = pool.acquire(1, len).unwrap();
            drop(slots);
            assembly.finish().unwrap()
        };
        drop(take(1 << 20));
        for len in [1 << 20, (1 << 20) - 5000, (1 << 20) + 1] {
            assert_eq!(take(len).len(), len);
        }
        assert_eq!(pool.stats(), BatchPoolStats { num_allocated: 2, num_recycled: 2 });
        drop(take(100));
        assert_eq!(pool.stats().num_allocated, 3);
        // Of the three, the one that was unused for longest is gone.
        drop(take(1 << 20));
        assert_eq!(pool.stats().num_allocated, 3);
        for len in (0..100_000).step_by(37).chain([1 << 30, (1 << 30) + 1]) {
            assert!(rounded(len) >= len && rounded(len) - len <= (len / 16).max(BUFFER_ALIGN), "{len}");
        }
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let pool = BatchPool::new(1);
        for (rows, row_bytes) in [(usize::MAX, 2), (1 << 20, 1 << 50), (2, usize::MAX / 8)] {
            assert_eq!(pool.acquire(rows, row_bytes).unwrap_err().kind(), ErrorKind::LimitExceeded);
        }
    }
}
