//! `framefeed convert`.

use super::units::{bytes, count, grouped, hours, parse_bytes, parse_size};
use super::{Ending, output, signal};
use clap::{Args, ValueEnum};
use framefeed::{
    CheckLevel, ConvertEvent, ConvertOptions, ConvertProgress, ConvertReport, EarlierFailures, OnChange, OnError,
    Profile, RawFormat, Reencoded, Result, StreamChoice, TrainOptions, TrainReport, TrainSize, WindowUse, convert,
};
use indicatif::ProgressBar;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Failures, warnings and re-encoded clips shown in the summary; --json has all.
const SHOWN: usize = 20;

/// Convert videos into a dataset, or go on where a conversion stopped.
///
/// Packets are copied, not re-encoded, unless --profile says otherwise; a codec that MP4 cannot hold is re-encoded to visually
/// lossless H.264, and reported. Beside x.mp4, x.json is its metadata and x.txt its caption. Run again with the same sources and options, the
/// command converts what is missing: nothing, once it has succeeded.
#[derive(Args)]
pub(super) struct ConvertArgs {
    /// Files, folders, globs, or lists (.csv, .jsonl, .parquet).
    ///
    /// A folder is searched to the bottom for videos. A list has a column `path` (or `video`, or `file`), relative to the
    /// list's folder, and may have `start` and `end` (seconds, or hours:minutes:seconds, after the first frame), `key`,
    /// `caption`, and further columns, which are kept with the clip. A cut has exactly the frames with start <= time < end; a
    /// bound that lies up to a millisecond behind a frame, and nearer to it than to the next, is that frame, so that times
    /// printed with three or six decimals or kept in 32 bits give the frames that they name. `start_frame` and `end_frame` cut by
    /// frame numbers instead, from 0 on, the end exclusive; the source is decoded once more to count them. What is wrong
    /// with one source, row or column is left out alone, and listed. A folder's unfinished downloads (.part), parts of
    /// finished ones (.f137.mp4), cameras' small copies (.lrv) and hidden files are passed over; name one itself to take it.
    #[arg(required = true, value_name = "SRC")]
    sources: Vec<PathBuf>,

    /// Folder of the dataset: missing, empty, or left by an earlier run of this command.
    #[arg(short, long, value_name = "DATASET")]
    out: PathBuf,

    /// What is stored: `copy` their packets as they are; `train` small H.264 in short closed GOPs, encoded once more for fast
    /// random access; `raw` all frames as tensors, often 20 to 200 times as many bytes.
    #[arg(long, value_enum, default_value_t = ProfileArg::Copy)]
    profile: ProfileArg,

    /// What raw frames are: `rgb` 8-bit RGB [T, H, W, 3]; `yuv420` the decoder's own 8-bit 4:2:0 as I420 [T, H * 3/2, W]. Default: rgb.
    ///
    /// Frames of either format are turned for display. Those of yuv420 are never converted or resized: clips of more bits,
    /// other chroma, or an odd width or height are left out, as alpha is. Each record's columns frames_matrix, frames_range,
    /// frames_color_guessed, frames_chroma_location and frames_sample_aspect say how to make RGB of them.
    #[arg(long, value_enum)]
    format: Option<FormatArg>,

    /// Height and width of raw RGB frames or of the profile train, cropped to fit: 256x256. Default: each clip's display
    /// size for raw frames, --short-side for train.
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    size: Option<(u32, u32)>,

    /// train: the shorter side in pixels, even; smaller clips keep their size. Default: 256.
    #[arg(long, value_name = "PIXELS", conflicts_with = "size")]
    short_side: Option<u32>,

    /// train: frames a second, the frame on screen at each instant; a jump of the timestamps is not filled. Default: all
    /// frames, at their own times.
    #[arg(long, value_name = "FPS")]
    fps: Option<f64>,

    /// train: frames of a GOP. Short ones are cheap to enter, long ones small. Default: 16.
    #[arg(long, value_name = "FRAMES")]
    gop: Option<u32>,

    /// train: constant rate factor of libx264, 1 (best) to 51. Default: 18.
    #[arg(long, value_name = "Q")]
    crf: Option<f64>,

    /// Cut every video (or cut) into pieces of this many seconds, wherever it has frames. Default: not at all.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    split_seconds: Option<f64>,

    /// Size of a shard, estimated from the sizes of its sources: 512MiB, 2GB. Larger ones suit object stores, smaller ones
    /// small datasets.
    #[arg(long, value_name = "BYTES", default_value = "1GiB", value_parser = parse_bytes)]
    shard_size: u64,

    /// Clips converted at a time; 0 is one for every core.
    #[arg(short, long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=4096))]
    jobs: u16,

