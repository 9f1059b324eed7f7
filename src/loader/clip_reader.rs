//! Single clips, without a loader: frames of one record by number, as the decoder's own planes or as a tensor.

use super::clip_reads::{ClipBytes, ClipPlan};
use super::context::open_storage;
use super::worker::Tools;
use crate::batch::{BatchBuffer, BatchPool};
use crate::dataset::Dataset;
use crate::decode::{ClipDecoder, DecodeLimits};
use crate::error::{Error, Result};
use crate::media::{FrameView, PixelFormat, PlaneView};
use crate::storage::{Storage, StorageOptions};
use crate::transform::{DType, Layout, TransformOptions};
use std::fmt;

/// One decoded frame, untouched: before rotation, in the decoder's own format.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodedFrame {
    /// Format of the planes.
    pub format: PixelFormat,
    /// Width of the luma plane in samples.
    pub width: u32,
    /// Height of the luma plane in rows.
    pub height: u32,
    /// One, or three: Y, U, V or G, B, R. Dense rows, no padding; samples of more than 8 bits are little-endian `u16`.
    pub planes: Vec<Vec<u8>>,
}

impl DecodedFrame {
    fn copy_of(frame: &FrameView<'_>) -> Self {
        let plane = |plane: usize| {
            let (_, rows) = frame.format.plane_size(plane, frame.width, frame.height);
            (0..rows).flat_map(|y| frame.row(plane, y).iter().copied()).collect()
        };
        let planes = (0..frame.format.num_planes()).map(plane).collect();
        Self { format: frame.format, width: frame.width, height: frame.height, planes }
    }

    /// The frame, borrowed.
    pub fn view(&self) -> FrameView<'_> {
        let plane = |index: usize| {
            let (width, _) = self.format.plane_size(index, self.width, self.height);
            let data = self.planes.get(index).map_or(&[][..], Vec::as_slice);
            PlaneView { data, stride: width as usize * self.format.bytes_per_sample() }
        };
        FrameView { format: self.format, width: self.width, height: self.height, planes: std::array::from_fn(plane) }
    }
}

impl fmt::Debug for DecodedFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodedFrame({} {}x{})", self.format, self.width, self.height)
    }
}

/// A clip as a dense tensor.
pub struct DecodedClip {
    /// Its elements, in the machine's byte order. The memory goes back to the reader when it is dropped.
    pub data: BatchBuffer,
    /// The four axes of `layout`.
    pub shape: [usize; 4],
    /// Type of the elements.
    pub dtype: DType,
    /// Order of the axes.
    pub layout: Layout,
}

impl fmt::Debug for DecodedClip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodedClip({:?} {} {})", self.shape, self.layout, self.dtype)
    }
}

/// Most bytes of a dropped clip that a reader keeps for the next one.
const MAX_SPARE_BYTES: usize = 1 << 30;

/// Decodes single clips of a dataset in the caller's thread, with decoders that stay open and memory that is used again from call to
/// call. One thread at a time; make one per thread.
pub struct ClipReader {
    dataset: Dataset,
    storage: Storage,
    tools: Tools,
    /// What `tools` made its transforms for.
    transform: Option<TransformOptions>,
    memory: BatchPool,
}

impl ClipReader {
    /// A reader of that dataset.
    ///
    /// # Errors
    /// Those of the storage options.
    pub fn new(dataset: &Dataset, storage: &StorageOptions) -> Result<Self> {
        Self::with_tools(dataset, storage, Tools::default())
    }

