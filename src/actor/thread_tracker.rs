//! Counts the threads of a topology, each until it has dropped all it owned.
//!
//! Joining is waiting for the last thread. After an abort it is waiting for at most a grace period,
//! since a thread that is stuck in a stage cannot be interrupted and must not make the process hang
//! with it. The waits need no runtime, or only its timer.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Roll {
    present: usize,
    aborted_at: Option<Instant>,
}

/// Counter of a topology's threads, shared with those who wait for them.
#[derive(Debug, Default)]
pub(super) struct RollCall {
    tracked: Mutex<Roll>,
    changed: Condvar,
    notify: Notify,
}

/// Result of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// All threads have ended.
    Everyone,
    /// Number of threads still inside a stage at the end of the grace period after an abort.
    AllBut(usize),
}

enum Look {
    Over(Left),
    Wait(Option<Duration>),
}

impl RollCall {
    fn roll(&self) -> MutexGuard<'_, Roll> {
        // Nothing that can panic runs under this lock.
        self.tracked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more thread, until the guard is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> Presence {
        self.roll().present += 1;
        Presence(Arc::clone(self))
    }

    /// True once no thread is left.
    pub(super) fn is_empty(&self) -> bool {
        self.roll().present == 0
    }

    /// Starts the grace period.
    pub(super) fn abort(&self) {
        self.roll().aborted_at.get_or_insert_with(Instant::now);
        self.tell();
    }

    fn tell(&self) {
        self.changed.notify_all();
        self.notify.notify_waiters();
    }

    fn look(tracked: &Roll, grace: Duration) -> Look {
        if tracked.present == 0 {
            return Look::Over(Left::Everyone);
        }
        let Some(aborted_at) = tracked.aborted_at else { return Look::Wait(None) };
        let left = grace.saturating_sub(aborted_at.elapsed());
        if left.is_zero() {
            return Look::Over(Left::AllBut(tracked.present));
        }
        Look::Wait(Some(left))
    }

    /// Blocks until all threads have ended, or until `grace` after an abort.
    pub(super) fn wait_blocking(&self, grace: Duration) -> Left {
        let mut tracked = self.roll();
        loop {
            tracked = match Self::look(&tracked, grace) {
                Look::Over(left) => return left,
                Look::Wait(None) => {
                    self.changed.wait(tracked).unwrap_or_else(PoisonError::into_inner)
                }
                Look::Wait(Some(limit)) => {
                    let woken = self.changed.wait_timeout(tracked, limit);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Same as [`Self::wait_blocking`], on a runtime with a timer.
    pub(super) async fn wait(&self, grace: Duration) -> Left {
        loop {
            let mut changed = std::pin::pin!(self.notify.notified());
            // Registered before the check, so that a change in between is not missed.
            changed.as_mut().enable();
            let look = Self::look(&self.roll(), grace);
            match look {
                Look::Over(left) => return left,
                Look::Wait(None) => changed.await,
                Look::Wait(Some(limit)) => {
                    // The next check tells a change from the limit.
                    let _ = tokio::time::timeout(limit, changed).await;
                }
            }
        }
    }
}

/// Counts one thread until it is dropped.
#[derive(Debug)]
pub(super) struct Presence(Arc<RollCall>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.roll().present -= 1;
        self.0.tell();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    const GRACE: Duration = Duration::from_millis(20);

    #[test]
    fn both_waits_end_when_the_last_thread_has_left() {
        let tracker = Arc::new(RollCall::default());
        let guards = [tracker.enter(), tracker.enter()];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        thread::scope(|scope| {
            let blocking = scope.spawn(|| tracker.wait_blocking(GRACE));
            let on_runtime = scope.spawn(|| runtime.block_on(tracker.wait(GRACE)));
            drop(guards);
            assert_eq!(blocking.join().unwrap(), Left::Everyone);
            assert_eq!(on_runtime.join().unwrap(), Left::Everyone);
        });
    }

    #[test]
    fn after_an_abort_a_stuck_thread_is_waited_for_no_longer_than_the_grace_period() {
        let tracker = Arc::new(RollCall::default());
        let _stuck = tracker.enter();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        thread::scope(|scope| {
            let blocking = scope.spawn(|| tracker.wait_blocking(GRACE));
            let on_runtime = scope.spawn(|| runtime.block_on(tracker.wait(GRACE)));
            tracker.abort();
            assert_eq!(blocking.join().unwrap(), Left::AllBut(1));
            assert_eq!(on_runtime.join().unwrap(), Left::AllBut(1));
        });
    }
}
