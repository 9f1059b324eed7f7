//! A pool of buffers with a budget in bytes: it refuses those who ask for more than is left, and recycles what comes
//! back.
//!
//! Invariants: bytes in use never exceed the budget, and bytes in use plus idle ones neither. Nobody waits for memory
//! here. A buffer keeps its pool alive. The pool does not know what the buffers are for, and does not zero recycled
//! ones.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::aligned::{AlignedBuffer, BUFFER_ALIGN, HUGE_PAGE, PADDING, Region};
use crate::error::{Error, ErrorKind, Result};

/// What a pool did and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct PoolStats {
    /// Most bytes that may be in use at once.
    pub budget_bytes: usize,
    /// Bytes of buffers that are out, with rounding and padding.
    pub in_use_bytes: usize,
    /// Bytes kept for reuse.
    pub idle_bytes: usize,
    /// Highest `in_use_bytes` so far.
    pub peak_bytes: usize,
    /// Times that memory was taken from the allocator so far, for a buffer or for several at once.
    pub num_allocated: u64,
    /// Buffers handed out again so far.
    pub num_recycled: u64,
}

/// What is allocated at once: two huge pages.
const CHUNK_BYTES: usize = 2 * HUGE_PAGE;

/// Smaller buffers are not worth it.
const MIN_CHUNKED: usize = 1 << 16;

#[derive(Default)]
struct State {
    stats: PoolStats,
    idle: BTreeMap<usize, Vec<AlignedBuffer>>,
}

struct Shared {
    state: Mutex<State>,
    max_idle_bytes: usize,
    /// Bytes that are allocated at once for buffers that are smaller; 0 for every buffer by itself.
    chunk_bytes: usize,
}

/// Hands out [`PooledBuffer`]s within a budget of bytes. Clones are one pool.
#[derive(Clone)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

/// Allocation size for `len`: padding, whole pages, then steps of an eighth of the power of two, so that clips of
/// similar size share buffers and at most an eighth is wasted.
fn size_class(len: usize) -> Option<usize> {
    let bytes = AlignedBuffer::allocation_bytes(len)?;
    let step = (bytes.checked_next_power_of_two()? / 16).max(BUFFER_ALIGN);
    bytes.checked_next_multiple_of(step)
}

impl BufferPool {
    /// A pool that lets `budget_bytes` be in use at once and keeps as much for reuse.
    pub fn new(budget_bytes: usize) -> Self {
        Self::with_idle_limit(budget_bytes, budget_bytes)
    }

    /// A pool that lets `budget_bytes` be in use at once and keeps at most `max_idle_bytes` for reuse.
    pub fn with_idle_limit(budget_bytes: usize, max_idle_bytes: usize) -> Self {
        Self::with_chunks(budget_bytes, max_idle_bytes, 0)
    }

    /// A pool without a budget that keeps at most `max_idle_bytes` for reuse, for buffers that a device writes to. Once more
    /// than a huge page is in use it makes small buffers several at a time, in huge pages: a device that writes
    /// to those needs fewer pieces, and the kernel a tenth of the time to pin them. The price is that a chunk of
    /// memory is freed only with the last of its buffers.
    pub(crate) fn for_devices(max_idle_bytes: usize) -> Self {
        Self::with_chunks(usize::MAX, max_idle_bytes, CHUNK_BYTES)
    }

    fn with_chunks(budget_bytes: usize, max_idle_bytes: usize, chunk_bytes: usize) -> Self {
        let state = State { stats: PoolStats { budget_bytes, ..PoolStats::default() }, ..State::default() };
        let shared = Shared { state: Mutex::new(state), max_idle_bytes, chunk_bytes };
        Self { shared: Arc::new(shared) }
    }

    /// A buffer of `len` bytes with unspecified (initialised) content; `None` where the budget has no room by now.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] when `len` exceeds the whole budget, and [`ErrorKind::OutOfMemory`].
    pub fn try_acquire(&self, len: usize) -> Result<Option<PooledBuffer>> {
        let class = self.class_within_budget(len)?;
        let state = self.shared.lock();
        if !state.has_room(class) {
            return Ok(None);
        }
        self.take(state, class, len).map(Some)
    }

    /// Counters and gauges.
    pub fn stats(&self) -> PoolStats {
        self.shared.lock().stats
    }

