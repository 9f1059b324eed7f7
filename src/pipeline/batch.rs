//! One batch: the pixels, and what comes with them row by row.

use crate::batch::{BatchBuffer, ColumnValues};
use crate::media::TimeBase;
use crate::transform::{DType, Layout};
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

/// Samples of consecutive positions of one epoch. All lists have one entry per row, in the order of positions, unless
/// they say otherwise.
#[non_exhaustive]
pub struct Batch {
    /// The pixels: dense, of `shape` and `dtype`.
    pub video: BatchBuffer,
    /// Rows, then the four axes of `layout`.
    pub shape: [usize; 5],
    /// Type of the elements.
    pub dtype: DType,
    /// Order of the axes after the first.
    pub layout: Layout,
    /// Epoch that the batch belongs to.
    pub epoch: u64,
    /// Position of each sample in the epoch.
    pub positions: Vec<u64>,
    /// Number of each record in the dataset.
    pub records: Vec<u64>,
    /// Key of each record.
    pub keys: Vec<String>,
    /// Number of each frame in its record: rows times frames, row by row.
    pub frames: Vec<u32>,
    /// Timestamp of each frame in ticks of its record's time base: rows times frames, row by row.
    pub pts: Vec<i64>,
    /// Unit of each row's timestamps.
    pub time_bases: Vec<TimeBase>,
    /// Caption of each record; `None` where captions were not asked for.
    pub captions: Option<Vec<Option<String>>>,
    /// The user columns that were asked for, in that order.
    pub columns: Vec<(String, ColumnValues)>,
    /// Samples that the error policy left out since the batch before: no rows of this batch.
    pub skipped: Vec<Skipped>,
    /// Samples of this batch in whose place another record stands: why the one that belongs there is missing.
    pub substituted: Vec<Skipped>,
}

impl Batch {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.shape[0]
    }

    /// True where there are no rows. A loader gives no such batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Frames of each row.
    pub fn num_frames(&self) -> usize {
        let clip = [self.shape[1], self.shape[2], self.shape[3], self.shape[4]];
        match self.layout {
            Layout::Tchw | Layout::Thwc => clip[0],
            Layout::Cthw => clip[1],
        }
    }

    /// Bytes of one row of `video`.
    pub fn clip_bytes(&self) -> usize {
        self.shape[1..].iter().product::<usize>() * self.dtype.num_bytes()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("shape", &self.shape)
            .field("dtype", &self.dtype)
            .field("layout", &self.layout)
            .field("epoch", &self.epoch)
            .field("positions", &self.positions)
            .finish_non_exhaustive()
    }
}
