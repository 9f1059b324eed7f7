//! What a conversion did, for people and for programs, and what it says while it runs.

use super::clip::train::TrainReport;
use super::source::source_file::is_of_the_machine;
use crate::error::Shown;
use crate::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

/// What a source can fail with.
const KINDS: [ErrorKind; 9] = [
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::Corrupt,
    ErrorKind::Unsupported,
    ErrorKind::InvalidArgument,
    ErrorKind::LimitExceeded,
    ErrorKind::Decode,
    ErrorKind::OutOfMemory,
    ErrorKind::Io,
];

/// Sources named in the error of a run that could not read them.
const MAX_UNREAD_SHOWN: usize = 10;

/// A source, cut or list row that could not be converted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// The source as it was named, or the list and its line.
    pub source: String,
    /// The clip's key, where it had got one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// [`crate::ErrorKind`] in words.
    pub kind: String,
    /// Why, in one line.
    pub reason: String,
    /// The machine is to blame. Never written down: such a failure ends the run.
    #[serde(skip)]
    pub(super) is_of_the_machine: bool,
}

impl Failure {
    /// Of a video, and the list and line that named it.
    pub(super) fn of(path: &str, place: Option<&str>, key: Option<&str>, error: &Error) -> Self {
        let failure = Self::new(path, key, error);
        match place {
            Some(place) => Self { source: format!("{path} ({place})"), ..failure },
            None => failure,
        }
    }

    pub(super) fn new(source: impl Into<String>, key: Option<&str>, error: &Error) -> Self {
        let source = source.into();
        // The source is named already.
        let reason = error.report().replace(&format!(", in '{}'", Shown(&source)), "");
        Self {
            source,
            key: key.map(str::to_owned),
            kind: error.kind().as_str().to_owned(),
            reason,
            is_of_the_machine: is_of_the_machine(error),
        }
    }

    /// Source and reason.
    pub(super) fn line(&self) -> String {
        format!("'{}': {}", Shown(&self.source), self.reason)
    }

    /// The error again, without its place: that stands in the reason.
    pub(super) fn to_error(&self) -> Error {
        let kind = KINDS.into_iter().find(|kind| kind.as_str() == self.kind).unwrap_or(ErrorKind::Decode);
        let error = Error::new(kind, format!("cannot convert '{}': {}", self.source, self.reason));
        match &self.key {
            Some(key) => error.with_record(key),
            None => error,
        }
    }
}

/// The error of a run that could not read these sources, each as [`Failure::line`] says it.
pub(super) fn unread_error(sources: impl Iterator<Item = String>) -> Error {
    let mut lines: Vec<String> = sources.collect();
    lines.sort();
    lines.dedup();
    let count = match lines.len() {
        1 => "a source".to_owned(),
        count => format!("{count} sources"),
    };
    let shown = lines.iter().take(MAX_UNREAD_SHOWN).map(String::as_str).collect::<Vec<_>>().join("; ");
    let more = match lines.len().saturating_sub(MAX_UNREAD_SHOWN) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Error::new(
        ErrorKind::Io,
        format!(
            "{count} could not be read, so that nothing was published ({shown}{more}); what was converted is kept: once the \
             sources can be read, the same command converts what is missing"
        ),
    )
}

/// A clip that had to be encoded anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reencoded {
    /// The clip's key.
    pub key: String,
    /// Why its packets could not be copied.
    pub reason: String,
    /// Bytes of the packets that the source has of the clip; 0 where an earlier version converted it.
    #[serde(default)]
    pub bytes_in: u64,
    /// Bytes of the stored MP4.
    #[serde(default)]
    pub bytes_out: u64,
}

/// What [`super::convert`] did. Counts are of the whole dataset, whether made now or found from an earlier run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConvertReport {
    /// The dataset's folder.
    pub dataset: String,
    /// True where an earlier run had finished this conversion, and nothing was written.
    pub up_to_date: bool,
    /// Videos looked at.
    pub sources: u64,
    /// Clips in the dataset.
    pub clips: u64,
    /// Clips of these converted by this run.
    pub clips_converted: u64,
    /// Clips of these that earlier runs had converted.
    pub clips_reused: u64,
    /// Frames in the dataset.
    pub frames: u64,
    /// Hours of video in the dataset.
    pub hours: f64,
    /// Bytes of the sources.
    pub bytes_in: u64,
    /// Bytes of the shards.
    pub bytes_out: u64,
    /// Shards in the dataset.
    pub shards: u64,
    /// Quality and cost, with [`super::Profile::Train`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainReport>,
    /// Clips that had to be encoded anew, with the reason; with [`super::Profile::Train`], where all are, none is listed.
    pub reencoded: Vec<Reencoded>,
    /// Bytes of the packets that the clips which were encoded anew, with [`super::Profile::Train`] all of them, have in their sources.
    pub reencoded_bytes_in: u64,
    /// Bytes of their stored MP4s.
    pub reencoded_bytes_out: u64,
    /// What is not in the dataset, with the reason.
    pub failed: Vec<Failure>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Seconds that this run took.
    pub wall_seconds: f64,
}

/// Something that happened during a conversion.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum ConvertEvent<'a> {
    /// The sources are being listed and looked at.
    Planning,
    /// The plan stands.
    Planned {
        /// Clips in the plan.
        clips: u64,
        /// Their estimated bytes.
        bytes: u64,
        /// Shards in the plan.
        shards: u64,
        /// Clips of these that need no conversion any more.
        reused_clips: u64,
        /// Estimated bytes of these.
        reused_bytes: u64,
    },
    /// A clip was converted, or failed.
    ClipDone {
        /// Its key.
        key: &'a str,
        /// Its estimated bytes, as counted in [`Self::Planned`].
        bytes: u64,
        /// Why it failed.
        failure: Option<&'a Failure>,
    },
    /// A shard was published.
    ShardDone {
        /// Its id.
        id: &'a str,
        /// Clips in it.
        rows: u64,
        /// Its size.
        bytes: u64,
    },
    /// All shards stand; index and manifest are being written.
    Committing,
}

/// Listens to a conversion. Called from several threads, so it must be quick; it cannot stop the conversion.
pub trait ConvertProgress: Sync {
    /// Something happened.
    fn event(&self, event: ConvertEvent<'_>);
}

/// Listens to nothing.
impl ConvertProgress for () {
    fn event(&self, _: ConvertEvent<'_>) {}
}

impl<F: Fn(ConvertEvent<'_>) + Sync> ConvertProgress for F {
    fn event(&self, event: ConvertEvent<'_>) {
        self(event);
    }
}
