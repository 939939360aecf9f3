//! Tables that several verbs print.

use crate::eval::{DiceRow, render_dice};
use crate::run::{ResolvedEnsemble, ResolvedMember};
use crate::run_folder::EvaluationScores;

/// Table of a network's Dice, with the best single threshold on FLAIR as baseline.
pub(super) fn dice_table(name: &str, evaluation: &EvaluationScores) -> String {
    let baseline = &evaluation.flair_threshold;
    let rows = [
        DiceRow::of_cohort(name, Some(&evaluation.network)),
        DiceRow::of_threshold("best FLAIR threshold *", baseline),
    ];
    let cases = evaluation.network.cases().len();
    format!(
        "Dice over {cases} cases, mean ± sd\n{}\n* one z-score for all cases, {:.2}, \
         chosen on these very cases: flattered",
        render_dice(&rows),
        baseline.threshold
    )
}

/// JSON list of the networks that predicted.
pub(super) fn members_json(resolved: &ResolvedEnsemble) -> serde_json::Value {
    let member = |member: &ResolvedMember| {
        serde_json::json!({
            "run": member.run,
            "model": member.config.blueprint.name(),
            "step": member.step,
            "weight": member.weight,
        })
    };
    resolved.members.iter().map(member).collect()
}
