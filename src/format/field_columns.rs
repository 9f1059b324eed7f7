//! The `fields` column of a shard's index: the stored tensors of each row.

use super::rows::{Lists, Members, child, items, values};
use super::{TensorField, TensorType};
use crate::error::{Error, Result};
use arrow::array::{ListArray, StringArray, UInt32Array, UInt64Array};
use arrow::buffer::ScalarBuffer;

/// Its columns, all of the same length but for the axes.
#[derive(Debug)]
pub(super) struct FieldColumns {
    rows: Lists,
    name: StringArray,
    member: Members,
    dtype: StringArray,
    shapes: Lists,
    axes: ScalarBuffer<u64>,
    data_offset: ScalarBuffer<u32>,
    data_crc32c: ScalarBuffer<u32>,
}

impl FieldColumns {
    /// The column, whose type is that of the format.
    pub(super) fn new(fields: &ListArray) -> Result<Self> {
        let field = items(fields)?;
        let shapes: ListArray = child(&field, 5)?;
        let axes = shapes.values().as_any().downcast_ref::<UInt64Array>();
        Ok(Self {
            rows: Lists(fields.clone()),
            name: child(&field, 0)?,
            dtype: child(&field, 4)?,
            axes: values(axes.ok_or_else(|| Error::corrupt("axes have another type"))?)?,
            shapes: Lists(shapes),
            data_offset: values(&child::<UInt32Array>(&field, 6)?)?,
            data_crc32c: values(&child::<UInt32Array>(&field, 7)?)?,
            member: Members::new(field, 1)?,
        })
    }

    /// The tensors of a row; their values have the right types.
    pub(super) fn row(&self, row: usize) -> Result<Vec<TensorField>> {
        self.rows.range(row)?.map(|item| self.field(item)).collect()
    }

    /// The tensor of that name in a row.
    pub(super) fn find(&self, row: usize, name: &str) -> Result<Option<TensorField>> {
        let mut items = self.rows.range(row)?;
        items.find(|&item| self.name.value(item) == name).map(|item| self.field(item)).transpose()
    }

    fn field(&self, item: usize) -> Result<TensorField> {
        let dtype = self.dtype.value(item);
        let missing = || Error::corrupt(format!("field {item} is missing"));
        Ok(TensorField {
            name: self.name.value(item).to_owned(),
            member: self.member.get(item).ok_or_else(missing)?,
            dtype: TensorType::parse(dtype)
                .ok_or_else(|| Error::unsupported(format!("dtype '{dtype}' is not known to this build")))?,
            shape: self.axes.get(self.shapes.range(item)?).ok_or_else(missing)?.to_vec(),
            data_offset: *self.data_offset.get(item).ok_or_else(missing)?,
            data_crc32c: *self.data_crc32c.get(item).ok_or_else(missing)?,
        })
    }
}
