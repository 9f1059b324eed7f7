//! What the loader has done so far, and what it waits for. Counters are atomics that the stages add to; a snapshot may be
//! taken at any time from any thread, and its parts may be a few clips apart.

use crate::batch::BatchPoolStats;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// The stages' counters.
        #[derive(Debug, Default)]
        pub(super) struct Counters { $(pub(super) $name: AtomicU64),+ }

        /// A snapshot of a loader's counters, over all its epochs. Times are summed over threads.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct LoaderStats {
            $($(#[$doc])* pub $name: u64,)+
            /// Batches that may be in the making or finished at a time: the bound of `ready_batches`.
            pub prefetch_batches: u64,
            /// The bound of `held_bytes`, which one clip may exceed.
            pub read_ahead_bytes: u64,
            /// Decode workers of the running iteration, or of the last one.
            pub num_workers: u64,
            /// Tensor readers of the running iteration, or of the last one.
            pub num_tensor_readers: u64,
            /// Batches that are finished and wait for the consumer.
            pub ready_batches: u64,
            /// Clips that are read and wait for a decode worker.
            pub queued_clips: u64,
            /// Bytes of compressed video that were asked for and are not decoded yet.
            pub held_bytes: u64,
            /// Records that are no samples because the window does not fit.
            pub num_short: u64,
            /// Records that are no samples because they lack a field.
            pub num_incomplete: u64,
            /// What the batch memory's pool has done.
            pub batch_memory: BatchPoolStats,
        }

        impl Counters {
            pub(super) fn snapshot(&self) -> LoaderStats {
                LoaderStats { $($name: self.$name.load(Ordering::Relaxed),)+ ..LoaderStats::default() }
            }
        }

        impl LoaderStats {
            /// The counters that are sums, by name, for printing and for JSON.
            pub fn counters(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),+]
            }

            /// What was done since an earlier snapshot of the same loader: counters are differences, everything else is as it is
            /// now. Stages add a time when it is over, so that of what runs at either end counts where it ends.
            #[must_use]
            pub fn since(&self, earlier: &Self) -> Self {
                Self { $($name: self.$name.saturating_sub(earlier.$name),)+ ..*self }
            }
        }
    };
}

counters! {
    /// Reads that the storage engine was asked for.
    num_reads,
    /// Bytes read from storage, gaps between wanted ranges included.
    read_bytes,
    /// Bytes of the packets that the plans asked for.
    needed_bytes,
    /// Packets fed to decoders.
    packets_decoded,
    /// Frames that came out of decoders.
    frames_decoded,
    /// Frames in delivered batches.
    frames_delivered,
    /// Samples in delivered batches.
    samples_delivered,
    /// Batches delivered.
    batches_delivered,
    /// Bytes of tensor delivered, pixels included.
    tensor_bytes,
    /// Tensors of fields read.
    fields_read,
    /// Bytes of tensors of fields read. They count into `read_bytes` and `needed_bytes` as well.
    field_bytes,
    /// Clips that could not be read or decoded, substitutes included.
    errors,
    /// Samples left out by the error policy.
    skipped,
    /// Samples replaced by the error policy.
    substituted,
    /// Time spent on choosing windows and planning reads, by the reader.
    plan_nanos,
    /// Time the reader waited for storage.
    read_wait_nanos,
    /// Time the reader waited for room: every budget was full, because decoding or the consumer is slower.
    read_blocked_nanos,
    /// Time spent on checking and decoding packets, over all workers.
    decode_nanos,
    /// Time spent on transforming frames, over all workers.
    transform_nanos,
    /// Time workers spent on bringing finished clips together into batches, over all workers.
    assemble_nanos,
    /// Time workers waited for clips, over all workers.
    worker_wait_nanos,
    /// Time workers and tensor readers paused to keep to `cpu_limit`, over all of them.
    paused_nanos,
    /// Time spent on reading tensors, and on waiting for storage to bring them, over all tensor readers.
    tensor_read_nanos,
    /// Time spent on the checksums of tensors, over all tensor readers. Where tensors are summed while they are copied, both are reading.
    tensor_check_nanos,
    /// Time tensor readers spent on bringing tensors together into batches, over all of them.
    tensor_assemble_nanos,
    /// Time tensor readers had nothing to read, over all of them: every budget was full.
    tensor_wait_nanos,
    /// Time the consumer waited for the first batch of each iteration.
    startup_nanos,
    /// Time the consumer waited for batches after the first one of each iteration.
    consumer_wait_nanos,
    /// Time from each iteration's first batch to the last request for one.
    elapsed_nanos,
}

/// The stage that bounds the loader's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Nothing was delivered yet.
    Unknown,
    /// The one reader thread is busy with planning.
    Plan,
    /// Workers wait for bytes, or tensor readers are busy reading.
    Storage,
    /// Tensor readers are busy, and most of it is checksums.
    Check,
    /// Workers are busy decoding.
    Decode,
    /// Workers are busy, and most of it is transforming.
    Transform,
    /// Workers or tensor readers pause for more than a tenth of the time that they would be busy, to keep to `cpu_limit`.
    CpuLimit,
    /// The consumer takes longer over a batch than the loader does: the training step is the limit.
    Consumer,
}

impl Limit {
    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Plan => "plan",
            Self::Storage => "storage",
            Self::Check => "check",
            Self::Decode => "decode",
            Self::Transform => "transform",
            Self::CpuLimit => "cpu_limit",
            Self::Consumer => "consumer",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Share of the time below which the consumer's waiting is no limit, nor is pausing.
const SMALL_SHARE: f64 = 0.1;

impl LoaderStats {
    /// Bytes read per byte needed; 1 where nothing was needed.
    pub fn read_amplification(&self) -> f64 {
        ratio(self.read_bytes, self.needed_bytes)
    }

