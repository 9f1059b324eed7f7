//! What was measured, as `--json` prints it and the report shows it.

use super::check::Checked;
use super::measure::{Level, Run};
use super::plan::Without;
use crate::cli::bench::common::distinct;
use crate::cli::bench::machine::Machine;
use crate::cli::bench::spread::Spread;
use framefeed::LoaderStats;
use serde::Serialize;

/// A benchmark of the loader.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LoaderReport {
    /// The command as it was given.
    pub command: String,
    /// When it began, UTC, as `2026-11-25 07:30`.
    pub date: String,
    /// Version of this program.
    pub version: &'static str,
    /// The dataset's folder.
    pub dataset: String,
    /// Records of the dataset.
    pub records: usize,
    /// Samples of one epoch.
    pub samples: u64,
    /// Records that are no samples because the window does not fit.
    pub short_records: u64,
    /// Records that are no samples because they lack a field.
    pub incomplete_records: u64,
    /// Files that hold what is loaded, and their size.
    pub files: usize,
    pub bytes: u64,
    /// Where it was measured.
    pub machine: Machine,
    /// `cold`, `warm` or as it was, and how it was made so.
    pub cache: String,
    /// Frames of a sample, and from one to the next; nothing where fields alone are loaded.
    pub window: Option<String>,
    /// Tensor fields.
    pub fields: Vec<String>,
    /// Samples of a batch.
    pub batch_size: usize,
    /// What the loader says of itself, at the largest number of workers.
    pub describe: String,
    /// Runs of each point, in turn.
    pub runs: usize,
    /// Time of a run, in seconds; it ends with its last batch.
    pub seconds: f64,
    /// What was compared before anything was timed.
    pub checked: Checked,
    /// What a reader must know besides.
    pub notes: Vec<String>,
    /// The loader, at each number of workers.
    pub points: Vec<Point>,
    /// The loader at the largest number of workers, if something took no time.
    pub bounds: Vec<Bound>,
}

/// The loader at one number of workers.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Point {
    /// Decode workers, or tensor readers, or as many of each.
    pub workers: usize,
    /// Median rate by that of the first point.
    pub speedup: f64,
    /// The speed-up by what it would be if it grew with the workers.
    pub efficiency: f64,
    #[serde(flatten)]
    pub figures: Figures,
}

/// The loader with something left out, to tell what the rest would give.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Bound {
    /// What takes no time.
    pub without: &'static str,
    /// How that is brought about.
    pub explain: &'static str,
    /// `real`, or `empty`: places in batches were not filled, and no rate of frames is one of real frames.
    pub batches: &'static str,
    pub workers: usize,
    /// Median rate by that of the whole loader, measured in turn.
    pub ratio: f64,
    #[serde(flatten)]
    pub figures: Figures,
}

/// What the runs of a point gave. Rates are per second of wall time; `frames` are those in batches.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figures {
    pub samples_per_second: Spread,
    pub samples_per_cpu_second: Spread,
    /// Nothing where fields alone are loaded.
    pub frames_per_second: Option<Spread>,
    pub frames_per_cpu_second: Option<Spread>,
    /// The three rates.
    pub read_bytes_per_second: Spread,
    /// Nothing where no video is decoded.
    pub frames_decoded_per_second: Option<Spread>,
    /// Nothing where batches are empty.
    pub tensor_bytes_per_second: Option<Spread>,
    /// Bytes read per byte needed.
    pub read_amplification: Spread,
    /// Frames decoded per frame delivered; nothing where no video is decoded.
    pub decode_amplification: Option<Spread>,
    /// What the loader itself says that it is limited by, in most runs.
    pub limited_by: &'static str,
    /// In each run.
    pub limited_by_runs: Vec<&'static str>,
    /// What the threads did, over all runs.
    pub threads: Vec<Threads>,
    /// How full the queues were, over all runs.
    pub queues: Vec<Queue>,
    /// Samples left out as damaged, over all runs.
    pub skipped: u64,
    /// Share of the files in the page cache before each run: the largest where it was to be cold, else the least.
    pub cached_before: f64,
}

/// Threads of one kind.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Threads {
    pub name: &'static str,
    pub count: u64,
    /// Time of all of them, over all runs.
    pub seconds: f64,
    /// What became of it. Shares sum up to 1.
    pub stages: Vec<StageTime>,
}

/// Time in one stage.
#[derive(Debug, Clone, Serialize)]
pub(super) struct StageTime {
    pub name: &'static str,
    pub seconds: f64,
    pub share: f64,
}

