//! The schema of a shard's index, and rows to Arrow columns.

use super::columns::{COLUMNS, ColumnTypes};
use super::tar::{BLOCK, padding};
use super::trailer::TRAILER_BYTES;
use super::{Member, Record, TensorField, TensorRecord, ipc};
use crate::error::{Error, ErrorKind, Result};
use crate::media::{GopEntry, PacketTable};
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, PrimitiveArray, StringArray,
    StructArray, UInt8Array, UInt32Array, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Fields, Int64Type, Schema, UInt8Type, UInt32Type, UInt64Type,
};
use arrow::record_batch::RecordBatch;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Key and value of the schema's metadata.
pub(crate) const KIND_KEY: &str = "framefeed";
const SHARD_KIND: &str = "shard-index/1";
const TENSOR_SHARD_KIND: &str = "tensor-index/1";
/// Footer metadata that only makes the file longer.
const PADDING_KEY: &str = "framefeed.padding";

fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(required("item", item)))
}

pub(crate) fn member_fields() -> Fields {
    vec![required("offset", DataType::UInt64), required("size", DataType::UInt64), required("crc32c", DataType::UInt32)]
        .into()
}

pub(crate) fn packet_fields() -> Fields {
    vec![
        required("offset", DataType::UInt64),
        required("size", DataType::UInt32),
        required("pts", DataType::Int64),
        required("dts", DataType::Int64),
        required("flags", DataType::UInt8),
        required("crc32c", DataType::UInt32),
    ]
    .into()
}

pub(crate) fn gop_fields() -> Fields {
    vec![
        required("offset", DataType::UInt64),
        required("size", DataType::UInt64),
        required("first_packet", DataType::UInt32),
        required("num_packets", DataType::UInt32),
        required("first_frame", DataType::UInt32),
        required("crc32c", DataType::UInt32),
    ]
    .into()
}

pub(crate) fn tensor_fields() -> Fields {
    vec![
        required("name", DataType::Utf8),
        required("offset", DataType::UInt64),
        required("size", DataType::UInt64),
        required("crc32c", DataType::UInt32),
        required("dtype", DataType::Utf8),
        required("shape", list_of(DataType::UInt64)),
        required("data_offset", DataType::UInt32),
        required("data_crc32c", DataType::UInt32),
    ]
    .into()
}

/// All columns but the user's, in their order.
pub(crate) fn fixed_fields() -> Vec<Field> {
    let optional = |name, data_type| Field::new(name, data_type, true);
    vec![
        required("key", DataType::Utf8),
        required("codec", DataType::Utf8),
        optional("profile", DataType::Int32),
        required("extradata", DataType::Binary),
        required("reorder_frames", DataType::UInt8),
        required("pixel_format", DataType::Utf8),
        required("width", DataType::UInt32),
        required("height", DataType::UInt32),
        required("sample_aspect_num", DataType::UInt32),
        required("sample_aspect_den", DataType::UInt32),
        required("quarter_turns", DataType::UInt8),
        required("mirrored", DataType::Boolean),
        required("color_matrix", DataType::UInt8),
        required("color_primaries", DataType::UInt8),
        required("color_transfer", DataType::UInt8),
        required("color_range", DataType::Utf8),
        required("chroma_location", DataType::Utf8),
        required("color_guessed", DataType::Boolean),
        required("time_base_num", DataType::UInt32),
        required("time_base_den", DataType::UInt32),
        required("duration", DataType::Int64),
        required("frames", DataType::UInt32),
        required("video", DataType::Struct(member_fields())),
        optional("json", DataType::Struct(member_fields())),
        optional("caption", DataType::Utf8),
        required("source", DataType::Utf8),
        optional("source_start", DataType::Float64),
        optional("source_end", DataType::Float64),
        optional("reencoded", DataType::Utf8),
        required("fields", list_of(DataType::Struct(tensor_fields()))),
        required("packets", list_of(DataType::Struct(packet_fields()))),
        required("gops", list_of(DataType::Struct(gop_fields()))),
        required("frame_packets", list_of(DataType::UInt32)),
    ]
}

/// A shard's index as the bytes of an Arrow file that leaves room for the trailer in its last tar block. The same rows
/// give the same bytes.
pub(crate) fn encode_index(rows: &[Record]) -> Result<Vec<u8>> {
    encode_file(&encode_rows(rows)?)
}

