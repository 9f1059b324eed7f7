//! Bytes to meaning and back, pure: tar members, index schema, trailer, manifest, checksums.

mod checksum;
mod dataset_index;
mod key;
mod manifest;
mod record;

pub(crate) use checksum::{Crc32c, crc32c};
pub use dataset_index::{DatasetIndex, IndexRow};
pub use key::{sanitize_key, validate_key};
pub use manifest::{FORMAT_VERSION, IndexEntry, MANIFEST_FILE, Manifest, ShardEntry, publish};
pub(crate) use manifest::{sync_folder, temporary_name};
pub use record::{Member, Record, TensorField};
