//! `manifest.json`: what a dataset is. Written last; a folder without it is not a dataset.

use super::{check_field_name, crc32c, create_new_file, open_regular};
use crate::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

/// The version of the format that this crate writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Name of the manifest in a dataset's folder.
pub const MANIFEST_FILE: &str = "manifest.json";
/// A manifest larger than this is refused unread: 100 000 shards take about 20 MB.
const MAX_MANIFEST_BYTES: u64 = 1 << 30;
const MAGIC: &str = "framefeed";

/// One shard of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// Unique in the dataset.
    pub id: String,
    /// Path of the file from the dataset's folder, with `/` between its parts.
    pub file: String,
    /// Records.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// BLAKE3 of the file, 64 hexadecimal digits.
    pub blake3: String,
}

/// The dataset's index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexEntry {
    /// Path of the file from the dataset's folder.
    pub file: String,
    /// Rows, one per record of all shards.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// BLAKE3 of the file, 64 hexadecimal digits.
    pub blake3: String,
    /// CRC32C of the Arrow footer, which holds the checksums of everything else that is read from the file.
    pub footer_crc32c: u32,
}

/// What the records of a dataset are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatasetKind {
    /// Videos, which may have tensors beside them.
    #[default]
    Video,
    /// Tensors alone.
    Tensor,
}

impl DatasetKind {
    /// `video` or `tensor`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Tensor => "tensor",
        }
    }
}

/// Tensors that were added to a dataset: one tensor shard beside each shard, with the same records in the same order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnSet {
    /// Unique in the dataset.
    pub name: String,
    /// Names of the fields, unique over all column sets.
    pub fields: Vec<String>,
    /// What they are, in the user's words: which model, crop, frame rate.
    pub description: Map<String, Value>,
    /// One for each shard of the dataset, with as many rows.
    pub shards: Vec<ShardEntry>,
}

/// What a dataset is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format.
    pub version: u32,
    /// Identifies the dataset.
    pub id: String,
    /// Program and version that wrote it.
    pub created_by: String,
    /// What its records are; a manifest without it is of videos.
    #[serde(default)]
    pub kind: DatasetKind,
    /// How the records were stored: `copy`; `tensor` or `raw` where they are tensors alone.
    pub profile: String,
    /// Records of all shards.
    pub rows: u64,
    /// Frames of all records.
    pub frames: u64,
    /// Duration of all records in seconds.
    pub seconds: f64,
    /// Bytes of all shards.
    pub bytes: u64,
    /// The index over all shards.
    pub index: IndexEntry,
    /// The shards, in the order that the index numbers them.
    pub shards: Vec<ShardEntry>,
    /// Names of the fields that the records of the shards have, each or some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// What those fields are, in the user's words.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub description: Map<String, Value>,
    /// Tensors that were added later, in the order in which they were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnSet>,
}

/// The manifest as it stands in the file, without the line of the checksum.
#[derive(Serialize, Deserialize)]
struct Document {
    format: String,
    #[serde(flatten)]
    manifest: Manifest,
}

const CHECKSUM_LINE: &str = "  \"crc32c\": \"";

impl Manifest {
    /// Of these shards, in their order: the sums over them, and an id that is the same for the same shards.
    pub fn new(kind: DatasetKind, profile: &str, index: IndexEntry, shards: Vec<ShardEntry>) -> Self {
        let mut id = blake3::Hasher::new();
        for shard in &shards {
            id.update(shard.blake3.as_bytes());
        }
        Self {
            version: FORMAT_VERSION,
            id: id.finalize().to_hex().chars().take(32).collect(),
            created_by: concat!("framefeed ", env!("CARGO_PKG_VERSION")).to_owned(),
            kind,
            profile: profile.to_owned(),
            rows: shards.iter().map(|shard| shard.rows).sum(),
            frames: 0,
            seconds: 0.0,
            bytes: shards.iter().map(|shard| shard.bytes).sum(),
            index,
            shards,
            fields: Vec::new(),
            description: Map::new(),
            columns: Vec::new(),
        }
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        self.validate()?;
        let document = Document { format: MAGIC.to_owned(), manifest: self.clone() };
        let text = serde_json::to_string_pretty(&document)
            .map_err(|error| Error::invalid("manifest cannot be written as JSON").with_source(error))?;
        let body = text.strip_suffix("\n}").unwrap_or(&text);
        let text = format!("{body},\n");
        let crc = crc32c(text.as_bytes());
        Ok(format!("{text}{CHECKSUM_LINE}{crc:08x}\"\n}}\n").into_bytes())
    }

