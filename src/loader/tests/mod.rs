//! The loader on small real datasets.

mod broken_shards;
mod damage;
mod faults;
mod fields;
mod lifetime;
mod order;
mod partial;
mod usage;

use super::{Batch, Loader, LoaderBuilder, Shuffle, VideoBatch};
use crate::dataset::Dataset;
use crate::decode::fixture_stream::FixtureStream;
use crate::format::{DatasetKind, Manifest, ShardEntry, crc32c, publish};
use crate::media::PacketTable;
use crate::order::Window;
use crate::shard::{NewRecord, Shard, ShardWriter, build_index};
use crate::testing;
use serde_json::json;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A dataset in a folder of its own.
pub(super) struct TestSet {
    folder: TempDir,
}

/// Frames of the clips: enough lengths that windows of 4 frames differ, two sizes.
const LENGTHS: [u32; 7] = [12, 25, 9, 31, 4, 17, 20];

fn clip(index: usize, frames: u32) -> FixtureStream {
    let size = if index.is_multiple_of(2) { "96x64" } else { "64x80" };
    // Each clip has its own picture.
    let source = format!("testsrc2=size={size}:rate=25,hue=h={}", index * 40);
    let frames = frames.to_string();
    let args = ["-f", "lavfi", "-i", &source, "-frames:v", &frames, "-pix_fmt", "yuv420p", "-c:v", "libx264"];
    let gop = ["-x264-params", "keyint=8:min-keyint=8:scenecut=0:bframes=2:threads=1"];
    FixtureStream::open(&testing::make("loader.mp4", &[&args[..], &gop[..]].concat()))
}

/// The clip as a record whose MP4 is nothing but its packets, one after another.
fn record(folder: &Path, index: usize, frames: u32) -> NewRecord {
    let FixtureStream { mut stream, packets } = clip(index, frames);
    let video_path = folder.join(format!("{index}.bin"));
    let bytes = packets.concat();
    std::fs::write(&video_path, &bytes).unwrap();
    let mut entries: Vec<_> = stream.packets.iter().collect();
    let first = entries[0].offset;
    for entry in &mut entries {
        entry.offset -= first;
    }
    stream.packets = PacketTable::from_entries(&entries);
    for gop in &mut stream.gops {
        gop.offset -= first;
        gop.crc32c = crc32c(&bytes[gop.offset as usize..][..gop.size as usize]);
    }
    let last = stream.frame_pts(stream.num_frames() - 1).unwrap() - stream.frame_pts(0).unwrap();
    stream.duration = last + last / (i64::from(frames) - 1);
    let columns = json!({"score": index, "tag": format!("t{index}"), "even": index.is_multiple_of(2), "ratio": index as f64 / 2.0});
    NewRecord {
        key: format!("clip-{index:03}"),
        stream,
        caption: (index != 3).then(|| format!("caption {index}")),
        columns: columns.as_object().unwrap().clone(),
        source: format!("{index}.mp4"),
        source_start: None,
        source_end: None,
        reencoded: None,
        fields: Vec::new(),
        video_path,
    }
}

impl TestSet {
    /// Clips of those numbers of frames, dealt out over the shards.
    pub(super) fn with(lengths: &[u32], num_shards: usize) -> Self {
        Self::changed(lengths, num_shards, |_| ())
    }

    /// Such clips with a change to each record.
    pub(super) fn changed(lengths: &[u32], num_shards: usize, change: impl Fn(&mut NewRecord)) -> Self {
        let folder = TempDir::new().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("shards")).unwrap();
        let mut entries = Vec::new();
        for number in 0..num_shards {
            let file = format!("shards/s{number}.tar");
            let mut writer = ShardWriter::create(&root.join(&file)).unwrap();
            for (index, &frames) in lengths.iter().enumerate().filter(|(index, _)| index % num_shards == number) {
                let mut record = record(root, index, frames);
                change(&mut record);
                writer.add(record).unwrap();
            }
            let summary = writer.finish().unwrap();
            let (rows, bytes, blake3) = (summary.rows, summary.bytes, summary.blake3);
            entries.push(ShardEntry { id: format!("s{number}"), file, rows, bytes, blake3 });
        }
        let index = build_index(entries.iter().map(|entry| Shard::open(&root.join(&entry.file)))).unwrap();
        publish(&root.join(&index.entry.file), &index.bytes).unwrap();
        let manifest = Manifest::new(DatasetKind::Video, "copy", index.entry, entries);
        let manifest = Manifest { frames: index.frames, seconds: index.seconds, ..manifest };
        manifest.write(root).unwrap();
        Self { folder }
    }

    pub(super) fn new() -> Self {
        Self::with(&LENGTHS, 2)
    }

    pub(super) fn dataset(&self) -> Dataset {
        Dataset::open(self.folder.path()).unwrap()
    }

    /// The keys in the order of the index.
    pub(super) fn dataset_keys(&self) -> Vec<String> {
        let dataset = self.dataset();
        (0..dataset.len()).map(|record| dataset.key(record).unwrap().to_owned()).collect()
    }

    pub(super) fn shard_path(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("shards/s{number}.tar"))
    }

    /// Four frames of every clip as 16 by 16 pictures, three clips a batch, shuffled.
    pub(super) fn builder(&self) -> LoaderBuilder {
        Self::builder_of(self.dataset())
    }

    /// The same of a dataset that was opened before.
    pub(super) fn builder_of(dataset: Dataset) -> LoaderBuilder {
        let window = Window::strided(4, 1);
        Loader::builder(dataset).batch_size(3).window(window).size(16, 16).shuffle(Shuffle::On).decode_workers(2)
    }

    /// Flips a byte in the middle of every packet of a record.
    pub(super) fn damage(&self, key: &str) {
        let dataset = self.dataset();
        let record = dataset.find(key).unwrap().unwrap();
        let (shard, stream) = dataset.stream(record).unwrap();
        let mut bytes = std::fs::read(shard.path()).unwrap();
        for packet in stream.packets.iter() {
            bytes[packet.offset as usize + packet.size as usize / 2] ^= 0x10;
        }
        // A new file: the old one may be mapped.
        let path = shard.path().to_owned();
        drop((shard, dataset));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// The frames of a batch that has them.
pub(super) fn video(batch: &Batch) -> &VideoBatch {
    batch.video.as_ref().unwrap()
}

type Content = (u64, Vec<u64>, Vec<String>, Vec<u32>, Vec<i64>, Vec<u8>);

/// All of a batch that must not depend on threads or timing.
pub(super) fn content(batch: &Batch) -> Content {
    let (positions, keys, video) = (batch.positions.clone(), batch.keys.clone(), video(batch));
    (batch.epoch, positions, keys, video.frames.clone(), video.pts.clone(), video.data.to_vec())
}

pub(super) fn keys(loader: &Loader) -> Vec<String> {
    loader.iter().flat_map(|batch| batch.unwrap().keys).collect()
}
