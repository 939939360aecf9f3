//! The number of workers may change at any time; nothing else does.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::thread;

use gliaflow::internals::actor::{
    Feed, Observation, Observer, RunningTopology, StopLatch, TicketCounts, Topology,
};
use gliaflow::internals::base::{CaseError, Fault};

use crate::deadline::{LIMIT, Watch, within};
use crate::numbers::{Apply, Batches, Count, Gate, Open, limits, quiet_panic, runtime, until};

const TICKETS: usize = 6;

/// Numbers through `open` with one worker and `apply` with `workers`, in batches of one.
fn start<F>(
    watch: &Watch,
    run: &StopLatch,
    items: u64,
    workers: usize,
    factory: impl Fn() -> F + Send + Sync + 'static,
) -> (Feed<Vec<u64>>, RunningTopology)
where
    F: FnMut(u64) -> Result<u64, CaseError> + 'static,
{
    let (feed, running) = Topology::new("resized", limits(TICKETS), run)
        .source(Count::to(items))
        .stage(|| Open, 1)
        .stage(move || Apply(factory()), workers)
        .sink(Batches::of(1), 1)
        .start(&runtime())
        .unwrap();
    watch.on(&running);
    (feed, running)
}

fn apply(observer: &Observer) -> Observation {
    observer.observations().swap_remove(2)
}

/// A function that waits at the gate with every number.
fn gated(gate: &Gate) -> impl Fn() -> Box<dyn FnMut(u64) -> Result<u64, CaseError>> + use<> {
    let gate = gate.clone();
    move || {
        let gate = gate.clone();
        Box::new(move |number| {
            gate.pass();
            Ok(number)
        })
    }
}

fn accounts(delivered: u64) -> Result<TicketCounts, Fault> {
    Ok(TicketCounts { issued: delivered, delivered, ..TicketCounts::default() })
}

#[test]
fn new_workers_start_at_once_under_names_of_their_own() {
    within(LIMIT, |watch| {
        let gate = Gate::default();
        let names = Arc::new(Mutex::new(BTreeSet::new()));
        let (noted, closed) = (Arc::clone(&names), gated(&gate));
        let (mut feed, running) = start(watch, &StopLatch::new(), 9, 1, move || {
            noted.lock().unwrap().insert(thread::current().name().unwrap().to_owned());
            closed()
        });
        let observer = running.observer();
        until(&observer, |seen| apply(seen).busy_now == 1 && apply(seen).queue_depth == 5);
        running.worker_scaler().resize_stage("apply", 3).unwrap();
        until(&observer, |seen| apply(seen).busy_now == 3 && apply(seen).queue_depth == 3);
        assert_eq!(apply(&observer).workers, 3);
        assert!(names.lock().unwrap().iter().eq(&["apply-0", "apply-1", "apply-2"]));
        gate.open();
        assert!((0..9).all(|number| feed.next_output() == Some(vec![number])));
        assert_eq!(feed.next_output(), None);
        assert_eq!(running.join_blocking(), accounts(9));
    });
}

#[test]
fn a_worker_that_is_one_too_many_finishes_its_item_before_it_leaves() {
    within(LIMIT, |watch| {
        let gate = Gate::default();
        let (mut feed, running) = start(watch, &StopLatch::new(), 9, 3, gated(&gate));
        let observer = running.observer();
        // A worker that still builds its stage is busy too, so the queue must have lost three items.
        until(&observer, |seen| apply(seen).busy_now == 3 && apply(seen).queue_depth == 3);
        running.worker_scaler().resize_stage("apply", 1).unwrap();
        let seen = apply(&observer);
        assert_eq!((seen.workers, seen.busy_now, seen.items), (3, 3, 0), "nobody is interrupted");
        gate.open();
        assert!((0..9).all(|number| feed.next_output() == Some(vec![number])));
        assert_eq!(feed.next_output(), None);
        assert_eq!(running.join_blocking(), accounts(9));
        let seen = apply(&observer);
        assert_eq!((seen.workers, seen.items), (1, 9), "items of those that left still count");
        assert_eq!(
            observer.worker_report().matches("apply-").count(),
            1,
            "{}",
            observer.worker_report()
        );
    });
}

#[test]
fn a_worker_that_has_left_makes_place_for_another_of_its_name() {
    within(LIMIT, |watch| {
        let (mut feed, running) =
            start(watch, &StopLatch::new(), u64::MAX, 2, || |number| Ok(number));
        let (observer, crew) = (running.observer(), running.worker_scaler());
        for _ in 0..5 {
            crew.resize_stage("apply", 1).unwrap();
            while apply(&observer).workers > 1 {
                feed.next_output().unwrap();
            }
            crew.resize_stage("apply", 2).unwrap();
            assert_eq!(apply(&observer).workers, 2);
        }
        let report = observer.worker_report();
        for name in ["apply-0", "apply-1"] {
            assert_eq!(report.matches(name).count(), 1, "{report}");
        }
        drop(feed);
        assert!(running.join_blocking().unwrap().is_balanced());
    });
}

#[test]
fn a_stage_keeps_one_worker_and_only_stages_that_there_are_can_be_resized() {
    within(LIMIT, |watch| {
        let (mut feed, running) =
            start(watch, &StopLatch::new(), u64::MAX, 4, || |number| Ok(number));
        let (observer, crew) = (running.observer(), running.worker_scaler());
        crew.resize_stage("apply", 0).unwrap();
        while apply(&observer).workers > 1 {
            feed.next_output().unwrap();
        }
        for _ in 0..50 {
            feed.next_output().unwrap();
        }
        assert_eq!(apply(&observer).workers, 1);
        for stage in ["count", "batches", "feed", "warp"] {
            let refused = crew.resize_stage(stage, 2).unwrap_err().to_string();
            let expected = format!(
                "topology resized: workers of {stage}: it has no such stage; name one of: open, apply"
            );
            assert_eq!(refused, expected);
        }
        drop(feed);
        running.join_blocking().unwrap();
    });
}

