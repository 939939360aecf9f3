//! The demo: ingest, training, evaluation and prediction of a small phantom cohort.

use std::path::{Path, PathBuf};

use crate::eval::PostProcess;
use crate::run::config::CheckedConfig;
use crate::run::phantoms::{PhantomCohort, write_phantoms};
use crate::run::predict::{self, PredictOptions};
use crate::run::train::{self, RunDestination};
use crate::run::{Ensemble, Failure, Session, cohort, config};
use crate::run_folder::RunSummary;
use crate::volume::{Region, Split};

/// Configuration of the run.
const CONFIG: &str = include_str!("../../configs/demo.toml");
/// Description of the phantom cohort.
const COHORT: &str = include_str!("../../configs/demo-cohort.toml");

/// Results of the demo.
pub struct DemoOutcome {
    /// Number of cases.
    pub cases: u64,
    /// Dataset folder.
    pub data: PathBuf,
    /// Cache folder.
    pub cache: PathBuf,
    /// Folder of the segmentations of the held-out cases.
    pub predictions: PathBuf,
    /// Summary of the run.
    pub summary: RunSummary,
}

impl DemoOutcome {
    /// Mean Dice of a region over the held-out cases; `None` if none was held out.
    pub fn mean_dice(&self, region: Region) -> Option<f64> {
        let evaluation = self.summary.evaluation.as_ref()?;
        Some(evaluation.network.region_summary(region).dice.mean)
    }
}

/// Runs the demo in `out`; `assignments` change its settings.
///
/// # Errors
/// As the commands that it is made of.
pub fn run_demo(
    out: &Path,
    assignments: &[String],
    session: &Session,
) -> Result<DemoOutcome, Failure> {
    let phantoms: PhantomCohort =
        toml::from_str(COHORT).map_err(|error| Failure::Usage(error.to_string()))?;
    let data = out.join("data");
    let cache = out.join("cache");
    let checked = load_config(out, assignments)?;
    write_phantoms(&data, &phantoms.phantom_config(), phantoms.cases, session)?;
    let summary = train::train(&checked, &destination_of(out, &checked), session)?;
    let predictions = out.join("predictions");
    let trained = Ensemble::of_run(&summary.run).resolve(&[])?;
    let lock = cohort::read_lock(&summary.run)?;
    let found = checked.run.discover_in(&data)?.cases;
    let held_out = lock.files_in_split(&found, Split::Validation);
    let options = PredictOptions {
        preprocess: checked.run.data.preprocess.clone(),
        postprocess: PostProcess::default(),
        probabilities: false,
    };
    let mut predictor = trained.build_predictor_in(session)?;
    predict::predict_cases(predictor.as_mut(), &options, held_out, &predictions, session)?;
    Ok(DemoOutcome { cases: phantoms.cases, data, cache, predictions, summary })
}

/// Destination of the run that [`run_demo`] trains with the same arguments.
///
/// # Errors
/// If a setting is none.
pub fn demo_destination(out: &Path, assignments: &[String]) -> Result<RunDestination, Failure> {
    Ok(destination_of(out, &load_config(out, assignments)?))
}

fn load_config(out: &Path, assignments: &[String]) -> Result<CheckedConfig, Failure> {
    let mut settings = vec![
        config::path_assignment("data.folder", &out.join("data")),
        config::path_assignment("data.cache", &out.join("cache")),
    ];
    settings.extend_from_slice(assignments);
    config::load_embedded(CONFIG, &settings)
}

fn destination_of(out: &Path, config: &CheckedConfig) -> RunDestination {
    let stem = format!("{}-demo", config.blueprint.name());
    RunDestination::Next { root: out.join("runs"), stem }
}
