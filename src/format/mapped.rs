//! Files mapped into memory, as Arrow buffers.
#![expect(unsafe_code, reason = "mapping a file is unsafe")]

use crate::error::{Error, Result};
use arrow::buffer::Buffer;
use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::path::Path;

/// Maps `len` bytes from `offset` on. The caller has checked that the file is that long. Published files are immutable:
/// one that is overwritten or cut off while it is mapped changes under its readers, or ends the process with SIGBUS.
pub(crate) fn map(file: &File, path: &Path, offset: u64, len: u64) -> Result<Buffer> {
    if len == 0 {
        return Ok(Buffer::default());
    }
    let len = usize::try_from(len).map_err(|_| Error::unsupported("file too large to map").with_path(path))?;
    let mut options = MmapOptions::new();
    options.offset(offset).len(len);
    let mapped = map_unchecked(&options, file).map_err(|error| Error::io("map", path, error))?;
    Ok(Buffer::from(bytes::Bytes::from_owner(mapped)))
}

fn map_unchecked(options: &MmapOptions, file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the mapping is read-only and private to readers of shards and indexes, which are published whole by a rename
    // and never written again; this crate has no code that writes to a published file.
    unsafe { options.map(file) }
}
