//! Opens files and makes the engines that were decided on.

use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Once, OnceLock};

use super::bytes::ReadBytes;
use super::choice::{Choice, warn_of_fallback};
use super::engine::ReadEngine;
use super::file::{DiskFile, Source, StorageFile, open_direct, open_positional};
use super::filesystem::{Place, place_of};
use super::inline::InlineEngine;
use super::memory::MemoryFiles;
use super::mmap;
use super::options::{EngineKind, StorageOptions};
use super::pread::{PreadEngine, read_now};
use super::progress::{MAX_CHUNK, Policy};
use super::resident::ReadContext;
use super::uring::{Refusals, UringEngine, UringSettings};
use crate::buf::{BufferPool, PoolStats};
use crate::error::{Error, Result};

struct Inner {
    options: StorageOptions,
    choice: Choice,
    /// Why an engine had to be made without a ring though rings were to be had at first.
    late_refusal: OnceLock<String>,
    refusals: Arc<Refusals>,
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
    /// Decides on the engine by the kernel alone: for files of which it is not known where they are. Fails with
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) on an option out of range, and with
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where `uring` is asked for by name and the kernel refuses it.
    pub fn new(options: &StorageOptions) -> Result<Self> {
        Ok(Self { inner: Arc::new(Self::build(options, Place::Local)?) })
    }

    /// Decides on the engine by the kernel and by the file system that `path` (a folder, or one of its files) is on; the files
    /// that are opened later may be anywhere and are read all the same. Fails as [`new`](Self::new).
    pub fn for_path(options: &StorageOptions, path: &Path) -> Result<Self> {
        Ok(Self { inner: Arc::new(Self::build(options, place_of(path))?) })
    }

    fn build(options: &StorageOptions, place: Place) -> Result<Inner> {
        options.validate()?;
        let refusals = Arc::new(Refusals::default());
        let choice = Choice::make(options, place, &refusals)?;
        let context = ReadContext {
            pool: BufferPool::for_devices(options.max_idle_bytes),
            max_read_bytes: options.max_read_bytes,
            policy: Policy { max_chunk: MAX_CHUNK, max_retries: options.max_retries },
            closing: Arc::default(),
            #[cfg(test)]
            tamper: None,
        };
        Ok(Inner {
            options: options.clone(),
            choice,
            late_refusal: OnceLock::new(),
            refusals,
            context,
            memory: MemoryFiles::default(),
            #[cfg(test)]
            faults: None,
        })
    }

    /// Opens a regular file, or a block device with `uring` and `pread`. Fails with [`NotFound`](crate::ErrorKind::NotFound), with
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for directories and other things that are no files, and with
    /// [`Io`](crate::ErrorKind::Io).
    pub fn open(&self, path: &Path) -> Result<StorageFile> {
        match self.inner.choice.kind {
            // Asked for, or decided by the folder: a link in it may lead elsewhere.
            EngineKind::Mmap if self.inner.options.engine == EngineKind::Mmap || is_mappable(path) => mmap::open(path),
            EngineKind::Memory => self.inner.memory.open(path),
            EngineKind::Auto | EngineKind::Uring | EngineKind::Pread | EngineKind::Mmap => self.open_disk(path),
        }
    }

    fn open_disk(&self, path: &Path) -> Result<StorageFile> {
        let (buffered, len) = open_positional(path)?;
        let direct = if self.inner.choice.is_direct {
            open_direct(path).inspect_err(|reason| warn_of_buffering(path, reason)).ok()
        } else {
            None
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
        let Inner { options, choice, context, refusals, .. } = &*self.inner;
        match choice.kind {
            EngineKind::Uring => {
                let settings = UringSettings::new(options, choice.ring_mode, refusals);
                match UringEngine::new(context, settings) {
                    Ok(engine) => Ok(Box::new(engine)),
                    Err(error) if options.engine == EngineKind::Auto => {
                        let reason = self.inner.late_refusal.get_or_init(|| error.to_string());
                        warn_of_fallback(reason);
                        self.pread_engine()
                    }
                    Err(error) => Err(Error::unsupported("io_uring is refused").with_source(error)),
                }
            }
            EngineKind::Auto | EngineKind::Pread => self.pread_engine(),
            EngineKind::Mmap => Ok(Box::new(InlineEngine::new("mmap", context.clone(), options.depth))),
            EngineKind::Memory => Ok(Box::new(InlineEngine::new("memory", context.clone(), options.depth))),
        }
    }

    fn pread_engine(&self) -> Result<Box<dyn ReadEngine>> {
        let Inner { options, choice, context, .. } = &*self.inner;
        Ok(match choice.pread_threads {
            0 => Box::new(InlineEngine::new("pread", context.clone(), options.depth)),
            num_threads => Box::new(PreadEngine::new(context, options.depth, num_threads)?),
        })
    }

    /// Reads one range in the caller's thread, by the same rules and with the same errors as an engine. For the few small
    /// reads of opening a shard, and for verification; not for streaming.
    pub fn read_at(&self, file: &StorageFile, offset: u64, len: usize) -> Result<ReadBytes> {
        read_now(&self.inner.context, file, offset, len)
    }

    /// Puts a file into the memory engine, to be opened as `path`. Fails with
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) on other engines.
    pub fn put(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        if self.inner.choice.kind == EngineKind::Memory {
            return self.inner.memory.put(path, bytes);
        }
        Err(Error::invalid(format!(
            "files are put into the memory engine, this is {}",
            self.inner.choice.kind.as_str()
        )))
    }

    /// The engine that was decided on; never [`EngineKind::Auto`].
    pub fn kind(&self) -> EngineKind {
        self.inner.choice.kind
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

    /// What reads how, why, and what was refused, in one line.
    pub fn describe(&self) -> String {
        let mut text = self.inner.choice.describe(&self.inner.options);
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
        let mut inner = Self::build(options, Place::Local)?;
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

/// Whether a path leads to a regular file in memory, which no device can fail to deliver.
fn is_mappable(path: &Path) -> bool {
    path.is_file() && matches!(place_of(path), Place::Memory(_))
}

/// Said once in a process, for the first file that it is true of.
fn warn_of_buffering(path: &Path, reason: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| tracing::warn!("reading '{}' through the page cache: {reason}", path.display()));
}
