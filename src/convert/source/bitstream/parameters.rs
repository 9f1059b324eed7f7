//! Parameter sets of H.264, HEVC and VVC: whether those in the packets are those of the decoder's configuration.

use crate::media::Codec;
use crate::media::nal::{nal_length, units};

/// The parameter sets of a decoder configuration.
#[derive(Debug, Clone)]
pub(in crate::convert) struct ParameterSets {
    codec: Codec,
    nal_length: u8,
    known: Vec<Vec<u8>>,
}

impl ParameterSets {
    /// Those of a stream with that decoder configuration (`avcC`, `hvcC`, or units with start codes).
    pub(in crate::convert) fn new(codec: Codec, extradata: &[u8]) -> Self {
        let nal_length = nal_length(codec, extradata);
        let found: Vec<&[u8]> = match codec {
            Codec::H264 if extradata.first() == Some(&1) => avcc(extradata),
            Codec::Hevc if extradata.first() == Some(&1) => hvcc(extradata),
            _ => units(extradata, 0).collect(),
        };
        let found = found.into_iter().filter(|unit| is_parameter_set(codec, unit));
        Self { codec, nal_length, known: found.map(|unit| trimmed(unit).to_vec()).collect() }
    }

    /// True where the packet brings a parameter set that the configuration lacks, or has with other content.
    pub(in crate::convert) fn differ(&self, packet: &[u8]) -> bool {
        matches!(self.codec, Codec::H264 | Codec::Hevc | Codec::Vvc)
            && units(packet, self.nal_length)
                .filter(|unit| is_parameter_set(self.codec, unit))
                .any(|unit| self.known.iter().all(|known| known != trimmed(unit)))
    }
}

/// Without zeros behind it, which belong to the next start code.
fn trimmed(mut unit: &[u8]) -> &[u8] {
    while let [rest @ .., 0] = unit {
        unit = rest;
    }
    unit
}

fn is_parameter_set(codec: Codec, unit: &[u8]) -> bool {
    match (codec, unit) {
        (Codec::H264, [header, ..]) => matches!(header & 0x1f, 7 | 8 | 13 | 15),
        (Codec::Hevc, [header, ..]) => matches!(header >> 1 & 0x3f, 32..=34),
        // VPS, SPS and PPS; adaptation parameter sets change with every picture.
        (Codec::Vvc, [_, header, ..]) => matches!(header >> 3, 14..=16),
        _ => false,
    }
}

/// The units of `avcC` (ISO/IEC 14496-15, 5.3.3.1).
fn avcc(bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let Some(mut rest) = bytes.get(5..) else { return found };
    for mask in [0x1f, 0xff] {
        let Some((&count, behind)) = rest.split_first() else { return found };
        rest = behind;
        for _ in 0..count & mask {
            let Some(unit) = take_unit(&mut rest) else { return found };
            found.push(unit);
        }
    }
    found
}

/// The units of `hvcC` (ISO/IEC 14496-15, 8.3.3.1).
fn hvcc(bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let Some((&arrays, mut rest)) = bytes.get(22..).and_then(<[u8]>::split_first) else { return found };
    for _ in 0..arrays {
        let Some(&[_, high, low]) = rest.first_chunk::<3>() else { return found };
        rest = rest.get(3..).unwrap_or_default();
        for _ in 0..u16::from_be_bytes([high, low]) {
            let Some(unit) = take_unit(&mut rest) else { return found };
            found.push(unit);
        }
    }
    found
}

/// The next unit behind its length of two bytes.
fn take_unit<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&length, behind) = rest.split_first_chunk::<2>()?;
    let (unit, behind) = behind.split_at_checked(u16::from_be_bytes(length).into())?;
    *rest = behind;
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_the_same_content_are_the_same_in_every_layout() {
        let avcc = [1, 0x64, 0, 30, 0xff, 0xe1, 0, 3, 0x67, 1, 2, 1, 0, 2, 0x68, 3];
        let annex_b = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3];
        let (with_lengths, with_codes) =
            (ParameterSets::new(Codec::H264, &avcc), ParameterSets::new(Codec::H264, &annex_b));
        assert!(!with_codes.differ(&[0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x65, 9]));
        assert!(!with_lengths.differ(&[0, 0, 0, 3, 0x67, 1, 2, 0, 0, 0, 2, 0x65, 9]));
        assert!(with_codes.differ(&[0, 0, 1, 0x67, 1, 3, 0, 0, 1, 0x65, 9]));
        assert!(with_lengths.differ(&[0, 0, 0, 2, 0x68, 4, 0, 0, 0, 2, 0x65, 9]));
        // A configuration without sets, or one that is cut off, has none that a packet could repeat.
        assert!(ParameterSets::new(Codec::H264, &avcc[..9]).differ(&[0, 0, 0, 3, 0x67, 1, 2]));
        assert!(ParameterSets::new(Codec::H264, &[]).differ(&[0, 0, 1, 0x67, 1]));
        assert!(!ParameterSets::new(Codec::Vp9, &[]).differ(&[0, 0, 1, 0x67, 1]));
    }

    #[test]
    fn sets_of_hevc_are_found_in_its_configuration() {
        let mut hvcc = vec![1; 21];
        hvcc.extend([0xf3, 2, 0x20, 0, 1, 0, 3, 0x40, 1, 7, 0x21, 0, 1, 0, 3, 0x42, 1, 8]);
        let sets = ParameterSets::new(Codec::Hevc, &hvcc);
        assert!(!sets.differ(&[0, 0, 0, 3, 0x42, 1, 8, 0, 0, 0, 2, 0x26, 1]));
        assert!(sets.differ(&[0, 0, 0, 3, 0x42, 1, 9]));
    }
}
