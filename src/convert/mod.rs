//! Raw video to shards: plan, units, commit.
//!
//! The plan ([`unit::plan`]) lists the clips, orders them by a seeded shuffle and cuts the list into units of about
//! one shard size. A unit ([`unit::workers`]) writes one shard; writing it again gives the same bytes. The commit
//! ([`unit::commit`]) writes the dataset's index and, last of all, its manifest. Everything on the way lies in
//! `OUT/.framefeed`, so that the same command goes on where a killed run stopped.

mod clip;
mod listing;
mod options;
mod report;
mod source;
#[cfg(test)]
mod tests;
mod unit;

pub use clip::convert_clip::CheckLevel;
pub(crate) use clip::convert_clip::{ClipOutput, ClipRequest, SourceInfo, convert_clip, probe};
pub use clip::train::{TrainClipQuality, TrainOptions, TrainReport, TrainSize, TrainWindowCost, WindowUse};
pub use options::{ConvertOptions, EarlierFailures, OnError, Profile, RawFormat};
pub use report::{ConvertEvent, ConvertProgress, ConvertReport, Failure, Reencoded};
pub use source::changes::OnChange;
pub use source::streams::StreamChoice;

use crate::format::{MANIFEST_FILE, publish};
use crate::{Error, ErrorKind, Result};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Instant;
use unit::out_folder::{NEW_SHARD, OutFolder};
use unit::plan::{Plan, PlanUnit};
use unit::standing::Standing;
use unit::unit_report::UnitReport;
use unit::workers::OpenUnit;

/// Converts `options.sources` into the dataset `options.out`. Blocks until done. `cancel` is asked often; when it returns
/// true the call ends with [`ErrorKind::Closed`], no manifest is written, and the same call goes on later.
///
/// Called again with the same sources and options it converts what is missing, which is nothing once it has succeeded.
/// Columns that were added to the dataset since stay.
///
/// # Errors
/// [`ErrorKind::Conflict`] where `out` holds something else, another run is writing it, or columns would be lost;
/// [`ErrorKind::Io`] where sources cannot be read because the machine fails: everything else is converted and kept, no
/// manifest is written, and the same call goes on later; `InvalidArgument` for
/// options and lists; with [`OnError::Fail`] the first clip's error; where nothing at all could be converted, the first
/// failure. An output folder that is full or broken is an error under either policy.
pub fn convert(
    options: &ConvertOptions,
    progress: &dyn ConvertProgress,
    cancel: &(dyn Fn() -> bool + Sync),
) -> Result<ConvertReport> {
    let started = Instant::now();
    options.validate()?;
    crate::ffmpeg::check_version()?;
    progress.event(ConvertEvent::Planning);
    let listing = list(options)?;
    if options.on_error == OnError::Fail
        && let Some(failure) = listing.failed.first()
    {
        return Err(failure.to_error());
    }
    let out = OutFolder::claim(&options.out)?;
    let plan = plan_of(options, listing, &out, cancel)?;
    if options.on_error == OnError::Fail {
        unit::commit::first_failure(&plan, &[])?;
    }
    let mut standing = Standing::read(&out)?;
    let (mut done, open) = take_stock(&plan, options, &out, cancel)?;
    standing.check_retry(&open, &out)?;
    let clips_done: u64 = done.values().map(|unit| unit.rows).sum();
    announce(progress, &plan, &open);
    remove_leftovers(&out, &open)?;
    let unit::workers::Finished { units: made, kept_clips, waiting } =
        unit::workers::run_units(&plan, &open, options, &out, &standing, progress, cancel)?;
    let clips_made: u64 = made.iter().map(|unit| unit.rows).sum();
    done.extend(open.iter().map(|open| open.unit.id.as_str()).zip(made));
    let mut units: Vec<UnitReport> = plan.units.iter().filter_map(|unit| done.remove(unit.id.as_str())).collect();
    if options.on_error == OnError::Fail {
        unit::commit::first_failure(&plan, &units)?;
    }
    let up_to_date = open.is_empty() && standing.is_published(&out, &units)?;
    if !up_to_date {
        if cancel() {
            return Err(Error::new(ErrorKind::Closed, "interrupted while converting").with_path(out.root()));
        }
        progress.event(ConvertEvent::Committing);
        standing.place(&out, &mut units, &waiting)?;
        unit::commit::commit(&out, &plan, &units, &standing)?;
    }
    let report = unit::commit::report(&out, &plan, &units);
    let warnings = report.warnings.iter().cloned().chain(out.notes()).collect();
    Ok(ConvertReport {
        up_to_date,
        clips_converted: clips_made.saturating_sub(kept_clips),
        clips_reused: clips_done + kept_clips,
        wall_seconds: started.elapsed().as_secs_f64(),
        warnings,
        ..report
    })
}

