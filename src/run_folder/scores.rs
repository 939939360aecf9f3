//! Scores of a run's cases: `validation/summary.json` and `validation/cases.csv`, or the same in
//! another folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::{Fault, fs, write_atomically, write_json};
use crate::eval::{CohortLesions, CohortScore, PostProcess, ThresholdBaseline};
use crate::run_folder::{CASES, SUMMARY};

/// A predictor's scores on a cohort, and what one threshold can do on the same cases.
#[derive(Debug, Serialize, Deserialize)]
pub struct EvaluationScores {
    /// Per region and case.
    pub network: CohortScore,
    /// The best single threshold on FLAIR for WT, chosen on these very cases; absent of a run without
    /// either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flair_threshold: Option<ThresholdBaseline>,
    /// The same lesion by lesion, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lesionwise: Option<CohortLesions>,
    /// Post-processing of the predicted labels before scoring.
    #[serde(default, skip_serializing_if = "PostProcess::is_nothing")]
    pub postprocess: PostProcess,
    /// True if probabilities were 0 where all images are background; absent in files of early
    /// versions, which never did that.
    #[serde(default)]
    pub within_tissue: bool,
}

impl EvaluationScores {
    /// Writes both files into `folder`.
    ///
    /// # Errors
    /// If the disk does not take them.
    pub fn write_to(&self, folder: &Path) -> Result<(), Fault> {
        fs::create_dir_all(folder)?;
        write_cases_csv(folder, &self.network)?;
        write_json(&folder.join(SUMMARY), self)
    }
}

/// Writes the scores of each case and region as `cases.csv` into `folder`.
///
/// # Errors
/// If the disk does not take them.
pub fn write_cases_csv(folder: &Path, scores: &CohortScore) -> Result<(), Fault> {
    let file = folder.join(CASES);
    let mut rows = Vec::new();
    scores.write_csv(&mut rows).map_err(|error| Fault::from_io(&file, &error))?;
    write_atomically(&file, &rows)
}
