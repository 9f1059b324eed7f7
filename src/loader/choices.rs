//! The choices that a loader's options offer by name.

use crate::error::{Error, Result};

/// What becomes of a sample whose record is damaged: bytes that fail their checksum, packets that the decoder refuses, a budget of
/// packets, frames, pixels or bytes that is exceeded, a shard that is cut off. What this machine cannot do is raised under every
/// policy, so that all machines give the same batches: a missing file, a failing disk, a codec that its FFmpeg cannot decode, memory
/// that is refused, a clip that runs out of time twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorPolicy {
    /// The loader gives the error in place of the batch; the next call goes on with the batch after.
    #[default]
    Raise,
    /// The batch comes without the sample, with fewer rows; `Batch::skipped` and the statistics say so, and the first one is
    /// warned of. A batch that has no row left is passed over; an epoch that has none left ends with the first sample's error.
    Skip,
    /// Another record stands in, chosen by seed, epoch, position and attempt alone, so that it is the same in every run and
    /// on every rank; `Batch::substituted` and the statistics say so, and the first one is warned of. An error is raised when all
    /// records were tried, or with buckets all of the same shape.
    Substitute,
}

impl ErrorPolicy {
    /// Whether a sample that failed with that error is left out or replaced.
    pub(super) fn passes_over(self, error: &Error) -> bool {
        self != Self::Raise && error.is_data_error()
    }

    /// `raise`, `skip` or `substitute`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raise => "raise",
            Self::Skip => "skip",
            Self::Substitute => "substitute",
        }
    }

    /// The policy of that name.
    ///
    /// # Errors
    /// `InvalidArgument` that lists the names.
    pub fn parse(name: &str) -> Result<Self> {
        [Self::Raise, Self::Skip, Self::Substitute]
            .into_iter()
            .find(|policy| policy.as_str() == name)
            .ok_or_else(|| Error::invalid(format!("on_error is '{name}', expected one of raise, skip, substitute")))
    }
}

/// Whether the order of an epoch is shuffled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shuffle {
    /// In the order of the dataset's index. The default.
    #[default]
    Off,
    /// By a permutation that depends on seed and epoch.
    On,
}

/// Whether random windows lie elsewhere in each epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Redraw {
    /// Where epochs are shuffled. The default: training sees other frames in each epoch, validation the same ones.
    #[default]
    WithShuffle,
    /// They are a function of seed, epoch and position.
    On,
    /// They are a function of seed and record, so that a record has the same frames in every epoch.
    Off,
}

/// What becomes of the positions at the end of an epoch that do not fill a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LastBatch {
    /// They make a smaller batch. The default.
    #[default]
    Keep,
    /// They are left out.
    Drop,
}

/// What becomes of a tensor field whose shape differs from sample to sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ragged {
    /// It is an error of [`LoaderBuilder::build`](super::LoaderBuilder::build), which names two records. The default.
    #[default]
    Error,
    /// Rows are padded with zeros behind each axis to the largest of their batch, and the batch has their own lengths.
    Pad,
    /// Every batch is of samples of one shape, of every field. Which samples share a batch is a function of seed, epoch and
    /// batch size; every shape has one batch an epoch that may not be full.
    Bucket,
}

impl Ragged {
    /// `error`, `pad` or `bucket`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Pad => "pad",
            Self::Bucket => "bucket",
        }
    }

    /// The choice of that name.
    ///
    /// # Errors
    /// `InvalidArgument` that lists the names.
    pub fn parse(name: &str) -> Result<Self> {
        [Self::Error, Self::Pad, Self::Bucket]
            .into_iter()
            .find(|ragged| ragged.as_str() == name)
            .ok_or_else(|| Error::invalid(format!("ragged is '{name}', expected one of error, pad, bucket")))
    }
}

/// Whether the bytes of tensor fields are checked against their CRC32C. Packets of video always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksum {
    /// Right after they are read. The default.
    #[default]
    On,
    /// Damage goes unnoticed.
    Off,
}

impl Checksum {
    /// `on` or `off`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }

    /// The choice of that name.
    ///
    /// # Errors
    /// `InvalidArgument` that lists the names.
    pub fn parse(name: &str) -> Result<Self> {
        [Self::On, Self::Off]
            .into_iter()
            .find(|checksum| checksum.as_str() == name)
            .ok_or_else(|| Error::invalid(format!("checksum is '{name}', expected one of on, off")))
    }
}
