//! Open shard files of a loader, shared by its threads and kept from one iteration to the next: what is mapped stays mapped.

use crate::error::Result;
use crate::storage::{Storage, StorageFile};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Shard files that are kept open: well below the usual limit of 1024 descriptors.
const MAX_OPEN_FILES: usize = 256;

/// Open shard files, the least recently used is closed for a new one. Reads in flight keep theirs open.
#[derive(Debug, Default)]
pub(super) struct Files(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// With the time of its last use.
    files: HashMap<PathBuf, (StorageFile, u64)>,
    clock: u64,
}

impl Files {
    /// The file of that path, opened where it is not open. Failures are not kept: a file that comes back is found.
    pub(super) fn get(&self, storage: &Storage, path: &Path) -> Result<StorageFile> {
        if let Some(file) = self.with(|open| open.find(path)) {
            return Ok(file);
        }
        // Not under the lock: opening may take long. Should two threads open a file at once, the first one is kept.
        let file = storage.open(path)?;
        Ok(self.with(|open| open.find(path).unwrap_or_else(|| open.add(path, file))))
    }

    fn with<T>(&self, change: impl FnOnce(&mut Open) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Open {
    fn find(&mut self, path: &Path) -> Option<StorageFile> {
        self.clock += 1;
        let (file, used) = self.files.get_mut(path)?;
        *used = self.clock;
        Some(file.clone())
    }

    fn add(&mut self, path: &Path, file: StorageFile) -> StorageFile {
        if self.files.len() >= MAX_OPEN_FILES {
            let oldest = self.files.iter().min_by_key(|(_, (_, used))| *used).map(|(path, _)| path.clone());
            oldest.map(|path| self.files.remove(&path));
        }
        self.files.insert(path.to_owned(), (file.clone(), self.clock));
        file
    }
}
