//! H.264's pictures (ITU-T H.264, 7.3 and annex D): kinds of slices, recovery points, and how many reference frames there are.

use super::{Bits, PictureFacts, Recovery};
use crate::media::Codec;
use crate::media::nal::{nal_length, units};

/// A gradual refresh of more pictures than this is no place to start.
const MAX_RECOVERY: u32 = 1024;

/// With at most so many reference frames libavcodec (5.1 to 7.1) shows what follows an I picture that nothing marks, whatever it
/// decoded before. With more of them that depends on what else was decoded.
const FEW_REFERENCES: u32 = 2;

/// Reads packets of H.264 one after another.
#[derive(Debug, Clone, Default)]
pub(super) struct H264Scanner {
    /// The most reference frames that a sequence parameter set allows; 0 before one was read.
    max_references: u32,
    numbers: FrameNumbers,
}

/// How slice headers number the reference frames, and the number of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum FrameNumbers {
    /// No sequence parameter set was read.
    #[default]
    Unknown,
    Known {
        layout: NumberLayout,
        last: Option<u32>,
    },
    /// The sets differ, and which one a slice goes by is not followed.
    Several,
}

/// Where a slice header has its frame's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NumberLayout {
    /// Bits of the number, 4 to 16.
    bits: u8,
    /// Each colour plane has its slices, which say of which they are.
    has_planes: bool,
}

impl FrameNumbers {
    fn note(&mut self, layout: NumberLayout) {
        *self = match *self {
            Self::Unknown => Self::Known { layout, last: None },
            Self::Known { layout: known, last } if known == layout => Self::Known { layout, last },
            Self::Known { .. } | Self::Several => Self::Several,
        };
    }

    /// Takes in a picture's first slice. True where reference frames are missing before it: numbers rise by one from
    /// each reference frame to the next picture (7.4.3); the second field has its frame's. libavcodec says nothing of
    /// it, and puts other pictures in their places, which depend on whether pictures that nothing refers to were
    /// decoded.
    fn has_gap(&mut self, body: &[u8], is_idr: bool, is_reference: bool) -> bool {
        let Self::Known { layout, last } = self else { return false };
        let Some(number) = layout.number(body) else { return false };
        let is_next = |last: u32| number == last || number == (last + 1) & ((1 << layout.bits) - 1);
        let has_gap = !is_idr && last.is_some_and(|last| !is_next(last));
        if is_reference {
            *last = Some(number);
        }
        has_gap
    }
}

impl NumberLayout {
    fn number(self, body: &[u8]) -> Option<u32> {
        let head = slice_head(body);
        let mut bits = Bits::new(&head);
        let _first_macroblock_kind_set = (bits.ue()?, bits.ue()?, bits.ue()?);
        if self.has_planes {
            bits.skip(2);
        }
        bits.take(self.bits.into())
    }
}

impl H264Scanner {
    /// For a stream with that decoder configuration.
    pub(super) fn new(extradata: &[u8]) -> Self {
        let mut this = Self::default();
        if nal_length(Codec::H264, extradata) == 0 {
            units(extradata, 0).for_each(|unit| this.note_parameters(unit));
            return this;
        }
        // `avcC`: the number of sets, and before each its length in two bytes.
        let count = extradata.get(5).map_or(0, |byte| usize::from(byte & 0x1f));
        units(extradata.get(6..).unwrap_or_default(), 2).take(count).for_each(|unit| this.note_parameters(unit));
        this
    }

    fn note_parameters(&mut self, unit: &[u8]) {
        if let Some((&header, body)) = unit.split_first()
            && header & 0x1f == 7
        {
            let set = SequenceSet::parse(body);
            self.max_references = self.max_references.max(set.map_or(u32::MAX, |set| set.max_references));
            if let Some(set) = set {
                self.numbers.note(set.numbers);
            }
        }
    }

    /// An IDR picture is a random access point. So may be a picture with a recovery point, and an I picture where there are few
    /// references: these have to be proved. A picture with `nal_ref_idc` 0 in every slice is disposable.
    pub(super) fn scan<'a>(&mut self, units: impl Iterator<Item = &'a [u8]>) -> PictureFacts {
        let mut slices = 0;
        let (mut is_idr, mut is_intra, mut is_disposable) = (true, true, true);
        let (mut said, mut first) = (None, None);
        for unit in units {
            let Some((&header, body)) = unit.split_first() else { continue };
            match header & 0x1f {
                kind @ 1..=5 => {
                    slices += 1;
                    first = first.or(Some(body));
                    is_idr &= kind == 5;
                    is_intra &= is_i_slice(body);
                    is_disposable &= header & 0x60 == 0;
                }
                6 if slices == 0 && said.is_none() => said = recovery_point(body),
                7 => self.note_parameters(unit),
                _ => {}
            }
        }
        if slices == 0 {
            return PictureFacts::default();
        }
        let misses_references = first.is_some_and(|body| self.numbers.has_gap(body, is_idr, !is_disposable));
        let is_few = (1..=FEW_REFERENCES).contains(&self.max_references);
        let recovery = match said.filter(|&pictures| pictures <= MAX_RECOVERY) {
            _ if is_idr || is_disposable => None,
            Some(pictures) => Some(Recovery { pictures, is_said: true }),
            None => (is_intra && is_few).then_some(Recovery { pictures: 0, is_said: false }),
        };
        PictureFacts {
            random_access: is_idr || recovery.is_some(),
            recovery,
            disposable: is_disposable,
            misses_references,
            ..PictureFacts::default()
        }
    }
}

