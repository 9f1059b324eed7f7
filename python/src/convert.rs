//! `framefeed.convert`.

use framefeed::{CheckLevel, ConvertEvent, ConvertOptions, OnError, Profile, RawFormat};
use pyo3::prelude::*;
use std::path::PathBuf;

use crate::errors::raise;
use crate::wait::cancellable;
use crate::window::choose;

/// One path or several.
#[derive(FromPyObject)]
pub(crate) enum Sources {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

/// Converts videos to a dataset; see the stubs.
#[pyfunction]
#[pyo3(signature = (sources, out, *, profile="copy", format=None, size=None, split_seconds=None, shard_bytes=1 << 30, jobs=0, seed=0, check="full", on_error="skip"))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments")]
pub(crate) fn convert<'py>(
    py: Python<'py>,
    sources: Sources,
    out: PathBuf,
    profile: &str,
    format: Option<&str>,
    size: Option<(u32, u32)>,
    split_seconds: Option<f64>,
    shard_bytes: u64,
    jobs: usize,
    seed: u64,
    check: &str,
    on_error: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let sources = match sources {
        Sources::One(path) => vec![path],
        Sources::Many(paths) => paths,
    };
    let format = format
        .map(|name| choose("format", name, &[("rgb", RawFormat::Rgb), ("yuv420", RawFormat::Yuv420)]))
        .transpose()?;
    let options = ConvertOptions::new(sources, out)
        .profile(choose("profile", profile, &[("copy", Profile::Copy), ("raw", Profile::Raw)])?)
        .raw_format(format)
        .raw_size(size)
        .split_seconds(split_seconds)
        .shard_bytes(shard_bytes)
        .jobs(jobs)
        .seed(seed)
        .check(choose("check", check, &[("full", CheckLevel::Full), ("fast", CheckLevel::Fast)])?)
        .on_error(choose("on_error", on_error, &[("skip", OnError::Skip), ("fail", OnError::Fail)])?);
    let report = cancellable(py, |cancel| framefeed::convert(&options, &|_: ConvertEvent<'_>| {}, cancel))?;
    let text = serde_json::to_string(&report)
        .map_err(|error| raise(framefeed::Error::invalid("the report is not JSON").with_source(error)))?;
    py.import("json")?.call_method1("loads", (text,))
}
