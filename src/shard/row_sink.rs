//! What the writers of both kinds of shard have in common: the rows beside the file, unique keys, and going back after a record
//! that is refused.

use super::sink::{ShardSummary, Sink};
use crate::error::{Error, ErrorKind, Result};
use crate::format;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A shard in the making, with rows of type `R`.
#[derive(Debug)]
pub(super) struct RowSink<R> {
    path: PathBuf,
    sink: Sink,
    rows: Vec<R>,
    keys: HashSet<String>,
    is_broken: bool,
}

impl<R> RowSink<R> {
    /// Starts the shard that will be `path`. Its folder must exist.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let sink = Sink::create(format::temporary_name(path)?)?;
        Ok(Self { path: path.to_owned(), sink, rows: Vec::new(), keys: HashSet::new(), is_broken: false })
    }

    /// Goes on with a shard whose first rows are in `sink` already.
    pub(super) fn resumed(path: &Path, sink: Sink, rows: Vec<R>, key: impl Fn(&R) -> &str) -> Self {
        let keys = rows.iter().map(|row| key(row).to_owned()).collect();
        Self { path: path.to_owned(), sink, rows, keys, is_broken: false }
    }

    /// The rows so far.
    pub(super) fn rows(&self) -> &[R] {
        &self.rows
    }

    /// The file.
    pub(super) fn sink_mut(&mut self) -> &mut Sink {
        &mut self.sink
    }

    /// Bytes written so far, without the index.
    pub(super) fn bytes(&self) -> u64 {
        self.sink.position
    }

    /// Number of records so far.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds the record whose members `append` writes. After an error other than of the shard file itself everything is as
    /// before.
    pub(super) fn add(&mut self, key: String, append: impl FnOnce(&mut Sink) -> Result<R>) -> Result<()> {
        self.check_whole()?;
        let mark = self.sink.mark();
        let added = self.check_key(&key).and_then(|()| append(&mut self.sink));
        match added {
            Ok(row) => {
                self.keys.insert(key);
                self.rows.push(row);
                Ok(())
            }
            Err(error) => {
                // A file that cannot be cut back cannot be finished either; the first error says why.
                self.is_broken = self.sink.rewind(mark).is_err();
                Err(error.with_record(key))
            }
        }
    }

    fn check_key(&self, key: &str) -> Result<()> {
        format::validate_key(key)?;
        if self.keys.contains(key) {
            return Err(Error::invalid("a record with this key is in the shard already"));
        }
        Ok(())
    }

    fn check_whole(&self) -> Result<()> {
        if self.is_broken {
            return Err(Error::new(ErrorKind::Io, "shard could not be cut back after an error").with_path(&self.path));
        }
        Ok(())
    }

    /// Writes the index that `encode` makes of the rows, publishes the file and says what it is.
    pub(super) fn finish(self, encode: impl FnOnce(&[R]) -> Result<Vec<u8>>) -> Result<ShardSummary> {
        self.check_whole()?;
        let index = encode(&self.rows)?;
        self.sink.finish(&index, self.rows.len() as u64, &self.path)
    }
}
