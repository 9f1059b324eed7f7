//! One shard as an object: writer, reader, verification, and the rows that it gives to the dataset's index.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod check;
#[cfg(test)]
mod foreign_tests;
mod holder;
mod index;
mod journal;
mod lock;
mod reader;
mod row_sink;
mod sink;
mod tensor_reader;
mod tensor_writer;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod verify;
mod walk;
mod writer;

pub use index::{BuiltIndex, build_index, build_tensor_index};
pub(crate) use journal::{FinishedShard, num_noted_records};
pub(crate) use lock::{FolderLock, PLAN_FILE, STATE_FOLDER, WRITER_MARK};
pub use reader::Shard;
pub use sink::{NewTensor, ShardSummary};
pub use tensor_reader::TensorShard;
pub(crate) use tensor_writer::Metadata;
pub use tensor_writer::{NewTensorRecord, TensorShardWriter};
pub use verify::VerifyReport;
pub use writer::{NewRecord, ShardWriter};
