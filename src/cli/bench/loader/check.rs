//! Before any time is told: the answer is right. The first batch is compared with what single records give, by another way
//! through the library; and the first batches of every loader to be timed must be equal in every byte.

use super::measure::SIGNAL_INTERVAL;
use super::plan::{Plan, Setting};
use crate::cli::bench::common::stop_if_asked;
use framefeed::{
    Batch, ClipReader, Dataset, DecodeLimits, EngineKind, Error, Loader, Next, Result, StorageOptions, VideoBatch,
    read_field,
};
use serde::Serialize;

/// Batches of each loader that are compared.
const CHECKED_BATCHES: usize = 4;

/// What was compared, and found equal.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Checked {
    /// Rows of the first batch that were compared with their records.
    pub rows: usize,
    /// Batches of every loader that were compared with each other's.
    pub batches: usize,
    /// BLAKE3 of those batches.
    pub blake3: String,
    /// Loaders that gave them.
    pub loaders: usize,
}

/// What was found out on the way.
pub(super) struct Answer {
    pub checked: Checked,
    pub num_samples: u64,
    pub num_short: u64,
    pub num_incomplete: u64,
    pub describe: String,
}

/// Checks the loaders of `settings`, which must all give real batches. The last one's description is kept.
pub(super) fn check(plan: &Plan, settings: &[Setting]) -> Result<Answer> {
    let mut answer: Option<Answer> = None;
    for &setting in settings {
        stop_if_asked()?;
        let loader = plan.builder(setting, true)?.build()?;
        let batches = first_batches(&loader)?;
        let blake3 = hash(&batches);
        let Some(answer) = &mut answer else {
            let first = batches.first().ok_or_else(|| {
                Error::corrupt("no batch came: every sample was left out as damaged").with_path(&plan.path)
            })?;
            compare(plan, first)?;
            let checked = Checked { rows: first.len(), batches: batches.len(), blake3, loaders: 1 };
            answer = Some(new_answer(&loader, checked));
            continue;
        };
        if answer.checked.blake3 != blake3 {
            let message = format!("{setting:?} gives other batches than {:?}", settings.first());
            return Err(Error::corrupt(message).with_path(&plan.path));
        }
        answer.checked.loaders += 1;
        if setting.without.is_none() {
            answer.describe = loader.describe();
        }
    }
    answer.ok_or_else(|| Error::invalid("there is nothing to measure"))
}

fn first_batches(loader: &Loader) -> Result<Vec<Batch>> {
    let (mut batches, mut first) = (loader.iter(), Vec::new());
    while first.len() < CHECKED_BATCHES {
        stop_if_asked()?;
        match batches.next_within(SIGNAL_INTERVAL) {
            Next::Batch(batch) => first.push(batch?),
            Next::End => break,
            Next::Timeout => {}
        }
    }
    Ok(first)
}

fn new_answer(loader: &Loader, checked: Checked) -> Answer {
    Answer {
        checked,
        num_samples: loader.num_samples(),
        num_short: loader.num_short(),
        num_incomplete: loader.num_incomplete(),
        describe: loader.describe(),
    }
}

/// All that a training step sees of the batches.
fn hash(batches: &[Batch]) -> String {
    let mut hasher = blake3::Hasher::new();
    for batch in batches {
        for record in &batch.records {
            hasher.update(&record.to_le_bytes());
        }
        if let Some(video) = &batch.video {
            for frame in &video.frames {
                hasher.update(&frame.to_le_bytes());
            }
            hasher.update(&video.data);
        }
        for field in &batch.fields {
            hasher.update(format!("{:?}", field.shape).as_bytes());
            hasher.update(&field.data);
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// Compares a batch, row by row, with what single records give.
fn compare(plan: &Plan, batch: &Batch) -> Result<()> {
    let dataset = Dataset::open(&plan.path)?;
    let mut clips = ClipReader::new(&dataset, &StorageOptions::new().engine(EngineKind::Pread))?;
    for (row, (&record, key)) in batch.records.iter().zip(&batch.keys).enumerate() {
        stop_if_asked()?;
        let record = record as usize;
        let differs = |what: &str| {
            let message = format!("row {row} of the first batch differs from its record in {what}");
            Error::corrupt(message).with_record(key).with_path(&plan.path)
        };
        if let Some(video) = &batch.video {
            let clip = clips.tensor(record, frames_of(video, row), &plan.transform, &DecodeLimits::default())?;
            if row_of(&video.data, row, video.clip_bytes()) != Some(&clip.data[..]) {
                return Err(differs("its frames"));
            }
        }
        for field in &batch.fields {
            let stored = read_field(&dataset, record, &field.name)?.ok_or_else(|| differs(&field.name))?;
            let sides: Vec<usize> = stored.shape.iter().map(|&side| side as usize).collect();
            let extents = field.shape.get(1..).unwrap_or_default();
            let place = row_of(&field.data, row, field.data.len() / batch.len());
            if !place.is_some_and(|place| is_padded(place, extents, &stored.data, &sides)) {
                return Err(differs(&field.name));
            }
        }
    }
    Ok(())
}

fn frames_of(video: &VideoBatch, row: usize) -> &[u32] {
    let frames = video.num_frames();
    video.frames.get(row * frames..(row + 1) * frames).unwrap_or_default()
}

fn row_of(data: &[u8], row: usize, bytes: usize) -> Option<&[u8]> {
    data.get(row * bytes..(row + 1) * bytes)
}

/// True where `place`, of sides `extents`, is the tensor with zeros behind each axis.
fn is_padded(place: &[u8], extents: &[usize], tensor: &[u8], sides: &[usize]) -> bool {
    if extents == sides {
        return place == tensor;
    }
    let (Some((&extent, extents)), Some((&side, sides))) = (extents.split_first(), sides.split_first()) else {
        return false;
    };
    let part = |bytes: &[u8], number: usize| (bytes.len() / number.max(1)).max(1);
    let mut parts = place.chunks(part(place, extent));
    let own = parts.by_ref().take(side).zip(tensor.chunks(part(tensor, side)));
    own.fold(true, |same, (place, tensor)| same && is_padded(place, extents, tensor, sides))
        && parts.all(|rest| rest.iter().all(|&byte| byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_zeros_behind_each_axis() {
        // A tensor of 2x2 in a place of 3x3.
        let place = [1, 2, 0, 3, 4, 0, 0, 0, 0];
        assert!(is_padded(&place, &[3, 3], &[1, 2, 3, 4], &[2, 2]));
        assert!(is_padded(&place, &[9], &place, &[9]));
        for at in 0..place.len() {
            let mut damaged = place;
            damaged[at] += 1;
            assert!(!is_padded(&damaged, &[3, 3], &[1, 2, 3, 4], &[2, 2]), "byte {at}");
        }
        assert!(!is_padded(&place, &[3, 3], &[1, 2, 3, 4], &[4]));
    }
}
