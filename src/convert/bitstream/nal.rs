//! H.264's slice kinds (ITU-T H.264, 7.3.1).

use super::PictureFacts;

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
    use crate::media::nal::units;

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
}
