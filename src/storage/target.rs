//! Where the bytes of a read go: a buffer of the storage's pool, or a [`Slot`] that the caller brings.
//!
//! A slot is written to right away where that is possible. Direct I/O needs offset, length and address on multiples of the
//! file's alignment; a slot that lacks that is read through a buffer of the pool and one copy.

use std::fmt;
use std::ops::Deref;

use super::bytes::ReadBytes;
use super::file::{DirectFile, DiskFile};
use super::progress::ReadPlan;
use super::resident::ReadContext;
use crate::buf::{PooledBuffer, Region, Slot};
use crate::error::{Error, ErrorKind, Result};

/// Where the bytes of a read go.
#[derive(Debug)]
pub enum ReadTarget {
    /// To a buffer of the storage's pool (or wherever they are in memory already); the read gives [`ReadBytes`].
    Pool {
        /// Number of bytes, all of them wanted.
        len: usize,
    },
    /// To this slot, filled to its last byte; the read gives it back. On an error the slot is given up.
    Slot(Slot),
}

impl ReadTarget {
    /// Number of bytes to read.
    pub fn len(&self) -> usize {
        match self {
            Self::Pool { len } => *len,
            Self::Slot(slot) => slot.len(),
        }
    }

    /// True where there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a read gives. Derefs to the bytes, wherever they are.
pub enum ReadOutcome {
    /// Of a read to [`ReadTarget::Pool`].
    Bytes(ReadBytes),
    /// Of a read to [`ReadTarget::Slot`].
    Slot(Slot),
}

impl ReadOutcome {
    /// The bytes of a read to the pool. Fails with [`InvalidArgument`](ErrorKind::InvalidArgument) where the read had a slot.
    pub fn into_bytes(self) -> Result<ReadBytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Slot(_) => Err(Error::invalid("expected a read to the pool, found one to a slot")),
        }
    }

    /// The slot of a read to a slot. Fails with [`InvalidArgument`](ErrorKind::InvalidArgument) where the read had none.
    pub fn into_slot(self) -> Result<Slot> {
        match self {
            Self::Slot(slot) => Ok(slot),
            Self::Bytes(_) => Err(Error::invalid("expected a read to a slot, found one to the pool")),
        }
    }
}

impl Deref for ReadOutcome {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Slot(slot) => slot.bytes(),
        }
    }
}

impl fmt::Debug for ReadOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Slot(slot) => slot.fmt(f),
        }
    }
}

/// The memory that a read of a descriptor writes to, and where its bytes go in the end.
pub(super) enum Memory {
    Pool(PooledBuffer),
    Slot(Slot),
    /// Read to the buffer, then copied to the slot.
    Via(PooledBuffer, Slot),
}

impl Memory {
    /// Memory for a read that is planned so.
    pub(super) fn prepare(context: &ReadContext, disk: &DiskFile, plan: &ReadPlan, target: ReadTarget) -> Result<Self> {
        Ok(match target {
            ReadTarget::Pool { .. } => Self::Pool(context.buffer(plan.buffer_len())?),
            ReadTarget::Slot(slot) if takes(&slot, disk.direct.as_ref(), plan) => Self::Slot(slot),
            ReadTarget::Slot(slot) => Self::Via(context.buffer(plan.buffer_len())?, slot),
        })
    }

    /// Bytes that may be written.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Pool(buffer) | Self::Via(buffer, _) => buffer.len(),
            Self::Slot(slot) => slot.len(),
        }
    }

    /// The bytes that may be written.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Pool(buffer) | Self::Via(buffer, _) => buffer,
            Self::Slot(slot) => slot.bytes_mut(),
        }
    }

    /// The address that the kernel may write [`len`](Self::len) bytes to, while nobody looks at them.
    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        match self {
            Self::Pool(buffer) | Self::Via(buffer, _) => buffer.as_mut_ptr(),
            Self::Slot(slot) => slot.as_mut_ptr(),
        }
    }

    /// The allocation that is written to.
    pub(super) fn region(&self) -> Option<Region> {
        match self {
            Self::Pool(buffer) | Self::Via(buffer, _) => buffer.region(),
            Self::Slot(slot) => slot.region(),
        }
    }

    /// What the read gives once all parts of `plan` are done: `len` bytes.
    pub(super) fn finish(self, plan: &ReadPlan, len: usize) -> Result<ReadOutcome> {
        match self {
            Self::Pool(buffer) => Ok(ReadOutcome::Bytes(ReadBytes::pooled(buffer, plan.skip(), len))),
            Self::Slot(slot) => Ok(ReadOutcome::Slot(slot)),
            Self::Via(buffer, slot) => fill(slot, buffer.get(plan.skip()..).and_then(|bytes| bytes.get(..len))),
        }
    }
}

/// True where the read can write right to the slot.
fn takes(slot: &Slot, direct: Option<&DirectFile>, plan: &ReadPlan) -> bool {
    let is_aligned = |direct: &DirectFile| (slot.bytes().as_ptr() as usize).is_multiple_of(direct.memory_align);
    plan.skip() == 0 && plan.buffer_len() == slot.len() && direct.is_none_or(is_aligned)
}

/// Fills a slot with `bytes`, which have its length.
pub(super) fn fill(mut slot: Slot, bytes: Option<&[u8]>) -> Result<ReadOutcome> {
    let bytes = bytes.filter(|bytes| bytes.len() == slot.len());
    let bytes = bytes.ok_or_else(|| Error::new(ErrorKind::Io, "a read gave other bytes than its slot takes"))?;
    slot.bytes_mut().copy_from_slice(bytes);
    Ok(ReadOutcome::Slot(slot))
}