    /// Parses and validates the file's bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        let bad = |error: serde_json::Error| Error::corrupt("manifest is not what JSON should be").with_source(error);
        let head: Head = serde_json::from_slice(bytes).map_err(bad)?;
        if head.format != MAGIC {
            return Err(Error::corrupt(format!("manifest is of format {:?}, expected \"framefeed\"", head.format)));
        }
        if head.version > FORMAT_VERSION {
            return Err(Error::unsupported(format!(
                "dataset has format version {}, this build reads up to {FORMAT_VERSION}",
                head.version
            )));
        }
        check_crc(bytes)?;
        let document: Document = serde_json::from_slice(bytes).map_err(bad)?;
        document.manifest.validate()?;
        Ok(document.manifest)
    }

    /// Reads `manifest.json` of a dataset's folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST_FILE);
        let too_large =
            |size| Error::corrupt(format!("manifest has {size} bytes, at most {MAX_MANIFEST_BYTES}")).with_path(&path);
        let (file, size) = open_regular(&path)?;
        if size > MAX_MANIFEST_BYTES {
            return Err(too_large(size));
        }
        // It may grow while it is read.
        let mut bytes = Vec::new();
        let read = file.take(MAX_MANIFEST_BYTES + 1).read_to_end(&mut bytes);
        let size = read.map_err(|error| Error::io("read", &path, error))? as u64;
        if size > MAX_MANIFEST_BYTES {
            return Err(too_large(size));
        }
        Self::from_bytes(&bytes).map_err(|error| error.with_path(&path))
    }

    /// Publishes `manifest.json` in a dataset's folder: temporary name, fsync, rename, fsync of the folder.
    pub fn write(&self, folder: &Path) -> Result<()> {
        publish(&folder.join(MANIFEST_FILE), &self.to_bytes()?)
    }

    fn validate(&self) -> Result<()> {
        let fail = |what: String| Err(Error::corrupt(format!("manifest: {what}")));
        if self.version == 0 || self.version > FORMAT_VERSION {
            return fail(format!("version {} is not between 1 and {FORMAT_VERSION}", self.version));
        }
        let mut ids = HashSet::new();
        let mut files = HashSet::new();
        let (mut rows, mut bytes) = (0_u64, 0_u64);
        for shard in &self.shards {
            check_path(&shard.file)?;
            check_hash(&shard.blake3)?;
            if shard.id.is_empty() || !ids.insert(&shard.id) || !files.insert(&shard.file) {
                return fail(format!("shard '{}' has an empty id, or id or file of another shard", shard.id));
            }
            // Row and byte numbers of the dataset are sums over its shards.
            rows = rows.saturating_add(shard.rows);
            bytes = bytes.saturating_add(shard.bytes);
        }
        check_path(&self.index.file)?;
        check_hash(&self.index.blake3)?;
        if self.rows != rows || self.index.rows != rows {
            return fail(format!("{} rows, {} in the index, but its shards have {rows}", self.rows, self.index.rows));
        }
        if self.bytes != bytes {
            return fail(format!("{} bytes, but its shards have {bytes}", self.bytes));
        }
        self.validate_columns(&mut ids, &mut files)?;
        if u32::try_from(self.shards.len()).is_err() || !self.seconds.is_finite() {
            return fail("too many shards, or an infinite duration".to_owned());
        }
        Ok(())
    }
}

