//! What the dataset's index has of its own for each record, by the names of its columns, as values of a batch's columns.

use super::open::{Dataset, IndexColumn};
use crate::error::Result;
use crate::format::DatasetKind;
use serde_json::{Value, json};

/// Columns of the index of every dataset.
const PLACE: [(&str, IndexColumn); 4] = [
    ("shard", IndexColumn::Int64),
    ("row", IndexColumn::Int64),
    ("key", IndexColumn::Text),
    ("bytes", IndexColumn::Int64),
];
/// Columns of the index of a dataset of videos.
const VIDEO: [(&str, IndexColumn); 11] = [
    ("frames", IndexColumn::Int64),
    ("width", IndexColumn::Int64),
    ("height", IndexColumn::Int64),
    ("duration", IndexColumn::Int64),
    ("time_base_num", IndexColumn::Int64),
    ("time_base_den", IndexColumn::Int64),
    ("fps", IndexColumn::Float64),
    ("codec", IndexColumn::Text),
    ("pixel_format", IndexColumn::Text),
    ("gops", IndexColumn::Int64),
    ("max_gop_frames", IndexColumn::Int64),
];

impl Dataset {
    /// The columns that the index has besides the user's, with their types.
    pub(crate) fn own_columns(&self) -> impl Iterator<Item = (&'static str, IndexColumn)> {
        let video: &[_] = if self.kind() == DatasetKind::Video { &VIDEO } else { &[] };
        PLACE.iter().chain(video).copied()
    }

    /// The value of one of [`own_columns`](Self::own_columns) for a record.
    pub(crate) fn own_value(&self, record: usize, name: &str) -> Result<Value> {
        let place = self.place(record)?;
        Ok(match name {
            "shard" => json!(place.shard),
            "row" => json!(place.row),
            "key" => json!(place.key),
            "bytes" => json!(place.bytes),
            _ => {
                let row = self.row(record)?;
                match name {
                    "frames" => json!(row.frames),
                    "width" => json!(row.width),
                    "height" => json!(row.height),
                    "duration" => json!(row.duration),
                    "time_base_num" => json!(row.time_base.num()),
                    "time_base_den" => json!(row.time_base.den()),
                    "fps" => json!(row.fps),
                    "codec" => json!(row.codec.as_str()),
                    "pixel_format" => json!(row.pixel_format.name()),
                    "gops" => json!(row.gops),
                    "max_gop_frames" => json!(row.max_gop_frames),
                    _ => Value::Null,
                }
            }
        })
    }
}
