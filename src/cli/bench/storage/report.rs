//! The measurements of storage as a page.

use super::result::{FioPoint, Point, StorageReport};
use super::table::block_name;
use crate::cli::bench::bars::{Bar, bars};
use crate::cli::bench::common::distinct;
use crate::cli::bench::page;
use crate::cli::bench::plot::{Axis, Line, Plot, nines};
use crate::cli::bench::spread::Spread;
use crate::cli::units::{bytes, count, grouped};
use std::fmt::Write as _;

/// Plots of latencies shown at most: the largest depths are kept.
const MAX_LATENCY_PLOTS: usize = 8;

/// The whole page.
pub(super) fn page(report: &StorageReport) -> String {
    let mut html = String::new();
    head(&mut html, report);
    rates(&mut html, report);
    latencies(&mut html, report);
    costs(&mut html, report);
    table(&mut html, report);
    circumstances(&mut html, report);
    page::page(&format!("Storage: {}", report.path), report.version, &report.date, &html)
}

fn head(html: &mut String, report: &StorageReport) {
    let files = count(report.files as u64, "file");
    let what = format!("{}, {} in {files}", report.kind, bytes(report.bytes));
    page::heading(html, &format!("Reading {}", report.path), &what, &report.machine, &report.date);
    let mut tiles = Vec::new();
    for (is_direct, way) in [(true, "past the page cache"), (false, "through the page cache")] {
        let fastest = report
            .points
            .iter()
            .filter(|point| point.direct == is_direct)
            .max_by(|a, b| a.gigabytes_per_second.median.total_cmp(&b.gigabytes_per_second.median));
        if let Some(point) = fastest {
            let place = format!("fastest {way}: {}, {}, depth {}", point.engine, block_name(point), point.depth);
            tiles.push((format!("{:.2} GB/s", point.gigabytes_per_second.median), place));
        }
    }
    if let Some(point) = cheapest(report) {
        let place = format!("{}, {}, depth {}", series_name(point), block_name(point), point.depth);
        tiles.push((format!("{:.3} s/GB", point.cpu_seconds_per_gigabyte.median), format!("least CPU time: {place}")));
    }
    let ratios: Vec<f64> =
        report.points.iter().filter_map(|point| point.fio.as_ref()).map(|fio| fio.rate_ratio).collect();
    if !ratios.is_empty() {
        let spread = Spread::of(&ratios);
        let said = format!("median ratio of the rates, from {:.2} to {:.2}", spread.min, spread.max);
        tiles.push((format!("{:.2} × fio", spread.median), said));
    }
    page::tiles(html, &tiles);
}

fn cheapest(report: &StorageReport) -> Option<&Point> {
    let cost = |point: &&Point| point.cpu_seconds_per_gigabyte.median;
    report.points.iter().min_by(|a, b| cost(a).total_cmp(&cost(b)))
}

/// Engine and way: what one line stands for.
fn series_name(point: &Point) -> String {
    if point.direct { format!("{} direct", point.engine) } else { point.engine.clone() }
}

fn class(point: &Point) -> String {
    if point.direct { point.engine.clone() } else { format!("{} cached", point.engine) }
}

/// Blocks, as the names of plots.
fn block_title(point: &Point) -> String {
    point.block_bytes.map_or_else(|| "Windows".to_owned(), |_| format!("Blocks of {}", block_name(point)))
}

fn legend(html: &mut String, report: &StorageReport, has_fio: bool) {
    let mut entries = distinct(report.points.iter().map(|point| (class(point), series_name(point))));
    if has_fio && let Some(point) = report.points.iter().find(|point| point.fio.is_some()) {
        let name = "fio, in the colour of the engine it is compared with";
        entries.push((format!("{} fio", class(point)), name.to_owned()));
    }
    page::line_legend(html, entries.iter().map(|(class, name)| (class.as_str(), name.as_str())));
}

