//! A batch as a dictionary of tensors and lists.

use framefeed::{Batch, ColumnValues, Skipped};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::dlpack::Tensor;

/// The dictionary that an iterator hands out; `_framefeed.pyi` lists its entries. The pixels are moved, not copied.
pub(crate) fn batch_to_dict(py: Python<'_>, batch: Batch) -> PyResult<Bound<'_, PyDict>> {
    let (rows, frames) = (batch.len(), batch.num_frames());
    let numbers = |values: &[u64]| {
        let values: Vec<i64> = values.iter().map(|&value| value as i64).collect();
        Tensor::from_int64(&values, &[rows])
    };
    let dict = PyDict::new(py);
    dict.set_item("key", batch.keys)?;
    if let Some(captions) = batch.captions {
        dict.set_item("caption", captions)?;
    }
    dict.set_item("pts", Bound::new(py, Tensor::from_int64(&batch.pts, &[rows, frames]))?)?;
    let frame_numbers: Vec<i64> = batch.frames.iter().map(|&frame| i64::from(frame)).collect();
    dict.set_item("frame", Bound::new(py, Tensor::from_int64(&frame_numbers, &[rows, frames]))?)?;
    let time_bases: Vec<_> = batch.time_bases.iter().map(|base| (base.num(), base.den())).collect();
    dict.set_item("time_base", time_bases)?;
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
    dict.set_item("video", Bound::new(py, Tensor::from_batch(batch.video, &batch.shape, batch.dtype))?)?;
    Ok(dict)
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
