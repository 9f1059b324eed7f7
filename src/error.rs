//! The one public error type. Every error says what kind it is (what the caller can do about it), in which file,
//! record and byte it happened, and what caused it. `Display` never repeats its `source`.

use std::fmt;
use std::path::{Path, PathBuf};

/// Result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file, record, column or device does not exist.
    NotFound,
    /// Another run or another dataset is in the way: an output folder in use, or holding something else.
    Conflict,
    /// Bytes contradict a checksum, the specification or each other.
    Corrupt,
    /// Valid, but beyond what this build, machine or version can do.
    Unsupported,
    /// An option or argument is outside its range, or options contradict each other.
    InvalidArgument,
    /// A budget was used up: frames, packets, bytes or time.
    LimitExceeded,
    /// A decoder or demuxer refused its input.
    Decode,
    /// A GPU or its driver failed.
    Device,
    /// An allocation was refused.
    OutOfMemory,
    /// The loader, pool or run was closed or cancelled.
    Closed,
    /// The operating system refused a read, a write or an open.
    Io,
}

impl ErrorKind {
    /// The kind in words, as printed at the front of a message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::Corrupt => "corrupt",
            Self::Unsupported => "unsupported",
            Self::InvalidArgument => "invalid argument",
            Self::LimitExceeded => "limit exceeded",
            Self::Decode => "decode",
            Self::Device => "device",
            Self::OutOfMemory => "out of memory",
            Self::Closed => "closed",
            Self::Io => "i/o",
        }
    }
}

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    /// As usual for the kind.
    OfKind,
    /// The data's: it is the same on every machine.
    Data,
    /// The machine's: another one, or a quieter one, may do better.
    Machine,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    blame: Blame,
    message: String,
    record: Option<String>,
    offset: Option<u64>,
    path: Option<PathBuf>,
    source: Option<Source>,
}

/// An error with its kind and its place: file, record, byte offset.
#[derive(Debug)]
pub struct Error(Box<Inner>);

impl Error {
    /// A new error. `message` is lower case, without a full stop, and gives expected and actual values.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Inner {
            kind,
            blame: Blame::OfKind,
            message,
            record: None,
            offset: None,
            path: None,
            source: None,
        }))
    }

    /// [`ErrorKind::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// [`ErrorKind::InvalidArgument`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// [`ErrorKind::Unsupported`].
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    /// [`ErrorKind::Decode`].
    pub fn decode(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Decode, message)
    }

    /// An operating-system error on `path` while doing `action` ("open", "read", "rename", ...).
    pub fn io(action: &str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            std::io::ErrorKind::OutOfMemory => ErrorKind::OutOfMemory,
            _ => ErrorKind::Io,
        };
        Self::new(kind, format!("cannot {action}")).with_path(path).with_source(source)
    }

    /// Says that this machine is to blame, and not the data: no error policy passes over it.
    #[must_use]
    pub(crate) fn of_machine(mut self) -> Self {
        self.0.blame = Blame::Machine;
        self
    }

    /// Says that the data is to blame, and not the machine, though the kind says otherwise: an error policy passes over it.
    #[must_use]
    pub(crate) fn of_data(mut self) -> Self {
        self.0.blame = Blame::Data;
        self
    }

    /// True where time ran out: the same call may succeed where the machine is less busy.
    pub(crate) fn is_out_of_time(&self) -> bool {
        self.0.kind == ErrorKind::LimitExceeded && self.0.blame == Blame::Machine
    }

    /// Puts what it comes to before the message; kind, place and cause stay.
    #[must_use]
    pub(crate) fn in_context(mut self, context: &str) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// Names the file. The innermost name stays.
    #[must_use]
    pub fn with_path(mut self, path: impl AsRef<Path>) -> Self {
        self.0.path.get_or_insert_with(|| path.as_ref().to_owned());
        self
    }

    /// Names the record. The innermost name stays.
    #[must_use]
    pub fn with_record(mut self, key: impl Into<String>) -> Self {
        self.0.record.get_or_insert_with(|| key.into());
        self
    }

    /// Gives the byte offset in the file. The innermost offset stays.
    #[must_use]
    pub fn with_offset(mut self, offset: u64) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same once more, its causes in the message.
    pub(crate) fn again(&self) -> Self {
        let Inner { kind, blame, ref message, ref record, offset, ref path, .. } = *self.0;
        let mut message = message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        let (record, path) = (record.clone(), path.clone());
        Self(Box::new(Inner { kind, blame, message, record, offset, path, source: None }))
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message without kind, place and cause.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The file, where one is to blame.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The record, where one is to blame.
    pub fn record(&self) -> Option<&str> {
        self.0.record.as_deref()
    }

    /// The byte offset in the file, where one is known.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// True where the data is to blame, so that an error policy may pass over the record: bytes that are damaged, packets that a
    /// decoder refuses, a budget of packets, frames, pixels or bytes. All of these are the same on every machine. False for what this
    /// build or machine cannot do: `Unsupported`, `OutOfMemory`, a budget of time.
    pub fn is_data_error(&self) -> bool {
        match self.0.blame {
            Blame::Data => true,
            Blame::Machine => false,
            Blame::OfKind => {
                matches!(self.0.kind, ErrorKind::Corrupt | ErrorKind::Decode | ErrorKind::LimitExceeded)
            }
        }
    }

    /// True where the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Io | ErrorKind::OutOfMemory) || self.is_out_of_time()
    }

    /// The whole chain on one line: this error, then its causes.
    pub fn report(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&Shown(&error.to_string()).to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Shown(&self.0.message))?;
        if let Some(record) = &self.0.record {
            write!(f, ", record '{}'", Shown(record))?;
        }
        if let Some(offset) = self.0.offset {
            write!(f, ", byte {offset}")?;
        }
        if let Some(path) = &self.0.path {
            write!(f, ", in '{}'", Shown(&path.to_string_lossy()))?;
        }
        Ok(())
    }
}

