//! Loops of a topology's source, which issues tickets, and of its sink, which resolves them.

use std::sync::Arc;

use crate::actor::actor_cell::WorkerHandle;
use crate::actor::mailbox::{Inbox, Outbox};
use crate::actor::sequencer::Sequencer;
use crate::actor::shell::TopologyContext;
use crate::actor::ticket::{Ticket, TicketedItem};
use crate::actor::{Describe, Sink, SkippedItem, Source, StopState};
use crate::base::{CaseError, Fault};

/// Runs the source's thread: names items for as long as there are tickets, items and receivers.
pub(super) fn issue_items<S: Source>(
    context: &TopologyContext,
    mut source: S,
    outbox: &Outbox<TicketedItem<S::Item>>,
    mut handle: WorkerHandle,
) {
    loop {
        handle.enter_blocked();
        // The permit comes first: a named item exists and takes memory.
        let Some(permit) = context.pool.acquire_permit() else { return };
        handle.enter_busy(None);
        let named = context.run_guarded(S::NAME, || {
            source.next().map(|item| {
                let names = (item.describe(), item.subject());
                (item, names)
            })
        });
        let Some(Some((item, (described, subject)))) = named else { return };
        let ticket = permit.issue_ticket(described, subject, S::NAME);
        handle.count_item();
        if outbox.try_send(TicketedItem { ticket, body: Ok(item) }).is_err() {
            return;
        }
    }
}

/// Loop of the sink's thread: puts outcomes in order, resolves their tickets, sends outputs.
pub(super) struct Resolver<S: Sink> {
    pub(super) context: Arc<TopologyContext>,
    pub(super) sink: S,
    pub(super) inbox: Inbox<TicketedItem<S::In>>,
    pub(super) output: Outbox<S::Out>,
}

impl<S: Sink> Resolver<S> {
    /// Runs until the input ends and the last output has been taken, or the consumer is gone.
    pub(super) fn run(mut self, mut handle: WorkerHandle) {
        let (_, tickets) = self.context.pool.free_places();
        let mut sequencer = Sequencer::new(tickets);
        handle.enter_starved();
        while let Some(ticketed) = self.inbox.receive() {
            sequencer.insert_at(ticketed.ticket.ordinal, ticketed);
            while let Some(next) = sequencer.pop_next() {
                let Some(made) = self.resolve_outcome(next, &mut handle) else { return };
                if !self.send_output(made, &mut handle) {
                    return;
                }
            }
            handle.enter_starved();
        }
        let context = Arc::clone(&self.context);
        if context.latch.state() == StopState::Aborted {
            return;
        }
        handle.enter_busy(None);
        let Some(rest) = context.run_guarded(S::NAME, || self.sink.finish()) else { return };
        self.send_output(rest, &mut handle);
    }

    /// Passes one outcome to the sink and returns its ticket; `None` if that ended the run.
    fn resolve_outcome(
        &mut self,
        ticketed: TicketedItem<S::In>,
        handle: &mut WorkerHandle,
    ) -> Option<Option<S::Out>> {
        let TicketedItem { mut ticket, body } = ticketed;
        ticket.stage = S::NAME;
        handle.enter_busy(Some(&ticket));
        let context = Arc::clone(&self.context);
        let made = match body {
            Ok(item) => {
                let made = context.run_guarded(S::NAME, || self.sink.accept_outcome(Ok(item)))?;
                ticket.mark_delivered();
                made
            }
            Err(error) => {
                let skip = self.report_skip(&ticket, error);
                let error = skip.error.clone();
                let made = context.run_guarded(S::NAME, || self.sink.accept_outcome(Err(skip)))?;
                if let Err(over_budget) = ticket.mark_skipped(&error) {
                    return self.abort_run(over_budget);
                }
                made
            }
        };
        handle.count_item();
        Some(made)
    }

    fn report_skip(&self, ticket: &Ticket, error: CaseError) -> SkippedItem {
        let skip = SkippedItem { ordinal: ticket.ordinal, item: ticket.item.to_string(), error };
        let topology = self.context.topology;
        let ordinal = skip.ordinal;
        tracing::warn!(topology, ordinal, item = %skip.item, error = %skip.error, "skipped");
        if let Some(on_skip) = &self.context.hooks.on_skip {
            on_skip(&skip);
        }
        skip
    }

    fn abort_run<T>(&self, fault: Fault) -> Option<T> {
        self.context.latch.abort(Some(fault));
        None
    }

    /// Sends an output, waiting for the consumer; false if it is gone.
    fn send_output(&self, made: Option<S::Out>, handle: &mut WorkerHandle) -> bool {
        let Some(output) = made else { return true };
        handle.enter_blocked();
        self.output.send(output).is_ok()
    }
}
