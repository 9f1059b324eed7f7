//! AV1 key frames from OBU and frame headers (AV1 bitstream specification, 5.3 to 5.9). No frame is called disposable: what
//! refers to what stands deep in the frame header.

use super::{Bits, PictureFacts};

/// A temporal unit with a sequence header whose first frame is a shown key frame is a random access point.
pub(super) fn scan(packet: &[u8]) -> PictureFacts {
    PictureFacts { random_access: shown_key_frame(packet).unwrap_or(false), ..PictureFacts::default() }
}

fn shown_key_frame(packet: &[u8]) -> Option<bool> {
    let mut rest = packet;
    let mut reduced_still_picture = None;
    loop {
        let (kind, body, next) = next_obu(rest)?;
        rest = next;
        let mut bits = Bits::new(body);
        match kind {
            1 => {
                let _profile = bits.take(3)?;
                let _still_picture = bits.flag()?;
                reduced_still_picture = Some(bits.flag()?);
            }
            3 | 6 => {
                return Some(match reduced_still_picture {
                    None => false,
                    Some(true) => true,
                    Some(false) => {
                        let show_existing = bits.flag()?;
                        let kind = bits.take(2)?;
                        let shown = bits.flag()?;
                        !show_existing && kind == 0 && shown
                    }
                });
            }
            _ => {}
        }
    }
}

/// Type and payload of the first OBU, and what follows it.
fn next_obu(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&header, mut rest) = bytes.split_first()?;
    if header & 4 != 0 {
        rest = rest.get(1..)?;
    }
    if header & 2 == 0 {
        return Some((header >> 3 & 15, rest, &[]));
    }
    let mut size = 0_u64;
    for shift in 0..8 {
        let (&byte, next) = rest.split_first()?;
        rest = next;
        size |= u64::from(byte & 0x7f) << (7 * shift);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let size = usize::try_from(size).ok()?;
    Some((header >> 3 & 15, rest.get(..size)?, rest.get(size..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE: [u8; 4] = [1 << 3 | 2, 2, 0, 0];

    #[test]
    fn a_key_frame_needs_its_sequence_header() {
        let key = [6 << 3 | 2, 1, 0b0001_0000];
        assert!(!scan(&key).random_access);
        assert!(scan(&[SEQUENCE.as_slice(), &key].concat()).random_access);
    }

    #[test]
    fn inter_frames_and_hidden_key_frames_are_not_random_access_points() {
        for header in [0b0011_0000, 0b1000_0000, 0b0000_0000] {
            let frame = [6 << 3 | 2, 1, header];
            assert!(!scan(&[SEQUENCE.as_slice(), &frame].concat()).random_access);
        }
    }

    #[test]
    fn a_size_past_the_end_confirms_nothing() {
        assert!(!scan(&[SEQUENCE.as_slice(), &[6 << 3 | 2, 9, 0x10]].concat()).random_access);
        assert!(!scan(&[0xff, 0xff, 0xff]).random_access);
    }
}
