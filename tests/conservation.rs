//! Every item has exactly one outcome, in order, whatever the workers do and whenever it stops.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gliaflow::internals::actor::{
    Limits, SkipBudget, SkippedItem, Stage, StopLatch, TicketCounts, Topology, WorkerScaler,
};
use gliaflow::internals::base::{CaseError, Domain, KeyedRng, Reason, SampleKey};
use proptest::prelude::*;

use crate::deadline::{LIMIT, within};
use crate::numbers::{Apply, Batches, Count, Open, quiet_panic, refuse, runtime};

/// One random topology.
#[derive(Debug, Clone)]
struct Shape {
    seed: u64,
    items: u64,
    tickets: usize,
    batch: usize,
    prefetch: usize,
    /// Workers of each stage.
    stages: Vec<usize>,
    /// Per stage, the numbers that make it panic: fewer than would break it.
    panics: Vec<BTreeSet<u64>>,
    /// Changes to the number of workers while items flow, over and over.
    resizes: Vec<(&'static str, usize)>,
}

/// One of several stages that do the same but can be told apart.
struct Placed<const PLACE: usize, F>(Apply<F>);

const OPEN: &str = Open::NAME;
const PLACES: [&str; 3] = ["first", "second", "third"];

impl<const PLACE: usize, F: FnMut(u64) -> Result<u64, CaseError> + 'static> Stage
    for Placed<PLACE, F>
{
    const NAME: &'static str = PLACES[PLACE];
    type In = u64;
    type Out = u64;

    fn process(&mut self, item: u64) -> Result<u64, CaseError> {
        self.0.process(item)
    }
}

fn shapes() -> impl Strategy<Value = Shape> {
    let stages = prop::collection::vec(1usize..5, 0..4);
    let panics = prop::collection::vec(prop::collection::btree_set(0u64..40, 0..5), 4);
    let resize = (prop::sample::select(vec![OPEN, PLACES[0], PLACES[1], PLACES[2]]), 0usize..6);
    let resizes = prop::collection::vec(resize, 0..8);
    let numbers = (0u64..60, 1usize..9, 1usize..5, 0usize..3);
    (any::<u64>(), numbers, stages, panics, resizes).prop_map(
        |(seed, (items, tickets, batch, prefetch), stages, panics, resizes)| Shape {
            seed,
            items,
            tickets,
            batch,
            prefetch,
            stages,
            panics,
            resizes,
        },
    )
}

impl Shape {
    /// What stage number `stage` does to `number`, and how long it dawdles over it.
    fn work(&self, stage: usize, number: u64) -> (Duration, Result<u64, CaseError>) {
        let key = SampleKey { seed: self.seed, epoch: stage as u64, index: number };
        let mut rng = KeyedRng::new(key, Domain::Phantom);
        let pause = if rng.draw_bool(0.3) { rng.uniform_below(200) } else { 0 };
        let made = if rng.draw_bool(0.05) { Err(refuse(number)) } else { Ok(number + 1000) };
        (Duration::from_micros(pause), made)
    }

    fn panics_on(&self, stage: usize, number: u64) -> bool {
        self.panics[stage].contains(&(number % 1000))
    }

    /// Numbers delivered and ordinals skipped, computed without a thread.
    fn model(&self) -> (Vec<u64>, Vec<(u64, Reason)>) {
        let (mut delivered, mut skipped) = (Vec::new(), Vec::new());
        for ordinal in 0..self.items {
            let mut outcome = Ok(ordinal);
            for stage in 0..self.stages.len() {
                outcome = outcome.and_then(|number| {
                    if self.panics_on(stage, number) {
                        return Err(Reason::Panicked);
                    }
                    self.work(stage, number).1.map_err(|error| error.reason)
                });
            }
            match outcome {
                Ok(number) => delivered.push(number),
                Err(reason) => skipped.push((ordinal, reason)),
            }
        }
        (delivered, skipped)
    }
}

/// When the test stops a topology, counted in batches taken.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Stop {
    Never,
    Drain(usize),
    Abort(usize),
}

struct Ran {
    delivered: Vec<u64>,
    skips: Vec<SkippedItem>,
    ledger: TicketCounts,
}

