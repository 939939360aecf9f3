//! Ingest of a dataset folder into the cache, as a command and as the first part of a run.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::actor::{Feed, RunningTopology, StopLatch};
use crate::base::{CaseError, Fault, Fingerprint, Reason};
use crate::brats::{CaseFiles, CaseReader};
use crate::cache::{
    CaseMeaning, CaseStore, ExpectedSource, MappedCase, PreprocessConfig, Quarantine, Quarantined,
};
use crate::pipeline::ingest::{self, IngestResources};
use crate::pipeline::{find_current_case, stat_files};
use crate::run::{Failure, Session};
use crate::run_folder::ExcludedCase;
use crate::telemetry::catalog;
use crate::volume::CaseId;

/// Result of ingest.
#[derive(Debug, Default, Serialize)]
pub struct IngestReport {
    /// Cases that were in the cache already, unchanged.
    pub current: usize,
    /// Cases written now.
    pub published: usize,
    /// Bytes written.
    pub bytes: u64,
    /// Cases that could not be used, with the cause.
    pub excluded: Vec<ExcludedCase>,
}

/// Brings every case of `cases` into the cache that is not there, unchanged, already.
///
/// A case that cannot be used is listed in the report and in the quarantine file; the others go on.
///
/// # Errors
/// If the run itself fails, or is stopped.
pub fn ingest_cases(
    cases: &[CaseFiles],
    store: &Arc<CaseStore>,
    preprocess: &PreprocessConfig,
    resources: &IngestResources,
    session: &Session,
) -> Result<IngestReport, Failure> {
    let report = ingest_unrecorded(cases, store, preprocess, resources, session)?;
    for excluded in &report.excluded {
        quarantine_case(store, &excluded.case, None, &excluded.error)?;
    }
    fail_if_stopped(&session.stop, "the cases ingested so far are in the cache")?;
    Ok(report)
}

/// Does what [`ingest_cases`] does, and leaves the quarantine to the caller.
///
/// # Errors
/// If the run itself fails, or is stopped.
pub(super) fn ingest_unrecorded(
    cases: &[CaseFiles],
    store: &Arc<CaseStore>,
    preprocess: &PreprocessConfig,
    resources: &IngestResources,
    session: &Session,
) -> Result<IngestReport, Failure> {
    let mut report = IngestReport::default();
    let missing: Vec<CaseFiles> =
        cases.iter().filter(|files| lookup_current(store, files).is_none()).cloned().collect();
    report.current = cases.len() - missing.len();
    if missing.is_empty() {
        catalog::LOADER_CACHE_BYTES.with_labels([]).set(store.cached_bytes()? as f64);
        return Ok(report);
    }
    let mut ids = missing.iter().map(|files| files.id.clone()).collect::<Vec<_>>().into_iter();
    let total = missing.len() as u64;
    let feed = ingest::start_ingest(
        missing,
        Arc::clone(store),
        preprocess,
        resources,
        &session.stop,
        &session.runtime,
    )?;
    process_outcomes("ingest", total, feed, session, |outcome| {
        let id = ids.next().expect("an outcome of each case");
        match outcome {
            Ok(case) => {
                report.published += 1;
                report.bytes += case.bytes;
            }
            Err(skip) => {
                report.excluded.push(ExcludedCase { case: id.clone(), error: skip.error });
            }
        }
        Ok(id)
    })?;
    catalog::LOADER_CACHE_BYTES.with_labels([]).set(store.cached_bytes()? as f64);
    Ok(report)
}

/// Runs `work` on the outcomes of a feed, until one fails, and ends the feed in any case. `work`
/// returns the name of the case, which the progress display shows.
pub(super) fn process_outcomes<T>(
    task: &str,
    total: u64,
    (mut feed, running): (Feed<T>, RunningTopology),
    session: &Session,
    mut work: impl FnMut(T) -> Result<CaseId, Failure>,
) -> Result<(), Failure> {
    let watched = session.board.watch_topology(&running);
    let task = session.progress.begin_task(task, "cases", 0..total);
    let mut result = Ok(());
    for done in 1.. {
        let Some(outcome) = feed.next_output() else { break };
        match work(outcome) {
            Ok(id) => task.advance_to(done, id.as_str()),
            Err(failure) => {
                result = Err(failure);
                break;
            }
        }
    }
    drop((task, feed, watched));
    running.join_blocking()?;
    result
}

