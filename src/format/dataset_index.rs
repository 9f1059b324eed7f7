//! The dataset's index: one small row per clip over all shards, in batches of equal length, each with its checksum.

use super::columns::{self, COLUMNS, ColumnTypes};
use super::ipc::{self, IpcFile};
use super::mapped::{MAX_READ_INDEX_BYTES, index_bytes, open_regular};
use super::schema::KIND_KEY;
use super::{DatasetKind, IndexEntry, Record, TensorRecord, crc32c};
use crate::error::{Error, Result};
use crate::media::{Codec, PixelFormat, TimeBase};
use arrow::array::{
    Array, ArrayRef, Float64Array, Int64Array, PrimitiveArray, StringArray, StructArray, UInt32Array, UInt64Array,
};
use arrow::buffer::Buffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Rows of every batch but the last.
const BATCH_ROWS: usize = 16_384;
const DATASET_KIND: &str = "dataset-index/1";
const TENSOR_DATASET_KIND: &str = "tensor-dataset-index/1";
/// Footer metadata: the CRC32C of each batch, eight hexadecimal digits each, in order.
const CRC_KEY: &str = "framefeed.crc32c";
/// Name of the file in a dataset's folder.
const INDEX_FILE: &str = "index.arrow";

/// One row of the dataset's index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndexRow<'a> {
    /// Number of the shard in the manifest.
    pub shard: u32,
    /// Row in the shard's index.
    pub row: u32,
    /// The record's key.
    pub key: &'a str,
    /// Exact number of frames.
    pub frames: u32,
    /// Display width in square pixels.
    pub width: u32,
    /// Display height in square pixels.
    pub height: u32,
    /// Ticks from the first frame to the end of the last one.
    pub duration: i64,
    /// Length of a tick.
    pub time_base: TimeBase,
    /// Average frames per second.
    pub fps: f64,
    /// Codec of the packets.
    pub codec: Codec,
    /// Format of the decoded planes.
    pub pixel_format: PixelFormat,
    /// Number of GOPs.
    pub gops: u32,
    /// Most packets that give a frame in one GOP.
    pub max_gop_frames: u32,
    /// Bytes of the MP4.
    pub bytes: u64,
}

/// What the index of every dataset knows of a record: where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexPlace<'a> {
    /// Number of the shard in the manifest.
    pub shard: u32,
    /// Row in the shard's index.
    pub row: u32,
    /// The record's key.
    pub key: &'a str,
    /// Bytes of the MP4, or of the NPY files of a record of tensors.
    pub bytes: u64,
}

fn fixed_fields(kind: DatasetKind) -> Vec<Field> {
    if kind == DatasetKind::Tensor {
        let columns = [
            ("shard", DataType::UInt32),
            ("row", DataType::UInt32),
            ("key", DataType::Utf8),
            ("bytes", DataType::UInt64),
        ];
        return columns.into_iter().map(|(name, data_type)| Field::new(name, data_type, false)).collect();
    }
    [
        ("shard", DataType::UInt32),
        ("row", DataType::UInt32),
        ("key", DataType::Utf8),
        ("frames", DataType::UInt32),
        ("width", DataType::UInt32),
        ("height", DataType::UInt32),
        ("duration", DataType::Int64),
        ("time_base_num", DataType::UInt32),
        ("time_base_den", DataType::UInt32),
        ("fps", DataType::Float64),
        ("codec", DataType::Utf8),
        ("pixel_format", DataType::Utf8),
        ("gops", DataType::UInt32),
        ("max_gop_frames", DataType::UInt32),
        ("bytes", DataType::UInt64),
    ]
    .into_iter()
    .map(|(name, data_type)| Field::new(name, data_type, false))
    .collect()
}

/// Collects rows; the types of the user's columns are known at the end only.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    kind: DatasetKind,
    rows: Vec<OwnedRow>,
    types: ColumnTypes,
}

#[derive(Debug)]
struct OwnedRow {
    shard: u32,
    row: u32,
    key: String,
    bytes: u64,
    columns: Map<String, Value>,
    /// There for records of videos.
    video: Option<VideoFacts>,
}

#[derive(Debug)]
struct VideoFacts {
    frames: u32,
    size: (u32, u32),
    duration: i64,
    time_base: TimeBase,
    fps: f64,
    codec: Codec,
    pixel_format: PixelFormat,
    gops: u32,
    max_gop_frames: u32,
}

