//! One reading of a source for one request: where it started, what came out, which frames are wanted. From it a clip is
//! copied, or encoded anew.

use super::conform::Conformer;
use super::convert_clip::ClipRequest;
use super::gops;
use super::mux::Presentation;
use super::record_builder::{Draft, DraftPacket, Finished};
use super::reencode;
use crate::convert::source::changes::{Appearance, Changes, OnChange};
use crate::convert::source::frame_observer::Tap;
use crate::convert::source::ingest;
use crate::convert::source::ingest::{Complaint, FrameSink, Given, Ingest, Range, Seek};
use crate::convert::source::opened::Source;
use crate::convert::source::packet_spill::PacketStore;
use crate::convert::source::reasons;
use crate::convert::source::timestamps;
use crate::convert::source::timestamps::{SourceTime, Times};
use crate::convert::source::{color_and_rotation, cut, timeline, unpack};
use crate::ffmpeg;
use crate::ffmpeg::pixel_layout::PixelLayout;
use crate::ffmpeg::{StreamFacts, TrackFacts};
use crate::media::{Closed, Codec, ColorSpec, JumpLimit, Orientation, PacketFlags, PixelFormat, TimeBase};
use crate::{Error, Result};
use ffmpeg_next as ff;
use std::ops;
use std::path::Path;

/// How far before a cut to look for a random access point, in seconds, before everything is read.
const BACK_SECONDS: [f64; 4] = [0.0, 5.0, 20.0, 80.0];

/// How the message of a cut without a frame begins.
pub(crate) const NO_FRAME: &str = "no frame lies";

/// See the module's docs.
pub(crate) struct Reading {
    pub(crate) range: Range,
    pub(crate) ingest: Ingest,
    /// Packets that the source says it has, where it ends before they do and the reading was of all of it.
    packets_before_cut: Option<usize>,
    times: Times,
    /// Which packets gave a frame, and what they are as far as the source's bits say.
    has_frame: Vec<bool>,
    flags: Vec<PacketFlags>,
    /// Packets before the first keyframe, none of which gave a frame: the reading begins in the middle of a GOP.
    num_dead: usize,
    store: PacketStore,
    /// Frames of the reading that the request asks for.
    pub(crate) wanted: ops::Range<usize>,
    /// What the first of them says of itself.
    look: Appearance,
    /// Where later ones say something else.
    changes: Changes,
    stream: StreamFacts,
    pub(crate) time_base: TimeBase,
    /// Time of the source's first frame.
    pub(crate) first_time: i64,
}

/// The codec in words, with its FourCC where that tells more.
pub(crate) fn named(source: &Source) -> String {
    let tag: String = source.facts.tag.to_le_bytes().iter().map(|&byte| char::from(byte)).collect();
    let is_readable = tag.chars().all(|c| c.is_ascii_graphic());
    if is_readable && source.facts.codec == "none" {
        format!("the codec '{tag}'")
    } else if is_readable && !tag.eq_ignore_ascii_case(&source.facts.codec) {
        format!("{} (tag '{tag}')", source.facts.codec)
    } else {
        source.facts.codec.clone()
    }
}

