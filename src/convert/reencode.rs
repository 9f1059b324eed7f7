//! Encoding anew what an MP4 cannot hold: visually lossless H.264 by libx264, the same frames at the same times. Single
//! threaded and bit exact, so that the same source gives the same bytes.

use super::av::{self, FrameFacts, TrackFacts};
use super::bitstream::Scanner;
use super::conform::Conformer;
use super::draft::DraftPacket;
use super::ingest::{self, Range};
use super::source::Source;
use super::store::{PacketStore, Slot};
use super::timestamps;
use crate::media::{Codec, ColorModel, ColorRange, ColorSpec, PixelFormat};
use crate::{Error, Result};
use ffmpeg_next as ff;

/// Constant rate factor: visually lossless.
const CRF: &str = "12";
/// Speed against size.
const PRESET: &str = "veryfast";
/// Closed GOPs. And no macroblock tree: with it, libx264 (build 164) reads memory that nobody wrote, for sizes that are no
/// multiple of 16, and gives other bytes every time (seen by running it under different values of MALLOC_PERTURB_).
const X264_PARAMS: &str = "open-gop=0:mbtree=0";

/// An encoded packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct EncodedPacket {
    pub(super) slot: Slot,
    /// Number of its frame among the encoded ones.
    pub(super) frame: u32,
}

/// What is known of the pictures to be encoded.
pub(super) struct Picture<'a> {
    pub(super) facts: &'a FrameFacts,
    pub(super) color: ColorSpec,
    pub(super) track: &'a TrackFacts,
}

/// What the encoder made.
pub(super) struct Encoded {
    pub(super) packets: Vec<EncodedPacket>,
    pub(super) parameters: ff::codec::Parameters,
    pub(super) pixel_format: PixelFormat,
    pub(super) color: ColorSpec,
}

/// The format to encode a picture in: the nearest that H.264 has, by FFmpeg's name.
pub(super) fn target(facts: &FrameFacts) -> Result<(&'static str, PixelFormat, bool)> {
    let name = facts.format.as_str();
    let pixel: ff::format::Pixel =
        name.parse().map_err(|_| Error::unsupported(format!("pixel format {name} is unknown")))?;
    let descriptor = pixel.descriptor().ok_or_else(|| Error::unsupported(format!("pixel format {name} is unknown")))?;
    let planar = PixelFormat::parse(name);
    let is_yuv = planar.is_some_and(|format| format.model == ColorModel::Yuv)
        || name.starts_with("yuva")
        || name.starts_with("nv")
        || name.starts_with("yuyv")
        || name.starts_with("uyvy")
        || name.starts_with("p0")
        || name.starts_with("p2");
    let is_gray = name.starts_with("gray") || name.starts_with("ya") || name.starts_with("mono");
    let deep = name.contains("10")
        || name.contains("12")
        || name.contains("14")
        || name.contains("16")
        || name.contains("48")
        || name.contains("64");
    let (even_w, even_h) = (facts.width.is_multiple_of(2), facts.height.is_multiple_of(2));
    let (w, h) = if is_yuv { (descriptor.log2_chroma_w(), descriptor.log2_chroma_h()) } else { (0, 0) };
    let full = name.starts_with("yuvj");
    let target = if is_gray && planar.is_some() && !deep {
        "gray"
    } else if is_gray || (is_yuv && w > 0 && h > 0 && even_w && even_h) {
        match (deep, full) {
            (true, _) => "yuv420p10le",
            (false, true) => "yuvj420p",
            (false, false) => "yuv420p",
        }
    } else if is_yuv && w > 0 && even_w {
        match (deep, full) {
            (true, _) => "yuv422p10le",
            (false, true) => "yuvj422p",
            (false, false) => "yuv422p",
        }
    } else {
        match (deep, full) {
            (true, _) => "yuv444p10le",
            (false, true) => "yuvj444p",
            (false, false) => "yuv444p",
        }
    };
    let format = PixelFormat::parse(target).ok_or_else(|| Error::unsupported(format!("no format for {name}")))?;
    Ok((target, format, !is_yuv && !is_gray))
}

/// Decodes `range` of the source again and encodes its frames `wanted`, made alike by `conformer`.
pub(super) fn encode(
    source: &mut Source,
    range: Range,
    wanted: std::ops::Range<usize>,
    picture: &Picture<'_>,
    conformer: &mut Conformer,
    store: &mut PacketStore,
    cancel: &dyn Fn() -> bool,
) -> Result<Encoded> {
    let Picture { facts, mut color, track } = *picture;
    let (name, pixel_format, from_rgb) = target(facts)?;
    if from_rgb {
        // What libswscale converts RGB to by default.
        color = ColorSpec { matrix: 6, range: ColorRange::Limited, ..color };
    }
    let pixel: ff::format::Pixel = name.parse().map_err(|_| Error::unsupported(format!("no pixel format {name}")))?;
    let mut encoder = open(source, facts, pixel, color, track)?;
    let parameters = ff::codec::Parameters::from(&encoder);
    let mut scaler = None;
    let mut packets = Vec::new();
    let failed =
        |error: ff::Error| Error::new(crate::ErrorKind::Decode, format!("cannot encode: {}", av::message_of(error)));
    let mut sink = |&ingest::Given { number, frame, .. }: &ingest::Given<'_>| -> Result<()> {
        if !wanted.contains(&number) {
            return Ok(());
        }
        let frame = conformer.conform(frame)?;
        let mut picture = if frame.format() == pixel {
            frame.clone()
        } else {
            let scaler = match &mut scaler {
                Some(scaler) => scaler,
                slot => slot.insert(scaling(frame, pixel).map_err(failed)?),
            };
            let mut picture = ff::frame::Video::empty();
            scaler.run(frame, &mut picture).map_err(failed)?;
            picture
        };
        picture.set_pts(Some((number - wanted.start) as i64));
        picture.set_kind(ff::picture::Type::None);
        encoder.send_frame(&picture).map_err(failed)?;
        receive(&mut encoder, store, &mut packets)
    };
    ingest::read(source, range, None, cancel, &mut sink)?
        .ok_or_else(|| Error::decode("the source reads differently the second time"))?;
    encoder.send_eof().map_err(failed)?;
    receive(&mut encoder, store, &mut packets)?;
    if packets.len() != wanted.len() {
        return Err(Error::decode(format!("the encoder gave {} packets for {} frames", packets.len(), wanted.len())));
    }
    Ok(Encoded { packets, parameters, pixel_format, color })
}

