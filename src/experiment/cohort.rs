//! The cohort of a run: every usable case in the cache, split, and locked by fingerprint.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::base::error::{CaseError, Reason};
use crate::base::fingerprint::Fingerprint;
use crate::brats::dataset::CaseFiles;
use crate::cache::store::CaseStore;
use crate::experiment::config::RunConfig;
use crate::experiment::failure::Failure;
use crate::experiment::prepare::{self, Excluded, Session};
use crate::pipeline::fetch::Fetch;
use crate::train::run_directory::{DATASET_LOCK, DatasetLock, LockedCase};
use crate::volume::case::{CaseId, Split, split};

/// A cohort whose cases are all in the cache.
pub struct Cohort {
    /// Cases to train on.
    pub train: Arc<[CaseFiles]>,
    /// Cases held out for validation.
    pub held_out: Vec<CaseFiles>,
    /// All of them, for the run's record.
    pub lock: DatasetLock,
    /// Cases that cannot be used.
    pub excluded: Vec<Excluded>,
    /// What the folder holds that could not become a case.
    pub problems: Vec<CaseError>,
}

/// Finds, ingests and splits the cases of a configuration.
///
/// # Errors
/// If no case is usable (all causes are listed), or ingest itself fails or is stopped.
pub fn gather(
    run: &RunConfig,
    store: &Arc<CaseStore>,
    session: &Session,
) -> Result<Cohort, Failure> {
    let data = &run.data;
    let dataset = prepare::look(&data.folder)?;
    let (labelled, unlabelled): (Vec<_>, Vec<_>) =
        dataset.cases.into_iter().partition(|files| files.labels.is_some());
    let ingested = prepare::ingest(&labelled, store, &data.preprocess, &run.ingest, session)?;
    let mut excluded = ingested.excluded;
    excluded.extend(unlabelled.into_iter().map(|files| without_labels(files.id)));
    let fetch = Fetch::new(Arc::clone(store), data.preprocess.clone(), session.stop.clone());
    let (usable, fingerprints) = open(labelled, &fetch, store, &mut excluded)?;
    prepare::stopped_early(&session.stop, "the cases are in the cache")?;
    let problems = dataset.problems;
    for problem in &problems {
        tracing::warn!("{problem}");
    }
    for left_out in &excluded {
        tracing::warn!("left out: {}", left_out.error);
    }
    if usable.is_empty() {
        let mut errors: Vec<CaseError> = excluded.into_iter().map(|one| one.error).collect();
        errors.extend(problems);
        return Err(Failure::Cases(errors));
    }
    let lock = lock(run, &usable, &fingerprints, &excluded, &problems);
    Ok(Cohort {
        train: lock.files(&usable, Split::Train).into(),
        held_out: lock.files(&usable, Split::Validation),
        lock,
        excluded,
        problems,
    })
}

/// The cases that can be opened, with their fingerprints; the others go to those left out.
fn open(
    ingested: Vec<CaseFiles>,
    fetch: &Fetch,
    store: &CaseStore,
    excluded: &mut Vec<Excluded>,
) -> Result<(Vec<CaseFiles>, Vec<Fingerprint>), Failure> {
    let (mut usable, mut fingerprints) = (Vec::new(), Vec::new());
    for files in ingested {
        if excluded.iter().any(|left_out| left_out.case == files.id) {
            continue;
        }
        // A case file may be damaged, and its sources too: ingest asks only whether it is current.
        match fetch.case(&files) {
            Ok(case) => {
                usable.push(files);
                fingerprints.push(case.fingerprint());
            }
            Err(error) => {
                prepare::quarantine(store, &files.id, &error)?;
                excluded.push(Excluded { case: files.id, error });
            }
        }
    }
    Ok((usable, fingerprints))
}

fn without_labels(case: CaseId) -> Excluded {
    let error = CaseError::new(
        Reason::Missing,
        format!("case {case}"),
        "has no label file",
        "training leaves it out; `predict` takes it",
    );
    Excluded { case, error }
}

