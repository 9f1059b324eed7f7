//! Records for tests: their MP4s are not playable, but everything that shards say about them is true.

use super::{NewRecord, NewTensor, ShardSummary, ShardWriter};
use crate::format::{TensorType, crc32c};
use crate::media::{
    Codec, ColorSpec, GopEntry, Orientation, PacketEntry, PacketFlags, PacketTable, PixelFormat, Ratio, StreamInfo,
    TimeBase,
};
use serde_json::json;
use std::path::Path;

/// Bytes that look random and depend on `seed` alone.
pub(crate) fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// A stream of `gops` GOPs of three packets in the order I P B, in a file with 40 bytes before the first GOP and 8 between
/// GOPs; the first packet is a lead-in that gives no frame. Gives the stream and the file's bytes.
pub(crate) fn stream(seed: u64, gops: u32) -> (StreamInfo, Vec<u8>) {
    let mut bytes = noise(seed, 40);
    let mut packets = Vec::new();
    let mut table = Vec::new();
    let mut frames = Vec::new();
    for gop in 0..gops {
        let start = bytes.len();
        for (number, pts) in [0_i64, 2, 1].into_iter().enumerate() {
            let data = noise(seed * 1000 + packets.len() as u64, 20 + (seed as usize + packets.len() * 7) % 30);
            let mut flags = match number {
                0 => PacketFlags::KEYFRAME,
                2 => PacketFlags::DISPOSABLE,
                _ => PacketFlags::default(),
            };
            if packets.is_empty() {
                flags |= PacketFlags::DISCARD;
            }
            packets.push(PacketEntry {
                offset: bytes.len() as u64,
                size: data.len() as u32,
                pts: (i64::from(gop) * 3 + pts) * 512 - 77,
                dts: packets.len() as i64 * 512 - 1024,
                flags,
                crc32c: crc32c(&data),
            });
            bytes.extend(data);
        }
        let first = gop * 3;
        let order = [first, first + 2, first + 1];
        let first_frame = frames.len() as u32;
        frames.extend(order.into_iter().filter(|&packet| packet != 0));
        table.push(GopEntry {
            offset: start as u64,
            size: (bytes.len() - start) as u64,
            first_packet: first,
            num_packets: 3,
            first_frame,
            crc32c: crc32c(&bytes[start..]),
        });
        bytes.extend(noise(seed + 5, 8));
    }
    let duration = frames.len() as i64 * 512;
    let info = StreamInfo {
        codec: Codec::H264,
        profile: Some(100),
        extradata: noise(seed, 17).into(),
        reorder_frames: 1,
        pixel_format: PixelFormat::YUV420P,
        width: 64,
        height: 48,
        sample_aspect: Ratio::new(4, 3).unwrap(),
        orientation: Orientation::new(1, false),
        color: ColorSpec::guess(48),
        time_base: TimeBase::new(1, 12_800).unwrap(),
        duration,
        packets: PacketTable::from_entries(&packets),
        gops: table,
        frame_packets: frames.into_iter().collect(),
        is_closed: false,
    };
    (info, bytes)
}

/// A tensor of that many bytes of noise.
pub(crate) fn tensor(name: &str, seed: u64, count: usize) -> NewTensor {
    let data = noise(seed, count).into();
    NewTensor { name: name.to_owned(), dtype: TensorType::UInt8, shape: vec![count as u64 / 2, 2], data }
}

/// A record whose MP4 is written into `folder`.
pub(crate) fn record(folder: &Path, key: &str, seed: u64, gops: u32) -> NewRecord {
    let (stream, bytes) = stream(seed, gops);
    let video_path = folder.join(format!("{seed}.mp4"));
    std::fs::write(&video_path, bytes).unwrap();
    let columns =
        json!({"score": seed as f64 + 0.5, "views": seed, "good": seed.is_multiple_of(2), "tags": ["a", seed]});
    NewRecord {
        key: key.to_owned(),
        stream,
        caption: (!seed.is_multiple_of(3)).then(|| format!("clip {seed}: ünïcode")),
        columns: columns.as_object().unwrap().clone(),
        source: format!("videos/{key}.mov"),
        source_start: (seed % 2 == 1).then_some(1.5),
        source_end: None,
        reencoded: (seed % 4 == 3).then(|| "codec 'prores' does not fit MP4".to_owned()),
        fields: if seed.is_multiple_of(2) { vec![tensor("latent", seed, 600)] } else { Vec::new() },
        video_path,
    }
}

/// Keys that need no, and every kind of, extended header.
pub(crate) const KEYS: [&str; 3] = [
    "000000",
    "film-1/scene_2",
    "directory_with_a_long_name_0123456789/another_directory_with_a_long_name_0123456789/日本_and_a_long_clip_name",
];

/// A shard with three records.
pub(crate) fn shard(folder: &Path, path: &Path) -> ShardSummary {
    let mut writer = ShardWriter::create(path).unwrap();
    for (number, key) in KEYS.into_iter().enumerate() {
        writer.add(record(folder, key, number as u64, number as u32 + 1)).unwrap();
    }
    writer.finish().unwrap()
}
