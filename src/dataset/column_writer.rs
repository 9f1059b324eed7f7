//! Adding tensors to a dataset that stands: new shards beside the old ones, then a new manifest. Nothing that is there is
//! touched, so the dataset can be read at any moment, and whoever has opened it goes on with what it was.
//!
//! The shards are written under their final names into a folder that no manifest names yet, one for each shard of the
//! dataset. A run that died is gone on with by the same call: its finished shards are checked and kept.

use super::open::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{ColumnSet, Manifest, ShardEntry, check_field_name, check_new_field_name, sync_folder};
use crate::shard::{FolderLock, Metadata, NewTensor, NewTensorRecord, TensorShard, TensorShardWriter};
use serde_json::{Map, Value};
use std::fs;

/// Adds tensors to every record of a dataset, in the order of the records.
#[derive(Debug)]
pub struct ColumnWriter {
    dataset: Dataset,
    manifest: Manifest,
    name: String,
    description: Map<String, Value>,
    /// Path of the column's folder from the dataset's.
    folder: String,
    current: Option<TensorShardWriter>,
    done: Vec<ShardEntry>,
    fields: Vec<String>,
    /// The record that is written next.
    position: usize,
    num_found: usize,
    _lock: FolderLock,
}

impl ColumnWriter {
    /// Begins a column of that name, or goes on with one that an earlier run began with the same name and description.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that is not valid; `Conflict` where the dataset has a column or field of that name, was
    /// replaced since it was opened, or another writer is at work in it; `Corrupt` where an earlier run's shard is not sound.
    pub fn create(dataset: &Dataset, name: &str, description: Map<String, Value>) -> Result<Self> {
        check_field_name(name)?;
        let root = dataset.root();
        let conflict = |message: String| Error::new(ErrorKind::Conflict, message).with_path(root);
        let lock = FolderLock::take(root)?;
        // Another column may have been added since.
        let manifest = Manifest::read(root)?;
        if manifest.shards != dataset.manifest().shards {
            return Err(conflict("the dataset was replaced since it was opened".to_owned()));
        }
        let taken = |set: &ColumnSet| set.name == name || set.fields.iter().any(|field| field == name);
        if manifest.columns.iter().any(taken) || manifest.fields.iter().any(|field| field == name) {
            return Err(conflict(format!("the dataset has a field '{name}' already")));
        }
        let folder = folder_name(&manifest, name, &description);
        let path = root.join(&folder);
        let mut writer = Self {
            dataset: dataset.clone(),
            manifest,
            name: name.to_owned(),
            description,
            folder,
            current: None,
            done: Vec::new(),
            fields: Vec::new(),
            position: 0,
            num_found: 0,
            _lock: lock,
        };
        fs::create_dir_all(&path).map_err(|error| Error::io("create", &path, error))?;
        // The names of both folders that may be new must last as the manifest does.
        sync_folder(&path)?;
        path.parent().map_or(Ok(()), sync_folder)?;
        writer.find_finished()?;
        Ok(writer)
    }

    /// The number of the record that is written next: not 0 where an earlier run's shards were found.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Records in shards that an earlier run had finished.
    pub fn num_found(&self) -> usize {
        self.num_found
    }

    /// Stores the tensors of a record. Records that are passed over have none.
    ///
    /// # Errors
    /// `InvalidArgument` for a record before [`position`](Self::position) or that does not exist, for elements that do not fit
    /// shape and type, for a field that the dataset has already, and for one of the name of another entry of a loader's batch; `Io`.
    pub fn add(&mut self, record: usize, tensors: Vec<NewTensor>) -> Result<()> {
        if record < self.position || record >= self.dataset.len() {
            let (from, to) = (self.position, self.dataset.len());
            return Err(Error::invalid(format!("record {record} is not the next one: expected one of {from} to {to}")));
        }
        for tensor in &tensors {
            self.check_field(&tensor.name)?;
        }
        self.pass_to(record)?;
        let names: Vec<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
        self.append(record, tensors)?;
        for name in names {
            if !self.fields.contains(&name) {
                self.fields.push(name);
            }
        }
        Ok(())
    }

    /// Publishes the column with a new manifest, and opens the dataset anew. Records that were not reached have no tensors.
    ///
    /// # Errors
    /// `InvalidArgument` where no record has any; `Io`.
    pub fn finish(mut self) -> Result<Dataset> {
        self.pass_to(self.dataset.len())?;
        if self.fields.is_empty() {
            // Kept, the shards would be taken for finished ones by the next run, and nothing could ever be added.
            let folder = self.dataset.root().join(&self.folder);
            fs::remove_dir_all(&folder).map_err(|error| Error::io("remove", &folder, error))?;
            return Err(Error::invalid(format!("no record was given a tensor for column '{}'", self.name)));
        }
        let mut manifest = self.manifest.clone();
        manifest.columns.push(ColumnSet {
            name: self.name.clone(),
            fields: std::mem::take(&mut self.fields),
            description: std::mem::take(&mut self.description),
            shards: std::mem::take(&mut self.done),
        });
        manifest.write(self.dataset.root())?;
        Dataset::open(self.dataset.root())
    }

