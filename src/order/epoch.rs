//! The order of an epoch, as arithmetic: which sample stands at which position, and the random numbers that go with it.
//!
//! Everything here is a pure function of (seed, epoch, position). Nothing is drawn from a stream of random numbers, so any
//! position can be asked for alone, in any order, by any thread or machine: resuming and splitting over ranks is
//! arithmetic. No list of the dataset is ever made.
//!
//! The permutation is a balanced Feistel network over the smallest even number of bits that holds the length, walked
//! along its cycle until the value falls inside (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). The
//! domain is less than four times the length, so a value takes fewer than four steps on average. It is no cryptography:
//! the round function is the finalizer of SplitMix64 (Steele, Lea, Flood, 2014). The numbers are part of what a state that was
//! saved means, so they never change; a test pins them.

use super::buckets::{Buckets, Place};
use std::sync::Arc;

const NUM_ROUNDS: usize = 8;
/// What keeps the uses of one seed apart.
const ORDER_DOMAIN: u64 = 0x6f72_6465_7200_0001;
const PLACEMENT_DOMAIN: u64 = 0x706c_6163_6500_0002;
const SUBSTITUTE_DOMAIN: u64 = 0x7375_6273_7400_0003;
const BATCH_DOMAIN: u64 = 0x6261_7463_6800_0004;
const BUCKET_DOMAIN: u64 = 0x6275_636b_6500_0005;
const RECORD_DOMAIN: u64 = 0x7265_636f_7264_0006;

/// Substitutes that are drawn at random, and may meet a record twice, before all others are tried in turn.
const NUM_DRAWN: u64 = 16;

/// The finalizer of SplitMix64: a bijection of 64 bits that spreads every input bit over all output bits.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A hash of a few words, dependent on their order.
fn hash(words: &[u64]) -> u64 {
    words.iter().fold(0, |state, &word| mix(mix(state) ^ word))
}

/// A number below `bound`, as evenly spread as 64 bits allow: `draw * bound / 2^64`. Zero where `bound` is zero.
pub(crate) fn below(draw: u64, bound: u64) -> u64 {
    ((u128::from(draw) * u128::from(bound)) >> 64) as u64
}

/// A keyed permutation of `0..len`.
#[derive(Debug, Clone)]
struct Permutation {
    len: u64,
    half_bits: u32,
    keys: [u64; NUM_ROUNDS],
}

impl Permutation {
    fn new(len: u64, key: u64) -> Self {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        let half_bits = bits.div_ceil(2).max(1);
        let keys = std::array::from_fn(|round| hash(&[key, round as u64]));
        Self { len, half_bits, keys }
    }

    fn at(&self, position: u64) -> u64 {
        debug_assert!(position < self.len, "position {position} of {}", self.len);
        // Ends: the network is a bijection of its domain, so the cycle through a value inside comes back inside.
        let mut value = self.encrypt(position);
        while value >= self.len {
            value = self.encrypt(value);
        }
        value
    }

    fn encrypt(&self, value: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let (mut left, mut right) = ((value >> self.half_bits) & mask, value & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        (left << self.half_bits) | right
    }
}

/// How positions lead to samples.
#[derive(Debug, Clone)]
enum Layout {
    /// Any sample may stand at any position.
    Whole { len: u64, permutation: Option<Permutation> },
    /// Batches of samples of one bucket. `batches` permutes the full ones.
    Bucketed { buckets: Arc<Buckets>, batches: Option<Permutation> },
}

/// What random windows, and substitutes, depend on beside the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Draw {
    /// Epoch and position.
    Position,
    /// A record's window on the record alone, a position's substitutes on the position: the same in every epoch.
    Record,
}

/// Which sample stands at which position of one epoch.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    seed: u64,
    epoch: u64,
    draw: Draw,
    layout: Layout,
}

impl Order {
    /// The order of `len` samples in one epoch: a keyed permutation where `shuffle` is set, the index's order where not.
    /// The random numbers of the other methods depend on seed and epoch in both cases.
    pub(crate) fn new(seed: u64, epoch: u64, len: u64, shuffle: bool) -> Self {
        let permutation = shuffle.then(|| Permutation::new(len, hash(&[ORDER_DOMAIN, seed, epoch])));
        Self { seed, epoch, draw: Draw::Position, layout: Layout::Whole { len, permutation } }
    }

    /// As [`new`](Self::new) for samples in buckets: the full batches of all buckets are permuted, and so are the samples of
    /// each bucket.
    pub(crate) fn bucketed(seed: u64, epoch: u64, buckets: Arc<Buckets>, shuffle: bool) -> Self {
        let key = hash(&[BATCH_DOMAIN, seed, epoch]);
        let batches = shuffle.then(|| Permutation::new(buckets.num_full_batches(), key));
        Self { seed, epoch, draw: Draw::Position, layout: Layout::Bucketed { buckets, batches } }
    }

    /// With windows and substitutes drawn so; by position where this is not called.
    pub(crate) fn drawn_by(mut self, draw: Draw) -> Self {
        self.draw = draw;
        self
    }

