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
mod format;
mod media;
mod pipeline;
mod shard;
mod storage;
#[cfg(test)]
pub(crate) mod testing;
mod transform;

pub use batch::{BatchBuffer, BatchPoolStats, ColumnValues};
pub use buf::{BufferPool, ByteRange, CancelRegistration, CancelToken, PoolStats, PooledBuffer, Slot, WakeOnCancel};
pub use convert::{
    CheckLevel, ConvertEvent, ConvertOptions, ConvertProgress, ConvertReport, EarlierFailures, Failure, OnChange,
    OnError, Profile, RawFormat, Reencoded, StreamChoice, TrainClipQuality, TrainOptions, TrainReport, TrainSize,
    TrainWindowCost, WindowUse, convert,
};
pub use dataset::{
    ColumnProgress, ColumnWriter, Dataset, DatasetWriter, DatasetWriterOptions, EarlierRun, Extent, FieldEntry,
    Placement, RecordMetadata, ShortPolicy, Step, Window,
};
pub use decode::{ClipDecoder, DecodeLimits, DecodePlan, DecodeStats, DecoderOptions, PacketSource};
#[doc(hidden)]
pub use error::Shown;
pub use error::{Error, ErrorKind, Result};
pub use format::{
    ColumnSet, DatasetIndex, DatasetKind, FORMAT_VERSION, IndexEntry, IndexPlace, IndexRow, MANIFEST_FILE, Manifest,
    Member, Record, ShardEntry, TensorField, TensorRecord, TensorType, crc32c, publish, sanitize_key, validate_key,
};
pub use media::{
    ChromaLocation, Codec, ColorModel, ColorRange, ColorSpec, FrameView, GopEntry, Orientation, PacketEntry,
    PacketFlags, PacketTable, PixelFormat, PlaneView, Ratio, StreamInfo, TimeBase,
};
pub use pipeline::{
    Batch, Batches, Checksum, ClipReader, CodecCount, DatasetCheck, DatasetInfo, DecodedClip, DecodedFrame,
    ErrorPolicy, Excluded, FieldBatch, FieldCount, FpsCount, GopLengths, LastBatch, Limit, Loader, LoaderBuilder,
    LoaderState, LoaderStats, Next, OrderKey, Problem, Ragged, Redraw, ShapeCount, Shuffle, SizeCount, Skipped,
    SourceBatch, StoredTensor, VerifyLevel, VerifyOptions, VideoBatch, WindowCost, extract_clip, extract_field,
    read_field, verify_dataset, window_reads,
};
#[doc(hidden)]
pub use pipeline::{PartialBatch, PartialBatches, PartialLoader, Stage};
pub use shard::{
    BuiltIndex, NewRecord, NewTensor, NewTensorRecord, Shard, ShardSummary, ShardWriter, TensorShard,
    TensorShardWriter, VerifyReport, build_index, build_tensor_index,
};
pub use storage::{
    CoalescedRange, Completion, DirectIo, EngineKind, Part, ReadBytes, ReadEngine, ReadOutcome, ReadRequest,
    ReadTarget, RegisterBuffers, RingMode, Storage, StorageFile, StorageOptions, coalesce,
};
pub use transform::{ClipShape, DType, Filter, Fit, FrameFormat, Layout, MAX_OUTPUT_SIDE, Transform, TransformOptions};
