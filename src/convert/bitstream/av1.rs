//! AV1's temporal units from OBU and frame headers (AV1 bitstream specification, 5.3 to 5.9): which are random access points, and which
//! of the eight reference slots they read and write. All that a frame takes from others it takes from the seven slots that it
//! names: samples, motion vectors, probabilities, segments, parameters of filters and grain.

use super::{Bits, PictureFacts, Slots};

const SEQUENCE_HEADER: u32 = 1;
const FRAME_HEADER: u32 = 3;
const FRAME: u32 = 6;

const KEY_FRAME: u32 = 0;
const INTRA_ONLY_FRAME: u32 = 2;
const SWITCH_FRAME: u32 = 3;

/// Of what is not understood: it may read and write anything.
const ALL_SLOTS: Slots = Slots { reads: 0xff, writes: 0xff };

/// Reads temporal units one after another: what a frame header looks like is said by the last sequence header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Av1Scanner {
    sequence: Option<Sequence>,
    /// Slots that may hold a key frame: one that is shown again is written to all slots.
    key_slots: u8,
}

/// What a sequence header says of the frame headers that follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sequence {
    reduced_still_picture: bool,
    equal_picture_interval: bool,
    /// Lengths in bits, 0 where there is no such field.
    frame_id_bits: usize,
    delta_frame_id_bits: usize,
    order_hint_bits: usize,
    presentation_time_bits: usize,
    removal_time_bits: usize,
    /// Whether a decoder model is described, and for how many operating points in which a frame may take part.
    has_decoder_model: bool,
    num_decoder_models: usize,
    /// Set where each frame says for itself.
    chooses_screen_content: bool,
    forces_screen_content: bool,
    chooses_integer_mv: bool,
}

/// What a frame header says, as far as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FrameHeader {
    /// The frame in that slot is shown.
    Existing(u32),
    /// A frame of its own.
    New { is_key: bool, is_shown: bool, slots: Slots },
}

impl Av1Scanner {
    /// For a stream with that decoder configuration (`av1C`, or nothing).
    pub(super) fn new(extradata: &[u8]) -> Self {
        let mut this = Self { sequence: None, key_slots: 0xff };
        if let Some((&[0x81, _, _, _], config)) = extradata.split_first_chunk::<4>() {
            for (kind, body) in Obus(config) {
                if kind == SEQUENCE_HEADER {
                    this.sequence = Sequence::read(body);
                }
            }
        }
        this
    }

    /// A temporal unit with a sequence header whose first frame is a shown key frame is a random access point.
    pub(super) fn scan(&mut self, packet: &[u8]) -> PictureFacts {
        let mut facts = PictureFacts::default();
        let (mut has_sequence, mut num_frames, mut slots) = (false, 0, Slots::default());
        for (kind, body) in Obus(packet) {
            match kind {
                SEQUENCE_HEADER => {
                    has_sequence = true;
                    self.sequence = Sequence::read(body);
                }
                FRAME_HEADER | FRAME => {
                    let header = self.sequence.and_then(|sequence| sequence.frame_header(body));
                    if num_frames == 0 {
                        let is_shown_key =
                            matches!(header, Some(FrameHeader::New { is_key: true, is_shown: true, .. }));
                        facts.random_access = has_sequence && is_shown_key;
                    }
                    num_frames += 1;
                    let of_frame = self.pass(header);
                    slots.reads |= of_frame.reads & !slots.writes;
                    slots.writes |= of_frame.writes;
                }
                _ => {}
            }
        }
        let is_understood = num_frames > 0 && (!has_sequence || facts.random_access);
        facts.slots = Some(if is_understood { slots } else { ALL_SLOTS });
        facts
    }

    /// The slots of a frame; keeps account of those that hold key frames.
    fn pass(&mut self, header: Option<FrameHeader>) -> Slots {
        match header {
            Some(FrameHeader::New { is_key, slots, .. }) => {
                self.key_slots = self.key_slots & !slots.writes | if is_key { slots.writes } else { 0 };
                slots
            }
            Some(FrameHeader::Existing(slot)) => {
                let reads = 1_u8 << (slot & 7);
                let writes = if self.key_slots & reads == 0 { 0 } else { 0xff };
                self.key_slots |= writes;
                Slots { reads, writes }
            }
            None => {
                self.key_slots = 0xff;
                ALL_SLOTS
            }
        }
    }
}

