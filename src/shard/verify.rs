//! Checking a shard to the last byte: every tar header, checksum and padding byte, and the hash of the whole.

use super::Shard;
use super::check::StreamChecker;
use crate::error::{Error, Result};
use crate::format::{Crc32c, INDEX_MEMBER, Member, Record, TRAILER_BYTES, tar};
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

const CHUNK_BYTES: usize = 1 << 20;
/// JSON members up to this size are parsed.
const MAX_JSON_BYTES: u64 = 64 << 20;

/// What [`Shard::verify`] found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Records looked at.
    pub records: u64,
    /// Packets whose checksum was computed.
    pub packets: u64,
    /// GOPs whose checksum was computed.
    pub gops: u64,
    /// Bytes read.
    pub bytes: u64,
    /// BLAKE3 of the file as it is; empty where it could not be read to its end.
    pub blake3: String,
    /// Everything that is wrong, in file order. Each names the file, and the record and offset where they are known.
    pub problems: Vec<Error>,
}

impl Shard {
    /// Reads the whole file once and checks every byte of it. Does not stop at the first problem.
    pub fn verify(&self, expected_blake3: Option<&str>) -> VerifyReport {
        let mut report = VerifyReport::default();
        if let Err(error) = self.verify_file(expected_blake3, &mut report) {
            report.problems.push(error);
        }
        report.problems =
            std::mem::take(&mut report.problems).into_iter().map(|problem| problem.with_path(self.path())).collect();
        report
    }

    /// An error ends the walk; what is wrong but can be passed over is put into the report.
    fn verify_file(&self, expected_blake3: Option<&str>, report: &mut VerifyReport) -> Result<()> {
        let mut walk = Walk::open(self.path(), self.file_bytes())?;
        for row in 0..self.len() {
            report.records += 1;
            match self.record(row) {
                Ok(record) => walk.record(&record, report).map_err(|error| error.with_record(&record.key))?,
                Err(problem) => report.problems.push(problem),
            }
        }
        let trailer = *self.trailer();
        walk.header(INDEX_MEMBER, trailer.index_offset, trailer.index_size, report)?;
        let mut crc = Crc32c::new();
        walk.content(trailer.index_size, |bytes| crc.update(bytes))?;
        if crc.value() != trailer.index_crc32c {
            report.problems.push(Error::corrupt("index differs from its checksum").with_offset(trailer.index_offset));
        }
        walk.zeros(tar::padding(trailer.index_size).saturating_sub(TRAILER_BYTES), report)?;
        walk.expect(&trailer.to_bytes(), "trailer", report)?;
        walk.zeros(tar::END_BYTES, report)?;
        report.bytes = walk.position;
        report.blake3 = walk.hasher.finalize().to_hex().to_string();
        if let Some(expected) = expected_blake3
            && expected != report.blake3
        {
            let message = format!("file has BLAKE3 {}, the manifest says {expected}", report.blake3);
            report.problems.push(Error::corrupt(message));
        }
        Ok(())
    }
}

/// A walk through the file, hashing everything on its way.
struct Walk<'a> {
    path: &'a Path,
    file: BufReader<File>,
    hasher: blake3::Hasher,
    position: u64,
    chunk: Vec<u8>,
}

impl<'a> Walk<'a> {
    fn open(path: &'a Path, expected_bytes: u64) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let bytes = file.metadata().map_err(|error| Error::io("open", path, error))?.len();
        if bytes != expected_bytes {
            return Err(Error::corrupt(format!("file has {bytes} bytes, it had {expected_bytes} when it was opened")));
        }
        let chunk = vec![0; (CHUNK_BYTES as u64).min(bytes) as usize];
        Ok(Self { path, file: BufReader::new(file), hasher: blake3::Hasher::new(), position: 0, chunk })
    }

