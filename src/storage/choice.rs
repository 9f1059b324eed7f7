//! The decision how a storage reads, made once from its options, the file system, the kernel, and how much there is to read.

use std::fmt::Write;
use std::sync::{Arc, Once};

use super::filesystem::{Place, memory_bytes};
use super::options::{DirectIo, EngineKind, RingMode, StorageOptions};
use super::uring::{self, Refusals};
use crate::error::{Error, Result};

/// Threads of a `pread` engine on a device of this machine, where the options do not say.
const LOCAL_THREADS: usize = 4;

/// The same on a network, where a read waits for the other side most of the time.
const NETWORK_THREADS: usize = 16;

/// How a storage reads.
#[derive(Debug)]
pub(super) struct Choice {
    /// Never `Auto`.
    pub(super) kind: EngineKind,
    pub(super) pread_threads: usize,
    /// Whether files are opened for direct I/O, where they can be.
    pub(super) is_direct: bool,
    pub(super) ring_mode: RingMode,
    /// The flags that rings are made with, or why there are none; `None` where no ring was asked for.
    ring: Option<std::result::Result<&'static str, String>>,
    /// What was decided by itself, and why.
    reasons: Vec<String>,
}

impl Choice {
    /// Fails with [`Unsupported`](crate::ErrorKind::Unsupported) where `uring` is asked for by name and the kernel refuses it.
    pub(super) fn make(options: &StorageOptions, place: Place, refusals: &Arc<Refusals>) -> Result<Self> {
        let mut choice = Self {
            kind: options.engine,
            pread_threads: options.pread_threads.unwrap_or(match place {
                Place::Memory(_) => 0,
                Place::Network(_) => NETWORK_THREADS,
                Place::Local => LOCAL_THREADS,
            }),
            is_direct: false,
            ring_mode: options.ring_mode,
            ring: None,
            reasons: Vec::new(),
        };
        match (options.engine, place) {
            // A read is a copy there: from a mapping it is one for which the kernel is not entered.
            (EngineKind::Auto, Place::Memory(name)) => choice.take(EngineKind::Mmap, name, "is in memory"),
            (EngineKind::Auto, Place::Network(name)) => choice.take(EngineKind::Pread, name, "is not of this machine"),
            (EngineKind::Auto, Place::Local) => match choice.probe(options, refusals) {
                Ok(()) => choice.kind = EngineKind::Uring,
                Err(reason) => {
                    warn_of_fallback(&reason);
                    choice.kind = EngineKind::Pread;
                }
            },
            (EngineKind::Uring, _) => {
                let probed = choice.probe(options, refusals);
                probed.map_err(|reason| Error::unsupported(format!("io_uring is refused: {reason}")))?;
            }
            (EngineKind::Pread | EngineKind::Mmap | EngineKind::Memory, _) => {}
        }
        choice.decide_direct(options, place);
        Ok(choice)
    }

    fn take(&mut self, kind: EngineKind, name: &str, why: &str) {
        self.kind = kind;
        self.reasons.push(format!("{} because {name} {why}", kind.as_str()));
        tracing::info!("reading with {}: {name} {why}", kind.as_str());
    }

    /// Finds out what rings are to be had.
    fn probe(&mut self, options: &StorageOptions, refusals: &Refusals) -> std::result::Result<(), String> {
        let mut answer = uring::probe(options.depth, self.ring_mode);
        if let (Err(reason), true) = (&answer, self.ring_mode != RingMode::Interrupts) {
            let plain = uring::probe(options.depth, RingMode::Interrupts);
            if plain.is_ok() {
                refusals.note_mode(reason);
                self.ring_mode = RingMode::Interrupts;
            }
            answer = plain;
        }
        let outcome = answer.as_ref().map(|_| ()).map_err(String::clone);
        self.ring = Some(answer);
        outcome
    }

