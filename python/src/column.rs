//! `Dataset.add_column`: what a producer gives, record by record, to a writer of columns.

use framefeed::{ColumnWriter, Dataset, NewTensor};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMapping, PySequence, PyString};

use crate::arguments::{type_error, wrong_type_of};
use crate::array::{is_refusal, new_tensor, new_tensors};
use crate::dataset::PyDataset;
use crate::errors::{invalid, noted, raise};
use crate::record::PyRecord;

/// What a producer must be.
const PRODUCER: &str = "a function, a generator function, or an iterable of (key, array)";

/// Refuses what can be no producer. What an iterable gives is looked at when it comes.
pub(crate) fn check(producer: &Bound<'_, PyAny>) -> PyResult<()> {
    if producer.is_callable() {
        return Ok(());
    }
    if producer.cast::<PyMapping>().is_ok() {
        let expected = format!("{PRODUCER}, such as its .items()");
        return Err(wrong_type_of("producer", producer, &expected));
    }
    let is_one = producer.is_instance_of::<PyString>()
        || producer.is_instance_of::<PyBytes>()
        || producer.is_instance_of::<PyByteArray>()
        || producer.hasattr("__dlpack__")?;
    if is_one || !producer.hasattr("__iter__")? {
        return Err(wrong_type_of("producer", producer, PRODUCER));
    }
    Ok(())
}

/// A key and what was given for its record: of a tuple, a list, or another sequence of two.
fn pair<'py>(pair: &Bound<'py, PyAny>) -> PyResult<(String, Bound<'py, PyAny>)> {
    let parts = || {
        let parts = pair.cast::<PySequence>().ok().filter(|_| !pair.is_instance_of::<PyString>())?;
        let is_pair = parts.len().is_ok_and(|len| len == 2);
        is_pair.then_some(())?;
        Some((parts.get_item(0).ok()?.extract().ok()?, parts.get_item(1).ok()?))
    };
    parts().ok_or_else(|| {
        let found = crate::arguments::found(pair);
        type_error(pair.py(), &format!("producer must be {PRODUCER}, got {found} in the place of a (key, array)"))
    })
}

/// Fills a column from a function of a record, from a generator function of the records that are still to do, or from pairs
/// of keys and arrays.
pub(crate) fn fill(owner: &Bound<'_, PyDataset>, column: &mut Column<'_>, producer: &Bound<'_, PyAny>) -> PyResult<()> {
    if !producer.is_callable() {
        by_pairs(column, producer, 0)
    } else if is_generator_function(producer)? {
        let position = column.writer.position();
        let (builtins, end) = (owner.py().import("builtins")?, column.dataset.len());
        let numbers = builtins.getattr("range")?.call1((position, end))?;
        let records = builtins.getattr("map")?.call1((owner.getattr("__getitem__")?, numbers))?;
        by_pairs(column, &producer.call1((records,))?, position)
    } else {
        by_call(owner, column, producer)
    }
}

/// True for what gives a generator when it is called: a function, a method, a partial, or an object whose `__call__` is one.
fn is_generator_function(producer: &Bound<'_, PyAny>) -> PyResult<bool> {
    let inspect = producer.py().import("inspect")?;
    let is_one = |function: &Bound<'_, PyAny>| inspect.call_method1("isgeneratorfunction", (function,))?.is_truthy();
    Ok(is_one(producer)? || is_one(&producer.getattr("__call__")?)?)
}

/// A column that is being written.
pub(crate) struct Column<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) writer: ColumnWriter,
    pub(crate) name: &'a str,
}

impl Column<'_> {
    /// Stores what the producer gave for a record.
    fn put(&mut self, record: usize, given: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = given.py();
        // A producer may be long, and a Ctrl-C meant for it.
        py.check_signals()?;
        if given.is_none() {
            let writer = &mut self.writer;
            return py.detach(|| writer.skip(record)).map_err(raise);
        }
        let key = self.dataset.key(record).map_err(raise)?;
        let tensors = self.tensors(given).map_err(|error| {
            if is_refusal(py, &error) { invalid(format!("record '{key}': {}", error.value(py))) } else { error }
        })?;
        let writer = &mut self.writer;
        py.detach(|| writer.add(record, tensors)).map_err(raise)
    }

    /// One array under the column's name, or several under their own.
    fn tensors(&self, given: &Bound<'_, PyAny>) -> PyResult<Vec<NewTensor>> {
        match given.cast::<PyMapping>() {
            Ok(arrays) => new_tensors("fields", arrays),
            Err(_) => Ok(vec![new_tensor(self.name, given)?]),
        }
    }
}

fn by_call(owner: &Bound<'_, PyDataset>, column: &mut Column<'_>, producer: &Bound<'_, PyAny>) -> PyResult<()> {
    let inspect = owner.py().import("inspect")?;
    for number in column.writer.position()..column.dataset.len() {
        let record = PyRecord::open(owner, column.dataset, number)?;
        let given = producer.call1((record,)).map_err(|error| {
            let key = column.dataset.key(number).unwrap_or_default();
            noted(owner.py(), error, &format!("add_column('{}'): of record '{key}'", column.name))
        })?;
        if inspect.call_method1("isgenerator", (&given,))?.is_truthy()? {
            let found = crate::arguments::found(producer);
            let told = "a generator function is one with `yield` in it, and a generator itself is an iterable";
            let message = format!("producer must be {PRODUCER}, got {found}, which returns a generator: {told}");
            return Err(type_error(owner.py(), &message));
        }
        column.put(number, &given)?;
    }
    Ok(())
}

/// `next` is the first record that a pair may be of.
fn by_pairs(column: &mut Column<'_>, pairs: &Bound<'_, PyAny>, mut next: usize) -> PyResult<()> {
    let mut last = None;
    for given in pairs.try_iter()? {
        let (key, given) = pair(&given?)?;
        let number = find(column.dataset, &key, next, last.as_deref())?;
        // An earlier run has stored it.
        if number >= column.writer.position() {
            column.put(number, &given)?;
        }
        (next, last) = (number + 1, Some(key));
    }
    Ok(())
}

/// The record with that key, which must be one from `next` on.
fn find(dataset: &Dataset, key: &str, next: usize, last: Option<&str>) -> PyResult<usize> {
    for number in next..dataset.len() {
        if dataset.key(number).map_err(raise)? == key {
            return Ok(number);
        }
    }
    let found = dataset.find(key).map_err(raise)?;
    let message = match (found, last) {
        (Some(_), Some(last)) => format!("'{key}' comes after '{last}', in the dataset it does not"),
        _ => format!("'{key}' is given, the dataset has no such record"),
    };
    Err(raise(framefeed::Error::invalid(message).with_record(key).with_path(dataset.root())))
}