impl Reading {
    /// Reads what the request needs: near the cut where the source's times and random access points can be trusted, else
    /// from the beginning.
    pub(crate) fn of(
        source: &mut Source,
        request: &ClipRequest,
        mp4: &Path,
        cancel: &dyn Fn() -> bool,
        tap: &mut dyn Tap,
    ) -> Result<Self> {
        if request.start.is_some_and(|start| start > 0.0)
            && !ffmpeg::lacks_timestamps(&source.input)
            && let Some(reading) = Self::near(request, mp4, cancel, tap)?
        {
            return reading.checked(request);
        }
        let mut range = Range::default();
        if request.end.is_some() {
            range.stop = Self::first_time(request, cancel)?.map(|first| {
                // Sources whose times are in order end early; half a second more sees to frames that are out of order.
                first.saturating_add(ticks(source.time_base, request.end.unwrap_or(0.0) + 0.5))
            });
        }
        let mut store = PacketStore::new(mp4);
        let ingest = Self::read(source, range, &mut store, None, tap, cancel)?;
        let ingest = ingest.ok_or_else(|| Error::decode("cannot read the source").with_path(&source.path))?;
        let reading = Self::select(source, range, ingest, store, None, request)?;
        if range.stop.is_some() && !reading.is_trustworthy() {
            // Times that need repair may not decide where reading ends.
            let mut again = Source::open(&request.source, request.stream)?;
            let mut store = PacketStore::new(mp4);
            let ingest = Self::read(&mut again, Range::default(), &mut store, None, tap, cancel)?;
            let ingest = ingest.ok_or_else(|| Error::decode("cannot read the source").with_path(&source.path))?;
            return Self::select(&again, Range::default(), ingest, store, None, request)?.checked(request);
        }
        reading.checked(request)
    }

    /// Reads around a cut; `None` where that cannot be trusted to give what reading everything gives.
    fn near(request: &ClipRequest, mp4: &Path, cancel: &dyn Fn() -> bool, tap: &mut dyn Tap) -> Result<Option<Self>> {
        if timeline::sets_its_clock(&request.source, request.stream, cancel)? {
            return Ok(None);
        }
        let Some(first) = Self::first_time(request, cancel)? else { return Ok(None) };
        let mut delay = 0;
        for back in BACK_SECONDS {
            let mut source = Source::open(&request.source, request.stream)?;
            let base = source.time_base;
            let start = first.saturating_add(ticks(base, request.start.unwrap_or(0.0)));
            let stop = request.end.map(|end| first.saturating_add(ticks(base, end)));
            let mut range =
                Range { seek: Some(Seek { start, back: ticks(base, back) }), stop, first_frame_only: false, delay };
            let mut store = PacketStore::new(mp4);
            let Some(mut ingest) = Self::read(&mut source, range, &mut store, Some(first), tap, cancel)? else {
                continue;
            };
            if ingest.delay > source.facts.video_delay {
                // The decoder learned on the way how long to hold frames back; from the start of the file it would have
                // known by now.
                delay = ingest.delay;
                range.delay = delay;
                let mut again = Source::open(&request.source, request.stream)?;
                store = PacketStore::new(mp4);
                let Some(second) = Self::read(&mut again, range, &mut store, Some(first), tap, cancel)? else {
                    return Ok(None);
                };
                ingest = second;
            }
            let start = ingest.start;
            let is_refused = ingest.complaints.iter().any(|said| said.is_error && said.packet >= start);
            let mut damaged = ingest.damaged.iter().chain(&ingest.unwritten);
            if ingest.frames.is_empty() || is_refused || damaged.any(|&packet| packet >= start) {
                return Ok(None);
            }
            let reading = Self::select(&source, range, ingest, store, Some(first), request)?;
            return Ok((reading.is_trustworthy() && !reading.wanted.is_empty()).then_some(reading));
        }
        Ok(None)
    }

    /// True where the source's times were good as they are: all there, no packet shown before it is decoded, decoded in order.
    fn is_trustworthy(&self) -> bool {
        let is_good = |time: &SourceTime| matches!((time.pts, time.dts), (Some(pts), Some(dts)) if pts >= dts);
        self.times.repaired_frames == 0
            && self.ingest.packets.iter().all(|packet| is_good(&packet.time))
            && self.ingest.packets.windows(2).all(|pair| matches!(pair, [a, b] if a.time.dts < b.time.dts))
    }

