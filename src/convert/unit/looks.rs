//! Looking into sources before there is a plan: how long and how large they are, where their packets lie, when their frames
//! are shown. What cannot be looked into says nothing; its conversion will say why.

use crate::convert::clip::convert_clip;
use crate::convert::listing::sources::Candidate;
use crate::convert::report::{Failure, unread_error};
use crate::convert::source::pieces;
use crate::convert::source::pieces::{Cut, Stretches};
use crate::convert::source::source_file::{is_of_the_machine, watched};
use crate::convert::{ClipRequest, ConvertOptions, OnChange, Profile, SourceInfo, probe};
use crate::ffmpeg::log::Listening;
use crate::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What is known of a source.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Its length as its header says, or as its packets lie.
    pub(crate) seconds: Option<f64>,
    pub(crate) pixels: u64,
    /// With `split_seconds`.
    pub(crate) stretches: Option<Stretches>,
    /// With [`OnChange::Split`]: when its picture changes, in seconds after its first frame.
    pub(crate) changes: Vec<f64>,
    /// Where a cut of it is in frames.
    pub(crate) frames: Option<Result<FrameTimes>>,
}

/// When some of the frames of a source are shown, in seconds after the first.
#[derive(Debug)]
pub(crate) struct FrameTimes {
    count: u64,
    seconds: BTreeMap<u64, f64>,
}

impl Look {
    /// The cut of a candidate in seconds.
    pub(crate) fn cut(&self, candidate: &Candidate) -> Result<Cut> {
        let Candidate { start, end, start_frame, end_frame, .. } = *candidate;
        if start_frame.is_none() && end_frame.is_none() {
            return Ok(Cut { start, end });
        }
        let times = match &self.frames {
            Some(Ok(times)) => times,
            Some(Err(error)) => return Err(error.again()),
            None => return Err(Error::decode("its frames could not be counted")),
        };
        let count = times.count;
        if let Some(start) = start_frame.filter(|&start| start >= count) {
            return Err(Error::invalid(format!("start_frame is {start}, the video has {count} frames")));
        }
        if let Some(end) = end_frame.filter(|&end| end > count) {
            return Err(Error::invalid(format!("end_frame is {end}, the video has {count} frames")));
        }
        // The first frame and the end of the last one need no time.
        let at =
            |frame: Option<u64>| frame.filter(|&frame| frame > 0).and_then(|frame| times.seconds.get(&frame).copied());
        Ok(Cut { start: at(start_frame), end: at(end_frame) })
    }
}

/// Looks at each file that is cut, and at all where packets are not copied, on as many threads as there are jobs.
pub(crate) fn looks<'a>(
    options: &ConvertOptions,
    candidates: &'a [Candidate],
    cancel: &(dyn Fn() -> bool + Sync),
) -> Result<HashMap<&'a str, Look>> {
    let mut wanted: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    let is_split = options.on_change == OnChange::Split;
    for candidate in candidates {
        let frames = [candidate.start_frame, candidate.end_frame];
        let is_cut = candidate.start.is_some() || candidate.end.is_some() || frames.iter().any(Option::is_some);
        if is_cut || options.split_seconds.is_some() || is_split || options.profile != Profile::Copy {
            wanted.entry(&candidate.path).or_default().extend(frames.into_iter().flatten());
        }
    }
    let wanted: Vec<(&str, BTreeSet<u64>)> = wanted.into_iter().collect();
    let next = AtomicUsize::new(0);
    let found = Mutex::new(HashMap::with_capacity(wanted.len()));
    // What lies in them is not known, and the plan must not depend on that.
    let unread = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.num_jobs().min(wanted.len()) {
            scope.spawn(|| {
                while let Some((path, frames)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if cancel() {
                        break;
                    }
                    match watched(|| look(path.as_ref(), frames, options, &cancel)) {
                        Ok(look) => _ = found.lock().unwrap_or_else(PoisonError::into_inner).insert(*path, look),
                        Err(error) => {
                            let line = Failure::new(*path, None, &error).line();
                            unread.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                        }
                    }
                }
            });
        }
    });
    if cancel() {
        return Err(Error::new(ErrorKind::Closed, "interrupted while converting"));
    }
    let unread = unread.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !unread.is_empty() {
        return Err(unread_error(unread.into_iter()));
    }
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// # Errors
/// Where the machine fails; all else that goes wrong is for the conversion to say.
fn look(path: &Path, frames: &BTreeSet<u64>, options: &ConvertOptions, cancel: &dyn Fn() -> bool) -> Result<Look> {
    let _listening = Listening::begin();
    let mut look = Look::default();
    if let Some(SourceInfo { duration_seconds, width, height, .. }) = told(probe(path, options.stream))? {
        look.seconds = duration_seconds.filter(|seconds| seconds.is_finite() && *seconds > 0.0);
        look.pixels = u64::from(width) * u64::from(height);
        if let Some(seconds) = options.split_seconds {
            look.stretches = told(pieces::stretches(path, options.stream, seconds, cancel))?;
        }
        look.seconds = look.stretches.as_ref().and_then(Stretches::end).or(look.seconds);
    }
    let request = ClipRequest { source: path.to_owned(), stream: options.stream, ..ClipRequest::default() };
    if options.on_change == OnChange::Split {
        look.changes = told(convert_clip::change_seconds(&request, cancel))?.unwrap_or_default();
    }
    if !frames.is_empty() {
        look.frames = match frame_times(&request, frames, cancel) {
            Err(error) if is_of_the_machine(&error) => return Err(error),
            times => Some(times),
        };
    }
    Ok(look)
}

/// What was told, where the machine did not keep it from being told.
fn told<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(told) => Ok(Some(told)),
        Err(error) if is_of_the_machine(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Decodes a source once, for only that tells which frames it has.
fn frame_times(request: &ClipRequest, frames: &BTreeSet<u64>, cancel: &dyn Fn() -> bool) -> Result<FrameTimes> {
    let times = convert_clip::frame_seconds(request, cancel)?;
    let of = |&frame: &u64| Some((frame, *times.get(usize::try_from(frame).ok()?)?));
    Ok(FrameTimes { count: times.len() as u64, seconds: frames.iter().filter_map(of).collect() })
}
