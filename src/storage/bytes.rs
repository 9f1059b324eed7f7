//! Bytes that were read, and whoever owns their memory.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::mmap::Mapping;
use crate::buf::{AlignedBuffer, PADDING, PooledBuffer};

#[derive(Clone)]
enum Owner {
    Pooled(Arc<PooledBuffer>),
    Resident(Arc<AlignedBuffer>),
    Mapped(Arc<Mapping>),
}

impl Owner {
    /// All readable bytes.
    fn readable(&self) -> &[u8] {
        match self {
            Self::Pooled(buffer) => buffer.padded(),
            Self::Resident(buffer) => buffer.padded(),
            Self::Mapped(mapping) => mapping.bytes(),
        }
    }
}

/// A range of a file in memory. Cheap to clone; the memory goes back to its pool (or the mapping goes) with the last clone.
///
/// Derefs to exactly the range; 64 more bytes of any value are readable behind it, also behind every
/// [`slice`](Self::slice), so that it can be handed to a decoder as it is.
#[derive(Clone)]
pub struct ReadBytes {
    owner: Owner,
    /// `start + len + PADDING` is at most the owner's readable length: checked by every constructor.
    start: usize,
    len: usize,
}

impl ReadBytes {
    /// `len` bytes from `start` of a pool's buffer; empty where the buffer lacks them.
    pub(super) fn pooled(buffer: PooledBuffer, start: usize, len: usize) -> Self {
        Self::checked(Owner::Pooled(Arc::new(buffer)), start, len)
    }

    /// `len` bytes from `start` of a file in memory.
    pub(super) fn resident(buffer: Arc<AlignedBuffer>, start: usize, len: usize) -> Self {
        Self::checked(Owner::Resident(buffer), start, len)
    }

    /// `len` bytes from `start` of a mapped file, or `None` where the mapping ends before the padding does.
    pub(super) fn mapped(mapping: &Arc<Mapping>, start: usize, len: usize) -> Option<Self> {
        let end = start.checked_add(len)?.checked_add(PADDING)?;
        (end <= mapping.bytes().len()).then(|| Self { owner: Owner::Mapped(mapping.clone()), start, len })
    }

    fn checked(owner: Owner, start: usize, len: usize) -> Self {
        let end = start.checked_add(len).and_then(|end| end.checked_add(PADDING));
        assert!(
            end.is_some_and(|end| end <= owner.readable().len()),
            "an engine completed a read outside of its buffer"
        );
        Self { owner, start, len }
    }

    /// A part of these bytes, with the same owner. `None` where `range` is not inside.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        if range.start > range.end || range.end > self.len {
            return None;
        }
        // The part's padding ends no later than the whole's.
        Some(Self { owner: self.owner.clone(), start: self.start + range.start, len: range.end - range.start })
    }

    /// The bytes and the 64 readable ones behind them.
    pub fn padded(&self) -> &[u8] {
        &self.owner.readable()[self.start..self.start + self.len + PADDING]
    }
}

impl Deref for ReadBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.owner.readable()[self.start..self.start + self.len]
    }
}

impl AsRef<[u8]> for ReadBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for ReadBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadBytes").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_the_part_with_its_padding() {
        let whole = ReadBytes::resident(Arc::new(AlignedBuffer::copy_of(b"0123456789").unwrap()), 2, 6);
        assert_eq!(&*whole, b"234567");
        assert_eq!(&*whole.slice(1..4).unwrap(), b"345");
        assert_eq!(whole.slice(6..6).unwrap().padded().len(), PADDING);
        assert!(whole.slice(0..7).is_none());
        #[expect(clippy::reversed_empty_ranges, reason = "what is tested")]
        let reversed = whole.slice(3..2);
        assert!(reversed.is_none());
    }
}
