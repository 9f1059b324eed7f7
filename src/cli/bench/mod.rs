//! `framefeed bench`: what storage gives, and how far the loader's own reading is from it.

mod cache;
mod fio;
mod machine;
mod measure;
mod result;
mod storage;
mod table;
mod work;

use super::Ending;
use clap::{Args, Subcommand};
use framefeed::Result;

/// Measure storage.
#[derive(Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Subcommand)]
enum BenchCommand {
    /// Measure how fast a file, a folder, a dataset or a block device is read, by every engine.
    Storage(storage::StorageArgs),
}

pub(super) fn run(args: &BenchArgs) -> Result<Ending> {
    match &args.command {
        BenchCommand::Storage(args) => storage::run(args),
    }
}
