//! VP9 key frames from the uncompressed header (VP9 bitstream specification, 6.2). No frame is called disposable: even one
//! that refreshes no reference may hand its probabilities on.

use super::{Bits, PictureFacts};

/// A shown key frame at the start of the packet is a random access point.
pub(super) fn scan(packet: &[u8]) -> PictureFacts {
    PictureFacts { random_access: shown_key_frame(packet).unwrap_or(false), ..PictureFacts::default() }
}

fn shown_key_frame(packet: &[u8]) -> Option<bool> {
    let mut bits = Bits::new(packet);
    if bits.take(2)? != 2 {
        return None;
    }
    let profile = bits.take(1)? | bits.take(1)? << 1;
    if profile == 3 {
        bits.take(1)?;
    }
    let show_existing = bits.flag()?;
    let inter = bits.flag()?;
    let shown = bits.flag()?;
    let _error_resilient = bits.flag()?;
    Some(!show_existing && !inter && shown && bits.take(24)? == 0x0049_8342)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_need_their_sync_code() {
        // marker 10, profile 00, show_existing 0, key 0, shown 1, error resilient 0.
        assert!(scan(&[0b1000_0010, 0x49, 0x83, 0x42, 0]).random_access);
        assert!(!scan(&[0b1000_0010, 0x49, 0x83, 0x43, 0]).random_access);
        assert!(!scan(&[0b1000_0110, 0x49, 0x83, 0x42, 0]).random_access);
        assert!(!scan(&[0b1000_0000, 0x49, 0x83, 0x42, 0]).random_access);
        assert!(!scan(&[]).random_access);
    }
}
