//! Arguments of Python calls. What is of another type is a TypeError that names the argument, what it must be, and what
//! it is. What is of the right type and outside its range is an InvalidArgumentError that says the same.
//!
//! Most of these functions are for `from_py_with` and do not know the argument's name. PyO3 adds it to every
//! exception as a note, and the class that is raised here puts it into the message, where everyone sees it. Other
//! functions take a name: those for parts of an argument, for values, and for the methods whose arguments PyO3 does
//! not name.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyInt, PyMapping, PyString};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::dataset::PyDataset;
use crate::errors::invalid;

/// Longest text of a value in a message, in characters.
const MAX_SHOWN: usize = 80;

/// The exception for a value that is not what it must be. `expected` goes behind "must be"; PyO3 adds the name.
pub(crate) fn wrong_type(value: &Bound<'_, PyAny>, expected: &str) -> PyErr {
    type_error(value.py(), &format!("must be {expected}, got {}", found(value)))
}

/// As [`wrong_type`], where PyO3 does not know which argument it is.
pub(crate) fn wrong_type_of(name: &str, value: &Bound<'_, PyAny>, expected: &str) -> PyErr {
    type_error(value.py(), &format!("{name} must be {expected}, got {}", found(value)))
}

/// An exception of the class for wrong types.
pub(crate) fn type_error(py: Python<'_>, message: &str) -> PyErr {
    let build = || -> PyResult<PyErr> {
        let class = py.import("framefeed._errors")?.getattr("ArgumentTypeError")?;
        Ok(PyErr::from_value(class.call1((message,))?))
    };
    build().unwrap_or_else(|failure| failure)
}

/// What was given, for a message: its type and the beginning of its text. None says what it is by itself.
pub(crate) fn found(value: &Bound<'_, PyAny>) -> String {
    let shown = shown(value);
    match value.get_type().name() {
        Ok(kind) if !value.is_none() => format!("{kind} {shown}"),
        _ => shown,
    }
}

/// The beginning of a value's text.
pub(crate) fn shown(value: &Bound<'_, PyAny>) -> String {
    // Whoever wrote the class may have made a mistake in its text as well.
    let shown = value.repr().map_or_else(|_| "?".to_owned(), |text| text.to_string_lossy().into_owned());
    let cut = shown.chars().count() > MAX_SHOWN;
    shown.chars().take(MAX_SHOWN).chain(cut.then_some('…')).collect()
}

/// Whether it is True or False, Python's own or NumPy's. They are numbers for Python, and a mistake for everyone else.
fn is_boolean(value: &Bound<'_, PyAny>) -> bool {
    value.is_instance_of::<PyBool>() || (!value.is_instance_of::<PyInt>() && value.extract::<bool>().is_ok())
}

/// A whole number that is in `range`.
pub(crate) fn within<T: TryFrom<i128>>(name: &str, value: i128, range: RangeInclusive<i128>) -> PyResult<T> {
    let inside = Some(value).filter(|value| range.contains(value)).and_then(|value| T::try_from(value).ok());
    inside.ok_or_else(|| invalid(format!("{name} is {value}, expected {} to {}", range.start(), range.end())))
}

/// A number without a sign: a seed, an epoch, bytes.
pub(crate) fn unsigned(name: &str, value: i128) -> PyResult<u64> {
    u64::try_from(value).map_err(|_| invalid(format!("{name} is {value}, expected a whole number from 0 to 2**64 - 1")))
}

/// The value of that name, in upper or lower case, in a list of named values.
///
/// # Errors
/// ValueError that lists the names.
pub(crate) fn choose<T: Copy>(what: &str, name: &str, values: &[(&str, T)]) -> PyResult<T> {
    values.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|&(_, value)| value).ok_or_else(|| {
        let known: Vec<_> = values.iter().map(|&(known, _)| known).collect();
        invalid(format!("{what} is '{name}', expected one of {}", known.join(", ")))
    })
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
    let expected = "an int";
    if is_boolean(value) {
        return Err(wrong_type(value, expected));
    }
    // Nearly all numbers are found out about by the first question, which is the cheap one.
    let number = value.extract::<i64>().map(i128::from).or_else(|_| value.extract());
    number.or_else(|_| match value.cast::<PyInt>() {
        // Beyond every range, whose check says so.
        Ok(number) => Ok(if number.lt(0)? { i128::MIN } else { i128::MAX }),
        Err(_) => Err(wrong_type(value, expected)),
    })
}

