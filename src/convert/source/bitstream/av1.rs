//! AV1's temporal units from OBU and frame headers (AV1 bitstream specification, 5.3 to 5.9): which are random access points, and which
//! of the eight reference slots they read and write. All that a frame takes from others it takes from the seven slots that it
//! names (samples, motion vectors, probabilities, segments, parameters of filters and grain), and from the sequence header in force. A unit
//! whose slots are not certain says none, and so takes those of all others their meaning.

use super::{Bits, PictureFacts, Slots};

const SEQUENCE_HEADER: u32 = 1;
const FRAME_HEADER: u32 = 3;
const TILE_GROUP: u32 = 4;
const FRAME: u32 = 6;
const REDUNDANT_FRAME_HEADER: u32 = 7;

const KEY_FRAME: u32 = 0;
const INTRA_ONLY_FRAME: u32 = 2;
const SWITCH_FRAME: u32 = 3;

/// Reads temporal units one after another: what a frame header looks like is said by the last sequence header.
#[derive(Debug, Clone, Default)]
pub(super) struct Av1Scanner {
    /// The sequence header in force, and what was understood of it.
    header: Vec<u8>,
    sequence: Option<Sequence>,
    /// A random access point has been met, so that `header` is what a decoder has that began there.
    has_begun: bool,
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
    /// Whether a decoder model is described, and for how many operating points.
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
    New { is_key: bool, slots: Slots },
}

/// The frames of one temporal unit, as they are met.
#[derive(Default)]
struct Unit {
    num_frames: usize,
    slots: Slots,
    /// Samples may follow, must follow.
    takes_tiles: bool,
    lacks_tiles: bool,
    is_unclear: bool,
}

impl Av1Scanner {
    /// A temporal unit with a sequence header whose first frame is a shown key frame is a random access point.
    pub(super) fn scan(&mut self, packet: &[u8]) -> PictureFacts {
        let mut facts = PictureFacts::default();
        let (mut has_sequence, mut is_new_sequence, mut is_still) = (false, false, false);
        let mut unit = Unit::default();
        let mut obus = Obus::new(packet);
        for (kind, body) in obus.by_ref() {
            match kind {
                SEQUENCE_HEADER => {
                    has_sequence = true;
                    is_still = body.first().is_some_and(|byte| byte & 0x08 != 0);
                    if self.header != body {
                        (is_new_sequence, unit.is_unclear) = (true, unit.is_unclear || unit.num_frames > 0);
                        self.header = body.to_vec();
                        self.sequence = Sequence::read(body);
                    }
                }
                FRAME_HEADER | FRAME => {
                    if unit.num_frames == 0 {
                        // Not an existing frame, of type 0, shown: told without all of the sequence header.
                        let is_shown_key = is_still || body.first().is_some_and(|byte| byte & 0xf0 == 0x10);
                        facts.random_access = has_sequence && is_shown_key;
                    }
                    let header = self.sequence.and_then(|sequence| sequence.frame_header(body));
                    unit.add(header, kind == FRAME, &mut self.key_slots);
                }
                TILE_GROUP => unit.add_tiles(),
                // Repeats the header of the frame whose tiles are still to come.
                REDUNDANT_FRAME_HEADER => unit.is_unclear |= !unit.takes_tiles,
                _ => {}
            }
        }
        unit.is_unclear |= obus.is_cut || unit.lacks_tiles || is_new_sequence && !facts.random_access;
        self.has_begun |= facts.random_access;
        let is_certain = self.has_begun && unit.num_frames > 0 && !unit.is_unclear;
        facts.slots = is_certain.then_some(unit.slots);
        facts
    }
}

