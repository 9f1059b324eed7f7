//! Looking at datasets as a whole: what is in them, whether every byte and frame of them is sound, and one clip of them
//! as a file.

mod extract;
mod info;
mod verify;

pub use extract::extract_clip;
pub use info::{CodecCount, DatasetInfo, FpsCount, GopLengths, SizeCount, WindowCost};
pub use verify::{DatasetCheck, Problem, VerifyLevel, VerifyOptions, verify_dataset};
