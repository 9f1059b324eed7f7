//! Reading a source from one place to another: its packets are stored and decoded in order as the ffmpeg command decodes
//! them, and every frame that comes out is noted with its packet and the checksum of its planes. That is the truth that the
//! stored clip is measured by.

use super::bitstream::{ParameterSets, PictureFacts, Scanner};
use super::changes::{Appearance, Appearances};
use super::opened::Source;
use super::packet_spill::{PacketStore, Slot};
use super::source_file;
use super::timeline::{Jump, Timeline};
use super::timestamps::SourceTime;
use super::unpack::Unpacker;
use crate::ffmpeg;
use crate::ffmpeg::Decoder;
use crate::ffmpeg::{Fill, has_unwritten};
use crate::format::Crc32c;
use crate::media::{Codec, FrameView};
use crate::{Error, ErrorKind, Result};
use ffmpeg_next as ff;
use std::collections::HashMap;
use std::time::Duration;

/// A packet as it was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SourcePacket {
    pub(crate) time: SourceTime,
    /// Marked by the demuxer as decoded but not shown.
    pub(crate) discard: bool,
    pub(crate) facts: PictureFacts,
    /// How many bytes were read.
    pub(crate) bytes: u32,
    /// Where its bytes are; an empty slot where nothing is stored.
    pub(crate) slot: Slot,
}

/// A frame as the decoder gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TruthFrame {
    /// Number of its packet.
    pub(crate) packet: u32,
    /// CRC32C of its planes, 0 where the format has none.
    pub(crate) crc32c: u32,
}

/// What FFmpeg said when it read or decoded a packet.
#[derive(Debug, Clone)]
pub(crate) struct Complaint {
    pub(crate) packet: u32,
    pub(crate) message: String,
    /// The packet was refused.
    pub(crate) is_error: bool,
}

/// Everything that reading gave.
#[derive(Default)]
pub(crate) struct Ingest {
    pub(crate) packets: Vec<SourcePacket>,
    /// In the decoder's order, which is presentation order.
    pub(crate) frames: Vec<TruthFrame>,
    /// What the frames say of themselves.
    pub(crate) appearances: Appearances,
    /// Frames that the decoder held back at the end.
    pub(crate) delay: u8,
    /// Processor time of the decoding.
    pub(crate) decoding: Duration,
    /// Packet that the wanted frames may be stored from, where the reading began before it to prove it; else 0.
    pub(crate) start: u32,
    /// What FFmpeg complained of while this was read and decoded, at most one for each packet, in order.
    pub(crate) complaints: Vec<Complaint>,
    /// FFmpeg may have complained without being heard.
    pub(crate) is_unheard: bool,
    /// Packets of frames with concealed errors.
    pub(crate) damaged: Vec<u32>,
    /// Packets of frames of which the decoder left out parts, without a word. Noted where packets are stored.
    pub(crate) unwritten: Vec<u32>,
    /// The decoder warned of something.
    pub(crate) has_warnings: bool,
    /// Why the packets cannot be stored as they are.
    pub(crate) not_copyable: Option<String>,
    /// Decoder configuration of the stored packets, where it is not the source's.
    pub(crate) parameters: Option<ff::codec::Parameters>,
    /// A packet brings parameter sets that the decoder's configuration lacks: what begins behind it may need them.
    pub(crate) brings_parameters: bool,
    /// The first packet that is encrypted; what a decoder makes of it is noise.
    pub(crate) first_encrypted: Option<u32>,
    /// Packets of the video stream in the container, empty ones included.
    pub(crate) num_read: usize,
    /// Where the container set its clock, the first time, and how often it did; its times go on all the same.
    pub(crate) first_jump: Option<Jump>,
    pub(crate) num_jumps: usize,
    /// Packets whose times are too far from all others to be any.
    pub(crate) num_far_times: usize,
    /// What ended reading before the end of the file.
    pub(crate) read_error: Option<String>,
}

impl Ingest {
    /// Why the first packet was refused, if one was.
    pub(crate) fn first_error(&self) -> Option<&str> {
        self.complaints.iter().find(|said| said.is_error).map(|said| said.message.as_str())
    }
}

/// What to read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Range {
    /// Search for the last random access point shown at or before these ticks, and start there.
    pub(crate) seek: Option<Seek>,
    /// Stop where every frame shown before these ticks has been read, and the first one shown at or after them.
    pub(crate) stop: Option<i64>,
    /// Stop as soon as a frame came out.
    pub(crate) first_frame_only: bool,
    /// Frames that the decoder holds back at least.
    pub(crate) delay: u8,
}

