//! What is read: files, and the order of the ranges in them.

use crate::cli::bench::cache::Source;
use framefeed::{ByteRange, Dataset, Error, Result, Storage, StorageFile, Window, window_reads};
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// Windows of a dataset that are planned ahead, for each thread in turn.
const MAX_WINDOWS: usize = 1 << 14;

/// All that a benchmark reads.
#[derive(Debug)]
pub(super) struct Work {
    pub kind: &'static str,
    pub sources: Vec<Source>,
    /// For a dataset: the reads of windows, in the order of a shuffled epoch; file by number.
    pub windows: Option<Vec<(usize, ByteRange)>>,
}

/// In which order blocks are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Pattern {
    /// One after another; each thread has a part of its own.
    Sequential,
    /// At multiples of the block size, in an order that the seed decides; every block once before any is read again.
    Random,
}

impl Pattern {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Random => "random",
        }
    }
}

impl Work {
    /// Opens all files.
    pub(super) fn open(&self, storage: &Storage) -> Result<Vec<StorageFile>> {
        self.sources.iter().map(|source| storage.open(&source.path)).collect()
    }

    /// Looks at a path. `window`: of a dataset, plan windows of so many frames and that stride.
    pub(super) fn find(path: &Path, window: Option<(u32, u32)>, seed: u64) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|error| Error::io("open", path, error))?;
        let file_type = metadata.file_type();
        if file_type.is_block_device() {
            let file = fs::File::open(path).map_err(|error| Error::io("open", path, error))?;
            let len = rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0));
            let len = len.map_err(|error| Error::io("find the size of", path, error.into()))?;
            return Ok(Self::blocks("block device", vec![Source { path: path.to_owned(), len }]));
        }
        if metadata.is_file() {
            return Ok(Self::blocks("file", vec![Source { path: path.to_owned(), len: metadata.len() }]));
        }
        if !metadata.is_dir() {
            return Err(Error::invalid("expected a file, a folder, a dataset or a block device").with_path(path));
        }
        match window {
            Some(window) if path.join(framefeed::MANIFEST_FILE).exists() => Self::of_dataset(path, window, seed),
            _ => Ok(Self::blocks("folder", files_below(path)?)),
        }
    }

    fn blocks(kind: &'static str, sources: Vec<Source>) -> Self {
        Self { kind, sources, windows: None }
    }

    fn of_dataset(path: &Path, (frames, stride): (u32, u32), seed: u64) -> Result<Self> {
        let dataset = Dataset::open(path)?;
        let window = Window::strided(frames, stride);
        window.check()?;
        let mut random = Random(seed);
        let mut order: Vec<usize> = (0..dataset.len()).collect();
        for place in (1..order.len()).rev() {
            order.swap(place, random.below(place as u64 + 1) as usize);
        }
        let mut sources: Vec<Source> = Vec::new();
        let mut windows = Vec::new();
        for &record in order.iter().cycle().take(dataset.len().saturating_mul(8)) {
            if windows.len() >= MAX_WINDOWS {
                break;
            }
            // A record that is too short for the window is none of the loader's samples.
            let Some((shard, reads)) = window_reads(&dataset, record, &window, random.next())? else { continue };
            let known = sources.iter().position(|source| source.path == shard);
            let number = if let Some(number) = known {
                number
            } else {
                let len = fs::metadata(&shard).map_err(|error| Error::io("open", &shard, error))?.len();
                sources.push(Source { path: shard, len });
                sources.len() - 1
            };
            windows.extend(reads.into_iter().map(|range| (number, range)));
        }
        if windows.is_empty() {
            let message = format!("no record has {frames} frames at stride {stride}");
            return Err(Error::invalid(message).with_path(path));
        }
        Ok(Self { kind: "dataset", sources, windows: Some(windows) })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.len).sum()
    }

    /// The reads of thread `thread` of `threads`, without end.
    pub(super) fn reads(&self, block: u64, pattern: Pattern, thread: usize, threads: usize, seed: u64) -> Reads<'_> {
        let blocks = self.sources.iter().map(|source| source.len / block.max(1)).sum::<u64>().max(1);
        let position = match (&self.windows, pattern) {
            (Some(windows), _) => (windows.len() * thread / threads) as u64,
            (None, Pattern::Sequential) => blocks * thread as u64 / threads as u64,
            (None, Pattern::Random) => thread as u64,
        };
        Reads { work: self, block, pattern, blocks, position, threads: threads as u64, seed }
    }
}

