//! What the bits of a packet say about it: whether decoding can start there, whether others refer to it, whether it leads.
//! Pure functions over bytes; whatever they cannot read is simply not confirmed. No decoder, no container.

mod av1;
mod hevc;
mod mpeg;
mod nal;
mod parameters;
mod vp9;

use crate::media::Codec;
use crate::media::nal::{nal_length, units};
use av1::Av1Scanner;
pub(in crate::convert) use av1::shows_no_frame;
use nal::H264Scanner;
pub(in crate::convert) use parameters::ParameterSets;

/// What the bits of one packet say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PictureFacts {
    /// Decoding can start here (IDR, CRA, BLA, key frame, I picture with its headers, recovery point).
    pub(crate) random_access: bool,
    /// That is no more than likely, and has to be proved (H.264's pictures that are no IDR pictures).
    pub(crate) recovery: Option<Recovery>,
    /// No other picture refers to it, as far as this packet says; see `temporal_id`.
    pub(crate) disposable: bool,
    /// Shown before the random access point that it follows, and refers to pictures before that.
    pub(crate) leading: Leading,
    /// Reference frames before it are missing, and the decoder need not say so (H.264).
    pub(crate) misses_references: bool,
    /// HEVC's temporal sub-layer: only pictures of the highest one can be dropped.
    pub(crate) temporal_id: u8,
    /// Which of the decoder's eight reference slots it uses, of a codec whose pictures hand nothing on but through those; none where that is
    /// not certain.
    pub(crate) slots: Option<Slots>,
}

impl PictureFacts {
    /// True where decoding may start and this very picture comes out right.
    pub(crate) fn is_place(self) -> bool {
        self.random_access && self.recovery.is_none_or(|recovery| recovery.pictures == 0)
    }
}

/// What is said of a random access point that nothing in the bitstream makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// How many reference pictures after this one, in decode order, the first is that comes out right: 0 is this one. All that is shown
    /// after it comes out right as well.
    pub(crate) pictures: u32,
    /// A message in the stream says it.
    pub(crate) is_said: bool,
}

/// Reference slots as bits. What is not certain to be written must be among the read ones too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Slots {
    /// Those of which it may need what stood there before it.
    pub(crate) reads: u8,
    /// Those that hold it, or what it shows again, afterwards.
    pub(crate) writes: u8,
}

/// How a packet stands to the random access point that it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Leading {
    /// It ends the run of leading pictures.
    #[default]
    No,
    /// It leads where no picture but such ones stand between it and the random access point (B pictures of MPEG).
    UntilAnchor,
    /// It says itself that it leads (RASL pictures of HEVC).
    Always,
}

/// Reads packets of one codec, in decode order from a random access point on.
#[derive(Debug, Clone)]
pub(crate) struct Scanner {
    codec: Codec,
    /// Bytes of a NAL unit's length, 0 where NAL units are separated by start codes.
    nal_length: u8,
    h264: H264Scanner,
    av1: Av1Scanner,
}

impl Scanner {
    /// For packets of a stream with that decoder configuration.
    pub(crate) fn new(codec: Codec, extradata: &[u8]) -> Self {
        let h264 = if codec == Codec::H264 { H264Scanner::new(extradata) } else { H264Scanner::default() };
        Self { codec, nal_length: nal_length(codec, extradata), h264, av1: Av1Scanner::default() }
    }

    /// What `packet` says of itself.
    pub(crate) fn scan(&mut self, packet: &[u8]) -> PictureFacts {
        match self.codec {
            Codec::H264 => self.h264.scan(units(packet, self.nal_length)),
            Codec::Hevc => hevc::scan(units(packet, self.nal_length)),
            Codec::Mpeg1 | Codec::Mpeg2 => mpeg::scan_mpeg12(packet),
            Codec::Mpeg4 => mpeg::scan_mpeg4(packet),
            Codec::Vp9 => vp9::scan(packet),
            Codec::Av1 => self.av1.scan(packet),
            Codec::Mjpeg => {
                PictureFacts { random_access: packet.starts_with(&[0xff, 0xd8]), ..PictureFacts::default() }
            }
            Codec::Png => {
                PictureFacts { random_access: packet.starts_with(b"\x89PNG\r\n\x1a\n"), ..PictureFacts::default() }
            }
            _ => PictureFacts::default(),
        }
    }
}

/// Bits of a byte string, most significant first; `None` past the end.
#[derive(Debug, Clone)]
struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.position / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Some(value)
    }

    fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    /// Passes over bits; what is taken next says whether there were as many.
    fn skip(&mut self, count: usize) {
        self.position = self.position.saturating_add(count);
    }

    /// An Exp-Golomb number of H.264 (9.1).
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        if zeros > 31 {
            return None;
        }
        Some((1 << zeros) - 1 + self.take(zeros)?)
    }

    /// Passes over a number of AV1's `uvlc`.
    fn skip_uvlc(&mut self) -> Option<()> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
        }
        // Of 32 and more, decoders and the specification do not agree on what follows.
        (zeros < 32).then(|| self.skip(zeros))
    }

    /// Whether no more bits were passed than there are.
    fn is_inside(&self) -> bool {
        self.position <= self.bytes.len().saturating_mul(8)
    }
}
