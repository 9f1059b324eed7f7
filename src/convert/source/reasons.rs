//! Why a source is no use, in words that name the cause where it can be told: from its first bytes, from what its container
//! says, from what its packets gave.

use super::ingest::{ENCRYPTED, Ingest};
use super::opened::Source;
use super::source_file::{self, SourceFile};
use crate::{Error, ErrorKind, Result};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Why `path` could not be opened.
pub(crate) fn of_opening(path: &Path, error: Error) -> Error {
    if error.kind() != ErrorKind::Decode && error.kind() != ErrorKind::Unsupported {
        return error;
    }
    let message = error.message();
    let head = head(path);
    if error.kind() == ErrorKind::Unsupported {
        return Error::unsupported(message);
    }
    if let Some(what) = what_it_is(&head) {
        return Error::unsupported(format!("is {what}, not a video"));
    }
    if let Some(kind) = still_image(&head) {
        return Error::unsupported(format!("is a still image ({kind}) that this FFmpeg does not read: {message}"));
    }
    if message.contains("moov atom not found") {
        return Error::corrupt("truncated: the index of the MP4 (moov) is missing");
    }
    let known = [(4, b"ftyp".as_slice()), (0, b"\x1aE\xdf\xa3"), (0, b"RIFF"), (0, b"FLV")];
    if known.iter().any(|(at, magic)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic))) {
        return Error::corrupt(format!("truncated or damaged: {message}"));
    }
    Error::unsupported(format!("is not a video that FFmpeg knows: {message}"))
}

/// Why a file that could be opened has no video stream.
pub(crate) fn of_no_stream(path: &Path, error: Error) -> Error {
    match what_it_is(&head(path)) {
        Some(what) => Error::unsupported(format!("is {what}, not a video")),
        None => error,
    }
}

/// Why no frame came out of a reading, where there is a better word for it than the decoder's.
pub(crate) fn of_no_frame(source: &Source, ingest: &Ingest) -> Option<Error> {
    if let Some(error) = of_noise(source, ingest) {
        return Some(error);
    }
    let head = head(&source.path);
    if is_animated_webp(&head) {
        return Some(Error::unsupported("animated WebP is not supported by this FFmpeg"));
    }
    let samples = source.input.stream(source.index).map_or(0, |stream| stream.frames());
    if is_mp4(source)
        && samples > 0
        && ingest.read_error.is_none()
        && ingest.packets.iter().all(|packet| packet.discard)
        && (!ingest.packets.is_empty() || has_packets_without_edit_list(source))
    {
        let message = format!("its index names {samples} samples, and its edit list hides all of them");
        return Some(Error::unsupported(message));
    }
    let pid = source.input.stream(source.index).and_then(|stream| u16::try_from(stream.id()).ok());
    if source.input.format().name() == "mpegts" && pid.is_some_and(|pid| is_scrambled(&source.path, pid)) {
        return Some(Error::unsupported(format!("{ENCRYPTED}: the packets of its transport stream are scrambled")));
    }
    None
}

/// Why what a decoder complains of is noise, if so: an MP4 whose samples are encrypted need not say it of each.
pub(crate) fn of_noise(source: &Source, ingest: &Ingest) -> Option<Error> {
    let is_encrypted = ingest.first_encrypted.is_some()
        || ((ingest.first_error().is_some() || ingest.frames.is_empty())
            && is_mp4(source)
            && has_encrypted_entry(&source.path).unwrap_or(false));
    is_encrypted.then(|| Error::unsupported(ENCRYPTED))
}

fn is_mp4(source: &Source) -> bool {
    source.input.format().name().split(',').any(|name| name == "mp4")
}

/// Whether a sample entry of the MP4's index is one of encrypted video (`encv`, ISO/IEC 14496-12).
fn has_encrypted_entry(path: &Path) -> Result<bool> {
    const MAX_BOXES: usize = 64;
    const MAX_INDEX_BYTES: u64 = 64 << 20;
    let mut file = SourceFile::open(path)?;
    let fail = |error| Error::io("read", path, error);
    let mut at = 0;
    for _ in 0..MAX_BOXES {
        let mut header = [0; 16];
        file.seek(SeekFrom::Start(at)).map_err(fail)?;
        file.read_exact(&mut header).map_err(fail)?;
        let [a, b, c, d, kind @ .., _, _, _, _, _, _, _, _] = header;
        let long = u64::from_be_bytes(header.last_chunk().copied().unwrap_or_default());
        let size = match u32::from_be_bytes([a, b, c, d]) {
            1 => long,
            size => u64::from(size),
        };
        if kind == *b"moov" {
            let mut index = Vec::new();
            file.seek(SeekFrom::Start(at)).map_err(fail)?;
            file.take(size.min(MAX_INDEX_BYTES)).read_to_end(&mut index).map_err(fail)?;
            // Behind the table's name: version and flags, the number of entries, the first one's size and its name.
            let names = memchr::memmem::find_iter(&index, b"stsd");
            return Ok(names.into_iter().any(|at| index.get(at + 16..at + 20) == Some(b"encv".as_slice())));
        }
        if size < 8 {
            break;
        }
        at = at.saturating_add(size);
    }
    Ok(false)
}

