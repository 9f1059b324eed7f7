//! Keyword arguments that several calls share.

use framefeed::{DType, DecodeLimits, Filter, Fit, FrameFormat, Layout, TransformOptions};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList};
use std::time::Duration;

use crate::arguments;
use crate::errors::{invalid, raise};

/// A number of things.
pub(crate) fn count(name: &str, value: i128) -> PyResult<usize> {
    usize::try_from(value).map_err(|_| invalid(format!("{name} is {value}, expected a whole number above 0")))
}

/// A number without a sign: a seed, an epoch, bytes.
pub(crate) fn unsigned(name: &str, value: i128) -> PyResult<u64> {
    u64::try_from(value).map_err(|_| invalid(format!("{name} is {value}, expected a whole number from 0 to 2**64 - 1")))
}

/// A size in pixels as Python has it: height and width.
///
/// # Errors
/// TypeError for anything but two whole numbers.
pub(crate) fn size(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<(i64, i64)>> {
    let Some(value) = value else { return Ok(None) };
    // A list is taken as well; a string of two characters would be a sequence too, but not of numbers.
    let sides: Vec<i64> = value.extract().unwrap_or_default();
    if let [height, width] = sides[..] {
        return Ok(Some((height, width)));
    }
    let example = if value.is_instance_of::<PyInt>() { format!("({value}, {value})") } else { "(256, 256)".into() };
    let found = value.repr()?;
    Err(PyTypeError::new_err(format!("size is {found}, expected (height, width), such as {example}")))
}

/// One number for each of R, G and B, also in an array: torch's are no sequences for Python.
pub(crate) fn channels(value: &Bound<'_, PyAny>) -> PyResult<[f32; 3]> {
    if value.hasattr("__dlpack__")? {
        let items = value.try_iter().and_then(Iterator::collect::<PyResult<Vec<_>>>);
        let three = items.and_then(|items| arguments::channels(PyList::new(value.py(), items)?.as_any()));
        // Else the error is of the array itself.
        if three.is_ok() {
            return three;
        }
    }
    arguments::channels(value)
}

/// What one clip may take, by name; what is not named is as it is by default.
///
/// # Errors
/// ValueError for a name or a value that is none of a limit, TypeError for names that are no strings.
pub(crate) fn decode_limits(given: Option<Bound<'_, PyDict>>) -> PyResult<DecodeLimits> {
    let mut limits = DecodeLimits::default();
    for (name, value) in given.into_iter().flatten() {
        let name: String = name.extract()?;
        let wrong = |expected: &str| {
            let found = value.repr().map_or_else(|_| "?".to_owned(), |found| found.to_string());
            invalid(format!("decode_limits: {name} is {found}, expected {expected}"))
        };
        let count = match name.as_str() {
            "seconds" => {
                let expected = "a number of seconds from 0 on, or None for no limit";
                let seconds = value.extract::<Option<f64>>().map_err(|_| wrong(expected))?;
                let timeout = seconds.map(Duration::try_from_secs_f64).transpose();
                limits.timeout = timeout.map_err(|_| wrong(expected))?;
                continue;
            }
            "packets" => &mut limits.max_packets,
            "bytes" => &mut limits.max_bytes,
            "frames" => &mut limits.max_decoded_frames,
            "pixels" => &mut limits.max_pixels,
            _ => {
                let known = "packets, bytes, frames, pixels or seconds";
                return Err(invalid(format!("decode_limits: there is no '{name}', expected {known}")));
            }
        };
        *count = value.extract().map_err(|_| wrong("a whole number from 0 to 2**64 - 1"))?;
    }
    Ok(limits)
}

/// What a picture should look like, by name.
pub(crate) struct Picture<'a> {
    pub(crate) format: &'a str,
    pub(crate) size: Option<(i64, i64)>,
    pub(crate) fit: &'a str,
    pub(crate) filter: &'a str,
    pub(crate) layout: &'a str,
    pub(crate) dtype: &'a str,
}

impl Picture<'_> {
    /// The crate's options, each checked.
    pub(crate) fn transform(&self) -> PyResult<TransformOptions> {
        let mut options = TransformOptions::new()
            .format(FrameFormat::parse(self.format).map_err(raise)?)
            .fit(Fit::parse(self.fit).map_err(raise)?)
            .filter(Filter::parse(self.filter).map_err(raise)?)
            .layout(Layout::parse(self.layout).map_err(raise)?)
            .dtype(DType::parse(self.dtype).map_err(raise)?);
        if let Some((height, width)) = self.size {
            let side = |name, value| {
                u32::try_from(value).map_err(|_| {
                    invalid(format!("size: {name} is {value}, expected 1 to {}", framefeed::MAX_OUTPUT_SIDE))
                })
            };
            options = options.size(side("height", height)?, side("width", width)?);
        }
        options.check().map_err(raise)?;
        Ok(options)
    }
}
