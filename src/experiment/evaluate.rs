//! Whole cases through a predictor, and how well it did: validation at a run's end, `evaluate`, and
//! the thresholds that are chosen on validation.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::actor::feed::{Feed, Running};
use crate::base::error::Fault;
use crate::brats::dataset::CaseFiles;
use crate::eval::assess::{self, Assessed, Scoring};
use crate::eval::cohort::CohortScore;
use crate::eval::lesionwise::CohortLesions;
use crate::eval::postprocess::PostProcess;
use crate::eval::predictor::Predictor;
use crate::eval::threshold::{ThresholdBaseline, ThresholdSearch};
use crate::eval::tune::{PostProcessSearch, Tuned};
use crate::experiment::failure::Failure;
use crate::experiment::prepare::{self, Session};
use crate::pipeline::whole::{WholeCase, WholeOutcome, WholeSource};
use crate::report::Sketch;
use crate::report::overlay;
use crate::telemetry::catalog;
use crate::volume::case::{CaseId, Split};
use crate::volume::modality::Modality;
use crate::volume::region::Region;

/// A predictor's scores on a cohort, and what one threshold can do on the same cases.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    /// Per region and case.
    pub network: CohortScore,
    /// The best single threshold on FLAIR for WT, chosen on these very cases.
    pub flair_threshold: ThresholdBaseline,
    /// The same lesion by lesion, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lesionwise: Option<CohortLesions>,
    /// What was done to predicted labels before they were scored.
    #[serde(skip_serializing_if = "PostProcess::is_nothing")]
    pub postprocess: PostProcess,
    /// What overlays of its cases are drawn from.
    #[serde(skip)]
    pub sketches: Vec<Sketch>,
}

/// Cases to go through as a whole, in this order.
pub struct WholeCases {
    /// Which.
    pub files: Vec<CaseFiles>,
    /// Where their voxels come from.
    pub source: WholeSource,
    /// What they are counted as in the metrics.
    pub part: Split,
}

impl WholeCases {
    /// Their names.
    pub fn ids(&self) -> Vec<CaseId> {
        self.files.iter().map(|files| files.id.clone()).collect()
    }

    /// Those that `wanted` wants: what is left of work that was interrupted.
    #[must_use]
    pub fn only(mut self, wanted: impl Fn(&CaseId) -> bool) -> Self {
        self.files.retain(|files| wanted(&files.id));
        self
    }
}

/// Scores `predictor` on every one of `cases`, in their order, and hands each score over as soon as
/// there is one: who keeps them can be killed and go on with the rest ([`WholeCases::only`]).
///
/// # Errors
/// If a single case cannot be scored: a missing case must not flatter a mean. Those of `on_score`.
pub fn score_each(
    predictor: &mut dyn Predictor,
    cases: WholeCases,
    rules: &Scoring,
    session: &Session,
    on_score: &mut dyn FnMut(Assessed) -> Result<(), Failure>,
) -> Result<(), Failure> {
    each_segmented("evaluate", predictor, cases, session, |case, labels| {
        on_score(assess::score(case, labels, rules)?)
    })
}

/// Scores `predictor` on every one of `cases` at once.
///
/// # Errors
/// As [`score_each`].
pub fn on_cases(
    predictor: &mut dyn Predictor,
    cases: WholeCases,
    rules: &Scoring,
    session: &Session,
) -> Result<Evaluation, Failure> {
    let (ids, part) = (cases.ids(), cases.part);
    let (mut scores, mut lesions) = (Vec::with_capacity(ids.len()), Vec::new());
    let mut search = ThresholdSearch::default();
    let mut sketches = Vec::with_capacity(ids.len());
    each_segmented("evaluate", predictor, cases, session, |case, labels| {
        sketches.extend(Sketch::of(case, &labels));
        let assessed = assess::score(case, labels, rules)?;
        scores.push(assessed.score);
        lesions.extend(assessed.lesions);
        if let Some(truth) = &case.labels {
            // A tissue voxel at exactly the mean passes for background: below any sane threshold.
            let flair = case.channel(Modality::Flair).iter();
            search.add(case.id.clone(), flair.map(|&z| (z != 0.0).then_some(z)), truth);
        }
        Ok(())
    })?;
    let network = CohortScore::new(&ids, scores)?;
    for region in Region::ALL {
        let measures = network.summary(region);
        let labels = [part.name(), region.name()];
        catalog::TRAIN_DICE.with(labels).set(measures.dice.mean);
        catalog::TRAIN_HD95.with(labels).set(measures.hd95_mm.mean);
    }
    let Some(flair_threshold) = search.best() else {
        return Err(Failure::Usage("there is no case to evaluate; name at least one".into()));
    };
    let (lesionwise, postprocess) = (CohortLesions::of(lesions), rules.postprocess);
    Ok(Evaluation { network, flair_threshold, lesionwise, postprocess, sketches })
}

