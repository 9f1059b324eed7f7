//! A file to read, made for the purpose.

use super::work::Random;
use crate::cli::bench::common::stop_if_asked;
use framefeed::{Error, Result};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Name of the file that `--create` makes.
const CREATED_FILE: &str = "framefeed-bench.dat";

/// The file that `--create` made; removed when dropped.
pub(super) struct Created {
    pub path: PathBuf,
    keep: bool,
}

impl Created {
    /// Writes `size` bytes that do not compress, and sees to it that they are on the device.
    pub(super) fn make(folder: &Path, size: u64, seed: u64, keep: bool) -> Result<Self> {
        if !folder.is_dir() {
            return Err(Error::invalid("--create makes a file in a folder, and this is none").with_path(folder));
        }
        let path = folder.join(CREATED_FILE);
        let mut file = std::fs::File::create_new(&path).map_err(|error| Error::io("create", &path, error))?;
        // From here on, dropping it removes the file.
        let mut created = Self { path, keep: false };
        let mut random = Random(seed);
        let mut chunk = vec![0_u8; 4 << 20];
        let mut left = size;
        while left > 0 {
            stop_if_asked()?;
            for word in chunk.chunks_exact_mut(8) {
                word.copy_from_slice(&random.next().to_le_bytes());
            }
            let piece = left.min(chunk.len() as u64) as usize;
            file.write_all(&chunk[..piece]).map_err(|error| Error::io("write", &created.path, error))?;
            left -= piece as u64;
        }
        file.sync_all().map_err(|error| Error::io("sync", &created.path, error))?;
        created.keep = keep;
        Ok(created)
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!("cannot remove '{}': {error}", self.path.display());
        }
    }
}