    /// Time of the source's first frame, where its packet has one.
    fn first_time(request: &ClipRequest, cancel: &dyn Fn() -> bool) -> Result<Option<i64>> {
        let mut source = Source::open(&request.source, request.stream)?;
        let range = Range { first_frame_only: true, ..Range::default() };
        let ingest = ingest::read(&mut source, range, None, cancel, &mut |_| Ok(()))?.unwrap_or_default();
        let packet = ingest.frames.first().and_then(|frame| ingest.packets.get(frame.packet as usize));
        Ok(packet.and_then(|packet| packet.time.pts))
    }

    /// `first_time` is the time of the source's first frame, where the reading may begin later.
    fn read(
        source: &mut Source,
        range: Range,
        store: &mut PacketStore,
        first_time: Option<i64>,
        tap: &mut dyn Tap,
        cancel: &dyn Fn() -> bool,
    ) -> Result<Option<Ingest>> {
        // Packets of a codec that no MP4 holds are not kept.
        let store = Codec::parse(&source.facts.codec).filter(|_| tap.keeps_packets()).map(|_| store);
        tap.begin(source, first_time);
        ingest::read(source, range, store, cancel, &mut |given| tap.frame(given))
    }

    fn select(
        source: &Source,
        range: Range,
        ingest: Ingest,
        store: PacketStore,
        first_time: Option<i64>,
        request: &ClipRequest,
    ) -> Result<Self> {
        let Some(first) = ingest.appearances.first().cloned() else {
            return Err(no_frame(source, &ingest).with_path(&source.path));
        };
        let source_times: Vec<SourceTime> = ingest.packets.iter().map(|packet| packet.time).collect();
        let frame_packets: Vec<u32> = ingest.frames.iter().map(|frame| frame.packet).collect();
        let jump = JumpLimit::new(source.time_base);
        let times = timestamps::repair(&source_times, &frame_packets, source.interval, jump);
        let frame_pts: Vec<i64> = frame_packets.iter().filter_map(|&n| times.pts.get(n as usize).copied()).collect();
        let first_time = first_time.or(frame_pts.first().copied()).unwrap_or(0);
        let wanted = cut::frames(&frame_pts, first_time, source.time_base, request.start, request.end);
        let mut has_frame = vec![false; ingest.packets.len()];
        for &packet in &frame_packets {
            if let Some(slot) = has_frame.get_mut(packet as usize) {
                *slot = true;
            }
        }
        let bits: Vec<_> = ingest.packets.iter().map(|packet| packet.facts).collect();
        let flags = gops::flags(&bits, &times.pts, &has_frame, &vec![false; bits.len()]);
        // What an edit list hides is no loss, and stays.
        let keyframe = cut::packets(&flags, &has_frame, &frame_packets, None, true).start;
        let is_dead = |packet: &ingest::SourcePacket| !packet.discard;
        let are_dead =
            ingest.packets.iter().take(keyframe).all(is_dead) && !has_frame.iter().take(keyframe).any(|&it| it);
        let is_whole = range.seek.is_none() && range.stop.is_none();
        let said = ffmpeg::packets_before_cut(&source.input, source.index);
        Ok(Self {
            range,
            packets_before_cut: said.filter(|&said| is_whole && ingest.num_read < said),
            look: ingest.appearances.at(wanted.start).cloned().unwrap_or(first),
            changes: ingest.appearances.changes(wanted.clone(), &source.facts),
            ingest,
            times,
            has_frame,
            flags,
            num_dead: if are_dead { keyframe } else { 0 },
            store,
            wanted,
            stream: source.facts.clone(),
            time_base: source.time_base,
            first_time,
        })
    }

    /// The reading, where it has frames that the request lets pass.
    fn checked(self, request: &ClipRequest) -> Result<Self> {
        if self.wanted.is_empty() {
            let start = request.start.unwrap_or(0.0);
            let end = request.end.map_or("the end".to_owned(), |end| format!("{end} s"));
            return Err(Error::invalid(format!("{NO_FRAME} between {start} s and {end}")).with_path(&request.source));
        }
        if request.on_change == OnChange::Refuse {
            self.changes.refuse().map_err(|error| error.with_path(&request.source))?;
        }
        Ok(self)
    }

