//! The page cache: how much of a file is in it, and putting it there or out of it.
#![expect(unsafe_code, reason = "mincore looks at a mapping by address")]

use framefeed::{Error, Result};
use rustix::fs::Advice;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Bytes read at a time to fill the cache.
const WARM_BYTES: usize = 4 << 20;

/// One file and what can be read of it.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub path: PathBuf,
    pub len: u64,
}

/// Whether files are to be in the page cache before they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CacheState {
    /// Not at all, as far as the kernel lets go of them.
    Cold,
    /// Whole, as far as there is room.
    Warm,
    /// However they are.
    AsIs,
}

/// Makes the page cache cold or warm, and gives the share of the files' bytes that it holds then.
pub(super) fn prepare(files: &[Source], state: CacheState) -> Result<f64> {
    let (mut cached, mut total) = (0.0, 0.0);
    for Source { path, len } in files {
        match state {
            CacheState::Cold => drop_pages(path)?,
            CacheState::Warm if cached_share(path)? < 1.0 => fill(path)?,
            CacheState::Warm | CacheState::AsIs => {}
        }
        cached += cached_share(path)? * *len as f64;
        total += *len as f64;
    }
    Ok(if total > 0.0 { cached / total } else { 0.0 })
}

/// Share of a file's pages that are in the page cache, 0 to 1; 0 for what cannot be mapped (empty files, devices).
fn cached_share(path: &Path) -> Result<f64> {
    let failed = |action: &str, error| Error::io(action, path, error);
    let file = File::open(path).map_err(|error| failed("open", error))?;
    let len = file.metadata().map_err(|error| failed("look at", error))?.len();
    if len == 0 {
        return Ok(0.0);
    }
    // SAFETY: the mapping is looked at by mincore alone, which reads no byte of it: no change of the file matters.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|error| failed("map", error))?;
    let page = rustix::param::page_size();
    let mut pages = vec![0_u8; map.len().div_ceil(page)];
    // SAFETY: the range is the whole mapping, which lives through the call, and `pages` has a byte for each of its pages.
    let answer = unsafe { libc::mincore(map.as_ptr().cast_mut().cast(), map.len(), pages.as_mut_ptr()) };
    if answer != 0 {
        return Err(failed("look at the cache of", std::io::Error::last_os_error()));
    }
    let cached = pages.iter().filter(|&&page| page & 1 == 1).count();
    Ok(cached as f64 / pages.len() as f64)
}

/// Asks the kernel to drop a file's pages. What is dirty or in use stays; `cached_share` tells.
fn drop_pages(path: &Path) -> Result<()> {
    let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    file.sync_all().map_err(|error| Error::io("sync", path, error))?;
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).map_err(|error| Error::io("advise on", path, error.into()))
}

/// Reads a file once, so that its pages are in the cache as far as there is room.
fn fill(path: &Path) -> Result<()> {
    let mut file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let mut buffer = vec![0; WARM_BYTES];
    while file.read(&mut buffer).map_err(|error| Error::io("read", path, error))? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_just_written_and_read_is_cached_and_can_be_dropped() {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, vec![1; 1 << 20]).unwrap();
        fill(&path).unwrap();
        assert!((cached_share(&path).unwrap() - 1.0).abs() < 1e-9);
        drop_pages(&path).unwrap();
        // A file system in memory keeps its pages whatever it is asked.
        let share = cached_share(&path).unwrap();
        assert!(share < 0.5 || super::super::machine::Machine::of(&path).file_system.contains("tmpfs"), "{share}");
        std::fs::write(&path, b"").unwrap();
        assert!(cached_share(&path).unwrap().abs() < 1e-9);
    }
}
