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
use crate::run::scored_cases::{ScoredCase, ScoredCaseFolder};
use crate::run::{Failure, Session, prepare};
use crate::run_folder::EvaluationScores;
use crate::telemetry::catalog;
use crate::volume::{CaseId, Split};

/// Way on after a stop.
const KEPT: &str = "what was finished is kept";

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
    let regions = predictor.run_channels().regions;
    segment_each_case("evaluate", predictor, cases, session, |case, labels| {
        on_score(assess::score_segmentation(regions, case, labels, rules)?)
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
    let channels = predictor.run_channels();
    let mut scored = Vec::with_capacity(ids.len());
    segment_each_case("evaluate", predictor, cases, session, |case, labels| {
        scored.push(ScoredCase::of_segmentation(channels, case, labels, rules)?);
        Ok(())
    })?;
    evaluation_of_cases(&ids, part, scored, rules, predictor.is_within_tissue())
}

/// Scores `predictor` on all of `cases`, and keeps each in `folder` at once. Those that an earlier
/// process kept there, with the same weights, are not predicted again.
///
/// # Errors
/// As [`evaluate_cases`].
pub(super) fn evaluate_remaining_cases(
    predictor: &mut dyn Predictor,
    cases: WholeCases,
    folder: &ScoredCaseFolder,
    session: &Session,
) -> Result<Evaluation, Failure> {
    let rules = ScoringConfig::default();
    let ids = cases.case_ids();
    let part = cases.part;
    let channels = predictor.run_channels();
    let mut scored = folder.read_cases(&ids)?;
    let left = cases.filter_by_id(|id| scored.iter().all(|one| one.case() != id));
    if !left.files.is_empty() {
        segment_each_case("validate", predictor, left, session, |case, labels| {
            let one = ScoredCase::of_segmentation(channels, case, labels, &rules)?;
            folder.keep_case(&one);
            scored.push(one);
            Ok(())
        })?;
    }
    scored.sort_by_key(|one| ids.iter().position(|id| id == one.case()));
    evaluation_of_cases(&ids, part, scored, &rules, predictor.is_within_tissue())
}

/// Evaluation of a whole cohort from its scored cases, which are in its order.
fn evaluation_of_cases(
    ids: &[CaseId],
    part: Split,
    scored: Vec<ScoredCase>,
    rules: &ScoringConfig,
    within_tissue: bool,
) -> Result<Evaluation, Failure> {
    let mut scores = Vec::with_capacity(ids.len());
    let mut lesions = Vec::new();
    let mut search = ThresholdSearch::default();
    let mut sketches = Vec::with_capacity(ids.len());
    for ScoredCase { assessment, histogram, sketch } in scored {
        scores.push(assessment.score);
        lesions.extend(assessment.lesions);
        histogram.into_iter().for_each(|histogram| search.add_case(histogram));
        sketches.extend(sketch);
    }
    let network = CohortScore::new(ids, scores)?;
    for (region, measures) in network.summary_by_region().iter() {
        let labels = [part.name(), region];
        catalog::TRAIN_DICE.with_labels(labels).set(measures.dice.mean);
        catalog::TRAIN_HD95.with_labels(labels).set(measures.hd95_mm.mean);
    }
    let flair_threshold = search.best_threshold();
    let lesionwise = CohortLesions::of_cases(lesions);
    let postprocess = rules.postprocess.clone();
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
    let mut search = PostProcessSearch::of_regions(predictor.run_channels().regions);
    segment_each_case("tune", predictor, cases, session, |case, labels| {
        let truth = assess::true_labels(case)?;
        search.add_case(&truth, &labels, case.file_grid().canonical_dims());
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
        let labels = assess::segment_case(predictor, &case, &session.stop)?;
        work(&case, labels.ok_or_else(|| stop_failure(session))?)?;
        Ok(case.id)
    })
}

/// Failure of a case that the session's stop cut off.
pub(super) fn stop_failure(session: &Session) -> Failure {
    let asked = prepare::fail_if_stopped(&session.stop, KEPT);
    asked.err().unwrap_or_else(|| Failure::Stopped(KEPT.into()))
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
    prepare::fail_if_stopped(&session.stop, KEPT)
}
