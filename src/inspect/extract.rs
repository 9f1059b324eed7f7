//! One stored thing as a file: a clip as the playable MP4 that it is, a tensor as an NPY file.

use crate::dataset::{Dataset, FieldEntry};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Crc32c, DatasetKind, TensorType, npy_header};
use crate::storage::{EngineKind, Storage, StorageOptions};
use std::io::Write;
use std::path::Path;

/// Bytes read at a time.
const PIECE_BYTES: u64 = 4 << 20;

/// A stored tensor, read and checked.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredTensor {
    /// Type of the elements.
    pub dtype: TensorType,
    /// Axes, slowest first; empty for a single number.
    pub shape: Vec<u64>,
    /// The elements: dense, in C order, little-endian.
    pub data: Vec<u8>,
}

impl std::fmt::Debug for StoredTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredTensor({:?} {}, {} bytes)", self.shape, self.dtype, self.data.len())
    }
}

/// Writes the MP4 of the record with that key to `output`, and returns its size. Its checksum is compared before the last
/// piece is written, so that a damaged file is never complete.
///
/// # Errors
/// `NotFound` where there is no such record; `InvalidArgument` where the records are tensors; `Corrupt` where its bytes fail
/// the checksum; those of reading and writing.
pub fn extract_clip(dataset: &Dataset, key: &str, output: &mut dyn Write) -> Result<u64> {
    let record = find(dataset, key)?;
    if dataset.kind() == DatasetKind::Tensor {
        let fields = dataset.field_names().join(", ");
        let message = format!("the record is of tensors, not a clip: name a field to extract ({fields})");
        return Err(Error::invalid(message).with_record(key).with_path(dataset.root()));
    }
    let video = dataset.record(record)?.video;
    let (shard, _) = dataset.stream(record)?;
    let place = Place { path: shard.path(), offset: video.offset, bytes: video.size, crc32c: video.crc32c };
    place.read("the MP4", &mut |piece| write(output, piece)).map_err(|error| error.with_record(key))?;
    flush(output)?;
    Ok(video.size)
}

/// Writes a field of the record with that key to `output` as an NPY file, and returns its size. The checksum of its elements is
/// compared before the last piece is written.
///
/// # Errors
/// `NotFound` where there is no such record, or it has no such field; `InvalidArgument` that lists the fields, where the dataset
/// has none of that name; `Corrupt` where its bytes fail the checksum; those of reading and writing.
pub fn extract_field(dataset: &Dataset, key: &str, name: &str, output: &mut dyn Write) -> Result<u64> {
    let record = find(dataset, key)?;
    let entry = dataset.field(record, name)?.ok_or_else(|| {
        let message = format!("the record has no field '{name}'");
        Error::new(ErrorKind::NotFound, message).with_record(key).with_path(dataset.root())
    })?;
    // The file stands alone, so its header is that of a tensor at the very beginning.
    let header = npy_header(entry.dtype, &entry.shape, 0)?;
    write(output, &header)?;
    let read = Place::of(&entry).read(&format!("field '{name}'"), &mut |piece| write(output, piece));
    read.map_err(|error| error.with_record(key))?;
    flush(output)?;
    Ok(header.len() as u64 + entry.bytes)
}

/// Reads a field of a record, and compares the checksum of its elements; `None` where the record has no such field. For single
/// looks: a [`Loader`](crate::Loader) streams.
///
/// # Errors
/// Those of [`Dataset::field`]; `Corrupt` where its bytes fail the checksum; `OutOfMemory`; those of reading.
pub fn read_field(dataset: &Dataset, record: usize, name: &str) -> Result<Option<StoredTensor>> {
    let Some(entry) = dataset.field(record, name)? else { return Ok(None) };
    let mut data = Vec::new();
    // The entry has been validated: its bytes lie in the file.
    let reserved = usize::try_from(entry.bytes).is_ok_and(|bytes| data.try_reserve_exact(bytes).is_ok());
    if !reserved {
        let message = format!("field '{name}' has {} bytes, more than there is memory for", entry.bytes);
        return Err(Error::new(ErrorKind::OutOfMemory, message).with_record(dataset.key(record)?));
    }
    let read = Place::of(&entry).read(&format!("field '{name}'"), &mut |piece| {
        data.extend_from_slice(piece);
        Ok(())
    });
    match read {
        Ok(()) => Ok(Some(StoredTensor { dtype: entry.dtype, shape: entry.shape, data })),
        Err(error) => Err(error.with_record(dataset.key(record)?)),
    }
}

fn find(dataset: &Dataset, key: &str) -> Result<usize> {
    dataset
        .find(key)?
        .ok_or_else(|| Error::new(ErrorKind::NotFound, "no such record").with_record(key).with_path(dataset.root()))
}

fn write(output: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    output.write_all(bytes).map_err(|e| Error::new(ErrorKind::Io, "cannot write what was extracted").with_source(e))
}

fn flush(output: &mut dyn Write) -> Result<()> {
    output.flush().map_err(|e| Error::new(ErrorKind::Io, "cannot write what was extracted").with_source(e))
}

/// Bytes of a shard that have one checksum.
struct Place<'a> {
    path: &'a Path,
    offset: u64,
    bytes: u64,
    crc32c: u32,
}

impl<'a> Place<'a> {
    fn of(entry: &'a FieldEntry) -> Self {
        Self { path: &entry.path, offset: entry.offset, bytes: entry.bytes, crc32c: entry.crc32c }
    }

    /// Hands out the bytes piece by piece; the last piece only if the checksum is right.
    fn read(&self, what: &str, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let storage = Storage::new(&StorageOptions::default().engine(EngineKind::Pread))?;
        let file = storage.open(self.path)?;
        let mut crc = Crc32c::new();
        let mut done = 0;
        while done < self.bytes {
            let piece = PIECE_BYTES.min(self.bytes - done);
            let bytes = storage.read_at(&file, self.offset + done, piece as usize)?;
            crc.update(&bytes);
            done += piece;
            if done == self.bytes && crc.value() != self.crc32c {
                let message = format!("{what} has checksum {:08x}, the index says {:08x}", crc.value(), self.crc32c);
                return Err(Error::corrupt(message).with_offset(self.offset).with_path(self.path));
            }
            each(&bytes)?;
        }
        Ok(())
    }
}
