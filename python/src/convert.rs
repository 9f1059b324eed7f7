//! `framefeed.convert`.

use framefeed::{
    CheckLevel, ConvertEvent, ConvertOptions, EarlierFailures, OnChange, OnError, Profile, RawFormat, StreamChoice,
    TrainOptions, TrainSize,
};
use pyo3::prelude::*;
use std::path::PathBuf;

use crate::arguments::{self, choose, unsigned, within, wrong_type};
use crate::errors::raise;
use crate::options;
use crate::wait::cancellable;

/// Most clips at a time, and longest GOP; the library's checks have the same limits.
const MAX_JOBS: i128 = 4096;
const MAX_GOP_FRAMES: i128 = 1024;

/// A stream's number, or a stream in ffmpeg's words.
#[derive(Clone)]
pub(crate) enum StreamArgument {
    Index(i128),
    Text(String),
}

impl StreamArgument {
    fn given(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(text) = value.extract() {
            return Ok(Self::Text(text));
        }
        arguments::int(value).map(Self::Index).map_err(|_| wrong_type(value, "a str or an int"))
    }

    fn choice(self) -> PyResult<StreamChoice> {
        match self {
            Self::Index(index) => within("stream", index, 0..=i128::from(u32::MAX)).map(StreamChoice::Index),
            Self::Text(text) => text.parse().map_err(raise),
        }
    }
}

/// Converts videos to a dataset, as the command `framefeed convert` does. Killed or interrupted, the same call goes
/// on later.
///
/// Args:
///     sources: files, folders, globs, or lists (.csv, .jsonl, .parquet): one path, or any iterable of them.
///     out: folder of the dataset.
///     profile: `"copy"`: the packets as they are. `"train"`: encoded once more for fast random access: small upright
///         H.264 with square pixels, in short closed GOPs. `"raw"`: a dataset of tensors, whose field `frames` has all
///         frames of a clip, uint8, turned for display, without compression: often 20 to 200 times as many bytes.
///     format: what raw frames are. `"rgb"`, which None stands for: RGB [T, H, W, 3]. `"yuv420"`: the decoder's own
///         samples as I420, [T, H * 3 // 2, W], neither converted nor resized; clips of more than 8 bits, other chroma
///         than 4:2:0, or an odd width or height are refused. The columns `frames_matrix` ("bt709"), `frames_range`
///         ("limited"), `frames_color_guessed`, `frames_chroma_location` ("left") and `frames_sample_aspect` ("1:1")
///         say how to make RGB of them.
///     size: height and width of raw RGB frames, or of the profile train (both even), cropped to fit. Where it is not
///         given, raw frames have each clip's display size, and train takes `short_side`.
///     short_side: train: the shorter side in pixels, even; 256 by default. Smaller clips keep their size.
///     fps: train: frames a second, the frame on screen at each instant, a jump of the timestamps left out; all frames
///         at their own times where it is not given.
///     gop: train: frames of a GOP; 16 by default. Short ones are cheap to enter, long ones small.
///     crf: train: constant rate factor of libx264, 1 (best) to 51; 18 by default.
///     split_seconds: cuts long videos into pieces of this length.
///     shard_bytes: bytes after which a shard is full, 1 GiB by default.
///     jobs: clips converted at a time; 0 is one for each core.
///     seed: of the order of the clips.
///     check: how thoroughly each clip is proved.
///     stream: which video stream is taken. `"best"` is the one that ffmpeg takes; a number is a stream's, as ffprobe
///         counts them; `"v:1"` is the second video stream, `"i:0x101"` the one of that id or PID, `"p:3"` the best of
///         that program.
///     on_change: what to do where the picture changes on the way (size, pixel format, colour, pixel shape, rotation).
///         `"reencode"`: the later frames are made like the first ones, as ffmpeg does, and a warning names the frame
///         and both values; a change of pixel shape, primaries, transfer or chroma location alone leaves the packets as
///         they are. `"split"`: each piece is a clip of its own, copied where it can be; to find the pieces, every
///         video is decoded once more. `"refuse"`: the video fails.
///     on_error: `"skip"`: what can't be converted is listed in the report; `"fail"`: it is raised.
///     retry_failed: converts the shards once more from which an earlier call left clips out because they could not be
///         converted. Shards that lack no clip stay as they are.
///
/// Returns:
///     The report: counts, what was re-encoded and why, what failed and why; with the profile train under "train" also
///     PSNR, and what windows cost before and after.
#[pyfunction]
#[pyo3(
    signature = (
        sources, out, *, profile="copy", format=None, size=None, short_side=None, fps=None, gop=None, crf=None,
        split_seconds=None, shard_bytes=1 << 30, jobs=0, seed=0, check="full",
        stream=StreamArgument::Text("best".to_owned()), on_change="reencode", on_error="skip", retry_failed=false
    ),
    // With the defaults that PyO3 does not spell in Python.
    text_signature = "(sources, out, *, profile='copy', format=None, size=None, short_side=None, fps=None, gop=None, \
        crf=None, split_seconds=None, shard_bytes=1073741824, jobs=0, seed=0, check='full', stream='best', \
        on_change='reencode', on_error='skip', retry_failed=False)"
)]
#[expect(clippy::too_many_arguments, reason = "keyword arguments")]
pub(crate) fn convert<'py>(
    py: Python<'py>,
    sources: &Bound<'py, PyAny>,
    #[pyo3(from_py_with = arguments::path)] out: PathBuf,
    #[pyo3(from_py_with = arguments::text)] profile: &str,
    #[pyo3(from_py_with = arguments::optional_text)] format: Option<&str>,
    size: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = arguments::optional_int)] short_side: Option<i128>,
    #[pyo3(from_py_with = arguments::optional_float)] fps: Option<f64>,
    #[pyo3(from_py_with = arguments::optional_int)] gop: Option<i128>,
    #[pyo3(from_py_with = arguments::optional_float)] crf: Option<f64>,
    #[pyo3(from_py_with = arguments::optional_float)] split_seconds: Option<f64>,
    #[pyo3(from_py_with = arguments::int)] shard_bytes: i128,
    #[pyo3(from_py_with = arguments::int)] jobs: i128,
    #[pyo3(from_py_with = arguments::int)] seed: i128,
    #[pyo3(from_py_with = arguments::text)] check: &str,
    #[pyo3(from_py_with = StreamArgument::given)] stream: StreamArgument,
    #[pyo3(from_py_with = arguments::text)] on_change: &str,
    #[pyo3(from_py_with = arguments::text)] on_error: &str,
    #[pyo3(from_py_with = arguments::boolean)] retry_failed: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let sources = arguments::paths("sources", sources)?;
    let size = options::size(size)?;
    let side = |side| within("short_side", side, 1..=i128::from(framefeed::MAX_OUTPUT_SIDE));
    let short_side = short_side.map(side).transpose()?;
    let gop = gop.map(|frames| within("gop", frames, 1..=MAX_GOP_FRAMES)).transpose()?;
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
        .shard_bytes(unsigned("shard_bytes", shard_bytes)?)
        .jobs(within("jobs", jobs, 0..=MAX_JOBS)?)
        .seed(unsigned("seed", seed)?)
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
