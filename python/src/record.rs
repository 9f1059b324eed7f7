//! `framefeed.Record`: one clip, what is known about it, and its frames.

use framefeed::{Dataset, Record};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::OnceLock;

use crate::dataset::PyDataset;
use crate::decode::{self, Wanted};
use crate::errors::{invalid, raise};
use crate::options::Picture;

/// One clip of a dataset. Everything but its frames is in memory.
#[pyclass(frozen, name = "Record", module = "framefeed")]
pub(crate) struct PyRecord {
    dataset: Py<PyDataset>,
    number: usize,
    record: Record,
    pts: OnceLock<Vec<i64>>,
}

impl PyRecord {
    /// Reads a record's row.
    pub(crate) fn open(owner: &Bound<'_, PyDataset>, dataset: &Dataset, number: usize) -> PyResult<Self> {
        let record = owner.py().detach(|| dataset.record(number)).map_err(raise)?;
        Ok(Self { dataset: owner.clone().unbind(), number, record, pts: OnceLock::new() })
    }

    fn frame_pts(&self) -> &[i64] {
        let stream = &self.record.stream;
        self.pts.get_or_init(|| (0..stream.num_frames()).filter_map(|frame| stream.frame_pts(frame)).collect())
    }

    /// Frame numbers, whatever they come in: a list, a range, an array.
    fn numbers(&self, frames: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
        let num_frames = self.num_frames();
        let mut numbers = Vec::new();
        for frame in frames.try_iter()? {
            let frame: i64 = frame?.extract()?;
            let inside = u32::try_from(frame).ok().filter(|&frame| (frame as usize) < num_frames);
            numbers.push(inside.ok_or_else(|| {
                raise(
                    framefeed::Error::invalid(format!("there is no frame {frame}, the record has {num_frames}"))
                        .with_record(&self.record.key),
                )
            })?);
        }
        Ok(numbers)
    }
}

#[pymethods]
impl PyRecord {
    /// The dataset that the record is of.
    #[getter]
    fn dataset(&self, py: Python<'_>) -> Py<PyDataset> {
        self.dataset.clone_ref(py)
    }

    /// The record's number in the dataset.
    #[getter]
    fn number(&self) -> usize {
        self.number
    }

    /// Unique in the dataset.
    #[getter]
    fn key(&self) -> &str {
        &self.record.key
    }

    /// What the clip shows.
    #[getter]
    fn caption(&self) -> Option<&str> {
        self.record.caption.as_deref()
    }

