//! From what the user named to a list of candidates: files, folders (searched to the bottom), globs, and lists.
//!
//! A folder gives its files with a known video extension, and those with an unknown one whose first bytes look like a
//! video container. Hidden files are passed over. A file named directly is always taken. Everything comes in a fixed
//! order. Nothing is opened for decoding here.

use super::list::{List, ListRow, is_list, read_list};
use super::passed_over::{PassedOver, Why};
use super::report::Failure;
use super::sidecar::read_sidecar;
use super::sniff::{is_known_other, is_named_video, looks_like_video};
use super::source_file::{is_of_the_machine, retried};
use crate::format::check_column_name;
use crate::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

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
    /// The cut in frames, where it is not in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_frame: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end_frame: Option<u64>,
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
    /// Warnings of what makes no difference to the dataset.
    #[serde(skip)]
    pub(super) notes: Vec<String>,
    #[serde(skip)]
    pub(super) seen: HashSet<PathBuf>,
    #[serde(skip)]
    pub(super) passed_over: PassedOver,
    /// Columns that were said to be lost.
    #[serde(skip)]
    pub(super) lost_columns: HashSet<String>,
}

/// Lists all sources. `out` is left out where it lies inside a source folder.
pub(super) fn list_sources(sources: &[PathBuf], out: &Path) -> Result<Listing> {
    let mut listing = Listing::default();
    let out = absolute(out);
    // Files named one by one, as a shell does with a pattern, keep the folders in which they differ.
    let files: Vec<&str> = sources.iter().filter(|s| s.is_file() && !is_list(s)).filter_map(|s| s.to_str()).collect();
    let common = common_folder(files.into_iter());
    let mut first_error = None;
    for source in sources {
        if let Err(error) = listing.add_source(source, &common, &out) {
            listing.fail(&source.to_string_lossy(), &error);
            first_error.get_or_insert(error);
        }
    }
    listing.notes.extend(listing.passed_over.notes());
    match first_error {
        Some(error) if listing.candidates.is_empty() && !listing.failed.iter().any(|f| f.is_of_the_machine) => {
            Err(error)
        }
        _ => Ok(listing),
    }
}

impl Listing {
    fn fail(&mut self, source: &str, error: &Error) {
        self.failed.push(Failure::new(source, None, error));
    }

    /// What one of the user's arguments names; its error is its own failure.
    fn add_source(&mut self, source: &Path, common: &Path, out: &Path) -> Result<()> {
        match std::fs::metadata(source) {
            Ok(meta) if meta.is_dir() => self.add_folder(source, out),
            Ok(_) if is_list(source) => self.add_list(source),
            Ok(_) => {
                let below = source.strip_prefix(common).unwrap_or(source);
                self.add_file(source, &below.to_string_lossy());
                Ok(())
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && is_glob(source) => self.add_glob(source, out),
            Err(e) => Err(Error::io("open", source, e)),
        }
    }

    fn add_folder(&mut self, folder: &Path, out: &Path) -> Result<()> {
        let before = self.candidates.len() + self.failed.len();
        let mut walk = walkdir::WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
        while let Some(entry) = walk.next() {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {
                    let path = entry.path();
                    let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                    let why = Why::of_folder(path).filter(|_| entry.depth() > 0);
                    if let Some(why) = why.filter(|_| !is_hidden) {
                        self.passed_over.add(why, path);
                    }
                    if entry.depth() > 0 && (is_hidden || why.is_some() || absolute(path) == out) {
                        walk.skip_current_dir();
                    }
                }
                Ok(entry) => self.add_found(entry.path(), folder),
                Err(e) if e.loop_ancestor().is_some() => {
                    self.warnings.push(format!("a link leads back to where it came from, passed over: {e}"));
                }
                Err(e) => {
                    let path = e.path().unwrap_or(folder).to_owned();
                    let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                    if is_hidden && path != folder {
                        continue;
                    }
                    let cause = e.into_io_error().unwrap_or_else(|| std::io::Error::other("unknown"));
                    let error = Error::io("open", &path, cause);
                    if path.extension().is_none() || is_named_video(&path) || is_of_the_machine(&error) {
                        self.fail(&path.to_string_lossy(), &error);
                    }
                }
            }
        }
        if self.candidates.len() + self.failed.len() == before {
            let passed: Vec<String> = self.passed_over.notes().collect();
            let besides = if passed.is_empty() { String::new() } else { format!(" ({})", passed.join("; ")) };
            return Err(Error::new(ErrorKind::NotFound, format!("no video in the folder{besides}")).with_path(folder));
        }
        Ok(())
    }