/// Bytes without the ones that keep start codes from appearing within a unit.
fn unescaped(body: &[u8]) -> impl Iterator<Item = u8> {
    let mut zeros = 0;
    body.iter().copied().filter(move |&byte| {
        let is_escape = zeros >= 2 && byte == 3;
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        !is_escape
    })
}

/// The first bytes of a slice, enough for its number.
fn slice_head(body: &[u8]) -> [u8; 24] {
    let mut head = [0; 24];
    for (place, byte) in head.iter_mut().zip(unescaped(body)) {
        *place = byte;
    }
    head
}

/// Whether a slice header says that all its macroblocks are intra coded.
fn is_i_slice(body: &[u8]) -> bool {
    let head = slice_head(body);
    let mut bits = Bits::new(&head);
    let kind = bits.ue().and_then(|_first_macroblock| bits.ue());
    matches!(kind, Some(2 | 7))
}

/// How many reference pictures after this one, in decode order, the first is that comes out right; `None` where the SEI unit has no
/// recovery point.
fn recovery_point(body: &[u8]) -> Option<u32> {
    let bytes: Vec<u8> = unescaped(body).collect();
    let mut rest = bytes.as_slice();
    while rest.len() > 2 {
        let (kind, behind_kind) = sei_number(rest)?;
        let (size, payload) = sei_number(behind_kind)?;
        if kind == 6 {
            return Bits::new(payload.get(..size)?).ue();
        }
        rest = payload.get(size..)?;
    }
    None
}

/// A number as SEI messages have it, and what follows it: each byte of 255 says that there is more to add.
fn sei_number(mut bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut number = 0_usize;
    loop {
        let (&byte, rest) = bytes.split_first()?;
        (number, bytes) = (number + usize::from(byte), rest);
        if byte != 255 {
            return Some((number, bytes));
        }
    }
}

/// What a sequence parameter set says (7.3.2.1.1).
#[derive(Debug, Clone, Copy)]
struct SequenceSet {
    /// `max_num_ref_frames`.
    max_references: u32,
    numbers: NumberLayout,
}

