//! A consumer that takes nothing stops the source at a number that the design says, and not one
//! item later.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::atomic::Ordering;
use std::time::Instant;

use gliaflow::internals::actor::{Observer, StopLatch, Topology};

use crate::deadline::{LIMIT, within};
use crate::numbers::{Apply, Batches, Count, Open, limits, runtime, until};

/// True when only the consumer can make anything move: every ticket is in flight and the source waits
/// for one, every item has passed every stage, and the sink has one batch in its hands and no place
/// for it.
pub(crate) fn parked(
    observer: &Observer,
    tickets: u64,
    batch: u64,
    prefetch: u64,
    taken: u64,
) -> bool {
    let seen = observer.observations();
    let (source, sink) = (&seen[0], &seen[seen.len() - 1]);
    let stages = &seen[1..seen.len() - 1];
    let ready = observer.feed().queue_depth as u64;
    let ledger = observer.ticket_counts();
    source.blocked_now == 1
        && ledger.in_flight == tickets
        && observer.tickets_free() == 0
        && stages.iter().all(|stage| stage.starved_now == stage.workers)
        && stages.iter().all(|stage| stage.queue_depth == 0 && stage.items == ledger.issued)
        && sink.blocked_now == 1
        && ready == prefetch
        && ledger.delivered == batch * (taken + ready + 1)
}

fn stalled_consumer(tickets: u64, batch: u64, prefetch: u64, workers: usize) {
    within(LIMIT, move |watch| {
        let source = Count::to(u64::MAX);
        let asked = source.asked();
        let (mut feed, running) =
            Topology::new("stalled", limits(tickets as usize), &StopLatch::new())
                .source(source)
                .stage(|| Open, workers)
                .stage(|| Apply(Ok), workers)
                .sink(Batches::of(batch as usize), prefetch as usize)
                .start(&runtime())
                .unwrap();
        watch.on(&running);
        let observer = running.observer();
        for taken in 0..4 {
            until(&observer, |seen| parked(seen, tickets, batch, prefetch, taken));
            let expected = tickets + batch * (prefetch + 1) + batch * taken;
            assert_eq!(asked.load(Ordering::SeqCst), expected, "the source's own count");
            let ledger = observer.ticket_counts();
            assert_eq!((ledger.issued, ledger.in_flight), (expected, tickets));
            let numbers = feed.next_output().unwrap();
            assert!(numbers.into_iter().eq(taken * batch..(taken + 1) * batch));
        }
        drop(feed);
        assert!(running.join_blocking().unwrap().is_balanced());
    });
}

#[test]
fn stalled_consumer_bounds_the_source_exactly() {
    for tickets in [1, 2, 5, 12] {
        for (batch, prefetch) in [(1, 0), (1, 2), (2, 1), (3, 0), (4, 2), (7, 3)] {
            stalled_consumer(tickets, batch, prefetch, 1);
        }
    }
}

#[test]
fn the_bound_does_not_depend_on_the_number_of_workers() {
    for workers in [2, 4] {
        stalled_consumer(6, 2, 2, workers);
    }
}

#[test]
fn the_clocks_of_a_stalled_topology_add_up_and_blame_the_consumer() {
    within(LIMIT, |watch| {
        let (feed, running) = Topology::new("clocks", limits(4), &StopLatch::new())
            .source(Count::to(u64::MAX))
            .stage(|| Open, 3)
            .sink(Batches::of(1), 1)
            .start(&runtime())
            .unwrap();
        watch.on(&running);
        let observer = running.observer();
        until(&observer, |seen| parked(seen, 4, 1, 1, 0));
        let look = || {
            let before = Instant::now();
            let seen = observer.observations();
            (before, seen, Instant::now())
        };
        let first = look();
        let mut second = look();
        while second.0.duration_since(first.2).as_millis() < 20 {
            second = look();
        }
        let shortest = second.0.duration_since(first.2).as_secs_f64();
        let longest = second.2.duration_since(first.0).as_secs_f64();
        for (early, late) in first.1.iter().zip(&second.1) {
            let busy = late.busy_seconds - early.busy_seconds;
            let starved = late.starved_seconds - early.starved_seconds;
            let blocked = late.blocked_seconds - early.blocked_seconds;
            let per_worker = (busy + starved + blocked) / late.workers as f64;
            let rounding = 1e-9;
            assert!(
                (shortest - rounding..=longest + rounding).contains(&per_worker),
                "{}: {per_worker} s of {shortest} to {longest} s",
                late.name,
            );
            let (idle, other) =
                if late.name == "open" { (starved, blocked) } else { (blocked, starved) };
            assert!(idle > 0.0 && other == 0.0 && busy == 0.0, "{}", late.name);
        }
        drop(feed);
        running.join_blocking().unwrap();
    });
}
