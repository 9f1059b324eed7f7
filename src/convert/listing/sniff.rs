//! Whether a file of a folder is a video: by its extension, and where that is none that is known, by its first bytes.

use crate::convert::source::source_file::is_of_the_machine;
use crate::format::open_regular;
use crate::{Error, Result};
use std::io::Read as _;
use std::path::Path;

const VIDEO_EXTENSIONS: &[&str] = &[
    "264", "265", "266", "3g2", "3gp", "amv", "asf", "av1", "avi", "divx", "dv", "f4v", "flv", "h261", "h263", "h264",
    "h265", "h266", "hevc", "ivf", "m1v", "m2p", "m2t", "m2ts", "m2v", "m4v", "mjpeg", "mjpg", "mk3d", "mkv", "mov",
    "mp4", "mpe", "mpeg", "mpg", "mpv", "mts", "mxf", "nut", "obu", "ogm", "ogv", "ps", "qt", "rm", "rmvb", "ts",
    "vob", "vvc", "webm", "wmv", "y4m",
];

/// Known not to be video: never opened to look at the content.
const OTHER_EXTENSIONS: &[&str] = &[
    "aac",
    "ac3",
    "ass",
    "avif",
    "bmp",
    "csv",
    "db",
    "flac",
    "gif",
    "gz",
    "heic",
    "heif",
    "html",
    "ini",
    "jpeg",
    "jpg",
    "json",
    "jsonl",
    "log",
    "m4a",
    "m4b",
    "md",
    "mka",
    "mp3",
    "ndjson",
    "npy",
    "npz",
    "oga",
    "ogg",
    "opus",
    "parquet",
    "pdf",
    "pkl",
    "png",
    "pt",
    "py",
    "safetensors",
    "sh",
    "srt",
    "sub",
    "tar",
    "tif",
    "tiff",
    "toml",
    "tsv",
    "txt",
    "vtt",
    "wav",
    "webp",
    "xml",
    "xz",
    "yaml",
    "yml",
    "zip",
    "zst",
];

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

/// True of names that say that the file is a video.
pub(crate) fn is_named_video(path: &Path) -> bool {
    extension(path).is_some_and(|e| VIDEO_EXTENSIONS.contains(&e.as_str()))
}

/// True of names that say that the file is something else.
pub(crate) fn is_known_other(path: &Path) -> bool {
    extension(path).is_some_and(|e| OTHER_EXTENSIONS.contains(&e.as_str()))
}

/// By its name; where that says nothing and it is a regular file, by its first bytes.
///
/// # Errors
/// Where the machine fails, which does not tell.
pub(crate) fn looks_like_video(path: &Path) -> Result<bool> {
    match (is_named_video(path), is_known_other(path)) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => {
            let mut head = Vec::new();
            let read = open_regular(path).and_then(|(file, _)| {
                file.take(1024).read_to_end(&mut head).map_err(|error| Error::io("read", path, error))
            });
            match read {
                Ok(_) => Ok(is_video_content(&head)),
                Err(error) if is_of_the_machine(&error) => Err(error),
                Err(_) => Ok(false),
            }
        }
    }
}

/// The first bytes of the containers and raw streams that FFmpeg reads.
fn is_video_content(head: &[u8]) -> bool {
    const BOXES: [&[u8]; 7] = [b"ftyp", b"moov", b"mdat", b"styp", b"wide", b"skip", b"moof"];
    let at = |offset: usize, bytes: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(bytes));
    let transport = |step: usize, first: usize| {
        head.len() > first + 3 * step && (0..4).all(|n| head.get(first + n * step) == Some(&0x47))
    };
    let still = [b"avif", b"heic", b"heix", b"mif1", b"M4A ", b"M4B "];
    (BOXES.iter().any(|name| at(4, name)) && !still.iter().any(|brand| at(8, *brand)))
        || at(0, &[0x1a, 0x45, 0xdf, 0xa3])
        || (at(0, b"RIFF") && at(8, b"AVI "))
        || at(0, b"FLV\x01")
        || at(0, &[0, 0, 1, 0xba])
        || at(0, &[0, 0, 1, 0xb3])
        || at(0, b"DKIF")
        || at(0, b"YUV4MPEG2")
        || at(0, &[0x30, 0x26, 0xb2, 0x75, 0x8e, 0x66, 0xcf, 0x11])
        || [&[0, 0, 0, 1, 0x67][..], &[0, 0, 0, 1, 0x27], &[0, 0, 0, 1, 0x09], &[0, 0, 0, 1, 0x40, 0x01]]
            .iter()
            .any(|start| at(0, start))
        || transport(188, 0)
        || transport(192, 4)
}
