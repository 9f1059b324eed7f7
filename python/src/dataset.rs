//! `framefeed.Dataset`: records by number, and the index as a table.

use framefeed::{ClipReader, ColumnProgress, ColumnWriter, Dataset, EarlierRun, ErrorKind, StorageOptions};
use pyo3::exceptions::{PyException, PyIndexError, PyMemoryError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::arguments::{self, wrong_type_of};
use crate::column::{self, Column};
use crate::errors::{needs, raise};
use crate::json;
use crate::process::Owned;
use crate::record::PyRecord;

/// Readers that are kept open for the next call; more are closed after use.
const MAX_PARKED: usize = 16;

/// A dataset as this process has opened it, with readers that calls of [`crate::decode`] take and put back.
pub(crate) struct Opened {
    pub(crate) dataset: Dataset,
    readers: Mutex<Vec<ClipReader>>,
}

impl Opened {
    fn open(path: &Path) -> framefeed::Result<Arc<Self>> {
        Dataset::open(path).map(Self::new)
    }

    fn new(dataset: Dataset) -> Arc<Self> {
        Arc::new(Self { dataset, readers: Mutex::default() })
    }

    /// A reader for one thread.
    pub(crate) fn reader(&self) -> framefeed::Result<ClipReader> {
        let parked = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        parked.map_or_else(|| ClipReader::new(&self.dataset, &StorageOptions::new()), Ok)
    }

    /// Keeps a reader with its open decoders for the next call.
    pub(crate) fn park(&self, reader: ClipReader) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < MAX_PARKED {
            readers.push(reader);
        }
    }
}

/// A dataset on disk, as `framefeed convert` and :class:`Writer` make it. Opening it reads the manifest and the
/// index.
///
/// It may be used by several threads. Pickled, it is its path; in a forked process it is opened anew when first used.
/// Indexes above 16 MiB are mapped into memory, and those beyond 512 MiB in one process: while the dataset is open,
/// also by a loader or a table, their files must be neither truncated nor edited in place.
///
/// Args:
///     path: the folder that holds `manifest.json`.
///
/// Raises:
///     NotFoundError: there is no dataset; the message says what the folder is, and what may be done.
///     CorruptError: manifest or index are not what they should be.
#[pyclass(frozen, name = "Dataset", module = "framefeed")]
pub(crate) struct PyDataset {
    path: PathBuf,
    /// Locked only with the GIL held, and only to look at it or to set it: nothing runs in between that could give the GIL to a
    /// thread that forks, so no child finds it locked.
    handle: Mutex<Owned<Arc<Opened>>>,
}

impl PyDataset {
    /// The dataset, as this process has opened it.
    pub(crate) fn here(&self) -> PyResult<Arc<Opened>> {
        let known = self.handle().get().cloned();
        if let Some(opened) = known {
            return Ok(opened);
        }
        let opened = Opened::open(&self.path).map_err(raise)?;
        let mut handle = self.handle();
        // Another thread may have been faster; what it stored is in use.
        if let Some(first) = handle.get() {
            return Ok(Arc::clone(first));
        }
        *handle = Owned::new(Arc::clone(&opened));
        Ok(opened)
    }

    fn handle(&self) -> MutexGuard<'_, Owned<Arc<Opened>>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Our error for one of pyarrow's, which stays as its cause. What is no mistake of the index is left as it is.
fn unreadable_table(py: Python<'_>, opened: &Opened, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyException>(py) {
        return error;
    }
    let (kind, message) = if error.is_instance_of::<PyMemoryError>(py) {
        (ErrorKind::OutOfMemory, "no memory for the index as a table".to_owned())
    } else {
        (ErrorKind::Corrupt, format!("pyarrow cannot read the index: {}", error.value(py)))
    };
    let manifest = opened.dataset.manifest();
    let path = opened.dataset.root().join(&manifest.index.file);
    let ours = raise(framefeed::Error::new(kind, message).with_path(path));
    ours.set_cause(py, Some(error));
    ours
}

#[pymethods]
impl PyDataset {
    #[new]
    #[pyo3(signature = (path))]
    fn new(py: Python<'_>, #[pyo3(from_py_with = arguments::path)] path: PathBuf) -> PyResult<Self> {
        // So that a pickle means the same folder in a process with another working directory.
        let path = std::path::absolute(&path).unwrap_or(path);
        let opened = py.detach(|| Opened::open(&path)).map_err(raise)?;
        Ok(Self { path, handle: Mutex::new(Owned::new(opened)) })
    }

    /// The dataset's folder.
    #[getter]
    fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Names of the user columns.
    #[getter]
    fn columns(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let opened = self.here()?;
        let dataset = &opened.dataset;
        py.detach(|| dataset.column_names()).map_err(raise)
    }

