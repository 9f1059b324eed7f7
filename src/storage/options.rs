//! What a [`Storage`](super::Storage) is to be.

use crate::error::{Error, Result};

/// How bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum EngineKind {
    /// [`Uring`](Self::Uring) where the kernel allows it, else [`Pread`](Self::Pread); which one it became is said once in
    /// the log and always by [`Storage::describe`](super::Storage::describe).
    #[default]
    Auto,
    /// An io_uring ring per engine. An error where the kernel refuses it.
    Uring,
    /// Positional reads on a few threads per engine.
    Pread,
    /// Memory-mapped files. For files in the page cache or on tmpfs; see the module's warning about files that shrink.
    Mmap,
    /// Files read whole when opened, or put in by [`Storage::put`](super::Storage::put).
    Memory,
}

impl EngineKind {
    /// The name as options and logs spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Uring => "uring",
            Self::Pread => "pread",
            Self::Mmap => "mmap",
            Self::Memory => "memory",
        }
    }
}

impl std::str::FromStr for EngineKind {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        [Self::Auto, Self::Uring, Self::Pread, Self::Mmap, Self::Memory]
            .into_iter()
            .find(|kind| kind.as_str() == name)
            .ok_or_else(|| {
                Error::invalid(format!("storage engine '{name}' is none of auto, uring, pread, mmap, memory"))
            })
    }
}

/// Whether reads of `uring` and `pread` go past the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DirectIo {
    /// What is believed best: through the page cache.
    #[default]
    Auto,
    /// Past the page cache, file by file, where the file system says how (`STATX_DIOALIGN`); through it elsewhere (tmpfs).
    On,
    /// Through the page cache.
    Off,
}

/// Options of a [`Storage`](super::Storage).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageOptions {
    /// How bytes are read. Default [`EngineKind::Auto`].
    pub engine: EngineKind,
    /// Whether the page cache is passed by. Default [`DirectIo::Auto`].
    pub direct_io: DirectIo,
    /// Reads that one engine holds at once, 1 to 4096. Default 64: more than keeps an NVMe device busy with large reads.
    pub depth: usize,
    /// Threads of one `pread` engine, 0 to 256. Default 4. With 0 there are none: `wait` performs the next read in the caller's
    /// thread, best where the bytes are in memory already (tmpfs, a warm page cache) and the caller looks at them next.
    pub pread_threads: usize,
    /// Longest read, in bytes, at most 2^40. A longer one is refused before anything is allocated. Default 1 GiB.
    pub max_read_bytes: usize,
    /// Memory kept for the next reads, in bytes. Default 64 MiB. What is in use is bounded by `depth`, by the lengths asked
    /// for and by how long the caller keeps them.
    pub max_idle_bytes: usize,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            engine: EngineKind::Auto,
            direct_io: DirectIo::Auto,
            depth: 64,
            pread_threads: 4,
            max_read_bytes: 1 << 30,
            max_idle_bytes: 64 << 20,
        }
    }
}

impl StorageOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets [`engine`](Self::engine).
    #[must_use]
    pub fn engine(mut self, engine: EngineKind) -> Self {
        self.engine = engine;
        self
    }

    /// Sets [`direct_io`](Self::direct_io).
    #[must_use]
    pub fn direct_io(mut self, direct_io: DirectIo) -> Self {
        self.direct_io = direct_io;
        self
    }

    /// Sets [`depth`](Self::depth).
    #[must_use]
    pub fn depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// Sets [`pread_threads`](Self::pread_threads).
    #[must_use]
    pub fn pread_threads(mut self, pread_threads: usize) -> Self {
        self.pread_threads = pread_threads;
        self
    }

    /// Sets [`max_read_bytes`](Self::max_read_bytes).
    #[must_use]
    pub fn max_read_bytes(mut self, max_read_bytes: usize) -> Self {
        self.max_read_bytes = max_read_bytes;
        self
    }

    /// Sets [`max_idle_bytes`](Self::max_idle_bytes).
    #[must_use]
    pub fn max_idle_bytes(mut self, max_idle_bytes: usize) -> Self {
        self.max_idle_bytes = max_idle_bytes;
        self
    }

    /// Checks every range.
    pub fn validate(&self) -> Result<()> {
        let check = |name: &str, value: usize, min: usize, max: usize| {
            if (min..=max).contains(&value) {
                Ok(())
            } else {
                Err(Error::invalid(format!("{name} is {value}, expected {min} to {max}")))
            }
        };
        check("depth", self.depth, 1, 4096)?;
        check("pread_threads", self.pread_threads, 0, 256)?;
        check("max_read_bytes", self.max_read_bytes, 1, 1 << 40)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_named() {
        for (options, name) in [
            (StorageOptions::new().depth(0), "depth"),
            (StorageOptions::new().depth(4097), "depth"),
            (StorageOptions::new().pread_threads(257), "pread_threads"),
            (StorageOptions::new().max_read_bytes(0), "max_read_bytes"),
        ] {
            assert!(options.validate().unwrap_err().message().starts_with(name));
        }
        StorageOptions::new().validate().unwrap();
    }

    #[test]
    fn engines_are_found_by_name() {
        assert_eq!("uring".parse::<EngineKind>().unwrap(), EngineKind::Uring);
        assert!("ring".parse::<EngineKind>().is_err());
    }
}