fn rates(html: &mut String, report: &StorageReport) {
    let has_fio = report.points.iter().any(|point| point.fio.is_some());
    html.push_str("<section>\n<h2>Rate over reads in flight</h2>\n");
    let _ = writeln!(
        html,
        "<p class=\"soft\">Medians of {} in turn; the bars reach from the slowest run to the fastest.</p>",
        count(report.runs as u64, "run")
    );
    legend(html, report, has_fio);
    let mut depths = distinct(report.points.iter().map(|point| point.depth));
    depths.sort_unstable();
    let place = |point: &Point| depths.iter().position(|&depth| depth == point.depth).unwrap_or(0) as f64;
    html.push_str("<div class=\"plots\">\n");
    // What comes from memory would press what comes from the device to the ground: each has a scale of its own.
    for is_direct in [true, false] {
        let of_way: Vec<&Point> = report.points.iter().filter(|point| point.direct == is_direct).collect();
        let most = |point: &&Point| {
            let theirs = point.fio.as_ref().map_or(0.0, |fio| fio.gigabytes_per_second.max);
            theirs.max(point.gigabytes_per_second.max)
        };
        let most = of_way.iter().map(most).fold(0.0, f64::max);
        for blocks in distinct(of_way.iter().map(|point| point.block_bytes)) {
            let points: Vec<&Point> = of_way.iter().copied().filter(|point| point.block_bytes == blocks).collect();
            let way = if is_direct { "direct" } else { "through the page cache" };
            let plot = Plot {
                title: points.first().map(|point| format!("{}, {way}", block_title(point))).unwrap_or_default(),
                x: Axis::names("reads in flight for each thread", depths.iter().map(ToString::to_string)),
                y: Axis::linear("GB/s", most),
                lines: rate_lines(&points, &place),
            };
            html.push_str(&plot.svg());
        }
    }
    html.push_str("</div>\n</section>\n");
}

/// A line for each engine, above that of fio where it was compared.
fn rate_lines(points: &[&Point], place: &dyn Fn(&Point) -> f64) -> Vec<Line> {
    let mut lines = Vec::new();
    for name in distinct(points.iter().map(|point| series_name(point))) {
        let of_series: Vec<&Point> = points.iter().copied().filter(|point| series_name(point) == name).collect();
        let Some(first) = of_series.first() else { continue };
        let fio = |point: &Point, fio: &FioPoint| (place(point), fio.gigabytes_per_second.reach());
        let theirs: Vec<_> =
            of_series.iter().filter_map(|point| point.fio.as_ref().map(|peer| fio(point, peer))).collect();
        if !theirs.is_empty() {
            let (class, title) = (format!("{} fio", class(first)), format!("fio as {name}"));
            lines.push(Line { class, title, points: theirs, marked: true });
        }
        let ours = of_series.iter().map(|point| (place(point), point.gigabytes_per_second.reach())).collect();
        lines.push(Line { class: class(first), title: name, points: ours, marked: true });
    }
    lines
}

fn latencies(html: &mut String, report: &StorageReport) {
    html.push_str("<section>\n<h2>Latency of a read</h2>\n");
    html.push_str(
        "<p class=\"soft\">Share of the reads that took at most as long, from submission to completion, all runs together. The scale \
         stretches the slowest reads: each step up is ten times rarer. A line ends where fewer than ten reads lie beyond it.</p>\n",
    );
    legend(html, report, false);
    let has_spread = |point: &&Point| point.latency.distribution.len() > 1;
    let all = || report.points.iter().filter(has_spread);
    let shown = |(micros, share): &(f64, f64)| (*share < 1.0).then_some(*micros);
    let times = || all().flat_map(|point| point.latency.distribution.iter().filter_map(shown));
    let (least, most) = (times().fold(f64::MAX, f64::min), times().fold(0.0, f64::max));
    let mut places = distinct(all().map(|point| (point.depth, point.block_bytes)));
    places.sort_unstable();
    let num_left_out = places.len().saturating_sub(MAX_LATENCY_PLOTS);
    html.push_str("<div class=\"plots\">\n");
    for (depth, blocks) in places.into_iter().skip(num_left_out) {
        let points: Vec<&Point> = all().filter(|point| point.depth == depth && point.block_bytes == blocks).collect();
        let Some(first) = points.first() else { continue };
        let line = |point: &&Point| {
            let steps = point.latency.distribution.iter().filter(|(_, share)| *share < 1.0);
            let steps = steps.map(|(micros, share)| (micros.max(0.01).log10(), nines(*share)));
            Line::plain(class(point), format!("{}, {} reads", series_name(point), point.latency.n), steps)
        };
        let plot = Plot {
            title: format!("{}, {depth} in flight", block_title(first)),
            x: Axis::micros("latency", least, most),
            y: Axis::nines("share of reads"),
            lines: points.iter().map(line).collect(),
        };
        html.push_str(&plot.svg());
    }
    html.push_str("</div>\n</section>\n");
}

