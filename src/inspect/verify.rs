//! Is a dataset sound? Every checksum of every file; and on request every frame, decoded twice: the record from its first
//! packet on, and each GOP by itself, as a loader would, whatever its decoder had before. Both must give the same pictures. Nothing stops at the first
//! problem: all are listed.

use super::info::frames_per_gop;
use super::shard_file::{ShardFile, check_mirror};
use crate::dataset::Dataset;
use crate::decode::{ClipDecoder, DecodeLimits, DecoderOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::ffmpeg::Fill;
use crate::format::{Crc32c, DatasetKind, Manifest, ShardEntry};
use crate::loader::ClipReader;
use crate::media::FrameView;
use crate::shard::{Shard, TensorShard, build_index, build_tensor_index};
use crate::storage::StorageOptions;
use serde::Serialize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// How deep to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum VerifyLevel {
    /// All checksums and tables.
    #[default]
    Checksums,
    /// These, and all frames decoded twice and compared.
    Frames,
}

/// Options of [`verify_dataset`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct VerifyOptions {
    /// How deep to look. Default: checksums.
    pub level: VerifyLevel,
    /// Shards, then records, looked at a time; 0 is one for every core. Default: 0.
    pub jobs: usize,
}

impl VerifyOptions {
    /// Sets [`Self::level`].
    #[must_use]
    pub fn level(mut self, level: VerifyLevel) -> Self {
        self.level = level;
        self
    }

    /// Sets [`Self::jobs`].
    #[must_use]
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The record's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The byte in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// [`ErrorKind`] in words.
    pub kind: String,
    /// What is wrong, in one line.
    pub reason: String,
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        Self {
            file: error.path().map(|path| path.display().to_string()),
            record: error.record().map(str::to_owned),
            offset: error.offset(),
            kind: error.kind().as_str().to_owned(),
            reason: error.report(),
        }
    }
}

/// What [`verify_dataset`] looked at and found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DatasetCheck {
    /// The dataset's folder.
    pub dataset: String,
    /// Shards looked at, those of added columns among them.
    pub shards: u64,
    /// Records looked at; rows of added columns are not counted again.
    pub records: u64,
    /// Packets whose checksum was compared.
    pub packets: u64,
    /// GOPs whose checksum was compared.
    pub gops: u64,
    /// Stored tensors whose checksum was compared.
    pub tensors: u64,
    /// Frames decoded and compared; each was decoded at least twice.
    pub frames: u64,
    /// Bytes read for checksums.
    pub bytes: u64,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

/// Checks the dataset in folder `root`. `progress` hears, from several threads, how many of how many shards and records
/// are done; `cancel` is asked between them, and between frames.
///
/// # Errors
/// Where there is no manifest that can be read, or the run is cancelled. What is wrong with the dataset is no error here
/// but listed in [`DatasetCheck::problems`].
pub fn verify_dataset(
    root: &Path,
    options: &VerifyOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
    cancel: &(dyn Fn() -> bool + Sync),
) -> Result<DatasetCheck> {
    let manifest = Manifest::read(root)?;
    let check = Mutex::new(DatasetCheck { dataset: root.display().to_string(), ..DatasetCheck::default() });
    let is_deep = options.level == VerifyLevel::Frames && manifest.kind == DatasetKind::Video;
    let tasks = tasks(&manifest);
    let total = tasks.len() as u64 + if is_deep { manifest.rows } else { 0 };
    let done = AtomicUsize::new(0);
    let step = || progress(done.fetch_add(1, Ordering::Relaxed) as u64 + 1, total);
    in_parallel(
        options.jobs,
        tasks.len(),
        cancel,
        || (),
        |(), number| {
            if let Some(task) = tasks.get(number) {
                check_shard(root, task, &check);
            }
            step();
        },
    )?;
    check_index(root, &manifest, &check);
    if is_deep {
        match Dataset::open(root) {
            Ok(dataset) => {
                let limits = DecodeLimits::default().max_packets(u64::MAX).max_bytes(u64::MAX);
                let limits = limits.max_decoded_frames(u64::MAX).timeout(None);
                let readers = || Readers::open(&dataset);
                in_parallel(options.jobs, dataset.len(), cancel, readers, |readers, row| {
                    let frames = match readers {
                        Ok(readers) => check_frames(&dataset, readers, row, &limits, cancel),
                        Err(error) => Err(Error::new(error.kind(), error.report())),
                    };
                    match frames {
                        Ok(frames) => lock(&check).frames += frames,
                        Err(error) => note(&check, &error),
                    }
                    step();
                })?;
            }
            Err(error) => note(&check, &error),
        }
    }
    let mut check = check.into_inner().unwrap_or_else(PoisonError::into_inner);
    check.problems.sort();
    check.problems.dedup();
    Ok(check)
}

