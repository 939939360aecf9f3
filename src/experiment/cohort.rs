//! Cohort of an experiment: found or drawn, ingested, divided once for all its runs, and locked.

use std::path::Path;
use std::sync::Arc;

use crate::base::{Fingerprint, write_json};
use crate::brats::CaseFiles;
use crate::cache::{CaseStore, PreprocessConfig};
use crate::experiment::config::{ExperimentConfig, Repetition};
use crate::pipeline::Fetch;
use crate::pipeline::whole_case::WholeCaseSource;
use crate::run::phantoms::write_phantoms;
use crate::run::{Failure, Session, cohort, prepare};
use crate::run_folder::{DATASET_LOCK, DatasetLock};
use crate::volume::Split;

/// The cases of an experiment, all of them in the cache.
pub struct ExperimentCohort {
    /// Every case, its fingerprint and its part.
    pub lock: DatasetLock,
    /// Store of their case files.
    pub store: Arc<CaseStore>,
    found: Vec<CaseFiles>,
    preprocess: PreprocessConfig,
}

impl ExperimentCohort {
    /// Draws phantoms if the experiment asks for them, ingests every case and divides them. `out`
    /// gets the lock, which names every case.
    ///
    /// # Errors
    /// If there is no usable case, a part that the experiment needs is empty, or the session is stopped.
    pub fn ingest_and_split(
        experiment: &ExperimentConfig,
        place: Repetition<'_>,
        out: &Path,
        session: &Session,
    ) -> Result<Self, Failure> {
        let mut run = experiment.shared_config(place)?.run;
        if !run.loader.cached {
            return Err(Failure::Usage(format!(
                "{}: loader.cached = false is impossible with a study, whose cases and labels lie in \
                 the cache; leave it out",
                experiment.file.display()
            )));
        }
        if let Some(phantoms) = &experiment.text.cohort.phantoms {
            write_phantoms(&run.data.folder, &phantoms.phantom_config(), phantoms.cases, session)?;
        }
        // Every case is needed, those of the test as well, and a bad one is to be known now.
        run.data.ingest_first = true;
        let preprocess = run.data.preprocess.clone();
        let store = prepare::open_store(&run.data.cache, &preprocess)?;
        let found = run.discover_in(&run.data.folder)?.cases;
        let lock = cohort::build_cohort(&run, Some(&store), session)?.lock;
        for part in [Split::Train, Split::Validation, Split::Test, Split::Unlabelled] {
            if lock.files_in_split(&found, part).is_empty() {
                let cases = lock.cases.len();
                return Err(Failure::Usage(format!(
                    "{}: of {cases} usable cases none is for {}; a study needs some in each part: \
                     give it more cases, or larger shares in base.data.shares",
                    experiment.file.display(),
                    part.name()
                )));
            }
        }
        write_json(&out.join(DATASET_LOCK), &lock)?;
        Ok(Self { lock, store, found, preprocess })
    }

    /// The files of one part, in the lock's order.
    pub fn files_of_split(&self, part: Split) -> Vec<CaseFiles> {
        self.lock.files_in_split(&self.found, part)
    }

    /// Whole cases out of the cache.
    pub fn whole_case_source(&self, session: &Session) -> WholeCaseSource {
        let store = Arc::clone(&self.store);
        WholeCaseSource::Cache(Fetch::new(store, self.preprocess.clone(), session.stop.clone()))
    }

    /// Fingerprint of the cases of one split: their files and their preprocessing.
    pub fn fingerprint_of(&self, part: Split) -> Fingerprint {
        let own: Vec<_> = self.lock.cases.iter().filter(|case| case.split == part).collect();
        Fingerprint::of_config(&(own, &self.preprocess))
    }
}
