//! Scores of predicted label files against true ones: one file, or a folder against another.

use std::path::PathBuf;

use serde::Serialize;

use crate::base::CaseError;
use crate::base::fs::AtPath;
use crate::brats::{
    ChosenScheme, FittingSchemes, NameSchemes, SchemeReason, SchemeRequest, align_prediction,
    discover_described_cases, find_described_labels, schemes_of_case_name,
};
use crate::eval::match_files::{self, FilesByCase, SegmentationPair};
use crate::eval::{
    CohortLesions, CohortScore, Hd95, LabelPair, LesionRules, PairOptions, PostProcess,
    PostProcessSearch, TunedThresholds, read_label_pair, score_case, score_lesions,
};
use crate::run::Failure;
use crate::volume::{CaseId, LabelScheme, RegionSet};

/// Label files to score, and how.
#[derive(Debug, Clone)]
pub struct ScoreRequest {
    /// A label file, a folder of them, or a dataset.
    pub truth: PathBuf,
    /// A label file, or a folder of `CASE.nii.gz`.
    pub prediction: PathBuf,
    /// Meaning of the label values, where names and files are not to tell it.
    pub labels: Option<LabelScheme>,
    /// Meaning of the truth's label values, where the prediction's is another.
    pub truth_labels: Option<LabelScheme>,
    /// Meaning of the prediction's label values.
    pub prediction_labels: Option<LabelScheme>,
    /// File that describes the truth's folder, in place of the one in it.
    pub description: Option<PathBuf>,
    /// Compares voxels by their order in the files: affines may differ, shapes may not.
    pub ignore_affine: bool,
    /// Definition of HD95.
    pub hd95: Hd95,
    /// Rules of scores by lesion, if there are to be any.
    pub lesions: Option<LesionRules>,
    /// Searches the thresholds of postprocessing that suit these cases best.
    pub tune: bool,
}

impl ScoreRequest {
    /// Request with what `gliaflow score` does without options.
    pub fn new(truth: impl Into<PathBuf>, prediction: impl Into<PathBuf>) -> Self {
        Self {
            truth: truth.into(),
            prediction: prediction.into(),
            labels: None,
            truth_labels: None,
            prediction_labels: None,
            description: None,
            ignore_affine: false,
            hd95: Hd95::Medpy,
            lesions: None,
            tune: false,
        }
    }
}

/// Scores of label files. In JSON the cohort's are at the top, whatever else was asked for.
#[derive(Debug, Serialize)]
pub struct FileScores {
    /// Scores of the cases, and their means.
    #[serde(flatten)]
    pub cohort: CohortScore,
    /// Meaning of the label values.
    pub labels: SideSchemes,
    /// Scores by lesion, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lesionwise: Option<CohortLesions>,
    /// Postprocessing of the predictions.
    #[serde(skip_serializing_if = "PostProcess::is_nothing")]
    pub postprocess: PostProcess,
    /// Thresholds that suit these cases best, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuned: Option<TunedThresholds>,
}

/// Meaning of the label values on each side.
#[derive(Debug, Serialize)]
pub struct SideSchemes {
    /// Scheme of the truth.
    pub truth: ChosenScheme,
    /// Scheme of the predictions.
    pub prediction: ChosenScheme,
}

/// Meaning of the label values, as far as folders and options tell it.
struct Meaning {
    fitting: FittingSchemes,
    /// Scheme of the predictions; absent where it is that of the truth.
    prediction: Option<ChosenScheme>,
    /// Regions that the truth's description names.
    regions: Option<RegionSet>,
}

impl ScoreRequest {
    /// Scores the predictions after the postprocessing that `postprocess` gives for the regions.
    ///
    /// # Errors
    /// If a file is missing or cannot be read, a case is without its partner, label values have no
    /// meaning that fits, or grids differ.
    pub fn score_files(
        &self,
        postprocess: impl Fn(RegionSet) -> Result<PostProcess, Failure>,
    ) -> Result<FileScores, Failure> {
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
        if self.truth.is_file() {
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
            self.score_pairs(&[pair], Meaning { fitting, prediction, regions: None }, postprocess)
        } else {
            let (truth, fitting, regions) = self.truth_of_folder()?;
            let (predictions, prediction) = self.predictions_of_folder()?;
            let pairs = match_files::pair_files(&truth, &predictions).map_err(Failure::Cases)?;
            self.score_pairs(&pairs, Meaning { fitting, prediction, regions }, postprocess)
        }
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
        postprocess: impl Fn(RegionSet) -> Result<PostProcess, Failure>,
    ) -> Result<FileScores, Failure> {
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
        let postprocess = postprocess(regions)?;
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
            if let Some(rules) = self.lesions {
                let id = pair.case.clone();
                let found =
                    score_lesions(regions, id, &truth, &prediction, dims, spacing_mm, rules);
                lesions.push(found);
            }
        }
        Ok(FileScores {
            cohort: CohortScore::new(&ids, scores)?,
            labels: SideSchemes { truth: of_truth, prediction: of_prediction },
            lesionwise: CohortLesions::of_cases(lesions),
            postprocess,
            tuned: search.best_thresholds(),
        })
    }
}
