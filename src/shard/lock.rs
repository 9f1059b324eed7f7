//! One writer at a time in a dataset's folder, across processes.
//!
//! The lock is `flock` on `.framefeed/lock`. Where the file system has none (Lustre without `flock`, NFS without a lock
//! daemon), it is a file `.framefeed/lock.holder` that exists as long as its writer: see [`holder`](super::holder).

use super::holder::Holder;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{open_own_file, refuse_link};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::Once;

/// Folder, in a dataset's, of the writers' own files.
pub(crate) const STATE_FOLDER: &str = ".framefeed";

/// In the state folder while a writer of tensors is at work, or has died: what is in the folder is its own.
pub(crate) const WRITER_MARK: &str = "writer";
/// In the state folder of a conversion: its plan.
pub(crate) const PLAN_FILE: &str = "plan.json";

/// What `flock` says where a file system does not have it.
const NOT_OFFERED: [Errno; 4] = [Errno::NOSYS, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOLCK];

/// The lock of a dataset's folder. It goes with this object, and with the process; children that were forked meanwhile do not
/// keep it.
#[derive(Debug)]
pub(crate) struct FolderLock {
    file: File,
    process: u32,
    /// Where there is no `flock`.
    holder: Option<Holder>,
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // The child's own drop must leave the lock alone.
        if std::process::id() != self.process {
            return;
        }
        let released = match &self.holder {
            Some(holder) => holder.release(),
            // Closing the file would not do while a child has it open too.
            None => flock(&self.file, FlockOperation::Unlock).map_err(Into::into),
        };
        if let Err(error) = released {
            tracing::warn!("cannot unlock a dataset's folder: {error}");
        }
    }
}

impl FolderLock {
    /// Takes the lock `.framefeed/lock` of a folder; makes both where they are missing.
    ///
    /// # Errors
    /// `Conflict` that names the process which holds it, or where the lock's file is a link; `Io`.
    pub(crate) fn take(root: &Path) -> Result<Self> {
        Self::take_by(root, |file| flock(file, FlockOperation::NonBlockingLockExclusive))
    }

    fn take_by(root: &Path, lock: impl FnOnce(&File) -> rustix::io::Result<()>) -> Result<Self> {
        let state = root.join(STATE_FOLDER);
        refuse_link(&state)?;
        fs::create_dir_all(&state).map_err(|error| Error::io("create", &state, error))?;
        let path = state.join("lock");
        // Its content is replaced.
        let mut file = open_own_file(&path, OpenOptions::new().read(true).write(true).create(true).truncate(false))?;
        let process = std::process::id();
        let holder = match lock(&file) {
            Ok(()) => None,
            Err(Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder); // only for the message
                let by = match holder.trim() {
                    "" => String::new(),
                    pid => format!(" (process {pid})"),
                };
                let message = format!("another writer{by} is at work in the folder");
                return Err(Error::new(ErrorKind::Conflict, message).with_path(root));
            }
            Err(error) if NOT_OFFERED.contains(&error) => {
                static SAID: Once = Once::new();
                SAID.call_once(|| tracing::warn!("a file system has no locks: a file keeps other writers out instead"));
                Some(Holder::take(&state)?)
            }
            Err(error) => return Err(Error::io("lock", &path, error.into())),
        };
        let lock = Self { file, process, holder };
        let mut file = &lock.file;
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(process.to_string().as_bytes()))
            .map_err(|error| Error::io("write", &path, error))?;
        Ok(lock)
    }

    /// What a person should know about the lock: that the file system has none of its own.
    pub(crate) fn note(&self) -> Option<String> {
        self.holder.as_ref().map(|holder| {
            format!(
                "the file system has no locks: '{}' keeps other writers out; after a crash of the machine it may have to be \
                 removed by hand",
                holder.path().display()
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_lock_file_that_is_another_file_is_refused_and_the_other_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (root, other) = (dir.path().join("set"), dir.path().join("thesis.tex"));
        fs::write(&other, "years of work").unwrap();
        let lock = root.join(".framefeed/lock");
        fs::create_dir_all(lock.parent().unwrap()).unwrap();
        for word in ["symbolic link", "hard link"] {
            if word == "hard link" { fs::hard_link(&other, &lock) } else { symlink(&other, &lock) }.unwrap();
            let error = FolderLock::take(&root).unwrap_err();
            assert_eq!((error.kind(), error.path()), (ErrorKind::Conflict, Some(&*lock)));
            assert!(error.to_string().contains(word), "{error}");
            assert_eq!(fs::read_to_string(&other).unwrap(), "years of work");
            fs::remove_file(&lock).unwrap();
        }
        // A link to nowhere would make a file there.
        symlink(dir.path().join("new"), &lock).unwrap();
        assert_eq!(FolderLock::take(&root).unwrap_err().kind(), ErrorKind::Conflict);
        assert!(!dir.path().join("new").exists());
        fs::remove_file(&lock).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &lock, rustix::fs::Mode::RWXU).unwrap();
        assert_eq!(FolderLock::take(&root).unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[test]
    fn a_state_folder_that_is_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (root, other) = (dir.path().join("set"), dir.path().join("other"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&other).unwrap();
        symlink(&other, root.join(".framefeed")).unwrap();
        let error = FolderLock::take(&root).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
    }

    #[test]
    fn without_flock_there_is_one_writer_all_the_same() {
        for errno in NOT_OFFERED {
            let dir = tempfile::tempdir().unwrap();
            let take = || FolderLock::take_by(dir.path(), |_| Err(errno));
            let first = take().unwrap();
            assert!(first.note().unwrap().contains("no locks"));
            let error = take().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict);
            let process = std::process::id().to_string();
            assert!(error.to_string().starts_with("another writer") && error.to_string().contains(&process), "{error}");
            drop(first);
            drop(take().unwrap());
        }
        let dir = tempfile::tempdir().unwrap();
        let error = FolderLock::take_by(dir.path(), |_| Err(Errno::IO)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
    }
}