/// As [`encode_index`], for the index of a tensor shard.
pub(crate) fn encode_tensor_index(rows: &[TensorRecord]) -> Result<Vec<u8>> {
    encode_file(&encode_tensor_rows(rows)?)
}

fn encode_file(batch: &RecordBatch) -> Result<Vec<u8>> {
    let schema = batch.schema();
    let mut pad = 0;
    loop {
        let metadata: &[(&str, String)] = if pad > 0 { &[(PADDING_KEY, "-".repeat(pad))] } else { &[] };
        let bytes = ipc::write(&schema, std::slice::from_ref(batch), metadata)?;
        let room = padding(bytes.len() as u64);
        if room >= TRAILER_BYTES {
            return Ok(bytes);
        }
        // At most 448 bytes more end in a new block with enough room, whatever the key itself takes.
        pad += 64;
        if pad as u64 > 4 * BLOCK {
            return Err(Error::new(ErrorKind::Unsupported, "the index cannot be padded for its trailer"));
        }
    }
}

fn encode_rows(rows: &[Record]) -> Result<RecordBatch> {
    let mut arrays = stream_arrays(rows)?;
    arrays.extend(record_arrays(rows)?);
    with_columns(SHARD_KIND, fixed_fields(), arrays, &rows.iter().map(|row| &row.columns))
}

/// The columns of a tensor shard's index, without the user's.
pub(crate) fn tensor_shard_fields() -> Vec<Field> {
    vec![
        required("key", DataType::Utf8),
        Field::new("json", DataType::Struct(member_fields()), true),
        Field::new("caption", DataType::Utf8, true),
        required("fields", list_of(DataType::Struct(tensor_fields()))),
    ]
}

fn encode_tensor_rows(rows: &[TensorRecord]) -> Result<RecordBatch> {
    check_text_bytes("key", rows.iter().map(|row| row.key.len()))?;
    check_text_bytes("caption", rows.iter().map(|row| row.caption.as_ref().map_or(0, String::len)))?;
    check_text_bytes("columns", rows.iter().map(|row| column_bytes(&row.columns)))?;
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.key.as_str()))),
        members(rows.iter().map(|row| row.json), Nulls::Some)?,
        Arc::new(rows.iter().map(|row| row.caption.as_deref()).collect::<StringArray>()),
        tensors(&rows.iter().map(|row| row.fields.as_slice()))?,
    ];
    with_columns(TENSOR_SHARD_KIND, tensor_shard_fields(), arrays, &rows.iter().map(|row| &row.columns))
}

/// One batch of the fixed columns and the user's.
fn with_columns<'a, I>(
    kind: &str,
    mut fields: Vec<Field>,
    mut arrays: Vec<ArrayRef>,
    columns: &I,
) -> Result<RecordBatch>
where
    I: Iterator<Item = &'a Map<String, Value>> + Clone,
{
    let mut types = ColumnTypes::default();
    for row in columns.clone() {
        types.add(row);
    }
    if !types.is_empty() {
        fields.push(required(COLUMNS, DataType::Struct(types.fields())));
        arrays.push(Arc::new(types.encode(columns)?));
    }
    let metadata = std::collections::HashMap::from([(KIND_KEY.to_owned(), kind.to_owned())]);
    RecordBatch::try_new(Arc::new(Schema::new(fields).with_metadata(metadata)), arrays).map_err(arrow_error)
}

fn column_bytes(columns: &Map<String, Value>) -> usize {
    columns.values().map(|value| value.to_string().len()).sum()
}

fn arrow_error(error: arrow::error::ArrowError) -> Error {
    Error::invalid("index cannot be written").with_source(error)
}

