//! The consumer's end of a topology, and the handle on the rest of it.

use std::sync::Arc;
use std::time::Duration;

use crate::actor::crew::Crew;
use crate::actor::mailbox::Inbox;
use crate::actor::observe::{Observation, Observer};
use crate::actor::post::Seat;
use crate::actor::relay::Relay;
use crate::actor::rollcall::Left;
use crate::actor::stop::{StopLatch, StopState};
use crate::actor::ticket::Ledger;
use crate::actor::watchdog::stalled;
use crate::base::error::Fault;

/// Outputs of the sink, in order. Dropped early, it ends its topology, and nothing else of the run.
#[derive(Debug)]
pub struct Feed<T> {
    // Dropped in this order: whoever still works for the consumer is told first.
    pub(super) end: End,
    pub(super) inbox: Inbox<T>,
    pub(super) seat: Seat,
    pub(super) relay: Option<Relay>,
}

/// Aborts the topology of a consumer that leaves before the last output.
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
    pub(super) fn new(inbox: Inbox<T>, latch: StopLatch, seat: Seat) -> Self {
        Self { end: End { latch, ended: false }, inbox, seat, relay: None }
    }

    /// The next output, waiting for it. `None` after the last one, and at once after an abort:
    /// which of the two it was, [`Running::join`] tells.
    pub fn take(&mut self) -> Option<T> {
        self.seat.starve();
        let taken = self.inbox.take();
        self.seat.work(None);
        match &taken {
            Some(_) => self.seat.count(),
            None => self.end.ended = true,
        }
        taken
    }
}

/// A topology that has been started. Dropping it changes nothing; joining it tells how it ended.
pub struct Running {
    pub(super) observer: Observer,
    pub(super) grace: Duration,
}

impl Running {
    /// A handle for observers, valid beyond the end.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// A handle that changes the number of workers, for as long as the topology runs.
    pub fn crew(&self) -> Crew {
        Crew(Arc::clone(&self.observer.0))
    }

    /// See [`Observer::observations`].
    pub fn observations(&self) -> Vec<Observation> {
        self.observer.observations()
    }

    /// See [`Observer::ledger`].
    pub fn ledger(&self) -> Ledger {
        self.observer.ledger()
    }

    /// Stops this topology alone; a fault still ends the run.
    pub fn stop(&self) -> &StopLatch {
        &self.observer.0.latch
    }

    /// Waits until every thread has left, on a runtime with a timer.
    ///
    /// # Errors
    /// The fault that ended the run. An abort without a fault is not an error; its ledger says how
    /// many items were abandoned.
    pub async fn join(self) -> Result<Ledger, Fault> {
        let left = self.observer.0.roll.wait(self.grace).await;
        self.verdict(left)
    }

    /// The same, blocking: for threads outside of the runtime.
    ///
    /// # Errors
    /// See [`Running::join`].
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
        let ledger = self.ledger();
        let aborted = self.stop().state() == StopState::Aborted;
        let complete = ledger.balances() && ledger.in_flight == 0;
        if !complete || (ledger.abandoned > 0 && !aborted) {
            // Tickets are resolved in order, so the first one missing is the number resolved.
            let ordinal = ledger.delivered + ledger.skipped;
            return Err(Fault::Lost { ordinal, stage: self.observer.topology() });
        }
        Ok(ledger)
    }
}
