//! The shard of a unit while it is written: of clips, or of their frames as tensors.

use super::plan::PlanClip;
use crate::Result;
use crate::convert::clip::raw_frames::RawFrames;
use crate::convert::{ClipOutput, Profile};
use crate::shard::{NewRecord, ShardSummary, ShardWriter, TensorShardWriter};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A clip that waits to be appended.
pub(crate) struct Made {
    pub(crate) clip: ClipOutput,
    /// With the raw profile.
    pub(crate) raw: Option<RawFrames>,
    /// Whether an earlier run, which was interrupted, made the clip.
    pub(crate) was_kept: bool,
}

impl Made {
    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> u64 {
        self.clip.bytes.saturating_add(self.raw.as_ref().map_or(0, RawFrames::bytes))
    }
}

/// The writer of either kind of shard.
pub(crate) enum UnitShard {
    Clips(ShardWriter),
    Frames(TensorShardWriter),
}

impl UnitShard {
    pub(crate) fn create(profile: Profile, path: &Path) -> Result<Self> {
        Ok(match profile {
            Profile::Copy | Profile::Train => Self::Clips(ShardWriter::create(path)?),
            Profile::Raw => Self::Frames(TensorShardWriter::create(path)?),
        })
    }

    pub(crate) fn add(&mut self, clip: &PlanClip, made: Made, mp4: PathBuf) -> Result<()> {
        let PlanClip { key, source, start, end, caption, columns, .. } = clip;
        match (self, made.raw) {
            (Self::Frames(writer), Some(raw)) => {
                let mut columns = columns.clone();
                // What the index of clips would say; the user's own columns come first.
                let facts = [
                    ("source", json!(source)),
                    ("source_start", json!(start)),
                    ("source_end", json!(end)),
                    ("fps", json!(made.clip.stream.average_fps())),
                ];
                for (name, value) in facts.into_iter().filter(|(_, value)| *value != Value::Null) {
                    columns.entry(name).or_insert(value);
                }
                writer.add(raw.into_record(key.clone(), caption.clone(), columns)?)
            }
            (Self::Clips(writer), _) => writer.add(NewRecord {
                key: key.clone(),
                stream: made.clip.stream,
                caption: caption.clone(),
                columns: columns.clone(),
                source: source.clone(),
                source_start: *start,
                source_end: *end,
                reencoded: made.clip.reencoded,
                fields: Vec::new(),
                video_path: mp4,
            }),
            (Self::Frames(_), None) => Err(crate::Error::invalid("the frames of the clip were not decoded")),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Clips(writer) => writer.is_empty(),
            Self::Frames(writer) => writer.is_empty(),
        }
    }

    pub(crate) fn finish(self) -> Result<ShardSummary> {
        match self {
            Self::Clips(writer) => writer.finish(),
            Self::Frames(writer) => writer.finish(),
        }
    }
}
