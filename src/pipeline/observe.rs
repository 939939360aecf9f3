//! Registry of running topologies, and their clocks as metrics.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::actor::{Hooks, Observation, Observer, RunningTopology, TopologySnapshot};
use crate::base::core_count;
use crate::pipeline::bottleneck::{
    BottleneckVerdict, CpuUsage, blame_ingest, diagnose_beside_ingest, diagnose_run, diagnose_span,
};
use crate::pipeline::progress_watch::{HealthLimits, ProgressWatch};
use crate::pipeline::stage_order::find_stage_place;
use crate::telemetry::health::{self, Health};
use crate::telemetry::{catalog, process};
use crate::volume::{Case, Voxels};

/// Interval between publications of clocks and queues: shorter than usual scrape intervals.
const TICK: Duration = Duration::from_millis(500);

/// Topology that feeds the trainer: its consumer's waits are the trainer's.
pub(super) const TRAINING: &str = "train";
/// Topology that may run beside it.
pub(super) const INGEST: &str = "ingest";

/// Span that a verdict covers: the present bottleneck, not last week's.
const SPAN: Duration = Duration::from_secs(30);
/// Interval between snapshots.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Running topologies. Clones share the registry.
#[derive(Clone, Default)]
pub struct TopologyRegistry(Arc<Mutex<RegistryState>>);

#[derive(Default)]
struct RegistryState {
    /// Health that stalls are reported to.
    health: Health,
    next: u64,
    live: BTreeMap<u64, WatchedTopology>,
    /// Sums of ended topologies, by stage: a counter must never fall.
    past: BTreeMap<&'static str, StageClocks>,
    /// Waits of trainers that have ended, in seconds.
    past_starved: f64,
}

impl RegistryState {
    /// Reports the topologies, and the trainer, that make no progress.
    fn report_health(&mut self) {
        let now = Instant::now();
        let names: Vec<&str> =
            self.live.values().map(|live| live.observer.topology_name()).collect();
        let is_evaluating = names.iter().any(|name| ![TRAINING, INGEST].contains(name));
        let [mut stalled, mut idle] = [None, None];
        for WatchedTopology { observer, progress, .. } in self.live.values_mut() {
            if observer.is_over() {
                continue;
            }
            stalled = progress.loader_problem(observer, now).or(stalled);
            if observer.topology_name() == TRAINING {
                let feed = observer.feed();
                let has_reason = feed.starved_now > 0 || is_evaluating;
                idle = progress.trainer_problem(feed.items, has_reason, now);
            }
        }
        self.health.set_problem(health::WATCHDOG, stalled);
        self.health.set_problem(health::TRAINER, idle);
    }
}

#[derive(Clone)]
struct WatchedTopology {
    observer: Observer,
    /// Snapshots, the oldest first: back to [`SPAN`] ago, or to the start.
    looks: VecDeque<(Instant, TopologySnapshot)>,
    progress: ProgressWatch,
}

impl WatchedTopology {
    fn from_observer(observer: Observer, limits: HealthLimits) -> Self {
        let now = Instant::now();
        let looks = VecDeque::from([(now, observer.take_snapshot())]);
        Self { observer, looks, progress: ProgressWatch::within_limits(limits, now) }
    }

    fn take_due_snapshot(&mut self) {
        if self.looks.back().is_some_and(|(at, _)| at.elapsed() < LOOK_EVERY) {
            return;
        }
        self.looks.push_back((Instant::now(), self.observer.take_snapshot()));
        // The oldest goes once the second oldest covers the span.
        while self.looks.get(1).is_some_and(|(at, _)| at.elapsed() >= SPAN) {
            self.looks.pop_front();
        }
    }

    fn oldest_snapshot(&self) -> Option<&TopologySnapshot> {
        self.looks.front().map(|(_, look)| look)
    }

    /// Difference between now and the oldest snapshot.
    fn recent_span(&self) -> TopologySnapshot {
        let now = self.observer.take_snapshot();
        self.oldest_snapshot().map_or(now.clone(), |then| now.since(then))
    }

