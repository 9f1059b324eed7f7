//! NAL units of H.264 and HEVC, with lengths or with start codes before them, and H.264's slice kinds (ITU-T H.264, 7.3.1).

use super::PictureFacts;

/// The NAL units of a packet, without length or start code. `length` is the bytes of a length, 0 for start codes.
/// A unit that runs past the packet ends the list.
pub(super) fn units(packet: &[u8], length: u8) -> Units<'_> {
    Units { rest: packet, length: usize::from(length) }
}

/// Iterator of [`units`].
pub(super) struct Units<'a> {
    rest: &'a [u8],
    length: usize,
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
pub(super) fn find_start_code(bytes: &[u8]) -> Option<(usize, usize)> {
    let code = bytes.windows(3).position(|window| window == [0, 0, 1])?;
    Some((code + 3, code))
}

/// H.264: an IDR picture, or a picture with `nal_ref_idc` 0 in every slice.
pub(super) fn scan_h264<'a>(units: impl Iterator<Item = &'a [u8]>) -> PictureFacts {
    let mut facts = PictureFacts::default();
    let mut slices = 0;
    for header in units.filter_map(|unit| unit.first().copied()) {
        let kind = header & 0x1f;
        if !(1..=5).contains(&kind) {
            continue;
        }
        let referenced = header & 0x60 != 0;
        if slices == 0 {
            facts.random_access = kind == 5;
            facts.disposable = !referenced;
        } else {
            facts.random_access &= kind == 5;
            facts.disposable &= !referenced;
        }
        slices += 1;
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idr_is_found_behind_parameter_sets_in_both_layouts() {
        let annex_b = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 1, 0x65, 9, 9];
        assert!(scan_h264(units(&annex_b, 0)).random_access);
        let lengths = [0, 0, 0, 2, 0x67, 1, 0, 0, 0, 3, 0x65, 9, 9];
        assert!(scan_h264(units(&lengths, 4)).random_access);
    }

    #[test]
    fn a_non_idr_picture_is_no_random_access_point_and_only_unreferenced_ones_are_disposable() {
        let referenced = [0, 0, 1, 0x41, 5];
        assert_eq!(scan_h264(units(&referenced, 0)), PictureFacts::default());
        let unreferenced = [0, 0, 1, 0x01, 5, 0, 0, 1, 0x01, 6];
        assert!(scan_h264(units(&unreferenced, 0)).disposable);
        let mixed = [0, 0, 1, 0x01, 5, 0, 0, 1, 0x21, 6];
        assert!(!scan_h264(units(&mixed, 0)).disposable);
    }

    #[test]
    fn a_length_past_the_end_stops_the_list() {
        assert_eq!(units(&[0, 9, 0x65], 2).count(), 0);
        assert_eq!(units(&[0, 1, 0x65, 0, 9, 1], 2).count(), 1);
        assert_eq!(units(&[], 4).count(), 0);
    }
}
