//! Selection of the cases a predictor is scored on: a split of its runs' cohort, or a folder's.

use std::path::Path;
use std::sync::Arc;

use crate::base::Fingerprint;
use crate::brats::CaseFiles;
use crate::cache::CaseStore;
use crate::pipeline::Fetch;
use crate::pipeline::whole_case::WholeCaseSource;
use crate::run::evaluate::WholeCases;
use crate::run::{Failure, ResolvedEnsemble, Session, cohort, prepare, pseudo_labels, spacing};
use crate::run_folder::DatasetLock;
use crate::volume::{CaseId, LabelScheme, Split};

/// Selects the cases of one split of the cohort that all members were locked to, unchanged since.
///
/// # Errors
/// If the members do not agree on the part, or a case of it is gone or not what it was.
pub fn of_split(
    resolved: &ResolvedEnsemble,
    part: Split,
    session: &Session,
) -> Result<WholeCases, Failure> {
    let (lock, files) = files_of_split(resolved, part)?;
    let source = open_source(resolved, &files, session)?;
    let way_out = (verb_phrase(part), "bring them back, or score what is there with --data");
    cohort::check_unchanged(&lock, &files, &source, way_out)?;
    Ok(WholeCases { files, source, part })
}

/// Finds the cases of one split of the cohort that all members were locked to, as they are now.
///
/// # Errors
/// If the members do not agree on the part, or a case of it is gone.
pub fn files_of_split(
    resolved: &ResolvedEnsemble,
    part: Split,
) -> Result<(DatasetLock, Vec<CaseFiles>), Failure> {
    let lock = agreed_lock(resolved, part)?;
    let folder = lock.folder.display();
    let found = resolved.first_run_config().discover_in(&lock.folder)?.cases;
    let gone = lock.missing_cases(&found, &[part]);
    if !gone.is_empty() {
        return Err(Failure::Usage(format!(
            "{folder}: the {} cases {} are gone; bring them back, or name others with --data",
            in_words(part),
            gone.join(", ")
        )));
    }
    let files = lock.files_in_split(&found, part);
    if files.is_empty() {
        return Err(Failure::Usage(format!(
            "{}: has no {} case; name a dataset with --data",
            resolved.members[0].run.display(),
            in_words(part)
        )));
    }
    Ok((lock, files))
}

/// Selects the labelled cases of a folder, with this meaning of their labels or as
/// [`ResolvedEnsemble::discover_cases`] finds it.
///
/// # Errors
/// If it holds none, or one of them cannot be used.
pub fn of_folder(
    resolved: &ResolvedEnsemble,
    folder: &Path,
    labels: Option<LabelScheme>,
    session: &Session,
) -> Result<WholeCases, Failure> {
    let found = resolved.discover_cases(folder, labels)?.cases;
    let files: Vec<CaseFiles> = found.into_iter().filter(|files| files.labels.is_some()).collect();
    if files.is_empty() {
        let folder = folder.display();
        return Err(Failure::Usage(format!(
            "{folder}: has no labelled case to score; name another dataset with --data"
        )));
    }
    let source = open_source(resolved, &files, session)?;
    Ok(WholeCases { files, source, part: Split::Validation })
}

/// Opens the store that the runs' cases are in.
///
/// # Errors
/// If its folder cannot be made or read.
fn open_case_store(resolved: &ResolvedEnsemble) -> Result<Arc<CaseStore>, Failure> {
    let data = &resolved.first_run_config().data;
    Ok(prepare::open_store(&data.cache, &data.preprocess)?)
}

/// Opens the source of `cases`: the cache, or their files where the settings have no cache.
fn open_source(
    resolved: &ResolvedEnsemble,
    cases: &[CaseFiles],
    session: &Session,
) -> Result<WholeCaseSource, Failure> {
    let settings = resolved.first_run_config();
    if settings.loader.cached {
        return Ok(WholeCaseSource::Cache(fetch_through_cache(resolved, cases, session)?));
    }
    spacing::warn_of_other_spacing(resolved, cases);
    Ok(WholeCaseSource::Files(settings.data.preprocess.clone()))
}

