//! Running the units of a plan that are not done: workers convert clips in plan order, whatever unit they are of, each
//! into a file of its own; the calling thread appends them in plan order and publishes each shard as it fills.
//!
//! So one shard uses all cores as well as many do, the bytes do not depend on the number of workers, and how far the
//! workers run ahead of the appending is bounded in clips and in bytes. A clip is kept until its shard is published.

use super::clip_checkpoint::{load_clip, save_clip};
use super::out_folder::{OutFolder, remove_existing};
use super::plan::{Plan, PlanClip, PlanUnit};
use super::shard_writer::{Made, UnitShard};
use super::standing::{Placing, Standing};
use super::unit_report::UnitReport;
use crate::convert::clip::raw_frames;
use crate::convert::clip::raw_frames::RawFrames;
use crate::convert::clip::reading::NO_FRAME;
use crate::convert::clip::train::TrainTotals;
use crate::convert::report::{ConvertEvent, ConvertProgress, Failure, Reencoded, unread_error};
use crate::convert::source::source_file::{is_of_the_machine, system_error, watched};
use crate::convert::{ClipOutput, ClipRequest, ConvertOptions, OnError, Profile, RawFormat, convert_clip};
use crate::format::{create_new_file, refuse_link};
use crate::{Error, ErrorKind, Result};
use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// One clip on its way, numbered over all units that are to be run.
struct Task<'a> {
    clip: &'a PlanClip,
    mp4: PathBuf,
    tables: PathBuf,
}

enum Outcome {
    Clip(Box<Made>),
    Failed(Failure),
    /// A piece that holds no frame: the source is shorter than it says.
    Empty,
    /// The machine could not read the source: the shard cannot be finished by this run.
    Unread,
}

impl Outcome {
    fn bytes(&self) -> u64 {
        match self {
            Self::Clip(made) => made.bytes(),
            _ => 0,
        }
    }
}

#[derive(Default)]
struct Board {
    /// The next task that a worker takes.
    next: usize,
    /// How many tasks have been appended.
    appended: usize,
    /// Bytes of the clips that wait.
    waiting_bytes: u64,
    outcomes: HashMap<usize, Outcome>,
    /// Why everything stops.
    fatal: Option<Error>,
    /// The sources that the machine could not read, as an error lists them.
    unread: Vec<String>,
    /// How many of those came one after another.
    unread_in_a_row: usize,
}

/// So many sources in a row that cannot be read are no bad sectors but a file system that is away.
const MAX_UNREAD_IN_A_ROW: usize = 32;

/// A unit that is to be run.
#[derive(Debug)]
pub(crate) struct OpenUnit<'a> {
    pub(crate) unit: &'a PlanUnit,
    /// What it did before, where clips of it that failed are tried again.
    pub(crate) before: Option<UnitReport>,
}

struct Run<'a> {
    plan: &'a Plan,
    options: &'a ConvertOptions,
    out: &'a OutFolder,
    standing: &'a Standing,
    progress: &'a dyn ConvertProgress,
    cancel: &'a (dyn Fn() -> bool + Sync),
    tasks: Vec<Task<'a>>,
    board: Mutex<Board>,
    changed: Condvar,
    stop: AtomicBool,
}

/// What became of the units of a run.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    pub(crate) units: Vec<UnitReport>,
    /// Clips of theirs that an earlier run had made.
    pub(crate) kept_clips: u64,
    /// Ids of those whose shards wait to be put in their places.
    pub(crate) waiting: HashSet<String>,
}

