//! Opens files and makes engines, and decides which engine that is.

use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Once, OnceLock};

use super::bytes::ReadBytes;
use super::engine::ReadEngine;
use super::file::{DiskFile, Source, StorageFile, open_direct, open_regular};
use super::inline::InlineEngine;
use super::memory::MemoryFiles;
use super::mmap;
use super::options::{DirectIo, EngineKind, RingMode, StorageOptions};
use super::pread::{PreadEngine, read_now};
use super::progress::{MAX_CHUNK, Policy};
use super::resident::ReadContext;
use super::uring::{self, Refusals, UringEngine, UringSettings};
use crate::buf::{BufferPool, PoolStats};
use crate::error::{Error, Result};

struct Inner {
    options: StorageOptions,
    /// What `Auto` became; never `Auto`.
    kind: EngineKind,
    /// The flags that rings are made with, or why there are none.
    ring: Option<std::result::Result<&'static str, String>>,
    /// The mode of rings that the kernel has, where it is not the one that was asked for.
    ring_mode: RingMode,
    refusals: Arc<Refusals>,
    /// Why an engine had to be made without a ring though rings were to be had at first.
    late_refusal: OnceLock<String>,
    context: ReadContext,
    memory: MemoryFiles,
    #[cfg(test)]
    faults: Option<super::faulty::Faults>,
}

/// Where bytes come from: opens files and makes engines. Clones are one storage, and share one pool of buffers.
#[derive(Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

impl Storage {
    /// Decides on the engine. Fails with [`InvalidArgument`](crate::ErrorKind::InvalidArgument) on an option out of range, and
    /// with [`Unsupported`](crate::ErrorKind::Unsupported) where `uring` is asked for by name and the kernel refuses it.
    pub fn new(options: &StorageOptions) -> Result<Self> {
        Ok(Self { inner: Arc::new(Self::build(options)?) })
    }

    fn build(options: &StorageOptions) -> Result<Inner> {
        options.validate()?;
        let refusals = Arc::new(Refusals::default());
        let mut ring_mode = options.ring_mode;
        let mut probe = || match uring::probe(options.depth, ring_mode) {
            Err(reason) if ring_mode != RingMode::Interrupts => {
                let flags = uring::probe(options.depth, RingMode::Interrupts)?;
                refusals.note_mode(&reason);
                ring_mode = RingMode::Interrupts;
                Ok(flags)
            }
            answer => answer,
        };
        let (kind, ring) = match options.engine {
            EngineKind::Auto => match probe() {
                Ok(flags) => (EngineKind::Uring, Some(Ok(flags))),
                Err(reason) => {
                    warn_of_fallback(&reason);
                    (EngineKind::Pread, Some(Err(reason)))
                }
            },
            EngineKind::Uring => match probe() {
                Ok(flags) => (EngineKind::Uring, Some(Ok(flags))),
                Err(reason) => return Err(Error::unsupported(format!("io_uring is refused: {reason}"))),
            },
            other => (other, None),
        };
        let context = ReadContext {
            pool: BufferPool::with_idle_limit(usize::MAX, options.max_idle_bytes),
            max_read_bytes: options.max_read_bytes,
            policy: Policy { max_chunk: MAX_CHUNK, max_retries: options.max_retries },
            #[cfg(test)]
            tamper: None,
        };
        Ok(Inner {
            options: options.clone(),
            kind,
            ring,
            ring_mode,
            refusals,
            late_refusal: OnceLock::new(),
            context,
            memory: MemoryFiles::default(),
            #[cfg(test)]
            faults: None,
        })
    }

    /// Opens a regular file. Fails with [`NotFound`](crate::ErrorKind::NotFound), with
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for directories and other things that are no files, and with
    /// [`Io`](crate::ErrorKind::Io).
    pub fn open(&self, path: &Path) -> Result<StorageFile> {
        match self.inner.kind {
            EngineKind::Mmap => mmap::open(path),
            EngineKind::Memory => self.inner.memory.open(path),
            EngineKind::Auto | EngineKind::Uring | EngineKind::Pread => self.open_disk(path),
        }
    }

    fn open_disk(&self, path: &Path) -> Result<StorageFile> {
        let (buffered, len) = open_regular(path)?;
        let direct = match self.inner.options.direct_io {
            DirectIo::On => open_direct(path).inspect_err(|reason| warn_of_buffering(path, reason)).ok(),
            DirectIo::Auto | DirectIo::Off => None,
        };
        Ok(StorageFile::new(path, len, Source::Disk(DiskFile { buffered, direct })))
    }

    /// A new engine, for one thread. Where a ring is refused only now (descriptors or memory have run out), `Auto` falls
    /// back here as well.
    pub fn engine(&self) -> Result<Box<dyn ReadEngine>> {
        let engine = self.plain_engine()?;
        #[cfg(test)]
        if let Some(faults) = &self.inner.faults {
            return Ok(Box::new(super::faulty::FaultyEngine::new(engine, faults.clone())));
        }
        Ok(engine)
    }

