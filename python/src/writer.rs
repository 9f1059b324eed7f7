//! `framefeed.Writer`: a dataset of tensors, record by record.

use framefeed::{DatasetWriter, DatasetWriterOptions, EarlierRun, NewTensorRecord};
use pyo3::prelude::*;
use pyo3::types::PyMapping;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::arguments::{self, unsigned, wrong_type_of};
use crate::array::new_tensors;
use crate::errors::{closed, raise};
use crate::json;
use crate::process::Owned;

/// Writes a dataset of tensors, record by record, into a folder of its own::
///
///     with framefeed.Writer("latents/", description={"vae": "x-1"}) as writer:
///         writer.add("clip/000", {"latents": latents, "text": embedding}, caption="a cat", columns={"score": 0.5})
///
/// Nothing is published before it is closed: after an exception in the `with` block, or when the process dies, there is
/// no dataset. Each record is stored as soon as it is added, and what a process that died had stored stays for a writer
/// with `resume=True`::
///
///     with framefeed.Writer("latents/", resume=True) as writer:
///         for key, video in videos:
///             if key not in writer:
///                 writer.add(key, {"latents": encode(video)})
///
/// Arrays are stored as they are, never pickled. Any thread may add records.
///
/// Args:
///     path: a folder that is missing or empty, or, with `resume`, one of an earlier writer.
///     shard_bytes: a shard that has reached this size takes no further record, 1 GiB by default.
///     description: what the fields are, in your words: which model, crop, frames per second. JSON values, compared
///         when asked for.
///     resume: what becomes of the records that an earlier writer stored in the folder and did not publish. True: they
///         are checked and kept, also those of this writer where it ends by an exception; a folder that was published
///         is taken as one in which all is done. False: they are removed. By default they are a conflict.
///
/// Raises:
///     ConflictError: the folder holds something, another writer is at work in it, or the earlier writer's description
///         was another.
///     CorruptError: a finished shard of an earlier writer is damaged.
#[pyclass(frozen, name = "Writer", module = "framefeed")]
pub(crate) struct PyWriter {
    path: PathBuf,
    /// `None` once it is closed. Locked only without the GIL, so that nobody who waits for it stands in the way of who has it.
    writer: Owned<Mutex<Option<DatasetWriter>>>,
}

impl PyWriter {
    /// Calls `work` with the open writer, or fails where it was closed.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut DatasetWriter) -> framefeed::Result<T> + Send,
    ) -> PyResult<T> {
        let writer = self.writer.here("the writer")?;
        let call = || writer.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(work);
        py.detach(call).ok_or_else(|| closed("the writer was closed"))?.map_err(raise)
    }

    fn take(&self, py: Python<'_>) -> PyResult<Option<DatasetWriter>> {
        let writer = self.writer.here("the writer")?;
        Ok(py.detach(|| writer.lock().unwrap_or_else(PoisonError::into_inner).take()))
    }
}

#[pymethods]
impl PyWriter {
    #[new]
    #[pyo3(signature = (path, *, shard_bytes=1_073_741_824, description=None, resume=None))]
    fn new(
        py: Python<'_>,
        #[pyo3(from_py_with = arguments::path)] path: PathBuf,
        #[pyo3(from_py_with = arguments::int)] shard_bytes: i128,
        description: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = arguments::optional_boolean)] resume: Option<bool>,
    ) -> PyResult<Self> {
        let shard_bytes = unsigned("shard_bytes", shard_bytes)?;
        let description = json::optional_object("description", description)?;
        let earlier_run = match resume {
            None => EarlierRun::Refuse,
            Some(true) => EarlierRun::Resume,
            Some(false) => EarlierRun::Discard,
        };
        let options =
            DatasetWriterOptions::default().shard_bytes(shard_bytes).description(description).earlier_run(earlier_run);
        let path = std::path::absolute(&path).unwrap_or(path);
        let writer = py.detach(|| DatasetWriter::create(&path, options)).map_err(raise)?;
        Ok(Self { path, writer: Owned::new(Mutex::new(Some(writer))) })
    }

    /// The dataset's folder.
    #[getter]
    fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Records so far.
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |writer| Ok(writer.len()))
    }

    /// Whether a record with that key is stored, by this writer or by one that it resumed.
    fn __contains__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let key: &str = key.extract().map_err(|_| wrong_type_of("key", key, "a str"))?;
        self.with(py, |writer| Ok(writer.contains(key)))
    }

    /// Records that earlier writers had stored.
    #[getter]
    fn num_found(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |writer| Ok(writer.num_found()))
    }

    /// Adds a record. After an error that is about the record the writer is as before, and takes further ones.
    ///
    /// Args:
    ///     key: unique; parts with `/` between them, letters, digits, `_ - + = @`, no dot in the last part.
    ///     fields: arrays in host memory that speak DLPack or the buffer protocol: bool, 8 to 64 bit integers, float16,
    ///         bfloat16, float32, float64. They are stored in C order, whatever theirs is.
    ///     caption: what the record shows.
    ///     columns: JSON values by name: bools, numbers and strings. A list or a dict is stored as the text of its
    ///         JSON, and so are the values of a column that has values of several types.
    ///
    /// Raises:
    ///     InvalidArgumentError: a key that is not valid or was there before, a name that is not valid, something that
    ///         is no array.
    ///     ClosedError: the writer was closed.
    #[pyo3(signature = (key, fields, *, caption=None, columns=None))]
    #[expect(clippy::needless_pass_by_value, reason = "it is what from_py_with gives")]
    fn add(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = arguments::text)] key: &str,
        #[pyo3(from_py_with = arguments::mapping)] fields: Bound<'_, PyMapping>,
        #[pyo3(from_py_with = arguments::optional_text)] caption: Option<&str>,
        columns: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let columns = json::optional_object(&format!("columns of record '{key}'"), columns)?;
        let fields = new_tensors("fields", &fields)?;
        let (key, caption) = (key.to_owned(), caption.map(str::to_owned));
        self.with(py, |writer| writer.add(NewTensorRecord { key, caption, columns, fields }))
    }

    /// Publishes the dataset. A second call does nothing.
    ///
    /// Raises:
    ///     InvalidArgumentError: there is no record.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.take(py)? {
            Some(writer) => py.detach(|| writer.finish()).map(drop).map_err(raise),
            None => Ok(()),
        }
    }

    /// Ends without a dataset: what was written is removed, also what earlier writers had stored.
    fn discard(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(writer) = self.take(py)? {
            py.detach(|| writer.discard());
        }
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// Closes the writer. After an exception there is no dataset: what was written is removed, or, with
    /// `resume=True`, kept.
    #[pyo3(signature = (kind, value, traceback, /))]
    fn __exit__(
        &self,
        kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let _ = (value, traceback);
        let py = kind.py();
        if kind.is_none() {
            self.close(py)?;
        } else {
            let writer = self.take(py)?;
            py.detach(|| drop(writer));
        }
        Ok(false)
    }

    fn __repr__(&self) -> String {
        format!("framefeed.Writer('{}')", framefeed::Shown(&self.path.to_string_lossy()))
    }
}
