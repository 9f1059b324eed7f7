//! Encoding anew what an MP4 cannot hold: H.264 by libx264, the same frames at the same times. Single threaded and bit exact, so
//! that the same source gives the same bytes.
//!
//! What a source keeps without loss stays without loss, and so do RGB and gray, whose levels often mean something: the stored
//! clip is then proved against the source's own pictures. Of other sources, which are lossy video already, next to all
//! levels of the RGB are within two of the source's, and files stay in the profiles that hardware decodes. Of 10 frames of VP8, 1080 lines,
//! 99.5 % were (98.2 % at CRF 6, 93.2 % at CRF 12), at most 7 off (36, 43), in 1.95 MB (1.58, 0.76; without loss 3.3).

use super::conform::Conformer;
use super::encoder_target::{PictureMaker, Target};
use super::plane_reader::PlaneReader;
use super::record_builder::DraftPacket;
use crate::convert::source::bitstream::Scanner;
use crate::convert::source::ingest;
use crate::convert::source::ingest::{Range, frame_crc};
use crate::convert::source::opened::Source;
use crate::convert::source::packet_spill::{PacketStore, Slot};
use crate::convert::source::timestamps;
use crate::ffmpeg;
use crate::ffmpeg::pixel_layout::PixelLayout;
use crate::ffmpeg::{FrameFacts, TrackFacts};
use crate::media::{Codec, ColorModel, ColorSpec, PixelFormat};
use crate::{Error, Result};
use ffmpeg_next as ff;

/// Quantizer of what is lossy already, at 8 bits; each further bit is 6 more. 0 is without loss.
const QP: u32 = 8;
/// Finer chroma, because a level of it is up to two of blue; no psychovisual decisions, which trade levels for grain.
const LOSSY_PARAMS: &str = ":chroma-qp-offset=-6:psy=0";
/// Speed against size.
const PRESET: &str = "veryfast";
/// Closed GOPs. And no macroblock tree: with it, libx264 (build 164) reads memory that nobody wrote, for sizes that are no
/// multiple of 16, and gives other bytes every time (seen by running it under different values of MALLOC_PERTURB_).
const X264_PARAMS: &str = "open-gop=0:mbtree=0";

/// An encoded packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EncodedPacket {
    pub(crate) slot: Slot,
    /// Number of its frame among the encoded ones.
    pub(crate) frame: u32,
}

/// What is known of the pictures to be encoded.
pub(crate) struct Picture<'a> {
    pub(crate) facts: &'a FrameFacts,
    pub(crate) color: ColorSpec,
    pub(crate) track: &'a TrackFacts,
}

/// What the encoder made.
pub(crate) struct Encoded {
    pub(crate) packets: Vec<EncodedPacket>,
    pub(crate) parameters: ff::codec::Parameters,
    pub(crate) pixel_format: PixelFormat,
    pub(crate) color: ColorSpec,
    /// Checksum of each picture, where it was encoded without loss.
    pub(crate) crcs: Option<Vec<u32>>,
}

/// Decodes `range` of the source again and encodes its frames `wanted`, made alike by `conformer`.
pub(crate) fn encode(
    source: &mut Source,
    range: Range,
    wanted: std::ops::Range<usize>,
    picture: &Picture<'_>,
    conformer: &mut Conformer,
    store: &mut PacketStore,
    cancel: &dyn Fn() -> bool,
) -> Result<Encoded> {
    let Picture { facts, color, track } = *picture;
    let planar = PixelLayout::of_name(&facts.format)?.planar();
    let size = (facts.width, facts.height);
    let target = Target::new(planar, size, color)?;
    let is_exact = source.facts.is_lossless || planar.model != ColorModel::Yuv;
    let mut reader = PlaneReader::new();
    let mut maker = PictureMaker::new(planar, size, color, target);
    let mut encoder = open(source, facts, &target, is_exact, track)?;
    let parameters = ff::codec::Parameters::from(&encoder);
    let mut packets = Vec::new();
    let mut crcs = Vec::new();
    let failed = |error: ff::Error| {
        Error::new(crate::ErrorKind::Decode, format!("cannot encode: {}", ffmpeg::message_of(error)))
    };
    let mut sink = |&ingest::Given { number, frame, .. }: &ingest::Given<'_>| -> Result<()> {
        if !wanted.contains(&number) {
            return Ok(());
        }
        let frame = conformer.conform(frame)?;
        let view = reader.view(frame)?;
        let mut picture = maker.make(&view)?;
        if is_exact {
            let crc = match target.format.model {
                ColorModel::Gbr => Some(frame_crc(&view)),
                ColorModel::Gray | ColorModel::Yuv => ffmpeg::view(&picture).map(|view| frame_crc(&view)),
            };
            crcs.push(crc.ok_or_else(|| Error::decode("a picture for the encoder has no planes"))?);
        }
        picture.set_pts(Some((number - wanted.start) as i64));
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
    let crcs = is_exact.then_some(crcs);
    Ok(Encoded { packets, parameters, pixel_format: target.format, color: target.color, crcs })
}

/// From `frame`'s format to another one, in the same size.
pub(crate) fn scaling(
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
    target: &Target,
    is_exact: bool,
    track: &TrackFacts,
) -> Result<ff::encoder::video::Encoder> {
    let name = target.encoder;
    let codec = ff::encoder::find_by_name(name)
        .ok_or_else(|| Error::unsupported(format!("this FFmpeg has no {name} to encode with")))?;
    let failed = |error: ff::Error| Error::unsupported(format!("cannot open {name}: {}", ffmpeg::message_of(error)));
    let mut encoder = ff::codec::Context::new_with_codec(codec).encoder().video().map_err(failed)?;
    encoder.set_width(facts.width);
    encoder.set_height(facts.height);
    encoder.set_format(target.pixel);
    let ticks_per_second = 1.0 / source.time_base.seconds(1);
    let fps = (ticks_per_second / source.interval.max(f64::MIN_POSITIVE)).round().clamp(1.0, 240.0) as i32;
    // Frames are numbered; the rate tells the encoder how far apart key frames may be.
    encoder.set_time_base(ff::Rational::new(1, fps));
    encoder.set_frame_rate(Some(ff::Rational::new(fps, 1)));
    encoder.set_gop((fps as u32 * 2).min(120));
    ffmpeg::set_encoder_tags(&mut encoder, target.color, track.sample_aspect);
    let qp = if is_exact { 0 } else { QP + 6 * u32::from(target.format.depth - 8) };
    let lossy = if is_exact { "" } else { LOSSY_PARAMS };
    let mut options = ff::Dictionary::new();
    options.set("preset", PRESET);
    options.set("qp", &qp.to_string());
    options.set("x264-params", &format!("{X264_PARAMS}{lossy}"));
    encoder.open_as_with(codec, options).map_err(failed)
}

/// Stores the packets that the encoder has ready.
pub(crate) fn receive(
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
pub(crate) fn draft_packets(
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
        let is_key = facts.is_place() && facts.recovery.is_none();
        drafts.push(DraftPacket { slot: packet.slot, pts, dts, is_key, has_frame: true, discard: false });
    }
    Ok((drafts, frame_packets))
}
