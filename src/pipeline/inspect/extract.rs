//! A clip as the playable MP4 that it is.

use crate::dataset::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Storage, StorageOptions};
use std::io::Write;

/// Bytes read at a time.
const PIECE_BYTES: u64 = 4 << 20;

/// Writes the MP4 of the record with that key to `output`, and returns its size. Its checksum is compared before the last
/// piece is written, so that a damaged file is never complete.
///
/// # Errors
/// `NotFound` where there is no such record; `Corrupt` where its bytes fail the checksum; those of reading and writing.
pub fn extract_clip(dataset: &Dataset, key: &str, output: &mut dyn Write) -> Result<u64> {
    let row = dataset
        .find(key)?
        .ok_or_else(|| Error::new(ErrorKind::NotFound, "no such record").with_record(key).with_path(dataset.root()))?;
    let video = dataset.record(row)?.video;
    let (shard, _) = dataset.stream(row)?;
    let storage = Storage::for_path(&StorageOptions::default(), shard.path())?;
    let file = storage.open(shard.path())?;
    let mut crc = crate::format::Crc32c::new();
    let mut written = 0;
    while written < video.size {
        let piece = PIECE_BYTES.min(video.size - written);
        let bytes = storage.read_at(&file, video.offset + written, piece as usize)?;
        crc.update(&bytes);
        written += piece;
        if written == video.size && crc.value() != video.crc32c {
            let message = format!("the MP4 has checksum {:08x}, the index says {:08x}", crc.value(), video.crc32c);
            return Err(Error::corrupt(message).with_record(key).with_offset(video.offset).with_path(shard.path()));
        }
        output.write_all(&bytes).map_err(|e| Error::new(ErrorKind::Io, "cannot write the clip").with_source(e))?;
    }
    output.flush().map_err(|e| Error::new(ErrorKind::Io, "cannot write the clip").with_source(e))?;
    Ok(written)
}
