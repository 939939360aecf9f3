//! The thread between a topology and its consumer works one ahead, keeps the order, and ends with
//! whichever side ends first.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use gliaflow::internals::actor::{Feed, RunningTopology, StopLatch, Topology};
use gliaflow::internals::base::Fault;

use crate::deadline::{LIMIT, within};
use crate::numbers::{Apply, Batches, Count, Gate, Open, limits, quiet_panic, runtime};

fn single_numbers(end: u64, stop: &StopLatch) -> (Feed<Vec<u64>>, RunningTopology) {
    Topology::new("relayed", limits(3), stop)
        .source(Count::to(end))
        .stage(|| Open, 2)
        .sink(Batches::of(1), 1)
        .start(&runtime())
        .unwrap()
}

#[test]
fn every_output_comes_in_order_after_the_work() {
    within(LIMIT, |watch| {
        let (feed, running) = single_numbers(50, &StopLatch::new());
        watch.on(&running);
        let mut feed = feed.map_on_thread("double", |batch| batch[0] * 2).unwrap();
        let mut taken = Vec::new();
        while let Some(number) = feed.next_output() {
            taken.push(number);
        }
        assert!(taken.into_iter().eq((0..50).map(|number| number * 2)));
        drop(feed);
        assert!(running.join_blocking().unwrap().is_balanced());
    });
}

#[test]
fn work_is_done_one_ahead_and_no_further_on_another_thread() {
    within(LIMIT, |watch| {
        let (feed, running) = single_numbers(u64::MAX, &StopLatch::new());
        watch.on(&running);
        let worked = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&worked);
        let work = move |batch: Vec<u64>| {
            counter.fetch_add(1, Ordering::SeqCst);
            (batch[0], thread::current().name().map(str::to_owned))
        };
        let mut feed = feed.map_on_thread("ahead", work).unwrap();
        let observer = running.observer();
        for taken in 0..5 {
            // All that can move has moved: the sink waits with an output, one more is queued, one is
            // worked on, and the source has no ticket left.
            let parked = || {
                let seen = observer.observations();
                let ledger = observer.ticket_counts();
                let reached = worked.load(Ordering::SeqCst) > taken;
                reached && seen[2].blocked_now == 1 && ledger.delivered == taken + 3
            };
            while !parked() {
                thread::yield_now();
            }
            assert_eq!(worked.load(Ordering::SeqCst), taken + 1);
            assert_eq!(feed.next_output().unwrap(), (taken, Some("ahead".to_owned())));
        }
        drop(feed);
        assert!(running.join_blocking().unwrap().is_balanced());
    });
}

#[test]
fn a_consumer_that_leaves_ends_a_thread_that_waits_for_input() {
    within(LIMIT, |watch| {
        let gate = Gate::default();
        let closed = gate.clone();
        let waiting = move || {
            let gate = closed.clone();
            Apply(move |number| {
                gate.pass();
                Ok(number)
            })
        };
        let (feed, running) = Topology::new("waiting", limits(2), &StopLatch::new())
            .source(Count::to(u64::MAX))
            .stage(|| Open, 1)
            .stage(waiting, 1)
            .sink(Batches::of(1), 1)
            .start(&runtime())
            .unwrap();
        watch.on(&running);
        let work_was_there = Arc::new(());
        let witness = Arc::clone(&work_was_there);
        let feed = feed.map_on_thread("waits", move |batch| (batch, Arc::clone(&witness))).unwrap();
        drop(feed);
        assert_eq!(Arc::strong_count(&work_was_there), 1, "the thread is gone, with its work");
        gate.open();
        assert!(running.join_blocking().unwrap().is_balanced());
    });
}

#[test]
fn a_panic_in_the_work_is_the_fault_of_the_run() {
    within(LIMIT, |watch| {
        let run = StopLatch::new();
        let (feed, running) = single_numbers(u64::MAX, &run);
        watch.on(&running);
        let work = |batch: Vec<u64>| {
            if batch[0] == 2 {
                quiet_panic("no memory left".to_owned());
            }
            batch[0]
        };
        let mut feed = feed.map_on_thread("breaks", work).unwrap();
        let mut taken = Vec::new();
        while let Some(number) = feed.next_output() {
            taken.push(number);
        }
        assert_eq!(taken, [0, 1]);
        drop(feed);
        let expected =
            Fault::StageBroken { stage: "breaks", times: 1, message: "no memory left".to_owned() };
        assert_eq!(running.join_blocking().unwrap_err().to_string(), expected.to_string());
        assert_eq!(run.fault().unwrap().to_string(), expected.to_string());
    });
}

#[test]
fn an_abort_wakes_the_consumer_and_the_thread() {
    within(LIMIT, |watch| {
        let run = StopLatch::new();
        let (feed, running) = single_numbers(u64::MAX, &run);
        watch.on(&running);
        let mut feed = feed.map_on_thread("aborted", |batch| batch[0]).unwrap();
        assert_eq!(feed.next_output(), Some(0));
        run.abort(None);
        assert_eq!(feed.next_output(), None);
        drop(feed);
        assert!(running.join_blocking().unwrap().is_balanced());
    });
}