fn costs(html: &mut String, report: &StorageReport) {
    html.push_str("<section>\n<h2>CPU seconds per GB</h2>\n");
    let peer = if report.points.iter().any(|point| point.fio.is_some()) { " Grey: fio at the same point." } else { "" };
    let _ = writeln!(
        html,
        "<p class=\"soft\">User and kernel time of all threads of the process, kernel workers included, for each 10<sup>9</sup> \
         bytes read{}. Shorter is better.{peer}</p>",
        if report.checksum { ", CRC32C of every byte included" } else { "" }
    );
    let mut rows = Vec::new();
    for blocks in distinct(report.points.iter().map(|point| point.block_bytes)) {
        let points = report.points.iter().filter(|point| point.block_bytes == blocks);
        rows.extend(points.enumerate().map(|(number, point)| Bar {
            class: class(point),
            name: format!("{}, {} × {}", series_name(point), block_name(point), point.depth),
            value: point.cpu_seconds_per_gigabyte.reach(),
            peer: point.fio.as_ref().map(|fio| ("fio", fio.cpu_seconds_per_gigabyte.median)),
            starts_group: number == 0,
        }));
    }
    let _ = writeln!(html, "<figure>{}</figure>\n</section>", bars("CPU seconds per GB", &rows, f64::INFINITY));
}

fn micros(value: f64) -> String {
    match value {
        v if v < 99.95 => format!("{v:.1} µs"),
        v if v < 999.5 => format!("{v:.0} µs"),
        v if v < 99_950.0 => format!("{:.2} ms", v / 1e3),
        v => format!("{:.0} ms", v / 1e3),
    }
}

fn table(html: &mut String, report: &StorageReport) {
    let has_fio = report.points.iter().any(|point| point.fio.is_some());
    html.push_str(
        "<section>\n<h2>All points</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th></th><th>block</th><th>depth</th><th>GB/s</th>\
         <th>reads/s</th><th>p50</th><th>p99</th><th>p99.9</th><th>reads</th><th>CPU s/GB</th><th>kernel<br>workers</th>\
         <th>cached<br>before</th>",
    );
    if has_fio {
        html.push_str("<th>fio<br>GB/s</th><th>rate<br>/ fio</th><th>CPU<br>/ fio</th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for point in &report.points {
        row(html, point, has_fio);
    }
    html.push_str("</tbody>\n</table></div>\n</section>\n");
}

fn row(html: &mut String, point: &Point, has_fio: bool) {
    let (rate, latency) = (point.gigabytes_per_second, &point.latency);
    let known = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), micros);
    let cells = [
        block_name(point),
        point.depth.to_string(),
        format!("{:.2} <small>{:.2}–{:.2}</small>", rate.median, rate.min, rate.max),
        grouped(point.operations_per_second.median.round() as u64),
        micros(latency.p50_micros),
        known(latency.p99_micros),
        known(latency.p999_micros),
        grouped(latency.n),
        format!("{:.3}", point.cpu_seconds_per_gigabyte.median),
        point.kernel_workers.to_string(),
        if point.direct { "–".to_owned() } else { format!("{:.0}%", point.cached_before * 100.0) },
    ];
    let _ = write!(html, "<tr><th class=\"{}\"><i></i>{}</th>", class(point), series_name(point));
    for cell in cells {
        let _ = write!(html, "<td>{cell}</td>");
    }
    if has_fio {
        let cells = match &point.fio {
            Some(fio) => [
                format!("{:.2}", fio.gigabytes_per_second.median),
                format!("{:.2}", fio.rate_ratio),
                format!("{:.2}", fio.cpu_ratio),
            ],
            None => std::array::from_fn(|_| "–".to_owned()),
        };
        for cell in cells {
            let _ = write!(html, "<td>{cell}</td>");
        }
    }
    html.push_str("</tr>\n");
}

fn circumstances(html: &mut String, report: &StorageReport) {
    let checked =
        "before its first run, reads of each point were compared with plain ones; the length of each read while it ran";
    let checksum =
        if report.checksum { "CRC32C of every byte, while the clock ran" } else { "none while the clock ran" };
    let limit = report.max_bytes.map(|limit| format!(" or {}", bytes(limit))).unwrap_or_default();
    let mut facts = vec![
        ("Order", report.pattern.clone()),
        ("Page cache", report.cache.clone()),
        ("Runs", format!("{} of each point in turn, each {} s{limit}", report.runs, report.seconds)),
        ("Checked", checked.to_owned()),
        ("Checksum", checksum.to_owned()),
    ];
    for series in distinct(report.points.iter().map(series_name)) {
        // Depths differ in nothing else: the greatest speaks for all.
        let deepest = report.points.iter().filter(|point| series_name(point) == series).max_by_key(|point| point.depth);
        facts.extend(deepest.map(|point| ("Engine", point.describe.clone())));
    }
    facts.extend(report.fio_version.iter().map(|version| ("Compared with", version.clone())));
    facts.extend(report.notes.iter().map(|note| ("Note", note.clone())));
    page::circumstances(html, &report.command, &report.machine, &facts);
}
