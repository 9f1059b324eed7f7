//! H.264 that is cheap to enter and cheap to decode, by libx264, and what a decoder makes of it: each packet is decoded as
//! soon as it is there, and compared with the picture that it was made from.
//!
//! Closed GOPs of a fixed length, each begun by an IDR picture, seven B-frames between anchors, to which nothing refers, so that a
//! reader drops those that it does not want. One reference, CAVLC in the place of CABAC, no deblocking, no weighted prediction, no
//! partitions of inter blocks below 16x8: single threaded and bit exact, so that the same pictures give the same bytes.
//!
//! What that trades, at 256 lines and CRF 18 over eight clips of different kinds: seven B-frames in the place of three take 0.3 dB at the same
//! size, and windows at random places decode 1.62 packets a frame and not 1.95 at stride 4, 1.32 and not 1.51 at stride 2. CAVLC
//! takes 8 % more bytes and 28 % less decoding time than CABAC; no deblocking another 28 % less time and 0.16 dB; no small partitions
//! 2 to 8 % less time and 4 % more bytes. Without psychovisual decisions, which put grain where a viewer misses it, the same CRF takes 6 %
//! fewer bytes at 0.03 dB more. More search (trellis 2, subme 9, umh) would take 2 % fewer and 3.5 times the encoding time. GOPs of 8 in the place of 16 take 21 % more bytes, of 32 10 % less, and windows of 16 frames at
//! stride 1 decode 1.12, 1.17 and 1.29 packets a frame (measured with three B-frames). HEVC and AV1 of the same size take 1.85 and 1.88 times the
//! decoding time; MJPEG, which has no GOPs to enter, 1.25 times at 6.7 times the bytes. CRF 20 and 22 in the place of 18 take 0.79 and 0.62 of the
//! bytes, 0.96 and 0.90 of the time, and 1.4 and 2.8 dB.

use super::quality::Quality;
use crate::convert::clip::reencode;
use crate::convert::clip::reencode::EncodedPacket;
use crate::convert::source::ingest::frame_crc;
use crate::convert::source::packet_spill::PacketStore;
use crate::ffmpeg;
use crate::ffmpeg::Decoder;
use crate::ffmpeg::Fill;
use crate::media::{ColorSpec, PixelFormat};
use crate::{Error, ErrorKind, Result};
use ffmpeg_next as ff;
use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

/// Speed against size.
const PRESET: &str = "medium";
/// What the module's docs say. No macroblock tree, which is not deterministic in every build (see `reencode`).
const X264_PARAMS: &str = "scenecut=0:open-gop=0:bframes=7:b-adapt=0:b-pyramid=none:ref=1:cabac=0:no-deblock=1:\
    weightp=0:weightb=0:partitions=i4x4,i8x8:psy=0:mbtree=0:rc-lookahead=0:sync-lookahead=0";

/// Pictures as they are given and stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct PictureKind {
    /// Height and width, even.
    pub(super) size: (u32, u32),
    pub(super) color: ColorSpec,
}

/// Everything that the encoder made.
pub(super) struct Encoded {
    pub(super) kind: PictureKind,
    pub(super) store: PacketStore,
    pub(super) packets: Vec<EncodedPacket>,
    pub(super) parameters: ff::codec::Parameters,
    /// Checksum of each decoded picture.
    pub(super) crcs: Vec<u32>,
    pub(super) quality: Quality,
    /// Processor time that decoding its packets took.
    pub(super) decoding: Duration,
}

/// See the module's docs.
pub(super) struct Encoder {
    inner: ff::encoder::video::Encoder,
    decoder: Decoder,
    decoded: ff::frame::Video,
    /// Pictures that the decoder has not given back, oldest first, and memory for others.
    waiting: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    /// Packets that the decoder was fed.
    num_fed: usize,
    num_sent: usize,
    bytes: Vec<u8>,
    out: Encoded,
}

fn failed(error: ff::Error) -> Error {
    Error::decode(format!("cannot encode: {}", ffmpeg::message_of(error)))
}