/// The columns from `key` to `frames`.
fn stream_arrays(rows: &[Record]) -> Result<Vec<ArrayRef>> {
    let streams = || rows.iter().map(|row| &row.stream);
    check_text_bytes("key", rows.iter().map(|row| row.key.len()))?;
    check_text_bytes("extradata", streams().map(|stream| stream.extradata.len()))?;
    let u8s = |get: fn(&Record) -> u8| Arc::new(UInt8Array::from_iter_values(rows.iter().map(get))) as ArrayRef;
    let u32s = |get: fn(&Record) -> u32| Arc::new(UInt32Array::from_iter_values(rows.iter().map(get))) as ArrayRef;
    let bools =
        |get: fn(&Record) -> bool| Arc::new(BooleanArray::from(rows.iter().map(get).collect::<Vec<_>>())) as ArrayRef;
    let names = |get: fn(&Record) -> &str| Arc::new(StringArray::from_iter_values(rows.iter().map(get))) as ArrayRef;
    Ok(vec![
        names(|row| &row.key),
        names(|row| row.stream.codec.as_str()),
        Arc::new(streams().map(|stream| stream.profile).collect::<Int32Array>()),
        Arc::new(BinaryArray::from_iter_values(streams().map(|stream| stream.extradata.as_slice()))),
        u8s(|row| row.stream.reorder_frames),
        Arc::new(StringArray::from_iter_values(streams().map(|stream| stream.pixel_format.name()))),
        u32s(|row| row.stream.width),
        u32s(|row| row.stream.height),
        u32s(|row| row.stream.sample_aspect.num()),
        u32s(|row| row.stream.sample_aspect.den()),
        u8s(|row| row.stream.orientation.quarter_turns()),
        bools(|row| row.stream.orientation.is_mirrored()),
        u8s(|row| row.stream.color.matrix),
        u8s(|row| row.stream.color.primaries),
        u8s(|row| row.stream.color.transfer),
        names(|row| row.stream.color.range.as_str()),
        names(|row| row.stream.color.chroma_location.as_str()),
        bools(|row| row.stream.color.guessed),
        u32s(|row| row.stream.time_base.num()),
        u32s(|row| row.stream.time_base.den()),
        Arc::new(Int64Array::from_iter_values(streams().map(|stream| stream.duration))),
        u32s(|row| row.stream.num_frames() as u32),
    ])
}

/// The columns from `video` to `frame_packets`.
fn record_arrays(rows: &[Record]) -> Result<Vec<ArrayRef>> {
    for (name, get) in [
        ("caption", (|row| row.caption.as_ref().map_or(0, String::len)) as fn(&Record) -> usize),
        ("source", |row| row.source.len()),
        ("reencoded", |row| row.reencoded.as_ref().map_or(0, String::len)),
        ("columns", |row| column_bytes(&row.columns)),
    ] {
        check_text_bytes(name, rows.iter().map(get))?;
    }
    let optional =
        |get: fn(&Record) -> Option<&str>| Arc::new(rows.iter().map(get).collect::<StringArray>()) as ArrayRef;
    let seconds =
        |get: fn(&Record) -> Option<f64>| Arc::new(rows.iter().map(get).collect::<Float64Array>()) as ArrayRef;
    Ok(vec![
        members(rows.iter().map(|row| Some(row.video)), Nulls::None)?,
        members(rows.iter().map(|row| row.json), Nulls::Some)?,
        optional(|row| row.caption.as_deref()),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.source.as_str()))),
        seconds(|row| row.source_start),
        seconds(|row| row.source_end),
        optional(|row| row.reencoded.as_deref()),
        tensors(&rows.iter().map(|row| row.fields.as_slice()))?,
        packets(rows)?,
        gops(rows)?,
        list(
            rows.iter().map(|row| row.stream.frame_packets.len()),
            DataType::UInt32,
            concat::<UInt32Type, _>(rows, |row| &row.stream.frame_packets),
        )?,
    ])
}

#[derive(Clone, Copy)]
enum Nulls {
    None,
    Some,
}

fn members(members: impl Iterator<Item = Option<Member>> + Clone, nulls: Nulls) -> Result<ArrayRef> {
    let or_zero = || members.clone().map(|member| member.unwrap_or(Member { offset: 0, size: 0, crc32c: 0 }));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(or_zero().map(|member| member.offset))),
        Arc::new(UInt64Array::from_iter_values(or_zero().map(|member| member.size))),
        Arc::new(UInt32Array::from_iter_values(or_zero().map(|member| member.crc32c))),
    ];
    let valid = match nulls {
        Nulls::None => None,
        Nulls::Some => Some(members.map(|member| member.is_some()).collect::<NullBuffer>()),
    };
    Ok(Arc::new(StructArray::try_new(member_fields(), arrays, valid).map_err(arrow_error)?))
}

