//! One run: batches are taken as fast as they come, and dropped, while the clock runs and a second thread looks at the queues.

use super::plan::{Plan, Setting, Without};
use crate::cli::bench::cache::CacheState;
use crate::cli::bench::common::stop_if_asked;
use crate::cli::bench::machine::cpu_seconds;
use framefeed::{Error, ErrorKind, Loader, LoaderStats, Next, PartialLoader, Result, Stage};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Share of a run's length that goes by before the clock starts: pipes fill, decoders open, memory is taken.
const WARM_UP_SHARE: f64 = 0.25;
/// Between two looks at the queues.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// How often a wait for a batch looks whether it is interrupted.
pub(super) const SIGNAL_INTERVAL: Duration = Duration::from_millis(100);

/// What one run gave.
#[derive(Debug)]
pub(super) struct Run {
    /// What was done while the clock ran.
    pub stats: LoaderStats,
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub occupancy: Occupancy,
}

/// How full the queues were, summed over looks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Occupancy {
    pub looks: u64,
    pub batches: Level,
    pub clips: Level,
    /// Clips that the batches in the making have.
    pub clips_bound: u64,
    pub bytes: Level,
}

/// One queue.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Level {
    /// Summed over looks.
    pub total: f64,
    /// Looks that found nothing.
    pub empty: u64,
    /// Looks that found the bound reached.
    pub full: u64,
}

impl Level {
    fn add(&mut self, level: u64, bound: u64) {
        self.total += level as f64;
        self.empty += u64::from(level == 0);
        self.full += u64::from(level >= bound);
    }
}

/// A loader, whole or without a stage.
enum Feed {
    Whole(Loader),
    Partial(PartialLoader),
}

/// Its batches.
enum Batches {
    Whole(framefeed::Batches),
    Partial(framefeed::PartialBatches),
}

impl Feed {
    fn open(plan: &Plan, setting: Setting, one_pass: bool) -> Result<Self> {
        let builder = plan.builder(setting, one_pass)?;
        match setting.without {
            Some(Without::Transform) => builder.build_without(Stage::Transform).map(Self::Partial),
            Some(Without::Decode) => builder.build_without(Stage::Decode).map(Self::Partial),
            Some(Without::Checksum | Without::Storage) | None => builder.build().map(Self::Whole),
        }
    }

    fn start(&self) -> Batches {
        match self {
            Self::Whole(loader) => Batches::Whole(loader.iter()),
            Self::Partial(loader) => Batches::Partial(loader.start()),
        }
    }

    fn stats(&self) -> LoaderStats {
        match self {
            Self::Whole(loader) => loader.stats(),
            Self::Partial(loader) => loader.stats(),
        }
    }
}

impl Batches {
    /// Waits for the next batch and drops it. False at the end.
    fn advance(&mut self) -> Result<bool> {
        loop {
            stop_if_asked()?;
            match self {
                Self::Whole(batches) => match batches.next_within(SIGNAL_INTERVAL) {
                    Next::Batch(batch) => return batch.map(|_| true),
                    Next::End => return Ok(false),
                    Next::Timeout => {}
                },
                Self::Partial(batches) => match batches.next_within(SIGNAL_INTERVAL) {
                    Some(Ok(None)) => {}
                    Some(batch) => return batch.map(|_| true),
                    None => return Ok(false),
                },
            }
        }
    }
}

/// Measures once. Of a cold cache it is one epoch from its very begin, as nothing is cold afterwards; else what comes after the
/// begin of an endless iteration.
pub(super) fn run(plan: &Plan, setting: Setting, seconds: f64, cache: CacheState) -> Result<Run> {
    let is_cold = cache == CacheState::Cold;
    let feed = Feed::open(plan, setting, is_cold)?;
    let (mut before, mut start, mut cpu) = (LoaderStats::default(), Instant::now(), cpu_seconds());
    let mut batches = feed.start();
    if !is_cold {
        while batches.advance()? && start.elapsed().as_secs_f64() < seconds * WARM_UP_SHARE {}
        (before, start, cpu) = (feed.stats(), Instant::now(), cpu_seconds());
    }
    let done = AtomicBool::new(false);
    let (taken, occupancy) = std::thread::scope(|scope| {
        let looker = scope.spawn(|| look(&feed, plan.batch_size, &done));
        let taken = take(&mut batches, start, seconds);
        done.store(true, Ordering::Relaxed);
        (taken, looker.join())
    });
    taken?;
    let (seconds, cpu_seconds) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let stats = feed.stats().since(&before);
    if stats.batches_delivered == 0 {
        let message = format!("no batch came: {} samples were left out as damaged", stats.skipped);
        return Err(Error::corrupt(message).with_path(&plan.path));
    }
    let gone = || Error::new(ErrorKind::Closed, "a thread of the benchmark panicked");
    Ok(Run { stats, seconds, cpu_seconds, occupancy: occupancy.map_err(|_| gone())? })
}

/// Takes batches until the time is over, at least one.
fn take(batches: &mut Batches, start: Instant, seconds: f64) -> Result<()> {
    while batches.advance()? && start.elapsed().as_secs_f64() < seconds {}
    Ok(())
}

/// Looks at the queues until told that it is over.
fn look(feed: &Feed, batch_size: usize, done: &AtomicBool) -> Occupancy {
    let clips_bound = feed.stats().prefetch_batches.saturating_mul(batch_size as u64);
    let mut occupancy = Occupancy { clips_bound, ..Occupancy::default() };
    loop {
        let stats = feed.stats();
        occupancy.looks += 1;
        occupancy.batches.add(stats.ready_batches, stats.prefetch_batches);
        occupancy.clips.add(stats.queued_clips, clips_bound);
        occupancy.bytes.add(stats.held_bytes, stats.read_ahead_bytes);
        if done.load(Ordering::Relaxed) {
            return occupancy;
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}