/// Splits the usable cases and writes down what was found.
fn lock(
    run: &RunConfig,
    usable: &[CaseFiles],
    fingerprints: &[Fingerprint],
    excluded: &[Excluded],
    problems: &[CaseError],
) -> DatasetLock {
    let ids: Vec<CaseId> = usable.iter().map(|files| files.id.clone()).collect();
    let splits = split(&ids, held_out_count(usable.len(), run.data.held_out), run.seed);
    let cases = ids.into_iter().zip(fingerprints).zip(splits);
    let causes = excluded.iter().map(|one| (one.case.clone(), one.error.to_string()));
    DatasetLock {
        folder: run.data.folder.clone(),
        cases: cases
            .map(|((id, &fingerprint), split)| LockedCase { id, fingerprint, split })
            .collect(),
        excluded: causes.collect(),
        problems: problems.iter().map(ToString::to_string).collect(),
    }
}

/// A share of the cases, but at least one of two or more, and never all.
fn held_out_count(cases: usize, share: f64) -> usize {
    if share == 0.0 || cases < 2 {
        return 0;
    }
    ((cases as f64 * share).round() as usize).clamp(1, cases - 1)
}

/// The cohort of a run that goes on: the cases that it was locked to, whatever else there is today.
///
/// # Errors
/// If one of them is gone, cannot be used, or is not what it was: the order of samples would be
/// another.
pub fn locked(
    run: &RunConfig,
    lock: DatasetLock,
    store: &Arc<CaseStore>,
    session: &Session,
) -> Result<Cohort, Failure> {
    let data = &run.data;
    let found = prepare::look(&data.folder)?.cases;
    let train = lock.files(&found, Split::Train);
    let held_out = lock.files(&found, Split::Validation);
    let cases = [train.as_slice(), held_out.as_slice()].concat();
    let there = |id: &CaseId| cases.iter().any(|files| files.id == *id);
    let ids = lock.cases.iter().map(|case| &case.id);
    let gone: Vec<&str> = ids.filter(|id| !there(id)).map(|id| id.as_str()).collect();
    if !gone.is_empty() {
        return Err(Failure::Usage(format!(
            "{}: the run's cases {} are gone; bring them back, or say where they are with --data",
            data.folder.display(),
            gone.join(", ")
        )));
    }
    let ingested = prepare::ingest(&cases, store, &data.preprocess, &run.ingest, session)?;
    if !ingested.excluded.is_empty() {
        let errors = ingested.excluded.into_iter().map(|excluded| excluded.error);
        return Err(Failure::Cases(errors.collect()));
    }
    let fetch = Fetch::new(Arc::clone(store), data.preprocess.clone(), session.stop.clone());
    let way_out = ("was begun with", "bring them back, or begin another run");
    unchanged(&lock, &cases, &fetch, way_out)?;
    let (excluded, problems) = (Vec::new(), Vec::new());
    Ok(Cohort { train: train.into(), held_out, lock, excluded, problems })
}

/// Refuses cases whose files are not those that the run `verb`, such as "held out", with the remedy
/// at its side.
pub(super) fn unchanged(
    lock: &DatasetLock,
    cases: &[CaseFiles],
    fetch: &Fetch,
    (verb, remedy): (&str, &str),
) -> Result<(), Failure> {
    let mut changed = Vec::new();
    for files in cases {
        let fingerprint = fetch.case(files)?.fingerprint();
        let locked = lock.cases.iter().find(|case| case.id == files.id);
        if locked.is_some_and(|case| case.fingerprint != fingerprint) {
            changed.push(CaseError::new(
                Reason::Checksum,
                format!("case {}", files.id),
                format!("its files are not those that the run {verb} (now {fingerprint})"),
                remedy,
            ));
        }
    }
    if changed.is_empty() { Ok(()) } else { Err(Failure::Cases(changed)) }
}

/// The lock of the run in `folder`.
///
/// # Errors
/// If it is missing or not readable as one.
pub fn read_lock(folder: &Path) -> Result<DatasetLock, Failure> {
    let path = folder.join(DATASET_LOCK);
    let bytes = fs::read(&path).map_err(|error| CaseError::io(&path, &error))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Failure::Usage(format!("{}: {error}; name a complete run folder", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_held_out_and_something_is_left() {
        assert_eq!(held_out_count(10, 0.2), 2);
        assert_eq!(held_out_count(2, 0.01), 1);
        assert_eq!(held_out_count(3, 0.99), 2);
        assert_eq!(held_out_count(1, 0.5), 0);
        assert_eq!(held_out_count(10, 0.0), 0);
    }
}
