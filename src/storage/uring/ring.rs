//! A ring: how it is set up, what it is bound to, and whether the kernel allows it at all.
#![expect(unsafe_code, reason = "an entry is submitted")]

use std::io;
use std::thread::ThreadId;

use io_uring::{IoUring, opcode};

use super::registered::Registered;
use crate::storage::options::RingMode;

/// Milliseconds after which the kernel's submission thread sleeps when there is nothing to do.
const SUBMISSION_IDLE_MILLIS: u32 = 50;

/// A ring and the thread that it belongs to.
pub(super) struct Ring {
    pub(super) uring: IoUring,
    pub(super) flags: &'static str,
    pub(super) mode: RingMode,
    /// What is registered with it.
    pub(super) registered: Registered,
    /// `None` until it is used.
    thread: Option<ThreadId>,
}

type Setup = fn(&mut io_uring::Builder) -> &mut io_uring::Builder;

/// What to ask the kernel for, best first. A kernel that does not know a flag says EINVAL.
const SETUPS: &[(&str, Setup)] = &[
    ("single issuer, deferred task running", |builder| {
        builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all()
    }),
    ("cooperative task running", |builder| builder.setup_coop_taskrun().setup_submit_all()),
    ("plain", |builder| builder),
];

/// The same for rings that are polled.
const POLLED_SETUPS: &[(&str, Setup)] = &[
    ("polled, single issuer, deferred task running", |builder| {
        builder.setup_iopoll().setup_single_issuer().setup_defer_taskrun().setup_submit_all()
    }),
    ("polled", |builder| builder.setup_iopoll()),
];

/// The same for rings with a submission thread, which runs the tasks itself.
const SUBMISSION_SETUPS: &[(&str, Setup)] = &[
    ("submission thread, single issuer", |builder| {
        builder.setup_sqpoll(SUBMISSION_IDLE_MILLIS).setup_single_issuer().setup_submit_all()
    }),
    ("submission thread", |builder| builder.setup_sqpoll(SUBMISSION_IDLE_MILLIS)),
];

impl Ring {
    /// A ring for `num_entries` reads, disabled until [`bind`](Self::bind) so that any thread may become its issuer.
    pub(super) fn new(num_entries: usize, mode: RingMode) -> io::Result<Self> {
        let entries = u32::try_from(num_entries.next_power_of_two()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut refused = io::Error::from(io::ErrorKind::Unsupported);
        let setups = match mode {
            RingMode::Interrupts => SETUPS,
            RingMode::Polled => POLLED_SETUPS,
            RingMode::SubmissionThread => SUBMISSION_SETUPS,
        };
        for (flags, setup) in setups {
            match setup(IoUring::builder().setup_r_disabled()).build(entries) {
                Ok(uring) => {
                    let params = uring.params();
                    if !(params.is_feature_ext_arg() && params.is_feature_nodrop()) {
                        return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel is older than 5.11"));
                    }
                    return Ok(Self { uring, flags, mode, registered: Registered::default(), thread: None });
                }
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = error,
                Err(error) => return Err(error),
            }
        }
        Err(refused)
    }

    /// Makes the current thread the issuer.
    pub(super) fn bind(&mut self) -> io::Result<()> {
        self.uring.submitter().register_enable_rings()?;
        self.thread = Some(std::thread::current().id());
        Ok(())
    }

    /// See [`Registered::release_closed_files`].
    pub(super) fn release_closed_files(&mut self) {
        self.registered.release_closed_files(&self.uring.submitter());
    }

    pub(super) fn is_bound(&self) -> bool {
        self.thread.is_some()
    }

    pub(super) fn is_of_another_thread(&self) -> bool {
        self.thread.is_some_and(|thread| thread != std::thread::current().id())
    }
}

/// Finds out whether rings for `depth` reads may be made and used, and with which flags; else why not, in words.
pub(in crate::storage) fn probe(depth: usize, mode: RingMode) -> std::result::Result<&'static str, String> {
    let attempt = || -> io::Result<&'static str> {
        let mut ring = Ring::new(depth, mode)?;
        ring.bind()?;
        if mode == RingMode::Polled {
            // A no-op cannot be polled for.
            return Ok(ring.flags);
        }
        // Some filters let a ring be made and refuse its use.
        // SAFETY: a no-op has no buffer and no descriptor that would have to outlive it.
        unsafe { ring.uring.submission().push(&opcode::Nop::new().build()) }
            .map_err(|_| io::Error::other("the submission queue has no room"))?;
        loop {
            match ring.uring.submit_and_wait(1) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => break,
            }
        }
        Ok(ring.flags)
    };
    attempt().map_err(|error| error.to_string())
}
