//! One batch: the pixels and the tensors, and what comes with them row by row.

use crate::batch::{BatchBuffer, ColumnValues};
use crate::format::TensorType;
use crate::media::{ColorSpec, TimeBase};
use crate::transform::{DType, FrameFormat, Layout};
use std::fmt;

/// A sample that is missing from the batches, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Epoch of the sample.
    pub epoch: u64,
    /// Its position in the epoch.
    pub position: u64,
    /// Number of the record in the dataset.
    pub record: u64,
    /// The error, with record, file and byte offset.
    pub reason: String,
}

/// The frames of a batch. Lists are in the order of rows.
#[non_exhaustive]
pub struct VideoBatch {
    /// The pixels: dense, of `shape` and `dtype`.
    pub data: BatchBuffer,
    /// Rows, then the four axes of `layout`.
    pub shape: [usize; 5],
    /// Type of the elements.
    pub dtype: DType,
    /// Order of the axes after the first.
    pub layout: Layout,
    /// Number of each frame in its record: rows times frames, row by row.
    pub frames: Vec<u32>,
    /// Timestamp of each frame in ticks of its record's time base: rows times frames, row by row.
    pub pts: Vec<i64>,
    /// Unit of each row's timestamps.
    pub time_bases: Vec<TimeBase>,
    /// What a frame is.
    pub format: FrameFormat,
    /// How to make RGB of each row's frames, where they are YUV: its own matrix (the one in use where none was stated) and range.
    pub colors: Vec<ColorSpec>,
}

impl VideoBatch {
    /// Frames of each row.
    pub fn num_frames(&self) -> usize {
        let clip = [self.shape[1], self.shape[2], self.shape[3], self.shape[4]];
        match self.layout {
            Layout::Tchw | Layout::Thwc => clip[0],
            Layout::Cthw => clip[1],
        }
    }

    /// Bytes of one row of `data`.
    pub fn clip_bytes(&self) -> usize {
        self.shape[1..].iter().product::<usize>() * self.dtype.num_bytes()
    }
}

impl fmt::Debug for VideoBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VideoBatch({:?} {} {})", self.shape, self.layout, self.dtype)
    }
}

/// What the dataset's index says of the records' videos as a whole, for conditions of a model: one entry for each row.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct SourceBatch {
    /// Average frames per second of the record, whatever the window takes.
    pub fps: Vec<f64>,
    /// Duration of the record in seconds.
    pub seconds: Vec<f64>,
    /// Height and width of the record for display, in square pixels, before it was resized for the batch.
    pub sizes: Vec<(u32, u32)>,
}

/// One tensor field of a batch.
#[non_exhaustive]
pub struct FieldBatch {
    /// The field's name.
    pub name: String,
    /// The elements, dense, of `shape` and `dtype`; little-endian.
    pub data: BatchBuffer,
    /// Rows, then the axes of the field. Rows that were padded have zeros behind their own elements.
    pub shape: Vec<usize>,
    /// Type of the elements.
    pub dtype: TensorType,
    /// How much of each axis is a row's own: rows times axes, row by row. `Some` where fields are padded and the field is not
    /// of one shape in all samples of the loader.
    pub lengths: Option<Vec<u64>>,
}

impl fmt::Debug for FieldBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FieldBatch({} {:?} {})", self.name, self.shape, self.dtype)
    }
}

/// Samples of consecutive positions of one epoch. All lists have one entry per row, in the order of positions, unless
/// they say otherwise.
#[non_exhaustive]
pub struct Batch {
    /// The frames; `None` where the loader has no window.
    pub video: Option<VideoBatch>,
    /// The tensor fields that were asked for, in that order.
    pub fields: Vec<FieldBatch>,
    /// Epoch that the batch belongs to.
    pub epoch: u64,
    /// Position of each sample in the epoch.
    pub positions: Vec<u64>,
    /// Number of each record in the dataset.
    pub records: Vec<u64>,
    /// Key of each record.
    pub keys: Vec<String>,
    /// Caption of each record; `None` where captions were not asked for.
    pub captions: Option<Vec<Option<String>>>,
    /// What the records' videos are as a whole; `None` where the records are of tensors.
    pub sources: Option<SourceBatch>,
    /// The columns that were asked for, in that order.
    pub columns: Vec<(String, ColumnValues)>,
    /// Samples that the error policy left out since the batch before: no rows of this batch.
    pub skipped: Vec<Skipped>,
    /// Samples of this batch in whose place another record stands: why the one that belongs there is missing. Where its substitutes
    /// failed as well, the first ones follow it, 16 records in all at most.
    pub substituted: Vec<Skipped>,
}

impl Batch {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// True where there are no rows. A loader gives no such batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The field of that name, where it was asked for.
    pub fn field(&self, name: &str) -> Option<&FieldBatch> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Bytes of pixels and tensors.
    pub fn num_bytes(&self) -> usize {
        let video = self.video.as_ref().map_or(0, |video| video.data.len());
        video + self.fields.iter().map(|field| field.data.len()).sum::<usize>()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("video", &self.video)
            .field("fields", &self.fields)
            .field("epoch", &self.epoch)
            .field("positions", &self.positions)
            .finish_non_exhaustive()
    }
}
