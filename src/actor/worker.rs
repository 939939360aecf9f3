//! Loop around a stage: receive, process, send. Each worker thread runs one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::actor::Stage;
use crate::actor::actor_cell::{ActorCell, WorkerBody, WorkerFactory, WorkerHandle};
use crate::actor::mailbox::{Inbox, Outbox};
use crate::actor::shell::{TopologyContext, panic_message};
use crate::actor::ticket::{Ticket, TicketedItem};
use crate::base::{CaseError, Fault, Reason};

/// Consecutive panics, on whatever items, that show the stage itself to be wrong. The skip budget
/// catches a cohort with many bad items.
const MAX_PANICS_IN_A_ROW: u32 = 5;

/// Worker of a stage, before its thread starts.
struct Worker<S: Stage, F> {
    context: Arc<TopologyContext>,
    actor: Arc<ActorCell>,
    factory: Arc<F>,
    inbox: Inbox<TicketedItem<S::In>>,
    outbox: Outbox<TicketedItem<S::Out>>,
}

/// Makes the factory of a stage's workers. All it keeps is weak: a spare handle would keep
/// mailboxes open, and whatever `factory` holds in memory.
pub(super) fn worker_factory<S, F>(
    factory: &Arc<F>,
    inbox: &Inbox<TicketedItem<S::In>>,
    outbox: &Outbox<TicketedItem<S::Out>>,
) -> WorkerFactory
where
    S: Stage,
    F: Fn() -> S + Send + Sync + 'static,
{
    let factory = Arc::downgrade(factory);
    let inbox = inbox.downgrade();
    let outbox = outbox.downgrade();
    Box::new(move |context, actor| {
        let worker = Worker {
            context: Arc::clone(context),
            actor: Arc::clone(actor),
            factory: factory.upgrade()?,
            inbox: inbox()?,
            outbox: outbox()?,
        };
        let body: WorkerBody = Box::new(move |handle| worker.run(handle));
        Some(body)
    })
}

impl<S: Stage, F: Fn() -> S> Worker<S, F> {
    /// Runs until the input or the next stage ends, the stage is broken, or the worker is removed.
    fn run(self, mut handle: WorkerHandle) {
        let Some(mut stage) = self.build_stage() else { return };
        handle.attach_meter();
        handle.enter_starved();
        while let Some(TicketedItem { mut ticket, body }) = self.inbox.receive() {
            ticket.stage = S::NAME;
            handle.enter_busy(Some(&ticket));
            let was_item = body.is_ok();
            let made = match body {
                Err(error) => Err(error),
                Ok(item) => match self.process_item(&mut stage, item) {
                    Ok(made) => made,
                    Err(message) => {
                        let Some(rebuilt) = self.rebuild_stage(stage, &ticket, &message) else {
                            return;
                        };
                        stage = rebuilt;
                        Err(panic_error::<S>(&ticket, &message))
                    }
                },
            };
            let taken = self.outbox.try_send(TicketedItem { ticket, body: made });
            let service_time = handle.enter_starved();
            if was_item {
                handle.count_item();
                if let Some(on_item) = &self.context.hooks.on_item {
                    on_item(S::NAME, service_time);
                }
            }
            if taken.is_err() {
                return;
            }
            let Some(kept) = self.actor.keep_or_release(handle) else { return };
            handle = kept;
        }
    }

    fn build_stage(&self) -> Option<S> {
        self.context.run_guarded(S::NAME, || (self.factory)())
    }

    /// Returns the item's result, or the message of a panic.
    fn process_item(
        &self,
        stage: &mut S,
        item: S::In,
    ) -> Result<Result<S::Out, CaseError>, String> {
        // A stage that has panicked is never used again, so it may be left in any state.
        match catch_unwind(AssertUnwindSafe(|| stage.process(item))) {
            Ok(made) => {
                if made.is_ok() {
                    self.actor.panics_in_a_row.store(0, Ordering::Relaxed);
                }
                Ok(made)
            }
            Err(payload) => Err(panic_message(payload.as_ref())),
        }
    }

    /// Makes a new stage in place of one that has panicked, unless it panicked too often in a row.
    fn rebuild_stage(&self, broken: S, ticket: &Ticket, message: &str) -> Option<S> {
        let stage = S::NAME;
        let topology = self.context.topology;
        tracing::warn!(topology, stage, item = %ticket.item, message, "panicked, stage rebuilt");
        self.actor.restarts.fetch_add(1, Ordering::Relaxed);
        let times = self.actor.panics_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        if times >= MAX_PANICS_IN_A_ROW {
            let message = message.to_owned();
            self.context.latch.abort(Some(Fault::StageBroken { stage, times, message }));
            return None;
        }
        self.context.run_guarded(S::NAME, move || drop(broken))?;
        self.build_stage()
    }
}

fn panic_error<S: Stage>(ticket: &Ticket, message: &str) -> CaseError {
    CaseError::new(
        Reason::Panicked,
        &ticket.item,
        format!("stage {} panicked: {message}", S::NAME),
        "check the case; if it is sound, this is a bug, please report it with the log",
    )
}
