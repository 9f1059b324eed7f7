//! Files that are made under names which anybody can guess: never through a link that lies there, and never over the
//! content of a file that has another name as well.

use crate::error::{Error, ErrorKind, Result};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// A new, empty file at `path`, to be read and written. What lay there is removed, not written to.
pub(crate) fn create_new_file(path: &Path) -> Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::io("replace", path, error)),
        _ => {}
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path);
    file.map_err(|error| Error::io("create", path, error))
}

/// Opens a file of ours that is to be written to. It must be nobody else's.
///
/// # Errors
/// `Conflict` where the name is that of a link, of a file that has another name as well, or of no regular file.
pub(crate) fn open_own_file(path: &Path, options: &mut OpenOptions) -> Result<File> {
    let conflict = |what: &str| Err(Error::new(ErrorKind::Conflict, what).with_path(path));
    let file = match options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return conflict(LINK),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let metadata = file.metadata().map_err(|error| Error::io("open", path, error))?;
    if !metadata.is_file() {
        return conflict("is no regular file: remove it");
    }
    if metadata.nlink() > 1 {
        return conflict("has another name as well (a hard link), under which it would be changed: remove it");
    }
    Ok(file)
}

const LINK: &str = "is a symbolic link, which is not followed: remove it";

/// # Errors
/// `Conflict` where `path` is a symbolic link: what is removed or written in that folder would be somebody else's.
pub(crate) fn refuse_link(path: &Path) -> Result<()> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        return Err(Error::new(ErrorKind::Conflict, LINK).with_path(path));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_link_is_replaced_and_what_it_leads_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (other, path) = (dir.path().join("other"), dir.path().join("new"));
        fs::write(&other, "content").unwrap();
        let links: [fn(&Path, &Path) -> std::io::Result<()>; 2] =
            [|a, b| std::os::unix::fs::symlink(a, b), |a, b| fs::hard_link(a, b)];
        for link in links {
            link(&other, &path).unwrap();
            create_new_file(&path).unwrap().write_all(b"x").unwrap();
            assert_eq!((fs::read(&other).unwrap(), fs::read(&path).unwrap()), (b"content".to_vec(), b"x".to_vec()));
            fs::remove_file(&path).unwrap();
        }
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert_eq!(refuse_link(&path).unwrap_err().kind(), ErrorKind::Conflict);
        refuse_link(&other).unwrap();
    }
}
