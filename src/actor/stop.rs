//! The stop latch: `RunningTopology → Draining → Aborted`, never back, and the first fault is the cause.
//!
//! A run has one latch; each topology takes a [`StopLatch::child`]. Stopping a latch stops its
//! children and no others, but a fault climbs to the root first: it ends the run, and the root
//! decides which of two faults came first. Hooks do the stopping, on the thread that stops, so that
//! an abort needs no runtime and no poll to take effect.

use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::base::Fault;

/// Progress of a stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopState {
    /// Normal operation: sources name items.
    #[default]
    Running,
    /// Clean end: sources name no more; items in flight are delivered.
    Draining,
    /// Immediate end: mailboxes are closed; items in flight are dropped.
    Aborted,
}

/// Callback for each new state. A hook may see `Aborted` without `Draining` before it.
type StopHook = Arc<dyn Fn(StopState) + Send + Sync>;

#[derive(Default)]
struct SharedLatch {
    parent: Option<StopLatch>,
    settled: Mutex<LatchState>,
}

#[derive(Default)]
struct LatchState {
    state: StopState,
    fault: Option<Fault>,
    hooks: Vec<StopHook>,
    children: Vec<Weak<SharedLatch>>,
}

/// Handle on the latch; clones are the same latch.
#[derive(Clone, Default)]
pub struct StopLatch(Arc<SharedLatch>);

impl fmt::Debug for StopLatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopLatch").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl StopLatch {
    /// Makes a running latch with no parent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a latch that stops with this one, and can be stopped without it.
    #[must_use]
    pub fn child(&self) -> Self {
        let mut settled = self.0.settled.lock();
        let fault = settled.fault.clone();
        let inherited = LatchState { state: settled.state, fault, ..LatchState::default() };
        let settled_as_here = Mutex::new(inherited);
        let child =
            Self(Arc::new(SharedLatch { parent: Some(self.clone()), settled: settled_as_here }));
        settled.children.retain(|known| known.strong_count() > 0);
        settled.children.push(Arc::downgrade(&child.0));
        child
    }

    /// Present state.
    pub fn state(&self) -> StopState {
        self.0.settled.lock().state
    }

    /// Fault that aborted the latch, if it was a fault.
    pub fn fault(&self) -> Option<Fault> {
        self.0.settled.lock().fault.clone()
    }

    /// Requests a clean end: no new items, everything in flight is delivered.
    pub fn drain(&self) {
        self.advance_to(StopState::Draining, None);
    }

    /// Requests the end now. With a fault, for the whole run, from the root down; without, for this
    /// latch and its children. A fault after an abort is a consequence, and only logged.
    pub fn abort(&self, fault: Option<Fault>) {
        let Some(fault) = fault else {
            self.advance_to(StopState::Aborted, None);
            return;
        };
        let mut root = self;
        while let Some(parent) = &root.0.parent {
            root = parent;
        }
        let first =
            self.state() < StopState::Aborted && root.advance_to(StopState::Aborted, Some(&fault));
        if first {
            tracing::error!(%fault, "the run is aborted");
        } else {
            tracing::warn!(%fault, "a consequence of an earlier abort");
        }
    }

    /// Runs `hook` at each later change, and at once if the latch has been stopped already. It runs
    /// on the thread that stops the latch and must not wait.
    pub fn on_stop(&self, hook: impl Fn(StopState) + Send + Sync + 'static) {
        let hook: StopHook = Arc::new(hook);
        let state = {
            let mut settled = self.0.settled.lock();
            settled.hooks.push(Arc::clone(&hook));
            settled.state
        };
        if state > StopState::Running {
            hook(state);
        }
    }

    /// Moves on to `state`; false if the latch is there already. Hooks and children run outside the
    /// lock: a hook drops items, whose tickets ask this latch for its state.
    fn advance_to(&self, state: StopState, fault: Option<&Fault>) -> bool {
        let (hooks, children) = {
            let mut settled = self.0.settled.lock();
            if settled.state >= state {
                return false;
            }
            settled.state = state;
            settled.fault = fault.cloned();
            (settled.hooks.clone(), settled.children.clone())
        };
        for hook in hooks {
            hook(state);
        }
        for child in children.iter().filter_map(Weak::upgrade) {
            Self(child).advance_to(state, fault);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(name: &str) -> Fault {
        Fault::Environment {
            subject: name.to_owned(),
            problem: "is full".to_owned(),
            remedy: "free some space".to_owned(),
        }
    }

    fn recording(latch: &StopLatch) -> Arc<Mutex<Vec<StopState>>> {
        let told = Arc::new(Mutex::new(Vec::new()));
        let copy = Arc::clone(&told);
        latch.on_stop(move |state| copy.lock().push(state));
        told
    }

    #[test]
    fn a_latch_only_moves_forward_and_tells_each_state_once() {
        let latch = StopLatch::new();
        let told = recording(&latch);
        latch.drain();
        latch.drain();
        latch.abort(None);
        latch.drain();
        assert_eq!(latch.state(), StopState::Aborted);
        assert_eq!(*told.lock(), [StopState::Draining, StopState::Aborted]);
        assert_eq!(*recording(&latch).lock(), [StopState::Aborted], "late, told at once");
    }

    #[test]
    fn the_first_fault_is_the_cause_for_every_topology_of_the_run() {
        let run = StopLatch::new();
        let (ingest, train) = (run.child(), run.child());
        ingest.abort(Some(fault("first")));
        train.abort(Some(fault("second")));
        for latch in [&run, &ingest, &train, &run.child()] {
            assert_eq!(latch.fault(), Some(fault("first")));
            assert_eq!(latch.state(), StopState::Aborted);
        }
    }

    #[test]
    fn an_abort_without_a_fault_stays_below_and_a_fault_after_it_is_a_consequence() {
        let run = StopLatch::new();
        let (ingest, train) = (run.child(), run.child());
        train.abort(None);
        train.abort(Some(fault("consequence")));
        assert_eq!((run.state(), ingest.state()), (StopState::Running, StopState::Running));
        assert_eq!((train.state(), train.fault()), (StopState::Aborted, None));
        run.abort(Some(fault("another matter")));
        assert_eq!(train.fault(), None, "it had ended for its own reason");
        assert_eq!(ingest.fault(), Some(fault("another matter")));
    }

    #[test]
    fn draining_reaches_children() {
        let run = StopLatch::new();
        let child = run.child();
        run.drain();
        assert_eq!(child.state(), StopState::Draining);
    }
}