    /// What a person should know about the source.
    pub(crate) fn warnings(&self, source: &Source) -> Vec<String> {
        let mut warnings = Vec::new();
        let ingest = &self.ingest;
        if source.num_video_streams > 1 {
            let (count, index) = (source.num_video_streams, source.index);
            warnings.push(format!("has {count} video streams, stream {index} was taken"));
        }
        let shown = ingest.frames.get(self.wanted.clone()).unwrap_or_default();
        if ingest.first_encrypted.is_some_and(|first| shown.iter().any(|frame| frame.packet >= first)) {
            warnings.push("the video is encrypted: its frames are noise".to_owned());
        }
        if let Some(said) = self.packets_before_cut {
            warnings.push(format!("the file ends early: it names {said} packets, {} could be read", ingest.num_read));
        }
        warnings.extend(self.begins_in_the_middle());
        let errors: Vec<&str> = self.complaints(0).filter(|said| said.is_error).map(|said| &*said.message).collect();
        match errors.as_slice() {
            [] => {}
            [error] => warnings.push(format!("a packet could not be decoded: {error}")),
            [first, ..] => {
                warnings.push(format!("{} packets could not be decoded, the first: {first}", errors.len()));
            }
        }
        match ingest.damaged.iter().filter(|&&packet| packet >= ingest.start).count() {
            0 => {}
            1 => warnings.push("a frame is damaged".to_owned()),
            count => warnings.push(format!("{count} frames are damaged")),
        }
        if let Some(error) = &ingest.read_error {
            warnings.push(format!("reading ended before the end of the file: {error}"));
        }
        self.warn_of_times(&mut warnings);
        warnings.extend(self.changes.warning());
        if self.orientation().is_none() {
            warnings.push("the rotation is no multiple of 90 degrees and is not applied".to_owned());
        }
        warnings
    }

    /// What had to be done to the times, and jumps that were left in them. What is normal for a container is not said.
    fn warn_of_times(&self, warnings: &mut Vec<String>) {
        let (ingest, times) = (&self.ingest, &self.times);
        let (all, base) = (ingest.frames.len(), self.time_base);
        let seconds = |ticks: i64| (base.seconds(ticks).abs() * 1000.0).round() / 1000.0;
        if let Some(jump) = ingest.first_jump {
            let way = if jump.ticks > 0 { "forward" } else { "back" };
            let frame = ingest.frames.iter().filter(|frame| (frame.packet as usize) < jump.packet).count();
            let more = match ingest.num_jumps {
                1 => String::new(),
                count => format!(", the first of {count} jumps"),
            };
            warnings.push(format!(
                "timestamps jump {way} by {} s at frame {frame}{more}: the frames follow each other without the jump",
                seconds(jump.ticks)
            ));
        }
        if ingest.num_far_times > 0 {
            let count = ingest.num_far_times;
            warnings
                .push(format!("{count} of {all} timestamps are more than 30 hours from the others and were replaced"));
        }
        if times.ordered_frames > 0 {
            let count = times.ordered_frames;
            warnings.push(format!(
                "timestamps are in decode order, as if there were no B-frames: those of {count} of {all} frames were sorted"
            ));
        }
        if times.spread_frames > 0 {
            let count = times.spread_frames;
            warnings.push(format!("timestamps stand still or go back: {count} of {all} frames were spread evenly"));
        }
        if times.guessed_frames > 0 && ingest.num_far_times == 0 {
            let count = times.guessed_frames;
            warnings.push(format!("{count} of {all} frames have no timestamp and were spread between the others"));
        }
        let pts: Vec<i64> = self.wanted.clone().filter_map(|frame| self.frame_pts(frame)).collect();
        if let Some(closed) = Closed::of(&pts, self.shown().end, JumpLimit::new(base))
            && let Some(&(frame, ticks)) = closed.jumps.first()
        {
            let more = match closed.jumps.len() {
                1 => String::new(),
                count => format!(", the first of {count} jumps"),
            };
            warnings.push(format!(
                "timestamps jump forward by {} s after frame {frame}{more}: only that frame is shown there, and windows and --fps pass over it",
                seconds(ticks)
            ));
        }
    }

