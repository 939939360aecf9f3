//! What runs, made visible: topologies under way on one board, their clocks on the endpoint.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::actor::feed::Running;
use crate::actor::hooks::Hooks;
use crate::actor::observe::{Observation, Observer};
use crate::pipeline::verdict::{Machine, Verdict, judge, judge_beside};
use crate::telemetry::catalog;
use crate::telemetry::process;
use crate::volume::case::Case;
use crate::volume::voxels::Voxels;

/// How often clocks and queues are published: finer than any scrape interval in use.
const TICK: Duration = Duration::from_millis(500);

/// The topologies under way. Clones show the same ones.
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<Shown>>);

#[derive(Default)]
struct Shown {
    next: u64,
    live: BTreeMap<u64, Observer>,
    /// Clocks of topologies that have ended, by stage: a counter must never fall.
    past: BTreeMap<&'static str, Clocks>,
}

/// Seconds of all workers of a stage.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Clocks {
    busy: f64,
    starved: f64,
    blocked: f64,
    restarts: u64,
}

impl Clocks {
    fn add(&mut self, seen: &Observation) {
        self.busy += seen.busy_seconds;
        self.starved += seen.starved_seconds;
        self.blocked += seen.blocked_seconds;
        self.restarts += seen.restarts;
    }
}

/// Keeps a topology on the board; dropping it takes it off.
pub struct Watch {
    board: Board,
    number: u64,
}

impl Board {
    /// Shows a topology for as long as the result lives.
    #[must_use]
    pub fn watch(&self, running: &Running) -> Watch {
        let mut shown = self.shown();
        let number = shown.next;
        shown.next += 1;
        shown.live.insert(number, running.observer());
        Watch { board: self.clone(), number }
    }

    /// For `/topology`: every topology under way with its actors and accounts.
    pub fn to_json(&self) -> Value {
        let observers: Vec<Observer> = self.shown().live.values().cloned().collect();
        let topologies = observers.iter().map(|observer| {
            json!({
                "topology": observer.topology(),
                "ledger": observer.ledger(),
                "tickets_free": observer.tickets_free(),
                "actors": observer.observations(),
                "feed": observer.feed(),
                "verdict": verdict_of(observer),
            })
        });
        Value::Array(topologies.collect())
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Clocks and queues onto the endpoint.
    fn publish(&self) {
        let shown = self.shown();
        let mut clocks = shown.past.clone();
        for observer in shown.live.values() {
            for seen in observer.observations() {
                clocks.entry(seen.name).or_default().add(&seen);
                publish_queue(&seen);
            }
            publish_queue(&observer.feed());
            catalog::LOADER_TICKETS_FREE.with([]).set(observer.tickets_free() as f64);
        }
        drop(shown);
        for (stage, clock) in clocks {
            let seconds = Duration::from_secs_f64;
            catalog::LOADER_STAGE_BUSY.with([stage]).absolute(seconds(clock.busy));
            catalog::LOADER_STAGE_STARVED.with([stage]).absolute(seconds(clock.starved));
            catalog::LOADER_STAGE_BLOCKED.with([stage]).absolute(seconds(clock.blocked));
            catalog::LOADER_STAGE_RESTARTS.with([stage]).absolute(clock.restarts);
        }
        process::publish();
    }
}

/// What holds a topology back, over its whole time so far.
pub fn verdict_of(observer: &Observer) -> Verdict {
    judge(&observer.observations(), &observer.feed(), &machine())
}

/// The same for a loader that began while cases were still being ingested.
pub fn verdict_beside(ingest: &Observer, loader: &Observer) -> Verdict {
    let (ahead, actors) = (ingest.observations(), loader.observations());
    judge_beside(&ahead, &actors, &loader.feed(), &machine())
}

fn machine() -> Machine {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // The process's CPU time is older than the topology, so the workers' own clocks have to do.
    Machine { cores, cpu_seconds: None }
}

fn publish_queue(seen: &Observation) {
    catalog::LOADER_QUEUE_DEPTH.with([seen.name]).set(seen.queue_depth as f64);
    catalog::LOADER_QUEUE_CAPACITY.with([seen.name]).set(seen.queue_capacity as f64);
    catalog::LOADER_STAGE_WORKERS.with([seen.name]).set(seen.workers as f64);
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut shown = self.board.shown();
        if let Some(observer) = shown.live.remove(&self.number) {
            for seen in observer.observations() {
                shown.past.entry(seen.name).or_default().add(&seen);
            }
        }
        drop(shown);
        self.board.publish();
    }
}

/// Publishes the board twice a second for as long as the runtime lives.
pub fn publish_regularly(runtime: &tokio::runtime::Handle, board: Board) {
    runtime.spawn(async move {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            board.publish();
        }
    });
}

/// What every topology here hangs on its events.
pub(super) fn hooks() -> Hooks {
    let on_item = Arc::new(|stage: &'static str, service: Duration| {
        catalog::LOADER_STAGE_SERVICE.with([stage]).record(service.as_secs_f64());
    });
    Hooks { on_item: Some(on_item), on_skip: None }
}

/// A case came out of its files.
pub(super) fn count_decoded(case: &Case) {
    let bytes = |voxels: &Voxels| match voxels {
        Voxels::I16(values) => size_of_val(values.as_slice()),
        Voxels::F32(values) => size_of_val(values.as_slice()),
        Voxels::F64(values) => size_of_val(values.as_slice()),
    };
    let images: usize = case.images.iter().map(bytes).sum();
    let labels = case.labels.as_ref().map_or(0, Vec::len);
    catalog::LOADER_READ_BYTES.with([]).increment(case.bytes_read);
    catalog::LOADER_DECODED_BYTES.with([]).increment((images + labels) as u64);
}