/// The names of a column set and its fields are names of fields, each is there once, and its shards mirror the dataset's: record
/// numbers are translated by that alone.
impl Manifest {
    fn validate_columns<'a>(&'a self, ids: &mut HashSet<&'a String>, files: &mut HashSet<&'a String>) -> Result<()> {
        let (mut names, mut fields) = (HashSet::new(), HashSet::new());
        for field in &self.fields {
            check_name(field)?;
            if !fields.insert(field) {
                return Err(Error::corrupt(format!("manifest: field '{field}' is there twice")));
            }
        }
        for set in &self.columns {
            let fail = |what: &str| Err(Error::corrupt(format!("manifest: column '{}' {what}", set.name)));
            check_name(&set.name)?;
            if !names.insert(&set.name) || set.fields.is_empty() {
                return fail("is there twice or has no field");
            }
            for field in &set.fields {
                check_name(field)?;
                if !fields.insert(field) {
                    return fail("has a field of another column");
                }
            }
            if set.shards.len() != self.shards.len() {
                return fail("has not as many shards as the dataset");
            }
            for (shard, base) in set.shards.iter().zip(&self.shards) {
                check_path(&shard.file)?;
                check_hash(&shard.blake3)?;
                if shard.rows != base.rows {
                    return fail("has a shard with other rows than the dataset's");
                }
                if shard.id.is_empty() || !ids.insert(&shard.id) || !files.insert(&shard.file) {
                    return fail("has a shard with an empty id, or id or file of another shard");
                }
            }
        }
        Ok(())
    }
}

/// The last line before the closing brace is the checksum of all bytes before that line.
fn check_crc(bytes: &[u8]) -> Result<()> {
    let missing = || Error::corrupt("manifest does not end with its checksum");
    let end = bytes.len().checked_sub(CHECKSUM_LINE.len() + "01234567\"\n}\n".len()).ok_or_else(missing)?;
    let (body, tail) = bytes.split_at_checked(end).ok_or_else(missing)?;
    let digits = std::str::from_utf8(tail)
        .ok()
        .and_then(|tail| tail.strip_prefix(CHECKSUM_LINE)?.strip_suffix("\"\n}\n"))
        .ok_or_else(missing)?;
    let actual = format!("{:08x}", crc32c(body));
    if digits != actual {
        return Err(Error::corrupt(format!("manifest has checksum {actual}, but says {digits}")));
    }
    Ok(())
}

/// A file of the dataset must lie in the dataset, under one name only: this protects every join of the folder with it, and
/// the check that no two shards share a file.
fn check_path(file: &str) -> Result<()> {
    let inside = !file.contains(['\\', '\0']) && file.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if inside {
        Ok(())
    } else {
        Err(Error::corrupt(format!("manifest: file {file:?} is not a path inside the dataset")))
    }
}

fn check_name(name: &str) -> Result<()> {
    check_field_name(name).map_err(|error| Error::corrupt(format!("manifest: {}", error.message())))
}

fn check_hash(hash: &str) -> Result<()> {
    let plain = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if plain { Ok(()) } else { Err(Error::corrupt(format!("manifest: {hash:?} is not a BLAKE3 hash"))) }
}

/// Writes `bytes` as `path`, whole or not at all: temporary name beside it, fsync, rename, fsync of the folder.
pub fn publish(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary_name(path)?;
    let write = || -> Result<()> {
        let mut file = create_new_file(&temporary)?;
        file.write_all(bytes).map_err(|error| Error::io("write", &temporary, error))?;
        file.sync_all().map_err(|error| Error::io("sync", &temporary, error))?;
        fs::rename(&temporary, path).map_err(|error| Error::io("rename to", path, error))
    };
    if let Err(error) = write() {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_folder(path)
}

/// The name beside `path` under which it is written: `.<name>.tmp`. Always the same one, so that a killed run leaves at
/// most one file behind, and the next run overwrites it.
pub(crate) fn temporary_name(path: &Path) -> Result<std::path::PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "path has no file name").with_path(path))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".tmp");
    Ok(path.with_file_name(temporary))
}