    /// A reader that decodes by `decoder`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn with_decoder(dataset: &Dataset, storage: &StorageOptions, decoder: ClipDecoder) -> Result<Self> {
        Self::with_tools(dataset, storage, Tools::new(decoder))
    }

    fn with_tools(dataset: &Dataset, storage: &StorageOptions, tools: Tools) -> Result<Self> {
        let storage = open_storage(dataset, &[], storage)?;
        let memory = BatchPool::limited(1, MAX_SPARE_BYTES);
        Ok(Self { dataset: dataset.clone(), storage, tools, transform: None, memory })
    }

    /// The frames of those numbers, in the order asked for, repeats included.
    ///
    /// # Errors
    /// `NotFound` for a record and `InvalidArgument` for a frame that does not exist; `Corrupt` for packets that fail their
    /// checksum; `Decode`; `LimitExceeded`; those of reading the shard.
    pub fn frames(&mut self, record: usize, frames: &[u32], limits: &DecodeLimits) -> Result<Vec<DecodedFrame>> {
        let mut decoded: Vec<Option<DecodedFrame>> = vec![None; frames.len()];
        self.for_each_frame(record, frames, limits, &mut |positions, frame| {
            let copy = DecodedFrame::copy_of(frame);
            for &position in positions {
                if let Some(place) = decoded.get_mut(position as usize) {
                    *place = Some(copy.clone());
                }
            }
            Ok(())
        })?;
        let missing = || Error::decode("a frame did not come out of the decoder");
        decoded.into_iter().collect::<Option<Vec<_>>>().ok_or_else(missing)
    }

    /// Hands each different frame of those numbers to `sink` once, with its places in `frames`, without keeping any: for
    /// looking at whole records. Frames come in an order of the decoder's choosing.
    ///
    /// # Errors
    /// As [`frames`](Self::frames), and what `sink` returns.
    pub fn for_each_frame(
        &mut self,
        record: usize,
        frames: &[u32],
        limits: &DecodeLimits,
        sink: &mut dyn FnMut(&[u32], &FrameView<'_>) -> Result<()>,
    ) -> Result<()> {
        let clip = ClipPlan::of_frames(&self.dataset, record, frames)?;
        self.frames_of(&clip, limits, &|| false, sink).map_err(|error| self.place(&clip, error))
    }

    /// Reads and decodes a clip.
    pub(super) fn frames_of(
        &mut self,
        clip: &ClipPlan,
        limits: &DecodeLimits,
        cancel: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(&[u32], &FrameView<'_>) -> Result<()>,
    ) -> Result<()> {
        clip.check(limits)?;
        let bytes = self.read(clip)?;
        self.tools.clip_to_frames(clip, &bytes, limits, cancel, sink).map(drop)
    }

    pub(super) fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    pub(super) fn memory(&self) -> &BatchPool {
        &self.memory
    }

    /// The frames of those numbers as one tensor. A long clip is decoded piece by piece without new memory where each piece is
    /// dropped before the next one is asked for; pieces that begin where GOPs begin decode nothing twice.
    ///
    /// # Errors
    /// As [`frames`](Self::frames), and `InvalidArgument` for transform options out of range, `LimitExceeded` for a display
    /// size beyond that of a transform, and `OutOfMemory` for a tensor that does not fit in memory.
    pub fn tensor(
        &mut self,
        record: usize,
        frames: &[u32],
        options: &TransformOptions,
        limits: &DecodeLimits,
    ) -> Result<DecodedClip> {
        self.cancellable_tensor(record, frames, options, limits, &|| false)
    }

    /// The same; `cancel` is asked between packets and between frames.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor), and `Closed` when cancelled.
    pub fn cancellable_tensor(
        &mut self,
        record: usize,
        frames: &[u32],
        options: &TransformOptions,
        limits: &DecodeLimits,
        cancel: &dyn Fn() -> bool,
    ) -> Result<DecodedClip> {
        options.check()?;
        if self.transform.as_ref() != Some(options) {
            self.tools.forget_transforms();
            self.transform = Some(options.clone());
        }
        let clip = ClipPlan::of_frames(&self.dataset, record, frames)?;
        let run = |reader: &mut Self| {
            clip.check(limits)?;
            // The transform refuses sizes that are out of range, before they size anything.
            let shape = reader.tools.clip_shape(&clip, options)?;
            let (assembly, mut slots) = reader.memory.acquire(1, shape.num_bytes(options.dtype)?)?;
            let bytes = reader.read(&clip)?;
            for slot in &mut slots {
                reader.tools.clip_to_tensor(&clip, &bytes, options, limits, cancel, slot.bytes_mut())?;
            }
            drop(slots);
            let (data, shape) = (assembly.finish()?, shape.shape(options.layout));
            Ok(DecodedClip { data, shape, dtype: options.dtype, layout: options.layout })
        };
        run(self).map_err(|error| self.place(&clip, error))
    }

    fn read(&self, clip: &ClipPlan) -> Result<ClipBytes> {
        let file = self.storage.open(clip.shard.path())?;
        let mut bytes = ClipBytes::default();
        for read in &clip.reads {
            let len = usize::try_from(read.range.len).unwrap_or(usize::MAX);
            bytes.add(read.range.offset, self.storage.read_at(&file, read.range.offset, len)?);
        }
        Ok(bytes)
    }

    /// Says of an error whose it is.
    pub(super) fn place(&self, clip: &ClipPlan, error: Error) -> Error {
        match self.dataset.row(clip.record) {
            Ok(row) => error.with_record(row.key).with_path(clip.shard.path()),
            Err(_) => error,
        }
    }
}

impl fmt::Debug for ClipReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClipReader").field("dataset", &self.dataset).finish_non_exhaustive()
    }
}