impl Encoder {
    /// An encoder of pictures of that kind. Its packets may spill into the folder of `mp4`.
    pub(super) fn open(kind: PictureKind, gop_frames: u32, crf: f64, mp4: &Path) -> Result<Self> {
        let codec = ff::encoder::find_by_name("libx264")
            .ok_or_else(|| Error::unsupported("this FFmpeg has no libx264 to encode with"))?;
        let closed =
            |error: ff::Error| Error::unsupported(format!("cannot open libx264: {}", ffmpeg::message_of(error)));
        let mut encoder = ff::codec::Context::new_with_codec(codec).encoder().video().map_err(closed)?;
        encoder.set_width(kind.size.1);
        encoder.set_height(kind.size.0);
        encoder.set_format(ff::format::Pixel::YUV420P);
        // Frames are numbered: no time enters the bytes.
        encoder.set_time_base(ff::Rational::new(1, 25));
        encoder.set_frame_rate(Some(ff::Rational::new(25, 1)));
        encoder.set_gop(gop_frames);
        ffmpeg::set_encoder_tags(&mut encoder, kind.color, (1, 1));
        let mut options = ff::Dictionary::new();
        options.set("preset", PRESET);
        options.set("crf", &crf.to_string());
        options.set("x264-params", &format!("keyint={gop_frames}:min-keyint={gop_frames}:{X264_PARAMS}"));
        for (name, code, known) in [
            ("color_primaries", kind.color.primaries, matches!(kind.color.primaries, 1 | 4..=12 | 22)),
            ("color_trc", kind.color.transfer, matches!(kind.color.transfer, 1 | 4..=18)),
        ] {
            if known {
                options.set(name, &code.to_string());
            }
        }
        let inner = encoder.open_as_with(codec, options).map_err(closed)?;
        let parameters = ff::codec::Parameters::from(&inner);
        let decoder = Decoder::new(&parameters, ff::Rational::new(1, 25), 0, Fill::Gray)?;
        Ok(Self {
            inner,
            decoder,
            decoded: ff::frame::Video::empty(),
            waiting: VecDeque::new(),
            spare: Vec::new(),
            num_fed: 0,
            num_sent: 0,
            bytes: Vec::new(),
            out: Encoded {
                kind,
                store: PacketStore::new(mp4),
                packets: Vec::new(),
                parameters,
                crcs: Vec::new(),
                quality: Quality::default(),
                decoding: Duration::ZERO,
            },
        })
    }

    /// Takes the next picture, I420.
    pub(super) fn push(&mut self, picture: &[u8]) -> Result<()> {
        let (height, width) = self.out.kind.size;
        let mut frame = ff::frame::Video::new(ff::format::Pixel::YUV420P, width, height);
        if frame.planes() < 3 {
            return Err(Error::new(ErrorKind::OutOfMemory, format!("no memory for a picture of {width}x{height}")));
        }
        let mut rest = picture;
        for plane in 0..3 {
            let (w, h) = PixelFormat::YUV420P.plane_size(plane, width, height);
            let samples = w as usize * h as usize;
            let (this, after) = rest.split_at_checked(samples).ok_or_else(|| Error::invalid("picture is too short"))?;
            rest = after;
            let stride = frame.stride(plane).max(1);
            let rows = frame.data_mut(plane).chunks_mut(stride).zip(this.chunks_exact(w as usize));
            rows.for_each(|(out, row)| out.iter_mut().zip(row).for_each(|(out, &sample)| *out = sample));
        }
        frame.set_pts(Some(self.num_sent as i64));
        self.num_sent += 1;
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(picture);
        self.waiting.push_back(kept);
        self.inner.send_frame(&frame).map_err(failed)?;
        self.receive()
    }

    /// What was made of all pictures.
    pub(super) fn finish(mut self) -> Result<Encoded> {
        self.inner.send_eof().map_err(failed)?;
        self.receive()?;
        self.decoder.finish(false);
        self.compare()?;
        self.out.decoding = self.decoder.took();
        let (packets, frames, pictures) = (self.out.packets.len(), self.out.crcs.len(), self.num_sent);
        if packets != pictures || frames != pictures {
            let message = format!("the encoder gave {packets} packets and {frames} frames for {pictures} pictures");
            return Err(Error::decode(message));
        }
        Ok(self.out)
    }

    /// Takes the packets that are ready, and decodes them.
    fn receive(&mut self) -> Result<()> {
        reencode::receive(&mut self.inner, &mut self.out.store, &mut self.out.packets)?;
        while let Some(&packet) = self.out.packets.get(self.num_fed) {
            self.num_fed += 1;
            self.out.store.read(packet.slot, &mut self.bytes)?;
            let mut coded = ff::Packet::copy(&self.bytes);
            coded.set_pts(Some(i64::from(packet.frame)));
            coded.set_dts(Some(i64::from(packet.frame)));
            let refused =
                |error| Error::decode(format!("an encoded packet does not decode: {}", ffmpeg::message_of(error)));
            self.decoder.send(&coded).map_err(refused)?;
            self.compare()?;
        }
        Ok(())
    }

    /// Compares the frames that the decoder gives with the pictures that they were made from.
    fn compare(&mut self) -> Result<()> {
        while self.decoder.receive(&mut self.decoded).map_err(failed)? {
            let number = self.out.crcs.len();
            let picture = self.waiting.pop_front();
            let (Some(picture), Some(view)) = (picture, ffmpeg::view(&self.decoded)) else {
                return Err(Error::decode(format!("encoded frame {number} is not of the picture's kind")));
            };
            if self.decoded.pts() != Some(number as i64) || (view.height, view.width) != self.out.kind.size {
                return Err(Error::decode(format!("encoded frame {number} comes out of order or in another size")));
            }
            self.out.crcs.push(frame_crc(&view));
            self.out.quality.add(&picture, &view);
            self.spare.push(picture);
        }
        Ok(())
    }
}