impl Sequence {
    fn read(body: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(body);
        let mut this = Self::default();
        let _profile = bits.take(3)?;
        let _still_picture = bits.flag()?;
        this.reduced_still_picture = bits.flag()?;
        if this.reduced_still_picture {
            return Some(this);
        }
        this.read_operating_points(&mut bits)?;
        let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
        bits.skip((width_bits + height_bits) as usize);
        if bits.flag()? {
            this.delta_frame_id_bits = bits.take(4)? as usize + 2;
            this.frame_id_bits = this.delta_frame_id_bits + bits.take(3)? as usize + 1;
        }
        // Superblocks of 128, filter intra, intra edge, interintra, masked, warped, dual filter.
        bits.skip(7);
        let has_order_hint = bits.flag()?;
        if has_order_hint {
            // Joint compound, motion fields.
            bits.skip(2);
        }
        this.chooses_screen_content = bits.flag()?;
        this.forces_screen_content = !this.chooses_screen_content && bits.flag()?;
        this.chooses_integer_mv = true;
        if this.chooses_screen_content || this.forces_screen_content {
            this.chooses_integer_mv = bits.flag()?;
            if !this.chooses_integer_mv {
                bits.skip(1);
            }
        }
        if has_order_hint {
            this.order_hint_bits = bits.take(3)? as usize + 1;
        }
        bits.is_inside().then_some(this)
    }

    /// Timing, decoder model and operating points.
    fn read_operating_points(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let mut delay_bits = 0;
        if bits.flag()? {
            bits.skip(64);
            self.equal_picture_interval = bits.flag()?;
            if self.equal_picture_interval {
                bits.skip_uvlc()?;
            }
            self.has_decoder_model = bits.flag()?;
            if self.has_decoder_model {
                delay_bits = bits.take(5)? as usize + 1;
                bits.skip(32);
                self.removal_time_bits = bits.take(5)? as usize + 1;
                self.presentation_time_bits = bits.take(5)? as usize + 1;
            }
        }
        let has_display_delay = bits.flag()?;
        for _ in 0..=bits.take(5)? {
            // With several operating points, which of them a frame is part of stands in the OBU's header.
            let is_whole = bits.take(12)? == 0;
            if bits.take(5)? > 7 {
                bits.skip(1);
            }
            if self.has_decoder_model && bits.flag()? {
                bits.skip(2 * delay_bits + 1);
                if !is_whole {
                    return None;
                }
                self.num_decoder_models += 1;
            }
            if has_display_delay && bits.flag()? {
                bits.skip(4);
            }
        }
        Some(())
    }

    /// Reads up to the references.
    fn frame_header(self, body: &[u8]) -> Option<FrameHeader> {
        let mut bits = Bits::new(body);
        if self.reduced_still_picture {
            let slots = Slots { reads: 0, writes: 0xff };
            return Some(FrameHeader::New { is_key: true, is_shown: true, slots });
        }
        if bits.flag()? {
            return bits.take(3).map(FrameHeader::Existing);
        }
        let kind = bits.take(2)?;
        let is_shown = bits.flag()?;
        if is_shown && self.has_decoder_model && !self.equal_picture_interval {
            bits.skip(self.presentation_time_bits);
        }
        let is_key = kind == KEY_FRAME;
        if kind == SWITCH_FRAME || is_key && is_shown {
            // Of a switch frame the names of what it refers to are not looked up.
            let slots = Slots { reads: if is_key { 0 } else { 0xff }, writes: 0xff };
            return Some(FrameHeader::New { is_key, is_shown, slots });
        }
        if !is_shown {
            // May be shown later.
            bits.skip(1);
        }
        let is_error_resilient = bits.flag()?;
        let is_intra = is_key || kind == INTRA_ONLY_FRAME;
        let _disables_adaptation = bits.flag()?;
        let has_screen_content = if self.chooses_screen_content { bits.flag()? } else { self.forces_screen_content };
        if has_screen_content && self.chooses_integer_mv {
            bits.skip(1);
        }
        bits.skip(self.frame_id_bits);
        let _overrides_size = bits.flag()?;
        bits.skip(self.order_hint_bits);
        if !is_intra && !is_error_resilient {
            let _primary_reference = bits.take(3)?;
        }
        if self.has_decoder_model && bits.flag()? {
            bits.skip(self.num_decoder_models * self.removal_time_bits);
        }
        let writes = bits.take(8)? as u8;
        let reads = if is_error_resilient && self.order_hint_bits > 0 {
            // It says what is in each slot, and what is not as it says counts as missing.
            0xff
        } else if is_intra {
            0
        } else {
            self.references(&mut bits)?
        };
        Some(FrameHeader::New { is_key, is_shown, slots: Slots { reads, writes } })
    }

