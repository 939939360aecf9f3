//! What the parts of one run share: what was asked for, what was found, and the run's folder.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cache::store::CaseStore;
use crate::experiment::cohort::Cohort;
use crate::experiment::config::CheckedConfig;
use crate::experiment::device::ChosenDevice;
use crate::experiment::evaluate::{self, Evaluation};
use crate::experiment::failure::Failure;
use crate::experiment::prepare::Session;
use crate::nets::Learner;
use crate::pipeline::fetch::Fetch;
use crate::train::journal::Journal;
use crate::train::run_directory::RunDirectory;
use crate::train::standing::{Standing, TrainingState};

/// One run in one process.
pub(super) struct Course<'a> {
    pub(super) config: &'a CheckedConfig,
    pub(super) session: &'a Session,
    pub(super) chosen: ChosenDevice,
    pub(super) store: Arc<CaseStore>,
    pub(super) cohort: Cohort,
    pub(super) directory: RunDirectory,
    pub(super) journal: Journal,
    /// Whether an earlier process began it.
    pub(super) resumed: bool,
    /// The checkpoint to go on from.
    pub(super) start: Option<(PathBuf, TrainingState)>,
}

impl Course<'_> {
    /// Scores the held-out cases.
    pub(super) fn score(&self, learner: &dyn Learner) -> Result<Evaluation, Failure> {
        let (run, session) = (&self.config.run, self.session);
        let store = Arc::clone(&self.store);
        let fetch = Fetch::new(store, run.data.preprocess.clone(), session.stop.clone());
        let network = learner.network();
        let (cases, window) = (self.cohort.held_out.clone(), run.crop.patch);
        evaluate::on_cases(network.as_ref(), cases, fetch, window, &run.evaluation, session)
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