    /// What FFmpeg complained of from packet `from` on, but for what gives no frame because the source begins in the middle.
    fn complaints(&self, from: usize) -> impl Iterator<Item = &Complaint> {
        let from = from.max(self.num_dead).max(self.ingest.start as usize);
        let led = self.led_by_the_first(from);
        self.ingest.complaints.iter().filter(move |said| {
            let packet = said.packet as usize;
            packet >= from && !(led.contains(&packet) && self.has_frame.get(packet) == Some(&false))
        })
    }

    /// There is a sign of damage from packet `from` on.
    fn is_damaged(&self, from: usize) -> bool {
        let mut damaged = self.ingest.damaged.iter().chain(&self.ingest.unwritten);
        self.ingest.is_unheard
            || self.complaints(from).next().is_some()
            || damaged.any(|&packet| packet as usize >= from)
    }

    /// The packets behind packet `first`, a keyframe, that lead there and so need what is before it.
    fn led_by_the_first(&self, first: usize) -> ops::Range<usize> {
        let is_led =
            |flags: &&PacketFlags| flags.contains(PacketFlags::LEADING) && !flags.contains(PacketFlags::KEYFRAME);
        let count = self.flags.iter().skip(first + 1).take_while(is_led).count();
        first + 1..first + 1 + count
    }

    /// What is lost of a source that begins in the middle of a GOP, in words.
    fn begins_in_the_middle(&self) -> Option<String> {
        // What an edit list hides is no loss.
        let is_lost = |&index: &usize| {
            let is_hidden = self.ingest.packets.get(index).is_none_or(|packet| packet.discard);
            self.has_frame.get(index) == Some(&false) && !is_hidden
        };
        let num_led = match self.range.seek {
            None => self.led_by_the_first(self.num_dead).filter(is_lost).count(),
            Some(_) => 0,
        };
        let packets = |count: usize| if count == 1 { "1 packet".to_owned() } else { format!("{count} packets") };
        let before = format!("{} before the first keyframe gave no frame and were left out", packets(self.num_dead));
        let behind =
            format!("{} behind the first keyframe need what was before it and gave no frame", packets(num_led));
        let lost: Vec<String> =
            [(self.num_dead, before), (num_led, behind)].into_iter().filter(|it| it.0 > 0).map(|it| it.1).collect();
        (!lost.is_empty()).then(|| format!("begins in the middle of a GOP: {}", lost.join("; ")))
    }