    /// Gives all idle memory back to the allocator.
    pub fn trim(&self) {
        let mut state = self.shared.lock();
        state.stats.idle_bytes = 0;
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        drop(idle);
    }

    fn class_within_budget(&self, len: usize) -> Result<usize> {
        let budget = self.shared.lock().stats.budget_bytes;
        size_class(len).filter(|&class| class <= budget).ok_or_else(|| {
            Error::new(
                ErrorKind::LimitExceeded,
                format!("a buffer of {len} bytes exceeds the budget of {budget} bytes"),
            )
        })
    }

    fn take(&self, mut state: MutexGuard<'_, State>, class: usize, len: usize) -> Result<PooledBuffer> {
        let recycled = state.take_near(class);
        state.stats.in_use_bytes += recycled.as_ref().map_or(class, AlignedBuffer::capacity);
        state.stats.peak_bytes = state.stats.peak_bytes.max(state.stats.in_use_bytes);
        if let Some(buffer) = recycled {
            state.stats.num_recycled += 1;
            drop(state);
            return Ok(PooledBuffer { buffer: Some(buffer), len, shared: self.shared.clone() });
        }
        state.stats.num_allocated += 1;
        let count = self.shared.num_at_once(&state.stats, class);
        let evicted = state.evict_over_budget();
        drop(state);
        drop(evicted);
        // Not under the lock: the kernel may take its time.
        match self.shared.allocate(class, count) {
            Ok(buffer) => Ok(PooledBuffer { buffer: Some(buffer), len, shared: self.shared.clone() }),
            Err(error) => {
                let mut state = self.shared.lock();
                state.stats.in_use_bytes -= class;
                state.stats.num_allocated -= 1;
                Err(error)
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is consistent whenever the lock is free: no code that can panic runs between its changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many buffers of `class` are to be made at once: what there is room to keep of as much as is in use.
    fn num_at_once(&self, stats: &PoolStats, class: usize) -> usize {
        let held = stats.in_use_bytes + stats.idle_bytes;
        if !(MIN_CHUNKED..self.chunk_bytes).contains(&class) || held < HUGE_PAGE {
            return 1;
        }
        let room = self.max_idle_bytes.saturating_sub(stats.idle_bytes).min(self.chunk_bytes - class);
        1 + room / class
    }

    /// A buffer of `class`; those that are made with it are kept.
    fn allocate(&self, class: usize, count: usize) -> Result<AlignedBuffer> {
        if count < 2 {
            return AlignedBuffer::zeroed(class - PADDING);
        }
        let mut buffers = AlignedBuffer::zeroed_many(class - PADDING, count)?;
        let Some(buffer) = buffers.pop() else { return AlignedBuffer::zeroed(class - PADDING) };
        let mut state = self.lock();
        // Others may have given buffers back meanwhile.
        buffers.truncate(self.max_idle_bytes.saturating_sub(state.stats.idle_bytes) / class);
        state.stats.idle_bytes += class * buffers.len();
        state.idle.entry(class).or_default().append(&mut buffers);
        Ok(buffer)
    }

    fn give_back(&self, buffer: AlignedBuffer) {
        let bytes = buffer.capacity();
        let mut state = self.lock();
        state.stats.in_use_bytes -= bytes;
        let idle_after = state.stats.idle_bytes + bytes;
        let surplus =
            if idle_after <= self.max_idle_bytes && state.stats.in_use_bytes + idle_after <= state.stats.budget_bytes {
                state.stats.idle_bytes = idle_after;
                state.idle.entry(bytes).or_default().push(buffer);
                None
            } else {
                Some(buffer)
            };
        drop(state);
        drop(surplus);
    }
}

impl State {
    fn has_room(&self, class: usize) -> bool {
        class <= self.stats.budget_bytes - self.stats.in_use_bytes
    }

    /// The smallest idle buffer of `class` to twice that, if the budget has room for it. Windows of random length would else
    /// fill the pool with buffers of every class there is.
    fn take_near(&mut self, class: usize) -> Option<AlignedBuffer> {
        let (near, _) = self.idle.range(class..=class.saturating_mul(2)).next()?;
        let near = *near;
        if self.has_room(near) { self.take_idle(near) } else { None }
    }

    fn take_idle(&mut self, class: usize) -> Option<AlignedBuffer> {
        let buffers = self.idle.get_mut(&class)?;
        let buffer = buffers.pop()?;
        if buffers.is_empty() {
            self.idle.remove(&class);
        }
        self.stats.idle_bytes -= class;
        Some(buffer)
    }

    /// Takes idle buffers out, largest first, until what is held fits the budget.
    fn evict_over_budget(&mut self) -> Vec<AlignedBuffer> {
        let mut evicted = Vec::new();
        while self.stats.idle_bytes > self.stats.budget_bytes - self.stats.in_use_bytes {
            let Some(class) = self.idle.keys().next_back().copied() else { break };
            evicted.extend(self.take_idle(class));
        }
        evicted
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats().fmt(f)
    }
}

/// A buffer of a [`BufferPool`]; goes back when dropped. Derefs to the bytes asked for.
pub struct PooledBuffer {
    /// `Some` until dropped.
    buffer: Option<AlignedBuffer>,
    len: usize,
    shared: Arc<Shared>,
}

impl PooledBuffer {
    /// The bytes and all that follows them in the allocation, at least 64.
    pub fn padded(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], AlignedBuffer::padded)
    }

    /// The allocation that the bytes are in; `None` for none.
    pub(crate) fn region(&self) -> Option<Region> {
        self.buffer.as_ref().map(AlignedBuffer::region)
    }

    /// The address that the kernel or a device may write to. A write through it counts as a write to the buffer: nobody may
    /// hold a view of the same bytes meanwhile.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.buffer.as_mut().map_or(std::ptr::null_mut(), AlignedBuffer::as_mut_ptr)
    }
}

