//! Counts the threads of a topology, each until it has dropped all it owned.
//!
//! Joining is waiting for the last thread. After an abort it is waiting for at most a grace period,
//! since a thread that is stuck in a stage cannot be interrupted and must not make the process hang
//! with it. The waits need no runtime, or only its timer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

#[derive(Debug, Default)]
struct TrackedThreads {
    present: usize,
    aborted_at: Option<Instant>,
}

/// Counter of a topology's threads, shared with those who wait for them.
#[derive(Debug, Default)]
pub(super) struct ThreadTracker {
    tracked: Mutex<TrackedThreads>,
    changed: Condvar,
    notify: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitOutcome {
    AllEnded,
    /// Number of threads still inside a stage at the end of the grace period after an abort.
    Stuck(usize),
}

enum WaitStep {
    Over(WaitOutcome),
    Wait(Option<Duration>),
}

impl ThreadTracker {
    /// Counts one more thread, until the guard is dropped.
    pub(super) fn track_thread(self: &Arc<Self>) -> ThreadGuard {
        self.tracked.lock().present += 1;
        ThreadGuard(Arc::clone(self))
    }

    /// True once no thread is left.
    pub(super) fn is_empty(&self) -> bool {
        self.tracked.lock().present == 0
    }

    pub(super) fn start_grace_period(&self) {
        self.tracked.lock().aborted_at.get_or_insert_with(Instant::now);
        self.wake_waiters();
    }

    fn wake_waiters(&self) {
        self.changed.notify_all();
        self.notify.notify_waiters();
    }

    fn next_step(tracked: &TrackedThreads, grace: Duration) -> WaitStep {
        if tracked.present == 0 {
            return WaitStep::Over(WaitOutcome::AllEnded);
        }
        let Some(aborted_at) = tracked.aborted_at else { return WaitStep::Wait(None) };
        let left = grace.saturating_sub(aborted_at.elapsed());
        if left.is_zero() {
            return WaitStep::Over(WaitOutcome::Stuck(tracked.present));
        }
        WaitStep::Wait(Some(left))
    }

    /// Blocks until all threads have ended, or until `grace` after an abort.
    pub(super) fn wait_blocking(&self, grace: Duration) -> WaitOutcome {
        let mut tracked = self.tracked.lock();
        loop {
            match Self::next_step(&tracked, grace) {
                WaitStep::Over(left) => return left,
                WaitStep::Wait(None) => self.changed.wait(&mut tracked),
                WaitStep::Wait(Some(limit)) => {
                    self.changed.wait_for(&mut tracked, limit);
                }
            }
        }
    }

    /// Same as [`Self::wait_blocking`], on a runtime with a timer.
    pub(super) async fn wait(&self, grace: Duration) -> WaitOutcome {
        loop {
            let mut changed = std::pin::pin!(self.notify.notified());
            // Registered before the check, so that a change in between is not missed.
            changed.as_mut().enable();
            let look = Self::next_step(&self.tracked.lock(), grace);
            match look {
                WaitStep::Over(left) => return left,
                WaitStep::Wait(None) => changed.await,
                WaitStep::Wait(Some(limit)) => {
                    // The next check tells a change from the limit.
                    let _ = tokio::time::timeout(limit, changed).await;
                }
            }
        }
    }
}

/// Counts one thread until it is dropped.
#[derive(Debug)]
pub(super) struct ThreadGuard(Arc<ThreadTracker>);

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        self.0.tracked.lock().present -= 1;
        self.0.wake_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const GRACE: Duration = Duration::from_millis(20);

    #[test]
    fn both_waits_end_when_the_last_thread_has_left() {
        let tracker = Arc::new(ThreadTracker::default());
        let guards = [tracker.track_thread(), tracker.track_thread()];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        thread::scope(|scope| {
            let blocking = scope.spawn(|| tracker.wait_blocking(GRACE));
            let on_runtime = scope.spawn(|| runtime.block_on(tracker.wait(GRACE)));
            drop(guards);
            assert_eq!(blocking.join().unwrap(), WaitOutcome::AllEnded);
            assert_eq!(on_runtime.join().unwrap(), WaitOutcome::AllEnded);
        });
    }

    #[test]
    fn after_an_abort_a_stuck_thread_is_waited_for_no_longer_than_the_grace_period() {
        let tracker = Arc::new(ThreadTracker::default());
        let _stuck = tracker.track_thread();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        thread::scope(|scope| {
            let blocking = scope.spawn(|| tracker.wait_blocking(GRACE));
            let on_runtime = scope.spawn(|| runtime.block_on(tracker.wait(GRACE)));
            tracker.start_grace_period();
            assert_eq!(blocking.join().unwrap(), WaitOutcome::Stuck(1));
            assert_eq!(on_runtime.join().unwrap(), WaitOutcome::Stuck(1));
        });
    }
}
