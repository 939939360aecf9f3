//! Tables that several verbs print.

use crate::eval::{DiceRow, render_dice};
use crate::run::{ResolvedEnsemble, ResolvedMember};
use crate::run_folder::EvaluationScores;

/// Table of a network's Dice, with the best single threshold on FLAIR as baseline.
pub(super) fn dice_table(name: &str, evaluation: &EvaluationScores) -> String {
    let baseline = evaluation.flair_threshold.as_ref();
    let mut rows = vec![DiceRow::of_cohort(name, Some(&evaluation.network))];
    rows.extend(baseline.map(|found| DiceRow::of_threshold("best FLAIR threshold *", found)));
    let cases = evaluation.network.cases().len();
    let mut text = format!("Dice over {cases} cases, mean ± sd\n{}", render_dice(&rows));
    if let Some(baseline) = baseline {
        text += &format!(
            "\n* one z-score for all cases, {:.2}, chosen on these very cases: flattered",
            baseline.threshold
        );
    }
    text
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
