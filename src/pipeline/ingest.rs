//! Ingest topology: files → decode → normalize → publish, with whole cases as items.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::actor::{
    Feed, Limits, Outcome, RunningTopology, Sink, SkipBudget, Source, Stage, StopLatch, Topology,
};
use crate::base::{Fault, core_count};
use crate::brats::CaseFiles;
use crate::buffers::CaseBuffers;
use crate::cache::{CaseStore, PreprocessConfig};
use crate::pipeline::files::CaseFilesSource;
use crate::pipeline::publish::{Publish, PublishedCase};
use crate::pipeline::{Decode, Normalize, observe};

/// Threads per stage of ingest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IngestWorkers {
    /// Decompressing and checking: most of the time.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "threads", "x-default" = "cores"))]
    pub decode: usize,
    /// Encoding and statistics.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "threads", "x-default" = "cores / 2"))]
    pub normalize: usize,
    /// Writing: mostly waits for the disk.
    #[schemars(range(min = 1, max = 1024), extend("x-unit" = "threads"))]
    pub publish: usize,
}

impl Default for IngestWorkers {
    fn default() -> Self {
        let cores = core_count();
        Self { decode: cores, normalize: cores.div_ceil(2), publish: 1 }
    }
}

impl IngestWorkers {
    /// Number of cases that may be in memory at once: one per worker, and two to keep them fed.
    pub const fn ticket_count(&self) -> usize {
        self.decode + self.normalize + self.publish + 2
    }
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
    workers: &IngestWorkers,
    stop: &StopLatch,
    runtime: &tokio::runtime::Handle,
) -> Result<(Feed<IngestOutcome>, RunningTopology), Fault> {
    let limits =
        Limits { skip_budget: SkipBudget::UNLIMITED, ..Limits::new(workers.ticket_count()) };
    let case_buffers = CaseBuffers::for_cases(workers.decode + workers.normalize);
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