fn run(shape: Shape, stop: Stop) -> Ran {
    within(LIMIT, move |watch| {
        let shape = Arc::new(shape);
        let latch = StopLatch::new();
        let skip_budget = SkipBudget { share: 1.0, at_least: 0 };
        let limits = Limits { skip_budget, ..Limits::new(shape.tickets) };
        let mut chain = Topology::new("random", limits, &latch)
            .source(Count::to(shape.items))
            .stage(|| Open, 1);
        for (stage, &workers) in shape.stages.iter().enumerate() {
            let shape = Arc::clone(&shape);
            let factory = move || {
                let shape = Arc::clone(&shape);
                Apply(move |number| {
                    let (pause, made) = shape.work(stage, number);
                    if !pause.is_zero() {
                        thread::sleep(pause);
                    }
                    if shape.panics_on(stage, number) {
                        quiet_panic(format!("{number} in stage {stage}"));
                    }
                    made
                })
            };
            chain = match stage {
                0 => chain.stage(move || Placed::<0, _>(factory()), workers),
                1 => chain.stage(move || Placed::<1, _>(factory()), workers),
                _ => chain.stage(move || Placed::<2, _>(factory()), workers),
            };
        }
        let sink = Batches::of(shape.batch);
        let skips = sink.skips();
        let (mut feed, running) = chain.sink(sink, shape.prefetch).start(&runtime()).unwrap();
        watch.on(&running);
        let restless = Restless::start(running.worker_scaler(), Arc::clone(&shape));
        let observer = running.observer();
        let mut delivered = Vec::new();
        let mut batches = 0;
        loop {
            let ledger = observer.ticket_counts();
            assert!(ledger.is_balanced(), "{ledger:?}");
            assert!(ledger.in_flight <= shape.tickets as u64, "{ledger:?}");
            match stop {
                Stop::Drain(after) if after == batches => latch.drain(),
                Stop::Abort(after) if after == batches => latch.abort(None),
                _ => {}
            }
            let Some(batch) = feed.next_output() else { break };
            batches += 1;
            delivered.extend(batch);
        }
        let ledger = running.join_blocking().unwrap();
        drop(restless);
        let skips = skips.lock().unwrap().clone();
        Ran { delivered, skips, ledger }
    })
}

/// A thread that changes the number of workers until it is dropped.
struct Restless {
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Restless {
    fn start(crew: WorkerScaler, shape: Arc<Shape>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let has = |stage| {
                let places = &PLACES[..shape.stages.len()];
                stage == OPEN || places.contains(&stage)
            };
            for &(stage, workers) in shape.resizes.iter().cycle() {
                if told.load(Ordering::Acquire) {
                    return;
                }
                assert_eq!(crew.resize_stage(stage, workers).is_ok(), has(stage), "{stage}");
                thread::yield_now();
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn reasons(skips: &[SkippedItem]) -> Vec<(u64, Reason)> {
    skips.iter().map(|skip| (skip.ordinal, skip.error.reason)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn each_item_has_one_outcome_in_order_for_one_worker_and_for_many(shape in shapes()) {
        let (delivered, skipped) = shape.model();
        let stages = vec![1; shape.stages.len()];
        let alone = Shape { stages, resizes: Vec::new(), ..shape.clone() };
        for shape in [shape, alone] {
            let items = shape.items;
            let ran = run(shape, Stop::Never);
            prop_assert_eq!(&ran.delivered, &delivered);
            prop_assert_eq!(reasons(&ran.skips), skipped.clone());
            for skip in &ran.skips {
                prop_assert_eq!(&skip.item, &format!("number {}", skip.ordinal));
            }
            let (delivered, skipped) = (delivered.len() as u64, skipped.len() as u64);
            let expected =
                TicketCounts { issued: items, delivered, skipped, in_flight: 0, abandoned: 0 };
            prop_assert_eq!(ran.ledger, expected);
        }
    }

    #[test]
    fn draining_at_any_moment_delivers_all_that_was_issued(shape in shapes(), after in 0usize..8) {
        let ran = run(shape.clone(), Stop::Drain(after));
        let TicketCounts { issued, in_flight, abandoned, .. } = ran.ledger;
        prop_assert_eq!((in_flight, abandoned), (0, 0));
        let (delivered, skipped) = Shape { items: issued, ..shape }.model();
        prop_assert_eq!(ran.delivered, delivered);
        prop_assert_eq!(reasons(&ran.skips), skipped);
    }

    #[test]
    fn aborting_at_any_moment_leaves_nothing_unaccounted_for(shape in shapes(), after in 0usize..8) {
        let (delivered, _) = shape.model();
        let ran = run(shape, Stop::Abort(after));
        prop_assert!(ran.ledger.is_balanced(), "{:?}", ran.ledger);
        prop_assert_eq!(ran.ledger.in_flight, 0);
        prop_assert!(delivered.starts_with(&ran.delivered), "{:?}", ran.delivered);
    }
}