    /// Why the packets cannot be copied, if so.
    pub(crate) fn not_copyable(&self, codec: &str) -> Option<String> {
        if Codec::parse(codec).is_none() {
            return Some(format!("an MP4 cannot hold {codec}"));
        }
        if PixelFormat::parse(&self.look.facts.format).is_none() {
            return Some(format!("{} is not stored plane by plane", self.look.facts.format));
        }
        let mut packets: Vec<u32> = self.ingest.frames.iter().map(|frame| frame.packet).collect();
        packets.sort_unstable();
        if packets.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
            return Some("one packet gives several frames".to_owned());
        }
        self.changes.not_copyable().or_else(|| self.ingest.not_copyable.clone())
    }

    fn matrix(&self) -> Option<[i32; 9]> {
        self.look.facts.display_matrix.or(self.stream.display_matrix)
    }

    fn orientation(&self) -> Option<Orientation> {
        color_and_rotation::orientation(self.matrix())
    }

    fn track(&self) -> TrackFacts {
        TrackFacts { sample_aspect: self.look.sample_aspect, display_matrix: self.matrix() }
    }

    fn color(&self, codec: Codec, pixel: PixelFormat) -> ColorSpec {
        let first = &self.look.facts;
        color_and_rotation::color(first.color, self.stream.color, &first.format, pixel, codec, first.height)
    }

    /// What the pictures of the source are: their samples as planes, and their colour.
    pub(crate) fn pictures(&self) -> Result<(PixelFormat, ColorSpec)> {
        let planar = PixelLayout::of_name(&self.look.facts.format)?.planar();
        Ok((planar, self.color(Codec::parse(&self.stream.codec).unwrap_or(Codec::H264), planar)))
    }

    /// What of the pictures is lost where each colour sample has `depth` bits in the end.
    pub(crate) fn losses(&self, depth: u8) -> Vec<String> {
        PixelLayout::of_name(&self.look.facts.format).map(|layout| layout.losses(depth)).unwrap_or_default()
    }

    /// Bytes of the packets that the wanted frames come from, and of those between them.
    pub(crate) fn packet_bytes(&self) -> u64 {
        let packets = self.ingest.frames.get(self.wanted.clone()).unwrap_or_default().iter().map(|frame| frame.packet);
        let range = packets.clone().min().zip(packets.max()).map(|(first, last)| first as usize..=last as usize);
        let packets = range.and_then(|range| self.ingest.packets.get(range)).unwrap_or_default();
        packets.iter().map(|packet| u64::from(packet.bytes)).sum()
    }

    /// When the picture changes, in seconds after the source's first frame.
    pub(crate) fn change_seconds(&self) -> Vec<f64> {
        let places = self.ingest.appearances.places(&self.stream);
        let times = places.into_iter().filter_map(|frame| self.frame_pts(frame));
        times.map(|pts| self.time_base.seconds(pts.saturating_sub(self.first_time))).collect()
    }

    /// Time of a frame of the reading.
    pub(crate) fn frame_pts(&self, frame: usize) -> Option<i64> {
        let packet = self.ingest.frames.get(frame)?.packet;
        self.times.pts.get(packet as usize).copied()
    }

    /// When the wanted frames are shown.
    pub(crate) fn shown(&self) -> Presentation {
        let start = self.frame_pts(self.wanted.start).unwrap_or(0);
        let last = self.frame_pts(self.wanted.end.saturating_sub(1)).unwrap_or(start);
        let end = self.frame_pts(self.wanted.end).unwrap_or(last.saturating_add(self.times.last_duration));
        Presentation { start, end }
    }

    /// Stores the packets as they are.
    pub(crate) fn copy(
        &self,
        source: &Source,
        mp4: &Path,
        request: &ClipRequest,
        cancel: &dyn Fn() -> bool,
    ) -> Result<Finished> {
        let is_cut = request.start.is_some_and(|start| start > 0.0);
        let from = if is_cut { None } else { Some(self.num_dead) };
        match self.draft(source, from)?.finish(&self.store, mp4, request.check, cancel) {
            // The random access point that was believed may be none; with everything before it there is no doubt.
            Err(error) if from != Some(0) && error.kind() == crate::ErrorKind::Decode => {
                self.draft(source, Some(0))?.finish(&self.store, mp4, request.check, cancel)
            }
            result => result,
        }
    }

    /// The record of the packets from packet `from` on, or from the keyframe on that governs the wanted frames.
    fn draft(&self, source: &Source, from: Option<usize>) -> Result<Draft> {
        let codec = Codec::parse(&self.stream.codec).ok_or_else(|| Error::unsupported("codec is not ours"))?;
        let pixel_format = PixelFormat::parse(&self.look.facts.format)
            .ok_or_else(|| Error::unsupported("pixel format is not planar"))?;
        let all = &self.ingest.packets;
        let wanted = self.ingest.frames.get(self.wanted.clone()).unwrap_or_default();
        let wanted_packets: Vec<u32> = wanted.iter().map(|frame| frame.packet).collect();
        let mut is_wanted = vec![false; all.len()];
        for &packet in &wanted_packets {
            if let Some(slot) = is_wanted.get_mut(packet as usize) {
                *slot = true;
            }
        }
        let to_end = self.wanted.end == self.ingest.frames.len() && self.range.stop.is_none();
        let mut range = cut::packets(&self.flags, &self.has_frame, &wanted_packets, from, to_end);
        let delay = self.ingest.delay.max(self.stream.video_delay);
        // Where a player would lose the end, an earlier place is the only one to start at.
        let mut is_short = false;
        while range.start > 0 && self.loses_its_end(range.clone(), delay) {
            is_short = true;
            range.start = cut::keyframe_before(&self.flags, range.start);
        }
        let start = range.start;
        let mut packets = Vec::with_capacity(range.len());
        // Where each packet of the reading lies in the draft; those that unpacking emptied are left out.
        let mut place = vec![u32::MAX; all.len()];
        for index in range {
            let (Some(packet), Some(&pts), Some(&dts)) =
                (all.get(index), self.times.pts.get(index), self.times.dts.get(index))
            else {
                continue;
            };
            let shown = self.has_frame.get(index) == Some(&true);
            if packet.slot.size == 0 && !shown {
                continue;
            }
            if let Some(slot) = place.get_mut(index) {
                *slot = packets.len() as u32;
            }
            packets.push(DraftPacket {
                slot: packet.slot,
                pts,
                dts,
                is_key: packet.facts.is_place() && !(is_short && packet.facts.recovery.is_some()),
                has_frame: shown,
                // A demuxer's mark says that a packet is not to be shown. Where the decoder shows it all the same, so does the record.
                discard: if shown { is_wanted.get(index) != Some(&true) } else { packet.discard },
            });
        }
        Ok(Draft {
            codec,
            packets,
            frame_packets: wanted_packets.iter().filter_map(|&packet| place.get(packet as usize).copied()).collect(),
            crcs: Some(wanted.iter().map(|frame| frame.crc32c).collect()),
            is_damaged: self.is_damaged(start),
            is_doubted: self.ingest.has_warnings || self.ingest.brings_parameters,
            only_sure: false,
            shown: self.shown(),
            time_base: self.time_base,
            delay,
            parameters: {
                let mut parameters = self.parameters(source, start)?;
                // The source's header says what its first picture is, which may not be this clip's.
                crate::ffmpeg::set_picture_size(&mut parameters, (self.look.facts.width, self.look.facts.height));
                parameters
            },
            track: self.track(),
            pixel_format,
            size: (self.look.facts.width, self.look.facts.height),
            sample_aspect: color_and_rotation::sample_aspect(self.look.sample_aspect),
            orientation: self.orientation().unwrap_or_default(),
            color: self.color(codec, pixel_format),
        })
    }

    /// What the MP4 is told of packets from packet `start` on. Where nothing was found of it when the source was opened, it is taken
    /// from these packets.
    fn parameters(&self, source: &Source, start: usize) -> Result<ff::codec::Parameters> {
        let mut parameters = match &self.ingest.parameters {
            Some(parameters) => parameters.clone(),
            None => source.parameters()?,
        };
        let mut configuration = None;
        let codec = Codec::parse(&self.stream.codec);
        let is_needed = matches!(codec, Some(Codec::H264 | Codec::Hevc | Codec::Vvc | Codec::Mpeg2 | Codec::Mpeg4));
        if is_needed && self.stream.extradata.is_empty() {
            // It may have come before the first keyframe.
            let packets = self.ingest.packets.iter().take(start + 1).rev();
            let mut bytes = Vec::new();
            for packet in packets.filter(|packet| packet.slot.size > 0) {
                self.store.read(packet.slot, &mut bytes)?;
                configuration = unpack::configuration_in(&bytes, &parameters);
                if configuration.is_some() {
                    break;
                }
            }
        }
        ffmpeg::complete_parameters(
            &mut parameters,
            (self.look.facts.width, self.look.facts.height),
            configuration.as_deref(),
        )?;
        Ok(parameters)
    }

    /// Whether a player loses the last of these packets, which begin at a recovery point.
    fn loses_its_end(&self, range: ops::Range<usize>, delay: u8) -> bool {
        let is_recovery = self.ingest.packets.get(range.start).is_some_and(|packet| packet.facts.recovery.is_some());
        let pts = range.filter_map(|index| self.times.pts.get(index).copied());
        is_recovery && cut::loses_its_end(pts, usize::from(delay))
    }

    /// What makes the wanted frames alike.
    pub(crate) fn conformer(&self) -> Result<Conformer> {
        Conformer::new(&self.look, &self.stream)
    }

    /// Decodes the wanted frames once more: each one, made like the first of them, goes to `sink` with its number among them.
    pub(crate) fn frames(
        &self,
        request: &ClipRequest,
        cancel: &dyn Fn() -> bool,
        sink: &mut FrameSink<'_>,
    ) -> Result<()> {
        let mut source = Source::open(&request.source, request.stream)?;
        let mut conformer = self.conformer()?;
        let mut sink = |given: &Given<'_>| match given.number.checked_sub(self.wanted.start) {
            Some(number) if number < self.wanted.len() => {
                sink(&Given { number, frame: conformer.conform(given.frame)?, ..*given })
            }
            _ => Ok(()),
        };
        ingest::read(&mut source, self.range, None, cancel, &mut sink)?
            .ok_or_else(|| Error::decode("the source reads differently the second time"))?;
        Ok(())
    }

    /// Stores the frames encoded anew.
    pub(crate) fn reencode(&self, mp4: &Path, request: &ClipRequest, cancel: &dyn Fn() -> bool) -> Result<Finished> {
        let mut source = Source::open(&request.source, request.stream)?;
        let mut store = PacketStore::new(mp4);
        let (_, color) = self.pictures()?;
        let track = self.track();
        let wanted = self.wanted.clone();
        let picture = reencode::Picture { facts: &self.look.facts, color, track: &track };
        let mut conformer = self.conformer()?;
        let encoded = reencode::encode(&mut source, self.range, wanted, &picture, &mut conformer, &mut store, cancel)?;
        let frame_pts = |frame: u32| self.frame_pts(self.wanted.start + frame as usize).unwrap_or(0);
        let (packets, frame_packets) = reencode::draft_packets(&encoded.packets, &store, frame_pts)?;
        Draft {
            codec: Codec::H264,
            packets,
            frame_packets,
            crcs: encoded.crcs,
            is_damaged: false,
            is_doubted: false,
            only_sure: true,
            shown: self.shown(),
            time_base: self.time_base,
            delay: 0,
            parameters: encoded.parameters,
            track,
            pixel_format: encoded.pixel_format,
            size: (self.look.facts.width, self.look.facts.height),
            sample_aspect: color_and_rotation::sample_aspect(self.look.sample_aspect),
            orientation: self.orientation().unwrap_or_default(),
            color: encoded.color,
        }
        .finish(&store, mp4, request.check, cancel)
    }
}

/// Why a reading gave no frame at all.
fn no_frame(source: &Source, ingest: &Ingest) -> Error {
    if let Some(error) = reasons::of_no_frame(source, ingest) {
        return error;
    }
    let error = ingest.first_error().map(str::to_owned).or(ingest.read_error.clone());
    let why = error.unwrap_or_else(|| match ingest.packets.len() {
        0 => "its video stream has no packets".to_owned(),
        count => format!("{count} packets gave none"),
    });
    Error::decode(format!("no frame could be decoded: {why}"))
}

/// Seconds as ticks, rounded up as cuts are.
fn ticks(base: TimeBase, seconds: f64) -> i64 {
    base.ceil_ticks(seconds)
}
