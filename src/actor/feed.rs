//! The consumer's receiver of a topology's outputs, and the handle on the running topology.

use std::sync::Arc;
use std::time::Duration;

use crate::actor::actor_cell::WorkerHandle;
use crate::actor::mailbox::Inbox;
use crate::actor::relay::RelayThread;
use crate::actor::thread_tracker::WaitOutcome;
use crate::actor::watchdog::stall_fault;
use crate::actor::{Observer, StopLatch, StopState, TicketCounts, WorkerScaler};
use crate::base::Fault;

/// Receiver of the sink's outputs, in order. Dropped early, it ends its topology only.
#[derive(Debug)]
pub struct Feed<T> {
    // Dropped in this order: threads that still work for the consumer end first.
    pub(super) guard: ConsumerGuard,
    pub(super) inbox: Inbox<T>,
    pub(super) worker: WorkerHandle,
    pub(super) relay: Option<RelayThread>,
}

/// Aborts the topology if its consumer leaves before the last output.
#[derive(Debug)]
pub(super) struct ConsumerGuard {
    pub(super) latch: StopLatch,
    ended: bool,
}

impl Drop for ConsumerGuard {
    fn drop(&mut self) {
        if !self.ended {
            self.latch.abort(None);
        }
    }
}

impl<T> Feed<T> {
    pub(super) fn new(inbox: Inbox<T>, latch: StopLatch, handle: WorkerHandle) -> Self {
        Self { guard: ConsumerGuard { latch, ended: false }, inbox, worker: handle, relay: None }
    }

    /// Waits for the next output. `None` after the last one, and at once after an abort;
    /// [`RunningTopology::join_blocking`] tells which.
    pub fn next_output(&mut self) -> Option<T> {
        self.worker.enter_starved();
        let output = self.inbox.receive();
        self.worker.enter_busy(None);
        match &output {
            Some(_) => self.worker.count_item(),
            None => self.guard.ended = true,
        }
        output
    }
}

/// Handle of a started topology. Dropping it changes nothing; joining it tells how it ended.
pub struct RunningTopology {
    pub(super) observer: Observer,
    pub(super) grace: Duration,
}

impl RunningTopology {
    /// Observer of the topology, valid beyond its end.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// Scaler of the stages' workers, usable for as long as the topology runs.
    pub fn worker_scaler(&self) -> WorkerScaler {
        WorkerScaler(Arc::clone(&self.observer.0))
    }

    /// Latch that stops this topology alone; a fault still ends the run.
    pub fn stop_latch(&self) -> &StopLatch {
        &self.observer.0.latch
    }

    /// Waits until every thread has left.
    ///
    /// # Errors
    /// The fault that ended the run. An abort without a fault is not an error; its counts say how
    /// many items were abandoned.
    pub fn join_blocking(self) -> Result<TicketCounts, Fault> {
        let left = self.observer.0.threads.wait_blocking(self.grace);
        if let Some(fault) = self.stop_latch().fault() {
            return Err(fault);
        }
        if left != WaitOutcome::AllEnded {
            return Err(stall_fault(&self.observer, self.grace));
        }
        let counts = self.observer.ticket_counts();
        let aborted = self.stop_latch().state() == StopState::Aborted;
        let complete = counts.is_balanced() && counts.in_flight == 0;
        if !complete || (counts.abandoned > 0 && !aborted) {
            // Tickets are resolved in order, so the first one missing is the number resolved.
            let ordinal = counts.delivered + counts.skipped;
            return Err(Fault::Lost { ordinal, stage: self.observer.topology_name() });
        }
        Ok(counts)
    }
}
