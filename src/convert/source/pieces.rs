//! Pieces of a fixed length: a source is cut where its packets lie in time. What a header claims of its length decides nothing:
//! there are never many more pieces than packets, and a gap of an hour is no piece at all.

use super::opened::Source;
use super::source_file;
use super::streams::StreamChoice;
use super::timeline::Timeline;
use super::timestamps::SourceTime;
use crate::ffmpeg;
use crate::{Error, ErrorKind, Result};
use ffmpeg_next as ff;
use std::path::Path;

/// A last piece that is shorter than this share of the length joins the piece before it.
const MIN_PIECE_SHARE: f64 = 0.1;

/// A part of a source, in seconds after its first frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cut {
    pub(crate) start: Option<f64>,
    pub(crate) end: Option<f64>,
}

/// Stretches of a source from which no piece is missing: seconds after its first packet, in order; ends are exclusive.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Stretches(Vec<(f64, f64)>);

impl Stretches {
    /// Of packets at `times`, in seconds, each shown for about `interval`: broken where none comes for longer than `gap`.
    fn of(mut times: Vec<f64>, interval: f64, gap: f64) -> Self {
        times.sort_unstable_by(f64::total_cmp);
        let Some(&first) = times.first() else { return Self::default() };
        let mut stretches: Vec<(f64, f64)> = Vec::new();
        for time in times {
            let time = time - first;
            match stretches.last_mut() {
                Some((_, last)) if time - *last <= gap => *last = time,
                _ => stretches.push((time, time)),
            }
        }
        for (_, end) in &mut stretches {
            *end += interval.min(gap);
        }
        Self(stretches)
    }

    /// When the last packet is over.
    pub(crate) fn end(&self) -> Option<f64> {
        self.0.last().map(|&(_, end)| end)
    }
}

/// The pieces of `seconds` of a cut. They meet: together they hold every frame of the cut once, whatever `stretches` says. One piece
/// where nothing is known.
pub(crate) fn split(cut: Cut, seconds: f64, stretches: &Stretches) -> Vec<Cut> {
    let start = cut.start.unwrap_or(0.0);
    let mut numbers: Vec<u64> = Vec::new();
    let mut end = start;
    for &(from, to) in &stretches.0 {
        let from = from.max(start);
        let to = to.min(cut.end.unwrap_or(f64::INFINITY));
        if to <= from {
            continue;
        }
        let first = ((from - start) / seconds).floor() as u64;
        let last = (((to - start) / seconds).ceil() as u64).saturating_sub(1);
        let next = numbers.last().map_or(0, |&number| number + 1);
        numbers.extend(first.max(next)..=last.max(first));
        end = to;
    }
    if let [.., before, last] = *numbers.as_slice()
        && before + 1 == last
        && end - start - last as f64 * seconds < seconds * MIN_PIECE_SHARE
    {
        numbers.pop();
    }
    if numbers.len() < 2 {
        return vec![cut];
    }
    let begin = |number: &u64| start + seconds * *number as f64;
    let starts = std::iter::once(cut.start).chain(numbers.iter().skip(1).map(|number| Some(begin(number))));
    let ends = numbers.iter().skip(1).map(|number| Some(begin(number))).chain([cut.end]);
    starts.zip(ends).map(|(start, end)| Cut { start, end }).collect()
}

/// `cut`, split at those of `times` that lie within it.
pub(crate) fn split_at(cut: Cut, times: &[f64]) -> Vec<Cut> {
    let inside = |time: f64| time > cut.start.unwrap_or(0.0) && cut.end.is_none_or(|end| time < end);
    let times = || times.iter().copied().filter(|&time| inside(time)).map(Some);
    let starts = std::iter::once(cut.start).chain(times());
    let ends = times().chain([cut.end]);
    starts.zip(ends).map(|(start, end)| Cut { start, end }).collect()
}

/// Where the packets of a source lie, for pieces of `seconds`: from the index of an MP4 that names all of them, else by reading
/// them. None is decoded.
pub(crate) fn stretches(
    path: &Path,
    stream: StreamChoice,
    seconds: f64,
    cancel: &dyn Fn() -> bool,
) -> Result<Stretches> {
    let mut source = Source::open(path, stream)?;
    let times = match indexed(&source) {
        Some(times) => times,
        None => read(&mut source, cancel).map_err(|error| error.with_path(path))?,
    };
    let base = source.time_base;
    let times = times.into_iter().map(|time| base.seconds(time)).collect();
    Ok(Stretches::of(times, source.interval * base.seconds(1), seconds))
}

/// The times that the file's index gives, where they reach as far as the header says that the stream does.
fn indexed(source: &Source) -> Option<Vec<i64>> {
    let times = ffmpeg::indexed_times(&source.input, source.index)?;
    let (first, last) = (*times.iter().min()?, *times.iter().max()?);
    let is_whole = last.saturating_sub(first) as f64 + 2.0 * source.interval >= source.stream_ticks? as f64;
    is_whole.then_some(times)
}

