//! What the reports have in common: one page that needs nothing else, to be sent to somebody, read on a screen or printed.

use super::machine::Machine;
use super::plot::escape;
use crate::cli::units::bytes;
use std::fmt::Write as _;

/// A page around its sections. `title` is text, `body` HTML.
pub(super) fn page(title: &str, version: &str, date: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n\
         <body>\n<main>\n{body}<footer>framefeed {version}, {}. MB and GB are powers of 1000, KiB and MiB of 1024.</footer>\n\
         </main>\n</body>\n</html>\n",
        escape(title),
        include_str!("report.css"),
        escape(date)
    )
}

/// The heading, and a line of what was measured and where.
pub(super) fn heading(html: &mut String, title: &str, what: &str, machine: &Machine, date: &str) {
    let _ = writeln!(
        html,
        "<h1>{}</h1>\n<p class=\"soft\">{}; {} on {}; {} cores of {}; Linux {}; {}</p>",
        escape(title),
        escape(what),
        escape(&machine.file_system),
        escape(&machine.device),
        machine.cores,
        escape(&machine.cpu),
        escape(&machine.kernel),
        escape(date),
    );
}

/// Figures to be seen first, each with what it says.
pub(super) fn tiles(html: &mut String, tiles: &[(String, String)]) {
    html.push_str("<div class=\"tiles\">\n");
    for (figure, said) in tiles {
        let (figure, said) = (escape(figure), escape(said));
        let _ = writeln!(html, "<div class=\"tile\"><b>{figure}</b><span>{said}</span></div>");
    }
    html.push_str("</div>\n");
}

/// Classes of lines, and what they stand for.
pub(super) fn line_legend<'a>(html: &mut String, entries: impl IntoIterator<Item = (&'a str, &'a str)>) {
    html.push_str("<ul class=\"legend\">\n");
    for (class, name) in entries {
        let _ = writeln!(
            html,
            "<li><svg viewBox=\"0 0 34 12\" aria-hidden=\"true\"><g class=\"{class}\"><path class=\"line\" d=\"M0 6H34\"/>\
             <circle class=\"mark\" cx=\"17\" cy=\"6\" r=\"3.6\"/></g></svg>{}</li>",
            escape(name)
        );
    }
    html.push_str("</ul>\n");
}

/// The command, the machine, and what else a reader must know to measure the same again.
pub(super) fn circumstances(html: &mut String, command: &str, machine: &Machine, facts: &[(&str, String)]) {
    let _ = writeln!(html, "<section>\n<h2>How it was measured</h2>\n<pre>{}</pre>\n<dl>", escape(command));
    let known = [
        ("Processor", format!("{}, {} cores to be used", machine.cpu, machine.cores)),
        ("Memory", bytes(machine.memory_bytes)),
        ("Kernel", format!("Linux {}", machine.kernel)),
        ("File system", format!("{} on {}", machine.file_system, machine.device)),
    ];
    for (name, value) in known.iter().chain(facts) {
        let _ = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escape(value));
    }
    html.push_str("</dl>\n</section>\n");
}
