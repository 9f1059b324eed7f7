//! A dataset: its manifest, its index, and its shards, which are opened when they are first needed.

use super::fields::{FieldEntry, Fields, Home, check_description, same_key, tensor_entry};
use super::names::no_such;
use super::shards::Shards;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{DatasetIndex, DatasetKind, IndexPlace, IndexRow, Manifest, Record, TensorRecord};
use crate::media::StreamInfo;
use crate::order::{Extent, RecordExtents};
use crate::shard::{PLAN_FILE, STATE_FOLDER, Shard, TensorShard, WRITER_MARK};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Shards, and records in them, that are looked at, at least, to find out whether a column that is not in the dataset's index exists.
const MIN_SHARDS_SEARCHED: usize = 64;
const MIN_RECORDS_SEARCHED: u64 = 1 << 16;

struct Inner {
    root: PathBuf,
    manifest: Manifest,
    index: DatasetIndex,
    records: Records,
    fields: Fields,
}

/// The shards that hold the records themselves.
enum Records {
    Videos(Shards<Shard>),
    Tensors(Shards<TensorShard>),
}

/// What is known about a record besides its video and its tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordMetadata {
    /// Unique in the dataset.
    pub key: String,
    /// What the record shows.
    pub caption: Option<String>,
    /// The user's columns that have a value here.
    pub columns: Map<String, Value>,
}

/// The type of a user column, as the dataset's index has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexColumn {
    Bool,
    Int64,
    Float64,
    /// Not in the dataset's index: text, in the shards alone.
    Text,
}

/// A dataset on disk. Clones are one dataset: the index is read once, and every shard is opened once, when a record of it is
/// first wanted. Any thread may use it.
#[derive(Clone)]
pub struct Dataset(Arc<Inner>);