impl Deref for PooledBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.padded()[..self.len]
    }
}

impl DerefMut for PooledBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.buffer {
            Some(buffer) => &mut buffer[..self.len],
            None => &mut [],
        }
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.shared.give_back(buffer);
        }
    }
}

impl fmt::Debug for PooledBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBuffer").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    #[test]
    fn what_the_budget_has_no_room_for_is_there_once_a_buffer_came_back() {
        let pool = BufferPool::new(4 * PAGE);
        let held = pool.try_acquire(3 * PAGE).unwrap().unwrap();
        assert!(pool.try_acquire(PAGE).unwrap().is_none());
        drop(held);
        assert_eq!(pool.try_acquire(2 * PAGE).unwrap().unwrap().len(), 2 * PAGE);
        let stats = pool.stats();
        assert_eq!((stats.in_use_bytes, stats.peak_bytes), (0, 4 * PAGE));
    }

    #[test]
    fn buffers_are_recycled_and_counted() {
        let pool = BufferPool::new(1 << 20);
        let address = pool.try_acquire(5000).unwrap().unwrap().padded().as_ptr();
        // Lengths of one size class share a buffer.
        let again = pool.try_acquire(5100).unwrap().unwrap();
        assert_eq!((again.padded().as_ptr(), again.len()), (address, 5100));
        assert!(again.padded().len() >= 5100 + PADDING);
        let other = pool.try_acquire(5000).unwrap().unwrap();
        drop((again, other));
        let stats = pool.stats();
        assert_eq!((stats.num_allocated, stats.num_recycled), (2, 1));
        assert_eq!((stats.in_use_bytes, stats.idle_bytes), (0, 4 * PAGE));
        pool.trim();
        assert_eq!(pool.stats().idle_bytes, 0);
    }

    #[test]
    fn an_idle_buffer_of_up_to_twice_the_size_is_used_and_counts_whole() {
        let pool = BufferPool::new(16 * PAGE);
        let address = pool.try_acquire(8 * PAGE - PADDING).unwrap().unwrap().padded().as_ptr();
        let near = pool.try_acquire(4 * PAGE - PADDING).unwrap().unwrap();
        assert_eq!((near.padded().as_ptr(), near.len()), (address, 4 * PAGE - PADDING));
        assert_eq!(pool.stats().in_use_bytes, 8 * PAGE);
        drop(near);
        assert_eq!((pool.stats().in_use_bytes, pool.stats().idle_bytes), (0, 8 * PAGE));
        let far = pool.try_acquire(3 * PAGE - PADDING).unwrap().unwrap();
        assert_eq!((pool.stats().in_use_bytes, pool.stats().num_allocated), (3 * PAGE, 2));
        drop(far);
        // The budget has no room for the larger one.
        let _held = pool.try_acquire(12 * PAGE - PADDING).unwrap().unwrap();
        let small = pool.try_acquire(4 * PAGE - PADDING).unwrap().unwrap();
        assert_eq!((small.padded().len(), pool.stats().in_use_bytes), (4 * PAGE, 16 * PAGE));
    }

    #[test]
    fn buffers_for_devices_come_in_chunks_once_many_are_in_use() {
        let pool = BufferPool::for_devices(64 << 20);
        let few: Vec<_> = (0..3).map(|_| pool.try_acquire(100_000).unwrap().unwrap()).collect();
        assert_eq!((pool.stats().num_allocated, pool.stats().idle_bytes), (3, 0));
        let many: Vec<_> = (0..200).map(|_| pool.try_acquire(100_000).unwrap().unwrap()).collect();
        let stats = pool.stats();
        assert!(stats.num_allocated < 40, "{stats:?}");
        let class = few[0].padded().len();
        assert_eq!(stats.in_use_bytes, 203 * class);
        drop((few, many));
        let stats = pool.stats();
        assert!(stats.in_use_bytes == 0 && stats.idle_bytes >= 203 * class, "{stats:?}");
        pool.trim();
        assert_eq!(pool.stats().idle_bytes, 0);
    }

    #[test]
    fn no_more_is_made_at_once_than_may_be_kept() {
        let pool = BufferPool::for_devices(0);
        let _held: Vec<_> = (0..64).map(|_| pool.try_acquire(100_000).unwrap().unwrap()).collect();
        assert_eq!((pool.stats().num_allocated, pool.stats().idle_bytes), (64, 0));
    }

    #[test]
    fn idle_memory_makes_room_for_other_sizes_and_keeps_to_its_limit() {
        let pool = BufferPool::new(8 * PAGE);
        drop((pool.try_acquire(1).unwrap(), pool.try_acquire(PAGE).unwrap()));
        assert_eq!(pool.stats().idle_bytes, 3 * PAGE);
        let large = pool.try_acquire(6 * PAGE).unwrap().unwrap();
        let stats = pool.stats();
        assert!(stats.in_use_bytes + stats.idle_bytes <= 8 * PAGE, "{stats:?}");
        drop(large);
        let frugal = BufferPool::with_idle_limit(8 * PAGE, PAGE);
        drop((frugal.try_acquire(1).unwrap(), frugal.try_acquire(1).unwrap(), frugal.try_acquire(3 * PAGE).unwrap()));
        assert_eq!(frugal.stats().idle_bytes, PAGE);
    }

    #[test]
    fn more_than_the_budget_is_refused() {
        let pool = BufferPool::new(PAGE);
        for len in [PAGE, usize::MAX, isize::MAX as usize] {
            assert_eq!(pool.try_acquire(len).unwrap_err().kind(), ErrorKind::LimitExceeded);
        }
        assert_eq!(pool.stats().num_allocated, 0);
        assert_eq!(BufferPool::new(usize::MAX).try_acquire(usize::MAX).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn threads_that_take_and_give_never_exceed_the_budget() {
        let pool = BufferPool::new(16 * PAGE);
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let pool = &pool;
                scope.spawn(move || {
                    for round in 0..300_usize {
                        let len = (thread * 7919 + round * 104_729) % (9 * PAGE);
                        let mut buffer = loop {
                            match pool.try_acquire(len).unwrap() {
                                Some(buffer) => break buffer,
                                None => std::thread::yield_now(),
                            }
                        };
                        buffer.fill(thread as u8);
                        std::thread::yield_now();
                        assert!(buffer.iter().all(|&byte| byte == thread as u8));
                    }
                });
            }
        });
        let stats = pool.stats();
        assert_eq!(stats.in_use_bytes, 0);
        assert!(stats.peak_bytes <= 16 * PAGE && stats.idle_bytes <= 16 * PAGE, "{stats:?}");
        assert_eq!(stats.num_allocated + stats.num_recycled, 1200);
    }

    #[test]
    fn size_classes_waste_at_most_an_eighth_and_hold_what_they_are_for() {
        for len in (0..200_000).chain([1 << 20, (1 << 20) + 1, 7_654_321, 1 << 30]) {
            let (class, needed) = (size_class(len).unwrap(), AlignedBuffer::allocation_bytes(len).unwrap());
            assert!(class >= needed && class % PAGE == 0);
            assert!(class - needed <= (needed / 8).max(PAGE), "{len}: {class} for {needed}");
        }
    }
}
