//! Ingest of a study's cases: found or drawn, brought into the cache, divided once for all its runs,
//! and locked.

use crate::base::{Fingerprint, write_json};
use crate::experiment::graph::GraphStep;
use crate::experiment::outcome::CaseCounts;
use crate::experiment::runner::{StepRunner, Study};
use crate::experiment::step_outcome::StepResult;
use crate::run::config::RunConfig;
use crate::run::phantoms::write_phantoms;
use crate::run::{Failure, Session, cohort, prepare};
use crate::run_folder::{DATASET_LOCK, DatasetLock};
use crate::volume::Split;

impl StepRunner<'_> {
    /// Draws phantoms if the study asks for them, ingests every case and divides them. The step's
    /// folder gets the lock, which names every case.
    ///
    /// # Errors
    /// If there is no usable case, a part that the study needs is empty, or the session is stopped.
    pub(in crate::experiment) fn ingest_cases(
        &self,
        step: &GraphStep,
    ) -> Result<(Fingerprint, StepResult), Failure> {
        let study = self.study;
        let experiment = study.experiment;
        let mut run = experiment.shared_config(study.first_place())?.run;
        if !run.loader.cached {
            return Err(Failure::Usage(format!(
                "{}: loader.cached = false is impossible with a study, whose cases and labels lie in \
                 the cache; leave it out",
                experiment.file.display()
            )));
        }
        if let Some(phantoms) = &experiment.text.cohort.phantoms {
            let config = phantoms.phantom_config();
            write_phantoms(&run.data.folder, &config, phantoms.cases, self.session)?;
        }
        // Every case is needed, those of the test as well, and a bad one is to be known now.
        run.data.ingest_first = true;
        let lock = lock_cases(&run, self.session)?;
        check_parts(study, &lock)?;
        write_json(&study.folder.step_folder(step).join(DATASET_LOCK), &lock)?;
        let content = Fingerprint::of_config(&(&lock.cases, &run.data.preprocess));
        self.knows_cases.set(true);
        let count = |part| lock.case_count(part);
        let counts = CaseCounts {
            train: count(Split::Train),
            validation: count(Split::Validation),
            test: count(Split::Test),
            unlabelled: count(Split::Unlabelled),
        };
        Ok((content, StepResult::Ingested(counts)))
    }

    /// Fails if the cases are not those that were ingested. They are looked at once in a process.
    ///
    /// # Errors
    /// If so, or the session is stopped.
    pub(in crate::experiment) fn check_cases(&self, locked: &DatasetLock) -> Result<(), Failure> {
        if self.knows_cases.replace(true) {
            return Ok(());
        }
        let run = self.study.experiment.shared_config(self.study.first_place())?.run;
        let now = lock_cases(&run, self.session)?;
        let is_new = |lock: &DatasetLock, other: &DatasetLock| {
            lock.cases.iter().find(|case| !other.cases.contains(case)).map(|case| case.id.clone())
        };
        let Some(case) = is_new(locked, &now).or_else(|| is_new(&now, locked)) else {
            return Ok(());
        };
        Err(Failure::Usage(format!(
            "{}: case {case} is not as it was when the study's cases were ingested; bring it back, or \
             begin another study with --out",
            run.data.folder.display()
        )))
    }
}

fn lock_cases(run: &RunConfig, session: &Session) -> Result<DatasetLock, Failure> {
    let store = prepare::open_store(&run.data.cache, &run.data.preprocess)?;
    Ok(cohort::build_cohort(run, Some(&store), session)?.lock)
}

/// Fails if a part that the study's steps need has no case.
fn check_parts(study: &Study<'_>, lock: &DatasetLock) -> Result<(), Failure> {
    let mut needed = vec![Split::Train, Split::Validation];
    match study.experiment.text.folds {
        None => needed.extend([Split::Test, Split::Unlabelled]),
        Some(_) if study.listing.has_test_part => needed.push(Split::Test),
        Some(_) => {}
    }
    let Some(part) = needed.into_iter().find(|part| lock.case_count(*part) == 0) else {
        return Ok(());
    };
    Err(Failure::Usage(format!(
        "{}: of {} usable cases none is for {}; a study needs some in each part: give it more cases, \
         or larger shares in base.data.shares",
        study.experiment.file.display(),
        lock.cases.len(),
        part.name()
    )))
}
