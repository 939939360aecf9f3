//! Thread that prepares the consumer's next output while it works on the one before.

use std::thread::JoinHandle;

use crate::actor::mailbox::{Inbox, Outbox, mailbox};
use crate::actor::shell::abort_on_panic;
use crate::actor::{Feed, StopLatch, StopState};
use crate::base::{Fault, spawn_named};

/// Thread of the relay; dropping it waits for the thread's end, which its mailboxes bring about.
#[derive(Debug)]
pub(super) struct RelayThread(Option<JoinHandle<()>>);

impl Drop for RelayThread {
    fn drop(&mut self) {
        let Some(thread) = self.0.take() else { return };
        // A panic in it has been caught and is the run's fault already.
        let _ = thread.join();
    }
}

impl<T: Send + 'static> Feed<T> {
    /// Applies `work` to each output on a thread called `name`, one output ahead of the consumer,
    /// for as long as the feed lives. The consumer's starved time stays the consumer's. A panic in
    /// `work` ends the run.
    ///
    /// # Errors
    /// If the system refuses the thread; the topology ends.
    pub fn map_on_thread<U, F>(self, name: &'static str, work: F) -> Result<Feed<U>, Fault>
    where
        U: Send + 'static,
        F: FnMut(T) -> U + Send + 'static,
    {
        let Self { guard: consumer, inbox: source, worker: handle, relay: before } = self;
        let (outbox, inbox) = mailbox(0);
        let control = inbox.control();
        consumer.latch.on_stop(move |state| {
            if state == StopState::Aborted {
                control.close();
            }
        });
        let latch = consumer.latch.clone();
        let thread = spawn_named(name, move || {
            // Ends with this thread: the relay before it, if there is one, has lost its consumer.
            let _before = before;
            relay_outputs(&source, &outbox, work, name, &latch);
        })?;
        Ok(Feed { guard: consumer, inbox, worker: handle, relay: Some(RelayThread(Some(thread))) })
    }
}

/// Applies `work` to each item until the source ends or the receivers are gone.
fn relay_outputs<T, U>(
    source: &Inbox<T>,
    outbox: &Outbox<U>,
    mut work: impl FnMut(T) -> U,
    name: &'static str,
    latch: &StopLatch,
) {
    while let Some(item) = source.receive() {
        // Nothing the work may have left half-done is used again: the run is over.
        let Some(output) = abort_on_panic(latch, name, || work(item)) else { return };
        if outbox.send(output).is_err() {
            return;
        }
    }
}