/// Runs `units`, in order, and returns their reports.
///
/// # Errors
/// `Io` that names the sources which the machine could not read; units without any of them are finished.
pub(crate) fn run_units(
    plan: &Plan,
    units: &[OpenUnit<'_>],
    options: &ConvertOptions,
    out: &OutFolder,
    standing: &Standing,
    progress: &dyn ConvertProgress,
    cancel: &(dyn Fn() -> bool + Sync),
) -> Result<Finished> {
    let mut tasks = Vec::new();
    for OpenUnit { unit, .. } in units {
        let folder = out.unit_tmp(&unit.id);
        refuse_link(&folder)?;
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        for (number, clip) in unit.clips.iter().enumerate() {
            let mp4 = folder.join(format!("{number}.mp4"));
            tasks.push(Task { clip, tables: mp4.with_extension("json"), mp4 });
        }
    }
    let workers = options.num_jobs().min(tasks.len());
    let run = Run {
        plan,
        options,
        out,
        standing,
        progress,
        cancel,
        tasks,
        board: Mutex::default(),
        changed: Condvar::new(),
        stop: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for number in 0..workers {
            let worker = std::thread::Builder::new().name(format!("convert-{number}"));
            if let Err(e) = worker.spawn_scoped(scope, || run.work())
                && number == 0
            {
                return Err(Error::new(ErrorKind::Io, "cannot start a thread").with_source(e));
            }
        }
        let _stop = StopOnDrop(&run);
        run.append(units)
    })
}

/// However the appending ends, nobody works on, and nobody waits.
struct StopOnDrop<'a, 'b>(&'a Run<'b>);

impl Drop for StopOnDrop<'_, '_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
        self.0.changed.notify_all();
    }
}

