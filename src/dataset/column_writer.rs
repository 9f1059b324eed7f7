//! Adding tensors to a dataset that stands: new shards beside the old ones, then a new manifest. Nothing that is there is
//! touched, so the dataset can be read at any moment, and whoever has opened it goes on with what it was.
//!
//! The shards are written under their final names into a folder that no manifest names yet, one for each shard of the
//! dataset. Repeat the call to resume a run that died: it keeps every record that is whole.

use super::earlier_run::EarlierRun;
use super::open::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{ColumnSet, Manifest, ShardEntry, check_field_name, check_new_field_name, sync_folder};
use crate::shard::{
    FinishedShard, FolderLock, Metadata, NewTensor, NewTensorRecord, TensorShard, TensorShardWriter, num_noted_records,
};
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

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
    /// Begins a column of that name, or resumes one that an earlier run began with the same name and description.
    ///
    /// # Errors
    /// As [`create_with`](Self::create_with).
    pub fn create(dataset: &Dataset, name: &str, description: Map<String, Value>) -> Result<Self> {
        Self::create_with(dataset, name, description, EarlierRun::Resume)
    }

    /// As [`create`](Self::create), with a choice of what becomes of the records that an earlier run stored.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that is not valid; `Conflict` where the dataset has a column or field of that name, was
    /// replaced since it was opened, another writer is at work in it, or an earlier run is [refused](EarlierRun::Refuse);
    /// `Corrupt` where an earlier run's finished shard is not sound.
    pub fn create_with(
        dataset: &Dataset,
        name: &str,
        description: Map<String, Value>,
        earlier: EarlierRun,
    ) -> Result<Self> {
        check_field_name(name)?;
        let root = dataset.root();
        let lock = FolderLock::take(root)?;
        // Another column may have been added since.
        let manifest = manifest_of(dataset)?;
        if has_field(&manifest, name) {
            return Err(taken(dataset, name));
        }
        let folder = folder_name(&manifest, name, &description);
        let path = root.join(&folder);
        if earlier == EarlierRun::Discard {
            remove_folder(&path)?;
        }
        if earlier == EarlierRun::Refuse && num_stored(root, &folder, &manifest) > 0 {
            let message = format!("an earlier run stored records of column '{name}'");
            return Err(Error::new(ErrorKind::Conflict, message).with_path(path));
        }
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
        writer.find_unfinished()?;
        Ok(writer)
    }

    /// The number of the record that is written next: not 0 where an earlier run's shards were found.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Records that an earlier run had stored.
    pub fn num_found(&self) -> usize {
        self.num_found
    }

    /// Notes that a record has no tensors, so that no later run asks for it. So do the records before it that were passed over.
    ///
    /// # Errors
    /// `InvalidArgument` for a record before [`position`](Self::position) or that does not exist; `Io`.
    pub fn skip(&mut self, record: usize) -> Result<()> {
        self.check_next(record)?;
        self.pass_to(record + 1)
    }

    /// Stores the tensors of a record. Records that are passed over have none.
    ///
    /// # Errors
    /// `InvalidArgument` for a record before [`position`](Self::position) or that does not exist, for elements that do not fit
    /// shape and type, for a field that the dataset has already, and for one of the name of another entry of a loader's batch; `Io`.
    pub fn add(&mut self, record: usize, tensors: Vec<NewTensor>) -> Result<()> {
        self.check_next(record)?;
        for tensor in &tensors {
            self.check_field(&tensor.name)?;
        }
        self.pass_to(record)?;
        let names: Vec<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
        self.append(record, tensors)?;
        for name in names {
            self.see(name);
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
            remove_folder(&self.dataset.root().join(&self.folder))?;
            return Err(Error::invalid(format!("no record was given a tensor for column '{}'", self.name)));
        }
        for entry in &self.done {
            FinishedShard::remove_notes(&self.dataset.root().join(&entry.file));
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

    fn check_next(&self, record: usize) -> Result<()> {
        let (from, end) = (self.position, self.dataset.len());
        if (from..end).contains(&record) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "record {record} is not the next one: expected at least {from} and less than {end}"
        )))
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
                none.insert(TensorShardWriter::resumable(&path, Metadata::LeftOut)?)
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

    /// Takes over the shards that an earlier run finished, each checked, up to the first that is missing.
    fn find_finished(&mut self) -> Result<()> {
        for number in 0..self.manifest.shards.len() {
            let path = self.dataset.root().join(shard_file(&self.folder, number));
            let Some(FinishedShard { shard, blake3, fields }) = FinishedShard::open(&path)? else { return Ok(()) };
            self.check_rows(number, &shard)?;
            for field in fields {
                self.see(field);
            }
            self.position += shard.len();
            self.num_found += shard.len();
            let entry = self.entry(number, shard.len() as u64, shard.file_bytes(), blake3);
            self.done.push(entry);
        }
        Ok(())
    }

    /// Takes over the records of the shard that an earlier run was writing.
    fn find_unfinished(&mut self) -> Result<()> {
        let number = self.done.len();
        let Some(rows) = self.manifest.shards.get(number).map(|entry| entry.rows) else { return Ok(()) };
        let path = self.dataset.root().join(shard_file(&self.folder, number));
        let writer = TensorShardWriter::resumable(&path, Metadata::LeftOut)?;
        let found = writer.records();
        let first = self.position;
        let is_ours = found.len() as u64 <= rows
            && found.iter().enumerate().all(|(row, found)| self.dataset.key(first + row).is_ok_and(|k| k == found.key));
        if !is_ours {
            writer.discard();
            return Ok(());
        }
        let fields: Vec<String> =
            found.iter().flat_map(|record| record.fields.iter().map(|field| field.name.clone())).collect();
        self.position += found.len();
        self.num_found += found.len();
        let is_full = found.len() as u64 == rows;
        for field in fields {
            self.see(field);
        }
        self.current = Some(writer);
        if is_full { self.end_shard(number) } else { Ok(()) }
    }

    fn see(&mut self, field: String) {
        if !self.fields.contains(&field) {
            self.fields.push(field);
        }
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

/// Removes the folder again where no record was stored in it.
impl Drop for ColumnWriter {
    fn drop(&mut self) {
        // A shard without a record goes first.
        self.current = None;
        let folder = self.dataset.root().join(&self.folder);
        // Neither is removed while anything is in it.
        let _ = fs::remove_dir(&folder);
        let _ = folder.parent().map(fs::remove_dir);
    }
}

/// How far a column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnProgress {
    /// The dataset has it.
    Published,
    /// Runs that died stored the records before this one.
    Stored(usize),
}

