//! A batch as a dictionary of tensors and lists.

use framefeed::{Batch, ColorRange, ColorSpec, ColumnValues, FieldBatch, FrameFormat, Skipped, VideoBatch};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::dlpack::Tensor;

/// The dictionary that an iterator hands out; `_framefeed.pyi` lists its entries. Pixels and tensors are moved, not copied.
pub(crate) fn batch_to_dict(py: Python<'_>, batch: Batch) -> PyResult<Bound<'_, PyDict>> {
    let rows = batch.len();
    let numbers = |values: &[u64]| {
        let values: Vec<i64> = values.iter().map(|&value| value as i64).collect();
        Tensor::from_int64(&values, &[rows])
    };
    let dict = PyDict::new(py);
    dict.set_item("key", batch.keys)?;
    if let Some(captions) = batch.captions {
        dict.set_item("caption", captions)?;
    }
    if let Some(video) = batch.video {
        set_video(&dict, video)?;
    }
    if let Some(sources) = batch.sources {
        dict.set_item("fps", Bound::new(py, Tensor::from_float64(&sources.fps, &[rows]))?)?;
        dict.set_item("duration", Bound::new(py, Tensor::from_float64(&sources.seconds, &[rows]))?)?;
        let sizes: Vec<i64> = sources.sizes.iter().flat_map(|&(h, w)| [i64::from(h), i64::from(w)]).collect();
        dict.set_item("source_size", Bound::new(py, Tensor::from_int64(&sizes, &[rows, 2]))?)?;
    }
    for field in batch.fields {
        set_field(&dict, field)?;
    }
    dict.set_item("record", Bound::new(py, numbers(&batch.records))?)?;
    dict.set_item("position", Bound::new(py, numbers(&batch.positions))?)?;
    dict.set_item("epoch", batch.epoch)?;
    let columns = PyDict::new(py);
    for (name, values) in batch.columns {
        columns.set_item(name, column(py, values)?)?;
    }
    dict.set_item("columns", columns)?;
    dict.set_item("skipped", lost(py, &batch.skipped)?)?;
    dict.set_item("substituted", lost(py, &batch.substituted)?)?;
    Ok(dict)
}

fn set_video(dict: &Bound<'_, PyDict>, video: VideoBatch) -> PyResult<()> {
    let (py, sides) = (dict.py(), [video.shape[0], video.num_frames()]);
    dict.set_item("pts", Bound::new(py, Tensor::from_int64(&video.pts, &sides))?)?;
    let frame_numbers: Vec<i64> = video.frames.iter().map(|&frame| i64::from(frame)).collect();
    dict.set_item("frame", Bound::new(py, Tensor::from_int64(&frame_numbers, &sides))?)?;
    let time_bases: Vec<_> = video.time_bases.iter().map(|base| (base.num(), base.den())).collect();
    dict.set_item("time_base", time_bases)?;
    if video.format == FrameFormat::Yuv420 {
        dict.set_item("color", video.colors.iter().map(|&color| color_of(py, color)).collect::<PyResult<Vec<_>>>()?)?;
    }
    dict.set_item("video", Bound::new(py, Tensor::from_batch(video.data, &video.shape, video.dtype.into()))?)
}

/// FFmpeg's name of a code point of H.273, or its number where FFmpeg has none.
pub(crate) fn code_name(name: Option<&str>, code: u8) -> String {
    match (name, code) {
        (Some(name), _) => name.to_owned(),
        (None, 2) => "unknown".to_owned(),
        (None, code) => code.to_string(),
    }
}

/// How to make RGB of a row's planes.
fn color_of(py: Python<'_>, color: ColorSpec) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("matrix", code_name(color.matrix_name(), color.matrix))?;
    dict.set_item("range", if color.range == ColorRange::Full { "full" } else { "limited" })?;
    dict.set_item("guessed", color.guessed)?;
    Ok(dict)
}

fn set_field(dict: &Bound<'_, PyDict>, field: FieldBatch) -> PyResult<()> {
    let py = dict.py();
    if let Some(lengths) = field.lengths {
        let lengths: Vec<i64> = lengths.iter().map(|&length| length as i64).collect();
        let sides = [field.shape[0], field.shape.len() - 1];
        dict.set_item(format!("{}_lengths", field.name), Bound::new(py, Tensor::from_int64(&lengths, &sides))?)?;
    }
    let tensor = Tensor::from_batch(field.data, &field.shape, field.dtype.into());
    dict.set_item(field.name, Bound::new(py, tensor)?)
}

fn column(py: Python<'_>, values: ColumnValues) -> PyResult<Bound<'_, PyAny>> {
    match values {
        ColumnValues::Bool(values) => values.into_pyobject(py),
        ColumnValues::Int64(values) => values.into_pyobject(py),
        // A missing number has a number for it, so that the column is a tensor in every batch.
        ColumnValues::Float64(values) => {
            values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect::<Vec<_>>().into_pyobject(py)
        }
        ColumnValues::Text(values) => values.into_pyobject(py),
        _ => Ok(py.None().into_bound(py)),
    }
}

/// Samples that are missing from the batches.
pub(crate) fn lost<'py>(py: Python<'py>, samples: &[Skipped]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for sample in samples {
        let entry = PyDict::new(py);
        entry.set_item("epoch", sample.epoch)?;
        entry.set_item("position", sample.position)?;
        entry.set_item("record", sample.record)?;
        entry.set_item("reason", &sample.reason)?;
        list.append(entry)?;
    }
    Ok(list)
}
