//! What becomes of reads when the kernel refuses io_uring or locked memory: the conformance suite once more in child
//! processes where that is so from the beginning, and what happens to a thread that it happens to later.
#![expect(unsafe_code, reason = "a seccomp filter and a limit are set between fork and exec")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::conformance::EXPECT_ENGINE;
use super::{EngineKind, ReadRequest, RingMode, Storage, StorageOptions, uring};
use crate::error::ErrorKind;

/// Runs this module's sibling, the conformance suite, in a child that `prepare` was called in before exec.
fn run_suite(expected_engine: Option<&str>, prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["storage::conformance::", "--test-threads=2"]);
    command.env_remove("REQUIRE_URING").env_remove(EXPECT_ENGINE);
    if let Some(engine) = expected_engine {
        command.env(EXPECT_ENGINE, engine);
    }
    // SAFETY: every `prepare` here makes system calls on memory that was allocated before the fork, and nothing else:
    // no allocation, no lock.
    unsafe { command.pre_exec(prepare) };
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    // A wrong name would run nothing, and succeed.
    assert!(text.contains("auto_is_the_engine_that_this_process_expects ... ok"), "{text}");
}

/// Has `system_call` fail with EPERM from now on, in this thread and its children.
fn refuse(filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: takes plain numbers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the program and its filter live through the call; the kernel copies and does not write to them.
    if unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn filter_against(system_call: libc::c_long) -> [libc::sock_filter; 4] {
    let statement = |code: u32, k: u32, jt, jf| libc::sock_filter { code: code as u16, jt, jf, k };
    [
        // The number of the system call is the first word of `seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, system_call as u32, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ]
}

#[test]
fn where_rings_are_refused_everything_is_read_with_pread() {
    let filter = filter_against(libc::SYS_io_uring_setup);
    run_suite(Some("pread"), move || refuse(&filter));
}

#[test]
fn where_rings_are_made_but_may_not_be_used_everything_is_read_with_pread() {
    let filter = filter_against(libc::SYS_io_uring_enter);
    run_suite(Some("pread"), move || refuse(&filter));
}

#[test]
fn without_locked_memory_everything_is_read() {
    // Kernels from 5.12 on do not charge rings to this limit: then the engine is what it is without the limit.
    let expected = uring::probe(64, RingMode::Interrupts).is_ok_and(|_| is_newer_than_5_12()).then_some("uring");
    run_suite(expected, || {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `none` lives through the call, which only reads it.
        if unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const none) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    });
}

fn is_newer_than_5_12() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 12)
}

/// Runs `claim` on a new thread, unless rings are refused to begin with, which is said.
fn on_a_thread_of_its_own(claim: impl FnOnce() + Send) {
    if let Err(reason) = uring::probe(16, RingMode::Interrupts) {
        assert!(std::env::var_os("REQUIRE_URING").is_none_or(|value| value != "1"), "io_uring is refused: {reason}");
        eprintln!("SKIPPED: io_uring is refused: {reason}");
        return;
    }
    // A filter is of the thread that sets it, and ends with it.
    std::thread::scope(|scope| scope.spawn(claim).join().unwrap());
}

#[test]
fn a_thread_that_gets_no_ring_later_reads_with_pread_and_the_storage_says_so() {
    on_a_thread_of_its_own(|| {
        let auto = Storage::new(&StorageOptions::new()).unwrap();
        let named = Storage::new(&StorageOptions::new().engine(EngineKind::Uring)).unwrap();
        refuse(&filter_against(libc::SYS_io_uring_setup)).unwrap();
        assert_eq!(auto.engine().unwrap().name(), "pread");
        assert!(auto.describe().contains("io_uring was refused to some threads"), "{}", auto.describe());
        assert_eq!(named.engine().err().unwrap().kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn a_ring_that_breaks_is_an_error_and_its_reads_are_leaked_rather_than_freed() {
    on_a_thread_of_its_own(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, [1; 10_000]).unwrap();
        let storage = Storage::new(&StorageOptions::new().engine(EngineKind::Uring)).unwrap();
        let mut engine = storage.engine().unwrap();
        let file = storage.open(&path).unwrap();
        engine.submit(ReadRequest::new(1, &file, 0, 10_000)).unwrap();
        refuse(&filter_against(libc::SYS_io_uring_enter)).unwrap();
        assert_eq!(engine.wait(None).unwrap_err().kind(), ErrorKind::Io);
        drop(engine);
        assert!(storage.buffer_stats().in_use_bytes >= 10_000);
    });
}
