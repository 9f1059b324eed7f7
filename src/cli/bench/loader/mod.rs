//! `framefeed bench loader`: arguments, the points, the runs in turn.

mod check;
mod measure;
mod plan;
mod report;
mod result;
mod table;

use super::cache::{self, CacheState};
use super::common::{check_page, check_seconds, command_line, range, stop_if_asked, write_page};
use super::machine::{self, Machine};
use crate::cli::units::parse_size;
use crate::cli::{Ending, output, signal};
use check::Answer;
use clap::Args;
use framefeed::{DType, DirectIo, EngineKind, Fit, FrameFormat, Layout, Placement, Ragged, Result, Window};
use measure::Run;
use plan::{Plan, Setting, Without};
use result::{Bound, Figures, LoaderReport, Point};
use std::path::PathBuf;

/// Share of the memory that the files may take to be warmed.
const MAX_WARM_SHARE: f64 = 0.5;

/// Measure the loader: batches are made as for training, and dropped. Rates by wall and CPU time over numbers of workers, where
/// the threads' time goes, what limits it.
///
/// Samples are shuffled and windows placed at random where nothing else is asked for, as in training. Before anything is timed the first batch is compared with what
/// single records give, and the first batches of all loaders with each other.
#[derive(Args)]
pub(super) struct LoaderArgs {
    /// Folder of the dataset.
    dataset: PathBuf,

    /// Frames of a sample. Default: 16, and none where there are --fields.
    #[arg(long, value_name = "NUMBER")]
    frames: Option<u32>,

    /// From one frame of a sample to the next, in frames of the clip. Default: 1.
    #[arg(long, value_name = "FRAMES")]
    stride: Option<u32>,

    /// Frames per second of a sample, by timestamps.
    #[arg(long, value_name = "RATE", conflicts_with = "stride")]
    fps: Option<f64>,

    /// Where in its clip a sample lies: random, keyframe, start or center.
    #[arg(long, value_name = "WHERE", value_parser = Placement::parse, default_value = "random")]
    placement: Placement,

    /// Tensor fields, alone or beside the frames.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    fields: Vec<String>,

    /// What becomes of fields of several shapes: error, pad or bucket.
    #[arg(long, value_name = "HOW", value_parser = Ragged::parse, default_value = "error")]
    ragged: Ragged,

    /// Height and width of the frames. Default: the clips' own, which must be the same for all.
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    size: Option<(u32, u32)>,

    /// Where the aspect ratios differ: crop, pad or stretch.
    #[arg(long, value_name = "HOW", value_parser = Fit::parse, default_value = "crop")]
    fit: Fit,

    /// What a frame is: rgb or yuv420.
    #[arg(long, value_name = "FORMAT", value_parser = FrameFormat::parse, default_value = "rgb")]
    format: FrameFormat,

    /// Order of the axes: TCHW, THWC or CTHW.
    #[arg(long, value_name = "AXES", value_parser = Layout::parse, default_value = "TCHW")]
    layout: Layout,

    /// Type of the elements: uint8, float16, bfloat16 or float32.
    #[arg(long, value_name = "TYPE", value_parser = DType::parse, default_value = "uint8")]
    dtype: DType,

    /// Samples of a batch.
    #[arg(long, value_name = "NUMBER", default_value_t = 8)]
    batch_size: usize,

    /// Threads that decode; with --fields, as many that read tensors. Each number is a point. Default: 1, 2, 4, ... and the number of
    /// cores.
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    decode_workers: Vec<usize>,

    /// Processor time that the loader may use, in cores. Default: all there is.
    #[arg(long, value_name = "CORES")]
    cpu_limit: Option<f64>,

    /// How storage is read: auto, uring, pread, mmap or memory.
    #[arg(long, value_name = "ENGINE", default_value = "auto")]
    engine: EngineKind,

    /// Whether reads of uring and pread go past the page cache: on, off, or auto, where there is more to read than memory.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    direct_io: DirectIo,

    /// Measure as well what the loader would give if a stage took no time, at the largest number of workers, and print where the
    /// time of the threads goes. A report has both in any case.
    #[arg(long)]
    profile_stages: bool,

    /// Runs of every point, in turn.
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    runs: usize,

    /// Length of a run, after a quarter of it that is not counted.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    seconds: f64,

    /// Drop the files from the page cache before each run, rather than filling it. Such a run is one epoch at most, and counts from
    /// its very begin: what was read is no longer cold.
    #[arg(long)]
    cold: bool,

