//! `framefeed extract`.

use super::units::bytes;
use super::{Ending, output};
use clap::Args;
use framefeed::{Dataset, Error, ErrorKind, Result, extract_clip, extract_field};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// Write one clip of a dataset as a playable MP4, or one stored tensor as an NPY file.
///
/// The MP4 holds what is stored: a cut that does not start at a keyframe has its lead-in in it, which players hide where
/// they respect edit lists.
#[derive(Args)]
pub(super) struct ExtractArgs {
    /// Folder of the dataset.
    dataset: PathBuf,

    /// Key of the clip, or of the tensor's record.
    key: String,

    /// Write this field of the record, as a file for numpy.load, instead of the clip.
    #[arg(long, value_name = "NAME")]
    field: Option<String>,

    /// File to write; `-` is the standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Replace the file if it exists.
    #[arg(short, long)]
    force: bool,
}

pub(super) fn run(args: &ExtractArgs) -> Result<Ending> {
    let dataset = Dataset::open(&args.dataset)?;
    if args.output.as_os_str() == "-" {
        extract(&dataset, args, &mut std::io::stdout().lock())?;
        return Ok(Ending::Good);
    }
    if !args.force && args.output.symlink_metadata().is_ok() {
        return Err(exists(&args.output));
    }
    // Under a temporary name first, so that a clip that turns out damaged leaves nothing behind.
    let part = part_name(&args.output)?;
    let written = write(&dataset, args, &part);
    let _ = std::fs::remove_file(&part); // gone already where all went well
    output::say(&format!("wrote {} to {}", bytes(written?), args.output.display()));
    Ok(Ending::Good)
}

fn extract(dataset: &Dataset, args: &ExtractArgs, output: &mut dyn std::io::Write) -> Result<u64> {
    match &args.field {
        Some(field) => extract_field(dataset, &args.key, field, output),
        None => extract_clip(dataset, &args.key, output),
    }
}

fn write(dataset: &Dataset, args: &ExtractArgs, part: &Path) -> Result<u64> {
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).open(part).map_err(|e| Error::io("create", part, e))?;
    let written = extract(dataset, args, &mut file).map_err(|e| e.with_path(&args.output))?;
    file.sync_all().map_err(|e| Error::io("write", &args.output, e))?;
    if args.force {
        std::fs::rename(part, &args.output).map_err(|e| Error::io("replace", &args.output, e))?;
        return Ok(written);
    }
    // A link fails where the name has been taken meanwhile; a rename would replace it. Not every file system has links.
    match std::fs::hard_link(part, &args.output) {
        Ok(()) => Ok(written),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Err(exists(&args.output)),
        Err(_) => {
            std::fs::rename(part, &args.output).map_err(|e| Error::io("create", &args.output, e))?;
            Ok(written)
        }
    }
}

/// Beside the file, and no longer than any name may be.
fn part_name(output: &Path) -> Result<PathBuf> {
    output.file_name().ok_or_else(|| Error::invalid("not the name of a file").with_path(output))?;
    Ok(output.with_file_name(format!(".framefeed-{}.part", std::process::id())))
}

fn exists(path: &Path) -> Error {
    Error::new(ErrorKind::Conflict, "the file already exists").with_path(path)
}