impl IndexBuilder {
    /// Of a dataset of that kind.
    pub(crate) fn new(kind: DatasetKind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// Adds the row of a validated record of tensors.
    pub(crate) fn add_tensors(&mut self, shard: u32, row: u32, record: &TensorRecord) {
        let bytes = record.fields.iter().map(|field| field.member.size).sum();
        self.push(shard, row, &record.key, bytes, &record.columns, None);
    }

    fn push(
        &mut self,
        shard: u32,
        row: u32,
        key: &str,
        bytes: u64,
        columns: &Map<String, Value>,
        video: Option<VideoFacts>,
    ) {
        self.types.add(columns);
        let columns = columns.iter().filter(|(_, value)| value.is_number() || value.is_boolean());
        let columns = columns.map(|(name, value)| (name.clone(), value.clone())).collect();
        self.rows.push(OwnedRow { shard, row, key: key.to_owned(), bytes, columns, video });
    }

    /// Adds the row of a validated record.
    pub(crate) fn add(&mut self, shard: u32, row: u32, record: &Record) -> Result<()> {
        let stream = &record.stream;
        let video = VideoFacts {
            frames: u32::try_from(stream.num_frames())
                .map_err(|_| Error::corrupt("more than 2^32 frames").with_record(&record.key))?,
            size: stream.display_size(),
            duration: stream.duration,
            time_base: stream.time_base,
            fps: stream.average_fps(),
            codec: stream.codec,
            pixel_format: stream.pixel_format,
            gops: stream.gops.len() as u32,
            max_gop_frames: max_gop_frames(record),
        };
        self.push(shard, row, &record.key, record.video.size, &record.columns, Some(video));
        Ok(())
    }

    /// The file and its entry for the manifest.
    pub(crate) fn finish(self) -> Result<(Vec<u8>, IndexEntry)> {
        let types = self.types.without_text();
        let mut fields = fixed_fields(self.kind);
        if !types.is_empty() {
            fields.push(Field::new(COLUMNS, DataType::Struct(types.fields()), false));
        }
        let metadata = std::collections::HashMap::from([(KIND_KEY.to_owned(), kind_name(self.kind).to_owned())]);
        let schema = Arc::new(Schema::new(fields).with_metadata(metadata));
        let mut batches = Vec::new();
        for rows in self.rows.chunks(BATCH_ROWS) {
            let mut arrays = encode(self.kind, rows);
            if !types.is_empty() {
                arrays.push(Arc::new(types.encode(&rows.iter().map(|row| &row.columns))?));
            }
            batches.push(
                RecordBatch::try_new(schema.clone(), arrays)
                    .map_err(|error| Error::invalid("index cannot be written").with_source(error))?,
            );
        }
        // The checksums stand in the footer, and the footer does not move the batches: so write once without them.
        let plain = ipc::write(&schema, &batches, &[])?;
        let file = IpcFile::parse(Buffer::from(plain))?;
        let checksum = |number| Ok(format!("{:08x}", crc32c(file.block_bytes(number)?)));
        let checksums = (0..file.num_batches()).map(checksum).collect::<Result<String>>()?;
        let bytes = ipc::write(&schema, &batches, &[(CRC_KEY, checksums)])?;
        let footer = ipc::footer_range(&bytes)?;
        let entry = IndexEntry {
            file: INDEX_FILE.to_owned(),
            rows: self.rows.len() as u64,
            bytes: bytes.len() as u64,
            blake3: blake3::hash(&bytes).to_hex().to_string(),
            footer_crc32c: crc32c(bytes.get(footer).unwrap_or_default()),
        };
        Ok((bytes, entry))
    }
}

fn max_gop_frames(record: &Record) -> u32 {
    let stream = &record.stream;
    let mut has_frame = vec![false; stream.packets.len()];
    for &packet in &stream.frame_packets {
        if let Some(slot) = has_frame.get_mut(packet as usize) {
            *slot = true;
        }
    }
    let frames = stream.gops.iter().map(|gop| {
        let range = gop.first_packet as usize..(gop.first_packet as usize).saturating_add(gop.num_packets as usize);
        has_frame.get(range).unwrap_or_default().iter().filter(|&&is| is).count()
    });
    frames.max().unwrap_or(0) as u32
}

fn kind_name(kind: DatasetKind) -> &'static str {
    match kind {
        DatasetKind::Video => DATASET_KIND,
        DatasetKind::Tensor => TENSOR_DATASET_KIND,
    }
}