impl Run<'_> {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn should_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || (self.cancel)()
    }

    /// Ends everything with `error`; the first one stays.
    fn abort(&self, error: Error) {
        self.board().fatal.get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
        self.changed.notify_all();
    }

    /// A worker: takes the next clip until there is none.
    fn work(&self) {
        while let Some((number, task)) = self.take() {
            match self.make(task) {
                Ok(made) => self.hand_in(number, task, Outcome::Clip(Box::new(made))),
                Err(error) if task.clip.is_piece && error.message().starts_with(NO_FRAME) => {
                    self.hand_in(number, task, Outcome::Empty);
                }
                Err(error) if is_fatal(&error, self.out.root()) => {
                    return self.abort(error.with_record(&task.clip.key));
                }
                Err(error) if self.may_wait(&error) => {
                    self.note_unread(task, &error);
                    self.board().outcomes.insert(number, Outcome::Unread);
                    self.changed.notify_all();
                }
                Err(error) => {
                    let failure = task.clip.failure(&error);
                    if self.options.on_error == OnError::Fail {
                        return self.abort(error.with_record(&task.clip.key).with_path(&task.clip.source));
                    }
                    self.hand_in(number, task, Outcome::Failed(failure));
                }
            }
        }
    }

    /// The next clip, once the appending is near enough. The clip that the appending waits for is always given out.
    fn take(&self) -> Option<(usize, &Task<'_>)> {
        let ahead_clips = 4 * self.options.num_jobs() + 16;
        let ahead_bytes = self.options.shard_bytes.max(256 << 20);
        let mut board = self.board();
        loop {
            let number = board.next;
            let task = self.tasks.get(number)?;
            if self.should_stop() {
                return None;
            }
            let ahead = number - board.appended;
            if ahead == 0 || (ahead < ahead_clips && board.waiting_bytes < ahead_bytes) {
                board.next += 1;
                return Some((number, task));
            }
            board = self.wait(board);
        }
    }

    /// Waits for a change, but never long: `cancel` wakes nobody.
    fn wait<'b>(&self, board: MutexGuard<'b, Board>) -> MutexGuard<'b, Board> {
        let pause = std::time::Duration::from_millis(50);
        self.changed.wait_timeout(board, pause).unwrap_or_else(PoisonError::into_inner).0
    }

    fn make(&self, task: &Task<'_>) -> Result<Made> {
        let request = ClipRequest {
            source: PathBuf::from(&task.clip.source),
            start: task.clip.start,
            end: task.clip.end,
            stream: self.plan.stream,
            check: self.plan.check,
            on_change: self.plan.on_change,
            train: self.plan.train,
            is_raw: self.plan.profile == Profile::Raw,
        };
        let (mut clip, was_kept) = match load_clip(&task.mp4, &task.tables) {
            Some(clip) => (clip, true),
            None => (self.convert(task, &request)?, false),
        };
        let (path, cancel) = (raw_file(task), || self.should_stop());
        let raw = match (self.plan.profile, self.plan.raw_format) {
            (Profile::Copy | Profile::Train, _) => None,
            (Profile::Raw, RawFormat::Rgb) => {
                let size = self.plan.raw_size;
                Some(guarded(|| RawFrames::rgb(&clip, &request, &task.mp4, size, &path, &cancel))?)
            }
            (Profile::Raw, RawFormat::Yuv420) => {
                Some(guarded(|| RawFrames::yuv420(&clip, &request, &task.mp4, &path, &cancel))?)
            }
        };
        if raw.as_ref().is_some_and(|raw| raw.are_sources) {
            clip.reencoded = None;
        }
        Ok(Made { clip, raw, was_kept })
    }

    fn convert(&self, task: &Task<'_>, request: &ClipRequest) -> Result<ClipOutput> {
        let cancel = || self.should_stop();
        guarded(|| raw_frames::check_source(self.plan.raw_format, request, &cancel))?;
        // The muxer writes over what lies there, be it a link.
        remove_existing(&task.mp4, |path| std::fs::remove_file(path))?;
        let clip = guarded(|| convert_clip(request, &task.mp4, &cancel));
        if clip.as_ref().is_err_and(|error| error.kind() != ErrorKind::Closed) {
            try_writing(&task.mp4)?;
        }
        let clip = clip?;
        save_clip(&clip, &task.mp4, &task.tables)?;
        Ok(clip)
    }

    /// True where the machine could not read a source, and others may be read all the same.
    fn may_wait(&self, error: &Error) -> bool {
        self.options.on_error == OnError::Skip && is_of_the_machine(error) && !is_fatal(error, self.out.root())
    }

    /// Leaves a clip to the next run.
    fn note_unread(&self, task: &Task<'_>, error: &Error) {
        let failure = Failure::new(&task.clip.source, Some(&task.clip.key), error);
        tracing::warn!(source = %failure.source, reason = %failure.reason, "cannot be read, left to the next run");
        let mut board = self.board();
        board.unread.push(failure.line());
        board.unread_in_a_row += 1;
        if board.unread_in_a_row >= MAX_UNREAD_IN_A_ROW {
            let error = unread_error(board.unread.iter().cloned());
            drop(board);
            self.abort(error);
        }
    }

    fn hand_in(&self, number: usize, task: &Task<'_>, outcome: Outcome) {
        let failure = match &outcome {
            Outcome::Failed(failure) => Some(failure),
            _ => None,
        };
        if let Some(failure) = failure {
            tracing::warn!(source = %failure.source, reason = %failure.reason, "left out");
            let _ = std::fs::remove_file(&task.mp4); // the unit's folder goes soon anyway
        }
        self.progress.event(ConvertEvent::ClipDone { key: &task.clip.key, bytes: task.clip.bytes, failure });
        let mut board = self.board();
        board.waiting_bytes += outcome.bytes();
        if !matches!(&outcome, Outcome::Clip(made) if made.was_kept) {
            board.unread_in_a_row = 0;
        }
        board.outcomes.insert(number, outcome);
        drop(board);
        self.changed.notify_all();
    }

    /// The calling thread: appends the clips in plan order.
    fn append(&self, units: &[OpenUnit<'_>]) -> Result<Finished> {
        let mut number = 0;
        let mut finished = Finished::default();
        for open in units {
            let unit = open.unit;
            let mut report = UnitReport::new(unit, &self.plan.fingerprint);
            let mut writer: Option<UnitShard> = None;
            let mut is_unread = false;
            for _ in &unit.clips {
                let Some(task) = self.tasks.get(number) else { break };
                match self.outcome(number)? {
                    Outcome::Clip(made) => {
                        let (bytes, was_kept) = (made.bytes(), made.was_kept);
                        if is_unread {
                            // The clip itself is kept for the next run.
                            remove_existing(&raw_file(task), |path| std::fs::remove_file(path))?;
                        } else {
                            let shard = match &mut writer {
                                Some(shard) => shard,
                                none => none.insert(self.new_shard(unit)?),
                            };
                            match self.add(shard, &mut report, task, *made) {
                                Ok(None) => finished.kept_clips += u64::from(was_kept),
                                Ok(Some(failure)) => report.failed.push(failure),
                                Err(error) if self.may_wait(&error) => {
                                    self.note_unread(task, &error);
                                    (is_unread, writer) = (true, None);
                                }
                                Err(error) => return Err(error),
                            }
                        }
                        self.board().waiting_bytes -= bytes;
                    }
                    Outcome::Failed(failure) => report.failed.push(failure),
                    Outcome::Empty => report.empty += 1,
                    Outcome::Unread => (is_unread, writer) = (true, None),
                }
                number += 1;
                self.board().appended = number;
                self.changed.notify_all();
            }
            if !is_unread {
                // A shard whose clips were all refused is none.
                if let Some(writer) = writer.filter(|shard| !shard.is_empty()) {
                    let summary = writer.finish()?;
                    (report.rows, report.bytes, report.blake3) = (summary.rows, summary.bytes, summary.blake3);
                }
                self.finish_unit(open, report, &mut finished)?;
            }
        }
        let unread = std::mem::take(&mut self.board().unread);
        if unread.is_empty() { Ok(finished) } else { Err(unread_error(unread.into_iter())) }
    }

    fn new_shard(&self, unit: &PlanUnit) -> Result<UnitShard> {
        UnitShard::create(self.plan.profile, &self.out.new_shard(&unit.id))
    }

    /// Puts the shard in its place, with its report, as far as the dataset that stands allows that now.
    fn finish_unit(&self, open: &OpenUnit<'_>, mut report: UnitReport, finished: &mut Finished) -> Result<()> {
        let id = open.unit.id.as_str();
        let remove_new = || remove_existing(&self.out.new_shard(id), |path| std::fs::remove_file(path));
        if let Some(before) = open.before.as_ref().filter(|before| report.lacks_clips_of(before)) {
            self.out.note(format!("shard {id} stays as it was: clips that it holds could not be converted again"));
            remove_new()?;
            self.out.remove_unit_tmp(id)?;
            finished.units.push(before.clone());
            return Ok(());
        }
        match self.standing.placing(&report, self.out) {
            Ok(Placing::Now) => {
                if report.rows > 0 {
                    self.out.place_shard(id)?;
                    report.note_time(self.out)?;
                }
                report.publish(self.out)?;
                self.out.remove_unit_tmp(id)?;
            }
            Ok(Placing::AtCommit) => _ = finished.waiting.insert(id.to_owned()),
            Err(conflict) => {
                remove_new()?;
                return Err(conflict);
            }
        }
        self.progress.event(ConvertEvent::ShardDone { id, rows: report.rows, bytes: report.bytes });
        finished.units.push(report);
        Ok(())
    }

    /// Adds a clip to its shard. Where the shard refuses what lies in the clip's file, the clip is made once more, for the file may
    /// have been damaged since; where it is refused again, that is this clip's failure and nobody else's.
    fn add(
        &self,
        shard: &mut UnitShard,
        report: &mut UnitReport,
        task: &Task<'_>,
        made: Made,
    ) -> Result<Option<Failure>> {
        let is_ours = |error: &Error| !is_fatal(error, self.out.root());
        let added = match add_clip(shard, report, task, made) {
            Err(error) if is_ours(&error) => {
                tracing::debug!(key = %task.clip.key, %error, "refused by its shard, made once more");
                let _ = std::fs::remove_file(&task.tables); // without them the clip is made anew
                self.make(task).and_then(|made| add_clip(shard, report, task, made))
            }
            added => added,
        };
        match added {
            Ok(()) => Ok(None),
            Err(error) if is_ours(&error) && self.options.on_error == OnError::Skip && !self.may_wait(&error) => {
                // The path that it may name is that of the clip's own file, which is gone soon.
                let error = Error::new(error.kind(), error.message());
                let failure = task.clip.failure(&error);
                tracing::warn!(source = %failure.source, reason = %failure.reason, "left out");
                Ok(Some(failure))
            }
            Err(error) => Err(error.with_record(&task.clip.key).with_path(&task.clip.source)),
        }
    }

    fn outcome(&self, number: usize) -> Result<Outcome> {
        let mut board = self.board();
        loop {
            if (self.cancel)() {
                return Err(Error::new(ErrorKind::Closed, "interrupted while converting").with_path(self.out.root()));
            }
            if let Some(error) = board.fatal.take() {
                return Err(error);
            }
            if let Some(outcome) = board.outcomes.remove(&number) {
                return Ok(outcome);
            }
            board = self.wait(board);
        }
    }
}

