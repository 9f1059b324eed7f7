//! One row of a batch while it is made. Its parts are the clip and each tensor field; they are filled at the same time by
//! different threads, and the row is settled when all of them are.

use super::assemble::{ClipFacts, FieldRow};
use super::batch::Skipped;
use crate::buf::Slot;
use crate::error::{Error, Result};
use std::sync::{Arc, Mutex, PoisonError};

/// A place in a batch, on its way to be filled, and back again with an error.
#[derive(Debug)]
pub(super) struct Task {
    /// Number of the batch.
    pub(super) ticket: u64,
    /// Row in the batch.
    pub(super) row: usize,
    pub(super) epoch: u64,
    pub(super) position: u64,
    /// 0 for the record that belongs here, then the substitutes.
    pub(super) attempt: u64,
    /// Records that were tried here and failed: the one that belongs here, and the first of its substitutes.
    pub(super) failed: Vec<Skipped>,
    pub(super) slots: Slots,
}

/// The memory of a row. A slot is missing while its part is filled, and for good where a failed read took it along.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) video: Option<Slot>,
    /// One for each field.
    pub(super) fields: Vec<Option<Slot>>,
    /// Sides of a row of each field in this batch.
    pub(super) extents: Arc<[Vec<u64>]>,
}

/// A row whose parts are being filled.
#[derive(Debug)]
pub(super) struct Row {
    /// `None` once the row is settled.
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    task: Task,
    record: usize,
    num_missing: usize,
    /// The error of the first part, in the order of parts, that failed: not the first in time, which differs from run to run.
    error: Option<(usize, Error)>,
    content: Content,
}

/// What is in a row's memory.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) clip: Option<ClipFacts>,
    /// One for each field, in their order.
    pub(super) fields: Vec<FieldRow>,
}

/// What a part came to. The slot is the part of the batch, where there is one and it is still there.
pub(super) enum Part {
    Clip { slot: Option<Slot>, result: Result<ClipFacts> },
    Field { number: usize, slot: Option<Slot>, result: Result<FieldRow> },
}

/// A row whose parts are all settled.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) task: Task,
    pub(super) record: usize,
    pub(super) result: Result<Content>,
}

impl Row {
    /// A row of `record` with `num_parts` parts, at least one, whose slots were taken out of the task.
    pub(super) fn new(task: Task, record: usize, num_parts: usize) -> Arc<Self> {
        let fields = std::iter::repeat_with(FieldRow::default).take(task.slots.fields.len()).collect();
        let content = Content { clip: None, fields };
        let state = State { task, record, num_missing: num_parts, error: None, content };
        Arc::new(Self { state: Mutex::new(Some(state)) })
    }

    /// A part is settled. Whoever brings the last one gets the row.
    pub(super) fn settle(&self, part: Part) -> Option<Settled> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = guard.as_mut()?;
        match part {
            Part::Clip { slot, result } => {
                if slot.is_some() {
                    state.task.slots.video = slot;
                }
                match result {
                    Ok(facts) => state.content.clip = Some(facts),
                    Err(error) => state.fail(0, error),
                }
            }
            Part::Field { number, slot, result } => {
                state.task.slots.fields[number] = slot;
                match result {
                    Ok(row) => state.content.fields[number] = row,
                    Err(error) => state.fail(number + 1, error),
                }
            }
        }
        state.num_missing -= 1;
        if state.num_missing > 0 {
            return None;
        }
        let State { task, record, error, content, .. } = guard.take()?;
        let result = error.map_or(Ok(content), |(_, error)| Err(error));
        Some(Settled { task, record, result })
    }
}

impl State {
    fn fail(&mut self, part: usize, error: Error) {
        if self.error.as_ref().is_none_or(|(first, _)| part < *first) {
            self.error = Some((part, error));
        }
    }
}
