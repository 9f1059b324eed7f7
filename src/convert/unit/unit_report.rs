//! One unit: which clips it has, what it did, and whether it still stands.

use super::out_folder::OutFolder;
use super::plan::{Plan, PlanUnit};
use crate::convert::Profile;
use crate::convert::clip::train::TrainTotals;
use crate::convert::report::{Failure, Reencoded};
use crate::format::publish;
use crate::shard::{Shard, TensorShard};
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// What a unit did. Written after its shard, so that a report never stands without one. What differs from run to run is the
/// processor time in `train` alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct UnitReport {
    pub(crate) id: String,
    /// Of the plan.
    pub(crate) fingerprint: String,
    /// Clips in the shard. With 0 there is no shard.
    pub(crate) rows: u64,
    /// Of the shard.
    pub(crate) bytes: u64,
    /// Of the shard.
    pub(crate) blake3: String,
    /// When the shard was changed last, nanoseconds since 1970, as the file system said once it was in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) modified_nanos: Option<i64>,
    pub(crate) frames: u64,
    pub(crate) seconds: f64,
    pub(crate) reencoded: Vec<Reencoded>,
    pub(crate) failed: Vec<Failure>,
    /// Pieces that hold no frame, and are no clips.
    pub(crate) empty: u64,
    pub(crate) warnings: Vec<String>,
    /// With the profile `train`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) train: Option<TrainTotals>,
}

impl UnitReport {
    pub(crate) fn new(unit: &PlanUnit, fingerprint: &str) -> Self {
        Self {
            id: unit.id.clone(),
            fingerprint: fingerprint.to_owned(),
            rows: 0,
            bytes: 0,
            blake3: String::new(),
            modified_nanos: None,
            frames: 0,
            seconds: 0.0,
            reencoded: Vec::new(),
            failed: Vec::new(),
            empty: 0,
            warnings: Vec::new(),
            train: None,
        }
    }

    /// The report of a unit that is done; `None` where it is to be done again. Its shard is there, with the size, the time
    /// of change, the trailer and the index that were noted. Where only the time differs, the whole file is read and its
    /// hash decides.
    ///
    /// # Errors
    /// `Io` where report or shard cannot be read, which does not tell that they are bad; `Closed`.
    pub(crate) fn load_done(
        out: &OutFolder,
        unit: &PlanUnit,
        plan: &Plan,
        cancel: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Self>> {
        let path = out.unit_report(&unit.id);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        let Ok(mut report) = serde_json::from_slice::<Self>(&bytes) else { return Ok(None) };
        if report.id != unit.id || report.fingerprint != plan.fingerprint {
            return Ok(None);
        }
        if report.rows == 0 {
            let accounted = report.failed.len() as u64 + report.empty;
            return Ok((accounted == unit.clips.len() as u64).then_some(report));
        }
        match report.check_shard(out, plan.profile, cancel) {
            Ok(()) => Ok(Some(report)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::Io | ErrorKind::OutOfMemory | ErrorKind::Closed) => {
                Err(error)
            }
            Err(error) => {
                out.note(format!("a finished shard was damaged, and was made again: {}", error.report()));
                Ok(None)
            }
        }
    }

    /// Checks the shard against what was noted of it.
    fn check_shard(&mut self, out: &OutFolder, profile: Profile, cancel: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        let path = out.shard(&self.id);
        let (rows, bytes) = match profile {
            Profile::Copy | Profile::Train => self.open_shard(out).map(|shard| (shard.len(), shard.file_bytes())),
            Profile::Raw => self.open_tensors(out).map(|shard| (shard.len(), shard.file_bytes())),
        }?;
        if (rows as u64, bytes) != (self.rows, self.bytes) {
            let message = format!("{rows} records in {bytes} bytes, but {} in {} were written", self.rows, self.bytes);
            return Err(Error::corrupt(message).with_path(path));
        }
        let modified = modified_nanos(&path)?;
        if self.modified_nanos.is_some() && modified == self.modified_nanos {
            return Ok(());
        }
        if hash(&path, cancel)? != self.blake3 {
            return Err(Error::corrupt("its hash is not the one that was written").with_path(path));
        }
        // Not to be read whole again by the next run.
        self.modified_nanos = modified;
        self.publish(out)
    }

    /// True where a clip that is in the shard of `before` is not in this one.
    pub(crate) fn lacks_clips_of(&self, before: &Self) -> bool {
        let failed: HashSet<&Option<String>> = before.failed.iter().map(|failure| &failure.key).collect();
        self.empty > before.empty || self.failed.iter().any(|failure| !failed.contains(&failure.key))
    }

    /// Notes when the shard, which has just been put in its place, was changed last.
    pub(crate) fn note_time(&mut self, out: &OutFolder) -> Result<()> {
        self.modified_nanos = modified_nanos(&out.shard(&self.id))?;
        Ok(())
    }

    pub(crate) fn open_shard(&self, out: &OutFolder) -> Result<Arc<Shard>> {
        Shard::open(&out.shard(&self.id))
    }

    /// As [`open_shard`](Self::open_shard), with the raw profile.
    pub(crate) fn open_tensors(&self, out: &OutFolder) -> Result<Arc<TensorShard>> {
        TensorShard::open(&out.shard(&self.id))
    }

    /// Publishes the report, and with it the unit.
    pub(crate) fn publish(&self, out: &OutFolder) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::invalid("the unit's report cannot be written").with_source(e))?;
        publish(&out.unit_report(&self.id), &bytes)
    }
}

/// When a file was changed last; `None` where the file system does not say, or in another age.
fn modified_nanos(path: &Path) -> Result<Option<i64>> {
    let metadata = fs::metadata(path).map_err(|error| Error::io("open", path, error))?;
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(since.and_then(|since| i64::try_from(since.as_nanos()).ok()))
}

/// BLAKE3 of a whole file.
pub(crate) fn hash(path: &Path, cancel: &(dyn Fn() -> bool + Sync)) -> Result<String> {
    let mut file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 4 << 20];
    loop {
        if cancel() {
            return Err(Error::new(ErrorKind::Closed, "interrupted while converting").with_path(path));
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finalize().to_hex().to_string()),
            Ok(count) => _ = hasher.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path, error)),
        }
    }
}