fn lock(check: &Mutex<DatasetCheck>) -> std::sync::MutexGuard<'_, DatasetCheck> {
    check.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note(check: &Mutex<DatasetCheck>, error: &Error) {
    lock(check).problems.push(Problem::from(error));
}

/// Calls `work` for every number below `count`, on `jobs` threads, each with its own state.
fn in_parallel<S>(
    jobs: usize,
    count: usize,
    cancel: &(dyn Fn() -> bool + Sync),
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) + Sync,
) -> Result<()> {
    let cores = || crate::threads::num_cores();
    let jobs = if jobs == 0 { cores() } else { jobs };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(count) {
            scope.spawn(|| {
                let mut state = state();
                while !cancel() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    work(&mut state, number);
                }
            });
        }
    });
    go_on(cancel)
}

/// A shard to be looked at.
struct Task<'a> {
    entry: &'a ShardEntry,
    kind: DatasetKind,
    /// Names that its fields may have.
    fields: &'a [String],
    /// For a shard of an added column: the shard that it mirrors, and what that is.
    beside: Option<(&'a ShardEntry, DatasetKind)>,
}

/// All shards of the dataset, then those of the columns that were added.
fn tasks(manifest: &Manifest) -> Vec<Task<'_>> {
    let Manifest { kind, shards, fields, columns, .. } = manifest;
    let own = shards.iter().map(|entry| Task { entry, kind: *kind, fields, beside: None });
    let added = columns.iter().flat_map(|set| {
        set.shards.iter().zip(shards).map(|(entry, base)| {
            let beside = Some((base, *kind));
            Task { entry, kind: DatasetKind::Tensor, fields: &set.fields, beside }
        })
    });
    own.chain(added).collect()
}

fn check_shard(root: &Path, task: &Task<'_>, check: &Mutex<DatasetCheck>) {
    let path = root.join(&task.entry.file);
    let shard = match ShardFile::open(&path, task.kind) {
        Ok(shard) => shard,
        Err(error) => return note(check, &error.with_path(path)),
    };
    let report = shard.verify(&task.entry.blake3);
    let names = shard.check_fields(task.fields);
    let found = (shard.len() as u64, shard.file_bytes());
    let expected = (task.entry.rows, task.entry.bytes);
    let size = if found == expected {
        Ok(())
    } else {
        let (rows, bytes) = found;
        let message = format!(
            "the shard has {rows} records and {bytes} bytes, the manifest says {} and {}",
            expected.0, expected.1
        );
        Err(Error::corrupt(message))
    };
    let mirror = task.beside.map_or(Ok(()), |(base, kind)| check_mirror(&shard, &root.join(&base.file), kind));
    let mut check = lock(check);
    check.shards += 1;
    check.records += if task.beside.is_none() { report.records } else { 0 };
    check.packets += report.packets;
    check.gops += report.gops;
    check.tensors += report.tensors;
    check.bytes += report.bytes;
    check.problems.extend(report.problems.iter().map(Problem::from));
    let wrong = [names, size, mirror].into_iter().filter_map(Result::err);
    check.problems.extend(wrong.map(|error| Problem::from(&error.with_path(&path))));
}

/// The index must be the one that the shards give.
fn check_index(root: &Path, manifest: &Manifest, check: &Mutex<DatasetCheck>) {
    let path = root.join(&manifest.index.file);
    let result = std::fs::read(&path).map_err(|e| Error::io("read", &path, e)).and_then(|bytes| {
        lock(check).bytes += bytes.len() as u64;
        let hash = blake3::hash(&bytes).to_hex().to_string();
        if bytes.len() as u64 != manifest.index.bytes || hash != manifest.index.blake3 {
            let message = format!("the index has hash {hash}, the manifest says {}", manifest.index.blake3);
            return Err(Error::corrupt(message));
        }
        let paths = manifest.shards.iter().map(|entry| root.join(&entry.file));
        let built = match manifest.kind {
            DatasetKind::Video => build_index(paths.map(|path| Shard::open(&path))),
            DatasetKind::Tensor => build_tensor_index(paths.map(|path| TensorShard::open(&path))),
        };
        // A shard that cannot be opened has been listed already.
        match built {
            Ok(built) if built.bytes != bytes => Err(Error::corrupt("the index says otherwise than the shards")),
            _ => Ok(()),
        }
    });
    if let Err(error) = result {
        note(check, &error.with_path(path));
    }
}

