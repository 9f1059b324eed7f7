//! Which positions make which batch. Pure arithmetic: batches are consecutive positions of one epoch, and none spans two.

use crate::dataset::Buckets;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

/// Where a loader stands, and what its order depends on: all that is needed to go on, on any number of threads or machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoaderState {
    /// The epoch of the next sample.
    pub epoch: u64,
    /// The position of the next sample in its epoch.
    pub position: u64,
    /// The order of samples, the same in all states of a loader.
    #[serde(flatten)]
    pub order: OrderKey,
}

/// What the order of samples depends on. Positions mean the same in loaders that have this in common, whatever else differs:
/// a batch size, say, where there are no buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OrderKey {
    /// The seed.
    pub seed: u64,
    /// Whether epochs are shuffled.
    pub shuffle: bool,
    /// Samples of one epoch, to notice another window, or records that were left out.
    pub num_samples: u64,
    /// Samples of a batch where batches are of one bucket each, so that the order is one of batches.
    pub bucket_batch_size: Option<u64>,
    /// CRC32C of what is in which bucket, where there are buckets: it depends on the shapes that could be read.
    pub bucket_crc32c: Option<u32>,
    /// The dataset's id.
    pub dataset: String,
}

impl LoaderState {
    /// Checks that the state is one of a loader with that order.
    pub(super) fn check(&self, order: &OrderKey) -> Result<()> {
        self.order.compare(order)?;
        if self.position > order.num_samples {
            let (position, last) = (self.position, order.num_samples);
            return Err(Error::invalid(format!("state: position is {position}, expected 0 to {last}")));
        }
        Ok(())
    }
}

impl OrderKey {
    /// Names the first thing in which `self`, a state's, differs from a loader's.
    fn compare(&self, loader: &Self) -> Result<()> {
        let size = |size: Option<u64>| size.map_or_else(|| "no buckets".to_owned(), |size| size.to_string());
        let differ = |name: &str, saved: &dyn Display, here: &dyn Display| {
            Err(Error::invalid(format!("state: {name} is {saved}, this loader's is {here}; nothing was resumed")))
        };
        if self.dataset != loader.dataset {
            return differ("dataset", &self.dataset, &loader.dataset);
        }
        if self.seed != loader.seed {
            return differ("seed", &self.seed, &loader.seed);
        }
        if self.shuffle != loader.shuffle {
            return differ("shuffle", &self.shuffle, &loader.shuffle);
        }
        if self.bucket_batch_size != loader.bucket_batch_size {
            return differ("batch_size", &size(self.bucket_batch_size), &size(loader.bucket_batch_size));
        }
        if self.num_samples != loader.num_samples {
            let name = "number of samples, which depends on window, short policy and fields,";
            return differ(name, &self.num_samples, &loader.num_samples);
        }
        if self.bucket_crc32c != loader.bucket_crc32c {
            let message = "state: the buckets hold other samples, as where a shard can't be read; nothing was resumed";
            return Err(Error::invalid(message));
        }
        Ok(())
    }
}

/// What becomes of the positions at the end of an epoch that do not fill a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) num_samples: u64,
    pub(super) batch_size: u64,
    pub(super) drop_last: bool,
    /// Where batches are of one bucket each: then every bucket has a last batch that may not be full.
    pub(super) buckets: Option<Arc<Buckets>>,
}

impl Cut {
    /// Batches from `position` to the end of the epoch.
    pub(super) fn num_batches(&self, position: u64) -> u64 {
        if let Some(buckets) = &self.buckets {
            return buckets.num_batches(position, self.drop_last);
        }
        let left = self.num_samples.saturating_sub(position);
        if self.drop_last { left / self.batch_size } else { left.div_ceil(self.batch_size) }
    }

    /// The positions of the batch that begins at `position`, or `None` at the end of the epoch.
    fn batch_at(&self, position: u64) -> Option<Range<u64>> {
        if let Some(buckets) = &self.buckets {
            return buckets.batch_at(position, self.drop_last);
        }
        let end = position.saturating_add(self.batch_size).min(self.num_samples);
        let len = end.saturating_sub(position);
        (len > 0 && (len == self.batch_size || !self.drop_last)).then_some(position..end)
    }
}