fn encode(kind: DatasetKind, rows: &[OwnedRow]) -> Vec<ArrayRef> {
    let u32s = |get: fn(&OwnedRow) -> u32| Arc::new(UInt32Array::from_iter_values(rows.iter().map(get))) as ArrayRef;
    let mut arrays = vec![
        u32s(|row| row.shard),
        u32s(|row| row.row),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.key.as_str()))),
    ];
    if kind == DatasetKind::Video {
        arrays.extend(encode_videos(rows));
    }
    arrays.push(Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.bytes))));
    arrays
}

fn encode_videos(rows: &[OwnedRow]) -> Vec<ArrayRef> {
    let videos = || rows.iter().filter_map(|row| row.video.as_ref());
    let u32s = |get: fn(&VideoFacts) -> u32| Arc::new(UInt32Array::from_iter_values(videos().map(get))) as ArrayRef;
    vec![
        u32s(|video| video.frames),
        u32s(|video| video.size.0),
        u32s(|video| video.size.1),
        Arc::new(Int64Array::from_iter_values(videos().map(|video| video.duration))),
        u32s(|video| video.time_base.num()),
        u32s(|video| video.time_base.den()),
        Arc::new(Float64Array::from_iter_values(videos().map(|video| video.fps))),
        Arc::new(StringArray::from_iter_values(videos().map(|video| video.codec.as_str()))),
        Arc::new(StringArray::from_iter_values(videos().map(|video| video.pixel_format.name()))),
        u32s(|video| video.gops),
        u32s(|video| video.max_gop_frames),
    ]
}

/// The index of a dataset, in memory or, where it is large, mapped. Rows are in the order of the shards in the manifest, and of the rows in each shard.
/// The footer is checked when it is opened; each batch of rows is checked against its CRC32C, and every row of it
/// validated, when the batch is first touched.
#[derive(Debug)]
pub struct DatasetIndex {
    path: PathBuf,
    kind: DatasetKind,
    file: IpcFile,
    rows: usize,
    column_names: Vec<String>,
    checksums: Vec<u32>,
    batches: Vec<OnceLock<Result<Batch, String>>>,
}

/// One checked batch.
#[derive(Debug)]
struct Batch {
    table: RecordBatch,
    shard: UInt32Array,
    row: UInt32Array,
    key: StringArray,
    bytes: UInt64Array,
    columns: Option<StructArray>,
    video: Option<VideoColumns>,
}

/// The columns that an index of videos has besides.
#[derive(Debug)]
struct VideoColumns {
    codec: StringArray,
    pixel_format: StringArray,
    u32s: [UInt32Array; 7],
    duration: Int64Array,
    fps: Float64Array,
}

impl DatasetIndex {
    /// Reads the file, or maps it where it is larger than 16 MiB, and checks its size and footer against the manifest's entry.
    pub fn open(path: &Path, entry: &IndexEntry, kind: DatasetKind) -> Result<Self> {
        Self::open_bounded(path, entry, kind, MAX_READ_INDEX_BYTES)
    }

    /// As [`open`](Self::open), mapped where it is longer than `max_read_bytes`.
    pub(crate) fn open_bounded(
        path: &Path,
        entry: &IndexEntry,
        kind: DatasetKind,
        max_read_bytes: u64,
    ) -> Result<Self> {
        let open = || {
            let (file, bytes) = open_regular(path)?;
            if bytes != entry.bytes {
                return Err(Error::corrupt(format!("index has {bytes} bytes, the manifest says {}", entry.bytes)));
            }
            Self::from_buffer(index_bytes(&file, path, 0, bytes, max_read_bytes)?, entry, kind, path)
        };
        open().map_err(|error| error.with_path(path))
    }

