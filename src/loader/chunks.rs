//! A whole record in chunks of frames, each frame decoded once, in the memory of a few chunks.

use super::clip_reader::{ClipReader, DecodedClip};
use super::clip_reads::ClipPlan;
use crate::batch::{BatchAssembly, BatchPool};
use crate::buf::Slot;
use crate::decode::DecodeLimits;
use crate::error::{Error, ErrorKind, Result};
use crate::media::{FrameView, StreamInfo};
use crate::transform::{ClipShape, Transform, TransformOptions};
use std::collections::VecDeque;
use std::ops::Range;

/// Fewest frames that are planned, read and decoded at once, beside the last ones. More where GOPs are longer.
const LEAST_RUN: u32 = 256;
/// Chunks that may be begun while an earlier one lacks a frame: in open GOPs pictures come from two runs.
const MAX_OPEN: usize = 8;

impl ClipReader {
    /// Decodes the frames from `frames.start` up to `frames.end` and hands them to `sink` as tensors of `chunk` frames each, in order,
    /// the last one of what is left. Nothing within a run of GOPs is decoded twice, and the memory of a chunk that was dropped is used for a
    /// later one. The limits hold for each of the runs, which are 256 frames long or a GOP; their `timeout` counts the sink's time as well.
    ///
    /// # Errors
    /// As [`tensor`](ClipReader::tensor), and `InvalidArgument` for a chunk of 0 frames; `Closed` when `cancel` says so, which is asked between
    /// packets and between frames; what `sink` returns.
    #[expect(clippy::too_many_arguments, reason = "which frames, what becomes of them, and when to stop")]
    pub fn for_each_chunk(
        &mut self,
        record: usize,
        frames: Range<u32>,
        chunk: u32,
        options: &TransformOptions,
        limits: &DecodeLimits,
        cancel: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(DecodedClip) -> Result<()>,
    ) -> Result<()> {
        if chunk == 0 {
            return Err(Error::invalid("chunk is 0 frames, expected 1 or more"));
        }
        let (_, stream) = self.dataset().stream(record)?;
        if frames.end as usize > stream.num_frames() || frames.start > frames.end {
            let message = format!("there are no frames {frames:?}, the record has {}", stream.num_frames());
            return Err(Error::invalid(message));
        }
        let transform = Transform::new(options, &stream)?;
        let memory = self.memory().clone();
        let mut chunks = Chunks { memory, transform, frames: frames.clone(), chunk, first: 0, open: VecDeque::new() };
        for run in runs(&stream, frames) {
            let numbers: Vec<u32> = run.clone().collect();
            let clip = ClipPlan::of_frames(self.dataset(), record, &numbers)?;
            let decoded = self.frames_of(&clip, limits, cancel, &mut |positions, frame| {
                positions.iter().try_for_each(|&position| chunks.add(run.start + position, frame, sink))
            });
            decoded.map_err(|error| self.place(&clip, error))?;
        }
        chunks.finish()
    }
}

/// The frames in runs of whole GOPs, long enough that what open GOPs share is little.
fn runs(stream: &StreamInfo, frames: Range<u32>) -> Vec<Range<u32>> {
    let mut runs = Vec::new();
    let mut start = frames.start;
    for gop in &stream.gops {
        let first = gop.first_frame;
        if first < frames.end && first.saturating_sub(start) >= LEAST_RUN {
            runs.push(start..first);
            start = first;
        }
    }
    if start < frames.end {
        runs.push(start..frames.end);
    }
    runs
}

/// A chunk while its frames are written.
struct Open {
    assembly: BatchAssembly,
    slot: Slot,
    shape: ClipShape,
    is_written: Vec<bool>,
}

impl Open {
    fn is_full(&self) -> bool {
        self.is_written.iter().all(|&is_written| is_written)
    }
}

struct Chunks {
    memory: BatchPool,
    transform: Transform,
    frames: Range<u32>,
    chunk: u32,
    /// Which chunk the first of `open` is.
    first: usize,
    open: VecDeque<Open>,
}

impl Chunks {
    /// Writes a frame to its place, and hands on the chunks that are full.
    fn add(&mut self, frame: u32, view: &FrameView<'_>, sink: &mut dyn FnMut(DecodedClip) -> Result<()>) -> Result<()> {
        let position = frame - self.frames.start;
        let (index, t) = ((position / self.chunk) as usize, (position % self.chunk) as usize);
        let Some(index) = index.checked_sub(self.first).filter(|&index| index < MAX_OPEN) else {
            return Err(Error::decode(format!("frame {frame} came out of the decoder far from its place")));
        };
        while self.open.len() <= index {
            let chunk = self.begin()?;
            self.open.push_back(chunk);
        }
        let chunk = &mut self.open[index];
        let num_frames = chunk.shape.frames;
        self.transform.apply(view, chunk.slot.bytes_mut(), num_frames, t)?;
        chunk.is_written[t] = true;
        while self.open.front().is_some_and(Open::is_full) {
            let Some(Open { assembly, slot, shape, .. }) = self.open.pop_front() else { break };
            self.first += 1;
            drop(slot);
            let options = self.transform.options();
            let (layout, dtype) = (options.layout, options.dtype);
            sink(DecodedClip { data: assembly.finish()?, shape: shape.shape(layout), dtype, layout })?;
        }
        Ok(())
    }

    /// Memory for the chunk after those that are open.
    fn begin(&self) -> Result<Open> {
        let before = (self.first + self.open.len()) as u32 * self.chunk;
        let num_frames = self.chunk.min(self.frames.len() as u32 - before) as usize;
        let shape = self.transform.clip_shape(num_frames);
        let (assembly, slots) = self.memory.acquire(1, shape.num_bytes(self.transform.dtype())?)?;
        let slot = slots.into_iter().next();
        let slot = slot.ok_or_else(|| Error::new(ErrorKind::OutOfMemory, "no memory for a chunk of frames"))?;
        Ok(Open { assembly, slot, shape, is_written: vec![false; num_frames] })
    }

    /// Makes sure that every frame came.
    fn finish(self) -> Result<()> {
        if (self.first as u64) * u64::from(self.chunk) < self.frames.len() as u64 {
            return Err(Error::decode("a frame did not come out of the decoder"));
        }
        Ok(())
    }
}
