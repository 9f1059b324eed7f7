//! A shard's index as typed columns, and columns to rows. Tables of packets and frames share the file's memory.

use super::columns::{self, COLUMNS};
use super::field_columns::FieldColumns;
use super::ipc::{IpcFile, no_panic};
use super::schema::fixed_fields;
use super::tar::BLOCK;
use super::validate::{ParsedRecord, check_fields};
use super::{Member, REENCODED_FOR_TRAINING, Record, TensorField};
use crate::error::{Error, Result};
use crate::media::{
    ChromaLocation, Codec, ColorRange, ColorSpec, GopEntry, Orientation, PacketTable, PixelFormat, Ratio, StreamInfo,
    TimeBase,
};
use arrow::array::{
    Array, ArrowPrimitiveType, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray,
    PrimitiveArray, StringArray, StructArray, UInt8Array, UInt32Array, UInt64Array,
};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::Field;
use arrow::record_batch::RecordBatch;
use serde_json::Map;
use std::ops::Range;

/// The columns of a shard's index, all of the same length.
#[derive(Debug)]
pub(crate) struct ShardRows {
    len: usize,
    batch: RecordBatch,
    key: StringArray,
    extradata: BinaryArray,
    video: Members,
    json: Members,
    packets: Lists,
    packet_columns: PacketTable,
    gops: Lists,
    gop_columns: Vec<Column32Or64>,
    frame_packets: Lists,
    frame_column: ScalarBuffer<u32>,
    fields: FieldColumns,
    columns: Option<StructArray>,
}

#[derive(Debug)]
pub(super) struct Members {
    array: StructArray,
    offset: UInt64Array,
    size: UInt64Array,
    crc32c: UInt32Array,
}

#[derive(Debug)]
pub(super) struct Lists(pub(super) ListArray);

#[derive(Debug)]
enum Column32Or64 {
    U32(ScalarBuffer<u32>),
    U64(ScalarBuffer<u64>),
}

impl Column32Or64 {
    fn get(&self, index: usize) -> Option<u64> {
        match self {
            Self::U32(values) => values.get(index).map(|&value| u64::from(value)),
            Self::U64(values) => values.get(index).copied(),
        }
    }
}

impl ShardRows {
    /// Parses the bytes of an index. Reads no rows yet.
    pub(crate) fn parse(index: Buffer) -> Result<Self> {
        let file = IpcFile::parse(index)?;
        if file.num_batches() != 1 {
            return Err(Error::corrupt(format!("index has {} batches, expected 1", file.num_batches())));
        }
        no_panic(|| Self::from_batch(file.batch(0)?))
    }

