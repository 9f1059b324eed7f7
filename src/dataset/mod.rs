//! Many shards as one dataset: manifest, index, records by number; windows, and the order of an epoch.

mod buckets;
mod column_writer;
mod earlier_run;
mod fields;
mod index_columns;
mod names;
mod open;
mod order;
mod samples;
mod shards;
#[cfg(test)]
mod tensor_tests;
mod window;
mod writer;

pub(crate) use buckets::Buckets;
pub use column_writer::{ColumnProgress, ColumnWriter};
pub use earlier_run::EarlierRun;
pub use fields::FieldEntry;
pub(crate) use open::IndexColumn;
pub use open::{Dataset, RecordMetadata};
pub(crate) use order::{Draw, Order};
pub(crate) use samples::{MAX_LISTED, Samples};
pub use window::{Extent, Placement, ShortPolicy, Step, Window};
pub use writer::{DatasetWriter, DatasetWriterOptions};
