//! The demo: one recipe, small enough for two cores, that goes through every room of the house.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::brats::phantom::PhantomConfig;
use crate::eval::postprocess::PostProcess;
use crate::experiment::cohort;
use crate::experiment::config;
use crate::experiment::ensemble::Ensemble;
use crate::experiment::failure::Failure;
use crate::experiment::phantoms::write_phantoms;
use crate::experiment::predict::{self, Recipe as Prediction};
use crate::experiment::prepare::{self, Session};
use crate::experiment::run::{self, Place, RunSummary};
use crate::volume::case::Split;
use crate::volume::grid::Dims;
use crate::volume::region::Region;

/// The training half of the recipe: an ordinary configuration.
const CONFIG: &str = include_str!("../../configs/demo.toml");
/// The cohort half.
const COHORT: &str = include_str!("../../configs/demo-cohort.toml");

/// The cohort to write: `configs/demo-cohort.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    cases: u64,
    seed: u64,
    /// As in the file, fastest axis first.
    shape: [usize; 3],
}

/// What the demo made.
pub struct Demonstration {
    /// Cases of the cohort.
    pub cases: u64,
    /// The cohort.
    pub data: PathBuf,
    /// The case files.
    pub cache: PathBuf,
    /// Segmentations of the held-out cases.
    pub predictions: PathBuf,
    /// The run.
    pub summary: RunSummary,
}

impl Demonstration {
    /// Mean Dice of a region over the held-out cases; `None` if none was held out.
    pub fn dice(&self, region: Region) -> Option<f64> {
        let evaluation = self.summary.evaluation.as_ref()?;
        Some(evaluation.network.summary(region).dice.mean)
    }
}

/// Runs the recipe in `out`; `assignments` change its settings.
///
/// # Errors
/// As the verbs that it is made of.
pub fn run(
    out: &Path,
    assignments: &[String],
    session: &Session,
) -> Result<Demonstration, Failure> {
    let recipe: Recipe =
        toml::from_str(COHORT).map_err(|error| Failure::Usage(error.to_string()))?;
    let (data, cache) = (out.join("data"), out.join("cache"));
    let quoted = |path: &Path| toml::Value::from(path.display().to_string()).to_string();
    let mut settings =
        vec![format!("data.folder={}", quoted(&data)), format!("data.cache={}", quoted(&cache))];
    settings.extend_from_slice(assignments);
    let checked = config::load_embedded(CONFIG, &settings)?;
    let phantom = PhantomConfig { dims: Dims::from_nifti(recipe.shape), seed: recipe.seed };
    write_phantoms(&data, &phantom, recipe.cases, session)?;
    let stem = format!("{}-demo", checked.blueprint.name());
    let summary = run::train(&checked, &Place::Next { root: out.join("runs"), stem }, session)?;
    let predictions = out.join("predictions");
    let trained = Ensemble::of_run(&summary.run).resolve(&[])?;
    let lock = cohort::read_lock(&summary.run)?;
    let held_out = lock.files(&prepare::look(&data)?.cases, Split::Validation);
    let made = Prediction {
        preprocess: checked.run.data.preprocess.clone(),
        postprocess: PostProcess::default(),
    };
    let mut predictor = trained.predictor()?;
    predict::predict(predictor.as_mut(), &made, held_out, &predictions, session)?;
    Ok(Demonstration { cases: recipe.cases, data, cache, predictions, summary })
}