    fn from_batch(batch: RecordBatch) -> Result<Self> {
        check_schema(&batch, &fixed_fields())?;
        let video = Members::new(column(&batch, "video")?, 0)?;
        let json = Members::new(column(&batch, "json")?, 0)?;
        let packets: ListArray = column(&batch, "packets")?;
        let gops: ListArray = column(&batch, "gops")?;
        let frame_packets: ListArray = column(&batch, "frame_packets")?;
        let packet = items(&packets)?;
        let gop = items(&gops)?;
        let columns = match batch.column_by_name(COLUMNS) {
            Some(_) => Some(column::<StructArray>(&batch, COLUMNS)?),
            None => None,
        };
        columns.as_ref().map_or(Ok(()), columns::check_struct)?;
        Ok(Self {
            len: batch.num_rows(),
            key: column(&batch, "key")?,
            extradata: column(&batch, "extradata")?,
            packet_columns: PacketTable {
                offsets: values(&child::<UInt64Array>(&packet, 0)?)?,
                sizes: values(&child::<UInt32Array>(&packet, 1)?)?,
                pts: values(&child::<Int64Array>(&packet, 2)?)?,
                dts: values(&child::<Int64Array>(&packet, 3)?)?,
                flags: values(&child::<UInt8Array>(&packet, 4)?)?,
                crc32c: values(&child::<UInt32Array>(&packet, 5)?)?,
            },
            gop_columns: vec![
                Column32Or64::U64(values(&child::<UInt64Array>(&gop, 0)?)?),
                Column32Or64::U64(values(&child::<UInt64Array>(&gop, 1)?)?),
                Column32Or64::U32(values(&child::<UInt32Array>(&gop, 2)?)?),
                Column32Or64::U32(values(&child::<UInt32Array>(&gop, 3)?)?),
                Column32Or64::U32(values(&child::<UInt32Array>(&gop, 4)?)?),
                Column32Or64::U32(values(&child::<UInt32Array>(&gop, 5)?)?),
            ],
            frame_column: values(&downcast::<UInt32Array>(frame_packets.values().as_ref(), "frame_packets")?)?,
            video,
            json,
            packets: Lists(packets),
            gops: Lists(gops),
            frame_packets: Lists(frame_packets),
            fields: FieldColumns::new(&column(&batch, "fields")?)?,
            columns,
            batch,
        })
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Names of the user's columns.
    pub(crate) fn column_names(&self) -> Vec<String> {
        self.columns.as_ref().map_or_else(Vec::new, columns::names)
    }

    /// The key of a row.
    pub(crate) fn key(&self, row: usize) -> Result<&str> {
        if row < self.len { Ok(self.key.value(row)) } else { Err(self.no_row(row)) }
    }

    fn no_row(&self, row: usize) -> Error {
        Error::invalid(format!("row {row} of a shard with {} rows", self.len))
    }

    /// The MP4 of a row, not validated.
    pub(crate) fn video(&self, row: usize) -> Result<Member> {
        self.video.get(row).ok_or_else(|| self.no_row(row))
    }

    /// The tensor of that name in a row, validated by itself.
    pub(crate) fn field(&self, row: usize, name: &str, data_end: u64) -> Result<Option<TensorField>> {
        self.key(row)?;
        let field = self.fields.find(row, name)?;
        check_fields(field.as_slice(), BLOCK, data_end)?;
        Ok(field)
    }

    /// A row; its values have the right types.
    pub(crate) fn record(&self, row: usize) -> Result<ParsedRecord> {
        let key = self.key(row)?.to_owned();
        self.parse_record(row).map_err(|error| error.with_record(key))
    }

    fn parse_record(&self, row: usize) -> Result<ParsedRecord> {
        Ok(ParsedRecord(Record {
            key: self.key(row)?.to_owned(),
            stream: self.stream(row)?,
            video: self.video(row)?,
            json: self.json.get(row),
            caption: self.optional_text("caption", row)?,
            columns: self.columns.as_ref().map_or_else(Map::new, |columns| columns::decode(columns, row)),
            source: self.text("source", row)?.to_owned(),
            source_start: self.optional_seconds("source_start", row)?,
            source_end: self.optional_seconds("source_end", row)?,
            reencoded: self.optional_text("reencoded", row)?,
            fields: self.fields.row(row)?,
        }))
    }

    /// The stream of a row; its values have the right types.
    pub(crate) fn stream(&self, row: usize) -> Result<StreamInfo> {
        self.key(row)?;
        let unknown =
            |name: &str, value: &str| Error::unsupported(format!("{name} '{value}' is not known to this build"));
        let positive = |name: &str| Error::corrupt(format!("{name} has a zero"));
        let codec = self.text("codec", row)?;
        let pixel_format = self.text("pixel_format", row)?;
        let range = self.text("color_range", row)?;
        let location = self.text("chroma_location", row)?;
        let turns: u8 = self.number::<UInt8Array>("quarter_turns", row)?;
        if turns > 3 {
            return Err(Error::corrupt(format!("quarter_turns is {turns}, expected 0 to 3")));
        }
        let u32 = |name| self.number::<UInt32Array>(name, row);
        let stream = StreamInfo {
            codec: Codec::parse(codec).ok_or_else(|| unknown("codec", codec))?,
            profile: self.profile(row)?,
            extradata: self.extradata(row)?,
            reorder_frames: self.number::<UInt8Array>("reorder_frames", row)?,
            pixel_format: PixelFormat::parse(pixel_format).ok_or_else(|| unknown("pixel_format", pixel_format))?,
            width: u32("width")?,
            height: u32("height")?,
            sample_aspect: Ratio::new(u32("sample_aspect_num")?, u32("sample_aspect_den")?)
                .ok_or_else(|| positive("sample_aspect"))?,
            orientation: Orientation::new(turns, self.flag("mirrored", row)?),
            color: ColorSpec {
                matrix: self.number::<UInt8Array>("color_matrix", row)?,
                primaries: self.number::<UInt8Array>("color_primaries", row)?,
                transfer: self.number::<UInt8Array>("color_transfer", row)?,
                range: ColorRange::parse(range).ok_or_else(|| unknown("color_range", range))?,
                chroma_location: ChromaLocation::parse(location).ok_or_else(|| unknown("chroma_location", location))?,
                guessed: self.flag("color_guessed", row)?,
            },
            time_base: TimeBase::new(u32("time_base_num")?, u32("time_base_den")?)
                .ok_or_else(|| positive("time_base"))?,
            duration: self.number::<Int64Array>("duration", row)?,
            packets: self.packet_table(row)?,
            gops: self.gop_table(row)?,
            frame_packets: slice(&self.frame_column, self.frame_packets.range(row)?)?,
            is_closed: codec == Codec::H264.as_str()
                && self.optional_text("reencoded", row)?.as_deref() == Some(REENCODED_FOR_TRAINING),
        };
        let frames = u32("frames")?;
        if frames as usize != stream.num_frames() {
            let found = stream.num_frames();
            return Err(Error::corrupt(format!("row says {frames} frames, its frame table has {found}")));
        }
        Ok(stream)
    }

    fn packet_table(&self, row: usize) -> Result<PacketTable> {
        let range = self.packets.range(row)?;
        let all = &self.packet_columns;
        Ok(PacketTable {
            offsets: slice(&all.offsets, range.clone())?,
            sizes: slice(&all.sizes, range.clone())?,
            pts: slice(&all.pts, range.clone())?,
            dts: slice(&all.dts, range.clone())?,
            flags: slice(&all.flags, range.clone())?,
            crc32c: slice(&all.crc32c, range)?,
        })
    }

    fn gop_table(&self, row: usize) -> Result<Vec<GopEntry>> {
        let gop = |index: usize| -> Option<GopEntry> {
            let [offset, size, first_packet, num_packets, first_frame, crc32c] = self.gop_columns.as_slice() else {
                return None;
            };
            Some(GopEntry {
                offset: offset.get(index)?,
                size: size.get(index)?,
                first_packet: first_packet.get(index)? as u32,
                num_packets: num_packets.get(index)? as u32,
                first_frame: first_frame.get(index)? as u32,
                crc32c: crc32c.get(index)? as u32,
            })
        };
        let range = self.gops.range(row)?;
        range.map(|index| gop(index).ok_or_else(|| Error::corrupt("GOP table is too short"))).collect()
    }

    fn profile(&self, row: usize) -> Result<Option<i32>> {
        let array: Int32Array = column(&self.batch, "profile")?;
        Ok(array.is_valid(row).then(|| array.value(row)))
    }

    fn extradata(&self, row: usize) -> Result<Buffer> {
        let offsets = self.extradata.value_offsets();
        match (offsets.get(row), offsets.get(row + 1)) {
            (Some(&start), Some(&end)) if start >= 0 && end >= start => {
                Ok(self.extradata.values().slice_with_length(start as usize, (end - start) as usize))
            }
            _ => Err(self.no_row(row)),
        }
    }

    fn text(&self, name: &str, row: usize) -> Result<&str> {
        let array = self.batch.column_by_name(name).and_then(|array| array.as_any().downcast_ref::<StringArray>());
        array.filter(|array| row < array.len()).map(|array| array.value(row)).ok_or_else(|| self.no_row(row))
    }

    fn optional_text(&self, name: &str, row: usize) -> Result<Option<String>> {
        let array: StringArray = column(&self.batch, name)?;
        Ok((row < array.len() && array.is_valid(row)).then(|| array.value(row).to_owned()))
    }

    fn optional_seconds(&self, name: &str, row: usize) -> Result<Option<f64>> {
        let array: Float64Array = column(&self.batch, name)?;
        Ok((row < array.len() && array.is_valid(row)).then(|| array.value(row)))
    }

    fn flag(&self, name: &str, row: usize) -> Result<bool> {
        let array: BooleanArray = column(&self.batch, name)?;
        if row < array.len() { Ok(array.value(row)) } else { Err(self.no_row(row)) }
    }

    fn number<A: Numbers>(&self, name: &str, row: usize) -> Result<A::Value> {
        let array = self.batch.column_by_name(name).and_then(|array| array.as_any().downcast_ref::<A>());
        array.and_then(|array| array.number(row)).ok_or_else(|| self.no_row(row))
    }
}

/// Arrays of numbers, by row.
trait Numbers: Array + 'static {
    type Value;
    fn number(&self, row: usize) -> Option<Self::Value>;
}