    /// A file of a folder, where it is a video of the user's.
    fn add_found(&mut self, path: &Path, folder: &Path) {
        // Half a document is nobody's concern, nor are hidden files at large.
        let is_inner_video = || path.file_stem().is_some_and(|inner| is_named_video(Path::new(inner)));
        let why = Why::of(path);
        let is_looked_into = why.is_none() || (why != Some(Why::Hidden) && !is_inner_video());
        let looks_like_video = match is_looked_into.then(|| retried(|| looks_like_video(path))) {
            Some(Err(error)) => return self.fail(&path.to_string_lossy(), &error),
            Some(Ok(is_video)) => is_video,
            None => false,
        };
        match why {
            Some(Why::Hidden) if is_named_video(path) => self.passed_over.add(Why::Hidden, path),
            Some(why) if why != Why::Hidden && (is_inner_video() || looks_like_video) => {
                self.passed_over.add(why, path);
            }
            None if looks_like_video => {
                let relative = path.strip_prefix(folder).unwrap_or(path);
                self.add_file(path, &relative.to_string_lossy());
            }
            _ => {}
        }
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
                    if let Some(why) = Why::of_folder(&path) {
                        self.passed_over.add(why, &path);
                    } else if !text.contains("**") && absolute(&path) != out {
                        num_matches += usize::from(self.add_folder(&path, out).is_ok());
                    }
                }
                Ok(path) if is_known_other(&path) => {}
                Ok(path) if Why::of(&path).is_some_and(|why| !why.is_asked_for(pattern, &path)) => {
                    self.add_found(&path, &root);
                    num_matches += 1;
                }
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
            self.add_row(path, &ListRow { path: key_path.to_owned(), ..ListRow::default() }, None);
        }
    }

    fn add_list(&mut self, list: &Path) -> Result<()> {
        let folder = list.parent().unwrap_or(Path::new(""));
        let List { rows, failed, notes } = retried(|| read_list(list))?;
        self.notes.extend(notes.into_iter().map(|note| format!("{}: {note}", list.display())));
        for (place, error) in failed {
            self.fail(&format!("{}, {place}", list.display()), &error);
        }
        let common = common_folder(rows.iter().filter_map(|(_, row)| row.as_ref().ok()).map(|row| row.path.as_str()));
        for (place, row) in rows {
            let place = format!("{}, {place}", list.display());
            match row {
                Ok(mut row) => {
                    let path = folder.join(&row.path);
                    let below = Path::new(&row.path).strip_prefix(&common).map(Path::to_owned);
                    row.path = below.unwrap_or_else(|_| PathBuf::from(&row.path)).to_string_lossy().into_owned();
                    self.add_row(&path, &row, Some(&place));
                }
                Err(error) => self.fail(&place, &error),
            }
        }
        Ok(())
    }

    fn add_row(&mut self, path: &Path, row: &ListRow, place: Option<&str>) {
        match retried(|| candidate(path, row, place)) {
            Ok((mut candidate, notes)) => {
                self.notes.extend(notes);
                self.leave_out_columns(&mut candidate);
                self.candidates.push(candidate);
            }
            Err(error) => {
                self.failed.push(Failure::of(&path.to_string_lossy(), place, None, &error));
            }
        }
    }
}

impl Listing {
    /// Takes columns away whose names cannot be stored; each is said once, where it was met first.
    fn leave_out_columns(&mut self, candidate: &mut Candidate) {
        let Candidate { columns, place, path, .. } = candidate;
        let is_bad = |name: &String| check_column_name(name).is_err();
        let bad: Vec<String> = columns.keys().filter(|name| is_bad(name)).cloned().collect();
        for name in bad {
            columns.shift_remove(&name);
            let place = place.as_deref().unwrap_or(path);
            if !self.lost_columns.contains(&name) {
                match check_column_name(&name) {
                    Err(_) if name.is_empty() => {
                        self.notes
                            .push(format!("{place}: a column has no name and is passed over, here and elsewhere"));
                    }
                    Err(error) => self.fail(place, &error.in_context("a column is passed over, here and elsewhere")),
                    Ok(()) => {}
                }
                self.lost_columns.insert(name);
            }
        }
    }
}

