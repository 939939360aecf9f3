//! Background ingest of the cases a run still needs, in the order of the plan, while training
//! already samples those in the cache.

use std::sync::Arc;
use std::thread::JoinHandle;

use crate::actor::{Feed, RunningTopology, StopLatch};
use crate::base::{CaseError, Fault, spawn_named};
use crate::brats::CaseFiles;
use crate::cache::{CaseStore, PreprocessConfig};
use crate::pipeline::Arrivals;
use crate::pipeline::ingest::{self, IngestOutcome, IngestResources};
use crate::volume::CaseId;

/// Callback for every case, in order, after the waiting samples are released.
pub type OnArrival = Box<dyn FnMut(&CaseId, Result<(), &CaseError>) + Send>;

/// Inputs of a background ingest.
pub struct PrefetchIngestParts {
    /// Cases in the order in which they are needed.
    pub cases: Vec<CaseFiles>,
    /// Register of announced cases.
    pub arrivals: Arrivals,
    /// Store of the case files.
    pub store: Arc<CaseStore>,
    /// Preprocessing of the cases.
    pub preprocess: PreprocessConfig,
    /// Threads and memory.
    pub resources: IngestResources,
    /// Callback for every case.
    pub on_arrival: OnArrival,
}

/// Background ingest of the cases a run still needs. Dropping it ends the ingest; the cache keeps
/// its cases.
pub struct PrefetchIngest {
    running: RunningTopology,
    stop: StopLatch,
    thread: Option<JoinHandle<()>>,
}

/// Guard that closes the arrivals however the ingest thread ends: nobody may wait for a case that
/// will not come.
struct CloseOnDrop(Arrivals);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl PrefetchIngest {
    /// Announces the cases and starts to ingest them.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(
        parts: PrefetchIngestParts,
        stop: &StopLatch,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, Fault> {
        let PrefetchIngestParts { cases, arrivals, store, preprocess, resources, on_arrival } =
            parts;
        let ids: Vec<CaseId> = cases.iter().map(|files| files.id.clone()).collect();
        arrivals.announce(ids.iter().cloned());
        let stop = stop.child();
        let (feed, running) =
            ingest::start_ingest(cases, store, &preprocess, &resources, &stop, runtime)?;
        let closing = CloseOnDrop(arrivals);
        let thread = spawn_named("ahead", move || settle_all(&closing.0, ids, feed, on_arrival))?;
        Ok(Self { running, stop, thread: Some(thread) })
    }

    /// Topology of the ingest.
    pub const fn running(&self) -> &RunningTopology {
        &self.running
    }

    fn end_ingest(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop.abort(None);
            // A panic of the caller's hook has closed the arrivals; the run goes on without ingest.
            let _ = thread.join();
        }
    }
}

impl Drop for PrefetchIngest {
    fn drop(&mut self) {
        self.end_ingest();
    }
}

fn settle_all(
    arrivals: &Arrivals,
    ids: Vec<CaseId>,
    mut feed: Feed<IngestOutcome>,
    mut on_arrival: OnArrival,
) {
    for id in ids {
        let Some(outcome) = feed.next_output() else { return };
        let arrived = outcome.map(drop).map_err(|skip| skip.error);
        arrivals.record_outcome(&id, arrived.clone());
        on_arrival(&id, arrived.as_ref().copied());
    }
}
