//! Decode workers: threads that each take a clip, check its packets, decode it and transform its frames straight into the
//! clip's place in the batch. One clip is one thread's from begin to end.

use super::assemble::ClipFacts;
use super::clip_reads::{CheckedPackets, ClipBytes, ClipPlace, ClipPlan, Job, check_packets};
use super::cpu_budget::Pace;
use super::iteration::Run;
use super::row::Part;
use super::stage_bench::Stage;
use super::stats::{Counters, add, add_duration, add_since};
use crate::decode::{ClipDecoder, DecodeLimits, DecoderOptions};
use crate::error::{Error, Result};
use crate::media::{ColorSpec, FrameView, Orientation, PixelFormat, Ratio, StreamInfo};
use crate::threads::panic_message;
use crate::transform::{ClipShape, Transform, TransformOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Transforms that a worker keeps.
const MAX_TRANSFORMS: usize = 64;
/// Most memory of the decoders that a worker leaves open for the next iteration: all of 256 lines, two of 720.
const PARKED_DECODER_BYTES: u64 = 32 << 20;

/// All of a stream that a transform depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Geometry {
    format: PixelFormat,
    size: (u32, u32),
    sample_aspect: Ratio,
    orientation: Orientation,
    color: ColorSpec,
}

impl From<&StreamInfo> for Geometry {
    fn from(stream: &StreamInfo) -> Self {
        Self {
            format: stream.pixel_format,
            size: (stream.width, stream.height),
            sample_aspect: stream.sample_aspect,
            orientation: stream.orientation,
            color: stream.color,
        }
    }
}

/// What one thread needs to turn clips into tensors, kept from clip to clip.
pub(super) struct Tools {
    decoder: ClipDecoder,
    /// Most recently used last.
    transforms: Vec<(Geometry, Transform)>,
}

impl Default for Tools {
    fn default() -> Self {
        Self::new(ClipDecoder::new(DecoderOptions::default()))
    }
}

/// What decoding a clip took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClipCost {
    packets: u64,
    frames: u64,
    total: Duration,
    transform: Duration,
}

impl Tools {
    pub(super) fn new(decoder: ClipDecoder) -> Self {
        Self { decoder, transforms: Vec::new() }
    }

    /// Decodes a clip into `output`, the memory of all its frames. `options` are the same at every call.
    pub(super) fn clip_to_tensor(
        &mut self,
        clip: &ClipPlan,
        bytes: &ClipBytes,
        options: &TransformOptions,
        limits: &DecodeLimits,
        cancel: &dyn Fn() -> bool,
        output: &mut [u8],
    ) -> Result<ClipCost> {
        let start = Instant::now();
        let index = self.transform_for(&clip.stream, options)?;
        let transform = &mut self.transforms[index].1;
        let num_frames = clip.frames.len();
        let mut spent = Duration::ZERO;
        let mut written = 0_usize;
        let mut sink = |positions: &[u32], frame: &FrameView<'_>| -> Result<()> {
            let start = Instant::now();
            for &position in positions {
                transform.apply(frame, output, num_frames, position as usize)?;
            }
            written += positions.len();
            spent += start.elapsed();
            Ok(())
        };
        let source = CheckedPackets { clip, bytes };
        let stats = self.decoder.decode(&clip.stream, &clip.plan, &source, limits, cancel, &mut sink)?;
        // The memory is recycled: a frame that was not written would show another clip's.
        if written != num_frames {
            return Err(Error::decode(format!("{written} of {num_frames} frames came out of the decoder")));
        }
        Ok(ClipCost { packets: stats.packets, frames: stats.decoded_frames, total: start.elapsed(), transform: spent })
    }

    /// For other options.
    pub(super) fn forget_transforms(&mut self) {
        self.transforms.clear();
    }

    /// Shape of the tensor of a clip, from a transform made for it: sizes out of range are refused.
    pub(super) fn clip_shape(&mut self, clip: &ClipPlan, options: &TransformOptions) -> Result<ClipShape> {
        let index = self.transform_for(&clip.stream, options)?;
        Ok(self.transforms[index].1.clip_shape(clip.frames.len()))
    }

    /// Decodes a clip and hands each frame to `sink` with its positions in the request. The sink's time counts as decoding.
    pub(super) fn clip_to_frames(
        &mut self,
        clip: &ClipPlan,
        bytes: &ClipBytes,
        limits: &DecodeLimits,
        cancel: &dyn Fn() -> bool,
        sink: &mut dyn FnMut(&[u32], &FrameView<'_>) -> Result<()>,
    ) -> Result<ClipCost> {
        let (start, source) = (Instant::now(), CheckedPackets { clip, bytes });
        let stats = self.decoder.decode(&clip.stream, &clip.plan, &source, limits, cancel, sink)?;
        let (packets, frames) = (stats.packets, stats.decoded_frames);
        Ok(ClipCost { packets, frames, total: start.elapsed(), transform: Duration::ZERO })
    }

    /// The place of the transform for a stream, which is made where there is none.
    fn transform_for(&mut self, stream: &StreamInfo, options: &TransformOptions) -> Result<usize> {
        let geometry = Geometry::from(stream);
        let found = self.transforms.iter().position(|(known, _)| *known == geometry);
        let entry = match found {
            Some(index) => self.transforms.remove(index),
            None => (geometry, Transform::new(options, stream)?),
        };
        if self.transforms.len() >= MAX_TRANSFORMS {
            self.transforms.remove(0);
        }
        self.transforms.push(entry);
        Ok(self.transforms.len() - 1)
    }
}

