//! From a folder of files to a cohort whose case files are in the cache: what `ingest` does, and
//! what every run does first.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::actor::stop::StopLatch;
use crate::base::error::{CaseError, Fault};
use crate::base::fingerprint::Fingerprint;
use crate::base::progress::Progress;
use crate::brats::dataset::{CaseFiles, Dataset, discover};
use crate::cache::preprocess::PreprocessConfig;
use crate::cache::quarantine::{Quarantine, Quarantined};
use crate::cache::source::Expected;
use crate::cache::store::CaseStore;
use crate::experiment::failure::Failure;
use crate::pipeline::decode::look as look_at;
use crate::pipeline::ingest::{self, IngestWorkers, Ingested};
use crate::pipeline::observe::Board;
use crate::telemetry::catalog;
use crate::telemetry::endpoint::Endpoint;
use crate::volume::case::CaseId;

/// What every long verb runs with.
#[derive(Clone)]
pub struct Session {
    /// Where life cycles run.
    pub runtime: tokio::runtime::Handle,
    /// Ends the work.
    pub stop: StopLatch,
    /// Told how far it is.
    pub progress: Arc<dyn Progress>,
    /// Where running topologies can be looked at.
    pub board: Board,
    /// Where its metrics are, for a run's folder.
    pub endpoint: Endpoint,
}

/// What ingest did.
#[derive(Debug, Default, Serialize)]
pub struct IngestReport {
    /// Cases that were in the cache already, unchanged.
    pub current: usize,
    /// Cases written now.
    pub published: usize,
    /// Bytes written.
    pub bytes: u64,
    /// Cases that could not be used, with the cause.
    pub excluded: Vec<Excluded>,
}

/// A case that could not be used.
#[derive(Debug, Clone, Serialize)]
pub struct Excluded {
    /// Its name.
    pub case: CaseId,
    /// Why.
    pub error: CaseError,
}

/// A dataset, looked through.
///
/// # Errors
/// If the folder holds no case of a known layout.
pub fn look(folder: &Path) -> Result<Dataset, Failure> {
    Ok(discover(folder)?)
}

/// Brings every case of `cases` into the cache that is not there, unchanged, already.
///
/// A case that cannot be used is listed in the report and in the quarantine file; the others go on.
///
/// # Errors
/// If the run itself fails, or is stopped.
pub fn ingest(
    cases: &[CaseFiles],
    store: &Arc<CaseStore>,
    preprocess: &PreprocessConfig,
    workers: &IngestWorkers,
    session: &Session,
) -> Result<IngestReport, Failure> {
    let mut report = IngestReport::default();
    let missing: Vec<CaseFiles> =
        cases.iter().filter(|files| !is_current(store, files)).cloned().collect();
    report.current = cases.len() - missing.len();
    if missing.is_empty() {
        catalog::LOADER_CACHE_BYTES.with([]).set(store.bytes()? as f64);
        return Ok(report);
    }
    let task = session.progress.begin("ingest", "cases", missing.len() as u64);
    let ids: Vec<CaseId> = missing.iter().map(|files| files.id.clone()).collect();
    let (mut feed, running) = ingest::start(
        missing,
        Arc::clone(store),
        preprocess,
        workers,
        &session.stop,
        &session.runtime,
    )?;
    let watched = session.board.watch(&running);
    let mut done = 0;
    while let Some(outcome) = feed.take() {
        let id = ids[done].clone();
        done += 1;
        match outcome {
            Ingested::Published(case) => {
                report.published += 1;
                report.bytes += case.bytes;
            }
            Ingested::Skipped(skip) => {
                report.excluded.push(Excluded { case: id.clone(), error: skip.error });
            }
        }
        task.advance_to(done as u64, id.as_str());
    }
    drop(watched);
    running.join_blocking()?;
    catalog::LOADER_CACHE_BYTES.with([]).set(store.bytes()? as f64);
    for excluded in &report.excluded {
        quarantine(store, &excluded.case, None, &excluded.error)?;
    }
    stopped_early(&session.stop, "the cases ingested so far are in the cache")?;
    Ok(report)
}

/// Writes a bad case down in the cache's quarantine, with the fingerprint of its files if it is known:
/// while they stay the same, no run will be planned with it.
///
/// # Errors
/// If the file does not take it.
pub fn quarantine(
    store: &CaseStore,
    case: &CaseId,
    fingerprint: Option<Fingerprint>,
    error: &CaseError,
) -> Result<(), Fault> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let entry = Quarantined::new(case.clone(), fingerprint, error, now.as_secs());
    Quarantine::of(store.root()).append(&entry)
}

fn is_current(store: &CaseStore, files: &CaseFiles) -> bool {
    let Ok(seen) = look_at(files) else { return false };
    matches!(store.lookup(&files.id, Expected::Files(&seen)), Ok(Some(_)))
}

/// An error if the session was asked to stop; `kept` says what is not lost.
///
/// # Errors
/// [`Failure::Stopped`] after a drain, [`Failure::Aborted`] after an abort, or the fault.
pub fn stopped_early(stop: &StopLatch, kept: &str) -> Result<(), Failure> {
    use crate::actor::stop::StopState;
    if let Some(fault) = stop.fault() {
        return Err(Failure::Run(fault));
    }
    match stop.state() {
        StopState::Running => Ok(()),
        StopState::Draining => Err(Failure::Stopped(kept.to_string())),
        StopState::Aborted => Err(Failure::Aborted),
    }
}

/// Opens the cache for case files made under `preprocess`.
///
/// # Errors
/// If the folder cannot be made or read.
pub fn open_store(root: &Path, preprocess: &PreprocessConfig) -> Result<Arc<CaseStore>, Fault> {
    CaseStore::open(root, preprocess.fingerprint()).map(Arc::new)
}
