//! SIGINT, SIGTERM and SIGHUP ask the command to stop; a second one ends it at once.

use std::sync::atomic::{AtomicBool, Ordering};

/// Exit status after a signal: that of a shell after Ctrl-C.
pub(super) const INTERRUPTED: u8 = 130;

static ASKED: AtomicBool = AtomicBool::new(false);

/// True once the process was asked to stop.
pub(super) fn is_asked_to_stop() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Listens from now on. Where that is refused, signals end the process as they do by default, which is safe too.
pub(super) fn listen() {
    let result = ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
    if let Err(error) = result {
        tracing::debug!(%error, "cannot listen to signals");
    }
}
