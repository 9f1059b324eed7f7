//! The measurements as a table for people.

use super::result::{Point, StorageReport};
use crate::cli::output;
use crate::cli::units::{bytes, count};
use std::fmt::Write as _;

/// The whole report as text.
pub(super) fn table(report: &StorageReport) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "{} {}: {} in {} file{}, {} on {} ({})\n{} cores of {}, {} of memory, Linux {}\n",
        report.kind,
        output::shown(&report.path),
        bytes(report.bytes),
        report.files,
        if report.files == 1 { "" } else { "s" },
        machine.file_system,
        machine.device,
        report.cache,
        machine.cores,
        machine.cpu,
        bytes(machine.memory_bytes),
        machine.kernel,
    );
    let _ = writeln!(
        text,
        "{} reads{}; medians of {} in turn, least to greatest in brackets\n",
        report.pattern,
        if report.checksum { ", CRC32C of every byte" } else { "" },
        count(report.runs as u64, "run"),
    );
    let compared = report.points.iter().any(|point| point.fio.is_some());
    let _ = write!(
        text,
        "{:<14} {:>8} {:>5} {:>3}  {:>22} {:>9} {:>8} {:>9} {:>9} {:>10} {:>7}",
        "engine", "block", "depth", "thr", "GB/s", "reads/s", "CPU s/GB", "p50 us", "p99 us", "p99.9 us", "workers"
    );
    text.push_str(if compared { "   fio GB/s  rate/fio  CPU/fio\n" } else { "\n" });
    for point in &report.points {
        line(&mut text, point);
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

fn line(text: &mut String, point: &Point) {
    let engine = if point.direct { format!("{}, direct", point.engine) } else { point.engine.clone() };
    let rate = point.gigabytes_per_second;
    let rates = format!("{:.2} [{:.2} to {:.2}]", rate.median, rate.min, rate.max);
    let micros = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |micros| format!("{micros:.0}"));
    let _ = write!(
        text,
        "{engine:<14} {:>8} {:>5} {:>3}  {rates:>22} {:>9.0} {:>8.3} {:>9} {:>9} {:>10} {:>7}",
        block_name(point).replace(' ', ""),
        point.depth,
        point.threads,
        point.operations_per_second.median,
        point.cpu_seconds_per_gigabyte.median,
        micros(Some(point.latency.p50_micros)),
        micros(point.latency.p99_micros),
        micros(point.latency.p999_micros),
        point.kernel_workers,
    );
    if let Some(fio) = &point.fio {
        let _ = write!(
            text,
            "   {:>8.2}  {:>8.3}  {:>7.3}",
            fio.gigabytes_per_second.median, fio.rate_ratio, fio.cpu_ratio
        );
    }
    text.push('\n');
}

/// The size of a point's reads.
pub(super) fn block_name(point: &Point) -> String {
    let name = |block| bytes(block).replace(".00 ", " ").replace(".0 ", " ");
    point.block_bytes.map_or_else(|| "windows".to_owned(), name)
}
