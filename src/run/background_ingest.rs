//! Background ingest of the cases that are not in the cache when a run begins.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::actor::Observer;
use crate::base::Fault;
use crate::brats::CaseFiles;
use crate::cache::{CaseStore, ExpectedSource};
use crate::pipeline::observe::{TopologyRegistration, verdict_beside_ingest, verdict_of};
use crate::pipeline::{BottleneckVerdict, OnArrival, PrefetchIngest, PrefetchIngestParts};
use crate::run::Failure;
use crate::run::context::RunContext;
use crate::run_folder::ExcludedCase;
use crate::telemetry::catalog;
use crate::volume::CaseId;

/// Background ingest of the cases that a run still needs; dropping it ends it.
pub(super) struct BackgroundIngest {
    ahead: Option<(PrefetchIngest, TopologyRegistration)>,
    excluded: Arc<Mutex<Vec<ExcludedCase>>>,
}

impl BackgroundIngest {
    /// Starts to ingest what the cache lacks: training cases as in `plan`, then held-out ones.
    pub(super) fn start(context: &RunContext<'_>, plan: Vec<CaseFiles>) -> Result<Self, Failure> {
        let excluded = Arc::<Mutex<Vec<ExcludedCase>>>::default();
        let Some(store) = &context.store else {
            return Ok(Self { ahead: None, excluded });
        };
        let session = context.session;
        let cohort = &context.cohort;
        let mut cases = plan;
        cases.extend(cohort.held_out.iter().cloned());
        cases.retain(|files| cohort.missing.contains(&files.id));
        catalog::LOADER_CACHE_BYTES.with_labels([]).set(store.cached_bytes()? as f64);
        if cases.is_empty() {
            return Ok(Self { ahead: None, excluded });
        }
        let data = &context.config.run.data;
        let parts = PrefetchIngestParts {
            on_arrival: on_arrival(context, cases.len(), Arc::clone(store), Arc::clone(&excluded)),
            cases,
            arrivals: context.arrivals.clone(),
            store: Arc::clone(store),
            preprocess: data.preprocess.clone(),
            resources: context.config.run.ingest_resources_beside_loader(cohort.largest)?,
        };
        let ahead = PrefetchIngest::start(parts, &session.stop, &session.runtime)?;
        let watched = session.board.watch_topology(ahead.running());
        Ok(Self { ahead: Some((ahead, watched)), excluded })
    }

    /// Returns the bottleneck of a loader that ran beside this ingest.
    pub(super) fn loader_verdict(&self, loader: &Observer) -> BottleneckVerdict {
        match &self.ahead {
            Some((ahead, _)) => verdict_beside_ingest(&ahead.running().observer(), loader),
            None => verdict_of(loader),
        }
    }

    /// Ends the ingest, and returns the cases that turned out to be bad.
    pub(super) fn stop_and_list_excluded(self) -> Vec<ExcludedCase> {
        drop(self.ahead);
        std::mem::take(&mut self.excluded.lock())
    }
}

/// Returns the callback that records an ingested case. A bad training case is skipped wherever it
/// comes up. A fresh run has read its held-out cases before; of a resumed one a bad one ends the run.
fn on_arrival(
    context: &RunContext<'_>,
    cases: usize,
    store: Arc<CaseStore>,
    excluded: Arc<Mutex<Vec<ExcludedCase>>>,
) -> OnArrival {
    let mut to_come = cases;
    let memory = context.bad_cases.clone();
    let stop = context.session.stop.clone();
    let held_out: Vec<CaseId> =
        context.cohort.held_out.iter().map(|files| files.id.clone()).collect();
    Box::new(move |case, outcome| {
        to_come -= 1;
        publish_cache_bytes(&store, outcome.is_ok().then_some(case), to_come == 0);
        let Err(error) = outcome else { return };
        tracing::warn!("left out: {error}");
        memory.record_bad_case(case, error);
        let left_out = ExcludedCase { case: case.clone(), error: error.clone() };
        excluded.lock().push(left_out);
        if held_out.contains(case) {
            stop.abort(Some(Fault::Environment {
                subject: error.subject.clone(),
                problem: format!("{}, and the run holds this case out", error.problem),
                remedy:
                    "bring back the files that the run was begun with, or begin another run: it \
                         leaves the case out"
                        .into(),
            }));
        }
    })
}

/// Publishes the size of the cache after one more case. The folder is listed only for the last one:
/// listing it for each would cost as much as the ingest of a large cohort.
fn publish_cache_bytes(store: &CaseStore, come: Option<&CaseId>, is_last: bool) {
    let gauge = catalog::LOADER_CACHE_BYTES.with_labels([]);
    if is_last {
        if let Ok(bytes) = store.cached_bytes() {
            gauge.set(bytes as f64);
        }
        return;
    }
    let file = come.and_then(|case| store.find_case(case, ExpectedSource::Anything).ok().flatten());
    if let Some(file) = file {
        gauge.increment(file.file_bytes() as f64);
    }
}
