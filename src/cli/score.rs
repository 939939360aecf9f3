//! `score`: measures of predicted label files against true ones.

use std::path::PathBuf;

use serde::Serialize;

use crate::base::CaseError;
use crate::base::fs::{self, AtPath};
use crate::brats::{
    ChosenScheme, FittingSchemes, NameSchemes, SchemeReason, SchemeRequest, align_prediction,
    discover_described_cases, find_described_labels, schemes_of_case_name,
};
use crate::cli::{CommandOutput, Console, ThresholdOptions, VerbResult, as_options};
use crate::eval::match_files::{self, FilesByCase, SegmentationPair};
use crate::eval::{
    CohortLesions, CohortScore, Hd95, LabelPair, LesionRules, PairOptions, PostProcess,
    PostProcessSearch, TunedThresholds, read_label_pair, render_lesions, render_measures,
    score_case, score_lesions,
};
use crate::run::Failure;
use crate::volume::{CaseId, LabelScheme, RegionSet};

/// Score predicted label files against true ones
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow score --truth case_seg.nii.gz --prediction case.nii.gz --json
  gliaflow score --truth data/BraTS2020 --prediction predictions --prediction-labels brats2023
  gliaflow score --truth data/BraTS2023 --prediction predictions --lesion-wise --hd95 brats
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
    labels: SideSchemes,
    #[serde(skip_serializing_if = "Option::is_none")]
    lesionwise: Option<CohortLesions>,
    #[serde(skip_serializing_if = "PostProcess::is_nothing")]
    postprocess: PostProcess,
    #[serde(skip_serializing_if = "Option::is_none")]
    tuned: Option<TunedThresholds>,
}

/// Meaning of the label values on each side.
#[derive(Serialize)]
struct SideSchemes {
    truth: ChosenScheme,
    prediction: ChosenScheme,
}

/// Meaning of the label values, as far as folders and options tell it.
struct Meaning {
    fitting: FittingSchemes,
    /// Scheme of the predictions; absent where it is that of the truth.
    prediction: Option<ChosenScheme>,
    /// Regions that the truth's description names.
    regions: Option<RegionSet>,
}