    /// The epoch that this is the order of.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The sample at `position`, which must be below the length: `0..len` each once.
    pub(crate) fn at(&self, position: u64) -> u64 {
        match &self.layout {
            Layout::Whole { permutation, .. } => {
                permutation.as_ref().map_or(position, |permutation| permutation.at(position))
            }
            Layout::Bucketed { buckets, batches } => {
                let permuted = |batch| batches.as_ref().map_or(batch, |permutation| permutation.at(batch));
                let Place { bucket, number } = buckets.place(position, permuted);
                let samples = buckets.samples(bucket);
                let len = samples.end - samples.start;
                let key = || hash(&[BUCKET_DOMAIN, self.seed, self.epoch, bucket as u64]);
                let number = if batches.is_some() { Permutation::new(len, key()).at(number) } else { number };
                samples.start + number
            }
        }
    }

    /// 64 random bits for placing the window of the sample at `position`, or of its substitute, which is that record.
    pub(crate) fn placement_draw(&self, position: u64, attempt: u64, record: usize) -> u64 {
        match self.draw {
            Draw::Position => hash(&[PLACEMENT_DOMAIN, self.seed, self.epoch, position, attempt]),
            Draw::Record => hash(&[RECORD_DOMAIN, self.seed, record as u64]),
        }
    }

