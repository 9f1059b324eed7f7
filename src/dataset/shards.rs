//! The shards of a dataset, opened when first wanted and shared from then on.

use crate::error::{Error, ErrorKind, Result};
use crate::format::ShardEntry;
use crate::shard::{Shard, TensorShard};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A shard of either kind.
pub(super) trait OpenShard: Sized {
    fn open(path: &Path) -> Result<Arc<Self>>;
    fn num_records(&self) -> usize;
    fn column_names(&self) -> Vec<String>;
}

impl OpenShard for Shard {
    fn open(path: &Path) -> Result<Arc<Self>> {
        Self::open(path)
    }

    fn num_records(&self) -> usize {
        self.len()
    }

    fn column_names(&self) -> Vec<String> {
        self.column_names()
    }
}

impl OpenShard for TensorShard {
    fn open(path: &Path) -> Result<Arc<Self>> {
        Self::open(path)
    }

    fn num_records(&self) -> usize {
        self.len()
    }

    fn column_names(&self) -> Vec<String> {
        self.column_names()
    }
}

struct Slot<S> {
    path: PathBuf,
    rows: u64,
    bytes: u64,
    state: Mutex<State<S>>,
}

struct State<S> {
    /// The shard while it is open.
    open: Option<Arc<S>>,
    /// Of which file it was found that it is no sound shard: read once, and not for each of its records. A file that comes back, or
    /// another one in its place, is found.
    refused: Option<(Stamp, Error)>,
}

/// What tells a file from another one of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(file: &Metadata) -> Self {
        Self { device: file.dev(), inode: file.ino(), bytes: file.len(), modified: (file.mtime(), file.mtime_nsec()) }
    }
}

/// One slot for each shard of a list of the manifest.
pub(super) struct Shards<S>(Vec<Slot<S>>);

impl<S: OpenShard> Shards<S> {
    pub(super) fn new(root: &Path, entries: &[ShardEntry]) -> Self {
        let slot = |entry: &ShardEntry| Slot {
            path: root.join(&entry.file),
            rows: entry.rows,
            bytes: entry.bytes,
            state: Mutex::new(State { open: None, refused: None }),
        };
        Self(entries.iter().map(slot).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Records of shard `number` by the manifest; 0 where there is no such shard.
    pub(super) fn num_rows(&self, number: usize) -> u64 {
        self.0.get(number).map_or(0, |slot| slot.rows)
    }

    /// Names of the user's columns that shard `number` has.
    pub(super) fn column_names(&self, number: usize) -> Result<Vec<String>> {
        self.get(number).map(|shard| shard.column_names())
    }

    /// Shard `number`, opened and compared with what the manifest says of it.
    pub(super) fn get(&self, number: usize) -> Result<Arc<S>> {
        let slot = self.0.get(number).ok_or_else(|| {
            Error::corrupt(format!("the index names shard {number}, the manifest has {}", self.0.len()))
        })?;
        let mut state = slot.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shard) = &state.open {
            return Ok(Arc::clone(shard));
        }
        let shard = slot.open_checked(&mut state.refused).map_err(|error| error.with_path(&slot.path))?;
        state.open = Some(Arc::clone(&shard));
        Ok(shard)
    }
}

impl<S: OpenShard> Slot<S> {
    fn open_checked(&self, refused: &mut Option<(Stamp, Error)>) -> Result<Arc<S>> {
        let file = std::fs::metadata(&self.path).map_err(|error| Error::io("open shard", &self.path, error))?;
        let (bytes, stamp) = (file.len(), Stamp::from(&file));
        if bytes != self.bytes {
            return Err(Error::corrupt(format!("shard has {bytes} bytes, the manifest says {}", self.bytes)));
        }
        if let Some((_, error)) = refused.as_ref().filter(|(seen, _)| *seen == stamp) {
            return Err(error.again());
        }
        let shard = S::open(&self.path).inspect_err(|error| {
            *refused = (error.kind() == ErrorKind::Corrupt).then(|| (stamp, error.again()));
        })?;
        let rows = shard.num_records();
        if rows as u64 != self.rows {
            return Err(Error::corrupt(format!("shard has {rows} records, the manifest says {}", self.rows)));
        }
        Ok(shard)
    }
}