    /// The slots that an inter frame names.
    fn references(self, bits: &mut Bits<'_>) -> Option<u8> {
        if self.order_hint_bits > 0 && bits.flag()? {
            // Five of seven are worked out from what all slots hold.
            return Some(0xff);
        }
        let mut slots = 0;
        for _ in 0..7 {
            slots |= 1 << bits.take(3)?;
            bits.skip(self.delta_frame_id_bits);
        }
        bits.is_inside().then_some(slots)
    }
}

/// Type and payload of the OBUs of a temporal unit. Ends where one does not fit.
struct Obus<'a>(&'a [u8]);

impl<'a> Iterator for Obus<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&header, mut rest) = std::mem::take(&mut self.0).split_first()?;
        let kind = u32::from(header >> 3 & 15);
        if header & 4 != 0 {
            rest = rest.get(1..)?;
        }
        if header & 2 == 0 {
            return Some((kind, rest));
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
        let (body, next) = rest.split_at_checked(usize::try_from(size).ok()?)?;
        self.0 = next;
        Some((kind, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence header: no timing, one operating point of level 0, sizes of one bit, order hints of 7 bits, screen content chosen by the frame.
    const SEQUENCE: &str = "000 0 0 0 0 00000 000000000000 00000 0000 0000 0 0 0 0000000 1 00 1 1 110";
    /// An inter frame that is shown: existing 0, type 1, shown, not resilient, adaptation, no screen content, size, order hint 5,
    /// primary reference 0, refreshing what is to follow.
    const INTER: &str = "0 01 1 0 0 0 0 0000101 000";

    fn bytes(bits: &str) -> Vec<u8> {
        let bits: Vec<u8> = bits.bytes().filter(|byte| *byte != b' ').map(|byte| byte - b'0').collect();
        bits.chunks(8).map(|chunk| chunk.iter().enumerate().fold(0, |byte, (at, bit)| byte | bit << (7 - at))).collect()
    }

    fn obu(kind: u32, bits: &str) -> Vec<u8> {
        let body = bytes(bits);
        [vec![(kind << 3 | 2) as u8, body.len() as u8], body].concat()
    }

    fn config() -> Vec<u8> {
        [vec![0x81, 0, 0, 0], obu(SEQUENCE_HEADER, SEQUENCE)].concat()
    }

    fn slots(scanner: &mut Av1Scanner, units: &[Vec<u8>]) -> Slots {
        scanner.scan(&units.concat()).slots.unwrap()
    }

    #[test]
    fn a_key_frame_needs_its_sequence_header() {
        let key = obu(FRAME, "0 00 1 0000");
        assert!(!Av1Scanner::new(&[]).scan(&key).random_access);
        assert!(!Av1Scanner::new(&config()).scan(&key).random_access);
        let facts = Av1Scanner::new(&[]).scan(&[obu(SEQUENCE_HEADER, SEQUENCE), key].concat());
        assert!(facts.random_access && facts.slots == Some(Slots { reads: 0, writes: 0xff }));
    }

    #[test]
    fn inter_frames_and_hidden_key_frames_are_not_random_access_points() {
        for header in ["0 01 1 0000", "1 000 0000", "0 00 0 0000"] {
            let unit = [obu(SEQUENCE_HEADER, SEQUENCE), obu(FRAME, header)].concat();
            let facts = Av1Scanner::new(&[]).scan(&unit);
            assert!(!facts.random_access && facts.slots == Some(ALL_SLOTS), "{header}");
        }
    }

    #[test]
    fn a_unit_reads_what_its_frames_name_and_do_not_write_before() {
        let mut scanner = Av1Scanner::new(&config());
        slots(&mut scanner, &[obu(FRAME, "0 00 1 0000")]);
        // References 0, 0, 0, 1, 1, 2, 5: named one by one, not worked out.
        let inter = |writes: &str| obu(FRAME, &format!("{INTER} {writes} 0 000 000 000 001 001 010 101"));
        let intra_only = obu(FRAME, "0 10 1 0 0 0 0 0000101 00001000");
        let cases: [(&[Vec<u8>], u8, u8); 8] = [
            (&[inter("00000000")], 0b10_0111, 0),
            (&[obu(2, ""), inter("00000010"), obu(4, "1111")], 0b10_0111, 2),
            (&[inter("00000001"), inter("00000110")], 0b10_0111, 7),
            (std::slice::from_ref(&intra_only), 0, 8),
            (&[intra_only.clone(), obu(FRAME_HEADER, "1 011")], 0, 8),
            // A slot that holds the key frame, written to all when it is shown again.
            (&[obu(FRAME_HEADER, "1 111")], 0x80, 0xff),
            (&[obu(FRAME, "0 01 1 0")], 0xff, 0xff),
            (&[obu(2, "")], 0xff, 0xff),
        ];
        for (unit, reads, writes) in cases {
            assert_eq!(slots(&mut scanner.clone(), unit), Slots { reads, writes }, "{unit:?}");
        }
        let worked_out = obu(FRAME, &format!("{INTER} 00000000 1 000 001"));
        assert_eq!(slots(&mut scanner, &[worked_out]).reads, 0xff);
        let resilient = obu(FRAME, "0 01 1 1 0 0 0 0000101 00000000");
        assert_eq!(slots(&mut scanner, &[resilient]), Slots { reads: 0xff, writes: 0 });
        assert_eq!(slots(&mut Av1Scanner::new(&[]), &[inter("00000000")]), ALL_SLOTS, "without a sequence header");
    }

    #[test]
    fn every_field_before_the_references_is_passed() {
        // Timing at unequal intervals and a decoder model: delays of 3 bits, removal of 4, presentation of 5; two operating points,
        // the first with its own model and a display delay; frame ids of 2 + 1 bits; screen content forced, integer vectors chosen.
        let timing = format!("{:064b} 0 1 00010 {:032b} 00011 00100", 7, 1);
        let points = "1 00001 000000000000 01000 1 1 000 000 0 1 0000 000000000000 00000 0 0";
        let sequence = format!("000 0 0 1 {timing} {points} 0000 0000 0 0 1 0000 000 0000000 0 0 1 1");
        let config = [vec![0x81, 0, 0, 0], obu(SEQUENCE_HEADER, &sequence)].concat();
        let mut scanner = Av1Scanner::new(&config);
        // Presentation time 11111, not resilient, integer vectors, id 111, size, no order hint, primary reference 0, removal time 1111.
        let header = "0 01 1 11111 0 0 1 111 0 000 1 1111";
        for slot in 0..8 {
            // References by number, each with the difference of its id.
            let (flags, names) = (format!("{:08b}", 1 << slot), format!("{slot:03b} 11").repeat(7));
            let expected = Slots { reads: 1 << slot, writes: 1 << slot };
            assert_eq!(slots(&mut scanner, &[obu(FRAME, &format!("{header} {flags} {names}"))]), expected);
        }
    }

    #[test]
    fn what_does_not_fit_confirms_nothing() {
        assert!(!Av1Scanner::new(&[]).scan(&[6 << 3 | 2, 9, 0x10]).random_access);
        assert_eq!(slots(&mut Av1Scanner::new(&config()), &[vec![0xff, 0xff, 0xff]]), ALL_SLOTS);
        let whole = obu(FRAME, &format!("{INTER} 00000000 0 {}", "000".repeat(7)));
        for length in 0..config().len() {
            assert_eq!(
                slots(&mut Av1Scanner::new(&config()[..length]), std::slice::from_ref(&whole)),
                ALL_SLOTS,
                "{length} bytes"
            );
        }
        for length in 2..whole.len() {
            let cut = [vec![whole[0], length as u8 - 2], whole[2..length].to_vec()].concat();
            assert_eq!(slots(&mut Av1Scanner::new(&config()), &[cut]), ALL_SLOTS, "{length} bytes of a frame");
        }
    }
}
