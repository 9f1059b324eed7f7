//! What to convert, and how. The options that change what is written are part of the plan's fingerprint; `jobs`,
//! `on_error` and `earlier_failures` are not.

use super::clip::train::TrainOptions;
use super::{CheckLevel, OnChange, StreamChoice};
use crate::transform::TransformOptions;
use crate::{Error, Result};
use std::path::PathBuf;

/// How the packets get into the shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Profile {
    /// The source's packets as they are. A codec that MP4 cannot hold is encoded anew, and reported.
    #[default]
    Copy,
    /// Encoded once more for fast random access: small, upright H.264 in short closed GOPs, decoded with CAVLC and without
    /// deblocking, whose B-frames a reader drops unless it wants them. See [`TrainOptions`].
    Train,
    /// A dataset of tensors: the field `frames` of each record has all frames of the clip, 8-bit, as displayed, in a
    /// [`RawFormat`]. Without compression: often 20 to 200 times what the video takes.
    Raw,
}

/// What the frames of [`Profile::Raw`] are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RawFormat {
    /// 8-bit RGB, `[T, H, W, 3]`, by the clip's own matrix and range, in square pixels.
    #[default]
    Rgb,
    /// The decoder's own samples as I420, `[T, H * 3 / 2, W]`: H rows of Y, then U and V of H / 2 by W / 2 samples each, dense.
    /// Turned for display, but neither resized nor converted: clips that are not 8-bit 4:2:0 with an even width and height
    /// are refused. Each record has the user columns `frames_matrix` (FFmpeg's name: `bt709`), `frames_range` (`limited` or
    /// `full`), `frames_color_guessed` (whether the source did not state these), `frames_chroma_location` (`left`) and
    /// `frames_sample_aspect` (`1:1`). An alpha plane is left out.
    Yuv420,
}

/// What to do with a source or list row that cannot be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnError {
    /// Leave it out, list it with its reason, go on.
    #[default]
    Skip,
    /// Stop with its error; no manifest is published.
    Fail,
}

/// What to do with clips that an earlier run left out because they could not be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EarlierFailures {
    /// They stay left out.
    #[default]
    Keep,
    /// Convert the shards that lack them once more, with those of them that can be converted by now. Shards that lack
    /// none stay as they are. Where columns were added to the dataset, this is a conflict: they hold tensors for the
    /// clips that there are.
    Retry,
}

/// Options of [`super::convert`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConvertOptions {
    /// Files, folders, globs, and lists (`.csv`, `.jsonl`, `.parquet`). At least one.
    pub sources: Vec<PathBuf>,
    /// Folder of the dataset: missing, empty, or what an earlier run of the same conversion left.
    pub out: PathBuf,
    /// How the packets get into the shards. Default: [`Profile::Copy`].
    pub profile: Profile,
    /// How [`Profile::Train`] encodes. Default: [`TrainOptions::default`].
    pub train: Option<TrainOptions>,
    /// What the frames of [`Profile::Raw`] are stored as. Default: [`RawFormat::Rgb`].
    pub raw_format: Option<RawFormat>,
    /// Height and width of the frames of [`RawFormat::Rgb`], cropped to fit. Default: each clip's display size.
    pub raw_size: Option<(u32, u32)>,
    /// Cuts every source (or cut of a list) into pieces of this many seconds. Default: none.
    pub split_seconds: Option<f64>,
    /// Bytes after which a shard is full, by estimate. A shard holds at least one clip. Default: 1 GiB.
    pub shard_bytes: u64,
    /// Clips converted at a time; 0 is one for every core. Default: 0.
    pub jobs: usize,
    /// Seed of the order of the clips over the shards. Default: 0.
    pub seed: u64,
    /// How thoroughly each clip is proved. Default: [`CheckLevel::Full`].
    pub check: CheckLevel,
    /// Which video stream of each source. Default: [`StreamChoice::Best`].
    pub stream: StreamChoice,
    /// What to do where the picture changes on the way. Default: [`OnChange::Reencode`].
    pub on_change: OnChange,
    /// What to do with what cannot be converted. Default: [`OnError::Skip`].
    pub on_error: OnError,
    /// What to do with what an earlier run could not convert. Default: [`EarlierFailures::Keep`].
    pub earlier_failures: EarlierFailures,
}

