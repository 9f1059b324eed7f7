//! fio with the same parameters, and what it says.

use super::measure::Setting;
use super::work::{Pattern, Work};
use framefeed::{EngineKind, Error, ErrorKind, Result};
use serde_json::Value;
use std::process::Command;

/// Files that are named on fio's command line.
const MAX_FILES: usize = 128;

/// What one run of fio gave.
pub(super) struct FioRun {
    pub gigabytes_per_second: f64,
    pub cpu_seconds_per_gigabyte: f64,
    pub p50_micros: f64,
    pub p99_micros: f64,
}

/// fio's version, or `None` where it is not installed.
pub(super) fn version() -> Option<String> {
    let output = Command::new("fio").arg("--version").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// fio's engine that does what ours does; `None` where it has none.
pub(super) fn engine(setting: &Setting) -> Option<&'static str> {
    match setting.engine {
        EngineKind::Uring => Some("io_uring"),
        EngineKind::Pread => Some("psync"),
        EngineKind::Mmap if !setting.direct => Some("mmap"),
        _ => None,
    }
}

/// Whether fio can do the same work.
pub(super) fn can_follow(work: &Work, setting: &Setting) -> bool {
    work.windows.is_none() && work.sources.len() <= MAX_FILES && engine(setting).is_some()
}

/// Runs fio once. `registers_files`: as our ring does.
pub(super) fn run(work: &Work, setting: &Setting, registers_files: bool) -> Result<FioRun> {
    let Some(engine) = engine(setting) else { return Err(Error::unsupported("fio has no such engine")) };
    // fio's synchronous engines have one read in flight for each job; the rest of the depth becomes jobs.
    let is_async = engine == "io_uring";
    let depth = if is_async { setting.depth } else { 1 };
    let jobs = if is_async { setting.threads } else { setting.threads * setting.depth };
    let mut command = Command::new("fio");
    let files: Vec<_> = work.sources.iter().filter(|source| source.len >= setting.block).collect();
    let names: Vec<String> =
        files.iter().map(|source| source.path.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:")).collect();
    let part = work.bytes() / jobs.max(1) as u64 / setting.block.max(1) * setting.block;
    command
        // A process for each job: a thread's CPU time would lack that of the kernel workers of its ring.
        .args(["--name=framefeed", "--output-format=json", "--readonly", "--eta=never"])
        // The page cache is as it should be already, and gets the same advice: none.
        .args(["--randrepeat=0", "--invalidate=0", "--fadvise_hint=0", "--file_service_type=random"])
        .arg(format!("--filename={}", names.join(":")))
        .arg(format!("--ioengine={engine}"))
        .arg(format!("--rw={}", if setting.pattern == Pattern::Random { "randread" } else { "read" }))
        .arg(format!("--bs={}", setting.block))
        .arg(format!("--iodepth={depth}"))
        .arg(format!("--numjobs={jobs}"))
        .arg(format!("--direct={}", u8::from(setting.direct)))
        .arg(format!("--runtime={}ms", setting.duration.as_millis()));
    if jobs > 1 && files.len() == 1 && part > 0 {
        command.arg(format!("--offset_increment={part}")).arg(format!("--size={part}"));
    }
    if is_async && registers_files {
        command.arg("--registerfiles=1");
    }
    match setting.max_bytes {
        u64::MAX => command.arg("--time_based"),
        bytes => command.arg(format!("--io_size={}", bytes.div_ceil(jobs as u64).next_multiple_of(setting.block))),
    };
    let failed = |message: String| Error::new(ErrorKind::Io, message);
    let output = command.output().map_err(|error| failed("cannot run fio".into()).with_source(error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(format!("fio failed: {}", said.lines().next().unwrap_or("without a word"))));
    }
    parse(&output.stdout).ok_or_else(|| failed("fio's output is not what is expected of it".into()))
}

/// Sums over the jobs.
fn parse(text: &[u8]) -> Option<FioRun> {
    // Warnings may stand before the object.
    let start = text.iter().position(|&byte| byte == b'{')?;
    let value: Value = serde_json::from_slice(text.get(start..)?).ok()?;
    let jobs = value["jobs"].as_array()?;
    let (mut bytes, mut cpu, mut seconds) = (0.0, 0.0, 0.0_f64);
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for job in jobs {
        let read = &job["read"];
        let runtime = read["runtime"].as_f64()? / 1e3;
        bytes += read["io_bytes"].as_f64()?;
        seconds = seconds.max(runtime);
        cpu += (job["usr_cpu"].as_f64()? + job["sys_cpu"].as_f64()?) / 100.0 * runtime;
        p50.extend(read["clat_ns"]["percentile"]["50.000000"].as_f64());
        p99.extend(read["clat_ns"]["percentile"]["99.000000"].as_f64());
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64 / 1e3;
    (bytes > 0.0 && seconds > 0.0).then(|| FioRun {
        gigabytes_per_second: bytes / 1e9 / seconds,
        cpu_seconds_per_gigabyte: cpu / (bytes / 1e9),
        p50_micros: mean(&p50),
        p99_micros: mean(&p99),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_added_up() {
        let job = r#"{"usr_cpu": 5.0, "sys_cpu": 15.0, "read": {"io_bytes": 2000000000, "runtime": 2000,
            "clat_ns": {"percentile": {"50.000000": 1000, "99.000000": 9000}}}}"#;
        let text = format!("note: a warning\n{{\"jobs\": [{job}, {job}]}}");
        let run = parse(text.as_bytes()).unwrap();
        assert!((run.gigabytes_per_second - 2.0).abs() < 1e-9);
        assert!((run.cpu_seconds_per_gigabyte - 0.2).abs() < 1e-9);
        assert!((run.p50_micros - 1.0).abs() < 1e-9 && (run.p99_micros - 9.0).abs() < 1e-9);
        assert!(parse(b"{}").is_none() && parse(b"fio: error").is_none());
    }
}
