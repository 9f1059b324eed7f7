//! Writing a dataset of tensors record by record: shards of a bounded size, then the index, the manifest last.

use super::open::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{DatasetKind, MANIFEST_FILE, Manifest, ShardEntry, publish, sync_folder};
use crate::shard::{
    FolderLock, NewTensorRecord, PLAN_FILE, STATE_FOLDER, TensorShard, TensorShardWriter, WRITER_MARK,
    build_tensor_index,
};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folder of the shards in a dataset.
const SHARDS_FOLDER: &str = "shards";

/// Options of a [`DatasetWriter`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DatasetWriterOptions {
    /// A shard that has reached this size takes no further record, in bytes, at least 1. Default 1 GiB.
    pub shard_bytes: u64,
    /// What the fields are, in the user's words.
    pub description: Map<String, Value>,
}

impl Default for DatasetWriterOptions {
    fn default() -> Self {
        Self { shard_bytes: 1 << 30, description: Map::new() }
    }
}

impl DatasetWriterOptions {
    /// Sets [`Self::shard_bytes`].
    #[must_use]
    pub fn shard_bytes(mut self, bytes: u64) -> Self {
        self.shard_bytes = bytes;
        self
    }

    /// Sets [`Self::description`].
    #[must_use]
    pub fn description(mut self, description: Map<String, Value>) -> Self {
        self.description = description;
        self
    }
}

/// Writes a dataset of tensors into a folder of its own. Nothing is published before [`finish`](Self::finish): a writer that is
/// dropped, or a process that dies, leaves no dataset, and the next writer takes the folder over.
#[derive(Debug)]
pub struct DatasetWriter {
    root: PathBuf,
    options: DatasetWriterOptions,
    current: Option<(ShardName, TensorShardWriter)>,
    shards: Vec<ShardEntry>,
    keys: HashSet<String>,
    /// In the order in which they were first seen.
    fields: Vec<String>,
    /// A shard could not be finished, and its records are lost.
    is_broken: bool,
    is_finished: bool,
    _lock: FolderLock,
}

#[derive(Debug, Clone)]
struct ShardName {
    id: String,
    file: String,
}

