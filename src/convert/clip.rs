//! One clip of one source, stored as a playable MP4 with its tables: the media side of conversion.

use crate::{Error, Result, StreamInfo};
use std::path::{Path, PathBuf};

/// How thoroughly a converted clip is proved before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckLevel {
    /// The source's packets are decoded, then every GOP of the stored clip is decoded alone, and all frames must be equal.
    #[default]
    Full,
    /// The source's packets are decoded once; GOPs are believed where the bitstream confirms them.
    Fast,
}

/// What a look at a source's headers tells. Nothing of it is promised by the file: counts are known after conversion only.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SourceInfo {
    /// Duration in seconds as the container states it.
    pub duration_seconds: Option<f64>,
    /// Index of the chosen video stream among the file's streams.
    pub stream_index: usize,
    /// How many video streams there are, attached pictures excluded.
    pub num_video_streams: usize,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Width of the decoded picture before rotation, 0 where the headers do not say.
    pub width: u32,
    /// Height of the decoded picture before rotation, 0 where the headers do not say.
    pub height: u32,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bits per second of the video stream or the file, as stated or estimated by the container.
    pub bit_rate: Option<u64>,
}

/// Which part of which file to store.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipRequest {
    /// The file.
    pub source: PathBuf,
    /// Start in seconds after the first frame; `None` is the first frame.
    pub start: Option<f64>,
    /// End in seconds after the first frame, exclusive; `None` is after the last frame.
    pub end: Option<f64>,
    /// How thoroughly to prove the result.
    pub check: CheckLevel,
}

/// A stored clip.
#[derive(Debug, Clone)]
pub struct ClipOutput {
    /// Everything about the stream; offsets are relative to the MP4's first byte, all checksums are filled in.
    pub stream: StreamInfo,
    /// Bytes of the MP4.
    pub bytes: u64,
    /// Why the pictures were encoded anew; `None` where the source's packets were copied.
    pub reencoded: Option<String>,
    /// What a person should know about this source.
    pub warnings: Vec<String>,
    /// Index of the chosen video stream among the file's streams.
    pub stream_index: usize,
}

/// Looks at the headers of `path`: no frame is decoded beyond what finding the streams takes.
pub fn probe(path: &Path) -> Result<SourceInfo> {
    Err(Error::unsupported("probe is being built").with_path(path))
}

/// Stores the frames of `request` at `mp4_path`, which is created or overwritten. `cancel` is asked often; when it
/// returns true the call ends with [`crate::ErrorKind::Closed`].
pub fn convert_clip(request: &ClipRequest, mp4_path: &Path, cancel: &dyn Fn() -> bool) -> Result<ClipOutput> {
    let _ = (mp4_path, cancel);
    Err(Error::unsupported("convert_clip is being built").with_path(&request.source))
}
