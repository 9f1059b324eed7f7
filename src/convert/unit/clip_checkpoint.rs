//! A converted clip that waits for its shard: the MP4 and its tables, side by side, so that a killed run need not convert
//! it again. The tables are written last, and name the MP4's size and hash; one that does not match is made again.

use crate::convert::ClipOutput;
use crate::convert::clip::train::TrainFacts;
use crate::format::publish;
use crate::media::{
    ChromaLocation, Codec, ColorRange, ColorSpec, GopEntry, Orientation, PacketTable, PixelFormat, Ratio, StreamInfo,
    TimeBase,
};
use crate::{Error, Result};
use arrow::buffer::Buffer;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Raised when the layout below changes. Only this program reads these files, and only while a conversion is under way.
const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    bytes: u64,
    blake3: String,
    reencoded: Option<String>,
    bytes_in: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    train: Option<TrainFacts>,
    warnings: Vec<String>,
    stream_index: usize,
    codec: String,
    profile: Option<i32>,
    extradata: Vec<u8>,
    reorder_frames: u8,
    pixel_format: String,
    size: (u32, u32),
    sample_aspect: (u32, u32),
    orientation: (u8, bool),
    color: (u8, u8, u8, String, String, bool),
    time_base: (u32, u32),
    duration: i64,
    offsets: Vec<u64>,
    sizes: Vec<u32>,
    pts: Vec<i64>,
    dts: Vec<i64>,
    flags: Vec<u8>,
    crc32c: Vec<u32>,
    gops: Vec<(u64, u64, u32, u32, u32, u32)>,
    frame_packets: Vec<u32>,
}

/// Saves the tables of `clip`, whose MP4 is at `mp4`, as `tables`.
pub(crate) fn save_clip(clip: &ClipOutput, mp4: &Path, tables: &Path) -> Result<()> {
    let stream = &clip.stream;
    let color = stream.color;
    let packets = &stream.packets;
    let saved = Saved {
        version: VERSION,
        bytes: clip.bytes,
        blake3: hash_file(mp4)?,
        reencoded: clip.reencoded.clone(),
        bytes_in: clip.bytes_in,
        train: clip.train,
        warnings: clip.warnings.clone(),
        stream_index: clip.stream_index,
        codec: stream.codec.as_str().to_owned(),
        profile: stream.profile,
        extradata: stream.extradata.to_vec(),
        reorder_frames: stream.reorder_frames,
        pixel_format: stream.pixel_format.name(),
        size: (stream.height, stream.width),
        sample_aspect: (stream.sample_aspect.num(), stream.sample_aspect.den()),
        orientation: (stream.orientation.quarter_turns(), stream.orientation.is_mirrored()),
        color: (
            color.matrix,
            color.primaries,
            color.transfer,
            color.range.as_str().to_owned(),
            color.chroma_location.as_str().to_owned(),
            color.guessed,
        ),
        time_base: (stream.time_base.num(), stream.time_base.den()),
        duration: stream.duration,
        offsets: packets.offsets.to_vec(),
        sizes: packets.sizes.to_vec(),
        pts: packets.pts.to_vec(),
        dts: packets.dts.to_vec(),
        flags: packets.flags.to_vec(),
        crc32c: packets.crc32c.to_vec(),
        gops: stream
            .gops
            .iter()
            .map(|g| (g.offset, g.size, g.first_packet, g.num_packets, g.first_frame, g.crc32c))
            .collect(),
        frame_packets: stream.frame_packets.to_vec(),
    };
    let bytes =
        serde_json::to_vec(&saved).map_err(|e| Error::invalid("a clip's tables cannot be written").with_source(e))?;
    publish(tables, &bytes)
}

