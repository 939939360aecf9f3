//! Whole cases through a network, and how well it did: validation at a run's end, `evaluate`, and
//! the labels that `predict` writes.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::actor::feed::{Feed, Running};
use crate::base::error::{CaseError, Fault};
use crate::brats::dataset::CaseFiles;
use crate::brats::write::write_labels;
use crate::eval::assess;
use crate::eval::cohort::CohortScore;
use crate::eval::sliding::SlidingConfig;
use crate::eval::threshold::{ThresholdBaseline, ThresholdSearch};
use crate::experiment::cohort;
use crate::experiment::config::{self, CheckedConfig};
use crate::experiment::device;
use crate::experiment::failure::Failure;
use crate::experiment::prepare::{self, Session};
use crate::nets::Network;
use crate::pipeline::fetch::Fetch;
use crate::pipeline::whole::{self, WholeOutcome, WholeSource};
use crate::report::Sketch;
use crate::report::overlay;
use crate::telemetry::catalog;
use crate::train::checkpoint;
use crate::train::run_directory::DatasetLock;
use crate::volume::case::{CaseId, Split};
use crate::volume::grid::Dims;
use crate::volume::modality::Modality;
use crate::volume::region::Region;

/// A network's scores on a cohort, and what one threshold can do on the same cases.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    /// Per region and case.
    pub network: CohortScore,
    /// The best single threshold on FLAIR for WT, chosen on these very cases.
    pub flair_threshold: ThresholdBaseline,
    /// What overlays of its cases are drawn from.
    #[serde(skip)]
    pub sketches: Vec<Sketch>,
}

/// Scores `network` on every one of `cases`, in their order.
///
/// # Errors
/// If a single case cannot be scored: a missing case must not flatter a mean.
pub fn on_cases(
    network: &dyn Network,
    cases: Vec<CaseFiles>,
    source: WholeSource,
    window: Dims,
    sliding: &SlidingConfig,
    session: &Session,
) -> Result<Evaluation, Failure> {
    let ids: Vec<CaseId> = cases.iter().map(|files| files.id.clone()).collect();
    let feed = source.start(cases, &session.stop, &session.runtime)?;
    let mut scores = Vec::with_capacity(ids.len());
    let mut search = ThresholdSearch::default();
    let mut sketches = Vec::with_capacity(ids.len());
    each_case("evaluate", ids.len(), feed, session, |outcome| {
        let case = outcome.map_err(|skip| {
            catalog::skipped(Split::Validation.name(), skip.error.reason).increment(1);
            skip.error
        })?;
        catalog::delivered(Split::Validation.name()).increment(1);
        let segmentation = assess::segment(network, &case, window, sliding, |_, _| {});
        scores.push(assess::score(&case, &segmentation)?);
        sketches.extend(Sketch::of(&case, &segmentation));
        if let Some(labels) = &case.labels {
            // A tissue voxel at exactly the mean passes for background: below any sane threshold.
            let flair = case.channel(Modality::Flair).iter();
            search.add(case.id.clone(), flair.map(|&z| (z != 0.0).then_some(z)), labels);
        }
        Ok(case.id)
    })?;
    let network = CohortScore::new(&ids, scores)?;
    for region in Region::ALL {
        let measures = network.summary(region);
        let labels = [Split::Validation.name(), region.name()];
        catalog::TRAIN_DICE.with(labels).set(measures.dice.mean);
        catalog::TRAIN_HD95.with(labels).set(measures.hd95_mm.mean);
    }
    let Some(flair_threshold) = search.best() else {
        return Err(Failure::Usage("there is no case to evaluate; name at least one".into()));
    };
    Ok(Evaluation { network, flair_threshold, sketches })
}

