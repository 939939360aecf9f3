//! Segmentation and scores of whole cases: the one path of validation, `evaluate` and `predict`.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::actor::{StopLatch, StopState};
use crate::base::{CaseError, FREE_MEMORY, Fault, OutOfMemory, Reason};
use crate::eval::{
    CaseLesions, CaseScore, Hd95, LesionRules, PostProcess, Predictor, regions_to_labels,
    score_case, score_lesions,
};
use crate::pipeline::whole_case::{ResampledSource, WholeCase};
use crate::resampling::{GridMap, resample_labels, resample_probabilities};
use crate::volume::RegionSet;

/// Measures of an evaluation, and the postprocessing of predicted labels before it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoringConfig {
    /// Definition of HD95.
    pub hd95: Hd95,
    /// Rules of lesion-wise scores, if there are to be any.
    pub lesions: Option<LesionRules>,
    /// Thresholds, chosen on other cases.
    pub postprocess: PostProcess,
}

/// Scores of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseAssessment {
    /// Region by region.
    pub score: CaseScore,
    /// Lesion-wise scores, if [`ScoringConfig::lesions`] has rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lesions: Option<CaseLesions>,
}

impl CaseAssessment {
    /// Returns text that [`from_text`](Self::from_text) reads back to the last bit: a JSON parser
    /// does not promise that of its numbers.
    ///
    /// # Panics
    /// Never: plain numbers by name have a form in TOML.
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("numbers by name have a form in TOML")
    }

    /// Reads the text of [`to_text`](Self::to_text).
    ///
    /// # Errors
    /// If the text is anything else, or cut short.
    pub fn from_text(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }
}

/// Region probabilities of a case, as [`Predictor::probabilities`] gives them; `None` if `stop` ended
/// the work after the window under way.
///
/// # Errors
/// As [`Predictor::probabilities`].
pub fn predict_until_stopped(
    predictor: &mut dyn Predictor,
    case: &WholeCase,
    stop: &StopLatch,
) -> Result<Option<Vec<f32>>, Fault> {
    predictor.probabilities(case, &mut |_, _| match stop.state() {
        StopState::Running => ControlFlow::Continue(()),
        StopState::Draining | StopState::Aborted => ControlFlow::Break(()),
    })
}

/// Canonical labels `[d, h, w]` of the whole canonical grid of the source files, as `predictor` sees the
/// case; `None` if `stop` ended the work after the window under way. Probabilities of a resampled case
/// are brought back first, and then decided on (as nnU-Net does, Isensee et al. 2021).
///
/// # Errors
/// As [`Predictor::probabilities`].
pub fn segment_case(
    predictor: &mut dyn Predictor,
    case: &WholeCase,
    stop: &StopLatch,
) -> Result<Option<Vec<u8>>, Fault> {
    let Some(probabilities) = predict_until_stopped(predictor, case, stop)? else {
        return Ok(None);
    };
    let regions = predictor.run_channels().regions;
    let Some(source) = &case.resampled_from else {
        let labels = regions_to_labels::labels_from_probabilities(regions, &probabilities);
        return Ok(Some(case.brain.paste_into(&labels, case.source.canonical_dims(), 0)));
    };
    let map = GridMap::between(&case.source, &source.grid);
    let mut labels = Vec::with_capacity(source.grid.dims.voxel_count());
    let resampled = resample_probabilities(&probabilities, &case.brain, &map, |planes| {
        labels.extend(regions_to_labels::labels_from_probabilities(regions, planes));
    });
    resampled.map_err(|error| no_memory_fault(case, &error))?;
    Ok(Some(labels))
}

/// Region probabilities `[k, d, h, w]` of the whole canonical grid of the source files, as `predictor` sees
/// the case, 0 outside the brain box; `None` if `stop` ended the work after the window under way.
/// [`regions_to_labels::labels_from_probabilities`] makes the labels of [`segment_case`] of them.
///
/// # Errors
/// As [`Predictor::probabilities`].
pub fn predict_on_file_grid(
    predictor: &mut dyn Predictor,
    case: &WholeCase,
    stop: &StopLatch,
) -> Result<Option<Vec<f32>>, Fault> {
    let Some(probabilities) = predict_until_stopped(predictor, case, stop)? else {
        return Ok(None);
    };
    let regions = predictor.run_channels().regions.len();
    let dims = case.file_grid().canonical_dims();
    let mut maps = vec![Vec::with_capacity(dims.voxel_count()); regions];
    if let Some(source) = &case.resampled_from {
        let map = GridMap::between(&case.source, &source.grid);
        let resampled = resample_probabilities(&probabilities, &case.brain, &map, |planes| {
            let of_regions = planes.chunks_exact(planes.len() / regions);
            maps.iter_mut().zip(of_regions).for_each(|(map, plane)| map.extend_from_slice(plane));
        });
        resampled.map_err(|error| no_memory_fault(case, &error))?;
    } else {
        let of_regions = probabilities.chunks_exact(case.brain.dims.voxel_count());
        let whole = of_regions.map(|region| case.brain.paste_into(region, dims, 0.0));
        maps.iter_mut().zip(whole).for_each(|(map, whole)| *map = whole);
    }
    Ok(Some(maps.concat()))
}