/// Reads the files of `cases`, and their case files, and removes each case file that is damaged or was
/// built from other contents. Ingest then builds them again. Cases of other datasets stay.
///
/// # Errors
/// If a case file cannot be removed, or the session is stopped.
pub fn withdraw_outdated(
    cases: &[CaseFiles],
    store: &Arc<CaseStore>,
    session: &Session,
) -> Result<Vec<CaseError>, Failure> {
    let task = session.progress.begin_task("verify", "cases", 0..cases.len() as u64);
    let reader = CaseReader::default();
    let mut outdated = Vec::new();
    for (done, files) in (1..).zip(cases) {
        fail_if_stopped(&session.stop, "the cases found so far are withdrawn")?;
        if let Some((case, error)) = find_bad_case_file(store, &reader, files) {
            store.withdraw(&case)?;
            outdated.push(error);
        }
        task.advance_to(done, files.id.as_str());
    }
    Ok(outdated)
}

/// Returns the case file of `files` that is damaged, or was not built from what they hold now.
fn find_bad_case_file(
    store: &CaseStore,
    reader: &CaseReader,
    files: &CaseFiles,
) -> Option<(Arc<MappedCase>, CaseError)> {
    let sources = stat_files(files).ok()?;
    let as_recorded = store.find_case(&files.id, ExpectedSource::State(&sources.state));
    let as_recorded = as_recorded.ok().flatten();
    let now = match reader.read_headers(files) {
        Ok(headers) => headers.fingerprint,
        Err(unreadable) => return as_recorded.map(|case| (case, unreadable)),
    };
    if as_recorded.is_some_and(|case| case.fingerprint() != now) {
        store.remember_place(&files.id, now, &sources.state);
    }
    if let Ok(Some(case)) = store.find_case(&files.id, ExpectedSource::Fingerprint(now)) {
        let damage = case.verify_voxels().err()?;
        return Some((case, damage));
    }
    let case = store.find_outdated(&files.id, &sources, now).ok()??;
    let error = CaseError::new(
        Reason::Checksum,
        format!("case {}", files.id),
        "its files have other contents than those it was built from, under the same size and time",
        "nothing is left to do if the new ones are right",
    );
    Some((case, error))
}

/// Writes a bad case into the cache's quarantine, with the fingerprint of its files if it is known:
/// while they stay the same, no run will be planned with it.
///
/// # Errors
/// If the file does not take it.
pub fn quarantine_case(
    store: &CaseStore,
    case: &CaseId,
    fingerprint: Option<Fingerprint>,
    error: &CaseError,
) -> Result<(), Fault> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let entry = Quarantined {
        preprocess: Some(store.preprocess()),
        ..Quarantined::new(case.clone(), fingerprint, error, now.as_secs())
    };
    Quarantine::of_cache(store.root()).append(&entry)
}

/// Returns the current case file of `files`. A damaged one counts as none, and so does one of the same
/// files under another meaning of their label values.
pub(super) fn lookup_current(store: &CaseStore, files: &CaseFiles) -> Option<Arc<MappedCase>> {
    let sources = stat_files(files).ok()?;
    let case = find_current_case(store, &CaseReader::default(), files, &sources).ok()??;
    let meaning = CaseMeaning::new(files.scheme, files.channels);
    (case.description().meaning == meaning).then_some(case)
}

/// Fails if the session was asked to stop; `kept` says what is not lost.
///
/// # Errors
/// [`Failure::Stopped`] after a drain, [`Failure::Aborted`] after an abort, or the fault.
pub fn fail_if_stopped(stop: &StopLatch, kept: &str) -> Result<(), Failure> {
    use crate::actor::StopState;
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
