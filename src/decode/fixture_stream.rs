//! A record made of any video file by libavformat alone, so that decoding can be tested without conversion. Its tables
//! are those that conversion makes: packets in decode order, GOPs at confirmed random access points, frames as a decode of
//! all packets gives them.
#![allow(unsafe_code, reason = "one field of AVCodecParameters")]

use super::PacketSource;
use crate::ffmpeg::{CodecContext, OpenOptions, Received};
use crate::media::{
    Codec, ColorSpec, GopEntry, Orientation, PacketEntry, PacketFlags, PacketTable, Ratio, StreamInfo, TimeBase,
};
use crate::{Error, Result};
use arrow::buffer::Buffer;
use ffmpeg_next as ff;
use std::path::Path;

/// Where the first packet of every such record is said to lie.
const FIRST_OFFSET: u64 = 4096;

/// A record and its packets.
pub(crate) struct FixtureStream {
    pub stream: StreamInfo,
    pub packets: Vec<Vec<u8>>,
}

impl PacketSource for FixtureStream {
    fn packet(&self, index: u32) -> Result<&[u8]> {
        self.packets.get(index as usize).map(Vec::as_slice).ok_or_else(|| Error::corrupt("no such packet"))
    }
}

impl FixtureStream {
    /// The first video stream of `path`.
    pub(crate) fn open(path: &Path) -> Self {
        ff::init().unwrap();
        let mut input = ff::format::input(path).unwrap();
        let (index, parameters, time_base) = {
            let video = input.streams().best(ff::media::Type::Video).unwrap();
            (video.index(), video.parameters(), video.time_base())
        };
        let codec = Codec::parse(&parameters.id().name().to_ascii_lowercase()).unwrap();
        let (mut entries, mut packets) = (Vec::new(), Vec::new());
        for (stream, packet) in input.packets() {
            if stream.index() == index {
                let data = packet.data().unwrap().to_vec();
                let dts = packet.dts().unwrap_or(0);
                entries.push((packet.pts().unwrap_or(dts), dts, packet.is_key()));
                packets.push(data);
            }
        }
        // SAFETY: used while `parameters` is alive.
        let par = unsafe { parameters.as_ptr() };
        // SAFETY: as above.
        let par = unsafe { &*par };
        let extradata = if par.extradata.is_null() {
            Vec::new()
        } else {
            // SAFETY: libavformat's extradata has this size.
            unsafe { std::slice::from_raw_parts(par.extradata, par.extradata_size as usize) }.to_vec()
        };
        let mut stream = StreamInfo {
            codec,
            profile: Some(par.profile),
            extradata: Buffer::from_vec(extradata),
            reorder_frames: par.video_delay as u8,
            pixel_format: crate::media::PixelFormat::YUV420P,
            width: par.width as u32,
            height: par.height as u32,
            sample_aspect: Ratio::ONE,
            orientation: Orientation::UPRIGHT,
            color: ColorSpec::guess(par.height as u32),
            time_base: TimeBase::new(time_base.numerator() as u32, time_base.denominator() as u32).unwrap(),
            duration: 0,
            packets: PacketTable::default(),
            gops: Vec::new(),
            frame_packets: [].into_iter().collect(),
            is_closed: false,
        };
        let frames = decode_all(&mut stream, &packets, &parameters);
        stream.frame_packets = frames.iter().copied().collect();
        stream.packets = PacketTable::from_entries(&packet_entries(codec, &entries, &packets));
        stream.gops = gops(&stream);
        Self { stream, packets }
    }
}

/// Packet numbers of all frames in the decoder's order; fills in what the frames say of themselves.
fn decode_all(stream: &mut StreamInfo, packets: &[Vec<u8>], parameters: &ff::codec::Parameters) -> Vec<u32> {
    let mut decoder = CodecContext::open_parameters(parameters, OpenOptions::default()).unwrap();
    let mut frames = Vec::new();
    for number in 0..=packets.len() {
        match packets.get(number) {
            Some(packet) => decoder.send(number as u32, packet).unwrap(),
            None => decoder.drain(false).unwrap(),
        }
        while let Received::Frame(frame) = decoder.receive().unwrap() {
            frames.push(frame.packet().unwrap());
            (stream.width, stream.height) = frame.size();
            stream.pixel_format = frame.format().unwrap();
        }
    }
    frames
}

