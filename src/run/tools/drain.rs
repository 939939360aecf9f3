//! Loader benchmark with an emulated trainer: cost, throughput, and the stage that is the
//! bottleneck. Nothing is trained, so it runs on any machine.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::actor::{Feed, Observation, RunningTopology, StopState, TopologySnapshot};
use crate::augment::{AugmentConfig, Kernel};
use crate::base::core_count;
use crate::brats::discover_cases;
use crate::cache::PreprocessConfig;
use crate::pipeline::loader::{self, LoaderParts};
use crate::pipeline::{Batch, Bottleneck, CpuUsage, CropConfig, LoaderConfig, Plan, diagnose_run};
use crate::run::{Failure, LoaderCases, Session, prepare, prepare_loader_cases};
use crate::run_folder::ExcludedCase;
use crate::telemetry::{PeakMemoryMonitor, process};
use crate::volume::{LabelScheme, Targets};

/// Dataset, loader and length of a drain.
#[derive(Debug, Clone)]
pub struct DrainConfig {
    /// A dataset in one of the BraTS layouts.
    pub data: PathBuf,
    /// Meaning of its label values, where it is not to be told from the file names.
    pub labels: Option<LabelScheme>,
    /// The cache's root; not touched where the loader has none.
    pub cache: PathBuf,
    /// Samples, memory, threads.
    pub loader: LoaderConfig,
    /// Patches.
    pub crop: CropConfig,
    /// Augmentation of patches.
    pub augment: AugmentConfig,
    /// Preprocessing of cases.
    pub preprocess: PreprocessConfig,
    /// Seed of the plan.
    pub seed: u64,
    /// Batches that are measured.
    pub batches: u64,
    /// Batches before them that are not.
    pub warm_up: u64,
    /// Time that the emulated trainer takes for a batch, without using the processor.
    pub step: Duration,
}

/// Work and waiting of one stage during the measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageReport {
    /// The stage.
    pub name: &'static str,
    /// Threads.
    pub workers: usize,
    /// Items worked on.
    pub items: u64,
    /// Time working, over all threads.
    pub busy_seconds: f64,
    /// Time waiting for input.
    pub starved_seconds: f64,
    /// Time waiting for room.
    pub blocked_seconds: f64,
}

/// Result of a drain. Times and samples are those after the warm-up; sample counts are of all.
#[derive(Debug, Clone, Serialize)]
pub struct DrainReport {
    /// True if a stop was requested before all batches were measured.
    pub interrupted: bool,
    /// Samples delivered.
    pub samples: u64,
    /// Wall time.
    pub seconds: f64,
    /// Samples per wall second.
    pub samples_per_second: f64,
    /// CPU time of the whole process per sample; absent where the platform does not tell.
    pub cpu_seconds_per_sample: Option<f64>,
    /// The most heap and stacks at once, over the whole drain; absent likewise.
    pub peak_anonymous_bytes: Option<u64>,
    /// Case files in the address space: page cache, not memory of the process.
    pub mapped_bytes: u64,
    /// Share of the time that the trainer waited for a batch.
    pub starved_ratio: f64,
    /// Share of the time that the emulated steps make up; absent without them.
    pub accelerator_utilization: Option<f64>,
    /// Bottleneck.
    pub bottleneck: Bottleneck,
    /// Explanation of the bottleneck, and what to change.
    pub verdict: String,
    /// Samples named.
    pub issued: u64,
    /// Samples that reached the trainer.
    pub delivered: u64,
    /// Samples that could not be made.
    pub skipped: u64,
    /// Source first.
    pub stages: Vec<StageReport>,
    /// Samples that may exist at once.
    pub tickets: usize,
    /// Kernel of the augmentation.
    pub kernel: &'static str,
    /// Cases that could not be used.
    pub excluded: Vec<ExcludedCase>,
}

/// Finds the cases, and ingests them if the loader has a cache.
///
/// # Errors
/// If no case is usable, or ingest is stopped or fails.
pub fn prepare_dataset(config: &DrainConfig, session: &Session) -> Result<LoaderCases, Failure> {
    let found = discover_cases(&config.data, config.labels)?;
    let cache = config.loader.cached.then_some(config.cache.as_path());
    let memory_bytes = config.loader.memory_bytes();
    prepare_loader_cases(found, cache, &config.preprocess, memory_bytes, session)
}

