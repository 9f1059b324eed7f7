//! The memory of batches, which clips are written to in parallel and which goes round for ever, and the collation of
//! columns. [`Batch`](crate::Batch) itself speaks of tensor types and layouts, which this module may not know; it stands
//! with the loader.

mod collate;
mod memory;
mod pad;

pub(crate) use collate::ColumnKind;
pub use collate::ColumnValues;
pub(crate) use memory::{BatchAssembly, BatchPool};
pub use memory::{BatchBuffer, BatchPoolStats};
pub(crate) use pad::{place, spread};
