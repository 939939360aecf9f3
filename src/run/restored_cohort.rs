//! The cohort of a run that goes on: the cases that it was locked to, and no others.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::{CaseError, Fingerprint};
use crate::brats::CaseFiles;
use crate::cache::CaseStore;
use crate::run::cohort::{
    Cohort, assemble_cohort, changed_files_error, is_as_locked, with_pseudo_labels,
};
use crate::run::config::RunConfig;
use crate::run::dataset_scan::{KNOWN, ScannedCase, quarantined_cases, scan_cases};
use crate::run::{Failure, Session};
use crate::run_folder::{
    DATASET_LOCK, DatasetLock, ExcludedCase, LockedCase, ReplacedCase, SkippedEvent,
};
use crate::volume::{CaseId, Split};

/// Cases of a run whose files may be others than they were.
pub(super) struct ReplaceableCases<'a> {
    /// Samples that the run has skipped: the files of their cases were bad.
    pub(super) told: &'a [SkippedEvent],
    /// True if the files of every case may be others.
    pub(super) all: bool,
    /// Position in the plan of the first sample of the new files.
    pub(super) next_sample: u64,
}

/// Restores the cohort of a resumed run. Files of a case that was bad may have been mended; the
/// lock of the cohort names the new ones then.
///
/// # Errors
/// If a case is gone, cannot be used, or is not what it was: the order of samples, or the samples,
/// would be others.
pub(super) fn restore_cohort(
    run: &RunConfig,
    mut lock: DatasetLock,
    replaceable: &ReplaceableCases<'_>,
    store: Option<&Arc<CaseStore>>,
    session: &Session,
) -> Result<Cohort, Failure> {
    let data = &run.data;
    let mut found = run.discover_in(&data.folder)?.cases;
    found.extend(run.discover_synthetic(&found)?);
    // What is neither trained on nor held out, a run does not need.
    let needed: &[Split] = match data.pseudo {
        Some(_) => &[Split::Train, Split::Validation, Split::Unlabelled],
        None => &[Split::Train, Split::Validation],
    };
    let gone = lock.missing_cases(&found, needed);
    if !gone.is_empty() {
        return Err(Failure::Usage(format!(
            "{}: the run's cases {} are gone; bring them back, or say where they are with --data",
            data.folder.display(),
            gone.join(", ")
        )));
    }
    let train = lock.files_in_split(&found, Split::Train);
    let held_out = lock.files_in_split(&found, Split::Validation);
    let cases = needed.iter().flat_map(|part| lock.files_in_split(&found, *part)).collect();
    let (surveyed, gone_bad) = scan_cases(cases, store, &data.preprocess, session)?;
    let bad = replaceable.cases_of(&lock, store)?;
    check_bad_cases(&gone_bad, &bad)?;
    accept_replaced(&mut lock, &surveyed, &bad, replaceable.next_sample)?;
    let joining = lock.files_in_split(&found, Split::Unlabelled);
    let whole = assemble_cohort(lock, &surveyed, Vec::new(), Vec::new());
    let whole = Cohort { train: train.into(), held_out, ..whole };
    with_pseudo_labels(whole, run, joining, store, session)
}

impl ReplaceableCases<'_> {
    /// Names the cases: those that the journal or the quarantine says were bad, or all.
    fn cases_of(
        &self,
        lock: &DatasetLock,
        store: Option<&Arc<CaseStore>>,
    ) -> Result<BTreeSet<CaseId>, Failure> {
        let mut names: BTreeSet<CaseId> =
            self.told.iter().filter_map(|skip| skip.case.clone()).collect();
        let known = quarantined_cases(store)?;
        let is_bad = |locked: &&LockedCase| {
            let print = Some(locked.fingerprint);
            self.all || known.iter().any(|bad| bad.case == locked.id && bad.fingerprint == print)
        };
        names.extend(lock.cases.iter().filter(is_bad).map(|locked| locked.id.clone()));
        Ok(names)
    }
}

/// Refuses cases that cannot be used now, unless the run skips them: then it does so again, at the
/// same places.
fn check_bad_cases(gone_bad: &[ExcludedCase], bad: &BTreeSet<CaseId>) -> Result<(), Failure> {
    for ExcludedCase { case, error } in gone_bad {
        if !error.problem.starts_with(KNOWN) && !bad.contains(case) {
            return Err(Failure::Data(error.clone()));
        }
        tracing::warn!("is skipped: {error}");
    }
    Ok(())
}

/// Locks the `replaceable` cases to the files that they have now, and refuses others whose files
/// are not those of the lock.
fn accept_replaced(
    lock: &mut DatasetLock,
    surveyed: &[ScannedCase],
    replaceable: &BTreeSet<CaseId>,
    next_sample: u64,
) -> Result<(), Failure> {
    let mut changed: Vec<CaseError> = Vec::new();
    for ScannedCase { files, fingerprint, .. } in surveyed {
        let Some(locked) = lock.cases.iter_mut().find(|locked| locked.id == files.id) else {
            continue;
        };
        if is_as_locked(locked, files, *fingerprint) {
            continue;
        }
        let means_the_same = is_as_locked(locked, files, locked.fingerprint);
        if !(means_the_same && replaceable.contains(&files.id)) {
            changed.push(refuse_case(files, *fingerprint, means_the_same));
            continue;
        }
        tracing::warn!(
            "case {}: its files are not those that the run was begun with; it goes on with the new \
             ones, and {DATASET_LOCK} names them",
            files.id
        );
        let before = std::mem::replace(&mut locked.fingerprint, *fingerprint);
        lock.replaced.push(ReplacedCase { id: files.id.clone(), before, next_sample });
    }
    if changed.is_empty() { Ok(()) } else { Err(Failure::Cases(changed)) }
}

fn refuse_case(files: &CaseFiles, now: Fingerprint, means_the_same: bool) -> CaseError {
    let remedy = match means_the_same {
        true => {
            "bring them back, or go on with the new ones with --accept-changed, or begin another run"
        }
        false => "bring them back, or begin another run",
    };
    changed_files_error(files, now, "was begun with", remedy)
}
