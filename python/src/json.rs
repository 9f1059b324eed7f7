//! Python values as JSON and back, by Python's own module.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyMapping, PyTuple};
use serde_json::{Map, Value};

use crate::arguments::{name_in, shown, wrong_type_of};
use crate::array::is_refusal;
use crate::errors::{invalid, raise};

/// Depth down to which a value that is no JSON is looked for. One that holds itself has no end.
const MAX_DEPTH: usize = 16;

/// A mapping of JSON values; NumPy's numbers are taken for Python's. `what` is named where it is none.
pub(crate) fn object(what: &str, value: &Bound<'_, PyAny>) -> PyResult<Map<String, Value>> {
    let Ok(mapping) = value.cast::<PyMapping>() else { return Err(wrong_type_of(what, value, "a dict")) };
    let py = value.py();
    let dict = py.get_type::<PyDict>().call1((mapping,))?.cast_into::<PyDict>()?;
    for name in dict.keys() {
        name_in(what, &name)?;
    }
    let text = match dumps(&dict) {
        Ok(text) => text,
        Err(error) if is_refusal(py, &error) => {
            let (place, found) = no_json(dict.into_any(), String::new());
            let value = shown(&found);
            return Err(invalid(format!("{what}{place} is {value}, which is no JSON value: {}", error.value(py))));
        }
        Err(error) => return Err(error),
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(invalid(format!("{what} is {text}, expected a dict of JSON values"))),
    }
}

/// As [`object`], of nothing where there is none.
pub(crate) fn optional_object(what: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Map<String, Value>> {
    match value {
        Some(value) if !value.is_instance_of::<PyDict>() && value.cast::<PyMapping>().is_err() => {
            Err(wrong_type_of(what, value, "a dict or None"))
        }
        Some(value) => object(what, value),
        None => Ok(Map::new()),
    }
}

fn dumps(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = value.py();
    let options = PyDict::new(py);
    options.set_item("allow_nan", false)?;
    options.set_item("default", py.import("operator")?.call_method1("methodcaller", ("item",))?)?;
    py.import("json")?.call_method("dumps", (value,), Some(&options))?.extract()
}

/// The innermost part of `value` that is no JSON, and where it is: `['crop'][0]`.
fn no_json<'py>(value: Bound<'py, PyAny>, place: String) -> (String, Bound<'py, PyAny>) {
    let mut found = (place, value);
    for _ in 0..MAX_DEPTH {
        let (place, value) = &found;
        let parts: Vec<(String, Bound<'py, PyAny>)> = if let Ok(dict) = value.cast::<PyDict>() {
            dict.iter().map(|(name, part)| (format!("{place}[{}]", shown(&name)), part)).collect()
        } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
            let parts = value.try_iter().into_iter().flatten().flatten();
            parts.enumerate().map(|(number, part)| (format!("{place}[{number}]"), part)).collect()
        } else {
            break;
        };
        let Some(part) = parts.into_iter().find(|(_, part)| dumps(part).is_err()) else { break };
        found = part;
    }
    found
}

/// A value for Python.
pub(crate) fn to_python<'py>(py: Python<'py>, value: &Map<String, Value>) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(value)
        .map_err(|error| raise(framefeed::Error::corrupt("the value is not JSON").with_source(error)))?;
    py.import("json")?.call_method1("loads", (text,))
}
