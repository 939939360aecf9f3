//! Tables that several verbs print.

use crate::eval::table::{DiceRow, render};
use crate::experiment::ensemble::{Resolved, ResolvedMember};
use crate::experiment::evaluate::Evaluation;

/// Dice of a network over its cases, with what one threshold on FLAIR reaches beside it.
pub(super) fn dice(name: &str, evaluation: &Evaluation) -> String {
    let baseline = &evaluation.flair_threshold;
    let rows = [
        DiceRow::of_cohort(name, Some(&evaluation.network)),
        DiceRow::of_threshold("best FLAIR threshold *", baseline),
    ];
    let cases = evaluation.network.cases().len();
    format!(
        "Dice over {cases} cases, mean ± sd\n{}\n* one z-score for all cases, {:.2}, \
         chosen on these very cases: flattered",
        render(&rows),
        baseline.threshold
    )
}

/// What predicted, for programs.
pub(super) fn members(resolved: &Resolved) -> serde_json::Value {
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
