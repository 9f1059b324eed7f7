//! Which positions make which batch. Pure arithmetic: batches are consecutive positions of one epoch, and none spans
//! two.

use super::Buckets;
use std::ops::Range;
use std::sync::Arc;

/// What becomes of the positions at the end of an epoch that do not fill a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) num_samples: u64,
    pub(crate) batch_size: u64,
    pub(crate) drop_last: bool,
    /// Where batches are of one bucket each: then every bucket has a last batch that may not be full.
    pub(crate) buckets: Option<Arc<Buckets>>,
}

impl Cut {
    /// Batches from `position` to the end of the epoch.
    pub(crate) fn num_batches(&self, position: u64) -> u64 {
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
pub(crate) struct Schedule {
    cut: Cut,
    epoch: u64,
    position: u64,
    epochs_left: u64,
}

impl Schedule {
    /// Batches from `position` of `epoch` on, to the end of the `num_epochs`-th epoch, that one included.
    pub(crate) fn new(cut: Cut, epoch: u64, position: u64, num_epochs: u64) -> Self {
        Self { cut, epoch, position, epochs_left: num_epochs }
    }

    /// Batches that are still to come.
    pub(crate) fn num_batches(&self) -> u64 {
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
}
