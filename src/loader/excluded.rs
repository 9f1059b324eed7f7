//! Records of the dataset that are no samples of a loader, and why.

use super::context::LoaderShared;
use crate::error::Result;
use crate::order::RecordExtents as _;
use crate::order::ShortPolicy;

/// A record that is no sample.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Excluded {
    /// Number of the record in the dataset.
    pub record: u64,
    /// Its key.
    pub key: String,
    /// What it lacks: frames for the window, or a field.
    pub reason: String,
}

/// The records that are no samples, the first thousand of those that are too short and of those that lack a field.
pub(super) fn list(shared: &LoaderShared) -> Result<Vec<Excluded>> {
    let mut all = Vec::new();
    let dataset = &shared.dataset;
    if let Some(video) = &shared.video {
        for &record in shared.samples.too_short() {
            let extent = dataset.extent(record as usize)?;
            let (need, have) = (video.window.needed(), video.window.measured(extent));
            let reason = format!("has {have}, {} needs {need}", video.window);
            all.push(Excluded { record: u64::from(record), key: dataset.key(record as usize)?.to_owned(), reason });
        }
    }
    for &record in &shared.incomplete {
        let mut reason = String::from("lacks a field");
        for spec in &shared.fields {
            if dataset.field(record as usize, &spec.name)?.is_none() {
                reason = format!("lacks the field '{}'", spec.name);
                break;
            }
        }
        all.push(Excluded { record: u64::from(record), key: dataset.key(record as usize)?.to_owned(), reason });
    }
    Ok(all)
}

/// What is said once of the records that are too short, or `None` where there are none that are left out. Records without a field are not
/// warned of: that a column was made for some is the rule.
pub(super) fn warning(shared: &LoaderShared) -> Option<String> {
    let window = &shared.video.as_ref()?.window;
    let num_short = shared.samples.num_short();
    if window.short != ShortPolicy::Skip || num_short == 0 {
        return None;
    }
    let (num_records, need) = (shared.dataset.len(), window.needed());
    let (verb, noun) = if num_short == 1 { ("is", "no sample") } else { ("are", "no samples") };
    Some(format!(
        "{num_short} of {num_records} records {verb} too short for {window}, which needs {need}, and {verb} {noun}; excluded() lists them"
    ))
}
