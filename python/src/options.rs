//! Keyword arguments that several calls share.

use framefeed::{DType, Filter, Fit, Layout, TransformOptions};
use pyo3::prelude::*;

use crate::errors::{invalid, raise};

/// A number of things.
pub(crate) fn count(name: &str, value: i64) -> PyResult<usize> {
    usize::try_from(value).map_err(|_| invalid(format!("{name} is {value}, expected a whole number above 0")))
}

/// What a picture should look like, by name.
pub(crate) struct Picture<'a> {
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