    /// Frames decoded per frame delivered; 1 where nothing was delivered.
    pub fn decode_amplification(&self) -> f64 {
        ratio(self.frames_decoded, self.frames_delivered)
    }

    /// What bounds the rate, from who waits for whom. The consumer, if it waited for batches less than a tenth of the time,
    /// start-up left out. Else `cpu_limit`, if threads paused for a tenth of the time that they could have been busy. Else storage or planning, if workers waited for clips more than they worked and the reader was not
    /// held back itself. Else the greater of decode and transform; where workers wait all the same, more
    /// `prefetch_batches` would give them more clips at a time. Tensor readers, where there are any, are the limit when they are
    /// busy for a greater share of their time than the workers are.
    pub fn limited_by(&self) -> Limit {
        let busy = self.decode_nanos + self.transform_nanos;
        let fetching = self.plan_nanos + self.read_wait_nanos;
        let streaming = self.tensor_read_nanos + self.tensor_check_nanos;
        let share = |busy: u64, idle: u64| busy as f64 / (busy + idle).max(1) as f64;
        if self.batches_delivered == 0 {
            Limit::Unknown
        } else if (self.consumer_wait_nanos as f64) < SMALL_SHARE * self.elapsed_nanos as f64 {
            Limit::Consumer
        } else if share(self.paused_nanos, busy + streaming) > SMALL_SHARE {
            Limit::CpuLimit
        } else if share(streaming, self.tensor_wait_nanos) > share(busy, self.worker_wait_nanos) {
            if self.tensor_check_nanos > self.tensor_read_nanos { Limit::Check } else { Limit::Storage }
        } else if self.worker_wait_nanos > busy && fetching > self.read_blocked_nanos {
            if self.plan_nanos > self.read_wait_nanos { Limit::Plan } else { Limit::Storage }
        } else if self.transform_nanos > self.decode_nanos {
            Limit::Transform
        } else {
            Limit::Decode
        }
    }
}

fn ratio(numerator: u64, denominator: u64) -> f64 {
    if denominator == 0 { 1.0 } else { numerator as f64 / denominator as f64 }
}

/// Adds to a counter. Statistics order nothing, so relaxed is enough.
pub(super) fn add(counter: &AtomicU64, value: u64) {
    counter.fetch_add(value, Ordering::Relaxed);
}

/// Adds the time since `start` to a counter.
pub(super) fn add_since(counter: &AtomicU64, start: Instant) {
    add_duration(counter, start.elapsed());
}

/// Adds a time to a counter.
pub(super) fn add_duration(counter: &AtomicU64, duration: Duration) {
    add(counter, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_follows_from_who_waits() {
        let base = LoaderStats { batches_delivered: 1, elapsed_nanos: 1000, ..LoaderStats::default() };
        assert_eq!(LoaderStats::default().limited_by(), Limit::Unknown);
        assert_eq!(base.limited_by(), Limit::Consumer);
        let waiting = LoaderStats { consumer_wait_nanos: 900, ..base };
        let limit = |stats: LoaderStats| stats.limited_by();
        assert_eq!(limit(LoaderStats { worker_wait_nanos: 900, read_wait_nanos: 800, ..waiting }), Limit::Storage);
        assert_eq!(limit(LoaderStats { worker_wait_nanos: 900, plan_nanos: 800, ..waiting }), Limit::Plan);
        let held_back = LoaderStats { worker_wait_nanos: 900, read_blocked_nanos: 800, decode_nanos: 9, ..waiting };
        assert_eq!(limit(held_back), Limit::Decode);
        assert_eq!(limit(LoaderStats { decode_nanos: 900, transform_nanos: 10, ..waiting }), Limit::Decode);
        assert_eq!(limit(LoaderStats { decode_nanos: 10, transform_nanos: 900, ..waiting }), Limit::Transform);
        let tensors =
            LoaderStats { tensor_read_nanos: 700, tensor_check_nanos: 100, tensor_wait_nanos: 100, ..waiting };
        assert_eq!(limit(tensors), Limit::Storage);
        assert_eq!(limit(LoaderStats { tensor_check_nanos: 800, ..tensors }), Limit::Check);
        assert_eq!(limit(LoaderStats { decode_nanos: 900, ..tensors }), Limit::Decode);
        let paused = LoaderStats { decode_nanos: 600, paused_nanos: 300, ..waiting };
        assert_eq!(limit(paused), Limit::CpuLimit);
        assert_eq!(limit(LoaderStats { paused_nanos: 30, ..paused }), Limit::Decode);
        assert_eq!(limit(LoaderStats { consumer_wait_nanos: 10, ..paused }), Limit::Consumer);
    }

    #[test]
    fn a_difference_is_of_counters_and_keeps_what_is_no_sum() {
        let earlier = LoaderStats { num_reads: 3, ready_batches: 2, ..LoaderStats::default() };
        let now = LoaderStats { num_reads: 10, errors: 1, ready_batches: 1, num_short: 4, ..LoaderStats::default() };
        let since = now.since(&earlier);
        assert_eq!((since.num_reads, since.errors, since.ready_batches, since.num_short), (7, 1, 1, 4));
        assert_eq!(now.since(&LoaderStats::default()), now);
    }

    #[test]
    fn amplification_of_nothing_is_one() {
        assert_eq!(LoaderStats::default().read_amplification(), 1.0);
        assert_eq!(
            LoaderStats { frames_decoded: 30, frames_delivered: 10, ..LoaderStats::default() }.decode_amplification(),
            3.0
        );
    }
}