    fn recent_verdict(&self, beside: Option<&Self>) -> BottleneckVerdict {
        let now = self.observer.take_snapshot();
        let Some(then) = self.oldest_snapshot() else {
            return diagnose_run(&now.actors, &now.feed, &available_cpu());
        };
        let verdict = diagnose_span(&now, then, &available_cpu());
        let Some(ingest) = beside else { return verdict };
        let span = now.since(then);
        blame_ingest(verdict, &ingest.recent_span().actors, &span.actors, &span.feed)
    }

    fn to_json(&self, beside: Option<&Self>) -> Value {
        let observer = &self.observer;
        json!({
            "topology": observer.topology_name(),
            "ledger": observer.ticket_counts(),
            "tickets_free": observer.tickets_free(),
            "actors": observer.observations(),
            "feed": observer.feed(),
            "verdict": self.recent_verdict(beside),
        })
    }
}

/// Seconds of a stage's workers together, and their restarts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct StageClocks {
    busy: f64,
    starved: f64,
    blocked: f64,
    restarts: u64,
}

impl StageClocks {
    fn add_observation(&mut self, seen: &Observation) {
        self.busy += seen.busy_seconds;
        self.starved += seen.starved_seconds;
        self.blocked += seen.blocked_seconds;
        self.restarts += seen.restarts;
    }
}

/// Registration of a topology, which ends when this is dropped.
pub struct TopologyRegistration {
    board: TopologyRegistry,
    number: u64,
}

impl TopologyRegistry {
    /// Creates a registry that reports stalls to `health`.
    pub fn reporting_to(health: Health) -> Self {
        Self(Arc::new(Mutex::new(RegistryState { health, ..RegistryState::default() })))
    }

    /// Health of the run; clones share it.
    pub fn health(&self) -> Health {
        self.0.lock().health.clone()
    }

    /// Registers a topology for as long as the result lives.
    #[must_use]
    pub fn watch_topology(&self, running: &RunningTopology) -> TopologyRegistration {
        self.watch_within(running, HealthLimits::default())
    }

    /// Registers a topology that is healthy within `limits`.
    #[must_use]
    pub fn watch_within(
        &self,
        running: &RunningTopology,
        limits: HealthLimits,
    ) -> TopologyRegistration {
        let mut shown = self.0.lock();
        let number = shown.next;
        shown.next += 1;
        shown.live.insert(number, WatchedTopology::from_observer(running.observer(), limits));
        TopologyRegistration { board: self.clone(), number }
    }

    /// Renders `/topology`: every running topology with its actors, its counts, and its verdict on
    /// the last half minute.
    pub fn to_json(&self) -> Value {
        // Observed without the lock: a stuck actor must not hold up the clocks.
        let mut running: Vec<WatchedTopology> = self.0.lock().live.values().cloned().collect();
        running.retain(|live| !live.observer.is_over());
        let ingest = running.iter().find(|live| live.observer.topology_name() == INGEST);
        let described = running.iter().map(|live| {
            let is_training = live.observer.topology_name() == TRAINING;
            live.to_json(ingest.filter(|_| is_training))
        });
        Value::Array(described.collect())
    }

    /// Publishes clocks and queues as metrics.
    fn publish_metrics(&self) {
        let mut shown = self.0.lock();
        let mut clocks = shown.past.clone();
        let mut starved = shown.past_starved;
        for live in shown.live.values_mut() {
            live.take_due_snapshot();
            let observer = &live.observer;
            for seen in observer.observations() {
                clocks.entry(seen.name).or_default().add_observation(&seen);
                publish_queue(&seen);
            }
            publish_queue(&observer.feed());
            starved += trainer_starved(observer);
            if !observer.is_over() {
                catalog::LOADER_TICKETS_FREE.with_labels([]).set(observer.tickets_free() as f64);
            }
        }
        shown.report_health();
        drop(shown);
        catalog::TRAIN_STARVED.with_labels([]).set_total(Duration::from_secs_f64(starved));
        for (stage, clock) in clocks {
            let seconds = Duration::from_secs_f64;
            catalog::LOADER_STAGE_BUSY.with_labels([stage]).set_total(seconds(clock.busy));
            catalog::LOADER_STAGE_STARVED.with_labels([stage]).set_total(seconds(clock.starved));
            catalog::LOADER_STAGE_BLOCKED.with_labels([stage]).set_total(seconds(clock.blocked));
            catalog::LOADER_STAGE_RESTARTS.with_labels([stage]).absolute(clock.restarts);
        }
        process::publish_process_metrics();
    }
}

