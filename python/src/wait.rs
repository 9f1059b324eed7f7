//! Long calls from Python: the GIL is let go, and Ctrl-C works.

use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use crate::errors::raise;

/// How long a call waits before it looks for a signal.
pub(crate) const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

/// Waits with `wait`, detached from the interpreter, until it gives something; looks for signals when it gives nothing. `wait` is given
/// the longest time that it may take.
pub(crate) fn poll<T: Send>(
    py: Python<'_>,
    mut wait: impl FnMut(Duration) -> framefeed::Result<Option<T>> + Send,
) -> PyResult<T> {
    loop {
        if let Some(value) = py.detach(|| wait(SIGNAL_INTERVAL)).map_err(raise)? {
            return Ok(value);
        }
        py.check_signals()?;
    }
}

/// Runs `work` on a thread of its own, detached from the interpreter. When a signal handler raises, `work` is told to stop, awaited,
/// and the handler's exception is raised.
pub(crate) fn cancellable<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> framefeed::Result<T> + Send,
) -> PyResult<T> {
    let cancelled = AtomicBool::new(false);
    let (sender, receiver) = mpsc::sync_channel(1);
    // A receiver is not `Sync`, and a closure for `detach` borrows it.
    let receiver = Mutex::new(receiver);
    let (cancelled, receiver) = (&cancelled, &receiver);
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().name("framefeed-call".to_owned()).spawn_scoped(scope, move || {
            let result = work(&|| cancelled.load(Ordering::Relaxed));
            // The receiver lives until this thread is joined.
            let _ = sender.send(result);
        });
        if let Err(error) = worker {
            return Err(raise(
                framefeed::Error::new(framefeed::ErrorKind::Io, "cannot start a thread").with_source(error),
            ));
        }
        let receive = |time| receiver.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(time);
        let mut interrupt = None;
        loop {
            match py.detach(|| receive(SIGNAL_INTERVAL)) {
                Ok(result) => return interrupt.map_or_else(|| result.map_err(raise), Err),
                Err(mpsc::RecvTimeoutError::Timeout) if interrupt.is_none() => {
                    if let Err(error) = py.check_signals() {
                        cancelled.store(true, Ordering::Relaxed);
                        interrupt = Some(error);
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    // The thread panicked; the panic is raised as an exception by its scope.
                    return Err(interrupt.unwrap_or_else(|| crate::errors::closed("the call's thread has died")));
                }
            }
        }
    })
}
