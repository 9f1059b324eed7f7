//! Which sample stands at which step: pure functions of seed, epoch and position. Which records are samples, in which
//! bucket, in which order, which of their frames make the sample, which positions make a batch, and where a loader
//! stands.
//!
//! Nothing here reads a file. What the order needs to know of records comes in by [`RecordExtents`].
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod buckets;
mod epoch;
mod samples;
mod schedule;
mod state;
mod window;

pub(crate) use buckets::Buckets;
pub(crate) use epoch::{Draw, Order};
pub(crate) use samples::{MAX_LISTED, RecordExtents, Samples};
pub(crate) use schedule::{Cut, Schedule};
pub use state::{LoaderState, OrderKey};
pub use window::{Extent, Placement, ShortPolicy, Step, Window};
