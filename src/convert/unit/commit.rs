//! From finished units to a dataset: the index over all shards, the list of failures, and last of all the manifest.

use super::out_folder::OutFolder;
use super::plan::Plan;
use super::standing::{Standing, shard_entries};
use super::unit_report::UnitReport;
use crate::convert::Profile;
use crate::convert::clip::raw_frames;
use crate::convert::clip::train::TrainTotals;
use crate::convert::report::{ConvertReport, Failure};
use crate::format::{DatasetKind, IndexEntry, Manifest, publish};
use crate::shard::{build_index, build_tensor_index};
use crate::{Error, ErrorKind, Result};

const INDEX_FILE: &str = "index.arrow";

/// Publishes index, failures and manifest. `units` are those of the plan, all of them, in order.
pub(crate) fn commit(out: &OutFolder, plan: &Plan, units: &[UnitReport], standing: &Standing) -> Result<()> {
    let shards = shard_entries(units);
    if shards.is_empty() {
        let first = failures(plan, units).next().map_or_else(
            || Error::new(ErrorKind::NotFound, "the sources hold no video"),
            |failure| {
                let error = failure.to_error();
                Error::new(
                    error.kind(),
                    format!("nothing could be converted; the first of the reasons: {}", error.message()),
                )
            },
        );
        return Err(first);
    }
    let stored = units.iter().filter(|unit| unit.rows > 0);
    let built = match plan.profile {
        Profile::Copy | Profile::Train => build_index(stored.map(|unit| unit.open_shard(out)))?,
        Profile::Raw => build_tensor_index(stored.map(|unit| unit.open_tensors(out)))?,
    };
    let index = IndexEntry { file: INDEX_FILE.to_owned(), ..built.entry };
    let manifest = match plan.profile {
        Profile::Copy => Manifest::new(DatasetKind::Video, "copy", index, shards),
        Profile::Train => Manifest::new(DatasetKind::Video, "train", index, shards),
        Profile::Raw => Manifest {
            fields: vec![raw_frames::FIELD.to_owned()],
            description: raw_frames::description(plan.raw_format, plan.raw_size),
            ..Manifest::new(DatasetKind::Tensor, "raw", index, shards)
        },
    };
    let manifest = standing.kept(Manifest { frames: built.frames, seconds: built.seconds, ..manifest }, out)?;
    write_failures(out, plan, units)?;
    publish(&out.root().join(INDEX_FILE), &built.bytes)?;
    manifest.write(out.root())
}

fn failures<'a>(plan: &'a Plan, units: &'a [UnitReport]) -> impl Iterator<Item = &'a Failure> {
    plan.failed.iter().chain(units.iter().flat_map(|unit| &unit.failed))
}

fn write_failures(out: &OutFolder, plan: &Plan, units: &[UnitReport]) -> Result<()> {
    let mut lines = Vec::new();
    for failure in failures(plan, units) {
        serde_json::to_writer(&mut lines, failure)
            .map_err(|e| Error::invalid("a failure cannot be written down").with_source(e))?;
        lines.push(b'\n');
    }
    publish(&out.failures(), &lines)
}

/// The report of a dataset that stands.
pub(crate) fn report(out: &OutFolder, plan: &Plan, units: &[UnitReport]) -> ConvertReport {
    let sum = |of: fn(&UnitReport) -> u64| units.iter().map(of).sum::<u64>();
    let mut failed: Vec<Failure> = failures(plan, units).cloned().collect();
    failed.sort_by(|a, b| (&a.source, &a.key).cmp(&(&b.source, &b.key)));
    let mut warnings = plan.warnings.clone();
    warnings.extend(units.iter().flat_map(|unit| unit.warnings.iter().cloned()));
    warnings.sort();
    let mut reencoded: Vec<_> = units.iter().flat_map(|unit| unit.reencoded.iter().cloned()).collect();
    reencoded.sort_by(|a, b| a.key.cmp(&b.key));
    let mut train: Option<TrainTotals> = None;
    for totals in units.iter().filter_map(|unit| unit.train.clone()) {
        totals.add_to(&mut train);
    }
    ConvertReport {
        dataset: out.root().display().to_string(),
        sources: plan.sources,
        clips: sum(|unit| unit.rows),
        frames: sum(|unit| unit.frames),
        hours: units.iter().map(|unit| unit.seconds).sum::<f64>() / 3600.0,
        bytes_in: plan.source_bytes,
        bytes_out: sum(|unit| unit.bytes),
        shards: units.iter().filter(|unit| unit.rows > 0).count() as u64,
        train: train.as_ref().map(TrainTotals::report),
        reencoded_bytes_in: train
            .as_ref()
            .map_or(reencoded.iter().map(|clip| clip.bytes_in).sum(), |train| train.bytes_in),
        reencoded_bytes_out: train
            .as_ref()
            .map_or(reencoded.iter().map(|clip| clip.bytes_out).sum(), |train| train.bytes_out),
        reencoded,
        failed,
        warnings,
        ..ConvertReport::default()
    }
}

/// The first failure as an error, for those who asked for that.
pub(crate) fn first_failure(plan: &Plan, units: &[UnitReport]) -> Result<()> {
    failures(plan, units).next().map_or(Ok(()), |failure| Err(failure.to_error()))
}
