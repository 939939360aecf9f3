//! Draining delivers, aborting is prompt, nobody hangs on a dead neighbour, the first fault counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gliaflow::internals::actor::{
    Limits, Outcome, Sink, Source, StopLatch, StopState, TicketCounts, Topology,
};
use gliaflow::internals::base::{CaseError, Fault};

use crate::deadline::{LIMIT, within};
use crate::numbers::{
    Apply, Batches, Count, Gate, Number, Open, limits, quiet_panic, runtime, until,
};

fn fault(name: &str) -> Fault {
    Fault::Environment {
        subject: name.to_owned(),
        problem: "is full".to_owned(),
        remedy: "free some space".to_owned(),
    }
}

type Waiting = Apply<Box<dyn FnMut(u64) -> Result<u64, CaseError>>>;

/// A factory of stages that pass numbers on, but wait at the gate with one of them.
fn waiting_with(number: u64, gate: &Gate) -> impl Fn() -> Waiting + Send + Sync + 'static {
    let gate = gate.clone();
    move || {
        let gate = gate.clone();
        Apply(Box::new(move |item| {
            if item == number {
                gate.pass();
            }
            Ok(item)
        }))
    }
}

#[test]
fn draining_delivers_everything_in_flight_and_then_ends() {
    within(LIMIT, |watch| {
        let run = StopLatch::new();
        let (mut feed, running) = Topology::new("drained", limits(7), &run)
            .source(Count::to(u64::MAX))
            .stage(|| Open, 2)
            .stage(|| Apply(Ok), 3)
            .sink(Batches::of(4), 2)
            .start(&runtime())
            .unwrap();
        watch.on(&running);
        let mut taken: Vec<u64> = (0..3).flat_map(|_| feed.next_output().unwrap()).collect();
        run.drain();
        while let Some(batch) = feed.next_output() {
            taken.extend(batch);
        }
        let ledger = running.join_blocking().unwrap();
        assert!(taken.into_iter().eq(0..ledger.issued), "a partial batch counts too");
        assert_eq!((ledger.in_flight, ledger.abandoned), (0, 0));
        assert_eq!(run.state(), StopState::Draining);
    });
}

#[test]
fn aborting_wakes_a_blocked_source_a_blocked_sink_and_idle_workers() {
    within(LIMIT, |watch| {
        let run = StopLatch::new();
        let gate = Gate::default();
        let (mut feed, running) = Topology::new("aborted", limits(8), &run)
            .source(Count::to(u64::MAX))
            .stage(|| Open, 2)
            .stage(waiting_with(7, &gate), 3)
            .sink(Batches::of(1), 0)
            .start(&runtime())
            .unwrap();
        watch.on(&running);
        let observer = running.observer();
        gate.wait_for_somebody();
        until(&observer, |seen| {
            let all_out = seen.ticket_counts().in_flight == 8;
            let seen = seen.observations();
            let blocked = seen[0].blocked_now == 1 && seen[3].blocked_now == 1;
            let idle = seen[1].starved_now == 2 && seen[2].starved_now == 2;
            all_out && blocked && idle && seen[1].items == 9 && seen[2].items == 8
        });
        run.abort(None);
        assert_eq!(feed.next_output(), None);
        // The item that is being worked on is the only thing that is waited for.
        gate.open();
        let ledger = running.join_blocking().unwrap();
        // Ticket 0 was resolved and its batch was in the sink's hands.
        let expected =
            TicketCounts { issued: 9, delivered: 1, skipped: 0, in_flight: 0, abandoned: 8 };
        assert_eq!(ledger, expected);
    });
}