/// Whether a packet has frames and shows none of them.
pub(in crate::convert) fn shows_no_frame(packet: &[u8]) -> bool {
    let (mut has_frame, mut is_still) = (false, false);
    for (kind, body) in Obus::new(packet) {
        match (kind, body.first()) {
            (SEQUENCE_HEADER, Some(byte)) => is_still = byte & 0x08 != 0,
            // An existing frame is shown, and a new one that says so.
            (FRAME_HEADER | FRAME, Some(byte)) if is_still || byte & 0x90 != 0 => return false,
            (FRAME_HEADER | FRAME, Some(_)) => has_frame = true,
            _ => {}
        }
    }
    has_frame
}

impl Unit {
    /// Adds a frame. Keeps account of the slots that hold key frames.
    fn add(&mut self, header: Option<FrameHeader>, has_tiles: bool, key_slots: &mut u8) {
        self.num_frames += 1;
        self.is_unclear |= self.lacks_tiles || header.is_none();
        let Some(header) = header else { return };
        let slots = match header {
            FrameHeader::New { is_key, slots } => {
                *key_slots = *key_slots & !slots.writes | if is_key { slots.writes } else { 0 };
                slots
            }
            FrameHeader::Existing(slot) => {
                let read = 1_u8 << (slot & 7);
                if *key_slots & read == 0 {
                    Slots { reads: read, writes: 0 }
                } else {
                    // What may be written counts as read as well, so that whoever wrote it before stays needed.
                    *key_slots = 0xff;
                    Slots { reads: 0xff, writes: 0xff }
                }
            }
        };
        let is_new = matches!(header, FrameHeader::New { .. });
        (self.takes_tiles, self.lacks_tiles) = (is_new, is_new && !has_tiles);
        self.is_unclear |= has_tiles && !is_new;
        self.slots.reads |= slots.reads & !self.slots.writes;
        self.slots.writes |= slots.writes;
    }

