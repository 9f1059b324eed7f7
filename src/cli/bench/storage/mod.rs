//! `framefeed bench storage`: arguments, the plan of the points, the runs in turn.

mod create;
mod fio;
mod measure;
mod report;
mod result;
mod table;
mod work;

use super::cache::{self, CacheState};
use super::common::{check_page, check_seconds, command_line, range, stop_if_asked, write_page};
use super::machine;
use super::spread::Spread;
use crate::cli::units::parse_bytes;
use crate::cli::{Ending, output, signal};
use clap::Args;
use create::Created;
use framefeed::{EngineKind, Error, ErrorKind, Result, Storage, StorageFile};
use hdrhistogram::Histogram;
use measure::{Run, Setting, histogram, latency};
use result::{FioPoint, Point, StorageReport};
use std::path::{Path, PathBuf};
use std::time::Duration;
use work::{Pattern, Work};

/// Measure how fast a path is read: rates, latencies and CPU time, for every engine, block size and depth.
///
/// A dataset is read as the loader reads it: the ranges of windows of frames. Nothing is written to a device, and to a folder only with
/// --create. Every engine's bytes are compared with those of plain reads before it is timed.
#[derive(Args)]
pub(super) struct StorageArgs {
    /// A file, a folder, a dataset or a block device.
    path: PathBuf,

    /// Engines, of uring, pread, mmap and memory (which reads whole files into memory when they are opened).
    #[arg(long, value_delimiter = ',', value_name = "ENGINES", default_values = ["uring", "pread", "mmap"])]
    engine: Vec<EngineKind>,

    /// Bytes of a read. Not used for a dataset, whose windows say how long each read is.
    #[arg(long, value_delimiter = ',', value_name = "SIZES", value_parser = parse_bytes, default_values = ["1MiB"])]
    block: Vec<u64>,

    /// Reads in flight for each thread.
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS", default_values_t = [1, 8, 32])]
    depth: Vec<usize>,

    /// Past the page cache, through it, or both.
    #[arg(long, value_enum, default_value_t = Direct::Both)]
    direct: Direct,

    /// The order of the blocks.
    #[arg(long, value_enum, default_value_t = Pattern::Random)]
    pattern: Pattern,

    /// Threads, each with an engine of its own.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    threads: usize,

    /// Length of a run.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,

    /// A run ends earlier when it has read so much.
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    bytes: Option<u64>,

    /// Runs of every point, in turn.
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    runs: usize,

    /// Drop the files from the page cache before each run through it, rather than filling it. Such a run ends when it has
    /// read as many bytes as there are: what was read is no longer cold.
    #[arg(long)]
    cold: bool,

    /// Compute the CRC32C of all bytes. Always done for the windows of a dataset, as the loader does it.
    #[arg(long)]
    checksum: bool,

    /// Of a dataset: frames of the window, and from one to the next.
    #[arg(long, value_name = "FRAMES", default_value_t = 16)]
    window: u32,

    /// Of a dataset: from one frame of the window to the next.
    #[arg(long, value_name = "FRAMES", default_value_t = 1)]
    stride: u32,

    /// Read a dataset's files as any others, in blocks.
    #[arg(long)]
    blocks: bool,

    /// Make a file of this size in the folder, of bytes that do not compress, and read that one. It is removed at the end.
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    create: Option<u64>,

    /// Leave the file that --create made.
    #[arg(long, requires = "create")]
    keep: bool,

    /// Run fio with the same parameters in turn, and print the ratios.
    #[arg(long)]
    compare_fio: bool,

    /// Seed of the random order.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Write a page with plots, which needs no other file. A file of that name is replaced.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Direct {
    On,
    Off,
    Both,
}

/// A point on its way: what to do, and what its runs gave.
struct Candidate {
    setting: Setting,
    storage: Storage,
    /// Opened for its next runs; none between cold ones.
    files: Vec<StorageFile>,
    runs: Vec<Run>,
    fio: Vec<fio::FioRun>,
    cached_before: f64,
}

pub(super) fn run(args: &StorageArgs) -> Result<Ending> {
    check(args)?;
    signal::listen();
    check_page(args.report.as_deref())?;
    let created = args.create.map(|size| Created::make(&args.path, size, args.seed, args.keep)).transpose()?;
    let path = created.as_ref().map_or(args.path.as_path(), |created| &created.path);
    let window = (!args.blocks).then_some((args.window, args.stride));
    let work = Work::find(path, window, args.seed)?;
    if work.bytes() == 0 {
        return Err(Error::invalid("there is nothing to read").with_path(path));
    }
    let report = measure(args, path, &work)?;
    write_page(args.report.as_deref(), || report::page(&report))?;
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&table::table(&report))?;
    }
    Ok(Ending::Good)
}