pub(crate) fn optional_int(value: &Bound<'_, PyAny>) -> PyResult<Option<i128>> {
    if value.is_none() {
        return Ok(None);
    }
    int(value).map(Some).map_err(|_| wrong_type(value, "an int or None"))
}

pub(crate) fn float(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    let expected = "a float";
    if is_boolean(value) { Err(wrong_type(value, expected)) } else { extract(value, expected) }
}

pub(crate) fn optional_float(value: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    if value.is_none() {
        return Ok(None);
    }
    float(value).map(Some).map_err(|_| wrong_type(value, "a float or None"))
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

pub(crate) fn optional_text<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<Option<&'a str>> {
    if value.is_none() {
        return Ok(None);
    }
    value.extract().map(Some).map_err(|_| wrong_type(value, "a str or None"))
}

/// The items of an argument that holds several, each with its name for messages, such as `frames[2]`. A text and bytes
/// are one value each, and refused.
pub(crate) fn items<'py, T>(
    name: &str,
    value: &Bound<'py, PyAny>,
    expected: &str,
    item: impl Fn(&str, &Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    let is_one = value.is_instance_of::<PyString>()
        || value.is_instance_of::<PyBytes>()
        || value.is_instance_of::<PyByteArray>();
    if is_one {
        return Err(wrong_type_of(name, value, expected));
    }
    let mut items = Vec::new();
    for (number, given) in value.try_iter().map_err(|_| wrong_type_of(name, value, expected))?.enumerate() {
        items.push(item(&format!("{name}[{number}]"), &given?)?);
    }
    Ok(items)
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

/// The name of an entry of the mapping `what`.
pub(crate) fn name_in(what: &str, name: &Bound<'_, PyAny>) -> PyResult<String> {
    name.extract().map_err(|_| wrong_type_of(&format!("{what}: a name"), name, "a str"))
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
    three(value, "three floats, one for each of R, G and B")
}

/// 8-bit R, G and B.
pub(crate) fn color(value: &Bound<'_, PyAny>) -> PyResult<[u8; 3]> {
    three(value, "three ints from 0 to 255, for R, G and B")
}

fn three<'py, T>(value: &Bound<'py, PyAny>, expected: &str) -> PyResult<[T; 3]>
where
    [T; 3]: for<'a> FromPyObject<'a, 'py>,
{
    let three = extract(value, expected)?;
    let has_booleans = value.try_iter()?.any(|item| item.is_ok_and(|item| is_boolean(&item)));
    if has_booleans { Err(wrong_type(value, expected)) } else { Ok(three) }
}

/// A mapping: a dictionary, or a class of somebody's.
pub(crate) fn mapping<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyMapping>> {
    value.cast().cloned().map_err(|_| wrong_type(value, "a dict"))
}

/// A mapping, as a dictionary, or None.
pub(crate) fn optional_mapping<'py>(value: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    if value.is_none() {
        return Ok(None);
    }
    if let Ok(dict) = value.cast::<PyDict>() {
        return Ok(Some(dict.clone()));
    }
    let Ok(mapping) = value.cast::<PyMapping>() else { return Err(wrong_type(value, "a dict or None")) };
    Ok(Some(value.py().get_type::<PyDict>().call1((mapping,))?.cast_into::<PyDict>()?))
}

/// What is said to be a path.
const PATH: &str = "a path: a str or an os.PathLike";

pub(crate) fn path(value: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    extract(value, PATH)
}

/// One path, or any iterable of paths, as the argument of that name.
pub(crate) fn paths(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<PathBuf>> {
    if let Ok(path) = value.extract() {
        return Ok(vec![path]);
    }
    let one = |name: &str, path: &Bound<'_, PyAny>| path.extract().map_err(|_| wrong_type_of(name, path, PATH));
    items(name, value, "a path (a str or an os.PathLike) or an iterable of paths", one)
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
