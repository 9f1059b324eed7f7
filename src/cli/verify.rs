//! `framefeed verify`.

use super::units::{bytes, count};
use super::{Ending, output, signal};
use clap::Args;
use framefeed::{DatasetCheck, Result, VerifyLevel, VerifyOptions, verify_dataset};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Check a dataset: every checksum, and on request every frame.
///
/// All problems are listed, not only the first. Exit status 1 where there is one.
#[derive(Args)]
pub(super) struct VerifyArgs {
    /// Folder of the dataset.
    dataset: PathBuf,

    /// Also decode every frame twice, from the clip's start and GOP by GOP, and compare.
    #[arg(long)]
    decode: bool,

    /// Shards or clips looked at at a time; 0 is one for every core.
    #[arg(short, long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=4096))]
    jobs: u16,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &VerifyArgs) -> Result<Ending> {
    signal::listen();
    let level = if args.decode { VerifyLevel::Frames } else { VerifyLevel::Checksums };
    let options = VerifyOptions::default().level(level).jobs(usize::from(args.jobs));
    let bar = output::progress_bar("verifying [{bar:30}] {pos}/{len}, {eta} left");
    let progress = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let result = verify_dataset(&args.dataset, &options, &progress, &signal::is_asked_to_stop);
    bar.finish_and_clear();
    let check = result?;
    let num_problems = check.problems.len() as u64;
    if args.json {
        output::print_json(&check)?;
    } else {
        for problem in &check.problems {
            output::print(&format!("{}: {}\n", problem.kind, output::shown(&problem.reason)))?;
        }
        let frames = if check.frames > 0 { format!(", {}", count(check.frames, "frame")) } else { String::new() };
        output::print(&format!(
            "{}: {} in {}{}{frames}; {} read\n",
            if num_problems == 0 { "sound".to_owned() } else { count(num_problems, "problem") },
            count(check.records, if check.packets > 0 { "clip" } else { "record" }),
            count(check.shards, "shard"),
            parts(&check),
            bytes(check.bytes),
        ))?;
    }
    Ok(if num_problems == 0 { Ending::Good } else { Ending::Problems })
}

/// What was found in the shards: packets, tensors, or both.
fn parts(check: &DatasetCheck) -> String {
    let mut text = String::new();
    for (number, what) in [(check.gops, "GOP"), (check.packets, "packet"), (check.tensors, "tensor")] {
        if number > 0 {
            let _ = write!(text, ", {}", count(number, what));
        }
    }
    text
}
