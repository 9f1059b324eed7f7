//! Writing a dataset of tensors record by record: shards of a bounded size, then the index, the manifest last. Every record
//! is noted as soon as it is stored, so that the next writer can go on behind the last one.

use super::earlier_run::EarlierRun;
use super::open::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{DatasetKind, MANIFEST_FILE, Manifest, ShardEntry, publish, sync_folder};
use crate::shard::{
    FinishedShard, FolderLock, Metadata, NewTensorRecord, PLAN_FILE, STATE_FOLDER, TensorShard, TensorShardWriter,
    WRITER_MARK, build_tensor_index,
};
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folder of the shards in a dataset.
const SHARDS_FOLDER: &str = "shards";

/// What a manifest of these writers says of how it was made.
const PROFILE: &str = "tensor";

/// Options of a [`DatasetWriter`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DatasetWriterOptions {
    /// A shard that has reached this size takes no further record, in bytes, at least 1. Default 1 GiB.
    pub shard_bytes: u64,
    /// What the fields are, in the user's words.
    pub description: Map<String, Value>,
    /// What becomes of the records that an earlier writer stored in the folder and did not publish. With
    /// [`EarlierRun::Resume`] a folder that was published is taken too, as a writer that has nothing left to do.
    /// Default [`EarlierRun::Refuse`].
    pub earlier_run: EarlierRun,
}

impl Default for DatasetWriterOptions {
    fn default() -> Self {
        Self { shard_bytes: 1 << 30, description: Map::new(), earlier_run: EarlierRun::default() }
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

    /// Sets [`Self::earlier_run`].
    #[must_use]
    pub fn earlier_run(mut self, earlier_run: EarlierRun) -> Self {
        self.earlier_run = earlier_run;
        self
    }
}

/// Writes a dataset of tensors into a folder of its own. Nothing is published before [`finish`](Self::finish). Records of a
/// process that died stay in the folder for the next writer ([`DatasetWriterOptions::earlier_run`]). A writer that is dropped
/// unfinished removes what it wrote, but keeps it where it was to resume.
#[derive(Debug)]
pub struct DatasetWriter {
    root: PathBuf,
    options: DatasetWriterOptions,
    current: Option<(ShardName, TensorShardWriter)>,
    shards: Vec<ShardEntry>,
    keys: HashSet<String>,
    /// In the order in which they were first seen.
    fields: Vec<String>,
    /// Records that earlier writers had stored.
    num_found: usize,
    /// A shard could not be finished.
    is_broken: bool,
    /// The dataset that the folder holds: there is nothing left to write.
    published: Option<Dataset>,
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
    /// `Conflict` where the folder holds a dataset or anything else, another writer is at work in it, an earlier writer's
    /// records are refused, or are of another description; `InvalidArgument` for an option out of range; `Corrupt` where a
    /// finished shard of an earlier writer is not sound.
    pub fn create(root: impl AsRef<Path>, options: DatasetWriterOptions) -> Result<Self> {
        let root = root.as_ref().to_owned();
        if options.shard_bytes == 0 {
            return Err(Error::invalid("shard_bytes is 0, expected at least 1"));
        }
        let mark = root.join(STATE_FOLDER).join(WRITER_MARK);
        let earlier = options.earlier_run;
        check_free(&root, &mark, earlier)?;
        let lock = FolderLock::take(&root)?;
        // Another writer may have finished while this one waited for nothing.
        check_free(&root, &mark, earlier)?;
        let mut writer = Self {
            root,
            options,
            current: None,
            shards: Vec::new(),
            keys: HashSet::new(),
            fields: Vec::new(),
            num_found: 0,
            is_broken: false,
            published: None,
            // Until all is taken over, nothing in the folder is this writer's to remove.
            is_finished: true,
            _lock: lock,
        };
        if writer.root.join(MANIFEST_FILE).exists() {
            writer.take_published()?;
            return Ok(writer);
        }
        match earlier {
            EarlierRun::Resume => writer.check_mark(&mark)?,
            EarlierRun::Discard => writer.clear()?,
            EarlierRun::Refuse => writer.check_empty()?,
        }
        publish(&mark, &writer.mark_text()?)?;
        let shards = writer.root.join(SHARDS_FOLDER);
        fs::create_dir_all(&shards).map_err(|error| Error::io("create", &shards, error))?;
        sync_folder(&shards)?;
        writer.find_stored()?;
        writer.num_found = writer.keys.len();
        writer.is_finished = false;
        Ok(writer)
    }

