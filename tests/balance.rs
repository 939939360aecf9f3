//! Workers go where they help, stay there, and follow when the work changes.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::thread;
use std::time::Duration;

use gliaflow::internals::actor::{
    Observation, StopLatch, Topology, TopologySnapshot, WorkerBalancer, WorkerChange, keep_balanced,
};
use gliaflow::internals::base::{Domain, KeyedRng, SampleKey};
use proptest::prelude::*;

use crate::deadline::{LIMIT, within};
use crate::numbers::{Apply, Batches, Count, Open, limits, runtime};

const STEP: f64 = 1e-3;
const NAMES: [&str; 7] = ["source", "a", "b", "c", "d", "e", "sink"];

/// A pipeline in which items are a fluid: what a stage passes in a millisecond is its workers' share
/// of that millisecond, or all it has. Nothing in it knows how the controller decides.
#[derive(Debug, Clone)]
struct Fluid {
    /// Seconds an item takes in each stage.
    services: Vec<f64>,
    workers: Vec<usize>,
    tickets: f64,
    /// Items that the consumer takes a second, if it can.
    demand: f64,
    /// Service times are off by up to this share, another for each tick.
    noise: f64,
    rng: KeyedRng,
    /// Items in front of each stage, and behind the last.
    queues: Vec<f64>,
    done: Vec<f64>,
    /// Source first, sink last; items are filled in from `done`.
    actors: Vec<Observation>,
    feed: Observation,
}

fn observation(name: &'static str, workers: usize) -> Observation {
    Observation {
        name,
        workers,
        items: 0,
        busy_seconds: 0.0,
        starved_seconds: 0.0,
        blocked_seconds: 0.0,
        worker_seconds: 0.0,
        queue_depth: 0,
        queue_capacity: 0,
        restarts: 0,
        busy_now: 0,
        starved_now: 0,
        blocked_now: 0,
    }
}

impl Fluid {
    /// With tickets enough, and a consumer that cannot be satisfied.
    fn new(services: &[f64], workers: &[usize], seed: u64) -> Self {
        let stages = services.len();
        let mut actors = vec![observation(NAMES[0], 1)];
        for (name, &workers) in NAMES[1..6].iter().zip(workers) {
            actors.push(observation(name, workers));
        }
        actors.push(observation(NAMES[6], 1));
        Self {
            services: services.to_vec(),
            workers: workers.to_vec(),
            tickets: 200.0,
            demand: 1e6,
            noise: 0.0,
            rng: KeyedRng::new(SampleKey { seed, epoch: 0, index: 0 }, Domain::Phantom),
            queues: vec![0.0; stages + 1],
            done: vec![0.0; stages + 2],
            actors,
            feed: observation("feed", 1),
        }
    }

    fn tick(&mut self) {
        let noise = |rng: &mut KeyedRng| 1.0 + self.noise * rng.uniform(-1.0, 1.0);
        let services: Vec<f64> =
            self.services.iter().map(|service| service * noise(&mut self.rng)).collect();
        for _ in 0..1000 {
            self.step(&services);
        }
        for (actor, done) in self.actors.iter_mut().zip(&self.done) {
            actor.items = *done as u64;
        }
    }

    /// One millisecond, the consumer first, so that an item moves one place in it.
    fn step(&mut self, services: &[f64]) {
        let stages = services.len();
        let taken = (self.demand * STEP).min(self.queues[stages]);
        self.queues[stages] -= taken;
        self.feed.worker_seconds += STEP;
        self.feed.starved_seconds += STEP * (1.0 - taken / (self.demand * STEP));
        self.pass(stages + 1, taken, 1e-5, 1);
        for stage in (0..stages).rev() {
            let able = self.workers[stage] as f64 * STEP / services[stage];
            let passed = able.min(self.queues[stage]);
            self.queues[stage] -= passed;
            self.queues[stage + 1] += passed;
            self.pass(stage + 1, passed, services[stage], self.workers[stage]);
        }
        let named = self.tickets - self.queues.iter().sum::<f64>();
        self.queues[0] += named;
        self.pass(0, named, 1e-6, 1);
    }

    fn pass(&mut self, actor: usize, items: f64, service: f64, workers: usize) {
        self.done[actor] += items;
        let seen = &mut self.actors[actor];
        let (busy, wall) = (items * service, workers as f64 * STEP);
        seen.worker_seconds += wall;
        seen.busy_seconds += busy;
        seen.starved_seconds += wall - busy;
    }