    fn from_buffer(buffer: Buffer, entry: &IndexEntry, kind: DatasetKind, path: &Path) -> Result<Self> {
        let footer = ipc::footer_range(&buffer)?;
        let actual = crc32c(buffer.get(footer).unwrap_or_default());
        if actual != entry.footer_crc32c {
            let expected = entry.footer_crc32c;
            return Err(Error::corrupt(format!(
                "index footer has checksum {actual:08x}, the manifest says {expected:08x}"
            )));
        }
        let file = IpcFile::parse(buffer)?;
        let column_names = check_schema(file.schema(), kind)?;
        let rows = usize::try_from(entry.rows).map_err(|_| Error::unsupported("index has too many rows"))?;
        let batches = rows.div_ceil(BATCH_ROWS);
        let text = file.metadata(CRC_KEY).unwrap_or_default();
        let checksums =
            parse_checksums(text).ok_or_else(|| Error::corrupt("index lacks the checksums of its batches"))?;
        if file.num_batches() != batches || checksums.len() != batches {
            return Err(Error::corrupt(format!(
                "index has {} batches and {} checksums, {rows} rows need {batches}",
                file.num_batches(),
                checksums.len()
            )));
        }
        let batches = (0..batches).map(|_| OnceLock::new()).collect();
        Ok(Self { path: path.to_owned(), kind, file, rows, column_names, checksums, batches })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Row `index` of an index of videos.
    ///
    /// # Errors
    /// `InvalidArgument` where there is no such row, or the records are tensors.
    pub fn row(&self, index: usize) -> Result<IndexRow<'_>> {
        let (batch, row) = self.locate(index)?;
        if batch.video.is_none() {
            return Err(Error::invalid("the records are tensors, not videos").with_path(&self.path));
        }
        batch.row(row).ok_or_else(|| self.no_row(index))
    }

    /// Where the record of row `index` is.
    pub fn place(&self, index: usize) -> Result<IndexPlace<'_>> {
        let (batch, row) = self.locate(index)?;
        batch.place(row).ok_or_else(|| self.no_row(index))
    }

    /// Names of the user's columns in the index: those that hold numbers or booleans in every shard.
    pub fn column_names(&self) -> &[String] {
        &self.column_names
    }

    /// The user's columns of row `index` that have a value.
    pub fn columns(&self, index: usize) -> Result<Map<String, Value>> {
        let (batch, row) = self.locate(index)?;
        Ok(batch.columns.as_ref().map_or_else(Map::new, |columns| columns::decode(columns, row)))
    }

    /// The row with that key; looks at all of them.
    pub fn find(&self, key: &str) -> Result<Option<usize>> {
        for number in 0..self.batches.len() {
            let batch = self.checked(number)?;
            if let Some(row) = batch.key.iter().position(|other| other == Some(key)) {
                return Ok(Some(number * BATCH_ROWS + row));
            }
        }
        Ok(None)
    }

    /// Number of batches; all but the last have the same number of rows.
    pub fn num_batches(&self) -> usize {
        self.batches.len()
    }

    /// Batch `number` as Arrow columns, checked.
    pub fn batch(&self, number: usize) -> Result<&RecordBatch> {
        self.checked(number).map(|batch| &batch.table)
    }

    /// The bytes of the whole file, an Arrow IPC file, once every batch has been checked.
    pub fn checked_bytes(&self) -> Result<&[u8]> {
        for number in 0..self.batches.len() {
            self.checked(number)?;
        }
        Ok(self.file.bytes())
    }

    fn no_row(&self, index: usize) -> Error {
        Error::invalid(format!("row {index} of an index with {} rows", self.rows)).with_path(&self.path)
    }

    fn locate(&self, index: usize) -> Result<(&Batch, usize)> {
        if index >= self.rows {
            return Err(self.no_row(index));
        }
        Ok((self.checked(index / BATCH_ROWS)?, index % BATCH_ROWS))
    }

    fn checked(&self, number: usize) -> Result<&Batch> {
        let cell = self.batches.get(number).ok_or_else(|| self.no_row(number.saturating_mul(BATCH_ROWS)))?;
        let checked = cell.get_or_init(|| self.check(number).map_err(|error| error.report()));
        checked.as_ref().map_err(|report| Error::corrupt(report.clone()).with_path(&self.path))
    }

    fn check(&self, number: usize) -> Result<Batch> {
        let actual = crc32c(self.file.block_bytes(number)?);
        if self.checksums.get(number) != Some(&actual) {
            return Err(Error::corrupt(format!("batch {number} of the index differs from its checksum")));
        }
        let batch = Batch::new(self.file.batch(number)?, self.kind)?;
        let expected = (self.rows - number * BATCH_ROWS).min(BATCH_ROWS);
        if batch.table.num_rows() != expected {
            let rows = batch.table.num_rows();
            return Err(Error::corrupt(format!("batch {number} of the index has {rows} rows, expected {expected}")));
        }
        let is_sound = |row: usize| match &batch.video {
            Some(_) => batch.row(row).is_some_and(|row| row.frames > 0 && row.duration > 0),
            None => batch.place(row).is_some(),
        };
        if let Some(row) = (0..expected).find(|&row| !is_sound(row)) {
            let row = number * BATCH_ROWS + row;
            return Err(Error::corrupt(format!("row {row} of the index has values outside their range")));
        }
        Ok(batch)
    }
}

