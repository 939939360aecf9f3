//! Observations of a topology while it runs and after it has ended, without making it wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::actor::TicketCounts;
use crate::actor::actor_cell::ActorCell;
use crate::actor::shell::TopologyContext;
use crate::telemetry::Activity;

/// Sums over all workers of one actor, also removed ones; the times add up to `worker_seconds`. One
/// that another process has read from JSON owns its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observation<Name = &'static str> {
    /// Actor name.
    pub name: Name,
    /// Workers now, without removed ones; after the stage has ended, the number it ended with.
    pub workers: usize,
    /// Items named, worked on or resolved.
    pub items: u64,
    /// Time working, summed over workers.
    pub busy_seconds: f64,
    /// Time waiting for input, summed over workers.
    pub starved_seconds: f64,
    /// Time waiting for a ticket (source) or for the consumer (sink).
    pub blocked_seconds: f64,
    /// Lifetime of the workers, summed over workers.
    pub worker_seconds: f64,
    /// Items waiting for a worker.
    pub queue_depth: usize,
    /// Capacity of that queue; 0 for a source, which has none.
    pub queue_capacity: usize,
    /// Rebuilds of a stage after a panic.
    pub restarts: u64,
    /// Workers busy now.
    pub busy_now: usize,
    /// Workers waiting for input now.
    pub starved_now: usize,
    /// Workers waiting for room now.
    pub blocked_now: usize,
}

impl Observation {
    /// Difference to an earlier observation of the same actor, in every sum.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            items: self.items - earlier.items,
            busy_seconds: self.busy_seconds - earlier.busy_seconds,
            starved_seconds: self.starved_seconds - earlier.starved_seconds,
            blocked_seconds: self.blocked_seconds - earlier.blocked_seconds,
            worker_seconds: self.worker_seconds - earlier.worker_seconds,
            restarts: self.restarts - earlier.restarts,
            ..self.clone()
        }
    }
}

/// Observations of all actors of a topology at one time.
#[derive(Debug, Clone)]
pub struct TopologySnapshot {
    /// Actors, source first and sink last.
    pub actors: Vec<Observation>,
    /// Consumer of the topology's output.
    pub feed: Observation,
}

impl TopologySnapshot {
    /// Difference to an earlier snapshot.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let pairs = self.actors.iter().zip(&earlier.actors);
        let actors = pairs.map(|(now, then)| now.since(then)).collect();
        Self { actors, feed: self.feed.since(&earlier.feed) }
    }
}

/// Observes a topology; clones observe the same one. It keeps nothing of it running or open.
#[derive(Clone)]
pub struct Observer(pub(super) Arc<TopologyContext>);

/// Evidence by which the watchdog detects a stall.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProgressSnapshot {
    /// Value of [`Observer::activity_changes`].
    pub(super) progress: u64,
    /// True while the sink waits for its consumer.
    pub(super) output_is_full: bool,
    /// True while items are in flight or the sink works.
    pub(super) work_waits: bool,
}

impl Observer {
    /// Name of the topology.
    pub fn topology_name(&self) -> &'static str {
        self.0.topology
    }

    /// True once every thread has ended and every output has been taken.
    pub fn is_over(&self) -> bool {
        self.0.threads.is_empty() && self.feed().queue_depth == 0
    }

    /// Observations of all actors, source first, sink last.
    pub fn observations(&self) -> Vec<Observation> {
        self.0.actors.iter().map(|actor| observe(actor)).collect()
    }

    /// Observation of the consumer and the outputs ready for it: starved is its wait in
    /// [`Feed::next_output`](crate::actor::Feed::next_output), busy all its other time.
    pub fn feed(&self) -> Observation {
        observe(&self.0.feed)
    }

    /// Observations of all actors and of the consumer.
    pub fn take_snapshot(&self) -> TopologySnapshot {
        TopologySnapshot { actors: self.observations(), feed: self.feed() }
    }

    /// Ticket counts, all of one instant.
    pub fn ticket_counts(&self) -> TicketCounts {
        self.0.pool.ticket_counts()
    }

    /// Free tickets.
    pub fn tickets_free(&self) -> usize {
        self.0.pool.free_places().0
    }

    /// Number of activity changes of all workers; an equal value means no progress in between.
    pub fn activity_changes(&self) -> u64 {
        self.0.actors.iter().map(|actor| actor.worker_totals().changes).sum()
    }

    pub(super) fn progress_snapshot(&self) -> ProgressSnapshot {
        let progress = self.activity_changes();
        let sink = self.0.actors.last().map(|actor| observe(actor));
        let (blocked, busy) = sink.map_or((0, 0), |sink| (sink.blocked_now, sink.busy_now));
        let work_waits = self.ticket_counts().in_flight > 0 || busy > 0;
        ProgressSnapshot { progress, output_is_full: blocked > 0, work_waits }
    }

    /// Report with a line per worker: its activity, for how long, on which ticket and item.
    pub fn worker_report(&self) -> String {
        let counts = self.ticket_counts();
        let mut text = format!(
            "topology {}: {} issued, {} delivered, {} skipped, {} in flight, {} abandoned\n",
            self.topology_name(),
            counts.issued,
            counts.delivered,
            counts.skipped,
            counts.in_flight,
            counts.abandoned,
        );
        for actor in self.0.actors.iter().chain([&self.0.feed]) {
            let depth = actor.queue.as_ref().map_or(0, |(valve, _)| valve.queue_depth());
            for status in actor.worker_statuses() {
                let reading = status.meter.read_clock();
                let activity = reading.activity.label();
                let age = reading.age.as_secs_f64();
                let held = status.current_item().map_or_else(
                    || format!("{depth} queued"),
                    |(ordinal, item)| format!("ticket {ordinal} ({item})"),
                );
                text += &format!("  {:<16} {activity:<8} {age:>8.1} s  {held}\n", status.worker);
            }
        }
        text
    }
}

fn observe(actor: &ActorCell) -> Observation {
    let totals = actor.worker_totals();
    let queue = actor.queue.as_ref();
    Observation {
        name: actor.name,
        workers: totals.present,
        items: totals.items,
        busy_seconds: totals.busy.as_secs_f64(),
        starved_seconds: totals.starved.as_secs_f64(),
        blocked_seconds: totals.blocked.as_secs_f64(),
        worker_seconds: totals.lifetime.as_secs_f64(),
        queue_depth: queue.map_or(0, |(valve, _)| valve.queue_depth()),
        queue_capacity: queue.map_or(0, |(_, capacity)| *capacity),
        restarts: actor.restarts.load(Ordering::Relaxed),
        busy_now: totals.now[Activity::Busy as usize],
        starved_now: totals.now[Activity::Starved as usize],
        blocked_now: totals.now[Activity::Blocked as usize],
    }
}
