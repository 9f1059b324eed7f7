//! Files mapped into memory.
//!
//! The hazard: the mapping of a file that is cut short faults (SIGBUS) where it is touched behind the new end, and so does a
//! device that fails to deliver a page. Every read looks at the file's length first, so that a file cut *before* the
//! read is an error; one cut while its bytes are in use is outside of what this engine can stand. It is for files that
//! nobody changes, which shards are, and chosen by itself only in memory (tmpfs).
#![expect(unsafe_code, reason = "mapping a file")]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use memmap2::{Advice, Mmap};

use super::file::{Source, StorageFile, open_regular};
use crate::buf::AlignedBuffer;
use crate::error::{Error, Result};

/// A whole file, mapped read-only, with the descriptor that tells its length.
pub(super) struct Mapping {
    map: Mmap,
    file: File,
}

impl Mapping {
    /// The file's bytes as of opening.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The file's length now.
    pub(super) fn file_len(&self) -> std::io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Has the kernel read a range ahead. Advice: what goes wrong with it shows when the bytes are read.
    pub(super) fn will_need(&self, offset: u64, len: usize) {
        if len > 0 && offset.checked_add(len as u64).is_some_and(|end| end <= self.map.len() as u64) {
            let _ = self.map.advise_range(Advice::WillNeed, offset as usize, len);
        }
    }
}

/// Opens and maps a file.
pub(super) fn open(path: &Path) -> Result<StorageFile> {
    let (file, len) = open_regular(path)?;
    if len == 0 {
        // Nothing to map: an empty mapping does not exist.
        return Ok(StorageFile::new(path, 0, Source::Resident(Arc::new(AlignedBuffer::zeroed(0)?))));
    }
    // SAFETY: sound as long as nobody changes the file while it is mapped. That cannot be proven here; it is the
    // condition under which `EngineKind::Mmap` may be chosen, and stands in its documentation and the module's.
    let map = unsafe { Mmap::map(&file) }.map_err(|error| Error::io("map", path, error))?;
    // The file may have changed since its length was taken: the mapping's counts.
    let len = map.len() as u64;
    Ok(StorageFile::new(path, len, Source::Mapped(Arc::new(Mapping { map, file }))))
}
