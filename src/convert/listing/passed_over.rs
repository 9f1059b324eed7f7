//! Files of a folder that look like videos and are none of the user's: half a download, what a downloader merges into the
//! finished file, the small copy that a camera writes beside each recording, hidden files. A scan passes over them and says
//! so; a file that is named by itself is taken, whatever its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Extensions that programs give to files until they are whole, in lower case.
const UNFINISHED: [&str; 18] = [
    "!qb",
    "!ut",
    "aria2",
    "bc!",
    "crdownload",
    "dlpart",
    "download",
    "downloading",
    "filepart",
    "incomplete",
    "opdownload",
    "part",
    "partial",
    "td",
    "temp",
    "tmp",
    "unfinished",
    "ytdl",
];
/// Extensions of the small copies of GoPro and Insta360 (lrv) and DJI (lrf), in lower case.
const PROXIES: [&str; 2] = ["lrf", "lrv"];
/// What a downloader merges into.
const MERGED: [&str; 8] = ["mp4", "mkv", "webm", "mov", "m4v", "avi", "flv", "ts"];
/// Names shown of each kind.
const SHOWN: usize = 3;

/// Why a file is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    Unfinished,
    Intermediate,
    Proxy,
    Hidden,
}

impl Why {
    fn words(self, count: usize) -> &'static str {
        match (self, count) {
            (Self::Unfinished, 1) => "file is passed over as an unfinished download",
            (Self::Unfinished, _) => "files are passed over as unfinished downloads",
            (Self::Intermediate, 1) => "file is passed over as part of a finished video beside it",
            (Self::Intermediate, _) => "files are passed over as parts of finished videos beside them",
            (Self::Proxy, 1) => "file is passed over as a camera's small copy of a recording",
            (Self::Proxy, _) => "files are passed over as a camera's small copies of recordings",
            (Self::Hidden, 1) => "hidden file with the name of a video is passed over",
            (Self::Hidden, _) => "hidden files with names of videos are passed over",
        }
    }

    /// Of a file by its name and by what stands beside it; nothing is opened.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?;
        if name.as_encoded_bytes().starts_with(b".") {
            return Some(Self::Hidden);
        }
        let (stem, extension) = name.to_str()?.rsplit_once('.')?;
        let extension = extension.to_ascii_lowercase();
        if UNFINISHED.contains(&extension.as_str()) || extension.starts_with("part-frag") {
            return Some(Self::Unfinished);
        }
        if PROXIES.contains(&extension.as_str()) {
            return Some(Self::Proxy);
        }
        let is_there = |stem: &str| MERGED.iter().any(|e| path.with_file_name(format!("{stem}.{e}")).exists());
        if let Some((whole, part)) = stem.rsplit_once('.')
            && is_format(part)
            && is_there(whole)
        {
            return Some(Self::Intermediate);
        }
        (is_sub_recording(path, stem)).then_some(Self::Proxy)
    }

    /// True where a pattern asks for such files by their names.
    pub(crate) fn is_asked_for(self, pattern: &Path, path: &Path) -> bool {
        let name = pattern.file_name().unwrap_or_default().to_string_lossy();
        match self {
            Self::Hidden => true, // no wildcard matches the dot
            Self::Intermediate => name.contains(".f") || name.contains(".temp"),
            Self::Unfinished | Self::Proxy => path.extension() == pattern.extension(),
        }
    }

    /// Of a folder: Safari downloads into one.
    pub(crate) fn of_folder(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        (extension == "download" && path.file_stem().is_some_and(|stem| Path::new(stem).extension().is_some()))
            .then_some(Self::Unfinished)
    }
}

