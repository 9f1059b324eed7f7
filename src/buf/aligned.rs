//! One page-aligned allocation of initialised bytes.
//!
//! Large ones are mappings of their own, which go back to the operating system the moment they are freed, and come zeroed from it;
//! the C library would keep them in the arenas of threads that may never ask for their like again.
//!
//! Buffers of [`HUGE_PAGE`] bytes or more begin at a multiple of it, and the kernel is asked for huge pages: fewer page faults when
//! the memory is fresh, fewer pieces for the device, fewer misses of the address cache.
//!
//! Invariants: the address is a multiple of [`BUFFER_ALIGN`]; all bytes, padding included, are initialised from the
//! allocation on, so that every view of them is sound whatever was or was not read into them.
#![expect(unsafe_code, reason = "allocation with an alignment that Vec cannot give")]

use memmap2::MmapMut;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use super::identity::{Identity, Life};
use crate::error::{Error, ErrorKind, Result};

/// Address alignment of every buffer, in bytes: a page, and the strictest memory alignment that direct I/O asks for.
pub(crate) const BUFFER_ALIGN: usize = 4096;

/// Readable bytes after the end of every buffer (`AV_INPUT_BUFFER_PADDING_SIZE`). Zero when fresh, stale when recycled.
pub(crate) const PADDING: usize = 64;

/// Size of a huge page, in bytes.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// Allocations of so many bytes are mappings of their own.
const MAPPED_BYTES: usize = 1 << 20;

/// A whole allocation, as whoever registers memory with the kernel or a device needs it.
pub(crate) struct Region {
    /// Tells it from another allocation at the same address.
    pub(crate) identity: Identity,
    pub(crate) address: *mut u8,
    pub(crate) len: usize,
}

/// Initialised bytes that one buffer or several lie in. It gives access to none of them: buffers do.
struct Allocation {
    address: NonNull<u8>,
    size: usize,
    /// Keeps the bytes alive.
    _memory: Memory,
    life: Life,
}

/// Where the bytes of an allocation come from.
enum Memory {
    Heap {
        _block: Heap,
    },
    /// At least as large as the allocation, which begins at a multiple of its alignment.
    Mapped {
        _map: MmapMut,
    },
}

/// A block of the process's allocator.
struct Heap {
    address: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the allocation can be freed by any thread, and nothing is reached through it.
unsafe impl Send for Allocation {}
// SAFETY: as above.
unsafe impl Sync for Allocation {}

impl Allocation {
    /// `size` zeroed bytes, not none. `None` where they are not to be had.
    fn zeroed(size: usize) -> Option<Self> {
        let (address, memory) = if size >= MAPPED_BYTES { mapped(size)? } else { from_heap(size)? };
        Some(Self { address, size, _memory: memory, life: Life::new() })
    }
}

/// Zeroed bytes at a page boundary.
fn from_heap(size: usize) -> Option<(NonNull<u8>, Memory)> {
    let layout = Layout::from_size_align(size, BUFFER_ALIGN).ok().filter(|layout| layout.size() > 0)?;
    // SAFETY: the layout's size is not zero.
    let address = NonNull::new(unsafe { alloc_zeroed(layout) })?;
    Some((address, Memory::Heap { _block: Heap { address, layout } }))
}

/// Zeroed bytes from the operating system; from [`HUGE_PAGE`] bytes on at a multiple of it, where the kernel may use huge pages.
fn mapped(size: usize) -> Option<(NonNull<u8>, Memory)> {
    // No slice may be longer.
    isize::try_from(size).ok()?;
    // Mappings begin at any page: what lies before the first multiple is never touched, and takes no memory.
    let slack = if size >= HUGE_PAGE { HUGE_PAGE - BUFFER_ALIGN } else { 0 };
    let mut map = MmapMut::map_anon(size.checked_add(slack)?).ok()?;
    let skipped = if slack > 0 { map.as_ptr().align_offset(HUGE_PAGE) } else { 0 };
    let bytes = map.get_mut(skipped..)?.get_mut(..size)?;
    let address = NonNull::from(bytes).cast();
    if slack > 0 {
        prefer_huge_pages(address, size);
    }
    Some((address, Memory::Mapped { _map: map }))
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: `address` came from `alloc_zeroed` with this very layout, and is freed once, here, after all buffers in it are gone.
        unsafe { dealloc(self.address.as_ptr(), self.layout) }
    }
}

/// `len` bytes at a page boundary, zeroed when made, followed by at least [`PADDING`] readable ones.
pub(crate) struct AlignedBuffer {
    /// Within the allocation, as are the `size` bytes from there, which are no other buffer's.
    address: NonNull<u8>,
    len: usize,
    size: usize,
    allocation: Arc<Allocation>,
}

