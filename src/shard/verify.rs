//! Checking a shard to the last byte: every tar header, checksum and padding byte, and the hash of the whole.

use super::check::StreamChecker;
use super::walk::Walk;
use super::{Shard, TensorShard};
use crate::error::{Error, Result};
use crate::format::{Crc32c, INDEX_MEMBER, Record, TRAILER_BYTES, Trailer, tar};
use std::path::Path;

/// What [`Shard::verify`] found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Records looked at.
    pub records: u64,
    /// Packets whose checksum was computed.
    pub packets: u64,
    /// GOPs whose checksum was computed.
    pub gops: u64,
    /// Tensors whose checksum was computed.
    pub tensors: u64,
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
        verify(self.path(), self.file_bytes(), self.trailer(), expected_blake3, |walk, report| {
            for row in 0..self.len() {
                report.records += 1;
                match self.record(row) {
                    Ok(record) => walk.record(&record, report).map_err(|error| error.with_record(&record.key))?,
                    Err(problem) => report.problems.push(problem),
                }
            }
            Ok(())
        })
    }
}

impl TensorShard {
    /// As [`Shard::verify`].
    pub fn verify(&self, expected_blake3: Option<&str>) -> VerifyReport {
        verify(self.path(), self.file_bytes(), self.trailer(), expected_blake3, |walk, report| {
            for row in 0..self.len() {
                report.records += 1;
                match self.record(row) {
                    Ok(record) => {
                        let json = record.json.iter().try_for_each(|json| walk.json(&record.key, json, report));
                        json.and_then(|()| walk.tensors(&record.key, &record.fields, report))
                            .map_err(|error| error.with_record(&record.key))?;
                    }
                    Err(problem) => report.problems.push(problem),
                }
            }
            Ok(())
        })
    }
}

/// Walks through the records by `records`, then through what closes every shard. An error ends the walk; what is wrong but
/// can be passed over is put into the report.
fn verify(
    path: &Path,
    file_bytes: u64,
    trailer: &Trailer,
    expected_blake3: Option<&str>,
    records: impl FnOnce(&mut Walk<'_>, &mut VerifyReport) -> Result<()>,
) -> VerifyReport {
    let mut report = VerifyReport::default();
    let walked = Walk::open(path, file_bytes).and_then(|mut walk| {
        records(&mut walk, &mut report)?;
        end(walk, trailer, expected_blake3, &mut report)
    });
    report.problems.extend(walked.err());
    report.problems = std::mem::take(&mut report.problems).into_iter().map(|problem| problem.with_path(path)).collect();
    report
}

/// Index, trailer and the blocks of zeros.
fn end(mut walk: Walk<'_>, trailer: &Trailer, expected_blake3: Option<&str>, report: &mut VerifyReport) -> Result<()> {
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

impl Walk<'_> {
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
            self.json(&record.key, json, report)?;
        }
        self.tensors(&record.key, &record.fields, report)
    }
}
