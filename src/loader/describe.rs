//! A loader in a few lines for people.

use super::builder::Options;
use super::choices::Shuffle;
use super::context::{LoaderShared, VideoSpec};
use crate::order::Draw;
use crate::transform::FrameFormat;
use std::fmt::Write;

/// What was chosen, line by line. `num_batches` are those of one iteration.
pub(super) fn describe(shared: &LoaderShared, num_batches: u64, seed: u64) -> String {
    let (options, sizes) = (&shared.options, shared.sizes);
    let mut text = format!("samples: {} of {} records", shared.samples.len(), shared.dataset.len());
    // Writing to a string does not fail.
    if let Some(VideoSpec { window, .. }) = &shared.video {
        let short = shared.samples.num_short();
        let _ = write!(text, ", {short} too short for {window}; placement {}", window.placement.as_str());
    }
    if !shared.fields.is_empty() {
        let _ = write!(text, ", {} lack a field", sizes.num_incomplete);
    }
    let _ = write!(
        text,
        "\nbatches: {num_batches} of {}{}, {} in the making at most, {} MiB",
        options.batch_size,
        content(shared),
        sizes.prefetch,
        options.prefetch_bytes >> 20
    );
    let _ = write!(text, "\nstorage: {}", shared.storage.describe());
    if shared.video.is_some() {
        let _ = write!(text, ", {} MiB read ahead at most", options.read_ahead_bytes >> 20);
        let _ = write!(text, "\ndecode: ffmpeg on {} threads", sizes.workers);
    }
    if !shared.fields.is_empty() {
        let _ = write!(text, "\nfields: {}", fields(options, sizes.tensor_readers));
    }
    if let Some(cores) = options.cpu_limit {
        let _ = write!(text, "\nprocessors: {cores} cores at most");
    }
    let order = match options.shuffle {
        Shuffle::On => "shuffled",
        Shuffle::Off => "of the dataset",
    };
    let _ = write!(text, "\norder: {order}, seed {seed}");
    if shared.video.is_some() {
        let windows = match options.draw() {
            Draw::Position => "others in each epoch",
            Draw::Record => "the same in each epoch",
        };
        let _ = write!(text, ", random windows {windows}");
    }
    if let Some(buckets) = &shared.cut.buckets {
        let _ = write!(text, ", {} buckets", buckets.len());
    }
    let _ = write!(text, "\nerrors: {}", options.on_error.as_str());
    text
}

/// What one row is.
fn content(shared: &LoaderShared) -> String {
    let mut text = String::new();
    if let Some(video) = &shared.video {
        let transform = &shared.options.transform;
        let (layout, dtype) = (transform.layout, transform.dtype);
        let format =
            if transform.format == FrameFormat::Rgb { String::new() } else { format!(" {}", transform.format) };
        let _ = match video.common_shape() {
            Some(shape) => {
                let bytes = video.num_bytes(shape).unwrap_or(usize::MAX);
                let shape = shape.shape(layout);
                write!(text, " x {shape:?} {layout} {dtype}{format}, {} KiB each", bytes >> 10)
            }
            None => write!(text, " x {} frames of the record's size {layout} {dtype}{format}", video.window.frames),
        };
    }
    for field in &shared.fields {
        let _ = match &field.shape {
            Some(shape) => write!(text, " x {} {shape:?} {}", field.name, field.dtype),
            None => write!(text, " x {} ragged {}", field.name, field.dtype),
        };
    }
    text
}

/// How fields are read.
fn fields(options: &Options, readers: usize) -> String {
    let mut ragged = options.ragged.as_str().to_owned();
    for (name, of) in &options.field_ragged {
        let _ = write!(ragged, ", {name} {}", of.as_str()); // a string takes all
    }
    let checksum = options.checksum.as_str();
    format!("read into their places by {readers} threads with an engine each, checksum {checksum}, ragged: {ragged}")
}
