//! Training of a search's trials up to the ends of rungs, and their ranking by validation.

use std::path::Path;

use serde_json::json;

use crate::actor::StopState;
use crate::base::{Fingerprint, fs, sync_folder, sync_to_disk};
use crate::experiment::config::{Repetition, TrialPosition};
use crate::experiment::graph::GraphStep;
use crate::experiment::graph::step::{RankWork, TrialRef, TrialWork};
use crate::experiment::runner::{StepRunner, Study};
use crate::experiment::step_outcome::{OUTCOME, RankedTrial, StepResult};
use crate::experiment::tuning::halving::rank_trials;
use crate::experiment::work::choose::mean_dice;
use crate::experiment::work::train::check_settings;
use crate::run::cohort::read_lock;
use crate::run::config::CheckedConfig;
use crate::run::resume::{self, ResumeOptions};
use crate::run::train::{self, RunDestination};
use crate::run::{CheckpointChoice, Ensemble, Failure, ending};
use crate::run_folder::{CONFIG, RunDirectory, SUMMARY};

impl StepRunner<'_> {
    /// Trains a trial up to the end of its rung. One of a higher rung begins with a copy of its run as the
    /// rung below left it.
    ///
    /// # Errors
    /// As a training, and if the ranking of the rung below is gone.
    pub(in crate::experiment) fn train_trial(
        &self,
        step: &GraphStep,
        work: &TrialWork,
    ) -> Result<(Fingerprint, StepResult), Failure> {
        let folder = self.study.folder.step_folder(step);
        let number = match &work.trial {
            TrialRef::Drawn { number, .. } => *number,
            TrialRef::Promoted { ranking, place } => {
                let ranked = self.study.ranked_trial(*ranking, *place)?;
                if !folder.join(CONFIG).is_file() {
                    copy_run(&self.study.folder_of(ranked.train), &folder)?;
                }
                ranked.number
            }
        };
        let config = self.study.trial_config(work, number)?;
        let locked = read_lock(&self.study.folder_of(step.inputs[0]))?;
        let ended = self.train_to_pause(&folder, &config, || self.check_cases(&locked));
        match ended {
            // Nobody asked: the run has paused.
            Err(Failure::Stopped(_)) if self.session.stop.state() == StopState::Running => {}
            other => other?,
        }
        self.check_division(&folder, &locked)?;
        let (_, steps) = CheckpointChoice::Latest.find_in_run(&folder)?;
        let weights = Ensemble::of_run(&folder).resolve(&[])?.fingerprint()?;
        Ok((weights, StepResult::TrialTrained { number, steps }))
    }

    fn train_to_pause(
        &self,
        folder: &Path,
        config: &CheckedConfig,
        check_cases: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if !folder.join(CONFIG).is_file() {
            check_cases()?;
            let destination = RunDestination::Exactly(folder.to_path_buf());
            return train::train(config, &destination, self.session).map(drop);
        }
        check_settings(folder, config)?;
        if folder.join(SUMMARY).is_file() {
            return Ok(ending::complete_ended_run(&RunDirectory::lock_existing(folder)?).map(drop)?);
        }
        let assignments = [
            format!("train.pause_after={}", config.run.train.pause_after),
            format!("device={}", json!(config.run.device)),
            format!("loader.skip_share={}", json!(config.run.loader.skip_share)),
        ];
        let options = ResumeOptions { assignments: &assignments, accepts_changed: false };
        resume::resume_run(folder, options, self.session).map(drop)
    }

    /// Ranks the trials of a rung by their mean Dice on the validation cases.
    ///
    /// # Errors
    /// If an outcome or a score is gone.
    pub(in crate::experiment) fn rank_trials(
        &self,
        work: &RankWork,
    ) -> Result<(Fingerprint, StepResult), Failure> {
        let mut trials = Vec::new();
        for trial in &work.trials {
            let StepResult::TrialTrained { number, .. } =
                self.study.outcome_of(trial.train)?.result
            else {
                unreachable!("trials are trained by their own steps");
            };
            let dice = mean_dice(&[self.study.scores_of(trial.score)?]);
            trials.push(RankedTrial { number, train: trial.train, dice });
        }
        let scores: Vec<(u64, f64)> =
            trials.iter().map(|trial| (trial.number, trial.dice)).collect();
        let order = rank_trials(&scores);
        let place = |trial: &RankedTrial| order.iter().position(|number| *number == trial.number);
        trials.sort_by_key(place);
        Ok((Fingerprint::of_config(&trials), StepResult::Ranked { trials }))
    }
}

impl Study<'_> {
    /// The trial at a place of a ranking.
    ///
    /// # Errors
    /// If its outcome is gone.
    pub(in crate::experiment) fn ranked_trial(
        &self,
        ranking: Fingerprint,
        place: usize,
    ) -> Result<RankedTrial, Failure> {
        match self.outcome_of(ranking)?.result {
            StepResult::Ranked { mut trials } => Ok(trials.swap_remove(place)),
            _ => unreachable!("places are asked of rankings"),
        }
    }

    /// Settings of a trial.
    ///
    /// # Errors
    /// If no run takes them.
    pub(in crate::experiment) fn trial_config(
        &self,
        work: &TrialWork,
        number: u64,
    ) -> Result<CheckedConfig, Failure> {
        let tuning =
            self.experiment.text.tuning.as_ref().expect("a study with trials has a search");
        let place = Repetition { seed: 0, own_data: self.own_data, fold: work.fold };
        self.experiment.trial_config(
            tuning,
            place,
            TrialPosition { number, pause_after: work.epochs },
        )
    }
}

/// Copies a run as its last checkpoint left it. The configuration comes last: a folder that has it can be
/// resumed, and what a killed process copied of one is copied again.
fn copy_run(from: &Path, to: &Path) -> Result<(), Failure> {
    let is_own = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with('.') || [OUTCOME, CONFIG].contains(&name.as_ref())
    };
    for path in fs::list_dir(from)?.into_iter().filter(|path| !is_own(path)) {
        copy_tree(&path, &to.join(path.file_name().unwrap_or_default()))?;
    }
    sync_folder(to)?;
    copy_tree(&from.join(CONFIG), &to.join(CONFIG))?;
    Ok(sync_folder(to)?)
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), Failure> {
    if !from.is_dir() {
        fs::copy(from, to)?;
        return Ok(sync_to_disk(to)?);
    }
    fs::create_dir_all(to)?;
    for path in fs::list_dir(from)? {
        copy_tree(&path, &to.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(sync_folder(to)?)
}
