//! Bytes from places: one trait ([`ReadEngine`]) with a written contract, and engines that keep it.
//!
//! | engine | reads by | chosen by itself |
//! |---|---|---|
//! | `uring` | an io_uring ring of its own | for devices of this machine, where the kernel allows it |
//! | `pread`, with threads | positional reads on a few threads | where io_uring is refused; on network file systems (nfs, lustre, gpfs, fuse, ceph, cifs ...) |
//! | `pread`, without | positional reads by whoever waits | never |
//! | `mmap` | mapping the file; the page cache is the buffer | on tmpfs and ramfs |
//! | `memory` | bytes held in memory | never; tests, small datasets |
//!
//! [`Storage::for_path`] looks at the file system once, [`Storage::new`] at the kernel alone; what was decided and why is in
//! [`Storage::describe`], and options are stronger.
//!
//! [`Storage`] opens files and makes engines, one per reader thread. All engines give the same bytes and the same kinds
//! of errors, and pass one conformance suite. Neighbouring ranges are joined by [`coalesce`] before they are submitted.
//!
//! Files are taken for immutable while they are open, as shards are. A file that was cut short since is an error of the
//! read that comes after, on every engine. One that is cut short while bytes of its mapping are in use (`mmap` alone)
//! ends the process with SIGBUS, as does a device error under a mapping. So `mmap` is chosen by itself only in memory, file by file, where no device
//! can fail and it reads 1.5 times as fast as `pread`; shards are never edited in place by framefeed. With every other engine an open shard may be cut short, whose index has at most
//! 16 MiB and was read for that reason; a longer index is mapped, whatever reads the data.
//!
//! # Defaults, and what they were measured by
//!
//! Medians of 5 runs in turn, 2026-11-25, 2 cores of a virtual machine that others kept busy, Linux 6.18, ext4 on virtio (at most about
//! 1.5 GB/s for long, more in bursts), a file of 2 GiB, direct; `cargo bench --bench storage`. CPU is seconds per GB.
//!
//! | | fio, io_uring | to pool buffers | to slots of a batch | pool, registered buffers |
//! |---|---|---|---|---|
//! | 1 MiB, depth 32 | 0.87 GB/s, 0.068 | 1.41 GB/s, 0.026 | 1.48 GB/s, 0.007 | 1.45 GB/s, 0.007 |
//! | 4 MiB, depth 32 | 0.88 GB/s, 0.066 | 1.28 GB/s, 0.030 | 1.42 GB/s, 0.003 | 1.47 GB/s, 0.013 |
//! | 64 KiB at random, depth 64 | 1.21 GB/s, 0.094 | 1.24 GB/s, 0.074 | 1.62 GB/s, 0.043 | 1.32 GB/s, 0.057 |
//!
//! - *Huge pages* make the difference to fio, whose memory is of small pages by default: a read of 1 MiB to slots takes a tenth
//!   of the CPU. Buffers of 2 MiB and more ask for them, smaller ones of the pool share them.
//! - *Registered buffers* save CPU of reads to the pool, little beside huge pages, and keep up to 1024 buffers pinned: off.
//! - *Polled*: 1.56 GB/s, 0.006, as with interrupts (1.57 GB/s, 0.006) on this device, which has no poll queues: off.
//!   *Submission thread*: 1.44 GB/s, 0.29: it needs a core of its own: off.
//! - *Parts*: one read of 64 MiB at a time, 0.76 GB/s whole, 0.82 in parts of 4 MiB, 0.93 in parts of 1 MiB; at depth there is no
//!   difference, and 4 MiB parts take the fewest entries.
//! - *Direct or not*: cold, 2.12 GB/s and 0.008 direct, 0.68 GB/s and 0.69 through the page cache; warm, 3.06 GB/s and 0.17 through
//!   it. So the page cache pays exactly where it holds what is read again, which is what [`DirectIo::Auto`] goes by.
//! - *Filling the cache in huge pages* (a mapping with `MADV_HUGEPAGE`, populated by a linked entry before the read) was tried for tensors, cold, on
//!   ext4: 0.67, 0.87 and 1.23 GB/s for 1, 4 and 16 MiB, where it was 0.77, 0.75 and 0.59, at 1.1, 0.97 and 0.74 CPU seconds per GB, where it was
//!   0.75, 0.57 and 0.66; it reads neighbours, and what the kernel makes of it depends on its version. Left out: direct, it is 2.2 to 2.7.
//! - *pread on 32 threads*, direct: 1.49 GB/s, 0.018: it gives up CPU, not rate.
//!
//! Nothing here knows what the bytes mean.

mod bytes;
mod choice;
mod coalesce;
mod engine;
mod file;
mod filesystem;
mod inline;
mod memory;
mod mmap;
mod options;
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
pub(crate) use filesystem::memory_bytes;
pub use options::{DirectIo, EngineKind, RegisterBuffers, RingMode, StorageOptions};
pub use store::Storage;
pub use target::{ReadOutcome, ReadTarget};
