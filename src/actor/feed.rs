//! The consumer's receiver of a topology's outputs, and the handle on the running topology.

use std::sync::Arc;
use std::time::Duration;

use crate::actor::actor_cell::Seat;
use crate::actor::mailbox::Inbox;
use crate::actor::observe::{Observation, Observer};
use crate::actor::relay::Relay;
use crate::actor::stop::{StopLatch, StopState};
use crate::actor::thread_tracker::Left;
use crate::actor::ticket::Ledger;
use crate::actor::watchdog::stalled;
use crate::actor::worker_scaler::Crew;
use crate::base::error::Fault;

/// Receiver of the sink's outputs, in order. Dropped early, it ends its topology only.
#[derive(Debug)]
pub struct Feed<T> {
    // Dropped in this order: threads that still work for the consumer end first.
    pub(super) end: End,
    pub(super) inbox: Inbox<T>,
    pub(super) seat: Seat,
    pub(super) relay: Option<Relay>,
}

/// Aborts the topology if its consumer leaves before the last output.
#[derive(Debug)]
pub(super) struct End {
    pub(super) latch: StopLatch,
    ended: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        if !self.ended {
            self.latch.abort(None);
        }
    }
}

impl<T> Feed<T> {
    pub(super) fn new(inbox: Inbox<T>, latch: StopLatch, handle: Seat) -> Self {
        Self { end: End { latch, ended: false }, inbox, seat: handle, relay: None }
    }

    /// Waits for the next output. `None` after the last one, and at once after an abort;
    /// [`RunningTopology::join`] tells which.
    pub fn take(&mut self) -> Option<T> {
        self.seat.starve();
        let output = self.inbox.take();
        self.seat.work(None);
        match &output {
            Some(_) => self.seat.count(),
            None => self.end.ended = true,
        }
        output
    }
}

/// Handle of a started topology. Dropping it changes nothing; joining it tells how it ended.
pub struct Running {
    pub(super) observer: Observer,
    pub(super) grace: Duration,
}

impl Running {
    /// Observer of the topology, valid beyond its end.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// Scaler of the stages' workers, usable for as long as the topology runs.
    pub fn crew(&self) -> Crew {
        Crew(Arc::clone(&self.observer.0))
    }

    /// Same as [`Observer::observations`].
    pub fn observations(&self) -> Vec<Observation> {
        self.observer.observations()
    }

    /// Same as [`Observer::ticket_counts`].
    pub fn ledger(&self) -> Ledger {
        self.observer.ledger()
    }

    /// Latch that stops this topology alone; a fault still ends the run.
    pub fn stop(&self) -> &StopLatch {
        &self.observer.0.latch
    }

    /// Waits until every thread has left, on a runtime with a timer.
    ///
    /// # Errors
    /// The fault that ended the run. An abort without a fault is not an error; its counts say how
    /// many items were abandoned.
    pub async fn join(self) -> Result<Ledger, Fault> {
        let left = self.observer.0.roll.wait(self.grace).await;
        self.verdict(left)
    }

    /// Same as [`RunningTopology::join`], blocking: for threads outside of the runtime.
    ///
    /// # Errors
    /// Same as [`RunningTopology::join`].
    pub fn join_blocking(self) -> Result<Ledger, Fault> {
        let left = self.observer.0.roll.wait_blocking(self.grace);
        self.verdict(left)
    }

    fn verdict(&self, left: Left) -> Result<Ledger, Fault> {
        if let Some(fault) = self.stop().fault() {
            return Err(fault);
        }
        if left != Left::Everyone {
            return Err(stalled(&self.observer, self.grace));
        }
        let counts = self.ledger();
        let aborted = self.stop().state() == StopState::Aborted;
        let complete = counts.balances() && counts.in_flight == 0;
        if !complete || (counts.abandoned > 0 && !aborted) {
            // Tickets are resolved in order, so the first one missing is the number resolved.
            let ordinal = counts.delivered + counts.skipped;
            return Err(Fault::Lost { ordinal, stage: self.observer.topology() });
        }
        Ok(counts)
    }
}
