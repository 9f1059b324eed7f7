//! An open file, whatever it is read by.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, StatxFlags};

use super::mmap::Mapping;
use crate::buf::{AlignedBuffer, BUFFER_ALIGN, Identity, Life};
use crate::error::{Error, Result};

/// `STATX_DIO_READ_ALIGN` (Linux 6.14), which `StatxFlags` has no name for.
const READ_ALIGN: StatxFlags = StatxFlags::from_bits_retain(0x2_0000);

/// `f_type` of `statfs(2)` where a process serves the file system, also by way of virtio.
const FUSE_MAGIC: u64 = 0x6573_5546;

/// Where the bytes of a file are.
pub(super) enum Source {
    /// Behind a descriptor.
    Disk(DiskFile),
    /// In a mapping.
    Mapped(Arc<Mapping>),
    /// In memory of our own.
    Resident(Arc<AlignedBuffer>),
}

/// The descriptors of one file.
pub(super) struct DiskFile {
    /// Reads through the page cache, at any offset.
    pub buffered: File,
    /// Reads past the page cache, at multiples of an alignment.
    pub direct: Option<DirectFile>,
}

/// A descriptor opened with `O_DIRECT`.
pub(super) struct DirectFile {
    pub file: File,
    /// Offsets and lengths must be multiples of this power of two, in bytes.
    pub align: u64,
    /// Addresses of memory must be multiples of this power of two, at most [`BUFFER_ALIGN`].
    pub memory_align: usize,
}

struct Inner {
    path: PathBuf,
    len: u64,
    source: Source,
    is_fuse: bool,
    life: Life,
}

/// A regular file, or a block device, that is open for reading. Cheap to clone; closed with the last clone.
#[derive(Clone)]
pub struct StorageFile(Arc<Inner>);

impl StorageFile {
    pub(super) fn new(path: &Path, len: u64, source: Source) -> Self {
        let is_fuse = match &source {
            Source::Disk(disk) => is_fuse(&disk.buffered),
            Source::Mapped(_) | Source::Resident(_) => false,
        };
        Self(Arc::new(Inner { path: path.to_owned(), len, source, is_fuse, life: Life::new() }))
    }

    /// As it was opened.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Bytes, as found when the file was opened.
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// True where there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True where reads of this file go past the page cache.
    pub fn is_direct(&self) -> bool {
        matches!(&self.0.source, Source::Disk(disk) if disk.direct.is_some())
    }

    pub(super) fn source(&self) -> &Source {
        &self.0.source
    }

    /// True for a descriptor of a FUSE file system, which a ring must not read. Where the file system keeps no pages
    /// (`FOPEN_DIRECT_IO`) and has not asked for asynchronous direct I/O, a read does not advance the position that io_uring
    /// goes on from: after a short answer it reads the beginning once more and calls it the rest. It also reads such files in
    /// the thread that submits, because they claim to be ready at all times. Seen on Linux 6.18.
    pub(super) fn is_fuse(&self) -> bool {
        self.0.is_fuse
    }

    /// The open file as something that can be told from others after it was closed.
    pub(super) fn identity(&self) -> Identity {
        self.0.life.identity()
    }
}

impl fmt::Debug for StorageFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageFile").field("path", &self.path()).field("len", &self.len()).finish_non_exhaustive()
    }
}

fn is_fuse(file: &File) -> bool {
    // The type of `f_type` differs between architectures; its 32 bits do not.
    rustix::fs::fstatfs(file).is_ok_and(|facts| facts.f_type as u64 & 0xFFFF_FFFF == FUSE_MAGIC)
}

/// Opens a regular file and gives its length.
pub(super) fn open_regular(path: &Path) -> Result<(File, u64)> {
    // Looked at before it is opened, because opening a FIFO waits for a writer.
    let check = |metadata: std::io::Result<std::fs::Metadata>| {
        let metadata = metadata.map_err(|error| Error::io("open", path, error))?;
        if metadata.is_file() {
            return Ok(metadata.len());
        }
        let found = if metadata.is_dir() { "a directory" } else { "something else" };
        Err(Error::invalid(format!("expected a regular file, found {found}")).with_path(path))
    };
    check(std::fs::metadata(path))?;
    let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let len = check(file.metadata())?;
    Ok((file, len))
}

/// Opens what positional reads can read: a regular file or a block device, and gives its length.
pub(super) fn open_positional(path: &Path) -> Result<(File, u64)> {
    let failed = |error: std::io::Error| Error::io("open", path, error);
    if !std::fs::metadata(path).map_err(failed)?.file_type().is_block_device() {
        return open_regular(path);
    }
    let file = File::open(path).map_err(failed)?;
    // The size that a device's metadata tells is 0.
    let len = rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0)).map_err(|error| failed(error.into()))?;
    Ok((file, len))
}

/// Opens `path` a second time with `O_DIRECT`; `Err` says in words why that is not to be had.
pub(super) fn open_direct(path: &Path) -> std::result::Result<DirectFile, String> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .map_err(|error| format!("the file system refuses O_DIRECT: {error}"))?;
    let facts = rustix::fs::statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN | READ_ALIGN)
        .map_err(|error| format!("no alignment is known: {error}"))?;
    if facts.stx_mask & StatxFlags::DIOALIGN.bits() == 0 {
        return Err("no alignment is known: the kernel or the file system does not tell".to_owned());
    }
    // Some file systems read at finer multiples than they write.
    let has_read_align = facts.stx_mask & READ_ALIGN.bits() != 0 && facts.stx_dio_read_offset_align != 0;
    let offset = if has_read_align { facts.stx_dio_read_offset_align } else { facts.stx_dio_offset_align };
    let (memory, offset) = (facts.stx_dio_mem_align as usize, u64::from(offset));
    if memory == 0 || offset == 0 {
        return Err("the file system does no direct I/O on this file".to_owned());
    }
    if !BUFFER_ALIGN.is_multiple_of(memory) || !offset.is_power_of_two() || offset > 1 << 20 {
        return Err(format!("the alignment asked for is out of reach: {memory} in memory, {offset} in the file"));
    }
    Ok(DirectFile { file, align: offset, memory_align: memory })
}
