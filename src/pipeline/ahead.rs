//! Ingest ahead of the trainer: cases go into the cache in the order in which the plan needs them,
//! while samples are already cut from those that are there.

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

/// Told of every case, in order, after those who wait for it.
pub type OnArrival = Box<dyn FnMut(&CaseId, Result<(), &CaseError>) + Send>;

/// What is brought where.
pub struct AheadParts {
    /// Cases, the first to be needed first.
    pub cases: Vec<CaseFiles>,
    /// Where they are announced and settled.
    pub arrivals: Arrivals,
    /// Where they go.
    pub store: Arc<CaseStore>,
    /// How they are prepared.
    pub preprocess: PreprocessConfig,
    /// Threads.
    pub workers: IngestWorkers,
    /// Told of each.
    pub on_arrival: OnArrival,
}

/// Ingest under way. Dropping it ends the ingest; what is in the cache stays there.
pub struct Ahead {
    arrivals: Arrivals,
    running: Running,
    stop: StopLatch,
    thread: Option<JoinHandle<()>>,
}

/// Nobody may wait for cases that will not come, whatever ended the thread that brings them.
struct Closing(Arrivals);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Ahead {
    /// Announces the cases and starts to bring them.
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

    /// What is still to come.
    pub fn arrivals(&self) -> Arrivals {
        self.arrivals.clone()
    }

    /// The topology that brings it.
    pub const fn running(&self) -> &Running {
        &self.running
    }

    /// Ends the ingest where it is.
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
