//! What a [`Storage`](super::Storage) is to be.

use crate::error::{Error, Result};

/// How bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum EngineKind {
    /// [`Mmap`](Self::Mmap) on tmpfs, [`Pread`](Self::Pread) on network file systems, elsewhere [`Uring`](Self::Uring) where the
    /// kernel allows it, else `Pread`. Which one it became is said once in the log and always by
    /// [`Storage::describe`](super::Storage::describe).
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
            .find(|kind| kind.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                Error::invalid(format!("engine is '{name}', expected one of auto, uring, pread, mmap, memory"))
            })
    }
}

/// Whether reads of `uring` and `pread` go past the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum DirectIo {
    /// Past the page cache on devices of this machine if there is more to read ([`StorageOptions::data_bytes`]) than there is
    /// memory, so that no byte would be found in the cache when it is wanted again; through it elsewhere.
    #[default]
    Auto,
    /// Past the page cache, file by file, where the file system says how (`STATX_DIOALIGN`); through it elsewhere (tmpfs).
    On,
    /// Through the page cache.
    Off,
}

impl DirectIo {
    /// The name as options spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

impl std::str::FromStr for DirectIo {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        [Self::Auto, Self::On, Self::Off]
            .into_iter()
            .find(|direct| direct.as_str().eq_ignore_ascii_case(name))
            .ok_or_else(|| Error::invalid(format!("direct_io is '{name}', expected one of auto, on, off")))
    }
}

/// How an io_uring ring learns of new reads and of their end. `uring` alone; what the kernel refuses is said in the log and by
/// [`Storage::describe`](super::Storage::describe), and done without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RingMode {
    /// System calls and interrupts.
    #[default]
    Interrupts,
    /// The end of direct reads is polled for (`IORING_SETUP_IOPOLL`), which keeps a core busy. For NVMe devices with poll queues
    /// (`nvme.poll_queues`); a ring that meets a file that cannot be polled goes on with interrupts.
    Polled,
    /// A thread of the kernel looks for new reads (`IORING_SETUP_SQPOLL`), which keeps a core busy: no system call is made
    /// to submit.
    SubmissionThread,
}

/// Whether the buffers of reads are registered with io_uring, so that their pages are pinned once and not for every read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum RegisterBuffers {
    /// They are not.
    #[default]
    Off,
    /// As far as locked memory (`RLIMIT_MEMLOCK`) allows it.
    On,
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
    /// Threads of one `pread` engine, 0 to 256. With 0 there are none: `wait` performs the next read in the caller's thread, best
    /// where the bytes are in memory already (tmpfs, a warm page cache) and the caller looks at them next. Default `None`: 0
    /// on tmpfs, 16 on network file systems, 4 elsewhere.
    pub pread_threads: Option<usize>,
    /// Bytes of all the files that are going to be read, where known: what [`DirectIo::Auto`] is decided by. Default `None`.
    pub data_bytes: Option<u64>,
    /// Longest read, in bytes, at most 2^40. A longer one is refused before anything is allocated. Default 1 GiB.
    pub max_read_bytes: usize,
    /// Memory kept for the next reads, in bytes. Default 64 MiB. What is in use is bounded by `depth`, by the lengths asked
    /// for and by how long the caller keeps them.
    pub max_idle_bytes: usize,
    /// Bytes that one `uring` engine asks the kernel for at once, 64 KiB to 2^40; always at least one part of a read. Default
    /// 64 MiB: a device that needs more in flight is not known. Reads above it wait for those before them.
    pub max_in_flight_bytes: usize,
    /// Reads of `uring` that are longer are performed in parts of so many bytes (rounded to the alignment of direct I/O), which
    /// are in flight at once, so that a single long read keeps the device busy; 4 KiB to 1 GiB. Default 4 MiB.
    pub split_bytes: usize,
    /// How `uring` and the kernel talk. Default [`RingMode::Interrupts`].
    pub ring_mode: RingMode,
    /// Whether `uring` registers buffers. Default [`RegisterBuffers::Off`].
    pub register_buffers: RegisterBuffers,
    /// How often a read (or a part of it) is repeated after an error of the device or the network that may pass (EIO, ESTALE,
    /// ETIMEDOUT and their like), 0 to 100, with pauses of 5 ms, 20 ms, 80 ms ... at most 1 s. Every byte that arrives resets the
    /// count. Interruptions (EINTR, EAGAIN) and short reads do not count. Default 3.
    pub max_retries: u32,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            engine: EngineKind::Auto,
            direct_io: DirectIo::Auto,
            depth: 64,
            pread_threads: None,
            data_bytes: None,
            max_read_bytes: 1 << 30,
            max_idle_bytes: 64 << 20,
            max_in_flight_bytes: 64 << 20,
            split_bytes: 4 << 20,
            ring_mode: RingMode::Interrupts,
            register_buffers: RegisterBuffers::Off,
            max_retries: 3,
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
        self.pread_threads = Some(pread_threads);
        self
    }

    /// Sets [`data_bytes`](Self::data_bytes).
    #[must_use]
    pub fn data_bytes(mut self, data_bytes: u64) -> Self {
        self.data_bytes = Some(data_bytes);
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

    /// Sets [`max_in_flight_bytes`](Self::max_in_flight_bytes).
    #[must_use]
    pub fn max_in_flight_bytes(mut self, max_in_flight_bytes: usize) -> Self {
        self.max_in_flight_bytes = max_in_flight_bytes;
        self
    }

    /// Sets [`split_bytes`](Self::split_bytes).
    #[must_use]
    pub fn split_bytes(mut self, split_bytes: usize) -> Self {
        self.split_bytes = split_bytes;
        self
    }

    /// Sets [`ring_mode`](Self::ring_mode).
    #[must_use]
    pub fn ring_mode(mut self, ring_mode: RingMode) -> Self {
        self.ring_mode = ring_mode;
        self
    }

    /// Sets [`register_buffers`](Self::register_buffers).
    #[must_use]
    pub fn register_buffers(mut self, register_buffers: RegisterBuffers) -> Self {
        self.register_buffers = register_buffers;
        self
    }

    /// Sets [`max_retries`](Self::max_retries).
    #[must_use]
    pub fn max_retries(mut self, max_retries: u32) -> Self {
        self.max_retries = max_retries;
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
        check("pread_threads", self.pread_threads.unwrap_or(0), 0, 256)?;
        check("max_read_bytes", self.max_read_bytes, 1, 1 << 40)?;
        check("max_in_flight_bytes", self.max_in_flight_bytes, 1 << 16, 1 << 40)?;
        check("split_bytes", self.split_bytes, 1 << 12, 1 << 30)?;
        check("max_retries", self.max_retries as usize, 0, 100)
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
            (StorageOptions::new().max_in_flight_bytes(1), "max_in_flight_bytes"),
            (StorageOptions::new().split_bytes(4095), "split_bytes"),
            (StorageOptions::new().max_retries(101), "max_retries"),
        ] {
            assert!(options.validate().unwrap_err().message().starts_with(name));
        }
        StorageOptions::new().validate().unwrap();
    }

    #[test]
    fn engines_are_found_by_name() {
        assert_eq!("uring".parse::<EngineKind>().unwrap(), EngineKind::Uring);
        assert_eq!("Pread".parse::<EngineKind>().unwrap(), EngineKind::Pread);
        assert_eq!("ON".parse::<DirectIo>().unwrap(), DirectIo::On);
        let unknown = "ring".parse::<EngineKind>().unwrap_err();
        assert_eq!(unknown.message(), "engine is 'ring', expected one of auto, uring, pread, mmap, memory");
    }
}
