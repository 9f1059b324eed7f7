//! The stages, threads, queues and statistics of loading.
//!
//! ```text
//!                        Monitor: one lock                 consumer
//! Schedule ─> reader ─────> clips ───> workers ──────────> batches in order ─> Batches::next
//!             plans rows,              check, decode,      whoever settles the last part
//!             reads clips              transform           of the last row puts the batch
//!             (one thread) ──> tensors ─> tensor readers ─> together
//!                                         read, check, pad
//! ```
//!
//! Invariants. What is delivered depends on dataset, window, transform, seed, epoch and position alone, never on threads,
//! timing or budgets: batches come out in the order of positions, and every clip has its place in its batch from the
//! start. Everything is bounded: batches by `prefetch_batches` and `prefetch_bytes`, compressed bytes by `read_ahead_bytes`,
//! open files and tables by constants. Every wait ends when the iteration is cancelled; a panic becomes an error, never a hang.

mod access;
mod assemble;
mod batch;
mod batches;
mod budget;
mod build;
mod chunks;
mod clip;
mod describe;
mod excluded;
mod fields;
mod files;
mod inspect;
mod loader;
mod monitor;
mod options;
mod partial;
mod policies;
mod progress;
mod reader;
mod row;
mod run;
mod schedule;
mod shared;
mod stats;
mod survey;
mod tensors;
#[cfg(test)]
mod tests;
mod worker;

pub use access::{ClipReader, DecodedClip, DecodedFrame};
pub use batch::{Batch, FieldBatch, Skipped, SourceBatch, VideoBatch};
pub use batches::{Batches, Next};
pub use clip::window_reads;
pub use excluded::Excluded;
pub use inspect::{
    CodecCount, DatasetCheck, DatasetInfo, FieldCount, FpsCount, GopLengths, Problem, ShapeCount, SizeCount,
    StoredTensor, VerifyLevel, VerifyOptions, WindowCost, extract_clip, extract_field, read_field, verify_dataset,
};
pub use loader::Loader;
pub use options::LoaderBuilder;
#[doc(hidden)]
pub use partial::{PartialBatch, PartialBatches, PartialLoader, Stage};
pub use policies::{Checksum, ErrorPolicy, LastBatch, Ragged, Redraw, Shuffle};
pub use schedule::{LoaderState, OrderKey};
pub use stats::{Limit, LoaderStats};
