//! `score`: measures of predicted label files against true ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::error::{CaseError, Reason};
use crate::base::fs::{self, AtPath};
use crate::brats::case::{LabelVolume, read_labels_only};
use crate::brats::dataset::discover_cases;
use crate::cli::thresholds::{ThresholdOptions, as_options};
use crate::cli::{CommandOutput, Console, VerbResult};
use crate::eval::cohort::CohortScore;
use crate::eval::hausdorff::Hd95;
use crate::eval::lesionwise::{CohortLesions, LesionRules, score_lesions};
use crate::eval::match_files::{self, SegmentationPair};
use crate::eval::postprocess::PostProcess;
use crate::eval::score::score_case;
use crate::eval::table::{render_lesions, render_measures};
use crate::eval::tune::{PostProcessSearch, TunedThresholds};
use crate::run::failure::Failure;
use crate::volume::case::CaseId;
use crate::volume::grid::Dims;
use crate::volume::region::LabelScheme;

/// Score predicted label files against true ones
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow score --truth case_seg.nii.gz --prediction case.nii.gz --json
  gliaflow score --truth data/BraTS2020 --prediction predictions --labels brats2018
  gliaflow score --truth data/BraTS2023 --prediction predictions --lesionwise --hd95 brats
  gliaflow score --truth data/BraTS2020 --prediction validation --tune
  gliaflow score --truth data/BraTS2020 --prediction test --drop-below WT=100 --smallest-et 50

Two folders are paired by case; a case without its partner is an error, never left out.")]
pub(super) struct Score {
    /// A label file, a folder of them, or a dataset
    #[arg(long, value_name = "SEG")]
    truth: PathBuf,

    /// A label file, or a folder of CASE.nii.gz
    #[arg(long, value_name = "SEG")]
    prediction: PathBuf,

    /// Meaning of label values: brats2018 (4 is ET), brats2023 (3 is ET), brats2024, msd
    /// [default: the dataset's own, or brats2023 where a 3 and no 4 is found, else brats2018]
    #[arg(long, value_name = "SCHEME")]
    labels: Option<LabelScheme>,

    /// Write one row a case and region into this CSV file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Definition of HD95: medpy, monai or surface-distance; brats is the last
    #[arg(long, value_name = "NAME", default_value = "medpy")]
    hd95: Hd95,

    /// Score lesion by lesion as well, as BraTS does since 2023
    #[arg(long)]
    lesionwise: bool,

    #[command(flatten)]
    thresholds: ThresholdOptions,

    /// Print the thresholds of --drop-below and --smallest-et that give these very cases the
    /// highest mean Dice; for validation cases, never for those to report on
    #[arg(long, conflicts_with_all = ["drop_below", "smallest_et"])]
    tune: bool,
}

/// Document of the verb. The cohort's scores are at the top, where they are without any option.
#[derive(Serialize)]
struct ScoreDocument {
    #[serde(flatten)]
    cohort: CohortScore,
    #[serde(skip_serializing_if = "Option::is_none")]
    lesionwise: Option<CohortLesions>,
    #[serde(skip_serializing_if = "PostProcess::is_nothing")]
    postprocess: PostProcess,
    #[serde(skip_serializing_if = "Option::is_none")]
    tuned: Option<TunedThresholds>,
}

impl ScoreDocument {
    fn report_text(&self) -> String {
        let cases = self.cohort.cases();
        let hd95 = cases.first().map_or("", |case| case.hd95.name());
        let mut parts = vec![format!(
            "{} cases, HD95 of {hd95}\n{}",
            cases.len(),
            render_measures(&self.cohort)
        )];
        parts.extend(self.lesionwise.as_ref().map(render_lesions));
        if let Some(TunedThresholds { chosen, before, after }) = &self.tuned {
            parts.push(format!(
                "best on these cases: {}, mean Dice {before:.4} becomes {after:.4}",
                as_options(chosen)
            ));
        }
        parts.join("\n\n")
    }
}

