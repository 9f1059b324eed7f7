//! Python values as JSON and back, by Python's own module.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};
use serde_json::{Map, Value};

use crate::errors::{invalid, raise};

/// A mapping of JSON values; NumPy's numbers are taken for Python's. `what` is named where it is none.
pub(crate) fn object(what: &str, value: &Bound<'_, PyAny>) -> PyResult<Map<String, Value>> {
    let py = value.py();
    let options = PyDict::new(py);
    options.set_item("allow_nan", false)?;
    options.set_item("default", py.import("operator")?.call_method1("methodcaller", ("item",))?)?;
    let value = match value.cast::<PyMapping>() {
        Ok(mapping) if !value.is_instance_of::<PyDict>() => py.get_type::<PyDict>().call1((mapping,))?,
        _ => value.clone(),
    };
    let text = py.import("json")?.call_method("dumps", (value,), Some(&options));
    let text: String = text.map_err(|error| invalid(format!("{what} cannot be stored as JSON: {error}")))?.extract()?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(invalid(format!("{what} is {text}, expected a mapping"))),
    }
}

/// As [`object`], of nothing where there is none.
pub(crate) fn optional_object(what: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Map<String, Value>> {
    value.map_or_else(|| Ok(Map::new()), |value| object(what, value))
}

/// A value for Python.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Map<String, Value>) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(value)
        .map_err(|error| raise(framefeed::Error::corrupt("the value is not JSON").with_source(error)))?;
    py.import("json")?.call_method1("loads", (text,))
}