impl<T: ArrowPrimitiveType> Numbers for PrimitiveArray<T> {
    type Value = T::Native;
    fn number(&self, row: usize) -> Option<T::Native> {
        self.values().get(row).copied()
    }
}

impl Members {
    pub(super) fn new(array: StructArray, first: usize) -> Result<Self> {
        Ok(Self {
            offset: child(&array, first)?,
            size: child(&array, first + 1)?,
            crc32c: child(&array, first + 2)?,
            array,
        })
    }

    pub(super) fn get(&self, row: usize) -> Option<Member> {
        if row >= self.array.len() || self.array.is_null(row) {
            return None;
        }
        Some(Member {
            offset: self.offset.number(row)?,
            size: self.size.number(row)?,
            crc32c: self.crc32c.number(row)?,
        })
    }
}

impl Lists {
    /// Items of a row. Arrow has checked that offsets do not fall and lie inside the items.
    pub(super) fn range(&self, row: usize) -> Result<Range<usize>> {
        let offsets = self.0.value_offsets();
        match (offsets.get(row), offsets.get(row + 1)) {
            (Some(&start), Some(&end)) if start >= 0 && end >= start => Ok(start as usize..end as usize),
            _ => Err(Error::corrupt(format!("list of row {row} is missing"))),
        }
    }
}

