//! From a parsed row to a [`Record`]: every fact that later arithmetic relies on is checked here, once.

use super::tensor::npy_header_of_len;
use super::{Member, Record, TensorField, validate_key};
use crate::error::{Error, Result};
use crate::media::{PacketFlags, StreamInfo};
use std::collections::HashSet;

/// Largest side of a picture: MP4 has 16 bits for it. Keeps sizes of planes within `u64`, and of rows within `u32`.
const MAX_SIDE: u32 = 65_535;
/// More frames than any decoder holds back.
const MAX_REORDER: u8 = 64;
/// Timestamps are below this in magnitude, so that sums and differences of two fit `i64`.
const MAX_TICKS: i64 = 1 << 61;

/// A row whose values have the right types, but may contradict each other or the file.
#[derive(Debug)]
pub(crate) struct ParsedRecord(pub(crate) Record);

impl ParsedRecord {
    /// Checks everything. `data_end` is where the members of the shard end.
    pub(crate) fn validate(self, data_end: u64) -> Result<Record> {
        let key = self.0.key.clone();
        self.check(data_end).map_err(|error| error.with_record(key))?;
        Ok(self.0)
    }

    fn check(&self, data_end: u64) -> Result<()> {
        let record = &self.0;
        // Keys become file names on extraction.
        validate_key(&record.key).map_err(|error| Error::corrupt("index has an invalid key").with_source(error))?;
        let mut position = check_member("video", &record.video, super::tar::BLOCK, data_end)?;
        validate_stream(&record.stream, &record.video)?;
        if let Some(json) = &record.json {
            position = check_member("json", json, position, data_end)?;
        }
        check_fields(&record.fields, position, data_end)?;
        for seconds in [record.source_start, record.source_end].into_iter().flatten() {
            if !seconds.is_finite() {
                return Err(Error::corrupt(format!("cut at {seconds} seconds")));
            }
        }
        Ok(())
    }
}

/// Fields have names of their own and lie in their order from `position` on; the elements of each fill its member from the NPY
/// header on, which protects every read of them and every sum of their sizes. Gives where the last one ends.
pub(super) fn check_fields(fields: &[TensorField], mut position: u64, data_end: u64) -> Result<u64> {
    let mut names = HashSet::with_capacity(fields.len());
    for field in fields {
        check_field_name(&field.name).map_err(|error| Error::corrupt(error.message()))?;
        if !names.insert(field.name.as_str()) {
            return Err(Error::corrupt(format!("two fields are named '{}'", field.name)));
        }
        position = check_member(&field.name, &field.member, position, data_end)?;
        let elements = field.dtype.num_bytes(&field.shape).ok();
        let whole = elements.and_then(|bytes| bytes.checked_add(u64::from(field.data_offset)));
        if whole != Some(field.member.size)
            || npy_header_of_len(field.dtype, &field.shape, field.data_offset as usize).is_none()
        {
            return Err(Error::corrupt(format!(
                "field '{}' has {} bytes, not a header of {} and the elements of shape {:?} and type {}",
                field.name, field.member.size, field.data_offset, field.shape, field.dtype
            ))
            .with_offset(field.member.offset));
        }
    }
    Ok(position)
}

/// Entries of a loader's batch that are no fields, as Python names them.
const BATCH_ENTRIES: [&str; 16] = [
    "video",
    "color",
    "fps",
    "duration",
    "source_size",
    "key",
    "caption",
    "pts",
    "frame",
    "time_base",
    "record",
    "position",
    "epoch",
    "columns",
    "skipped",
    "substituted",
];

/// True of a name that a field cannot have in a batch.
pub(crate) fn is_batch_entry(name: &str) -> bool {
    BATCH_ENTRIES.contains(&name)
}

/// Checks the name of a field that is to be written: what could not be loaded is not stored.
pub(crate) fn check_new_field_name(name: &str) -> Result<()> {
    check_field_name(name)?;
    if is_batch_entry(name) {
        return Err(Error::invalid(format!("field '{name}': that is the name of another entry of a loader's batch")));
    }
    Ok(())
}

/// Field names are part of member names: `<key>.<name>.npy`.
pub(crate) fn check_field_name(name: &str) -> Result<()> {
    let plain = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain {
        return Ok(());
    }
    Err(Error::invalid(format!("field name {name:?} is not 1 to 64 letters, digits, '_' and '-'")))
}