#[test]
fn a_thread_stuck_in_a_stage_is_left_behind_after_the_grace_period_and_named() {
    within(LIMIT, |watch| {
        let gate = Gate::default();
        let grace = Duration::from_millis(20);
        let run = StopLatch::new();
        let (_feed, running) = Topology::new("stuck", Limits { grace, ..limits(4) }, &run)
            .source(Count::to(2))
            .stage(|| Open, 1)
            .stage(waiting_with(1, &gate), 1)
            .sink(Batches::of(1), 4)
            .start(&runtime())
            .unwrap();
        watch.on(&running);
        let observer = running.observer();
        gate.wait_for_somebody();
        run.abort(None);
        let Err(Fault::Stalled { report, .. }) = running.join_blocking() else {
            panic!("the thread at the gate was not noticed");
        };
        let line = report.lines().find(|line| line.contains("apply-0")).unwrap();
        assert!(line.contains("ticket 1 (number 1)"), "{report}");
        assert_eq!(observer.ticket_counts().in_flight, 1, "it still holds its ticket");
        gate.open();
        until(&observer, |seen| seen.ticket_counts().in_flight == 0);
    });
}

#[test]
fn a_fault_ends_every_topology_of_the_run_and_the_first_one_is_the_cause() {
    within(LIMIT, |watch| {
        let run = StopLatch::new();
        let start = |name| {
            Topology::new(name, limits(4), &run)
                .source(Count::to(u64::MAX))
                .stage(|| Open, 1)
                .sink(Batches::of(2), 1)
                .start(&runtime())
                .unwrap()
        };
        let (mut ingest_feed, ingest) = start("ingest");
        let (mut train_feed, train) = start("train");
        watch.on(&ingest);
        watch.on(&train);
        assert!(train_feed.next_output().is_some());
        ingest.stop_latch().abort(Some(fault("cause")));
        train.stop_latch().abort(Some(fault("consequence")));
        assert_eq!((ingest_feed.next_output(), train_feed.next_output()), (None, None));
        for running in [ingest, train] {
            assert_eq!(running.join_blocking(), Err(fault("cause")));
        }
    });
}

#[test]
fn a_consumer_that_leaves_early_ends_its_topology_and_not_the_run() {
    within(LIMIT, |watch| {
        let run = StopLatch::new();
        let (mut feed, running) = Topology::new("left", limits(3), &run)
            .source(Count::to(u64::MAX))
            .stage(|| Open, 2)
            .sink(Batches::of(2), 1)
            .start(&runtime())
            .unwrap();
        watch.on(&running);
        assert_eq!(feed.next_output(), Some(vec![0, 1]));
        drop(feed);
        let ledger = running.join_blocking().unwrap();
        assert!(ledger.is_balanced() && ledger.in_flight == 0, "{ledger:?}");
        assert_eq!((run.state(), run.fault()), (StopState::Running, None));
    });
}

#[test]
fn a_join_may_come_before_the_first_output() {
    within(LIMIT, |watch| {
        let (mut feed, running) = Topology::new("joined", limits(3), &StopLatch::new())
            .source(Count::to(10))
            .stage(|| Open, 2)
            .sink(Batches::of(4), 0)
            .start(&runtime())
            .unwrap();
        watch.on(&running);
        let joined = thread::spawn(move || running.join_blocking());
        let trainer = thread::spawn(move || {
            std::iter::from_fn(|| feed.next_output()).map(|batch| batch.len()).collect::<Vec<_>>()
        });
        assert_eq!(trainer.join().unwrap(), [4, 4, 2]);
        assert_eq!(joined.join().unwrap().unwrap().delivered, 10);
    });
}

#[test]
fn a_run_that_is_over_starts_nothing_and_a_draining_one_names_nothing() {
    within(LIMIT, |watch| {
        for (aborted, state) in [(true, StopState::Aborted), (false, StopState::Draining)] {
            let run = StopLatch::new();
            if aborted {
                run.abort(None)
            } else {
                run.drain()
            }
            let source = Count::to(u64::MAX);
            let asked = source.asked();
            let (mut feed, running) = Topology::new("late", limits(3), &run)
                .source(source)
                .stage(|| Open, 2)
                .sink(Batches::of(1), 1)
                .start(&runtime())
                .unwrap();
            watch.on(&running);
            assert_eq!(feed.next_output(), None);
            assert_eq!(running.join_blocking(), Ok(TicketCounts::default()));
            assert_eq!((run.state(), asked.load(Ordering::SeqCst)), (state, 0));
        }
    });
}