impl Score {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        for path in [&self.truth, &self.prediction] {
            path.metadata().at_path(path).map_err(CaseError::from)?;
        }
        if self.truth.is_file() != self.prediction.is_file() {
            return Err(Failure::Usage(
                "--truth and --prediction must both be files or both be folders".into(),
            ));
        }
        let scored = if self.truth.is_file() {
            let file = self.truth.file_name().unwrap_or_default().to_string_lossy();
            let name = match_files::case_of_file(&file);
            let case = name.unwrap_or_else(|| CaseId::new(self.truth.display().to_string()));
            let pair = SegmentationPair {
                case,
                truth: self.truth.clone(),
                prediction: self.prediction.clone(),
            };
            self.score_pairs(&[pair], None)?
        } else {
            let (truth, scheme) = self.truth_folder()?;
            let predictions =
                match_files::files_in_folder(&self.prediction).map_err(Failure::Cases)?;
            let pairs = match_files::pair_files(&truth, &predictions).map_err(Failure::Cases)?;
            self.score_pairs(&pairs, scheme)?
        };
        if let Some(file) = &self.csv {
            let mut rows = Vec::new();
            scored.cohort.write_csv(&mut rows).at_path(file).map_err(CaseError::from)?;
            fs::write(file, rows).map_err(CaseError::from)?;
        }
        Ok(CommandOutput::new(&scored, scored.report_text()))
    }

    /// The true label files by case: a dataset's, or those of a flat folder.
    fn truth_folder(&self) -> Result<(match_files::FilesByCase, Option<LabelScheme>), Failure> {
        let Ok(dataset) = discover_cases(&self.truth) else {
            return Ok((match_files::files_in_folder(&self.truth).map_err(Failure::Cases)?, None));
        };
        let scheme = dataset.scheme;
        let labelled = dataset.cases.into_iter();
        let files: BTreeMap<CaseId, PathBuf> =
            labelled.filter_map(|files| Some((files.id, files.labels?))).collect();
        Ok((files, Some(scheme)))
    }

    fn score_pairs(
        &self,
        pairs: &[SegmentationPair],
        found: Option<LabelScheme>,
    ) -> Result<ScoreDocument, Failure> {
        let ids: Vec<CaseId> = pairs.iter().map(|pair| pair.case.clone()).collect();
        let mut scores = Vec::with_capacity(pairs.len());
        let mut lesions = Vec::new();
        let mut search = PostProcessSearch::default();
        let postprocess = self.thresholds.to_postprocess();
        for SegmentationPair { case, truth, prediction } in pairs {
            let scheme = self.labels.or(found);
            let labels = read_label_pair(truth, prediction, scheme);
            let LabelPair { truth, mut prediction, dims, spacing_mm } =
                labels.map_err(|error| error.of_case(case))?;
            if self.tune {
                search.add_case(&truth, &prediction, dims);
            }
            postprocess.apply_to(&mut prediction, dims);
            let id = case.clone();
            scores.push(score_case(self.hd95, id, &truth, &prediction, dims, spacing_mm));
            if self.lesionwise {
                let id = case.clone();
                let rules = LesionRules::default();
                lesions.push(score_lesions(id, &truth, &prediction, dims, spacing_mm, rules));
            }
        }
        let cohort = CohortScore::new(&ids, scores)?;
        let lesionwise = CohortLesions::of_cases(lesions);
        Ok(ScoreDocument { cohort, lesionwise, postprocess, tuned: search.best_thresholds() })
    }
}

/// True and predicted canonical labels on one grid.
struct LabelPair {
    truth: Vec<u8>,
    prediction: Vec<u8>,
    dims: Dims,
    spacing_mm: [f64; 3],
}

fn read_label_pair(
    true_path: &Path,
    predicted_path: &Path,
    scheme: Option<LabelScheme>,
) -> Result<LabelPair, CaseError> {
    let (truth, scheme) = read_labels(true_path, scheme)?;
    let (prediction, _) = read_labels(predicted_path, Some(scheme))?;
    let dims = truth.source.canonical_dims();
    let other = prediction.source.canonical_dims();
    if dims != other {
        return Err(CaseError::new(
            Reason::Geometry,
            predicted_path.display(),
            format!("is {other}, the truth is {dims}"),
            "score a prediction on the grid of its truth",
        ));
    }
    let spacing_mm = truth.source.canonical_spacing_mm();
    Ok(LabelPair { truth: truth.labels, prediction: prediction.labels, dims, spacing_mm })
}

/// Reads labels under the given scheme, or under the one that their values suggest.
fn read_labels(
    path: &Path,
    scheme: Option<LabelScheme>,
) -> Result<(LabelVolume, LabelScheme), CaseError> {
    let under = |scheme| read_labels_only(path, scheme).map(|volume| (volume, scheme));
    match scheme {
        Some(scheme) => under(scheme),
        None => under(LabelScheme::Brats2018)
            .or_else(|error| under(LabelScheme::Brats2023).map_err(|_| error)),
    }
}