#[test]
fn a_topology_that_is_being_stopped_or_has_ended_stays_as_it_is() {
    within(LIMIT, |watch| {
        for abort in [false, true] {
            let run = StopLatch::new();
            let gate = Gate::default();
            let (mut feed, running) = start(watch, &run, u64::MAX, 2, gated(&gate));
            let (observer, crew) = (running.observer(), running.worker_scaler());
            until(&observer, |seen| apply(seen).busy_now == 2);
            if abort {
                run.abort(None)
            } else {
                run.drain()
            }
            for workers in [4, 1] {
                crew.resize_stage("apply", workers).unwrap();
                assert_eq!(apply(&observer).workers, 2);
            }
            gate.open();
            while feed.next_output().is_some() {}
            let ledger = running.join_blocking().unwrap();
            assert!(ledger.is_balanced() && (abort || ledger.abandoned == 0), "{ledger:?}");
            assert_eq!(apply(&observer).workers, 2);
        }

        let (mut feed, running) = start(watch, &StopLatch::new(), 5, 2, || |number| Ok(number));
        let (observer, crew) = (running.observer(), running.worker_scaler());
        while feed.next_output().is_some() {}
        assert_eq!(running.join_blocking(), accounts(5));
        let (ended, clock) = (observer.observations(), observer.activity_changes());
        crew.resize_stage("apply", 7).unwrap();
        assert_eq!((observer.observations(), observer.activity_changes()), (ended, clock));
    });
}

#[test]
fn neither_crew_nor_observer_keeps_what_the_factory_holds() {
    within(LIMIT, |watch| {
        let store = Arc::new(());
        let held = Arc::clone(&store);
        let (mut feed, running) = start(watch, &StopLatch::new(), 3, 1, move || {
            let own = Arc::clone(&held);
            move |number| {
                let _used = &own;
                Ok(number)
            }
        });
        let (observer, crew) = (running.observer(), running.worker_scaler());
        crew.resize_stage("apply", 3).unwrap();
        while feed.next_output().is_some() {}
        running.join_blocking().unwrap();
        assert_eq!(Arc::strong_count(&store), 1);
        drop((observer, crew));
    });
}

#[test]
fn a_factory_that_fails_a_later_worker_is_a_fault_too() {
    within(LIMIT, |watch| {
        let built = Mutex::new(0);
        let (mut feed, running) = start(watch, &StopLatch::new(), u64::MAX, 1, move || {
            *built.lock().unwrap() += 1;
            if *built.lock().unwrap() == 2 {
                quiet_panic("no second store".to_owned());
            }
            |number| Ok(number)
        });
        feed.next_output().unwrap();
        running.worker_scaler().resize_stage("apply", 2).unwrap();
        while feed.next_output().is_some() {}
        let message = "no second store".to_owned();
        let expected = Fault::StageBroken { stage: "apply", times: 1, message };
        assert_eq!(running.join_blocking(), Err(expected));
    });
}

#[test]
fn a_consumer_that_takes_nothing_stops_the_source_at_the_same_number_whatever_the_workers() {
    within(LIMIT, |watch| {
        let (mut feed, running) =
            start(watch, &StopLatch::new(), u64::MAX, 1, || |number| Ok(number));
        let (observer, crew) = (running.observer(), running.worker_scaler());
        for (taken, workers) in [(0, 1), (1, 8), (2, 2), (3, 5)] {
            crew.resize_stage("apply", workers).unwrap();
            // One batch of one waits, one is in the sink's hands.
            let expected = TICKETS as u64 + 2 + taken;
            until(&observer, |seen| {
                let blocked = [0, 3].map(|end| seen.observations()[end].blocked_now);
                let worked_on = apply(seen).items == expected;
                blocked == [1, 1] && seen.ticket_counts().issued == expected && worked_on
            });
            assert_eq!(observer.ticket_counts().in_flight, TICKETS as u64);
            assert_eq!(feed.next_output(), Some(vec![taken]));
        }
        drop(feed);
        running.join_blocking().unwrap();
    });
}

#[test]
fn clocks_add_up_and_no_sum_falls_while_workers_come_and_go() {
    within(LIMIT, |watch| {
        let (mut feed, running) =
            start(watch, &StopLatch::new(), u64::MAX, 1, || |number| Ok(number));
        let (observer, crew) = (running.observer(), running.worker_scaler());
        let mut last = observer.observations();
        let mut progress = 0;
        for round in 0..200 {
            crew.resize_stage("apply", [4, 1, 3, 2][round % 4]).unwrap();
            crew.resize_stage("open", [1, 2][round % 2]).unwrap();
            feed.next_output().unwrap();
            let seen = observer.observations();
            for (now, before) in seen.iter().zip(&last) {
                let sum = now.busy_seconds + now.starved_seconds + now.blocked_seconds;
                let rounding = 1e-6;
                assert!((sum - now.worker_seconds).abs() < rounding, "{now:?}");
                let passed = now.since(before);
                let sums = [passed.busy_seconds, passed.starved_seconds, passed.blocked_seconds];
                assert!(sums.iter().all(|sum| *sum > -rounding), "{before:?} then {now:?}");
            }
            assert!(observer.activity_changes() >= progress);
            (progress, last) = (observer.activity_changes(), seen);
        }
        drop(feed);
        running.join_blocking().unwrap();
        let ended = apply(&observer);
        assert!(ended.items >= 200);
        assert_eq!(apply(&observer), ended, "every clock stands still");
    });
}