/// Verdict on a topology over its whole time.
pub fn verdict_of(observer: &Observer) -> BottleneckVerdict {
    diagnose_run(&observer.observations(), &observer.feed(), &available_cpu())
}

/// Verdict on a loader that began while cases were still being ingested.
pub fn verdict_beside_ingest(ingest: &Observer, loader: &Observer) -> BottleneckVerdict {
    diagnose_beside_ingest(
        &ingest.observations(),
        &loader.observations(),
        &loader.feed(),
        &available_cpu(),
    )
}

/// Seconds that the trainer has waited for batches, the current wait included: it may be the last.
fn trainer_starved(observer: &Observer) -> f64 {
    if observer.topology_name() == TRAINING { observer.feed().starved_seconds } else { 0.0 }
}

fn available_cpu() -> CpuUsage {
    let cores = core_count();
    // The process's CPU time began before the topology, so the workers' clocks are used.
    CpuUsage { cores, cpu_seconds: None, waiting_seconds: None }
}

fn publish_queue(seen: &Observation) {
    catalog::LOADER_QUEUE_DEPTH.with_labels([seen.name]).set(seen.queue_depth as f64);
    catalog::LOADER_QUEUE_CAPACITY.with_labels([seen.name]).set(seen.queue_capacity as f64);
    catalog::LOADER_STAGE_WORKERS.with_labels([seen.name]).set(seen.workers as f64);
    if let Some(place) = find_stage_place(seen.name) {
        catalog::LOADER_STAGE_PLACE.with_labels([seen.name]).set(place as f64);
    }
}

impl Drop for TopologyRegistration {
    fn drop(&mut self) {
        let mut shown = self.board.0.lock();
        if let Some(WatchedTopology { observer, .. }) = shown.live.remove(&self.number) {
            for seen in observer.observations() {
                shown.past.entry(seen.name).or_default().add_observation(&seen);
            }
            shown.past_starved += trainer_starved(&observer);
        }
        drop(shown);
        self.board.publish_metrics();
    }
}

/// Publishes metrics twice a second for as long as the runtime lives.
pub fn publish_regularly(runtime: &tokio::runtime::Handle, board: TopologyRegistry) {
    runtime.spawn(async move {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            board.publish_metrics();
        }
    });
}

pub(super) fn topology_hooks() -> Hooks {
    let on_item = Arc::new(|stage: &'static str, service: Duration| {
        catalog::LOADER_STAGE_SERVICE.with_labels([stage]).record(service.as_secs_f64());
    });
    Hooks { on_item: Some(on_item), on_skip: None }
}

/// Counts the bytes read and decoded of a case.
pub(super) fn count_decoded(case: &Case) {
    let bytes = |voxels: &Voxels| match voxels {
        Voxels::I16(values) => size_of_val(&**values),
        Voxels::F32(values) => size_of_val(values.as_slice()),
        Voxels::F64(values) => size_of_val(values.as_slice()),
    };
    let images: usize = case.images.iter().map(bytes).sum();
    let labels = case.labels.as_ref().map_or(0, Vec::len);
    catalog::LOADER_READ_BYTES.with_labels([]).increment(case.bytes_read);
    catalog::LOADER_DECODED_BYTES.with_labels([]).increment((images + labels) as u64);
}
