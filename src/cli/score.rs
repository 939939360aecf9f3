//! `score`: measures of predicted label files against true ones.

use std::path::PathBuf;

use crate::base::CaseError;
use crate::base::fs::{self, AtPath};
use crate::cli::{CommandOutput, Console, ThresholdOptions, VerbResult, as_options};
use crate::eval::{Hd95, LesionRules, TunedThresholds, render_lesions, render_measures};
use crate::run::tools::score::{FileScores, ScoreRequest};
use crate::volume::LabelScheme;

/// Score predicted label files against true ones
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow score --truth case_seg.nii.gz --prediction case.nii.gz --json
  gliaflow score --truth data/BraTS2020 --prediction predictions --prediction-labels brats2023
  gliaflow score --truth data/BraTS2023 --prediction predictions --lesion-wise --hd95 brats
  gliaflow score --truth data/BraTS2025 --prediction predictions --rules brats2025
  gliaflow score --truth data/BraTS2020 --prediction validation --tune
  gliaflow score --truth data/BraTS2020 --prediction test --drop-below WT=100 --smallest-et 50

Two folders are paired by case, each by its own dataset.toml or dataset.json, if it has one; a case without its partner is an error, never left out. The meaning \
of label values is chosen once for each folder and printed (docs/labels.md). Grids must agree to a \
tenth of a voxel.")]
pub(super) struct Score {
    /// A label file, a folder of them, or a dataset
    #[arg(long, value_name = "SEG")]
    truth: PathBuf,

    /// A label file, or a folder of CASE.nii.gz
    #[arg(long, value_name = "SEG")]
    prediction: PathBuf,

    /// Meaning of label values: brats2018 (4 is ET), brats2023 (3 is ET), brats2024, msd,
    /// brats2024-ped [default: from file names, else brats2023 where a 3 and no 4 is found in the
    /// truth, else brats2018]
    #[arg(long, value_name = "SCHEME")]
    labels: Option<LabelScheme>,

    /// Meaning of the truth's label values, where the prediction's is another [default: --labels]
    #[arg(long, value_name = "SCHEME")]
    truth_labels: Option<LabelScheme>,

    /// Meaning of the prediction's label values [default: --labels, else as the truth]
    #[arg(long, value_name = "SCHEME")]
    prediction_labels: Option<LabelScheme>,

    /// File that describes the truth's folder, in place of the dataset.toml in it
    #[arg(long, value_name = "FILE")]
    description: Option<PathBuf>,

    /// Compare voxels by their order in the files: affines may differ, shapes may not
    #[arg(long)]
    ignore_affine: bool,

    /// Write one row a case and region into this CSV file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Definition of HD95: medpy, monai or surface-distance; brats is the last
    #[arg(long, value_name = "NAME", default_value = "medpy")]
    hd95: Hd95,

    /// Score lesion by lesion as well, as BraTS does since 2023
    #[arg(long, alias = "lesionwise")]
    lesion_wise: bool,

    /// Rules of --lesion-wise by challenge: brats2023-gli, -ssa, -ped, -men or -met, brats2024-men,
    /// brats2025 [default: brats2023-gli]
    #[arg(long, value_name = "NAME")]
    rules: Option<LesionRules>,

    #[command(flatten)]
    thresholds: ThresholdOptions,

    /// Print the thresholds of --drop-below and --smallest-et that give these very cases the
    /// highest mean Dice; for validation cases, never for those to report on
    #[arg(long, conflicts_with_all = ["drop_below", "smallest_et"])]
    tune: bool,
}

impl Score {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        let Self { csv, thresholds, .. } = &self;
        let request = ScoreRequest {
            truth: self.truth.clone(),
            prediction: self.prediction.clone(),
            labels: self.labels,
            truth_labels: self.truth_labels,
            prediction_labels: self.prediction_labels,
            description: self.description.clone(),
            ignore_affine: self.ignore_affine,
            hd95: self.hd95,
            lesions: LesionRules::choose(self.lesion_wise, self.rules),
            tune: self.tune,
        };
        let scored = request.score_files(|regions| thresholds.to_postprocess(regions))?;
        if let Some(file) = csv {
            let mut rows = Vec::new();
            scored.cohort.write_csv(&mut rows).at_path(file).map_err(CaseError::from)?;
            fs::write(file, rows).map_err(CaseError::from)?;
        }
        Ok(CommandOutput::new(&scored, report_text(&scored)))
    }
}

fn report_text(scored: &FileScores) -> String {
    let cases = scored.cohort.cases();
    let hd95 = cases.first().map_or("", |case| case.hd95.name());
    let mut parts = vec![format!(
        "{} cases, HD95 of {hd95}, labels of the truth {}, of the prediction {}\n{}",
        cases.len(),
        scored.labels.truth,
        scored.labels.prediction,
        render_measures(&scored.cohort)
    )];
    parts.extend(scored.lesionwise.as_ref().map(render_lesions));
    if let Some(TunedThresholds { chosen, before, after }) = &scored.tuned {
        parts.push(format!(
            "best on these cases: {}, mean Dice {before:.4} becomes {after:.4}",
            as_options(chosen)
        ));
    }
    parts.join("\n\n")
}