impl Dataset {
    /// Opens a dataset's folder: reads and checks the manifest, reads the index. No shard is touched.
    ///
    /// Indexes of more than 16 MiB, of the dataset or of a shard, are mapped, as are those beyond 512 MiB in one process: such
    /// files must not be truncated or edited in place while the dataset is open.
    ///
    /// # Errors
    /// `NotFound` where there is no dataset, which says what may be done about it; `Corrupt` where manifest or index are not what they should be; `Unsupported`
    /// for a newer format.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let root = path.as_ref().to_owned();
        let manifest = Manifest::read(&root).map_err(|error| no_dataset(&root, error))?;
        let index_path = root.join(&manifest.index.file);
        let index = DatasetIndex::open(&index_path, &manifest.index, manifest.kind)?;
        // Record numbers are kept in 32 bits where a window leaves some out.
        if index.len() as u64 != manifest.rows || u32::try_from(index.len()).is_err() {
            return Err(Error::corrupt(format!("index has {} rows, the manifest says {}", index.len(), manifest.rows))
                .with_path(index_path));
        }
        let records = match manifest.kind {
            DatasetKind::Video => Records::Videos(Shards::new(&root, &manifest.shards)),
            DatasetKind::Tensor => Records::Tensors(Shards::new(&root, &manifest.shards)),
        };
        let fields = Fields::new(&root, &manifest);
        Ok(Self(Arc::new(Inner { root, manifest, index, records, fields })))
    }

    /// The dataset's folder.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    /// What the dataset is.
    pub fn manifest(&self) -> &Manifest {
        &self.0.manifest
    }

    /// The index over all shards.
    pub fn index(&self) -> &DatasetIndex {
        &self.0.index
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.0.index.len()
    }

    /// True where there are no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What its records are: videos, or tensors alone.
    pub fn kind(&self) -> DatasetKind {
        self.0.manifest.kind
    }

    /// What the index knows of a record of a dataset of videos.
    ///
    /// # Errors
    /// `NotFound` where there is no such record; `InvalidArgument` where the records are tensors; `Corrupt`.
    pub fn row(&self, record: usize) -> Result<IndexRow<'_>> {
        self.check_number(record)?;
        self.0.index.row(record)
    }

    /// Where a record is, whatever its kind.
    ///
    /// # Errors
    /// `NotFound` where there is no such record; `Corrupt`.
    pub fn place(&self, record: usize) -> Result<IndexPlace<'_>> {
        self.check_number(record)?;
        self.0.index.place(record)
    }

    /// The key of a record.
    ///
    /// # Errors
    /// As [`place`](Self::place).
    pub fn key(&self, record: usize) -> Result<&str> {
        self.place(record).map(|place| place.key)
    }

    fn check_number(&self, record: usize) -> Result<()> {
        if record < self.len() {
            return Ok(());
        }
        let message = format!("there is no record {record}, the dataset has {}", self.len());
        Err(Error::new(ErrorKind::NotFound, message).with_path(&self.0.root))
    }

    /// Key, caption and columns of a record, from its shard, whatever its kind.
    ///
    /// # Errors
    /// As [`record`](Self::record), but for records of tensors.
    pub fn metadata(&self, record: usize) -> Result<RecordMetadata> {
        if self.kind() == DatasetKind::Tensor {
            let TensorRecord { key, caption, columns, .. } = self.tensor_record(record)?;
            return Ok(RecordMetadata { key, caption, columns });
        }
        let Record { key, caption, columns, .. } = self.record(record)?;
        Ok(RecordMetadata { key, caption, columns })
    }

    /// Everything about a record of a dataset of tensors, from its shard.
    ///
    /// # Errors
    /// `NotFound` where there is no such record; `InvalidArgument` where the records are videos; those of opening the shard.
    pub fn tensor_record(&self, record: usize) -> Result<TensorRecord> {
        let place = self.place(record)?;
        let Records::Tensors(shards) = &self.0.records else {
            return Err(Error::invalid("the records are videos").with_record(place.key).with_path(&self.0.root));
        };
        let shard = shards.get(place.shard as usize).map_err(|error| error.with_record(place.key))?;
        let found = shard.record(place.row as usize).map_err(|error| error.with_record(place.key))?;
        same_key(place.key, &found.key, shard.path())?;
        Ok(found)
    }

    /// Names of the fields: those of the records themselves, then those that were added.
    pub fn field_names(&self) -> Vec<String> {
        Fields::names(&self.0.manifest)
    }

    /// What a field is, in the words of whoever wrote it.
    ///
    /// # Errors
    /// `InvalidArgument` that lists the fields, where there is none of that name.
    pub fn description(&self, name: &str) -> Result<&Map<String, Value>> {
        Fields::description(&self.0.manifest, name).ok_or_else(|| self.no_field(name))
    }

    /// Compares what a field is with what it is expected to be: every key of `expected` must be there, with that value.
    ///
    /// # Errors
    /// `InvalidArgument` that lists every difference, or the fields where there is none of that name.
    pub fn check_description(&self, name: &str, expected: &Map<String, Value>) -> Result<()> {
        check_description(name, self.description(name)?, expected)
    }

    /// The stored tensor of that name of a record, or `None` where the record has none. No byte of it is read.
    ///
    /// # Errors
    /// `NotFound` where there is no such record; `InvalidArgument` that lists the fields, where there is none of that name;
    /// those of opening the shard that it lies in.
    pub fn field(&self, record: usize, name: &str) -> Result<Option<FieldEntry>> {
        let place = self.place(record)?;
        let Inner { manifest, fields, records, .. } = &*self.0;
        let (shard, row) = (place.shard as usize, place.row as usize);
        let home = fields.find(manifest, name).ok_or_else(|| self.no_field(name))?;
        let find = || match (home, records) {
            (Home::Column(shards), _) | (Home::Record, Records::Tensors(shards)) => {
                tensor_entry(&*shards.get(shard)?, row, place.key, name)
            }
            (Home::Record, Records::Videos(shards)) => {
                let shard = shards.get(shard)?;
                same_key(place.key, shard.key(row)?, shard.path())?;
                Ok(shard.field(row, name)?.map(|field| FieldEntry::new(shard.shared_path(), field)))
            }
        };
        find().map_err(|error| error.with_record(place.key))
    }

    /// The error for a field that there is none of, which may be a column.
    fn no_field(&self, name: &str) -> Error {
        let is_column = self.own_columns().any(|(known, _)| known == name) || self.column(name).is_ok();
        let message = if is_column {
            format!("'{name}' is a column, not a field: loaders take it as columns=['{name}']")
        } else {
            no_such("field", name, self.field_names().iter().map(String::as_str))
        };
        Error::invalid(format!("fields: {message}")).with_path(&self.0.root)
    }

    /// Everything about a record, from its shard.
    ///
    /// # Errors
    /// As [`row`](Self::row), and those of opening the shard: `NotFound` where its file is missing, `Corrupt` where it is
    /// cut, another shard, or contradicts the dataset's index.
    pub fn record(&self, record: usize) -> Result<Record> {
        let (shard, row) = self.locate(record)?;
        let found = shard.record(row.row as usize).map_err(|error| place(error, &shard, row.key))?;
        check_same(&row, &found.key, &found.stream).map_err(|error| place(error, &shard, row.key))?;
        Ok(found)
    }

    /// The video stream of a record and the shard that its packets lie in. Cheaper than [`record`](Self::record), with the
    /// same errors.
    pub fn stream(&self, record: usize) -> Result<(Arc<Shard>, StreamInfo)> {
        let (shard, row) = self.locate(record)?;
        let found = || -> Result<StreamInfo> {
            let stream = shard.stream(row.row as usize)?;
            check_same(&row, shard.key(row.row as usize)?, &stream)?;
            Ok(stream)
        };
        let stream = found().map_err(|error| place(error, &shard, row.key))?;
        Ok((shard, stream))
    }

    /// The number of the record with that key; looks at all of them.
    pub fn find(&self, key: &str) -> Result<Option<usize>> {
        self.0.index.find(key)
    }

    /// Shard `number` of the manifest of a dataset of videos, opened.
    pub fn shard(&self, number: usize) -> Result<Arc<Shard>> {
        match &self.0.records {
            Records::Videos(shards) => shards.get(number),
            Records::Tensors(_) => Err(Error::invalid("the records are tensors, not videos").with_path(&self.0.root)),
        }
    }

    /// The whole index as one table of Arrow columns: a copy of some hundred bytes a record.
    pub fn table(&self) -> Result<RecordBatch> {
        let batches = (0..self.0.index.num_batches()).map(|number| self.0.index.batch(number));
        let batches = batches.collect::<Result<Vec<_>>>()?;
        let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), |batch| batch.schema());
        concat_batches(&schema, batches)
            .map_err(|error| Error::corrupt("index cannot be joined into one table").with_source(error))
    }

    /// Names of the user columns: those in the index, and those of text that the first shard has.
    ///
    /// # Errors
    /// Those of opening that shard.
    pub fn column_names(&self) -> Result<Vec<String>> {
        let mut names: BTreeSet<String> = self.0.index.column_names().iter().cloned().collect();
        if !self.is_empty() {
            names.extend(self.shard_columns(0)?);
        }
        Ok(names.into_iter().collect())
    }

    fn num_shards(&self) -> usize {
        match &self.0.records {
            Records::Videos(shards) => shards.len(),
            Records::Tensors(shards) => shards.len(),
        }
    }

    fn shard_rows(&self, number: usize) -> u64 {
        match &self.0.records {
            Records::Videos(shards) => shards.num_rows(number),
            Records::Tensors(shards) => shards.num_rows(number),
        }
    }

    fn shard_columns(&self, number: usize) -> Result<Vec<String>> {
        match &self.0.records {
            Records::Videos(shards) => shards.column_names(number),
            Records::Tensors(shards) => shards.column_names(number),
        }
    }

    /// The type of a user column.
    ///
    /// # Errors
    /// `InvalidArgument` that lists the known columns, where there is none of that name in the first 64 shards and 65,536 records; that of the
    /// first of these shards that can't be opened, where the others lack it.
    pub(crate) fn column(&self, name: &str) -> Result<IndexColumn> {
        let mut known: BTreeSet<String> = self.0.index.column_names().iter().cloned().collect();
        if known.contains(name) {
            return self.index_column(name);
        }
        let mut unreadable = None;
        let mut num_records = 0;
        for number in 0..self.num_shards() {
            if number >= MIN_SHARDS_SEARCHED && num_records >= MIN_RECORDS_SEARCHED {
                break;
            }
            num_records += self.shard_rows(number);
            match self.shard_columns(number) {
                Ok(names) if names.iter().any(|known| known == name) => return Ok(IndexColumn::Text),
                Ok(names) => known.extend(names),
                Err(error) => drop(unreadable.get_or_insert(error)),
            }
        }
        let own = self.own_columns().map(|(name, _)| name);
        let known = known.iter().map(String::as_str).chain(own);
        let message = if self.field_names().iter().any(|field| field == name) {
            format!("'{name}' is a field, not a column: loaders take it as fields=['{name}']")
        } else {
            no_such("column", name, known)
        };
        Err(unreadable.unwrap_or_else(|| Error::invalid(format!("columns: {message}"))))
    }

    fn index_column(&self, name: &str) -> Result<IndexColumn> {
        let batch = self.0.index.batch(0)?;
        let field = batch.schema_ref().field_with_name("columns").ok().and_then(|field| match field.data_type() {
            DataType::Struct(fields) => fields.iter().find(|field| field.name() == name).cloned(),
            _ => None,
        });
        Ok(match field.as_ref().map(|field| field.data_type()) {
            Some(DataType::Boolean) => IndexColumn::Bool,
            Some(kind) if kind.is_integer() => IndexColumn::Int64,
            Some(kind) if kind.is_floating() => IndexColumn::Float64,
            _ => IndexColumn::Text,
        })
    }

    fn locate(&self, record: usize) -> Result<(Arc<Shard>, IndexRow<'_>)> {
        let row = self.row(record)?;
        let shard = self.shard(row.shard as usize).map_err(|error| error.with_record(row.key))?;
        Ok((shard, row))
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset")
            .field("root", &self.0.root)
            .field("records", &self.len())
            .field("shards", &self.0.manifest.shards.len())
            .finish()
    }
}

