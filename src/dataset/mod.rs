//! Many shards as one dataset: manifest, index, records by number; windows, and the order of an epoch.

mod open;
mod order;
mod samples;
mod shards;
mod window;

pub use open::Dataset;
pub(crate) use open::IndexColumn;
pub(crate) use order::Order;
pub(crate) use samples::Samples;
pub use window::{Extent, Placement, ShortPolicy, Step, Window};