    /// Seed of the order of the clips over the shards. The clips of one video are spread.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    /// How thoroughly each clip is proved: `full` decodes it twice, once GOP by GOP; `fast` once, unless it is damaged.
    #[arg(long, value_enum, default_value_t = CheckArg::Full)]
    check: CheckArg,

    /// Which video stream is taken: `best`, or a stream's number (2), a video stream's (v:1), an id or PID (i:0x101), a
    /// program's best (p:3), as ffmpeg and ffprobe count them.
    ///
    /// `best` is the one that ffmpeg takes: the largest, where being the default counts for five million pixels. Attached
    /// pictures are never taken. A video that lacks the stream is left out.
    #[arg(long, value_name = "STREAM", default_value_t = StreamChoice::Best)]
    stream: StreamChoice,

    /// What to do where the picture changes on the way (size, pixel format, colour, pixel shape, rotation): `reencode` makes the
    /// later frames like the first ones, as ffmpeg does, with a warning; `split` makes a clip of each piece; `refuse` leaves the
    /// video out.
    ///
    /// Pieces are copied where they can be, and their keys are numbered. To find them, every video is decoded once before the
    /// conversion begins.
    ///
    /// A change of pixel shape, primaries, transfer or chroma location alone leaves the samples as they are: packets are
    /// copied, and the warning says what changed.
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = OnChangeArg::Reencode)]
    on_change: OnChangeArg,

    /// What to do with a video or list row that cannot be converted: leave it out and list it, or stop without a dataset.
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = OnErrorArg::Skip)]
    on_error: OnErrorArg,

    /// Convert the shards once more from which an earlier run left clips out because they could not be converted.
    ///
    /// Shards that lack no clip stay as they are. Videos that could not be read because the machine failed need no option: they
    /// are never left out, and the same command reads them again.
    #[arg(long)]
    retry_failed: bool,

    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProfileArg {
    Copy,
    Train,
    Raw,
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatArg {
    Rgb,
    Yuv420,
}

#[derive(Clone, Copy, ValueEnum)]
enum CheckArg {
    Full,
    Fast,
}

#[derive(Clone, Copy, ValueEnum)]
enum OnChangeArg {
    Reencode,
    Split,
    Refuse,
}

#[derive(Clone, Copy, ValueEnum)]
enum OnErrorArg {
    Skip,
    Fail,
}

fn parse_seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.01 => Ok(seconds),
        _ => Err("expected seconds, 0.01 or more".to_owned()),
    }
}

pub(super) fn run(args: &ConvertArgs) -> Result<Ending> {
    signal::listen();
    let is_train = matches!(args.profile, ProfileArg::Train);
    let options = ConvertOptions::new(args.sources.iter().cloned(), &args.out)
        .profile(match args.profile {
            ProfileArg::Copy => Profile::Copy,
            ProfileArg::Train => Profile::Train,
            ProfileArg::Raw => Profile::Raw,
        })
        .train(train_options(args, is_train))
        .raw_format(args.format.map(|format| match format {
            FormatArg::Rgb => RawFormat::Rgb,
            FormatArg::Yuv420 => RawFormat::Yuv420,
        }))
        .raw_size(args.size.filter(|_| !is_train))
        .split_seconds(args.split_seconds)
        .shard_bytes(args.shard_size)
        .jobs(usize::from(args.jobs))
        .seed(args.seed)
        .check(match args.check {
            CheckArg::Full => CheckLevel::Full,
            CheckArg::Fast => CheckLevel::Fast,
        })
        .stream(args.stream)
        .on_change(match args.on_change {
            OnChangeArg::Reencode => OnChange::Reencode,
            OnChangeArg::Split => OnChange::Split,
            OnChangeArg::Refuse => OnChange::Refuse,
        })
        .on_error(match args.on_error {
            OnErrorArg::Skip => OnError::Skip,
            OnErrorArg::Fail => OnError::Fail,
        })
        .earlier_failures(if args.retry_failed { EarlierFailures::Retry } else { EarlierFailures::Keep });
    let bar = Bar(output::progress_bar("{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left {prefix}"));
    let result = convert(&options, &bar, &signal::is_asked_to_stop);
    bar.0.finish_and_clear();
    let report = result?;
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&summary(&report))?;
    }
    Ok(Ending::Good)
}

/// What was asked of the profile `train`, also where another one was asked for, which is then an error.
fn train_options(args: &ConvertArgs, is_train: bool) -> Option<TrainOptions> {
    let ConvertArgs { short_side, fps, gop, crf, .. } = *args;
    let size = args.size.filter(|_| is_train).map(|(height, width)| TrainSize::Exact(height, width));
    let size = size.or(short_side.map(TrainSize::ShortSide));
    let is_asked = size.is_some() || fps.is_some() || gop.is_some() || crf.is_some();
    let default = TrainOptions::new();
    is_asked.then(|| {
        default
            .size(size.unwrap_or(default.size))
            .fps(fps)
            .gop_frames(gop.unwrap_or(default.gop_frames))
            .crf(crf.unwrap_or(default.crf))
    })
}

