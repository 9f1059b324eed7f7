//! Frames of one record, by number: transformed, or as the decoder's own planes.

use framefeed::{DecodeLimits, DecodedClip, Error, ErrorKind, FrameView, StreamInfo, TransformOptions};
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::dataset::Opened;
use crate::dlpack::{Element, Tensor};
use crate::errors::raise;
use crate::wait::SIGNAL_INTERVAL;

/// What to make of the frames.
pub(crate) enum Wanted {
    /// One tensor of transformed frames.
    Frames(TransformOptions),
    /// One tensor for each plane.
    Planes,
}

/// Takes a frame and its place in the request; a frame that is asked for twice comes twice.
type Sink<'a> = &'a mut (dyn FnMut(usize, &FrameView<'_>) -> framefeed::Result<()> + Send);

/// Decodes frames of record `number`, whose stream is `stream`, in the calling thread and without the GIL.
pub(crate) fn decode<'py>(
    py: Python<'py>,
    opened: &Opened,
    number: usize,
    stream: &StreamInfo,
    frames: &[u32],
    wanted: &Wanted,
) -> PyResult<Bound<'py, PyAny>> {
    match wanted {
        Wanted::Frames(options) => {
            let tensor = tensor_of(py, opened, number, frames, options)?;
            Ok(Bound::new(py, tensor)?.into_any())
        }
        Wanted::Planes => {
            let planes = PyList::empty(py);
            for tensor in planes_of(py, opened, number, stream, frames)? {
                planes.append(Bound::new(py, tensor)?)?;
            }
            Ok(planes.into_any())
        }
    }
}

fn tensor_of(
    py: Python<'_>,
    opened: &Opened,
    number: usize,
    frames: &[u32],
    options: &TransformOptions,
) -> PyResult<Tensor> {
    let signals = Signals::new();
    let clip = py.detach(|| {
        let mut reader = opened.reader()?;
        let limits = DecodeLimits::default();
        let clip = reader.cancellable_tensor(number, frames, options, &limits, &|| signals.have_come());
        opened.park(reader);
        clip
    });
    let DecodedClip { data, shape, dtype, .. } = signals.or(clip)?;
    Ok(Tensor::from_batch(data, &shape, dtype.into()))
}

fn planes_of(
    py: Python<'_>,
    opened: &Opened,
    number: usize,
    stream: &StreamInfo,
    frames: &[u32],
) -> PyResult<Vec<Tensor>> {
    let format = stream.pixel_format;
    let element = if format.bytes_per_sample() == 2 { Element::Uint16 } else { Element::Uint8 };
    let sizes: Vec<_> = (0..format.num_planes())
        .map(|plane| format.plane_size(plane, stream.width, stream.height))
        .map(|(width, height)| (width as usize, height as usize))
        .collect();
    let plane_bytes = |(width, height): (usize, usize)| width * height * format.bytes_per_sample();
    let mut planes = Vec::with_capacity(sizes.len());
    for &size in &sizes {
        planes.push(zeroed(py, plane_bytes(size).saturating_mul(frames.len()))?);
    }
    run(py, opened, number, frames, &mut |position, frame| {
        for (index, (plane, &size)) in planes.iter_mut().zip(&sizes).enumerate() {
            let (bytes, row_bytes) = (plane_bytes(size), size.0 * format.bytes_per_sample());
            let slot = &mut plane[position * bytes..][..bytes];
            for (y, row) in slot.chunks_exact_mut(row_bytes.max(1)).enumerate() {
                row.copy_from_slice(frame.row(index, y as u32));
            }
        }
        Ok(())
    })?;
    let tensors = planes.into_iter().zip(&sizes);
    Ok(tensors
        .map(|(plane, &(width, height))| Tensor::from_bytes(plane, &[frames.len(), height, width], element))
        .collect())
}

/// Looks for signals now and then while nobody holds the GIL. Only one thread looks.
struct Signals(Mutex<Looked>);

struct Looked {
    last: Instant,
    raised: Option<PyErr>,
}

impl Signals {
    fn new() -> Self {
        Self(Mutex::new(Looked { last: Instant::now(), raised: None }))
    }

    fn have_come(&self) -> bool {
        let mut looked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.raised.is_none() && looked.last.elapsed() >= SIGNAL_INTERVAL {
            #[expect(clippy::redundant_closure_for_method_calls, reason = "the method itself is not general enough")]
            let signal = Python::attach(|py| py.check_signals());
            *looked = Looked { last: Instant::now(), raised: signal.err() };
        }
        looked.raised.is_some()
    }

    /// The result, or what a signal raised.
    fn or<T>(self, result: framefeed::Result<T>) -> PyResult<T> {
        match self.0.into_inner().unwrap_or_else(PoisonError::into_inner).raised {
            Some(error) => Err(error),
            None => result.map_err(raise),
        }
    }
}

/// Hands the frames to `sink`, and looks for signals in between.
fn run(py: Python<'_>, opened: &Opened, number: usize, frames: &[u32], sink: Sink<'_>) -> PyResult<()> {
    if frames.is_empty() {
        return Ok(());
    }
    let signals = Signals::new();
    let result = py.detach(|| {
        let mut reader = opened.reader()?;
        let result = reader.for_each_frame(number, frames, &DecodeLimits::default(), &mut |positions, frame| {
            for &position in positions {
                if signals.have_come() {
                    return Err(Error::new(ErrorKind::Closed, "interrupted"));
                }
                sink(position as usize, frame)?;
            }
            Ok(())
        });
        opened.park(reader);
        result
    });
    signals.or(result)
}

/// Memory for the result; a size that the machine lacks is an exception.
fn zeroed(py: Python<'_>, len: usize) -> PyResult<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|error| {
        raise(Error::new(ErrorKind::OutOfMemory, format!("cannot allocate {len} bytes for frames")).with_source(error))
    })?;
    py.detach(|| bytes.resize(len, 0));
    Ok(bytes)
}
