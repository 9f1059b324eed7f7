//! Writing packets as an MP4 with FFmpeg's muxer, and reading back where each of them lies and how its bytes are stored.

use super::av::{self, TrackFacts};
use super::source::deadline;
use super::store::{PacketStore, Slot};
use crate::format::crc32c;
use crate::media::TimeBase;
use crate::{Error, Result};
use ffmpeg_next as ff;
use std::fs::File;
use std::path::Path;

/// A packet to be written, in decode order.
#[derive(Debug, Clone, Copy)]
pub(super) struct MuxPacket {
    pub(super) slot: Slot,
    /// Ticks of the record.
    pub(super) pts: i64,
    /// Ticks of the record, strictly rising, nowhere above `pts`.
    pub(super) dts: i64,
    pub(super) keyframe: bool,
}

/// What is shown of the packets, in ticks of the record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presentation {
    /// Presentation time of the first wanted frame.
    pub(super) start: i64,
    /// End of the last wanted frame.
    pub(super) end: i64,
}

/// A packet as it lies in the MP4.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredPacket {
    pub(super) offset: u64,
    pub(super) size: u32,
    pub(super) crc32c: u32,
}

/// A finished MP4, opened again.
pub(super) struct Stored {
    pub(super) bytes: u64,
    pub(super) packets: Vec<StoredPacket>,
    /// What a decoder of the stored packets needs.
    pub(super) parameters: ff::codec::Parameters,
    pub(super) facts: av::StreamFacts,
    map: memmap2::Mmap,
}

/// Ticks of the record as ticks of an MP4 track, whose time base has a numerator of 1.
#[derive(Debug, Clone, Copy)]
struct Scale {
    timescale: u32,
    factor: i64,
}

impl Scale {
    fn new(base: TimeBase) -> Result<Self> {
        // The muxer insists on at least 10000 ticks a second; a multiple keeps every tick exact.
        let mut timescale = base.den();
        let mut factor = i64::from(base.num());
        while timescale < 10_000 {
            timescale *= 2;
            factor *= 2;
        }
        if timescale > i32::MAX as u32 {
            return Err(Error::unsupported(format!("an MP4 cannot hold a time base of {base}")));
        }
        Ok(Self { timescale, factor })
    }

    fn ticks(self, ticks: i64) -> Result<i64> {
        ticks.checked_mul(self.factor).ok_or_else(|| Error::unsupported("timestamps are too far apart for an MP4"))
    }
}

/// Writes the packets to `path` and reads back how they lie.
pub(super) fn write(
    path: &Path,
    store: &PacketStore,
    packets: &[MuxPacket],
    shown: Presentation,
    time_base: TimeBase,
    parameters: &ff::codec::Parameters,
    track: &TrackFacts,
) -> Result<Stored> {
    av::init();
    av::begin_messages();
    let scale = Scale::new(time_base)?;
    let failed = |what: &str, error: ff::Error| match error {
        // A full disk is not the packets' fault.
        ff::Error::Other { errno }
            if [libc::ENOSPC, libc::EDQUOT, libc::EFBIG, libc::EROFS, libc::EIO].contains(&errno) =>
        {
            Error::io(&format!("{what} the MP4"), path, std::io::Error::from_raw_os_error(errno))
        }
        error => Error::unsupported(format!("cannot {what} the MP4: {}", av::message_of(error))),
    };
    let name = path.to_str().ok_or_else(|| Error::unsupported("path is not valid UTF-8").with_path(path))?;
    let mut output = ff::format::output_as(&format!("file:{name}"), "mp4").map_err(|error| failed("create", error))?;
    let base = ff::Rational::new(1, scale.timescale as i32);
    av::add_track(&mut output, parameters, base, track)?;
    let mut options = ff::Dictionary::new();
    options.set("fflags", "+bitexact");
    options.set("use_editlist", "1");
    options.set("video_track_timescale", &scale.timescale.to_string());
    options.set("movie_timescale", &scale.timescale.to_string());
    output.write_header_with(options).map(drop).map_err(|error| failed("start", error))?;
    let mut bytes = Vec::new();
    for (index, packet) in packets.iter().enumerate() {
        store.read(packet.slot, &mut bytes)?;
        let mut out = ff::Packet::copy(&bytes);
        out.set_stream(0);
        out.set_pts(Some(scale.ticks(packet.pts - shown.start)?));
        out.set_dts(Some(scale.ticks(packet.dts - shown.start)?));
        let next = packets.get(index + 1).map_or(shown.end.max(packet.dts + 1), |next| next.dts);
        out.set_duration(scale.ticks(next - packet.dts)?.max(1));
        av::set_packet_flags(&mut out, if packet.keyframe { ff::ffi::AV_PKT_FLAG_KEY } else { 0 });
        out.write(&mut output).map_err(|error| failed("write", error))?;
    }
    output.write_trailer().map_err(|error| failed("finish", error))?;
    drop(output);
    let first_dts = packets.first().map_or(0, |packet| packet.dts);
    let media_time = scale.ticks(shown.start - first_dts)?;
    let duration = scale.ticks(shown.end - shown.start)?;
    let size = super::mp4::set_edit_list(path, media_time, duration.unsigned_abs())?;
    read_back(path, size, packets.len())
}

/// Reads every packet of a finished MP4 in order, edit list ignored.
pub(super) fn read_back(path: &Path, bytes: u64, expected: usize) -> Result<Stored> {
    let mut input = av::open_input(path, deadline(bytes), true)?;
    let stream = input.stream(0).ok_or_else(|| Error::unsupported("the muxer wrote no track").with_path(path))?;
    let (facts, parameters) = (av::stream_facts(&stream), stream.parameters());
    let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let mut packets = Vec::with_capacity(expected);
    let map = av::map(&file).map_err(|error| Error::io("map", path, error))?;
    let mut next_offset = None;
    loop {
        let mut packet = ff::Packet::empty();
        match packet.read(&mut input) {
            Ok(()) => {}
            Err(ff::Error::Eof) => break,
            Err(error) => return Err(Error::corrupt(format!("cannot read back the MP4: {error}")).with_path(path)),
        }
        let data = packet.data().unwrap_or_default();
        let offset = u64::try_from(packet.position()).unwrap_or(u64::MAX);
        let is_there = slice(&map, offset, data.len()) == Some(data);
        if !is_there || next_offset.is_some_and(|next| next != offset) {
            return Err(Error::unsupported(format!("packet {} is not stored as one run of bytes", packets.len()))
                .with_path(path));
        }
        next_offset = Some(offset + data.len() as u64);
        packets.push(StoredPacket { offset, size: data.len() as u32, crc32c: crc32c(data) });
    }
    if packets.len() != expected {
        return Err(
            Error::unsupported(format!("the muxer kept {} of {expected} packets", packets.len())).with_path(path)
        );
    }
    Ok(Stored { bytes, packets, parameters, facts, map })
}

fn slice(bytes: &[u8], offset: u64, size: usize) -> Option<&[u8]> {
    bytes.get(usize::try_from(offset).ok()?..)?.get(..size)
}

impl Stored {
    /// The bytes of packet `index`.
    pub(super) fn packet(&self, index: usize) -> Result<&[u8]> {
        let entry = self.packets.get(index);
        entry
            .and_then(|entry| slice(&self.map, entry.offset, entry.size as usize))
            .ok_or_else(|| Error::invalid(format!("no packet {index}")))
    }
}
