//! `framefeed.Record`: one clip or group of tensors, what is known about it, its frames and its fields.

use framefeed::{Dataset, DatasetKind, Record, StreamInfo, TensorRecord, TransformOptions};
use pyo3::prelude::*;
use pyo3::types::slice::PySliceIndices;
use pyo3::types::{PyDict, PySlice, PySliceMethods, PyTuple};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::OnceLock;

use crate::arguments::{self, choose, items, within, wrong_type_of};
use crate::batch::code_name;
use crate::chunks::{PyChunks, Request};
use crate::dataset::PyDataset;
use crate::decode::{self, Wanted};
use crate::dlpack::Tensor;
use crate::errors::{invalid, raise};
use crate::json;
use crate::options::{self, Picture};

/// What a record is, as its shard has it.
enum Facts {
    Video(Box<Record>),
    Tensors(TensorRecord),
}

/// One record of a dataset: a clip, or a group of tensors. Frames are numbered from 0 in presentation order. What
/// only a clip has raises InvalidArgumentError where the record is of tensors. Records are equal that are the same one
/// of the same dataset, also where it was opened twice.
#[pyclass(frozen, name = "Record", module = "framefeed")]
pub(crate) struct PyRecord {
    dataset: Py<PyDataset>,
    number: usize,
    facts: Facts,
    pts: OnceLock<Vec<i64>>,
}

impl PyRecord {
    /// Reads a record's row.
    pub(crate) fn open(owner: &Bound<'_, PyDataset>, dataset: &Dataset, number: usize) -> PyResult<Self> {
        let read = || match dataset.kind() {
            DatasetKind::Video => dataset.record(number).map(|record| Facts::Video(Box::new(record))),
            DatasetKind::Tensor => dataset.tensor_record(number).map(Facts::Tensors),
        };
        let facts = owner.py().detach(read).map_err(raise)?;
        Ok(Self { dataset: owner.clone().unbind(), number, facts, pts: OnceLock::new() })
    }

    /// The record of a clip.
    fn video(&self) -> PyResult<&Record> {
        match &self.facts {
            Facts::Video(record) => Ok(record),
            Facts::Tensors(record) => Err(raise(
                framefeed::Error::invalid("the record is of tensors: it has no frames").with_record(&record.key),
            )),
        }
    }

    /// Whether it is a record of that dataset, which may have been opened twice.
    pub(crate) fn is_of(&self, dataset: &Bound<'_, PyDataset>) -> PyResult<bool> {
        if self.dataset.is(dataset) {
            return Ok(true);
        }
        let (own, other) = (self.dataset.get().here()?, dataset.get().here()?);
        Ok(own.dataset.manifest().id == other.dataset.manifest().id)
    }

    fn stream(&self) -> PyResult<&StreamInfo> {
        self.video().map(|record| &record.stream)
    }

    fn frame_pts(&self) -> PyResult<&[i64]> {
        let stream = self.stream()?;
        let read = || (0..stream.num_frames()).filter_map(|frame| stream.frame_pts(frame)).collect();
        Ok(self.pts.get_or_init(read))
    }

