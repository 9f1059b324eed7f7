//! Cancellation: a flag that many threads share, and the waking of those who sleep while it is raised.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Something with sleepers that must look at their token again when it is cancelled.
pub trait WakeOnCancel: Send + Sync {
    /// Wakes all sleepers. Must take the lock that they check the token under, so that none falls asleep in between.
    fn wake(&self);
}

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    next_id: AtomicU64,
    wakers: Mutex<Vec<(u64, Weak<dyn WakeOnCancel>)>>,
}

/// Tells threads to stop. Clones are one token; it is raised once and stays raised.
#[derive(Clone, Default)]
pub struct CancelToken(Arc<Inner>);

impl CancelToken {
    /// A token that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the token and wakes whoever waits with it. Again and again does no harm.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        // Woken outside the lock: a waker takes its own lock, and holders of that lock may register here.
        let wakers: Vec<_> = self.lock().iter().filter_map(|(_, waker)| waker.upgrade()).collect();
        for waker in wakers {
            waker.wake();
        }
    }

    /// True once [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Has `waker` woken on cancellation while the registration lives. Register first, then check
    /// [`is_cancelled`](Self::is_cancelled) under the waker's lock, then sleep: then no wake-up is lost.
    #[must_use = "dropping the registration ends it"]
    pub fn register(&self, waker: Weak<dyn WakeOnCancel>) -> CancelRegistration {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        self.lock().push((id, waker));
        CancelRegistration { token: self.clone(), id }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Weak<dyn WakeOnCancel>)>> {
        self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CancelToken").field(&self.is_cancelled()).finish()
    }
}

/// Keeps a waker registered with a [`CancelToken`] until dropped.
#[derive(Debug)]
pub struct CancelRegistration {
    token: CancelToken,
    id: u64,
}

impl Drop for CancelRegistration {
    fn drop(&mut self) {
        self.token.lock().retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(AtomicU64);

    impl WakeOnCancel for Counter {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn registered_wakers_are_woken_and_dropped_ones_are_not() {
        let token = CancelToken::new();
        let counter = Arc::new(Counter(AtomicU64::new(0)));
        let waker: Arc<dyn WakeOnCancel> = counter.clone();
        let kept = token.register(Arc::downgrade(&waker));
        drop(token.register(Arc::downgrade(&waker)));
        token.clone().cancel();
        assert!(token.is_cancelled());
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
        drop(kept);
        assert!(token.lock().is_empty());
    }
}
