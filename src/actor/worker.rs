//! The loop around a stage: take, work, hand on. One thread runs one of these.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::actor::mailbox::{Inbox, Outbox};
use crate::actor::post::{Post, Recruit, Seat, Work};
use crate::actor::shell::{Shell, panic_message};
use crate::actor::stage::Stage;
use crate::actor::ticket::{Flow, Ticket};
use crate::base::error::{CaseError, Fault, Reason};

/// A stage that panics on this many items in a row, whatever they are, is itself what is wrong. The
/// skip budget is what catches a cohort in which many items are bad.
const MAX_PANICS_IN_A_ROW: u32 = 5;

/// One worker of a stage, before its thread starts.
struct Worker<S: Stage, F> {
    shell: Arc<Shell>,
    post: Arc<Post>,
    factory: Arc<F>,
    inbox: Inbox<Flow<S::In>>,
    outbox: Outbox<Flow<S::Out>>,
}

/// What makes workers for as long as the stage has one. All it keeps is weak: a spare handle would
/// keep mailboxes open, and whatever the factory holds in memory.
pub(super) fn recruit<S, F>(
    factory: &Arc<F>,
    inbox: &Inbox<Flow<S::In>>,
    outbox: &Outbox<Flow<S::Out>>,
) -> Recruit
where
    S: Stage,
    F: Fn() -> S + Send + Sync + 'static,
{
    let (factory, inbox, outbox) = (Arc::downgrade(factory), inbox.downgrade(), outbox.downgrade());
    Box::new(move |shell, post| {
        let worker = Worker {
            shell: Arc::clone(shell),
            post: Arc::clone(post),
            factory: factory.upgrade()?,
            inbox: inbox.upgrade()?,
            outbox: outbox.upgrade()?,
        };
        let work: Work = Box::new(move |seat| worker.run(seat));
        Some(work)
    })
}

impl<S: Stage, F: Fn() -> S> Worker<S, F> {
    /// Works until the input ends, the next stage is gone, the stage is broken, or one worker is too
    /// many.
    fn run(self, mut seat: Seat) {
        let Some(mut stage) = self.build() else { return };
        seat.sit_down();
        seat.starve();
        while let Some(Flow { mut ticket, body }) = self.inbox.take() {
            ticket.stage = S::NAME;
            seat.work(Some(&ticket));
            let was_item = body.is_ok();
            let made = match body {
                Err(error) => Err(error),
                Ok(item) => match self.attempt(&mut stage, item) {
                    Ok(made) => made,
                    Err(message) => {
                        let Some(rebuilt) = self.rebuild(stage, &ticket, &message) else { return };
                        stage = rebuilt;
                        Err(panicked::<S>(&ticket, &message))
                    }
                },
            };
            let taken = self.outbox.put(Flow { ticket, body: made });
            let service_time = seat.starve();
            if was_item {
                seat.count();
                if let Some(on_item) = &self.shell.hooks.on_item {
                    on_item(S::NAME, service_time);
                }
            }
            if taken.is_err() {
                return;
            }
            let Some(kept) = self.post.keep(seat) else { return };
            seat = kept;
        }
    }

    fn build(&self) -> Option<S> {
        self.shell.guard(S::NAME, || (self.factory)())
    }

    /// The item's outcome, or the panic's message.
    fn attempt(&self, stage: &mut S, item: S::In) -> Result<Result<S::Out, CaseError>, String> {
        // A stage that has panicked is never used again, so it may be left in any state.
        match catch_unwind(AssertUnwindSafe(|| stage.process(item))) {
            Ok(made) => {
                if made.is_ok() {
                    self.post.panics_in_a_row.store(0, Ordering::Relaxed);
                }
                Ok(made)
            }
            Err(payload) => Err(panic_message(payload.as_ref())),
        }
    }

    /// A new stage in place of one that has panicked, unless that has become a habit.
    fn rebuild(&self, broken: S, ticket: &Ticket, message: &str) -> Option<S> {
        let (stage, topology) = (S::NAME, self.shell.topology);
        tracing::warn!(topology, stage, item = %ticket.item, message, "panicked, stage rebuilt");
        self.post.restarts.fetch_add(1, Ordering::Relaxed);
        let times = self.post.panics_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        if times >= MAX_PANICS_IN_A_ROW {
            let message = message.to_owned();
            self.shell.latch.abort(Some(Fault::StageBroken { stage, times, message }));
            return None;
        }
        self.shell.guard(S::NAME, move || drop(broken))?;
        self.build()
    }
}

fn panicked<S: Stage>(ticket: &Ticket, message: &str) -> CaseError {
    CaseError::new(
        Reason::Panicked,
        &ticket.item,
        format!("stage {} panicked: {message}", S::NAME),
        "check the case; if it is sound, this is a bug, please report it with the log",
    )
}