    fn snapshot(&self, actors: Vec<Observation>) -> TopologySnapshot {
        TopologySnapshot { actors, feed: self.feed.clone() }
    }

    /// Ticks under a controller; returns what it changed.
    fn run(&mut self, balance: &mut WorkerBalancer, ticks: usize) -> Vec<WorkerChange> {
        let mut moved = Vec::new();
        for _ in 0..ticks {
            self.tick();
            for change in balance.plan_changes(self.snapshot(self.actors.clone())) {
                moved.push(change);
                let stage = NAMES.iter().position(|name| *name == change.stage).unwrap() - 1;
                assert_eq!(self.workers[stage], change.from);
                assert!(change.to > 0);
                self.workers[stage] = change.to;
                self.actors[stage + 1].workers = change.to;
            }
        }
        moved
    }

    fn rate(&self) -> f64 {
        rate(&self.services, &self.workers)
    }

    /// The rate of the best static split, found by trying all.
    fn best_rate(&self, threads: usize) -> f64 {
        fn best(services: &[f64], threads: usize) -> f64 {
            let [service, rest @ ..] = services else { return f64::INFINITY };
            let most = threads - rest.len();
            let with =
                |workers: usize| (workers as f64 / service).min(best(rest, threads - workers));
            (1..=most).map(with).fold(0.0, f64::max)
        }
        best(&self.services, threads)
    }

    /// True if no stage lacks more than one of the workers that the best rate takes.
    fn is_within_one_worker_of_the_best(&self, threads: usize) -> bool {
        let best = self.best_rate(threads);
        self.services.iter().zip(&self.workers).all(|(service, &workers)| {
            let rounding = 1e-9;
            workers + 1 >= (best * service - rounding).ceil() as usize
        })
    }
}

fn rate(services: &[f64], workers: &[usize]) -> f64 {
    let rates = services.iter().zip(workers).map(|(service, &workers)| workers as f64 / service);
    rates.fold(f64::INFINITY, f64::min)
}

/// True if some stage gained workers and lost some, or the other way round.
fn is_to_and_fro(moved: &[WorkerChange]) -> bool {
    let gained = |change: &WorkerChange| change.to > change.from;
    moved.iter().any(|one| {
        moved.iter().any(|other| one.stage == other.stage && gained(one) != gained(other))
    })
}

