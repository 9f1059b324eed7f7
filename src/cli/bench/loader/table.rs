//! The measurements as tables for people.

use super::result::{Bound, Figures, LoaderReport, Point};
use crate::cli::bench::bars::figure;
use crate::cli::bench::spread::Spread;
use crate::cli::output;
use crate::cli::units::{bytes, count, grouped};
use std::fmt::Write as _;

/// The whole report as text. `has_stages`: what threads and queues did as well.
pub(super) fn table(report: &LoaderReport, has_stages: bool) -> String {
    let mut text = head(report);
    let unit = unit(report);
    let _ = writeln!(
        text,
        "{:<14} {:>24} {:>13} {:>8} {:>9} {:>9} {:>11} {:>6} {:>8}  limited by",
        "workers",
        format!("{unit}/s"),
        format!("{unit}/CPU s"),
        "speed-up",
        "read MB/s",
        "decoded/s",
        "tensor MB/s",
        "read x",
        "decode x"
    );
    for Point { workers, speedup, figures, .. } in &report.points {
        line(&mut text, &workers.to_string(), *speedup, figures);
    }
    bounds(&mut text, report);
    if has_stages {
        report.points.iter().for_each(|point| stages(&mut text, point));
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// `frames`, or `samples` where fields alone are loaded.
pub(super) fn unit(report: &LoaderReport) -> &'static str {
    if report.window.is_some() { "frames" } else { "samples" }
}

/// What is loaded.
pub(super) fn content(report: &LoaderReport) -> String {
    let window = report.window.iter().cloned();
    let fields = (!report.fields.is_empty()).then(|| format!("fields {}", report.fields.join(", ")));
    window.chain(fields).collect::<Vec<_>>().join(", ")
}

fn head(report: &LoaderReport) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "{}: {} of {}, {} in {}, {} on {}\n{}; batches of {}\n{} cores of {}, {} of memory, Linux {}\n{}\n",
        output::shown(&report.dataset),
        count(report.samples, "sample"),
        count(report.records as u64, "record"),
        bytes(report.bytes),
        count(report.files as u64, "file"),
        machine.file_system,
        machine.device,
        content(report),
        report.batch_size,
        machine.cores,
        machine.cpu,
        bytes(machine.memory_bytes),
        machine.kernel,
        report.cache,
    );
    let checked = &report.checked;
    let _ = writeln!(
        text,
        "checked: {} of the first batch against their records, the first {} batches of {} against each other",
        count(checked.rows as u64, "row"),
        checked.batches,
        count(checked.loaders as u64, "loader")
    );
    let _ =
        writeln!(text, "medians of {} in turn, slowest and fastest in brackets\n", count(report.runs as u64, "run"));
    text
}

/// `1234 [1200 to 1300]`.
pub(super) fn spread(value: Spread) -> String {
    format!("{} [{} to {}]", figure(value.median), figure(value.min), figure(value.max))
}

/// The median, where there is one, by `unit`.
pub(super) fn known(value: Option<Spread>, unit: f64) -> String {
    value.map_or_else(|| "-".to_owned(), |value| figure(value.median / unit))
}

fn line(text: &mut String, name: &str, ratio: f64, figures: &Figures) {
    let amplification = |value: Option<Spread>| value.map_or_else(|| "-".to_owned(), |v| format!("{:.2}", v.median));
    let _ = writeln!(
        text,
        "{name:<14} {:>24} {:>13} {ratio:>8.2} {:>9} {:>9} {:>11} {:>6} {:>8}  {}",
        spread(figures.rate()),
        figure(figures.cpu_rate().median),
        known(Some(figures.read_bytes_per_second), 1e6),
        known(figures.frames_decoded_per_second, 1.0),
        known(figures.tensor_bytes_per_second, 1e6),
        amplification(Some(figures.read_amplification)),
        amplification(figures.decode_amplification),
        figures.limited_by,
    );
}

fn bounds(text: &mut String, report: &LoaderReport) {
    let Some(Bound { workers, .. }) = report.bounds.first() else { return };
    let _ = writeln!(
        text,
        "\nif a stage took no time, at {} (speed-up: by the whole loader's rate, in turn):",
        count(*workers as u64, "worker")
    );
    for bound in &report.bounds {
        line(text, &format!("no {}", bound.without), bound.ratio, &bound.figures);
    }
    for bound in &report.bounds {
        let _ = writeln!(text, "  no {}: {}", bound.without, bound.explain);
    }
}

/// Where the time of a point's threads went, and how full its queues were.
fn stages(text: &mut String, point: &Point) {
    let _ = writeln!(text, "\nat {}:", count(point.workers as u64, "worker"));
    for threads in &point.figures.threads {
        let parts = threads
            .stages
            .iter()
            .map(|stage| format!("{} {:.1}% ({} s)", stage.name, stage.share * 100.0, figure(stage.seconds)));
        let _ = writeln!(text, "  {} {}: {}", threads.count, threads.name, parts.collect::<Vec<_>>().join(", "));
    }
    for queue in &point.figures.queues {
        let bound = if queue.bound >= 1 << 20 { bytes(queue.bound) } else { grouped(queue.bound) };
        let mean = if queue.bound >= 1 << 20 { bytes(queue.mean as u64) } else { figure(queue.mean) };
        let (empty, full) = (queue.empty * 100.0, queue.full * 100.0);
        let _ = writeln!(
            text,
            "  {}: {mean} of {bound} on average, {empty:.0}% of the time empty, {full:.0}% full",
            queue.name
        );
    }
}
