//! Writing packets as an MP4 with FFmpeg's muxer, and reading back where each of them lies and how its bytes are stored.

use crate::convert::source::opened::deadline;
use crate::convert::source::packet_spill::{PacketStore, Slot};
use crate::convert::source::source_file;
use crate::ffmpeg;
use crate::ffmpeg::TrackFacts;
use crate::format::crc32c;
use crate::media::TimeBase;
use crate::{Error, Result};
use ffmpeg_next as ff;
use std::fs::File;
use std::path::Path;

/// A packet to be written, in decode order.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MuxPacket {
    pub(crate) slot: Slot,
    /// Ticks of the record.
    pub(crate) pts: i64,
    /// Ticks of the record, strictly rising, nowhere above `pts`.
    pub(crate) dts: i64,
    pub(crate) keyframe: bool,
}

/// What is shown of the packets, in ticks of the record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presentation {
    /// Presentation time of the first wanted frame.
    pub(crate) start: i64,
    /// End of the last wanted frame.
    pub(crate) end: i64,
}

/// A packet as it lies in the MP4.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredPacket {
    pub(crate) offset: u64,
    pub(crate) size: u32,
    pub(crate) crc32c: u32,
}

/// A finished MP4, opened again.
pub(crate) struct Stored {
    pub(crate) bytes: u64,
    pub(crate) packets: Vec<StoredPacket>,
    /// What a decoder of the stored packets needs.
    pub(crate) parameters: ff::codec::Parameters,
    pub(crate) facts: ffmpeg::StreamFacts,
    map: arrow::buffer::Buffer,
}

/// Most ticks that an MP4 track has from one packet to the next, and between a packet's two times: FFmpeg's muxer and
/// many players hold them as signed 32 bits.
const MAX_STEP: i128 = i32::MAX as i128 - 2;
/// Ticks a second of a track whose packets are too far apart for the record's own ticks. The last is the fewest that
/// the muxer takes.
const COARSE_TIMESCALES: [u32; 3] = [1_000_000, 90_000, 10_000];

/// Ticks of the record as ticks of an MP4 track, whose time base has a numerator of 1: `num / den` of them are one.
#[derive(Debug, Clone, Copy)]
struct Scale {
    timescale: u32,
    num: i128,
    den: i128,
}

impl Scale {
    /// The record's ticks or a multiple of them, so that all times are exact; where a step as long as `longest` ticks of
    /// the record does not fit, a coarser timescale. Times are rounded then, in the MP4 alone: the index has its own.
    fn new(base: TimeBase, longest: i128) -> Result<Self> {
        // The muxer insists on at least 10000 ticks a second.
        let (mut timescale, mut factor) = (u64::from(base.den()), i128::from(base.num()));
        while timescale < 10_000 {
            timescale *= 2;
            factor *= 2;
        }
        let fits = |scale: &Self| longest.saturating_mul(scale.num) / scale.den <= MAX_STEP;
        let exact = i32::try_from(timescale).ok().and_then(|timescale| u32::try_from(timescale).ok());
        let exact = exact.map(|timescale| Self { timescale, num: factor, den: 1 });
        let coarse = COARSE_TIMESCALES.into_iter().map(|timescale| Self {
            timescale,
            num: i128::from(base.num()) * i128::from(timescale),
            den: i128::from(base.den()),
        });
        exact.into_iter().chain(coarse).find(fits).ok_or_else(too_far_apart)
    }

    /// The time `ticks` after `start`, to the nearest tick of the track.
    fn ticks(self, ticks: i64, start: i64) -> Result<i64> {
        let scaled = (i128::from(ticks) - i128::from(start)) * self.num;
        let rounded = if self.den == 1 { scaled } else { (2 * scaled + self.den).div_euclid(2 * self.den) };
        i64::try_from(rounded).map_err(|_| too_far_apart())
    }
}

fn too_far_apart() -> Error {
    Error::unsupported("timestamps are too far apart for an MP4: a frame stands for more than two days")
}

/// The longest step of the packets, in ticks of the record: from one to the next, and between a packet's two times.
fn longest_step(packets: &[MuxPacket], end: i64) -> i128 {
    let distance = |a: i64, b: i64| (i128::from(a) - i128::from(b)).abs();
    let steps = packets.windows(2).filter_map(|pair| match pair {
        [a, b] => Some(distance(b.dts, a.dts)),
        _ => None,
    });
    let delays = packets.iter().map(|packet| distance(packet.pts, packet.dts));
    let last = packets.last().map(|packet| distance(end.max(packet.dts), packet.dts));
    steps.chain(delays).chain(last).max().unwrap_or(0)
}