/// All columns but the user's have exactly the names, order and types of the format, so that the casts below hold.
pub(super) fn check_schema(batch: &RecordBatch, expected: &[Field]) -> Result<()> {
    let schema = batch.schema();
    let fields = schema.fields();
    if fields.len() < expected.len() || fields.len() > expected.len() + 1 {
        return Err(Error::corrupt(format!("index has {} columns, expected {}", fields.len(), expected.len())));
    }
    for (actual, expected) in fields.iter().zip(expected) {
        if actual.name() != expected.name() || actual.data_type() != expected.data_type() {
            return Err(Error::corrupt(format!(
                "index has column '{}' of type {}, expected '{}' of type {}",
                actual.name(),
                actual.data_type(),
                expected.name(),
                expected.data_type()
            )));
        }
    }
    if let Some(last) = fields.get(expected.len())
        && last.name() != COLUMNS
    {
        return Err(Error::corrupt(format!("index has an unknown column '{}'", last.name())));
    }
    for (field, array) in expected.iter().zip(batch.columns()) {
        if !field.is_nullable() && array.null_count() > 0 {
            return Err(Error::corrupt(format!("column '{}' has missing values", field.name())));
        }
    }
    Ok(())
}

pub(super) fn column<A: Array + Clone + 'static>(batch: &RecordBatch, name: &str) -> Result<A> {
    let array = batch.column_by_name(name).ok_or_else(|| Error::corrupt(format!("index lacks column '{name}'")))?;
    downcast(array.as_ref(), name)
}

fn downcast<A: Array + Clone + 'static>(array: &dyn Array, name: &str) -> Result<A> {
    array
        .as_any()
        .downcast_ref::<A>()
        .cloned()
        .ok_or_else(|| Error::corrupt(format!("column '{name}' has type {}", array.data_type())))
}

pub(super) fn items(list: &ListArray) -> Result<StructArray> {
    let items: StructArray = downcast(list.values().as_ref(), "item")?;
    if items.null_count() > 0 { Err(Error::corrupt("a list has missing items")) } else { Ok(items) }
}

pub(super) fn child<A: Array + Clone + 'static>(array: &StructArray, number: usize) -> Result<A> {
    let child = array.columns().get(number).ok_or_else(|| Error::corrupt("a struct lacks a column"))?;
    if child.null_count() > 0 {
        return Err(Error::corrupt("a struct has missing values"));
    }
    downcast(child.as_ref(), "of a struct")
}

pub(super) fn values<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> Result<ScalarBuffer<T::Native>> {
    if array.null_count() > 0 { Err(Error::corrupt("a table has missing values")) } else { Ok(array.values().clone()) }
}

fn slice<T: arrow::datatypes::ArrowNativeType>(
    values: &ScalarBuffer<T>,
    range: Range<usize>,
) -> Result<ScalarBuffer<T>> {
    if range.end > values.len() {
        return Err(Error::corrupt(format!("table ends at {}, row needs {}", values.len(), range.end)));
    }
    Ok(values.slice(range.start, range.len()))
}
