//! From what packets say of themselves to the flags and GOPs of a record.

use crate::convert::source::bitstream::{Leading, PictureFacts, Slots};
use crate::format::Crc32c;
use crate::media::{GopEntry, PacketFlags};

/// The flags of packets: `pts` says when each is shown, `has_frame` which of them give a frame that is shown, `discard` which are
/// decoded only because others need them.
pub(crate) fn flags(facts: &[PictureFacts], pts: &[i64], has_frame: &[bool], discard: &[bool]) -> Vec<PacketFlags> {
    let reaches = reaches(facts, has_frame, discard);
    let starts = starts(facts, pts);
    let top_layer = facts.iter().map(|facts| facts.temporal_id).max().unwrap_or(0);
    // Whether B pictures lead at this place: behind a random access point, until the first picture that is none.
    let mut leads = false;
    let mut after_random_access = false;
    // What is shown before needs the GOP before.
    let mut right_from = i64::MIN;
    // Whether no packet gave a frame since: those have no better time than the one before.
    let mut is_silent = false;
    let mut flags = Vec::with_capacity(facts.len());
    for (index, fact) in facts.iter().enumerate() {
        let mut out = PacketFlags::default();
        let start = starts.get(index).copied().flatten();
        if let Some(from) = start {
            out |= PacketFlags::KEYFRAME;
            after_random_access = true;
            leads = !fact.is_closed();
            (right_from, is_silent) = (from, true);
        } else {
            is_silent &= has_frame.get(index) == Some(&false);
            match fact.leading {
                Leading::Always if after_random_access => out |= PacketFlags::LEADING,
                Leading::UntilAnchor if after_random_access && leads => out |= PacketFlags::LEADING,
                Leading::No => leads = false,
                _ => {}
            }
        }
        if pts.get(index).is_some_and(|&pts| pts < right_from || start.is_none() && is_silent && pts == right_from) {
            out |= PacketFlags::LEADING;
        }
        // A packet without a frame belongs to the picture before it (a second field): neither goes without the other.
        let is_split = has_frame.get(index + 1) == Some(&false) && discard.get(index + 1) != Some(&true);
        // Where decoding starts, a decoder takes more than a picture: its parameters.
        let is_start = index == 0 || start.is_some();
        if has_frame.get(index) == Some(&true) && !is_split && !is_start {
            match reaches.get(index) {
                Some(0) => out |= PacketFlags::DISPOSABLE,
                Some(&reach) => out = out.with_reach(u8::try_from(reach).unwrap_or(0)),
                None if fact.disposable && fact.temporal_id == top_layer => out |= PacketFlags::DISPOSABLE,
                None => {}
            }
        }
        if discard.get(index) == Some(&true) {
            out |= PacketFlags::DISCARD;
        }
        flags.push(out);
    }
    flags
}

/// For each packet where decoding can start the time from which on all that is shown comes out right, as far as times tell.
///
/// A gradual refresh is a place to start where it ends before the next such place, and before the stream does. Points within one
/// are passed over: many encoders begin the next one before.
fn starts(facts: &[PictureFacts], pts: &[i64]) -> Vec<Option<i64>> {
    let mut starts = Vec::with_capacity(facts.len());
    let mut refreshed = 0;
    for (index, fact) in facts.iter().enumerate() {
        let start = match fact.recovery {
            _ if !fact.random_access => None,
            None => Some(i64::MIN),
            Some(recovery) if recovery.pictures == 0 => pts.get(index).copied(),
            Some(recovery) if index >= refreshed => {
                let behind = facts.iter().enumerate().skip(index + 1).take_while(|(_, fact)| !fact.is_place());
                let mut references = behind.filter(|(_, fact)| !fact.disposable).map(|(index, _)| index);
                let last = references.nth(recovery.pictures as usize - 1);
                refreshed = last.unwrap_or(refreshed);
                last.and_then(|last| pts.get(last).copied())
            }
            Some(_) => None,
        };
        starts.push(start);
    }
    starts
}

/// How many packets after each the last one is that needs it, 0 where none does, by the slots that they use. Empty where one does not say
/// them, or gives no frame though it should: decoders may make something else of it.
fn reaches(facts: &[PictureFacts], has_frame: &[bool], discard: &[bool]) -> Vec<usize> {
    let is_shown = |(has_frame, discard): (&bool, &bool)| *has_frame || *discard;
    let slots: Option<Vec<Slots>> = facts.iter().map(|facts| facts.slots).collect();
    let slots = slots.filter(|_| has_frame.iter().zip(discard).all(is_shown)).unwrap_or_default();
    let mut reaches = vec![0; slots.len()];
    let mut holders = [None; 8];
    for (index, slots) in slots.iter().enumerate() {
        let is_set = |bits: u8, slot: usize| bits >> slot & 1 == 1;
        for (slot, holder) in holders.iter_mut().enumerate() {
            if let Some(holder) = holder.filter(|_| is_set(slots.reads, slot))
                && let Some(reach) = reaches.get_mut(holder)
            {
                *reach = index - holder;
            }
            if is_set(slots.writes, slot) {
                *holder = Some(index);
            }
        }
    }
    reaches
}

