//! Many shards as one dataset: manifest, index, records by number; windows and the order of an epoch.

mod order;
mod window;

pub(crate) use order::Order;
pub use window::{Extent, Placement, ShortPolicy, Step, Window};
