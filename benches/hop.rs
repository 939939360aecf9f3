//! What an item pays for being passed on: tickets, mailboxes, clocks and the sequencer, around stages
//! that do nothing. A sample of 128³ costs millions of nanoseconds to make, so a hop must be noise.
//!
//! `cargo bench --no-default-features --bench hop`; one run of divan's is a thousand items.
#![allow(missing_docs, clippy::unwrap_used)]

use divan::Bencher;
use divan::counter::ItemsCount;
use gliaflow::internals::actor::{
    Describe, Limits, Outcome, Sink, Source, Stage, StopLatch, Topology,
};
use gliaflow::internals::base::CaseError;
use tokio::runtime::{Builder, Handle};

const ITEMS: u64 = 1000;
const TICKETS: usize = 16;

struct Number(u64);

impl Describe for Number {
    fn describe(&self) -> String {
        self.0.to_string()
    }
}

struct Count(u64);

impl Source for Count {
    const NAME: &'static str = "count";
    type Item = Number;

    fn next(&mut self) -> Option<Number> {
        let number = self.0;
        self.0 += 1;
        (number < ITEMS).then_some(Number(number))
    }
}

struct Pass;

impl Stage for Pass {
    const NAME: &'static str = "pass";
    type In = Number;
    type Out = Number;

    fn process(&mut self, item: Number) -> Result<Number, CaseError> {
        Ok(item)
    }
}

struct Hand;

impl Sink for Hand {
    const NAME: &'static str = "hand";
    type In = Number;
    type Out = u64;

    fn accept_outcome(&mut self, outcome: Outcome<Number>) -> Option<u64> {
        match outcome {
            Ok(number) => Some(number.0),
            Err(_) => None,
        }
    }
}

/// A runtime that only ever waits, on a thread of its own.
fn runtime() -> Handle {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    handle
}

/// Three stages in a row, each with so many workers.
#[divan::bench(args = [1, 2, 4], sample_count = 20)]
fn three_stages(bencher: Bencher<'_, '_>, workers: usize) {
    let runtime = runtime();
    bencher.counter(ItemsCount::new(ITEMS as usize)).bench_local(|| {
        let stop = StopLatch::new();
        let (mut feed, running) = Topology::new("hop", Limits::new(TICKETS), &stop)
            .source(Count(0))
            .stage(|| Pass, workers)
            .stage(|| Pass, workers)
            .stage(|| Pass, workers)
            .sink(Hand, 2)
            .start(&runtime)
            .unwrap();
        let mut handed = 0;
        while let Some(number) = feed.next_output() {
            assert_eq!(number, handed);
            handed += 1;
        }
        assert_eq!(handed, ITEMS);
        running.join_blocking().unwrap();
    });
}

fn main() {
    divan::main();
}
