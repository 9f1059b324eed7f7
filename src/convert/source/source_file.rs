//! The bytes of a source, as FFmpeg's demuxers read them. An error of the machine (EIO, ESTALE, ETIMEDOUT, a file that ends
//! before its size) is retried here, below the demuxer. One that stays is remembered for the thread, because a demuxer takes
//! many read errors for the end of the file: whatever it made of the file then must not be believed. [`watched`] sees to it.

use crate::ffmpeg;
use crate::{Error, ErrorKind, Result};
use ffmpeg_next as av;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long to wait before each further attempt.
pub(crate) const PAUSES: [Duration; 3] =
    [Duration::from_millis(20), Duration::from_millis(100), Duration::from_millis(400)];

/// Errors of the system that tell what a name stands for, or who may read it: facts about that source, which stay until
/// somebody changes them.
const ABOUT_THE_NAME: [i32; 10] = [
    libc::ENOENT,
    libc::EACCES,
    libc::EPERM,
    libc::ENOTDIR,
    libc::EISDIR,
    libc::ELOOP,
    libc::ENAMETOOLONG,
    libc::EINVAL,
    libc::ENXIO,
    libc::ENODEV,
];

thread_local! {
    /// The first read error that stayed, on this thread, since [`watched`] began.
    static TROUBLE: RefCell<Option<Error>> = const { RefCell::new(None) };
    /// Time spent waiting for bytes of sources, on this thread, since [`watched`] began, and when that was.
    static WAITED: Cell<(Duration, Option<Instant>)> = const { Cell::new((Duration::ZERO, None)) };
}

/// True where the machine is to blame (its disks, network, memory or table of files), not the source: the same call may
/// well succeed later.
pub(crate) fn is_of_the_machine(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::OutOfMemory => true,
        ErrorKind::Io => match system_error(error) {
            Some(cause) => match cause.raw_os_error() {
                Some(code) => !ABOUT_THE_NAME.contains(&code),
                // The file has become shorter than it was when it was opened.
                None => cause.kind() == io::ErrorKind::UnexpectedEof,
            },
            None => true,
        },
        _ => false,
    }
}

/// The system's error among the causes.
pub(crate) fn system_error(error: &Error) -> Option<&io::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(this) = cause {
        if let Some(found) = this.downcast_ref::<io::Error>() {
            return Some(found);
        }
        cause = this.source();
    }
    None
}

/// Does `work`, which reads sources on this thread. Where a source could not be read in it, that is the error, whatever
/// `work` made of it.
pub(crate) fn watched<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    TROUBLE.set(None);
    WAITED.set((Duration::ZERO, Some(Instant::now())));
    let result = work();
    match TROUBLE.take() {
        Some(trouble) => Err(trouble),
        None => result,
    }
}

/// The read error that [`watched`] will return, where there is one by now.
pub(crate) fn trouble() -> Option<Error> {
    TROUBLE.with_borrow(|trouble| trouble.as_ref().map(Error::again))
}

/// Whether this thread has waited for bytes of sources for most of the time since [`watched`] began.
pub(crate) fn has_mostly_waited() -> bool {
    let (waited, begun) = WAITED.get();
    begun.is_some_and(|begun| waited > begun.elapsed() / 2)
}

/// Attempts `call` again, after a pause, where the machine is to blame.
pub(crate) fn retried<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    for pause in PAUSES {
        match call() {
            Err(error) if is_of_the_machine(&error) => std::thread::sleep(pause),
            result => return result,
        }
    }
    call()
}

/// By which a file is known again when it is opened once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    len: u64,
    modified: Option<SystemTime>,
}

/// A source that is being read.
#[derive(Debug)]
pub(crate) struct SourceFile {
    path: PathBuf,
    file: File,
    identity: Identity,
    position: u64,
    /// The error that stayed: every later read fails at once.
    failed: Option<i32>,
}

impl SourceFile {
    /// Opens a regular file with something in it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (file, identity) = retried(|| open_regular(path))?;
        Ok(Self { path: path.to_owned(), file, identity, position: 0, failed: None })
    }

    /// Bytes of the file when it was opened.
    pub(crate) fn len(&self) -> u64 {
        self.identity.len
    }

    /// Reads at the position, with retries. There are bytes behind it.
    fn read_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let error = match self.file.read_at(buffer, self.position) {
                Ok(0) => {
                    let len = self.identity.len;
                    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the file ends here, but had {len} bytes"))
                }
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let Some(pause) = pauses.next() else { return Err(error) };
            std::thread::sleep(pause);
            // A handle that has become stale is of no use any more; the name may be.
            if let Ok((file, identity)) = open_regular(&self.path)
                && identity == self.identity
            {
                self.file = file;
            }
        }
    }
}

fn open_regular(path: &Path) -> Result<(File, Identity)> {
    let failed = |error| Error::io("open", path, error);
    // Looked at first, because opening a FIFO waits for a writer.
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(Error::invalid("is a folder, not a video").with_path(path));
    }
    if !metadata.is_file() {
        return Err(Error::invalid("is not a regular file").with_path(path));
    }
    if metadata.len() == 0 {
        return Err(Error::corrupt("the file is empty").with_path(path));
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    Ok((file, Identity { len: metadata.len(), modified: metadata.modified().ok() }))
}

