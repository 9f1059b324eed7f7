//! `framefeed bench`: what storage gives, how far the loader's own reading is from it, and what the whole loader gives.

mod bars;
mod cache;
mod common;
mod loader;
mod machine;
mod page;
mod plot;
mod spread;
mod storage;

use super::Ending;
use clap::{Args, Subcommand};
use framefeed::Result;

/// Measure storage, or the loader.
#[derive(Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Subcommand)]
enum BenchCommand {
    /// Measure how fast a file, a folder, a dataset or a block device is read, by every engine.
    Storage(storage::StorageArgs),
    /// Measure how fast batches of a dataset are made, over numbers of threads, and what limits it.
    Loader(loader::LoaderArgs),
}

pub(super) fn run(args: &BenchArgs) -> Result<Ending> {
    match &args.command {
        BenchCommand::Storage(args) => storage::run(args),
        BenchCommand::Loader(args) => loader::run(args),
    }
}
