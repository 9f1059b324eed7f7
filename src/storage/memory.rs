//! Files held in memory: put in by name, or read whole when they are opened.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::file::{Source, StorageFile, open_regular};
use crate::buf::AlignedBuffer;
use crate::error::{Error, ErrorKind, Result};

/// Files by name.
#[derive(Default)]
pub(super) struct MemoryFiles(Mutex<HashMap<PathBuf, Arc<AlignedBuffer>>>);

impl MemoryFiles {
    /// Puts `bytes` under `path`, instead of what was there. Files that are open keep their bytes.
    pub(super) fn put(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let buffer = Arc::new(AlignedBuffer::copy_of(bytes)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), buffer);
        Ok(())
    }

    /// The file that was put under `path`, else the one of the file system, read whole.
    pub(super) fn open(&self, path: &Path) -> Result<StorageFile> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        let buffer = match known {
            Some(buffer) => buffer,
            None => Arc::new(read_whole(path)?),
        };
        Ok(StorageFile::new(path, buffer.len() as u64, Source::Resident(buffer)))
    }
}

fn read_whole(path: &Path) -> Result<AlignedBuffer> {
    let (mut file, len) = open_regular(path)?;
    let len = usize::try_from(len).map_err(|_| Error::new(ErrorKind::OutOfMemory, "the file exceeds the memory"))?;
    let mut buffer = AlignedBuffer::zeroed(len).map_err(|error| error.with_path(path))?;
    file.read_exact(&mut buffer).map_err(|error| Error::io("read", path, error))?;
    Ok(buffer)
}
