//! The table of a search, put together from the outcomes of a study's steps, and the winner's configuration.

use crate::base::{Fingerprint, write_atomically, write_json};
use crate::experiment::config::{Repetition, TrialPosition};
use crate::experiment::graph::table_work::TuningTableWork;
use crate::experiment::runner::{StepRunner, Study};
use crate::experiment::step_outcome::StepResult;
use crate::experiment::tuning_table::{self, RungOutcome, TuningOutcome};
use crate::run::Failure;

impl StepRunner<'_> {
    /// Writes `tuning.md`, `tuning.csv`, `tuning.json` and `best.toml`, the winner's configuration, into the
    /// study's folder.
    ///
    /// # Errors
    /// If an outcome is gone, or the disk does not take the files.
    pub(in crate::experiment) fn write_tuning_table(
        &self,
        work: &TuningTableWork,
    ) -> Result<(Fingerprint, StepResult), Failure> {
        let study = self.study;
        let outcome = study.tuning_outcome(work)?;
        let json = tuning_table::to_json(&outcome);
        let out = study.folder.path();
        let tuning =
            study.experiment.text.tuning.as_ref().expect("a study with trials has a search");
        let place =
            Repetition { fold: work.fold, own_data: study.own_data, ..Repetition::default() };
        let winner = TrialPosition { number: outcome.best().0, pause_after: 0 };
        let best = study.experiment.trial_config(tuning, place, winner)?;
        let explained = format!(
            "# The best of {} trials, as `tuning.md` has them; `gliaflow train --config` takes it.\n{}",
            outcome.trials.len(),
            best.to_toml()?
        );
        write_atomically(&out.join("best.toml"), explained.as_bytes())?;
        write_atomically(&out.join("tuning.md"), tuning_table::to_markdown(&outcome).as_bytes())?;
        write_atomically(&out.join("tuning.csv"), tuning_table::to_csv(&outcome).as_bytes())?;
        write_json(&out.join("tuning.json"), &json)?;
        Ok((Fingerprint::of_config(&json), StepResult::Tabled))
    }
}

impl Study<'_> {
    /// Outcome of a search, whose steps are done.
    ///
    /// # Errors
    /// If an outcome is gone.
    pub fn tuning_outcome(&self, work: &TuningTableWork) -> Result<TuningOutcome, Failure> {
        let text = &self.experiment.text;
        let tuning = text.tuning.as_ref().expect("a study with trials has a search");
        let seed = self.experiment.tuning_seed(tuning)?;
        let mut rungs = Vec::new();
        for rung in &work.rungs {
            let StepResult::Ranked { trials } = self.outcome_of(rung.ranking)?.result else {
                unreachable!("a rung ends with a ranking");
            };
            let ranking = trials.into_iter().map(|trial| (trial.number, trial.dice)).collect();
            rungs.push(RungOutcome { epochs: rung.epochs, ranking });
        }
        let values = |trial: u64| {
            let settings = tuning.settings.iter();
            settings.map(|setting| setting.draw_value(seed, trial)).collect()
        };
        Ok(TuningOutcome {
            name: text.name.clone(),
            phantom: text.cohort.phantoms.is_some(),
            network: tuning.network.clone(),
            settings: tuning.settings.iter().map(|setting| setting.name.clone()).collect(),
            trials: (0..tuning.trials as u64).map(|trial| (trial, values(trial))).collect(),
            rungs,
            test: work.test.map(|score| self.scores_of(score)).transpose()?,
        })
    }
}
