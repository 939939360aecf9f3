//! What the parts of one run share: what was asked for, what was found, and the run's folder.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cache::store::CaseStore;
use crate::eval::assess::Scoring;
use crate::eval::predictor::{OneNetwork, Windows};
use crate::experiment::cohort::Cohort;
use crate::experiment::coming::BadCases;
use crate::experiment::config::CheckedConfig;
use crate::experiment::device::ChosenDevice;
use crate::experiment::evaluate::{self, Evaluation, WholeCases};
use crate::experiment::failure::Failure;
use crate::experiment::prepare::Session;
use crate::nets::Learner;
use crate::pipeline::arrivals::Arrivals;
use crate::pipeline::fetch::Fetch;
use crate::pipeline::loader::CaseSource;
use crate::pipeline::whole::WholeSource;
use crate::train::journal::Journal;
use crate::train::run_directory::RunDirectory;
use crate::train::standing::{Standing, TrainingState};
use crate::volume::case::Split;

/// One run in one process.
pub(super) struct Course<'a> {
    pub(super) config: &'a CheckedConfig,
    pub(super) session: &'a Session,
    pub(super) chosen: ChosenDevice,
    /// Absent in a run without a cache.
    pub(super) store: Option<Arc<CaseStore>>,
    /// What is on its way into it.
    pub(super) arrivals: Arrivals,
    /// Those that turn out to be bad.
    pub(super) bad_cases: BadCases,
    pub(super) cohort: Cohort,
    pub(super) directory: RunDirectory,
    pub(super) journal: Journal,
    /// Whether an earlier process began it.
    pub(super) resumed: bool,
    /// The checkpoint to go on from.
    pub(super) start: Option<(PathBuf, TrainingState)>,
}

impl<'a> Course<'a> {
    /// A run that this process begins.
    pub(super) fn begun(
        config: &'a CheckedConfig,
        session: &'a Session,
        chosen: ChosenDevice,
        store: Option<Arc<CaseStore>>,
        cohort: Cohort,
        directory: RunDirectory,
        journal: Journal,
    ) -> Result<Self, Failure> {
        let bad_cases = BadCases::among(&cohort.lock, store.as_ref())?;
        let arrivals = Arrivals::default();
        let (resumed, start) = (false, None);
        Ok(Self {
            config,
            session,
            chosen,
            store,
            arrivals,
            bad_cases,
            cohort,
            directory,
            journal,
            resumed,
            start,
        })
    }

    /// Where the loader has its cases from.
    pub(super) fn case_source(&self) -> CaseSource {
        match &self.store {
            Some(store) => {
                CaseSource::Cache { store: Arc::clone(store), arrivals: self.arrivals.clone() }
            }
            None => CaseSource::Files { largest: self.cohort.largest },
        }
    }

    /// Scores the held-out cases.
    pub(super) fn score(&self, learner: &dyn Learner) -> Result<Evaluation, Failure> {
        let (run, session) = (&self.config.run, self.session);
        let preprocess = run.data.preprocess.clone();
        let source = match &self.store {
            Some(store) => {
                let fetch = Fetch::new(Arc::clone(store), preprocess, session.stop.clone());
                WholeSource::Cache(fetch.waiting_for(self.arrivals.clone()))
            }
            None => WholeSource::Files(preprocess),
        };
        let windows = Windows { extent: run.crop.patch, sliding: run.evaluation.clone() };
        let mut predictor = OneNetwork { network: learner.network(), windows };
        let (files, part) = (self.cohort.held_out.clone(), Split::Validation);
        let cases = WholeCases { files, source, part };
        evaluate::on_cases(&mut predictor, cases, &Scoring::default(), session)
    }

    /// What is not lost if the run is stopped after a checkpoint, in words.
    pub(super) fn kept(&self, standing: &Standing, steps: u64) -> String {
        let run = self.directory.path().display();
        let step = standing.step;
        format!(
            "{step} of {steps} steps are safe in {run}/checkpoints/step-{step:07}; `gliaflow train \
             --resume {run}` goes on"
        )
    }
}
