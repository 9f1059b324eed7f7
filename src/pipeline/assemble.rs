//! Rows to a batch: what came of every clip, brought together when the last one is there.

use super::batch::{Batch, Skipped};
use super::shared::LoaderShared;
use crate::batch::{BatchAssembly, ColumnValues};
use crate::error::{Error, Result};
use crate::media::TimeBase;
use serde_json::Value;

/// What came of one clip.
pub(super) enum RowOutcome {
    /// Its pixels are in its slot.
    Delivered(Box<ClipFacts>),
    /// The error policy leaves it out.
    Skipped(Skipped),
    /// The error policy raises it.
    Raised(Error),
}

/// What comes with a clip's pixels.
pub(super) struct ClipFacts {
    pub(super) position: u64,
    pub(super) record: u64,
    pub(super) key: String,
    pub(super) frames: Vec<u32>,
    pub(super) pts: Vec<i64>,
    pub(super) time_base: TimeBase,
    pub(super) caption: Option<String>,
    /// One for each column of the loader.
    pub(super) columns: Vec<Option<Value>>,
    /// Records that should have stood here.
    pub(super) failed: Vec<Skipped>,
}

/// The rows of a batch as they come in.
pub(super) struct Finished {
    epoch: u64,
    assembly: BatchAssembly,
    rows: Vec<Option<RowOutcome>>,
}

/// What came of a batch.
pub(super) enum Outcome {
    /// A batch of at least one row.
    Batch(Box<Batch>),
    /// All samples were left out.
    Empty(Vec<Skipped>),
    /// The error of its first row that raised one.
    Raised(Error),
}

impl Finished {
    pub(super) fn new(epoch: u64, assembly: BatchAssembly, rows: usize) -> Self {
        Self { epoch, assembly, rows: std::iter::repeat_with(|| None).take(rows).collect() }
    }

    pub(super) fn set(&mut self, row: usize, outcome: RowOutcome) {
        if let Some(place) = self.rows.get_mut(row) {
            *place = Some(outcome);
        }
    }

    /// The batch: rows that were left out are closed up.
    pub(super) fn assemble(self, shared: &LoaderShared) -> Outcome {
        let (mut delivered, mut skipped) = (Vec::with_capacity(self.rows.len()), Vec::new());
        for (row, outcome) in self.rows.into_iter().enumerate() {
            match outcome {
                Some(RowOutcome::Delivered(facts)) => delivered.push((row, *facts)),
                Some(RowOutcome::Skipped(sample)) => skipped.push(sample),
                Some(RowOutcome::Raised(error)) => return Outcome::Raised(error),
                None => {}
            }
        }
        if delivered.is_empty() {
            return Outcome::Empty(skipped);
        }
        batch(self.epoch, self.assembly, delivered, skipped, shared)
            .map_or_else(Outcome::Raised, |batch| Outcome::Batch(Box::new(batch)))
    }
}

fn batch(
    epoch: u64,
    assembly: BatchAssembly,
    delivered: Vec<(usize, ClipFacts)>,
    skipped: Vec<Skipped>,
    shared: &LoaderShared,
) -> Result<Batch> {
    let (clip_bytes, rows) = (shared.sizes.clip_bytes, delivered.len());
    let mut video = assembly.finish()?;
    for (to, (from, _)) in delivered.iter().enumerate() {
        if to != *from {
            video.copy_within(from * clip_bytes..(from + 1) * clip_bytes, to * clip_bytes);
        }
    }
    video.truncate(rows * clip_bytes);
    let options = &shared.options.transform;
    let [a, b, c, d] = shared.sizes.shape.shape(options.layout);
    let mut batch = Batch {
        video,
        shape: [rows, a, b, c, d],
        dtype: options.dtype,
        layout: options.layout,
        epoch,
        positions: Vec::with_capacity(rows),
        records: Vec::with_capacity(rows),
        keys: Vec::with_capacity(rows),
        frames: Vec::with_capacity(rows * shared.sizes.shape.frames),
        pts: Vec::with_capacity(rows * shared.sizes.shape.frames),
        time_bases: Vec::with_capacity(rows),
        captions: shared.options.captions.then(|| Vec::with_capacity(rows)),
        columns: Vec::new(),
        skipped,
        substituted: Vec::new(),
    };
    let mut columns: Vec<_> = shared.columns.iter().map(|column| ColumnValues::new(column.kind, rows)).collect();
    for (_, facts) in delivered {
        batch.positions.push(facts.position);
        batch.records.push(facts.record);
        batch.keys.push(facts.key);
        batch.frames.extend(facts.frames);
        batch.pts.extend(facts.pts);
        batch.time_bases.push(facts.time_base);
        batch.captions.iter_mut().for_each(|captions| captions.push(facts.caption.clone()));
        columns.iter_mut().zip(facts.columns).for_each(|(column, value)| column.push(value));
        batch.substituted.extend(facts.failed);
    }
    batch.columns = shared.columns.iter().map(|column| column.name.clone()).zip(columns).collect();
    Ok(batch)
}