    /// The user columns that have a value here.
    #[getter]
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let text = serde_json::to_string(&self.record.columns)
            .map_err(|error| raise(framefeed::Error::corrupt("columns are not JSON").with_source(error)))?;
        py.import("json")?.call_method1("loads", (text,))
    }

    /// Exact number of frames.
    #[getter]
    fn num_frames(&self) -> usize {
        self.record.stream.num_frames()
    }

    fn __len__(&self) -> usize {
        self.num_frames()
    }

    /// Timestamp of each frame, in ticks of `time_base`.
    #[getter]
    fn pts(&self) -> Vec<i64> {
        self.frame_pts().to_vec()
    }

    /// Seconds per tick, numerator and denominator.
    #[getter]
    fn time_base(&self) -> (u32, u32) {
        (self.record.stream.time_base.num(), self.record.stream.time_base.den())
    }

    /// Seconds from the first frame to the end of the last.
    #[getter]
    fn duration(&self) -> f64 {
        self.record.stream.time_base.seconds(self.record.stream.duration)
    }

    /// Average frames per second.
    #[getter]
    fn fps(&self) -> f64 {
        self.record.stream.average_fps()
    }

    /// Height and width as displayed: turned, with square pixels.
    #[getter]
    fn size(&self) -> (u32, u32) {
        let (width, height) = self.record.stream.display_size();
        (height, width)
    }

    /// Height and width of the decoded planes.
    #[getter]
    fn coded_size(&self) -> (u32, u32) {
        (self.record.stream.height, self.record.stream.width)
    }

    /// Clockwise rotation for display, in degrees.
    #[getter]
    fn rotation(&self) -> u16 {
        self.record.stream.orientation.degrees()
    }

    /// FFmpeg's name of the codec.
    #[getter]
    fn codec(&self) -> &'static str {
        self.record.stream.codec.as_str()
    }

    /// FFmpeg's name of the format of the decoded planes.
    #[getter]
    fn pixel_format(&self) -> String {
        self.record.stream.pixel_format.name()
    }

    /// Colour as decided at conversion: H.273 numbers, range, siting, and whether it was a guess.
    #[getter]
    fn color<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let color = self.record.stream.color;
        let dict = PyDict::new(py);
        dict.set_item("matrix", color.matrix)?;
        dict.set_item("primaries", color.primaries)?;
        dict.set_item("transfer", color.transfer)?;
        dict.set_item("range", color.range.as_str())?;
        dict.set_item("chroma_location", color.chroma_location.as_str())?;
        dict.set_item("guessed", color.guessed)?;
        Ok(dict)
    }

    /// Number of the first frame of each group of pictures.
    #[getter]
    fn gops(&self) -> Vec<u32> {
        self.record.stream.gops.iter().map(|gop| gop.first_frame).collect()
    }

    /// Bytes of the stored video.
    #[getter]
    fn video_bytes(&self) -> u64 {
        self.record.video.size
    }

    /// Where the clip came from, as the source list named it.
    #[getter]
    fn source(&self) -> &str {
        &self.record.source
    }

    /// Start of the cut, in seconds from the source's first frame.
    #[getter]
    fn source_start(&self) -> Option<f64> {
        self.record.source_start
    }

    /// End of the cut, in seconds from the source's first frame.
    #[getter]
    fn source_end(&self) -> Option<f64> {
        self.record.source_end
    }

    /// Why the video was re-encoded; `None` where the packets are the source's.
    #[getter]
    fn reencoded(&self) -> Option<&str> {
        self.record.reencoded.as_deref()
    }

    /// The frames on screen at these seconds from the record's first frame.
    #[pyo3(signature = (seconds, /))]
    fn frames_at(&self, seconds: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
        let pts = self.frame_pts();
        let first = pts.first().copied().unwrap_or_default();
        let base = self.record.stream.time_base;
        let mut frames = Vec::new();
        for second in seconds.try_iter()? {
            let second: f64 = second?.extract()?;
            if !second.is_finite() || second < 0.0 || base.ceil_ticks(second) >= self.record.stream.duration.max(1) {
                let message = format!("{second} s is not in the record, expected 0 to less than {} s", self.duration());
                return Err(raise(framefeed::Error::invalid(message).with_record(&self.record.key)));
            }
            // The last frame whose timestamp is not after the instant: one before the first that is after it.
            let after = pts.partition_point(|&pts| base.seconds(pts - first) <= second + 1e-9);
            frames.push(after.saturating_sub(1) as u32);
        }
        Ok(frames)
    }

    /// Decodes frames by number, in any order, with repeats.
    #[pyo3(signature = (frames, *, format="rgb", size=None, fit="crop", filter="bicubic", layout="TCHW", dtype="uint8"))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn decode<'py>(
        &self,
        py: Python<'py>,
        frames: &Bound<'py, PyAny>,
        format: &str,
        size: Option<(i64, i64)>,
        fit: &str,
        filter: &str,
        layout: &str,
        dtype: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let transform = Picture { size, fit, filter, layout, dtype }.transform()?;
        let frames = self.numbers(frames)?;
        let wanted = match format {
            "rgb" => Wanted::Rgb(transform),
            "yuv" if size.is_some() || layout != "TCHW" || dtype != "uint8" => {
                return Err(invalid(
                    "format \"yuv\" gives the decoder's own planes: size, layout and dtype can't be chosen",
                ));
            }
            "yuv" => Wanted::Planes,
            _ => return Err(invalid(format!("format is '{format}', expected one of rgb, yuv"))),
        };
        let opened = self.dataset.get().here()?;
        decode::decode(py, &opened, self.number, &self.record.stream, &frames, &wanted)
    }

    fn __repr__(&self) -> String {
        let (height, width) = self.size();
        format!(
            "framefeed.Record('{}', {} frames of {width}x{height}, {:.3} fps, {})",
            self.record.key,
            self.num_frames(),
            self.fps(),
            self.codec()
        )
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        // A dataset and a number: `dataset[number]`.
        let getitem = slf.py().import("operator")?.getattr("getitem")?;
        let record = slf.get();
        let arguments = (record.dataset.clone_ref(slf.py()), record.number).into_pyobject(slf.py())?;
        Ok((getitem, arguments))
    }
}