impl Batch {
    fn new(table: RecordBatch, kind: DatasetKind) -> Result<Self> {
        let columns = match table.column_by_name(COLUMNS) {
            Some(array) => {
                Some(array.as_any().downcast_ref::<StructArray>().cloned().ok_or_else(|| Error::corrupt("columns"))?)
            }
            None => None,
        };
        columns.as_ref().map_or(Ok(()), columns::check_struct)?;
        let video = match kind {
            DatasetKind::Video => Some(VideoColumns::new(&table)?),
            DatasetKind::Tensor => None,
        };
        Ok(Self {
            shard: column(&table, "shard")?,
            row: column(&table, "row")?,
            key: column(&table, "key")?,
            bytes: column(&table, "bytes")?,
            columns,
            video,
            table,
        })
    }

    /// `None` where the row is not there.
    fn place(&self, row: usize) -> Option<IndexPlace<'_>> {
        Some(IndexPlace {
            shard: get(&self.shard, row)?,
            row: get(&self.row, row)?,
            key: (row < self.key.len()).then(|| self.key.value(row))?,
            bytes: get(&self.bytes, row)?,
        })
    }

    /// `None` where the row is not there, a value means nothing, or the records are no videos.
    fn row(&self, row: usize) -> Option<IndexRow<'_>> {
        let IndexPlace { shard, row: number, key, bytes } = self.place(row)?;
        let video = self.video.as_ref()?;
        let [frames, width, height, num, den, gops, max_gop_frames] = &video.u32s;
        Some(IndexRow {
            shard,
            row: number,
            key,
            frames: get(frames, row)?,
            width: get(width, row)?,
            height: get(height, row)?,
            duration: get(&video.duration, row)?,
            time_base: TimeBase::new(get(num, row)?, get(den, row)?)?,
            fps: get(&video.fps, row)?,
            codec: Codec::parse((row < video.codec.len()).then(|| video.codec.value(row))?)?,
            pixel_format: PixelFormat::parse((row < video.pixel_format.len()).then(|| video.pixel_format.value(row))?)?,
            gops: get(gops, row)?,
            max_gop_frames: get(max_gop_frames, row)?,
            bytes,
        })
    }
}

impl VideoColumns {
    fn new(table: &RecordBatch) -> Result<Self> {
        Ok(Self {
            codec: column(table, "codec")?,
            pixel_format: column(table, "pixel_format")?,
            u32s: [
                column(table, "frames")?,
                column(table, "width")?,
                column(table, "height")?,
                column(table, "time_base_num")?,
                column(table, "time_base_den")?,
                column(table, "gops")?,
                column(table, "max_gop_frames")?,
            ],
            duration: column(table, "duration")?,
            fps: column(table, "fps")?,
        })
    }
}

fn get<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    array.values().get(row).copied()
}

fn column<A: Array + Clone + 'static>(batch: &RecordBatch, name: &str) -> Result<A> {
    let array = batch.column_by_name(name).filter(|array| array.null_count() == 0);
    array.and_then(|array| array.as_any().downcast_ref::<A>()).cloned().ok_or_else(|| {
        Error::corrupt(format!("index column '{name}' is missing, or has missing values or another type"))
    })
}

/// Checks names and types of the columns; gives the names of the user's.
fn check_schema(schema: &Schema, kind: DatasetKind) -> Result<Vec<String>> {
    let expected = fixed_fields(kind);
    for (number, field) in expected.iter().enumerate() {
        let actual = schema.fields().get(number);
        if actual.is_none_or(|actual| actual.name() != field.name() || actual.data_type() != field.data_type()) {
            let (name, data_type) = (field.name(), field.data_type());
            return Err(Error::corrupt(format!("index lacks column '{name}' of type {data_type} in place {number}")));
        }
    }
    match schema.fields().get(expected.len()).map(|field| (field.name().as_str(), field.data_type())) {
        None => Ok(Vec::new()),
        Some((COLUMNS, DataType::Struct(fields))) if schema.fields().len() == expected.len() + 1 => {
            Ok(fields.iter().map(|field| field.name().clone()).collect())
        }
        Some((name, _)) => Err(Error::corrupt(format!("index has an unknown column '{name}'"))),
    }
}

fn parse_checksums(text: &str) -> Option<Vec<u32>> {
    let chunks = text.as_bytes().chunks_exact(8);
    if !chunks.remainder().is_empty() {
        return None;
    }
    chunks.map(|digits| u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()).collect()
}
