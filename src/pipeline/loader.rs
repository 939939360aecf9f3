//! Training topologies, which deliver batches through a bounded channel. With a cache: plan → fetch
//! → crop → augment → collate; from the source files: plan → decode → normalize → crop → augment →
//! collate.

use std::sync::Arc;

use crate::actor::{
    Chain, EarlierSkips, Feed, Limits, RunningTopology, Sink, SkipBudget, Source, Stage, StopLatch,
    TICK, Topology, keep_balanced, threads_for,
};
use crate::augment::AugmentConfig;
use crate::base::Fault;
use crate::buffers::{BatchLayout, BatchMemory, CaseBuffers};
use crate::cache::{CaseStore, PreprocessConfig};
use crate::pipeline::augment::Augment;
use crate::pipeline::cold::{DecodeSample, NormalizeSample};
use crate::pipeline::collate::{Collate, OnSkip};
use crate::pipeline::{
    Annotations, Arrivals, Batch, CaseRecovery, Crop, CropConfig, DrillConfig, Fetch,
    FetchedSample, Footprint, LoaderConfig, Normalize, Plan, Sample, SamplePlanner, observe,
};
use crate::volume::{Dims, Targets};

/// Settings and inputs of a loader.
pub struct LoaderParts {
    /// Batches, memory and threads.
    pub loader: LoaderConfig,
    /// Patch windows.
    pub crop: CropConfig,
    /// Augmentation.
    pub augment: AugmentConfig,
    /// Order of the samples.
    pub plan: Plan,
    /// Position in the plan to start from.
    pub first_sample: u64,
    /// Number of the first batch.
    pub first_batch: u64,
    /// Source of the cases.
    pub cases: CaseSource,
    /// Preprocessing of cases that have to be built.
    pub preprocess: PreprocessConfig,
    /// Cases with a teacher's labels; with a cache only.
    pub annotations: Option<Annotations>,
    /// Callback for every skipped sample.
    pub on_skip: OnSkip,
    /// Skips before `first_sample`.
    pub earlier_skips: EarlierSkips,
    /// Delays of a drill.
    pub drill: DrillConfig,
}

impl LoaderParts {
    /// Loader from the first sample of the plan, with the default settings; a skipped sample is a warning
    /// in the log.
    pub fn new(plan: Plan, cases: CaseSource) -> Self {
        Self {
            loader: LoaderConfig::default(),
            crop: CropConfig::default(),
            augment: AugmentConfig::default(),
            plan,
            first_sample: 0,
            first_batch: 0,
            cases,
            preprocess: PreprocessConfig::default(),
            annotations: None,
            on_skip: Box::new(|skip| {
                tracing::warn!(item = %skip.item, error = %skip.error, "skipped");
            }),
            earlier_skips: EarlierSkips::default(),
            drill: DrillConfig::default(),
        }
    }
}

/// Source of a loader's cases.
pub enum CaseSource {
    /// Mapped case files; a missing one is waited for if it is announced, else built.
    Cache {
        /// Store of the case files.
        store: Arc<CaseStore>,
        /// Cases that are being ingested.
        arrivals: Arrivals,
    },
    /// Source files, decoded again for each sample.
    Files {
        /// Extent of the largest case, in its files or as it is stored.
        largest: Dims,
    },
}

impl CaseSource {
    /// Case files of `store`, without an ingest beside it.
    pub fn from_store(store: Arc<CaseStore>) -> Self {
        Self::Cache { store, arrivals: Arrivals::default() }
    }

    /// Memory that a sample holds of its case under `preprocess`.
    pub const fn footprint(&self, preprocess: &PreprocessConfig) -> Footprint {
        match self {
            Self::Cache { .. } => Footprint::Mapped,
            Self::Files { largest } => Footprint::of_case(*largest, preprocess),
        }
    }
}

/// Names of the actors of all loaders, in order.
pub const ACTORS: [&str; 7] = [
    SamplePlanner::NAME,
    Fetch::NAME,
    DecodeSample::NAME,
    NormalizeSample::NAME,
    Crop::NAME,
    Augment::NAME,
    Collate::NAME,
];

