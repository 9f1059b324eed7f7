//! Bytes to meaning and back, pure but for reading or mapping indexes and publishing files: tar members, index schema, trailer, manifest,
//! checksums.
//!
//! Nothing that comes from a file is believed: lengths are checked against the file before they size or slice anything,
//! checksums before anything is parsed, and rows before they are handed out (`validate.rs`). What it does not do: read
//! clips, or keep files open. The specification follows.
#![doc = include_str!("FORMAT.md")]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod checksum;
mod columns;
mod create;
mod dataset_index;
mod field_columns;
mod ipc;
mod key;
mod manifest;
mod mapped;
mod record;
mod rows;
mod schema;
pub(crate) mod tar;
mod tensor;
mod tensor_rows;
mod trailer;
mod validate;

pub use checksum::crc32c;
pub(crate) use checksum::{Crc32c, Followed, combine_crc32c};
pub(crate) use columns::{check_name as check_column_name, check_names as check_column_names};
pub(crate) use create::{create_new_file, open_own_file, refuse_link};
pub(crate) use dataset_index::IndexBuilder;
pub use dataset_index::{DatasetIndex, IndexPlace, IndexRow};
pub use key::{sanitize_key, validate_key};
pub use manifest::{ColumnSet, DatasetKind, FORMAT_VERSION, IndexEntry, MANIFEST_FILE, Manifest, ShardEntry, publish};
pub(crate) use manifest::{sync_folder, temporary_name};
pub(crate) use mapped::{MAX_READ_INDEX_BYTES, index_bytes, map, open_regular, read_exact};
pub use record::{Member, Record, TensorField, TensorRecord};
pub(crate) use rows::ShardRows;
pub(crate) use schema::{encode_index, encode_tensor_index};
pub use tensor::TensorType;
pub(crate) use tensor::{npy_header, npy_header_of_len};
pub(crate) use tensor_rows::{TensorRows, validate_tensor_record};
pub(crate) use trailer::{TRAILER_BYTES, TRAILER_FROM_END, Trailer};
pub(crate) use validate::{ParsedRecord, check_field_name, check_new_field_name, is_batch_entry, validate_stream};

/// `reencoded` of records of the profile `train`.
pub(crate) const REENCODED_FOR_TRAINING: &str = "profile train";

/// Name of the member that holds a shard's index.
pub(crate) const INDEX_MEMBER: &str = "__framefeed__/index.arrow";