/// Where to read next.
pub(super) struct Reads<'a> {
    work: &'a Work,
    block: u64,
    pattern: Pattern,
    blocks: u64,
    position: u64,
    threads: u64,
    seed: u64,
}

impl Reads<'_> {
    /// File by number, and range.
    pub(super) fn next(&mut self) -> (usize, ByteRange) {
        let position = self.position;
        let is_shared = self.work.windows.is_none() && self.pattern == Pattern::Random;
        self.position += if is_shared { self.threads } else { 1 };
        if let Some(windows) = &self.work.windows {
            return windows.get((position % windows.len().max(1) as u64) as usize).copied().unwrap_or_default();
        }
        let mut block = match self.pattern {
            Pattern::Sequential => position % self.blocks,
            Pattern::Random => permuted(position % self.blocks, self.blocks, self.seed ^ (position / self.blocks)),
        };
        for (number, source) in self.work.sources.iter().enumerate() {
            let blocks = source.len / self.block.max(1);
            if block < blocks {
                return (number, ByteRange::new(block * self.block, self.block));
            }
            block -= blocks;
        }
        (0, ByteRange::default())
    }
}

/// Where `index` goes in a permutation of `0..len` that `seed` decides: a Feistel network of four rounds over the next power
/// of four, walked until it comes out below `len`. So no list of blocks is ever made, however large the file.
fn permuted(index: u64, len: u64, seed: u64) -> u64 {
    let half_bits = (64 - len.saturating_sub(1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1_u64 << half_bits) - 1;
    let mut value = index;
    loop {
        let (mut left, mut right) = (value >> half_bits, value & mask);
        for round in 0..4 {
            let key = Random(seed.wrapping_add(round)).next();
            (left, right) = (right, left ^ (Random(right ^ key).next() & mask));
        }
        value = left << half_bits | right;
        if value < len {
            return value;
        }
    }
}

/// Files below a folder, links not followed, by path.
fn files_below(path: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
        let entry = entry.map_err(|error| Error::io("walk through", path, error.into()))?;
        if entry.file_type().is_file() {
            let metadata = entry.metadata().map_err(|error| Error::io("look at", entry.path(), error.into()))?;
            sources.push(Source { path: entry.into_path(), len: metadata.len() });
        }
    }
    Ok(sources)
}

/// Numbers that look random (SplitMix64, Steele, Lea and Flood 2014).
pub(super) struct Random(pub u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not 0. The bias is below 2^-40 for any number of blocks.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequential_threads_cover_all_blocks_and_every_block_lies_in_its_file() {
        let sources = [10_000, 0, 4096, 4095].map(|len| Source { path: format!("{len}").into(), len }).to_vec();
        let work = Work::blocks("folder", sources);
        let mut seen = std::collections::BTreeSet::new();
        for thread in 0..2 {
            let mut reads = work.reads(4096, Pattern::Sequential, thread, 2, 0);
            for _ in 0..2 {
                let (file, range) = reads.next();
                assert!(range.len == 4096 && range.end() <= work.sources[file].len);
                seen.insert((file, range.offset));
            }
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [(0, 0), (0, 4096), (2, 0)]);
        let mut random = work.reads(1000, Pattern::Random, 0, 1, 3);
        for _ in 0..1000 {
            let (file, range) = random.next();
            assert!(range.offset % 1000 == 0 && range.end() <= work.sources[file].len);
        }
    }

    #[test]
    fn threads_that_read_at_random_read_every_block_once_before_any_again() {
        let work = Work::blocks("file", vec![Source { path: "a".into(), len: 1000 * 512 }]);
        let pass = |seed| {
            let mut threads: Vec<_> = (0..4).map(|thread| work.reads(512, Pattern::Random, thread, 4, seed)).collect();
            (0..1000).map(|number| threads[number % 4].next().1.offset).collect::<Vec<_>>()
        };
        let all: std::collections::BTreeSet<u64> = (0..1000).map(|block| block * 512).collect();
        assert_eq!(pass(5).into_iter().collect::<std::collections::BTreeSet<_>>(), all);
        assert!(pass(5) == pass(5) && pass(5) != pass(6) && !pass(5).is_sorted());
    }
}