/// Brings `cases` into the cache for the runs to label, and returns a reader of them, and the cases as
/// they were taken: without labels that cannot be used.
///
/// # Errors
/// If an image of one cannot be used.
pub(super) fn fetch_for_labelling(
    resolved: &ResolvedEnsemble,
    cases: &[CaseFiles],
    session: &Session,
) -> Result<(Fetch, Vec<CaseFiles>), Failure> {
    let store = open_case_store(resolved)?;
    let settings = resolved.first_run_config();
    let preprocess = &settings.data.preprocess;
    let (taken, excluded) = pseudo_labels::ingest_whatever_labels(
        cases,
        &store,
        preprocess,
        &settings.ingest_resources(),
        session,
    )?;
    if !excluded.is_empty() {
        return Err(Failure::Cases(excluded.into_iter().map(|left_out| left_out.error).collect()));
    }
    spacing::warn_of_other_spacing(resolved, cases);
    Ok((Fetch::new(store, preprocess.clone(), session.stop.clone()), taken))
}

/// Brings `cases` into the cache as they are now, and returns a reader of them: a cached case of
/// the same name may be another dataset's, or that of files since replaced.
fn fetch_through_cache(
    resolved: &ResolvedEnsemble,
    cases: &[CaseFiles],
    session: &Session,
) -> Result<Fetch, Failure> {
    let store = open_case_store(resolved)?;
    let settings = resolved.first_run_config();
    let preprocess = &settings.data.preprocess;
    let ingested =
        prepare::ingest_cases(cases, &store, preprocess, &settings.ingest_resources(), session)?;
    if !ingested.excluded.is_empty() {
        let errors = ingested.excluded.into_iter().map(|excluded| excluded.error);
        return Err(Failure::Cases(errors.collect()));
    }
    spacing::warn_of_other_spacing(resolved, cases);
    Ok(Fetch::new(store, preprocess.clone(), session.stop.clone()))
}

/// Returns the lock of the first member, if the others have the same cases in this part: a case
/// that one member is tested on and another was trained on would flatter both.
pub(super) fn agreed_lock(
    resolved: &ResolvedEnsemble,
    part: Split,
) -> Result<DatasetLock, Failure> {
    let mut members = resolved.members.iter();
    let first = members.next().expect("an ensemble has a member");
    let lock = cohort::read_lock(&first.run)?;
    let expected = sorted_cases(&lock, part);
    let labels = first.config.run.data.labels;
    for member in members {
        if member.config.run.data.labels != labels {
            return Err(Failure::Usage(format!(
                "{}: its data.labels is not that of {}; average runs of one meaning of labels, or \
                 name cases with --data and --labels",
                member.run.display(),
                first.run.display()
            )));
        }
        if sorted_cases(&cohort::read_lock(&member.run)?, part) != expected {
            return Err(Failure::Usage(format!(
                "{}: its {} cases are not those of {}; average runs of one division of one \
                 dataset, or name cases with --data",
                member.run.display(),
                in_words(part),
                first.run.display()
            )));
        }
    }
    Ok(lock)
}

fn sorted_cases(lock: &DatasetLock, part: Split) -> Vec<(CaseId, Fingerprint)> {
    let cases = lock.cases.iter().filter(|case| case.split == part);
    let mut cases: Vec<_> = cases.map(|case| (case.id.clone(), case.fingerprint)).collect();
    cases.sort_unstable();
    cases
}

fn in_words(part: Split) -> &'static str {
    match part {
        Split::Validation => "held-out",
        other => other.name(),
    }
}

const fn verb_phrase(part: Split) -> &'static str {
    match part {
        Split::Train => "was trained on",
        Split::Validation => "held out",
        Split::Test => "keeps to report on",
        Split::Unlabelled => "hides the labels of",
        Split::Unused => "leaves out",
    }
}
