//! One writer at a time in a dataset's folder, across processes.

use crate::error::{Error, ErrorKind, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

/// Folder, in a dataset's, of the writers' own files.
pub(crate) const STATE_FOLDER: &str = ".framefeed";

/// In the state folder while a writer of tensors is at work, or has died: what is in the folder is its own.
pub(crate) const WRITER_MARK: &str = "writer";
/// In the state folder of a conversion: its plan.
pub(crate) const PLAN_FILE: &str = "plan.json";

/// The lock of a dataset's folder. It goes with this object, and with the process; children that were forked meanwhile do not
/// keep it.
#[derive(Debug)]
pub(crate) struct FolderLock {
    file: File,
    process: u32,
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Closing the file would not do while a child has it open too. The child's own drop must leave the lock alone.
        if std::process::id() == self.process
            && let Err(error) = rustix::fs::flock(&self.file, rustix::fs::FlockOperation::Unlock)
        {
            tracing::warn!("cannot unlock a dataset's folder: {error}");
        }
    }
}

impl FolderLock {
    /// Takes the lock `.framefeed/lock` of a folder; makes both where they are missing.
    ///
    /// # Errors
    /// `Conflict` that names the process which holds it; `Io`.
    pub(crate) fn take(root: &Path) -> Result<Self> {
        let state = root.join(STATE_FOLDER);
        fs::create_dir_all(&state).map_err(|error| Error::io("create", &state, error))?;
        let path = state.join("lock");
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(|error| Error::io("open", &path, error))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder); // only for the message
                let by = match holder.trim() {
                    "" => String::new(),
                    pid => format!(" (process {pid})"),
                };
                let message = format!("another writer{by} is at work in the folder");
                return Err(Error::new(ErrorKind::Conflict, message).with_path(root));
            }
            Err(error) => return Err(Error::io("lock", &path, error.into())),
        }
        let process = std::process::id();
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(process.to_string().as_bytes()))
            .map_err(|error| Error::io("write", &path, error))?;
        Ok(Self { file, process })
    }
}