/// Takes back that decoding can start at packet `first`: it and what leads there become ordinary packets.
pub(crate) fn unconfirm(flags: &mut [PacketFlags], first: usize) {
    let drop = |flags: &mut PacketFlags, bit: PacketFlags| flags.0 &= !bit.0;
    for (index, flags) in flags.iter_mut().enumerate().skip(first) {
        if index > first && flags.contains(PacketFlags::KEYFRAME) {
            break;
        }
        drop(flags, PacketFlags::KEYFRAME);
        drop(flags, PacketFlags::LEADING);
    }
}

/// First packet of each GOP, and the number of packets as the last entry.
pub(crate) fn bounds(flags: &[PacketFlags]) -> Vec<usize> {
    let starts = |index: usize, flags: &PacketFlags| index == 0 || flags.contains(PacketFlags::KEYFRAME);
    let mut bounds: Vec<usize> =
        flags.iter().enumerate().filter(|&(index, flags)| starts(index, flags)).map(|(index, _)| index).collect();
    bounds.push(flags.len());
    bounds
}

/// The GOP table. `sizes` and `offsets` are those of the stored packets, `frame_packets` the record's frames;
/// `read` gives a packet's bytes.
pub(crate) fn table<'a, E>(
    flags: &[PacketFlags],
    offsets: &[u64],
    sizes: &[u32],
    frame_packets: &[u32],
    read: impl Fn(usize) -> Result<&'a [u8], E>,
) -> Result<Vec<GopEntry>, E> {
    let mut frame_of = vec![frame_packets.len() as u32; flags.len()];
    for (frame, &packet) in frame_packets.iter().enumerate() {
        if let Some(slot) = frame_of.get_mut(packet as usize) {
            *slot = frame as u32;
        }
    }
    let mut table = Vec::new();
    for pair in bounds(flags).windows(2) {
        let &[first, end] = pair else { continue };
        let mut crc = Crc32c::new();
        let mut size = 0;
        for index in first..end {
            crc.update(read(index)?);
            size += u64::from(sizes.get(index).copied().unwrap_or(0));
        }
        table.push(GopEntry {
            offset: offsets.get(first).copied().unwrap_or(0),
            size,
            first_packet: first as u32,
            num_packets: (end - first) as u32,
            first_frame: frame_of
                .get(first..end)
                .and_then(|frames| frames.iter().copied().min())
                .unwrap_or(frame_packets.len() as u32),
            crc32c: crc.value(),
        });
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::source::bitstream::Recovery;

    const P: PictureFacts = PictureFacts {
        random_access: false,
        recovery: None,
        disposable: false,
        leading: Leading::No,
        temporal_id: 0,
        misses_references: false,
        slots: None,
    };
    const KEY: PictureFacts = PictureFacts { random_access: true, ..P };
    const B: PictureFacts = PictureFacts { disposable: true, leading: Leading::UntilAnchor, ..P };
    /// As H.264 has them, whose B pictures say nothing of their own.
    const REFERENCE_B: PictureFacts = P;

    fn recovery(pictures: u32) -> PictureFacts {
        PictureFacts { recovery: Some(Recovery { pictures, is_said: true }), ..KEY }
    }

    /// [`super::flags`] of packets that all give a frame, in the order of their packets.
    fn flags(facts: &[PictureFacts], has_frame: &[bool], discard: &[bool]) -> Vec<PacketFlags> {
        let pts: Vec<i64> = (0..facts.len() as i64).collect();
        super::flags(facts, &pts, has_frame, discard)
    }

    #[test]
    fn what_is_shown_before_a_recovery_point_leads() {
        let facts = [KEY, P, B, recovery(0), REFERENCE_B, B, B, P, B];
        let pts = [0, 2, 1, 6, 4, 3, 5, 8, 7];
        let flags = super::flags(&facts, &pts, &[true; 9], &[false; 9]);
        let leading: Vec<usize> = (0..9).filter(|&index| flags[index].contains(PacketFlags::LEADING)).collect();
        assert_eq!(leading, [4, 5, 6]);
        assert_eq!(bounds(&flags), [0, 3, 9]);
        assert!(!flags[4].contains(PacketFlags::DISPOSABLE) && flags[5].contains(PacketFlags::DISPOSABLE));
    }

    #[test]
    fn a_gradual_refresh_leads_until_it_is_done_and_those_within_it_are_passed_over() {
        let start = recovery(3);
        let facts = [KEY, P, start, P, start, P, P, start, P, P, P, start, P];
        let flags = flags(&facts, &[true; 13], &[false; 13]);
        assert_eq!(bounds(&flags), [0, 2, 7, 13], "the last one does not end");
        let leading: Vec<usize> = (0..13).filter(|&index| flags[index].contains(PacketFlags::LEADING)).collect();
        assert_eq!(leading, [2, 3, 4, 7, 8, 9]);
        // Where a keyframe comes before it is done.
        assert_eq!(starts(&[KEY, start, P, P, KEY], &[0, 1, 2, 3, 4])[1], None);
        assert_eq!(starts(&[KEY, start, P, B, P, P, KEY], &[0, 1, 2, 3, 4, 5, 6])[1], Some(5));
    }

    #[test]
    fn b_pictures_lead_until_the_next_anchor() {
        let facts = [KEY, P, B, KEY, B, B, P, B];
        let flags = flags(&facts, &[true; 8], &[false; 8]);
        let leading: Vec<bool> = flags.iter().map(|flags| flags.contains(PacketFlags::LEADING)).collect();
        assert_eq!(leading, [false, false, false, false, true, true, false, false]);
        assert_eq!(bounds(&flags), [0, 3, 8]);
    }

    #[test]
    fn behind_a_closed_gop_nothing_leads() {
        let closed = PictureFacts { leading: Leading::Always, ..KEY };
        let flags = flags(&[closed, B, P], &[true; 3], &[false; 3]);
        assert!(!flags[1].contains(PacketFlags::LEADING));
    }

    #[test]
    fn a_picture_of_two_packets_is_never_half_dropped() {
        let flags = flags(&[KEY, B, B, B], &[true, true, false, true], &[false; 4]);
        assert!(!flags[1].contains(PacketFlags::DISPOSABLE));
        assert!(!flags[2].contains(PacketFlags::DISPOSABLE));
        assert!(flags[3].contains(PacketFlags::DISPOSABLE));
    }

    #[test]
    fn slots_say_who_needs_whom() {
        let picture = |reads, writes| PictureFacts { slots: Some(Slots { reads, writes }), ..PictureFacts::default() };
        let key = PictureFacts { random_access: true, ..picture(0, 0xff) };
        // A keyframe, an anchor, a middle picture, one that is not kept, one that reads the middle, the next anchor, an end.
        let mut facts =
            vec![key, picture(1, 2), picture(3, 4), picture(7, 0), picture(6, 0), picture(2, 2), picture(3, 8)];
        let reach = |facts: &[PictureFacts]| -> Vec<(bool, Option<u8>)> {
            let flags = flags(facts, &vec![true; facts.len()], &vec![false; facts.len()]);
            flags.iter().map(|flags| (flags.contains(PacketFlags::DISPOSABLE), flags.reach())).collect()
        };
        let (kept, dropped) = (|reach| (false, Some(reach)), (true, None));
        assert_eq!(reach(&facts), [(false, None), kept(4), kept(2), dropped, dropped, kept(1), dropped]);
        // What is needed by one too far away to be said.
        facts.splice(4..4, vec![picture(1, 0); 13]);
        assert_eq!(reach(&facts)[..3], [(false, None), (false, None), kept(15)]);
        // One that does not say its slots may need anything.
        facts[6].slots = None;
        assert!(reach(&facts).iter().all(|told| *told == (false, None)));
    }

    #[test]
    fn an_unconfirmed_gop_joins_the_one_before() {
        let mut flags = flags(&[KEY, P, KEY, B, P, KEY], &[true; 6], &[false; 6]);
        unconfirm(&mut flags, 2);
        assert_eq!(bounds(&flags), [0, 5, 6]);
        assert!(!flags[3].contains(PacketFlags::LEADING));
    }

    #[test]
    fn gop_entries_cover_all_packets() {
        let flags = flags(&[KEY, P, KEY, P], &[true; 4], &[false; 4]);
        let bytes = [0_u8, 1, 2, 3];
        let read = |index: usize| -> Result<&[u8], ()> { Ok(&bytes[index..=index]) };
        let table = table(&flags, &[10, 11, 12, 13], &[1; 4], &[0, 1, 3, 2], read).unwrap();
        assert_eq!(table.len(), 2);
        assert_eq!((table[1].offset, table[1].size, table[1].first_packet, table[1].first_frame), (12, 2, 2, 2));
        assert_eq!(table[1].crc32c, crate::format::crc32c(&[2, 3]));
    }
}