/// Two ways to decode a record. The memory of their pictures begins with different content, so that parts which a decoder leaves out differ
/// between them; and one opens a decoder for every record where the other goes on with those that it has.
struct Readers {
    new: ClipReader,
    used: ClipReader,
}

/// So many frames of a record of one GOP are decoded before it is, so that the decoder has been used.
const FRAMES_BEFORE: usize = 16;

impl Readers {
    fn open(dataset: &Dataset) -> Result<Self> {
        let reader = |decoder| ClipReader::with_decoder(dataset, &StorageOptions::default(), decoder);
        let options = DecoderOptions::default();
        Ok(Self {
            new: reader(ClipDecoder::filled(options.cached_decoders(0), Fill::Gray))?,
            used: reader(ClipDecoder::filled(options.cached_bytes(u64::MAX), Fill::Zeros))?,
        })
    }
}

/// Decodes a record as a whole and GOP by GOP, and the last frame of a GOP alone where it says which packets that does not need; returns its
/// number of frames.
fn check_frames(
    dataset: &Dataset,
    readers: &mut Readers,
    row: usize,
    limits: &DecodeLimits,
    cancel: &(dyn Fn() -> bool + Sync),
) -> Result<u64> {
    let (shard, stream) = dataset.stream(row)?;
    let all: Vec<u32> = (0..stream.num_frames() as u32).collect();
    let mut whole = vec![None; all.len()];
    readers.new.for_each_frame(row, &all, limits, &mut |positions, frame| {
        go_on(cancel)?;
        let crc = frame_crc(frame);
        for &position in positions {
            if let Some(place) = whole.get_mut(position as usize) {
                *place = Some(crc);
            }
        }
        Ok(())
    })?;
    let mut by_gop: Vec<Vec<u32>> =
        frames_per_gop(&stream).into_iter().map(|frames| Vec::with_capacity(frames as usize)).collect();
    for (frame, &packet) in stream.frame_packets.iter().enumerate() {
        let gop = stream.gops.partition_point(|gop| gop.first_packet <= packet);
        if let Some(frames) = gop.checked_sub(1).and_then(|gop| by_gop.get_mut(gop)) {
            frames.push(frame as u32);
        }
    }
    let mut compare = |frames: &[u32], what: &str| {
        let mut compared = 0_u64;
        let result = readers.used.for_each_frame(row, frames, limits, &mut |positions, view| {
            go_on(cancel)?;
            let crc = frame_crc(view);
            for &position in positions {
                let frame = frames.get(position as usize).copied().unwrap_or(u32::MAX);
                if whole.get(frame as usize) != Some(&Some(crc)) {
                    let message =
                        format!("frame {frame} is another picture when {what} is decoded alone, or after other clips");
                    let key = shard.key(dataset.row(row)?.row as usize)?;
                    return Err(Error::corrupt(message).with_record(key).with_path(shard.path()));
                }
                compared += 1;
            }
            Ok(())
        });
        result.map(|()| compared)
    };
    if by_gop.len() == 1 {
        compare(all.get(..FRAMES_BEFORE).unwrap_or(&all), "its GOP")?;
    }
    let says_reaches = stream.packets.iter().any(|packet| packet.flags.reach().is_some());
    let mut compared = 0_u64;
    // The last one first: each is decoded behind others than in the whole.
    for frames in by_gop.iter().rev().filter(|frames| !frames.is_empty()) {
        compared += compare(frames, "its GOP")?;
        if let Some(last) = frames.iter().max().filter(|_| says_reaches) {
            compare(&[*last], "it")?;
        }
    }
    if compared != all.len() as u64 {
        let message = format!("{compared} of {} frames came out of the decoder", all.len());
        let key = shard.key(dataset.row(row)?.row as usize)?;
        return Err(Error::decode(message).with_record(key).with_path(shard.path()));
    }
    Ok(compared)
}

fn go_on(cancel: &(dyn Fn() -> bool + Sync)) -> Result<()> {
    if cancel() { Err(Error::new(ErrorKind::Closed, "interrupted")) } else { Ok(()) }
}

/// CRC32C of all samples, row by row, plane by plane, and of what they are.
fn frame_crc(frame: &FrameView<'_>) -> u32 {
    let mut crc = Crc32c::new();
    crc.update(format!("{} {} {}", frame.format, frame.width, frame.height).as_bytes());
    for plane in 0..frame.format.num_planes() {
        let (_, rows) = frame.format.plane_size(plane, frame.width, frame.height);
        for row in 0..rows {
            crc.update(frame.row(plane, row));
        }
    }
    crc.value()
}
