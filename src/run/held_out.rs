//! Check of the cases that a run holds out, before its first step: a bad one would otherwise be
//! found by a validation, hours later.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::actor::SkipBudget;
use crate::base::Fault;
use crate::brats::CaseFiles;
use crate::cache::CaseStore;
use crate::pipeline::Fetch;
use crate::pipeline::whole_case::WholeCaseSource;
use crate::run::config::RunConfig;
use crate::run::dataset_scan::ScannedCase;
use crate::run::evaluate::process_each_case;
use crate::run::skipped_cases::advice_before_run;
use crate::run::{Failure, Session, prepare};
use crate::run_folder::{DatasetLock, ExcludedCase};
use crate::volume::{CaseId, Split};

/// Access to the cases of a run that has not begun.
#[derive(Clone, Copy)]
pub(super) struct HeldOutCheck<'a> {
    pub(super) run: &'a RunConfig,
    /// Absent in a run without a cache.
    pub(super) store: Option<&'a Arc<CaseStore>>,
    pub(super) session: &'a Session,
}

/// Locks the usable cases with `lock_cases` so that every held-out one can be read. Bad ones go to
/// `excluded` and into the quarantine, and the others are split again, as every later run splits
/// them.
///
/// # Errors
/// Those of `lock_cases`; if more cases are bad than the run's budget of skips allows.
pub(super) fn lock_good_cases(
    usable: &mut Vec<ScannedCase>,
    excluded: &mut Vec<ExcludedCase>,
    check: HeldOutCheck<'_>,
    mut lock_cases: impl FnMut(&[ScannedCase], &[ExcludedCase]) -> Result<DatasetLock, Failure>,
) -> Result<DatasetLock, Failure> {
    let before = excluded.len();
    let mut good = BTreeSet::new();
    loop {
        let lock = lock_cases(usable, excluded)?;
        let files: Vec<CaseFiles> = usable.iter().map(|case| case.files.clone()).collect();
        let mut held_out = lock.files_in_split(&files, Split::Validation);
        held_out.retain(|files| !good.contains(&files.id));
        good.extend(held_out.iter().map(|files| files.id.clone()));
        let bad = check.find_bad_cases(held_out)?;
        if bad.is_empty() {
            if check.store.is_some() {
                usable.iter_mut().for_each(|case| case.is_cached |= good.contains(&case.files.id));
            }
            return Ok(lock);
        }
        for left_out in bad {
            good.remove(&left_out.case);
            check.exclude_case(usable, &left_out)?;
            excluded.push(left_out);
        }
        check.check_budget(&excluded[before..], good.len())?;
    }
}

impl HeldOutCheck<'_> {
    /// Reads every one of `cases` to its last voxel, into the cache if there is one, and returns
    /// those that cannot be used.
    fn find_bad_cases(self, cases: Vec<CaseFiles>) -> Result<Vec<ExcludedCase>, Failure> {
        let Self { run, store, session } = self;
        let preprocess = &run.data.preprocess;
        let Some(store) = store else { return self.find_bad_files(cases) };
        let ingested = prepare::ingest_unrecorded(
            &cases,
            store,
            preprocess,
            &run.ingest_resources(),
            session,
        )?;
        prepare::fail_if_stopped(&session.stop, "nothing was begun")?;
        let mut bad = ingested.excluded;
        let known: BTreeSet<CaseId> = bad.iter().map(|one| one.case.clone()).collect();
        // Ingest asks only if a case file is current; this reads it, and mends a damaged one.
        let fetch = Fetch::new(Arc::clone(store), preprocess.clone(), session.stop.clone());
        for files in cases.into_iter().filter(|files| !known.contains(&files.id)) {
            if let Err(error) = fetch.mapped_case(&files) {
                prepare::fail_if_stopped(&session.stop, "nothing was begun")?;
                bad.push(ExcludedCase { case: files.id, error });
            }
        }
        Ok(bad)
    }

    /// Reads the cases of a run without a cache.
    fn find_bad_files(self, cases: Vec<CaseFiles>) -> Result<Vec<ExcludedCase>, Failure> {
        let Self { run, session, .. } = self;
        if cases.is_empty() {
            return Ok(Vec::new());
        }
        let mut bad = Vec::new();
        let ids: Vec<CaseId> = cases.iter().map(|files| files.id.clone()).collect();
        let source = WholeCaseSource::Files(run.data.preprocess.clone());
        let feed = source.start_topology(cases, &session.stop, &session.runtime)?;
        let mut place = 0;
        process_each_case("check", ids.len(), feed, session, |outcome| {
            let id = ids[place].clone();
            place += 1;
            if let Err(skip) = outcome {
                bad.push(ExcludedCase { case: id.clone(), error: skip.error });
            }
            Ok(id)
        })?;
        Ok(bad)
    }

    /// Takes a bad case out of the usable ones, says so, and quarantines it.
    fn exclude_case(
        self,
        usable: &mut Vec<ScannedCase>,
        left_out: &ExcludedCase,
    ) -> Result<(), Failure> {
        let ExcludedCase { case, error } = left_out;
        tracing::warn!("left out, and not held out: {error}");
        let place = usable.iter().position(|scanned| scanned.files.id == *case);
        let scanned = place.map(|place| usable.remove(place));
        if let (Some(scanned), Some(store)) = (scanned, self.store) {
            prepare::quarantine_case(store, case, Some(scanned.fingerprint), error)?;
        }
        Ok(())
    }

    /// Refuses to leave out more cases than the run's budget of skips allows.
    fn check_budget(self, bad: &[ExcludedCase], good: usize) -> Result<(), Failure> {
        let skipped = bad.len() as u64;
        let issued = skipped + good as u64;
        let share = self.run.loader.skip_share;
        let budget = SkipBudget { share, ..SkipBudget::OF_TRAINING }.allowed_skips(issued);
        match bad.last() {
            Some(ExcludedCase { error, .. }) if skipped > budget => {
                let last = error.clone();
                let fault = Box::new(Fault::TooManySkipped { skipped, issued, budget, last });
                let advice = advice_before_run(skipped, issued, &self.run.data.folder);
                Err(Failure::TooManySkipped { fault, advice })
            }
            _ => Ok(()),
        }
    }
}
