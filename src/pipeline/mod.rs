//! The stages, threads, queues and statistics; `Loader` and its builder.

mod batch;
mod schedule;
mod stats;

pub use batch::{Batch, Skipped};
pub use schedule::LoaderState;
pub use stats::{Limit, LoaderStats};
