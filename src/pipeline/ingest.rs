//! Ingest topology: files → decode → normalize → publish, with whole cases as items.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::actor::feed::{Feed, Running};
use crate::actor::stage::{Outcome, Sink, Skip, Source, Stage};
use crate::actor::stop::StopLatch;
use crate::actor::ticket::SkipBudget;
use crate::actor::topology::{Limits, Topology};
use crate::base::error::Fault;
use crate::brats::dataset::CaseFiles;
use crate::buffers::case::CaseShelf;
use crate::cache::preprocess::PreprocessConfig;
use crate::cache::store::CaseStore;
use crate::pipeline::decode::Decode;
use crate::pipeline::files::Files;
use crate::pipeline::normalize::Normalize;
use crate::pipeline::observe;
use crate::pipeline::publish::{Publish, PublishedCase};

/// Threads per stage of ingest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngestWorkers {
    /// Decompressing and checking: most of the time.
    pub decode: usize,
    /// Encoding and statistics.
    pub normalize: usize,
    /// Writing: mostly waits for the disk.
    pub publish: usize,
}

impl Default for IngestWorkers {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { decode: cores, normalize: cores.div_ceil(2), publish: 1 }
    }
}

impl IngestWorkers {
    /// Number of cases that may be in memory at once: one per worker, and two to keep them fed.
    pub const fn tickets(&self) -> usize {
        self.decode + self.normalize + self.publish + 2
    }
}

/// Outcome of one case.
#[derive(Debug, Clone)]
pub enum Ingested {
    /// Case that is in the cache.
    Published(PublishedCase),
    /// Case that failed, with the cause.
    Skipped(Skip),
}

/// Sink that delivers every outcome.
struct Tally;

impl Sink for Tally {
    const NAME: &'static str = "tally";
    type In = PublishedCase;
    type Out = Ingested;

    fn accept(&mut self, outcome: Outcome<PublishedCase>) -> Option<Ingested> {
        Some(match outcome {
            Outcome::Ready(published) => Ingested::Published(published),
            Outcome::Skipped(skip) => Ingested::Skipped(skip),
        })
    }
}

/// Names of the actors, source first.
pub const ACTORS: [&str; 5] =
    [Files::NAME, Decode::NAME, Normalize::NAME, Publish::NAME, Tally::NAME];

/// Starts ingest of `cases` into `store`; the feed yields one [`IngestOutcome`] a case, in order.
///
/// Invalid cases are all reported and never end the run: the caller decides.
///
/// # Errors
/// If a thread cannot be started.
pub fn start(
    cases: Vec<CaseFiles>,
    store: Arc<CaseStore>,
    preprocess: &PreprocessConfig,
    workers: &IngestWorkers,
    stop: &StopLatch,
    runtime: &tokio::runtime::Handle,
) -> Result<(Feed<Ingested>, Running), Fault> {
    let limits = Limits { skip_budget: SkipBudget::UNLIMITED, ..Limits::new(workers.tickets()) };
    let shelf = CaseShelf::for_cases(workers.decode + workers.normalize);
    let decode = Decode::new(shelf.clone());
    let normalize = Normalize::new(preprocess.clone(), shelf.clone());
    let publish = Publish::new(store, shelf, stop.clone());
    Topology::new(observe::INGEST, limits, stop)
        .hooks(observe::hooks())
        .source(Files::new(cases))
        .stage(move || decode.clone(), workers.decode)
        .stage(move || normalize.clone(), workers.normalize)
        .stage(move || publish.clone(), workers.publish)
        .sink(Tally, 1)
        .start(runtime)
}
