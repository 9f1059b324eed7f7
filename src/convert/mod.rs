//! Raw video to shards: plan, units, commit.
//!
//! The plan ([`plan`]) lists the clips, orders them by a seeded shuffle and cuts the list into units of about one shard
//! size. A unit ([`unit`]) writes one shard; writing it again gives the same bytes. The commit ([`commit`]) writes the
//! dataset's index and, last of all, its manifest. Everything on the way lies in `OUT/.framefeed`, so that the same
//! command goes on where a killed run stopped.

mod clip;
mod keys;
mod list;
mod options;
mod out;
mod plan;
mod report;
mod sidecar;
mod sources;

pub use clip::{CheckLevel, ClipOutput, ClipRequest, SourceInfo, convert_clip, probe};
pub use options::{ConvertOptions, OnError, Profile};
pub use report::{ConvertEvent, ConvertProgress, ConvertReport, Failure, Reencoded};

/// Converts `options.sources` into the dataset `options.out`. Blocks until done. `cancel` is asked often; when it returns
/// true the call ends with [`crate::ErrorKind::Closed`], no manifest is written, and the same call goes on later.
///
/// # Errors
/// [`crate::ErrorKind::Conflict`] where `out` holds something else, or another run is writing it; `InvalidArgument` for
/// options and lists; with [`OnError::Fail`] the first clip's error; where nothing at all could be converted, the first
/// failure.
pub fn convert(
    options: &ConvertOptions,
    progress: &dyn ConvertProgress,
    cancel: &(dyn Fn() -> bool + Sync),
) -> crate::Result<ConvertReport> {
    options.validate()?;
    let _ = (progress, cancel, options.num_jobs());
    Err(crate::Error::unsupported("convert is being built"))
}
