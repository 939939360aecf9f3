//! A network on whole cases: the one path that validation, `evaluate` and `predict` share.

use crate::base::error::{CaseError, Reason};
use crate::eval::paint;
use crate::eval::predict::predict_case;
use crate::eval::score::{CaseScore, score_case};
use crate::eval::sliding::SlidingConfig;
use crate::nets::Network;
use crate::pipeline::whole::WholeCase;
use crate::volume::grid::Dims;

/// Canonical labels `[d, h, w]` of the whole canonical grid, as `network` sees the case through
/// windows of extent `window`. `progress` is called with (windows done, windows).
///
/// # Panics
/// If `window` is no multiple of the network's divisor; checking a configuration excludes it.
pub fn segment(
    network: &dyn Network,
    case: &WholeCase,
    window: Dims,
    sliding: &SlidingConfig,
    progress: impl FnMut(usize, usize),
) -> Vec<u8> {
    let brain = case.brain.dims;
    let probabilities = predict_case(network, &case.images, brain, window, sliding, progress);
    let labels = paint::labels(&probabilities);
    case.brain.paste(&labels, case.source.canonical_dims(), 0)
}

/// The scores of a segmentation of the whole canonical grid against the case's own labels.
///
/// # Errors
/// If the case has no labels.
pub fn score(case: &WholeCase, segmentation: &[u8]) -> Result<CaseScore, CaseError> {
    let Some(labels) = &case.labels else {
        return Err(CaseError::new(
            Reason::Missing,
            format!("case {}", case.id),
            "has no labels to score against",
            "use `predict` for unlabelled cases",
        ));
    };
    let dims = case.source.canonical_dims();
    let truth = case.brain.paste(labels, dims, 0);
    Ok(score_case(case.id.clone(), &truth, segmentation, dims, case.source.canonical_spacing_mm()))
}
