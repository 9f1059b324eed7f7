//! The output folder: what lies where, whether it is ours, and the lock that keeps a second run out.
//!
//! ```text
//! OUT/manifest.json, index.arrow, shards/<id>.tar      the dataset
//! OUT/shards/.<id>.tar.new                             a shard that is whole and waits to be put in its place
//! OUT/.framefeed/lock                                  locked while a conversion runs; holds its process number
//! OUT/.framefeed/plan.json                             the plan
//! OUT/.framefeed/units/<id>.json                       what each finished unit did
//! OUT/.framefeed/tmp/<id>/                             clips of units under way
//! OUT/.framefeed/failures.jsonl                        what is not in the dataset, and why
//! ```

use crate::format::{MANIFEST_FILE, refuse_link, sync_folder};
use crate::shard::{FolderLock, PLAN_FILE, STATE_FOLDER, WRITER_MARK};
use crate::{Error, ErrorKind, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The output folder, locked. The lock goes with it, and with the process.
#[derive(Debug)]
pub(crate) struct OutFolder {
    root: PathBuf,
    lock: FolderLock,
    /// What a person should know about this run.
    notes: Mutex<Vec<String>>,
}

impl OutFolder {
    /// Creates the folder where it is missing, refuses it where it holds something else, and locks it.
    pub(crate) fn claim(root: &Path) -> Result<Self> {
        let state = root.join(STATE_FOLDER);
        match fs::read_dir(root) {
            Ok(mut entries) => {
                if !state.is_dir() && entries.next().is_some() {
                    let message = if root.join(MANIFEST_FILE).exists() {
                        "the output folder is another dataset"
                    } else {
                        "the output folder is not empty, and no conversion left it"
                    };
                    return Err(Error::new(ErrorKind::Conflict, message).with_path(root));
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
                return Err(Error::new(ErrorKind::Conflict, "the output folder is a file").with_path(root));
            }
            Err(e) => return Err(Error::io("open", root, e)),
        }
        let lock = FolderLock::take(root)?;
        if state.join(WRITER_MARK).exists() {
            let message = "the output folder is that of a writer of tensors which has not finished";
            return Err(Error::new(ErrorKind::Conflict, message).with_path(root));
        }
        let out = Self { root: root.to_owned(), lock, notes: Mutex::default() };
        out.notes.lock().unwrap_or_else(PoisonError::into_inner).extend(out.lock.note());
        for folder in [state.join("units"), state.join("tmp")] {
            refuse_link(&folder)?;
        }
        for folder in [out.root.join("shards"), state.join("units"), state.join("tmp")] {
            fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        }
        Ok(out)
    }

    /// Says something that a person should know about this run: in the log, and in its report.
    pub(crate) fn note(&self, note: String) {
        tracing::warn!("{note}");
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    }

    /// What was said.
    pub(crate) fn notes(self) -> Vec<String> {
        self.notes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn plan(&self) -> PathBuf {
        self.root.join(STATE_FOLDER).join(PLAN_FILE)
    }

    pub(crate) fn failures(&self) -> PathBuf {
        self.root.join(STATE_FOLDER).join("failures.jsonl")
    }

    pub(crate) fn unit_report(&self, id: &str) -> PathBuf {
        self.root.join(STATE_FOLDER).join("units").join(format!("{id}.json"))
    }

    /// Where the clips of a unit wait to be appended.
    pub(crate) fn unit_tmp(&self, id: &str) -> PathBuf {
        self.tmp().join(id)
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join(STATE_FOLDER).join("tmp")
    }

    /// A shard's path from the dataset's folder, as the manifest names it.
    pub(crate) fn shard_file(id: &str) -> String {
        format!("shards/{id}.tar")
    }

    pub(crate) fn shard(&self, id: &str) -> PathBuf {
        self.root.join(Self::shard_file(id))
    }

    /// Where a shard is written. It lies beside its place, so that [`place_shard`](Self::place_shard) is one rename.
    pub(crate) fn new_shard(&self, id: &str) -> PathBuf {
        self.root.join("shards").join(format!(".{id}{NEW_SHARD}"))
    }

    /// Puts a new shard in its place.
    pub(crate) fn place_shard(&self, id: &str) -> Result<()> {
        let (new, path) = (self.new_shard(id), self.shard(id));
        fs::rename(&new, &path).map_err(|e| Error::io("rename to", &path, e))?;
        sync_folder(&path)
    }

    /// Removes the clips of a unit that is done, or is not to be done any more.
    pub(crate) fn remove_unit_tmp(&self, id: &str) -> Result<()> {
        remove_existing(&self.unit_tmp(id), |folder| fs::remove_dir_all(folder))
    }
}

/// How the name of a new shard ends.
pub(crate) const NEW_SHARD: &str = ".tar.new";

/// Removes what lies at `path`, where anything does.
pub(crate) fn remove_existing(path: &Path, remove: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    match remove(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_claim_is_refused_and_names_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("new/out");
        let first = OutFolder::claim(&root).unwrap();
        let error = OutFolder::claim(&root).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(first);
        OutFolder::claim(&root).unwrap();
    }

    #[test]
    fn folders_that_hold_something_else_are_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "x").unwrap();
        assert_eq!(OutFolder::claim(dir.path()).unwrap_err().kind(), ErrorKind::Conflict);
        fs::write(dir.path().join(MANIFEST_FILE), "x").unwrap();
        let error = OutFolder::claim(dir.path()).unwrap_err();
        assert!(error.to_string().contains("another dataset"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert_eq!(OutFolder::claim(&dir.path().join("thesis.tex")).unwrap_err().kind(), ErrorKind::Conflict);
    }
}
