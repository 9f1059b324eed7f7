//! Files beside a video that describe it: `x.json` beside `x.mp4` is an object of metadata (its `caption` is the caption),
//! `x.txt` is the caption.

use super::list::text;
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::io::Read as _;
use std::path::Path;

/// Larger than any metadata; keeps a stray gigabyte of JSON out of the plan.
const MAX_BYTES: u64 = 16 << 20;

/// What stands beside a video.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sidecar {
    pub(super) caption: Option<String>,
    pub(super) columns: Map<String, Value>,
}

/// Reads what stands beside `video`. Missing files are no error; unreadable ones are, so that no caption is lost silently.
pub(super) fn read_sidecar(video: &Path) -> Result<Sidecar> {
    let mut sidecar = Sidecar::default();
    let path = video.with_extension("json");
    if path != video
        && let Some(bytes) = read(&path)?
    {
        let mut columns = match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => object,
            Ok(_) => return Err(Error::invalid("the metadata beside the video is not a JSON object").with_path(path)),
            Err(e) => {
                return Err(Error::invalid("the metadata beside the video is not JSON").with_path(path).with_source(e));
            }
        };
        sidecar.caption = text("caption", columns.shift_remove("caption")).map_err(|e| e.with_path(&path))?;
        columns.retain(|_, value| !value.is_null());
        sidecar.columns = columns;
    }
    let path = video.with_extension("txt");
    if path != video
        && let Some(bytes) = read(&path)?
    {
        let caption = std::str::from_utf8(&bytes)
            .map_err(|e| Error::invalid("the caption beside the video is not UTF-8").with_path(&path).with_source(e))?;
        sidecar.caption = Some(caption.trim_start_matches('\u{feff}').trim().to_owned());
    }
    Ok(sidecar)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("open", path, e)),
    };
    let meta = file.metadata().map_err(|e| Error::io("read", path, e))?;
    if !meta.is_file() {
        return Ok(None);
    }
    if meta.len() > MAX_BYTES {
        let message = format!("{} bytes of metadata beside the video, expected at most {MAX_BYTES}", meta.len());
        return Err(Error::new(crate::ErrorKind::LimitExceeded, message).with_path(path));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|e| Error::io("read", path, e))?;
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
        for bad in ["{", "[1]", r#"{"caption": [1]}"#] {
            std::fs::write(dir.path().join("a.json"), bad).unwrap();
            let error = read_sidecar(&video).unwrap_err();
            assert!(error.to_string().contains("a.json"), "{error}");
        }
        std::fs::remove_file(dir.path().join("a.json")).unwrap();
        std::fs::write(dir.path().join("a.txt"), b"\xff\xfe").unwrap();
        assert!(read_sidecar(&video).unwrap_err().to_string().contains("a.txt"));
    }
}
