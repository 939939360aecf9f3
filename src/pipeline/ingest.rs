//! Ingest topology: files → decode → normalize → publish, with whole cases as items.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::actor::{
    Feed, Limits, Outcome, RunningTopology, Sink, SkipBudget, Source, Stage, StopLatch, Topology,
};
use crate::base::{Fault, core_count};
use crate::brats::CaseFiles;
use crate::buffers::CaseBuffers;
use crate::cache::{CaseStore, PreprocessConfig};
use crate::pipeline::cold::{case_bytes, ingest_bytes, resampling_bytes};
use crate::pipeline::files::CaseFilesSource;
use crate::pipeline::publish::{Publish, PublishedCase};
use crate::pipeline::{Decode, Normalize, observe};
use crate::volume::Dims;

/// Threads per stage of ingest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct IngestWorkers {
    /// Decompressing and checking: most of the time.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "threads", "x-default" = "cores"))]
    #[default(core_count())]
    pub decode: usize,
    /// Encoding and statistics.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "threads", "x-default" = "cores / 2"))]
    #[default(core_count().div_ceil(2))]
    pub normalize: usize,
    /// Writing: mostly waits for the disk.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "threads"))]
    #[default(1)]
    pub publish: usize,
}

impl IngestWorkers {
    /// Number of cases that may be in memory at once: one per worker, and two to keep them fed.
    pub const fn ticket_count(&self) -> usize {
        self.decode + self.normalize + self.publish + 2
    }
}

/// Threads and memory of an ingest.
#[derive(Debug, Clone)]
pub struct IngestResources {
    /// Threads per stage.
    pub workers: IngestWorkers,
    /// Memory for the cases under way; one is always let in.
    pub memory_bytes: usize,
}

impl IngestResources {
    /// Number of cases under way at once: what the threads can use, and of cases as large as the
    /// largest of `cases` what the memory holds. Headers that cannot be read are passed over.
    fn ticket_count(&self, cases: &[CaseFiles], preprocess: &PreprocessConfig) -> usize {
        let bytes_of = |files: &CaseFiles| {
            let grid = files.read_grid().ok()?;
            let dims = grid.canonical_dims();
            // A stack is inflated whole before it is taken apart.
            let times = if files.stack.is_some() { 2 } else { 1 };
            Some(match preprocess.stored_grid(dims, grid.canonical_spacing_mm()).0 {
                stored if stored == dims => times * ingest_bytes(dims),
                stored => {
                    let source = times * case_bytes(dims);
                    source + resampling_bytes(dims, stored) + case_bytes(stored)
                }
            })
        };
        let largest = cases.iter().filter_map(bytes_of).max().unwrap_or(1).max(1);
        (self.memory_bytes / largest).clamp(1, self.workers.ticket_count())
    }
}

/// Voxels of the largest case that these bytes of memory hold on its way into the cache.
pub const fn max_voxels(memory_bytes: usize) -> usize {
    memory_bytes / ingest_bytes(Dims([1, 1, 1]))
}

/// Voxels of the largest grid that these bytes of memory hold a case on that is resampled from one as
/// large.
pub const fn max_resampled_voxels(memory_bytes: usize) -> usize {
    let voxel = Dims([1, 1, 1]);
    memory_bytes / (ingest_bytes(voxel) + resampling_bytes(voxel, voxel))
}

/// Outcome of one case: in the cache, or skipped.
pub type IngestOutcome = Outcome<PublishedCase>;

/// Sink that delivers every outcome.
struct IngestSink;

impl Sink for IngestSink {
    const NAME: &'static str = "tally";
    type In = PublishedCase;
    type Out = IngestOutcome;

    fn accept_outcome(&mut self, outcome: Outcome<PublishedCase>) -> Option<IngestOutcome> {
        Some(outcome)
    }
}

/// Names of the actors, source first.
pub const ACTORS: [&str; 5] =
    [CaseFilesSource::NAME, Decode::NAME, Normalize::NAME, Publish::NAME, IngestSink::NAME];

/// Starts ingest of `cases` into `store`; the feed yields one [`IngestOutcome`] a case, in order.
///
/// Invalid cases are all reported and never end the run: the caller decides.
///
/// # Errors
/// If a thread cannot be started.
pub fn start_ingest(
    cases: Vec<CaseFiles>,
    store: Arc<CaseStore>,
    preprocess: &PreprocessConfig,
    resources: &IngestResources,
    stop: &StopLatch,
    runtime: &tokio::runtime::Handle,
) -> Result<(Feed<IngestOutcome>, RunningTopology), Fault> {
    let workers = &resources.workers;
    let tickets = resources.ticket_count(&cases, preprocess);
    let limits = Limits { skip_budget: SkipBudget::UNLIMITED, ..Limits::new(tickets) };
    let case_buffers = CaseBuffers::for_cases(tickets.min(workers.decode + workers.normalize));
    let decode = Decode::new(case_buffers.clone());
    let normalize = Normalize::new(preprocess.clone(), case_buffers.clone());
    let publish = Publish::new(store, case_buffers, stop.clone());
    Topology::new(observe::INGEST, limits, stop)
        .with_hooks(observe::topology_hooks())
        .source(CaseFilesSource::new(cases))
        .stage(move || decode.clone(), workers.decode)
        .stage(move || normalize.clone(), workers.normalize)
        .stage(move || publish.clone(), workers.publish)
        .sink(IngestSink, 1)
        .start(runtime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brats::discover_cases;
    use crate::brats::phantom::{PhantomConfig, cohort};
    use crate::resampling::{Interpolation, Resampling};

    #[test]
    fn as_many_cases_are_under_way_as_the_memory_holds_of_the_largest_and_one_always() {
        let folder = tempfile::tempdir().unwrap();
        for (index, side) in [(0, 24), (1, 32)] {
            let config = PhantomConfig { dims: Dims::cube(side), seed: 1 };
            // A cohort of one shape each, in folders of their own.
            let own = folder.path().join(side.to_string());
            cohort::write_case(&own, &config, index).unwrap();
        }
        let cases = discover_cases(folder.path(), None).unwrap().cases;
        let workers = IngestWorkers { decode: 3, normalize: 2, publish: 1 };
        let mut preprocess = PreprocessConfig::default();
        let tickets_of = |memory_bytes, preprocess: &PreprocessConfig| {
            IngestResources { workers: workers.clone(), memory_bytes }
                .ticket_count(&cases, preprocess)
        };
        let tickets = |memory_bytes| tickets_of(memory_bytes, &PreprocessConfig::default());
        let largest = ingest_bytes(Dims::cube(32));
        assert_eq!([tickets(0), tickets(largest), tickets(3 * largest - 1)], [1, 1, 2]);
        assert_eq!(tickets(usize::MAX), workers.ticket_count());
        assert_eq!(max_voxels(largest), 32 * 32 * 32);
        // Twice as fine along each axis: its source, both of one image, and the finer case twice.
        let spacing_mm = [240.0 / 64.0, 240.0 / 64.0, 155.0 / 64.0];
        let interpolation = Interpolation::Linear;
        let resampling = Resampling { spacing_mm, interpolation, max_voxels: usize::MAX };
        preprocess.resampling = Some(resampling);
        let resampled = 32 * 32 * 32 * (9 + 5) + 64 * 64 * 64 * (5 + 9 + 9);
        let found = [2 * resampled - 1, 2 * resampled].map(|most| tickets_of(most, &preprocess));
        assert_eq!(found, [1, 2]);
        assert_eq!(max_resampled_voxels(37 * 7), 7);
    }
}