/// Members lie in the file, in their order: this protects every read of them and the sum of their sizes.
pub(super) fn check_member(name: &str, member: &Member, start: u64, data_end: u64) -> Result<u64> {
    let end = member.offset.checked_add(member.size).filter(|&end| end <= data_end);
    match end {
        Some(end) if member.offset >= start && member.size > 0 => Ok(end),
        _ => Err(Error::corrupt(format!(
            "member '{name}' at {} with {} bytes is not between {start} and {data_end}",
            member.offset, member.size
        ))
        .with_offset(member.offset)),
    }
}

/// Checks a stream against itself and against the bytes of its MP4.
pub(crate) fn validate_stream(stream: &StreamInfo, video: &Member) -> Result<()> {
    check_picture(stream)?;
    check_packets(stream, video)?;
    let frame_of = check_frames(stream)?;
    check_gops(stream, &frame_of)
}

fn check_picture(stream: &StreamInfo) -> Result<()> {
    let (width, height) = (stream.width, stream.height);
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err(Error::corrupt(format!("picture is {width} by {height}, each must be 1 to {MAX_SIDE}")));
    }
    if stream.reorder_frames > MAX_REORDER {
        return Err(Error::corrupt(format!("{} reordered frames, at most {MAX_REORDER}", stream.reorder_frames)));
    }
    Ok(())
}

/// Packets lie inside the MP4, one behind the other; decode times do not fall.
fn check_packets(stream: &StreamInfo, video: &Member) -> Result<()> {
    let packets = &stream.packets;
    let count = packets.offsets.len();
    let columns =
        [packets.sizes.len(), packets.pts.len(), packets.dts.len(), packets.flags.len(), packets.crc32c.len()];
    if count == 0 || u32::try_from(count).is_err() || columns.iter().any(|&length| length != count) {
        return Err(Error::corrupt(format!("packet table has {count} packets, and columns of {columns:?}")));
    }
    let mut position = video.offset;
    let mut last_dts = i64::MIN;
    for (number, packet) in packets.iter().enumerate() {
        let fail = |what: String| Err(Error::corrupt(format!("packet {number} {what}")).with_offset(packet.offset));
        let end = packet.offset.checked_add(u64::from(packet.size)).filter(|&end| end <= video.end());
        match end {
            Some(end) if packet.offset >= position && packet.size > 0 => position = end,
            _ => {
                let (offset, size, stop) = (packet.offset, packet.size, video.end());
                return fail(format!("at {offset} with {size} bytes is not between {position} and {stop}"));
            }
        }
        if packet.dts < last_dts {
            return fail(format!("has dts {}, after {last_dts}", packet.dts));
        }
        last_dts = packet.dts;
        if !ticks_in_range(packet.pts) || !ticks_in_range(packet.dts) {
            return fail(format!("has pts {} and dts {}", packet.pts, packet.dts));
        }
        if packet.flags.contains(PacketFlags::DISPOSABLE) && packet.flags.reach().is_some() {
            return fail("is disposable and says which packets refer to it".to_owned());
        }
    }
    Ok(())
}

fn ticks_in_range(ticks: i64) -> bool {
    (-MAX_TICKS..=MAX_TICKS).contains(&ticks)
}

/// Every frame comes from a packet of its own that is not discarded, and is later than the frame before it. Gives for
/// each packet the frame that comes from it, `u32::MAX` for none.
fn check_frames(stream: &StreamInfo) -> Result<Vec<u32>> {
    let packets = &stream.packets;
    let frames = stream.frame_packets.len();
    if frames == 0 || frames > packets.len() {
        return Err(Error::corrupt(format!("{frames} frames from {} packets", packets.len())));
    }
    let mut frame_of = vec![u32::MAX; packets.len()];
    let mut times = None;
    for (frame, &number) in stream.frame_packets.iter().enumerate() {
        let fail = |what: String| Err(Error::corrupt(format!("frame {frame} {what}")));
        let (Some(slot), Some(packet)) = (frame_of.get_mut(number as usize), packets.get(number as usize)) else {
            return fail(format!("comes from packet {number} of {}", packets.len()));
        };
        if *slot != u32::MAX {
            return fail(format!("comes from packet {number}, as frame {slot} does"));
        }
        *slot = frame as u32;
        if packet.flags.contains(PacketFlags::DISCARD) {
            return fail(format!("comes from packet {number}, which is discarded"));
        }
        let (first, last) = times.unwrap_or((packet.pts, i64::MIN));
        if packet.pts <= last {
            return fail(format!("has pts {}, not after {last}", packet.pts));
        }
        times = Some((first, packet.pts));
    }
    let (first, last) = times.unwrap_or((0, 0));
    if stream.duration <= last - first || stream.duration > 2 * MAX_TICKS {
        return Err(Error::corrupt(format!("duration is {} ticks, frames are at {first} to {last}", stream.duration)));
    }
    Ok(frame_of)
}

