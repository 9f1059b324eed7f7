//! The times of packets on one timeline, as the ffmpeg command makes it (`ts_discontinuity_process` of its 5.1 and
//! later).
//!
//! Containers made for broadcasting (MPEG-TS, MPEG-PS, Ogg and others that FFmpeg flags `AVFMT_TS_DISCONT`) may set
//! their clock on the way: where decode times jump forward by more than ten seconds, or back by more than a tenth, the
//! packets from there on go on where the ones before ended. Other containers keep their jumps, up to 30 hours: times
//! farther away are no times at all.

use super::opened::Source;
use super::source_file;
use super::streams::StreamChoice;
use super::timestamps::SourceTime;
use crate::Result;
use crate::ffmpeg;
use crate::media::TimeBase;
use ffmpeg_next as ff;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// The ffmpeg command's `-dts_delta_threshold`.
const FORWARD_SECONDS: i64 = 10;
/// A clock that goes back by less than a second's so many-th part is no new one.
const BACK_PART: i64 = 10;
/// The ffmpeg command's `-dts_error_threshold`.
const ERROR_SECONDS: i64 = 30 * 3600;

/// A place where the clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Jump {
    /// Number of the first packet behind it.
    pub(crate) packet: usize,
    /// Ticks that it was forward; negative: back.
    pub(crate) ticks: i64,
}

/// Follows the packets of one reading.
#[derive(Debug)]
pub(crate) struct Timeline {
    is_corrected: bool,
    forward: i128,
    back: i128,
    error: i128,
    /// Usual ticks of a packet, where it does not say.
    interval: i64,
    offset: i64,
    /// Decode time of the packet before.
    last: Option<i64>,
    /// Decode time that is expected next.
    next: Option<i64>,
    num_packets: usize,
    /// Where the clock was set, the first time.
    pub(crate) first_jump: Option<Jump>,
    /// How often it was set.
    pub(crate) num_jumps: usize,
    /// Packets that lost a time because it was too far from all others.
    pub(crate) num_dropped: usize,
}

impl Timeline {
    pub(crate) fn of(source: &Source) -> Self {
        Self::new(source.time_base, source.interval, ffmpeg::may_set_its_clock(&source.input))
    }

    fn new(base: TimeBase, interval: f64, is_corrected: bool) -> Self {
        let ticks = |seconds: i64| i128::from(seconds) * i128::from(base.den()) / i128::from(base.num());
        Self {
            is_corrected,
            forward: ticks(FORWARD_SECONDS),
            back: ticks(1) / i128::from(BACK_PART),
            error: ticks(ERROR_SECONDS),
            interval: interval as i64,
            offset: 0,
            last: None,
            next: None,
            num_packets: 0,
            first_jump: None,
            num_jumps: 0,
            num_dropped: 0,
        }
    }

    /// The time of the next packet on the timeline.
    pub(crate) fn follow(&mut self, time: SourceTime) -> SourceTime {
        let moved = |time: Option<i64>, offset: i64| time.and_then(|time| time.checked_add(offset));
        let mut pts = moved(time.pts, self.offset);
        let mut dts = moved(time.dts, self.offset);
        let distance = |time: i64, other: i64| i128::from(time) - i128::from(other);
        if let (Some(stated), Some(next), Some(last)) = (dts, self.next, self.last) {
            let delta = distance(stated, next);
            if !self.is_corrected {
                let is_far = |time: i64| distance(time, next).abs() > self.error;
                let usable = (dts.filter(|&dts| !is_far(dts)), pts.filter(|&pts| !is_far(pts)));
                self.num_dropped += usize::from(usable != (dts, pts));
                (dts, pts) = usable;
            } else if delta.abs() > self.forward || distance(stated, last) < -self.back {
                let ticks = i64::try_from(delta).unwrap_or(if delta > 0 { i64::MAX } else { i64::MIN });
                self.first_jump.get_or_insert(Jump { packet: self.num_packets, ticks });
                self.num_jumps += 1;
                self.offset = self.offset.saturating_sub(ticks);
                (pts, dts) = (pts.and_then(|pts| pts.checked_sub(ticks)), Some(next));
            }
        }
        let duration = if time.duration > 0 { time.duration } else { self.interval };
        self.last = dts.or(self.next);
        self.next = self.last.map(|dts| dts.saturating_add(duration));
        self.num_packets += 1;
        SourceTime { pts, dts, duration: time.duration }
    }
}

/// A file as it was when it was looked through, and which stream of it was.
type Identity = (PathBuf, usize, u64, Option<SystemTime>);

