//! Reading one shard.

use crate::error::{Error, Result};
use crate::format::{
    self, MAX_READ_INDEX_BYTES, Record, ShardRows, TRAILER_BYTES, TRAILER_FROM_END, TensorField, Trailer, crc32c, tar,
};
use crate::media::StreamInfo;
use arrow::buffer::Buffer;
use std::path::Path;
use std::sync::Arc;

/// An open shard: its index, checked, in memory or, where it is large, mapped. The tables of the streams that it gives out share
/// that memory, and keep it alive. Reading the clips' bytes is the caller's business.
#[derive(Debug)]
pub struct Shard {
    path: Arc<Path>,
    file_bytes: u64,
    trailer: Trailer,
    rows: ShardRows,
}

impl Shard {
    /// Opens a shard: checks the trailer against the file's size, the index against the trailer's CRC32C, and the
    /// index's columns against the format. Rows are checked when they are asked for.
    ///
    /// An index of up to 16 MiB is read. A longer one, and one of a process that holds 512 MiB of them, is mapped: such a file
    /// must not be truncated or edited in place while it is open.
    pub fn open(path: &Path) -> Result<Arc<Self>> {
        Self::open_bounded(path, MAX_READ_INDEX_BYTES)
    }

    /// As [`open`](Self::open), with an index longer than `max_read_bytes` mapped.
    pub(crate) fn open_bounded(path: &Path, max_read_bytes: u64) -> Result<Arc<Self>> {
        Self::open_file(path, max_read_bytes).map(Arc::new).map_err(|error| error.with_path(path))
    }

    fn open_file(path: &Path, max_read_bytes: u64) -> Result<Self> {
        let IndexOfFile { file_bytes, trailer, index } = IndexOfFile::open(path, max_read_bytes)?;
        let in_index = |error: Error| error.with_offset(trailer.index_offset);
        let rows = ShardRows::parse(index).map_err(in_index)?;
        trailer.check_rows(rows.len()).map_err(in_index)?;
        Ok(Self { path: Arc::from(path), file_bytes, trailer, rows })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file, shared.
    pub(crate) fn shared_path(&self) -> Arc<Path> {
        Arc::clone(&self.path)
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of the file.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Names of the user's columns that some record has a value of.
    pub fn column_names(&self) -> Vec<String> {
        self.rows.column_names()
    }

    /// The key of a record.
    pub fn key(&self, row: usize) -> Result<&str> {
        self.rows.key(row).map_err(|error| error.with_path(&self.path))
    }

    /// One record, validated. Takes time with its packets, and memory with its GOPs.
    pub fn record(&self, row: usize) -> Result<Record> {
        let validate = || self.rows.record(row)?.validate(self.data_end());
        validate().map_err(|error| error.with_path(&self.path))
    }

    /// The stream of one record, validated; leaves out caption, columns and the other members.
    pub fn stream(&self, row: usize) -> Result<StreamInfo> {
        let validate = || {
            let video = self.rows.video(row)?;
            if video.offset < tar::BLOCK || video.offset.checked_add(video.size).is_none_or(|end| end > self.data_end())
            {
                return Err(Error::corrupt("video is outside the shard").with_offset(video.offset));
            }
            let stream = self.rows.stream(row)?;
            format::validate_stream(&stream, &video)?;
            Ok(stream)
        };
        validate().map_err(|error| match self.rows.key(row) {
            Ok(key) => error.with_record(key).with_path(&self.path),
            Err(_) => error.with_path(&self.path),
        })
    }

    /// The tensor of that name of one record, validated by itself; `None` where the record has none.
    pub fn field(&self, row: usize, name: &str) -> Result<Option<TensorField>> {
        let key = self.key(row)?;
        self.rows.field(row, name, self.data_end()).map_err(|error| error.with_record(key).with_path(&self.path))
    }

    pub(super) fn trailer(&self) -> &Trailer {
        &self.trailer
    }

    /// Where the header of the index begins, and so where the last record's members end.
    pub(super) fn data_end(&self) -> u64 {
        self.trailer.index_offset.saturating_sub(tar::BLOCK)
    }
}

/// The index of a shard of any kind, read or mapped, and compared with its checksum.
pub(super) struct IndexOfFile {
    pub(super) file_bytes: u64,
    pub(super) trailer: Trailer,
    pub(super) index: Buffer,
}

impl IndexOfFile {
    pub(super) fn open(path: &Path, max_read_bytes: u64) -> Result<Self> {
        let (file, file_bytes) = format::open_regular(path)?;
        let at = file_bytes
            .checked_sub(TRAILER_FROM_END)
            .ok_or_else(|| Error::corrupt(format!("not a shard: {file_bytes} bytes")))?;
        let mut bytes = [0; TRAILER_BYTES as usize];
        format::read_exact(&file, path, at, &mut bytes)?;
        let trailer = Trailer::from_bytes(&bytes, file_bytes).map_err(|error| error.with_offset(at))?;
        let index = format::index_bytes(&file, path, trailer.index_offset, trailer.index_size, max_read_bytes)?;
        let (actual, expected) = (crc32c(&index), trailer.index_crc32c);
        if actual != expected {
            let message = format!("index has checksum {actual:08x}, its trailer says {expected:08x}");
            return Err(Error::corrupt(message).with_offset(trailer.index_offset));
        }
        Ok(Self { file_bytes, trailer, index })
    }
}
