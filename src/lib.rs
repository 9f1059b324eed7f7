//! framefeed feeds video to training jobs. It turns a collection of raw videos into shards, and streams clips from
//! those shards, decoded, resized and batched, into the memory of the machine that trains on them.
//!
//! [`convert`] makes a dataset of videos, a [`Dataset`] is one that was opened, and a [`Loader`] streams it:
//!
//! ```no_run
//! use framefeed::{Dataset, Loader, Shuffle, Window};
//!
//! # fn main() -> framefeed::Result<()> {
//! let loader = Loader::builder(Dataset::open("data")?)
//!     .batch_size(8)
//!     .window(Window::strided(16, 4))
//!     .size(256, 256)
//!     .shuffle(Shuffle::On)
//!     .build()?;
//! for batch in &loader {
//!     let batch = batch?;
//!     if let Some(video) = &batch.video {
//!         println!("{:?}: {:?}, {} bytes", batch.keys, video.shape, video.data.len());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod batch;
mod buf;
mod convert;
mod dataset;
mod decode;
mod error;
mod ffmpeg;
mod format;
mod inspect;
mod loader;
mod media;
mod order;
mod shard;
mod storage;
#[cfg(test)]
pub(crate) mod testing;
mod threads;
mod transform;

pub use batch::{BatchBuffer, BatchPoolStats, ColumnValues};
pub use buf::{BufferPool, ByteRange, PoolStats, PooledBuffer, Slot};
pub use convert::{
    CheckLevel, ConvertEvent, ConvertOptions, ConvertProgress, ConvertReport, EarlierFailures, Failure, OnChange,
    OnError, Profile, RawFormat, Reencoded, StreamChoice, TrainClipQuality, TrainOptions, TrainReport, TrainSize,
    TrainWindowCost, WindowUse, convert,
};
pub use dataset::{
    ColumnProgress, ColumnWriter, Dataset, DatasetWriter, DatasetWriterOptions, EarlierRun, FieldEntry, RecordMetadata,
};
pub use decode::{ClipDecoder, DecodeLimits, DecodePlan, DecodeStats, DecoderOptions, PacketSource};
#[doc(hidden)]
pub use error::Shown;
pub use error::{Error, ErrorKind, Result};
pub use format::{
    ColumnSet, DatasetIndex, DatasetKind, FORMAT_VERSION, IndexEntry, IndexPlace, IndexRow, MANIFEST_FILE, Manifest,
    Member, Record, ShardEntry, TensorField, TensorRecord, TensorType, crc32c, publish, sanitize_key, validate_key,
};
pub use inspect::{
    CodecCount, DatasetCheck, DatasetInfo, FieldCount, FpsCount, GopLengths, Problem, ShapeCount, SizeCount,
    StoredTensor, VerifyLevel, VerifyOptions, WindowCost, extract_clip, extract_field, read_field, verify_dataset,
};
pub use loader::{
    Batch, Batches, Checksum, ClipReader, DecodedClip, DecodedFrame, ErrorPolicy, Excluded, FieldBatch, LastBatch,
    Limit, Loader, LoaderBuilder, LoaderStats, Next, Ragged, Redraw, Shuffle, Skipped, SourceBatch, VideoBatch,
    window_reads,
};
#[doc(hidden)]
pub use loader::{PartialBatch, PartialBatches, PartialLoader, Stage};
pub use media::{
    ChromaLocation, Codec, ColorModel, ColorRange, ColorSpec, FrameView, GopEntry, Orientation, PacketEntry,
    PacketFlags, PacketTable, PixelFormat, PlaneView, Ratio, StreamInfo, TimeBase,
};
pub use order::{Extent, LoaderState, OrderKey, Placement, ShortPolicy, Step, Window};
pub use shard::{
    BuiltIndex, NewRecord, NewTensor, NewTensorRecord, Shard, ShardSummary, ShardWriter, TensorShard,
    TensorShardWriter, VerifyReport, build_index, build_tensor_index,
};
pub use storage::{
    CoalescedRange, Completion, DirectIo, EngineKind, Part, ReadBytes, ReadEngine, ReadOutcome, ReadRequest,
    ReadTarget, RegisterBuffers, RingMode, Storage, StorageFile, StorageOptions, coalesce,
};
pub use transform::{ClipShape, DType, Filter, Fit, FrameFormat, Layout, MAX_OUTPUT_SIDE, Transform, TransformOptions};
