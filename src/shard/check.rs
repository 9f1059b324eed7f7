//! Checksums of packets and GOPs, from the bytes of an MP4 as they stream by. The writer and the verifier share it.

use crate::error::Error;
use crate::format::{Crc32c, Member};
use crate::media::{GopEntry, PacketEntry, StreamInfo};

/// Follows a validated stream through the bytes of its MP4, in any pieces.
pub(super) struct StreamChecker<'a> {
    stream: &'a StreamInfo,
    member: Member,
    position: u64,
    packet_number: usize,
    packet: Option<PacketEntry>,
    gop_number: usize,
    gop: Option<GopEntry>,
    member_crc: Crc32c,
    packet_crc: Crc32c,
    gop_crc: Crc32c,
    problems: Vec<Error>,
}

/// What came out.
pub(super) struct StreamCheck {
    /// Of the whole MP4.
    pub(super) crc32c: u32,
    /// Packets whose checksum was computed.
    pub(super) packets: u64,
    /// GOPs whose checksum was computed.
    pub(super) gops: u64,
    /// Checksums that differ from the tables'.
    pub(super) problems: Vec<Error>,
}

impl<'a> StreamChecker<'a> {
    /// Before the first byte of `member`. `stream` has been validated against it.
    pub(super) fn new(stream: &'a StreamInfo, member: Member) -> Self {
        Self {
            stream,
            member,
            position: member.offset,
            packet_number: 0,
            packet: stream.packets.get(0),
            gop_number: 0,
            gop: stream.gops.first().copied(),
            member_crc: Crc32c::new(),
            packet_crc: Crc32c::new(),
            gop_crc: Crc32c::new(),
            problems: Vec::new(),
        }
    }

    /// The next bytes of the MP4.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        self.member_crc.update(bytes);
        while let (Some(packet), false) = (self.packet, bytes.is_empty()) {
            let before = packet.offset.saturating_sub(self.position);
            if before > 0 {
                let (skipped, rest) = split(bytes, before);
                self.position += skipped.len() as u64;
                bytes = rest;
                continue;
            }
            let end = packet.offset + u64::from(packet.size);
            let (part, rest) = split(bytes, end - self.position);
            self.packet_crc.update(part);
            self.gop_crc.update(part);
            self.position += part.len() as u64;
            bytes = rest;
            if self.position == end {
                self.end_packet(packet);
            }
        }
        self.position += bytes.len() as u64;
    }

    fn end_packet(&mut self, packet: PacketEntry) {
        let actual = std::mem::replace(&mut self.packet_crc, Crc32c::new()).value();
        if actual != packet.crc32c {
            let number = self.packet_number;
            let expected = packet.crc32c;
            self.problems.push(
                Error::corrupt(format!("packet {number} has checksum {actual:08x}, its table says {expected:08x}"))
                    .with_offset(packet.offset),
            );
        }
        self.packet_number += 1;
        self.packet = self.stream.packets.get(self.packet_number);
        if let Some(gop) = self.gop
            && gop.offset + gop.size == self.position
        {
            self.end_gop(gop);
        }
    }

    fn end_gop(&mut self, gop: GopEntry) {
        let actual = std::mem::replace(&mut self.gop_crc, Crc32c::new()).value();
        if actual != gop.crc32c {
            let number = self.gop_number;
            let expected = gop.crc32c;
            self.problems.push(
                Error::corrupt(format!("GOP {number} has checksum {actual:08x}, its table says {expected:08x}"))
                    .with_offset(gop.offset),
            );
        }
        self.gop_number += 1;
        self.gop = self.stream.gops.get(self.gop_number).copied();
    }

    /// After the last byte.
    pub(super) fn finish(mut self) -> StreamCheck {
        if self.position != self.member.end() {
            let (found, expected) = (self.position - self.member.offset, self.member.size);
            self.problems.push(Error::corrupt(format!("MP4 has {found} bytes, expected {expected}")));
        }
        StreamCheck {
            crc32c: self.member_crc.value(),
            packets: self.packet_number as u64,
            gops: self.gop_number as u64,
            problems: self.problems,
        }
    }
}

fn split(bytes: &[u8], at: u64) -> (&[u8], &[u8]) {
    let at = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}