    /// Seed of order and windows.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Write a page with plots, which needs no other file. A file of that name is replaced.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A point on its way: what to do, and what its runs gave.
struct Candidate {
    setting: Setting,
    cache: CacheState,
    runs: Vec<Run>,
    /// Share of the files in the page cache before each run.
    cached: Vec<f64>,
}

pub(super) fn run(args: &LoaderArgs) -> Result<Ending> {
    let workers = workers(args)?;
    signal::listen();
    check_page(args.report.as_deref())?;
    let plan = Plan::new(args)?;
    let report = measure(args, &plan, &workers)?;
    write_page(args.report.as_deref(), || report::page(&report))?;
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&table::table(&report, args.profile_stages))?;
    }
    Ok(Ending::Good)
}

/// Checks the arguments, and gives the numbers of workers, ascending.
fn workers(args: &LoaderArgs) -> Result<Vec<usize>> {
    range("--runs", args.runs, 1000)?;
    check_seconds(args.seconds)?;
    let mut workers = args.decode_workers.clone();
    if workers.is_empty() {
        workers = doubling(machine::num_cores());
    }
    workers.iter().try_for_each(|&number| range("--decode-workers", number, 1024))?;
    workers.sort_unstable();
    workers.dedup();
    Ok(workers)
}

/// 1, 2, 4, ... and the number of cores.
fn doubling(cores: usize) -> Vec<usize> {
    let below = std::iter::successors(Some(1), |number| Some(number * 2)).take_while(|&number| number < cores);
    below.chain([cores.max(1)]).collect()
}

fn measure(args: &LoaderArgs, plan: &Plan, workers: &[usize]) -> Result<LoaderReport> {
    let machine = Machine::of(&plan.path);
    let has_room = plan.bytes() as f64 <= MAX_WARM_SHARE * machine.memory_bytes as f64;
    let cache = match (args.cold, has_room) {
        (true, _) => CacheState::Cold,
        (false, true) => CacheState::Warm,
        (false, false) => CacheState::AsIs,
    };
    let mut notes = notes(args, workers, &machine, has_room);
    let mut candidates: Vec<Candidate> =
        workers.iter().map(|&workers| Candidate::new(Setting { workers, without: None }, cache)).collect();
    if args.profile_stages || args.report.is_some() {
        candidates.extend(bounds(plan, workers, cache, has_room));
    }
    let real = |setting: &Setting| setting.without.is_none_or(Without::gives_batches);
    let settings: Vec<Setting> = candidates.iter().map(|candidate| candidate.setting).filter(real).collect();
    let answer = check::check(plan, &settings)?;
    run_in_turn(args, plan, &mut candidates)?;
    notes.extend(cache_note(&candidates));
    Ok(report(args, plan, machine, cache, answer, &candidates, notes))
}

fn notes(args: &LoaderArgs, workers: &[usize], machine: &Machine, has_room: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if workers.last().is_some_and(|&most| most > machine.cores) {
        notes.push(format!("more workers than the {} cores", machine.cores));
    }
    if !has_room && (args.profile_stages || args.report.is_some()) {
        notes.push("without storage was not measured: the files take more than half of the memory".to_owned());
    }
    notes
}

/// The bounds, at the largest number of workers.
fn bounds(plan: &Plan, workers: &[usize], cache: CacheState, has_room: bool) -> Vec<Candidate> {
    let workers = workers.last().copied().unwrap_or(1);
    let withouts = plan.bounds().into_iter().filter(|&without| has_room || without != Without::Storage);
    let cache = |without| if without == Without::Storage { CacheState::Warm } else { cache };
    withouts.map(|without| Candidate::new(Setting { workers, without: Some(without) }, cache(without))).collect()
}

