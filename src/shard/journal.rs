//! What a tensor shard holds so far, written beside it while it grows, so that another process can go on with it.
//!
//! The shard grows under a temporary name. Its journal has one line for each record: the line's CRC32C, then, as JSON, the
//! record's row of the index, and the length and the hash of the shard up to the end of that record. A record counts once its line is whole and the
//! shard's bytes have that hash. A process that was killed loses the record that it was writing; a machine that lost its
//! power loses at most the records of the last [`SYNC_SECONDS`].
//!
//! When the shard is published, a note takes the journal's place: size, time and hash of the file. A shard that still has
//! this size and time is believed to have this hash; any other is read whole.

use super::TensorShard;
use super::sink::Sink;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, Member, TensorField, TensorRecord, TensorType, crc32c, validate_tensor_record};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Records and journal are made to last this often.
const SYNC_SECONDS: u64 = 5;

/// The journal of a shard that is being written.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    synced: Instant,
}

/// A shard as an earlier process left it.
pub(super) struct Recovered {
    pub(super) sink: Sink,
    pub(super) rows: Vec<TensorRecord>,
    pub(super) journal: Journal,
}

impl Journal {
    /// Begins the journal of the shard that will be `shard`.
    pub(super) fn create(shard: &Path) -> Result<Self> {
        let path = journal_name(shard)?;
        let file = format::create_new_file(&path)?;
        Ok(Self { path, file, bytes: 0, synced: Instant::now() })
    }

