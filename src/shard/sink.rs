//! The file that a shard is written to: tar members one after another, the index, its trailer, and publishing.

use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, Crc32c, Member, TensorField, TensorType, Trailer, crc32c, tar};
use bytes::Bytes;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
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

/// The temporary file: position and hash of what has been written. Removed when dropped, unless it was published or is to
/// be kept.
pub(super) struct Sink {
    path: PathBuf,
    file: File,
    hasher: blake3::Hasher,
    pub(super) position: u64,
    is_kept: bool,
}

/// A place to go back to.
pub(super) struct Mark {
    hasher: blake3::Hasher,
    position: u64,
}

impl Sink {
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let file = format::create_new_file(&path)?;
        Ok(Self::of_file(path, file))
    }

    pub(super) fn of_file(path: PathBuf, file: File) -> Self {
        Self { path, file, hasher: blake3::Hasher::new(), position: 0, is_kept: false }
    }

    /// Opens the file that an earlier process left, to read it from its start with [`confirm`](Self::confirm). It is kept
    /// when this is dropped. `None` where there is none.
    pub(super) fn reopen(path: PathBuf) -> Result<Option<Self>> {
        match format::open_own_file(&path, OpenOptions::new().read(true).write(true)) {
            Ok(file) => Ok(Some(Self { path, file, hasher: blake3::Hasher::new(), position: 0, is_kept: true })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads on to `end` in a reopened file. True where the bytes from the start to there have that hash; else the position
    /// stays, and nothing can be confirmed any more.
    pub(super) fn confirm(&mut self, end: u64, hash: &str) -> Result<bool> {
        let Some(mut left) = end.checked_sub(self.position) else { return Ok(false) };
        let mut chunk = vec![0; left.min(1 << 20) as usize];
        let mut hasher = self.hasher.clone();
        while left > 0 {
            let want = left.min(chunk.len() as u64) as usize;
            let part = chunk.get_mut(..want).unwrap_or_default();
            match self.file.read_exact(part) {
                Ok(()) => hasher.update(part),
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(Error::io("read", &self.path, error)),
            };
            left -= want as u64;
        }
        let is_same = hasher.finalize().to_hex().as_str() == hash;
        if is_same {
            self.hasher = hasher;
            self.position = end;
        }
        Ok(is_same)
    }

    /// Cuts a reopened file behind what was confirmed, to write on there.
    pub(super) fn cut_behind_position(&mut self) -> Result<()> {
        let mark = self.mark();
        self.rewind(mark)
    }

    /// Hash of the bytes so far.
    pub(super) fn hash(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }

    /// Makes the bytes so far last.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| Error::io("sync", &self.path, error))
    }

    /// Whether the file stays when this is dropped unpublished.
    pub(super) fn set_kept(&mut self, is_kept: bool) {
        self.is_kept = is_kept;
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
        self.is_kept = true;
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
        if !self.is_kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}
