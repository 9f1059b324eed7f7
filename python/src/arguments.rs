//! Arguments of Python calls, for `from_py_with`: what is of another type is a TypeError that names the argument, what it must be, and
//! what it is.
//!
//! None of these functions knows the argument's name. PyO3 adds it to every exception as a note, and the class that is raised here puts
//! it into the message, where everyone sees it.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};
use std::path::PathBuf;

use crate::dataset::PyDataset;

/// Longest text of a value in a message, in characters.
const MAX_SHOWN: usize = 80;

/// The exception for a value that is not what it must be. `expected` goes behind "must be".
pub(crate) fn wrong_type(value: &Bound<'_, PyAny>, expected: &str) -> PyErr {
    let build = || -> PyResult<PyErr> {
        let shown: String = value.repr()?.extract()?;
        let kind = value.get_type().name()?;
        let cut = shown.chars().count() > MAX_SHOWN;
        let shown: String = shown.chars().take(MAX_SHOWN).chain(cut.then_some('…')).collect();
        // None and classes of the user's say what they are by themselves.
        let found = if value.is_none() { shown } else { format!("{kind} {shown}") };
        let class = value.py().import("framefeed._errors")?.getattr("ArgumentTypeError")?;
        Ok(PyErr::from_value(class.call1((format!("must be {expected}, got {found}"),))?))
    };
    build().unwrap_or_else(|failure| failure)
}

/// A value of Rust's, where PyO3 takes the argument for one.
fn extract<'py, T>(value: &Bound<'py, PyAny>, expected: &str) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    value.extract().map_err(|_| wrong_type(value, expected))
}

fn optional<'py, T>(value: &Bound<'py, PyAny>, expected: &str) -> PyResult<Option<T>>
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    if value.is_none() { Ok(None) } else { extract(value, expected).map(Some) }
}

pub(crate) fn int(value: &Bound<'_, PyAny>) -> PyResult<i128> {
    // True and False are numbers for Python, and a mistake for everyone else.
    if value.is_instance_of::<PyBool>() {
        return Err(wrong_type(value, "an int"));
    }
    value.extract().or_else(|_| match value.cast::<PyInt>() {
        // Beyond every range, whose check says so.
        Ok(number) => Ok(if number.lt(0)? { i128::MIN } else { i128::MAX }),
        Err(_) => Err(wrong_type(value, "an int")),
    })
}

pub(crate) fn optional_int(value: &Bound<'_, PyAny>) -> PyResult<Option<i128>> {
    if value.is_none() {
        return Ok(None);
    }
    int(value).map(Some).map_err(|_| wrong_type(value, "an int or None"))
}

pub(crate) fn float(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    extract(value, "a float")
}

pub(crate) fn optional_float(value: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    optional(value, "a float or None")
}

pub(crate) fn boolean(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    extract(value, "a bool")
}

pub(crate) fn optional_boolean(value: &Bound<'_, PyAny>) -> PyResult<Option<bool>> {
    optional(value, "a bool or None")
}

pub(crate) fn text<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    value.extract().map_err(|_| wrong_type(value, "a str"))
}

/// A list of names. One name alone would be a list of letters.
pub(crate) fn names(value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let expected = "a list of str";
    if value.is_instance_of::<PyString>() {
        return Err(wrong_type(value, expected));
    }
    let mut names = Vec::new();
    for name in value.try_iter().map_err(|_| wrong_type(value, expected))? {
        names.push(name?.extract::<String>().map_err(|_| wrong_type(value, expected))?);
    }
    Ok(names)
}

/// One text, or several by name.
pub(crate) fn text_or_texts(value: &Bound<'_, PyAny>) -> PyResult<Vec<(Option<String>, String)>> {
    if let Ok(text) = value.extract() {
        return Ok(vec![(None, text)]);
    }
    let pair =
        |(name, text): (Bound<'_, PyAny>, Bound<'_, PyAny>)| Some((Some(name.extract().ok()?), text.extract().ok()?));
    let texts = optional_mapping(value).ok().flatten().and_then(|texts| texts.iter().map(pair).collect());
    texts.ok_or_else(|| wrong_type(value, "a str, or a dict of str by field"))
}

/// One number for each of R, G and B.
pub(crate) fn channels(value: &Bound<'_, PyAny>) -> PyResult<[f32; 3]> {
    extract(value, "three floats, one for each of R, G and B")
}

/// 8-bit R, G and B.
pub(crate) fn color(value: &Bound<'_, PyAny>) -> PyResult<[u8; 3]> {
    extract(value, "three ints from 0 to 255, for R, G and B")
}

/// A mapping, as a dictionary, or None.
pub(crate) fn optional_mapping<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let expected = "a dict or None";
    if value.is_none() {
        return Ok(None);
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        return Ok(Some(dict.clone()));
    }
    let py = value.py();
    let is_mapping = value.is_instance(&py.import("collections.abc")?.getattr("Mapping")?)?;
    if !is_mapping {
        return Err(wrong_type(value, expected));
    }
    Ok(Some(py.get_type::<PyDict>().call1((value,))?.cast_into::<PyDict>()?))
}

pub(crate) fn path(value: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    extract(value, "a path: a str or an os.PathLike")
}

/// The dataset that a loader was given; what is none is told how to become one.
pub(crate) fn dataset<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDataset>> {
    if let Ok(dataset) = value.cast::<PyDataset>() {
        return Ok(dataset.clone());
    }
    let advice = if value.extract::<PathBuf>().is_ok() {
        format!("a framefeed.Dataset, such as framefeed.Dataset({})", value.str()?.repr()?)
    } else {
        // What torch.utils.data makes of datasets: Subset, ConcatDataset and the like.
        let wraps = value.getattr("dataset").is_ok_and(|inner| inner.is_instance_of::<PyDataset>());
        let why = if wraps {
            " itself: the loader reads records by itself, in an order of its own, and a wrapper has no part in that"
        } else {
            ""
        };
        format!("a framefeed.Dataset{why}")
    };
    Err(wrong_type(value, &advice))
}
