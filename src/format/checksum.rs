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

    /// Of bytes whose checksum is `crc`.
    pub(crate) fn of(crc: u32) -> Self {
        Self(Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!crc)))
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

/// What a checksum becomes when a certain number of bytes follows, before theirs is added: a linear function of its bits, as what becomes
/// of each of them. To find that out takes some microseconds, to use it none: for runs of one length.
pub(crate) struct Followed([u32; 32]);

impl Followed {
    /// By `len` bytes.
    pub(crate) fn by(len: u64) -> Self {
        Self(std::array::from_fn(|bit| combine_crc32c(1 << bit, 0, len)))
    }

    /// Checksum of bytes whose first ones have `front` and whose last ones, of the length, have `back`.
    pub(crate) fn combine(&self, front: u32, back: u32) -> u32 {
        let bits = self.0.iter().enumerate();
        bits.filter(|(bit, _)| front >> bit & 1 == 1).fold(back, |crc, (_, image)| crc ^ image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_length_are_joined_by_tables() {
        let bytes: Vec<u8> = (0..5000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for len in [1, 8, 333, 1000, 5000] {
            let followed = Followed::by(len as u64);
            let runs = bytes.chunks_exact(len);
            let mut last = Crc32c::of(runs.clone().fold(0, |crc, run| followed.combine(crc, crc32c(run))));
            last.update(&bytes[bytes.len() / len * len..]);
            assert_eq!(last.value(), crc32c(&bytes), "{len}");
        }
    }

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
