//! A lock for file systems without `flock`: a file that is created with `O_EXCL`, which every file system makes one process
//! win, and removed by its writer. It names that writer: machine, boot, process namespace, process and the time when that
//! started. So a writer that died is told from one that lives, where it was on this machine; elsewhere only a person knows.

use crate::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Name of the file in the state folder.
const HOLDER_FILE: &str = "lock.holder";
/// Held for the moment in which the file of a dead writer is removed, so that nobody removes that of the next writer.
const TAKEOVER_FILE: &str = "lock.takeover";

/// Who writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Writer {
    host: String,
    /// Another one after each start of the machine.
    boot: String,
    /// Processes are numbered anew in each namespace.
    namespace: String,
    process: u32,
    /// In the kernel's ticks since boot: numbers of processes are used again.
    started: u64,
}

impl Writer {
    fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let process = std::process::id();
        Self {
            host: read("/proc/sys/kernel/hostname"),
            boot: read("/proc/sys/kernel/random/boot_id"),
            namespace: fs::read_link("/proc/self/ns/pid").unwrap_or_default().to_string_lossy().into_owned(),
            process,
            started: started(process).unwrap_or(0),
        }
    }

    /// True where it is sure that the writer is no more, which only its own machine can tell.
    fn is_dead(&self) -> bool {
        let this = Self::this();
        if self.host != this.host || self.host.is_empty() || self.boot.is_empty() {
            return false;
        }
        if self.boot != this.boot {
            return true;
        }
        // Without a start time of ours, `/proc` cannot be read here.
        self.namespace == this.namespace && this.started != 0 && started(self.process) != Some(self.started)
    }
}

/// When a process started; `None` where there is none of that number.
fn started(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in brackets may hold anything; 20 fields behind it stands the time.
    text.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The lock, held.
#[derive(Debug)]
pub(super) struct Holder {
    path: PathBuf,
    writer: Writer,
}

impl Holder {
    /// # Errors
    /// `Conflict` that names the writer; `Io`.
    pub(super) fn take(state: &Path) -> Result<Self> {
        let this = Self { path: state.join(HOLDER_FILE), writer: Writer::this() };
        if this.create()? {
            return Ok(this);
        }
        if read(&this.path)?.is_some_and(|writer| writer.is_dead()) {
            remove_dead(&this.path, &state.join(TAKEOVER_FILE))?;
            if this.create()? {
                return Ok(this);
            }
        }
        Err(this.conflict(read(&this.path)?))
    }

    fn conflict(&self, writer: Option<Writer>) -> Error {
        let message = match writer {
            Some(Writer { process, host, .. }) if host == self.writer.host => {
                format!("another writer (process {process}) is at work in the folder")
            }
            Some(Writer { process, host, .. }) => format!(
                "another writer (process {process} on '{host}') is at work in the folder; if it is not, remove the file"
            ),
            None => "another writer is beginning or has just ended; if there is none, remove the file".to_owned(),
        };
        Error::new(ErrorKind::Conflict, message).with_path(&self.path)
    }

    /// False where the file is there already.
    fn create(&self) -> Result<bool> {
        let failed = |error| Error::io("create", &self.path, error);
        let Some(mut file) = create_new(&self.path).map_err(failed)? else { return Ok(false) };
        let text = serde_json::to_vec(&self.writer)
            .map_err(|error| Error::invalid("the lock's holder cannot be written down").with_source(error))?;
        if let Err(error) = file.write_all(&text).and_then(|()| file.sync_all()) {
            let _ = fs::remove_file(&self.path);
            return Err(Error::io("write", &self.path, error));
        }
        Ok(true)
    }

    /// Removes the file, if it is still this one's.
    pub(super) fn release(&self) -> io::Result<()> {
        match fs::read(&self.path) {
            Ok(bytes) if serde_json::from_slice::<Writer>(&bytes).is_ok_and(|writer| writer == self.writer) => {
                fs::remove_file(&self.path)
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// `None` where something of that name is there already, be it a link.
fn create_new(path: &Path) -> io::Result<Option<fs::File>> {
    match OpenOptions::new().write(true).create_new(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// The writer that holds the lock; `None` where it is gone, or has not written its name yet.
fn read(path: &Path) -> Result<Option<Writer>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path, error)),
    }
}

/// Removes the file of a dead writer. Whoever else saw it dead may have removed it and another writer begun: so this is
/// done by one process at a time, which looks again.
fn remove_dead(path: &Path, takeover: &Path) -> Result<()> {
    let failed = |error| Error::io("create", takeover, error);
    if create_new(takeover).map_err(failed)?.is_none() {
        let message = "another writer is just taking the folder over; if there is none, remove the file";
        return Err(Error::new(ErrorKind::Conflict, message).with_path(takeover));
    }
    let removed = read(path).and_then(|writer| match writer {
        Some(writer) if writer.is_dead() => fs::remove_file(path).map_err(|error| Error::io("remove", path, error)),
        _ => Ok(()),
    });
    fs::remove_file(takeover).map_err(|error| Error::io("remove", takeover, error))?;
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn leave(state: &Path, change: impl FnOnce(&mut Writer)) -> PathBuf {
        let mut writer = Writer::this();
        change(&mut writer);
        let path = state.join(HOLDER_FILE);
        fs::write(&path, serde_json::to_vec(&writer).unwrap()).unwrap();
        path
    }

    #[test]
    fn the_lock_of_a_dead_writer_is_taken_over_and_that_of_a_living_or_unknown_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let dead: [fn(&mut Writer); 3] = [
            |writer| writer.process = u32::MAX - 1,
            |writer| writer.started += 1,
            |writer| writer.boot = "another".to_owned(),
        ];
        for change in dead {
            let path = leave(dir.path(), change);
            let holder = Holder::take(dir.path()).unwrap();
            holder.release().unwrap();
            assert!(!path.exists());
        }
        let unknown: [fn(&mut Writer); 3] = [
            |_| {},
            |writer| {
                writer.host = "elsewhere".to_owned();
                writer.process = u32::MAX - 1;
            },
            |writer| {
                writer.namespace = "pid:[1]".to_owned();
                writer.process = u32::MAX - 1;
            },
        ];
        for change in unknown {
            let path = leave(dir.path(), change);
            let before = fs::read(&path).unwrap();
            let error = Holder::take(dir.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert_eq!(fs::read(&path).unwrap(), before);
        }
        fs::write(dir.path().join(HOLDER_FILE), "").unwrap();
        assert_eq!(Holder::take(dir.path()).unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[test]
    fn of_many_that_see_a_dead_writer_one_at_a_time_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let (holding, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        for _ in 0..50 {
            leave(dir.path(), |writer| writer.started += 1);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let Ok(holder) = Holder::take(dir.path()) else { return };
                        assert_eq!(holding.fetch_add(1, Ordering::SeqCst), 0);
                        taken.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(1));
                        holding.fetch_sub(1, Ordering::SeqCst);
                        holder.release().unwrap();
                    });
                }
            });
            let _ = fs::remove_file(dir.path().join(HOLDER_FILE));
        }
        assert!(taken.load(Ordering::SeqCst) >= 50);
    }
}
