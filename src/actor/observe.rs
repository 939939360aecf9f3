//! What can be seen of a topology while it runs and after it has ended, without making it wait.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;

use crate::actor::post::Post;
use crate::actor::shell::Shell;
use crate::actor::ticket::Ledger;
use crate::telemetry::meter::Activity;

/// One actor with all its workers, those that have left included in every sum. The three clocks
/// add up to `worker_seconds`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Observation {
    /// The stage.
    pub name: &'static str,
    /// Workers at this moment. One that has been taken off its stage is not counted any more; when
    /// the whole stage has ended, this is the number it ended with.
    pub workers: usize,
    /// Items named, worked on or resolved.
    pub items: u64,
    /// Time working, summed over workers.
    pub busy_seconds: f64,
    /// Time waiting for input, summed over workers.
    pub starved_seconds: f64,
    /// Time waiting for a ticket (source) or for the consumer (sink).
    pub blocked_seconds: f64,
    /// Wall time of the workers while they were there, summed over workers.
    pub worker_seconds: f64,
    /// Items waiting for a worker.
    pub queue_depth: usize,
    /// Places in that queue; 0 for a source, which has none.
    pub queue_capacity: usize,
    /// Stages built again after a panic.
    pub restarts: u64,
    /// Workers working at this moment.
    pub busy_now: usize,
    /// Workers waiting for input at this moment.
    pub starved_now: usize,
    /// Workers waiting for room at this moment.
    pub blocked_now: usize,
}

impl Observation {
    /// What happened since an earlier look at the same actor: sums are differences, the rest is now's.
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

/// Sees a topology; clones see the same one. It keeps nothing of it running or open.
#[derive(Clone)]
pub struct Observer(pub(super) Arc<Shell>);

/// What the watchdog judges by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    /// See [`Observer::progress`].
    pub(super) progress: u64,
    /// The sink waits for its consumer.
    pub(super) output_is_full: bool,
    /// There are items inside, or the sink is at work.
    pub(super) work_waits: bool,
}

impl Observer {
    /// Name of the topology.
    pub fn topology(&self) -> &'static str {
        self.0.topology
    }

    /// Whether every thread has left and every output has been taken.
    pub fn is_over(&self) -> bool {
        self.0.roll.is_empty() && self.feed().queue_depth == 0
    }

    /// One look at each actor, source first, sink last.
    pub fn observations(&self) -> Vec<Observation> {
        self.0.posts.iter().map(|post| observe(post)).collect()
    }

    /// The consumer and the outputs ready for it: starved is its wait in
    /// [`Feed::take`](crate::actor::feed::Feed::take), busy all its other time.
    pub fn feed(&self) -> Observation {
        observe(&self.0.feed)
    }

    /// The accounts, all of one instant.
    pub fn ledger(&self) -> Ledger {
        self.0.pool.ledger()
    }

    /// Tickets free now.
    pub fn tickets_free(&self) -> usize {
        self.0.pool.free().0
    }

    /// Grows whenever any actor starts or ends working or waiting. Two equal values around a look
    /// mean that the look is of one instant.
    pub fn progress(&self) -> u64 {
        self.0.posts.iter().map(|post| post.tally().changes).sum()
    }

    pub(super) fn sight(&self) -> Sight {
        let progress = self.progress();
        let sink = self.0.posts.last().map(|post| observe(post));
        let (blocked, busy) = sink.map_or((0, 0), |sink| (sink.blocked_now, sink.busy_now));
        let work_waits = self.ledger().in_flight > 0 || busy > 0;
        Sight { progress, output_is_full: blocked > 0, work_waits }
    }

    /// One line for each worker: what it does, for how long, on which ticket and item.
    pub fn report(&self) -> String {
        let ledger = self.ledger();
        let mut text = format!(
            "topology {}: {} issued, {} delivered, {} skipped, {} in flight, {} abandoned\n",
            self.topology(),
            ledger.issued,
            ledger.delivered,
            ledger.skipped,
            ledger.in_flight,
            ledger.abandoned,
        );
        for post in self.0.posts.iter().chain([&self.0.feed]) {
            let depth = post.queue.as_ref().map_or(0, |(valve, _)| valve.depth());
            for desk in post.desks() {
                let reading = desk.meter.read();
                let (activity, age) = (reading.activity.label(), reading.age.as_secs_f64());
                let held = desk.holding().map_or_else(
                    || format!("{depth} queued"),
                    |(ordinal, item)| format!("ticket {ordinal} ({item})"),
                );
                // Writing to a string cannot fail.
                let _ = writeln!(text, "  {:<16} {activity:<8} {age:>8.1} s  {held}", desk.worker);
            }
        }
        text
    }
}

fn observe(post: &Post) -> Observation {
    let tally = post.tally();
    let queue = post.queue.as_ref();
    Observation {
        name: post.name,
        workers: tally.present,
        items: tally.items,
        busy_seconds: tally.busy.as_secs_f64(),
        starved_seconds: tally.starved.as_secs_f64(),
        blocked_seconds: tally.blocked.as_secs_f64(),
        worker_seconds: tally.lifetime.as_secs_f64(),
        queue_depth: queue.map_or(0, |(valve, _)| valve.depth()),
        queue_capacity: queue.map_or(0, |(_, capacity)| *capacity),
        restarts: post.restarts.load(Ordering::Relaxed),
        busy_now: tally.now[Activity::Busy as usize],
        starved_now: tally.now[Activity::Starved as usize],
        blocked_now: tally.now[Activity::Blocked as usize],
    }
}