/// What a file with the Dolby Vision record `record` (AVDOVIDecoderConfigurationRecord) lacks to be shown, if so.
pub(crate) fn of_dolby_vision(record: &[u8]) -> Option<Error> {
    let &[_, _, profile, _, _, _, has_base, compatibility, ..] = record else { return None };
    if has_base == 0 {
        return Some(Error::unsupported(format!(
            "Dolby Vision profile {profile}: the stream is an enhancement layer, whose base layer is another stream"
        )));
    }
    // 5, 10.0 and 20.0: the base layer is IPT-PQ-c2, which nothing but a Dolby Vision decoder turns into colours.
    (matches!(profile, 5 | 10 | 20) && compatibility == 0).then(|| {
        Error::unsupported(format!(
            "Dolby Vision profile {profile} without a base layer that other decoders can show: its colours (IPT) would be wrong"
        ))
    })
}

/// Whether the video stream has packets where its edit list is ignored.
fn has_packets_without_edit_list(source: &Source) -> bool {
    let Ok(mut input) = source_file::open_input(&source.path, source.deadline, true) else { return false };
    input.packets().any(|(stream, packet)| stream.index() == source.index && packet.size() > 0)
}

/// The first bytes of the file.
fn head(path: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    if let Ok(file) = SourceFile::open(path) {
        let _ = file.take(4096).read_to_end(&mut head);
    }
    head
}

/// A file that is something else, by its first bytes.
fn what_it_is(head: &[u8]) -> Option<&'static str> {
    let archives: [(usize, &[u8], &str); 8] = [
        (0, b"PK\x03\x04", "an archive (ZIP)"),
        (0, b"\x1f\x8b", "an archive (gzip)"),
        (0, b"7z\xbc\xaf\x27\x1c", "an archive (7z)"),
        (0, b"Rar!\x1a\x07", "an archive (RAR)"),
        (0, b"BZh", "an archive (bzip2)"),
        (0, b"\xfd7zXZ\0", "an archive (xz)"),
        (0, b"\x28\xb5\x2f\xfd", "an archive (zstd)"),
        (257, b"ustar", "an archive (tar)"),
    ];
    let starts = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(magic));
    if let Some((_, _, what)) = archives.iter().find(|(at, magic, _)| starts(*at, magic)) {
        return Some(what);
    }
    let text = text_of(head)?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let begins = |words: &str| text.get(..words.len()).is_some_and(|start| start.eq_ignore_ascii_case(words));
    Some(if begins("#EXTM3U") {
        "a playlist (HLS)"
    } else if begins("ffconcat version") {
        "a playlist (concat script)"
    } else if text.contains("<MPD") {
        "a playlist (DASH manifest)"
    } else if begins("v=0") && text.contains("\nm=") {
        "a session description (SDP)"
    } else if begins("<!doctype html") || begins("<html") {
        "a web page"
    } else {
        "a text file"
    })
}

/// The head as text, if it is. Its last character may be cut.
fn text_of(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(head.get(..error.valid_up_to())?).ok()?,
        Err(_) => return None,
    };
    (!text.is_empty() && !text.contains('\0')).then_some(text)
}

/// The kind of a still image in ISO's container.
fn still_image(head: &[u8]) -> Option<&'static str> {
    match (head.get(4..8)?, head.get(8..12)?) {
        (b"ftyp", b"heic" | b"heix" | b"heim" | b"heis" | b"mif1") => Some("HEIC"),
        (b"ftyp", b"avif") => Some("AVIF"),
        _ => None,
    }
}

/// The header of an extended WebP with the bit for animation.
fn is_animated_webp(head: &[u8]) -> bool {
    head.starts_with(b"RIFF")
        && head.get(8..16) == Some(b"WEBPVP8X".as_slice())
        && head.get(20).is_some_and(|flags| flags & 2 != 0)
}

/// Whether most packets of `pid` near the beginning of the transport stream are scrambled.
fn is_scrambled(path: &Path, pid: u16) -> bool {
    const READ_BYTES: u64 = 4 << 20;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(READ_BYTES).read_to_end(&mut bytes));
    if read.is_err() {
        return false;
    }
    // Plain packets, those of Blu-ray discs behind four bytes of time, and those with error correction behind them.
    let is_synchronous = |at: usize, size: usize| (0..5).all(|n| bytes.get(at + n * size) == Some(&0x47));
    let layout = [188, 192, 204]
        .into_iter()
        .find_map(|size| (0..size).find(|&at| is_synchronous(at, size)).map(|at| (at, size)));
    let Some((start, size)) = layout else { return false };
    let (mut all, mut scrambled) = (0_usize, 0_usize);
    for packet in bytes.get(start..).unwrap_or_default().chunks_exact(size) {
        let &[0x47, high, low, control, ..] = packet else { continue };
        if u16::from_be_bytes([high & 0x1f, low]) == pid {
            all += 1;
            scrambled += usize::from(control & 0xc0 != 0);
        }
    }
    all > 0 && scrambled * 2 > all
}
