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
            self.max_references = self.max_references.max(max_references(body).unwrap_or(u32::MAX));
        }
    }

    /// An IDR picture is a random access point. So may be a picture with a recovery point, and an I picture where there are few
    /// references: these have to be proved. A picture with `nal_ref_idc` 0 in every slice is disposable.
    pub(super) fn scan<'a>(&mut self, units: impl Iterator<Item = &'a [u8]>) -> PictureFacts {
        let mut slices = 0;
        let (mut is_idr, mut is_intra, mut is_disposable) = (true, true, true);
        let mut said = None;
        for unit in units {
            let Some((&header, body)) = unit.split_first() else { continue };
            match header & 0x1f {
                kind @ 1..=5 => {
                    slices += 1;
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

/// Whether a slice header says that all its macroblocks are intra coded.
fn is_i_slice(body: &[u8]) -> bool {
    let mut head = [0; 12];
    for (place, byte) in head.iter_mut().zip(unescaped(body)) {
        *place = byte;
    }
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

/// `max_num_ref_frames` of a sequence parameter set.
fn max_references(body: &[u8]) -> Option<u32> {
    let bytes: Vec<u8> = unescaped(body).collect();
    let mut bits = Bits::new(&bytes);
    let profile = bits.take(8)?;
    // Constraints and level.
    bits.skip(16);
    let _set = bits.ue()?;
    if [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(&profile) {
        let chroma = bits.ue()?;
        if chroma == 3 {
            bits.skip(1);
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
    let _frame_number_bits = bits.ue()?;
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
    bits.ue()
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
}
