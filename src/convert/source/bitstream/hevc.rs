//! HEVC picture kinds from NAL unit headers (ITU-T H.265, 7.3.1.2 and table 7-1).

use super::{Leading, PictureFacts};

/// IDR, CRA and BLA pictures are random access points, RASL pictures lead, `_N` pictures of the highest sub-layer are disposable.
pub(super) fn scan<'a>(units: impl Iterator<Item = &'a [u8]>) -> PictureFacts {
    for unit in units {
        let [first, second, ..] = unit else { continue };
        let kind = first >> 1 & 0x3f;
        let layer = (first & 1) << 5 | second >> 3;
        if kind >= 32 || layer != 0 {
            continue;
        }
        return PictureFacts {
            random_access: (16..=21).contains(&kind),
            disposable: kind < 16 && kind % 2 == 0,
            leading: if kind == 8 || kind == 9 { Leading::Always } else { Leading::No },
            temporal_id: (second & 7).saturating_sub(1),
            ..PictureFacts::default()
        };
    }
    PictureFacts::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(kind: u8, temporal_id: u8) -> [u8; 3] {
        [kind << 1, temporal_id + 1, 0]
    }

    #[test]
    fn kinds_are_told_apart() {
        for (kind, random_access, leading, disposable) in [
            (19, true, Leading::No, false),
            (20, true, Leading::No, false),
            (21, true, Leading::No, false),
            (16, true, Leading::No, false),
            (9, false, Leading::Always, false),
            (8, false, Leading::Always, true),
            (7, false, Leading::No, false),
            (1, false, Leading::No, false),
            (0, false, Leading::No, true),
        ] {
            let (parameters, picture) = (unit(33, 0), unit(kind, 2));
            let facts = scan([parameters.as_slice(), picture.as_slice()].into_iter());
            assert_eq!(
                facts,
                PictureFacts { random_access, disposable, leading, temporal_id: 2, ..PictureFacts::default() },
                "kind {kind}"
            );
        }
    }

    #[test]
    fn other_layers_are_passed_over() {
        let second_layer = [19 << 1, 1 << 3 | 1, 0];
        assert_eq!(scan(std::iter::once(second_layer.as_slice())), PictureFacts::default());
    }
}
