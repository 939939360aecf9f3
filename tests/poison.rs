//! An item that errs or panics neither hangs nor vanishes, and the next one follows.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gliaflow::internals::actor::{
    Hooks, Limits, Observation, SkipBudget, SkippedItem, StopLatch, TicketCounts, Topology,
};
use gliaflow::internals::base::{CaseError, Fault, Reason};

use crate::deadline::{LIMIT, within};
use crate::numbers::{Apply, Batches, Count, Open, quiet_panic, refuse, runtime};

const ANY: SkipBudget = SkipBudget { share: 1.0, at_least: 0 };

struct Ran {
    batches: Vec<Vec<u64>>,
    skips: Vec<SkippedItem>,
    end: Result<TicketCounts, Fault>,
    observations: Vec<Observation>,
}

/// `items` numbers in batches of four through stages made by `factory`.
fn run<F>(
    items: u64,
    workers: usize,
    skip_budget: SkipBudget,
    factory: impl Fn() -> F + Send + Sync + 'static,
) -> Ran
where
    F: FnMut(u64) -> Result<u64, CaseError> + 'static,
{
    within(LIMIT, move |watch| {
        let limits = Limits { skip_budget, ..Limits::new(3) };
        let sink = Batches::of(4);
        let skips = sink.skips();
        let (mut feed, running) = Topology::new("poisoned", limits, &StopLatch::new())
            .source(Count::to(items))
            .stage(|| Open, 1)
            .stage(move || Apply(factory()), workers)
            .stage(|| Apply(Ok), 1)
            .sink(sink, 1)
            .start(&runtime())
            .unwrap();
        watch.on(&running);
        let batches = std::iter::from_fn(|| feed.next_output()).collect();
        let observer = running.observer();
        let end = running.join_blocking();
        let skips = skips.lock().unwrap().clone();
        Ran { batches, skips, end, observations: observer.observations() }
    })
}

fn accounts(issued: u64, skipped: u64) -> Result<TicketCounts, Fault> {
    let delivered = issued - skipped;
    Ok(TicketCounts { issued, delivered, skipped, in_flight: 0, abandoned: 0 })
}

#[test]
fn an_item_that_errs_is_skipped_with_its_error_and_the_next_takes_its_place() {
    let ran =
        run(9, 2, ANY, || |number| if number == 2 { Err(refuse(number)) } else { Ok(number) });
    assert_eq!(ran.batches, [vec![0, 1, 3, 4], vec![5, 6, 7, 8]]);
    let skip = SkippedItem { ordinal: 2, item: "number 2".to_owned(), error: refuse(2) };
    assert_eq!(ran.skips, [skip]);
    assert_eq!(ran.end, accounts(9, 1));
    let items: Vec<u64> = ran.observations.iter().map(|seen| seen.items).collect();
    assert_eq!(items, [9, 9, 9, 8, 9], "later stages are not shown an item that failed");
}

#[test]
fn an_item_that_panics_is_skipped_and_its_stage_is_built_again() {
    let built = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&built);
    let ran = run(8, 1, ANY, move || {
        counter.fetch_add(1, Ordering::SeqCst);
        let mut seen_since_built = 0;
        move |number| {
            seen_since_built += 1;
            assert!(number != 3, "three is too many");
            Ok(number + 100 * seen_since_built)
        }
    });
    assert_eq!(ran.batches, [vec![100, 201, 302, 104], vec![205, 306, 407]]);
    let [skip] = ran.skips.as_slice() else { panic!("{:?}", ran.skips) };
    assert_eq!((skip.ordinal, skip.error.reason), (3, Reason::Panicked));
    let text = skip.error.to_string();
    assert!(text.starts_with("number 3: stage apply panicked: three is too many; "), "{text}");
    assert_eq!((built.load(Ordering::SeqCst), ran.observations[2].restarts), (2, 1));
    assert_eq!(ran.end, accounts(8, 1));
}