impl ScoreDocument {
    fn report_text(&self) -> String {
        let cases = self.cohort.cases();
        let hd95 = cases.first().map_or("", |case| case.hd95.name());
        let mut parts = vec![format!(
            "{} cases, HD95 of {hd95}, labels of the truth {}, of the prediction {}\n{}",
            cases.len(),
            self.labels.truth,
            self.labels.prediction,
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
        if self.truth.is_file() && self.description.is_some() {
            let problem = "--description is of a folder, and --truth is a file; name a folder";
            return Err(Failure::Usage(problem.into()));
        }
        let scored = if self.truth.is_file() {
            let file = self.truth.file_name().unwrap_or_default().to_string_lossy();
            let name = match_files::case_of_file(&file);
            let case = name.unwrap_or_else(|| CaseId::new(self.truth.display().to_string()));
            let fitting =
                self.fitting_schemes(&FilesByCase::from([(case.clone(), self.truth.clone())]))?;
            let pair = SegmentationPair {
                case,
                truth: self.truth.clone(),
                prediction: self.prediction.clone(),
            };
            let prediction = self.asked_prediction();
            self.score_pairs(&[pair], Meaning { fitting, prediction, regions: None })?
        } else {
            let (truth, fitting, regions) = self.truth_of_folder()?;
            let (predictions, prediction) = self.predictions_of_folder()?;
            let pairs = match_files::pair_files(&truth, &predictions).map_err(Failure::Cases)?;
            self.score_pairs(&pairs, Meaning { fitting, prediction, regions })?
        };
        if let Some(file) = &self.csv {
            let mut rows = Vec::new();
            scored.cohort.write_csv(&mut rows).at_path(file).map_err(CaseError::from)?;
            fs::write(file, rows).map_err(CaseError::from)?;
        }
        Ok(CommandOutput::new(&scored, scored.report_text()))
    }

    /// True label files by case, a dataset's or those of a flat folder, the schemes that fit, and the
    /// regions that the dataset's description names.
    fn truth_of_folder(&self) -> Result<(FilesByCase, FittingSchemes, Option<RegionSet>), Failure> {
        // A scheme that is asked for has regions of its own.
        let asked = self.truth_scheme();
        let described = self.description.as_deref();
        let found = discover_described_cases(&self.truth, described, SchemeRequest::LeftOpen);
        let dataset = match found {
            Ok(dataset) if dataset.cases.iter().any(|files| files.labels.is_some()) => dataset,
            _ => return self.truth_of_labels(),
        };
        let is_named = dataset.description.regions.is_some() && asked.is_none();
        let regions = dataset.cases.first().filter(|_| is_named).map(|own| own.channels.regions);
        let labelled = dataset.cases.into_iter();
        let files: FilesByCase =
            labelled.filter_map(|files| Some((files.id, files.labels?))).collect();
        let fitting = match asked {
            Some(asked) => FittingSchemes::of_request(asked),
            None => {
                let named = dataset.name_schemes.common_schemes(&self.truth)?;
                let paths: Vec<PathBuf> = files.values().cloned().collect();
                match named.as_slice() {
                    [scheme] => FittingSchemes::of_choice(ChosenScheme {
                        scheme: *scheme,
                        reason: dataset.labels.reason,
                    }),
                    _ => FittingSchemes::of_files(&self.truth, &named, &paths)?,
                }
            }
        };
        Ok((files, fitting, regions))
    }

    /// True label files of a folder without images, as its description names them, or in a flat folder.
    fn truth_of_labels(&self) -> Result<(FilesByCase, FittingSchemes, Option<RegionSet>), Failure> {
        let asked = self.truth_scheme();
        let described = match find_described_labels(&self.truth, self.description.as_deref()) {
            Err(_) if asked.is_some() => None,
            described => described?,
        };
        let (named, labels, regions) =
            described.map_or_else(Default::default, |own| (own.files, own.labels, own.regions));
        let files = match named.is_empty() {
            true => match_files::files_in_folder(&self.truth).map_err(Failure::Cases)?,
            false => named,
        };
        let fitting = match labels.filter(|_| asked.is_none()) {
            Some(told) => FittingSchemes::of_choice(told),
            None => self.fitting_schemes(&files)?,
        };
        Ok((files, fitting, regions.filter(|_| asked.is_none())))
    }

    /// Predicted label files by case, and the meaning of their values, where it was asked for or the
    /// folder's own description tells it.
    fn predictions_of_folder(&self) -> Result<(FilesByCase, Option<ChosenScheme>), Failure> {
        let asked = self.asked_prediction();
        let described = match find_described_labels(&self.prediction, None) {
            Err(_) if asked.is_some() => None,
            described => described?,
        };
        let (named, labels) =
            described.map_or_else(Default::default, |own| (own.files, own.labels));
        let files = match named.is_empty() {
            true => match_files::files_in_folder(&self.prediction).map_err(Failure::Cases)?,
            false => named,
        };
        Ok((files, asked.or(labels)))
    }

    /// Scheme of the predictions that was asked for.
    fn asked_prediction(&self) -> Option<ChosenScheme> {
        let asked = self.prediction_labels.or(self.labels);
        asked.map(|scheme| ChosenScheme { scheme, reason: SchemeReason::Asked })
    }

    /// Scheme of the truth that was asked for.
    fn truth_scheme(&self) -> Option<LabelScheme> {
        self.truth_labels.or(self.labels)
    }

    /// Schemes that fit true label files whose names are their cases'.
    fn fitting_schemes(&self, files: &FilesByCase) -> Result<FittingSchemes, CaseError> {
        if let Some(asked) = self.truth_scheme() {
            return Ok(FittingSchemes::of_request(asked));
        }
        let mut names = NameSchemes::default();
        for case in files.keys() {
            if let Some(schemes) = schemes_of_case_name(case.as_str()) {
                names.add_case(case.as_str(), schemes);
            }
        }
        let paths: Vec<PathBuf> = files.values().cloned().collect();
        FittingSchemes::of_files(&self.truth, &names.common_schemes(&self.truth)?, &paths)
    }

    fn score_pairs(
        &self,
        pairs: &[SegmentationPair],
        meaning: Meaning,
    ) -> Result<ScoreDocument, Failure> {
        let predictions: Vec<PathBuf> = pairs.iter().map(|pair| pair.prediction.clone()).collect();
        let Meaning { fitting, prediction, regions } = meaning;
        let [of_truth, of_prediction] = fitting.choose_pair(prediction, &predictions)?;
        let of_prediction = align_prediction(of_prediction, of_truth.scheme, &self.prediction)?;
        let options = PairOptions {
            truth: of_truth.scheme,
            prediction: of_prediction.scheme,
            ignore_affine: self.ignore_affine,
        };
        let ids: Vec<CaseId> = pairs.iter().map(|pair| pair.case.clone()).collect();
        let mut scores = Vec::with_capacity(pairs.len());
        let mut lesions = Vec::new();
        let regions = regions.unwrap_or_else(|| of_truth.scheme.default_regions());
        let mut search = PostProcessSearch::of_regions(regions);
        let postprocess = self.thresholds.to_postprocess(regions)?;
        for pair in pairs {
            let labels = read_label_pair(pair, options);
            let LabelPair { truth, mut prediction, dims, spacing_mm } =
                labels.map_err(|error| error.of_case(&pair.case))?;
            if self.tune {
                search.add_case(&truth, &prediction, dims);
            }
            postprocess.apply_to(regions, &mut prediction, dims);
            let id = pair.case.clone();
            let hd95 = self.hd95;
            scores.push(score_case(regions, hd95, id, &truth, &prediction, dims, spacing_mm));
            if self.lesion_wise {
                let id = pair.case.clone();
                let rules = LesionRules::default();
                let found =
                    score_lesions(regions, id, &truth, &prediction, dims, spacing_mm, rules);
                lesions.push(found);
            }
        }
        Ok(ScoreDocument {
            cohort: CohortScore::new(&ids, scores)?,
            labels: SideSchemes { truth: of_truth, prediction: of_prediction },
            lesionwise: CohortLesions::of_cases(lesions),
            postprocess,
            tuned: search.best_thresholds(),
        })
    }
}
