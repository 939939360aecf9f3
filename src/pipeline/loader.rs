//! The training topology: plan → fetch → crop → collate, into a bounded channel of batches.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::actor::feed::{Feed, Running};
use crate::actor::foreman::{TICK, keep_balanced, threads_for};
use crate::actor::stage::{Sink, Source, Stage};
use crate::actor::stop::StopLatch;
use crate::actor::ticket::SkipBudget;
use crate::actor::topology::{Limits, Topology};
use crate::base::error::Fault;
use crate::cache::preprocess::PreprocessConfig;
use crate::cache::store::CaseStore;
use crate::pipeline::collate::{Collate, OnSkip};
use crate::pipeline::crop::{Crop, CropConfig};
use crate::pipeline::fetch::Fetch;
use crate::pipeline::observe;
use crate::pipeline::plan::{Plan, Planner};
use crate::pipeline::recycle::Recycler;
use crate::pipeline::workers::WorkerPlan;
use crate::volume::grid::Dims;
use crate::volume::sample::{Batch, PatchBuffer};

const MIB: usize = 1 << 20;

/// How samples are made and how much memory they may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoaderConfig {
    /// Samples in a batch.
    pub batch: usize,
    /// Finished batches that may wait for the trainer.
    pub prefetch: usize,
    /// Memory for samples and batches, in MiB. Mapped case files are page cache and not counted.
    pub memory_mib: usize,
    /// Patches drawn from each case in an epoch.
    pub patches_per_case: u64,
    /// Share of samples that may be skipped before the run is called a failure.
    pub skip_share: f64,
    /// Threads per stage: counts, or `auto` to move them while the loader runs.
    pub workers: WorkerPlan,
}

impl Default for LoaderConfig {
    fn default() -> Self {
        Self {
            batch: 2,
            prefetch: 2,
            memory_mib: 1024,
            patches_per_case: 1,
            skip_share: 0.01,
            workers: WorkerPlan::default(),
        }
    }
}

/// Threads per stage of the loader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoaderWorkers {
    /// Looking cases up, building those that are not in the cache.
    pub fetch: usize,
    /// Cutting and normalising patches.
    pub crop: usize,
}

impl Default for LoaderWorkers {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { fetch: 1, crop: cores.div_ceil(2) }
    }
}

impl LoaderConfig {
    /// How many samples may exist at once within the memory budget.
    ///
    /// Counted against it: a patch buffer per ticket, `prefetch` waiting batches, one in collate's
    /// hands and one in the trainer's. More tickets than keep every worker fed twice over bring
    /// nothing, so that is the cap.
    ///
    /// # Errors
    /// The text of what does not fit and what to change, if less than two batches' worth remains.
    pub fn tickets(&self, patch: Dims) -> Result<usize, String> {
        if self.batch == 0 || self.prefetch == 0 || self.patches_per_case == 0 {
            return Err("loader.batch, prefetch and patches_per_case must be at least 1".into());
        }
        let workers = self.workers.at_start();
        if workers.fetch == 0 || workers.crop == 0 {
            return Err("loader.workers: every stage needs at least one".into());
        }
        let batches = (self.prefetch + 2) * Batch::bytes(self.batch, patch);
        let least = 2 * self.batch;
        let needed = batches + least * PatchBuffer::bytes(patch);
        let budget = self.memory_mib * MIB;
        if needed > budget {
            return Err(format!(
                "loader.memory_mib = {} is too little for patches of {patch} in batches of {}: \
                 {} MiB are needed; raise it, or lower loader.batch, loader.prefetch or crop.patch",
                self.memory_mib,
                self.batch,
                needed.div_ceil(MIB)
            ));
        }
        let affordable = (budget - batches) / PatchBuffer::bytes(patch);
        // Tickets stay what they are when workers move, so they are counted for all that may come.
        let threads = match self.workers {
            WorkerPlan::Auto => threads_for(STAGES),
            WorkerPlan::Fixed(_) => workers.fetch + workers.crop,
        };
        let useful = least.max(2 * threads + self.batch);
        Ok(affordable.min(useful))
    }
}