/// The clip that an earlier run saved; `None` where it did not get that far.
pub(crate) fn load_clip(mp4: &Path, tables: &Path) -> Option<ClipOutput> {
    let saved: Saved = serde_json::from_slice(&std::fs::read(tables).ok()?).ok()?;
    let same_file = std::fs::metadata(mp4).ok()?.len() == saved.bytes && hash_file(mp4).ok()? == saved.blake3;
    if saved.version != VERSION || !same_file {
        return None;
    }
    let (height, width) = saved.size;
    let (matrix, primaries, transfer, range, location, guessed) = saved.color;
    let stream = StreamInfo {
        codec: Codec::parse(&saved.codec)?,
        profile: saved.profile,
        extradata: Buffer::from_vec(saved.extradata),
        reorder_frames: saved.reorder_frames,
        pixel_format: PixelFormat::parse(&saved.pixel_format)?,
        width,
        height,
        sample_aspect: Ratio::new(saved.sample_aspect.0, saved.sample_aspect.1)?,
        orientation: Orientation::new(saved.orientation.0, saved.orientation.1),
        color: ColorSpec {
            matrix,
            primaries,
            transfer,
            range: ColorRange::parse(&range)?,
            chroma_location: ChromaLocation::parse(&location)?,
            guessed,
        },
        time_base: TimeBase::new(saved.time_base.0, saved.time_base.1)?,
        duration: saved.duration,
        packets: PacketTable {
            offsets: saved.offsets.into(),
            sizes: saved.sizes.into(),
            pts: saved.pts.into(),
            dts: saved.dts.into(),
            flags: saved.flags.into(),
            crc32c: saved.crc32c.into(),
        },
        gops: saved
            .gops
            .into_iter()
            .map(|(offset, size, first_packet, num_packets, first_frame, crc32c)| GopEntry {
                offset,
                size,
                first_packet,
                num_packets,
                first_frame,
                crc32c,
            })
            .collect(),
        frame_packets: saved.frame_packets.into(),
        is_closed: false,
    };
    Some(ClipOutput {
        stream,
        bytes: saved.bytes,
        reencoded: saved.reencoded,
        bytes_in: saved.bytes_in,
        warnings: saved.warnings,
        stream_index: saved.stream_index,
        train: saved.train,
    })
}

fn hash_file(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let file = std::fs::File::open(path).map_err(|e| Error::io("open", path, e))?;
    hasher.update_reader(file).map_err(|e| Error::io("read", path, e))?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{PacketEntry, PacketFlags};

    fn clip() -> ClipOutput {
        let packet = |offset: u64, pts| PacketEntry {
            offset,
            size: 4,
            pts,
            dts: pts - 1,
            flags: PacketFlags::KEYFRAME,
            crc32c: u32::MAX,
        };
        let gop = GopEntry { offset: 1, size: 8, first_packet: 0, num_packets: 2, first_frame: 0, crc32c: 3 };
        ClipOutput {
            stream: StreamInfo {
                codec: Codec::Hevc,
                profile: Some(2),
                extradata: Buffer::from_vec(vec![1_u8, 2, 255]),
                reorder_frames: 2,
                pixel_format: PixelFormat { depth: 10, ..PixelFormat::YUV420P },
                width: 17,
                height: 9,
                sample_aspect: Ratio::new(64, 45).unwrap(),
                orientation: Orientation::new(3, true),
                color: ColorSpec { transfer: 18, ..ColorSpec::guess(1080) },
                time_base: TimeBase::new(1001, 30000).unwrap(),
                duration: 2,
                packets: PacketTable::from_entries(&[packet(1, -5), packet(5, i64::MAX)]),
                gops: vec![gop],
                frame_packets: vec![1_u32, 0].into(),
                is_closed: false,
            },
            bytes: 9,
            reencoded: Some("mp4 cannot hold it".into()),
            bytes_in: 7,
            warnings: vec!["w".into()],
            stream_index: 4,
            train: Some(TrainFacts { psnr_y: 41.5, psnr: 42.25, ..TrainFacts::default() }),
        }
    }

    #[test]
    fn a_saved_clip_comes_back_whole_and_only_with_its_own_mp4() {
        let dir = tempfile::tempdir().unwrap();
        let (mp4, tables) = (dir.path().join("0.mp4"), dir.path().join("0.json"));
        std::fs::write(&mp4, b"123456789").unwrap();
        assert!(load_clip(&mp4, &tables).is_none());
        save_clip(&clip(), &mp4, &tables).unwrap();
        let back = load_clip(&mp4, &tables).unwrap();
        let all = |clip: &ClipOutput| {
            let s = &clip.stream;
            let head = (s.codec, s.profile, s.extradata.to_vec(), s.reorder_frames, s.pixel_format, s.width, s.height);
            let rest = (s.sample_aspect, s.orientation, s.color, s.time_base, s.duration, s.gops.clone());
            let packets: Vec<_> = s.packets.iter().collect();
            let what = (clip.bytes, clip.bytes_in, clip.reencoded.clone(), clip.stream_index, clip.train);
            (head, rest, packets, s.frame_packets.to_vec(), what)
        };
        assert_eq!(all(&back), all(&clip()));
        assert_eq!(back.warnings, clip().warnings);
        std::fs::write(&mp4, b"12345678X").unwrap();
        assert!(load_clip(&mp4, &tables).is_none());
    }
}
