//! One shard as an object: writer, reader, verification, and the rows that it gives to the dataset's index.

mod index;
mod reader;
mod verify;
mod writer;

pub use index::{BuiltIndex, build_index};
pub use reader::Shard;
pub use verify::VerifyReport;
pub use writer::{NewRecord, ShardSummary, ShardWriter};