/// From `frame`'s format to another one, in the same size.
pub(super) fn scaling(
    frame: &ff::frame::Video,
    to: ff::format::Pixel,
) -> std::result::Result<ff::software::scaling::Context, ff::Error> {
    use ff::software::scaling::Flags;
    let (width, height) = (frame.width(), frame.height());
    let flags = Flags::BICUBIC | Flags::ACCURATE_RND | Flags::FULL_CHR_H_INT | Flags::FULL_CHR_H_INP | Flags::BITEXACT;
    ff::software::scaling::Context::get(frame.format(), width, height, to, width, height, flags)
}

fn open(
    source: &Source,
    facts: &FrameFacts,
    pixel: ff::format::Pixel,
    color: ColorSpec,
    track: &TrackFacts,
) -> Result<ff::encoder::video::Encoder> {
    let codec = ff::encoder::find_by_name("libx264")
        .ok_or_else(|| Error::unsupported("this FFmpeg has no libx264 to encode with"))?;
    let failed = |error: ff::Error| Error::unsupported(format!("cannot open libx264: {}", av::message_of(error)));
    let mut encoder = ff::codec::Context::new_with_codec(codec).encoder().video().map_err(failed)?;
    encoder.set_width(facts.width);
    encoder.set_height(facts.height);
    encoder.set_format(pixel);
    let ticks_per_second = 1.0 / source.time_base.seconds(1);
    let fps = (ticks_per_second / source.interval.max(f64::MIN_POSITIVE)).round().clamp(1.0, 240.0) as i32;
    // Frames are numbered; the rate tells the encoder how far apart key frames may be.
    encoder.set_time_base(ff::Rational::new(1, fps));
    encoder.set_frame_rate(Some(ff::Rational::new(fps, 1)));
    encoder.set_gop((fps as u32 * 2).min(120));
    av::set_encoder_tags(&mut encoder, color, track.sample_aspect);
    let mut options = ff::Dictionary::new();
    options.set("preset", PRESET);
    options.set("crf", CRF);
    options.set("x264-params", X264_PARAMS);
    encoder.open_as_with(codec, options).map_err(failed)
}

/// Stores the packets that the encoder has ready.
pub(super) fn receive(
    encoder: &mut ff::encoder::video::Encoder,
    store: &mut PacketStore,
    packets: &mut Vec<EncodedPacket>,
) -> Result<()> {
    let mut packet = ff::Packet::empty();
    while encoder.receive_packet(&mut packet).is_ok() {
        let frame = packet.pts().and_then(|pts| u32::try_from(pts).ok());
        let frame = frame.ok_or_else(|| Error::decode("an encoded packet does not say which frame it is"))?;
        let slot = store.push(packet.data().unwrap_or_default())?;
        packets.push(EncodedPacket { slot, frame });
    }
    Ok(())
}

/// Encoded packets as those of a record, and the packet of each frame. `frame_pts` gives the time of a frame by its number
/// among the encoded ones.
pub(super) fn draft_packets(
    packets: &[EncodedPacket],
    store: &PacketStore,
    frame_pts: impl Fn(u32) -> i64,
) -> Result<(Vec<DraftPacket>, Vec<u32>)> {
    let pts: Vec<i64> = packets.iter().map(|packet| frame_pts(packet.frame)).collect();
    let dts = timestamps::decode_times(&pts);
    let mut frame_packets = vec![0; packets.len()];
    for (index, packet) in packets.iter().enumerate() {
        if let Some(slot) = frame_packets.get_mut(packet.frame as usize) {
            *slot = index as u32;
        }
    }
    let mut scanner = Scanner::new(Codec::H264, &[]);
    let mut drafts = Vec::with_capacity(packets.len());
    let mut bytes = Vec::new();
    for ((packet, &pts), &dts) in packets.iter().zip(&pts).zip(&dts) {
        store.read(packet.slot, &mut bytes)?;
        let facts = scanner.scan(&bytes);
        drafts.push(DraftPacket { slot: packet.slot, pts, dts, facts, has_frame: true, discard: false });
    }
    Ok((drafts, frame_packets))
}
