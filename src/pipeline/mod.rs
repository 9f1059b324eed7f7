//! The stages, threads, queues and statistics of loading.
//!
//! ```text
//!            Monitor: one lock              consumer
//! Schedule ─> reader ─────> jobs ─> workers ─────> batches in order ─> Batches::next
//!             plans, reads          check, decode,  the last clip's worker
//!             (one thread)          transform       puts the batch together
//! ```
//!
//! Invariants. What is delivered depends on dataset, window, transform, seed, epoch and position alone, never on threads,
//! timing or budgets: batches come out in the order of positions, and every clip has its place in its batch from the
//! start. Everything is bounded: batches by `prefetch_batches`, compressed bytes by `read_ahead_bytes`, open files and
//! tables by constants. Every wait ends when the iteration is cancelled; a panic becomes an error, never a hang.

mod access;
mod assemble;
mod batch;
mod batches;
mod clip;
mod inspect;
mod loader;
mod monitor;
mod options;
mod reader;
mod run;
mod schedule;
mod shared;
mod stats;
#[cfg(test)]
mod tests;
mod worker;

pub use access::{ClipReader, DecodedClip, DecodedFrame};
pub use batch::{Batch, Skipped};
pub use batches::{Batches, Next};
pub use inspect::{
    CodecCount, DatasetCheck, DatasetInfo, FieldCount, FpsCount, GopLengths, Problem, ShapeCount, SizeCount,
    StoredTensor, VerifyLevel, VerifyOptions, WindowCost, extract_clip, extract_field, read_field, verify_dataset,
};
pub use loader::Loader;
pub use options::{ErrorPolicy, LastBatch, LoaderBuilder, Shuffle};
pub use schedule::LoaderState;
pub use stats::{Limit, LoaderStats};
