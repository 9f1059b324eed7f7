//! Results on stdout, messages on stderr.

use super::signal;
use framefeed::{Error, ErrorKind, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Writes text to stdout. A reader that has gone away (`| head`) is no error.
pub(super) fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Io, "cannot write to the standard output").with_source(e))
        }
        _ => Ok(()),
    }
}

/// Writes one JSON object and a newline to stdout.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::invalid("the result cannot be written as JSON").with_source(e))?;
    print(&format!("{text}\n"))
}

/// A progress bar on a terminal, nothing elsewhere. `template` is indicatif's.
pub(super) fn progress_bar(template: &str) -> ProgressBar {
    let is_terminal = std::io::stderr().is_terminal();
    let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(None, target).with_style(style.progress_chars("=> "));
    if is_terminal {
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
    }
    bar
}

/// Says what went wrong, and what may help.
pub(super) fn fail(error: &Error) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    // Nobody is left to be told where this fails.
    let _ = writeln!(stderr, "error: {}: {}", error.kind().as_str(), error.report());
    if let Some(hint) = hint(error) {
        let _ = writeln!(stderr, "hint: {hint}");
    }
    if error.kind() == ErrorKind::Closed && signal::is_asked_to_stop() {
        ExitCode::from(signal::INTERRUPTED)
    } else {
        ExitCode::FAILURE
    }
}

fn hint(error: &Error) -> Option<&'static str> {
    let message = error.message();
    let report = error.report();
    match error.kind() {
        ErrorKind::Closed if signal::is_asked_to_stop() && message == "interrupted while converting" => {
            Some("nothing was published; the same command goes on where this one stopped")
        }
        ErrorKind::Conflict if message.starts_with("another writer") => {
            Some("wait for it to finish, or choose another folder with --out")
        }
        ErrorKind::Conflict if message.contains("already exists") => Some("--force replaces it"),
        ErrorKind::Conflict if message.starts_with("the report") => Some("choose another name with --report"),
        ErrorKind::Conflict => Some("choose another folder with --out, or remove this one if it is not needed"),
        ErrorKind::NotFound if message == "no such record" => {
            Some("keys are listed in index.arrow; a key is the video's path without its extension")
        }
        ErrorKind::InvalidArgument if message.starts_with("size must be set") => Some("choose one with --size HxW"),
        ErrorKind::Io if report.contains("os error 28") || report.contains("os error 122") => {
            Some("make room and run the same command again: it goes on where this one stopped")
        }
        _ => None,
    }
}
