//! Errors of the crate as exceptions of `framefeed._errors`, with kind, path, record and byte offset as attributes.

use framefeed::{Error, ErrorKind};
use pyo3::exceptions::PyModuleNotFoundError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// Name of the exception class for a kind.
fn class_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "NotFoundError",
        ErrorKind::Conflict => "ConflictError",
        ErrorKind::Corrupt => "CorruptError",
        ErrorKind::Unsupported => "UnsupportedError",
        ErrorKind::InvalidArgument => "InvalidArgumentError",
        ErrorKind::LimitExceeded => "LimitExceededError",
        ErrorKind::Decode => "DecodeError",
        ErrorKind::Device => "DeviceError",
        ErrorKind::OutOfMemory => "OutOfMemoryError",
        ErrorKind::Closed => "ClosedError",
        ErrorKind::Io => "StorageError",
        _ => "Error",
    }
}

/// The exception for an error of the crate.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
pub(crate) fn raise(error: Error) -> PyErr {
    Python::attach(|py| build(py, &error).unwrap_or_else(|failure| failure))
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let module = ERRORS.get_or_try_init(py, || py.import("framefeed._errors").map(Bound::unbind))?.bind(py);
    let details = PyDict::new(py);
    details.set_item("kind", error.kind().as_str())?;
    details.set_item("path", error.path().map(|path| path.to_string_lossy().into_owned()))?;
    details.set_item("record", error.record())?;
    details.set_item("offset", error.offset())?;
    let instance = module.getattr(class_of(error.kind()))?.call((error.report(),), Some(&details))?;
    Ok(PyErr::from_value(instance))
}

/// An exception of somebody else's code with a note of where it happened: below its traceback, or, before Python 3.11, as what
/// it was raised from.
pub(crate) fn noted(py: Python<'_>, error: PyErr, note: &str) -> PyErr {
    let value = error.value(py);
    if value.call_method1("add_note", (note,)).is_err() && error.cause(py).is_none() {
        error.set_cause(py, Some(pyo3::exceptions::PyRuntimeError::new_err(note.to_owned())));
    }
    error
}

/// What to install for `what`, in the place of Python's own error that `module` is missing; other errors as they are.
/// The package of that name is brought by our extra `extra`.
pub(crate) fn needs(py: Python<'_>, error: PyErr, what: &str, module: &str, extra: &str) -> PyErr {
    let missing = error.value(py).getattr("name").and_then(|name| name.extract::<String>());
    if !error.is_instance_of::<PyModuleNotFoundError>(py) || missing.is_ok_and(|name| name != module) {
        return error;
    }
    let needed = PyModuleNotFoundError::new_err(format!("{what} needs {module}: pip install 'framefeed[{extra}]'"));
    needed.set_cause(py, Some(error));
    needed
}

/// An invalid argument.
pub(crate) fn invalid(message: impl Into<String>) -> PyErr {
    raise(Error::invalid(message))
}

/// Something that this build or machine can't do.
pub(crate) fn unsupported(message: impl Into<String>) -> PyErr {
    raise(Error::unsupported(message))
}

/// Something used after it was closed, or in another process than it was made in.
pub(crate) fn closed(message: impl Into<String>) -> PyErr {
    raise(Error::new(ErrorKind::Closed, message))
}