fn packet_entries(codec: Codec, times: &[(i64, i64, bool)], packets: &[Vec<u8>]) -> Vec<PacketEntry> {
    let mut offset = FIRST_OFFSET;
    let mut keyframe_pts = i64::MIN;
    let rows = times.iter().zip(packets).map(|(&(pts, dts, container_key), bytes)| {
        let facts = facts(codec, bytes, container_key);
        let mut flags = PacketFlags::default();
        if facts.key {
            flags |= PacketFlags::KEYFRAME;
            keyframe_pts = pts;
        } else if facts.leading.unwrap_or(facts.bidirectional && pts < keyframe_pts) {
            flags |= PacketFlags::LEADING;
        }
        if facts.disposable {
            flags |= PacketFlags::DISPOSABLE;
        }
        let entry =
            PacketEntry { offset, size: bytes.len() as u32, pts, dts, flags, crc32c: crc_fast::crc32_iscsi(bytes) };
        offset += bytes.len() as u64;
        entry
    });
    rows.collect()
}

#[derive(Default)]
struct Facts {
    key: bool,
    disposable: bool,
    bidirectional: bool,
    /// Where the bitstream says it; else it is decided by the times.
    leading: Option<bool>,
}

fn facts(codec: Codec, bytes: &[u8], container_key: bool) -> Facts {
    let after =
        |code: &[u8]| bytes.windows(code.len()).position(|window| window == code).map(|at| &bytes[at + code.len()..]);
    match codec {
        Codec::H264 => {
            let slices: Vec<u8> = nal_headers(bytes).into_iter().filter(|byte| matches!(byte & 31, 1 | 5)).collect();
            Facts {
                key: slices.iter().any(|byte| byte & 31 == 5),
                disposable: !slices.is_empty() && slices.iter().all(|byte| byte & 0x60 == 0),
                ..Facts::default()
            }
        }
        Codec::Hevc => {
            let mut kinds = nal_headers(bytes).into_iter().map(|byte| byte >> 1 & 63).filter(|kind| *kind < 32);
            let kind = kinds.next_back().unwrap_or(1);
            Facts {
                key: (16..=21).contains(&kind),
                disposable: kind < 16 && kind % 2 == 0,
                leading: Some(kind == 8 || kind == 9),
                ..Facts::default()
            }
        }
        Codec::Mpeg2 | Codec::Mpeg1 => {
            let kind = after(&[0, 0, 1, 0]).map_or(0, |rest| rest[1] >> 3 & 7);
            let key = kind == 1 && after(&[0, 0, 1, 0xb3]).is_some();
            Facts { key, disposable: kind == 3, bidirectional: kind == 3, leading: None }
        }
        Codec::Mpeg4 => {
            let kind = after(&[0, 0, 1, 0xb6]).map_or(0, |rest| rest[0] >> 6);
            Facts { key: kind == 0, disposable: kind == 2, bidirectional: kind == 2, leading: None }
        }
        _ => Facts { key: container_key || codec.is_intra_only(), ..Facts::default() },
    }
}

/// First bytes of all NAL units behind four-byte lengths.
fn nal_headers(mut bytes: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        headers.push(rest[0]);
        bytes = &rest[length..];
    }
    headers
}

/// Cuts the packets before each keyframe.
fn gops(stream: &StreamInfo) -> Vec<GopEntry> {
    let mut starts: Vec<u32> = (0_u32..)
        .zip(stream.packets.iter())
        .filter(|(number, entry)| *number == 0 || entry.flags.contains(PacketFlags::KEYFRAME))
        .map(|(number, _)| number)
        .collect();
    starts.push(stream.packets.len() as u32);
    let gop = |pair: &[u32]| {
        let range = pair[0]..pair[1];
        let first_frame = stream.frame_packets.iter().position(|packet| range.contains(packet));
        GopEntry {
            offset: stream.packets.get(pair[0] as usize).unwrap().offset,
            size: range.clone().map(|packet| u64::from(stream.packets.get(packet as usize).unwrap().size)).sum(),
            first_packet: pair[0],
            num_packets: pair[1] - pair[0],
            first_frame: first_frame.unwrap_or(stream.num_frames()) as u32,
            crc32c: 0,
        }
    };
    starts.windows(2).map(gop).collect()
}
