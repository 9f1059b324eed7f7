//! Rows to a batch: what came of every row, brought together when the last one is there.

use super::batch::{Batch, FieldBatch, Skipped, SourceBatch, VideoBatch};
use super::context::LoaderShared;
use super::fields::{FieldSpec, widen};
use super::row::Content;
use crate::batch::{BatchAssembly, BatchBuffer, ColumnValues, place};
use crate::error::{Error, Result};
use crate::format::DatasetKind;
use crate::media::{ColorSpec, TimeBase};
use crate::transform::ClipShape;
use serde_json::Value;
use std::sync::Arc;

/// What came of one row.
pub(super) enum RowOutcome {
    /// Its content is in its slots.
    Delivered(Box<DeliveredRow>),
    /// The error policy leaves it out, for that error.
    Skipped(Skipped, Error),
    /// The error policy raises it.
    Raised(Error),
}

/// A row that is there.
pub(super) struct DeliveredRow {
    pub(super) facts: RowFacts,
    pub(super) content: Content,
}

/// What the dataset says of a row's record.
pub(super) struct RowFacts {
    pub(super) position: u64,
    pub(super) record: u64,
    pub(super) key: String,
    pub(super) caption: Option<String>,
    /// Of a record of video.
    pub(super) source: Option<RowSource>,
    /// One for each column of the loader.
    pub(super) columns: Vec<Option<Value>>,
    /// Records that should have stood here.
    pub(super) failed: Vec<Skipped>,
}

/// What the dataset's index says of a record's video as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowSource {
    pub(super) fps: f64,
    pub(super) seconds: f64,
    /// Height and width for display.
    pub(super) size: (u32, u32),
}

/// What comes with a clip's pixels.
#[derive(Debug)]
pub(super) struct ClipFacts {
    pub(super) frames: Vec<u32>,
    pub(super) pts: Vec<i64>,
    pub(super) time_base: TimeBase,
    pub(super) color: ColorSpec,
    pub(super) shape: ClipShape,
    /// The frames, where they are not in the row's slot: those of a substitute of another size.
    pub(super) apart: Option<BatchBuffer>,
}

/// One row's tensor.
#[derive(Debug, Default)]
pub(super) struct FieldRow {
    /// Its own sides.
    pub(super) shape: Vec<u64>,
    /// The tensor, dense, where it is not in the row's slot: a substitute larger than the rows that were planned, or one for
    /// a row whose slot went with a failed read.
    pub(super) apart: Option<BatchBuffer>,
}

/// The memory of a batch.
pub(super) struct BatchMemory {
    pub(super) video: Option<BatchAssembly>,
    /// One for each field.
    pub(super) fields: Vec<BatchAssembly>,
    /// Sides of one row of each field.
    pub(super) extents: Arc<[Vec<u64>]>,
}

impl BatchMemory {
    /// Bytes of everything.
    pub(super) fn num_bytes(&self) -> u64 {
        self.video.iter().chain(&self.fields).map(|assembly| assembly.len() as u64).sum()
    }
}

/// The rows of a batch as they come in.
pub(super) struct Finished {
    epoch: u64,
    memory: BatchMemory,
    rows: Vec<Option<RowOutcome>>,
}

/// What came of a batch.
pub(super) enum Outcome {
    /// A batch of at least one row.
    Batch(Box<Batch>),
    /// All samples were left out, the first for that error.
    Empty(Vec<Skipped>, Option<Error>),
    /// The error of its first row that raised one.
    Raised(Error),
}

impl Finished {
    pub(super) fn new(epoch: u64, memory: BatchMemory, rows: usize) -> Self {
        Self { epoch, memory, rows: std::iter::repeat_with(|| None).take(rows).collect() }
    }

    pub(super) fn set(&mut self, row: usize, outcome: RowOutcome) {
        if let Some(place) = self.rows.get_mut(row) {
            *place = Some(outcome);
        }
    }

    /// The batch: rows that were left out are closed up.
    pub(super) fn assemble(self, shared: &LoaderShared) -> Outcome {
        let (mut delivered, mut skipped, mut first) = (Vec::with_capacity(self.rows.len()), Vec::new(), None);
        for (row, outcome) in self.rows.into_iter().enumerate() {
            match outcome {
                Some(RowOutcome::Delivered(content)) => delivered.push((row, *content)),
                Some(RowOutcome::Skipped(sample, error)) => {
                    skipped.push(sample);
                    first.get_or_insert(error);
                }
                Some(RowOutcome::Raised(error)) => return Outcome::Raised(error),
                None => {}
            }
        }
        if delivered.is_empty() {
            return Outcome::Empty(skipped, first);
        }
        batch(self.epoch, self.memory, delivered, skipped, shared)
            .map_or_else(Outcome::Raised, |batch| Outcome::Batch(Box::new(batch)))
    }
}