    /// The manifest: version, shards with sizes and hashes, totals.
    #[getter]
    fn manifest<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let bytes = self.here()?.dataset.manifest().to_bytes().map_err(raise)?;
        py.import("json")?.call_method1("loads", (bytes,))
    }

    /// What its records are: `"video"`, which may have tensors beside them, or `"tensor"`.
    #[getter]
    fn kind(&self) -> PyResult<&'static str> {
        Ok(self.here()?.dataset.kind().as_str())
    }

    /// The stored tensors, by name: `description`, what they are in the words of whoever wrote them, and `column`,
    /// the name of the column that they were added with, None where the records themselves have them.
    #[getter]
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let opened = self.here()?;
        let (dataset, fields) = (&opened.dataset, PyDict::new(py));
        for name in dataset.field_names() {
            let info = PyDict::new(py);
            let added = dataset.manifest().columns.iter().find(|set| set.fields.contains(&name));
            info.set_item("description", json::to_python(py, dataset.description(&name).map_err(raise)?)?)?;
            info.set_item("column", added.map(|set| &set.name))?;
            fields.set_item(name, info)?;
        }
        Ok(fields)
    }

    /// Writes new tensors beside the dataset and opens it anew. Nothing that is there is touched: it can be read at
    /// any moment, and whoever has it open goes on with what it was.
    ///
    /// Repeat the call to resume one that was killed, interrupted or ended by an exception. It goes on behind the last
    /// record that was stored; each record is stored as soon as it is given. What makes it the same call is the name
    /// and the description: say another one when the producer changes. Where the dataset has the column already, the
    /// call asks for nothing and opens the dataset anew, so a script with several columns can simply be run again.
    ///
    /// Args:
    ///     name: of the column, and of its field: 1 to 64 letters, digits, `_` and `-`, for a field no name that a
    ///         loader's batch has for itself (`key`, `video`, `pts`, ...).
    ///     producer: one of three. A function of a record that gives an array, several by name, or None where the
    ///         record has none (an exception of it gets a note that names the record). A generator function (one with
    ///         `yield` in it), which is called once with an iterator over the records that are still to do and yields
    ///         pairs of a key and such a value: the way to encode several records at once. Or an iterable of such
    ///         pairs. Pairs come in the order of the dataset, and keys may be missing; pairs of records that are stored
    ///         already are passed over (:meth:`column_position` says where to begin).
    ///     description: what the tensors are: which model, crop, frames per second. JSON values, compared when asked
    ///         for.
    ///     restart: begin anew: what an earlier call stored and did not publish is removed.
    ///
    /// Raises:
    ///     InvalidArgumentError: no record was given anything, or something that is no array, or a key that is not the
    ///         next one.
    ///     ConflictError: the dataset has a field of that name, or a column of that name and another description; with
    ///         `restart` also a column of the same; or another writer is at work in it.
    #[pyo3(signature = (name, producer, *, description=None, restart=false))]
    fn add_column(
        slf: &Bound<'_, Self>,
        #[pyo3(from_py_with = arguments::text)] name: &str,
        producer: &Bound<'_, PyAny>,
        description: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = arguments::boolean)] restart: bool,
    ) -> PyResult<Self> {
        let py = slf.py();
        column::check(producer)?;
        let description = json::optional_object("description", description)?;
        let opened = slf.get().here()?;
        let dataset = &opened.dataset;
        let progress = py.detach(|| dataset.column_progress(name, &description)).map_err(raise)?;
        let dataset = if progress == ColumnProgress::Published && !restart {
            py.detach(|| framefeed::Dataset::open(dataset.root())).map_err(raise)?
        } else {
            let earlier = if restart { EarlierRun::Discard } else { EarlierRun::Resume };
            let create = || ColumnWriter::create_with(dataset, name, description, earlier);
            let mut column = Column { dataset, writer: py.detach(create).map_err(raise)?, name };
            column::fill(slf, &mut column, producer)?;
            let writer = column.writer;
            py.detach(|| writer.finish()).map_err(raise)?
        };
        Ok(Self { path: slf.get().path.clone(), handle: Mutex::new(Owned::new(Opened::new(dataset))) })
    }

    /// The number of the record at which :meth:`add_column` begins: 0 for a new column, `len(dataset)` for one that
    /// the dataset has.
    ///
    /// Raises:
    ///     ConflictError: as by :meth:`add_column`.
    #[pyo3(signature = (name, *, description=None))]
    fn column_position(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = arguments::text)] name: &str,
        description: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let description = json::optional_object("description", description)?;
        let opened = self.here()?;
        let dataset = &opened.dataset;
        let progress = py.detach(|| dataset.column_progress(name, &description)).map_err(raise)?;
        Ok(match progress {
            ColumnProgress::Stored(position) => position,
            _ => dataset.len(),
        })
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.here()?.dataset.len())
    }

    /// The record of that number; -1 is the last one.
    fn __getitem__(slf: &Bound<'_, Self>, number: &Bound<'_, PyAny>) -> PyResult<PyRecord> {
        if number.is_instance_of::<PyString>() {
            let expected = "an int: Dataset.find(key) gives the record of a key";
            return Err(wrong_type_of("number", number, expected));
        }
        let expected = "an int: each record is taken by itself, dataset[0]";
        let number = arguments::int(number).map_err(|_| wrong_type_of("number", number, expected))?;
        let opened = slf.get().here()?;
        let dataset = &opened.dataset;
        let len = dataset.len();
        let wanted = if number < 0 { number.saturating_add(len as i128) } else { number };
        let index = usize::try_from(wanted).ok().filter(|&index| index < len).ok_or_else(|| {
            let expected = format!("expected -{len} to less than {len}");
            PyIndexError::new_err(format!("number is {number}, {expected}: the dataset has {len} records"))
        })?;
        PyRecord::open(slf, dataset, index)
    }

    /// Whether there is a record with that key. A record is in its own dataset.
    fn __contains__(slf: &Bound<'_, Self>, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        if let Ok(record) = item.cast::<PyRecord>() {
            return record.get().is_of(slf);
        }
        let Ok(key) = item.extract::<&str>() else {
            let kind = item.get_type().name()?;
            return Err(PyTypeError::new_err(format!(
                "'in' takes the key of a record or a record, got {kind}: records have the numbers 0 to len(dataset) - 1"
            )));
        };
        let opened = slf.get().here()?;
        slf.py().detach(|| opened.dataset.find(key)).map(|found| found.is_some()).map_err(raise)
    }

    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let builtins = slf.py().import("builtins")?;
        let numbers = builtins.getattr("range")?.call1((slf.len()?,))?;
        builtins.getattr("map")?.call1((slf.getattr("__getitem__")?, numbers))
    }

    /// The record with that key.
    ///
    /// Raises:
    ///     NotFoundError: there is none.
    #[pyo3(signature = (key, /))]
    fn find(slf: &Bound<'_, Self>, #[pyo3(from_py_with = arguments::text)] key: &str) -> PyResult<PyRecord> {
        let opened = slf.get().here()?;
        let dataset = &opened.dataset;
        let found = slf.py().detach(|| dataset.find(key)).map_err(raise)?;
        let number = found.ok_or_else(|| {
            let missing = framefeed::Error::new(framefeed::ErrorKind::NotFound, "there is no such record");
            raise(missing.with_record(key).with_path(&slf.get().path))
        })?;
        PyRecord::open(slf, dataset, number)
    }

    /// The dataset's index, without a copy, one row for each record: key, shard, size, frames, fps, ..., and
    /// the user columns that are numbers or booleans. Text stands in the shards: `Record.columns`, `Record.caption`.
    ///
    /// Raises:
    ///     CorruptError: a part of the index fails its checksum, or pyarrow cannot read it.
    fn table<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let opened = slf.get().here()?;
        let index = opened.dataset.index();
        let bytes = py.detach(|| index.checked_bytes()).map_err(raise)?;
        // pyarrow reads the memory that was checked, not the file again. The table keeps this object, which keeps the memory:
        // what a process has opened is never replaced in it, and a fork forgets its parent's without unmapping it.
        let address = bytes.as_ptr() as usize;
        let pyarrow = py.import("pyarrow").map_err(|error| needs(py, error, "Dataset.table()", "pyarrow", "table"))?;
        let read = || {
            let memory = pyarrow.call_method1("foreign_buffer", (address, bytes.len(), slf))?;
            py.import("pyarrow.ipc")?.call_method1("open_file", (memory,))?.call_method0("read_all")
        };
        read().map_err(|error| unreadable_table(py, &opened, error))
    }

    fn __repr__(&self) -> String {
        let path = self.path.to_string_lossy();
        let path = framefeed::Shown(&path);
        // In a fork it is opened here, and may be gone. A text for people is no place for that.
        match self.here() {
            Ok(opened) => format!("framefeed.Dataset('{path}', {} records)", opened.dataset.len()),
            Err(_) => format!("framefeed.Dataset('{path}')"),
        }
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let arguments = PyTuple::new(slf.py(), [slf.getattr("path")?])?;
        Ok((slf.get_type().into_any(), arguments))
    }
}