    /// The sample that stands in for the one at `position` when that one, and `attempt - 1` substitutes before, failed. One of the
    /// same bucket, and never the failed sample itself: a few are drawn, then all are tried in a keyed permutation. `None` when
    /// these are used up.
    pub(crate) fn substitute(&self, position: u64, attempt: u64) -> Option<u64> {
        let failed = self.at(position);
        let samples = match &self.layout {
            Layout::Whole { len, .. } => 0..*len,
            Layout::Bucketed { buckets, .. } => buckets.samples(buckets.bucket_of(failed)),
        };
        let epoch = match self.draw {
            Draw::Position => self.epoch,
            Draw::Record => 0,
        };
        let len = samples.end - samples.start;
        let others = len.saturating_sub(1);
        let number = match attempt.saturating_sub(NUM_DRAWN) {
            0 => below(hash(&[SUBSTITUTE_DOMAIN, self.seed, epoch, position, attempt]), others),
            turn => {
                let key = hash(&[SUBSTITUTE_DOMAIN, self.seed, epoch, position]);
                (turn <= others).then(|| Permutation::new(others, key).at(turn - 1))?
            }
        };
        (others > 0).then(|| samples.start + (failed - samples.start + 1 + number) % len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_up_to_1000_is_permuted() {
        for len in 0..=1000_u64 {
            let order = Order::new(len ^ 7, len % 5, len, true);
            let mut seen = vec![false; len as usize];
            for position in 0..len {
                let sample = order.at(position) as usize;
                assert!(!std::mem::replace(&mut seen[sample], true), "sample {sample} twice in {len}");
            }
        }
    }

    #[test]
    fn a_length_near_the_end_of_the_range_is_permuted_without_overflow() {
        for len in [u64::from(u32::MAX) + 1, 1 << 40, (1 << 62) + 1, u64::MAX / 2] {
            let order = Order::new(1, 2, len, true);
            let mut samples: Vec<u64> = (0..200).chain(len - 200..len).map(|position| order.at(position)).collect();
            assert!(samples.iter().all(|&sample| sample < len));
            samples.sort_unstable();
            samples.dedup();
            assert_eq!(samples.len(), 400);
        }
    }

    #[test]
    fn seeds_and_epochs_give_different_orders() {
        let order = |seed, epoch| {
            let order = Order::new(seed, epoch, 500, true);
            (0..500).map(|position| order.at(position)).collect::<Vec<_>>()
        };
        let first = order(0, 0);
        assert_eq!(first, order(0, 0));
        for (seed, epoch) in [(0, 1), (1, 0), (1, 1), (u64::MAX, 0)] {
            let other = order(seed, epoch);
            let fixed = first.iter().zip(&other).filter(|(a, b)| a == b).count();
            assert!(fixed < 20, "seed {seed} epoch {epoch}: {fixed} of 500 samples at the same position");
        }
    }

    #[test]
    fn every_sample_visits_every_place_evenly() {
        // Of 8 samples in 4000 epochs, each stands at each position 500 times on average, sigma about 21.
        let mut counts = [[0_u32; 8]; 8];
        for epoch in 0..4000 {
            let order = Order::new(42, epoch, 8, true);
            for position in 0..8 {
                counts[position as usize][order.at(position) as usize] += 1;
            }
        }
        for count in counts.as_flattened() {
            assert!((380..620).contains(count), "{counts:?}");
        }
    }

    #[test]
    fn unshuffled_is_the_order_of_the_index() {
        let order = Order::new(3, 4, 10, false);
        assert!((0..10).all(|position| order.at(position) == position));
    }

    #[test]
    fn the_numbers_never_change() {
        let order = Order::new(0, 0, 10, true);
        let samples: Vec<u64> = (0..10).map(|position| order.at(position)).collect();
        assert_eq!(samples, PINNED_ORDER);
        assert_eq!(order.placement_draw(3, 0, 7), PINNED_DRAW);
        assert_eq!(order.substitute(3, 1), Some(PINNED_SUBSTITUTE));
        let order = order.drawn_by(Draw::Record);
        assert_eq!(order.placement_draw(3, 0, 7), PINNED_DRAW_OF_A_RECORD);
        assert_eq!((0..10).map(|position| order.at(position)).collect::<Vec<_>>(), PINNED_ORDER);
    }

    const PINNED_ORDER: [u64; 10] = [0, 5, 9, 2, 4, 8, 1, 3, 6, 7];
    const PINNED_DRAW: u64 = 13_892_278_038_794_717_763;
    const PINNED_SUBSTITUTE: u64 = 8;
    const PINNED_DRAW_OF_A_RECORD: u64 = 9_257_280_768_721_583_409;

    #[test]
    fn a_substitute_is_another_sample() {
        for len in 2..50 {
            let order = Order::new(9, 1, len, true);
            for position in 0..len {
                for attempt in 1..5 {
                    let substitute = order.substitute(position, attempt).unwrap();
                    assert!(substitute < len);
                    assert_ne!(substitute, order.at(position));
                }
            }
        }
        assert_eq!(Order::new(9, 1, 1, true).substitute(0, 1), None);
    }

    #[test]
    fn every_other_sample_of_the_bucket_is_tried_before_substitution_ends() {
        let buckets = Arc::new(Buckets::new(&[10, 1, 0, 8], 4));
        let orders = [Order::new(9, 1, 30, true), Order::new(9, 1, 1, false), Order::bucketed(7, 2, buckets, true)];
        for (order, len) in orders.iter().zip([30, 1, 19]) {
            for position in 0..len {
                let failed = order.at(position);
                let tried = (1..).map_while(|attempt| order.substitute(position, attempt));
                let mut tried: Vec<u64> = tried.skip(NUM_DRAWN as usize).collect();
                tried.push(failed);
                tried.sort_unstable();
                let expected = match &order.layout {
                    Layout::Whole { len, .. } => 0..*len,
                    Layout::Bucketed { buckets, .. } => buckets.samples(buckets.bucket_of(failed)),
                };
                assert_eq!(tried, expected.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn what_is_drawn_by_record_is_the_same_in_every_epoch_and_differs_by_record_and_seed() {
        let order = |seed, epoch| Order::new(seed, epoch, 100, false).drawn_by(Draw::Record);
        let draws = |seed, epoch| -> Vec<u64> {
            (0..100).map(|record| order(seed, epoch).placement_draw(record, record % 3, record as usize)).collect()
        };
        assert_eq!(draws(1, 0), draws(1, 5));
        assert!(draws(1, 0).iter().zip(draws(2, 0)).all(|(one, other)| *one != other));
        let mut different = draws(1, 0);
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), 100);
        let substitutes = |epoch| (1..9).map(|attempt| order(1, epoch).substitute(3, attempt)).collect::<Vec<_>>();
        assert_eq!(substitutes(0), substitutes(5));
    }

    #[test]
    fn buckets_are_permuted_within_and_their_batches_among_each_other() {
        let buckets = Arc::new(Buckets::new(&[10, 3, 0, 8], 4));
        let samples = |epoch, shuffle| {
            let order = Order::bucketed(7, epoch, Arc::clone(&buckets), shuffle);
            (0..21).map(|position| order.at(position)).collect::<Vec<_>>()
        };
        let unshuffled = [0, 1, 2, 3, 4, 5, 6, 7, 13, 14, 15, 16, 17, 18, 19, 20, 8, 9, 10, 11, 12];
        assert_eq!(samples(0, false), unshuffled);
        let (first, second) = (samples(0, true), samples(1, true));
        assert_ne!(first, second);
        assert_eq!(first, PINNED_BUCKETS);
        for epoch in [&first, &second] {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..21).collect::<Vec<_>>());
        }
        let order = Order::bucketed(7, 0, Arc::clone(&buckets), true);
        for position in 0..21 {
            let (failed, substitute) = (order.at(position), order.substitute(position, 1).unwrap());
            assert_ne!(failed, substitute);
            assert_eq!(buckets.bucket_of(failed), buckets.bucket_of(substitute));
        }
    }

    const PINNED_BUCKETS: [u64; 21] = [15, 17, 20, 14, 5, 6, 0, 3, 8, 2, 4, 7, 16, 13, 18, 19, 1, 9, 12, 11, 10];

    #[test]
    fn below_reaches_both_ends_and_stays_inside() {
        assert_eq!(below(0, 7), 0);
        assert_eq!(below(u64::MAX, 7), 6);
        assert_eq!(below(u64::MAX, 0), 0);
        assert_eq!(below(u64::MAX, u64::MAX), u64::MAX - 1);
    }
}
