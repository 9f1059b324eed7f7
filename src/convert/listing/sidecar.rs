//! Files beside a video that describe it: `x.json` beside `x.mp4` is an object of metadata (its `caption` is the caption),
//! `x.txt` is the caption.

use super::list::text;
use super::object::{NoObject, parse_object};
use crate::format::open_regular;
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::io::Read as _;
use std::path::Path;

/// Larger than any metadata; keeps a stray gigabyte of JSON out of the plan.
const MAX_BYTES: u64 = 16 << 20;

/// What stands beside a video.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sidecar {
    pub(crate) caption: Option<String>,
    pub(crate) columns: Map<String, Value>,
    /// What a person should know.
    pub(crate) notes: Vec<String>,
}

/// Reads what stands beside `video`. Missing files are no error; unreadable ones are, so that no caption is lost silently. What
/// is no file is not opened, and said.
pub(crate) fn read_sidecar(video: &Path) -> Result<Sidecar> {
    let mut sidecar = Sidecar::default();
    let path = video.with_extension("json");
    if path != video
        && let Some(bytes) = read(&path, &mut sidecar.notes)?
    {
        let mut columns = parse_object(&bytes).map_err(|bad| match bad {
            NoObject::Other => Error::invalid("the metadata beside the video is not a JSON object").with_path(&path),
            NoObject::Twice(name) => {
                Error::invalid(format!("'{name}' stands twice in the metadata beside the video")).with_path(&path)
            }
            NoObject::NotJson(e) => {
                Error::invalid("the metadata beside the video is not JSON").with_path(&path).with_source(e)
            }
        })?;
        sidecar.caption = text("caption", columns.shift_remove("caption")).map_err(|e| e.with_path(&path))?;
        columns.retain(|_, value| !value.is_null());
        sidecar.columns = columns;
    }
    let path = video.with_extension("txt");
    if path != video
        && let Some(bytes) = read(&path, &mut sidecar.notes)?
    {
        let caption = std::str::from_utf8(&bytes)
            .map_err(|e| Error::invalid("the caption beside the video is not UTF-8").with_path(&path).with_source(e))?;
        sidecar.caption = Some(caption.trim_start_matches('\u{feff}').trim().to_owned());
    }
    Ok(sidecar)
}

fn read(path: &Path, notes: &mut Vec<String>) -> Result<Option<Vec<u8>>> {
    let is_file = match std::fs::metadata(path) {
        Ok(metadata) => metadata.is_file(),
        // There is no file of that name: none at all, or none can have so long a one.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound || e.raw_os_error() == Some(libc::ENAMETOOLONG) => {
            return Ok(None);
        }
        Err(e) => return Err(Error::io("open", path, e)),
    };
    if !is_file {
        notes.push(format!(
            "'{}', which stands beside a video, is not a regular file and is passed over",
            path.display()
        ));
        return Ok(None);
    }
    let (file, length) = open_regular(path)?;
    let too_long = |length: u64| {
        let message = format!("{length} bytes of metadata beside the video, expected at most {MAX_BYTES}");
        Error::new(crate::ErrorKind::LimitExceeded, message).with_path(path)
    };
    if length > MAX_BYTES {
        return Err(too_long(length));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|e| Error::io("read", path, e))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_long(bytes.len() as u64));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_caption_and_json_the_metadata() {
        let dir = tempfile::tempdir().unwrap();
        let video = dir.path().join("a.b.mp4");
        assert_eq!(read_sidecar(&video).unwrap(), Sidecar::default());
        std::fs::write(dir.path().join("a.b.json"), br#"{"caption": "from json", "n": 1, "gone": null}"#).unwrap();
        let sidecar = read_sidecar(&video).unwrap();
        assert_eq!(sidecar.caption.as_deref(), Some("from json"));
        assert_eq!(Value::Object(sidecar.columns), serde_json::json!({"n": 1}));
        std::fs::write(dir.path().join("a.b.txt"), "  from text\n").unwrap();
        assert_eq!(read_sidecar(&video).unwrap().caption.as_deref(), Some("from text"));
    }

    #[test]
    fn broken_metadata_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let video = dir.path().join("a.mp4");
        for bad in ["{", "[1]", r#"{"caption": [1]}"#, r#"{"a": 1, "a": 2}"#] {
            std::fs::write(dir.path().join("a.json"), bad).unwrap();
            let error = read_sidecar(&video).unwrap_err();
            assert!(error.to_string().contains("a.json"), "{error}");
        }
        std::fs::remove_file(dir.path().join("a.json")).unwrap();
        std::fs::write(dir.path().join("a.txt"), b"\xff\xfe").unwrap();
        assert!(read_sidecar(&video).unwrap_err().to_string().contains("a.txt"));
    }

    #[test]
    fn what_is_no_file_is_not_opened_and_said() {
        let dir = tempfile::tempdir().unwrap();
        let video = dir.path().join("a.mp4");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("a.txt"), mode).unwrap();
        std::fs::create_dir(dir.path().join("a.json")).unwrap();
        let sidecar = read_sidecar(&video).unwrap();
        assert_eq!((sidecar.caption, sidecar.columns.len(), sidecar.notes.len()), (None, 0, 2));
        assert!(sidecar.notes[0].contains("a.json") && sidecar.notes[1].contains("a.txt"), "{:?}", sidecar.notes);
    }

    #[test]
    fn too_much_is_refused_and_a_name_too_long_to_have_a_sidecar_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join("a.json")).unwrap();
        file.set_len(MAX_BYTES + 1).unwrap();
        let error = read_sidecar(&dir.path().join("a.mp4")).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::LimitExceeded);
        let video = dir.path().join(format!("{}.mp4", "\u{1f3a5}".repeat(62) + "abc"));
        std::fs::write(&video, "x").unwrap();
        assert_eq!(read_sidecar(&video).unwrap(), Sidecar::default());
    }
}