/// Service times, workers at the start, and threads beyond those.
fn lines() -> impl Strategy<Value = (Vec<(f64, usize)>, usize, u64)> {
    let stages = prop::collection::vec((0.005f64..0.2, 1usize..4), 2..5);
    (stages, 0usize..4, any::<u64>()).prop_filter("splits of a dozen", |(stages, spare, _)| {
        stages.iter().map(|(_, workers)| workers).sum::<usize>() + spare <= 12
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_split_converges_to_within_one_worker_of_the_best_and_stays(
        (stages, spare, seed) in lines(),
    ) {
        let (services, workers): (Vec<f64>, Vec<usize>) = stages.into_iter().unzip();
        let threads = workers.iter().sum::<usize>() + spare;
        let mut fluid = Fluid::new(&services, &workers, seed);
        let mut balance = WorkerBalancer::new(threads);
        fluid.run(&mut balance, 60);
        prop_assert!(fluid.is_within_one_worker_of_the_best(threads), "{:?}", fluid.workers);
        prop_assert!(fluid.rate() * 1.12 > fluid.best_rate(threads), "{:?}", fluid.workers);
        prop_assert!(fluid.workers.iter().sum::<usize>() <= threads);
        let settled = fluid.rate();
        let moved = fluid.run(&mut balance, 60);
        // Items are counted whole, so a gain just short of clear may look clear at last: a step on.
        prop_assert!(fluid.rate() >= settled && !is_to_and_fro(&moved), "{:?}", moved);
    }

    #[test]
    fn noise_does_not_make_workers_go_to_and_fro((stages, spare, seed) in lines()) {
        let (services, workers): (Vec<f64>, Vec<usize>) = stages.into_iter().unzip();
        let threads = workers.iter().sum::<usize>() + spare;
        let mut fluid = Fluid { noise: 0.05, ..Fluid::new(&services, &workers, seed) };
        let mut balance = WorkerBalancer::new(threads);
        fluid.run(&mut balance, 60);
        let moved = fluid.run(&mut balance, 200);
        prop_assert!(!is_to_and_fro(&moved), "{:?}", moved);
        prop_assert!(fluid.rate() * 1.25 > fluid.best_rate(threads), "{:?}", fluid.workers);
    }

    #[test]
    fn the_split_follows_when_a_stage_becomes_cheap_or_dear(
        (stages, spare, seed) in lines(), stage in 0usize..2, factor in prop::sample::select(vec![0.1, 8.0]),
    ) {
        let (services, workers): (Vec<f64>, Vec<usize>) = stages.into_iter().unzip();
        let threads = workers.iter().sum::<usize>() + spare;
        let mut fluid = Fluid::new(&services, &workers, seed);
        let mut balance = WorkerBalancer::new(threads);
        fluid.run(&mut balance, 60);
        fluid.services[stage] *= factor;
        fluid.run(&mut balance, 120);
        prop_assert!(fluid.is_within_one_worker_of_the_best(threads), "{:?}", fluid.workers);
    }
}

#[test]
fn a_loader_that_keeps_up_is_left_alone_until_it_does_not() {
    let mut fluid = Fluid { demand: 9.0, ..Fluid::new(&[0.001, 0.1], &[4, 1], 1) };
    let mut balance = WorkerBalancer::new(5);
    assert!(fluid.run(&mut balance, 60).is_empty());
    fluid.demand = 12.0;
    assert!(!fluid.run(&mut balance, 60).is_empty());
    assert!(fluid.workers[1] > 1, "{:?}", fluid.workers);
}

#[test]
fn two_splits_that_are_equally_good_do_not_take_turns() {
    for seed in 0..20 {
        // Four and four pass as much as five and three: noise alone favours the one or the other.
        let line = Fluid::new(&[0.02, 0.015], &[4, 4], seed);
        let moved = Fluid { noise: 0.1, ..line }.run(&mut WorkerBalancer::new(8), 400);
        assert!(!is_to_and_fro(&moved), "{seed}: {moved:?}");
    }
}

#[test]
fn a_hiccup_moves_nobody_and_a_change_does() {
    let mut fluid = Fluid::new(&[0.02, 0.02], &[4, 4], 1);
    let mut balance = WorkerBalancer::new(8);
    for _ in 0..10 {
        fluid.services[0] = 0.06;
        assert_eq!(fluid.run(&mut balance, 1), []);
        fluid.services[0] = 0.02;
        assert_eq!(fluid.run(&mut balance, 5), []);
    }
    fluid.services[0] = 0.06;
    assert!(!fluid.run(&mut balance, 3).is_empty());
}

#[test]
fn workers_stay_where_it_is_tickets_that_are_missing() {
    let few = Fluid { tickets: 0.01, ..Fluid::new(&[0.002, 0.01], &[6, 2], 1) };
    let enough = Fluid { tickets: 10.0, ..few.clone() };
    for (mut fluid, moves) in [(few, false), (enough, true)] {
        let moved = fluid.run(&mut WorkerBalancer::new(8), 60);
        assert_eq!(!moved.is_empty(), moves, "{:?}", fluid.workers);
    }
}

#[test]
fn workers_that_an_end_would_hold_up_anyway_are_not_moved() {
    let mut fluid = Fluid::new(&[0.002, 0.01], &[6, 2], 1);
    let mut balance = WorkerBalancer::new(8);
    for _ in 0..60 {
        fluid.tick();
        let mut actors = fluid.actors.clone();
        // The sink is as busy as if an item took it as long as the slow stage's two workers.
        actors[3].busy_seconds = actors[3].items as f64 * 0.005;
        assert_eq!(balance.plan_changes(fluid.snapshot(actors)), []);
    }
}

#[test]
fn a_running_topology_gives_its_slow_stage_more_workers_and_the_same_numbers() {
    within(LIMIT, |watch| {
        let (mut feed, running) = Topology::new("balanced", limits(16), &StopLatch::new())
            .source(Count::to(u64::MAX))
            .stage(|| Open, 3)
            .stage(
                || {
                    Apply(|number| {
                        thread::sleep(Duration::from_micros(200));
                        Ok(number)
                    })
                },
                1,
            )
            .sink(Batches::of(1), 1)
            .start(&runtime())
            .unwrap();
        watch.on(&running);
        keep_balanced(&running, 4, Duration::from_millis(5), &runtime());
        let observer = running.observer();
        let mut next = 0;
        let workers = |stage: usize| observer.observations()[stage].workers;
        while (workers(1), workers(2)) != (1, 3) {
            assert_eq!(feed.next_output(), Some(vec![next]));
            next += 1;
        }
        drop(feed);
        assert!(running.join_blocking().unwrap().is_balanced());
    });
}
