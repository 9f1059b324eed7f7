//! MPEG-1, MPEG-2 (ITU-T H.262, 6.2) and MPEG-4 part 2 (ISO 14496-2, 6.2) picture kinds from start codes.

use super::{Leading, PictureFacts};
use crate::media::nal::find_start_code;

/// The code and the bytes behind each start code.
fn codes(packet: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = packet;
    std::iter::from_fn(move || {
        let (start, _) = find_start_code(rest)?;
        let body = rest.get(start..)?;
        rest = body;
        body.split_first().map(|(code, body)| (*code, body))
    })
}

/// An I picture with a sequence or GOP header is a random access point; the B pictures behind it lead, unless the GOP
/// says that it is closed.
pub(super) fn scan_mpeg12(packet: &[u8]) -> PictureFacts {
    let (mut header, mut closed) = (false, false);
    for (code, body) in codes(packet) {
        match code {
            0xb3 => header = true,
            0xb8 => {
                header = true;
                // 25 bits of time code, then closed_gop.
                closed = body.get(3).is_some_and(|byte| byte & 0x40 != 0);
            }
            0 => {
                let kind = body.get(1).map_or(0, |byte| byte >> 3 & 7);
                return PictureFacts {
                    random_access: kind == 1 && header,
                    disposable: kind == 3,
                    leading: if kind == 3 { Leading::UntilAnchor } else { Leading::No },
                    ..PictureFacts::default()
                }
                .closed(closed);
            }
            _ => {}
        }
    }
    PictureFacts::default()
}

impl PictureFacts {
    /// Marks a random access point whose following B pictures refer to nothing before it.
    fn closed(mut self, closed: bool) -> Self {
        if self.random_access && closed {
            self.leading = Leading::Always;
        }
        self
    }

    /// True for a random access point behind which nothing leads.
    pub(in crate::convert) fn is_closed(self) -> bool {
        self.random_access && self.leading == Leading::Always
    }
}

/// An I-VOP is a random access point, B-VOPs behind it lead, B-VOPs are disposable.
pub(super) fn scan_mpeg4(packet: &[u8]) -> PictureFacts {
    let Some(kind) = codes(packet).find(|(code, _)| *code == 0xb6).and_then(|(_, body)| body.first()) else {
        return PictureFacts::default();
    };
    match kind >> 6 {
        0 => PictureFacts { random_access: true, ..PictureFacts::default() },
        2 => PictureFacts { disposable: true, leading: Leading::UntilAnchor, ..PictureFacts::default() },
        _ => PictureFacts::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_i_picture_needs_its_headers() {
        let bare = [0, 0, 1, 0, 0x00, 0x08, 0, 0];
        assert!(!scan_mpeg12(&bare).random_access);
        let mut with_gop = vec![0, 0, 1, 0xb8, 0, 8, 0, 0x40, 0];
        with_gop.extend(bare);
        assert!(scan_mpeg12(&with_gop).random_access);
        assert!(scan_mpeg12(&with_gop).is_closed());
        with_gop[7] = 0;
        assert!(scan_mpeg12(&with_gop).random_access);
        assert!(!scan_mpeg12(&with_gop).is_closed());
    }

    #[test]
    fn b_pictures_are_disposable_and_may_lead() {
        let b = [0, 0, 1, 0, 0x00, 0x18, 0, 0];
        let facts = scan_mpeg12(&b);
        assert!(facts.disposable && facts.leading == Leading::UntilAnchor && !facts.random_access);
        assert_eq!(scan_mpeg4(&[0, 0, 1, 0xb6, 0x80]).leading, Leading::UntilAnchor);
        assert!(scan_mpeg4(&[0, 0, 1, 0xb3, 1, 2, 3, 0, 0, 1, 0xb6, 0x10]).random_access);
        assert!(!scan_mpeg4(&[0, 0, 1, 0xb6, 0x50]).random_access);
        assert_eq!(scan_mpeg4(&[0, 0, 1]), PictureFacts::default());
    }
}
