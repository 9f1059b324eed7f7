//! Tensors from storage into batches: the loader with each way of reading, checksums on and off, and fio's psync and mmap jobs on
//! the same file, in turn.
//!
//! ```text
//! cargo bench --bench tensors -- --folder /dev/shm/bench [--mib 1,4,16] [--gib 2] [--runs 5] [--threads 2] [--batch-mib 64]
//!                                [--engines auto,direct,inline,mmap,uring] [--fio-blocks 128k,1m] [--cold]
//! ```
//!
//! Writes a dataset of random tensors of each size, compares every byte of one epoch with what was written, then measures: in
//! each run every contender once, in an order that moves on from run to run. Medians, lowest and highest, CPU time, and the
//! ratio to fio's best. With `--cold` the shard is dropped from the page cache before each measurement, `fincore` says whether it
//! is gone, memory is taken from the host, an epoch is read once, and fio also reads directly: for disks, tmpfs has nothing to be dropped. fio (a Debian package)
//! is left out where it is missing.

use framefeed::{
    Checksum, Dataset, DatasetWriter, DatasetWriterOptions, DirectIo, EngineKind, Loader, NewTensor, NewTensorRecord,
    Shuffle, StorageOptions, TensorType,
};
use serde_json::Map;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

#[path = "common/mod.rs"]
#[allow(dead_code, reason = "each benchmark uses a part of it")]
mod common;

use common::{Arguments, Failure, cpu};

struct Options {
    folder: PathBuf,
    mib: Vec<u64>,
    gib: u64,
    runs: usize,
    threads: usize,
    batch_mib: u64,
    engines: Vec<String>,
    fio_blocks: Vec<String>,
    cold: bool,
}

impl Options {
    fn parse() -> Result<Self, Failure> {
        let given = Arguments::parse(&["cold"])?;
        Ok(Self {
            folder: given.path("folder").ok_or("--folder must be set, on tmpfs or on a disk")?,
            mib: given.numbers("mib", "1,4,16")?,
            gib: given.number("gib", "2")?,
            runs: given.number("runs", "5")?,
            threads: given.number("threads", "2")?,
            batch_mib: given.number("batch-mib", "64")?,
            engines: given.list("engines", "auto"),
            fio_blocks: given.list("fio-blocks", "128k,1m"),
            cold: given.has("cold"),
        })
    }
}

/// What one measurement gives.
#[derive(Debug, Clone, Copy)]
struct Figure {
    gb_per_s: f64,
    cpu_s_per_gb: f64,
}

/// What record `number` holds: incompressible, and different from record to record.
fn tensor(number: u64, len: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let word = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state ^ (state >> 29)).to_le_bytes()
    };
    (0..len / 8).flat_map(word).collect()
}

fn write(folder: &Path, len: u64, count: u64) -> Result<Dataset, Failure> {
    let options = DatasetWriterOptions::default().shard_bytes(1 << 40);
    let mut writer = DatasetWriter::create(folder, options)?;
    for number in 0..count {
        let (shape, data) = (vec![16, len / 32], tensor(number, len).into());
        let field = NewTensor { name: "latents".to_owned(), dtype: TensorType::Bfloat16, shape, data };
        let (key, columns) = (format!("{number:06}"), Map::new());
        writer.add(NewTensorRecord { key, caption: None, columns, fields: vec![field] })?;
    }
    Ok(writer.finish()?)
}

fn loader(dataset: &Dataset, options: &Options, len: u64, engine: &str, checksum: Checksum) -> Result<Loader, Failure> {
    let storage = match engine {
        "auto" => StorageOptions::new(),
        "inline" => StorageOptions::new().engine(EngineKind::Pread).pread_threads(0),
        // What is chosen by itself on a disk where the data exceeds memory.
        "direct" => StorageOptions::new().direct_io(DirectIo::On),
        name => StorageOptions::new().engine(name.parse()?),
    };
    let batch_size = ((options.batch_mib << 20) / len).max(1) as usize;
    let builder = Loader::builder(dataset.clone()).fields(["latents"]).batch_size(batch_size).storage(storage);
    Ok(builder.tensor_readers(options.threads).checksum(checksum).shuffle(Shuffle::On).build()?)
}