/// Where to start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seek {
    /// The first wanted time.
    pub(crate) start: i64,
    /// How far before it to look for a random access point, in ticks.
    pub(crate) back: i64,
}

/// A frame as it comes out of the decoder.
pub(crate) struct Given<'a> {
    /// Its number among the frames of this reading.
    pub(crate) number: usize,
    /// Presentation time that the source gives its packet.
    pub(crate) pts: Option<i64>,
    /// Its sample aspect ratio, 0/1 where nobody says.
    pub(crate) sample_aspect: (i32, i32),
    pub(crate) frame: &'a ff::frame::Video,
}

/// Called for every frame.
pub(crate) type FrameSink<'a> = dyn FnMut(&Given<'_>) -> Result<()> + 'a;

/// Why a source with encrypted packets is no use.
pub(crate) const ENCRYPTED: &str = "the video is encrypted";

/// Packets of one reading that gave no frame, one after another, before it is called hopeless.
const MAX_SILENT_PACKETS: usize = 200_000;

struct Reader<'a> {
    source: &'a mut Source,
    decoder: Decoder,
    witness: Option<Witness>,
    scanner: Option<Scanner>,
    parameter_sets: Option<ParameterSets>,
    store: Option<&'a mut PacketStore>,
    unpacker: Option<Unpacker>,
    /// Reads what comes out of the unpacker.
    unpacked: Option<Scanner>,
    sink: &'a mut FrameSink<'a>,
    frame: ff::frame::Video,
    out: Ingest,
    silent: usize,
    bytes: u64,
    timeline: Timeline,
    /// The range's.
    stop: Option<i64>,
    /// Earliest time at or after `stop` at which a packet is shown that was read.
    first_behind: Option<i64>,
}

/// Reads `range`. `None` where no random access point was found for its start, or a packet lacks the times to tell.
pub(crate) fn read<'a>(
    source: &'a mut Source,
    range: Range,
    store: Option<&'a mut PacketStore>,
    cancel: &dyn Fn() -> bool,
    sink: &'a mut FrameSink<'a>,
) -> Result<Option<Ingest>> {
    let path = source.path.clone();
    read_range(source, range, store, cancel, sink).map_err(|error| error.with_path(&path))
}

fn read_range<'a>(
    source: &'a mut Source,
    range: Range,
    store: Option<&'a mut PacketStore>,
    cancel: &dyn Fn() -> bool,
    sink: &'a mut FrameSink<'a>,
) -> Result<Option<Ingest>> {
    ffmpeg::begin_messages();
    let base = source.time_base;
    let time_base = ff::Rational::new(base.num() as i32, base.den() as i32);
    // What is not written is looked for where packets may be copied. Frames that are encoded anew show it as gray.
    let fill = if store.is_some() { Fill::Pattern } else { Fill::Gray };
    let decoder = Decoder::new(&source.parameters()?, time_base, range.delay, fill)?;
    let codec = Codec::parse(&source.facts.codec);
    let scanner = codec.map(|codec| Scanner::new(codec, &source.facts.extradata));
    let parameter_sets = codec.map(|codec| ParameterSets::new(codec, &source.facts.extradata));
    let unpacker = match &store {
        Some(_) => Unpacker::new(&source.facts.codec, &source.parameters()?)?,
        None => None,
    };
    let timeline = Timeline::of(source);
    let mut reader = Reader {
        source,
        decoder,
        witness: None,
        unpacked: scanner.clone(),
        scanner,
        parameter_sets,
        store,
        unpacker,
        sink,
        frame: ff::frame::Video::empty(),
        out: Ingest::default(),
        silent: 0,
        bytes: 0,
        timeline,
        stop: range.stop,
        first_behind: None,
    };
    // The packets to begin with, until it is sure that no later one serves.
    let mut waiting = range.seek.map(|_| Waiting::default());
    if let Some(seek) = range.seek
        && !ffmpeg::seek_before(&mut reader.source.input, reader.source.index, seek.start.saturating_sub(seek.back))
    {
        return source_file::trouble().map_or(Ok(None), Err);
    }
    while let Some(packet) = reader.next_packet(cancel)? {
        if let Some(seek) = range.seek {
            let (Some(pts), Some(dts)) = (packet.pts(), packet.dts()) else { return Ok(None) };
            if let Some(waiting) = &mut waiting {
                let facts = reader.scan(&packet);
                if facts.is_place() && pts <= seek.start {
                    waiting.begin(packet, facts.recovery.is_some());
                    continue;
                }
                if dts <= seek.start {
                    waiting.add(packet);
                    continue;
                }
            }
            if let Some(waiting) = waiting.take()
                && !reader.begin(waiting, range.delay)?
            {
                return Ok(None);
            }
        }
        if range.stop.is_some_and(|stop| reader.is_behind(stop, &packet)) {
            break;
        }
        reader.take(packet)?;
        if range.first_frame_only && !reader.out.frames.is_empty() {
            return Ok(Some(reader.out));
        }
    }
    if let Some(waiting) = waiting
        && !reader.begin(waiting, range.delay)?
    {
        return Ok(None);
    }
    reader.unpack(None)?;
    reader.out.parameters = reader.unpacker.as_mut().and_then(Unpacker::parameters);
    // After a start at a recovery point FFmpeg 5.1 holds back for good what is drained before its first frame came out.
    let (is_doubtful, start) = (reader.witness.is_some(), reader.out.start);
    let has_refused = reader.out.complaints.iter().any(|said| said.is_error && said.packet >= start);
    reader.decoder.finish(is_doubtful && !has_refused);
    reader.drain()?;
    if let Some(message) = ffmpeg::take_message() {
        reader.complain(message, false);
    }
    if let Some(witness) = reader.witness.take()
        && !witness.agrees(&reader.out)
    {
        return Ok(None);
    }
    reader.out.delay = reader.decoder.delay();
    reader.out.decoding = reader.decoder.took();
    let timeline = &reader.timeline;
    (reader.out.first_jump, reader.out.num_jumps) = (timeline.first_jump, timeline.num_jumps);
    reader.out.num_far_times = timeline.num_dropped;
    reader.out.has_warnings = ffmpeg::may_have_warned();
    reader.out.is_unheard = !ffmpeg::is_heard();
    Ok(Some(reader.out))
}

