//! Runner of a study's steps: one by name, or all in order. What a step needs is in the folders of its
//! inputs, so that any process that sees the study's folder can do any step.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use crate::base::{Fingerprint, ProgressTask, fs};
use crate::experiment::config::{ExperimentConfig, Repetition};
use crate::experiment::graph::listing::CaseListing;
use crate::experiment::graph::protocol::build_graph;
use crate::experiment::graph::step::{EnsembleRef, NetworkRef};
use crate::experiment::graph::{GraphStep, StepKind, StepWork, StudyGraph};
use crate::experiment::step_outcome::{StepOutcome, StepResult, input_contents};
use crate::experiment::step_state;
use crate::experiment::study_folder::{StepEvent, StudyFolder};
use crate::run::{Ensemble, Failure, Member, Session};

/// Study with its cases, its graph and its folder.
pub struct Study<'a> {
    /// The study's settings.
    pub experiment: &'a ExperimentConfig,
    /// Cases as they are found.
    pub listing: CaseListing,
    /// Steps.
    pub graph: StudyGraph,
    /// Folder of the steps.
    pub folder: StudyFolder,
    /// The study's folder, where it draws its cases itself.
    pub own_data: Option<&'a Path>,
}

impl<'a> Study<'a> {
    /// Lists the cases of a study and builds its graph; nothing is written.
    ///
    /// # Errors
    /// If the settings do not fit.
    pub fn plan_graph(experiment: &'a ExperimentConfig, out: &'a Path) -> Result<Self, Failure> {
        let own_data = experiment.text.cohort.phantoms.as_ref().map(|_| out);
        let place = Repetition { own_data, ..Repetition::default() };
        let listing = CaseListing::list_cases(experiment, place)?;
        let graph = build_graph(experiment, own_data, &listing)?;
        Ok(Self { experiment, listing, graph, folder: StudyFolder::new(out), own_data })
    }

    /// Place of a run of the first repetition.
    pub fn first_place(&self) -> Repetition<'a> {
        Repetition { own_data: self.own_data, ..Repetition::default() }
    }

    /// Outcome of a step, which is there.
    ///
    /// # Errors
    /// If it is not, or the disk refuses it.
    pub fn outcome_of(&self, step: Fingerprint) -> Result<StepOutcome, Failure> {
        let found = self.graph.find_step(step).expect("a step's inputs are in its graph");
        StepOutcome::read(&self.folder, found)?.ok_or_else(|| self.missing_input(found))
    }

    /// Folder of a step.
    ///
    /// # Panics
    /// If the step is not in the graph.
    pub fn folder_of(&self, step: Fingerprint) -> PathBuf {
        let found = self.graph.find_step(step).expect("a step's inputs are in its graph");
        self.folder.step_folder(found)
    }

    /// Networks that predict together, in the folders of the steps that trained them.
    pub fn ensemble_of(&self, ensemble: &EnsembleRef) -> Ensemble {
        let members = ensemble.members.iter();
        let members = members
            .map(|member| Member { run: self.folder_of(member.train), weight: member.weight });
        Ensemble {
            members: members.collect(),
            which: ensemble.checkpoint,
            mirrored: ensemble.mirrored,
        }
    }

    /// Name of a network, as it was named or chosen.
    ///
    /// # Errors
    /// If the choice is not made.
    pub fn network_name(&self, network: &NetworkRef) -> Result<String, Failure> {
        match network {
            NetworkRef::Named(name) => Ok(name.clone()),
            NetworkRef::Chosen(choose) => match self.outcome_of(*choose)?.result {
                StepResult::Chosen { network } => Ok(network),
                _ => unreachable!("a choice is asked of a step that chooses"),
            },
        }
    }

    fn missing_input(&self, input: &GraphStep) -> Failure {
        Failure::Usage(format!(
            "{}: `{}` is not done, which this step needs; do it with `gliaflow experiment {} --out {} \
             --step {}`",
            self.folder.step_folder(input).display(),
            input.display_name(),
            self.experiment.file.display(),
            self.folder.path().display(),
            input.fingerprint.short_hex(12)
        ))
    }
}

/// End of a step.
#[derive(Debug, Serialize)]
pub struct StepEnd {
    /// Outcome of the step.
    pub outcome: StepOutcome,
    /// Seconds of its work in this process; absent if it was found done.
    pub seconds: Option<f64>,
}

