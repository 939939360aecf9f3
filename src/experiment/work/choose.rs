//! Choice of a network by its scores on the validation cases.

use std::collections::BTreeMap;

use crate::base::Fingerprint;
use crate::eval::CohortScore;
use crate::experiment::graph::step::{CandidateRef, ChooseWork};
use crate::experiment::runner::{StepRunner, Study};
use crate::experiment::step_outcome::StepResult;
use crate::run::Failure;

impl StepRunner<'_> {
    /// Chooses the network with the best mean Dice; of two that are equally good, the first.
    ///
    /// # Errors
    /// If a score is gone.
    pub(in crate::experiment) fn choose_network(
        &self,
        work: &ChooseWork,
    ) -> Result<(Fingerprint, StepResult), Failure> {
        let validation = self.study.mean_dice_of(&work.candidates)?;
        let mut candidates = work.candidates.iter().map(|candidate| &candidate.network);
        let first = candidates.next().expect("a study has a network");
        let best = candidates
            .fold(first, |best, one| if validation[one] > validation[best] { one } else { best });
        Ok((Fingerprint::of_config(best), StepResult::Chosen { network: best.clone() }))
    }
}

impl Study<'_> {
    /// Mean Dice of networks over regions, cases and repetitions.
    ///
    /// # Errors
    /// If a score is gone.
    pub(in crate::experiment) fn mean_dice_of(
        &self,
        candidates: &[CandidateRef],
    ) -> Result<BTreeMap<String, f64>, Failure> {
        let mut means = BTreeMap::new();
        for CandidateRef { network, scores } in candidates {
            let runs: Result<Vec<CohortScore>, Failure> =
                scores.iter().map(|step| self.scores_of(*step)).collect();
            means.insert(network.clone(), mean_dice(&runs?));
        }
        Ok(means)
    }
}

/// Mean over regions, cases and repetitions.
fn mean_dice(runs: &[CohortScore]) -> f64 {
    let all = runs
        .iter()
        .flat_map(|run| run.summary_by_region().values().map(|of_region| of_region.dice.mean));
    let all: Vec<f64> = all.collect();
    all.iter().sum::<f64>() / all.len() as f64
}