/// Canonical labels `[d, h, w]` of the whole canonical grid of the source files, from labels of the brain
/// box.
///
/// # Errors
/// If there is no memory to resample them.
pub fn labels_on_file_grid(case: &WholeCase, labels: &[u8]) -> Result<Vec<u8>, Fault> {
    let stored = case.brain.paste_into(labels, case.source.canonical_dims(), 0);
    let Some(source) = &case.resampled_from else { return Ok(stored) };
    let resampled = resample_labels(&stored, &GridMap::between(&case.source, &source.grid));
    resampled.map_err(|error| no_memory_fault(case, &error))
}

fn no_memory_fault(case: &WholeCase, error: &OutOfMemory) -> Fault {
    Fault::Environment {
        subject: format!("case {}", case.id),
        problem: error.to_string(),
        remedy: FREE_MEMORY.into(),
    }
}

/// The true labels of the whole canonical grid of the source files, `[d, h, w]`.
///
/// # Errors
/// If the case has none.
pub fn true_labels(case: &WholeCase) -> Result<Vec<u8>, CaseError> {
    let Some(labels) = &case.labels else {
        return Err(CaseError::new(
            Reason::Missing,
            format!("case {}", case.id),
            "has no labels to score against",
            "use `predict` for unlabelled cases",
        ));
    };
    if let Some(ResampledSource { grid, labels: Some(own) }) = &case.resampled_from {
        return Ok(own.labelled.paste_into(&own.labels, grid.canonical_dims(), 0));
    }
    let mut truth = case.brain.paste_into(labels, case.source.canonical_dims(), 0);
    for outside in &case.outside {
        truth[outside.voxel as usize] = outside.label;
    }
    Ok(truth)
}

/// The scores of a segmentation of the whole canonical grid of the source files against the case's own labels.
///
/// # Errors
/// If the case has no labels.
pub fn score_segmentation(
    regions: RegionSet,
    case: &WholeCase,
    mut segmentation: Vec<u8>,
    rules: &ScoringConfig,
) -> Result<CaseAssessment, CaseError> {
    let truth = true_labels(case)?;
    let dims = case.file_grid().canonical_dims();
    let spacing = case.file_grid().canonical_spacing_mm();
    rules.postprocess.apply_to(regions, &mut segmentation, dims);
    let lesions = rules.lesions.map(|lesion_rules| {
        let id = case.id.clone();
        score_lesions(regions, id, &truth, &segmentation, dims, spacing, lesion_rules)
    });
    let id = case.id.clone();
    let score = score_case(regions, rules.hd95, id, &truth, &segmentation, dims, spacing);
    Ok(CaseAssessment { score, lesions })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::OutsideLabel;
    use crate::eval::{LesionRules, score_case};
    use crate::volume::{Affine, Box3, CaseId, Dims, LabelScheme, SourceGrid, label};

    #[test]
    fn labels_outside_the_brain_box_count_in_the_truth_and_in_scores() {
        let dims = Dims::cube(4);
        let mut case = WholeCase {
            id: CaseId::new("case"),
            images: vec![1.0; 4],
            tissue: vec![true],
            labels: Some(vec![label::ET]),
            outside: Vec::new(),
            brain: Box3 { start: [1; 3], dims: Dims::cube(1) },
            source: SourceGrid::canonical(dims, Affine([[1.0; 4]; 4])),
            resampled_from: None,
            scheme: LabelScheme::Brats2023,
        };
        let found = true_labels(&case).unwrap();
        let dice = |case: &WholeCase| {
            let (brats, rules) = (RegionSet::BRATS, ScoringConfig::default());
            let assessed = score_segmentation(brats, case, found.clone(), &rules);
            let scores = assessed.unwrap().score.regions;
            scores.values().map(|region| region.measures.dice).collect::<Vec<_>>()
        };
        assert_eq!(dice(&case), [1.0; 3]);
        case.outside = [(0, label::ED), (63, label::NCR)]
            .map(|(voxel, label)| OutsideLabel { voxel, label })
            .to_vec();
        let truth = true_labels(&case).unwrap();
        assert_eq!((truth[0], truth[63]), (label::ED, label::NCR));
        assert_eq!(truth.iter().filter(|label| **label != 0).count(), 3);
        // One voxel found of one, of two and of three.
        assert_eq!(dice(&case), [1.0, 2.0 / 3.0, 0.5]);
    }

    #[test]
    fn scores_come_back_from_text_to_the_last_bit() {
        let (truth, found): (Vec<u8>, Vec<u8>) = (0..343u32)
            .map(|place| ((place * 7 % 11 % 4) as u8, (place * 5 % 13 % 4) as u8))
            .unzip();
        let (dims, spacing) = (Dims::cube(7), [0.9, 1.1, 1.3]);
        let id = CaseId::new("BraTS-GLI-\"0\"");
        let rules = LesionRules::default();
        let brats = RegionSet::BRATS;
        let lesions = score_lesions(brats, id.clone(), &truth, &found, dims, spacing, rules);
        for lesions in [None, Some(lesions)] {
            let hd95 = Hd95::default();
            let score = score_case(brats, hd95, id.clone(), &truth, &found, dims, spacing);
            let assessed = CaseAssessment { score, lesions };
            let text = assessed.to_text();
            let again = CaseAssessment::from_text(&text).unwrap();
            assert_eq!(again, assessed);
            let bits = |all: &CaseAssessment| {
                let regions = all.score.regions.values();
                let bits = regions.map(|region| region.measures.into_array().map(f64::to_bits));
                bits.collect::<Vec<_>>()
            };
            assert_eq!(bits(&again), bits(&assessed));
            assert!(CaseAssessment::from_text(&text[..text.len() / 2]).is_err());
        }
    }
}
