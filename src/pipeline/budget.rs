//! Settings of the loader, and the number of samples that fit into its memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::actor::threads_for;
use crate::augment::{AugmentConfig, mixing_bytes};
use crate::base::{ConfigError, check_ranges, core_count};
use crate::buffers::PatchBuffer;
use crate::cache::PreprocessConfig;
use crate::pipeline::{Batch, WorkerPlan, cold};
use crate::volume::{Dims, Targets};

const MIB: usize = 1 << 20;

/// Settings of the loader: batches, memory, threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct LoaderConfig {
    /// Samples in a batch.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "samples"))]
    #[default(2)]
    pub batch: usize,
    /// Finished batches that may wait for the trainer.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "batches", "x-decides" = false))]
    #[default(2)]
    pub prefetch: usize,
    /// Memory for samples, batches, and cases on their way into the cache, in MiB: ingest takes what the
    /// loader leaves. Mapped case files are page cache and not counted.
    // The neutral value was the default: fingerprints of runs before it went up stay theirs.
    #[schemars(
        range(min = 1, max = 1 << 30),
        extend("x-unit" = "MiB", "x-decides" = false, "x-neutral" = 1024)
    )]
    #[default(4096)]
    pub memory_mib: usize,
    /// Patches drawn from each case in an epoch.
    #[schemars(range(min = 1, max = 1 << 20), extend("x-unit" = "patches"))]
    #[default(1)]
    pub patches_per_case: u64,
    /// Share of the cases whose samples may be skipped before the run fails, at least three; also a
    /// share of all samples, below which it does not matter of how many cases they are.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1, "x-decides" = false))]
    #[default(0.01)]
    pub skip_share: f64,
    /// Keeps case files in the cache; if false, each sample decodes its case anew.
    #[schemars(extend("x-decides" = false))]
    #[default(true)]
    pub cached: bool,
    /// Runs `crop` and `augment` as one actor: no queue between them, and no disk reads ahead of
    /// the arithmetic.
    #[schemars(extend("x-decides" = false))]
    pub fused: bool,
    /// Threads per stage: counts, or `auto` to adapt them while the loader runs.
    #[schemars(extend("x-decides" = false))]
    pub workers: WorkerPlan,
}

/// Threads per stage of the loader; stages that a path does not have are not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct LoaderWorkers {
    /// Looking cases up, building those that are not in the cache.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "threads"))]
    #[default(1)]
    pub fetch: usize,
    /// Inflating and checking, without a cache.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "threads", "x-default" = "cores"))]
    #[default(core_count())]
    pub decode: usize,
    /// Encoding and statistics, without a cache.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "threads", "x-default" = "cores / 2"))]
    #[default(core_count().div_ceil(2))]
    pub normalize: usize,
    /// Choosing windows and waiting for their pages.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "threads"))]
    #[default(1)]
    pub crop: usize,
    /// Making voxels: where the time goes.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "threads", "x-default" = "cores"))]
    #[default(core_count())]
    pub augment: usize,
}

/// Memory that a sample holds of its case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footprint {
    /// None: the case file is mapped, which is page cache.
    Mapped,
    /// The whole case, at most of this grid, until the patch is rendered.
    InMemory(Dims),
    /// The same, of a case that is resampled from and to at most this grid.
    Resampled(Dims),
}

impl Footprint {
    /// Memory of a case in memory, of at most `largest` before and after `preprocess`.
    pub const fn of_case(largest: Dims, preprocess: &PreprocessConfig) -> Self {
        match preprocess.resampling {
            Some(_) => Self::Resampled(largest),
            None => Self::InMemory(largest),
        }
    }
}

/// Upper bound of the loader's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LoaderMemory {
    /// Samples in flight.
    pub tickets: usize,
    /// Batches waiting, being filled, or being trained on.
    pub batches: usize,
    /// Bytes of samples and batches together.
    pub bytes: usize,
}

impl LoaderMemory {
    /// Batches of `size` whose memory there may be, with those that the samples in flight are made in.
    pub const fn batches_with_samples(&self, size: usize) -> usize {
        self.batches + self.tickets.div_ceil(size)
    }
}

impl LoaderWorkers {
    /// Threads of a stage by name; fused stages use the last one's.
    pub fn of_stage(&mut self, name: &str) -> Option<&mut usize> {
        match name.rsplit('+').next()? {
            "fetch" => Some(&mut self.fetch),
            "decode" => Some(&mut self.decode),
            "normalize" => Some(&mut self.normalize),
            "crop" => Some(&mut self.crop),
            "augment" => Some(&mut self.augment),
            _ => None,
        }
    }