fn run_in_turn(args: &LoaderArgs, plan: &Plan, candidates: &mut [Candidate]) -> Result<()> {
    let bar = output::progress_bar("{spinner} run {pos} of {len} [{bar:30}] {msg}");
    bar.set_length((candidates.len() * args.runs) as u64);
    for _ in 0..args.runs {
        for candidate in &mut *candidates {
            stop_if_asked()?;
            let Setting { workers, without } = candidate.setting;
            let without = without.map(|without| format!(", without {}", without.as_str())).unwrap_or_default();
            bar.set_message(format!("{workers} workers{without}"));
            candidate.cached.push(cache::prepare(&plan.files, candidate.cache)?);
            candidate.runs.push(measure::run(plan, candidate.setting, args.seconds, candidate.cache)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    stop_if_asked()
}

/// Says where the page cache was not as it should have been.
fn cache_note(candidates: &[Candidate]) -> Option<String> {
    let of = |state: CacheState| candidates.iter().filter(move |candidate| candidate.cache == state);
    let cold = of(CacheState::Cold).map(Candidate::cached_before).fold(0.0, f64::max);
    let warm = of(CacheState::Warm).map(Candidate::cached_before).fold(1.0, f64::min);
    if cold > 0.01 {
        Some(format!("up to {:.0} % of the files stayed in the page cache", cold * 100.0))
    } else if warm < 0.99 {
        Some(format!("only {:.0} % of the files were in the page cache", warm * 100.0))
    } else {
        None
    }
}

impl Candidate {
    fn new(setting: Setting, cache: CacheState) -> Self {
        Self { setting, cache, runs: Vec::new(), cached: Vec::new() }
    }

    fn cached_before(&self) -> f64 {
        match self.cache {
            CacheState::Cold => self.cached.iter().copied().fold(0.0, f64::max),
            CacheState::Warm | CacheState::AsIs => self.cached.iter().copied().fold(1.0, f64::min),
        }
    }

    fn figures(&self, plan: &Plan) -> Figures {
        Figures::of(&self.runs, self.setting.without, plan.window.is_some(), self.cached_before())
    }
}

fn report(
    args: &LoaderArgs,
    plan: &Plan,
    machine: Machine,
    cache: CacheState,
    answer: Answer,
    candidates: &[Candidate],
    mut notes: Vec<String>,
) -> LoaderReport {
    let (points, bounds) = results(plan, candidates);
    let skipped = points.iter().map(|point| point.figures.skipped).max().unwrap_or(0);
    if skipped > 0 {
        notes.push(format!(
            "samples were left out as damaged, {skipped} at one point: `framefeed verify --decode` names them"
        ));
    }
    LoaderReport {
        command: command_line(std::env::args_os()),
        date: machine::date(),
        version: env!("CARGO_PKG_VERSION"),
        dataset: plan.path.display().to_string(),
        records: plan.records,
        samples: answer.num_samples,
        short_records: answer.num_short,
        incomplete_records: answer.num_incomplete,
        files: plan.files.len(),
        bytes: plan.bytes(),
        machine,
        cache: cache_text(cache).to_owned(),
        window: plan.window.as_ref().map(Window::to_string),
        fields: plan.fields.clone(),
        batch_size: plan.batch_size,
        describe: answer.describe,
        runs: args.runs,
        seconds: args.seconds,
        checked: answer.checked,
        notes,
        points,
        bounds,
    }
}

/// The points, and the bounds beside the last of them.
fn results(plan: &Plan, candidates: &[Candidate]) -> (Vec<Point>, Vec<Bound>) {
    let (mut points, mut bounds) = (Vec::<Point>::new(), Vec::new());
    for candidate in candidates {
        let (figures, workers) = (candidate.figures(plan), candidate.setting.workers);
        let rate = figures.rate().median;
        let by = |point: Option<&Point>| point.map_or(1.0, |point| rate / point.figures.rate().median.max(1e-9));
        if let Some(without) = candidate.setting.without {
            let batches = if without.gives_batches() { "real" } else { "empty" };
            let (ratio, explain) = (by(points.last()), without.explain());
            bounds.push(Bound { without: without.as_str(), explain, batches, workers, ratio, figures });
        } else {
            let speedup = by(points.first());
            let ideal = points.first().map_or(1.0, |first| workers as f64 / first.workers as f64);
            points.push(Point { workers, speedup, efficiency: speedup / ideal, figures });
        }
    }
    (points, bounds)
}

fn cache_text(cache: CacheState) -> &'static str {
    match cache {
        CacheState::Cold => "cold: dropped from the page cache before each run, and looked at with mincore",
        CacheState::Warm => "warm: read once before each run",
        CacheState::AsIs => {
            "as it was: the files take more than half of the memory, so they are not read ahead of a run"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_double_up_to_the_cores() {
        assert_eq!(doubling(1), [1]);
        assert_eq!(doubling(2), [1, 2]);
        assert_eq!(doubling(6), [1, 2, 4, 6]);
        assert_eq!(doubling(8), [1, 2, 4, 8]);
    }
}
