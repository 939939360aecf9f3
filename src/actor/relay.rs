//! One more pair of hands between a topology and its consumer: a thread that prepares the next output
//! while the consumer works on the one before.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, JoinHandle};

use crate::actor::feed::Feed;
use crate::actor::mailbox::{Inbox, Outbox, mailbox};
use crate::actor::shell::panic_message;
use crate::actor::stop::{StopLatch, StopState};
use crate::base::error::Fault;

/// The thread; dropping it waits for its end, which its mailboxes bring about.
#[derive(Debug)]
pub(super) struct Relay(Option<JoinHandle<()>>);

impl Drop for Relay {
    fn drop(&mut self) {
        let Some(thread) = self.0.take() else { return };
        // A panic in it has been caught and is the run's fault already.
        let _ = thread.join();
    }
}

impl<T: Send + 'static> Feed<T> {
    /// The same outputs after `work`, done one ahead by a thread of its own called `name`, for as
    /// long as the feed lives: what is worked on or waits for the consumer is one output. The
    /// consumer's clock of hunger stays the consumer's. A panic in `work` ends the run.
    ///
    /// # Errors
    /// If the system refuses the thread; the topology ends.
    pub fn relayed<U, F>(self, name: &'static str, work: F) -> Result<Feed<U>, Fault>
    where
        U: Send + 'static,
        F: FnMut(T) -> U + Send + 'static,
    {
        let Self { end, inbox: source, seat, relay: before } = self;
        let (outbox, inbox) = mailbox(0);
        let valve = inbox.valve();
        end.latch.on_stop(move |state| {
            if state == StopState::Aborted {
                valve.close();
            }
        });
        let latch = end.latch.clone();
        let body = move || {
            // Ends with this thread: the relay before it, if there is one, has lost its consumer.
            let _before = before;
            relay(&source, &outbox, work, name, &latch);
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
        let thread = thread.map_err(|error| Fault::Environment {
            subject: format!("thread {name}"),
            problem: error.to_string().to_lowercase(),
            remedy: "raise the limit on threads".to_owned(),
        })?;
        Ok(Feed { end, inbox, seat, relay: Some(Relay(Some(thread))) })
    }
}

/// Until there is nothing more to take, or nobody to give it to.
fn relay<T, U>(
    source: &Inbox<T>,
    outbox: &Outbox<U>,
    mut work: impl FnMut(T) -> U,
    name: &'static str,
    latch: &StopLatch,
) {
    while let Some(item) = source.take() {
        // Nothing the work may have left half-done is used again: the run is over.
        match catch_unwind(AssertUnwindSafe(|| work(item))) {
            Ok(output) => {
                if outbox.send(output).is_err() {
                    return;
                }
            }
            Err(payload) => {
                let message = panic_message(payload.as_ref());
                latch.abort(Some(Fault::StageBroken { stage: name, times: 1, message }));
                return;
            }
        }
    }
}
