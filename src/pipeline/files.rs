//! Open shard files of one thread.

use crate::error::Result;
use crate::storage::StorageFile;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Shard files that are kept open: well below the usual limit of 1024 descriptors, for a few threads.
const MAX_OPEN_FILES: usize = 128;

/// Open shard files, the least recently used is closed for a new one. Reads in flight keep theirs open.
#[derive(Default)]
pub(super) struct Files {
    /// With the time of its last use.
    open: HashMap<PathBuf, (StorageFile, u64)>,
    clock: u64,
}

impl Files {
    pub(super) fn get(&mut self, path: &Path, open: impl FnOnce(&Path) -> Result<StorageFile>) -> Result<StorageFile> {
        self.clock += 1;
        if let Some((file, used)) = self.open.get_mut(path) {
            *used = self.clock;
            return Ok(file.clone());
        }
        let file = open(path)?;
        if self.open.len() >= MAX_OPEN_FILES {
            let oldest = self.open.iter().min_by_key(|(_, (_, used))| *used).map(|(path, _)| path.clone());
            oldest.map(|path| self.open.remove(&path));
        }
        self.open.insert(path.to_owned(), (file.clone(), self.clock));
        Ok(file)
    }
}
