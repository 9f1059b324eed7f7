//! `framefeed info`.

use super::units::{bytes, count, grouped, hours};
use super::{Ending, output};
use clap::Args;
use framefeed::{Dataset, DatasetInfo, FieldCount, Placement, Result, Window};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Sizes and rates shown; --json has all.
const SHOWN: usize = 8;

/// Say what is in a dataset, and what reading a window of frames from it costs.
#[derive(Args)]
pub(super) struct InfoArgs {
    /// Folder of the dataset.
    dataset: PathBuf,

    /// Frames of the window whose cost is estimated.
    #[arg(long, value_name = "FRAMES", default_value_t = 16)]
    window: u32,

    /// From one frame of the window to the next, in frames of the clip.
    #[arg(long, value_name = "FRAMES", default_value_t = 4)]
    stride: u32,

    /// Where the window lies: random, or keyframe, where GOPs begin.
    #[arg(long, value_name = "WHERE", value_parser = Placement::parse, default_value = "random")]
    placement: Placement,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &InfoArgs) -> Result<Ending> {
    let window = Window::strided(args.window, args.stride).placement(args.placement);
    window.check()?;
    let info = DatasetInfo::gather(&Dataset::open(&args.dataset)?, window)?;
    if args.json {
        output::print_json(&info)?;
    } else {
        output::print(&table(&info, args))?;
    }
    Ok(Ending::Good)
}

fn table(info: &DatasetInfo, args: &InfoArgs) -> String {
    let mut text = String::new();
    line(&mut text, "dataset", &format!("{} ({}, format {})", info.dataset, info.created_by, info.format_version));
    if info.kind == "video" {
        videos(&mut text, info);
    } else {
        line(&mut text, "records", &format!("{} in {}", grouped(info.clips), count(info.shards, "shard")));
        line(&mut text, "bytes", &bytes(info.bytes));
    }
    if !info.columns.is_empty() {
        line(&mut text, "columns", &info.columns.join(", "));
    }
    for field in &info.fields {
        line(&mut text, "field", &field_line(field, info.sampled_clips));
    }
    if info.column_bytes > 0 {
        line(&mut text, "added", &format!("{} of tensors beside the shards", bytes(info.column_bytes)));
    }
    if info.kind == "video" {
        cost(&mut text, info, args);
    }
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<8} {}", output::shown(value));
}

fn videos(text: &mut String, info: &DatasetInfo) {
    line(text, "clips", &format!("{} in {}", grouped(info.clips), count(info.shards, "shard")));
    line(text, "frames", &format!("{}, {}", grouped(info.frames), hours(info.hours)));
    line(text, "bytes", &format!("{}, of which video {}", bytes(info.bytes), bytes(info.video_bytes)));
    let codecs = info
        .codecs
        .iter()
        .map(|c| format!("{} {} ({}, {})", c.codec, c.pixel_format, count(c.clips, "clip"), hours(c.hours)));
    line(text, "codecs", &list(codecs));
    line(text, "sizes", &list(info.sizes.iter().map(|s| format!("{}x{} ({})", s.width, s.height, grouped(s.clips)))));
    line(text, "fps", &list(info.fps.iter().map(|f| format!("{} ({})", f.fps, grouped(f.clips)))));
}

/// `latents: float16 [16, 9, 60, 104] (3); in 3 of 3 records, 1.7 MB each; vae=...`.
fn field_line(field: &FieldCount, sampled: u64) -> String {
    let shapes = list(field.shapes.iter().map(|s| format!("{} {:?} ({})", s.dtype, s.shape, grouped(s.records))));
    let each = bytes(field.bytes / field.records.max(1));
    let mut text = format!("{}: {shapes}; in {} of {}", field.name, grouped(field.records), count(sampled, "record"));
    let _ = write!(text, ", {each} each");
    let facts = field.description.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
    if !facts.is_empty() {
        let _ = write!(text, "; {}", facts.join(", "));
    }
    text
}

fn cost(text: &mut String, info: &DatasetInfo, args: &InfoArgs) {
    if let Some(gop) = info.gop_frames {
        let sampled = count(info.sampled_clips, "clip");
        line(
            text,
            "GOPs",
            &format!("{} to {}, median {} (of {sampled})", gop.min, count(gop.max.into(), "frame"), gop.median),
        );
    }
    let at = if args.placement == Placement::Keyframe { " from a keyframe on" } else { "" };
    let name = format!("{}{at}, stride {}", count(u64::from(args.window), "frame"), args.stride);
    let cost = match info.window {
        Some(cost) => format!(
            "{name}: {:.2} frames decoded per frame delivered, {} read; {} too short",
            cost.decode_amplification,
            bytes(cost.bytes_per_window as u64),
            count(cost.clips_too_short, "clip"),
        ),
        None => format!("{name}: no clip is long enough"),
    };
    line(text, "window", &cost);
    if let Some(rate) = info.window.and_then(|cost| cost.decoded_per_core_second) {
        line(
            text,
            "",
            &format!(
                "{} frames/s per core of this machine, reading from memory and decoding",
                grouped(rate.round() as u64)
            ),
        );
    }
}

fn list(entries: impl ExactSizeIterator<Item = String>) -> String {
    let total = entries.len();
    let mut text = entries.take(SHOWN).collect::<Vec<_>>().join(", ");
    if total > SHOWN {
        let _ = write!(text, ", and {} more", total - SHOWN);
    }
    text
}
