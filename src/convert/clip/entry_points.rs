//! Where decoding of a record may start: what the bitstream says, and what the proof leaves of it.

use super::gops;
use super::proof::{Problem, Proof};
use crate::convert::source::bitstream::{PictureFacts, Recovery};
use crate::media::{GopEntry, PacketFlags, StreamInfo};
use crate::{Error, Result};

/// So many GOPs may turn out to depend on the one before; where there are more, none is believed. Of those that are doubtful from
/// the beginning, none is where more than so many are wrong and more than are right.
const MAX_MERGES: usize = 24;

/// Where decoding may start, as far as is known.
pub(crate) struct Places<'a> {
    facts: &'a [PictureFacts],
    flags: Vec<PacketFlags>,
    merged: usize,
    denied: usize,
}

impl<'a> Places<'a> {
    /// Those that `flags` name.
    pub(crate) fn new(facts: &'a [PictureFacts], flags: Vec<PacketFlags>) -> Self {
        Self { facts, flags, merged: 0, denied: 0 }
    }

    pub(crate) fn flags(&self) -> &[PacketFlags] {
        &self.flags
    }

    /// How many turned out to be none.
    pub(crate) fn merged(&self) -> usize {
        self.merged
    }

    /// Of how many of these the stream itself said that they are places to start.
    pub(crate) fn denied(&self) -> usize {
        self.denied
    }

    fn recovery(&self, packet: usize) -> Option<Recovery> {
        self.facts.get(packet).and_then(|facts| facts.recovery)
    }

    pub(crate) fn is_place(&self, packet: usize) -> bool {
        self.flags.get(packet).is_some_and(|flags| flags.contains(PacketFlags::KEYFRAME))
    }

    fn is_doubtful(&self, packet: usize) -> bool {
        self.is_place(packet) && self.recovery(packet).is_some()
    }

    pub(crate) fn has_doubtful(&self) -> bool {
        (0..self.flags.len()).any(|packet| self.is_doubtful(packet))
    }

    /// Takes back that packet `first` is a place to start.
    fn deny(&mut self, first: usize) {
        self.merged += 1;
        self.denied += usize::from(self.recovery(first).is_none_or(|recovery| recovery.is_said));
        gops::unconfirm(&mut self.flags, first);
    }

    fn deny_all(&mut self, is_meant: impl Fn(&Self, usize) -> bool) {
        for first in 1..self.flags.len() {
            if self.is_place(first) && is_meant(self, first) {
                self.deny(first);
            }
        }
    }

    /// Has every GOP proved and takes back those that need the one before, until all that remain are right. `stream` is the record
    /// with the flags as they are.
    pub(crate) fn prove(&mut self, proof: &Proof<'_>, mut stream: StreamInfo) -> Result<()> {
        // GOPs that are to be proved: the first ones, of which the last comes first.
        let mut count = stream.gops.len();
        let (mut wrong, mut doubtful_wrong, mut doubtful_right) = (0, 0, 0);
        while let Some(problem) = proof.first_problem(&stream, count)? {
            match problem {
                Problem::Gop(0, what) => return Err(Error::decode(what)),
                Problem::Gop(number, _) => {
                    let is_doubtful = |gop: &GopEntry| self.is_doubtful(gop.first_packet as usize);
                    let right = stream.gops.get(number + 1..count).unwrap_or_default();
                    doubtful_right += right.iter().filter(|gop| is_doubtful(gop)).count();
                    let first = stream.gops.get(number).map_or(0, |gop| gop.first_packet as usize);
                    let is_wrong = if self.is_doubtful(first) { &mut doubtful_wrong } else { &mut wrong };
                    *is_wrong += 1;
                    if wrong > MAX_MERGES || doubtful_wrong > MAX_MERGES.max(doubtful_right) {
                        self.deny_all(|this, first| wrong > MAX_MERGES || this.is_doubtful(first));
                        (wrong, doubtful_wrong, count) = (0, 0, usize::MAX);
                    } else {
                        self.deny(first);
                        // The next one may have leading pictures, which are decoded from another start now.
                        count = number + 1;
                    }
                }
                Problem::References => {
                    for flags in &mut self.flags {
                        flags.0 &= !PacketFlags::DISPOSABLE.0;
                        *flags = flags.with_reach(0);
                    }
                    count = usize::MAX;
                }
            }
            merge(&mut stream, &self.flags);
            count = count.min(stream.gops.len());
        }
        Ok(())
    }
}

/// Brings a record's tables in line with flags that name fewer places to start, but for the checksums of GOPs.
fn merge(stream: &mut StreamInfo, flags: &[PacketFlags]) {
    stream.packets.flags = flags.iter().map(|flags| flags.0).collect();
    let mut gops: Vec<GopEntry> = Vec::with_capacity(stream.gops.len());
    for &gop in &stream.gops {
        let is_place = flags.get(gop.first_packet as usize).is_some_and(|it| it.contains(PacketFlags::KEYFRAME));
        match gops.last_mut().filter(|_| !is_place) {
            Some(before) => {
                before.num_packets += gop.num_packets;
                before.size += gop.size;
                before.first_frame = before.first_frame.min(gop.first_frame);
            }
            None => gops.push(gop),
        }
    }
    stream.gops = gops;
}
