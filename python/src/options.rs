//! Keyword arguments that several calls share.

use framefeed::{DType, Filter, Fit, FrameFormat, Layout, TransformOptions};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyInt;

use crate::errors::{invalid, raise};

/// A number of things.
pub(crate) fn count(name: &str, value: i64) -> PyResult<usize> {
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