    fn check_field(&self, name: &str) -> Result<()> {
        check_new_field_name(name)?;
        let added = self.manifest.columns.iter().flat_map(|set| &set.fields);
        if self.manifest.fields.iter().chain(added).any(|known| known == name) {
            return Err(Error::invalid(format!("the dataset has a field '{name}' already")));
        }
        Ok(())
    }

    /// Writes rows without tensors up to `record`.
    fn pass_to(&mut self, record: usize) -> Result<()> {
        while self.position < record {
            self.append(self.position, Vec::new())?;
        }
        Ok(())
    }

    fn append(&mut self, record: usize, fields: Vec<NewTensor>) -> Result<()> {
        let place = self.dataset.place(record)?;
        let (shard, row, key) = (place.shard as usize, u64::from(place.row), place.key.to_owned());
        let writer = match &mut self.current {
            Some(writer) => writer,
            none => {
                let path = self.dataset.root().join(shard_file(&self.folder, shard));
                none.insert(TensorShardWriter::with_metadata(&path, Metadata::LeftOut)?)
            }
        };
        writer.add(NewTensorRecord { key, fields, ..NewTensorRecord::default() })?;
        self.position += 1;
        let rows = self.manifest.shards.get(shard).map_or(0, |entry| entry.rows);
        if row + 1 == rows { self.end_shard(shard) } else { Ok(()) }
    }

    fn end_shard(&mut self, shard: usize) -> Result<()> {
        let Some(writer) = self.current.take() else { return Ok(()) };
        let summary = writer.finish()?;
        let entry = self.entry(shard, summary.rows, summary.bytes, summary.blake3);
        self.done.push(entry);
        Ok(())
    }

    fn entry(&self, shard: usize, rows: u64, bytes: u64, blake3: String) -> ShardEntry {
        let file = shard_file(&self.folder, shard);
        ShardEntry { id: file.trim_end_matches(".tar").to_owned(), file, rows, bytes, blake3 }
    }

    /// Takes over the shards that an earlier run finished, each read and checked whole, up to the first that is missing.
    fn find_finished(&mut self) -> Result<()> {
        for number in 0..self.manifest.shards.len() {
            let path = self.dataset.root().join(shard_file(&self.folder, number));
            if !path.exists() {
                return Ok(());
            }
            let shard = TensorShard::open(&path)?;
            self.check_rows(number, &shard)?;
            let report = shard.verify(None);
            if let Some(problem) = report.problems.into_iter().next() {
                return Err(problem);
            }
            for row in 0..shard.len() {
                for field in shard.record(row)?.fields {
                    if !self.fields.contains(&field.name) {
                        self.fields.push(field.name);
                    }
                }
            }
            self.position += shard.len();
            self.num_found += shard.len();
            let entry = self.entry(number, shard.len() as u64, shard.file_bytes(), report.blake3);
            self.done.push(entry);
        }
        Ok(())
    }

    /// A shard mirrors the dataset's: the same keys in the same order.
    fn check_rows(&self, number: usize, shard: &TensorShard) -> Result<()> {
        let rows = self.manifest.shards.get(number).map_or(0, |entry| entry.rows);
        let same = shard.len() as u64 == rows
            && (0..shard.len()).all(|row| {
                shard.key(row).is_ok_and(|key| self.dataset.key(self.position + row).is_ok_and(|k| k == key))
            });
        if same {
            return Ok(());
        }
        Err(Error::corrupt("the shard of an earlier run has other records than the dataset").with_path(shard.path()))
    }
}

/// Removes the folder again where no shard was finished in it.
impl Drop for ColumnWriter {
    fn drop(&mut self) {
        // Its temporary file goes first.
        self.current = None;
        let folder = self.dataset.root().join(&self.folder);
        // Neither is removed while anything is in it.
        let _ = fs::remove_dir(&folder);
        let _ = folder.parent().map(fs::remove_dir);
    }
}

/// `columns/<name>-<8 digits>`: the same for the same column of the same dataset, so that a run finds what an earlier one wrote.
fn folder_name(manifest: &Manifest, name: &str, description: &Map<String, Value>) -> String {
    let description = Value::Object(description.clone()).to_string();
    let text = format!("{}\0{name}\0{description}", manifest.id);
    let hash = blake3::hash(text.as_bytes()).to_hex();
    format!("columns/{name}-{}", hash.get(..8).unwrap_or_default())
}

fn shard_file(folder: &str, number: usize) -> String {
    format!("{folder}/{number:05}.tar")
}