fn read(source: &mut Source, cancel: &dyn Fn() -> bool) -> Result<Vec<i64>> {
    let mut times: Vec<i64> = Vec::new();
    let (mut packet, mut bytes) = (ff::Packet::empty(), 0_u64);
    let mut timeline = Timeline::of(source);
    loop {
        source.check_budget(cancel)?;
        let read = packet.read(&mut source.input);
        if let Some(trouble) = source_file::trouble() {
            return Err(trouble);
        }
        match read {
            Ok(()) => {}
            Err(ff::Error::Other { errno }) if errno == libc::EAGAIN => continue,
            // Where the file ends, and where it cannot be read on: its conversion says why.
            Err(_) => return Ok(times),
        }
        bytes += packet.size() as u64 + 1;
        if bytes > source.file_bytes.saturating_mul(64).saturating_add(64 << 20) {
            return Err(Error::new(ErrorKind::LimitExceeded, "gives far more packets than its size can hold"));
        }
        if packet.stream() != source.index || packet.size() == 0 {
            continue;
        }
        let stated = SourceTime { pts: packet.pts(), dts: packet.dts(), duration: packet.duration() };
        let time = timeline.follow(stated);
        if ffmpeg::packet_flags(&packet) & ff::ffi::AV_PKT_FLAG_DISCARD == 0 {
            let next = times.last().map_or(0, |last| last.saturating_add(source.interval as i64));
            times.push(time.pts.or(time.dts).unwrap_or(next));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretches_of(bounds: &[(f64, f64)]) -> Stretches {
        Stretches(bounds.to_vec())
    }

    #[test]
    fn a_cut_is_split_at_the_changes_within_it() {
        let cut = |start, end| Cut { start, end };
        let times = [1.0, 2.5, 4.0];
        assert_eq!(split_at(cut(None, None), &[]), [cut(None, None)]);
        assert_eq!(
            split_at(cut(None, None), &times),
            [cut(None, Some(1.0)), cut(Some(1.0), Some(2.5)), cut(Some(2.5), Some(4.0)), cut(Some(4.0), None)]
        );
        assert_eq!(split_at(cut(Some(1.0), Some(4.0)), &times), [cut(Some(1.0), Some(2.5)), cut(Some(2.5), Some(4.0))]);
        assert_eq!(split_at(cut(Some(2.6), Some(3.9)), &times), [cut(Some(2.6), Some(3.9))]);
    }

    #[test]
    fn pieces_cover_the_source_without_gaps_and_a_sliver_joins_the_last_one() {
        let cuts = |start, end, duration: Option<f64>| {
            let stretches = Stretches(duration.map(|duration| (0.0, duration)).into_iter().collect());
            split(Cut { start, end }, 5.0, &stretches).into_iter().map(|cut| (cut.start, cut.end)).collect::<Vec<_>>()
        };
        assert_eq!(cuts(None, None, Some(10.04)), [(None, Some(5.0)), (Some(5.0), None)]);
        assert_eq!(cuts(None, None, Some(11.0)), [(None, Some(5.0)), (Some(5.0), Some(10.0)), (Some(10.0), None)]);
        assert_eq!(cuts(None, None, Some(3.0)), [(None, None)]);
        assert_eq!(cuts(None, None, None), [(None, None)]);
        assert_eq!(cuts(Some(1.0), Some(8.0), Some(100.0)), [(Some(1.0), Some(6.0)), (Some(6.0), Some(8.0))]);
        assert_eq!(cuts(Some(90.0), Some(200.0), Some(100.0)), [(Some(90.0), Some(95.0)), (Some(95.0), Some(200.0))]);
        assert_eq!(cuts(Some(100.0), Some(200.0), Some(100.0)), [(Some(100.0), Some(200.0))]);
    }

    #[test]
    fn a_gap_is_no_piece_and_no_frame_is_lost_in_it() {
        let cut = Cut { start: None, end: None };
        let pieces = split(cut, 10.0, &stretches_of(&[(0.0, 15.0), (3600.0, 3615.0)]));
        let bounds: Vec<_> = pieces.iter().map(|piece| (piece.start, piece.end)).collect();
        let expected =
            [(None, Some(10.0)), (Some(10.0), Some(3600.0)), (Some(3600.0), Some(3610.0)), (Some(3610.0), None)];
        assert_eq!(bounds, expected);
    }

    #[test]
    fn there_are_no_more_pieces_than_packets_make() {
        // A packet each 46 hours, a burst, and a time from nowhere.
        for times in [vec![0.0, 165_600.0, 331_200.0], vec![5.0; 100], vec![0.0, 0.1, 1e15, -1e15]] {
            let count = times.len();
            let stretches = Stretches::of(times, 0.04, 0.1);
            assert!(split(Cut { start: None, end: None }, 0.1, &stretches).len() <= 2 * count);
        }
        assert_eq!(split(Cut { start: Some(3.0), end: None }, 1.0, &Stretches::default()).len(), 1);
    }

    #[test]
    fn packets_that_come_more_seldom_than_pieces_still_make_all_of_those_that_hold_one() {
        let stretches = Stretches::of(vec![0.0, 0.9, 2.5, 3.5], 0.04, 1.0);
        assert_eq!(stretches.0.len(), 2);
        let pieces = split(Cut { start: None, end: None }, 1.0, &stretches);
        let starts: Vec<_> = pieces.iter().map(|piece| piece.start).collect();
        assert_eq!(starts, [None, Some(2.0), Some(3.0)]);
    }
}