    /// A dataset that an earlier writer published: all of its keys are there.
    fn take_published(&mut self) -> Result<()> {
        let dataset = Dataset::open(&self.root)?;
        if dataset.manifest().profile != PROFILE {
            let message = "the folder is a dataset that no writer of tensors made";
            return Err(Error::new(ErrorKind::Conflict, message).with_path(&self.root));
        }
        if dataset.manifest().description != self.options.description {
            return Err(Error::new(ErrorKind::Conflict, other_description(&dataset.manifest().description))
                .with_path(&self.root));
        }
        for record in 0..dataset.len() {
            self.keys.insert(dataset.key(record)?.to_owned());
        }
        self.num_found = dataset.len();
        self.published = Some(dataset);
        Ok(())
    }

    /// What the mark of this writer says: what its records are.
    fn mark_text(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&json!({ "description": self.options.description }))
            .map_err(|error| Error::invalid("the description cannot be written down").with_source(error))
    }

    /// Records of an earlier writer are gone on with where they are of the same description.
    fn check_mark(&self, mark: &Path) -> Result<()> {
        let text = match fs::read(mark) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io("read", mark, error)),
        };
        let said: Option<Value> = serde_json::from_slice(&text).ok();
        let description = said.as_ref().and_then(|said| said.get("description")).and_then(Value::as_object);
        if description == Some(&self.options.description) || !self.has_stored()? {
            return Ok(());
        }
        let found = description.cloned().unwrap_or_default();
        Err(Error::new(ErrorKind::Conflict, other_description(&found)).with_path(&self.root))
    }

    fn check_empty(&self) -> Result<()> {
        if !self.has_stored()? {
            return self.clear();
        }
        let message = "an earlier writer left records here: say whether they are kept (EarlierRun::Resume, in Python \
                       resume=True) or removed (EarlierRun::Discard, resume=False)";
        Err(Error::new(ErrorKind::Conflict, message).with_path(&self.root))
    }

    /// True where an earlier writer left anything that may be a record.
    fn has_stored(&self) -> Result<bool> {
        let folder = self.root.join(SHARDS_FOLDER);
        match fs::read_dir(&folder) {
            Ok(mut entries) => Ok(entries.any(|entry| entry.is_ok_and(|e| e.metadata().is_ok_and(|m| m.len() > 0)))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("read", &folder, error)),
        }
    }

    /// Takes over the finished shards of an earlier writer, each checked, and the records of the one that it was writing.
    fn find_stored(&mut self) -> Result<()> {
        loop {
            let ShardName { id, file } = shard_name(self.shards.len());
            let path = self.root.join(&file);
            let Some(FinishedShard { shard, blake3, fields }) = FinishedShard::open(&path)? else { break };
            for row in 0..shard.len() {
                self.keys.insert(shard.key(row)?.to_owned());
            }
            self.see(fields);
            self.shards.push(ShardEntry { id, file, rows: shard.len() as u64, bytes: shard.file_bytes(), blake3 });
        }
        let current = self.begin_shard()?;
        let records = current.1.records();
        let keys: Vec<String> = records.iter().map(|record| record.key.clone()).collect();
        let fields = records.iter().flat_map(|record| record.fields.iter().map(|field| field.name.clone())).collect();
        if let Some(key) = keys.iter().find(|key| self.keys.contains(*key)) {
            return Err(Error::corrupt("two shards of an earlier writer have this key").with_record(key.clone()));
        }
        self.keys.extend(keys);
        self.see(fields);
        let is_full = !current.1.is_empty() && current.1.bytes() >= self.options.shard_bytes;
        self.current = Some(current);
        if is_full { self.end_shard() } else { Ok(()) }
    }

    fn see(&mut self, fields: Vec<String>) {
        for field in fields {
            if !self.fields.contains(&field) {
                self.fields.push(field);
            }
        }
    }

    /// True where a record with this key is stored, by this writer or by an earlier one that it resumed.
    pub fn contains(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    /// Records that earlier writers had stored.
    pub fn num_found(&self) -> usize {
        self.num_found
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
    /// not be finished, `Closed`: this writer can publish nothing any more. `Conflict` where the dataset is published already.
    pub fn add(&mut self, record: NewTensorRecord) -> Result<()> {
        self.check_whole()?;
        if self.keys.contains(&record.key) {
            return Err(Error::invalid("a record with this key was written already").with_record(record.key));
        }
        if self.published.is_some() {
            let message = "the dataset is published, and a writer cannot add to it";
            return Err(Error::new(ErrorKind::Conflict, message).with_record(record.key).with_path(&self.root));
        }
        let (key, names) = (record.key.clone(), record.fields.iter().map(|field| field.name.clone()));
        let names: Vec<_> = names.filter(|name| !self.fields.contains(name)).collect();
        if self.current.is_none() {
            self.current = Some(self.begin_shard()?);
        }
        let Some((_, shard)) = &mut self.current else { return self.check_whole() };
        shard.add(record)?;
        let is_full = shard.bytes() >= self.options.shard_bytes;
        self.keys.insert(key);
        self.fields.extend(names);
        if is_full { self.end_shard() } else { Ok(()) }
    }

    fn begin_shard(&self) -> Result<(ShardName, TensorShardWriter)> {
        let name = shard_name(self.shards.len());
        let writer = TensorShardWriter::resumable(&self.root.join(&name.file), Metadata::Written)?;
        Ok((name, writer))
    }

    fn end_shard(&mut self) -> Result<()> {
        let Some((ShardName { id, file }, writer)) = self.current.take() else { return Ok(()) };
        let summary = writer.finish().inspect_err(|_| self.is_broken = true)?;
        self.shards.push(ShardEntry { id, file, rows: summary.rows, bytes: summary.bytes, blake3: summary.blake3 });
        Ok(())
    }

    fn check_whole(&self) -> Result<()> {
        if self.is_broken {
            let message = "a shard could not be finished";
            return Err(Error::new(ErrorKind::Closed, message).with_path(&self.root));
        }
        Ok(())
    }

    /// Publishes the dataset and opens it.
    ///
    /// # Errors
    /// `InvalidArgument` where there is no record; `Closed` where records were lost; `Io`.
    pub fn finish(mut self) -> Result<Dataset> {
        if let Some(dataset) = self.published.take() {
            return Ok(dataset);
        }
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
        for entry in &self.shards {
            FinishedShard::remove_notes(&self.root.join(&entry.file));
        }
        publish(&self.root.join(&built.entry.file), &built.bytes)?;
        let (fields, description) = (self.fields.clone(), self.options.description.clone());
        let manifest = Manifest::new(DatasetKind::Tensor, PROFILE, built.entry, self.shards.clone());
        // Before the manifest is written: where that fails after its rename, the shards must stay. If it fails before, the mark
        // lets the next writer take the folder over.
        self.is_finished = true;
        Manifest { fields, description, ..manifest }.write(&self.root)?;
        let mark = self.root.join(STATE_FOLDER).join(WRITER_MARK);
        fs::remove_file(&mark).map_err(|error| Error::io("remove", &mark, error))?;
        Dataset::open(&self.root)
    }

    /// Ends without a dataset and removes what was written, also what earlier writers had stored.
    pub fn discard(mut self) {
        self.options.earlier_run = EarlierRun::Discard;
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
        // A shard without a record goes, records stay.
        self.current = None;
        let is_kept = !self.is_empty() && self.options.earlier_run == EarlierRun::Resume;
        if !self.is_finished && !is_kept {
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

fn shard_name(number: usize) -> ShardName {
    ShardName { id: format!("{number:05}"), file: format!("{SHARDS_FOLDER}/{number:05}.tar") }
}

fn other_description(found: &Map<String, Value>) -> String {
    let found = Value::Object(found.clone());
    format!("an earlier writer described its records as {found}, which this one does not")
}

/// A folder that is missing, empty, or left by a writer that died; to resume, also one that was published.
fn check_free(root: &Path, mark: &Path, earlier: EarlierRun) -> Result<()> {
    let conflict = |message: &str| Err(Error::new(ErrorKind::Conflict, message).with_path(root));
    if root.join(MANIFEST_FILE).exists() {
        if earlier == EarlierRun::Resume {
            return Ok(());
        }
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
