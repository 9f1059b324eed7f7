//! Arguments, dispatch, exit codes. Data goes to stdout, everything else to stderr. Exit 0: done; 1: failed, or problems
//! were found; 2: wrong usage; 130: interrupted.

mod bench;
mod convert;
mod extract;
mod info;
mod output;
mod signal;
mod units;
mod verify;

use clap::{ArgAction, Args, Parser, Subcommand};
use framefeed::Shown;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::debug_fn;

/// Turns a collection of videos into shards that training jobs stream from.
#[derive(Parser)]
#[command(
    name = "framefeed",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  framefeed convert videos/ --out data/              every video of a folder, without re-encoding
  framefeed convert clips.csv --out data/            the cuts that a list names (path, start, end, caption, ...)
  framefeed info data/                               what is in it, and what reading a window costs
  framefeed verify data/ --decode                    every checksum and every frame
  framefeed extract data/ some/key -o clip.mp4       one clip back, as a playable file
  framefeed bench storage data/                      how fast it can be read, by every engine
  framefeed bench loader data/ --size 256x256        how fast batches are made, and what limits it

Then, in Python: framefeed.Dataset(\"data/\"), framefeed.torch.DataLoader(...).
`framefeed <command> --help` says more. Messages go to stderr, results to stdout.
Exit status: 0 done, 1 failed or problems found, 2 wrong usage, 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    global: Global,
}

#[derive(Args)]
struct Global {
    /// Say more on stderr: -v what is decided, -vv each step. `FRAMEFEED_LOG=framefeed=debug` does the same.
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Command {
    /// Convert videos into a dataset, or go on where a conversion stopped.
    Convert(convert::ConvertArgs),
    /// Say what is in a dataset: counts, hours, codecs, sizes, GOPs, the cost of a window.
    Info(info::InfoArgs),
    /// Check a dataset: every checksum, and on request every frame.
    Verify(verify::VerifyArgs),
    /// Write one clip as a playable MP4, or one stored tensor as an NPY file.
    Extract(extract::ExtractArgs),
    /// Measure storage, or the loader.
    Bench(bench::BenchArgs),
}

/// How a command ended, besides with an error.
enum Ending {
    /// As wanted.
    Good,
    /// It did its work and found something wrong.
    Problems,
}

/// Parses the arguments, runs the command, says what went wrong.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| output::usage(&error));
    start_log(cli.global.verbose);
    let result = match cli.command {
        Command::Convert(args) => convert::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Extract(args) => extract::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    match result {
        Ok(Ending::Good) => ExitCode::SUCCESS,
        Ok(Ending::Problems) => ExitCode::FAILURE,
        Err(error) => output::fail(&error),
    }
}

fn start_log(verbose: u8) {
    let default = match verbose {
        0 => "error",
        1 => "framefeed=info,warn",
        2 => "framefeed=debug,info",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("FRAMEFEED_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // Names of files and the like are strangers' text.
    let fields = debug_fn(|writer, field, value| {
        let value = format!("{value:?}");
        let value = Shown(&value);
        if field.name() == "message" { write!(writer, "{value}") } else { write!(writer, "{field}={value}") }
    });
    tracing_subscriber::fmt()
        .fmt_fields(fields.delimited(" "))
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