impl DatasetWriter {
    /// Takes a folder, which is made where it is missing.
    ///
    /// # Errors
    /// `Conflict` where the folder holds a dataset or anything else, or another writer is at work in it; `InvalidArgument`
    /// for an option out of range.
    pub fn create(root: impl AsRef<Path>, options: DatasetWriterOptions) -> Result<Self> {
        let root = root.as_ref().to_owned();
        if options.shard_bytes == 0 {
            return Err(Error::invalid("shard_bytes is 0, expected at least 1"));
        }
        let mark = root.join(STATE_FOLDER).join(WRITER_MARK);
        check_free(&root, &mark)?;
        let lock = FolderLock::take(&root)?;
        // Another writer may have finished while this one waited for nothing.
        check_free(&root, &mark)?;
        fs::write(&mark, b"").map_err(|error| Error::io("write", &mark, error))?;
        let writer = Self {
            root,
            options,
            current: None,
            shards: Vec::new(),
            keys: HashSet::new(),
            fields: Vec::new(),
            is_broken: false,
            is_finished: false,
            _lock: lock,
        };
        writer.clear()?;
        let shards = writer.root.join(SHARDS_FOLDER);
        fs::create_dir_all(&shards).map_err(|error| Error::io("create", &shards, error))?;
        sync_folder(&shards)?;
        Ok(writer)
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True before the first record.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Adds a record. After an error that is about the record the writer is as before, and takes further records.
    ///
    /// # Errors
    /// `InvalidArgument` that names the record: a key that is not valid or was there before, a field or column name that is not
    /// valid, a field name that an entry of a loader's batch has, elements that do not fit shape and type; `Io`. After a shard could
    /// not be finished, `Closed`: its records are lost, and nothing can be published any more.
    pub fn add(&mut self, record: NewTensorRecord) -> Result<()> {
        self.check_whole()?;
        if self.keys.contains(&record.key) {
            return Err(Error::invalid("a record with this key was written already").with_record(record.key));
        }
        let (key, names) = (record.key.clone(), record.fields.iter().map(|field| field.name.clone()));
        let names: Vec<_> = names.filter(|name| !self.fields.contains(name)).collect();
        let (_, shard) = match &mut self.current {
            Some(current) => current,
            none => none.insert(begin_shard(&self.root, self.shards.len())?),
        };
        shard.add(record)?;
        let is_full = shard.bytes() >= self.options.shard_bytes;
        self.keys.insert(key);
        self.fields.extend(names);
        if is_full { self.end_shard() } else { Ok(()) }
    }

    fn end_shard(&mut self) -> Result<()> {
        let Some((ShardName { id, file }, writer)) = self.current.take() else { return Ok(()) };
        let summary = writer.finish().inspect_err(|_| self.is_broken = true)?;
        self.shards.push(ShardEntry { id, file, rows: summary.rows, bytes: summary.bytes, blake3: summary.blake3 });
        Ok(())
    }

    fn check_whole(&self) -> Result<()> {
        if self.is_broken {
            let message = "a shard could not be finished, and its records are lost";
            return Err(Error::new(ErrorKind::Closed, message).with_path(&self.root));
        }
        Ok(())
    }

    /// Publishes the dataset and opens it.
    ///
    /// # Errors
    /// `InvalidArgument` where there is no record; `Closed` where records were lost; `Io`.
    pub fn finish(mut self) -> Result<Dataset> {
        self.check_whole()?;
        if self.current.as_ref().is_some_and(|(_, writer)| writer.is_empty()) {
            self.current = None;
        }
        self.end_shard()?;
        if self.shards.is_empty() {
            return Err(Error::invalid("there is no record to publish").with_path(&self.root));
        }
        let open = |entry: &ShardEntry| TensorShard::open(&self.root.join(&entry.file));
        let built = build_tensor_index(self.shards.iter().map(open))?;
        publish(&self.root.join(&built.entry.file), &built.bytes)?;
        let (fields, description) = (self.fields.clone(), self.options.description.clone());
        let manifest = Manifest::new(DatasetKind::Tensor, "tensor", built.entry, self.shards.clone());
        // Before the manifest is written: where that fails after its rename, the shards must stay. If it fails before, the mark
        // lets the next writer take the folder over.
        self.is_finished = true;
        Manifest { fields, description, ..manifest }.write(&self.root)?;
        let mark = self.root.join(STATE_FOLDER).join(WRITER_MARK);
        fs::remove_file(&mark).map_err(|error| Error::io("remove", &mark, error))?;
        Dataset::open(&self.root)
    }

    /// Removes what a writer that died left behind, or what this one wrote.
    fn clear(&self) -> Result<()> {
        let shards = self.root.join(SHARDS_FOLDER);
        match fs::remove_dir_all(&shards) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &shards, error)),
            _ => Ok(()),
        }
    }
}

impl Drop for DatasetWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            self.current = None;
            let mark = self.root.join(STATE_FOLDER).join(WRITER_MARK);
            let cleared = self.clear().and_then(|()| {
                // Nothing is left that a later writer would have to take over, or take for its own.
                fs::remove_file(&mark).map_err(|error| Error::io("remove", &mark, error))
            });
            if let Err(error) = cleared {
                tracing::warn!("{}", error.report());
            }
        }
    }
}

fn begin_shard(root: &Path, number: usize) -> Result<(ShardName, TensorShardWriter)> {
    let name = ShardName { id: format!("{number:05}"), file: format!("{SHARDS_FOLDER}/{number:05}.tar") };
    let writer = TensorShardWriter::create(&root.join(&name.file))?;
    Ok((name, writer))
}

/// A folder that is missing, empty, or left by a writer that died.
fn check_free(root: &Path, mark: &Path) -> Result<()> {
    let conflict = |message: &str| Err(Error::new(ErrorKind::Conflict, message).with_path(root));
    if root.join(MANIFEST_FILE).exists() {
        return conflict("the folder is a dataset already");
    }
    if root.join(STATE_FOLDER).join(PLAN_FILE).exists() {
        return conflict("the folder is that of a conversion which has not finished");
    }
    match fs::read_dir(root) {
        Ok(entries) if !mark.exists() => {
            // A writer that died before it left its mark left the state folder alone.
            let mut others = entries.filter(|entry| !matches!(entry, Ok(entry) if entry.file_name() == STATE_FOLDER));
            if others.next().is_some() {
                return conflict("the folder is not empty, and no writer of tensors left it");
            }
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => conflict("the folder is a file"),
        Err(error) => Err(Error::io("open", root, error)),
    }
}