/// Runner of the steps of one study in this process.
pub struct StepRunner<'a> {
    /// The study.
    pub study: &'a Study<'a>,
    /// Stop, progress, life cycles.
    pub session: &'a Session,
    /// True once this process has seen that the cases are those of the ingest.
    pub(in crate::experiment) knows_cases: Cell<bool>,
}

impl<'a> StepRunner<'a> {
    /// A runner of `study`, whose folder is made.
    ///
    /// # Errors
    /// If it cannot be made, or the cases are not there.
    pub fn new(study: &'a Study<'a>, session: &'a Session) -> Result<Self, Failure> {
        study.listing.check_is_there()?;
        fs::create_dir_all(study.folder.path())?;
        Ok(Self { study, session, knows_cases: Cell::new(false) })
    }

    /// Does every step, in order. A stop on request keeps what was done.
    ///
    /// # Errors
    /// As the steps.
    pub fn perform_all(&self) -> Result<(), Failure> {
        let steps = self.study.graph.steps();
        let task = self.session.progress.begin_task("experiment", "steps", 0..steps.len() as u64);
        for (done, step) in (0..).zip(steps) {
            let task: &dyn ProgressTask = task.as_ref();
            task.advance_to(done, &step.display_name());
            self.perform_step(step)?;
            task.advance_to(done + 1, &step.display_name());
        }
        Ok(())
    }

    /// Does one step whose inputs are done. One that is done is kept, unless its inputs have other
    /// contents than it took. Annotations lie in the cache, not in the study's folder, and are looked for
    /// again; tables are made anew. Another process at the same step is waited for.
    ///
    /// # Errors
    /// If an input is not done; as its work; if the session is stopped, which keeps what was done.
    pub fn perform_step(&self, step: &GraphStep) -> Result<StepEnd, Failure> {
        let study = self.study;
        for input in study.graph.inputs_of(step) {
            if StepOutcome::read(&study.folder, input)?.is_none() {
                return Err(study.missing_input(input));
            }
        }
        let lock = study.folder.lock_step(step, self.session)?;
        let inputs = input_contents(&study.folder, &study.graph, step)?.unwrap_or_default();
        let earlier = StepOutcome::read(&study.folder, step)?;
        let is_kept = |outcome: &StepOutcome| {
            let is_looked_at_again = matches!(step.kind, StepKind::Label | StepKind::Table);
            !is_looked_at_again && outcome.has_inputs(&inputs)
        };
        if let Some(outcome) = earlier.filter(is_kept) {
            study.folder.record_event(step, StepEvent::Kept, None)?;
            return Ok(StepEnd { outcome, seconds: None });
        }
        lock.name_holder()?;
        let is_begun = step_state::has_work(&study.folder, step)?;
        let event = if is_begun { StepEvent::Resumed } else { StepEvent::Begun };
        study.folder.record_event(step, event, None)?;
        let since = Instant::now();
        let outcome = self.do_work(step, inputs).map_err(|failure| match failure {
            Failure::Stopped(_) => Failure::Stopped(format!(
                "what was done of `{}` is kept; the same command goes on with it",
                step.display_name()
            )),
            other => other,
        })?;
        outcome.publish_in(&study.folder.step_folder(step))?;
        let seconds = since.elapsed().as_secs_f64();
        study.folder.record_event(step, StepEvent::Done, Some(seconds))?;
        drop(lock);
        Ok(StepEnd { outcome, seconds: Some(seconds) })
    }

    fn do_work(
        &self,
        step: &GraphStep,
        inputs: BTreeMap<String, Fingerprint>,
    ) -> Result<StepOutcome, Failure> {
        let (content, result): (Fingerprint, StepResult) = match &step.work {
            StepWork::Ingest(_) => self.ingest_cases(step)?,
            StepWork::Train(work) => self.train_run(step, work)?,
            StepWork::Score(work) => self.score_cases(step, work)?,
            StepWork::Label(work) => self.label_cases(work)?,
            StepWork::Choose(work) => self.choose_network(work)?,
            StepWork::Trial(work) => self.train_trial(step, work)?,
            StepWork::Rank(work) => self.rank_trials(work)?,
            StepWork::Table(work) => self.write_paper_table(step, work)?,
            StepWork::FoldTable(work) => self.write_fold_table(step, work)?,
            StepWork::TuningTable(work) => self.write_tuning_table(work)?,
        };
        Ok(StepOutcome {
            kind: step.kind,
            subject: step.subject.clone(),
            fingerprint: step.fingerprint,
            inputs,
            content,
            result,
        })
    }
}
