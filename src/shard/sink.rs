//! The file that a shard is written to: tar members one after another, the index, its trailer, and publishing.

use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, Crc32c, Member, TensorField, TensorType, Trailer, crc32c, tar};
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// A tensor to be stored. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct NewTensor {
    /// Name of the field: 1 to 64 ASCII letters, digits, `_` and `-`.
    pub name: String,
    /// Type of the elements.
    pub dtype: TensorType,
    /// Axes, slowest first, at most 32.
    pub shape: Vec<u64>,
    /// The elements, dense, in C order, little-endian.
    pub data: Bytes,
}

impl std::fmt::Debug for NewTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewTensor({:?}: {:?} {}, {} bytes)", self.name, self.shape, self.dtype, self.data.len())
    }
}

/// What a finished shard is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSummary {
    /// Records.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// BLAKE3 of the file, 64 hexadecimal digits.
    pub blake3: String,
}

/// The temporary file: position and hash of what has been written. Removed when dropped unpublished.
pub(super) struct Sink {
    path: PathBuf,
    file: File,
    hasher: blake3::Hasher,
    pub(super) position: u64,
    published: bool,
}

/// A place to go back to.
pub(super) struct Mark {
    hasher: blake3::Hasher,
    position: u64,
}

impl Sink {
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).map_err(|error| Error::io("create", &path, error))?;
        Ok(Self { path, file, hasher: blake3::Hasher::new(), position: 0, published: false })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| Error::io("write", &self.path, error))?;
        self.hasher.update(bytes);
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn zeros(&mut self, count: u64) -> Result<()> {
        let zeros = [0; tar::END_BYTES as usize];
        let zeros = zeros.get(..count as usize).ok_or_else(|| Error::new(ErrorKind::Io, "padding is too long"))?;
        self.write(zeros)
    }

    pub(super) fn pad(&mut self) -> Result<()> {
        self.zeros(tar::padding(self.position))
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { hasher: self.hasher.clone(), position: self.position }
    }

    pub(super) fn rewind(&mut self, mark: Mark) -> Result<()> {
        self.file.set_len(mark.position).map_err(|error| Error::io("truncate", &self.path, error))?;
        self.file.seek(SeekFrom::Start(mark.position)).map_err(|error| Error::io("seek in", &self.path, error))?;
        self.hasher = mark.hasher;
        self.position = mark.position;
        Ok(())
    }

    /// Appends a member with that content.
    pub(super) fn append_member(&mut self, name: &str, bytes: &[u8]) -> Result<Member> {
        self.write(&tar::header(name, bytes.len() as u64))?;
        let member = Member { offset: self.position, size: bytes.len() as u64, crc32c: crc32c(bytes) };
        self.write(bytes)?;
        self.pad()?;
        Ok(member)
    }

    /// Appends `<key>.<field>.npy`.
    pub(super) fn append_tensor(&mut self, key: &str, tensor: &NewTensor) -> Result<TensorField> {
        format::check_new_field_name(&tensor.name)?;
        let NewTensor { name, dtype, shape, data } = tensor;
        let expected = dtype.num_bytes(shape)?;
        if data.len() as u64 != expected {
            let found = data.len();
            let message =
                format!("field '{name}' of shape {shape:?} and type {dtype} has {found} bytes, expected {expected}");
            return Err(Error::invalid(message));
        }
        let member = format!("{key}.{name}.npy");
        // Whether the size needs a pax header does not depend on the length of the NPY header but for sizes right at the limit,
        // where the elements begin at some other place than a page.
        let start = self.position
            + tar::header(&member, expected + format::npy_header(*dtype, shape, 0)?.len() as u64).len() as u64;
        let header = format::npy_header(*dtype, shape, start)?;
        let size = (header.len() + data.len()) as u64;
        self.write(&tar::header(&member, size))?;
        let offset = self.position;
        let mut crc = Crc32c::new();
        crc.update(&header);
        crc.update(data);
        self.write(&header)?;
        self.write(data)?;
        self.pad()?;
        Ok(TensorField {
            name: name.clone(),
            member: Member { offset, size, crc32c: crc.value() },
            dtype: *dtype,
            shape: shape.clone(),
            data_offset: header.len() as u32,
            data_crc32c: crc32c(data),
        })
    }

    /// Writes the index, publishes the file (fsync, rename, fsync of the folder) and says what it is.
    pub(super) fn finish(mut self, index: &[u8], rows: u64, path: &Path) -> Result<ShardSummary> {
        self.write(&tar::header(format::INDEX_MEMBER, index.len() as u64))?;
        let trailer =
            Trailer { index_offset: self.position, index_size: index.len() as u64, rows, index_crc32c: crc32c(index) };
        self.write(index)?;
        self.zeros(tar::padding(index.len() as u64).saturating_sub(format::TRAILER_BYTES))?;
        self.write(&trailer.to_bytes())?;
        self.zeros(tar::END_BYTES)?;
        let blake3 = self.hasher.finalize().to_hex().to_string();
        let summary = ShardSummary { rows, bytes: self.position, blake3 };
        self.publish(path)?;
        Ok(summary)
    }

    fn publish(&mut self, path: &Path) -> Result<()> {
        self.file.sync_all().map_err(|error| Error::io("sync", &self.path, error))?;
        fs::rename(&self.path, path).map_err(|error| Error::io("rename to", path, error))?;
        self.published = true;
        format::sync_folder(path)
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sink({}, {} bytes)", self.path.display(), self.position)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.path);
        }
    }
}