/// Compares every byte of an epoch.
fn check(loader: &Loader, len: u64) -> Result<(), Failure> {
    let mut num_seen = 0;
    for batch in loader {
        let batch = batch?;
        let field = batch.field("latents").ok_or("the batch has no latents")?;
        for (row, &record) in field.data.chunks(len as usize).zip(&batch.records) {
            assert!(row == tensor(record, len), "record {record} is not what was written");
            num_seen += 1;
        }
    }
    assert_eq!(num_seen, loader.num_samples());
    Ok(())
}

/// Whole epochs, from the start of the first to the end of the last.
fn measure(loader: &Loader, at_least: Duration) -> Result<Figure, Failure> {
    let (begun, cpu_before, mut bytes) = (Instant::now(), cpu(), 0);
    while bytes == 0 || begun.elapsed() < at_least {
        for batch in loader {
            bytes += batch?.num_bytes();
        }
    }
    let (gb, seconds) = (bytes as f64 / 1e9, begun.elapsed().as_secs_f64());
    Ok(Figure { gb_per_s: gb / seconds, cpu_s_per_gb: cpu().saturating_sub(cpu_before).as_secs_f64() / gb })
}

/// The same file by fio: each job a part of it of its own; once through where the cache is cold. fio 3.33's mmap jobs read from
/// the begin of a file whatever their offset, which makes no difference in memory; from a disk one job reads all of it, lest two
/// read the same half.
fn fio(file: &Path, engine: &str, block: &str, options: &Options) -> Result<Figure, Failure> {
    let num_jobs = if options.cold && engine == "mmap" { 1 } else { options.threads };
    let part = std::fs::metadata(file)?.len() / num_jobs as u64;
    let part = part - part % (1 << 20);
    let mut command = Command::new("fio");
    command.args(["--name=a", "--rw=read", "--thread", "--group_reporting", "--output-format=json", "--readonly"]);
    command.arg(format!("--filename={}", file.display())).arg(format!("--ioengine={engine}"));
    command.arg(format!("--bs={block}")).arg(format!("--numjobs={num_jobs}"));
    command.arg(format!("--size={part}")).arg(format!("--offset_increment={part}"));
    command.arg(format!("--invalidate={}", u8::from(options.cold)));
    if engine == "io_uring" {
        command.args(["--direct=1", "--iodepth=32"]);
    }
    if !options.cold {
        command.args(["--time_based", "--runtime=3"]);
    }
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("fio failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let job = &report["jobs"][0];
    let number = |value: &serde_json::Value| value.as_f64().ok_or("fio's report lacks a number");
    let gb_per_s = number(&job["read"]["bw_bytes"])? / 1e9;
    let cores = (number(&job["usr_cpu"])? + number(&job["sys_cpu"])?) / 100.0 * num_jobs as f64;
    Ok(Figure { gb_per_s, cpu_s_per_gb: cores / gb_per_s })
}

/// Bytes of a shard that may stay in the page cache.
const MAX_CACHED: u64 = 1 << 20;

/// Drops a file from the page cache.
fn evict(path: &Path) -> Result<(), Failure> {
    let file = std::fs::File::open(path)?;
    file.sync_all()?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    let output = Command::new("fincore").args(["--bytes", "--noheadings", "--output", "RES"]).arg(path).output()?;
    let cached: u64 = String::from_utf8(output.stdout)?.trim().parse()?;
    // The index is mapped while the dataset is open.
    assert!(cached <= MAX_CACHED, "{cached} bytes of {} stay in the page cache", path.display());
    Ok(())
}

/// Takes as much memory as the page cache is about to take, and half as much again, as far as there is so much, and gives it back. The host of a
/// virtual machine takes free memory back after seconds, and whoever gets it next waits for the host page by page: that would be
/// measured, and not the reading.
fn take_memory(bytes: u64) {
    let facts = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available =
        facts.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next()?.parse().ok());
    let most = available.map_or(0, |kib: u64| kib * 1024 / 4 * 3);
    let mut memory = vec![0_u8; (bytes + bytes / 2).min(most) as usize];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    std::hint::black_box(&memory);
}

