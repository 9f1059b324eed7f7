//! One writer at a time in a dataset's folder, across processes.

use crate::error::{Error, ErrorKind, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

/// Folder, in a dataset's, of the writers' own files.
pub(crate) const STATE_FOLDER: &str = ".framefeed";

/// The lock of a dataset's folder. It goes with this object, and with the process.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
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
        let pid = std::process::id().to_string();
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(pid.as_bytes()))
            .map_err(|error| Error::io("write", &path, error))?;
        Ok(Self { _file: file })
    }
}
