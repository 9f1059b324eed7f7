//! A walk through a shard's file that hashes and checks everything on its way.

use super::VerifyReport;
use crate::error::{Error, Result};
use crate::format::{Crc32c, Member, TensorField, npy_header_of_len, tar};
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

const CHUNK_BYTES: usize = 1 << 20;
/// JSON members up to this size are parsed.
const MAX_JSON_BYTES: u64 = 64 << 20;

/// A walk through the file, hashing everything on its way.
pub(super) struct Walk<'a> {
    path: &'a Path,
    file: BufReader<File>,
    pub(super) hasher: blake3::Hasher,
    pub(super) position: u64,
    chunk: Vec<u8>,
}

impl<'a> Walk<'a> {
    pub(super) fn open(path: &'a Path, expected_bytes: u64) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
        let bytes = file.metadata().map_err(|error| Error::io("open", path, error))?.len();
        if bytes != expected_bytes {
            return Err(Error::corrupt(format!("file has {bytes} bytes, it had {expected_bytes} when it was opened")));
        }
        let chunk = vec![0; (CHUNK_BYTES as u64).min(bytes) as usize];
        Ok(Self { path, file: BufReader::new(file), hasher: blake3::Hasher::new(), position: 0, chunk })
    }

    pub(super) fn member(
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
    pub(super) fn header(&mut self, name: &str, offset: u64, size: u64, report: &mut VerifyReport) -> Result<()> {
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

    pub(super) fn expect(&mut self, expected: &[u8], what: &str, report: &mut VerifyReport) -> Result<()> {
        let start = self.position;
        let mut actual = Vec::new();
        self.content(expected.len() as u64, |bytes| actual.extend_from_slice(bytes))?;
        if let Some(at) = actual.iter().zip(expected).position(|(a, b)| a != b) {
            let error = Error::corrupt(format!("{what} differs from what the format says"));
            report.problems.push(error.with_offset(start + at as u64));
        }
        Ok(())
    }

    pub(super) fn zeros(&mut self, count: u64, report: &mut VerifyReport) -> Result<()> {
        let start = self.position;
        let mut clean = true;
        self.content(count, |bytes| clean &= bytes.iter().all(|&byte| byte == 0))?;
        if !clean {
            report.problems.push(Error::corrupt("padding is not zero").with_offset(start));
        }
        Ok(())
    }

    pub(super) fn content(&mut self, count: u64, mut each: impl FnMut(&[u8])) -> Result<()> {
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

    /// The JSON member of a record.
    pub(super) fn json(&mut self, key: &str, json: &Member, report: &mut VerifyReport) -> Result<()> {
        let mut text = Vec::new();
        self.member(&format!("{key}.json"), json, report, |bytes| {
            if json.size <= MAX_JSON_BYTES {
                text.extend_from_slice(bytes);
            }
        })?;
        if json.size <= MAX_JSON_BYTES && serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_err() {
            let error = Error::corrupt("metadata is not JSON").with_offset(json.offset);
            report.problems.push(error.with_record(key));
        }
        Ok(())
    }

    /// The tensors of a record: members, NPY headers, and the elements by themselves.
    pub(super) fn tensors(&mut self, key: &str, fields: &[TensorField], report: &mut VerifyReport) -> Result<()> {
        for field in fields {
            report.tensors += 1;
            let header_bytes = field.data_offset as usize;
            let mut header = Vec::with_capacity(header_bytes);
            let mut elements = Crc32c::new();
            self.member(&format!("{key}.{}.npy", field.name), &field.member, report, |bytes| {
                let (head, data) = bytes.split_at_checked(header_bytes - header.len()).unwrap_or((bytes, &[]));
                header.extend_from_slice(head);
                elements.update(data);
            })?;
            let mut problem = |what: &str| {
                let error = Error::corrupt(format!("field '{}' {what}", field.name));
                report.problems.push(error.with_offset(field.member.offset).with_record(key));
            };
            if npy_header_of_len(field.dtype, &field.shape, header_bytes).as_ref() != Some(&header) {
                problem("has another NPY header than its type and shape give");
            }
            if elements.value() != field.data_crc32c {
                problem("has elements that differ from their checksum");
            }
        }
        Ok(())
    }
}
