//! What was measured, as `--json` prints it and the report shows it.

use crate::cli::bench::machine::Machine;
use crate::cli::bench::spread::Spread;
use serde::Serialize;

/// A benchmark of storage.
#[derive(Debug, Clone, Serialize)]
pub(super) struct StorageReport {
    /// The command as it was given.
    pub command: String,
    /// When it began, UTC, as `2026-11-25 07:30`.
    pub date: String,
    /// Version of this program.
    pub version: &'static str,
    /// What was read.
    pub path: String,
    /// `file`, `folder`, `dataset` or `block device`.
    pub kind: &'static str,
    /// Files that were read.
    pub files: usize,
    /// Their size.
    pub bytes: u64,
    /// Where it was measured.
    pub machine: Machine,
    /// `sequential`, `random`, or the loader's own.
    pub pattern: String,
    /// `cold` or `warm`, and how it was made so.
    pub cache: String,
    /// Whether the CRC32C of all bytes was computed.
    pub checksum: bool,
    /// Runs of each point, in turn.
    pub runs: usize,
    /// Shortest time of a run, in seconds; it ends with its last read.
    pub seconds: f64,
    /// Bytes after which a run ends earlier.
    pub max_bytes: Option<u64>,
    /// Version of fio, where it was compared.
    pub fio_version: Option<String>,
    /// What a reader must know besides.
    pub notes: Vec<String>,
    /// The measurements.
    pub points: Vec<Point>,
}

/// One combination of engine, block size and depth.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Point {
    /// `uring`, `pread`, `mmap` or `memory`.
    pub engine: String,
    /// What the engine says of itself.
    pub describe: String,
    /// Bytes of a read; nothing where the pattern says how long each is.
    pub block_bytes: Option<u64>,
    /// Reads in flight for each thread.
    pub depth: usize,
    /// Whether the page cache was passed by.
    pub direct: bool,
    /// Threads, each with an engine of its own.
    pub threads: usize,
    /// 10^9 bytes per second.
    pub gigabytes_per_second: Spread,
    /// Reads per second.
    pub operations_per_second: Spread,
    /// CPU seconds, of user and kernel, of all threads of this process, per 10^9 bytes.
    pub cpu_seconds_per_gigabyte: Spread,
    /// From submission to completion, over all runs.
    pub latency: Latency,
    /// Most kernel worker threads (`iou-wrk-*`) that this process had.
    pub kernel_workers: usize,
    /// Share of the files in the page cache before each run: the largest.
    pub cached_before: f64,
    /// The same by fio, in turn.
    pub fio: Option<FioPoint>,
}

/// fio with the same parameters.
#[derive(Debug, Clone, Serialize)]
pub(super) struct FioPoint {
    /// fio's name of its engine.
    pub engine: &'static str,
    /// 10^9 bytes per second.
    pub gigabytes_per_second: Spread,
    /// CPU seconds per 10^9 bytes, as fio reports them for its jobs.
    pub cpu_seconds_per_gigabyte: Spread,
    /// Median latency, in microseconds.
    pub p50_micros: f64,
    /// 99th percentile.
    pub p99_micros: f64,
    /// Our median rate by fio's.
    pub rate_ratio: f64,
    /// Our median CPU seconds per gigabyte by fio's.
    pub cpu_ratio: f64,
}

/// Latencies in microseconds. A percentile is given where at least ten reads lie beyond it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Latency {
    /// Reads.
    pub n: u64,
    pub mean_micros: f64,
    pub p50_micros: f64,
    pub p99_micros: Option<f64>,
    pub p999_micros: Option<f64>,
    pub max_micros: f64,
    /// Microseconds, and the share of reads that took at most as long.
    pub distribution: Vec<(f64, f64)>,
}