/// One queue, looked at every 2 milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Queue {
    pub name: &'static str,
    pub mean: f64,
    pub bound: u64,
    /// Share of the looks that found nothing in it.
    pub empty: f64,
    /// Share of the looks that found the bound reached.
    pub full: f64,
}

impl Figures {
    /// Of at least one run. `cached_before`: see there.
    pub(super) fn of(runs: &[Run], without: Option<Without>, has_video: bool, cached_before: f64) -> Self {
        let spread = |of: &dyn Fn(&Run) -> f64| Spread::of(&runs.iter().map(of).collect::<Vec<_>>());
        let rate = |count: fn(&LoaderStats) -> u64| spread(&|run| count(&run.stats) as f64 / run.seconds);
        let per_cpu =
            |count: fn(&LoaderStats) -> u64| spread(&|run| count(&run.stats) as f64 / run.cpu_seconds.max(1e-9));
        let has_batches = without.is_none_or(Without::gives_batches);
        let decodes = has_video && without != Some(Without::Decode);
        let limits: Vec<&str> = runs.iter().map(|run| run.stats.limited_by().as_str()).collect();
        Self {
            samples_per_second: rate(|stats| stats.samples_delivered),
            samples_per_cpu_second: per_cpu(|stats| stats.samples_delivered),
            frames_per_second: has_video.then(|| rate(|stats| stats.frames_delivered)),
            frames_per_cpu_second: has_video.then(|| per_cpu(|stats| stats.frames_delivered)),
            read_bytes_per_second: rate(|stats| stats.read_bytes),
            frames_decoded_per_second: decodes.then(|| rate(|stats| stats.frames_decoded)),
            tensor_bytes_per_second: has_batches.then(|| rate(|stats| stats.tensor_bytes)),
            read_amplification: spread(&|run| run.stats.read_amplification()),
            decode_amplification: decodes.then(|| spread(&|run| run.stats.decode_amplification())),
            limited_by: most_frequent(&limits),
            limited_by_runs: limits,
            threads: threads(runs),
            queues: queues(runs),
            skipped: runs.iter().map(|run| run.stats.skipped).sum(),
            cached_before,
        }
    }

    /// The rate that points are compared by.
    pub(super) fn rate(&self) -> Spread {
        self.frames_per_second.unwrap_or(self.samples_per_second)
    }

    /// The same for each second of processor time.
    pub(super) fn cpu_rate(&self) -> Spread {
        self.frames_per_cpu_second.unwrap_or(self.samples_per_cpu_second)
    }
}

/// The one that is there most often, the first of equals.
fn most_frequent<'a>(names: &[&'a str]) -> &'a str {
    let count = |name: &str| names.iter().filter(|other| **other == name).count();
    let different = distinct(names.iter().copied());
    different.into_iter().rev().max_by_key(|name| count(name)).unwrap_or("unknown")
}

