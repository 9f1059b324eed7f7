//! The raw profile: the frames of a proved clip as one tensor, RGB as displayed or I420 as decoded and turned, in a file that
//! waits for its shard.

use super::convert_clip::{SourceFrames, first_picture};
use super::i420::{self, Picture};
use super::plane_reader::PlaneReader;
use crate::convert::source::ingest::Given;
use crate::convert::{ClipOutput, ClipRequest, RawFormat};
use crate::decode::{ClipDecoder, DecodeLimits, DecodePlan, DecoderOptions, PacketSource};
use crate::ffmpeg;
use crate::format::{crc32c, create_new_file, map, open_regular};
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
pub(crate) const FIELD: &str = "frames";

/// Refuses a source whose first picture cannot be stored in `format`, before anything is made of it. A source that gives no
/// picture at all is none of this: converting it says what is wrong with it.
pub(crate) fn check_source(format: RawFormat, request: &ClipRequest, cancel: &dyn Fn() -> bool) -> Result<()> {
    match format {
        RawFormat::Rgb => Ok(()),
        RawFormat::Yuv420 => match first_picture(&request.source, request.stream, cancel) {
            Ok(Some(first)) => i420::check_picture(&first.format, first.width, first.height),
            Ok(None) | Err(_) => Ok(()),
        },
    }
}

/// Frames that wait for their shard, dense in a file.
pub(crate) struct RawFrames {
    path: PathBuf,
    /// `[T, H, W, 3]`, or `[T, H * 3 / 2, W]`.
    shape: Vec<u64>,
    /// What the record says beside its frames.
    columns: Map<String, Value>,
    /// Whether they are the source's own, although the MP4 had to be encoded anew.
    pub(crate) are_sources: bool,
}

impl RawFrames {
    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.shape.iter().fold(1, |bytes, &axis| bytes.saturating_mul(axis))
    }

    /// Decodes every frame of the clip that `request` asked for into the file `path` as RGB, resized to `size` (height, width)
    /// where it is given: from its MP4 at `mp4`, or, where that one had to be encoded anew, from the source. One frame is in memory at a
    /// time.
    pub(crate) fn rgb(
        clip: &ClipOutput,
        request: &ClipRequest,
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
        let are_sources = clip.reencoded.is_some();
        let source = if are_sources { Some(SourceFrames::open(request, mp4, cancel)?) } else { None };
        let mut transform = match &source {
            Some(source) => {
                let (pixel_format, color) = source.pictures()?;
                Transform::new(&options, &StreamInfo { pixel_format, color, ..stream.clone() })?
            }
            None => Transform::new(&options, stream)?,
        };
        let mut frames = FrameFile::create(path, transform.clip_shape(1).num_bytes(transform.dtype())?)?;
        if let Some(source) = source {
            let mut reader = PlaneReader::new();
            source.read(cancel, &mut |&Given { number, frame, .. }| {
                transform.apply(&reader.view(frame)?, &mut frames.one, 1, 0)?;
                frames.put(number)
            })?;
        } else {
            decode(stream, mp4, cancel, &mut |positions, frame| {
                transform.apply(frame, &mut frames.one, 1, 0)?;
                positions.iter().try_for_each(|&position| frames.put(position as usize))
            })?;
        }
        let num_frames = frames.finish(stream)?;
        let (height, width) = transform.output_size();
        let shape = vec![num_frames, u64::from(height), u64::from(width), 3];
        Ok(Self { path: path.to_owned(), shape, columns: Map::new(), are_sources })
    }

    /// Decodes every frame of the clip that `request` asked for into the file `path` as I420: from its MP4 at `mp4`, or, where
    /// that one had to be encoded anew and holds other pictures, from the source. One frame is in memory at a time.
    pub(crate) fn yuv420(
        clip: &ClipOutput,
        request: &ClipRequest,
        mp4: &Path,
        path: &Path,
        cancel: &dyn Fn() -> bool,
    ) -> Result<Self> {
        let stream = &clip.stream;
        let columns = i420::columns(stream)?;
        let (width, height) = stream.orientation.display_size(stream.width, stream.height);
        let rows = u64::from(height) / 2 * 3;
        let mut frames = FrameFile::create(path, rows as usize * width as usize)?;
        if clip.reencoded.is_none() {
            i420::check_picture(&stream.pixel_format.name(), width, height)?;
            decode(stream, mp4, cancel, &mut |positions, view| {
                let picture =
                    Picture::of(view).ok_or_else(|| Error::decode("a picture is not of the clip's format"))?;
                picture.write(stream.orientation, &mut frames.one)?;
                positions.iter().try_for_each(|&position| frames.put(position as usize))
            })?;
        } else {
            SourceFrames::open(request, mp4, cancel)?.read(cancel, &mut |&Given { number, frame, .. }| {
                i420::check_picture(ffmpeg::pixel_name(frame), frame.width(), frame.height())?;
                let upside_down = || Error::unsupported("its pictures are stored from the bottom row up");
                let picture = i420::picture_420(frame).ok_or_else(upside_down)?;
                picture.write(stream.orientation, &mut frames.one)?;
                frames.put(number)
            })?;
        }
        let shape = vec![frames.finish(stream)?, rows, u64::from(width)];
        Ok(Self { path: path.to_owned(), shape, columns, are_sources: clip.reencoded.is_some() })
    }

    /// The record to be stored. Its file is mapped, and may be removed.
    pub(crate) fn into_record(
        self,
        key: String,
        caption: Option<String>,
        mut columns: Map<String, Value>,
    ) -> Result<NewTensorRecord> {
        columns.extend(self.columns);
        let (file, bytes) = open_regular(&self.path)?;
        let data = Bytes::from_owner(map(&file, &self.path, 0, bytes)?);
        std::fs::remove_file(&self.path).map_err(|error| Error::io("remove", &self.path, error))?;
        let tensor = NewTensor { name: FIELD.to_owned(), dtype: TensorType::UInt8, shape: self.shape, data };
        Ok(NewTensorRecord { key, caption, columns, fields: vec![tensor] })
    }
}