impl Dataset {
    /// How far the column of that name and description is written. Reads the manifest anew. What an earlier run stored is
    /// not checked here: a writer that finds damage goes on before the place that this names.
    ///
    /// # Errors
    /// `Conflict` where the dataset has a column of another description or a field of that name, or was replaced since it was
    /// opened; `InvalidArgument` for a name that is not valid.
    pub fn column_progress(&self, name: &str, description: &Map<String, Value>) -> Result<ColumnProgress> {
        check_field_name(name)?;
        let manifest = manifest_of(self)?;
        if manifest.columns.iter().any(|set| set.name == name && set.description == *description) {
            return Ok(ColumnProgress::Published);
        }
        if has_field(&manifest, name) {
            return Err(taken(self, name));
        }
        let folder = folder_name(&manifest, name, description);
        Ok(ColumnProgress::Stored(num_stored(self.root(), &folder, &manifest)))
    }
}

/// The manifest as it stands, which must be of the shards that were opened.
fn manifest_of(dataset: &Dataset) -> Result<Manifest> {
    let manifest = Manifest::read(dataset.root())?;
    if manifest.shards != dataset.manifest().shards {
        let message = "the dataset was replaced since it was opened";
        return Err(Error::new(ErrorKind::Conflict, message).with_path(dataset.root()));
    }
    Ok(manifest)
}

fn has_field(manifest: &Manifest, name: &str) -> bool {
    let in_set = |set: &ColumnSet| set.name == name || set.fields.iter().any(|field| field == name);
    manifest.columns.iter().any(in_set) || manifest.fields.iter().any(|field| field == name)
}

fn taken(dataset: &Dataset, name: &str) -> Error {
    let message = match dataset.manifest().columns.iter().find(|set| set.name == name) {
        Some(set) => {
            let description = Value::Object(set.description.clone());
            format!("the dataset has a column '{name}' already, with the description {description}")
        }
        None => format!("the dataset has a field '{name}' already"),
    };
    Error::new(ErrorKind::Conflict, message).with_path(dataset.root())
}

/// Records that runs which died stored in a column's folder.
fn num_stored(root: &Path, folder: &str, manifest: &Manifest) -> usize {
    let mut stored = 0;
    for (number, entry) in manifest.shards.iter().enumerate() {
        let path = root.join(shard_file(folder, number));
        if !path.exists() {
            return stored + num_noted_records(&path).min(entry.rows as usize);
        }
        stored += entry.rows as usize;
    }
    stored
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", folder, error)),
        _ => Ok(()),
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
