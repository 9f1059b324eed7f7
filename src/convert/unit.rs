//! One unit: which clips it has, what it did, and whether it still stands.

use super::Profile;
use super::out::OutFolder;
use super::plan::PlanUnit;
use super::report::{Failure, Reencoded};
use super::train::TrainTotals;
use crate::format::publish;
use crate::shard::{Shard, TensorShard};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a unit did. Written after its shard, so that a report never stands without one. What differs from run to run is the
/// processor time in `train` alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct UnitReport {
    pub(super) id: String,
    /// Of the plan.
    pub(super) fingerprint: String,
    /// Clips in the shard. With 0 there is no shard.
    pub(super) rows: u64,
    /// Of the shard.
    pub(super) bytes: u64,
    /// Of the shard.
    pub(super) blake3: String,
    pub(super) frames: u64,
    pub(super) seconds: f64,
    pub(super) reencoded: Vec<Reencoded>,
    pub(super) failed: Vec<Failure>,
    /// Pieces that hold no frame, and are no clips.
    pub(super) empty: u64,
    pub(super) warnings: Vec<String>,
    /// With the profile `train`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) train: Option<TrainTotals>,
}

impl UnitReport {
    pub(super) fn new(unit: &PlanUnit, fingerprint: &str) -> Self {
        Self {
            id: unit.id.clone(),
            fingerprint: fingerprint.to_owned(),
            rows: 0,
            bytes: 0,
            blake3: String::new(),
            frames: 0,
            seconds: 0.0,
            reencoded: Vec::new(),
            failed: Vec::new(),
            empty: 0,
            warnings: Vec::new(),
            train: None,
        }
    }

    /// The report of a unit that is done: its shard is there, whole, and as long as it says. Its hash was taken when it
    /// was written, and `verify` compares it; reading terabytes again to go on would cost more than it tells.
    pub(super) fn load_done(out: &OutFolder, unit: &PlanUnit, fingerprint: &str, profile: Profile) -> Option<Self> {
        let bytes = std::fs::read(out.unit_report(&unit.id)).ok()?;
        let report: Self = serde_json::from_slice(&bytes).ok()?;
        if report.id != unit.id || report.fingerprint != fingerprint {
            return None;
        }
        if report.rows == 0 {
            let accounted = report.failed.len() as u64 + report.empty;
            return (accounted == unit.clips.len() as u64).then_some(report);
        }
        let (rows, bytes) = match profile {
            Profile::Copy | Profile::Train => report.open_shard(out).map(|shard| (shard.len(), shard.file_bytes())),
            Profile::Raw => report.open_tensors(out).map(|shard| (shard.len(), shard.file_bytes())),
        }
        .ok()?;
        (rows as u64 == report.rows && bytes == report.bytes).then_some(report)
    }

    pub(super) fn open_shard(&self, out: &OutFolder) -> Result<Arc<Shard>> {
        Shard::open(&out.shard(&self.id))
    }

    /// As [`open_shard`](Self::open_shard), with the raw profile.
    pub(super) fn open_tensors(&self, out: &OutFolder) -> Result<Arc<TensorShard>> {
        TensorShard::open(&out.shard(&self.id))
    }

    /// Publishes the report, and with it the unit.
    pub(super) fn publish(&self, out: &OutFolder) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|e| Error::invalid("the unit's report cannot be written").with_source(e))?;
        publish(&out.unit_report(&self.id), &bytes)
    }
}
