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
    refused: Option<Refused>,
}

/// A file that is no sound shard. It is read a second time, as storage may have failed once, and then no more for its other records
/// until another file is in its place.
struct Refused {
    file: Stamp,
    times: u8,
    error: Error,
}

/// What tells a file from another one of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// As a copy may bring the time at which it was modified.
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
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
    fn open_checked(&self, refused: &mut Option<Refused>) -> Result<Arc<S>> {
        let file = std::fs::metadata(&self.path).map_err(|error| Error::io("open shard", &self.path, error))?;
        let (bytes, stamp) = (file.len(), Stamp::from(&file));
        if bytes != self.bytes {
            return Err(Error::corrupt(format!("shard has {bytes} bytes, the manifest says {}", self.bytes)));
        }
        let before = refused.take().filter(|refused| refused.file == stamp);
        let times = before.as_ref().map_or(0, |before| before.times);
        if let Some(before) = before.filter(|_| times >= 2) {
            let error = before.error.again();
            *refused = Some(before);
            return Err(error);
        }
        self.open().inspect_err(|error| {
            if error.kind() == ErrorKind::Corrupt {
                *refused = Some(Refused { file: stamp, times: times + 1, error: error.again() });
            }
        })
    }

    fn open(&self) -> Result<Arc<S>> {
        let shard = S::open(&self.path)?;
        let rows = shard.num_records();
        if rows as u64 != self.rows {
            return Err(Error::corrupt(format!("shard has {rows} records, the manifest says {}", self.rows)));
        }
        Ok(shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static NUM_OPENED: AtomicUsize = AtomicUsize::new(0);

    /// A file with as many records as its first byte says.
    struct Bytes(usize);

    impl OpenShard for Bytes {
        fn open(path: &Path) -> Result<Arc<Self>> {
            NUM_OPENED.fetch_add(1, Ordering::Relaxed);
            match fs::read(path).unwrap()[0] {
                b'x' => Err(Error::corrupt("damaged")),
                rows => Ok(Arc::new(Self(usize::from(rows - b'0')))),
            }
        }

        fn num_records(&self) -> usize {
            self.0
        }

        fn column_names(&self) -> Vec<String> {
            Vec::new()
        }
    }

    #[test]
    fn a_damaged_shard_is_read_twice_and_another_file_in_its_place_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        let entry = ShardEntry { id: "a".into(), file: "a.tar".into(), rows: 3, bytes: 1, blake3: String::new() };
        let shards: Shards<Bytes> = Shards::new(folder.path(), &[entry]);
        let opened = |times: usize| {
            let before = NUM_OPENED.load(Ordering::Relaxed);
            let errors: Vec<_> = (0..times).map(|_| shards.get(0).err().map(|error| error.report())).collect();
            (NUM_OPENED.load(Ordering::Relaxed) - before, errors)
        };
        let damaged = Some(format!("damaged, in '{}'", path.display()));
        let has_rows = Some(format!("shard has 5 records, the manifest says 3, in '{}'", path.display()));
        fs::write(&path, "x").unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(opened(4), (2, vec![damaged; 4]));
        // Of the same time of modification, and on an ordinary file system with the same number. Kernels count times in steps.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "5").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        assert_eq!(opened(4), (2, vec![has_rows; 4]));
        fs::remove_file(&path).unwrap();
        assert_eq!(opened(1).0, 0);
        fs::write(&path, "3").unwrap();
        assert_eq!(opened(2), (1, vec![None, None]));
    }
}
