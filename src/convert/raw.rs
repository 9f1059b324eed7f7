//! The raw profile: the frames of a proved clip as one tensor of 8-bit RGB, as displayed, in a file that waits for its shard.

use super::ClipOutput;
use crate::decode::{ClipDecoder, DecodeLimits, DecodePlan, DecoderOptions, PacketSource};
use crate::format::{crc32c, map, open_regular};
use crate::media::{FrameView, StreamInfo};
use crate::shard::{NewTensor, NewTensorRecord};
use crate::transform::{Layout, Transform, TransformOptions};
use crate::{Error, Result, TensorType};
use arrow::buffer::Buffer;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Name of the field.
pub(super) const FIELD: &str = "frames";

/// Frames that wait for their shard, dense in a file.
pub(super) struct RawFrames {
    path: PathBuf,
    /// `[T, H, W, 3]`.
    shape: Vec<u64>,
}

impl RawFrames {
    /// Bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.shape.iter().fold(1, |bytes, &axis| bytes.saturating_mul(axis))
    }

    /// Decodes every frame of the clip whose MP4 is at `mp4` into the file `path`, resized to `size` (height, width) where it is
    /// given. One frame is in memory at a time.
    pub(super) fn write(
        clip: &ClipOutput,
        mp4: &Path,
        size: Option<(u32, u32)>,
        path: &Path,
        cancel: &dyn Fn() -> bool,
    ) -> Result<Self> {
        let stream = &clip.stream;
        let mut options = TransformOptions::new().layout(Layout::Thwc);
        if let Some((height, width)) = size {
            options = options.size(height, width);
        }
        let mut transform = Transform::new(&options, stream)?;
        let num_frames = stream.num_frames();
        let mut one = vec![0; transform.clip_shape(1).num_bytes(transform.dtype())?];
        let file = File::create(path).map_err(|error| Error::io("create", path, error))?;
        let mut written = 0;
        let mut sink = |positions: &[u32], frame: &FrameView<'_>| -> Result<()> {
            transform.apply(frame, &mut one, 1, 0)?;
            for &position in positions {
                let place = u64::from(position) * one.len() as u64;
                file.write_all_at(&one, place).map_err(|error| Error::io("write", path, error))?;
            }
            written += positions.len();
            Ok(())
        };
        let all: Vec<u32> = (0..num_frames as u32).collect();
        let plan = DecodePlan::new(stream, &all)?;
        let limits = DecodeLimits::default().max_packets(u64::MAX).max_bytes(u64::MAX);
        let limits = limits.max_decoded_frames(u64::MAX).timeout(None);
        let packets = Packets::open(mp4, stream)?;
        ClipDecoder::new(DecoderOptions::default()).decode(stream, &plan, &packets, &limits, cancel, &mut sink)?;
        if written != num_frames {
            return Err(Error::decode(format!("{written} of {num_frames} frames came out of the decoder")));
        }
        let (height, width) = transform.output_size();
        let shape = vec![num_frames as u64, u64::from(height), u64::from(width), 3];
        Ok(Self { path: path.to_owned(), shape })
    }

    /// The record to be stored. Its file is mapped, and may be removed.
    pub(super) fn into_record(
        self,
        key: String,
        caption: Option<String>,
        columns: Map<String, Value>,
    ) -> Result<NewTensorRecord> {
        let (file, bytes) = open_regular(&self.path)?;
        let data = Bytes::from_owner(map(&file, &self.path, 0, bytes)?);
        std::fs::remove_file(&self.path).map_err(|error| Error::io("remove", &self.path, error))?;
        let tensor = NewTensor { name: FIELD.to_owned(), dtype: TensorType::UInt8, shape: self.shape, data };
        Ok(NewTensorRecord { key, caption, columns, fields: vec![tensor] })
    }
}

/// What a dataset says of the field.
pub(super) fn description(size: Option<(u32, u32)>) -> Map<String, Value> {
    let size = size.map_or(Value::Null, |(height, width)| json!([height, width]));
    [("axes", json!("THWC")), ("color", json!("RGB")), ("size", size)]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The packets of an MP4 that was written a moment ago, mapped.
struct Packets<'a> {
    path: &'a Path,
    stream: &'a StreamInfo,
    bytes: Buffer,
}

impl<'a> Packets<'a> {
    fn open(path: &'a Path, stream: &'a StreamInfo) -> Result<Self> {
        let (file, len) = open_regular(path)?;
        Ok(Self { path, stream, bytes: map(&file, path, 0, len)? })
    }
}

impl PacketSource for Packets<'_> {
    fn packet(&self, index: u32) -> Result<&[u8]> {
        let entry = self.stream.packets.get(index as usize);
        let bytes = entry.and_then(|entry| {
            let start = usize::try_from(entry.offset).ok()?;
            self.bytes.get(start..start.checked_add(entry.size as usize)?)
        });
        match (entry, bytes) {
            (Some(entry), Some(bytes)) if crc32c(bytes) == entry.crc32c => Ok(bytes),
            _ => Err(Error::corrupt(format!("packet {index} is not what was stored")).with_path(self.path)),
        }
    }
}
