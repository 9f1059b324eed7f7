//! Parts of one aligned buffer, filled by several threads at once.
//!
//! A buffer that is being filled is shared by a [`Filling`] and the [`Slot`]s that its bytes were split into: every slot is
//! the only way to its own part. When all slots are gone, the filling gives the buffer back whole, with one owner. A
//! buffer that is given up goes home (to whoever recycles it) with the last slot.
#![expect(unsafe_code, reason = "disjoint parts of one buffer are written by several threads")]

use std::fmt;
use std::sync::{Arc, Weak};

use super::aligned::{AlignedBuffer, Region};
use crate::error::Result;

/// Whoever takes buffers back that nobody fills any more.
pub(crate) trait Home: Send + Sync {
    /// Takes a buffer back. Called from any thread.
    fn take_back(&self, buffer: AlignedBuffer);
}

/// The home of buffers that have none: they are freed.
struct Nowhere;

impl Home for Nowhere {
    fn take_back(&self, _buffer: AlignedBuffer) {}
}

/// The address of a buffer that is being filled.
struct SharedAddress(*mut u8);

// SAFETY: the address is of an `AlignedBuffer`, which may move between threads; it is used by slots alone (`Slot`).
unsafe impl Send for SharedAddress {}
// SAFETY: several threads reach the memory only through slots, whose ranges do not overlap (`Filling::new` makes one slot
// of all bytes, `Slot::split_at` halves of one, `Slot::join` one of two neighbours) and each of which has one owner.
unsafe impl Sync for SharedAddress {}

/// The buffer while it is filled. Nothing reads or writes the bytes through `buffer` until the last reference is unwrapped; until
/// then only slots touch the memory, by the address that was taken when the buffer was still owned alone.
struct Shared {
    /// `None` only when it was taken out.
    buffer: Option<AlignedBuffer>,
    address: SharedAddress,
    home: Weak<dyn Home>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Given up: its last slot or its filling is gone.
        if let (Some(buffer), Some(home)) = (self.buffer.take(), self.home.upgrade()) {
            home.take_back(buffer);
        }
    }
}

/// A buffer that is being filled.
pub(crate) struct Filling(Arc<Shared>);

impl Filling {
    /// Shares `buffer` with one slot of all its bytes. The buffer goes `home` when it is given up.
    pub(crate) fn new(mut buffer: AlignedBuffer, home: Weak<dyn Home>) -> (Self, Slot) {
        let len = buffer.len();
        let address = SharedAddress(buffer.as_mut_ptr());
        let shared = Arc::new(Shared { buffer: Some(buffer), address, home });
        let slot = Slot { shared: Arc::clone(&shared), start: 0, len };
        (Self(shared), slot)
    }

    /// The whole buffer, or `None` where a slot is still alive; then the buffer goes home with the last slot.
    pub(crate) fn finish(self) -> Option<AlignedBuffer> {
        Arc::into_inner(self.0)?.buffer.take()
    }
}

/// Exclusive use of one part of a buffer that several threads fill, wherever the bytes come from: storage reads into it,
/// transforms write into it.
///
/// A slot may be moved to another thread and split, not copied. What its bytes are before they are written is unspecified:
/// usually what an earlier user of the memory left.
pub struct Slot {
    shared: Arc<Shared>,
    /// `start + len` is at most the buffer's length: `Filling::new`, `split_at` and `join` are the only ones to make slots.
    start: usize,
    len: usize,
}

impl Slot {
    /// A slot that is a page-aligned, zeroed buffer of its own. Fails with
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn zeroed(len: usize) -> Result<Self> {
        let home: Weak<Nowhere> = Weak::new();
        Ok(Filling::new(AlignedBuffer::zeroed(len)?, home).1)
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True where there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `AlignedBuffer` initialises all its bytes when it allocates, `self.shared` keeps the allocation alive, and
        // `start + len` lies in it (see the fields). Nobody writes meanwhile: slots do not overlap and are not `Clone`,
        // this one is borrowed, and the whole buffer is reached only after every slot is dropped (`Filling::finish`).
        unsafe { std::slice::from_raw_parts(self.address(), self.len) }
    }

