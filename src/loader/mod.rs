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

mod assemble;
mod batch;
mod batches;
mod build;
mod builder;
mod choices;
mod chunks;
mod clip_reader;
mod clip_reads;
mod context;
mod cpu_budget;
mod describe;
mod excluded;
mod field_scan;
mod fields;
mod handle;
mod iteration;
mod monitor;
mod open_files;
mod progress;
mod reader;
mod row;
mod stage_bench;
mod stats;
mod tensors;
#[cfg(test)]
mod tests;
mod worker;

pub use batch::{Batch, FieldBatch, Skipped, SourceBatch, VideoBatch};
pub use batches::{Batches, Next};
pub use builder::LoaderBuilder;
pub use choices::{Checksum, ErrorPolicy, LastBatch, Ragged, Redraw, Shuffle};
pub use clip_reader::{ClipReader, DecodedClip, DecodedFrame};
pub use clip_reads::window_reads;
pub use excluded::Excluded;
pub use handle::Loader;
#[doc(hidden)]
pub use stage_bench::{PartialBatch, PartialBatches, PartialLoader, Stage};
pub use stats::{Limit, LoaderStats};