fn check(args: &StorageArgs) -> Result<()> {
    range("--threads", args.threads, 1024)?;
    range("--runs", args.runs, 1000)?;
    args.depth.iter().try_for_each(|&depth| range("--depth", depth, 4096))?;
    check_seconds(args.seconds)?;
    if args.engine.contains(&EngineKind::Auto) {
        return Err(Error::invalid("--engine is auto, expected uring, pread, mmap or memory"));
    }
    Ok(())
}

fn measure(args: &StorageArgs, path: &Path, work: &Work) -> Result<StorageReport> {
    let mut notes = Vec::new();
    let fio_version = if args.compare_fio { fio::version() } else { None };
    if args.compare_fio && fio_version.is_none() {
        let note = "fio is not installed, so nothing is compared; on Debian and Ubuntu: apt-get install fio";
        // Now as well: the runs take their time.
        output::say(note);
        notes.push(note.to_owned());
    }
    let mut candidates = candidates(args, work, &mut notes)?;
    if candidates.is_empty() {
        return Err(Error::unsupported(format!("nothing can be measured: {}", notes.join("; "))).with_path(path));
    }
    let total = (candidates.len() * args.runs) as u64;
    let bar = output::progress_bar("{spinner} run {pos} of {len} [{bar:30}] {msg}");
    bar.set_length(total);
    let compares = fio_version.is_some();
    for _ in 0..args.runs {
        for candidate in &mut candidates {
            stop_if_asked()?;
            let Setting { engine, block, depth, .. } = candidate.setting;
            bar.set_message(format!("{}, blocks of {block}, depth {depth}", engine.as_str()));
            candidate.measure(work, args.cold, compares)?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    stop_if_asked()?;
    let cache = match (args.cold, args.direct) {
        (_, Direct::On) => "past the page cache".to_owned(),
        (true, _) => "cold: dropped from the page cache before each run, and looked at with mincore".to_owned(),
        (false, _) => "warm: read once before each run".to_owned(),
    };
    let cached =
        candidates.iter().filter(|candidate| !candidate.setting.direct).map(|candidate| candidate.cached_before);
    let cached = cached.fold(0.0, f64::max);
    if args.cold && cached > 0.01 {
        notes.push(format!("up to {:.0} % of the files stayed in the page cache", cached * 100.0));
    }
    Ok(StorageReport {
        command: command_line(std::env::args_os()),
        date: machine::date(),
        version: env!("CARGO_PKG_VERSION"),
        path: path.display().to_string(),
        kind: work.kind,
        files: work.sources.len(),
        bytes: work.bytes(),
        machine: machine::Machine::of(path),
        pattern: match &work.windows {
            Some(_) => format!("the loader's, for windows of {} frames at stride {},", args.window, args.stride),
            None => args.pattern.as_str().to_owned(),
        },
        cache,
        checksum: args.checksum || work.windows.is_some(),
        runs: args.runs,
        seconds: args.seconds,
        max_bytes: args.bytes,
        fio_version,
        notes,
        points: candidates.iter().map(Candidate::point).collect::<Result<Vec<_>>>()?,
    })
}

/// All points that can be measured here, checked; what cannot be is said in the notes.
fn candidates(args: &StorageArgs, work: &Work, notes: &mut Vec<String>) -> Result<Vec<Candidate>> {
    let mut found: Vec<Candidate> = Vec::new();
    let blocks = if work.windows.is_some() { vec![0] } else { args.block.clone() };
    for &engine in &args.engine {
        if work.kind == "block device" && matches!(engine, EngineKind::Mmap | EngineKind::Memory) {
            notes.push(format!("{} reads no block devices", engine.as_str()));
            continue;
        }
        for direct in [true, false] {
            let asked = match args.direct {
                Direct::On => direct,
                Direct::Off => !direct,
                Direct::Both => true,
            };
            if !asked || (direct && matches!(engine, EngineKind::Mmap | EngineKind::Memory)) {
                continue;
            }
            for &block in &blocks {
                if work.windows.is_none() && work.sources.iter().all(|source| source.len < block) {
                    let message = format!("--block is {block}, and no file is as long");
                    let path = work.sources.first().map_or_else(|| Path::new(""), |source| source.path.as_path());
                    return Err(Error::invalid(message).with_path(path));
                }
                for &depth in &args.depth {
                    let setting = setting(args, work, engine, direct, block, depth);
                    if found.iter().any(|other| other.setting.is_same_point(&setting)) {
                        continue;
                    }
                    match Candidate::open(setting, work) {
                        Ok(mut candidate) => {
                            if args.cold {
                                // Pages that are mapped cannot be dropped: files are opened for each run.
                                candidate.files.clear();
                            }
                            found.push(candidate);
                        }
                        Err(error) if error.kind() == ErrorKind::Unsupported => {
                            let note = format!("{}: {}", engine.as_str(), error.report());
                            if !notes.contains(&note) {
                                notes.push(note);
                            }
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
    Ok(found)
}

fn setting(args: &StorageArgs, work: &Work, engine: EngineKind, direct: bool, block: u64, depth: usize) -> Setting {
    let limit = args.bytes.unwrap_or(u64::MAX);
    Setting {
        engine,
        direct,
        block,
        // What is in memory already is handed out one by one.
        depth: if matches!(engine, EngineKind::Mmap | EngineKind::Memory) { depth.min(1) } else { depth },
        threads: args.threads,
        pattern: args.pattern,
        duration: Duration::from_secs_f64(args.seconds),
        max_bytes: if args.cold && !direct { limit.min(work.bytes()) } else { limit },
        checksum: args.checksum || work.windows.is_some(),
        seed: args.seed,
    }
}

impl Candidate {
    fn open(setting: Setting, work: &Work) -> Result<Self> {
        let (storage, files) = setting.open(work)?;
        if setting.direct && !files.iter().any(StorageFile::is_direct) {
            return Err(Error::unsupported("the file system does no direct reads"));
        }
        setting.check(work, &storage, &files)?;
        Ok(Self { setting, storage, files, runs: Vec::new(), fio: Vec::new(), cached_before: 0.0 })
    }

    fn measure(&mut self, work: &Work, cold: bool, compare_fio: bool) -> Result<()> {
        self.prepare(work, cold)?;
        if self.files.is_empty() {
            self.files = work.open(&self.storage)?;
        }
        self.runs.push(self.setting.run(work, &self.storage, &self.files)?);
        if cold {
            self.files.clear();
        }
        if compare_fio && fio::can_follow(work, &self.setting) && !signal::is_asked_to_stop() {
            self.prepare(work, cold)?;
            let registers_files = !self.storage.describe().contains("without registered files");
            self.fio.push(fio::run(work, &self.setting, registers_files)?);
        }
        Ok(())
    }

    /// Makes the page cache cold or warm, where reads go through it.
    fn prepare(&mut self, work: &Work, cold: bool) -> Result<()> {
        if self.setting.direct || work.kind == "block device" {
            return Ok(());
        }
        let state = if cold { CacheState::Cold } else { CacheState::Warm };
        self.cached_before = self.cached_before.max(cache::prepare(&work.sources, state)?);
        Ok(())
    }

    fn point(&self) -> Result<Point> {
        let gigabytes = |run: &Run| run.bytes as f64 / 1e9;
        let spread = |of: &dyn Fn(&Run) -> f64| Spread::of(&self.runs.iter().map(of).collect::<Vec<_>>());
        let mut all: Histogram<u64> = histogram()?;
        for run in &self.runs {
            all.add(&run.latencies).map_err(|error| Error::invalid(error.to_string()))?;
        }
        let rate = spread(&|run| gigabytes(run) / run.seconds.max(1e-9));
        let cpu = spread(&|run| run.cpu_seconds / gigabytes(run).max(1e-9));
        Ok(Point {
            engine: self.setting.engine.as_str().to_owned(),
            describe: self.storage.describe(),
            block_bytes: (self.setting.block > 0).then_some(self.setting.block),
            depth: self.setting.depth,
            direct: self.setting.direct,
            threads: self.setting.threads,
            gigabytes_per_second: rate,
            operations_per_second: spread(&|run| run.operations as f64 / run.seconds.max(1e-9)),
            cpu_seconds_per_gigabyte: cpu,
            latency: latency(&all),
            kernel_workers: self.runs.iter().map(|run| run.kernel_workers).max().unwrap_or(0),
            cached_before: self.cached_before,
            fio: self.fio_point(rate, cpu),
        })
    }

    fn fio_point(&self, rate: Spread, cpu: Spread) -> Option<FioPoint> {
        let engine = fio::engine(&self.setting).filter(|_| !self.fio.is_empty())?;
        let spread = |of: &dyn Fn(&fio::FioRun) -> f64| Spread::of(&self.fio.iter().map(of).collect::<Vec<_>>());
        let theirs = spread(&|run| run.gigabytes_per_second);
        let their_cpu = spread(&|run| run.cpu_seconds_per_gigabyte);
        Some(FioPoint {
            engine,
            gigabytes_per_second: theirs,
            cpu_seconds_per_gigabyte: their_cpu,
            p50_micros: spread(&|run| run.p50_micros).median,
            p99_micros: spread(&|run| run.p99_micros).median,
            rate_ratio: rate.median / theirs.median.max(1e-9),
            cpu_ratio: cpu.median / their_cpu.median.max(1e-9),
        })
    }
}
