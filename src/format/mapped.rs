//! Files opened, and their bytes as Arrow buffers: read into memory where they are an index of the usual size, mapped where
//! they are more than memory should be spent on.
//!
//! What is read can't change any more, whatever becomes of the file. What is mapped changes with it.
#![expect(unsafe_code, reason = "mapping a file is unsafe")]

use crate::error::{Error, Result};
use arrow::buffer::{Buffer, MutableBuffer};
use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest index that is read rather than mapped. A shard of 1 GiB has one of about 5 MiB.
pub(crate) const MAX_READ_INDEX_BYTES: u64 = 16 << 20;
/// Indexes that a process holds in memory, at most. Those of more shards are mapped: pages of files can be given up.
const MAX_HELD_BYTES: u64 = 512 << 20;

static HELD_BYTES: AtomicU64 = AtomicU64::new(0);

/// Bytes that were read, counted as long as they are held.
struct Held(MutableBuffer);

impl Held {
    /// Zeros; `None` where that would be too much in all.
    fn reserve(len: u64) -> Option<Self> {
        let more = |held: u64| held.checked_add(len).filter(|&bytes| bytes <= MAX_HELD_BYTES);
        HELD_BYTES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self(MutableBuffer::from_len_zeroed(len as usize)))
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD_BYTES.fetch_sub(self.0.len() as u64, Ordering::Relaxed);
    }
}

/// Opens a regular file and gives its length. Looked at before it is opened, because opening a FIFO waits for a writer, and
/// opening a device may do anything; opened without waiting, because it may be another file by then.
pub(crate) fn open_regular(path: &Path) -> Result<(File, u64)> {
    let check = |metadata: std::io::Result<std::fs::Metadata>| {
        let metadata = metadata.map_err(|error| Error::io("open", path, error))?;
        if metadata.is_file() { Ok(metadata.len()) } else { Err(Error::corrupt("not a regular file").with_path(path)) }
    };
    check(std::fs::metadata(path))?;
    let open = |flags| File::options().read(true).custom_flags(flags).open(path);
    let opened = match open(libc::O_NONBLOCK) {
        // Somebody holds a lease on the file, and is being asked to give it back.
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => open(0),
        opened => opened,
    };
    let file = opened.map_err(|error| Error::io("open", path, error))?;
    let len = check(file.metadata())?;
    Ok((file, len))
}

/// Fills `bytes` from `offset` on. A file that ends before is damaged.
pub(crate) fn read_exact(file: &File, path: &Path, offset: u64, bytes: &mut [u8]) -> Result<()> {
    let len = bytes.len();
    file.read_exact_at(bytes, offset).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Error::corrupt(format!("file ends within {len} bytes")).with_path(path).with_offset(offset)
        }
        _ => Error::io("read", path, error),
    })
}

/// The `len` bytes of an index from `offset` on: read where they are up to `max_read_bytes`, usually
/// [`MAX_READ_INDEX_BYTES`], and the process does not hold too much yet; else mapped. The caller has checked that the file
/// is that long.
pub(crate) fn index_bytes(file: &File, path: &Path, offset: u64, len: u64, max_read_bytes: u64) -> Result<Buffer> {
    match (len <= max_read_bytes).then(|| Held::reserve(len)).flatten() {
        None => map(file, path, offset, len),
        Some(mut held) => {
            read_exact(file, path, offset, held.0.as_slice_mut())?;
            Ok(Buffer::from(bytes::Bytes::from_owner(held)))
        }
    }
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
    fn an_index_that_was_read_stays_when_its_file_is_cut_and_a_large_one_is_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let content: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let (file, len) = open_regular(&path).unwrap();
        let at = 512;
        let mapped = index_bytes(&file, &path, at, len - at, 0).unwrap();
        let read = index_bytes(&file, &path, at, len - at, len).unwrap();
        assert!(mapped == read && *read == content[at as usize..]);
        // Arrow takes no copy of columns that begin at a multiple of 64.
        assert!([&read, &mapped].iter().all(|bytes| (bytes.as_ptr() as usize).is_multiple_of(64)));
        let of_file = || std::fs::read_to_string("/proc/self/maps").unwrap().contains(path.to_str().unwrap());
        assert!(of_file());
        drop(mapped);
        assert!(!of_file());
        let writer = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        writer.set_len(600).unwrap();
        assert!(*read == content[at as usize..]);
        let error = index_bytes(&file, &path, at, len - at, len).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (ErrorKind::Corrupt, Some(at)), "{error}");
        assert!(index_bytes(&file, &path, at, 0, len).unwrap().is_empty());
    }

    #[test]
    fn what_is_read_is_bounded_in_all() {
        // Too much by itself, so that other tests that read are not in the way.
        assert!(Held::reserve(MAX_HELD_BYTES + 1).is_none());
        let held = Held::reserve(1000).unwrap();
        assert!(Held::reserve(MAX_HELD_BYTES - 999).is_none());
        drop(held);
    }

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