/// The thread's life.
pub(super) fn work(run: &Run) {
    let (shared, counters) = (&*run.shared, &run.shared.counters);
    let mut tools = shared.take_tools();
    let mut pace = Pace::new(run);
    while let Some(job) = run.monitor.next_job(counters) {
        let Job { row, place, clip, bytes, held_bytes } = job;
        let ClipPlace { mut slot, shape, apart } = place;
        let result = catch_unwind(AssertUnwindSafe(|| {
            let cost = with_second_chance(|| process(&mut tools, run, &clip, &bytes, slot.bytes_mut()))?;
            Ok((cost, facts(&clip, shape)?))
        }));
        let result = result.unwrap_or_else(|panic| {
            // Whatever state the panic left behind is not used again.
            tools = Tools::default();
            Err(Error::decode(format!("decoding panicked: {}", panic_message(&*panic))))
        });
        drop(bytes);
        run.monitor.release(held_bytes);
        let (slot, result) = match (apart, result) {
            // Memory of its own can be taken whole only when its slot is gone.
            (Some(assembly), result) => {
                drop(slot);
                let finish = |(cost, facts)| Ok((cost, ClipFacts { apart: Some(assembly.finish()?), ..facts }));
                (None, result.and_then(finish))
            }
            (None, result) => (Some(slot), result),
        };
        let result = match result {
            Ok((cost, facts)) => {
                count(counters, cost);
                Ok(facts)
            }
            Err(error) => Err(error.with_path(clip.shard.path())),
        };
        let start = Instant::now();
        if let Some(settled) = row.settle(Part::Clip { slot, result }) {
            run.row_settled(settled);
        }
        add_since(&counters.assemble_nanos, start);
        pace.rest();
    }
    // Between iterations nobody decodes, and the memory may be wanted elsewhere.
    tools.decoder.shrink(PARKED_DECODER_BYTES);
    shared.park_tools(tools);
}

/// Decodes a clip once more, with all the time there is, where it ran out of time: that may have been the machine's fault.
fn with_second_chance<T>(mut decode: impl FnMut() -> Result<T>) -> Result<T> {
    decode().or_else(|error| if error.is_out_of_time() { decode() } else { Err(error) })
}

/// Everything that is done to a clip, but the stage that a partial loader leaves out.
fn process(tools: &mut Tools, run: &Run, clip: &ClipPlan, bytes: &ClipBytes, output: &mut [u8]) -> Result<ClipCost> {
    let (options, cancel) = (&run.shared.options, || run.monitor.is_cancelled());
    match options.without {
        None => tools.clip_to_tensor(clip, bytes, &options.transform, &options.limits, &cancel, output),
        Some(Stage::Transform) => tools.clip_to_frames(clip, bytes, &options.limits, &cancel, &mut |_, _| Ok(())),
        Some(Stage::Decode) => {
            let start = Instant::now();
            check_packets(clip, bytes)?;
            Ok(ClipCost { total: start.elapsed(), ..ClipCost::default() })
        }
    }
}

fn count(counters: &Counters, cost: ClipCost) {
    add(&counters.packets_decoded, cost.packets);
    add(&counters.frames_decoded, cost.frames);
    add_duration(&counters.decode_nanos, cost.total.saturating_sub(cost.transform));
    add_duration(&counters.transform_nanos, cost.transform);
}

fn facts(clip: &ClipPlan, shape: ClipShape) -> Result<ClipFacts> {
    let pts = clip.frames.iter().map(|&frame| clip.stream.frame_pts(frame as usize));
    let pts = pts.collect::<Option<Vec<_>>>().ok_or_else(|| Error::corrupt("a frame has no timestamp"))?;
    let StreamInfo { color, height, time_base, .. } = clip.stream;
    let color = ColorSpec { matrix: color.matrix_in_use(height), ..color };
    Ok(ClipFacts { frames: clip.frames.clone(), pts, time_base, color, shape, apart: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn only_a_clip_that_ran_out_of_time_is_tried_once_more() {
        let run = |errors: Vec<Error>| {
            let (mut errors, mut attempts) = (errors.into_iter(), 0);
            let result = with_second_chance(|| {
                attempts += 1;
                errors.next().map_or(Ok(()), Err)
            });
            (result.map_err(|error| error.message().to_owned()), attempts)
        };
        let late = |message: &str| Error::new(ErrorKind::LimitExceeded, message).of_machine();
        assert_eq!(run(vec![]), (Ok(()), 1));
        assert_eq!(run(vec![late("one")]), (Ok(()), 2));
        assert_eq!(run(vec![late("one"), late("two"), late("three")]), (Err("two".to_owned()), 2));
        assert_eq!(run(vec![Error::new(ErrorKind::LimitExceeded, "packets")]), (Err("packets".to_owned()), 1));
        assert_eq!(run(vec![Error::decode("damaged")]), (Err("damaged".to_owned()), 1));
    }
}
