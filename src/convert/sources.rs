//! From what the user named to a list of candidates: files, folders (searched to the bottom), globs, and lists.
//!
//! A folder gives its files with a known video extension, and those with an unknown one whose first bytes look like a
//! video container. Hidden files are passed over. A file named directly is always taken. Everything comes in a fixed
//! order. Nothing is opened for decoding here.

use super::list::{ListRow, is_list, read_list};
use super::report::Failure;
use super::sidecar::read_sidecar;
use crate::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

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

/// One video, or one cut of one, that the user named.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Candidate {
    /// The path by which it is opened, as it was named.
    pub(super) path: String,
    /// What the key is made of: the path below the folder that was named, or the file's name.
    pub(super) key_path: String,
    /// The key, where the list gives one.
    pub(super) key: Option<String>,
    pub(super) start: Option<f64>,
    pub(super) end: Option<f64>,
    pub(super) caption: Option<String>,
    pub(super) columns: Map<String, Value>,
    /// Size of the file.
    pub(super) bytes: u64,
    /// When the file was changed last, nanoseconds since 1970.
    pub(super) modified_nanos: i128,
    /// List and line that named it.
    pub(super) place: Option<String>,
}

/// Everything that the sources gave.
#[derive(Debug, Default, Serialize)]
pub(super) struct Listing {
    pub(super) candidates: Vec<Candidate>,
    pub(super) failed: Vec<Failure>,
    pub(super) warnings: Vec<String>,
    #[serde(skip)]
    pub(super) seen: HashSet<PathBuf>,
}

