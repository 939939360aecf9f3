//! A test that hangs fails, and says what hung.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::panic::resume_unwind;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use gliaflow::internals::actor::{Observer, RunningTopology};

/// Long enough for a loaded two-core machine; a sound test needs a fraction of it.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The topologies to report on if the test does not end.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<Mutex<Vec<Observer>>>);

impl Watch {
    /// Puts `running` into the report.
    pub(crate) fn on(&self, running: &RunningTopology) {
        self.0.lock().unwrap().push(running.observer());
    }

    fn report(&self) -> String {
        self.0.lock().unwrap().iter().map(Observer::worker_report).collect()
    }
}

/// Runs `body` on a thread of its own and returns what it returns.
///
/// # Panics
/// As `body` does; or after `limit`, with the state of every topology that is watched.
pub(crate) fn within<R: Send + 'static>(
    limit: Duration,
    body: impl FnOnce(&Watch) -> R + Send + 'static,
) -> R {
    let watch = Watch::default();
    let (done, ended) = sync_channel(1);
    let inner = watch.clone();
    let thread = thread::spawn(move || {
        let result = body(&inner);
        // The other end is gone only if this came too late.
        let _ = done.send(result);
    });
    match ended.recv_timeout(limit) {
        Ok(result) => result,
        Err(RecvTimeoutError::Disconnected) => {
            let payload = thread.join().expect_err("it ended without a result, so it panicked");
            resume_unwind(payload)
        }
        Err(RecvTimeoutError::Timeout) => {
            panic!("not over after {limit:?}:\n{}", watch.report())
        }
    }
}

#[test]
#[should_panic(expected = "not over after")]
fn a_test_that_hangs_fails() {
    let (_kept, never) = sync_channel::<()>(1);
    within(Duration::from_millis(10), move |_| never.recv().is_ok());
}

#[test]
#[should_panic(expected = "the test's own words")]
fn a_test_that_panics_keeps_its_message() {
    within(LIMIT, |_| panic!("the test's own words"));
}