impl ConvertOptions {
    /// Defaults for these sources and this folder.
    pub fn new<S: Into<PathBuf>>(sources: impl IntoIterator<Item = S>, out: impl Into<PathBuf>) -> Self {
        Self {
            sources: sources.into_iter().map(Into::into).collect(),
            out: out.into(),
            profile: Profile::Copy,
            train: None,
            raw_format: None,
            raw_size: None,
            split_seconds: None,
            shard_bytes: 1 << 30,
            jobs: 0,
            seed: 0,
            check: CheckLevel::Full,
            stream: StreamChoice::Best,
            on_change: OnChange::Reencode,
            on_error: OnError::Skip,
            earlier_failures: EarlierFailures::Keep,
        }
    }

    /// Sets [`Self::profile`].
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Sets [`Self::train`].
    #[must_use]
    pub fn train(mut self, train: Option<TrainOptions>) -> Self {
        self.train = train;
        self
    }

    /// Sets [`Self::raw_format`].
    #[must_use]
    pub fn raw_format(mut self, format: Option<RawFormat>) -> Self {
        self.raw_format = format;
        self
    }

    /// Sets [`Self::raw_size`].
    #[must_use]
    pub fn raw_size(mut self, size: Option<(u32, u32)>) -> Self {
        self.raw_size = size;
        self
    }

    /// Sets [`Self::split_seconds`].
    #[must_use]
    pub fn split_seconds(mut self, seconds: Option<f64>) -> Self {
        self.split_seconds = seconds;
        self
    }

    /// Sets [`Self::shard_bytes`].
    #[must_use]
    pub fn shard_bytes(mut self, bytes: u64) -> Self {
        self.shard_bytes = bytes;
        self
    }

    /// Sets [`Self::jobs`].
    #[must_use]
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }

    /// Sets [`Self::seed`].
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets [`Self::check`].
    #[must_use]
    pub fn check(mut self, check: CheckLevel) -> Self {
        self.check = check;
        self
    }

    /// Sets [`Self::stream`].
    #[must_use]
    pub fn stream(mut self, stream: StreamChoice) -> Self {
        self.stream = stream;
        self
    }

    /// Sets [`Self::on_change`].
    #[must_use]
    pub fn on_change(mut self, on_change: OnChange) -> Self {
        self.on_change = on_change;
        self
    }

    /// Sets [`Self::on_error`].
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Sets [`Self::earlier_failures`].
    #[must_use]
    pub fn earlier_failures(mut self, earlier_failures: EarlierFailures) -> Self {
        self.earlier_failures = earlier_failures;
        self
    }

    /// Checks every field against its range.
    pub(super) fn validate(&self) -> Result<()> {
        if self.sources.is_empty() {
            return Err(Error::invalid("no sources: expected at least one file, folder, glob or list"));
        }
        if self.out.as_os_str().is_empty() {
            return Err(Error::invalid("the output folder's name is empty"));
        }
        if let Some(seconds) = self.split_seconds
            && (!seconds.is_finite() || seconds < 0.01)
        {
            return Err(Error::invalid(format!("split_seconds is {seconds}, expected 0.01 or more")));
        }
        if self.train.is_some() && self.profile != Profile::Train {
            let message = "short_side, fps, gop and crf are of the profile train, which is not asked for";
            return Err(Error::invalid(message));
        }
        if let Some(train) = self.train_options() {
            train.check()?;
        }
        if self.raw_format.is_some() && self.profile != Profile::Raw {
            return Err(Error::invalid("format is of the frames of the profile raw, which is not asked for"));
        }
        if let Some((height, width)) = self.raw_size {
            if self.profile != Profile::Raw {
                return Err(Error::invalid(
                    "size is of the profile raw, or an option of the profile train, and neither is asked for",
                ));
            }
            if self.raw_format == Some(RawFormat::Yuv420) {
                return Err(Error::invalid("size is of frames of the format rgb: those of yuv420 are never resized"));
            }
            TransformOptions::new().size(height, width).check()?;
        }
        if self.shard_bytes == 0 {
            return Err(Error::invalid("shard_bytes is 0, expected 1 or more"));
        }
        if self.jobs > 4096 {
            return Err(Error::invalid(format!("jobs is {}, expected 0 to 4096", self.jobs)));
        }
        Ok(())
    }

    /// How clips are encoded anew; `None` with the other profiles.
    pub(super) fn train_options(&self) -> Option<TrainOptions> {
        (self.profile == Profile::Train).then(|| self.train.unwrap_or_default())
    }

    /// Threads that convert clips.
    pub(super) fn num_jobs(&self) -> usize {
        match self.jobs {
            0 => crate::threads::num_cores(),
            jobs => jobs,
        }
    }
}
