//! The two ends of a topology: the loop that issues tickets and the loop that resolves them.

use std::sync::Arc;

use crate::actor::mailbox::{Inbox, Outbox};
use crate::actor::post::Seat;
use crate::actor::sequencer::Sequencer;
use crate::actor::shell::Shell;
use crate::actor::stage::{Describe, Outcome, Sink, Skip, Source};
use crate::actor::stop::StopState;
use crate::actor::ticket::{Flow, Ticket};
use crate::base::error::{CaseError, Fault};

/// Names items for as long as there are tickets, items and somebody to take them.
pub(super) fn issue<S: Source>(
    shell: &Shell,
    mut source: S,
    outbox: &Outbox<Flow<S::Item>>,
    mut seat: Seat,
) {
    loop {
        seat.block();
        // The permit comes first: an item that is named is an item that exists.
        let Some(permit) = shell.pool.permit() else { return };
        seat.work(None);
        let named = shell.guard(S::NAME, || {
            source.next().map(|item| {
                let described = item.describe();
                (item, described)
            })
        });
        let Some(Some((item, described))) = named else { return };
        let ticket = permit.issue(described, S::NAME);
        seat.count();
        if outbox.put(Flow { ticket, body: Ok(item) }).is_err() {
            return;
        }
    }
}

/// The sink's thread: puts outcomes in order, resolves their tickets, sends what they make.
pub(super) struct Resolver<S: Sink> {
    pub(super) shell: Arc<Shell>,
    pub(super) sink: S,
    pub(super) inbox: Inbox<Flow<S::In>>,
    pub(super) output: Outbox<S::Out>,
}

impl<S: Sink> Resolver<S> {
    /// Works until the input ends and the last output has been taken, or nobody takes any more.
    pub(super) fn run(mut self, mut seat: Seat) {
        let (_, tickets) = self.shell.pool.free();
        let mut sequencer = Sequencer::new(tickets);
        seat.starve();
        while let Some(flow) = self.inbox.take() {
            sequencer.put(flow.ticket.ordinal, flow);
            while let Some(next) = sequencer.pop() {
                let Some(made) = self.resolve(next, &mut seat) else { return };
                if !self.send(made, &mut seat) {
                    return;
                }
            }
            seat.starve();
        }
        let shell = Arc::clone(&self.shell);
        if shell.latch.state() == StopState::Aborted {
            return;
        }
        seat.work(None);
        let Some(rest) = shell.guard(S::NAME, || self.sink.finish()) else { return };
        self.send(rest, &mut seat);
    }

    /// Shows the sink one outcome and returns its ticket; `None` if that ended the run.
    fn resolve(&mut self, flow: Flow<S::In>, seat: &mut Seat) -> Option<Option<S::Out>> {
        let Flow { mut ticket, body } = flow;
        ticket.stage = S::NAME;
        seat.work(Some(&ticket));
        let shell = Arc::clone(&self.shell);
        let made = match body {
            Ok(item) => {
                let made = shell.guard(S::NAME, || self.sink.accept(Outcome::Ready(item)))?;
                ticket.deliver();
                made
            }
            Err(error) => {
                let skip = self.skip(&ticket, error);
                let error = skip.error.clone();
                let made = shell.guard(S::NAME, || self.sink.accept(Outcome::Skipped(skip)))?;
                if let Err(over_budget) = ticket.skip(&error) {
                    return self.fail(over_budget);
                }
                made
            }
        };
        seat.count();
        Some(made)
    }

    fn skip(&self, ticket: &Ticket, error: CaseError) -> Skip {
        let skip = Skip { ordinal: ticket.ordinal, item: ticket.item.to_string(), error };
        let (topology, ordinal) = (self.shell.topology, skip.ordinal);
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

    /// Waits for the consumer; false if there is none any more.
    fn send(&self, made: Option<S::Out>, seat: &mut Seat) -> bool {
        let Some(output) = made else { return true };
        seat.block();
        self.output.send(output).is_ok()
    }
}