/// GOPs cover the packets without gaps, in the table and in the file.
fn check_gops(stream: &StreamInfo, frame_of: &[u32]) -> Result<()> {
    let frames = stream.frame_packets.len() as u32;
    let mut next = 0_usize;
    for (number, gop) in stream.gops.iter().enumerate() {
        let fail = |what: String| Err(Error::corrupt(format!("GOP {number} {what}")).with_offset(gop.offset));
        let end = next.saturating_add(gop.num_packets as usize);
        if gop.first_packet as usize != next || gop.num_packets == 0 || end > frame_of.len() {
            return fail(format!("has {} packets from {}, expected from {next}", gop.num_packets, gop.first_packet));
        }
        let mut position = gop.offset;
        let mut first_frame = frames;
        for index in next..end {
            let Some(packet) = stream.packets.get(index) else { return fail("is outside the table".to_owned()) };
            if packet.offset != position {
                return fail(format!("has packet {index} at {}, expected at {position}", packet.offset));
            }
            position += u64::from(packet.size);
            if index == next && number > 0 && !packet.flags.contains(PacketFlags::KEYFRAME) {
                return fail(format!("starts at packet {index}, which is no keyframe"));
            }
            first_frame = first_frame.min(frame_of.get(index).copied().unwrap_or(u32::MAX));
        }
        if position - gop.offset != gop.size {
            return fail(format!("has {} bytes, its packets have {}", gop.size, position - gop.offset));
        }
        if gop.first_frame != first_frame {
            return fail(format!("says its first frame is {}, it is {first_frame}", gop.first_frame));
        }
        next = end;
    }
    if next != frame_of.len() {
        return Err(Error::corrupt(format!("GOPs cover {next} of {} packets", frame_of.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{GopEntry, PacketEntry, PacketTable, Ratio};

    /// Three GOPs of three packets in the order I P B; the first packet is discarded. One byte a packet.
    fn sample() -> StreamInfo {
        let flags = [5, 0, 2, 1, 0, 2, 1, 0, 2].map(PacketFlags);
        let pts = [0, 2, 1, 3, 5, 4, 6, 8, 7];
        let packets: Vec<PacketEntry> = (0..9_usize)
            .map(|n| PacketEntry {
                offset: 100 + n as u64,
                size: 1,
                pts: pts[n],
                dts: n as i64,
                flags: flags[n],
                crc32c: 0,
            })
            .collect();
        let gop = |first_packet: u32, first_frame| GopEntry {
            offset: 100 + u64::from(first_packet),
            size: 3,
            first_packet,
            num_packets: 3,
            first_frame,
            crc32c: 0,
        };
        StreamInfo {
            codec: crate::media::Codec::H264,
            profile: None,
            extradata: Vec::<u8>::new().into(),
            reorder_frames: 1,
            pixel_format: crate::media::PixelFormat::YUV420P,
            width: 16,
            height: 16,
            sample_aspect: Ratio::ONE,
            orientation: crate::media::Orientation::UPRIGHT,
            color: crate::media::ColorSpec::guess(16),
            time_base: crate::media::TimeBase::new(1, 25).unwrap(),
            duration: 8,
            packets: PacketTable::from_entries(&packets),
            gops: vec![gop(0, 0), gop(3, 2), gop(6, 5)],
            frame_packets: vec![2, 1, 3, 5, 4, 6, 8, 7].into(),
            is_closed: false,
        }
    }

    const VIDEO: Member = Member { offset: 100, size: 9, crc32c: 0 };

    fn packet(stream: &mut StreamInfo, number: usize, change: impl Fn(&mut PacketEntry)) {
        let mut packets: Vec<PacketEntry> = stream.packets.iter().collect();
        change(&mut packets[number]);
        stream.packets = PacketTable::from_entries(&packets);
    }

    #[test]
    fn a_stream_that_agrees_with_itself_is_valid() {
        validate_stream(&sample(), &VIDEO).unwrap();
    }

    #[test]
    fn every_contradiction_is_found() {
        type Change = fn(&mut StreamInfo);
        let cases: &[(&str, Change)] = &[
            ("picture is", |s| s.width = 0),
            ("picture is", |s| s.height = 65_536),
            ("reordered", |s| s.reorder_frames = 65),
            ("packet table has 0", |s| s.packets = PacketTable::default()),
            ("packet table has 9", |s| s.packets.pts = vec![0; 8].into()),
            ("packet 0 at 99", |s| packet(s, 0, |p| p.offset = 99)),
            ("packet 8 at 108 with 2", |s| packet(s, 8, |p| p.size = 2)),
            ("packet 4 at 104 with 0", |s| packet(s, 4, |p| p.size = 0)),
            ("packet 4 at 103", |s| packet(s, 4, |p| p.offset = 103)),
            ("packet 4 at 18446744073709551615", |s| packet(s, 4, |p| p.offset = u64::MAX)),
            ("packet 4 has dts 1, after 3", |s| packet(s, 4, |p| p.dts = 1)),
            ("packet 4 has pts", |s| packet(s, 4, |p| p.pts = i64::MIN)),
            ("packet 8 has pts", |s| packet(s, 8, |p| p.dts = i64::MAX)),
            ("packet 4 is disposable and", |s| packet(s, 4, |p| p.flags.0 = 18)),
            ("0 frames", |s| s.frame_packets = Vec::new().into()),
            ("10 frames", |s| s.frame_packets = vec![0; 10].into()),
            ("frame 1 comes from packet 9 of 9", |s| s.frame_packets = vec![2, 9].into()),
            ("as frame 0 does", |s| s.frame_packets = vec![2, 2].into()),
            ("which is discarded", |s| s.frame_packets = vec![0, 2].into()),
            ("frame 1 has pts 1, not after 2", |s| s.frame_packets = vec![1, 2].into()),
            ("duration is 7", |s| s.duration = 7),
            ("duration is", |s| s.duration = i64::MAX),
            ("GOPs cover 0 of 9", |s| s.gops.clear()),
            ("GOPs cover 6 of 9", |s| s.gops.truncate(2)),
            ("GOP 1 has 3 packets from 4", |s| s.gops[1].first_packet = 4),
            ("GOP 2 has 4 packets", |s| s.gops[2].num_packets = 4),
            ("GOP 2 has 4294967295 packets", |s| s.gops[2].num_packets = u32::MAX),
            ("GOP 1 has 0 packets", |s| s.gops[1].num_packets = 0),
            ("GOP 1 has packet 3 at 103, expected at 102", |s| s.gops[1].offset = 102),
            ("GOP 1 has 2 bytes", |s| s.gops[1].size = 2),
            ("GOP 1 says its first frame is 3, it is 2", |s| s.gops[1].first_frame = 3),
            ("GOP 1 starts at packet 3, which is no keyframe", |s| packet(s, 3, |p| p.flags.0 = 0)),
        ];
        for (expected, change) in cases {
            let mut stream = sample();
            change(&mut stream);
            let error = validate_stream(&stream, &VIDEO).expect_err(expected);
            assert!(error.message().contains(expected), "expected {expected:?}, got {error}");
        }
    }

    #[test]
    fn members_must_lie_in_the_file_in_order() {
        assert_eq!(check_member("a", &Member { offset: 512, size: 10, crc32c: 0 }, 512, 522).unwrap(), 522);
        for (offset, size) in [(511, 10), (512, 11), (512, 0), (u64::MAX, 1), (600, u64::MAX)] {
            assert!(check_member("a", &Member { offset, size, crc32c: 0 }, 512, 522).is_err());
        }
    }
}
