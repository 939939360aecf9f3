//! The smallest loader that keeps a trainer busy: worked out from what each stage costs, then
//! tried, and enlarged where the trial says that it is too small.

use std::time::Duration;

use serde::Serialize;

use crate::base::{core_count, format_percent};
use crate::pipeline::{Bottleneck, LoaderWorkers, WorkerPlan};
use crate::run::tools::drain::{DrainConfig, DrainReport, StageReport, drain_loader};
use crate::run::tools::loader_settings::LoaderSettings;
use crate::run::{Failure, LoaderCases, Session};
use crate::volume::Targets;

/// Share of its time that the trainer may wait.
pub const STARVATION: f64 = 0.02;

/// Share from which on more batches in store are no remedy, since there is nothing to store.
const HOPELESS: f64 = 0.2;

/// Share of a worker's time that is planned for: at more, queues grow before they even out.
const LOAD: f64 = 0.9;

/// Batches that may wait for the trainer, fewest first.
const PREFETCH: [usize; 3] = [1, 2, 4];

/// LoaderTrial of one loader.
#[derive(Debug, Clone, Serialize)]
pub struct LoaderTrial {
    /// Threads of the stages.
    pub workers: LoaderWorkers,
    /// Batches that may wait.
    pub prefetch: usize,
    /// Memory that it may take, in MiB.
    pub memory_mib: usize,
    /// Share of its time that the trainer waited.
    pub starved_ratio: f64,
    /// CPU seconds per sample.
    pub cpu_seconds_per_sample: Option<f64>,
    /// Bottleneck.
    pub bottleneck: Bottleneck,
}

/// Result of tuning.
#[derive(Debug, Serialize)]
pub struct TunedLoader {
    /// True if the last trial keeps the trainer busy.
    pub enough: bool,
    /// Milliseconds that the trainer takes for a batch.
    pub step_ms: f64,
    /// Samples per second that this asks for.
    pub samples_per_second_needed: f64,
    /// Samples per second of the loader without a trainer to wait for.
    pub samples_per_second_at_most: f64,
    /// Trials, in order; the last one is the answer.
    pub trials: Vec<LoaderTrial>,
    /// The answer, for a run's configuration.
    pub loader: LoaderSettings,
    /// Explanation of the answer.
    pub sentence: String,
}

/// Finds the smallest loader for a trainer that takes `config.step` for a batch.
///
/// # Errors
/// As [`drain_loader`]; a step of no time is a usage error.
pub fn tune_loader(
    config: &DrainConfig,
    prepared: &LoaderCases,
    session: &Session,
) -> Result<TunedLoader, Failure> {
    if config.step.is_zero() {
        let text = "a trainer that takes no time is never kept busy; write --step-ms above 0";
        return Err(Failure::Usage(text.into()));
    }
    let cores = core_count();
    let free = |workers: &LoaderWorkers| -> Result<DrainReport, Failure> {
        let trial = with_workers(config, prepared, workers, 2)?;
        drain_loader(&DrainConfig { step: Duration::ZERO, ..trial }, prepared, session)
    };
    // One thread a stage: what it costs is then not what others cost it.
    let alone = free(&uniform_workers(1))?;
    let at_most = free(&uniform_workers(cores))?.samples_per_second.max(alone.samples_per_second);
    let needed = config.loader.batch as f64 / config.step.as_secs_f64();
    let mut workers = planned_workers(&alone, needed, cores);
    let mut trials = Vec::new();
    let mut prefetch = 0;
    let mut enough = false;
    while !enough {
        let trial = with_workers(config, prepared, &workers, PREFETCH[prefetch])?;
        let report = drain_loader(&trial, prepared, session)?;
        enough = report.starved_ratio <= STARVATION;
        trials.push(LoaderTrial {
            workers: workers.clone(),
            prefetch: PREFETCH[prefetch],
            memory_mib: trial.loader.memory_mib,
            starved_ratio: report.starved_ratio,
            cpu_seconds_per_sample: report.cpu_seconds_per_sample,
            bottleneck: report.bottleneck.clone(),
        });
        let is_outrun =
            !enough && (prefetch + 1 == PREFETCH.len() || report.starved_ratio > HOPELESS);
        if is_outrun && !add_worker(&mut workers, &report.bottleneck, cores) {
            break;
        }
        prefetch = if enough || is_outrun { 0 } else { prefetch + 1 };
    }
    let last = trials.last().expect("one was tried");
    let loader = LoaderSettings {
        prefetch: last.prefetch,
        memory_mib: last.memory_mib,
        workers: last.workers.clone(),
    };
    let sentence = result_sentence(enough, needed, at_most, last.starved_ratio);
    Ok(TunedLoader {
        enough,
        step_ms: config.step.as_secs_f64() * 1e3,
        samples_per_second_needed: needed,
        samples_per_second_at_most: at_most,
        trials,
        loader,
        sentence,
    })
}