    /// Past the page cache if asked for, or if a device of this machine holds more than the cache could.
    fn decide_direct(&mut self, options: &StorageOptions, place: Place) {
        self.is_direct = match (options.direct_io, options.data_bytes) {
            _ if !matches!(self.kind, EngineKind::Uring | EngineKind::Pread) => false,
            (DirectIo::On, _) => true,
            (DirectIo::Auto, Some(data)) if place == Place::Local => {
                let memory = memory_bytes().unwrap_or(u64::MAX);
                if data > memory {
                    let reason =
                        format!("{} GB to read exceed {} GB of memory", data / 1_000_000_000, memory / 1_000_000_000);
                    self.reasons.push(format!("past the page cache because {reason}"));
                }
                data > memory
            }
            (DirectIo::Auto | DirectIo::Off, _) => false,
        };
    }

    /// In words.
    pub(super) fn describe(&self, options: &StorageOptions) -> String {
        let mut text = self.kind.as_str().to_owned();
        if let Some(Ok(flags)) = &self.ring {
            let _ = write!(text, " ({flags})");
        }
        let _ = write!(text, ", {} reads in flight per thread", options.depth);
        if self.kind == EngineKind::Pread {
            match self.pread_threads {
                0 => text.push_str(", each read performed when it is waited for"),
                num_threads => drop(write!(text, ", {num_threads} reader threads each")),
            }
        }
        if matches!(self.kind, EngineKind::Uring | EngineKind::Pread) {
            let way = if self.is_direct {
                "past the page cache where the file system allows it"
            } else {
                "through the page cache"
            };
            let _ = write!(text, ", {way}");
        }
        for reason in &self.reasons {
            let _ = write!(text, "; {reason}");
        }
        if let Some(Err(reason)) = &self.ring {
            let _ = write!(text, "; io_uring is refused: {reason}");
        }
        text
    }
}

/// Said once in a process: every storage and every thread would say the same.
pub(super) fn warn_of_fallback(reason: &str) {
    static SAID: Once = Once::new();
    SAID.call_once(|| tracing::warn!("io_uring is refused, reading with pread instead: {reason}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(options: &StorageOptions, place: Place) -> Choice {
        Choice::make(options, place, &Arc::default()).unwrap()
    }

    #[test]
    fn files_in_memory_are_mapped_those_on_networks_read_with_pread_and_it_is_said_why() {
        let options = StorageOptions::new().data_bytes(u64::MAX);
        let memory = choice(&options, Place::Memory("tmpfs"));
        assert_eq!((memory.kind, memory.is_direct), (EngineKind::Mmap, false));
        assert!(memory.describe(&options).contains("mmap because tmpfs is in memory"));
        let pread = options.clone().engine(EngineKind::Pread);
        assert_eq!(choice(&pread, Place::Memory("tmpfs")).pread_threads, 0, "nothing is gained by other threads");
        let network = choice(&options, Place::Network("nfs"));
        assert_eq!((network.kind, network.is_direct), (EngineKind::Pread, false));
        assert!(network.pread_threads > 1 && network.describe(&options).contains("nfs"));
    }

    #[test]
    fn options_are_stronger_than_places() {
        let options = StorageOptions::new().engine(EngineKind::Mmap);
        assert_eq!(choice(&options, Place::Local).kind, EngineKind::Mmap);
        let options = StorageOptions::new().engine(EngineKind::Pread);
        assert_eq!(choice(&options, Place::Memory("tmpfs")).kind, EngineKind::Pread);
        let options = StorageOptions::new().direct_io(DirectIo::On).pread_threads(3);
        let network = choice(&options, Place::Network("nfs"));
        assert_eq!((network.pread_threads, network.is_direct), (3, true));
    }

    #[test]
    fn local_data_goes_past_the_page_cache_if_the_cache_cannot_hold_it() {
        let options = |bytes| StorageOptions::new().engine(EngineKind::Pread).data_bytes(bytes);
        assert!(choice(&options(u64::MAX), Place::Local).is_direct);
        assert!(!choice(&options(1 << 20), Place::Local).is_direct);
        assert!(!choice(&options(u64::MAX).direct_io(DirectIo::Off), Place::Local).is_direct);
        assert!(!choice(&StorageOptions::new().engine(EngineKind::Pread), Place::Local).is_direct, "nothing is known");
    }
}
