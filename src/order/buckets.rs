//! Buckets: samples of one shape, so that every batch has one shape.
//!
//! The positions of an epoch are laid out by arithmetic on the buckets' lengths alone: first all full batches of all
//! buckets, in a keyed permutation of their own; then, in the order of the buckets, what is left of each, as one smaller
//! batch. Which samples of a bucket make its first full batch, its second and its rest says a keyed permutation of the
//! bucket. So the sample at a position is found without a list of the epoch, and one number says where to resume.

use super::samples::Samples;
use std::ops::Range;

/// Where the samples, the full batches and the rests of the buckets begin. Samples are numbered bucket by bucket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Buckets {
    batch_size: u64,
    /// First sample of each bucket, and one past the last one's.
    samples: Vec<u64>,
    /// Full batches of the buckets before each, and of all.
    full_batches: Vec<u64>,
    /// First position of each bucket's rest, and one past the last one's. A bucket of full batches has an empty rest.
    rests: Vec<u64>,
}

/// What stands at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) bucket: usize,
    /// Number of the sample in its bucket, before the bucket's permutation.
    pub(crate) number: u64,
}

/// The starts of pieces of those lengths, and the end of the last one.
fn starts(begin: u64, lens: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut end = begin;
    let mut starts = vec![begin];
    for len in lens {
        end += len;
        starts.push(end);
    }
    starts
}

/// The piece that holds `at`: empty pieces hold nothing.
fn piece(starts: &[u64], at: u64) -> usize {
    starts.partition_point(|&start| start <= at).saturating_sub(1)
}

impl Buckets {
    /// Buckets of those numbers of samples, in batches of `batch_size`, which must not be 0. The numbers come from lists in
    /// memory, so their sum does not overflow.
    pub(crate) fn new(lens: &[u64], batch_size: u64) -> Self {
        let full_batches = starts(0, lens.iter().map(|len| len / batch_size));
        let full_positions = full_batches.last().map_or(0, |batches| batches * batch_size);
        Self {
            batch_size,
            samples: starts(0, lens.iter().copied()),
            full_batches,
            rests: starts(full_positions, lens.iter().map(|len| len % batch_size)),
        }
    }

    /// Where the buckets begin and the records of their samples, as the bytes that a checksum of them is made of.
    pub(crate) fn identity(&self, samples: &Samples) -> Vec<u8> {
        let begins = self.samples.iter().flat_map(|begin| begin.to_le_bytes());
        let records = samples.records().flat_map(|record| (record as u32).to_le_bytes());
        begins.chain(records).collect()
    }

    /// Number of buckets.
    pub(crate) fn len(&self) -> usize {
        self.samples.len() - 1
    }

    /// Samples of all buckets, which is also the number of positions.
    pub(crate) fn num_samples(&self) -> u64 {
        self.samples[self.len()]
    }

    pub(crate) fn num_full_batches(&self) -> u64 {
        self.full_batches[self.len()]
    }

    fn full_positions(&self) -> u64 {
        self.rests[0]
    }

    /// The samples of a bucket.
    pub(crate) fn samples(&self, bucket: usize) -> Range<u64> {
        self.samples[bucket]..self.samples[bucket + 1]
    }

    /// The bucket of a sample.
    pub(crate) fn bucket_of(&self, sample: u64) -> usize {
        piece(&self.samples, sample)
    }

    /// What stands at `position`, which must be below the number of samples. `order` permutes the full batches.
    pub(crate) fn place(&self, position: u64, order: impl FnOnce(u64) -> u64) -> Place {
        if position < self.full_positions() {
            let batch = order(position / self.batch_size);
            let bucket = piece(&self.full_batches, batch);
            let number = (batch - self.full_batches[bucket]) * self.batch_size + position % self.batch_size;
            return Place { bucket, number };
        }
        let bucket = piece(&self.rests, position);
        let full_batches = self.full_batches[bucket + 1] - self.full_batches[bucket];
        Place { bucket, number: full_batches * self.batch_size + position - self.rests[bucket] }
    }

    /// The positions of the batch that `position` is in, from there on; `None` at the end of the epoch. With `drop_last` the
    /// rests are left out.
    pub(crate) fn batch_at(&self, position: u64, drop_last: bool) -> Option<Range<u64>> {
        if position < self.full_positions() {
            return Some(position..(position / self.batch_size + 1) * self.batch_size);
        }
        let has_batch = !drop_last && position < self.num_samples();
        has_batch.then(|| position..self.rests[piece(&self.rests, position) + 1])
    }

    /// Batches from `position` to the end of the epoch.
    pub(crate) fn num_batches(&self, position: u64, drop_last: bool) -> u64 {
        let full = self.num_full_batches().saturating_sub(position / self.batch_size);
        if drop_last {
            return full;
        }
        let rests = self.rests.windows(2).filter(|rest| rest[0] < rest[1] && position < rest[1]).count();
        full + rests as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_sample_has_one_position_and_every_batch_one_bucket(
            lens in prop::collection::vec(0_u64..20, 1..8), batch_size in 1_u64..7, drop_last: bool,
        ) {
            let buckets = Buckets::new(&lens, batch_size);
            let num_full = buckets.num_full_batches();
            // Any permutation of the full batches will do: here they are turned around.
            let place = |position| buckets.place(position, |batch| num_full - 1 - batch);
            let mut seen: Vec<Vec<bool>> = lens.iter().map(|&len| vec![false; len as usize]).collect();
            let (mut position, mut batches) = (0, 0);
            while let Some(positions) = buckets.batch_at(position, drop_last) {
                let left = buckets.num_batches(position, drop_last);
                prop_assert_eq!(left, buckets.num_batches(0, drop_last) - batches);
                let bucket = place(position).bucket;
                for position in positions.clone() {
                    let at = place(position);
                    prop_assert_eq!(at.bucket, bucket);
                    prop_assert!(!std::mem::replace(&mut seen[bucket][at.number as usize], true));
                }
                prop_assert!(positions.end - positions.start <= batch_size);
                (position, batches) = (positions.end, batches + 1);
            }
            prop_assert_eq!(buckets.num_batches(position, drop_last), 0);
            for (seen, len) in seen.iter().zip(&lens) {
                let expected = if drop_last { len / batch_size * batch_size } else { *len };
                prop_assert_eq!(seen.iter().filter(|&&seen| seen).count() as u64, expected);
            }
            prop_assert_eq!(buckets.num_samples(), lens.iter().sum::<u64>());
        }
    }
}
