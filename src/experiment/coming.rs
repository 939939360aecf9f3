//! Cases that are still on their way into the cache when a run begins, and what becomes of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::actor::observe::Observer;
use crate::base::error::{CaseError, Fault};
use crate::base::fingerprint::Fingerprint;
use crate::brats::dataset::CaseFiles;
use crate::cache::quarantine::{Quarantine, Quarantined};
use crate::cache::source::Expected;
use crate::cache::store::CaseStore;
use crate::experiment::course::Course;
use crate::experiment::failure::Failure;
use crate::experiment::prepare::{Excluded, quarantine};
use crate::pipeline::ahead::{Ahead, AheadParts, OnArrival};
use crate::pipeline::observe::{Watch, verdict_beside, verdict_of};
use crate::pipeline::verdict::Verdict;
use crate::telemetry::catalog;
use crate::train::run_directory::{DatasetLock, LockedCase};
use crate::volume::case::CaseId;

/// Ingest beside a run. It ends with this.
pub(super) struct Coming {
    ahead: Option<(Ahead, Watch)>,
    excluded: Arc<Mutex<Vec<Excluded>>>,
}

impl Coming {
    /// Starts to bring what the cache lacks: training cases in the order of `plan`, then those held out.
    pub(super) fn start(course: &Course<'_>, plan: Vec<CaseFiles>) -> Result<Self, Failure> {
        let excluded = Arc::<Mutex<Vec<Excluded>>>::default();
        let (Some(store), session) = (&course.store, course.session) else {
            return Ok(Self { ahead: None, excluded });
        };
        let cohort = &course.cohort;
        let mut cases = plan;
        cases.extend(cohort.held_out.iter().cloned());
        cases.retain(|files| cohort.missing.contains(&files.id));
        catalog::LOADER_CACHE_BYTES.with([]).set(store.bytes()? as f64);
        if cases.is_empty() {
            return Ok(Self { ahead: None, excluded });
        }
        let data = &course.config.run.data;
        let parts = AheadParts {
            on_arrival: on_arrival(course, cases.len(), Arc::clone(store), Arc::clone(&excluded)),
            cases,
            arrivals: course.arrivals.clone(),
            store: Arc::clone(store),
            preprocess: data.preprocess.clone(),
            workers: course.config.run.ingest.clone(),
        };
        let ahead = Ahead::start(parts, &session.stop, &session.runtime)?;
        let watched = session.board.watch(ahead.running());
        Ok(Self { ahead: Some((ahead, watched)), excluded })
    }

    /// What held a loader back that ran beside this.
    pub(super) fn verdict(&self, loader: &Observer) -> Verdict {
        match &self.ahead {
            Some((ahead, _)) => verdict_beside(&ahead.running().observer(), loader),
            None => verdict_of(loader),
        }
    }

    /// Ends what is left of it; the cases that turned out to be bad.
    pub(super) fn end(self) -> Vec<Excluded> {
        drop(self.ahead);
        std::mem::take(&mut self.excluded.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A bad training case is skipped wherever it comes up. A bad held-out case ends the run: it would be
/// found out only by a validation, hours later, and a missing case must not flatter a mean.
fn on_arrival(
    course: &Course<'_>,
    cases: usize,
    store: Arc<CaseStore>,
    excluded: Arc<Mutex<Vec<Excluded>>>,
) -> OnArrival {
    let mut to_come = cases;
    let (memory, stop) = (course.bad_cases.clone(), course.session.stop.clone());
    let held_out: Vec<CaseId> =
        course.cohort.held_out.iter().map(|files| files.id.clone()).collect();
    Box::new(move |case, outcome| {
        to_come -= 1;
        show_bytes(&store, outcome.is_ok().then_some(case), to_come == 0);
        let Err(error) = outcome else { return };
        tracing::warn!("left out: {error}");
        memory.add(case, error);
        let left_out = Excluded { case: case.clone(), error: error.clone() };
        excluded.lock().unwrap_or_else(PoisonError::into_inner).push(left_out);
        if held_out.contains(case) {
            stop.abort(Some(Fault::Environment {
                subject: error.subject.clone(),
                problem: format!("{}, and the case was to be held out", error.problem),
                remedy: "begin the run again: it is known to be bad now, and will be left out"
                    .into(),
            }));
        }
    })
}

/// The cache's size, with one more case if one has come. The folder is listed only for the last one: for each, the
/// listings of a large cohort would cost as much as its ingest.
fn show_bytes(store: &CaseStore, come: Option<&CaseId>, is_last: bool) {
    let gauge = catalog::LOADER_CACHE_BYTES.with([]);
    if is_last {
        if let Ok(bytes) = store.bytes() {
            gauge.set(bytes as f64);
        }
        return;
    }
    let file = come.and_then(|case| store.lookup(case, Expected::Anything).ok().flatten());
    if let Some(file) = file {
        gauge.increment(file.bytes() as f64);
    }
}

/// Writes bad cases into the quarantine, each once. Clones share what they know.
#[derive(Clone)]
pub(super) struct BadCases {
    store: Option<Arc<CaseStore>>,
    /// Fingerprints of the run's cases, until they are found bad.
    unknown: Arc<Mutex<BTreeMap<CaseId, Fingerprint>>>,
}

impl BadCases {
    /// Among the cases of `lock`; those that are known already are not written down again.
    pub(super) fn among(
        lock: &DatasetLock,
        store: Option<&Arc<CaseStore>>,
    ) -> Result<Self, Failure> {
        let known = match store {
            Some(store) => Quarantine::of(store.root()).read_all()?.entries,
            None => Vec::new(),
        };
        let is_known = |case: &LockedCase| {
            let is_it = |entry: &Quarantined| {
                entry.case == case.id && entry.fingerprint == Some(case.fingerprint)
            };
            known.iter().any(is_it)
        };
        let unknown = lock.cases.iter().filter(|case| !is_known(case));
        let unknown = unknown.map(|case| (case.id.clone(), case.fingerprint)).collect();
        Ok(Self { store: store.cloned(), unknown: Arc::new(Mutex::new(unknown)) })
    }

    pub(super) fn add(&self, case: &CaseId, error: &CaseError) {
        let Some(store) = &self.store else { return };
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(fingerprint) = unknown.remove(case) else { return };
        if let Err(fault) = quarantine(store, case, Some(fingerprint), error) {
            tracing::error!("the quarantine does not take {case}: {fault}");
        }
    }
}
