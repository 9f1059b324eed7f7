//! The 64 bytes that end a shard's last member block: where the index is and what its checksum is.

use super::crc32c;
use super::manifest::FORMAT_VERSION;
use super::tar::{BLOCK, END_BYTES};
use crate::error::{Error, Result};

/// Bytes of a trailer.
pub(crate) const TRAILER_BYTES: u64 = 64;
/// A trailer ends this far before the end of the file, and the file ends with zeros.
pub(crate) const TRAILER_FROM_END: u64 = TRAILER_BYTES + END_BYTES;
/// Not text, and changed by every transfer that takes it for text.
const MAGIC: [u8; 8] = *b"\x89FFD\r\n\x1a\n";
/// The smallest file: the header of the index, its blocks, the end.
const MIN_FILE_BYTES: u64 = BLOCK + BLOCK + END_BYTES;

/// Where the index lies. A `Trailer` that came from bytes agrees with the size of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trailer {
    /// Byte offset of the index in the shard file, a multiple of 512.
    pub(crate) index_offset: u64,
    /// Bytes of the index.
    pub(crate) index_size: u64,
    /// Rows of the index.
    pub(crate) rows: u64,
    /// CRC32C of the index.
    pub(crate) index_crc32c: u32,
}

impl Trailer {
    /// Compares the rows of the index with what the trailer says.
    pub(crate) fn check_rows(&self, rows: usize) -> Result<()> {
        if rows as u64 == self.rows {
            return Ok(());
        }
        Err(Error::corrupt(format!("index has {rows} rows, its trailer says {}", self.rows)))
    }

    /// The trailer's bytes.
    pub(crate) fn to_bytes(self) -> [u8; TRAILER_BYTES as usize] {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT_VERSION.to_le_bytes());
        bytes.extend(0_u32.to_le_bytes());
        bytes.extend(self.index_offset.to_le_bytes());
        bytes.extend(self.index_size.to_le_bytes());
        bytes.extend(self.rows.to_le_bytes());
        bytes.extend(self.index_crc32c.to_le_bytes());
        bytes.resize(60, 0);
        bytes.extend(crc32c(&bytes).to_le_bytes());
        let mut out = [0; 64];
        out.copy_from_slice(&bytes);
        out
    }

    /// Parses a trailer and checks it against the size of its file, so that `index_offset + index_size` and everything
    /// that is sized by it lie inside the file.
    pub(crate) fn from_bytes(bytes: &[u8; TRAILER_BYTES as usize], file_bytes: u64) -> Result<Self> {
        let [magic @ .., _, _, _, _] = bytes;
        if !magic.starts_with(&MAGIC) {
            return Err(Error::corrupt("no shard trailer where one is expected: not a shard, or cut off"));
        }
        let mut fields = Fields(bytes);
        let (_, version, flags) = (fields.u64(), fields.u32(), fields.u32());
        let index_offset = fields.u64();
        let index_size = fields.u64();
        let rows = fields.u64();
        let index_crc32c = fields.u32();
        let reserved = [fields.u32(), fields.u32(), fields.u32(), fields.u32()];
        let expected = fields.u32();
        let actual = crc32c(magic);
        if expected != actual {
            return Err(Error::corrupt(format!("trailer has checksum {actual:08x}, but says {expected:08x}")));
        }
        if version == 0 || version > FORMAT_VERSION || flags != 0 || reserved != [0; 4] {
            return Err(Error::unsupported(format!(
                "shard has format version {version} with flags {flags:#x}, this build reads version {FORMAT_VERSION}"
            )));
        }
        let trailer = Self { index_offset, index_size, rows, index_crc32c };
        trailer.check(file_bytes)?;
        Ok(trailer)
    }

    fn check(&self, file_bytes: u64) -> Result<()> {
        let index_end = self.index_offset.checked_add(self.index_size);
        // The index's blocks end where the two zero blocks begin, with the trailer in their last 64 bytes.
        let blocks_end = index_end.and_then(|end| end.checked_next_multiple_of(BLOCK));
        let fits = file_bytes >= MIN_FILE_BYTES
            && self.index_offset >= BLOCK
            && self.index_offset.is_multiple_of(BLOCK)
            && self.index_size > 0
            && blocks_end == Some(file_bytes - END_BYTES)
            && index_end.is_some_and(|end| file_bytes - END_BYTES - end >= TRAILER_BYTES);
        if fits {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "trailer places the index at {} with {} bytes, in a file of {file_bytes} bytes",
            self.index_offset, self.index_size
        )))
    }
}

/// Little-endian integers, one after another; zero behind the end, which a fixed-size array never reaches.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> u32 {
        self.take().map_or(0, u32::from_le_bytes)
    }

    fn u64(&mut self) -> u64 {
        self.take().map_or(0, u64::from_le_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const SAMPLE: Trailer = Trailer { index_offset: 1024, index_size: 900, rows: 3, index_crc32c: 0xdead_beef };
    const FILE: u64 = 1024 + 1024 + 1024;

    #[test]
    fn a_trailer_survives_a_round_trip() {
        assert_eq!(Trailer::from_bytes(&SAMPLE.to_bytes(), FILE).unwrap(), SAMPLE);
    }

    #[test]
    fn every_flipped_bit_of_a_trailer_is_found() {
        for bit in 0..64 * 8 {
            let mut bytes = SAMPLE.to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Trailer::from_bytes(&bytes, FILE).unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit}");
        }
    }

    #[test]
    fn trailers_that_do_not_fit_their_file_are_refused() {
        for change in [
            Trailer { index_offset: 0, ..SAMPLE },
            Trailer { index_offset: 1000, ..SAMPLE },
            Trailer { index_offset: u64::MAX - 511, ..SAMPLE },
            Trailer { index_size: u64::MAX, ..SAMPLE },
            Trailer { index_size: 0, ..SAMPLE },
            Trailer { index_size: 1020, ..SAMPLE },
            Trailer { index_size: 400, ..SAMPLE },
        ] {
            assert_eq!(Trailer::from_bytes(&change.to_bytes(), FILE).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert!(Trailer::from_bytes(&SAMPLE.to_bytes(), FILE - 512).is_err());
        assert!(Trailer::from_bytes(&SAMPLE.to_bytes(), 0).is_err());
    }
}
