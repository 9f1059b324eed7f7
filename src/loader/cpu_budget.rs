//! The loader's share of the processors. Its threads book the processor time that they used, and those that could use less pause
//! between one clip, or tensor, and the next, until the limit has caught up with what all of them used.

use super::iteration::Run;
use super::stats::add_since;
use crate::threads::thread_time;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was not used is saved up for so long, or as long as the longest clip took: a thread books its time when its clip is done, and others work
/// meanwhile.
const SAVED: Duration = Duration::from_millis(20);
/// Shorter pauses are not worth their wake-up: what they are for is made up later.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// Processor time that is used and not yet allowed.
#[derive(Debug)]
pub(super) struct CpuBudget {
    /// Seconds of processor time a second.
    cores: f64,
    debt: Mutex<Debt>,
}

#[derive(Debug)]
struct Debt {
    /// Below zero is what was saved up.
    seconds: f64,
    at: Instant,
    /// The most that was booked at once.
    longest: Duration,
}

impl CpuBudget {
    pub(super) fn new(cores: f64) -> Self {
        Self { cores, debt: Mutex::new(Debt { seconds: 0.0, at: Instant::now(), longest: SAVED }) }
    }

    /// Books processor time that was used until `now`, and says for how long whoever used it should pause.
    fn spend(&self, used: Duration, now: Instant) -> Duration {
        let mut debt = self.debt.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = self.cores * now.saturating_duration_since(debt.at).as_secs_f64();
        let longest = debt.longest.max(used);
        let saved = self.cores * longest.as_secs_f64();
        let seconds = (debt.seconds + used.as_secs_f64() - allowed).max(-saved);
        *debt = Debt { seconds, at: now.max(debt.at), longest };
        let pause = Duration::try_from_secs_f64(seconds.max(0.0) / self.cores).unwrap_or(Duration::MAX);
        if pause < SHORTEST_PAUSE { Duration::ZERO } else { pause }
    }
}

/// One thread that keeps to its loader's budget, if there is one.
pub(super) struct Pace<'a> {
    run: &'a Run,
    /// Processor time of the thread that is booked.
    booked: Duration,
}

impl<'a> Pace<'a> {
    pub(super) fn new(run: &'a Run) -> Self {
        let booked = run.shared.cpu_budget.as_ref().map_or(Duration::ZERO, |_| thread_time());
        Self { run, booked }
    }

    /// Books what the thread used, and pauses where that is too much, until the iteration is cancelled at the latest.
    pub(super) fn rest(&mut self) {
        let pause = self.book();
        if !pause.is_zero() {
            let start = Instant::now();
            self.run.monitor.pause(pause);
            add_since(&self.run.shared.counters.paused_nanos, start);
        }
    }

    /// Books what the thread used; others pause for it.
    pub(super) fn book(&mut self) -> Duration {
        let Some(budget) = &self.run.shared.cpu_budget else { return Duration::ZERO };
        let now = thread_time();
        let used = now.saturating_sub(std::mem::replace(&mut self.booked, now));
        budget.spend(used, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_make_up_for_what_was_used_beyond_the_limit() {
        let budget = CpuBudget::new(0.5);
        let start = budget.debt.lock().unwrap().at;
        // 10 ms of time allow 5 of the 10.
        assert_eq!(budget.spend(10 * MS, start + 10 * MS), 10 * MS);
        // After the pause nothing is left, and what a second thread then uses is its own.
        assert_eq!(budget.spend(5 * MS, start + 20 * MS), 10 * MS);
        // A third one that comes at once pauses for both.
        assert_eq!(budget.spend(5 * MS, start + 20 * MS), 20 * MS);
        // Little that is left is not worth another pause.
        assert_eq!(budget.spend(MS / 4, start + 40 * MS), Duration::ZERO);
    }

    #[test]
    fn little_is_saved_up_and_time_may_stand_still() {
        let budget = CpuBudget::new(2.0);
        let start = budget.debt.lock().unwrap().at;
        let hour = start + Duration::from_secs(3600);
        assert_eq!(budget.spend(Duration::ZERO, hour), Duration::ZERO);
        assert_eq!(budget.spend(100 * MS, hour), 30 * MS, "40 ms were saved up");
        assert_eq!(budget.spend(Duration::ZERO, start), 30 * MS, "an earlier instant allows nothing");
    }

    #[test]
    fn over_a_long_time_threads_use_what_is_allowed() {
        for (used, cores) in [(7 * MS, 1.5), (300 * MS, 1.5), (MS / 10, 0.25), (7 * MS, 3.9)] {
            let budget = CpuBudget::new(cores);
            let mut now = budget.debt.lock().unwrap().at;
            let (start, mut total) = (now, Duration::ZERO);
            // Four threads that work side by side, and then all wait for the longest pause.
            for _ in 0..1000 {
                // Meanwhile one that hardly does anything books.
                budget.spend(Duration::ZERO, now + used * 9 / 10);
                now += used;
                let pauses = [(); 4].map(|()| budget.spend(used, now));
                now += pauses.into_iter().max().unwrap();
                total += 4 * used;
            }
            let got = total.as_secs_f64() / (now - start).as_secs_f64();
            assert!((0.99 * cores..=1.01 * cores).contains(&got), "{used:?}: {got} of {cores}");
        }
    }
}
