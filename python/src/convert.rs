//! `framefeed.convert`.

use framefeed::{
    CheckLevel, ConvertEvent, ConvertOptions, EarlierFailures, OnChange, OnError, Profile, RawFormat, StreamChoice,
    TrainOptions, TrainSize,
};
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

/// A stream's number, or a stream in ffmpeg's words.
#[derive(FromPyObject)]
pub(crate) enum StreamArgument {
    Index(usize),
    Text(String),
}

impl StreamArgument {
    fn choice(self) -> PyResult<StreamChoice> {
        match self {
            Self::Index(index) => Ok(StreamChoice::Index(index)),
            Self::Text(text) => text.parse().map_err(raise),
        }
    }
}

/// Converts videos to a dataset; see the stubs.
#[pyfunction]
#[pyo3(signature = (sources, out, *, profile="copy", format=None, size=None, short_side=None, fps=None, gop=None, crf=None, split_seconds=None, shard_bytes=1 << 30, jobs=0, seed=0, check="full", stream=StreamArgument::Text("best".to_owned()), on_change="reencode", on_error="skip", retry_failed=false))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments")]
pub(crate) fn convert<'py>(
    py: Python<'py>,
    sources: Sources,
    out: PathBuf,
    profile: &str,
    format: Option<&str>,
    size: Option<(u32, u32)>,
    short_side: Option<u32>,
    fps: Option<f64>,
    gop: Option<u32>,
    crf: Option<f64>,
    split_seconds: Option<f64>,
    shard_bytes: u64,
    jobs: usize,
    seed: u64,
    check: &str,
    stream: StreamArgument,
    on_change: &str,
    on_error: &str,
    retry_failed: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let sources = match sources {
        Sources::One(path) => vec![path],
        Sources::Many(paths) => paths,
    };
    let format = format
        .map(|name| choose("format", name, &[("rgb", RawFormat::Rgb), ("yuv420", RawFormat::Yuv420)]))
        .transpose()?;
    let profiles = [("copy", Profile::Copy), ("train", Profile::Train), ("raw", Profile::Raw)];
    let profile = choose("profile", profile, &profiles)?;
    let (train_size, raw_size) = if profile == Profile::Train { (size, None) } else { (None, size) };
    let options = ConvertOptions::new(sources, out)
        .profile(profile)
        .train(train_options(train_size, short_side, fps, gop, crf)?)
        .raw_format(format)
        .raw_size(raw_size)
        .split_seconds(split_seconds)
        .shard_bytes(shard_bytes)
        .jobs(jobs)
        .seed(seed)
        .check(choose("check", check, &[("full", CheckLevel::Full), ("fast", CheckLevel::Fast)])?)
        .stream(stream.choice()?)
        .on_change(choose(
            "on_change",
            on_change,
            &[("reencode", OnChange::Reencode), ("split", OnChange::Split), ("refuse", OnChange::Refuse)],
        )?)
        .on_error(choose("on_error", on_error, &[("skip", OnError::Skip), ("fail", OnError::Fail)])?)
        .earlier_failures(if retry_failed { EarlierFailures::Retry } else { EarlierFailures::Keep });
    let report = cancellable(py, |cancel| framefeed::convert(&options, &|_: ConvertEvent<'_>| {}, cancel))?;
    let text = serde_json::to_string(&report)
        .map_err(|error| raise(framefeed::Error::invalid("the report is not JSON").with_source(error)))?;
    py.import("json")?.call_method1("loads", (text,))
}

/// What was asked of the profile `train`; the library refuses it with the others.
fn train_options(
    size: Option<(u32, u32)>,
    short_side: Option<u32>,
    fps: Option<f64>,
    gop: Option<u32>,
    crf: Option<f64>,
) -> PyResult<Option<TrainOptions>> {
    let size = match (size, short_side) {
        (Some(_), Some(_)) => return Err(raise(framefeed::Error::invalid("size and short_side exclude each other"))),
        (Some((height, width)), None) => Some(TrainSize::Exact(height, width)),
        (None, side) => side.map(TrainSize::ShortSide),
    };
    if size.is_none() && fps.is_none() && gop.is_none() && crf.is_none() {
        return Ok(None);
    }
    let default = TrainOptions::new();
    let options = default
        .size(size.unwrap_or(default.size))
        .fps(fps)
        .gop_frames(gop.unwrap_or(default.gop_frames))
        .crf(crf.unwrap_or(default.crf));
    Ok(Some(options))
}
