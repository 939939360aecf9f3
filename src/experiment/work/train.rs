//! Training of a study's run, in the folder of its step.

use std::path::Path;

use serde_json::json;

use crate::base::{Fault, Fingerprint};
use crate::experiment::config::Repetition;
use crate::experiment::config_file::NetworkSection;
use crate::experiment::graph::GraphStep;
use crate::experiment::graph::step::{EpochLength, NetworkRef, TrainWork};
use crate::experiment::runner::StepRunner;
use crate::experiment::step_outcome::StepResult;
use crate::run::cohort::read_lock;
use crate::run::config::{self, CheckedConfig};
use crate::run::resume::{self, ResumeOptions};
use crate::run::train::{self, RunDestination};
use crate::run::{Ensemble, Failure, ending};
use crate::run_folder::{self, CONFIG, DatasetLock, RunDirectory, RunSummary, SUMMARY};
use crate::volume::Split;

impl StepRunner<'_> {
    /// Trains a run to its end.
    ///
    /// # Errors
    /// As [`train::train`], and if the run's cases or settings are not the study's.
    pub(in crate::experiment) fn train_run(
        &self,
        step: &GraphStep,
        work: &TrainWork,
    ) -> Result<(Fingerprint, StepResult), Failure> {
        let config = self.train_config(step, work)?;
        let folder = self.study.folder.step_folder(step);
        let locked = read_lock(&self.study.folder_of(step.inputs[0]))?;
        if folder.join(CONFIG).is_file() {
            check_settings(&folder, &config)?;
        }
        if folder.join(SUMMARY).is_file() {
            ending::complete_ended_run(&RunDirectory::lock_existing(&folder)?)?;
        } else if folder.join(CONFIG).is_file() {
            // It may go on elsewhere; what decides its result is in its folder.
            let device = json!(config.run.device);
            let skip_share = json!(config.run.loader.skip_share);
            let assignments =
                [format!("device={device}"), format!("loader.skip_share={skip_share}")];
            let options = ResumeOptions { assignments: &assignments, accepts_changed: false };
            resume::resume_run(&folder, options, self.session)?;
        } else {
            self.check_cases(&locked)?;
            train::train(&config, &RunDestination::Exactly(folder.clone()), self.session)?;
        }
        check_division(&folder, &locked, work.fold.is_some())?;
        let file = folder.join(SUMMARY);
        let summary: Option<RunSummary> = run_folder::read_json(&file)?;
        let summary =
            summary.ok_or_else(|| Fault::from_io(&file, &std::io::ErrorKind::NotFound.into()))?;
        let weights = Ensemble::of_run(&folder).resolve(&[])?.fingerprint()?;
        Ok((weights, StepResult::Trained { steps: summary.steps }))
    }

    /// Settings of a training step, with what its inputs' outcomes decide filled in.
    fn train_config(&self, step: &GraphStep, work: &TrainWork) -> Result<CheckedConfig, Failure> {
        let experiment = self.study.experiment;
        let network = self.trained_network(&work.network)?;
        let place =
            Repetition { seed: work.repetition, own_data: self.study.own_data, fold: work.fold };
        let mut assignments = Vec::new();
        if work.length == EpochLength::OfAllCases {
            let plain = experiment.run_config(network, &work.settings, place, &[])?.run;
            let StepResult::Ingested(counts) = self.study.outcome_of(step.inputs[0])?.result else {
                unreachable!("the first input of a training is the ingest");
            };
            let cases = (counts.train + counts.unlabelled) as u64;
            let samples = cases * plain.loader.patches_per_case;
            let per_epoch = plain.train.epoch_steps(samples, plain.loader.batch);
            assignments.push(format!("train.steps_per_epoch={per_epoch}"));
        }
        if let Some(share) = work.labelled_fraction {
            assignments.push(format!("data.labelled_fraction={share:?}"));
        }
        if let Some(teaching) = &work.teaching {
            let StepResult::Labelled { teacher, .. } =
                self.study.outcome_of(teaching.label)?.result
            else {
                unreachable!("a teacher's step annotates");
            };
            assignments.push(format!("data.pseudo.teacher=\"{teacher}\""));
            assignments.push(format!("data.pseudo.targets=\"{}\"", teaching.targets.name()));
            assignments.extend(teaching.share.map(|share| format!("data.pseudo.share={share}")));
        }
        experiment.run_config(network, &work.settings, place, &assignments)
    }

    /// Network that a step trains, as it was named or chosen.
    pub(in crate::experiment) fn trained_network(
        &self,
        network: &NetworkRef,
    ) -> Result<&NetworkSection, Failure> {
        let name = self.study.network_name(network)?;
        let found = self.study.experiment.find_network(&name);
        Ok(found.expect("a study's networks are checked when it is read"))
    }
}

/// Refuses to go on with a run that was begun with other settings: an input of its step has been done
/// anew since, and has other contents.
fn check_settings(folder: &Path, config: &CheckedConfig) -> Result<(), Failure> {
    let begun = config::load_run_config(folder, &[])?;
    if begun.fingerprint() == config.fingerprint() {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{}: was begun with other settings than its step has now, because a step before it was done \
         anew with another outcome; move the folder away, and the same command trains it again",
        folder.display()
    )))
}

/// Refuses a run with its own division: it would be tested on what another was trained on. Folds divide
/// what the study trains and validates on, and nothing else.
fn check_division(folder: &Path, locked: &DatasetLock, is_fold: bool) -> Result<(), Failure> {
    let kind = |part: Split| match part {
        Split::Validation if is_fold => Split::Train,
        other => other,
    };
    let lock = read_lock(folder)?;
    let mut used = lock.cases.iter().filter(|case| case.split != Split::Unused);
    let moved = used.find(|case| {
        let is_same = |own: &&run_folder::LockedCase| {
            own.id == case.id
                && own.fingerprint == case.fingerprint
                && own.meaning == case.meaning
                && kind(own.split) == kind(case.split)
        };
        !locked.cases.iter().any(|own| is_same(&own))
    });
    let Some(case) = moved else { return Ok(()) };
    Err(Failure::Usage(format!(
        "{}: case {} is in its {} part, and not in the study's; the dataset has changed: begin another \
         study with --out",
        folder.display(),
        case.id,
        case.split.name()
    )))
}
