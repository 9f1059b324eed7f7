//! The checksum of a tensor whose chunks come in any order.

use crate::buf::RUN_BYTES;
use crate::format::{Crc32c, Followed, combine_crc32c, crc32c};
use std::sync::LazyLock;

static FOLLOWED_BY_RUN: LazyLock<Followed> = LazyLock::new(|| Followed::by(RUN_BYTES as u64));

/// Chunks that came in order go into one checksum; those that came early are joined to it at the end.
#[derive(Default)]
pub(super) struct Checks {
    /// Of the chunks from the first one on that came in order.
    front: u32,
    num_front: usize,
    /// Of others: number, checksum, bytes.
    others: Vec<(usize, u32, u64)>,
}

impl Checks {
    /// Takes the chunk behind those that came in order into account.
    pub(super) fn next(&mut self, bytes: &[u8]) {
        self.add(self.num_front, bytes);
    }

    /// The same for a chunk of [`RUN_BYTES`] bytes with that checksum.
    pub(super) fn next_run(&mut self, crc: u32) {
        self.front = FOLLOWED_BY_RUN.combine(self.front, crc);
        self.num_front += 1;
    }

    /// Takes chunk `number` into account.
    pub(super) fn add(&mut self, number: usize, bytes: &[u8]) {
        if number == self.num_front {
            let mut crc = Crc32c::of(self.front);
            crc.update(bytes);
            self.front = crc.value();
            self.num_front += 1;
        } else {
            self.others.push((number, crc32c(bytes), bytes.len() as u64));
        }
    }

    /// The checksum of all chunks, once each of them was added.
    pub(super) fn value(&mut self) -> u32 {
        self.others.sort_unstable_by_key(|(number, ..)| *number);
        self.others.iter().fold(self.front, |front, (_, chunk, len)| combine_crc32c(front, *chunk, *len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_order_of_chunks_does_not_matter(
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
            order in Just((0..20_usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut checks = Checks::default();
            let chunks: Vec<&[u8]> = bytes.chunks(101).collect();
            for number in order.into_iter().filter(|&number| number < chunks.len()) {
                checks.add(number, chunks[number]);
            }
            prop_assert_eq!(checks.value(), crc32c(&bytes));
        }
    }
}