/// Starts the loader; the feed yields batches until it is drained or aborted.
///
/// # Errors
/// If the memory budget does not hold two batches, or a thread cannot be started.
pub fn start_loader(
    parts: LoaderParts,
    stop: &StopLatch,
    runtime: &tokio::runtime::Handle,
) -> Result<(Feed<Batch>, RunningTopology), Fault> {
    let LoaderParts { loader, crop, augment, plan, cases, preprocess, drill, .. } = parts;
    let patch = crop.patch;
    let targets = parts.annotations.as_ref().map_or(Targets::Hard, Annotations::targets);
    let footprint = cases.footprint(&preprocess);
    let is_cold = matches!(cases, CaseSource::Files { .. });
    let memory = augment
        .check_mixing(!is_cold)
        .and_then(|()| loader.plan_memory_for(targets, patch, footprint, &augment));
    let memory = memory.map_err(|problem| Fault::Environment {
        subject: "loader".into(),
        problem: problem.to_string(),
        remedy: "see `gliaflow config show`".into(),
    })?;
    let limits = Limits {
        skip_budget: SkipBudget { share: loader.skip_share, ..SkipBudget::OF_TRAINING },
        ..Limits::new(memory.tickets)
    };
    let planner = SamplePlanner::starting_at(plan.clone(), parts.first_sample);
    let topology =
        Topology::new(observe::TRAINING, limits, stop).with_hooks(observe::topology_hooks());
    let topology = topology.with_subjects(plan.case_count(), parts.earlier_skips);
    let chain = topology.source(drill.delay_source(planner));
    let workers = loader.workers.at_start();
    let mut recovery = CaseRecovery::default();
    let fetched = match cases {
        CaseSource::Cache { store, arrivals } => {
            let fetch = Fetch::new(store, preprocess, stop.clone())
                .waiting_for(arrivals)
                .with_annotations(parts.annotations);
            recovery = CaseRecovery::through(fetch.clone());
            let drill = drill.clone();
            chain.stage(move || drill.delay_stage(fetch.clone()), workers.fetch)
        }
        CaseSource::Files { .. } => {
            let case_buffers = CaseBuffers::for_cases(memory.tickets);
            let decode = DecodeSample::new(case_buffers.clone());
            let normalize = Normalize::new(preprocess, case_buffers.clone());
            let normalize = NormalizeSample::new(normalize, case_buffers);
            let slow = drill.clone();
            let decoded = chain.stage(move || slow.delay_stage(decode.clone()), workers.decode);
            let slow = drill.clone();
            decoded.stage(move || slow.delay_stage(normalize.clone()), workers.normalize)
        }
    };
    let crop = Crop::new(crop, augment.clone()).with_recovery(recovery.clone());
    let layout = BatchLayout { size: loader.batch, dims: patch, targets };
    let kept = memory.batches_with_samples(loader.batch);
    let batch_memory = BatchMemory::new(layout, parts.first_sample, kept);
    let augment = Augment::new(augment.background)
        .with_memory(batch_memory.clone())
        .with_targets(targets)
        .with_recovery(recovery);
    let made = add_patch_stages(fetched, crop, augment, &loader, &drill);
    let collate = Collate::new(layout, batch_memory, plan, parts.first_batch, parts.on_skip);
    let (feed, running) = made.sink(drill.delay_sink(collate), loader.prefetch).start(runtime)?;
    if loader.workers.is_auto() {
        keep_balanced(&running, threads_for(loader.stage_count()), TICK, runtime);
    }
    Ok((feed, running))
}

/// Adds the stages `crop` and `augment`, as two actors or fused into one.
fn add_patch_stages(
    fetched: Chain<FetchedSample>,
    crop: Crop,
    augment: Augment,
    loader: &LoaderConfig,
    drill: &DrillConfig,
) -> Chain<Sample> {
    let workers = loader.workers.at_start();
    let slow = drill.clone();
    let crop = move || slow.delay_stage(crop.clone());
    let slow = drill.clone();
    let augment = move || slow.delay_stage(augment.clone());
    if loader.fused {
        return fetched.stage(move || crop().fuse_with(augment()), workers.augment);
    }
    fetched.stage(crop, workers.crop).stage(augment, workers.augment)
}
