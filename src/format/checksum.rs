//! CRC32C (Castagnoli, as in iSCSI and RFC 3720), the checksum of everything that can be read alone.

use crc_fast::{CrcAlgorithm, Digest, checksum_combine};

/// CRC32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// CRC32C of bytes of which `front` is the checksum of the first ones and `back` that of the last `back_len`.
pub(crate) fn combine_crc32c(front: u32, back: u32, back_len: u64) -> u32 {
    checksum_combine(CrcAlgorithm::Crc32Iscsi, front.into(), back.into(), back_len) as u32
}

/// CRC32C of bytes that come in pieces.
pub(crate) struct Crc32c(Digest);

impl Crc32c {
    /// Of no bytes yet.
    pub(crate) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc32Iscsi))
    }

    /// Goes on with `bytes`.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of everything so far.
    pub(crate) fn value(&self) -> u32 {
        self.0.finalize() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_standard_comes_out_whole_and_in_pieces() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let mut crc = Crc32c::new();
        crc.update(b"1234");
        crc.update(b"");
        crc.update(b"56789");
        assert_eq!(crc.value(), 0xe306_9283);
        assert_eq!(Crc32c::new().value(), 0);
        for split in 0..=9 {
            let (front, back) = b"123456789".split_at(split);
            assert_eq!(combine_crc32c(crc32c(front), crc32c(back), back.len() as u64), 0xe306_9283);
        }
    }
}
