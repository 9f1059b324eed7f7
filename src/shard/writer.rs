//! Writing one shard: members one after another, the index and its trailer, published whole.
//!
//! The bytes depend on the records alone. A record that is refused leaves no trace, so that the next one can follow.

use super::check::StreamChecker;
use super::row_sink::RowSink;
use super::sink::{NewTensor, ShardSummary, Sink};
use crate::error::{Error, Result};
use crate::format::{self, Member, ParsedRecord, Record, tar};
use crate::media::{GopEntry, PacketTable, StreamInfo};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes of one copying step.
const CHUNK_BYTES: usize = 1 << 20;

/// A clip to be added to a shard.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// Passes [`validate_key`](crate::validate_key), unique in the shard.
    pub key: String,
    /// The stream; packet and GOP offsets count from the MP4's first byte.
    pub stream: StreamInfo,
    /// What the clip shows.
    pub caption: Option<String>,
    /// The user's columns. Nested values are stored as JSON text, `null` as a missing value.
    pub columns: Map<String, Value>,
    /// Where the clip came from.
    pub source: String,
    /// Start of the cut in seconds from the source's first frame.
    pub source_start: Option<f64>,
    /// End of the cut in seconds from the source's first frame.
    pub source_end: Option<f64>,
    /// Why it was re-encoded, if it was.
    pub reencoded: Option<String>,
    /// Tensors, stored behind the video.
    pub fields: Vec<NewTensor>,
    /// The MP4 file to append.
    pub video_path: PathBuf,
}

/// Writes a shard under a temporary name (`.<name>.tmp` beside it) and publishes it whole. Dropped without
/// [`finish`](Self::finish), it removes the temporary file.
#[derive(Debug)]
pub struct ShardWriter {
    rows: RowSink<Record>,
    chunk: Vec<u8>,
}

impl ShardWriter {
    /// Starts the shard that will be `path`. Its folder must exist.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self { rows: RowSink::create(path)?, chunk: vec![0; CHUNK_BYTES] })
    }

    /// Bytes written so far, without the index.
    pub fn bytes(&self) -> u64 {
        self.rows.bytes()
    }

    /// Number of records so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True before the first record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a clip. The stream is validated, and every checksum of its tables is compared with the MP4's bytes. After
    /// an error other than of the shard file itself the writer is as before, and takes further records.
    pub fn add(&mut self, record: NewRecord) -> Result<()> {
        let Self { rows, chunk } = self;
        rows.add(record.key.clone(), |sink| append(sink, record, chunk))
    }

    /// Writes the index, publishes the file (fsync, rename, fsync of the folder) and says what it is.
    pub fn finish(self) -> Result<ShardSummary> {
        self.rows.finish(format::encode_index)
    }
}

/// Appends the members of a record.
fn append(sink: &mut Sink, record: NewRecord, chunk: &mut [u8]) -> Result<Record> {
    format::check_column_names(&record.columns)?;
    let json = metadata_json(&record);
    let (video, stream) = append_video(sink, &record, chunk)?;
    let json = sink.append_member(&format!("{}.json", record.key), json.as_bytes())?;
    let fields =
        record.fields.iter().map(|tensor| sink.append_tensor(&record.key, tensor)).collect::<Result<Vec<_>>>()?;
    let mut columns = record.columns;
    columns.retain(|_, value| !value.is_null());
    let record = Record {
        key: record.key,
        stream,
        video,
        json: Some(json),
        caption: record.caption,
        columns,
        source: record.source,
        source_start: record.source_start,
        source_end: record.source_end,
        reencoded: record.reencoded,
        fields,
    };
    // What is published must be readable.
    ParsedRecord(record).validate(sink.position)
}

fn append_video(sink: &mut Sink, record: &NewRecord, chunk: &mut [u8]) -> Result<(Member, StreamInfo)> {
    let path = &record.video_path;
    let mut file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let size = file.metadata().map_err(|error| Error::io("open", path, error))?.len();
    let relative = Member { offset: 0, size, crc32c: 0 };
    format::validate_stream(&record.stream, &relative).map_err(|error| error.with_path(path))?;
    let mut checker = StreamChecker::new(&record.stream, relative);
    sink.write(&tar::header(&format!("{}.mp4", record.key), size))?;
    let offset = sink.position;
    let mut left = size;
    while left > 0 {
        let want = left.min(chunk.len() as u64) as usize;
        let part = chunk.get_mut(..want).unwrap_or_default();
        let count = match file.read(part) {
            Ok(0) => return Err(Error::corrupt("MP4 became shorter while it was copied").with_path(path)),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("read", path, error)),
        };
        let bytes = part.get(..count).unwrap_or_default();
        checker.update(bytes);
        sink.write(bytes)?;
        left -= count as u64;
    }
    sink.pad()?;
    let check = checker.finish();
    if let Some(problem) = check.problems.into_iter().next() {
        return Err(problem.with_path(path));
    }
    let video = Member { offset, size, crc32c: check.crc32c };
    Ok((video, moved(&record.stream, offset)))
}

/// The content of `<key>.json`: for people and for readers that do not know the index.
fn metadata_json(record: &NewRecord) -> String {
    let stream = &record.stream;
    let (width, height) = stream.display_size();
    let value = json!({
        "key": record.key,
        "caption": record.caption,
        "source": record.source,
        "source_start": record.source_start,
        "source_end": record.source_end,
        "reencoded": record.reencoded,
        "codec": stream.codec.as_str(),
        "width": width,
        "height": height,
        "frames": stream.num_frames(),
        "fps": stream.average_fps(),
        "seconds": stream.time_base.seconds(stream.duration),
        "columns": record.columns,
    });
    format!("{value}\n")
}

/// The stream with its offsets counted from the start of the shard.
fn moved(stream: &StreamInfo, by: u64) -> StreamInfo {
    let offsets = stream.packets.offsets.iter().map(|offset| offset + by).collect();
    let gops = stream.gops.iter().map(|gop| GopEntry { offset: gop.offset + by, ..*gop }).collect();
    StreamInfo { packets: PacketTable { offsets, ..stream.packets.clone() }, gops, ..stream.clone() }
}
