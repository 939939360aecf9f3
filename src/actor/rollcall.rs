//! Who is still there: every thread of a topology answers until it has dropped all it owned.
//!
//! Joining is waiting for the last to leave. After an abort it is waiting for at most a grace
//! period, since a thread that is stuck in a stage cannot be interrupted and must not make the
//! process hang with it. The waits need no runtime, or only its timer.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

#[derive(Debug, Default)]
struct Roll {
    present: usize,
    aborted_at: Option<Instant>,
}

/// The list; shared by the threads and whoever waits for them.
#[derive(Debug, Default)]
pub(super) struct RollCall {
    roll: Mutex<Roll>,
    changed: Condvar,
    notify: Notify,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// All threads are gone.
    Everyone,
    /// The grace period after an abort is over and this many are still inside a stage.
    AllBut(usize),
}

enum Look {
    Over(Left),
    Wait(Option<Duration>),
}

impl RollCall {
    fn roll(&self) -> MutexGuard<'_, Roll> {
        // Nothing that can panic runs under this lock.
        self.roll.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more thread in, until the presence is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> Presence {
        self.roll().present += 1;
        Presence(Arc::clone(self))
    }

    /// Whether nobody is there any more.
    pub(super) fn is_empty(&self) -> bool {
        self.roll().present == 0
    }

    /// The grace period starts now.
    pub(super) fn abort(&self) {
        self.roll().aborted_at.get_or_insert_with(Instant::now);
        self.tell();
    }

    fn tell(&self) {
        self.changed.notify_all();
        self.notify.notify_waiters();
    }

    fn look(roll: &Roll, grace: Duration) -> Look {
        if roll.present == 0 {
            return Look::Over(Left::Everyone);
        }
        let Some(aborted_at) = roll.aborted_at else { return Look::Wait(None) };
        let left = grace.saturating_sub(aborted_at.elapsed());
        if left.is_zero() {
            return Look::Over(Left::AllBut(roll.present));
        }
        Look::Wait(Some(left))
    }

    /// Blocks until everyone has left, or until `grace` after an abort.
    pub(super) fn wait_blocking(&self, grace: Duration) -> Left {
        let mut roll = self.roll();
        loop {
            roll = match Self::look(&roll, grace) {
                Look::Over(left) => return left,
                Look::Wait(None) => self.changed.wait(roll).unwrap_or_else(PoisonError::into_inner),
                Look::Wait(Some(limit)) => {
                    let woken = self.changed.wait_timeout(roll, limit);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// The same, on a runtime with a timer.
    pub(super) async fn wait(&self, grace: Duration) -> Left {
        loop {
            let mut changed = std::pin::pin!(self.notify.notified());
            // Registered before the look, so that a change in between is not missed.
            changed.as_mut().enable();
            let look = Self::look(&self.roll(), grace);
            match look {
                Look::Over(left) => return left,
                Look::Wait(None) => changed.await,
                Look::Wait(Some(limit)) => {
                    // Whether it was a change or the limit, the next look tells.
                    let _ = tokio::time::timeout(limit, changed).await;
                }
            }
        }
    }
}

/// One thread's entry on the list.
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
        let roll = Arc::new(RollCall::default());
        let presences = [roll.enter(), roll.enter()];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        thread::scope(|scope| {
            let blocking = scope.spawn(|| roll.wait_blocking(GRACE));
            let on_runtime = scope.spawn(|| runtime.block_on(roll.wait(GRACE)));
            drop(presences);
            assert_eq!(blocking.join().unwrap(), Left::Everyone);
            assert_eq!(on_runtime.join().unwrap(), Left::Everyone);
        });
    }

    #[test]
    fn after_an_abort_a_stuck_thread_is_waited_for_no_longer_than_the_grace_period() {
        let roll = Arc::new(RollCall::default());
        let _stuck = roll.enter();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        thread::scope(|scope| {
            let blocking = scope.spawn(|| roll.wait_blocking(GRACE));
            let on_runtime = scope.spawn(|| runtime.block_on(roll.wait(GRACE)));
            roll.abort();
            assert_eq!(blocking.join().unwrap(), Left::AllBut(1));
            assert_eq!(on_runtime.join().unwrap(), Left::AllBut(1));
        });
    }
}
