//! A file system in user space (FUSE) that holds one file, or copies of others, and has trouble with its device: short
//! answers, interruptions, errors at a byte or from a moment on, silence, answers out of order. All of it is below the
//! kernel, so that everything above is as it is in service.
//!
//! A process of its own serves it: a process that waits for itself cannot be killed. Where FUSE is not to be had there is no
//! file system, which is said; `REQUIRE_FUSE=1` makes that a failure.

#![allow(dead_code, reason = "each test takes what it needs")]

mod server;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Once;

use serde::{Deserialize, Serialize};

/// Length of the file.
pub(crate) const LEN: usize = 200_003;

const NAME: &str = "shard";

/// The variable that tells the serving process what to serve.
const SETTINGS: &str = "FRAMEFEED_TEST_FAULTY_FS";

/// Marks what the serving process says, among what the test harness prints.
const MARK: &str = "faulty_fs: ";

/// The file's bytes, of which no two blocks are alike.
pub(crate) fn content() -> Vec<u8> {
    (0..LEN as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Who keeps the file's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum Pages {
    /// Nobody: every read reaches the device, and what it answers is the read's result, short or not.
    #[default]
    Uncached,
    /// The kernel. It takes a short answer for the end of the file, so that these are no trouble but a lie.
    Cached,
}

/// What a program asks of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Attributes, by name or of an open file.
    Look,
    /// The names in the folder.
    List,
    Open,
    Read,
}

/// One kind of request fails, from a moment on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failing {
    pub(crate) request: Request,
    /// Of this file alone; `None` is all of them, and the folder.
    pub(crate) file: Option<String>,
    /// So many succeed first, counted since the trouble was set.
    pub(crate) after: u64,
    pub(crate) error: i32,
}

/// What goes wrong.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Trouble {
    pub(crate) failing: Option<Failing>,
    pub(crate) pages: Pages,
    /// Answers hold 1 to so many bytes.
    pub(crate) longest_answer: Option<usize>,
    /// Reads that touch this byte fail with EIO.
    pub(crate) bad_byte: Option<u64>,
    /// The first reads at every offset fail with these errors, one after the other.
    pub(crate) passing: Vec<i32>,
    /// The newest of several reads is answered first.
    pub(crate) newest_first: bool,
    /// Nothing is answered until [`FaultyFs::speak`].
    pub(crate) silent: bool,
}

/// How much of the trouble there was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// Answers with fewer bytes than there were to be had.
    pub(crate) short_answers: u64,
    /// Answers that were errors.
    pub(crate) errors: u64,
    /// Answers that came before that of an older read.
    pub(crate) overtakings: u64,
}

#[derive(Serialize, Deserialize)]
struct Settings {
    dir: PathBuf,
    trouble: Trouble,
    /// Name of each file, and the file that it is a copy of; without any there is one with [`content`].
    copies: Vec<(String, PathBuf)>,
}

/// Says something to the reader.
fn say(text: &str) {
    println!("\n{MARK}{text}");
}

/// The mounted file system. Dropping it unmounts it; by then its file must be closed.
pub(crate) struct FaultyFs {
    server: Child,
    /// `None` once the server was told to end.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    dir: tempfile::TempDir,
}

impl FaultyFs {
    /// Mounts a file with [`content`]; `None` where FUSE is not to be had.
    pub(crate) fn mount(trouble: &Trouble) -> Option<Self> {
        Self::mount_copies(&[], trouble)
    }

    /// Mounts copies of files under these names.
    pub(crate) fn mount_copies(copies: &[(String, PathBuf)], trouble: &Trouble) -> Option<Self> {
        static SAID: Once = Once::new();
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { dir: dir.path().to_owned(), trouble: trouble.clone(), copies: copies.to_vec() };
        let mut server = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faulty_fs::server::serve", "--ignored", "--nocapture"])
            .env(SETTINGS, serde_json::to_string(&settings).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Interrupting the tests does not interrupt it: it ends after them.
            .process_group(0)
            .spawn()
            .unwrap();
        let (orders, answers) = (server.stdin.take(), BufReader::new(server.stdout.take().unwrap()));
        let mut mounted = Self { server, orders, answers, dir };
        let answer = mounted.answer();
        let Some(reason) = answer.strip_prefix("refused ") else { return Some(mounted) };
        let required = std::env::var_os("REQUIRE_FUSE").is_some_and(|value| value == "1");
        assert!(!required, "FUSE is refused: {reason}");
        SAID.call_once(|| eprintln!("SKIPPED: reads on a faulty file system, because FUSE is refused: {reason}"));
        None
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join(NAME)
    }

    /// The folder that it is mounted on.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// From now on there is this trouble and no other.
    pub(crate) fn set(&mut self, trouble: &Trouble) {
        self.order(&format!("trouble {}", serde_json::to_string(trouble).unwrap()));
        assert_eq!(self.answer(), "set");
    }

    /// Ends the silence.
    pub(crate) fn speak(&mut self) {
        self.order("speak");
    }

    pub(crate) fn count(&mut self) -> Counted {
        self.order("count");
        let [short_answers, errors, overtakings] = serde_json::from_str(&self.answer()).unwrap();
        Counted { short_answers, errors, overtakings }
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut lines = self.answers.by_ref().lines().map(Result::unwrap);
        lines.find_map(|line| line.strip_prefix(MARK).map(str::to_owned)).expect("the server of the file system ended")
    }
}

impl Drop for FaultyFs {
    fn drop(&mut self) {
        self.orders = None;
        let status = self.server.wait();
        if !std::thread::panicking() {
            assert!(status.unwrap().success(), "the file system could not be unmounted: its file is open");
        }
    }
}
