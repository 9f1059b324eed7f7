//! Host memory: page-aligned buffers, a byte-budget pool that recycles them, slots by which several threads fill one buffer,
//! and the range of bytes in a file that a buffer holds.
//!
//! Every buffer is followed by [`PADDING`] readable bytes, because decoders read ahead of what they were given. Nothing
//! here knows files, rings or frames.

mod aligned;
mod identity;
mod pool;
mod range;
mod release;
mod slot;
mod streaming_copy;

pub(crate) use aligned::{AlignedBuffer, BUFFER_ALIGN, PADDING, Region};
pub(crate) use identity::{Identity, Life};
pub use pool::{BufferPool, PoolStats, PooledBuffer};
pub use range::ByteRange;
pub(crate) use release::release_free_memory;
pub use slot::Slot;
pub(crate) use slot::{Filling, Home};
pub(crate) use streaming_copy::{Copied, RUN_BYTES, copy_streaming, copy_streaming_summed};
