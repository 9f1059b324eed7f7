//! How fast this machine reads and decodes windows of a dataset.

use super::info::scatter;
use crate::dataset::Dataset;
use crate::decode::DecodeLimits;
use crate::loader::ClipReader;
use crate::order::Window;
use crate::storage::StorageOptions;
use crate::threads::thread_time;
use std::time::{Duration, Instant};

/// Processor time after which no further window is decoded.
const ENOUGH: Duration = Duration::from_secs(1);
/// Wall time after which no further window is tried.
const PATIENCE: Duration = Duration::from_secs(3);
/// Windows that are tried at most.
const MAX_WINDOWS: u64 = 64;
/// Clips beyond these take longer than the answer is worth.
const LIMITS: DecodeLimits = DecodeLimits {
    max_packets: 2_000,
    max_bytes: 64 << 20,
    max_decoded_frames: 2_000,
    max_pixels: 1 << 26,
    timeout: Some(Duration::from_secs(2)),
};

/// Frames of windows at random places that one core reads from the cache and decodes in a second, without transforming them; windows that cannot
/// be decoded count as time without frames. `None` where none could be: what is wrong with a clip is for `verify` to say.
pub(super) fn frames_per_core_second(dataset: &Dataset, window: &Window) -> Option<f64> {
    let mut reader = ClipReader::new(dataset, &StorageOptions::new()).ok()?;
    let (begun, mut is_warm) = (Instant::now(), false);
    let (mut frames, mut took) = (0, Duration::ZERO);
    for number in 0..MAX_WINDOWS {
        if took >= ENOUGH || begun.elapsed() >= PATIENCE {
            break;
        }
        let draw = scatter(number);
        let record = (draw % dataset.len().max(1) as u64) as usize;
        let Some(wanted) = dataset.stream(record).ok().and_then(|(_, stream)| window.select(&stream, draw)) else {
            continue;
        };
        let before = thread_time();
        let is_decoded = reader.for_each_frame(record, &wanted, &LIMITS, &mut |_, _| Ok(())).is_ok();
        // The first one opens a decoder, which a loader does once.
        if is_warm {
            frames += if is_decoded { wanted.len() } else { 0 };
            took += thread_time().saturating_sub(before);
        }
        is_warm |= is_decoded;
    }
    (frames > 0).then(|| frames as f64 / took.as_secs_f64().max(1e-9))
}
