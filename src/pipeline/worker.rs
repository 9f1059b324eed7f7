//! Decode workers: threads that each take a clip, check its packets, decode it and transform its frames straight into the
//! clip's place in the batch. One clip is one thread's from begin to end.

use super::assemble::ClipFacts;
use super::budget::Pace;
use super::clip::{CheckedPackets, ClipBytes, ClipPlan, Job, check_packets};
use super::partial::Stage;
use super::row::Part;
use super::run::Run;
use super::stats::{Counters, add, add_duration, add_since};
use crate::decode::{ClipDecoder, DecodeLimits, DecoderOptions};
use crate::error::{Error, Result};
use crate::media::{ColorSpec, FrameView, Orientation, PixelFormat, Ratio, StreamInfo};
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
        let Job { row, mut slot, clip, bytes, held_bytes } = job;
        let result = catch_unwind(AssertUnwindSafe(|| {
            let cost = process(&mut tools, run, &clip, &bytes, slot.bytes_mut())?;
            Ok((cost, facts(&clip)?))
        }));
        let result = result.unwrap_or_else(|panic| {
            // Whatever state the panic left behind is not used again.
            tools = Tools::default();
            Err(Error::decode(format!("decoding panicked: {}", panic_message(&*panic))))
        });
        drop(bytes);
        run.monitor.release(held_bytes);
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

fn facts(clip: &ClipPlan) -> Result<ClipFacts> {
    let pts = clip.frames.iter().map(|&frame| clip.stream.frame_pts(frame as usize));
    let pts = pts.collect::<Option<Vec<_>>>().ok_or_else(|| Error::corrupt("a frame has no timestamp"))?;
    let StreamInfo { color, height, time_base, .. } = clip.stream;
    let color = ColorSpec { matrix: color.matrix_in_use(height), ..color };
    Ok(ClipFacts { frames: clip.frames.clone(), pts, time_base, color })
}

/// What a panic said.
pub(super) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