/// Lists all sources. `out` is left out where it lies inside a source folder.
pub(super) fn list_sources(sources: &[PathBuf], out: &Path) -> Result<Listing> {
    let mut listing = Listing::default();
    let out = absolute(out);
    // Files named one by one, as a shell does with a pattern, keep the folders in which they differ.
    let files: Vec<&str> = sources.iter().filter(|s| s.is_file() && !is_list(s)).filter_map(|s| s.to_str()).collect();
    let common = common_folder(files.into_iter());
    for source in sources {
        match std::fs::metadata(source) {
            Ok(meta) if meta.is_dir() => listing.add_folder(source, &out)?,
            Ok(_) if is_list(source) => listing.add_list(source)?,
            Ok(_) => {
                let below = source.strip_prefix(&common).unwrap_or(source);
                listing.add_file(source, &below.to_string_lossy());
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && is_glob(source) => listing.add_glob(source, &out)?,
            Err(e) => return Err(Error::io("open", source, e)),
        }
    }
    Ok(listing)
}

impl Listing {
    fn fail(&mut self, source: &str, error: &Error) {
        self.failed.push(Failure::new(source, None, error));
    }

    fn add_folder(&mut self, folder: &Path, out: &Path) -> Result<()> {
        let before = self.candidates.len() + self.failed.len();
        let visible = |entry: &walkdir::DirEntry| {
            let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let is_out = entry.file_type().is_dir() && absolute(entry.path()) == out;
            entry.depth() == 0 || !(is_hidden || is_out)
        };
        let walk = walkdir::WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(visible) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {}
                Ok(entry) => {
                    let path = entry.path();
                    if looks_like_video(path) {
                        let relative = path.strip_prefix(folder).unwrap_or(path);
                        self.add_file(path, &relative.to_string_lossy());
                    }
                }
                Err(e) if e.loop_ancestor().is_some() => {
                    self.warnings.push(format!("a link leads back to where it came from, passed over: {e}"));
                }
                Err(e) => {
                    let path = e.path().unwrap_or(folder).to_owned();
                    if extension(&path).is_none_or(|e| VIDEO_EXTENSIONS.contains(&e.as_str())) {
                        let cause = e.into_io_error().unwrap_or_else(|| std::io::Error::other("unknown"));
                        self.fail(&path.to_string_lossy(), &Error::io("open", &path, cause));
                    }
                }
            }
        }
        if self.candidates.len() + self.failed.len() == before {
            return Err(Error::new(ErrorKind::NotFound, "no video in the folder").with_path(folder));
        }
        Ok(())
    }

    fn add_glob(&mut self, pattern: &Path, out: &Path) -> Result<()> {
        let text = pattern.to_str().ok_or_else(|| Error::invalid("the pattern is not UTF-8").with_path(pattern))?;
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
        let paths = glob::glob_with(text, options)
            .map_err(|e| Error::invalid("not a pattern for file names").with_path(pattern).with_source(e))?;
        let root: PathBuf = pattern
            .components()
            .take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']))
            .collect();
        let mut num_matches = 0_usize;
        for path in paths {
            match path {
                Ok(path) if path.is_dir() => {
                    // `*` matches folders beside the files; the folders it would take are named by themselves.
                    if !text.contains("**") && absolute(&path) != out {
                        num_matches += usize::from(self.add_folder(&path, out).is_ok());
                    }
                }
                Ok(path) if OTHER_EXTENSIONS.contains(&extension(&path).unwrap_or_default().as_str()) => {}
                Ok(path) => {
                    num_matches += 1;
                    let relative = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
                    self.add_file(&path, &relative);
                }
                Err(e) => {
                    num_matches += 1;
                    let path = e.path().to_owned();
                    self.fail(&path.to_string_lossy(), &Error::io("open", &path, e.into()));
                }
            }
        }
        if num_matches == 0 {
            return Err(Error::new(ErrorKind::NotFound, "no file matches the pattern").with_path(pattern));
        }
        Ok(())
    }

    /// A whole video. The same file named twice is taken once.
    fn add_file(&mut self, path: &Path, key_path: &str) {
        if self.seen.insert(absolute(path)) {
            let row = ListRow {
                path: key_path.to_owned(),
                start: None,
                end: None,
                key: None,
                caption: None,
                columns: Map::new(),
            };
            self.add_row(path, row, None);
        }
    }

    fn add_list(&mut self, list: &Path) -> Result<()> {
        let folder = list.parent().unwrap_or(Path::new(""));
        let rows = read_list(list)?;
        let common = common_folder(rows.iter().filter_map(|(_, row)| row.as_ref().ok()).map(|row| row.path.as_str()));
        for (place, row) in rows {
            let place = format!("{}, {place}", list.display());
            match row {
                Ok(mut row) => {
                    let path = folder.join(&row.path);
                    let below = Path::new(&row.path).strip_prefix(&common).map(Path::to_owned);
                    row.path = below.unwrap_or_else(|_| PathBuf::from(&row.path)).to_string_lossy().into_owned();
                    self.add_row(&path, row, Some(place));
                }
                Err(error) => self.fail(&place, &error),
            }
        }
        Ok(())
    }

    fn add_row(&mut self, path: &Path, row: ListRow, place: Option<String>) {
        match candidate(path, row, place.clone()) {
            Ok(candidate) => self.candidates.push(candidate),
            Err(error) => {
                let path = path.to_string_lossy().into_owned();
                self.fail(&place.map_or(path.clone(), |place| format!("{path} ({place})")), &error);
            }
        }
    }
}

fn candidate(path: &Path, row: ListRow, place: Option<String>) -> Result<Candidate> {
    let text = path.to_str().ok_or_else(|| Error::unsupported("the file's name is not UTF-8").with_path(path))?;
    let meta = std::fs::metadata(path).map_err(|e| Error::io("open", path, e))?;
    if !meta.is_file() {
        return Err(Error::invalid("not a file").with_path(path));
    }
    let modified = meta.modified().map_err(|e| Error::io("read", path, e))?;
    let modified_nanos = match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    };
    let sidecar = read_sidecar(path)?;
    let mut columns = sidecar.columns;
    columns.extend(row.columns); // the list is nearer to the clip than what stands beside the file
    Ok(Candidate {
        path: text.to_owned(),
        key_path: row.path,
        key: row.key,
        start: row.start,
        end: row.end,
        caption: row.caption.or(sidecar.caption),
        columns,
        bytes: meta.len(),
        modified_nanos,
        place,
    })
}

