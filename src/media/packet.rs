//! Packets and GOPs of one record, in decode order, as the shard's index holds them.

use arrow::buffer::ScalarBuffer;

/// Facts about one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PacketFlags(pub u8);

impl PacketFlags {
    /// The bitstream confirms a random access point (IDR, CRA, key frame), or a proof does (recovery point). The first packet of a GOP.
    pub const KEYFRAME: Self = Self(1);
    /// No other packet refers to this one.
    pub const DISPOSABLE: Self = Self(2);
    /// Decoded because others need it, but its frame is not one of the record's (edit lists, lead-in of a cut).
    pub const DISCARD: Self = Self(4);
    /// Follows its GOP's keyframe in decode order, precedes it in presentation order and refers to the GOP before: it can
    /// be decoded only when decoding started at the previous GOP or earlier (RASL pictures, leading B-frames of open GOPs). Also
    /// H.264's pictures of a gradual refresh before it ends, among them the keyframe.
    pub const LEADING: Self = Self(8);

    /// Most packets from a packet to the last one that refers to it, that [`Self::with_reach`] can say.
    pub const MAX_REACH: u8 = 15;

    /// Says also that no packet more than `packets` after this one refers to it, in decode order: 1 to [`Self::MAX_REACH`]. 0 and what is
    /// beyond say nothing.
    #[must_use]
    pub fn with_reach(self, packets: u8) -> Self {
        let packets = if packets > Self::MAX_REACH { 0 } else { packets };
        Self(self.0 & 0x0f | packets << 4)
    }

    /// How many packets after this one, in decode order, the last one may be that refers to it; `None` where that is not known.
    pub fn reach(self) -> Option<u8> {
        Some(self.0 >> 4).filter(|reach| *reach > 0)
    }

    /// True where all bits of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for PacketFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOrAssign for PacketFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketEntry {
    /// Byte offset in the shard file.
    pub offset: u64,
    /// Bytes.
    pub size: u32,
    /// Presentation time in ticks of the record's time base. The first frame of the record is not always at 0.
    pub pts: i64,
    /// Decode time, never falling from one packet to the next.
    pub dts: i64,
    /// Facts.
    pub flags: PacketFlags,
    /// CRC32C of its bytes, so that any part of a GOP can be read and checked alone.
    pub crc32c: u32,
}

/// All packets of a record in decode order, column by column; cheap to clone, columns may be mapped memory.
/// All columns have the same length.
#[derive(Clone, Default)]
pub struct PacketTable {
    /// See [`PacketEntry::offset`].
    pub offsets: ScalarBuffer<u64>,
    /// See [`PacketEntry::size`].
    pub sizes: ScalarBuffer<u32>,
    /// See [`PacketEntry::pts`].
    pub pts: ScalarBuffer<i64>,
    /// See [`PacketEntry::dts`].
    pub dts: ScalarBuffer<i64>,
    /// See [`PacketEntry::flags`].
    pub flags: ScalarBuffer<u8>,
    /// See [`PacketEntry::crc32c`].
    pub crc32c: ScalarBuffer<u32>,
}

impl PacketTable {
    /// From rows.
    pub fn from_entries(entries: &[PacketEntry]) -> Self {
        Self {
            offsets: entries.iter().map(|entry| entry.offset).collect(),
            sizes: entries.iter().map(|entry| entry.size).collect(),
            pts: entries.iter().map(|entry| entry.pts).collect(),
            dts: entries.iter().map(|entry| entry.dts).collect(),
            flags: entries.iter().map(|entry| entry.flags.0).collect(),
            crc32c: entries.iter().map(|entry| entry.crc32c).collect(),
        }
    }

    /// Number of packets.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Packet `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<PacketEntry> {
        Some(PacketEntry {
            offset: *self.offsets.get(index)?,
            size: *self.sizes.get(index)?,
            pts: *self.pts.get(index)?,
            dts: *self.dts.get(index)?,
            flags: PacketFlags(*self.flags.get(index)?),
            crc32c: *self.crc32c.get(index)?,
        })
    }

    /// All packets, in decode order.
    pub fn iter(&self) -> impl Iterator<Item = PacketEntry> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl std::fmt::Debug for PacketTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PacketTable({} packets)", self.len())
    }
}

/// A run of packets that starts at a confirmed random access point and ends before the next one. The GOPs of a record
/// cover all its packets without gaps; the first one may start at a packet that is no keyframe, if the source does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GopEntry {
    /// Byte offset of its first packet in the shard file; its packets lie one after another.
    pub offset: u64,
    /// Bytes of all its packets.
    pub size: u64,
    /// Number of its first packet in the record.
    pub first_packet: u32,
    /// How many packets it has.
    pub num_packets: u32,
    /// Number of the first frame, in presentation order, that one of its packets gives; the number of frames of the record
    /// where it gives none.
    pub first_frame: u32,
    /// CRC32C of the bytes `offset..offset + size`.
    pub crc32c: u32,
}
