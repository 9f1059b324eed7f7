//! The process that serves the file system, and the device behind it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, BufRead as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEntry, ReplyOpen, Request,
};
use rustix::mount::{UnmountFlags, unmount};

use super::{NAME, Pages, SETTINGS, Settings, Trouble, content, say};

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

/// A read that reached the file system.
struct Asked {
    offset: u64,
    len: usize,
    reply: ReplyData,
}

/// Answers reads.
struct Device {
    bytes: Vec<u8>,
    trouble: Trouble,
    counts: Arc<Counts>,
    voice: Receiver<()>,
    /// How often a read at an offset has failed.
    failures: HashMap<u64, usize>,
    random: u64,
}

impl Device {
    fn serve(mut self, asked: &Receiver<Asked>) {
        while let Ok(first) = asked.recv() {
            if std::mem::take(&mut self.trouble.silent) {
                let _ = self.voice.recv_timeout(LONGEST_SILENCE);
            }
            let mut held = vec![first];
            while self.trouble.newest_first && held.len() < MAX_HELD {
                let Ok(next) = asked.recv_timeout(HOLD) else { break };
                held.push(next);
            }
            self.counts.overtakings.fetch_add(held.len() as u64 - 1, Ordering::Relaxed);
            for read in held.into_iter().rev() {
                self.answer(read);
            }
        }
    }

    fn answer(&mut self, Asked { offset, len, reply }: Asked) {
        let start = self.bytes.len().min(offset as usize);
        let mut end = self.bytes.len().min(start + len);
        if let Some(error) = self.error(offset, start..end) {
            self.counts.errors.fetch_add(1, Ordering::Relaxed);
            return reply.error(Errno::from_i32(error));
        }
        if let Some(longest) = self.trouble.longest_answer {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let cut = end.min(start + 1 + (self.random >> 33) as usize % longest);
            self.counts.short_answers.fetch_add(u64::from(cut < end), Ordering::Relaxed);
            end = cut;
        }
        reply.data(&self.bytes[start..end]);
    }

    fn error(&mut self, offset: u64, touched: std::ops::Range<usize>) -> Option<i32> {
        let failures = self.failures.entry(offset).or_default();
        if let Some(&error) = self.trouble.passing.get(*failures) {
            *failures += 1;
            return Some(error);
        }
        self.trouble.bad_byte.is_some_and(|byte| touched.contains(&(byte as usize))).then_some(libc::EIO)
    }
}

/// What the kernel talks to.
struct OneFile {
    len: u64,
    pages: Pages,
    device: Sender<Asked>,
}

impl OneFile {
    fn attributes(&self, ino: INodeNo) -> FileAttr {
        let (kind, perm, size) =
            if ino == FILE { (FileType::RegularFile, 0o444, self.len) } else { (FileType::Directory, 0o555, 0) };
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

impl Filesystem for OneFile {
    fn lookup(&self, _request: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == NAME {
            reply.entry(&TTL, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _request: &Request, ino: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attributes(ino));
    }

    fn open(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let flags = match self.pages {
            Pages::Uncached => FopenFlags::FOPEN_DIRECT_IO,
            Pages::Cached => FopenFlags::empty(),
        };
        reply.opened(FileHandle(0), flags);
    }

    fn read(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        // The device lives as long as the file system does; a read that it does not take fails when its reply is dropped.
        let _ = self.device.send(Asked { offset, len: size as usize, reply });
    }
}

#[test]
#[ignore = "no test, but the process that the tests of reads start to serve the file system"]
fn serve() {
    // Without settings it is somebody who runs all ignored tests.
    let Ok(settings) = std::env::var(SETTINGS) else { return };
    let Settings { dir, trouble } = serde_json::from_str(&settings).unwrap();
    let counts = Arc::<Counts>::default();
    let (voice, voice_here) = channel();
    let (sender, asked) = channel();
    let bytes = content();
    let files = OneFile { len: bytes.len() as u64, pages: trouble.pages, device: sender };
    let mut config = Config::default();
    config.mount_options = vec![MountOption::RO, MountOption::FSName("faulty".to_owned())];
    let session = match fuser::spawn_mount(files, &dir, &config) {
        Ok(session) => session,
        Err(error) => return say(&format!("refused {error}")),
    };
    let counts_there = Arc::clone(&counts);
    let device =
        Device { bytes, trouble, counts: counts_there, voice: voice_here, failures: HashMap::new(), random: 7 };
    let device = std::thread::spawn(move || device.serve(&asked));
    say("mounted");
    for order in io::stdin().lock().lines().map_while(Result::ok) {
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
