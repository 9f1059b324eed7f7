//! CRC32C (Castagnoli, as in iSCSI and RFC 3720), the checksum of everything that can be read alone.

//!
//! Two crates compute it, and which one is faster depends on the processor: `crc-fast` multiplies polynomials, `crc32c` has the
//! processor's own instruction sum three runs at once. With AVX-512 the first is far ahead, on an AMD Zen 3 it gives 11.7 GB/s a core
//! and the second 14.6.

use crc_fast::{CrcAlgorithm, Digest, checksum_combine};
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// The faster one here.
static FASTER: LazyLock<Implementation> = LazyLock::new(Implementation::measure);

/// Bytes that the two are compared on, and how often: some thirty microseconds in all.
const MEASURED_BYTES: usize = 16 << 10;
const MEASURED_TIMES: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Implementation {
    /// Multiplication of polynomials.
    Multiply,
    /// The processor's instruction for it.
    Instruction,
}

impl Implementation {
    fn measure() -> Self {
        let bytes = vec![0x5a_u8; MEASURED_BYTES];
        let [multiply, instruction] = [Self::Multiply, Self::Instruction].map(|this| {
            // The shortest time: whatever interrupts makes it longer.
            let times = (0..MEASURED_TIMES).map(|_| {
                let start = Instant::now();
                black_box(this.checksum(black_box(&bytes)));
                start.elapsed()
            });
            times.min().unwrap_or(Duration::MAX)
        });
        if instruction < multiply { Self::Instruction } else { Self::Multiply }
    }

    fn checksum(self, bytes: &[u8]) -> u32 {
        match self {
            Self::Multiply => crc_fast::crc32_iscsi(bytes),
            Self::Instruction => ::crc32c::crc32c(bytes),
        }
    }
}

/// CRC32C of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    FASTER.checksum(bytes)
}

/// CRC32C of bytes of which `front` is the checksum of the first ones and `back` that of the last `back_len`.
pub(crate) fn combine_crc32c(front: u32, back: u32, back_len: u64) -> u32 {
    checksum_combine(CrcAlgorithm::Crc32Iscsi, front.into(), back.into(), back_len) as u32
}

/// CRC32C of bytes that come in pieces.
pub(crate) struct Crc32c(State);

#[expect(clippy::large_enum_variant, reason = "a field of what one tensor or one file is checked by, never in lists")]
enum State {
    Multiply(Digest),
    /// The checksum so far.
    Instruction(u32),
}

impl Crc32c {
    /// Of no bytes yet.
    pub(crate) fn new() -> Self {
        Self::by(*FASTER)
    }

    fn by(implementation: Implementation) -> Self {
        Self(match implementation {
            Implementation::Multiply => State::Multiply(Digest::new(CrcAlgorithm::Crc32Iscsi)),
            Implementation::Instruction => State::Instruction(0),
        })
    }

    /// Goes on with `bytes`.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Multiply(digest) => digest.update(bytes),
            State::Instruction(crc) => *crc = ::crc32c::crc32c_append(*crc, bytes),
        }
    }

    /// The checksum of everything so far.
    pub(crate) fn value(&self) -> u32 {
        match &self.0 {
            State::Multiply(digest) => digest.finalize() as u32,
            State::Instruction(crc) => *crc,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Implementation; 2] = [Implementation::Multiply, Implementation::Instruction];

    #[test]
    fn the_check_value_of_the_standard_comes_out_whole_and_in_pieces() {
        for implementation in BOTH {
            assert_eq!(implementation.checksum(b"123456789"), 0xe306_9283);
            let mut crc = Crc32c::by(implementation);
            assert_eq!(crc.value(), 0);
            crc.update(b"1234");
            crc.update(b"");
            crc.update(b"56789");
            assert_eq!(crc.value(), 0xe306_9283);
        }
        for split in 0..=9 {
            let (front, back) = b"123456789".split_at(split);
            assert_eq!(combine_crc32c(crc32c(front), crc32c(back), back.len() as u64), 0xe306_9283);
        }
    }

    #[test]
    fn both_implementations_give_the_same_at_any_length_and_alignment() {
        let bytes: Vec<u8> = (0..20_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for len in (0..300).chain([1000, 4095, 4096, 8191, 12_289, 19_000]) {
            for start in [0, 1, 7, 63] {
                let bytes = &bytes[start..][..len];
                let [multiply, instruction] = BOTH.map(|this| this.checksum(bytes));
                assert_eq!(multiply, instruction, "{len} bytes from {start} on");
                let pieces = BOTH.map(|this| {
                    let mut crc = Crc32c::by(this);
                    bytes.chunks(len / 3 + 1).for_each(|piece| crc.update(piece));
                    crc.value()
                });
                assert_eq!(pieces, [multiply; 2], "{len} bytes from {start} on, in pieces");
            }
        }
    }
}