/// Packets from a place where decoding may start on.
#[derive(Default)]
struct Waiting {
    packets: Vec<ff::Packet>,
    /// Which of them is the last such place, and whether that has to be proved. Then they begin at the place before.
    place: usize,
    is_doubtful: bool,
}

impl Waiting {
    /// A later place.
    fn begin(&mut self, packet: ff::Packet, is_doubtful: bool) {
        let useless = if is_doubtful { self.place } else { self.packets.len() };
        self.packets.drain(..useless);
        (self.place, self.is_doubtful) = (self.packets.len(), is_doubtful);
        self.packets.push(packet);
    }

    fn add(&mut self, packet: ff::Packet) {
        if !self.packets.is_empty() {
            self.packets.push(packet);
        }
    }
}

/// A second decoder, which begins where it is doubtful that decoding may. Up to the next such place both must give the same.
struct Witness {
    decoder: Decoder,
    first: u32,
    /// Packet of the next place.
    end: Option<u32>,
    frame: ff::frame::Video,
    /// What came of which packet.
    crcs: HashMap<u32, u32>,
}

impl Witness {
    fn see(&mut self, number: u32, facts: PictureFacts, packet: &ff::Packet) {
        if number < self.first || self.end.is_some() {
            return;
        }
        if number > self.first && facts.is_place() {
            self.end = Some(number);
            return self.finish();
        }
        // What is refused is missed at the end.
        let _ = self.decoder.send(packet);
        self.drain();
    }

    fn finish(&mut self) {
        self.decoder.finish(true);
        self.drain();
    }

    fn drain(&mut self) {
        while self.decoder.receive(&mut self.frame).unwrap_or(false) {
            let packet = self.frame.pts().and_then(|pts| u32::try_from(pts).ok());
            if let Some((packet, view)) = packet.zip(ffmpeg::view(&self.frame)) {
                self.crcs.insert(packet, frame_crc(&view));
            }
        }
    }

    /// Whether it gave all frames of the reading from its first picture on.
    fn agrees(mut self, ingest: &Ingest) -> bool {
        if self.end.is_none() {
            self.finish();
        }
        let packets = self.first..self.end.unwrap_or(u32::MAX);
        let mut frames = ingest.frames.iter().skip_while(|frame| frame.packet != self.first).peekable();
        frames.peek().is_some()
            && frames
                .filter(|frame| packets.contains(&frame.packet))
                .all(|frame| self.crcs.get(&frame.packet) == Some(&frame.crc32c))
    }
}