    fn plain_engine(&self) -> Result<Box<dyn ReadEngine>> {
        let Inner { options, context, .. } = &*self.inner;
        let pread = || -> Result<Box<dyn ReadEngine>> {
            if options.pread_threads == 0 {
                return Ok(Box::new(InlineEngine::new("pread", context.clone(), options.depth)));
            }
            Ok(Box::new(PreadEngine::new(context, options.depth, options.pread_threads)?))
        };
        let settings = || UringSettings::new(options, self.inner.ring_mode, &self.inner.refusals);
        match self.inner.kind {
            EngineKind::Uring => match UringEngine::new(context, settings()) {
                Ok(engine) => Ok(Box::new(engine)),
                Err(error) if options.engine == EngineKind::Auto => {
                    let reason = self.inner.late_refusal.get_or_init(|| error.to_string());
                    warn_of_fallback(reason);
                    pread()
                }
                Err(error) => Err(Error::unsupported("io_uring is refused").with_source(error)),
            },
            EngineKind::Auto | EngineKind::Pread => pread(),
            EngineKind::Mmap => Ok(Box::new(InlineEngine::new("mmap", context.clone(), options.depth))),
            EngineKind::Memory => Ok(Box::new(InlineEngine::new("memory", context.clone(), options.depth))),
        }
    }

    /// Reads one range in the caller's thread, by the same rules and with the same errors as an engine. For the few small
    /// reads of opening a shard, and for verification; not for streaming.
    pub fn read_at(&self, file: &StorageFile, offset: u64, len: usize) -> Result<ReadBytes> {
        read_now(&self.inner.context, file, offset, len)
    }

    /// Puts a file into the memory engine, to be opened as `path`. Fails with
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) on other engines.
    pub fn put(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        if self.inner.kind == EngineKind::Memory {
            return self.inner.memory.put(path, bytes);
        }
        Err(Error::invalid(format!("files are put into the memory engine, this is {}", self.inner.kind.as_str())))
    }

    /// The engine that was decided on; never [`EngineKind::Auto`].
    pub fn kind(&self) -> EngineKind {
        self.inner.kind
    }

    /// The options as given.
    pub fn options(&self) -> &StorageOptions {
        &self.inner.options
    }

    /// Memory of the reads.
    pub fn buffer_stats(&self) -> PoolStats {
        self.inner.context.pool.stats()
    }

    /// Gives the memory that is kept for the next reads back to the allocator.
    pub fn release_idle(&self) {
        self.inner.context.pool.trim();
    }

    /// What reads how, and what was refused, in one line.
    pub fn describe(&self) -> String {
        let options = &self.inner.options;
        let mut text = self.inner.kind.as_str().to_owned();
        if let Some(Ok(flags)) = &self.inner.ring {
            let _ = write!(text, " ({flags})");
        }
        let _ = write!(text, ", {} reads in flight per thread", options.depth);
        if self.inner.kind == EngineKind::Pread {
            match options.pread_threads {
                0 => text.push_str(", each read performed when it is waited for"),
                num_threads => drop(write!(text, ", {num_threads} reader threads each")),
            }
        }
        if matches!(self.inner.kind, EngineKind::Uring | EngineKind::Pread) {
            text.push_str(match options.direct_io {
                DirectIo::On => ", past the page cache where the file system allows it",
                DirectIo::Auto | DirectIo::Off => ", through the page cache",
            });
        }
        if let Some(Err(reason)) = &self.inner.ring {
            let _ = write!(text, "; io_uring is refused: {reason}");
        }
        for (what, place) in self.inner.refusals.all() {
            if let Some(reason) = place.get() {
                let _ = write!(text, "; without {what}: {reason}");
            }
        }
        if let Some(reason) = self.inner.late_refusal.get() {
            let _ = write!(text, "; io_uring was refused to some threads, which read with pread: {reason}");
        }
        text
    }

    /// As [`new`](Self::new), rigged.
    #[cfg(test)]
    pub(crate) fn for_test(options: &StorageOptions, rig: super::faulty::Rig) -> Result<Self> {
        let mut inner = Self::build(options)?;
        inner.faults = rig.faults;
        inner.context.policy.max_chunk = rig.max_chunk.unwrap_or(MAX_CHUNK);
        inner.context.tamper = rig.answers.map(super::faulty::Tamper::new);
        Ok(Self { inner: Arc::new(inner) })
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Storage").field(&self.describe()).finish()
    }
}

/// Said once in a process: every storage and every thread would say the same.
fn warn_of_fallback(reason: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| tracing::warn!("io_uring is refused, reading with pread instead: {reason}"));
}

/// Said once in a process, for the first file that it is true of.
fn warn_of_buffering(path: &Path, reason: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| tracing::warn!("reading '{}' through the page cache: {reason}", path.display()));
}