/// Makes a rename in the folder of `path` last.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| Error::io("sync", folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let shard = |number: u32| ShardEntry {
            id: format!("{number:05}"),
            file: format!("shards/{number:05}.tar"),
            rows: 3,
            bytes: 10_240,
            blake3: "0123456789abcdef".repeat(4),
        };
        Manifest {
            version: 1,
            id: "d".to_owned(),
            created_by: "framefeed 0.1.0".to_owned(),
            kind: DatasetKind::Video,
            profile: "copy".to_owned(),
            rows: 6,
            frames: 600,
            seconds: 24.0,
            bytes: 20_480,
            index: IndexEntry {
                file: "index.arrow".to_owned(),
                rows: 6,
                bytes: 1000,
                blake3: "f".repeat(64),
                footer_crc32c: 7,
            },
            shards: vec![shard(0), shard(1)],
            fields: Vec::new(),
            description: Map::new(),
            columns: Vec::new(),
        }
    }

    #[test]
    fn a_manifest_survives_a_round_trip_through_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        sample().write(folder.path()).unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), sample());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn every_flipped_byte_of_a_manifest_is_found() {
        let bytes = sample().to_bytes().unwrap();
        for position in 0..bytes.len() {
            for mask in [0x01, 0x20, 0x80] {
                let mut damaged = bytes.clone();
                damaged[position] ^= mask;
                assert!(Manifest::from_bytes(&damaged).is_err(), "byte {position} ^ {mask:#x}");
            }
        }
    }

    #[test]
    fn every_truncated_manifest_is_refused() {
        let bytes = sample().to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert!(Manifest::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn manifests_that_contradict_themselves_are_refused() {
        let cases: [fn(&mut Manifest); 8] = [
            |m| m.rows += 1,
            |m| m.bytes += 1,
            |m| m.index.rows -= 1,
            |m| m.shards[1].id = m.shards[0].id.clone(),
            |m| m.shards[1].file = "../x.tar".to_owned(),
            |m| m.shards[1].file = "/x.tar".to_owned(),
            |m| m.shards[0].blake3 = "xyz".to_owned(),
            |m| m.version = 0,
        ];
        for (number, change) in cases.into_iter().enumerate() {
            let mut manifest = sample();
            change(&mut manifest);
            assert_eq!(manifest.to_bytes().unwrap_err().kind(), ErrorKind::Corrupt, "case {number}");
        }
    }

    #[test]
    fn paths_have_one_spelling_and_stay_inside() {
        for file in ["a.tar", "shards/a.tar", "shards/...tar", "a b/.c"] {
            check_path(file).unwrap();
        }
        for file in ["", ".", "..", "/a", "a/", "a//b", "./a", "a/./b", "a/.", "../a", "a/../b", "a/..", "a\\b", "a\0b"]
        {
            assert_eq!(check_path(file).unwrap_err().kind(), ErrorKind::Corrupt, "{file:?}");
        }
    }

    #[test]
    fn a_newer_version_is_unsupported_rather_than_corrupt() {
        let text = String::from_utf8(sample().to_bytes().unwrap()).unwrap().replace("\"version\": 1", "\"version\": 2");
        assert_eq!(Manifest::from_bytes(text.as_bytes()).unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn a_missing_folder_is_not_found_and_an_unwritable_one_is_an_error_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert_eq!(Manifest::read(&missing).unwrap_err().kind(), ErrorKind::NotFound);
        let error = sample().write(&missing).unwrap_err();
        assert!(error.path().unwrap().starts_with(&missing));
    }
}
