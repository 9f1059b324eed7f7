//! `framefeed.Window`.

use framefeed::{Placement, ShortPolicy, Step, Window};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt};

use crate::arguments::{self, choose, shown, type_error, within};
use crate::errors::{invalid, raise};

const SHORTS: [(&str, ShortPolicy); 3] =
    [("skip", ShortPolicy::Skip), ("repeat_last", ShortPolicy::RepeatLast), ("loop", ShortPolicy::Loop)];

/// The window that a loader was given.
///
/// # Errors
/// TypeError for what is none, which says how to make one.
pub(crate) fn given(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Window>> {
    let Some(value) = value else { return Ok(None) };
    if let Ok(window) = value.cast::<PyWindow>() {
        return Ok(Some(window.get().window));
    }
    let is_number = value.is_instance_of::<PyInt>() && arguments::int(value).is_ok();
    let frames = if is_number { value.to_string() } else { "16".to_owned() };
    let expected = format!("expected a framefeed.Window, such as framefeed.Window(frames={frames})");
    Err(type_error(value.py(), &format!("window is {}, {expected}", shown(value))))
}

fn name_of<T: PartialEq>(values: &[(&'static str, T)], value: &T) -> &'static str {
    values.iter().find(|(_, known)| known == value).map_or("", |&(name, _)| name)
}

/// The frames of a sample: how many, how far apart, where in the record.
///
/// Args:
///     frames: how many, 1 to 65536.
///     stride: frames from one to the next, by frame number; 1 where neither this nor `fps` is given.
///     fps: frames per second, by timestamps: the frame on screen at each instant, also where the frame rate varies.
///         29.97 and its like mean the NTSC rates. A rate that is a whole part of the record's own takes every k-th
///         frame. No window stands in a jump of the timestamps (a frame held for more than 10 seconds and far longer
///         than the usual one): it lies before or behind it.
///     placement: `"random"`: anywhere in the record, a pure function of seed, epoch and position; `"keyframe"`:
///         likewise, where a GOP begins, so that nothing is decoded to get there; `"start"`; `"center"`.
///     short: what becomes of records that are too short: `"skip"` (they are no samples; `Loader.num_short` counts
///         them), `"repeat_last"` (the last frame fills the window) or `"loop"` (the record begins again).
#[pyclass(frozen, eq, name = "Window", module = "framefeed")]
#[derive(Clone, PartialEq)]
pub(crate) struct PyWindow {
    pub(crate) window: Window,
    /// As given; the crate keeps a fraction.
    fps: Option<f64>,
}

#[pymethods]
impl PyWindow {
    #[new]
    #[pyo3(signature = (*, frames, stride=None, fps=None, placement="random", short="skip"))]
    fn new(
        #[pyo3(from_py_with = arguments::int)] frames: i128,
        #[pyo3(from_py_with = arguments::optional_int)] stride: Option<i128>,
        #[pyo3(from_py_with = arguments::optional_float)] fps: Option<f64>,
        #[pyo3(from_py_with = arguments::text)] placement: &str,
        #[pyo3(from_py_with = arguments::text)] short: &str,
    ) -> PyResult<Self> {
        let frames = within("window: frames", frames, 1..=i128::from(Window::MAX_FRAMES))?;
        let window = match (stride, fps) {
            (Some(_), Some(_)) => return Err(invalid("window: give stride or fps, not both")),
            (_, Some(fps)) => Window::at_fps(frames, fps).map_err(raise)?,
            (stride, None) => {
                let range = 1..=i128::from(Window::MAX_STRIDE);
                Window::strided(frames, within("window: stride", stride.unwrap_or(1), range)?)
            }
        };
        let placement = Placement::parse(placement).map_err(raise)?;
        let window = window.placement(placement).short(choose("window: short", short, &SHORTS)?);
        window.check().map_err(raise)?;
        Ok(Self { window, fps })
    }

    /// Number of frames.
    #[getter]
    fn frames(&self) -> u32 {
        self.window.frames
    }

    /// Frames from one to the next, where the window goes by frame numbers.
    #[getter]
    fn stride(&self) -> Option<u32> {
        match self.window.step {
            Step::Stride(stride) => Some(stride),
            Step::Fps(_) => None,
        }
    }

    /// Frames per second, where the window goes by timestamps.
    #[getter]
    fn fps(&self) -> Option<f64> {
        self.fps
    }

    /// Where in the record.
    #[getter]
    fn placement(&self) -> &'static str {
        self.window.placement.as_str()
    }

    /// What becomes of records that are too short.
    #[getter]
    fn short(&self) -> &'static str {
        name_of(&SHORTS, &self.window.short)
    }

    fn __repr__(&self) -> String {
        let step = match (self.stride(), self.fps) {
            (Some(stride), _) => format!("stride={stride}"),
            (None, fps) => format!("fps={}", fps.unwrap_or_default()),
        };
        let (placement, short) = (self.placement(), self.short());
        format!("framefeed.Window(frames={}, {step}, placement='{placement}', short='{short}')", self.window.frames)
    }

    fn __hash__(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (self.frames(), self.stride(), self.fps.map(f64::to_bits), self.placement(), self.short()).hash(&mut hasher);
        hasher.finish()
    }

    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<((), Bound<'py, PyDict>)> {
        let named = PyDict::new(py);
        named.set_item("frames", self.frames())?;
        named.set_item("stride", self.stride())?;
        named.set_item("fps", self.fps)?;
        named.set_item("placement", self.placement())?;
        named.set_item("short", self.short())?;
        Ok(((), named))
    }
}