    /// Frame numbers, whatever they come in: a list, a range, an array, a slice. Negative ones count from the end.
    fn numbers(&self, frames: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
        let num_frames = self.num_frames()?;
        if let Ok(slice) = frames.cast::<PySlice>() {
            let PySliceIndices { start, step, slicelength, .. } = slice.indices(num_frames as isize)?;
            return Ok((0..slicelength as isize).map(|n| (start + n * step) as u32).collect());
        }
        let one = |name: &str, frame: &Bound<'_, PyAny>| {
            let number = arguments::int(frame).map_err(|_| wrong_type_of(name, frame, "an int"))?;
            let counted = if number < 0 { number.saturating_add(num_frames as i128) } else { number };
            let inside = u32::try_from(counted).ok().filter(|&n| (n as usize) < num_frames);
            inside.ok_or_else(|| {
                self.wrong(format!("frames: there is no frame {number}, the record has {num_frames}, from 0 on"))
            })
        };
        items("frames", frames, "an iterable of ints, such as [0, 8] or range(8), or a slice", one)
    }

    /// The number of a frame, or of the end: negative ones count from there.
    fn edge(&self, name: &str, value: i128) -> PyResult<u32> {
        let num_frames = self.num_frames()? as i128;
        let counted = if value < 0 { value.saturating_add(num_frames) } else { value };
        let inside = u32::try_from(counted).ok().filter(|_| counted <= num_frames);
        inside.ok_or_else(|| {
            self.wrong(format!(
                "{name} is {value}, expected -{num_frames} to {num_frames}: the record has {num_frames} frames"
            ))
        })
    }

    /// The error for an argument that does not fit this record.
    fn wrong(&self, message: String) -> PyErr {
        raise(framefeed::Error::invalid(message).with_record(self.key()))
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
        match &self.facts {
            Facts::Video(record) => &record.key,
            Facts::Tensors(record) => &record.key,
        }
    }

    /// What the clip shows.
    #[getter]
    fn caption(&self) -> Option<&str> {
        match &self.facts {
            Facts::Video(record) => record.caption.as_deref(),
            Facts::Tensors(record) => record.caption.as_deref(),
        }
    }

    /// The user columns that have a value here: bools, ints, floats and strings. Each column is of one type in a
    /// shard. A list or a dict is the text of its JSON (`json.loads` reads it), and so are the values of a column that
    /// mixes types. They cannot be told from a string of that text.
    #[getter]
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let columns = match &self.facts {
            Facts::Video(record) => &record.columns,
            Facts::Tensors(record) => &record.columns,
        };
        json::to_python(py, columns)
    }

    /// Exact number of frames; also `len(record)`.
    #[getter]
    fn num_frames(&self) -> PyResult<usize> {
        self.stream().map(StreamInfo::num_frames)
    }

    fn __len__(&self) -> PyResult<usize> {
        self.num_frames()
    }

    /// A record is something, whatever its length.
    #[expect(clippy::unused_self, reason = "a method in Python")]
    fn __bool__(&self) -> bool {
        true
    }

    /// Timestamp of each frame, in ticks of `time_base`.
    #[getter]
    fn pts(&self) -> PyResult<Vec<i64>> {
        self.frame_pts().map(<[i64]>::to_vec)
    }

    /// Seconds per tick, numerator and denominator.
    #[getter]
    fn time_base(&self) -> PyResult<(u32, u32)> {
        self.stream().map(|stream| (stream.time_base.num(), stream.time_base.den()))
    }

    /// Seconds from the first frame to the end of the last.
    #[getter]
    fn duration(&self) -> PyResult<f64> {
        self.stream().map(|stream| stream.time_base.seconds(stream.duration))
    }

    /// Average frames per second.
    #[getter]
    fn fps(&self) -> PyResult<f64> {
        self.stream().map(StreamInfo::average_fps)
    }

    /// Height and width as displayed: turned, with square pixels.
    #[getter]
    fn size(&self) -> PyResult<(u32, u32)> {
        let (width, height) = self.stream()?.display_size();
        Ok((height, width))
    }

    /// Height and width of the decoded planes.
    #[getter]
    fn coded_size(&self) -> PyResult<(u32, u32)> {
        self.stream().map(|stream| (stream.height, stream.width))
    }

    /// Clockwise rotation for display, in degrees.
    #[getter]
    fn rotation(&self) -> PyResult<u16> {
        self.stream().map(|stream| stream.orientation.degrees())
    }

    /// FFmpeg's name of the codec.
    #[getter]
    fn codec(&self) -> PyResult<&'static str> {
        self.stream().map(|stream| stream.codec.as_str())
    }

    /// FFmpeg's name of the format of the decoded planes.
    #[getter]
    fn pixel_format(&self) -> PyResult<String> {
        self.stream().map(|stream| stream.pixel_format.name())
    }

    /// Colour as decided at conversion: `matrix`, `primaries` and `transfer` by FFmpeg's names, such as `"bt709"`
    /// (`"unknown"` where nothing was stated, and a number of H.273 as text where FFmpeg has no name), `range`
    /// (`"limited"` or `"full"`), `chroma_location`, and `guessed`, true where the source did not say.
    #[getter]
    fn color<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let color = self.stream()?.color;
        let dict = PyDict::new(py);
        dict.set_item("matrix", code_name(color.matrix_name(), color.matrix))?;
        dict.set_item("primaries", code_name(color.primaries_name(), color.primaries))?;
        dict.set_item("transfer", code_name(color.transfer_name(), color.transfer))?;
        dict.set_item("range", color.range.as_str())?;
        dict.set_item("chroma_location", color.chroma_location.as_str())?;
        dict.set_item("guessed", color.guessed)?;
        Ok(dict)
    }

    /// Number of the first frame of each group of pictures.
    #[getter]
    fn gops(&self) -> PyResult<Vec<u32>> {
        self.stream().map(|stream| stream.gops.iter().map(|gop| gop.first_frame).collect())
    }

    /// Bytes of the stored video.
    #[getter]
    fn video_bytes(&self) -> PyResult<u64> {
        self.video().map(|record| record.video.size)
    }

    /// Where the clip came from, as the source list named it.
    #[getter]
    fn source(&self) -> PyResult<&str> {
        self.video().map(|record| record.source.as_str())
    }

    /// Start of the cut, in seconds from the source's first frame.
    #[getter]
    fn source_start(&self) -> PyResult<Option<f64>> {
        self.video().map(|record| record.source_start)
    }

    /// End of the cut, in seconds from the source's first frame.
    #[getter]
    fn source_end(&self) -> PyResult<Option<f64>> {
        self.video().map(|record| record.source_end)
    }

    /// Why the video was re-encoded; None where its packets are the source's.
    #[getter]
    fn reencoded(&self) -> PyResult<Option<&str>> {
        self.video().map(|record| record.reencoded.as_deref())
    }

    /// Names of the fields that the record has.
    #[getter]
    fn fields(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let opened = self.dataset.get().here()?;
        let (dataset, number) = (&opened.dataset, self.number);
        let names = || {
            let mut names = dataset.field_names();
            let mut failed = Ok(());
            names.retain(|name| match dataset.field(number, name) {
                Ok(entry) => entry.is_some(),
                Err(error) => {
                    failed = Err(error);
                    false
                }
            });
            failed.map(|()| names)
        };
        py.detach(names).map_err(raise)
    }

    /// A stored tensor, read and checked; None where the record has none of that name.
    ///
    /// Raises:
    ///     InvalidArgumentError: the dataset has no such field.
    ///     CorruptError: its bytes fail their checksum.
    #[pyo3(signature = (name, /))]
    fn field(&self, py: Python<'_>, #[pyo3(from_py_with = arguments::text)] name: &str) -> PyResult<Option<Tensor>> {
        let opened = self.dataset.get().here()?;
        let (dataset, number) = (&opened.dataset, self.number);
        let stored = py.detach(|| framefeed::read_field(dataset, number, name)).map_err(raise)?;
        let tensor = |stored: framefeed::StoredTensor| {
            let shape: Vec<usize> = stored.shape.iter().map(|&axis| axis as usize).collect();
            Tensor::from_bytes(stored.data, &shape, stored.dtype.into())
        };
        Ok(stored.map(tensor))
    }

    /// The frames on screen at these seconds from the record's first frame.
    #[pyo3(signature = (seconds, /))]
    fn frames_at(&self, seconds: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
        let (stream, duration) = (self.stream()?, self.duration()?);
        let one = |name: &str, second: &Bound<'_, PyAny>| {
            let second = arguments::float(second).map_err(|_| wrong_type_of(name, second, "a float"))?;
            stream.frame_at(second).ok_or_else(|| {
                let expected = format!("expected 0 to less than {duration} s");
                self.wrong(format!("seconds: {second} s is not in the record, {expected}"))
            })
        };
        items("seconds", seconds, "an iterable of floats, such as [0.0, 0.5]", one)
    }

    /// Decodes frames by number, in any order, with repeats.
    ///
    /// The result is one tensor [N, C, H, W] of RGB, uint8, at display size, unless `format`, `layout`, `dtype` or
    /// `size` say otherwise.
    ///
    /// Args:
    ///     frames: frame numbers, of which negative ones count from the end (-1 is the last frame), or a slice of them.
    ///     format: `"rgb"`: [N, 3, H, W], or the axes of `layout`. `"yuv420"`: planes, [N, 1, H * 3 / 2, W]. Both are
    ///         turned for display, as for `Loader`. `"yuv"`: the decoder's own planes, untouched and not turned: a list
    ///         of one tensor for each plane (Y, U, V; or luma alone; or G, B, R), [N, rows, columns] of uint8, or of
    ///         uint16 with the value in the low bits where the clip has more than 8 bits. The options below can't be
    ///         chosen for it.
    ///     size: height and width; the record's display size where it is not given.
    ///     fit, filter, layout, dtype: as for `Loader`.
    ///
    /// Raises:
    ///     InvalidArgumentError: there is no such frame.
    ///     CorruptError: bytes fail their checksum.
    ///     DecodeError: the decoder refuses them.
    #[pyo3(signature = (
        frames, *, format="rgb", size=None, fit="crop", filter="bicubic", layout="TCHW", dtype="uint8"
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn decode<'py>(
        &self,
        py: Python<'py>,
        frames: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = arguments::text)] format: &str,
        size: Option<&Bound<'py, PyAny>>,
        #[pyo3(from_py_with = arguments::text)] fit: &str,
        #[pyo3(from_py_with = arguments::text)] filter: &str,
        #[pyo3(from_py_with = arguments::text)] layout: &str,
        #[pyo3(from_py_with = arguments::text)] dtype: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let size = options::size(size)?;
        let frames = self.numbers(frames)?;
        let is_planes = choose("format", format, &[("rgb", false), ("yuv420", false), ("yuv", true)])?;
        let format = if is_planes { "rgb" } else { format };
        let options = Picture { format, size, fit, filter, layout, dtype }.transform()?;
        // What was given as it is by default cannot be told from what was not given, and asks for nothing.
        if is_planes && options != TransformOptions::new() {
            return Err(invalid(
                "format 'yuv' gives the decoder's own planes: size, fit, filter, layout and dtype can't be chosen",
            ));
        }
        let wanted = if is_planes { Wanted::Planes } else { Wanted::Frames(options) };
        let opened = self.dataset.get().here()?;
        decode::decode(py, &opened, self.number, self.stream()?, &frames, &wanted)
    }

    /// Iterates over the frames from `start` up to `stop`, the last one by default, in tensors of `chunk` frames,
    /// the last of which may be shorter. Each frame is decoded once, ahead of the consumer on a thread, and the memory
    /// is that of three chunks, used again and again where they are dropped. What is given is what :meth:`decode`
    /// gives.
    ///
    /// Args:
    ///     chunk: frames of a tensor, 1 or more. Of a few, what is written stays in the processor's cache.
    ///     start, stop: frame numbers, of which negative ones count from the end; the end itself is `len(record)`, and
    ///         the default of `stop`.
    ///     format, size, fit, filter, layout, dtype: as for `Loader`.
    ///
    /// Raises:
    ///     InvalidArgumentError: there are no such frames.
    ///     CorruptError, DecodeError: from the iterator, as by :meth:`decode`; the chunks before come first.
    #[pyo3(signature = (
        chunk, start=0, stop=None, *, format="rgb", size=None, fit="crop", filter="bicubic", layout="TCHW",
        dtype="uint8"
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn chunks(
        &self,
        #[pyo3(from_py_with = arguments::int)] chunk: i128,
        #[pyo3(from_py_with = arguments::int)] start: i128,
        #[pyo3(from_py_with = arguments::optional_int)] stop: Option<i128>,
        #[pyo3(from_py_with = arguments::text)] format: &str,
        size: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = arguments::text)] fit: &str,
        #[pyo3(from_py_with = arguments::text)] filter: &str,
        #[pyo3(from_py_with = arguments::text)] layout: &str,
        #[pyo3(from_py_with = arguments::text)] dtype: &str,
    ) -> PyResult<PyChunks> {
        let chunk = within("chunk", chunk, 1..=i128::from(u32::MAX))?;
        let stop = stop.map_or_else(|| self.num_frames().map(|end| end as u32), |stop| self.edge("stop", stop))?;
        let frames = self.edge("start", start)?..stop;
        if frames.start > frames.end {
            let (start, stop) = (frames.start, frames.end);
            return Err(self.wrong(format!("start is frame {start} and stop {stop}, expected start <= stop")));
        }
        let size = options::size(size)?;
        let options = Picture { format, size, fit, filter, layout, dtype }.transform()?;
        let request = Request { record: self.number, frames, chunk, options };
        PyChunks::start(self.dataset.get().here()?, request)
    }

    /// The same record of the same dataset.
    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, Self>) -> PyResult<bool> {
        let other = other.get();
        Ok(self.number == other.number && self.key() == other.key() && self.is_of(other.dataset.bind(py))?)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.number, self.key()).hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self) -> String {
        match &self.facts {
            Facts::Video(record) => {
                let (stream, key) = (&record.stream, &record.key);
                let ((width, height), frames) = (stream.display_size(), stream.num_frames());
                let (fps, codec) = (stream.average_fps(), stream.codec.as_str());
                let plural = if frames == 1 { "" } else { "s" };
                format!("framefeed.Record('{key}', {frames} frame{plural} of {width}x{height}, {fps:.3} fps, {codec})")
            }
            Facts::Tensors(record) => {
                let fields: Vec<_> = record.fields.iter().map(|field| field.name.as_str()).collect();
                format!("framefeed.Record('{}', fields {})", record.key, fields.join(", "))
            }
        }
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        // A dataset and a number: `dataset[number]`.
        let getitem = slf.py().import("operator")?.getattr("getitem")?;
        let record = slf.get();
        let arguments = (record.dataset.clone_ref(slf.py()), record.number).into_pyobject(slf.py())?;
        Ok((getitem, arguments))
    }
}
