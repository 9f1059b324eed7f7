//! Results on stdout, messages on stderr. Everything that the command says goes through here: names of files, keys and columns
//! are strangers' text, and nothing of it reaches a terminal that would be an order to it.

use super::signal;
use framefeed::{Error, ErrorKind, Result, Shown};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Text of strangers within one of our lines.
pub(super) fn shown(text: &str) -> String {
    Shown(text).to_string()
}

/// Lines of ours, in which nothing but their ends is left that a terminal would obey.
fn lines(text: &str) -> String {
    let ends = text.split('\n').map(shown).collect::<Vec<_>>();
    ends.join("\n")
}

/// Writes lines to stdout. A reader that has gone away (`| head`) is no error.
pub(super) fn print(text: &str) -> Result<()> {
    put(&lines(text))
}

fn put(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Io, "cannot write to the standard output").with_source(e))
        }
        _ => Ok(()),
    }
}

/// Writes one line to stderr.
pub(super) fn say(line: &str) {
    // Nobody is left to be told where this fails.
    let _ = writeln!(std::io::stderr().lock(), "{}", Shown(line));
}

/// Writes one JSON object and a newline to stdout: exactly what it is, with more characters escaped than JSON has to.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::invalid("the result cannot be written as JSON").with_source(e))?;
    let mut exact = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        // All of them are of the basic plane. A line's end is between values here; in them it is escaped already.
        if c != '\n' && Shown::is_escaped(c) {
            let _ = write!(exact, "\\u{:04x}", u32::from(c));
        } else {
            exact.push(c);
        }
    }
    exact.push('\n');
    put(&exact)
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
    say(&format!("error: {}: {}", error.kind().as_str(), error.report()));
    if let Some(hint) = hint(error) {
        say(&format!("hint: {hint}"));
    }
    if error.kind() == ErrorKind::Closed && signal::is_asked_to_stop() {
        ExitCode::from(signal::INTERRUPTED)
    } else {
        ExitCode::FAILURE
    }
}

/// Ends the command where its arguments ask for help or make no sense.
pub(super) fn usage(error: &clap::Error) -> ! {
    // What a shell made of `*` may be in the message.
    let is_plain = |argument: std::ffi::OsString| !argument.to_string_lossy().chars().any(Shown::is_escaped);
    if std::env::args_os().all(is_plain) {
        error.exit();
    }
    let _ = write!(std::io::stderr().lock(), "{}", lines(&error.render().to_string()));
    std::process::exit(error.exit_code());
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
        // The message says what to do: to remove the folder would be to lose them.
        ErrorKind::Conflict if message.contains("columns") => None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_ends_and_lose_every_order() {
        assert_eq!(lines("a\tb\u{1b}[31m\nc\u{9b}2J\r\n"), "a\\tb\\u{1b}[31m\nc\\u{9b}2J\\r\n");
        assert_eq!(shown("two\nlines"), "two\\nlines");
    }
}