/// The part of a name that yt-dlp adds for one of the formats that it merges, as in `name.f137.mp4`, or while it merges.
fn is_format(part: &str) -> bool {
    let of_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let Some(id) = part.strip_prefix('f') else { return part == "temp" };
    (of_number(id) || ["hls", "dash", "http"].iter().any(|protocol| id.starts_with(protocol)))
        && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

/// Sony's cameras: `SUB/C0001S03.MP4` is the small copy of `CLIP/C0001.MP4`.
fn is_sub_recording(path: &Path, stem: &str) -> bool {
    let folder = path.parent().filter(|folder| folder.file_name().is_some_and(|name| name == "SUB"));
    let whole = folder.and_then(Path::parent).zip(stem.strip_suffix("S03"));
    whole.is_some_and(|(card, stem)| ["MP4", "MXF"].iter().any(|e| card.join(format!("CLIP/{stem}.{e}")).exists()))
}

/// The files that were passed over.
#[derive(Debug, Default)]
pub(crate) struct PassedOver {
    files: BTreeMap<Why, (usize, Vec<PathBuf>)>,
}

impl PassedOver {
    pub(crate) fn add(&mut self, why: Why, path: &Path) {
        let (count, shown) = self.files.entry(why).or_default();
        *count += 1;
        if shown.len() < SHOWN {
            shown.push(path.to_owned());
        }
    }

    /// One line for each kind.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        self.files.iter().map(|(why, (count, shown))| {
            let names: Vec<String> = shown.iter().map(|path| format!("'{}'", path.display())).collect();
            let more = if *count > names.len() { ", ..." } else { "" };
            format!("{count} {}: {}{more}; name a file itself to convert it", why.words(*count), names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_downloads_and_cameras_are_known() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["done [abc].mp4", "SUB/x", "CLIP/C0001.MP4", "lens.mkv", "a.b.mp4"] {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        for (name, why) in [
            ("clip.mp4.part", Some(Why::Unfinished)),
            ("clip.mp4.part-Frag12", Some(Why::Unfinished)),
            ("clip.mp4.ytdl", Some(Why::Unfinished)),
            ("clip.mp4.crdownload", Some(Why::Unfinished)),
            ("Unconfirmed 12.crdownload", Some(Why::Unfinished)),
            ("clip.mkv.!qB", Some(Why::Unfinished)),
            ("clip.mp4.aria2", Some(Why::Unfinished)),
            ("clip.TMP", Some(Why::Unfinished)),
            ("done [abc].f137.mp4", Some(Why::Intermediate)),
            ("done [abc].f248-1.webm", Some(Why::Intermediate)),
            ("done [abc].fhls-720p.mp4", Some(Why::Intermediate)),
            ("done [abc].temp.mp4", Some(Why::Intermediate)),
            ("other.f137.mp4", None),
            ("other.temp.mp4", None),
            ("done [abc].final.mp4", None),
            ("done [abc].full.mp4", None),
            ("GX010001.LRV", Some(Why::Proxy)),
            ("DJI_0001.lrf", Some(Why::Proxy)),
            ("SUB/C0001S03.MP4", Some(Why::Proxy)),
            ("SUB/C0002S03.MP4", None),
            ("CLIP/C0001.MP4", None),
            ("._clip.mp4", Some(Why::Hidden)),
            (".clip.mp4", Some(Why::Hidden)),
            (".mp4", Some(Why::Hidden)),
            ("clip.mp4", None),
            ("part", None),
            ("a.b.mp4", None),
        ] {
            assert_eq!(Why::of(&dir.path().join(name)), why, "{name}");
        }
        assert_eq!(Why::of_folder(Path::new("x/clip.mp4.download")), Some(Why::Unfinished));
        assert_eq!(Why::of_folder(Path::new("x/videos.download/")), None);
        assert_eq!(Why::of_folder(Path::new("download")), None);
    }

    #[test]
    fn each_kind_is_said_once_with_examples() {
        let mut passed = PassedOver::default();
        for number in 0..5 {
            passed.add(Why::Unfinished, Path::new(&format!("d/{number}.mp4.part")));
        }
        passed.add(Why::Proxy, Path::new("GX01.LRV"));
        let notes: Vec<String> = passed.notes().collect();
        assert_eq!(
            notes,
            [
                "5 files are passed over as unfinished downloads: 'd/0.mp4.part', 'd/1.mp4.part', 'd/2.mp4.part', ...; \
                 name a file itself to convert it",
                "1 file is passed over as a camera's small copy of a recording: 'GX01.LRV'; name a file itself to convert it"
            ]
        );
    }
}
