//! Bytes from places: one trait ([`ReadEngine`]) with a written contract, and engines that keep it.
//!
//! | engine | reads by | chosen |
//! |---|---|---|
//! | `uring` | an io_uring ring of its own | by itself, where the kernel allows it |
//! | `pread` | positional reads on a few threads | by itself, where io_uring is refused |
//! | `mmap` | mapping the file; the page cache is the buffer | on request |
//! | `memory` | bytes held in memory | on request; tests, small datasets |
//!
//! [`Storage`] opens files and makes engines, one per reader thread. All engines give the same bytes and the same kinds
//! of errors, and pass one conformance suite. Neighbouring ranges are joined by [`coalesce`] before they are submitted.
//!
//! Files are taken for immutable while they are open, as shards are. A file that was cut short since is an error of the
//! read that comes after, on every engine. One that is cut short while bytes of its mapping are in use (`mmap` alone)
//! ends the process with SIGBUS, as does a device error under a mapping: that is why `mmap` is never chosen by itself,
//! and why [`Storage::read_at`], with which shards are verified, never reads through a mapping that it was not asked for.
//!
//! Nothing here knows what the bytes mean.

mod bytes;
mod choice;
mod coalesce;
mod engine;
mod file;
mod inline;
mod memory;
mod mmap;
mod options;
mod place;
mod pread;
mod progress;
mod resident;
mod store;
mod target;
mod uring;

#[cfg(test)]
mod conformance;
#[cfg(test)]
pub(crate) mod faulty;
#[cfg(test)]
mod refused;

pub use bytes::ReadBytes;
pub use coalesce::{CoalescedRange, Part, coalesce};
pub use engine::{Completion, ReadEngine, ReadRequest};
pub use file::StorageFile;
pub use options::{DirectIo, EngineKind, RegisterBuffers, RingMode, StorageOptions};
pub use store::Storage;
pub use target::{ReadOutcome, ReadTarget};
