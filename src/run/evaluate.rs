//! Scoring of a predictor on whole cases, and the post-processing that is chosen on validation.

use std::path::Path;

use crate::actor::{Feed, RunningTopology};
use crate::base::Fault;
use crate::brats::CaseFiles;
use crate::eval::assess::{self, CaseAssessment, ScoringConfig};
use crate::eval::{
    CohortLesions, CohortScore, PostProcessSearch, Predictor, ThresholdSearch, TunedThresholds,
};
use crate::pipeline::whole_case::{WholeCase, WholeCaseOutcome, WholeCaseSource};
use crate::report::{Sketch, overlay};
use crate::run::{Failure, Session, prepare};
use crate::run_folder::EvaluationScores;
use crate::telemetry::catalog;
use crate::volume::{CaseId, Modality, Region, Split};

/// Scores of a predictor on a cohort, and slices of the cases.
#[derive(Debug)]
pub struct Evaluation {
    /// Scores per region and case.
    pub scores: EvaluationScores,
    /// Slices that the overlays are drawn from.
    pub sketches: Vec<Sketch>,
}

impl Evaluation {
    /// Writes `cases.csv`, `summary.json` and the overlays into a folder.
    ///
    /// # Errors
    /// If the disk does not take them.
    pub fn write_to(&self, folder: &Path) -> Result<(), Fault> {
        self.scores.write_to(folder)?;
        overlay::write_overlays(folder, &self.scores.network, &self.sketches)
    }
}

/// Cases to predict as a whole, in this order.
pub struct WholeCases {
    /// Files of the cases.
    pub files: Vec<CaseFiles>,
    /// Source of their voxels.
    pub source: WholeCaseSource,
    /// Split in the labels of the metrics.
    pub part: Split,
}

impl WholeCases {
    /// Names of the cases.
    pub fn case_ids(&self) -> Vec<CaseId> {
        self.files.iter().map(|files| files.id.clone()).collect()
    }

    /// Keeps the cases that `wanted` accepts: the rest of an interrupted evaluation.
    #[must_use]
    pub fn filter_by_id(mut self, wanted: impl Fn(&CaseId) -> bool) -> Self {
        self.files.retain(|files| wanted(&files.id));
        self
    }
}

/// Scores `predictor` on each of `cases`, in order, and calls `on_score` with each score at once:
/// an interrupted caller that stores them goes on with the rest ([`WholeCases::filter_by_id`]).
///
/// # Errors
/// If a single case cannot be scored: a missing case must not flatter a mean. Those of `on_score`.
pub fn score_each_case(
    predictor: &mut dyn Predictor,
    cases: WholeCases,
    rules: &ScoringConfig,
    session: &Session,
    on_score: &mut dyn FnMut(CaseAssessment) -> Result<(), Failure>,
) -> Result<(), Failure> {
    segment_each_case("evaluate", predictor, cases, session, |case, labels| {
        on_score(assess::score_segmentation(case, labels, rules)?)
    })
}

/// Scores `predictor` on all of `cases`.
///
/// # Errors
/// As [`score_each_case`].
pub fn evaluate_cases(
    predictor: &mut dyn Predictor,
    cases: WholeCases,
    rules: &ScoringConfig,
    session: &Session,
) -> Result<Evaluation, Failure> {
    let ids = cases.case_ids();
    let part = cases.part;
    let mut scores = Vec::with_capacity(ids.len());
    let mut lesions = Vec::new();
    let mut search = ThresholdSearch::default();
    let mut sketches = Vec::with_capacity(ids.len());
    segment_each_case("evaluate", predictor, cases, session, |case, labels| {
        sketches.extend(Sketch::from_case(case, &labels));
        let assessed = assess::score_segmentation(case, labels, rules)?;
        scores.push(assessed.score);
        lesions.extend(assessed.lesions);
        if let Some(truth) = &case.labels {
            // A tissue voxel at exactly the mean passes for background: below any sane threshold.
            let flair = case.modality_image(Modality::Flair).iter();
            let flair = flair.map(|&z| (z != 0.0).then_some(z));
            let outside = case.outside.iter().map(|outside| outside.label);
            let truth: Vec<u8> = truth.iter().copied().chain(outside).collect();
            let air = case.outside.iter().map(|_| None);
            search.add_case(case.id.clone(), flair.chain(air), &truth);
        }
        Ok(())
    })?;
    let network = CohortScore::new(&ids, scores)?;
    for region in Region::ALL {
        let measures = network.region_summary(region);
        let labels = [part.name(), region.name()];
        catalog::TRAIN_DICE.with_labels(labels).set(measures.dice.mean);
        catalog::TRAIN_HD95.with_labels(labels).set(measures.hd95_mm.mean);
    }
    let Some(flair_threshold) = search.best_threshold() else {
        return Err(Failure::Usage("there is no case to evaluate; name at least one".into()));
    };
    let lesionwise = CohortLesions::of_cases(lesions);
    let postprocess = rules.postprocess;
    let within_tissue = predictor.is_within_tissue();
    let scores =
        EvaluationScores { network, flair_threshold, lesionwise, postprocess, within_tissue };
    Ok(Evaluation { scores, sketches })
}

/// Finds the post-processing with the highest mean Dice, on validation cases, never on test cases.
///
/// # Errors
/// If there is no case, or one cannot be scored.
pub fn tune_postprocess(
    predictor: &mut dyn Predictor,
    cases: WholeCases,
    session: &Session,
) -> Result<TunedThresholds, Failure> {
    let mut search = PostProcessSearch::default();
    segment_each_case("tune", predictor, cases, session, |case, labels| {
        search.add_case(&assess::true_labels(case)?, &labels, case.source.canonical_dims());
        Ok(())
    })?;
    let none = "there is no validation case to choose thresholds on; give them by hand";
    search.best_thresholds().ok_or_else(|| Failure::Usage(none.into()))
}

/// Segments every one of `cases`: `work` gets the canonical labels of its whole grid.
fn segment_each_case(
    task: &str,
    predictor: &mut dyn Predictor,
    cases: WholeCases,
    session: &Session,
    mut work: impl FnMut(&WholeCase, Vec<u8>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let WholeCases { files, source, part } = cases;
    let total = files.len();
    let feed = source.start_topology(files, &session.stop, &session.runtime)?;
    process_each_case(task, total, feed, session, |outcome| {
        let case = outcome.map_err(|skip| {
            catalog::skipped_samples(part.name(), skip.error.reason).increment(1);
            skip.error
        })?;
        catalog::delivered_samples(part.name()).increment(1);
        let labels = assess::segment_case(predictor, &case)?;
        work(&case, labels)?;
        Ok(case.id)
    })
}

/// Runs `work` on every outcome of a feed under a progress display, and ends the feed in any case.
pub(super) fn process_each_case(
    task: &str,
    total: usize,
    feed: (Feed<WholeCaseOutcome>, RunningTopology),
    session: &Session,
    work: impl FnMut(WholeCaseOutcome) -> Result<CaseId, Failure>,
) -> Result<(), Failure> {
    prepare::process_outcomes(task, total as u64, feed, session, work)?;
    prepare::fail_if_stopped(&session.stop, "what was finished is kept")
}
