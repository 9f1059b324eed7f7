//! The edit list of a finished MP4, rewritten: presentation starts at the first wanted frame and ends after the last one,
//! to the tick. FFmpeg's muxer has no option for it. The file must have its `moov` box last, as that muxer writes it.

use crate::{Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The largest `moov` that is read into memory.
const MAX_MOOV_BYTES: u64 = 1 << 30;

/// Rewrites the edit list of the only track: `media_time` in ticks of the track, `duration` in ticks of the movie.
/// Returns the file's new size.
pub(crate) fn set_edit_list(path: &Path, media_time: i64, duration: u64) -> Result<u64> {
    let file = File::options().read(true).write(true).open(path).map_err(|error| Error::io("open", path, error))?;
    let length = file.metadata().map_err(|error| Error::io("stat", path, error))?.len();
    let (offset, size) = find_moov(&file, length)
        .map_err(|error| Error::io("read", path, error))?
        .ok_or_else(|| Error::unsupported("the muxer did not put moov last").with_path(path))?;
    if size > MAX_MOOV_BYTES {
        return Err(Error::new(crate::ErrorKind::LimitExceeded, "moov is larger than 1 GiB").with_path(path));
    }
    let mut moov = vec![0; size as usize];
    file.read_exact_at(&mut moov, offset).map_err(|error| Error::io("read", path, error))?;
    let moov = rewrite_moov(&moov, media_time, duration)
        .ok_or_else(|| Error::unsupported("the muxer's moov could not be read").with_path(path))?;
    file.write_all_at(&moov, offset).map_err(|error| Error::io("write", path, error))?;
    let end = offset + moov.len() as u64;
    file.set_len(end).map_err(|error| Error::io("truncate", path, error))?;
    Ok(end)
}

/// Offset and size of `moov`, if it is the last box of the file.
fn find_moov(file: &File, length: u64) -> std::io::Result<Option<(u64, u64)>> {
    let mut offset = 0;
    while length.saturating_sub(offset) >= 8 {
        let mut header = [0; 16];
        let available = (length - offset).min(16) as usize;
        if let Some(bytes) = header.get_mut(..available) {
            file.read_exact_at(bytes, offset)?;
        }
        let [a, b, c, d, kind @ .., e, f, g, h, i, j, k, l] = header;
        let size = match u32::from_be_bytes([a, b, c, d]) {
            1 => u64::from_be_bytes([e, f, g, h, i, j, k, l]),
            0 => length - offset,
            size => u64::from(size),
        };
        if size < 8 || size > length - offset {
            return Ok(None);
        }
        if &kind == b"moov" {
            return Ok((offset + size == length).then_some((offset, size)));
        }
        offset += size;
    }
    Ok(None)
}

/// Kind and content of each box, as long as they are well formed.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let size = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let kind = bytes.get(4..8)?.try_into().ok()?;
        let content = bytes.get(8..size)?;
        bytes = bytes.get(size..)?;
        Some((kind, content))
    })
}

fn push_box(out: &mut Vec<u8>, kind: [u8; 4], content: &[u8]) -> Option<()> {
    out.extend(u32::try_from(content.len() + 8).ok()?.to_be_bytes());
    out.extend(kind);
    out.extend(content);
    Some(())
}

fn rewrite_moov(moov: &[u8], media_time: i64, duration: u64) -> Option<Vec<u8>> {
    let mut content = Vec::with_capacity(moov.len() + 64);
    for (kind, body) in boxes(moov.get(8..)?) {
        match &kind {
            b"mvhd" => push_box(&mut content, kind, &with_duration(body, 16, 24, duration)?)?,
            b"trak" => push_box(&mut content, kind, &rewrite_trak(body, media_time, duration)?)?,
            _ => push_box(&mut content, kind, body)?,
        }
    }
    let mut out = Vec::with_capacity(content.len() + 8);
    push_box(&mut out, *b"moov", &content)?;
    Some(out)
}

fn rewrite_trak(trak: &[u8], media_time: i64, duration: u64) -> Option<Vec<u8>> {
    let mut content = Vec::with_capacity(trak.len() + 64);
    for (kind, body) in boxes(trak) {
        match &kind {
            b"edts" => {}
            b"tkhd" => {
                push_box(&mut content, kind, &with_duration(body, 20, 28, duration)?)?;
                // Version 1, no flags, one entry, rate 1.
                let mut elst = vec![1, 0, 0, 0, 0, 0, 0, 1];
                elst.extend(duration.to_be_bytes());
                elst.extend(media_time.to_be_bytes());
                elst.extend([0, 1, 0, 0]);
                let mut edts = Vec::new();
                push_box(&mut edts, *b"elst", &elst)?;
                push_box(&mut content, *b"edts", &edts)?;
            }
            _ => push_box(&mut content, kind, body)?,
        }
    }
    Some(content)
}

/// `mvhd` or `tkhd` with another duration. The numbers say where the duration starts in version 0 and in version 1.
fn with_duration(body: &[u8], at0: usize, at1: usize, duration: u64) -> Option<Vec<u8>> {
    let mut out = body.to_vec();
    if *body.first()? == 1 {
        out.get_mut(at1..at1 + 8)?.copy_from_slice(&duration.to_be_bytes());
        return Some(out);
    }
    if let Ok(short) = u32::try_from(duration) {
        out.get_mut(at0..at0 + 4)?.copy_from_slice(&short.to_be_bytes());
        return Some(out);
    }
    // Version 1: creation time, modification time and duration become 64 bits wide.
    let mut wide = vec![1];
    wide.extend(body.get(1..4)?);
    for at in [4, 8] {
        wide.extend([0; 4]);
        wide.extend(body.get(at..at + 4)?);
    }
    wide.extend(body.get(12..at0)?);
    wide.extend(duration.to_be_bytes());
    wide.extend(body.get(at0 + 4..)?);
    Some(wide)
}