impl Read for SourceFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(code) = self.failed {
            return Err(io::Error::from_raw_os_error(code));
        }
        let left = usize::try_from(self.identity.len.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        let Some(buffer) = buffer.get_mut(..count).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let begun = Instant::now();
        let read = self.read_on(buffer);
        let (waited, since) = WAITED.get();
        WAITED.set((waited.saturating_add(begun.elapsed()), since));
        match read {
            Ok(count) => {
                self.position = self.position.saturating_add(count as u64);
                Ok(count)
            }
            Err(error) => {
                let code = error.raw_os_error().unwrap_or(libc::EIO);
                self.failed = Some(code);
                let trouble = Error::new(ErrorKind::Io, "cannot read").with_source(error);
                let trouble = trouble.with_path(&self.path).with_offset(self.position);
                TROUBLE.with_borrow_mut(|slot| _ = slot.get_or_insert(trouble));
                Err(io::Error::from_raw_os_error(code))
            }
        }
    }
}

impl Seek for SourceFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(step) => self.position.checked_add_signed(step),
            SeekFrom::End(step) => self.identity.len.checked_add_signed(step),
        };
        self.position = place.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

/// Opens `path` as the ffmpeg command does, with its defaults; blocking reads end at `deadline`.
pub(crate) fn open_input(path: &Path, deadline: Instant, ignore_edit_list: bool) -> Result<av::format::context::Input> {
    ffmpeg::init();
    ffmpeg::begin_messages();
    let name = path.to_str().ok_or_else(|| Error::unsupported("path is not valid UTF-8").with_path(path))?;
    let mut options = av::Dictionary::new();
    // As the ffmpeg command does for transport streams; other demuxers ignore it.
    options.set("scan_all_pmts", "1");
    // A source is one file: no playlist, no pattern, nothing on a network.
    options.set("protocol_whitelist", "file");
    options.set("format_whitelist", ffmpeg::single_file_formats());
    options.set("pattern_type", "none");
    if ignore_edit_list {
        options.set("ignore_editlist", "1");
    }
    // `file:` keeps names with a colon from being taken for a protocol.
    let url = format!("file:{name}");
    let interrupt = move || Instant::now() > deadline;
    let file = SourceFile::open(path)?;
    let opened = av::format::context::StreamIo::from_read_seek(file)
        .and_then(|io| av::format::input_from_stream_with_interrupt(io, Some(&url), Some(options), interrupt));
    // What was found out without the bytes that could not be read is not to be believed.
    if let Some(trouble) = trouble() {
        return Err(trouble);
    }
    opened.map_err(|error| {
        read_failure(error).unwrap_or_else(|| Error::decode(ffmpeg::message_of(error))).with_path(path)
    })
}

/// The error that FFmpeg's `error` is where the source is not to blame: out of time or out of memory. Read errors of
/// the machine are [`trouble`]; demuxers use the same numbers for damage.
pub(crate) fn read_failure(error: av::Error) -> Option<Error> {
    match error {
        av::Error::Exit => Some(out_of_time()),
        // A damaged file may ask for more memory than any machine has.
        av::Error::Other { errno: libc::ENOMEM } if Vec::<u8>::new().try_reserve_exact(64 << 20).is_err() => {
            Some(Error::new(ErrorKind::OutOfMemory, "no memory to read the source"))
        }
        _ => None,
    }
}

/// The deadline has passed. Where most of the time went into waiting for bytes, the machine is to blame.
pub(crate) fn out_of_time() -> Error {
    if has_mostly_waited() {
        return Error::new(ErrorKind::Io, "cannot read: its bytes came so slowly that the time for it is used up");
    }
    Error::new(ErrorKind::LimitExceeded, "converting takes longer than any ordinary file of its size")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_file_that_is_cut_while_it_is_read_is_trouble_and_no_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, [7; 1000]).unwrap();
        let error = watched(|| {
            let mut file = SourceFile::open(&path)?;
            let mut bytes = [0; 600];
            assert_eq!(file.read(&mut bytes).unwrap(), 600);
            File::options().write(true).open(&path).unwrap().set_len(600).unwrap();
            assert!(file.read(&mut bytes).is_err());
            assert_eq!(trouble().unwrap().offset(), Some(600));
            // As a demuxer does that takes it for the end.
            Ok(())
        });
        let error = error.unwrap_err();
        assert!(is_of_the_machine(&error), "{error}");
        assert_eq!((error.kind(), error.offset(), error.path()), (ErrorKind::Io, Some(600), Some(&*path)));
        watched(|| Ok(())).unwrap();
    }

    #[test]
    fn bytes_behind_the_size_at_opening_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, [7; 1000]).unwrap();
        let mut file = SourceFile::open(&path).unwrap();
        File::options().append(true).open(&path).unwrap().write_all(&[8; 10]).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [7; 1000]);
        assert_eq!(file.seek(SeekFrom::End(-10)).unwrap(), 990);
        assert!(file.seek(SeekFrom::Current(-991)).is_err());
    }

    #[test]
    fn errors_of_the_machine_are_told_from_those_of_a_name_and_retried() {
        let of = |code| Error::io("read", "a", io::Error::from_raw_os_error(code));
        for code in [libc::EIO, libc::ESTALE, libc::ETIMEDOUT, libc::EMFILE, libc::ENOMEM, libc::ENOTCONN] {
            assert!(is_of_the_machine(&of(code)), "{code}");
            let mut calls = 0;
            let mut third = || {
                calls += 1;
                if calls < 3 { Err(of(code)) } else { Ok(calls) }
            };
            assert_eq!(retried(&mut third).unwrap(), 3);
        }
        for code in [libc::ENOENT, libc::EACCES, libc::ENOTDIR] {
            assert!(!is_of_the_machine(&of(code)), "{code}");
        }
        assert!(!is_of_the_machine(&Error::corrupt("x")));
    }
}
