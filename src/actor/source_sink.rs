//! Loops of a topology's source, which issues tickets, and of its sink, which resolves them.

use std::sync::Arc;

use crate::actor::actor_cell::Seat;
use crate::actor::mailbox::{Inbox, Outbox};
use crate::actor::sequencer::Sequencer;
use crate::actor::shell::Shell;
use crate::actor::stage::{Describe, Outcome, Sink, Skip, Source};
use crate::actor::stop::StopState;
use crate::actor::ticket::{Flow, Ticket};
use crate::base::error::{CaseError, Fault};

/// Runs the source's thread: names items for as long as there are tickets, items and receivers.
pub(super) fn issue<S: Source>(
    context: &Shell,
    mut source: S,
    outbox: &Outbox<Flow<S::Item>>,
    mut handle: Seat,
) {
    loop {
        handle.block();
        // The permit comes first: a named item exists and takes memory.
        let Some(permit) = context.pool.permit() else { return };
        handle.work(None);
        let named = context.guard(S::NAME, || {
            source.next().map(|item| {
                let described = item.describe();
                (item, described)
            })
        });
        let Some(Some((item, described))) = named else { return };
        let ticket = permit.issue(described, S::NAME);
        handle.count();
        if outbox.put(Flow { ticket, body: Ok(item) }).is_err() {
            return;
        }
    }
}

/// Loop of the sink's thread: puts outcomes in order, resolves their tickets, sends outputs.
pub(super) struct Resolver<S: Sink> {
    pub(super) shell: Arc<Shell>,
    pub(super) sink: S,
    pub(super) inbox: Inbox<Flow<S::In>>,
    pub(super) output: Outbox<S::Out>,
}

impl<S: Sink> Resolver<S> {
    /// Runs until the input ends and the last output has been taken, or the consumer is gone.
    pub(super) fn run(mut self, mut handle: Seat) {
        let (_, tickets) = self.shell.pool.free();
        let mut sequencer = Sequencer::new(tickets);
        handle.starve();
        while let Some(ticketed) = self.inbox.take() {
            sequencer.put(ticketed.ticket.ordinal, ticketed);
            while let Some(next) = sequencer.pop() {
                let Some(made) = self.resolve(next, &mut handle) else { return };
                if !self.send(made, &mut handle) {
                    return;
                }
            }
            handle.starve();
        }
        let context = Arc::clone(&self.shell);
        if context.latch.state() == StopState::Aborted {
            return;
        }
        handle.work(None);
        let Some(rest) = context.guard(S::NAME, || self.sink.finish()) else { return };
        self.send(rest, &mut handle);
    }

    /// Passes one outcome to the sink and returns its ticket; `None` if that ended the run.
    fn resolve(&mut self, ticketed: Flow<S::In>, handle: &mut Seat) -> Option<Option<S::Out>> {
        let Flow { mut ticket, body } = ticketed;
        ticket.stage = S::NAME;
        handle.work(Some(&ticket));
        let context = Arc::clone(&self.shell);
        let made = match body {
            Ok(item) => {
                let made = context.guard(S::NAME, || self.sink.accept(Outcome::Ready(item)))?;
                ticket.deliver();
                made
            }
            Err(error) => {
                let skip = self.skip(&ticket, error);
                let error = skip.error.clone();
                let made = context.guard(S::NAME, || self.sink.accept(Outcome::Skipped(skip)))?;
                if let Err(over_budget) = ticket.skip(&error) {
                    return self.fail(over_budget);
                }
                made
            }
        };
        handle.count();
        Some(made)
    }

    fn skip(&self, ticket: &Ticket, error: CaseError) -> Skip {
        let skip = Skip { ordinal: ticket.ordinal, item: ticket.item.to_string(), error };
        let topology = self.shell.topology;
        let ordinal = skip.ordinal;
        tracing::warn!(topology, ordinal, item = %skip.item, error = %skip.error, "skipped");
        if let Some(on_skip) = &self.shell.hooks.on_skip {
            on_skip(&skip);
        }
        skip
    }

    fn fail<T>(&self, fault: Fault) -> Option<T> {
        self.shell.latch.abort(Some(fault));
        None
    }

    /// Sends an output, waiting for the consumer; false if it is gone.
    fn send(&self, made: Option<S::Out>, handle: &mut Seat) -> bool {
        let Some(output) = made else { return true };
        handle.block();
        self.output.send(output).is_ok()
    }
}