/// The post-processing that gives `cases` the highest mean Dice: for validation cases, never for
/// those to report on.
///
/// # Errors
/// If there is no case, or one cannot be scored.
pub fn tune(
    predictor: &mut dyn Predictor,
    cases: WholeCases,
    session: &Session,
) -> Result<Tuned, Failure> {
    let mut search = PostProcessSearch::default();
    each_segmented("tune", predictor, cases, session, |case, labels| {
        search.add(&assess::truth(case)?, &labels, case.source.canonical_dims());
        Ok(())
    })?;
    let none = "there is no validation case to choose thresholds on; give them by hand";
    search.best().ok_or_else(|| Failure::Usage(none.into()))
}

/// Segments every one of `cases`: `work` gets the canonical labels of its whole grid.
fn each_segmented(
    task: &str,
    predictor: &mut dyn Predictor,
    cases: WholeCases,
    session: &Session,
    mut work: impl FnMut(&WholeCase, Vec<u8>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let WholeCases { files, source, part } = cases;
    let total = files.len();
    let feed = source.start(files, &session.stop, &session.runtime)?;
    each_case(task, total, feed, session, |outcome| {
        let case = outcome.map_err(|skip| {
            catalog::skipped(part.name(), skip.error.reason).increment(1);
            skip.error
        })?;
        catalog::delivered(part.name()).increment(1);
        let labels = assess::segment(predictor, &case)?;
        work(&case, labels)?;
        Ok(case.id)
    })
}

/// Runs `work` on every outcome of a feed under a progress display, and ends the feed in any case.
pub(super) fn each_case(
    task: &str,
    total: usize,
    (mut feed, running): (Feed<WholeOutcome>, Running),
    session: &Session,
    mut work: impl FnMut(WholeOutcome) -> Result<CaseId, Failure>,
) -> Result<(), Failure> {
    let watched = session.board.watch(&running);
    let task = session.progress.begin(task, "cases", total as u64);
    let mut result = Ok(());
    let mut done = 0;
    while let Some(outcome) = feed.take() {
        match work(outcome) {
            Ok(id) => {
                done += 1;
                task.advance_to(done, id.as_str());
            }
            Err(failure) => {
                result = Err(failure);
                break;
            }
        }
    }
    drop((task, feed, watched));
    running.join_blocking()?;
    result?;
    prepare::stopped_early(&session.stop, "what was finished is kept")
}

/// Writes `cases.csv`, `summary.json` and the overlays of an evaluation into a folder.
///
/// # Errors
/// If the disk does not take them.
pub fn write(folder: &Path, evaluation: &Evaluation) -> Result<(), Fault> {
    fs::create_dir_all(folder).map_err(|error| Fault::io(folder, &error))?;
    let table = folder.join("cases.csv");
    let mut rows = Vec::new();
    evaluation.network.write_csv(&mut rows).map_err(|error| Fault::io(&table, &error))?;
    fs::write(&table, rows).map_err(|error| Fault::io(&table, &error))?;
    let summary = folder.join("summary.json");
    let text = serde_json::to_vec_pretty(evaluation).expect("scores serialise to JSON");
    fs::write(&summary, text).map_err(|error| Fault::io(&summary, &error))?;
    overlay::write(folder, &evaluation.network, &evaluation.sketches)
}