    /// Writes the line of the record that was just written to `sink`. After an error the journal is as before.
    pub(super) fn append(&mut self, row: &TensorRecord, sink: &Sink) -> Result<()> {
        let line = Line { end: sink.position, hash: sink.hash(), row: Row::from(row) };
        let line = serde_json::to_string(&line)
            .map_err(|error| Error::invalid("the record cannot be written down").with_source(error))?;
        let text = format!("{:08x} {line}\n", crc32c(line.as_bytes()));
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            self.cut()?;
            return Err(Error::io("write", &self.path, error));
        }
        self.bytes += text.len() as u64;
        if self.synced.elapsed() >= Duration::from_secs(SYNC_SECONDS) {
            self.sync(sink)?;
        }
        Ok(())
    }

    /// Makes shard and journal last as they are.
    pub(super) fn sync(&mut self, sink: &Sink) -> Result<()> {
        sink.sync()?;
        self.file.sync_data().map_err(|error| Error::io("sync", &self.path, error))?;
        self.synced = Instant::now();
        Ok(())
    }

    /// Removes the journal.
    pub(super) fn remove(self) {
        let _ = fs::remove_file(&self.path); // the next run overwrites what is left
    }

    /// Cuts off what is behind the last whole line.
    fn cut(&mut self) -> Result<()> {
        self.file.set_len(self.bytes).map_err(|error| Error::io("truncate", &self.path, error))?;
        self.file.seek(SeekFrom::Start(self.bytes)).map(drop).map_err(|error| Error::io("seek in", &self.path, error))
    }

    /// Goes on with the shard that will be `shard`, behind the last record that is whole. `None` where there is none.
    pub(super) fn recover(shard: &Path) -> Result<Option<Recovered>> {
        let path = journal_name(shard)?;
        let file = match format::open_own_file(&path, OpenOptions::new().read(true).write(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(mut sink) = Sink::reopen(format::temporary_name(shard)?)? else { return Ok(None) };
        let mut lines = BufReader::new(file);
        let (mut rows, mut bytes, mut text) = (Vec::new(), 0, Vec::new());
        loop {
            text.clear();
            let count = lines.read_until(b'\n', &mut text).map_err(|error| Error::io("read", &path, error))?;
            let Some(row) = Line::row(&text, &mut sink)? else { break };
            rows.push(row);
            bytes += count as u64;
        }
        if rows.is_empty() {
            return Ok(None);
        }
        sink.cut_behind_position()?;
        let mut journal = Self { path, file: lines.into_inner(), bytes, synced: Instant::now() };
        journal.cut()?;
        Ok(Some(Recovered { sink, rows, journal }))
    }
}

/// Records that the journal of the shard `shard` names, whether or not its bytes are whole.
pub(crate) fn num_noted_records(shard: &Path) -> usize {
    let lines = journal_name(shard).ok().and_then(|path| File::open(path).ok());
    lines.map_or(0, |file| BufReader::new(file).lines().map_while(std::result::Result::ok).count())
}

/// A shard that an earlier process finished.
#[derive(Debug)]
pub(crate) struct FinishedShard {
    pub(crate) shard: Arc<TensorShard>,
    /// Of the whole file, 64 hexadecimal digits.
    pub(crate) blake3: String,
    /// Names of its fields, in the order in which they were first seen.
    pub(crate) fields: Vec<String>,
}

impl FinishedShard {
    /// Opens and checks a finished shard; `None` where there is none. It is read whole where size or time are others than
    /// were noted when it was finished.
    ///
    /// # Errors
    /// `Corrupt` for the first thing that is wrong with it; `Io`.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path, error)),
            Ok(_) => {}
        }
        let shard = TensorShard::open(path)?;
        let blake3 = if let Some(note) = Note::of(path, shard.len()) {
            note.blake3
        } else {
            let report = shard.verify(None);
            if let Some(problem) = report.problems.into_iter().next() {
                return Err(problem);
            }
            report.blake3
        };
        let mut fields: Vec<String> = Vec::new();
        for row in 0..shard.len() {
            for field in shard.record(row)?.fields {
                if !fields.contains(&field.name) {
                    fields.push(field.name);
                }
            }
        }
        Ok(Some(Self { shard, blake3, fields }))
    }

    /// Notes what was just published at `path`. Without a note the shard is read whole when it is taken over.
    pub(super) fn note(path: &Path, rows: u64, blake3: &str) -> Result<()> {
        let metadata = fs::metadata(path).map_err(|error| Error::io("open", path, error))?;
        let note = Note { rows, bytes: metadata.len(), mtime_nanos: mtime_nanos(&metadata), blake3: blake3.to_owned() };
        let text = serde_json::to_vec(&note)
            .map_err(|error| Error::invalid("the note cannot be written down").with_source(error))?;
        let name = note_name(path)?;
        fs::write(&name, text).map_err(|error| Error::io("write", &name, error))
    }

    /// Removes what lies beside the shard `path`, once nobody will take it over any more.
    pub(crate) fn remove_notes(path: &Path) {
        for name in [note_name(path), journal_name(path)].into_iter().flatten() {
            let _ = fs::remove_file(name); // what stays is read by nobody
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Note {
    rows: u64,
    bytes: u64,
    mtime_nanos: i128,
    blake3: String,
}

impl Note {
    /// The note of a shard that is still what it was when it was noted.
    fn of(path: &Path, rows: usize) -> Option<Self> {
        let note: Self = serde_json::from_slice(&fs::read(note_name(path).ok()?).ok()?).ok()?;
        let metadata = fs::symlink_metadata(path).ok().filter(Metadata::is_file)?;
        let is_same = note.rows == rows as u64
            && note.bytes == metadata.len()
            && note.mtime_nanos == mtime_nanos(&metadata)
            && note.blake3.len() == 64;
        is_same.then_some(note)
    }
}

fn mtime_nanos(metadata: &Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

fn journal_name(shard: &Path) -> Result<PathBuf> {
    Ok(format::temporary_name(shard)?.with_extension("rows"))
}

fn note_name(shard: &Path) -> Result<PathBuf> {
    Ok(format::temporary_name(shard)?.with_extension("done"))
}

#[derive(Serialize, Deserialize)]
struct Line {
    end: u64,
    hash: String,
    row: Row,
}

impl Line {
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
        let (crc, line) = text.split_once(' ')?;
        (u32::from_str_radix(crc, 16).ok()? == crc32c(line.as_bytes())).then(|| serde_json::from_str(line).ok())?
    }

    /// The record of a line that is whole and says what is in the shard.
    fn row(text: &[u8], sink: &mut Sink) -> Result<Option<TensorRecord>> {
        let Some(line) = Self::parse(text) else { return Ok(None) };
        let Some(record) = line.row.record() else { return Ok(None) };
        if !sink.confirm(line.end, &line.hash)? {
            return Ok(None);
        }
        Ok(validate_tensor_record(&record, line.end).is_ok().then_some(record))
    }
}

#[derive(Serialize, Deserialize)]
struct Row {
    key: String,
    json: Option<Bytes>,
    caption: Option<String>,
    columns: Map<String, Value>,
    fields: Vec<Field>,
}

#[derive(Serialize, Deserialize)]
struct Bytes {
    offset: u64,
    size: u64,
    crc32c: u32,
}

#[derive(Serialize, Deserialize)]
struct Field {
    name: String,
    member: Bytes,
    dtype: String,
    shape: Vec<u64>,
    data_offset: u32,
    data_crc32c: u32,
}

impl From<Member> for Bytes {
    fn from(member: Member) -> Self {
        Self { offset: member.offset, size: member.size, crc32c: member.crc32c }
    }
}

impl Bytes {
    fn member(&self) -> Member {
        Member { offset: self.offset, size: self.size, crc32c: self.crc32c }
    }
}

impl From<&TensorRecord> for Row {
    fn from(record: &TensorRecord) -> Self {
        let field = |field: &TensorField| Field {
            name: field.name.clone(),
            member: field.member.into(),
            dtype: field.dtype.name().to_owned(),
            shape: field.shape.clone(),
            data_offset: field.data_offset,
            data_crc32c: field.data_crc32c,
        };
        Self {
            key: record.key.clone(),
            json: record.json.map(Bytes::from),
            caption: record.caption.clone(),
            columns: record.columns.clone(),
            fields: record.fields.iter().map(field).collect(),
        }
    }
}

impl Row {
    fn record(self) -> Option<TensorRecord> {
        let field = |field: Field| {
            Some(TensorField {
                name: field.name,
                member: field.member.member(),
                dtype: TensorType::parse(&field.dtype)?,
                shape: field.shape,
                data_offset: field.data_offset,
                data_crc32c: field.data_crc32c,
            })
        };
        Some(TensorRecord {
            key: self.key,
            json: self.json.as_ref().map(Bytes::member),
            caption: self.caption,
            columns: self.columns,
            fields: self.fields.into_iter().map(field).collect::<Option<_>>()?,
        })
    }
}