impl SequenceSet {
    fn parse(body: &[u8]) -> Option<Self> {
        let bytes: Vec<u8> = unescaped(body).collect();
        let mut bits = Bits::new(&bytes);
        let profile = bits.take(8)?;
        // Constraints and level.
        bits.skip(16);
        let _set = bits.ue()?;
        let mut has_planes = false;
        if [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(&profile) {
            let chroma = bits.ue()?;
            if chroma == 3 {
                has_planes = bits.flag()?;
            }
            let _depths = (bits.ue()?, bits.ue()?);
            bits.skip(1);
            if bits.flag()? {
                for list in 0..if chroma == 3 { 12 } else { 8 } {
                    if bits.flag()? {
                        skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        let bits_less_four = bits.ue()?;
        if bits_less_four > 12 {
            return None;
        }
        match bits.ue()? {
            0 => drop(bits.ue()?),
            1 => {
                bits.skip(1);
                let _offsets = (bits.ue()?, bits.ue()?);
                for _ in 0..bits.ue()?.min(255) {
                    let _offset = bits.ue()?;
                }
            }
            _ => {}
        }
        let numbers = NumberLayout { bits: bits_less_four as u8 + 4, has_planes };
        Some(Self { max_references: bits.ue()?, numbers })
    }
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8, 8);
    for _ in 0..size {
        if next != 0 {
            let code = i64::from(bits.ue()?);
            let delta = if code % 2 == 0 { -(code / 2) } else { code / 2 + 1 };
            next = (last + delta).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence parameter set of the baseline profile with that many reference frames, 0 to 2, and no more than that.
    fn parameters(references: u8) -> [u8; 6] {
        // Set 0, four bits of frame number, order count of type 2, references: 1 1 011 and 1, 010 or 011.
        let bits = 0b1101_1000 | [0b100, 0b010, 0b011][usize::from(references)];
        [0x67, 66, 0, 30, bits, 0x80]
    }

    fn scan(bytes: &[u8]) -> PictureFacts {
        H264Scanner::default().scan(units(bytes, 0))
    }

    #[test]
    fn an_idr_is_found_behind_parameter_sets_in_both_layouts() {
        let annex_b = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 1, 0x65, 9, 9];
        let facts = scan(&annex_b);
        assert!(facts.random_access && facts.recovery.is_none());
        let lengths = [0, 0, 0, 2, 0x67, 1, 0, 0, 0, 3, 0x65, 9, 9];
        assert!(H264Scanner::default().scan(units(&lengths, 4)).random_access);
    }

    #[test]
    fn only_unreferenced_pictures_are_disposable() {
        assert_eq!(scan(&[0, 0, 1, 0x41, 0x9a, 5]), PictureFacts::default());
        assert!(scan(&[0, 0, 1, 0x01, 5, 0, 0, 1, 0x01, 6]).disposable);
        assert!(!scan(&[0, 0, 1, 0x01, 5, 0, 0, 1, 0x21, 6]).disposable);
    }

    #[test]
    fn a_recovery_point_is_found_behind_other_messages() {
        // User data of 256 bytes, then a count of 0 and one of 5; with exact match.
        let user = [&[5, 255, 1][..], &[0xaa; 256]].concat();
        for (payload, pictures) in [(0b1100_0100, 0), (0b0011_0100, 5)] {
            let sei = [&[0, 0, 1, 0x06], user.as_slice(), &[6, 1, payload, 0x80]].concat();
            let picture = [sei.as_slice(), &[0, 0, 1, 0x41, 0x9a, 0xff]].concat();
            let facts = scan(&picture);
            assert!(facts.random_access, "{pictures}");
            assert_eq!(facts.recovery, Some(Recovery { pictures, is_said: true }));
            let disposable = [sei.as_slice(), &[0, 0, 1, 0x01, 0x9a, 0xff]].concat();
            assert!(!scan(&disposable).random_access);
        }
        // Cut off, and without a picture.
        assert_eq!(recovery_point(&[6, 9, 0x80]), None);
        assert_eq!(scan(&[0, 0, 1, 6, 6, 1, 0x80, 0x80]), PictureFacts::default());
    }

    #[test]
    fn an_i_picture_needs_few_reference_frames() {
        // First macroblock 0, slice kind 7 and 5.
        let (intra, inter) = ([0x41, 0b1000_1000, 0xff], [0x41, 0b1001_1000, 0xff]);
        for references in 0..3 {
            let set = parameters(references);
            let mut scanner = H264Scanner::new(&[&[0, 0, 1], &set[..]].concat());
            assert_eq!(scanner.max_references, u32::from(references));
            let facts = scanner.scan([&intra[..]].into_iter());
            assert_eq!(facts.random_access, references > 0, "{references} references");
            assert!(!scanner.scan([&inter[..]].into_iter()).random_access);
            assert!(!scanner.scan([&intra[..], &inter[..]].into_iter()).random_access);
            let avcc = [&[1, 66, 0, 30, 0xff, 0xe1, 0, 6], &set[..], &[1, 0, 1, 0x68]].concat();
            assert_eq!(H264Scanner::new(&avcc).max_references, u32::from(references));
        }
        let mut scanner = H264Scanner::new(&[&[0, 0, 1], &parameters(1)[..]].concat());
        scanner.scan([&[0x67, 66, 0, 30, 0b1101_1001][..], &intra[..]].into_iter());
        assert_eq!(scanner.max_references, u32::MAX, "a set that cannot be read allows anything");
    }

    #[test]
    fn a_gap_in_the_numbers_of_reference_frames_is_found() {
        // Macroblock 0, kind 0 and set 0 are a bit each; then the number.
        let slice = |header: u8, number: u8| [header, 0b1110_0000 | number << 1 | 1];
        let mut scanner = H264Scanner::new(&[&[0, 0, 1], &parameters(1)[..]].concat());
        let mut misses = |header, number| {
            let unit = slice(header, number);
            scanner.scan(std::iter::once(&unit[..])).misses_references
        };
        let (idr, reference, other) = (0x65, 0x41, 0x01);
        assert!(!misses(reference, 7), "nothing is known of what was before the first");
        for (header, number, has_gap) in [
            (idr, 0, false),
            (reference, 1, false),
            // The second field of the same frame.
            (reference, 1, false),
            (other, 2, false),
            (other, 2, false),
            (reference, 2, false),
            (reference, 4, true),
            (reference, 5, false),
            // After a picture that nothing refers to the number stays.
            (other, 6, false),
            (reference, 7, true),
            (idr, 0, false),
            (reference, 15, true),
            (reference, 0, false),
            (other, 3, true),
        ] {
            assert_eq!(misses(header, number), has_gap, "{header:x} {number}");
        }
        let mut scanner = H264Scanner::new(&[&[0, 0, 1], &parameters(1)[..]].concat());
        // Five bits of number: a slice does not say simply which of the sets it goes by.
        let longer = [0x67, 66, 0, 30, 0b1010_0110, 0b1010_0000];
        for unit in [&longer[..], &slice(idr, 0), &slice(reference, 9)] {
            assert!(!scanner.scan(std::iter::once(unit)).misses_references);
        }
    }
}
