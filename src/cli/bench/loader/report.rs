//! The measurements of the loader as a page.

use super::result::{Bound, Figures, LoaderReport, Point};
use super::table::{content, known, spread, unit};
use crate::cli::bench::bars::{Bar, Stack, bars, figure, stacks};
use crate::cli::bench::common::distinct;
use crate::cli::bench::page;
use crate::cli::bench::plot::{Axis, Line, Plot, escape};
use crate::cli::bench::spread::Spread;
use crate::cli::units::{bytes, count, grouped};
use std::fmt::Write as _;

/// Bars of bounds end at so many times the rate of the whole loader.
const LONGEST: f64 = 6.0;

/// The whole page.
pub(super) fn page(report: &LoaderReport) -> String {
    let mut html = String::new();
    head(&mut html, report);
    rates(&mut html, report);
    stages(&mut html, report);
    bounds(&mut html, report);
    amplification(&mut html, report);
    queues(&mut html, report);
    circumstances(&mut html, report);
    page::page(&format!("Loader: {}", report.dataset), report.version, &report.date, &html)
}

fn head(html: &mut String, report: &LoaderReport) {
    let what = format!(
        "{} of {}, {} in {}; {}; batches of {}",
        count(report.samples, "sample"),
        count(report.records as u64, "record"),
        bytes(report.bytes),
        count(report.files as u64, "file"),
        content(report),
        report.batch_size
    );
    page::heading(html, &format!("Loading {}", report.dataset), &what, &report.machine, &report.date);
    let Some(last) = report.points.last() else { return };
    let (unit, figures) = (unit(report), &last.figures);
    let rate = figures.rate();
    let mut tiles = vec![
        (
            format!("{} {unit}/s", figure(rate.median)),
            format!("at {}, from {} to {}", workers(last.workers), figure(rate.min), figure(rate.max)),
        ),
        (
            format!("{} {unit}", figure(figures.cpu_rate().median)),
            format!("for each second of processor time, at {}", workers(last.workers)),
        ),
        (figures.limited_by.to_owned(), "limits the rate there".to_owned()),
    ];
    if let [first, .., last] = &report.points[..] {
        let said = format!("as fast at {} as at {}", workers(last.workers), workers(first.workers));
        tiles.push((format!("{:.2} ×", last.speedup), said));
    }
    page::tiles(html, &tiles);
}

fn workers(number: usize) -> String {
    count(number as u64, "worker")
}

/// Rates over workers, and what they would be if they grew with the workers.
fn rates(html: &mut String, report: &LoaderReport) {
    let unit = unit(report);
    let _ = writeln!(
        html,
        "<section>\n<h2>Rate over workers</h2>\n<p class=\"soft\">Medians of {} in turn; the bars reach from the slowest run to \
         the fastest. What is delivered is the same at every number of workers.</p>",
        count(report.runs as u64, "run")
    );
    page::line_legend(html, [("whole", "measured"), ("ideal", "if the rate grew with the workers")]);
    html.push_str("<div class=\"plots\">\n");
    let wall = plot(report, format!("{unit} per second"), &Figures::rate, |first, workers| first * workers);
    let cpu = plot(report, format!("{unit} per CPU second"), &Figures::cpu_rate, |first, _| first);
    let _ = writeln!(html, "{}{}</div>\n</section>", wall.svg(), cpu.svg());
}

/// `ideal`: of the first point's value, and of how many times its workers there are.
fn plot(report: &LoaderReport, title: String, of: &dyn Fn(&Figures) -> Spread, ideal: fn(f64, f64) -> f64) -> Plot {
    let values: Vec<(usize, Spread)> = report.points.iter().map(|point| (point.workers, of(&point.figures))).collect();
    let first = values.first().map_or((1, 0.0), |(workers, value)| (*workers, value.median));
    let ideals: Vec<f64> = values.iter().map(|(workers, _)| ideal(first.1, *workers as f64 / first.0 as f64)).collect();
    let most = values.iter().map(|(_, value)| value.max).chain(ideals.iter().copied()).fold(0.0, f64::max);
    let places = || (0..values.len()).map(|place| place as f64);
    let measured = places().zip(&values).map(|(place, (_, value))| (place, value.reach())).collect();
    Plot {
        x: Axis::names("workers", values.iter().map(|(workers, _)| workers.to_string())),
        y: Axis::linear("", most),
        lines: vec![
            Line::plain("ideal".into(), "if it grew with the workers".into(), places().zip(ideals.iter().copied())),
            Line { class: "whole".into(), title: title.clone(), points: measured, marked: true },
        ],
        title,
    }
}