    fn add_tiles(&mut self) {
        self.is_unclear |= !self.takes_tiles;
        self.lacks_tiles = false;
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
            if bits.take(12)? != 0 {
                // Layers, of which a decoder passes over those that are not in its operating point.
                return None;
            }
            if bits.take(5)? > 7 {
                bits.skip(1);
            }
            if self.has_decoder_model && bits.flag()? {
                bits.skip(2 * delay_bits + 1);
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
            return Some(FrameHeader::New { is_key: true, slots });
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
            return Some(FrameHeader::New { is_key, slots });
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
        Some(FrameHeader::New { is_key, slots: Slots { reads, writes } })
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
struct Obus<'a> {
    rest: &'a [u8],
    /// One did not fit.
    is_cut: bool,
}

impl<'a> Obus<'a> {
    fn new(unit: &'a [u8]) -> Self {
        Self { rest: unit, is_cut: false }
    }

    /// The first OBU of `unit`, its type and payload, and what follows it.
    fn split(unit: &'a [u8]) -> Option<(u32, &'a [u8], &'a [u8])> {
        let (&header, mut rest) = unit.split_first()?;
        let kind = u32::from(header >> 3 & 15);
        if header & 4 != 0 {
            rest = rest.get(1..)?;
        }
        if header & 2 == 0 {
            return Some((kind, rest, &[]));
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
        Some((kind, body, next))
    }
}

impl<'a> Iterator for Obus<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let split = Self::split(self.rest);
        self.is_cut |= split.is_none();
        self.rest = split.map_or(&[], |(_, _, rest)| rest);
        split.map(|(kind, body, _)| (kind, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence header: no timing, one operating point of level 0, sizes of one bit, order hints of 7 bits, screen content chosen by the frame.
    const SEQUENCE: &str = "000 0 0 0 0 00000 000000000000 00000 0000 0000 0 0 0 0000000 1 00 1 1 110";
    /// A key frame that is shown.
    const KEY: &str = "0 00 1 0000";
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

    /// A scanner behind a shown key frame.
    fn scanner() -> Av1Scanner {
        let mut scanner = Av1Scanner::default();
        let facts = scanner.scan(&[obu(SEQUENCE_HEADER, SEQUENCE), obu(FRAME, KEY)].concat());
        assert!(facts.random_access && facts.slots == Some(Slots { reads: 0, writes: 0xff }));
        scanner
    }

    fn slots(scanner: &Av1Scanner, units: &[Vec<u8>]) -> Option<Slots> {
        scanner.clone().scan(&units.concat()).slots
    }

    #[test]
    fn a_key_frame_needs_its_sequence_header() {
        assert_eq!(Av1Scanner::default().scan(&obu(FRAME, KEY)), PictureFacts::default());
        let again = scanner().scan(&obu(FRAME, KEY));
        assert!(!again.random_access && again.slots == Some(Slots { reads: 0, writes: 0xff }));
    }

    #[test]
    fn a_key_frame_is_told_behind_a_sequence_header_that_is_not_understood() {
        let layers = SEQUENCE.replacen("000000000000", "000100000001", 1);
        for header in ["00000000", &layers] {
            let facts = Av1Scanner::default().scan(&[obu(SEQUENCE_HEADER, header), obu(FRAME, KEY)].concat());
            assert!(facts.random_access && facts.slots.is_none(), "{header}");
        }
        let still = Av1Scanner::default().scan(&[obu(SEQUENCE_HEADER, "00001000"), obu(FRAME, "")].concat());
        assert!(still.random_access && still.slots == Some(Slots { reads: 0, writes: 0xff }));
    }

    #[test]
    fn inter_frames_and_hidden_key_frames_are_not_random_access_points() {
        for header in ["0 01 1 0000", "1 000 0000", "0 00 0 0000"] {
            let unit = [obu(SEQUENCE_HEADER, SEQUENCE), obu(FRAME, header)].concat();
            assert_eq!(Av1Scanner::default().scan(&unit), PictureFacts::default(), "{header}");
        }
    }

    #[test]
    fn a_unit_reads_what_its_frames_name_and_do_not_write_before() {
        // References 0, 0, 0, 1, 1, 2, 5: named one by one, not worked out.
        let inter = |writes: &str| obu(FRAME, &format!("{INTER} {writes} 0 000 000 000 001 001 010 101"));
        let intra_only = obu(FRAME, "0 10 1 0 0 0 0 0000101 00001000");
        let scanner = scanner();
        for (unit, reads, writes) in [
            (vec![inter("00000000")], 0b10_0111, 0),
            (vec![obu(2, ""), inter("00000010"), obu(TILE_GROUP, "1111")], 0b10_0111, 2),
            (vec![inter("00000001"), inter("00000110")], 0b10_0111, 7),
            (vec![intra_only.clone()], 0, 8),
            (vec![intra_only.clone(), obu(FRAME_HEADER, "1 011")], 0, 8),
            // A slot that holds the key frame, written to all when it is shown again.
            (vec![obu(FRAME_HEADER, "1 111")], 0xff, 0xff),
            // Five of seven references are worked out from all slots.
            (vec![obu(FRAME, &format!("{INTER} 00000000 1 000 001"))], 0xff, 0),
            // What each slot holds is said, and must be so.
            (vec![obu(FRAME, "0 01 1 1 0 0 0 0000101 00000000")], 0xff, 0),
            // The sequence header in force.
            (vec![obu(SEQUENCE_HEADER, SEQUENCE), inter("00000000")], 0b10_0111, 0),
        ] {
            assert_eq!(slots(&scanner, &unit), Some(Slots { reads, writes }), "{unit:?}");
        }
    }

    #[test]
    fn what_is_not_certain_says_no_slots() {
        let inter = format!("{INTER} 00000000 0 000 000 000 001 001 010 101");
        let (frame, header) = (obu(FRAME, &inter), obu(FRAME_HEADER, &inter));
        let tiles = obu(TILE_GROUP, "1111");
        let scanner = scanner();
        assert!(slots(&scanner, &[header.clone(), tiles.clone()]).is_some());
        assert!(slots(&scanner, &[header.clone(), obu(REDUNDANT_FRAME_HEADER, &inter), tiles.clone()]).is_some());
        let other = SEQUENCE.replacen("0000000 1 00", "0100000 1 00", 1);
        for unit in [
            vec![obu(FRAME, "0 01 1 0")],
            vec![obu(2, "")],
            // Another frame, perhaps.
            vec![frame.clone(), vec![(FRAME << 3 | 2) as u8, 9, 0]],
            // Frames without tiles, and tiles, or a repeated header, without a frame.
            vec![header.clone()],
            vec![header.clone(), frame.clone()],
            vec![tiles.clone(), frame.clone()],
            vec![obu(REDUNDANT_FRAME_HEADER, &inter), frame.clone()],
            vec![obu(FRAME_HEADER, "1 011"), tiles.clone()],
            // Another sequence header.
            vec![obu(SEQUENCE_HEADER, &other), frame.clone()],
            vec![frame.clone(), obu(SEQUENCE_HEADER, &other)],
        ] {
            assert_eq!(slots(&scanner, &unit), None, "{unit:?}");
        }
        assert_eq!(slots(&Av1Scanner::default(), &[obu(SEQUENCE_HEADER, SEQUENCE), frame]), None);
        let facts = scanner.clone().scan(&[obu(SEQUENCE_HEADER, &other), obu(FRAME, KEY)].concat());
        assert!(facts.random_access && facts.slots.is_some(), "a new sequence");
    }

    #[test]
    fn every_field_before_the_references_is_passed() {
        // Timing at unequal intervals and a decoder model: delays of 3 bits, removal of 4, presentation of 5; two operating points,
        // the first with its own model and a display delay; frame ids of 2 + 1 bits; screen content forced, integer vectors chosen.
        let timing = format!("{:064b} 0 1 00010 {:032b} 00011 00100", 7, 1);
        let points = "1 00001 000000000000 01000 1 1 000 000 0 1 0000 000000000000 00000 0 0";
        let sequence = format!("000 0 0 1 {timing} {points} 0000 0000 0 0 1 0000 000 0000000 0 0 1 1");
        let mut scanner = Av1Scanner::default();
        assert!(scanner.scan(&[obu(SEQUENCE_HEADER, &sequence), obu(FRAME, KEY)].concat()).random_access);
        // Presentation time 11111, not resilient, integer vectors, id 111, size, no order hint, primary reference 0, removal time 1111.
        let header = "0 01 1 11111 0 0 1 111 0 000 1 1111";
        for slot in 0..8 {
            // References by number, each with the difference of its id.
            let (flags, names) = (format!("{:08b}", 1 << slot), format!("{slot:03b} 11").repeat(7));
            let expected = Slots { reads: 1 << slot, writes: 1 << slot };
            let unit = [obu(FRAME, &format!("{header} {flags} {names}"))];
            assert_eq!(slots(&scanner, &unit), Some(expected));
        }
    }

    #[test]
    fn what_does_not_fit_confirms_nothing() {
        assert_eq!(Av1Scanner::default().scan(&[6 << 3 | 2, 9, 0x10]), PictureFacts::default());
        assert_eq!(scanner().scan(&[0xff, 0xff, 0xff]), PictureFacts::default());
        let whole = obu(FRAME, &format!("{INTER} 00000000 0 {}", "000".repeat(7)));
        for length in 2..whole.len() {
            let cut = [vec![whole[0], length as u8 - 2], whole[2..length].to_vec()].concat();
            assert_eq!(slots(&scanner(), &[cut]), None, "{length} bytes of a frame");
        }
        let sequence = bytes(SEQUENCE);
        for length in 0..sequence.len() {
            let header = [vec![(SEQUENCE_HEADER << 3 | 2) as u8, length as u8], sequence[..length].to_vec()].concat();
            let facts = Av1Scanner::default().scan(&[header, obu(FRAME, KEY)].concat());
            assert!(facts.slots.is_none(), "{length} bytes of a sequence header");
        }
    }
}
