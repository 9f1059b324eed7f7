//! Keyword arguments that several calls share.

use framefeed::{DType, DecodeLimits, Filter, Fit, FrameFormat, Layout, MAX_OUTPUT_SIDE, TransformOptions};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PySequence};
use std::time::Duration;

use crate::arguments::{self, name_in, shown, type_error, within};
use crate::errors::{invalid, raise};

/// A size in pixels as Python has it: height and width.
///
/// # Errors
/// TypeError for anything but two whole numbers, ValueError for such as no picture has.
pub(crate) fn size(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<(u32, u32)>> {
    let Some(value) = value else { return Ok(None) };
    // A list is taken as well; a string of two characters would be a sequence too, but not of numbers.
    let items = value.cast::<PySequence>().ok().and_then(|items| items.try_iter().ok());
    let sides: Option<Vec<i128>> = items.and_then(|items| {
        let sides = items.map(|side| side.and_then(|side| arguments::int(&side)));
        sides.collect::<PyResult<_>>().ok()
    });
    if let Some([height, width]) = sides.as_deref() {
        let side = |name: &str, side| within(&format!("size: {name}"), side, 1..=i128::from(MAX_OUTPUT_SIDE));
        return Ok(Some((side("height", *height)?, side("width", *width)?)));
    }
    let is_one = value.is_instance_of::<PyInt>() && arguments::int(value).is_ok();
    let example = if is_one { format!("({value}, {value})") } else { "(256, 256)".into() };
    let message = format!("size is {}, expected (height, width), such as {example}", shown(value));
    Err(type_error(value.py(), &message))
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
        let name = name_in("decode_limits", &name)?;
        let wrong =
            |expected: &str| invalid(format!("decode_limits: {name} is {}, expected {expected}", shown(&value)));
        let count = match name.as_str() {
            "seconds" => {
                let expected = "a number of seconds from 0 on, or None for no limit";
                let seconds = arguments::optional_float(&value).map_err(|_| wrong(expected))?;
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
        let number = arguments::int(&value).ok().and_then(|number| number.try_into().ok());
        *count = number.ok_or_else(|| wrong("a whole number from 0 to 2**64 - 1"))?;
    }
    Ok(limits)
}

/// What a picture should look like, by name.
pub(crate) struct Picture<'a> {
    pub(crate) format: &'a str,
    pub(crate) size: Option<(u32, u32)>,
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
            options = options.size(height, width);
        }
        options.check().map_err(raise)?;
        Ok(options)
    }
}
