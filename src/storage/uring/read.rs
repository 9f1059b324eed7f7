//! A read of the ring engine: its parts, what became of them, and what comes of it in the end.

use std::io;

use crate::error::{Error, ErrorKind, Result};
use crate::storage::engine::past_end;
use crate::storage::file::StorageFile;
use crate::storage::pread::read_error;
use crate::storage::progress::{ReadPlan, ReadProgress};
use crate::storage::target::{Memory, ReadOutcome, ReadTarget};

/// Why a part gave no bytes.
pub(super) enum Failure {
    /// The file ended, with so many of the read's bytes in front of its end.
    End(u64),
    Os(io::Error),
    Other(Error),
}

/// Where the bytes of a read go: no memory is taken before its first part begins.
enum Place {
    Promised(ReadTarget),
    Taken(Memory),
    /// Between the two, and after the end.
    None,
}

/// One request.
pub(super) struct Read {
    pub(super) tag: u64,
    pub(super) file: StorageFile,
    offset: u64,
    len: usize,
    pub(super) plan: ReadPlan,
    place: Place,
    /// Begin of the next part in the memory.
    next: usize,
    /// Parts that were begun and have not ended.
    pub(super) num_parts: usize,
    /// The failure of the first part of those that failed, and where that begins.
    failure: Option<(usize, Failure)>,
}

impl Read {
    pub(super) fn new(tag: u64, file: StorageFile, offset: u64, target: ReadTarget, plan: ReadPlan) -> Self {
        let (len, place) = (target.len(), Place::Promised(target));
        Self { tag, file, offset, len, plan, place, next: 0, num_parts: 0, failure: None }
    }

    /// Length of the next part; 0 where there is none, also because another one failed.
    pub(super) fn next_len(&self, split: usize) -> usize {
        if self.failure.is_some() { 0 } else { self.plan.part_len(self.next, split) }
    }

    /// Takes memory by `prepare`, if the read has none yet.
    pub(super) fn take_memory(&mut self, prepare: impl FnOnce(ReadTarget) -> Result<Memory>) -> Result<()> {
        self.place = match std::mem::replace(&mut self.place, Place::None) {
            Place::Promised(target) => Place::Taken(prepare(target)?),
            place => place,
        };
        Ok(())
    }

    /// The file, and the memory if it was taken.
    pub(super) fn file_and_memory(&mut self) -> (&StorageFile, Option<&mut Memory>) {
        let memory = match &mut self.place {
            Place::Taken(memory) => Some(memory),
            Place::Promised(_) | Place::None => None,
        };
        (&self.file, memory)
    }

    /// True once memory was taken.
    pub(super) fn has_memory(&self) -> bool {
        matches!(self.place, Place::Taken(_))
    }

    /// True once every part was begun.
    pub(super) fn is_begun_whole(&self) -> bool {
        self.plan.part_len(self.next, 1) == 0
    }

    /// Begins the next part, of `len` bytes; gives where in the memory.
    pub(super) fn begin_part(&mut self, len: usize) -> usize {
        let begin = self.next;
        self.next += len;
        self.num_parts += 1;
        begin
    }

    /// The part that began at `begin` failed.
    pub(super) fn fail(&mut self, begin: usize, failure: Failure) {
        if self.failure.as_ref().is_none_or(|(other, _)| begin < *other) {
            self.failure = Some((begin, failure));
        }
    }

    /// What the read gives, when no part is under way and none is to come.
    pub(super) fn finish(self) -> Result<ReadOutcome> {
        let Self { file, offset, len, plan, place, failure, .. } = self;
        match (failure, place) {
            (Some((_, Failure::End(got))), _) => Err(past_end(&file, offset, len, got)),
            (Some((_, Failure::Os(error))), _) => Err(read_error(&file, offset, len, error)),
            (Some((_, Failure::Other(error))), _) => Err(error),
            (None, Place::Taken(memory)) => memory.finish(&plan, len),
            (None, Place::Promised(_) | Place::None) => {
                Err(Error::new(ErrorKind::Io, "a read ended before it began").with_path(file.path()))
            }
        }
    }
}

/// A part of a read that is under way.
pub(super) struct Part {
    /// Its read.
    pub(super) read: usize,
    /// Where it begins in the read's memory.
    pub(super) begin: usize,
    /// Its bytes, which count as in flight until it ends.
    pub(super) num_bytes: usize,
    pub(super) progress: ReadProgress,
}