fn tensors<'a>(rows: &(impl Iterator<Item = &'a [TensorField]> + Clone)) -> Result<ArrayRef> {
    let all = || rows.clone().flatten();
    let shapes = UInt64Array::from_iter_values(all().flat_map(|field| field.shape.iter().copied()));
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(all().map(|field| field.name.as_str()))),
        Arc::new(UInt64Array::from_iter_values(all().map(|field| field.member.offset))),
        Arc::new(UInt64Array::from_iter_values(all().map(|field| field.member.size))),
        Arc::new(UInt32Array::from_iter_values(all().map(|field| field.member.crc32c))),
        Arc::new(StringArray::from_iter_values(all().map(|field| field.dtype.name()))),
        list(all().map(|field| field.shape.len()), DataType::UInt64, Arc::new(shapes))?,
        Arc::new(UInt32Array::from_iter_values(all().map(|field| field.data_offset))),
        Arc::new(UInt32Array::from_iter_values(all().map(|field| field.data_crc32c))),
    ];
    let items = StructArray::try_new(tensor_fields(), arrays, None).map_err(arrow_error)?;
    list(rows.clone().map(<[TensorField]>::len), DataType::Struct(tensor_fields()), Arc::new(items))
}

fn packets(rows: &[Record]) -> Result<ArrayRef> {
    fn table(row: &Record) -> &PacketTable {
        &row.stream.packets
    }
    let arrays = vec![
        concat::<UInt64Type, _>(rows, |row| &table(row).offsets),
        concat::<UInt32Type, _>(rows, |row| &table(row).sizes),
        concat::<Int64Type, _>(rows, |row| &table(row).pts),
        concat::<Int64Type, _>(rows, |row| &table(row).dts),
        concat::<UInt8Type, _>(rows, |row| &table(row).flags),
        concat::<UInt32Type, _>(rows, |row| &table(row).crc32c),
    ];
    let items = StructArray::try_new(packet_fields(), arrays, None).map_err(arrow_error)?;
    list(rows.iter().map(|row| table(row).len()), DataType::Struct(packet_fields()), Arc::new(items))
}

fn gops(rows: &[Record]) -> Result<ArrayRef> {
    let all = || rows.iter().flat_map(|row| &row.stream.gops);
    let u64s = |get: fn(&GopEntry) -> u64| Arc::new(UInt64Array::from_iter_values(all().map(get))) as ArrayRef;
    let u32s = |get: fn(&GopEntry) -> u32| Arc::new(UInt32Array::from_iter_values(all().map(get))) as ArrayRef;
    let arrays = vec![
        u64s(|gop| gop.offset),
        u64s(|gop| gop.size),
        u32s(|gop| gop.first_packet),
        u32s(|gop| gop.num_packets),
        u32s(|gop| gop.first_frame),
        u32s(|gop| gop.crc32c),
    ];
    let items = StructArray::try_new(gop_fields(), arrays, None).map_err(arrow_error)?;
    list(rows.iter().map(|row| row.stream.gops.len()), DataType::Struct(gop_fields()), Arc::new(items))
}

/// One column of a table over all rows.
fn concat<T: ArrowPrimitiveType, F>(rows: &[Record], get: F) -> ArrayRef
where
    F: Fn(&Record) -> &[T::Native],
{
    Arc::new(PrimitiveArray::<T>::from_iter_values(rows.iter().flat_map(|row| get(row).iter().copied())))
}

fn list(lengths: impl Iterator<Item = usize> + Clone, item: DataType, items: ArrayRef) -> Result<ArrayRef> {
    check_text_bytes("list", lengths.clone())?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let field = Arc::new(required("item", item));
    Ok(Arc::new(ListArray::try_new(field, offsets, items, None).map_err(arrow_error)?))
}

/// Offsets of text and lists are 32 bits wide.
fn check_text_bytes(name: &str, lengths: impl Iterator<Item = usize>) -> Result<()> {
    let total: u64 = lengths.map(|length| length as u64).sum();
    if i32::try_from(total).is_ok() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::LimitExceeded,
        format!("column '{name}' of one shard holds {total} bytes or items, at most {}; use smaller shards", i32::MAX),
    ))
}
