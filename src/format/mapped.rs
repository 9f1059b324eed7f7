//! Files opened, and mapped into memory as Arrow buffers.
#![expect(unsafe_code, reason = "mapping a file is unsafe")]

use crate::error::{Error, Result};
use arrow::buffer::Buffer;
use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::path::Path;

/// Opens a regular file and gives its length. Looked at before it is opened, because opening a FIFO waits for a writer, and
/// opening a device may do anything.
pub(crate) fn open_regular(path: &Path) -> Result<(File, u64)> {
    let check = |metadata: std::io::Result<std::fs::Metadata>| {
        let metadata = metadata.map_err(|error| Error::io("open", path, error))?;
        if metadata.is_file() { Ok(metadata.len()) } else { Err(Error::corrupt("not a regular file").with_path(path)) }
    };
    check(std::fs::metadata(path))?;
    let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let len = check(file.metadata())?;
    Ok((file, len))
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::format::{DatasetIndex, DatasetKind, IndexEntry, MANIFEST_FILE, Manifest};
    use crate::shard::Shard;

    #[test]
    fn what_is_not_a_regular_file_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join(MANIFEST_FILE);
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        let entry = IndexEntry { file: "i".into(), rows: 0, bytes: 0, blake3: "f".repeat(64), footer_crc32c: 0 };
        for path in [fifo.as_path(), folder.path(), Path::new("/dev/zero")] {
            let errors = [
                open_regular(path).unwrap_err(),
                Shard::open(path).unwrap_err(),
                DatasetIndex::open(path, &entry, DatasetKind::Video).unwrap_err(),
            ];
            for error in errors {
                assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(path)));
            }
        }
        assert_eq!(Manifest::read(folder.path()).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(open_regular(&folder.path().join("missing")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
