//! State that all threads of a topology share, and the start of a thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::actor::actor_cell::{ActorCell, WorkerHandle};
use crate::actor::thread_tracker::{ThreadGuard, ThreadTracker};
use crate::actor::ticket::TicketPool;
use crate::actor::{Hooks, StopLatch, StopState};
use crate::base::{Fault, spawn_named};
use crate::telemetry::Activity;

/// State of a running topology that its threads and observers share.
pub(super) struct TopologyContext {
    pub(super) topology: &'static str,
    pub(super) latch: StopLatch,
    pub(super) pool: TicketPool,
    pub(super) threads: Arc<ThreadTracker>,
    pub(super) hooks: Hooks,
    /// Actors, source first, sink last.
    pub(super) actors: Vec<Arc<ActorCell>>,
    /// Consumer's meter and the queue in front of it.
    pub(super) feed: Arc<ActorCell>,
}

impl TopologyContext {
    /// Closes the ticket pool and the mailboxes when the latch stops.
    pub(super) fn close_on_stop(self: &Arc<Self>) {
        // Weak, because the context holds the latch.
        let context = Arc::downgrade(self);
        self.latch.on_stop(move |state| {
            let Some(context) = context.upgrade() else { return };
            context.pool.close();
            if state < StopState::Aborted {
                return;
            }
            context.threads.start_grace_period();
            for actor in context.actors.iter().chain([&context.feed]) {
                if let Some((control, _)) = &actor.queue {
                    control.close();
                }
            }
        });
    }

    /// Starts the one thread of a source or a sink.
    pub(super) fn spawn_end(
        self: &Arc<Self>,
        actor: &Arc<ActorCell>,
        activity: Activity,
        body: impl FnOnce(WorkerHandle) + Send + 'static,
    ) -> Result<(), Fault> {
        let handle = actor.add_worker(format!("{}-0", actor.name), activity);
        self.spawn_thread(actor, handle, self.threads.track_thread(), body)
    }

    /// Starts workers of `actor` until it has as many as wanted, or its stage has ended.
    pub(super) fn spawn_missing_workers(
        self: &Arc<Self>,
        actor: &Arc<ActorCell>,
    ) -> Result<(), Fault> {
        let Some(factory) = &actor.worker_factory else { return Ok(()) };
        loop {
            // Tracked before the stage is asked: if it still runs, some thread of it does, and
            // a join that waits for that one will wait for the new one too.
            let guard = self.threads.track_thread();
            let Some(body) = factory(self, actor) else { return Ok(()) };
            let Some(handle) = actor.add_missing_worker(Activity::Busy) else { return Ok(()) };
            self.spawn_thread(actor, handle, guard, body)?;
        }
    }

    /// Starts a thread that the tracker counts until `body` has ended, however it ends.
    fn spawn_thread(
        self: &Arc<Self>,
        actor: &Arc<ActorCell>,
        handle: WorkerHandle,
        guard: ThreadGuard,
        body: impl FnOnce(WorkerHandle) + Send + 'static,
    ) -> Result<(), Fault> {
        // Linux shows 15 bytes of a thread's name: the topology's would push out the number.
        let name = handle.worker().to_owned();
        let context = Arc::clone(self);
        let stage = actor.name;
        let thread = spawn_named(&name, move || {
            // Dropped last, after the body's mailboxes, stage and handle.
            let _guard = guard;
            context.run_guarded(stage, move || body(handle));
        });
        // The join handle is not kept: the tracker knows when the thread is done.
        thread.map(drop).inspect_err(|_| actor.remove_worker(&name))
    }

    /// Runs code that is not retried: a panic in it ends the run.
    pub(super) fn run_guarded<R>(
        &self,
        stage: &'static str,
        code: impl FnOnce() -> R,
    ) -> Option<R> {
        // Nothing the code may have left half-done is used again: the run is over.
        abort_on_panic(&self.latch, stage, code)
    }
}

/// Runs `code`; a panic aborts the run as a fault of `stage`.
pub(super) fn abort_on_panic<R>(
    latch: &StopLatch,
    stage: &'static str,
    code: impl FnOnce() -> R,
) -> Option<R> {
    let outcome = catch_unwind(AssertUnwindSafe(code)).map_err(|payload| {
        let message = panic_message(payload.as_ref());
        latch.abort(Some(Fault::StageBroken { stage, times: 1, message }));
    });
    outcome.ok()
}

/// Message passed to `panic!`. The default hook has printed it, with its place, already.
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
