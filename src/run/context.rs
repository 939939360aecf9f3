//! Context that the parts of one run share: its configuration, its cases, and its folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::actor::EarlierSkips;
use crate::cache::CaseStore;
use crate::eval::{OneNetwork, WindowConfig};
use crate::nets::Learner;
use crate::pipeline::loader::CaseSource;
use crate::pipeline::whole_case::WholeCaseSource;
use crate::pipeline::{Arrivals, Fetch};
use crate::run::cohort::Cohort;
use crate::run::config::CheckedConfig;
use crate::run::device::ChosenDevice;
use crate::run::evaluate::{self, Evaluation, WholeCases};
use crate::run::quarantine_writer::QuarantineWriter;
use crate::run::scored_cases::ScoredCaseFolder;
use crate::run::{Failure, Session};
use crate::run_folder::{Journal, RunDirectory};
use crate::train::{TrainingProgress, TrainingState, checkpoint};
use crate::volume::Split;

/// Context of one run in one process.
pub(super) struct RunContext<'a> {
    pub(super) config: &'a CheckedConfig,
    pub(super) session: &'a Session,
    pub(super) chosen: ChosenDevice,
    /// Absent in a run without a cache.
    pub(super) store: Option<Arc<CaseStore>>,
    /// Cases that are being ingested into the cache.
    pub(super) arrivals: Arrivals,
    /// Quarantine of the cases that turn out to be bad.
    pub(super) bad_cases: QuarantineWriter,
    pub(super) cohort: Cohort,
    pub(super) directory: RunDirectory,
    pub(super) journal: Journal,
    /// True if an earlier process began the run.
    pub(super) resumed: bool,
    /// The checkpoint to go on from.
    pub(super) start: Option<(PathBuf, TrainingState)>,
    /// Skips of earlier processes before it.
    pub(super) earlier_skips: EarlierSkips,
}

impl<'a> RunContext<'a> {
    /// Creates the context of a run that this process begins.
    pub(super) fn new(
        config: &'a CheckedConfig,
        session: &'a Session,
        chosen: ChosenDevice,
        store: Option<Arc<CaseStore>>,
        cohort: Cohort,
        directory: RunDirectory,
        journal: Journal,
    ) -> Result<Self, Failure> {
        if let Some(observer) = &session.event_observer {
            journal.observe_events(observer);
        }
        let bad_cases = QuarantineWriter::for_lock(&cohort.lock, store.as_ref())?;
        Ok(Self {
            config,
            session,
            chosen,
            store,
            arrivals: Arrivals::default(),
            bad_cases,
            cohort,
            directory,
            journal,
            resumed: false,
            start: None,
            earlier_skips: EarlierSkips::default(),
        })
    }

    /// Folder of the run.
    pub(super) fn run_path(&self) -> &Path {
        self.directory.path()
    }

    /// Source of the loader's cases.
    pub(super) fn case_source(&self) -> CaseSource {
        match &self.store {
            Some(store) => {
                CaseSource::Cache { store: Arc::clone(store), arrivals: self.arrivals.clone() }
            }
            None => CaseSource::Files { largest: self.cohort.largest },
        }
    }

    /// Scores the held-out cases with the network as the checkpoint of `step` steps has it. Cases
    /// that an earlier process scored with it are not scored again.
    pub(super) fn score_held_out(
        &self,
        learner: &dyn Learner,
        step: u64,
    ) -> Result<Evaluation, Failure> {
        let run = &self.config.run;
        let session = self.session;
        let preprocess = run.data.preprocess.clone();
        let source = match &self.store {
            Some(store) => {
                let fetch = Fetch::new(Arc::clone(store), preprocess, session.stop.clone());
                WholeCaseSource::Cache(fetch.waiting_for(self.arrivals.clone()))
            }
            None => WholeCaseSource::Files(preprocess),
        };
        let windows = WindowConfig {
            channels: self.config.blueprint.run_channels(),
            extent: run.crop.patch,
            sliding: run.evaluation.clone(),
        };
        let mut predictor = OneNetwork { network: learner.inference_network(), windows };
        let files = self.cohort.held_out.clone();
        let cases = WholeCases { files, source, part: Split::Validation };
        let scored = checkpoint::scored_cases_folder(self.directory.path(), step);
        let folder = ScoredCaseFolder(scored);
        evaluate::evaluate_remaining_cases(&mut predictor, cases, &folder, session)
    }

    /// Text that says which steps a stopped run keeps and how to resume it.
    pub(super) fn resume_hint(&self, standing: &TrainingProgress, steps: u64) -> String {
        let run = self.directory.path().display();
        let step = standing.step;
        format!(
            "{step} of {steps} steps are safe in {run}/checkpoints/step-{step:07}; `gliaflow train \
             --resume {run}` goes on"
        )
    }
}