/// Class of a stage.
fn class(stage: &str) -> &'static str {
    match stage {
        "decode" => "decode",
        "transform" => "transform",
        "read" => "read",
        "check" => "check",
        "plan" => "plan",
        "assemble" => "assemble",
        "rest" => "rest",
        _ => "wait",
    }
}

fn stages(html: &mut String, report: &LoaderReport) {
    html.push_str(
        "<section>\n<h2>Where the time goes</h2>\n<p class=\"soft\">Wall time of the threads of each kind, all runs together. Workers check \
         the packets, decode and transform; the reader plans and waits for storage; the consumer does nothing but wait for \
         batches. Rest: what no stage counts, such as the lock that the threads share, and the time they have no core.</p>\n",
    );
    let all = || report.points.iter().flat_map(|point| &point.figures.threads);
    let names = distinct(all().flat_map(|threads| &threads.stages).map(|stage| stage.name));
    html.push_str("<ul class=\"legend\">\n");
    for name in &names {
        let _ = writeln!(html, "<li><i class=\"{}\"></i>{name}</li>", class(name));
    }
    html.push_str("</ul>\n");
    let mut rows = Vec::new();
    for kind in distinct(all().map(|threads| threads.name)) {
        let of_kind = report.points.iter().filter_map(|point| {
            let threads = point.figures.threads.iter().find(|threads| threads.name == kind)?;
            Some((point, threads))
        });
        rows.extend(of_kind.enumerate().map(|(number, (point, threads))| Stack {
            name: format!("{kind}, at {}", workers(point.workers)),
            parts: threads.stages.iter().map(|stage| (class(stage.name), stage.name, stage.share)).collect(),
            starts_group: number == 0,
        }));
    }
    let _ = writeln!(html, "<figure>{}</figure>\n</section>", stacks("Where the time goes", &rows));
}

fn bounds(html: &mut String, report: &LoaderReport) {
    let (Some(last), false) = (report.points.last(), report.bounds.is_empty()) else { return };
    let unit = unit(report);
    let _ = writeln!(
        html,
        "<section>\n<h2>If a stage took no time</h2>\n<p class=\"soft\">{unit} per second at {}, each measured in turn with the whole \
         loader. Pale: nothing was put into the batches, the rate is no loader's. \
         Arrow: the bar goes on.</p>",
        workers(last.workers)
    );
    let mut rows = vec![Bar {
        class: "whole".to_owned(),
        name: "the whole loader".to_owned(),
        value: last.figures.rate().reach(),
        peer: None,
        starts_group: true,
    }];
    rows.extend(report.bounds.iter().map(|bound| Bar {
        class: if bound.batches == "real" { "bound".to_owned() } else { "bound empty".to_owned() },
        name: format!("without {}", bound.without),
        value: bound.figures.rate().reach(),
        peer: None,
        starts_group: false,
    }));
    let _ = writeln!(
        html,
        "<figure>{}</figure>\n<dl>",
        bars("If a stage took no time", &rows, LONGEST * last.figures.rate().median)
    );
    for Bound { without, explain, ratio, figures, .. } in &report.bounds {
        let limit = figures.limited_by;
        let _ = writeln!(
            html,
            "<dt>without {without}</dt><dd>{}: {ratio:.2} times the rate of the whole loader, then limited by {limit}</dd>",
            escape(explain)
        );
    }
    html.push_str("</dl>\n</section>\n");
}