/// Answers of [`sets_its_clock`], the latest last: the pieces of one film ask one after another.
static KNOWN: Mutex<Vec<(Identity, bool)>> = Mutex::new(Vec::new());
/// How many are kept.
const MAX_KNOWN: usize = 256;

/// True where the container may set its clock, and does: then a place in it cannot be found by its time. Reads all
/// packets, once for all cuts of a file.
pub(crate) fn sets_its_clock(path: &Path, stream: StreamChoice, cancel: &dyn Fn() -> bool) -> Result<bool> {
    let mut source = Source::open(path, stream)?;
    if !ffmpeg::may_set_its_clock(&source.input) {
        return Ok(false);
    }
    let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let identity = (path.to_owned(), source.index, source.file_bytes, modified);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(&(_, answer)) = known().iter().find(|(other, _)| *other == identity) {
        return Ok(answer);
    }
    let mut timeline = Timeline::of(&source);
    let mut packet = ff::Packet::empty();
    while timeline.num_jumps == 0 {
        source.check_budget(cancel)?;
        let read = packet.read(&mut source.input);
        // What is known is kept for later: it must not be of a file that the machine could not read.
        if let Some(trouble) = source_file::trouble() {
            return Err(trouble);
        }
        match read {
            Ok(()) if packet.stream() == source.index && packet.size() > 0 => {
                timeline.follow(SourceTime { pts: packet.pts(), dts: packet.dts(), duration: packet.duration() });
            }
            Ok(()) => {}
            Err(ff::Error::Eof) => break,
            Err(ff::Error::Other { errno }) if errno == libc::EAGAIN => {}
            // What can't be read to its end is not searched; reading it from the start says why.
            Err(_) => return Ok(true),
        }
    }
    let answer = timeline.num_jumps > 0;
    let mut known = known();
    known.push((identity, answer));
    let surplus = known.len().saturating_sub(MAX_KNOWN);
    known.drain(..surplus);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn follow(is_corrected: bool, times: &[(i64, i64)]) -> (Timeline, Vec<SourceTime>) {
        let mut timeline = Timeline::new(TimeBase::new(1, 1000).unwrap(), 40.0, is_corrected);
        let time = |&(pts, dts): &(i64, i64)| SourceTime { pts: Some(pts), dts: Some(dts), duration: 0 };
        let followed = times.iter().map(time).map(|time| timeline.follow(time)).collect();
        (timeline, followed)
    }

    fn parts(starts: &[i64]) -> Vec<(i64, i64)> {
        starts.iter().flat_map(|start| (0..50).map(move |n| (start + n * 40 + 80, start + n * 40))).collect()
    }

    #[test]
    fn a_clock_that_is_set_goes_on_where_it_was() {
        for starts in [[0, 3_600_000, 7_000], [0, 1_000, 900], [50_000, 0, 20_000_000], [0, 12_001, 0]] {
            let (timeline, followed) = follow(true, &parts(&starts));
            let dts: Vec<i64> = followed.iter().map(|time| time.dts.unwrap() - starts[0]).collect();
            assert_eq!(dts, (0..150).map(|n| n * 40).collect::<Vec<_>>(), "{starts:?}");
            assert!(followed.iter().all(|time| time.pts.unwrap() == time.dts.unwrap() + 80));
            assert_eq!(timeline.num_jumps, 2);
            assert_eq!(timeline.first_jump.unwrap(), Jump { packet: 50, ticks: starts[1] - starts[0] - 2000 });
        }
        // Ten seconds forward and less are a pause.
        let (timeline, followed) = follow(true, &parts(&[0, 11_999]));
        assert_eq!((timeline.num_jumps, followed[50].dts), (0, Some(11_999)));
    }

    #[test]
    fn elsewhere_times_are_kept_up_to_thirty_hours() {
        let (timeline, followed) = follow(false, &parts(&[0, 54_000_000, 0]));
        assert_eq!((timeline.num_jumps, timeline.num_dropped), (0, 0));
        assert_eq!((followed[50].dts, followed[100].dts), (Some(54_000_000), Some(0)));
        let (timeline, followed) = follow(false, &parts(&[0, 200_000_000]));
        assert_eq!(timeline.num_dropped, 50);
        assert!(followed[50..].iter().all(|time| time.pts.is_none() && time.dts.is_none()));
    }

    proptest! {
        #[test]
        fn any_times_are_followed(times in prop::collection::vec((any::<i64>(), any::<i64>()), 0..40), is_corrected: bool) {
            let (_, followed) = follow(is_corrected, &times);
            prop_assert_eq!(followed.len(), times.len());
        }
    }
}