fn batch(
    epoch: u64,
    memory: BatchMemory,
    delivered: Vec<(usize, DeliveredRow)>,
    skipped: Vec<Skipped>,
    shared: &LoaderShared,
) -> Result<Batch> {
    let rows = delivered.len();
    let mut batch = Batch {
        video: None,
        fields: Vec::with_capacity(shared.fields.len()),
        epoch,
        positions: Vec::with_capacity(rows),
        records: Vec::with_capacity(rows),
        keys: Vec::with_capacity(rows),
        captions: shared.options.captions.then(|| Vec::with_capacity(rows)),
        sources: (shared.dataset.kind() == DatasetKind::Video).then(SourceBatch::default),
        columns: Vec::new(),
        skipped,
        substituted: Vec::new(),
    };
    let mut columns: Vec<_> = shared.columns.iter().map(|column| ColumnValues::new(column.kind, rows)).collect();
    let (mut places, mut clips) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let mut fields: Vec<Vec<FieldRow>> = shared.fields.iter().map(|_| Vec::with_capacity(rows)).collect();
    for (row, DeliveredRow { facts, content }) in delivered {
        places.push(row);
        batch.positions.push(facts.position);
        batch.records.push(facts.record);
        batch.keys.push(facts.key);
        batch.captions.iter_mut().for_each(|captions| captions.push(facts.caption.clone()));
        if let (Some(sources), Some(source)) = (&mut batch.sources, facts.source) {
            sources.fps.push(source.fps);
            sources.seconds.push(source.seconds);
            sources.sizes.push(source.size);
        }
        columns.iter_mut().zip(facts.columns).for_each(|(column, value)| column.push(value));
        batch.substituted.extend(facts.failed);
        clips.extend(content.clip);
        fields.iter_mut().zip(content.fields).for_each(|(rows, row)| rows.push(row));
    }
    batch.columns = shared.columns.iter().map(|column| column.name.clone()).zip(columns).collect();
    if let Some(assembly) = memory.video {
        batch.video = Some(video_batch(assembly, &places, clips, shared)?);
    }
    let fields = memory.fields.into_iter().zip(memory.extents.iter()).zip(shared.fields.iter().zip(fields));
    for ((assembly, extents), (spec, rows)) in fields {
        batch.fields.push(field_batch(spec, assembly, extents, &places, &rows, shared)?);
    }
    Ok(batch)
}

/// Moves the rows at `places`, ascending, of `row_bytes` each, to the front, and cuts off the rest.
fn close_up(data: &mut BatchBuffer, places: &[usize], row_bytes: usize) {
    for (to, &from) in places.iter().enumerate() {
        if to != from {
            data.copy_within(from * row_bytes..(from + 1) * row_bytes, to * row_bytes);
        }
    }
    data.truncate(places.len() * row_bytes);
}

fn video_batch(
    assembly: BatchAssembly,
    places: &[usize],
    mut clips: Vec<ClipFacts>,
    shared: &LoaderShared,
) -> Result<VideoBatch> {
    let (spec, options) = (shared.video()?, &shared.options.transform);
    // All have one shape, or there is one.
    let Some(shape) = clips.first().map(|clip| clip.shape) else {
        return Err(Error::invalid("a batch of clips has no clip"));
    };
    let clip_bytes = spec.num_bytes(shape)?;
    let mut data = assembly.finish()?;
    for (clip, &at) in clips.iter_mut().zip(places) {
        match clip.apart.take() {
            None => {}
            Some(apart) if places.len() == 1 => data = apart,
            Some(apart) => data[at * clip_bytes..(at + 1) * clip_bytes].copy_from_slice(&apart),
        }
    }
    close_up(&mut data, places, clip_bytes);
    let ([a, b, c, d], frames) = (shape.shape(options.layout), places.len() * shape.frames);
    let mut video = VideoBatch {
        data,
        shape: [places.len(), a, b, c, d],
        dtype: options.dtype,
        layout: options.layout,
        frames: Vec::with_capacity(frames),
        pts: Vec::with_capacity(frames),
        time_bases: Vec::with_capacity(places.len()),
        format: options.format,
        colors: Vec::with_capacity(places.len()),
    };
    for clip in clips {
        video.frames.extend(clip.frames);
        video.pts.extend(clip.pts);
        video.time_bases.push(clip.time_base);
        video.colors.push(clip.color);
    }
    Ok(video)
}

fn field_batch(
    spec: &FieldSpec,
    assembly: BatchAssembly,
    extents: &[u64],
    places: &[usize],
    rows: &[FieldRow],
    shared: &LoaderShared,
) -> Result<FieldBatch> {
    let mut data = assembly.finish()?;
    let lengths = spec.has_lengths.then(|| rows.iter().flat_map(|row| row.shape.iter().copied()).collect());
    let mut extents = extents.to_vec();
    if rows.iter().any(|row| row.apart.is_some()) {
        (data, extents) = gathered(spec, &data, &extents, places, rows, shared)?;
    } else {
        close_up(&mut data, places, spec.row_bytes(&extents)?);
    }
    let shape = std::iter::once(places.len()).chain(extents.iter().map(|&side| side as usize)).collect();
    Ok(FieldBatch { name: spec.name.clone(), data, shape, dtype: spec.dtype, lengths })
}

/// The rows in new memory that has room for all of them, and the sides of a row there. Only where a row stands apart.
fn gathered(
    spec: &FieldSpec,
    data: &BatchBuffer,
    extents: &[u64],
    places: &[usize],
    rows: &[FieldRow],
    shared: &LoaderShared,
) -> Result<(BatchBuffer, Vec<u64>)> {
    let mut larger = extents.to_vec();
    for row in rows.iter().filter(|row| row.apart.is_some()) {
        widen(&mut larger, &row.shape);
    }
    let (row_bytes, larger_bytes) = (spec.row_bytes(extents)?, spec.row_bytes(&larger)?);
    let (assembly, mut slots) = shared.memory.acquire(rows.len(), larger_bytes)?;
    for ((&at, row), slot) in places.iter().zip(rows).zip(&mut slots) {
        let (source, shape) = match &row.apart {
            Some(apart) => (&apart[..], &row.shape[..]),
            None => (&data[at * row_bytes..(at + 1) * row_bytes], extents),
        };
        place(source, shape, slot.bytes_mut(), &larger, spec.dtype.size_bytes());
    }
    drop(slots);
    Ok((assembly.finish()?, larger))
}