/// Panics with its third item.
struct BadSource(u64);

impl Source for BadSource {
    const NAME: &'static str = "bad_source";
    type Item = Number;

    fn next(&mut self) -> Option<Number> {
        self.0 += 1;
        if self.0 == 3 {
            quiet_panic("the list is torn".to_owned());
        }
        Some(Number(self.0))
    }
}

/// Says whether its stream came to an end.
struct Finishing(Arc<AtomicBool>);

impl Sink for Finishing {
    const NAME: &'static str = "finishing";
    type In = u64;
    type Out = u64;

    fn accept_outcome(&mut self, _: Outcome<u64>) -> Option<u64> {
        None
    }

    fn finish(&mut self) -> Option<u64> {
        self.0.store(true, Ordering::SeqCst);
        None
    }
}

/// Panics with its first outcome, and says when it has been dropped.
struct BadSink(Arc<AtomicBool>);

impl Sink for BadSink {
    const NAME: &'static str = "bad_sink";
    type In = u64;
    type Out = u64;

    fn accept_outcome(&mut self, _: Outcome<u64>) -> Option<u64> {
        quiet_panic("the shelf fell down".to_owned())
    }
}

impl Drop for BadSink {
    fn drop(&mut self) {
        // Join must wait for this: the pause makes a join that does not wait visible.
        thread::sleep(Duration::from_millis(20));
        self.0.store(true, Ordering::SeqCst);
    }
}

fn broken(stage: &'static str, message: &str) -> Fault {
    Fault::StageBroken { stage, times: 1, message: message.to_owned() }
}

#[test]
fn a_panic_at_either_end_is_a_fault_that_names_it() {
    within(LIMIT, |watch| {
        let run = StopLatch::new();
        let finished = Arc::new(AtomicBool::new(false));
        let (mut feed, running) = Topology::new("bad", limits(3), &run)
            .source(BadSource(0))
            .stage(|| Open, 1)
            .sink(Finishing(Arc::clone(&finished)), 0)
            .start(&runtime())
            .unwrap();
        watch.on(&running);
        while feed.next_output().is_some() {}
        assert_eq!(running.join_blocking(), Err(broken("bad_source", "the list is torn")));
        assert!(!finished.load(Ordering::SeqCst), "an aborted stream is not finished");

        let dropped = Arc::new(AtomicBool::new(false));
        let (mut feed, running) = Topology::new("bad", limits(3), &StopLatch::new())
            .source(Count::to(9))
            .stage(|| Open, 1)
            .sink(BadSink(Arc::clone(&dropped)), 0)
            .start(&runtime())
            .unwrap();
        watch.on(&running);
        assert_eq!(feed.next_output(), None);
        assert_eq!(running.join_blocking(), Err(broken("bad_sink", "the shelf fell down")));
        assert!(dropped.load(Ordering::SeqCst), "a join is over when all is dropped");
    });
}

#[test]
fn a_topology_without_tickets_or_workers_is_refused_before_anything_runs() {
    let refusal = |tickets, workers| {
        let started = Topology::new("empty", limits(tickets), &StopLatch::new())
            .source(Count::to(1))
            .stage(|| Open, workers)
            .sink(Batches::of(1), 0)
            .start(&runtime());
        started.err().map(|fault| fault.to_string())
    };
    assert!(refusal(0, 1).unwrap().starts_with("topology empty: tickets: is 0; "));
    assert!(refusal(1, 0).unwrap().starts_with("topology empty: workers of open: is 0; "));
    assert_eq!(refusal(1, 1), None);
}
