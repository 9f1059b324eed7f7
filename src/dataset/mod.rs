//! Many shards as one dataset: manifest, index, records by number; windows, and the order of an epoch.

mod column_writer;
mod earlier_run;
mod fields;
mod index_columns;
mod names;
mod open;
mod shards;
#[cfg(test)]
mod tensor_tests;
mod writer;

pub use column_writer::{ColumnProgress, ColumnWriter};
pub use earlier_run::EarlierRun;
pub use fields::FieldEntry;
pub(crate) use open::IndexColumn;
pub use open::{Dataset, RecordMetadata};
pub use writer::{DatasetWriter, DatasetWriterOptions};