/// Drains `config.warm_up + config.batches` batches.
///
/// # Errors
/// If the loader cannot be started or fails, or the session is stopped.
pub fn drain_loader(
    config: &DrainConfig,
    prepared: &LoaderCases,
    session: &Session,
) -> Result<DrainReport, Failure> {
    let cases = prepared.case_source();
    let loader = &config.loader;
    let footprint = cases.footprint(&config.preprocess);
    let memory =
        loader.plan_memory_for(Targets::Hard, config.crop.patch, footprint, &config.augment)?;
    let plan = Plan::new(prepared.cohort.clone(), config.seed, loader.patches_per_case)
        .with_donors(prepared.cohort.len(), config.augment.mixing.share);
    let parts = LoaderParts {
        loader: loader.clone(),
        crop: config.crop.clone(),
        augment: config.augment.clone(),
        preprocess: config.preprocess.clone(),
        ..LoaderParts::new(plan, cases)
    };
    let watch = PeakMemoryMonitor::start();
    let stop = session.stop.child();
    let (mut feed, running) = loader::start_loader(parts, &stop, &session.runtime)?;
    let shown = session.board.watch_topology(&running);
    let span = measure_batches(config, &mut feed, &running, session);
    // What is under way is delivered, so that the accounts can be closed.
    stop.drain();
    while feed.next_output().is_some() {}
    drop((feed, shown));
    let ledger = running.join_blocking()?;
    let peak_anonymous_bytes = watch.finish_peak_bytes();
    let Some(span) = span else {
        prepare::fail_if_stopped(&session.stop, "nothing was measured")?;
        return Err(Failure::Usage("the loader ended before all was measured; `gliaflow inspect` says what is wrong with the cases".into()));
    };
    let samples = span.samples;
    let seconds = span.seconds;
    let TopologySnapshot { actors, feed } = &span.topology;
    let cores = core_count();
    let MeasuredInterval { cpu_seconds, waiting_seconds, .. } = span;
    let verdict = diagnose_run(actors, feed, &CpuUsage { cores, cpu_seconds, waiting_seconds });
    let steps = config.step.as_secs_f64() * span.batches as f64;
    Ok(DrainReport {
        interrupted: span.batches < config.batches,
        samples,
        seconds,
        samples_per_second: samples as f64 / seconds,
        cpu_seconds_per_sample: span.cpu_seconds.map(|cpu| cpu / samples as f64),
        peak_anonymous_bytes,
        mapped_bytes: prepared.mapped_bytes(),
        starved_ratio: feed.starved_seconds / seconds,
        // The first step may be short by as much as the last one ahead of it was late.
        accelerator_utilization: (!config.step.is_zero()).then(|| (steps / seconds).min(1.0)),
        bottleneck: verdict.bottleneck,
        verdict: verdict.sentence,
        issued: ledger.issued,
        delivered: ledger.delivered,
        skipped: ledger.skipped,
        stages: span.stage_reports(),
        tickets: memory.tickets,
        kernel: Kernel::fastest_available().name(),
        excluded: prepared.excluded.clone(),
    })
}

/// Difference of two snapshots.
struct MeasuredInterval {
    batches: u64,
    samples: u64,
    seconds: f64,
    cpu_seconds: Option<f64>,
    /// Time in which threads waited for a core.
    waiting_seconds: Option<f64>,
    topology: TopologySnapshot,
}

impl MeasuredInterval {
    fn stage_reports(&self) -> Vec<StageReport> {
        let report = |seen: &Observation| StageReport {
            name: seen.name,
            workers: seen.workers,
            items: seen.items,
            busy_seconds: seen.busy_seconds,
            starved_seconds: seen.starved_seconds,
            blocked_seconds: seen.blocked_seconds,
        };
        self.topology.actors.iter().map(report).collect()
    }
}

/// Emulated trainer, which waits without using a core, as one whose GPU works does.
struct EmulatedTrainer {
    step: Duration,
    /// Lateness of the system's timer so far: the next step is that much shorter.
    late: Duration,
}

impl EmulatedTrainer {
    fn wait_one_step(&mut self) {
        let due = self.step.saturating_sub(self.late);
        let began = Instant::now();
        thread::sleep(due);
        self.late = self.late.saturating_sub(self.step) + began.elapsed().saturating_sub(due);
    }
}

/// Takes and measures batches as a trainer does; `None` if the loader ended before the last, or a stop was
/// requested before the first that is measured.
fn measure_batches(
    config: &DrainConfig,
    feed: &mut Feed<Batch>,
    running: &RunningTopology,
    session: &Session,
) -> Option<MeasuredInterval> {
    let observer = running.observer();
    let total = config.warm_up + config.batches;
    let task = session.progress.begin_task("drain", "batches", 0..total);
    let look = || {
        let usage = [process::cpu_seconds(), process::waiting_seconds()];
        (Instant::now(), usage, observer.take_snapshot())
    };
    let mut from = look();
    let [mut batches, mut samples] = [0; 2];
    let mut trainer = EmulatedTrainer { step: config.step, late: Duration::ZERO };
    for number in 0..total {
        let batch = match feed.next_output() {
            Some(batch) => batch,
            // What was measured until a stop on request is worth its figures.
            None if batches > 0 && session.stop.state() == StopState::Draining => break,
            None => return None,
        };
        if number >= config.warm_up {
            (batches, samples) = (batches + 1, samples + batch.size() as u64);
        }
        drop(batch);
        trainer.wait_one_step();
        task.advance_to(number + 1, "");
        if number + 1 == config.warm_up {
            from = look();
        }
    }
    let (began, [cpu_before, waiting_before], before) = from;
    let (ended, [cpu_after, waiting_after], after) = look();
    let since = |after: Option<f64>, before: Option<f64>| Some(after? - before?);
    Some(MeasuredInterval {
        batches,
        samples,
        seconds: (ended - began).as_secs_f64(),
        cpu_seconds: since(cpu_after, cpu_before),
        waiting_seconds: since(waiting_after, waiting_before),
        topology: after.since(&before),
    })
}
