//! Where a loader stands, as it is saved, and the check that a saved state is one of this loader's order.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Display;

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
    pub(crate) fn check(&self, order: &OrderKey) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

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