// SAFETY: the buffer is the only one to reach its bytes of the allocation.
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
        let made = Self::allocation_bytes(len).and_then(|size| Some((size, Allocation::zeroed(size)?)));
        let (size, allocation) = made.ok_or_else(|| out_of_memory(len))?;
        Ok(Self { address: allocation.address, len, size, allocation: Arc::new(allocation) })
    }

    /// `count` zeroed buffers of `len` bytes in one allocation of whole huge pages, which is freed with the last of them. Fails
    /// with [`ErrorKind::OutOfMemory`].
    pub(crate) fn zeroed_many(len: usize, count: usize) -> Result<Vec<Self>> {
        let total = |size: usize| size.checked_mul(count.max(1))?.checked_next_multiple_of(HUGE_PAGE);
        let made = Self::allocation_bytes(len).and_then(|size| Some((size, Allocation::zeroed(total(size)?)?)));
        let (size, allocation) = made.ok_or_else(|| out_of_memory(len))?;
        let allocation = Arc::new(allocation);
        let buffer = |number: usize| {
            // SAFETY: `count * size` bytes are within the allocation, and `number` is below `count`.
            let address = unsafe { allocation.address.add(number * size) };
            Self { address, len, size, allocation: Arc::clone(&allocation) }
        };
        Ok((0..count).map(buffer).collect())
    }

    /// A buffer with a copy of `bytes`.
    pub(crate) fn copy_of(bytes: &[u8]) -> Result<Self> {
        let mut buffer = Self::zeroed(bytes.len())?;
        buffer.copy_from_slice(bytes);
        Ok(buffer)
    }

    /// Bytes of the allocation that are this buffer's.
    pub(crate) fn capacity(&self) -> usize {
        self.size
    }

    /// The address that the kernel or a device may write to. A write through it counts as a write to the buffer: nobody
    /// may hold a view of the same bytes meanwhile.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.address.as_ptr()
    }

    /// The whole allocation that the bytes are in.
    pub(crate) fn region(&self) -> Region {
        let Allocation { address, size, life, .. } = &*self.allocation;
        Region { identity: life.identity(), address: address.as_ptr(), len: *size }
    }

    /// The bytes and all that follows them and is this buffer's, at least [`PADDING`].
    pub(crate) fn padded(&self) -> &[u8] {
        // SAFETY: `size` bytes from `address` are within the allocation and this buffer's alone, all initialised when it was
        // made (at most `isize::MAX` of them), and no `&mut` to them can live while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.size) }
    }

    fn padded_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `padded`; `&mut self` proves that no other view lives.
        unsafe { std::slice::from_raw_parts_mut(self.address.as_ptr(), self.size) }
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

fn out_of_memory(len: usize) -> Error {
    Error::new(ErrorKind::OutOfMemory, format!("cannot allocate a buffer of {len} bytes"))
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
        for len in [0, 1, 63, 64, 4031, 4032, 4033, 4096, (1 << 20) - 5000, 1 << 20, (2 << 20) - PADDING, 5 << 20] {
            let buffer = AlignedBuffer::zeroed(len).unwrap();
            let align = if buffer.capacity() >= HUGE_PAGE { HUGE_PAGE } else { BUFFER_ALIGN };
            assert_eq!(buffer.as_ptr() as usize % align, 0);
            assert_eq!(buffer.len(), len);
            assert!(buffer.padded().len() >= len + PADDING);
            assert!(buffer.padded().iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn buffers_of_one_allocation_are_apart_and_each_outlives_the_others() {
        let mut buffers = AlignedBuffer::zeroed_many(70_000, 5).unwrap();
        assert_eq!(buffers[0].region().len, HUGE_PAGE);
        assert!(buffers.iter().all(|buffer| buffer.region().identity == buffers[0].region().identity));
        for (number, buffer) in buffers.iter_mut().enumerate() {
            assert_eq!((buffer.len(), buffer.as_ptr() as usize % BUFFER_ALIGN), (70_000, 0));
            assert!(buffer.padded().iter().all(|&byte| byte == 0));
            let size = buffer.capacity();
            buffer.padded_mut()[..size].fill(number as u8 + 1);
        }
        let last = buffers.pop().unwrap();
        let identity = last.region().identity;
        drop(buffers);
        assert!(last.padded().iter().all(|&byte| byte == 5) && !identity.is_gone());
        drop(last);
        assert!(identity.is_gone());
    }

    #[test]
    fn an_absurd_length_is_an_error() {
        for len in [usize::MAX, usize::MAX - PADDING, isize::MAX as usize, 1 << 62] {
            assert_eq!(AlignedBuffer::zeroed(len).unwrap_err().kind(), ErrorKind::OutOfMemory);
            assert_eq!(AlignedBuffer::zeroed_many(len, 3).unwrap_err().kind(), ErrorKind::OutOfMemory);
        }
    }

    #[test]
    fn a_copy_holds_the_bytes() {
        assert_eq!(&*AlignedBuffer::copy_of(b"abc").unwrap(), b"abc");
    }
}