#[test]
fn five_panics_in_a_row_break_the_stage_and_four_do_not() {
    let panicking = |first: u64, last: u64| {
        move || {
            move |number| {
                if (first..=last).contains(&number) {
                    quiet_panic(format!("no {number}"));
                }
                Ok(number)
            }
        }
    };
    let four = run(12, 1, ANY, panicking(2, 5));
    assert_eq!((four.end, four.skips.len()), (accounts(12, 4), 4));

    let five = run(12, 1, ANY, panicking(2, 6));
    let expected = Fault::StageBroken { stage: "apply", times: 5, message: "no 6".to_owned() };
    assert_eq!(five.end, Err(expected));
}

#[test]
fn a_success_between_panics_shows_that_the_stage_works() {
    let ran = run(40, 1, ANY, || {
        |number| {
            if number % 2 == 0 {
                quiet_panic(format!("no {number}"));
            }
            Ok(number)
        }
    });
    assert_eq!((ran.end, ran.observations[2].restarts), (accounts(40, 20), 20));
}

#[test]
fn a_factory_that_panics_is_a_fault_and_not_a_hang() {
    let ran = run(4, 2, ANY, || -> fn(u64) -> Result<u64, CaseError> {
        quiet_panic("no store".to_owned())
    });
    let expected = Fault::StageBroken { stage: "apply", times: 1, message: "no store".to_owned() };
    assert_eq!(ran.end, Err(expected));
}

#[test]
fn skips_over_the_budget_end_the_run_at_the_same_item_for_any_number_of_workers() {
    let budget = SkipBudget { share: 0.1, at_least: 2 };
    for workers in [1, 4] {
        let ran = run(1000, workers, budget, || {
            |number| if number % 5 == 0 { Err(refuse(number)) } else { Ok(number) }
        });
        // Skips 0 and 5 are the free ones; at 10 it is 3 of 11.
        let expected =
            Fault::TooManySkipped { skipped: 3, issued: 11, budget: 2, last: refuse(10) };
        assert_eq!(ran.end, Err(expected));
        assert_eq!(ran.skips.len(), 3);
    }
}

#[test]
fn without_a_budget_the_first_skip_ends_the_run() {
    let ran = run(9, 2, SkipBudget::NONE, || {
        |number| {
            if number == 4 { Err(refuse(number)) } else { Ok(number) }
        }
    });
    let expected = Fault::TooManySkipped { skipped: 1, issued: 5, budget: 0, last: refuse(4) };
    assert_eq!(ran.end, Err(expected));
}

#[test]
fn hooks_hear_of_every_item_a_stage_works_on_and_of_every_skip() {
    within(LIMIT, |watch| {
        let (served, skipped) =
            (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (serving, skipping) = (Arc::clone(&served), Arc::clone(&skipped));
        let hooks = Hooks {
            on_item: Some(Arc::new(move |stage, time: Duration| {
                serving.lock().unwrap().push((stage, time));
            })),
            on_skip: Some(Arc::new(move |skip| skipping.lock().unwrap().push(skip.ordinal))),
        };
        let limits = Limits { skip_budget: ANY, ..Limits::new(2) };
        let (mut feed, running) = Topology::new("heard", limits, &StopLatch::new())
            .with_hooks(hooks)
            .source(Count::to(6))
            .stage(|| Open, 1)
            .stage(|| Apply(|number| if number == 1 { Err(refuse(1)) } else { Ok(number) }), 1)
            .sink(Batches::of(2), 1)
            .start(&runtime())
            .unwrap();
        watch.on(&running);
        while feed.next_output().is_some() {}
        let observer = running.observer();
        running.join_blocking().unwrap();
        for (stage, place) in [("open", 1), ("apply", 2)] {
            let served = served.lock().unwrap();
            let times: Vec<f64> =
                served.iter().filter(|(s, _)| *s == stage).map(|(_, t)| t.as_secs_f64()).collect();
            let busy = observer.observations()[place].busy_seconds;
            assert_eq!(times.len(), 6, "{stage}");
            assert!(times.iter().sum::<f64>() <= busy + 1e-9, "{stage}: {times:?} of {busy}");
        }
        assert_eq!(*skipped.lock().unwrap(), [1]);
    });
}
