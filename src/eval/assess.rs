//! A predictor on whole cases: the one path that validation, `evaluate` and `predict` share.

use serde::{Deserialize, Serialize};

use crate::base::error::{CaseError, Fault, Reason};
use crate::eval::hausdorff::Hd95;
use crate::eval::lesionwise::{CaseLesions, LesionRules, score_lesions};
use crate::eval::paint;
use crate::eval::postprocess::PostProcess;
use crate::eval::predictor::Predictor;
use crate::eval::score::{CaseScore, score_case_with};
use crate::pipeline::whole::WholeCase;

/// What is measured, and what is done to predicted labels before.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scoring {
    /// What HD95 means.
    pub hd95: Hd95,
    /// Whether cases are scored lesion by lesion as well.
    pub lesionwise: bool,
    /// Thresholds, chosen on other cases.
    pub postprocess: PostProcess,
}

/// What is measured of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessed {
    /// Region by region.
    pub score: CaseScore,
    /// Lesion by lesion, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lesions: Option<CaseLesions>,
}

/// Canonical labels `[d, h, w]` of the whole canonical grid, as `predictor` sees the case.
///
/// # Errors
/// As [`Predictor::probabilities`].
pub fn segment(predictor: &mut dyn Predictor, case: &WholeCase) -> Result<Vec<u8>, Fault> {
    let probabilities = predictor.probabilities(case, &mut |_, _| ())?;
    let labels = paint::labels(&probabilities);
    Ok(case.brain.paste(&labels, case.source.canonical_dims(), 0))
}

/// The true labels of the whole canonical grid, `[d, h, w]`.
///
/// # Errors
/// If the case has none.
pub fn truth(case: &WholeCase) -> Result<Vec<u8>, CaseError> {
    let Some(labels) = &case.labels else {
        return Err(CaseError::new(
            Reason::Missing,
            format!("case {}", case.id),
            "has no labels to score against",
            "use `predict` for unlabelled cases",
        ));
    };
    Ok(case.brain.paste(labels, case.source.canonical_dims(), 0))
}

/// The scores of a segmentation of the whole canonical grid against the case's own labels.
///
/// # Errors
/// If the case has no labels.
pub fn score(
    case: &WholeCase,
    mut segmentation: Vec<u8>,
    rules: &Scoring,
) -> Result<Assessed, CaseError> {
    let truth = truth(case)?;
    let (dims, spacing) = (case.source.canonical_dims(), case.source.canonical_spacing_mm());
    rules.postprocess.apply(&mut segmentation, dims);
    let id = || case.id.clone();
    let lesions = rules
        .lesionwise
        .then(|| score_lesions(id(), &truth, &segmentation, dims, spacing, LesionRules::default()));
    let score = score_case_with(rules.hd95, id(), &truth, &segmentation, dims, spacing);
    Ok(Assessed { score, lesions })
}
