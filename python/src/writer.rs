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

/// Writes a dataset of tensors; see the stubs.
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
    #[pyo3(signature = (path, /, *, shard_bytes=1_073_741_824, description=None, resume=None))]
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

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |writer| Ok(writer.len()))
    }

    /// Whether a record with that key is stored.
    fn __contains__(&self, py: Python<'_>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let key: &str = key.extract().map_err(|_| wrong_type_of("key", key, "a str"))?;
        self.with(py, |writer| Ok(writer.contains(key)))
    }

    /// Records that earlier writers had stored.
    #[getter]
    fn num_found(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, |writer| Ok(writer.num_found()))
    }

    /// Adds a record.
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

    /// Publishes the dataset.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.take(py)? {
            Some(writer) => py.detach(|| writer.finish()).map(drop).map_err(raise),
            None => Ok(()),
        }
    }

    /// Ends without a dataset: what was written is removed.
    fn discard(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(writer) = self.take(py)? {
            py.detach(|| writer.discard());
        }
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

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