    /// Number of threads between the planner and collate.
    fn thread_count(&self, footprint: Footprint) -> usize {
        let before = match footprint {
            Footprint::Mapped => self.fetch,
            Footprint::InMemory(_) | Footprint::Resampled(_) => self.decode + self.normalize,
        };
        before + self.crop + self.augment
    }
}

impl LoaderConfig {
    /// Number of stages between the planner and collate, whose workers may be scaled.
    pub const fn stage_count(&self) -> usize {
        2 + !self.fused as usize + !self.cached as usize
    }

    /// Memory budget in bytes.
    pub const fn memory_bytes(&self) -> usize {
        self.memory_mib.saturating_mul(MIB)
    }

    /// Plans the number of samples in flight within the memory budget.
    ///
    /// Counted are the batches that the tickets' samples are made in, and a case per ticket where that is
    /// not mapped; `prefetch` waiting batches, one in collate and one in the trainer. Not counted is a
    /// patch for each sample that was skipped a moment ago (`buffers/batch_memory.rs`). More tickets
    /// than keep every worker fed twice over bring nothing, so that is the cap.
    ///
    /// # Errors
    /// If less than two batches' worth remains; says what to change.
    pub fn plan_memory(
        &self,
        patch: Dims,
        footprint: Footprint,
    ) -> Result<LoaderMemory, ConfigError> {
        self.plan_memory_for(Targets::Hard, patch, footprint, &AugmentConfig::none())
    }