/// Says what a folder is that has no manifest.
fn no_dataset(root: &Path, error: Error) -> Error {
    let state = root.join(STATE_FOLDER);
    let why = if root.is_file() {
        let named = root.file_name().is_some_and(|name| name == "manifest.json");
        let folder = root.parent().filter(|folder| named && !folder.as_os_str().is_empty());
        match folder {
            Some(folder) => format!("no dataset: this is a file: give the folder, {}", folder.display()),
            None if named => "no dataset: this is a file: give the folder that holds it".to_owned(),
            None => format!(
                "no dataset: this is a file: give the folder of a dataset. A video is converted to one first: \
                 `framefeed convert {} --out DATASET`",
                root.display()
            ),
        }
    } else if error.kind() != ErrorKind::NotFound {
        return error;
    } else if !root.is_dir() {
        "no dataset: there is no such folder".to_owned()
    } else if state.join(WRITER_MARK).exists() {
        "no dataset: its writer has not finished; it is there when the writer is closed".to_owned()
    } else if state.join(PLAN_FILE).exists() {
        "no dataset: its conversion has not finished; the same `framefeed convert` command goes on with it".to_owned()
    } else {
        let root = root.display();
        format!(
            "no dataset: it has no manifest.json; `framefeed convert {root} --out DATASET` makes a dataset of videos"
        )
    };
    Error::new(ErrorKind::NotFound, why).with_path(root)
}

fn place(error: Error, shard: &Shard, key: &str) -> Error {
    error.with_record(key).with_path(shard.path())
}

/// The dataset's index decided which samples there are; a shard that says otherwise is another shard.
fn check_same(row: &IndexRow<'_>, key: &str, stream: &StreamInfo) -> Result<()> {
    let same_time = row.duration == stream.duration && row.time_base == stream.time_base;
    if row.key == key && row.frames as usize == stream.num_frames() && same_time {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "the dataset's index says '{}' with {} frames, the shard says '{key}' with {}",
        row.key,
        row.frames,
        stream.num_frames()
    )))
}

impl RecordExtents for Dataset {
    fn num_records(&self) -> usize {
        self.len()
    }

    fn extent(&self, record: usize) -> Result<Extent> {
        let row = self.row(record)?;
        Ok(Extent { num_frames: row.frames, duration: row.duration, time_base: row.time_base })
    }
}
