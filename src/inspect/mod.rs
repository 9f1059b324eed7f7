//! Looking at datasets as a whole: what is in them, whether every byte and frame of them is sound, and one clip or
//! tensor of them as a file.

mod extract;
mod fields;
mod info;
mod shard_file;
mod speed;
mod verify;

pub use extract::{StoredTensor, extract_clip, extract_field, read_field};
pub use fields::{FieldCount, ShapeCount};
pub use info::{CodecCount, DatasetInfo, FpsCount, GopLengths, SizeCount, WindowCost};
pub use verify::{DatasetCheck, Problem, VerifyLevel, VerifyOptions, verify_dataset};
