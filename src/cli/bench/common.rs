//! What the benchmarks have in common: checks of arguments, being interrupted, the page.

use crate::cli::{output, signal};
use framefeed::{Error, ErrorKind, Result};
use std::ffi::OsString;
use std::path::Path;

/// Refuses a number that is not 1 to `max`.
pub(super) fn range(name: &str, value: usize, max: usize) -> Result<()> {
    if (1..=max).contains(&value) {
        Ok(())
    } else {
        Err(Error::invalid(format!("{name} is {value}, expected 1 to {max}")))
    }
}

/// Refuses a length of runs that is no time, or longer than a day.
pub(super) fn check_seconds(seconds: f64) -> Result<()> {
    if seconds > 0.0 && seconds <= 86_400.0 {
        Ok(())
    } else {
        Err(Error::invalid(format!("--seconds is {seconds}, expected more than 0 and at most 86400")))
    }
}

/// Refuses to replace what is no regular file, before anything is measured.
pub(super) fn check_page(page: Option<&Path>) -> Result<()> {
    match page {
        Some(page) if page.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) => {
            let message = "the report would replace what is no regular file";
            Err(Error::new(ErrorKind::Conflict, message).with_path(page))
        }
        _ => Ok(()),
    }
}

/// Writes the page where one is asked for.
pub(super) fn write_page(page: Option<&Path>, html: impl FnOnce() -> String) -> Result<()> {
    if let Some(page) = page {
        framefeed::publish(page, html().as_bytes())?;
        output::say(&format!("wrote {}", page.display()));
    }
    Ok(())
}

/// Each value once, in the order of its first appearance.
pub(super) fn distinct<T: PartialEq>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for value in values {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

/// An error once the process was asked to stop.
pub(super) fn stop_if_asked() -> Result<()> {
    if signal::is_asked_to_stop() { Err(Error::new(ErrorKind::Closed, "interrupted")) } else { Ok(()) }
}

/// The command as it was given, quoted where a shell would need it.
pub(super) fn command_line(args: impl Iterator<Item = OsString>) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+%@".contains(c);
    let quote = |arg: OsString| {
        let arg = arg.to_string_lossy().into_owned();
        if arg.chars().all(is_plain) && !arg.is_empty() { arg } else { format!("'{}'", arg.replace('\'', "'\\''")) }
    };
    args.map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_given_to_a_shell_again() {
        let args = ["framefeed", "a b", "it's", "", "--depth=1,8"].map(OsString::from);
        assert_eq!(command_line(args.into_iter()), "framefeed 'a b' 'it'\\''s' '' --depth=1,8");
    }
}