    fn record(&mut self, record: &Record, report: &mut VerifyReport) -> Result<()> {
        let problem =
            |report: &mut VerifyReport, problem: Error| report.problems.push(problem.with_record(&record.key));
        self.header(&format!("{}.mp4", record.key), record.video.offset, record.video.size, report)?;
        let mut checker = StreamChecker::new(&record.stream, record.video);
        self.content(record.video.size, |bytes| checker.update(bytes))?;
        let check = checker.finish();
        report.packets += check.packets;
        report.gops += check.gops;
        for found in check.problems {
            problem(report, found);
        }
        if check.crc32c != record.video.crc32c {
            let message = "MP4 differs from its checksum";
            problem(report, Error::corrupt(message).with_offset(record.video.offset));
        }
        self.zeros(tar::padding(record.video.size), report)?;
        if let Some(json) = &record.json {
            let mut text = Vec::new();
            self.member(&format!("{}.json", record.key), json, report, |bytes| {
                if json.size <= MAX_JSON_BYTES {
                    text.extend_from_slice(bytes);
                }
            })?;
            if json.size <= MAX_JSON_BYTES && serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_err() {
                problem(report, Error::corrupt("metadata is not JSON").with_offset(json.offset));
            }
        }
        for field in &record.fields {
            self.member(&format!("{}.{}.npy", record.key, field.name), &field.member, report, |_| ())?;
        }
        Ok(())
    }

    fn member(
        &mut self,
        name: &str,
        member: &Member,
        report: &mut VerifyReport,
        mut each: impl FnMut(&[u8]),
    ) -> Result<()> {
        self.header(name, member.offset, member.size, report)?;
        let mut crc = Crc32c::new();
        self.content(member.size, |bytes| {
            crc.update(bytes);
            each(bytes);
        })?;
        if crc.value() != member.crc32c {
            let message = format!("member '{name}' differs from its checksum");
            report.problems.push(Error::corrupt(message).with_offset(member.offset));
        }
        self.zeros(tar::padding(member.size), report)
    }

    /// The header of the member whose content is at `offset`. Where the walk is not at the header, it says so and goes
    /// there, if that lies ahead.
    fn header(&mut self, name: &str, offset: u64, size: u64, report: &mut VerifyReport) -> Result<()> {
        let expected = tar::header(name, size);
        let start = offset.saturating_sub(expected.len() as u64);
        if start != self.position {
            let message = format!("member '{name}' begins at {start}, expected at {}", self.position);
            let error = Error::corrupt(message).with_offset(self.position);
            if start < self.position {
                return Err(error);
            }
            report.problems.push(error);
            self.content(start - self.position, |_| ())?;
        }
        self.expect(&expected, &format!("tar header of '{name}'"), report)
    }

    fn expect(&mut self, expected: &[u8], what: &str, report: &mut VerifyReport) -> Result<()> {
        let start = self.position;
        let mut actual = Vec::new();
        self.content(expected.len() as u64, |bytes| actual.extend_from_slice(bytes))?;
        if let Some(at) = actual.iter().zip(expected).position(|(a, b)| a != b) {
            let error = Error::corrupt(format!("{what} differs from what the format says"));
            report.problems.push(error.with_offset(start + at as u64));
        }
        Ok(())
    }

    fn zeros(&mut self, count: u64, report: &mut VerifyReport) -> Result<()> {
        let start = self.position;
        let mut clean = true;
        self.content(count, |bytes| clean &= bytes.iter().all(|&byte| byte == 0))?;
        if !clean {
            report.problems.push(Error::corrupt("padding is not zero").with_offset(start));
        }
        Ok(())
    }

    fn content(&mut self, count: u64, mut each: impl FnMut(&[u8])) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let want = left.min(self.chunk.len() as u64) as usize;
            let chunk = self.chunk.get_mut(..want).unwrap_or_default();
            let read = match self.file.read(chunk) {
                Ok(0) => return Err(Error::corrupt("file ends early").with_offset(self.position)),
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::io("read", self.path, error).with_offset(self.position)),
            };
            let bytes = chunk.get(..read).unwrap_or_default();
            self.hasher.update(bytes);
            each(bytes);
            self.position += read as u64;
            left -= read as u64;
        }
        Ok(())
    }
}
