//! The process that serves the file system, and the device behind it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, BufRead as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen, Request,
};
use rustix::mount::{UnmountFlags, unmount};

use super::{NAME, Pages, SETTINGS, Settings, Trouble, content, say};

/// The first file's; the others follow.
const FILE: INodeNo = INodeNo(2);
const TTL: Duration = Duration::from_secs(3600);

/// Most answers that are held back to come in another order.
const MAX_HELD: usize = 4;
/// How long an answer is held back for others to come before it.
const HOLD: Duration = Duration::from_millis(3);
/// A device that is silent for so long speaks, so that a test that waits for it fails and does not hang.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);
/// How long to wait for the last file to be closed; the kernel lets go of a closed ring's files a moment later.
const LONGEST_UNMOUNT: Duration = Duration::from_secs(10);

/// How much of the trouble there was.
#[derive(Debug, Default)]
struct Counts {
    short_answers: AtomicU64,
    errors: AtomicU64,
    overtakings: AtomicU64,
}

/// A file of the file system.
struct Held {
    name: String,
    bytes: Vec<u8>,
}

/// The files, and what goes wrong with them.
struct Files {
    held: Vec<Held>,
    trouble: Mutex<State>,
}

struct State {
    trouble: Trouble,
    /// Requests of the kind that fails.
    asked: u64,
    /// How often a read at an offset of a file has failed.
    failures: HashMap<(u64, u64), usize>,
}

impl State {
    fn new(trouble: Trouble) -> Self {
        Self { trouble, asked: 0, failures: HashMap::new() }
    }
}

impl Files {
    fn state(&self) -> MutexGuard<'_, State> {
        self.trouble.lock().unwrap()
    }

    fn file(&self, ino: INodeNo) -> Option<&Held> {
        self.held.get(usize::try_from(ino.0.checked_sub(FILE.0)?).ok()?)
    }

    /// The error that such a request has now.
    fn error(&self, request: super::Request, name: Option<&str>) -> Option<Errno> {
        let mut state = self.state();
        let failing = state.trouble.failing.as_ref()?;
        let is_meant = failing.request == request && failing.file.as_deref().is_none_or(|file| name == Some(file));
        if !is_meant {
            return None;
        }
        let (after, error) = (failing.after, failing.error);
        state.asked += 1;
        (state.asked > after).then(|| Errno::from_i32(error))
    }
}

/// A read that reached the file system.
struct Asked {
    ino: INodeNo,
    offset: u64,
    len: usize,
    reply: ReplyData,
}

/// Answers reads.
struct Device {
    files: Arc<Files>,
    counts: Arc<Counts>,
    voice: Receiver<()>,
    random: u64,
}

impl Device {
    fn serve(mut self, asked: &Receiver<Asked>) {
        while let Ok(first) = asked.recv() {
            let is_silent = std::mem::take(&mut self.files.state().trouble.silent);
            if is_silent {
                let _ = self.voice.recv_timeout(LONGEST_SILENCE);
            }
            let mut held = vec![first];
            let newest_first = self.files.state().trouble.newest_first;
            while newest_first && held.len() < MAX_HELD {
                let Ok(next) = asked.recv_timeout(HOLD) else { break };
                held.push(next);
            }
            self.counts.overtakings.fetch_add(held.len() as u64 - 1, Ordering::Relaxed);
            for read in held.into_iter().rev() {
                self.answer(read);
            }
        }
    }

    fn answer(&mut self, Asked { ino, offset, len, reply }: Asked) {
        let files = Arc::clone(&self.files);
        let Some(Held { name, bytes }) = files.file(ino) else { return reply.error(Errno::ENOENT) };
        let start = bytes.len().min(offset as usize);
        let mut end = bytes.len().min(start + len);
        let failing = files.error(super::Request::Read, Some(name));
        if let Some(error) = failing.or_else(|| self.error(ino, offset, start..end)) {
            self.counts.errors.fetch_add(1, Ordering::Relaxed);
            return reply.error(error);
        }
        let longest_answer = files.state().trouble.longest_answer;
        if let Some(longest) = longest_answer {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let cut = end.min(start + 1 + (self.random >> 33) as usize % longest);
            self.counts.short_answers.fetch_add(u64::from(cut < end), Ordering::Relaxed);
            end = cut;
        }
        reply.data(&bytes[start..end]);
    }

    fn error(&self, ino: INodeNo, offset: u64, touched: std::ops::Range<usize>) -> Option<Errno> {
        let mut state = self.files.state();
        let State { trouble, failures, .. } = &mut *state;
        let failures = failures.entry((ino.0, offset)).or_default();
        if let Some(&error) = trouble.passing.get(*failures) {
            *failures += 1;
            return Some(Errno::from_i32(error));
        }
        trouble.bad_byte.is_some_and(|byte| touched.contains(&(byte as usize))).then_some(Errno::EIO)
    }
}

/// What the kernel talks to.
struct Front {
    files: Arc<Files>,
    /// How long the kernel may know what a name stands for.
    ttl: Duration,
    device: Sender<Asked>,
}