/// What a dataset says of the field.
pub(crate) fn description(format: RawFormat, size: Option<(u32, u32)>) -> Map<String, Value> {
    let size = size.map_or(Value::Null, |(height, width)| json!([height, width]));
    let words = match format {
        RawFormat::Rgb => vec![("axes", json!("THWC")), ("color", json!("RGB")), ("size", size)],
        RawFormat::Yuv420 => {
            vec![("axes", json!("THW")), ("color", json!("YUV420")), ("layout", json!("I420")), ("size", size)]
        }
    };
    words.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The file of frames while it is written.
struct FrameFile<'a> {
    path: &'a Path,
    file: File,
    /// The frame that is written next.
    one: Vec<u8>,
    written: usize,
}

impl<'a> FrameFile<'a> {
    fn create(path: &'a Path, frame_bytes: usize) -> Result<Self> {
        let file = create_new_file(path)?;
        Ok(Self { path, file, one: vec![0; frame_bytes], written: 0 })
    }

    /// Writes `one` as frame `number`.
    fn put(&mut self, number: usize) -> Result<()> {
        let place = number as u64 * self.one.len() as u64;
        self.file.write_all_at(&self.one, place).map_err(|error| Error::io("write", self.path, error))?;
        self.written += 1;
        Ok(())
    }

    /// The number of frames, which is the clip's.
    fn finish(self, stream: &StreamInfo) -> Result<u64> {
        let (written, num_frames) = (self.written, stream.num_frames());
        if written != num_frames {
            return Err(Error::decode(format!("{written} of {num_frames} frames came out of the decoder")));
        }
        Ok(num_frames as u64)
    }
}

/// Decodes every frame of the clip whose MP4 is at `mp4`.
fn decode(
    stream: &StreamInfo,
    mp4: &Path,
    cancel: &dyn Fn() -> bool,
    sink: &mut dyn FnMut(&[u32], &FrameView<'_>) -> Result<()>,
) -> Result<()> {
    let all: Vec<u32> = (0..stream.num_frames() as u32).collect();
    let plan = DecodePlan::new(stream, &all)?;
    let limits = DecodeLimits::default().max_packets(u64::MAX).max_bytes(u64::MAX);
    let limits = limits.max_decoded_frames(u64::MAX).timeout(None);
    let packets = Packets::open(mp4, stream)?;
    ClipDecoder::new(DecoderOptions::default()).decode(stream, &plan, &packets, &limits, cancel, sink)?;
    Ok(())
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