    /// The bytes, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; this slot is borrowed mutably, so that no other view of its bytes exists.
        unsafe { std::slice::from_raw_parts_mut(self.address(), self.len) }
    }

    /// The first `at` bytes and the rest.
    ///
    /// # Panics
    /// Where `at` exceeds the length, as [`slice::split_at`].
    pub fn split_at(self, at: usize) -> (Self, Self) {
        assert!(at <= self.len, "a slot of {} bytes is split at {at}", self.len);
        let rest = Self { shared: Arc::clone(&self.shared), start: self.start + at, len: self.len - at };
        (Self { shared: self.shared, start: self.start, len: at }, rest)
    }

    /// This slot and the one behind it as one, or both again where `next` does not begin where this one ends.
    ///
    /// # Errors
    /// The two slots.
    pub fn join(self, next: Self) -> std::result::Result<Self, (Self, Self)> {
        if !Arc::ptr_eq(&self.shared, &next.shared) || self.start + self.len != next.start {
            return Err((self, next));
        }
        Ok(Self { shared: self.shared, start: self.start, len: self.len + next.len })
    }

    /// The address that the kernel may write `len` bytes to. A write through it counts as a write to the slot: nobody may hold
    /// a view of the same bytes meanwhile.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.address()
    }

    /// The allocation that the bytes are in; `None` for none.
    pub(crate) fn region(&self) -> Option<Region> {
        self.shared.buffer.as_ref().map(AlignedBuffer::region)
    }

    fn address(&self) -> *mut u8 {
        // Within the allocation (see the fields), so that nothing wraps.
        self.shared.address.0.wrapping_add(self.start)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("start", &self.start).field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Shelf(Mutex<Vec<AlignedBuffer>>);

    impl Home for Shelf {
        fn take_back(&self, buffer: AlignedBuffer) {
            self.0.lock().unwrap().push(buffer);
        }
    }

    fn filling(len: usize) -> (Arc<Shelf>, Filling, Slot) {
        let shelf = Arc::new(Shelf::default());
        let home: Weak<Shelf> = Arc::downgrade(&shelf);
        let (filling, slot) = Filling::new(AlignedBuffer::zeroed(len).unwrap(), home);
        (shelf, filling, slot)
    }

    #[test]
    fn halves_are_disjoint_and_together_the_whole() {
        let (_shelf, filling, slot) = filling(1000);
        let (mut first, second) = slot.split_at(300);
        let (mut second, mut third) = second.split_at(700);
        assert_eq!((first.len(), second.len(), third.len()), (300, 700, 0));
        std::thread::scope(|scope| {
            scope.spawn(|| first.bytes_mut().fill(1));
            scope.spawn(|| second.bytes_mut().fill(2));
        });
        assert!(third.bytes_mut().is_empty() && third.is_empty());
        assert!(first.bytes().iter().all(|&byte| byte == 1));
        drop((first, second, third));
        let buffer = filling.finish().unwrap();
        assert!(buffer.iter().enumerate().all(|(at, &byte)| byte == if at < 300 { 1 } else { 2 }));
    }

    #[test]
    fn a_living_slot_keeps_the_buffer_and_the_last_one_takes_it_home() {
        let (shelf, filling, slot) = filling(100);
        let (first, second) = slot.split_at(50);
        drop(first);
        assert!(filling.finish().is_none());
        assert_eq!(shelf.0.lock().unwrap().len(), 0);
        drop(second);
        assert_eq!(shelf.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn neighbours_are_joined_and_others_are_not() {
        let (_shelf, filling, slot) = filling(100);
        let (first, second) = slot.split_at(30);
        let (second, third) = second.split_at(20);
        let (third, first) = third.join(first).unwrap_err();
        let (first, third) = first.join(third).unwrap_err();
        let (first, _other) = first.join(Slot::zeroed(10).unwrap().split_at(10).1).unwrap_err();
        let mut whole = first.join(second).unwrap().join(third).unwrap();
        assert_eq!(whole.len(), 100);
        whole.bytes_mut().fill(3);
        drop(whole);
        assert!(filling.finish().unwrap().iter().all(|&byte| byte == 3));
    }

    #[test]
    fn a_slot_outlives_its_home() {
        let (shelf, filling, mut slot) = filling(100);
        drop((shelf, filling));
        slot.bytes_mut().fill(7);
        assert!(slot.bytes().iter().all(|&byte| byte == 7));
    }

    #[test]
    #[should_panic(expected = "a slot of 10 bytes is split at 11")]
    fn a_slot_is_not_split_behind_its_end() {
        let _ = Slot::zeroed(10).unwrap().split_at(11);
    }
}