fn result_sentence(enough: bool, needed: f64, at_most: f64, starved: f64) -> String {
    let starved = format_percent(starved);
    if enough {
        return format!(
            "the trainer needs {needed:.2} samples/s and waits {starved} of the time; this \
             machine could make {at_most:.2}"
        );
    }
    format!(
        "the trainer needs {needed:.2} samples/s, this machine makes {at_most:.2} at most, and the \
         trainer waits {starved} of the time: use a cheaper profile, a smaller crop.patch, or \
         more cores"
    )
}

/// Workers with `count` threads for each stage that takes time.
const fn uniform_workers(count: usize) -> LoaderWorkers {
    LoaderWorkers { fetch: 1, decode: count, normalize: count, crop: 1, augment: count }
}

/// Returns `config` with these threads, this prefetch, and no more memory than they can use.
fn with_workers(
    config: &DrainConfig,
    prepared: &LoaderCases,
    workers: &LoaderWorkers,
    prefetch: usize,
) -> Result<DrainConfig, Failure> {
    let mut tried = config.clone();
    tried.loader.prefetch = prefetch;
    tried.loader.workers = WorkerPlan::Fixed(workers.clone());
    let footprint = prepared.footprint(&config.preprocess);
    let patch = config.crop.patch;
    let memory = tried.loader.plan_memory_for(Targets::Hard, patch, footprint, &config.augment)?;
    tried.loader.memory_mib = memory.bytes.div_ceil(1 << 20);
    Ok(tried)
}

/// Threads per stage for `needed` samples a second, by what the stages cost in `measured`.
fn planned_workers(measured: &DrainReport, needed: f64, cores: usize) -> LoaderWorkers {
    let threads = |name: &str| {
        let stage = measured.stages.iter().find(|stage| stage.name == name);
        stage.map_or(1, |stage| {
            ((seconds_per_item(stage) * needed / LOAD).ceil() as usize).clamp(1, cores)
        })
    };
    LoaderWorkers {
        fetch: threads("fetch"),
        decode: threads("decode"),
        normalize: threads("normalize"),
        crop: threads("crop"),
        augment: threads("augment"),
    }
}

fn seconds_per_item(stage: &StageReport) -> f64 {
    if stage.items == 0 { 0.0 } else { stage.busy_seconds / stage.items as f64 }
}

/// Adds one thread to the bottleneck; false if there is no core for it.
fn add_worker(workers: &mut LoaderWorkers, bottleneck: &Bottleneck, cores: usize) -> bool {
    let name = match bottleneck {
        Bottleneck::Stage(name) => name,
        Bottleneck::None | Bottleneck::Trainer => "augment",
    };
    let count = match workers.of_stage(name) {
        Some(count) => count,
        None => &mut workers.augment,
    };
    *count += 1;
    *count <= cores
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_added_where_it_lacks_until_the_cores_are_used() {
        let one = uniform_workers(1);
        let mut workers = one.clone();
        assert!(add_worker(&mut workers, &Bottleneck::Stage("decode".into()), 2));
        assert_eq!(workers, LoaderWorkers { decode: 2, ..one.clone() });
        assert!(add_worker(&mut workers, &Bottleneck::Stage("collate".into()), 2));
        assert_eq!(workers, LoaderWorkers { decode: 2, augment: 2, ..one });
        assert!(!add_worker(&mut workers, &Bottleneck::Stage("decode".into()), 2));
    }
}