    /// Plans the memory of samples with the given targets and augmentation: a worker that mixes cases holds a
    /// donor's part of a patch.
    ///
    /// # Errors
    /// As [`plan_memory`](Self::plan_memory).
    pub fn plan_memory_for(
        &self,
        targets: Targets,
        patch: Dims,
        footprint: Footprint,
        augment: &AugmentConfig,
    ) -> Result<LoaderMemory, ConfigError> {
        check_ranges(self).map_err(|error| error.in_section("loader"))?;
        let workers = self.workers.at_start();
        let LoaderWorkers { decode, normalize, .. } = workers;
        // The number of tickets is fixed, so it is planned for the most workers there may be.
        let threads = match self.workers {
            WorkerPlan::Auto => threads_for(self.stage_count()),
            WorkerPlan::Fixed(_) => workers.thread_count(footprint),
        };
        let (case, in_workers) = match footprint {
            Footprint::Mapped => (0, 0),
            Footprint::InMemory(grid) | Footprint::Resampled(grid) => {
                let case = cold::case_bytes(grid);
                let file = cold::decode_bytes(grid);
                let preparing = match footprint {
                    Footprint::Resampled(_) => case + cold::resampling_bytes(grid, grid),
                    _ => case,
                };
                let in_workers = match self.workers {
                    // Each worker holds one of the two; which one depends on its stage.
                    WorkerPlan::Auto => threads * preparing.max(file),
                    WorkerPlan::Fixed(_) => decode * file + normalize * preparing,
                };
                (case, in_workers)
            }
        };
        let mixing_workers = match self.workers {
            _ if augment.mixing.is_off() => 0,
            WorkerPlan::Auto => threads,
            WorkerPlan::Fixed(_) => workers.augment,
        };
        let in_workers = in_workers + mixing_workers * mixing_bytes(patch);
        let batches = self.prefetch + 2;
        let fixed = batches * Batch::voxel_bytes(self.batch, patch, targets) + in_workers;
        let patch_bytes = PatchBuffer::bytes_for(patch, targets);
        let bytes_with = |tickets: usize| {
            fixed + tickets.next_multiple_of(self.batch) * patch_bytes + tickets * case
        };
        let least = 2 * self.batch;
        let needed = bytes_with(least);
        let budget = self.memory_bytes();
        if needed > budget {
            let problem = format!(
                "too little for patches of {patch} in batches of {}: {} MiB are needed",
                self.batch,
                needed.div_ceil(MIB)
            );
            let way_out = "raise it, or lower loader.batch, loader.prefetch, loader.workers or \
                           crop.patch";
            return Err(ConfigError::new("loader.memory_mib", self.memory_mib, problem, way_out));
        }
        let useful = least.max(2 * threads + self.batch);
        let fitting = (least..=useful).rev().find(|tickets| bytes_with(*tickets) <= budget);
        let tickets = fitting.unwrap_or(least);
        Ok(LoaderMemory { tickets, batches, bytes: bytes_with(tickets) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brats::DEFAULT_MAX_VOXELS;
    use crate::pipeline::ingest;

    const HEAD: Dims = Dims::BRATS;

    fn both() -> [Footprint; 2] {
        [Footprint::Mapped, Footprint::InMemory(HEAD)]
    }

    fn two_cores() -> WorkerPlan {
        let workers = LoaderWorkers { fetch: 1, decode: 2, normalize: 1, crop: 1, augment: 2 };
        WorkerPlan::Fixed(workers)
    }

    #[test]
    fn the_budget_bounds_the_bytes() {
        let config = LoaderConfig { workers: two_cores(), ..LoaderConfig::default() };
        for footprint in both() {
            let memory = config.plan_memory(Dims::cube(128), footprint).expect("1 GiB is enough");
            assert!(memory.bytes <= config.memory_mib * MIB, "{memory:?}");
            assert!(memory.tickets >= 2 * config.batch);
        }
    }

    #[test]
    fn a_budget_that_is_too_small_says_what_would_do() {
        let config =
            LoaderConfig { memory_mib: 100, workers: two_cores(), ..LoaderConfig::default() };
        for footprint in both() {
            let problem =
                config.plan_memory(Dims::cube(128), footprint).expect_err("too small").to_string();
            let needed: usize = problem
                .split_whitespace()
                .zip(problem.split_whitespace().skip(1))
                .find(|(_, unit)| *unit == "MiB")
                .and_then(|(number, _)| number.parse().ok())
                .expect("the text names the size");
            let enough = LoaderConfig { memory_mib: needed, ..config.clone() };
            assert!(enough.plan_memory(Dims::cube(128), footprint).is_ok());
            let less = LoaderConfig { memory_mib: needed - 1, ..config.clone() };
            assert!(less.plan_memory(Dims::cube(128), footprint).is_err());
        }
    }

    #[test]
    fn the_largest_volume_that_is_read_fits_the_default_budget() {
        let most = ingest::max_voxels(LoaderConfig::default().memory_bytes());
        assert_eq!(most, DEFAULT_MAX_VOXELS);
        assert!(most >= Dims::cube(512).voxel_count());
    }

    #[test]
    fn soft_targets_cost_two_bytes_more_a_voxel() {
        let config = LoaderConfig { workers: two_cores(), ..LoaderConfig::default() };
        let patch = Dims::cube(128);
        let none = AugmentConfig::none();
        let memory =
            |targets| config.plan_memory_for(targets, patch, Footprint::Mapped, &none).unwrap();
        let [hard, soft] = [Targets::Hard, Targets::Soft].map(memory);
        assert_eq!((hard.tickets, hard.batches), (soft.tickets, soft.batches));
        let patches = hard.batches_with_samples(config.batch) * config.batch;
        assert_eq!(soft.bytes - hard.bytes, 2 * patches * patch.voxel_count());
    }

    #[test]
    fn mixing_costs_a_part_of_a_patch_for_each_worker_that_renders() {
        let config = LoaderConfig { workers: two_cores(), ..LoaderConfig::default() };
        let mut augment = AugmentConfig::none();
        let patch = Dims::cube(128);
        let bytes = |augment: &AugmentConfig| {
            let planned = config.plan_memory_for(Targets::Hard, patch, Footprint::Mapped, augment);
            planned.unwrap().bytes
        };
        let without = bytes(&augment);
        augment.mixing.share = 0.5;
        assert_eq!(bytes(&augment) - without, 2 * mixing_bytes(patch));
    }

    #[test]
    fn a_case_in_memory_costs_tickets_and_a_mapped_one_does_not() {
        let config = LoaderConfig { workers: two_cores(), ..LoaderConfig::default() };
        let [mapped, whole] = both().map(|from| config.plan_memory(Dims::cube(128), from).unwrap());
        assert_eq!(mapped.tickets, 2 * 4 + 2, "as many as four threads and a batch can use");
        let with = |memory_mib| {
            let less = LoaderConfig { memory_mib, ..config.clone() };
            less.plan_memory(Dims::cube(128), Footprint::InMemory(HEAD)).unwrap().tickets
        };
        let enough = whole.bytes / MIB + 1;
        assert_eq!(with(enough - 70), whole.tickets - 1, "70 MiB less are a case");
        assert_eq!(
            with(enough - 100),
            whole.tickets - 2,
            "100 MiB less, two cases: half a batch is none"
        );
    }
}