/// Lists the sources; once more, after a pause, where the machine fails.
///
/// # Errors
/// `Io` where it still does: what cannot be looked at is neither there nor missing.
fn list(options: &ConvertOptions) -> Result<listing::sources::Listing> {
    source::source_file::retried(|| {
        let listing = listing::sources::list_sources(&options.sources, &options.out)?;
        let unread: Vec<_> = listing.failed.iter().filter(|failure| failure.is_of_the_machine).collect();
        if unread.is_empty() { Ok(listing) } else { Err(report::unread_error(unread.iter().map(|f| f.line()))) }
    })
}

/// The reports of the units that are done, by id, and the units that are not.
fn take_stock<'a>(
    plan: &'a Plan,
    options: &ConvertOptions,
    out: &OutFolder,
    cancel: &(dyn Fn() -> bool + Sync),
) -> Result<(HashMap<&'a str, UnitReport>, Vec<OpenUnit<'a>>)> {
    let (mut done, mut open) = (HashMap::new(), Vec::new());
    for unit in &plan.units {
        match UnitReport::load_done(out, unit, plan, cancel)? {
            Some(report) if options.earlier_failures == EarlierFailures::Retry && !report.failed.is_empty() => {
                open.push(OpenUnit { unit, before: Some(report) });
            }
            Some(report) => _ = done.insert(unit.id.as_str(), report),
            None => open.push(OpenUnit { unit, before: None }),
        }
    }
    Ok((done, open))
}

/// The plan of these sources: the one in the folder where it is of the same inputs, or a new one where the folder holds
/// nothing that would be lost.
fn plan_of(
    options: &ConvertOptions,
    listing: listing::sources::Listing,
    out: &OutFolder,
    cancel: &(dyn Fn() -> bool + Sync),
) -> Result<Plan> {
    let fingerprint = unit::plan::fingerprint(options, &listing)?;
    let old: Option<Plan> = match std::fs::read(out.plan()) {
        Ok(bytes) => serde_json::from_slice(&bytes).ok(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(Error::io("read", out.plan(), e)),
    };
    match old {
        Some(plan) if plan.fingerprint == fingerprint => return Ok(plan),
        _ if out.root().join(MANIFEST_FILE).exists() || has_shards(out) => {
            let message = "the output folder is of other sources or options (or the sources have changed since)";
            return Err(Error::new(ErrorKind::Conflict, message).with_path(out.root()));
        }
        _ => {}
    }
    let plan = unit::plan::make_plan(options, listing, fingerprint, cancel)?;
    let bytes = serde_json::to_vec(&plan).map_err(|e| Error::invalid("the plan cannot be written").with_source(e))?;
    publish(&out.plan(), &bytes)?;
    Ok(plan)
}

fn has_shards(out: &OutFolder) -> bool {
    let shards = std::fs::read_dir(out.root().join("shards"));
    shards.is_ok_and(|mut entries| {
        entries
            .any(|entry| entry.is_ok_and(|entry| Path::new(&entry.file_name()).extension().is_some_and(|e| e == "tar")))
    })
}

fn announce(progress: &dyn ConvertProgress, plan: &Plan, open: &[OpenUnit<'_>]) {
    let bytes = |unit: &PlanUnit| unit.clips.iter().map(|clip| clip.bytes).sum::<u64>();
    let all_bytes: u64 = plan.units.iter().map(bytes).sum();
    let open_bytes: u64 = open.iter().map(|open| bytes(open.unit)).sum();
    let open_clips: u64 = open.iter().map(|open| open.unit.clips.len() as u64).sum();
    progress.event(ConvertEvent::Planned {
        clips: plan.num_clips(),
        bytes: all_bytes,
        shards: plan.units.len() as u64,
        reused_clips: plan.num_clips() - open_clips,
        reused_bytes: all_bytes - open_bytes,
    });
}

/// Removes what a killed run left half done: files under temporary names, shards that were not put in their place, and
/// clips of units that are not open any more.
fn remove_leftovers(out: &OutFolder, open: &[OpenUnit<'_>]) -> Result<()> {
    let open: HashSet<&str> = open.iter().map(|open| open.unit.id.as_str()).collect();
    let state = out.tmp();
    let folders = [out.root().to_owned(), out.root().join("shards"), out.plan().with_file_name("units")];
    for folder in folders.iter().chain(out.plan().parent().map(Path::to_owned).iter()) {
        for entry in std::fs::read_dir(folder).map_err(|e| Error::io("read", folder, e))? {
            let path = entry.map_err(|e| Error::io("read", folder, e))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_leftover = name.ends_with(".tmp") || name.ends_with(NEW_SHARD);
            if name.starts_with('.') && is_leftover && path.is_file() {
                std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
            }
        }
    }
    for entry in std::fs::read_dir(&state).map_err(|e| Error::io("read", &state, e))? {
        let path = entry.map_err(|e| Error::io("read", &state, e))?.path();
        if !open.contains(&*path.file_name().unwrap_or_default().to_string_lossy()) {
            std::fs::remove_dir_all(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
    }
    Ok(())
}