/// The video that a row names, and what a person should know of it.
fn candidate(path: &Path, row: &ListRow, place: Option<&str>) -> Result<(Candidate, Vec<String>)> {
    let text = path.to_str().ok_or_else(|| Error::unsupported("the file's name is not UTF-8").with_path(path))?;
    let meta = std::fs::metadata(path).map_err(|e| Error::io("open", path, e))?;
    if !meta.is_file() {
        let what = if meta.is_dir() { "a folder, expected a file" } else { "not a regular file" };
        return Err(Error::invalid(what).with_path(path));
    }
    let modified = meta.modified().map_err(|e| Error::io("read", path, e))?;
    let modified_nanos = match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos() as i128,
        Err(before) => -(before.duration().as_nanos() as i128),
    };
    let sidecar = read_sidecar(path)?;
    let mut columns = sidecar.columns;
    columns.extend(row.columns.clone()); // the list is nearer to the clip than what stands beside the file
    let candidate = Candidate {
        path: text.to_owned(),
        key_path: row.path.clone(),
        key: row.key.clone(),
        start: row.start,
        end: row.end,
        start_frame: row.start_frame,
        end_frame: row.end_frame,
        caption: row.caption.clone().or(sidecar.caption),
        columns,
        bytes: meta.len(),
        modified_nanos,
        place: place.map(str::to_owned),
    };
    Ok((candidate, sidecar.notes))
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
        assert!(listing.notes.len() == 1 && listing.notes[0].contains(".hidden.mp4"), "{:?}", listing.notes);
    }

    #[test]
    fn a_scan_passes_over_downloads_and_small_copies_and_a_name_takes_them() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let head = b"\0\0\0\x18ftypisom....";
        for name in [
            "clip.mp4.part",
            "done.f137.mp4",
            "done.mp4",
            "GX010001.LRV",
            "GX010001.MP4",
            "x.download/a.mp4",
            "y.mp4.download/y.mp4",
            "other.f137.mp4",
        ] {
            touch(&root.join(name), head);
        }
        touch(&root.join("thesis.pdf.part"), b"%PDF");
        let out = root.join("out");
        let listing = list_sources(&[root.to_owned()], &out).unwrap();
        assert_eq!(keys(&listing), ["GX010001.MP4", "done.mp4", "other.f137.mp4", "x.download/a.mp4"]);
        assert_eq!(listing.notes.len(), 3, "{:?}", listing.notes);
        assert!(listing.notes[0].starts_with("2 files are passed over as unfinished"), "{:?}", listing.notes);
        let named = ["clip.mp4.part", "done.f137.mp4", "GX010001.LRV"].map(|name| root.join(name));
        assert_eq!(list_sources(&named, &out).unwrap().candidates.len(), 3);
        let all = list_sources(&[root.join("*")], &out).unwrap();
        assert_eq!((all.candidates.len(), all.notes.len()), (3 + 1, 3), "{:?}", keys(&all));
        assert_eq!(keys(&list_sources(&[root.join("*.LRV")], &out).unwrap()), ["GX010001.LRV"]);
        assert_eq!(keys(&list_sources(&[root.join("*.part")], &out).unwrap()), ["clip.mp4.part", "thesis.pdf.part"]);
        std::fs::remove_dir_all(root.join("x.download")).unwrap();
        let only = tempfile::tempdir().unwrap();
        touch(&only.path().join("clip.mp4.part"), head);
        let error = list_sources(&[only.path().to_owned()], &out).unwrap_err();
        assert!(error.to_string().contains("no video in the folder (1 file is passed over"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_never_opened() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = |name: &str| {
            let path = dir.path().join(name);
            rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
            path
        };
        touch(&dir.path().join("good.mp4"), b"x");
        let named = [fifo("a.mp4"), fifo("list.csv"), fifo("unknown"), fifo("good.txt"), fifo("good.json")];
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket.mp4")).unwrap();
        let out = dir.path().join("out");
        let listing = list_sources(&[dir.path().to_owned()], &out).unwrap();
        assert_eq!((keys(&listing), listing.notes.len()), (vec!["good.mp4"], 2));
        let failed: Vec<&str> = listing.failed.iter().map(|failure| failure.reason.as_str()).collect();
        assert_eq!(failed, ["not a regular file"; 2]);
        let mut sources: Vec<PathBuf> = named[..3].to_vec();
        sources.extend([dir.path().join("good.mp4"), dir.path().join("gone.mp4"), PathBuf::from("/dev/null")]);
        let listing = list_sources(&sources, &out).unwrap();
        assert_eq!((keys(&listing), listing.failed.len()), (vec!["good.mp4"], 5), "{:?}", listing.failed);
    }

    #[test]
    fn a_column_whose_name_cannot_be_stored_is_lost_alone_and_said_once() {
        let dir = tempfile::tempdir().unwrap();
        touch(&dir.path().join("a.mp4"), b"x");
        touch(&dir.path().join("b.mp4"), b"x");
        touch(&dir.path().join("a.json"), br#"{"x\u001b[31m": 1, "": 2, "good": 3}"#);
        touch(&dir.path().join("b.json"), br#"{"x\u001b[31m": 1, "": 2, "good": 4}"#);
        let listing = list_sources(&[dir.path().to_owned()], &dir.path().join("out")).unwrap();
        let columns: Vec<Value> = listing.candidates.iter().map(|c| Value::Object(c.columns.clone())).collect();
        assert_eq!(columns, [serde_json::json!({"good": 3}), serde_json::json!({"good": 4})]);
        assert_eq!((listing.failed.len(), listing.notes.len()), (1, 1), "{:?} {:?}", listing.failed, listing.notes);
        assert!(listing.failed[0].source.ends_with("a.mp4") && listing.failed[0].reason.contains("control"));
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