/// The three rates and the two amplifications.
fn amplification(html: &mut String, report: &LoaderReport) {
    let _ = writeln!(
        html,
        "<section>\n<h2>Rates and amplification</h2>\n<p class=\"soft\">Read: bytes from storage. Read ×: bytes read for each byte of the \
         packets and tensors that are needed. Decode ×: frames decoded for each one delivered.</p>\n<div class=\"scroll\"><table>\n<thead><tr>\
         <th></th><th>{unit}/s</th><th>{unit}/CPU s</th><th>efficiency</th><th>read<br>MB/s</th><th>decoded<br>frames/s</th>\
         <th>tensors<br>MB/s</th><th>read ×</th><th>decode ×</th><th>limited by</th><th>left out<br>as damaged</th><th>cached<br>before</th>\
         </tr></thead>\n<tbody>",
        unit = unit(report)
    );
    for Point { workers: number, efficiency, figures, .. } in &report.points {
        row(html, "whole", &workers(*number), Some(*efficiency), figures);
    }
    for bound in &report.bounds {
        row(html, "bound", &format!("without {}", bound.without), None, &bound.figures);
    }
    html.push_str("</tbody>\n</table></div>\n</section>\n");
}

fn row(html: &mut String, class: &str, name: &str, efficiency: Option<f64>, figures: &Figures) {
    let cells = [
        spread(figures.rate()),
        figure(figures.cpu_rate().median),
        efficiency.map_or_else(|| "–".to_owned(), |share| format!("{:.0}%", share * 100.0)),
        known(Some(figures.read_bytes_per_second), 1e6),
        known(figures.frames_decoded_per_second, 1.0),
        known(figures.tensor_bytes_per_second, 1e6),
        known(Some(figures.read_amplification), 1.0),
        known(figures.decode_amplification, 1.0),
        figures.limited_by.to_owned(),
        grouped(figures.skipped),
        format!("{:.0}%", figures.cached_before * 100.0),
    ];
    let _ = write!(html, "<tr><th class=\"{class}\"><i></i>{name}</th>");
    for cell in cells {
        let _ = write!(html, "<td>{cell}</td>");
    }
    html.push_str("</tr>\n");
}

fn queues(html: &mut String, report: &LoaderReport) {
    html.push_str(
        "<section>\n<h2>How full the queues are</h2>\n<p class=\"soft\">Looked at every 2 ms. Finished batches that are never there mean that \
         the consumer waits; a queue of clips that is empty, that the workers do.</p>\n<div class=\"scroll\"><table>\n<thead><tr><th></th>\
         <th>workers</th><th>mean</th><th>bound</th><th>empty</th><th>full</th></tr></thead>\n<tbody>\n",
    );
    for point in &report.points {
        for queue in &point.figures.queues {
            let (mean, bound) = if queue.name == "compressed bytes" {
                (bytes(queue.mean as u64), bytes(queue.bound))
            } else {
                (figure(queue.mean), grouped(queue.bound))
            };
            let (name, workers, empty, full) = (queue.name, point.workers, queue.empty * 100.0, queue.full * 100.0);
            let _ = writeln!(
                html,
                "<tr><th>{name}</th><td>{workers}</td><td>{mean}</td><td>{bound}</td><td>{empty:.0}%</td><td>{full:.0}%</td></tr>"
            );
        }
    }
    html.push_str("</tbody>\n</table></div>\n</section>\n");
}

fn circumstances(html: &mut String, report: &LoaderReport) {
    let checked = &report.checked;
    let checked = format!(
        "before any run, {} of the first batch compared with what their records give alone, and {} batches of {} loaders with each \
         other: BLAKE3 {}",
        count(checked.rows as u64, "row"),
        checked.batches,
        checked.loaders,
        checked.blake3
    );
    let left_out =
        format!("{} too short for the window, {} without a field", report.short_records, report.incomplete_records);
    let mut facts = vec![
        ("Samples", format!("{}; batches of {}", content(report), report.batch_size)),
        ("Records left out", left_out),
        ("Page cache", report.cache.clone()),
        ("Runs", format!("{} of each point in turn, each {} s", report.runs, report.seconds)),
        ("Checked", checked),
    ];
    facts.extend(report.describe.lines().map(|line| ("Loader", line.to_owned())));
    facts.extend(report.notes.iter().map(|note| ("Note", note.clone())));
    page::circumstances(html, &report.command, &report.machine, &facts);
}