/// Everything a loader is made from.
pub struct LoaderParts {
    /// Samples and memory.
    pub loader: LoaderConfig,
    /// Windows.
    pub crop: CropConfig,
    /// The order.
    pub plan: Plan,
    /// Position in the plan to start from.
    pub first_sample: u64,
    /// Number of the first batch.
    pub first_batch: u64,
    /// Where case files are.
    pub store: Arc<CaseStore>,
    /// How missing ones are built.
    pub preprocess: PreprocessConfig,
    /// Told of every skipped sample.
    pub on_skip: OnSkip,
}

/// Stages between the planner and collate, whose workers may move.
const STAGES: usize = ACTORS.len() - 2;

/// The actors of this topology, source first.
pub const ACTORS: [&str; 4] = [Planner::NAME, Fetch::NAME, Crop::NAME, Collate::NAME];

/// Starts the loader; the feed yields batches until it is drained or aborted.
///
/// # Errors
/// If the memory budget does not hold two batches, or a thread cannot be started.
pub fn start(
    parts: LoaderParts,
    stop: &StopLatch,
    runtime: &tokio::runtime::Handle,
) -> Result<(Feed<Batch>, Running), Fault> {
    start_with(parts, Recycler::default(), stop, runtime)
}

/// The same with the patch buffers of `recycler`, which may have been used by a loader before.
///
/// # Errors
/// See [`start`].
pub fn start_with(
    parts: LoaderParts,
    recycler: Recycler,
    stop: &StopLatch,
    runtime: &tokio::runtime::Handle,
) -> Result<(Feed<Batch>, Running), Fault> {
    let LoaderParts { loader, crop, plan, first_sample, first_batch, store, preprocess, on_skip } =
        parts;
    let tickets = loader.tickets(crop.patch).map_err(|problem| Fault::Environment {
        subject: "loader".into(),
        problem,
        remedy: "see `gliaflow config show`".into(),
    })?;
    let limits = Limits {
        skip_budget: SkipBudget { share: loader.skip_share, at_least: 3 },
        ..Limits::new(tickets)
    };
    let fetch = Fetch::new(store, preprocess, stop.clone());
    let patch = crop.patch;
    let shelf = recycler.clone();
    let workers = loader.workers.at_start();
    let collate = Collate::new(loader.batch, patch, plan.clone(), first_batch, recycler, on_skip);
    let (feed, running) = Topology::new("train", limits, stop)
        .hooks(observe::hooks())
        .source(Planner::starting_at(plan, first_sample))
        .stage(move || fetch.clone(), workers.fetch)
        .stage(move || Crop::new(crop.clone(), shelf.clone()), workers.crop)
        .sink(collate, loader.prefetch)
        .start(runtime)?;
    if loader.workers.is_auto() {
        keep_balanced(&running, threads_for(STAGES), TICK, runtime);
    }
    Ok((feed, running))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_bounds_the_tickets() {
        let config = LoaderConfig::default();
        let patch = Dims::cube(128);
        let tickets = config.tickets(patch).expect("1 GiB holds two batches of 128^3");
        let batches = (config.prefetch + 2) * Batch::bytes(config.batch, patch);
        assert!(tickets * PatchBuffer::bytes(patch) + batches <= config.memory_mib * MIB);
        assert!(tickets >= 2 * config.batch);
    }

    #[test]
    fn a_budget_that_is_too_small_says_what_would_do() {
        let config = LoaderConfig { memory_mib: 100, ..LoaderConfig::default() };
        let problem = config.tickets(Dims::cube(128)).expect_err("too small");
        let needed: usize = problem
            .split_whitespace()
            .zip(problem.split_whitespace().skip(1))
            .find(|(_, unit)| *unit == "MiB")
            .and_then(|(number, _)| number.parse().ok())
            .expect("the text names the size");
        let enough = LoaderConfig { memory_mib: needed, ..LoaderConfig::default() };
        assert!(enough.tickets(Dims::cube(128)).is_ok());
    }
}
