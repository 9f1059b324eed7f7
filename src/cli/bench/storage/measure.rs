//! One measurement: threads with an engine each keep a number of reads in flight until the time is over.

use super::result::Latency;
use super::work::{Pattern, Work};
use crate::cli::bench::machine::cpu_seconds;
use crate::cli::signal;
use framefeed::{
    ByteRange, Completion, DirectIo, EngineKind, Error, ErrorKind, ReadOutcome, ReadRequest, Result, Slot, Storage,
    StorageFile, StorageOptions,
};
use hdrhistogram::Histogram;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Reads that are compared with plain ones before anything is timed.
const CHECKED_READS: usize = 32;
/// Significant digits of latencies.
const DIGITS: u8 = 3;
/// Reads beyond a percentile that make it worth telling.
const MIN_BEYOND: f64 = 10.0;

/// What to measure.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub engine: EngineKind,
    pub direct: bool,
    /// Bytes of a read; 0 where the work says how long each is.
    pub block: u64,
    pub depth: usize,
    pub threads: usize,
    pub pattern: Pattern,
    pub duration: Duration,
    pub max_bytes: u64,
    pub checksum: bool,
    pub seed: u64,
}

/// What one run gave.
pub(super) struct Run {
    pub bytes: u64,
    pub operations: u64,
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub kernel_workers: usize,
    pub latencies: Histogram<u64>,
}

impl Setting {
    /// True where the other would measure the same.
    pub(super) fn is_same_point(&self, other: &Self) -> bool {
        let facts = |setting: &Self| (setting.engine, setting.direct, setting.block, setting.depth);
        facts(self) == facts(other)
    }

    /// The storage, and the files of the work opened in it.
    pub(super) fn open(&self, work: &Work) -> Result<(Storage, Vec<StorageFile>)> {
        let direct = if self.direct { DirectIo::On } else { DirectIo::Off };
        let longest = work.windows.iter().flatten().map(|(_, range)| range.len).max();
        let largest = usize::try_from(longest.unwrap_or(self.block)).unwrap_or(usize::MAX);
        let in_flight = largest.saturating_mul(self.depth).saturating_mul(2 * self.threads);
        let options = StorageOptions::new()
            .engine(self.engine)
            .direct_io(direct)
            .depth(self.depth)
            // As many reads at once as the other engines have in flight; a single one needs no thread.
            .pread_threads(if self.depth == 1 { 0 } else { self.depth.min(256) })
            .max_read_bytes(largest.max(1))
            .max_idle_bytes(in_flight.saturating_add(64 << 20))
            // The depth alone bounds what is in flight.
            .max_in_flight_bytes(in_flight.clamp(64 << 20, 1 << 40));
        let storage = Storage::new(&options)?;
        let files = work.open(&storage)?;
        Ok((storage, files))
    }

    /// Compares reads by the engine with plain ones.
    pub(super) fn check(&self, work: &Work, storage: &Storage, files: &[StorageFile]) -> Result<()> {
        let mut engine = storage.engine()?;
        let mut reads = work.reads(self.block, Pattern::Random, 0, 1, self.seed ^ 1);
        for _ in 0..CHECKED_READS {
            let (number, range) = reads.next();
            let (Some(file), Some(source)) = (files.get(number), work.sources.get(number)) else { continue };
            let memory = Memory::many(work, range.len, 1)?.pop().unwrap_or_default();
            engine.submit(memory.request(0, file, range))?;
            let completion = engine.wait(None)?.ok_or_else(|| Error::new(ErrorKind::Io, "a read was lost"))?;
            let actual = completion.result?;
            let mut expected = vec![0; range.len as usize];
            File::open(&source.path)
                .and_then(|plain| plain.read_exact_at(&mut expected, range.offset))
                .map_err(|error| Error::io("read", &source.path, error).with_offset(range.offset))?;
            if *actual != *expected {
                let message = format!("the {} engine gave other bytes than a plain read", self.engine.as_str());
                return Err(Error::corrupt(message).with_offset(range.offset).with_path(&source.path));
            }
        }
        Ok(())
    }