/// Writes the packets to `path` and reads back how they lie.
pub(crate) fn write(
    path: &Path,
    store: &PacketStore,
    packets: &[MuxPacket],
    shown: Presentation,
    time_base: TimeBase,
    parameters: &ff::codec::Parameters,
    track: &TrackFacts,
) -> Result<Stored> {
    ffmpeg::init();
    ffmpeg::begin_messages();
    let scale = Scale::new(time_base, longest_step(packets, shown.end))?;
    let failed = |what: &str, error: ff::Error| match error {
        // A full disk is not the packets' fault.
        ff::Error::Other { errno }
            if [libc::ENOSPC, libc::EDQUOT, libc::EFBIG, libc::EROFS, libc::EIO].contains(&errno) =>
        {
            Error::io(&format!("{what} the MP4"), path, std::io::Error::from_raw_os_error(errno))
        }
        error => Error::unsupported(format!("cannot {what} the MP4: {}", ffmpeg::message_of(error))),
    };
    let name = path.to_str().ok_or_else(|| Error::unsupported("path is not valid UTF-8").with_path(path))?;
    let mut output = ff::format::output_as(&format!("file:{name}"), "mp4").map_err(|error| failed("create", error))?;
    let base = ff::Rational::new(1, scale.timescale as i32);
    ffmpeg::add_track(&mut output, parameters, base, track)?;
    let mut options = ff::Dictionary::new();
    options.set("fflags", "+bitexact");
    options.set("use_editlist", "1");
    options.set("video_track_timescale", &scale.timescale.to_string());
    options.set("movie_timescale", &scale.timescale.to_string());
    output.write_header_with(options).map(drop).map_err(|error| failed("start", error))?;
    // Rounding must leave decode times rising, and none above its packet's presentation time.
    let mut times: Vec<(i64, i64)> = Vec::with_capacity(packets.len());
    for packet in packets {
        let soonest = times.last().map_or(i64::MIN, |&(_, dts)| dts.saturating_add(1));
        let dts = scale.ticks(packet.dts, shown.start)?.max(soonest);
        times.push((scale.ticks(packet.pts, shown.start)?.max(dts), dts));
    }
    let duration = scale.ticks(shown.end, shown.start)?;
    let mut bytes = Vec::new();
    for (index, (packet, &(pts, dts))) in packets.iter().zip(&times).enumerate() {
        store.read(packet.slot, &mut bytes)?;
        let mut out = ff::Packet::copy(&bytes);
        out.set_stream(0);
        out.set_pts(Some(pts));
        out.set_dts(Some(dts));
        let next = times.get(index + 1).map_or(duration, |&(_, next)| next);
        out.set_duration(next.saturating_sub(dts).max(1));
        ffmpeg::set_packet_flags(&mut out, if packet.keyframe { ff::ffi::AV_PKT_FLAG_KEY } else { 0 });
        out.write(&mut output).map_err(|error| failed("write", error))?;
    }
    output.write_trailer().map_err(|error| failed("finish", error))?;
    drop(output);
    let media_time = times.first().map_or(0, |&(_, dts)| dts.saturating_neg());
    let size = super::edit_list::set_edit_list(path, media_time, duration.unsigned_abs())?;
    read_back(path, size, packets.len())
}

/// Reads every packet of a finished MP4 in order, edit list ignored.
pub(crate) fn read_back(path: &Path, bytes: u64, expected: usize) -> Result<Stored> {
    let mut input = source_file::open_input(path, deadline(bytes), true)?;
    let stream = input.stream(0).ok_or_else(|| Error::unsupported("the muxer wrote no track").with_path(path))?;
    let (facts, parameters) = (ffmpeg::stream_facts(&stream), stream.parameters());
    let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let mut packets = Vec::with_capacity(expected);
    let length = file.metadata().map_err(|error| Error::io("read", path, error))?.len();
    let map = crate::format::map(&file, path, 0, length)?;
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
    pub(crate) fn packet(&self, index: usize) -> Result<&[u8]> {
        let entry = self.packets.get(index);
        entry
            .and_then(|entry| slice(&self.map, entry.offset, entry.size as usize))
            .ok_or_else(|| Error::invalid(format!("no packet {index}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(num: u32, den: u32, longest: i128) -> Scale {
        Scale::new(TimeBase::new(num, den).unwrap(), longest).unwrap()
    }

    #[test]
    fn ticks_are_exact_as_long_as_they_fit() {
        for (num, den, timescale, factor) in
            [(1, 90_000, 90_000, 1), (1, 12, 12_288, 1024), (1001, 30_000, 30_000, 1001)]
        {
            let scale = scale(num, den, 1000);
            assert_eq!((scale.timescale, scale.ticks(7, -3).unwrap()), (timescale, 10 * factor));
        }
        assert_eq!(scale(1, 1_000_000_000, MAX_STEP).timescale, 1_000_000_000);
    }

    #[test]
    fn a_long_step_makes_ticks_coarser() {
        let scale = scale(1, 1_000_000_000, 3_100_000_000);
        assert_eq!(scale.timescale, 1_000_000);
        assert_eq!(scale.ticks(3_100_000_499, 0).unwrap(), 3_100_000);
        assert_eq!(scale.ticks(3_100_000_500, 0).unwrap(), 3_100_001);
        assert_eq!(scale.ticks(0, 1_499).unwrap(), -1);
        let far = Scale::new(TimeBase::new(1, 1000).unwrap(), i128::from(i64::MAX));
        assert_eq!(far.unwrap_err().kind(), crate::ErrorKind::Unsupported);
    }

    #[test]
    fn extreme_times_are_an_error() {
        assert!(scale(1, 90_000, 5).ticks(i64::MAX, i64::MIN).is_err());
        assert!(scale(u32::MAX, 1, 0).ticks(i64::MIN, i64::MAX).is_err());
    }
}