impl Reader<'_> {
    /// Takes the packets that the reading begins with. False where they give no place to start, or one that cannot be proved.
    fn begin(&mut self, waiting: Waiting, delay: u8) -> Result<bool> {
        if waiting.packets.is_empty() || waiting.is_doubtful && waiting.place == 0 {
            return Ok(false);
        }
        if waiting.is_doubtful {
            let first = u32::try_from(waiting.place).unwrap_or(u32::MAX);
            let base = self.source.time_base;
            let base = ff::Rational::new(base.num() as i32, base.den() as i32);
            let decoder = Decoder::new(&self.source.parameters()?, base, delay, Fill::Gray)?;
            let frame = ff::frame::Video::empty();
            self.witness = Some(Witness { decoder, first, end: None, frame, crcs: HashMap::new() });
            self.out.start = first;
        }
        for packet in waiting.packets {
            self.take(packet)?;
        }
        Ok(true)
    }

    /// The next packet of the video stream with anything in it, on the timeline; `None` at the end.
    fn next_packet(&mut self, cancel: &dyn Fn() -> bool) -> Result<Option<ff::Packet>> {
        loop {
            self.source.check_budget(cancel)?;
            let mut packet = ff::Packet::empty();
            let read = packet.read(&mut self.source.input);
            // Demuxers take an error of the machine for the end, or pass over what they could not read.
            if let Some(trouble) = source_file::trouble() {
                return Err(trouble);
            }
            match read {
                Ok(()) => {}
                Err(ff::Error::Eof) => return Ok(None),
                Err(ff::Error::Other { errno }) if errno == libc::EAGAIN => continue,
                Err(error) => {
                    if let Some(failure) = source_file::read_failure(error) {
                        return Err(failure);
                    }
                    // The demuxer found damage. The ffmpeg command ends here as well.
                    self.out.read_error = Some(error.to_string());
                    return Ok(None);
                }
            }
            self.bytes += packet.size() as u64 + 1;
            if self.bytes > self.source.file_bytes.saturating_mul(64).saturating_add(64 << 20) {
                return Err(Error::new(ErrorKind::LimitExceeded, "gives far more packets than its size can hold"));
            }
            if packet.stream() == self.source.index {
                self.out.num_read += 1;
                if packet.size() > 0 {
                    let stated = SourceTime { pts: packet.pts(), dts: packet.dts(), duration: packet.duration() };
                    let time = self.timeline.follow(stated);
                    packet.set_pts(time.pts);
                    packet.set_dts(time.dts);
                    return Ok(Some(packet));
                }
            }
        }
    }

    /// True where neither `packet` nor one behind it is shown before `stop`, nor before a packet shown at or after `stop` that
    /// has been read: a packet is decoded no later than it is shown.
    fn is_behind(&self, stop: i64, packet: &ff::Packet) -> bool {
        let Some(dts) = packet.dts().filter(|&dts| dts >= stop) else { return false };
        packet.pts().is_none_or(|pts| pts >= dts && self.first_behind.is_some_and(|first| first <= dts))
    }

    fn scan(&mut self, packet: &ff::Packet) -> PictureFacts {
        self.scanner.as_mut().zip(packet.data()).map(|(scanner, data)| scanner.scan(data)).unwrap_or_default()
    }

    /// Stores and decodes a packet.
    fn take(&mut self, mut packet: ff::Packet) -> Result<()> {
        let number = u32::try_from(self.out.packets.len())
            .ok()
            .filter(|&number| number < u32::MAX)
            .ok_or_else(|| Error::new(ErrorKind::LimitExceeded, "has more than 2^32 packets"))?;
        if packet.side_data().any(|data| data.kind() == ff::codec::packet::side_data::Type::EncryptionInfo) {
            self.out.first_encrypted.get_or_insert(number);
        }
        let new_configuration = packet.side_data().any(|data| {
            data.kind() == ff::codec::packet::side_data::Type::NewExtraData
                && data.data() != self.source.facts.extradata
        });
        if new_configuration {
            self.out.not_copyable.get_or_insert_with(|| "its decoder configuration changes on the way".to_owned());
        }
        if let (Some(sets), Some(data)) = (&self.parameter_sets, packet.data()) {
            self.out.brings_parameters = self.out.brings_parameters || sets.differ(data);
        }
        let slot = match (&mut self.store, packet.data()) {
            (Some(store), Some(data)) if self.unpacker.is_none() => store.push(data)?,
            _ => Slot::default(),
        };
        if let (Some(stop), Some(pts)) = (self.stop, packet.pts())
            && pts >= stop
        {
            self.first_behind = Some(self.first_behind.map_or(pts, |first| first.min(pts)));
        }
        let facts = self.scan(&packet);
        self.out.packets.push(SourcePacket {
            time: SourceTime { pts: packet.pts(), dts: packet.dts(), duration: packet.duration() },
            discard: ffmpeg::packet_flags(&packet) & ff::ffi::AV_PKT_FLAG_DISCARD != 0,
            facts,
            bytes: packet.size() as u32,
            slot,
        });
        // The frame carries its packet's number through the decoder in place of a time.
        packet.set_pts(Some(i64::from(number)));
        packet.set_dts(Some(i64::from(number)));
        if self.unpacker.is_some() {
            self.unpack(Some(packet.clone()))?;
        }
        self.silent += 1;
        if self.silent > MAX_SILENT_PACKETS {
            return Err(Error::decode(format!("{MAX_SILENT_PACKETS} packets in a row gave no frame")));
        }
        if let Err(error) = self.decoder.send(&packet) {
            self.note(error);
        }
        self.drain()?;
        if let Some(message) = ffmpeg::take_message() {
            self.complain(message, false);
        }
        if let Some(witness) = &mut self.witness {
            witness.see(number, facts, &packet);
            // It complains of the pictures that its first one leads.
            let _ = ffmpeg::take_message();
        }
        Ok(())
    }

    /// Stores what a packet, or the end, brings out of the unpacker, each under the number of the packet it stands for.
    fn unpack(&mut self, packet: Option<ff::Packet>) -> Result<()> {
        let (Some(unpacker), Some(store)) = (&mut self.unpacker, &mut self.store) else { return Ok(()) };
        let (packets, scanner) = (&mut self.out.packets, &mut self.unpacked);
        let mut take = |unpacked: &ff::Packet| {
            let number = unpacked.pts().and_then(|pts| usize::try_from(pts).ok());
            let entry = number.and_then(|number| packets.get_mut(number));
            if let (Some(entry), Some(data)) = (entry, unpacked.data()) {
                entry.slot = store.push(data)?;
                entry.facts = scanner.as_mut().map(|scanner| scanner.scan(data)).unwrap_or_default();
            }
            Ok(())
        };
        if let Err(error) = unpacker.filter(packet, &mut take) {
            if error.kind() != ErrorKind::Decode {
                return Err(error);
            }
            self.out.not_copyable.get_or_insert_with(|| error.message().to_owned());
        }
        Ok(())
    }

    fn note(&mut self, error: ff::Error) {
        let message = ffmpeg::take_message().unwrap_or_else(|| error.to_string());
        self.complain(message, true);
    }

    /// Notes what was said of the last packet.
    fn complain(&mut self, message: String, is_error: bool) {
        let packet = self.out.packets.len().saturating_sub(1) as u32;
        match self.out.complaints.last_mut() {
            Some(last) if last.packet == packet && last.is_error >= is_error => {}
            Some(last) if last.packet == packet => *last = Complaint { packet, message, is_error },
            _ => self.out.complaints.push(Complaint { packet, message, is_error }),
        }
    }

    /// Takes all frames that the decoder has.
    fn drain(&mut self) -> Result<()> {
        loop {
            match self.decoder.receive(&mut self.frame) {
                Ok(true) => self.note_frame()?,
                Ok(false) => return Ok(()),
                Err(error) => {
                    self.note(error);
                    return Ok(());
                }
            }
        }
    }

    fn note_frame(&mut self) -> Result<()> {
        self.silent = 0;
        let number = self.out.frames.len();
        let sample_aspect = ffmpeg::sample_aspect(&mut self.source.input, self.source.index, &mut self.frame);
        self.out.appearances.push(number, Appearance { facts: ffmpeg::frame_facts(&self.frame), sample_aspect });
        let packet = self
            .frame
            .pts()
            .and_then(|pts| u32::try_from(pts).ok())
            .filter(|&packet| (packet as usize) < self.out.packets.len());
        let packet =
            packet.ok_or_else(|| Error::decode(format!("frame {number} does not say from which packet it is")))?;
        if self.frame.is_corrupt() || self.frame.has_decode_errors() {
            self.out.damaged.push(packet);
        }
        let view = ffmpeg::view(&self.frame);
        if self.store.is_some() && view.as_ref().is_some_and(has_unwritten) {
            self.out.unwritten.push(packet);
        }
        let crc32c = view.map_or(0, |view| frame_crc(&view));
        self.out.frames.push(TruthFrame { packet, crc32c });
        let pts = self.out.packets.get(packet as usize).and_then(|packet| packet.time.pts);
        (self.sink)(&Given { number, pts, sample_aspect, frame: &self.frame })
    }
}

/// CRC32C of a frame's planes without padding.
pub(crate) fn frame_crc(view: &FrameView<'_>) -> u32 {
    let mut crc = Crc32c::new();
    for plane in 0..view.format.num_planes() {
        let (_, rows) = view.format.plane_size(plane, view.width, view.height);
        for row in 0..rows {
            crc.update(view.row(plane, row));
        }
    }
    crc.value()
}
