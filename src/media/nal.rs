//! NAL units of H.264 and HEVC, with lengths or with start codes before them.

use super::Codec;

/// Bytes of a NAL unit's length in the packets of a stream with that decoder configuration; 0 where start codes separate units.
pub(crate) fn nal_length(codec: Codec, extradata: &[u8]) -> u8 {
    match codec {
        // `avcC` and `hvcC` start with a version of 1; start codes with a zero.
        Codec::H264 if extradata.first() == Some(&1) => extradata.get(4).map_or(4, |byte| (byte & 3) + 1),
        Codec::Hevc if extradata.first() == Some(&1) => extradata.get(21).map_or(4, |byte| (byte & 3) + 1),
        _ => 0,
    }
}

/// The NAL units of a packet, without length or start code. `length` is the bytes of a length, 0 for start codes.
/// A unit that runs past the packet ends the list.
pub(crate) fn units(packet: &[u8], length: u8) -> Units<'_> {
    Units { rest: packet, length: usize::from(length) }
}

/// Iterator of [`units`].
pub(crate) struct Units<'a> {
    rest: &'a [u8],
    length: usize,
}

impl Units<'_> {
    /// Whether the packet ended where its last unit did.
    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.length == 0 {
            let (start, _) = find_start_code(self.rest)?;
            let body = self.rest.get(start..)?;
            let end = find_start_code(body).map_or(body.len(), |(_, code)| code);
            self.rest = body.get(end..)?;
            return body.get(..end);
        }
        let size = self.rest.get(..self.length)?.iter().fold(0_usize, |size, &byte| size << 8 | usize::from(byte));
        let body = self.rest.get(self.length..)?;
        let unit = body.get(..size)?;
        self.rest = body.get(size..)?;
        Some(unit)
    }
}

/// Where the first unit starts behind its start code `00 00 01`, and where that start code starts.
pub(crate) fn find_start_code(bytes: &[u8]) -> Option<(usize, usize)> {
    let code = memchr::memmem::find(bytes, &[0, 0, 1])?;
    Some((code + 3, code))
}

/// Whether the first picture of a packet of H.264 is an IDR picture, by its first slice: nothing after it depends on what was before.
pub(crate) fn begins_by_idr(packet: &[u8], length: u8) -> bool {
    units(packet, length)
        .filter_map(|unit| unit.first())
        .map(|header| header & 0x1f)
        .find(|kind| (1..=5).contains(kind))
        == Some(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_past_the_end_stops_the_list() {
        assert_eq!(units(&[0, 9, 0x65], 2).count(), 0);
        assert_eq!(units(&[0, 1, 0x65, 0, 9, 1], 2).count(), 1);
        assert_eq!(units(&[], 4).count(), 0);
    }

    #[test]
    fn an_idr_picture_is_told_by_its_first_slice() {
        assert!(begins_by_idr(&[0, 1, 0x09, 0, 2, 0x06, 5, 0, 2, 0x65, 1], 2));
        assert!(!begins_by_idr(&[0, 1, 0x09, 0, 2, 0x41, 5, 0, 2, 0x65, 1], 2));
        assert!(!begins_by_idr(&[0, 1, 0x09], 2) && !begins_by_idr(&[], 4));
    }

    #[test]
    fn lengths_are_what_the_configuration_says() {
        assert_eq!(nal_length(Codec::H264, &[1, 0x64, 0, 30, 0xff, 0xe1]), 4);
        assert_eq!(nal_length(Codec::H264, &[1, 0x64, 0, 30, 0xfd]), 2);
        assert_eq!(nal_length(Codec::H264, &[0, 0, 0, 1, 0x67]), 0);
        let hvcc: Vec<u8> = std::iter::once(1).chain([0; 20]).chain([0xf3]).collect();
        assert_eq!(nal_length(Codec::Hevc, &hvcc), 4);
        assert_eq!(nal_length(Codec::Vp9, &[1; 30]), 0);
    }
}
