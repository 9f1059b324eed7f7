//! Tensor readers: threads that each take a tensor at a time from the monitor, read it with a storage engine of their own, chunk
//! by chunk, and check each chunk while the cache still holds it.
//!
//! There are two ways, and the engine decides. One that reads in the thread itself (files in memory) is given one chunk at a
//! time (`inline`). Others are given as many as they take, also of the tensors that follow, and may answer in any order
//! (`ahead`).

mod ahead;
mod checks;
mod inline;

use super::assemble::FieldRow;
use super::choices::Checksum;
use super::fields::{FieldJob, PlannedTensor};
use super::iteration::Run;
use super::row::{Part, Row};
use super::stats::{add, add_since};
use crate::batch::{BatchAssembly, spread};
use crate::buf::Slot;
use crate::dataset::FieldEntry;
use crate::error::{Error, Result};
use crate::storage::StorageFile;
use checks::Checks;
use std::sync::Arc;
use std::time::Instant;

/// The thread's life.
pub(super) fn read(run: &Run) {
    let result = run.shared.storage.engine().and_then(|engine| {
        if !engine.is_inline() {
            return ahead::read(run, engine);
        }
        inline::read(run, engine);
        Ok(())
    });
    if let Err(error) = result {
        run.monitor.fail(error);
    }
}

/// A tensor that is being read.
struct Tensor {
    row: Arc<Row>,
    /// Number of the field.
    number: usize,
    entry: FieldEntry,
    file: StorageFile,
    /// Bytes of its elements.
    len: usize,
    /// Sides of its place.
    extents: Vec<u64>,
    /// Where the place is memory of its own.
    apart: Option<BatchAssembly>,
    checks: Checks,
}

impl Tensor {
    /// Opens the file of a tensor. `None` where that failed, and the part is settled.
    fn begin(run: &Run, job: FieldJob) -> Option<(Self, Slot)> {
        let FieldJob { row, tensor: PlannedTensor { number, entry, slot, extents, apart } } = job;
        let spec = &run.shared.fields[number];
        let open = || {
            let len = spec.row_bytes(&entry.shape)?;
            if len as u64 != entry.bytes || len > slot.len() {
                return Err(Error::corrupt(format!("field '{}' has {} bytes for {len}", spec.name, entry.bytes)));
            }
            Ok((run.shared.files.get(&run.shared.storage, &entry.path)?, len))
        };
        match open() {
            Ok((file, len)) => {
                let checks = Checks::default();
                Some((Self { row, number, entry, file, len, extents, apart, checks }, slot))
            }
            Err(error) => {
                let slot = apart.is_none().then_some(slot);
                settle(run, &row, Part::Field { number, slot, result: Err(error.with_path(&*entry.path)) });
                None
            }
        }
    }

    /// All bytes are there, dense at the begin of the slot, or an error is. The slot is `None` where a failed read took it along.
    fn finish(mut self, run: &Run, mut slot: Option<Slot>, read: Result<()>) {
        let checked = read
            .and_then(|()| self.check(run))
            .map_err(|error| error.with_path(&*self.entry.path).with_offset(self.entry.offset));
        let is_apart = self.apart.is_some();
        let result = checked.and_then(|()| {
            add(&run.shared.counters.fields_read, 1);
            if let Some(slot) = &mut slot
                && (self.entry.shape != self.extents)
            {
                spread(slot.bytes_mut(), &self.entry.shape, &self.extents, self.entry.dtype.size_bytes());
            }
            let mut row = FieldRow { shape: self.entry.shape, apart: None };
            if let Some(assembly) = self.apart {
                // Memory of its own can be taken whole only when its slot is gone.
                slot = None;
                row.apart = Some(assembly.finish()?);
            }
            Ok(row)
        });
        let slot = slot.filter(|_| !is_apart);
        settle(run, &self.row, Part::Field { number: self.number, slot, result });
    }

    fn check(&mut self, run: &Run) -> Result<()> {
        if run.shared.options.checksum == Checksum::Off {
            return Ok(());
        }
        let (actual, expected) = (self.checks.value(), self.entry.crc32c);
        if actual == expected {
            return Ok(());
        }
        let name = &run.shared.fields[self.number].name;
        Err(Error::corrupt(format!("field '{name}' has CRC32C {actual:08x}, the index says {expected:08x}")))
    }
}

fn settle(run: &Run, row: &Row, part: Part) {
    let start = Instant::now();
    if let Some(settled) = row.settle(part) {
        run.row_settled(settled);
    }
    add_since(&run.shared.counters.tensor_assemble_nanos, start);
}

/// Counts a read of `len` bytes.
fn count_read(run: &Run, len: usize) {
    let counters = &run.shared.counters;
    add(&counters.num_reads, 1);
    for counter in [&counters.read_bytes, &counters.needed_bytes, &counters.field_bytes] {
        add(counter, len as u64);
    }
}