/// Runs `work` on every outcome of a feed under a progress display, and ends the feed in any case.
fn each_case(
    task: &str,
    total: usize,
    (mut feed, running): (Feed<WholeOutcome>, Running),
    session: &Session,
    mut work: impl FnMut(WholeOutcome) -> Result<CaseId, CaseError>,
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
            Err(error) => {
                result = Err(Failure::Data(error));
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

/// A run's network, ready for whole cases.
pub struct TrainedNetwork {
    /// The weights of its latest checkpoint.
    pub network: Box<dyn Network>,
    /// What it was trained with.
    pub config: CheckedConfig,
    /// Steps that it was trained for.
    pub step: u64,
}

/// Loads the latest checkpoint of the run in `folder`. `assignments` override its configuration.
///
/// # Errors
/// If the folder holds no run, its checkpoint is damaged, or the device is not there.
pub fn load_run(folder: &Path, assignments: &[String]) -> Result<TrainedNetwork, Failure> {
    let config = config::of_run(folder, assignments)?;
    let chosen = device::choose(config.run.device)?;
    let (weights, state) = checkpoint::latest(folder)?;
    let network = config.blueprint.network(&weights, &chosen.device)?;
    Ok(TrainedNetwork { network, config, step: state.standing.step })
}

/// Scores a run's network on the labelled cases of `data`, or on those that the run held out.
///
/// # Errors
/// If a case cannot be scored, or a held-out case is no longer there.
pub fn of_run(
    trained: &TrainedNetwork,
    run: &Path,
    data: Option<&Path>,
    session: &Session,
) -> Result<Evaluation, Failure> {
    let settings = &trained.config.run;
    let preprocess = &settings.data.preprocess;
    let lock = cohort::read_lock(run)?;
    let cases = match data {
        Some(folder) => {
            let found = prepare::look(folder)?.cases;
            found.into_iter().filter(|files| files.labels.is_some()).collect()
        }
        None => held_out(&lock)?,
    };
    if cases.is_empty() {
        let folder = data.unwrap_or(run).display();
        return Err(Failure::Usage(format!(
            "{folder}: has no held-out or labelled case to score; name a dataset with --data"
        )));
    }
    let store = prepare::open_store(&settings.data.cache, preprocess)?;
    // A cached case of the same name may be another dataset's, or that of files since replaced.
    let ingested = prepare::ingest(&cases, &store, preprocess, &settings.ingest, session)?;
    if !ingested.excluded.is_empty() {
        let errors = ingested.excluded.into_iter().map(|excluded| excluded.error);
        return Err(Failure::Cases(errors.collect()));
    }
    let fetch = Fetch::new(store, preprocess.clone(), session.stop.clone());
    if data.is_none() {
        let way_out = ("held out", "bring them back, or score what is there with --data");
        cohort::unchanged(&lock, &cases, &fetch, way_out)?;
    }
    let (window, sliding) = (settings.crop.patch, &settings.evaluation);
    let source = WholeSource::Cache(fetch);
    on_cases(trained.network.as_ref(), cases, source, window, sliding, session)
}

fn held_out(lock: &DatasetLock) -> Result<Vec<CaseFiles>, Failure> {
    let there = prepare::look(&lock.folder)?.cases;
    let missing = lock.gone(&there, &[Split::Validation]);
    if missing.is_empty() {
        return Ok(lock.files(&there, Split::Validation));
    }
    Err(Failure::Usage(format!(
        "{}: the held-out cases {} are gone; bring them back, or name others with --data",
        lock.folder.display(),
        missing.join(", ")
    )))
}

/// A written prediction.
#[derive(Debug, Serialize)]
pub struct Prediction {
    /// The case.
    pub case: CaseId,
    /// The label file.
    pub file: PathBuf,
    /// Voxels per region, ET, TC, WT.
    pub voxels: [usize; Region::COUNT],
}

/// Segments `cases` straight from their files into `out/<case>.nii.gz`, in the source's grid and
/// label values. A case that cannot be read is listed; the others go on.
///
/// # Errors
/// If the run itself fails, is stopped, or a file cannot be written.
pub fn predict(
    trained: &TrainedNetwork,
    cases: Vec<CaseFiles>,
    out: &Path,
    session: &Session,
) -> Result<(Vec<Prediction>, Vec<CaseError>), Failure> {
    fs::create_dir_all(out).map_err(|error| Fault::io(out, &error))?;
    let (window, sliding) = (trained.config.run.crop.patch, &trained.config.run.evaluation);
    let preprocess = &trained.config.run.data.preprocess;
    let (mut written, mut failed) = (Vec::new(), Vec::new());
    let names: Vec<CaseId> = cases.iter().map(|files| files.id.clone()).collect();
    let feed = whole::from_files(cases, preprocess, &session.stop, &session.runtime)?;
    let mut place = 0;
    each_case("predict", names.len(), feed, session, |outcome| {
        let id = names[place].clone();
        place += 1;
        let case = match outcome {
            Ok(case) => case,
            Err(skip) => {
                failed.push(skip.error);
                return Ok(id);
            }
        };
        let network = trained.network.as_ref();
        let segmentation = assess::segment(network, &case, window, sliding, |_, _| {});
        let voxels = Region::ALL
            .map(|region| segmentation.iter().filter(|label| region.contains(**label)).count());
        let values: Vec<u8> =
            segmentation.iter().map(|label| case.scheme.to_file(*label)).collect();
        let file = out.join(format!("{id}.nii.gz"));
        write_labels(&file, &case.source.to_file_order(&values), &case.source)?;
        written.push(Prediction { case: id.clone(), file, voxels });
        Ok(id)
    })?;
    Ok((written, failed))
}