/// A stage and its counter.
type Stage = (&'static str, fn(&LoaderStats) -> u64);

/// Pauses of workers and tensor readers: a loader with both is rare enough to leave them together.
const PAUSE: Stage = ("pause", |stats| stats.paused_nanos);
const WORKER_STAGES: &[Stage] = &[
    ("decode", |stats| stats.decode_nanos),
    ("transform", |stats| stats.transform_nanos),
    ("assemble", |stats| stats.assemble_nanos),
    ("wait for clips", |stats| stats.worker_wait_nanos),
    PAUSE,
];
const READER_STAGES: &[Stage] = &[
    ("plan", |stats| stats.plan_nanos),
    ("read", |stats| stats.read_wait_nanos),
    ("wait for room", |stats| stats.read_blocked_nanos),
];
const TENSOR_STAGES: &[Stage] = &[
    ("read", |stats| stats.tensor_read_nanos),
    ("check", |stats| stats.tensor_check_nanos),
    ("assemble", |stats| stats.tensor_assemble_nanos),
    ("wait for room", |stats| stats.tensor_wait_nanos),
    PAUSE,
];
const CONSUMER_STAGES: &[Stage] = &[("wait for batches", |stats| stats.startup_nanos + stats.consumer_wait_nanos)];

fn threads(runs: &[Run]) -> Vec<Threads> {
    let number = |of: fn(&LoaderStats) -> u64| runs.first().map_or(0, |run| of(&run.stats));
    let all = [
        ("decode workers", number(|stats| stats.num_workers), WORKER_STAGES),
        ("tensor readers", number(|stats| stats.num_tensor_readers), TENSOR_STAGES),
        ("reader", 1, READER_STAGES),
        ("consumer", 1, CONSUMER_STAGES),
    ];
    all.into_iter().filter(|(_, count, _)| *count > 0).map(|(name, count, of)| thread(runs, name, count, of)).collect()
}

/// The time of threads of one kind, cut into stages and the rest. A stage adds its time when it is over, so that what began before the clock
/// may make the sum a little more than the time there was: that sum is the whole then.
fn thread(runs: &[Run], name: &'static str, count: u64, stages: &[Stage]) -> Threads {
    let wall = runs.iter().map(|run| run.seconds).sum::<f64>() * count as f64;
    let seconds = |of: &fn(&LoaderStats) -> u64| runs.iter().map(|run| of(&run.stats) as f64 / 1e9).sum::<f64>();
    let mut times: Vec<(&str, f64)> = stages.iter().map(|(name, of)| (*name, seconds(of))).collect();
    let known: f64 = times.iter().map(|(_, seconds)| seconds).sum();
    times.push(("rest", (wall - known).max(0.0)));
    let whole = wall.max(known).max(1e-9);
    let stages = times.into_iter().map(|(name, seconds)| StageTime { name, seconds, share: seconds / whole }).collect();
    Threads { name, count, seconds: wall, stages }
}

fn queues(runs: &[Run]) -> Vec<Queue> {
    let looks: u64 = runs.iter().map(|run| run.occupancy.looks).sum();
    let queue = |name, bound: u64, of: fn(&Run) -> Level| {
        let share =
            |count: fn(&Level) -> u64| runs.iter().map(|run| count(&of(run))).sum::<u64>() as f64 / looks.max(1) as f64;
        let total: f64 = runs.iter().map(|run| of(run).total).sum();
        let mean = total / looks.max(1) as f64;
        Queue { name, mean, bound, empty: share(|level| level.empty), full: share(|level| level.full) }
    };
    let Some(first) = runs.first() else { return Vec::new() };
    let mut queues = vec![queue("finished batches", first.stats.prefetch_batches, |run| run.occupancy.batches)];
    if first.stats.num_workers > 0 {
        queues.push(queue("clips to decode", first.occupancy.clips_bound, |run| run.occupancy.clips));
        queues.push(queue("compressed bytes", first.stats.read_ahead_bytes, |run| run.occupancy.bytes));
    }
    queues
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::loader::measure::Occupancy;

    fn run(seconds: f64, change: impl FnOnce(&mut LoaderStats)) -> Run {
        let mut stats = LoaderStats::default();
        change(&mut stats);
        Run { stats, seconds, cpu_seconds: 2.0 * seconds, occupancy: Occupancy::default() }
    }

    #[test]
    fn the_shares_of_a_thread_are_a_whole_also_where_a_stage_began_before_the_clock() {
        for busy in [300_000_000, 2_500_000_000] {
            let runs = [run(1.0, |stats| {
                stats.num_workers = 2;
                stats.decode_nanos = busy;
                stats.worker_wait_nanos = 500_000_000;
            })];
            let figures = Figures::of(&runs, None, true, 1.0);
            for threads in &figures.threads {
                let sum: f64 = threads.stages.iter().map(|stage| stage.share).sum();
                assert!((sum - 1.0).abs() < 1e-9, "{threads:?}");
            }
            assert_eq!(figures.threads[0].seconds, 2.0);
        }
    }

    #[test]
    fn empty_batches_have_no_rate_of_tensor_bytes() {
        let runs = [run(2.0, |stats| (stats.tensor_bytes, stats.frames_delivered) = (100, 10))];
        let real = Figures::of(&runs, None, true, 1.0);
        assert_eq!(real.tensor_bytes_per_second.map(|rate| rate.median), Some(50.0));
        assert_eq!((real.rate().median, real.cpu_rate().median), (5.0, 2.5));
        let empty = Figures::of(&runs, Some(Without::Decode), true, 1.0);
        assert!(empty.tensor_bytes_per_second.is_none() && empty.frames_decoded_per_second.is_none());
    }

    #[test]
    fn the_limit_is_that_of_most_runs() {
        assert_eq!(most_frequent(&["decode", "storage", "storage"]), "storage");
        assert_eq!(most_frequent(&["decode", "storage"]), "decode");
        assert_eq!(most_frequent(&[]), "unknown");
    }
}