    /// Measures once.
    pub(super) fn run(&self, work: &Work, storage: &Storage, files: &[StorageFile]) -> Result<Run> {
        let shared = Shared {
            barrier: Barrier::new(self.threads + 1),
            bytes: AtomicU64::new(0),
            running: AtomicUsize::new(self.threads),
            failed: AtomicBool::new(false),
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads)
                .map(|number| {
                    let shared = &shared;
                    scope.spawn(move || {
                        let result = self.thread(number, work, storage, files, shared);
                        shared.failed.fetch_or(result.is_err(), Ordering::Relaxed);
                        shared.running.fetch_sub(1, Ordering::Relaxed);
                        result
                    })
                })
                .collect();
            shared.barrier.wait();
            let (start, cpu) = (Instant::now(), cpu_seconds());
            let mut kernel_workers = 0;
            while shared.running.load(Ordering::Relaxed) > 0 {
                std::thread::sleep(Duration::from_millis(20));
                kernel_workers = kernel_workers.max(num_kernel_workers());
            }
            let cpu_seconds = cpu_seconds() - cpu;
            let mut run =
                Run { bytes: 0, operations: 0, seconds: 0.0, cpu_seconds, kernel_workers, latencies: histogram()? };
            for thread in threads {
                let gone = || Error::new(ErrorKind::Io, "a thread of the benchmark panicked");
                let one = thread.join().map_err(|_| gone())??;
                run.bytes += one.bytes;
                run.operations += one.operations;
                run.seconds = run.seconds.max((one.end - start).as_secs_f64());
                run.latencies.add(one.latencies).map_err(|error| Error::invalid(error.to_string()))?;
            }
            Ok(run)
        })
    }

    fn thread(
        &self,
        number: usize,
        work: &Work,
        storage: &Storage,
        files: &[StorageFile],
        shared: &Shared,
    ) -> Result<Thread> {
        let engine = storage.engine();
        let memory = Memory::many(work, self.block, self.depth);
        let mut result = Thread { bytes: 0, operations: 0, end: Instant::now(), latencies: histogram()? };
        // Every thread reaches the barrier, whatever became of its engine: the others wait there.
        shared.barrier.wait();
        let (mut engine, mut memory) = (engine?, memory?);
        let mut reads = work.reads(self.block, self.pattern, number, self.threads, self.seed);
        let start = Instant::now();
        let mut submitted = vec![start; self.depth];
        let mut lengths = vec![0_usize; self.depth];
        let mut free: Vec<usize> = (0..self.depth).rev().collect();
        let mut going = true;
        loop {
            while let (true, Some(place)) = (going, free.pop()) {
                let (file, range) = reads.next();
                let Some(file) = files.get(file) else { continue };
                let request = std::mem::take(&mut memory[place]).request(place as u64, file, range);
                (submitted[place], lengths[place]) = (Instant::now(), range.len as usize);
                engine.submit(request)?;
            }
            let Some(completion) = engine.wait(None)? else { break };
            let now = Instant::now();
            let Completion { tag, result: bytes } = completion;
            let (place, bytes) = (tag as usize, bytes?);
            let begun = submitted[place];
            result.latencies.saturating_record(u64::try_from((now - begun).as_nanos()).unwrap_or(u64::MAX));
            if lengths[place] != bytes.len() {
                return Err(Error::corrupt(format!("a read gave {} bytes", bytes.len())));
            }
            if self.checksum {
                std::hint::black_box(framefeed::crc32c(&bytes));
            }
            result.operations += 1;
            result.bytes += bytes.len() as u64;
            let total = shared.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            memory[place] = bytes.into();
            free.push(place);
            going &= total < self.max_bytes
                && now - start < self.duration
                && !signal::is_asked_to_stop()
                && !shared.failed.load(Ordering::Relaxed);
        }
        result.end = Instant::now();
        Ok(result)
    }
}

/// Where a read goes. Blocks go to memory of the caller, as tensors go into a batch, so that every engine delivers every byte;
/// a mapping would else only be pointed to. Windows go wherever the engine likes, as the loader reads packets.
#[derive(Default)]
enum Memory {
    #[default]
    Engine,
    Caller(Slot),
}

impl Memory {
    /// For so many reads at once. Blocks go to the parts of one buffer, as the rows of a batch do and the jobs of fio: in pages that lie
    /// together, of which a device is told as one.
    fn many(work: &Work, block: u64, count: usize) -> Result<Vec<Self>> {
        if work.windows.is_some() {
            return Ok(std::iter::repeat_with(Self::default).take(count).collect());
        }
        let block = usize::try_from(block).unwrap_or(usize::MAX);
        let mut rest = Slot::zeroed(block.saturating_mul(count))?;
        rest.bytes_mut().fill(1); // so that the kernel gives the pages now, not while the clock runs
        let mut memory = Vec::with_capacity(count);
        for _ in 0..count {
            let (slot, behind) = rest.split_at(block);
            memory.push(Self::Caller(slot));
            rest = behind;
        }
        Ok(memory)
    }

    fn request(self, tag: u64, file: &StorageFile, range: ByteRange) -> ReadRequest {
        match self {
            Self::Engine => ReadRequest::new(tag, file, range.offset, range.len as usize),
            Self::Caller(slot) => ReadRequest::into_slot(tag, file, range.offset, slot),
        }
    }
}

impl From<ReadOutcome> for Memory {
    fn from(outcome: ReadOutcome) -> Self {
        match outcome {
            ReadOutcome::Bytes(_) => Self::Engine,
            ReadOutcome::Slot(slot) => Self::Caller(slot),
        }
    }
}

/// What the threads of a run share.
struct Shared {
    barrier: Barrier,
    bytes: AtomicU64,
    running: AtomicUsize,
    failed: AtomicBool,
}

/// What one thread did.
struct Thread {
    bytes: u64,
    operations: u64,
    end: Instant,
    latencies: Histogram<u64>,
}

/// Latencies in nanoseconds, up to a minute.
pub(super) fn histogram() -> Result<Histogram<u64>> {
    Histogram::new_with_bounds(1, 60_000_000_000, DIGITS).map_err(|error| Error::invalid(error.to_string()))
}

/// What a histogram of nanoseconds says.
pub(super) fn latency(histogram: &Histogram<u64>) -> Latency {
    let micros = |nanos: u64| nanos as f64 / 1e3;
    let n = histogram.len();
    let at = |quantile: f64| micros(histogram.value_at_quantile(quantile));
    let known = |quantile: f64| ((1.0 - quantile) * n as f64 >= MIN_BEYOND).then(|| at(quantile));
    let quantiles =
        [0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999];
    let told = quantiles.into_iter().filter(|&quantile| quantile <= 0.5 || known(quantile).is_some());
    Latency {
        n,
        mean_micros: histogram.mean() / 1e3,
        p50_micros: at(0.5),
        p99_micros: known(0.99),
        p999_micros: known(0.999),
        max_micros: micros(histogram.max()),
        distribution: told.map(|quantile| (at(quantile), quantile)).chain([(micros(histogram.max()), 1.0)]).collect(),
    }
}

/// Threads that the kernel made for this process's rings.
fn num_kernel_workers() -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let is_worker =
        |path: std::path::PathBuf| std::fs::read_to_string(path).is_ok_and(|name| name.starts_with("iou-wrk"));
    tasks.flatten().filter(|task| is_worker(task.path().join("comm"))).count()
}