/// The absolute path without `.` and `..`; links stay.
fn absolute(path: &Path) -> PathBuf {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for part in full.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// The folder that all paths of a list lie below.
fn common_folder<'a>(paths: impl Iterator<Item = &'a str>) -> PathBuf {
    let mut common: Option<Vec<Component<'a>>> = None;
    for path in paths {
        let folder = Path::new(path).parent().unwrap_or(Path::new(""));
        match &mut common {
            None => common = Some(folder.components().collect()),
            Some(parts) => {
                let same = parts.iter().zip(folder.components()).take_while(|(a, b)| **a == *b).count();
                parts.truncate(same);
            }
        }
    }
    common.unwrap_or_default().into_iter().collect()
}

fn is_glob(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

fn looks_like_video(path: &Path) -> bool {
    match extension(path) {
        Some(e) if VIDEO_EXTENSIONS.contains(&e.as_str()) => true,
        Some(e) if OTHER_EXTENSIONS.contains(&e.as_str()) => false,
        _ => {
            let mut head = Vec::new();
            let read = std::fs::File::open(path).and_then(|file| file.take(1024).read_to_end(&mut head));
            read.is_ok() && is_video_content(&head)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path, content: &[u8]) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn keys(listing: &Listing) -> Vec<&str> {
        listing.candidates.iter().map(|c| c.key_path.as_str()).collect()
    }

    #[test]
    fn folders_are_searched_to_the_bottom_by_name_and_content() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        touch(&root.join("b.MP4"), b"x");
        touch(&root.join("sub/deep/a.mkv"), b"x");
        touch(&root.join("sub/video_without_extension"), b"\0\0\0\x18ftypisom....");
        touch(&root.join("sub/photo_without_extension"), b"\0\0\0\x18ftypheic....");
        touch(&root.join("sub/notes.xyz"), b"plain text");
        touch(&root.join("b.txt"), b"a caption");
        touch(&root.join(".hidden.mp4"), b"x");
        touch(&root.join("dir.mp4/inside.mp4"), b"x");
        touch(&root.join("out/shards/x.mp4"), b"x");
        let listing = list_sources(&[root.to_owned(), root.join("sub/../b.MP4")], &root.join("out")).unwrap();
        assert_eq!(keys(&listing), ["b.MP4", "dir.mp4/inside.mp4", "sub/deep/a.mkv", "sub/video_without_extension"]);
        assert_eq!(listing.candidates[0].caption.as_deref(), Some("a caption"));
        assert!(listing.failed.is_empty());
    }

    #[test]
    fn a_glob_takes_what_matches_and_is_an_error_where_nothing_does() {
        let dir = tempfile::tempdir().unwrap();
        touch(&dir.path().join("x/1.mp4"), b"x");
        touch(&dir.path().join("y/2.mp4"), b"x");
        touch(&dir.path().join("y/2.txt"), b"x");
        let out = dir.path().join("out");
        let listing = list_sources(&[dir.path().join("*/*")], &out).unwrap();
        assert_eq!(keys(&listing), ["x/1.mp4", "y/2.mp4"]);
        let error = list_sources(&[dir.path().join("*.avi")], &out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(list_sources(&[dir.path().join("no.mp4")], &out).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn list_paths_are_relative_to_the_list_and_unknown_ones_are_failures_with_their_line() {
        let dir = tempfile::tempdir().unwrap();
        touch(&dir.path().join("v/a/1.mp4"), b"x");
        touch(&dir.path().join("v/a/1.json"), br#"{"n": 1, "m": 2}"#);
        touch(&dir.path().join("v/b/2.mp4"), b"x");
        touch(&dir.path().join("l.csv"), b"path,n\nv/a/1.mp4,5\nv/b/2.mp4,6\nv/b/3.mp4,7\n");
        let listing = list_sources(&[dir.path().join("l.csv")], &dir.path().join("out")).unwrap();
        assert_eq!(keys(&listing), ["a/1.mp4", "b/2.mp4"]);
        assert_eq!(Value::Object(listing.candidates[0].columns.clone()), serde_json::json!({"n": 5, "m": 2}));
        assert!(listing.failed[0].source.contains("line 4") && listing.failed[0].source.contains("3.mp4"));
        assert_eq!(listing.failed[0].kind, "not found");
    }

    #[test]
    fn a_dangling_link_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("a.mp4")).unwrap();
        let listing = list_sources(&[dir.path().to_owned()], &dir.path().join("out")).unwrap();
        assert_eq!((listing.candidates.len(), listing.failed.len()), (0, 1));
    }
}