/// The batches of one or more epochs, one after another.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    cut: Cut,
    epoch: u64,
    position: u64,
    epochs_left: u64,
}

impl Schedule {
    /// Batches from `position` of `epoch` on, to the end of the `num_epochs`-th epoch, that one included.
    pub(super) fn new(cut: Cut, epoch: u64, position: u64, num_epochs: u64) -> Self {
        Self { cut, epoch, position, epochs_left: num_epochs }
    }

    /// Batches that are still to come.
    pub(super) fn num_batches(&self) -> u64 {
        match self.epochs_left {
            0 => 0,
            left => {
                self.cut.num_batches(self.position).saturating_add((left - 1).saturating_mul(self.cut.num_batches(0)))
            }
        }
    }
}

impl Iterator for Schedule {
    type Item = (u64, Range<u64>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.epochs_left > 0 {
            if let Some(positions) = self.cut.batch_at(self.position) {
                self.position = positions.end;
                return Some((self.epoch, positions));
            }
            if self.cut.num_batches(0) == 0 {
                self.epochs_left = 0;
                break;
            }
            self.epochs_left -= 1;
            self.epoch = self.epoch.wrapping_add(1);
            self.position = 0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn batches_cover_every_position_of_every_epoch_once() {
        for num_samples in 0..20 {
            for batch_size in 1..8 {
                for drop_last in [false, true] {
                    let cut = Cut { num_samples, batch_size, drop_last, buckets: None };
                    let schedule = Schedule::new(cut, 5, 0, 3);
                    let expected = schedule.num_batches();
                    let batches: Vec<_> = schedule.collect();
                    assert_eq!(batches.len() as u64, expected);
                    for epoch in 5..8 {
                        let positions: Vec<u64> =
                            batches.iter().filter(|batch| batch.0 == epoch).flat_map(|batch| batch.1.clone()).collect();
                        let end = if drop_last { num_samples / batch_size * batch_size } else { num_samples };
                        assert_eq!(positions, (0..end).collect::<Vec<_>>());
                    }
                }
            }
        }
    }

    #[test]
    fn resuming_gives_the_rest() {
        let buckets = Some(Arc::new(Buckets::new(&[9, 0, 8], 4)));
        for buckets in [None, buckets] {
            let cut = Cut { num_samples: 17, batch_size: 4, drop_last: false, buckets };
            let all: Vec<_> = Schedule::new(cut.clone(), 0, 0, 2).collect();
            for done in 0..all.len() {
                let (epoch, positions) = &all[done];
                let rest: Vec<_> = Schedule::new(cut.clone(), *epoch, positions.start, 2 - epoch).collect();
                assert_eq!(rest, all[done..]);
            }
        }
    }

    #[test]
    fn a_state_of_another_order_is_refused_and_both_values_are_named() {
        let order = OrderKey {
            seed: 3,
            shuffle: true,
            num_samples: 10,
            bucket_batch_size: None,
            bucket_crc32c: None,
            dataset: "one".to_owned(),
        };
        let state = LoaderState { epoch: 1, position: 10, order: order.clone() };
        state.check(&order).unwrap();
        for (other, told) in [
            (OrderKey { seed: 4, ..order.clone() }, "seed is 3, this loader's is 4"),
            (OrderKey { shuffle: false, ..order.clone() }, "shuffle is true, this loader's is false"),
            (OrderKey { num_samples: 11, ..order.clone() }, "is 10, this loader's is 11"),
            (OrderKey { bucket_batch_size: Some(8), ..order.clone() }, "batch_size is no buckets, this loader's is 8"),
            (OrderKey { bucket_crc32c: Some(1), ..order.clone() }, "the buckets hold other samples"),
            (OrderKey { dataset: "two".to_owned(), ..order.clone() }, "dataset is one, this loader's is two"),
        ] {
            let error = state.check(&other).unwrap_err();
            assert!(error.kind() == ErrorKind::InvalidArgument && error.to_string().contains(told), "{error}");
        }
        let beyond = LoaderState { position: 11, ..state.clone() };
        assert!(beyond.check(&order).unwrap_err().to_string().contains("position is 11, expected 0 to 10"));
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<LoaderState>(&text).unwrap(), state);
    }
}
