//! Background ingest of the cases a run still needs, in the order of the plan, while training
//! already samples those in the cache.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::actor::feed::{Feed, Running};
use crate::actor::stop::StopLatch;
use crate::base::error::{CaseError, Fault};
use crate::brats::dataset::CaseFiles;
use crate::cache::preprocess::PreprocessConfig;
use crate::cache::store::CaseStore;
use crate::pipeline::arrivals::Arrivals;
use crate::pipeline::ingest::{self, IngestWorkers, Ingested};
use crate::volume::case::CaseId;

/// Callback for every case, in order, after the waiting samples are released.
pub type OnArrival = Box<dyn FnMut(&CaseId, Result<(), &CaseError>) + Send>;

/// Inputs of a background ingest.
pub struct AheadParts {
    /// Cases in the order in which they are needed.
    pub cases: Vec<CaseFiles>,
    /// Register of announced cases.
    pub arrivals: Arrivals,
    /// Store of the case files.
    pub store: Arc<CaseStore>,
    /// Preprocessing of the cases.
    pub preprocess: PreprocessConfig,
    /// Threads per stage.
    pub workers: IngestWorkers,
    /// Callback for every case.
    pub on_arrival: OnArrival,
}

/// Background ingest of the cases a run still needs. Dropping it ends the ingest; the cache keeps
/// its cases.
pub struct Ahead {
    arrivals: Arrivals,
    running: Running,
    stop: StopLatch,
    thread: Option<JoinHandle<()>>,
}

/// Guard that closes the arrivals however the ingest thread ends: nobody may wait for a case that
/// will not come.
struct Closing(Arrivals);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Ahead {
    /// Announces the cases and starts to ingest them.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(
        parts: AheadParts,
        stop: &StopLatch,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Self, Fault> {
        let AheadParts { cases, arrivals, store, preprocess, workers, on_arrival } = parts;
        let ids: Vec<CaseId> = cases.iter().map(|files| files.id.clone()).collect();
        arrivals.announce(ids.iter().cloned());
        let stop = stop.child();
        let (feed, running) = ingest::start(cases, store, &preprocess, &workers, &stop, runtime)?;
        let closing = Closing(arrivals.clone());
        let settle = move || settle_all(&closing.0, ids, feed, on_arrival);
        let thread =
            thread::Builder::new().name("ahead".into()).spawn(settle).map_err(|error| {
                Fault::Environment {
                    subject: "thread ahead".into(),
                    problem: format!("cannot be started: {error}"),
                    remedy: "raise the limit on threads (ulimit -u)".into(),
                }
            })?;
        Ok(Self { arrivals, running, stop, thread: Some(thread) })
    }

    /// Announced cases.
    pub fn arrivals(&self) -> Arrivals {
        self.arrivals.clone()
    }

    /// Topology of the ingest.
    pub const fn running(&self) -> &Running {
        &self.running
    }

    /// Aborts the ingest.
    fn end(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.stop.abort(None);
            // A panic of the caller's hook has closed the arrivals; the run goes on without ingest.
            let _ = thread.join();
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.end();
    }
}

fn settle_all(
    arrivals: &Arrivals,
    ids: Vec<CaseId>,
    mut feed: Feed<Ingested>,
    mut on_arrival: OnArrival,
) {
    for id in ids {
        let Some(outcome) = feed.take() else { return };
        match outcome {
            Ingested::Published(_) => {
                arrivals.settle(&id, Ok(()));
                on_arrival(&id, Ok(()));
            }
            Ingested::Skipped(skip) => {
                arrivals.settle(&id, Err(skip.error.clone()));
                on_arrival(&id, Err(&skip.error));
            }
        }
    }
}
