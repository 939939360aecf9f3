//! Content of a frame without a layout, from snapshots of a run or from its journal.

use serde::Serialize;

use crate::cli::top::history::TrainingHistory;
use crate::cli::top::rates::SnapshotWindow;
use crate::cli::top::snapshot::{EndpointActor, EndpointTopology};
use crate::telemetry::Scrape;

/// Content of a frame; unknown figures are absent.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct RunView {
    /// The run's name, or its folder.
    pub(super) run: String,
    /// State of the run: under way, or how it ended.
    pub(super) state: String,
    /// Network, device and version.
    pub(super) what: Option<String>,
    pub(super) source: String,
    /// Bottleneck and sentence of each topology under way.
    pub(super) verdicts: Vec<(String, String)>,
    /// Notice above all else: a complaint, or that the endpoint does not answer.
    pub(super) notice: Option<String>,
    pub(super) progress: RunProgress,
    /// Total training losses, as far as they are known.
    pub(super) losses: Vec<f64>,
    /// Each region's Dice, evaluation by evaluation.
    pub(super) dice: Vec<(String, Vec<f64>)>,
    /// Seconds that rates and shares span; 0 means since the stages began.
    pub(super) span_seconds: f64,
    pub(super) stages: Vec<StageRow>,
    pub(super) gpus: Vec<GpuRow>,
}

/// Epochs and steps done, and the speed.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct RunProgress {
    pub(super) epoch: Option<u64>,
    pub(super) epochs_planned: Option<u64>,
    pub(super) step: Option<u64>,
    pub(super) steps_planned: Option<u64>,
    pub(super) seconds_left: Option<f64>,
    pub(super) learning_rate: Option<f64>,
    pub(super) gradient_norm: Option<f64>,
    /// Output of the last topology under way.
    pub(super) items_per_second: Option<f64>,
    /// Unit of the output: samples or cases.
    pub(super) items: &'static str,
    /// Share of the time that the trainer waits for a batch.
    pub(super) starved_ratio: Option<f64>,
    pub(super) skipped_samples: Option<u64>,
    /// Heap and stacks; mapped case files are not in it.
    pub(super) memory_bytes: Option<f64>,
}

/// A stage, or the consumer at the end of the topology.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct StageRow {
    pub(super) topology: String,
    pub(super) name: String,
    pub(super) workers: usize,
    /// Busy, starved, blocked: shares of its workers' time.
    pub(super) shares: Option<[f64; 3]>,
    pub(super) queue_depth: usize,
    pub(super) queue_capacity: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct GpuRow {
    pub(super) gpu: String,
    pub(super) utilization: Option<f64>,
    pub(super) memory_used_bytes: Option<f64>,
    pub(super) memory_total_bytes: Option<f64>,
    pub(super) watts: Option<f64>,
    pub(super) celsius: Option<f64>,
}

impl RunView {
    /// Returns the view of a run under way.
    pub(super) fn of_window(
        window: &SnapshotWindow,
        history: &TrainingHistory,
        source: &str,
    ) -> Self {
        let snapshot = window.newest();
        let scrape = &snapshot.scrape;
        let state = scrape.values_by_label("train_run_state", "state");
        let state = state.iter().find(|(_, on)| *on == 1.0).map_or("running", |(state, _)| state);
        let alive: Vec<&EndpointTopology> =
            snapshot.topologies.iter().filter(|line| line.is_alive()).collect();
        let verdict = |line: &&EndpointTopology| {
            (line.verdict.bottleneck.to_string(), line.verdict.sentence.clone())
        };
        Self {
            run: scrape.any_label("run").unwrap_or("gliaflow").to_owned(),
            state: state.to_owned(),
            what: run_description(scrape),
            source: source.to_owned(),
            verdicts: alive.iter().map(verdict).collect(),
            notice: snapshot.complaint.clone(),
            progress: RunProgress::of_window(window),
            losses: history.losses(),
            dice: history.dice_by_region(),
            span_seconds: window.span_seconds(),
            stages: alive.iter().flat_map(|line| stage_rows(window, line)).collect(),
            gpus: gpu_rows(scrape),
        }
    }
}

impl RunProgress {
    fn of_window(window: &SnapshotWindow) -> Self {
        let scrape = &window.newest().scrape;
        let number = |name: &str| scrape.first_value(name, &[]).filter(|value| value.is_finite());
        let count = |name: &str| number(name).map(|value| value as u64);
        let skipped = scrape.sum_values("loader_samples_total", &[("outcome", "skipped")]);
        let line = window.newest().topologies.iter().rfind(|line| line.is_alive());
        // Without a trainer of its own, the consumer of the loader is the one that waits.
        let starved = match number("train_step") {
            Some(_) => window.counter_rate("train_starved_seconds_total", &[]),
            None => {
                line.and_then(|line| window.time_shares(line, &line.feed)).map(|shares| shares[1])
            }
        };
        Self {
            epoch: count("train_epoch"),
            epochs_planned: count("train_epochs_planned"),
            step: count("train_step"),
            steps_planned: None,
            seconds_left: number("train_eta_seconds"),
            learning_rate: number("train_learning_rate"),
            gradient_norm: number("train_gradient_norm"),
            items_per_second: line.and_then(|line| window.throughput(line)),
            items: if line.is_some_and(|line| line.name == "train") { "samples" } else { "cases" },
            starved_ratio: starved.map(|share| share.min(1.0)),
            skipped_samples: skipped.map(|samples| samples as u64),
            memory_bytes: number("process_anonymous_memory_bytes"),
        }
    }
}

/// Network, device and version.
fn run_description(scrape: &Scrape) -> Option<String> {
    let label = |name| scrape.nonzero_label("train_run_info", name);
    Some(format!("{} on {}, version {}", label("model")?, label("device")?, label("version")?))
}

/// Rows of a topology's actors in their order, its consumer at the end.
fn stage_rows(window: &SnapshotWindow, line: &EndpointTopology) -> Vec<StageRow> {
    let consumer = if line.name == "train" { "trainer" } else { "consumer" };
    let row = |actor: &EndpointActor, name: &str| StageRow {
        topology: line.name.clone(),
        name: name.to_owned(),
        workers: actor.workers,
        shares: window.time_shares(line, actor),
        queue_depth: actor.queue_depth,
        queue_capacity: actor.queue_capacity,
    };
    let stages = line.actors.iter().map(|actor| row(actor, &actor.name));
    stages.chain([row(&line.feed, consumer)]).collect()
}

fn gpu_rows(scrape: &Scrape) -> Vec<GpuRow> {
    let cards = scrape.values_by_label("gpu_temperature_celsius", "gpu");
    let with_memory = scrape.values_by_label("gpu_memory_total_bytes", "gpu");
    let mut names: Vec<&str> = cards.iter().chain(&with_memory).map(|(gpu, _)| *gpu).collect();
    names.sort_unstable();
    names.dedup();
    let row = |gpu: &str| {
        let gauge = |name: &str| scrape.first_value(name, &[("gpu", gpu)]);
        GpuRow {
            gpu: gpu.to_owned(),
            utilization: gauge("gpu_utilization_ratio"),
            memory_used_bytes: gauge("gpu_memory_used_bytes"),
            memory_total_bytes: gauge("gpu_memory_total_bytes"),
            watts: gauge("gpu_power_watts"),
            celsius: gauge("gpu_temperature_celsius"),
        }
    };
    names.into_iter().map(row).collect()
}
