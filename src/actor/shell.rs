//! What all threads of a topology share, and how one is started.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crate::actor::hooks::Hooks;
use crate::actor::post::{Post, Seat};
use crate::actor::rollcall::{Presence, RollCall};
use crate::actor::stop::{StopLatch, StopState};
use crate::actor::ticket::TicketPool;
use crate::base::error::Fault;
use crate::telemetry::meter::Activity;

/// One running topology, as its threads and observers see it.
pub(super) struct Shell {
    pub(super) topology: &'static str,
    pub(super) latch: StopLatch,
    pub(super) pool: TicketPool,
    pub(super) roll: Arc<RollCall>,
    pub(super) hooks: Hooks,
    /// Source first, sink last.
    pub(super) posts: Vec<Arc<Post>>,
    /// The consumer's clock and the queue in front of it.
    pub(super) feed: Arc<Post>,
}

impl Shell {
    /// Makes the latch close this topology's ticket pool and mailboxes.
    pub(super) fn obey(self: &Arc<Self>) {
        // Weak, because the shell holds the latch.
        let shell = Arc::downgrade(self);
        self.latch.on_stop(move |state| {
            let Some(shell) = shell.upgrade() else { return };
            shell.pool.close();
            if state < StopState::Aborted {
                return;
            }
            shell.roll.abort();
            for post in shell.posts.iter().chain([&shell.feed]) {
                if let Some((valve, _)) = &post.queue {
                    valve.close();
                }
            }
        });
    }

    /// Starts the one thread of an end.
    pub(super) fn spawn(
        self: &Arc<Self>,
        post: &Arc<Post>,
        activity: Activity,
        body: impl FnOnce(Seat) + Send + 'static,
    ) -> Result<(), Fault> {
        let seat = post.seat(format!("{}-0", post.name), activity);
        self.start(post, seat, self.roll.enter(), body)
    }

    /// Starts workers at `post` until it has as many as it wants, or its stage has ended.
    pub(super) fn staff(self: &Arc<Self>, post: &Arc<Post>) -> Result<(), Fault> {
        let Some(recruit) = &post.recruit else { return Ok(()) };
        loop {
            // On the roll before the look at the stage: if that finds it running, some thread is
            // still there, and whoever waits for that one will wait for the new one too.
            let presence = self.roll.enter();
            let Some(work) = recruit(self, post) else { return Ok(()) };
            let Some(seat) = post.fill(Activity::Busy) else { return Ok(()) };
            self.start(post, seat, presence, work)?;
        }
    }

    /// Starts a thread. Whatever ends `body`, the roll call hears of it.
    fn start(
        self: &Arc<Self>,
        post: &Arc<Post>,
        seat: Seat,
        presence: Presence,
        body: impl FnOnce(Seat) + Send + 'static,
    ) -> Result<(), Fault> {
        // Linux shows 15 bytes of a thread's name: the topology's would push out the number.
        let name = seat.worker().to_owned();
        let (shell, stage) = (Arc::clone(self), post.name);
        let thread = thread::Builder::new().name(name.clone()).spawn(move || {
            // Dropped last, when the body's mailboxes, stage and seat are gone.
            let _presence = presence;
            shell.guard(stage, move || body(seat));
        });
        // The handle is not kept: the roll call knows when the thread is done.
        thread.map(drop).map_err(|error| {
            post.vacate(&name);
            Fault::Environment {
                subject: format!("thread {name} of {}", self.topology),
                problem: error.to_string().to_lowercase(),
                remedy: "lower [loader.workers] or raise the limit on threads".to_owned(),
            }
        })
    }

    /// Runs code that is not the shell's and has no second chance: a panic in it ends the run.
    pub(super) fn guard<R>(&self, stage: &'static str, code: impl FnOnce() -> R) -> Option<R> {
        // Nothing the code may have left half-done is used again: the run is over.
        match catch_unwind(AssertUnwindSafe(code)) {
            Ok(result) => Some(result),
            Err(payload) => {
                let message = panic_message(payload.as_ref());
                self.latch.abort(Some(Fault::StageBroken { stage, times: 1, message }));
                None
            }
        }
    }
}

/// What was passed to `panic!`. The default hook has printed it, with its place, already.
pub(super) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_message_is_found_for_literals_formatted_texts_and_anything_else() {
        let literal: Box<dyn Any + Send> = Box::new("a literal");
        let formatted: Box<dyn Any + Send> = Box::new(format!("item {}", 3));
        let other: Box<dyn Any + Send> = Box::new(3);
        assert_eq!(panic_message(literal.as_ref()), "a literal");
        assert_eq!(panic_message(formatted.as_ref()), "item 3");
        assert_eq!(panic_message(other.as_ref()), "a panic without a text");
    }
}