impl Front {
    fn attributes(&self, ino: INodeNo) -> FileAttr {
        let (kind, perm, size) = match self.files.file(ino) {
            Some(file) => (FileType::RegularFile, 0o444, file.bytes.len() as u64),
            None => (FileType::Directory, 0o555, 0),
        };
        FileAttr {
            ino,
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Front {
    fn lookup(&self, _request: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if let Some(error) = self.files.error(super::Request::Look, name.to_str()) {
            return reply.error(error);
        }
        match self.files.held.iter().position(|file| name == file.name.as_str()) {
            Some(number) => reply.entry(&self.ttl, &self.attributes(INodeNo(FILE.0 + number as u64)), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match self.files.error(super::Request::Look, self.files.file(ino).map(|file| file.name.as_str())) {
            Some(error) => reply.error(error),
            None => reply.attr(&self.ttl, &self.attributes(ino)),
        }
    }

    fn readdir(&self, _request: &Request, _ino: INodeNo, _handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        if let Some(error) = self.files.error(super::Request::List, None) {
            return reply.error(error);
        }
        for (number, file) in self.files.held.iter().enumerate().skip(offset as usize) {
            let ino = INodeNo(FILE.0 + number as u64);
            if reply.add(ino, number as u64 + 1, FileType::RegularFile, &file.name) {
                break;
            }
        }
        reply.ok();
    }

    fn open(&self, _request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        if let Some(error) = self.files.error(super::Request::Open, self.files.file(ino).map(|file| file.name.as_str()))
        {
            return reply.error(error);
        }
        let flags = match self.files.state().trouble.pages {
            Pages::Uncached => FopenFlags::FOPEN_DIRECT_IO,
            Pages::Cached => FopenFlags::empty(),
        };
        reply.opened(FileHandle(0), flags);
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        // The device lives as long as the file system does; a read that it does not take fails when its reply is dropped.
        let _ = self.device.send(Asked { ino, offset, len: size as usize, reply });
    }
}

#[test]
#[ignore = "no test, but the process that the tests of reads start to serve the file system"]
fn serve() {
    // Without settings it is somebody who runs all ignored tests.
    let Ok(settings) = std::env::var(SETTINGS) else { return };
    let Settings { dir, trouble, copies } = serde_json::from_str(&settings).unwrap();
    let counts = Arc::<Counts>::default();
    let (voice, voice_here) = channel();
    let (sender, asked) = channel();
    let mut held: Vec<Held> =
        copies.iter().map(|(name, path)| Held { name: name.clone(), bytes: std::fs::read(path).unwrap() }).collect();
    // Whoever changes the trouble on the way wants it to be felt at once.
    let ttl = if held.is_empty() { TTL } else { Duration::ZERO };
    if held.is_empty() {
        held.push(Held { name: NAME.to_owned(), bytes: content() });
    }
    let files = Arc::new(Files { held, trouble: Mutex::new(State::new(trouble)) });
    let front = Front { files: Arc::clone(&files), ttl, device: sender };
    let mut config = Config::default();
    config.mount_options = vec![MountOption::RO, MountOption::FSName("faulty".to_owned())];
    let session = match fuser::spawn_mount(front, &dir, &config) {
        Ok(session) => session,
        Err(error) => return say(&format!("refused {error}")),
    };
    let device = Device { files: Arc::clone(&files), counts: Arc::clone(&counts), voice: voice_here, random: 7 };
    let device = std::thread::spawn(move || device.serve(&asked));
    say("mounted");
    for order in io::stdin().lock().lines().map_while(Result::ok) {
        if let Some(trouble) = order.strip_prefix("trouble ") {
            *files.state() = State::new(serde_json::from_str(trouble).unwrap());
            say("set");
            continue;
        }
        match order.as_str() {
            "speak" => voice.send(()).expect("the device listens"),
            "count" => {
                let numbers = [&counts.short_answers, &counts.errors, &counts.overtakings];
                say(&serde_json::to_string(&numbers.map(|number| number.load(Ordering::Relaxed))).unwrap());
            }
            other => panic!("an order of no meaning: {other}"),
        }
    }
    // The reader has closed its end, or is gone.
    end(session, &dir).expect("the file was closed, so that its file system can be unmounted");
    device.join().unwrap();
}

fn end(session: BackgroundSession, dir: &Path) -> io::Result<()> {
    let started = Instant::now();
    loop {
        match unmount(dir, UnmountFlags::empty()) {
            Ok(()) => return session.join(),
            Err(rustix::io::Errno::BUSY) if started.elapsed() < LONGEST_UNMOUNT => {
                std::thread::sleep(Duration::from_millis(5));
            }
            // Mounted by a helper program, which must unmount it as well.
            Err(rustix::io::Errno::PERM) => return session.umount_and_join(),
            Err(error) => {
                let _ = unmount(dir, UnmountFlags::DETACH);
                return Err(error.into());
            }
        }
    }
}