/// Adds a clip to its shard and to its unit's report; to neither where it is refused.
fn add_clip(shard: &mut UnitShard, report: &mut UnitReport, task: &Task<'_>, made: Made) -> Result<()> {
    let PlanClip { key, source, .. } = task.clip;
    let clip = &made.clip;
    let frames = clip.stream.num_frames() as u64;
    let seconds = clip.stream.time_base.seconds(clip.stream.duration);
    let (bytes_in, bytes_out) = (clip.bytes_in, clip.bytes);
    let train = clip.train.as_ref().map(|facts| TrainTotals::of(key, facts, (bytes_in, bytes_out)));
    let reencoded = clip.reencoded.clone().filter(|_| train.is_none());
    let warnings: Vec<String> = clip.warnings.iter().map(|warning| format!("{source}: {warning}")).collect();
    shard.add(task.clip, made, task.mp4.clone())?;
    report.frames += frames;
    report.seconds += seconds;
    report.warnings.extend(warnings);
    report.reencoded.extend(reencoded.map(|reason| Reencoded { key: key.clone(), reason, bytes_in, bytes_out }));
    if let Some(train) = train {
        train.add_to(&mut report.train);
    }
    Ok(())
}

/// True where the machine or the output folder is to blame, so that going on with the next clip would only fail again, or
/// would leave out clips that are good.
fn is_fatal(error: &Error, out: &Path) -> bool {
    if matches!(error.kind(), ErrorKind::OutOfMemory | ErrorKind::Closed) {
        return true;
    }
    if error.path().is_some_and(|path| path.starts_with(out))
        && matches!(error.kind(), ErrorKind::Io | ErrorKind::NotFound)
    {
        return true;
    }
    let code = system_error(error).and_then(std::io::Error::raw_os_error);
    code.is_some_and(|code| {
        [libc::ENOSPC, libc::EDQUOT, libc::EFBIG, libc::EROFS, libc::EMFILE, libc::ENFILE].contains(&code)
    })
}

/// Where the frames of the raw profile wait.
fn raw_file(task: &Task<'_>) -> PathBuf {
    task.mp4.with_extension("raw")
}

/// Not every layer below says that the disk was full. So after a failure, and before what it has left behind is removed,
/// a mebibyte is written beside the MP4: where that fails, the clip is not to blame.
fn try_writing(mp4: &Path) -> Result<()> {
    let path = mp4.with_extension("probe");
    let written = create_new_file(&path)
        .and_then(|mut file| file.write_all(&vec![1_u8; 1 << 20]).map_err(|e| Error::io("write", &path, e)));
    let removed = std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e));
    written.and(removed)
}

/// What `work` returns, where the machine could read what it needed; a panic in one clip must not leave the others waiting
/// for it.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    watched(|| catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panic_error(panic.as_ref()))))
}

fn panic_error(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = crate::threads::panic_message(panic);
    Error::decode(format!("the converter panicked, which is a bug in framefeed: {text}"))
}
