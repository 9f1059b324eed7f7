//! A shard of either kind, for checks that do not ask which.

use crate::error::{Error, Result};
use crate::format::{DatasetKind, TensorField};
use crate::shard::{Shard, TensorShard, VerifyReport};
use std::path::Path;
use std::sync::Arc;

/// An open shard.
pub(super) enum ShardFile {
    Videos(Arc<Shard>),
    Tensors(Arc<TensorShard>),
}

impl ShardFile {
    pub(super) fn open(path: &Path, kind: DatasetKind) -> Result<Self> {
        Ok(match kind {
            DatasetKind::Video => Self::Videos(Shard::open(path)?),
            DatasetKind::Tensor => Self::Tensors(TensorShard::open(path)?),
        })
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Videos(shard) => shard.len(),
            Self::Tensors(shard) => shard.len(),
        }
    }

    pub(super) fn file_bytes(&self) -> u64 {
        match self {
            Self::Videos(shard) => shard.file_bytes(),
            Self::Tensors(shard) => shard.file_bytes(),
        }
    }

    pub(super) fn verify(&self, blake3: &str) -> VerifyReport {
        match self {
            Self::Videos(shard) => shard.verify(Some(blake3)),
            Self::Tensors(shard) => shard.verify(Some(blake3)),
        }
    }

    fn key(&self, row: usize) -> Result<&str> {
        match self {
            Self::Videos(shard) => shard.key(row),
            Self::Tensors(shard) => shard.key(row),
        }
    }

    fn fields(&self, row: usize) -> Result<Vec<TensorField>> {
        match self {
            Self::Videos(shard) => shard.record(row).map(|record| record.fields),
            Self::Tensors(shard) => shard.record(row).map(|record| record.fields),
        }
    }

    /// A field that the manifest does not know would never be found.
    pub(super) fn check_fields(&self, known: &[String]) -> Result<()> {
        for row in 0..self.len() {
            // A row that is not sound is listed by the walk through the file.
            for field in self.fields(row).unwrap_or_default() {
                if !known.contains(&field.name) {
                    let message = format!("field '{}' is not one that the manifest names", field.name);
                    return Err(Error::corrupt(message).with_record(self.key(row)?));
                }
            }
        }
        Ok(())
    }
}

/// Checks that a shard of an added column has the keys of the shard that it mirrors, in the same order.
pub(super) fn check_mirror(shard: &ShardFile, base: &Path, kind: DatasetKind) -> Result<()> {
    // A shard that cannot be opened is listed where its own turn comes.
    let Ok(base) = ShardFile::open(base, kind) else { return Ok(()) };
    for row in 0..shard.len().min(base.len()) {
        let (expected, found) = (base.key(row)?, shard.key(row)?);
        if expected != found {
            let message = format!("the column has '{found}' in row {row}, the dataset has '{expected}'");
            return Err(Error::corrupt(message).with_record(expected));
        }
    }
    Ok(())
}
