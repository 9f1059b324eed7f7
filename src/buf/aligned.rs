//! One page-aligned allocation of initialised bytes.
//!
//! Buffers of [`HUGE_PAGE`] bytes or more begin at a multiple of it, and the kernel is asked for huge pages: fewer page faults when
//! the memory is fresh, fewer pieces for the device, fewer misses of the address cache.
//!
//! Invariants: the address is a multiple of [`BUFFER_ALIGN`]; all bytes, padding included, are initialised from the
//! allocation on, so that every view of them is sound whatever was or was not read into them.
#![expect(unsafe_code, reason = "allocation with an alignment that Vec cannot give")]

use std::alloc::{Layout, alloc, dealloc};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::life::{Identity, Life};
use crate::error::{Error, ErrorKind, Result};

/// Address alignment of every buffer, in bytes: a page, and the strictest memory alignment that direct I/O asks for.
pub(crate) const BUFFER_ALIGN: usize = 4096;

/// Readable bytes after the end of every buffer (`AV_INPUT_BUFFER_PADDING_SIZE`). Zero when fresh, stale when recycled.
pub(crate) const PADDING: usize = 64;

/// Size of a huge page, in bytes.
const HUGE_PAGE: usize = 2 << 20;

/// A whole allocation, as whoever registers memory with the kernel or a device needs it.
pub(crate) struct Region {
    /// Tells it from another allocation at the same address.
    pub(crate) identity: Identity,
    pub(crate) address: *mut u8,
    pub(crate) len: usize,
}

/// `len` bytes at a page boundary, zeroed when made, followed by at least [`PADDING`] readable ones.
pub(crate) struct AlignedBuffer {
    address: NonNull<u8>,
    len: usize,
    layout: Layout,
    life: Life,
}

// SAFETY: the buffer owns its allocation alone; no other pointer to it is kept here.
unsafe impl Send for AlignedBuffer {}
// SAFETY: shared access only reads; writing needs `&mut self`.
unsafe impl Sync for AlignedBuffer {}

impl AlignedBuffer {
    /// Bytes that a buffer of `len` takes from the allocator, or `None` where that overflows.
    pub(crate) fn allocation_bytes(len: usize) -> Option<usize> {
        len.checked_add(PADDING)?.checked_next_multiple_of(BUFFER_ALIGN)
    }

    /// A zeroed buffer of `len` bytes. Fails with [`ErrorKind::OutOfMemory`].
    pub(crate) fn zeroed(len: usize) -> Result<Self> {
        let refused = || Error::new(ErrorKind::OutOfMemory, format!("cannot allocate a buffer of {len} bytes"));
        let size = Self::allocation_bytes(len).ok_or_else(refused)?;
        let align = if size >= HUGE_PAGE { HUGE_PAGE } else { BUFFER_ALIGN };
        let layout = Layout::from_size_align(size, align).map_err(|_| refused())?;
        // SAFETY: the layout's size is at least BUFFER_ALIGN, so it is not zero.
        let address = NonNull::new(unsafe { alloc(layout) }).ok_or_else(refused)?;
        if size >= HUGE_PAGE {
            prefer_huge_pages(address, size);
        }
        // SAFETY: the allocation has `size` bytes, and nobody else knows of it yet.
        unsafe { address.as_ptr().write_bytes(0, size) };
        Ok(Self { address, len, layout, life: Life::new() })
    }

    /// A buffer with a copy of `bytes`.
    pub(crate) fn copy_of(bytes: &[u8]) -> Result<Self> {
        let mut buffer = Self::zeroed(bytes.len())?;
        buffer.copy_from_slice(bytes);
        Ok(buffer)
    }

    /// Bytes taken from the allocator.
    pub(crate) fn capacity(&self) -> usize {
        self.layout.size()
    }

    /// The address that the kernel or a device may write to. A write through it counts as a write to the buffer: nobody
    /// may hold a view of the same bytes meanwhile.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// The whole allocation.
    pub(crate) fn region(&self) -> Region {
        Region { identity: self.life.identity(), address: self.address.as_ptr(), len: self.layout.size() }
    }

    /// The bytes and all that follows them in the allocation, at least [`PADDING`].
    pub(crate) fn padded(&self) -> &[u8] {
        // SAFETY: `address` is the start of an allocation of `layout.size()` bytes, all initialised when it was made
        // (`isize::MAX` is the limit that `Layout` enforces), and no `&mut` to it can live while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.layout.size()) }
    }

    fn padded_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `padded`; `&mut self` proves that no other view lives.
        unsafe { std::slice::from_raw_parts_mut(self.address.as_ptr(), self.layout.size()) }
    }
}

/// Asks for huge pages for the whole ones in a fresh allocation, before it is touched. Advice: without them it is as good.
fn prefer_huge_pages(address: NonNull<u8>, size: usize) {
    let whole = size - size % HUGE_PAGE;
    // SAFETY: the range is within the allocation, and the advice changes neither its content nor its validity.
    let _ = unsafe { rustix::mm::madvise(address.as_ptr().cast(), whole, rustix::mm::Advice::LinuxHugepage) };
}

impl Deref for AlignedBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.padded()[..self.len]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        &mut self.padded_mut()[..len]
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        // SAFETY: `address` came from `alloc` with this very layout, and is freed once, here.
        unsafe { dealloc(self.address.as_ptr(), self.layout) }
    }
}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuffer").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_buffer_is_aligned_zeroed_and_padded() {
        for len in [0, 1, 63, 64, 4031, 4032, 4033, 4096, 1 << 20, (2 << 20) - PADDING, 5 << 20] {
            let buffer = AlignedBuffer::zeroed(len).unwrap();
            let align = if buffer.capacity() >= HUGE_PAGE { HUGE_PAGE } else { BUFFER_ALIGN };
            assert_eq!(buffer.as_ptr() as usize % align, 0);
            assert_eq!(buffer.len(), len);
            assert!(buffer.padded().len() >= len + PADDING);
            assert!(buffer.padded().iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn an_absurd_length_is_an_error() {
        for len in [usize::MAX, usize::MAX - PADDING, isize::MAX as usize, 1 << 62] {
            assert_eq!(AlignedBuffer::zeroed(len).unwrap_err().kind(), ErrorKind::OutOfMemory);
        }
    }

    #[test]
    fn a_copy_holds_the_bytes() {
        assert_eq!(&*AlignedBuffer::copy_of(b"abc").unwrap(), b"abc");
    }
}