fn bench(mib: u64, options: &Options) -> Result<(), Failure> {
    let (folder, len) = (options.folder.join(format!("tensors-{mib}")), mib << 20);
    let dataset = write(&folder, len, (options.gib << 30) / len)?;
    let file = folder.join(&dataset.manifest().shards[0].file);
    let mut loaders = Vec::new();
    for engine in &options.engines {
        for checksum in [Checksum::On, Checksum::Off] {
            let loader = loader(&dataset, options, len, engine, checksum)?;
            // Also takes the memory that is recycled from then on.
            check(&loader, len)?;
            loaders.push((format!("loader, {engine}, checksum {}", checksum.as_str()), loader));
        }
    }
    let has_fio = Command::new("fio").arg("--version").output().is_ok();
    let engines: &[&str] = if options.cold { &["psync", "mmap", "io_uring"] } else { &["psync", "mmap"] };
    let fios: Vec<_> =
        engines.iter().flat_map(|engine| options.fio_blocks.iter().map(move |block| (engine, block))).collect();
    let fios = if has_fio { fios } else { Vec::new() };
    let names = loaders.iter().map(|(name, _)| name.clone());
    let names: Vec<_> = names.chain(fios.iter().map(|(engine, block)| format!("fio {engine} {block}"))).collect();
    let at_least = if options.cold { Duration::ZERO } else { Duration::from_secs(3) };
    let mut figures: Vec<Vec<Figure>> = vec![Vec::new(); names.len()];
    for run in 0..options.runs {
        for turn in 0..names.len() {
            let number = (run + turn) % names.len();
            if options.cold {
                evict(&file)?;
                take_memory(options.gib << 30);
            }
            let figure = match loaders.get(number) {
                Some((_, loader)) => measure(loader, at_least)?,
                None => fio(&file, fios[number - loaders.len()].0, fios[number - loaders.len()].1, options)?,
            };
            figures[number].push(figure);
        }
    }
    show(mib, &names, &mut figures, loaders.len());
    println!("{}", loaders[0].1.describe());
    drop((loaders, dataset));
    Ok(std::fs::remove_dir_all(&folder)?)
}

fn show(mib: u64, names: &[String], figures: &mut [Vec<Figure>], num_loaders: usize) {
    for runs in figures.iter_mut() {
        runs.sort_by(|a, b| a.gb_per_s.total_cmp(&b.gb_per_s));
    }
    let median = |runs: &Vec<Figure>| runs[runs.len() / 2];
    let best = figures[num_loaders..].iter().map(|runs| median(runs).gb_per_s).fold(f64::NAN, f64::max);
    println!("\n{mib} MiB tensors, {} runs in turn", figures[0].len());
    for (name, runs) in names.iter().zip(figures.iter()) {
        let (Figure { gb_per_s, cpu_s_per_gb }, low, high) = (median(runs), runs[0], runs[runs.len() - 1]);
        println!(
            "{name:32} {gb_per_s:6.2} GB/s ({:.2} to {:.2}), {cpu_s_per_gb:.3} CPU s/GB, {:.2} of fio's best",
            low.gb_per_s,
            high.gb_per_s,
            gb_per_s / best
        );
    }
}

fn main() -> Result<(), Failure> {
    if common::is_test() {
        return Ok(());
    }
    let options = Options::parse()?;
    std::fs::create_dir_all(&options.folder)?;
    options.mib.iter().try_for_each(|&mib| bench(mib, &options))
}