/// Text of strangers on one line: names of files, keys, columns, what a decoder says. What would move the cursor, set a colour, end
/// the line or turn the direction of the text is written as an escape of Rust, so that a message says what it seems to say.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(pub &'a str);

impl Shown<'_> {
    /// True of characters that are not written as they are.
    pub fn is_escaped(c: char) -> bool {
        let turns =
            matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| Self::is_escaped(c)) {
            let (before, behind) = rest.split_at(at);
            write!(f, "{before}{}", c.escape_default())?;
            rest = behind.strip_prefix(c).unwrap_or_default();
        }
        f.write_str(rest)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_gives_the_place_and_leaves_the_cause_to_source() {
        let error = Error::io("read", "a.tar", std::io::Error::other("boom")).with_record("k").with_offset(7);
        assert_eq!(error.to_string(), "cannot read, record 'k', byte 7, in 'a.tar'");
        assert_eq!(error.report(), "cannot read, record 'k', byte 7, in 'a.tar': boom");
    }

    #[test]
    fn names_cannot_speak_to_a_terminal() {
        let cause = std::io::Error::other("\u{9b}31m\u{7f}");
        let error = Error::corrupt("column '\u{1b}[2J' is bad")
            .with_record("k\n")
            .with_path("d\r/日本\u{202e}4pm")
            .with_source(cause);
        assert_eq!(
            error.report(),
            r"column '\u{1b}[2J' is bad, record 'k\n', in 'd\r/日本\u{202e}4pm': \u{9b}31m\u{7f}"
        );
        assert_eq!(Shown("plain é 🎥\u{200d}").to_string(), "plain é 🎥\u{200d}");
        assert_eq!(Shown("\u{1b}\u{1b}a\u{1b}").to_string(), r"\u{1b}\u{1b}a\u{1b}");
    }

    #[test]
    fn data_is_to_blame_for_damage_and_for_its_own_size_and_for_nothing_else() {
        let (data, limit) = ([ErrorKind::Corrupt, ErrorKind::Decode], Error::new(ErrorKind::LimitExceeded, "too much"));
        for kind in [
            ErrorKind::NotFound,
            ErrorKind::Conflict,
            ErrorKind::Corrupt,
            ErrorKind::Unsupported,
            ErrorKind::InvalidArgument,
            ErrorKind::Decode,
            ErrorKind::Device,
            ErrorKind::OutOfMemory,
            ErrorKind::Closed,
            ErrorKind::Io,
        ] {
            assert_eq!(Error::new(kind, "").is_data_error(), data.contains(&kind), "{kind:?}");
        }
        assert!(limit.is_data_error() && !limit.is_retryable());
        assert!(Error::unsupported("").of_data().is_data_error());
        let late = Error::new(ErrorKind::LimitExceeded, "too late").of_machine();
        // Whatever is added to it on its way.
        let late = late.with_path("a").with_record("b").with_offset(1).in_context("c").again();
        assert!(!late.is_data_error() && late.is_retryable() && late.is_out_of_time());
    }

    #[test]
    fn the_innermost_place_stays() {
        let error = Error::corrupt("bad").with_path("inner").with_path("outer").with_offset(1).with_offset(2);
        assert_eq!(error.path(), Some(Path::new("inner")));
        assert_eq!(error.offset(), Some(1));
    }
}