/// The progress bar: bytes of the sources, because clips differ.
struct Bar(ProgressBar);

impl ConvertProgress for Bar {
    fn event(&self, event: ConvertEvent<'_>) {
        let bar = &self.0;
        match event {
            ConvertEvent::Planning => bar.set_message("planning"),
            ConvertEvent::Planned { clips, bytes, reused_clips, reused_bytes, .. } => {
                bar.set_length(bytes);
                bar.set_position(reused_bytes);
                bar.reset_eta();
                bar.reset_elapsed();
                bar.set_message(format!("{} to convert", count(clips - reused_clips, "clip")));
            }
            ConvertEvent::ClipDone { bytes, failure, .. } => {
                bar.inc(bytes);
                if let Some(failure) = failure {
                    bar.set_prefix(format!("(left out: {})", output::shown(&failure.source)));
                }
            }
            ConvertEvent::Committing => bar.set_message("publishing"),
            _ => {}
        }
    }
}

fn summary(report: &ConvertReport) -> String {
    let mut text = String::new();
    let state = if report.up_to_date { "up to date: " } else { "" };
    let _ = writeln!(
        text,
        "{state}{} from {} in {}: {}, {}, {} in {}",
        count(report.clips, "clip"),
        count(report.sources, "source"),
        output::shown(&report.dataset),
        count(report.frames, "frame"),
        hours(report.hours),
        bytes(report.bytes_out),
        count(report.shards, "shard"),
    );
    if !report.up_to_date {
        let _ = writeln!(
            text,
            "converted {}, found {} converted by earlier runs; {} of sources in {:.1} s",
            grouped(report.clips_converted),
            grouped(report.clips_reused),
            bytes(report.bytes_in),
            report.wall_seconds,
        );
    }
    if let Some(report) = &report.train {
        train(&mut text, report);
    }
    if report.reencoded_bytes_out > report.reencoded_bytes_in && report.reencoded_bytes_in > 0 {
        let (from, to) = (bytes(report.reencoded_bytes_in), bytes(report.reencoded_bytes_out));
        let _ = writeln!(text, "re-encoding made the video larger: {from} in the sources, {to} now");
    }
    section(&mut text, "re-encoded", report.reencoded.iter().map(reencoded));
    section(
        &mut text,
        "left out",
        report.failed.iter().map(|failure| format!("{}: {}: {}", failure.source, failure.kind, failure.reason)),
    );
    section(&mut text, "to know", report.warnings.iter().cloned());
    text
}

/// A clip, why it was encoded anew, and what that did to its size.
fn reencoded(clip: &Reencoded) -> String {
    let Reencoded { key, reason, bytes_in, bytes_out, .. } = clip;
    if *bytes_in == 0 {
        return format!("{key}: {reason}");
    }
    format!("{key}: {reason} ({} before, {} now)", bytes(*bytes_in), bytes(*bytes_out))
}

/// Quality, and what windows cost before and after.
fn train(text: &mut String, report: &TrainReport) {
    let lowest = &report.lowest;
    let _ = writeln!(
        text,
        "PSNR against the resized sources: Y {:.2} dB, all {:.2} dB on average; lowest {:.2} and {:.2} dB ({})",
        report.psnr_y_mean, report.psnr_mean, lowest.psnr_y, lowest.psnr, lowest.key
    );
    let usage = |usage: Option<WindowUse>| {
        let Some(usage) = usage else { return "unknown".to_owned() };
        let rate = usage.decoded_per_core_second;
        let rate = rate.map_or(String::new(), |rate| format!(", {} frames/s per core", grouped(rate.round() as u64)));
        let amplification = usage.decode_amplification;
        format!("{amplification:.2} frames decoded per frame, {}{rate}", bytes(usage.bytes_per_window as u64))
    };
    for window in report.windows.iter().filter(|window| window.after.is_some()) {
        let (before, after) = (usage(window.before), usage(window.after));
        let _ = writeln!(
            text,
            "windows of {} frames, stride {}: {before} from the sources; {after} now",
            window.frames, window.stride
        );
    }
}

fn section(text: &mut String, title: &str, lines: impl ExactSizeIterator<Item = String>) {
    let total = lines.len();
    if total > 0 {
        let _ = writeln!(text, "{title} ({}):", grouped(total as u64));
    }
    for line in lines.take(SHOWN) {
        let _ = writeln!(text, "  {}", output::shown(&line));
    }
    if total > SHOWN {
        let _ = writeln!(text, "  ... and {} more; --json lists all", grouped((total - SHOWN) as u64));
    }
}
