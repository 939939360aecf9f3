//! Dataset, cache and split of a run.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::base::{CaseError, ConfigError, Fingerprint, Reason};
use crate::brats::{Dataset, description_fingerprint};
use crate::cache::PreprocessConfig;
use crate::quality::{ForegroundRule, QualityPolicy};
use crate::resampling::{Interpolation, MAX_SPACING_MM, MIN_SPACING_MM};
use crate::run::config::patients::PatientRule;
use crate::run::config::pseudo::PseudoConfig;
use crate::volume::{
    Fold, LabelScheme, MissingModality, ModalitySet, RegionNames, RunChannels, SplitShares,
};

/// Dataset, cache and split of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// A dataset's folder, or a prefix of object storage, in a layout that docs/datasets.md names.
    #[schemars(extend("x-decides" = false, "x-neutral" = ""))]
    #[default(PathBuf::from("data"))]
    pub folder: PathBuf,
    /// Meaning of the label values, where it is not to be told from the file names (docs/labels.md): a
    /// name, or tissues with their values, as `{ NCR = 1, ED = 2, ET = [3, 5], ignore = 255 }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LabelScheme")]
    pub labels: Option<LabelScheme>,
    /// File that says how cases are found and what they mean, in place of the `dataset.toml` beside the
    /// data (docs/datasets.md).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("x-decides" = false))]
    pub description: Option<PathBuf>,
    /// Fingerprint of that description, where it is not a built-in layout's; `train` fills it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub described: Option<Fingerprint>,
    /// Regions that the network is trained and scored on, up to eight: names, as `["ET", "TC", "WT",
    /// "RC"]`, or tissues or label values of each, as `{ core = ["ET", "NCR"] }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "RegionNames",
        extend("x-default" = "ET, TC and WT, and RC where `labels` has a cavity; a region for each tissue of labels that are not BraTS's")
    )]
    pub regions: Option<RegionNames>,
    /// Order in which regions become labels, a later one over an earlier one. Needed where two overlap
    /// and neither lies in the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "Vec<String>",
        length(min = 1, max = 8),
        extend("x-default" = "a region before those inside it")
    )]
    pub painting: Option<Vec<String>>,
    /// Modalities that the network sees, one to four of `t1`, `t1ce`, `t2` and `flair`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "ModalitySet",
        length(min = 1, max = 4),
        extend("x-default" = "those of `dataset.toml`, or all four")
    )]
    pub modalities: Option<ModalitySet>,
    /// Policy on a case that lacks a modality: `error` (it cannot be used), `zero` (its image is 0, which
    /// is background).
    // Left out where it is the default: fingerprints of runs before it was there stay theirs.
    #[serde(skip_serializing_if = "MissingModality::is_error")]
    #[schemars(extend("default" = "error"))]
    pub missing: MissingModality,
    /// The cache root.
    #[schemars(extend("x-decides" = false, "x-neutral" = ""))]
    #[default(PathBuf::from("cache"))]
    pub cache: PathBuf,
    /// Share of the patients held out for validation, 0 to 1; at least one of two or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "f64",
        range(min = 0),
        extend("exclusiveMaximum" = 1, "x-default" = "`0.2`, unless `shares` or `split` is set")
    )]
    pub held_out: Option<f64>,
    /// Fold of a cross-validation, such as `0/5`, in place of `held_out`; or one of the folds of
    /// `split`. Beside `shares` test and hidden labels stay theirs, and all others are divided into folds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub fold: Option<Fold>,
    /// Shares of validation, test and hidden labels, in place of `held_out`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SplitShares")]
    pub shares: Option<SplitShares>,
    /// File that divides the cases: CSV with the columns `case` and `part`, JSON with a list of cases
    /// for each part (train, validation, test, unlabelled, unused), or nnU-Net's
    /// `splits_final.json`, of which `fold` is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub split: Option<PathBuf>,
    /// Patient of each case, where the layout does not tell: a regular expression for case names with
    /// a part `(?<patient>…)`, or a `.csv` file with the columns `case` and `patient`. All cases of a
    /// patient are in one part.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub patients: Option<PatientRule>,
    /// Share of the patients to train on that is trained on, above 0; the others are not used at all.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    #[default(1.0)]
    pub labelled_fraction: f64,
    /// A teacher, with whose labels the unlabelled cases are trained on, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PseudoConfig")]
    pub pseudo: Option<PseudoConfig>,
    /// Cases that another program made, such as a generative network's, which are trained on, too, and are in no
    /// other part.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SyntheticConfig")]
    pub synthetic: Option<SyntheticConfig>,
    /// Seed of the division, where it is not the run's: runs of several seeds on the same cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(max = i64::MAX))]
    pub split_seed: Option<u64>,
    /// True if every case is brought into the cache before the first step. Otherwise the first
    /// epoch trains during ingest, and a case that turns out to be bad is skipped, not left out.
    #[schemars(extend("x-decides" = false))]
    pub ingest_first: bool,
    /// Tissue: `nonzero` (what is not 0, nor the constant around the head where that is another value
    /// beyond doubt), `threshold` (what is far from the value around the head), or the ending of mask
    /// files, such as `_mask` for `CASE_mask.nii.gz` (where they are not 0).
    #[schemars(with = "String")]
    pub foreground: ForegroundRule,
    /// Policy on images without information and on spikes: `clip` (refused; clipped), `warn` (taken
    /// as they are), `strict` (refused, as is whatever is in doubt).
    pub quality: QualityPolicy,
    /// Voxel edges along x (left to right), y and z that every case is resampled to, such as
    /// `[1, 1, 1]`; predictions come back in the voxels of their case (docs/resampling.md).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "[f64; 3]",
        inner(range(min = MIN_SPACING_MM, max = MAX_SPACING_MM)),
        extend("x-unit" = "mm", "x-default" = "that of each case")
    )]
    pub spacing: Option<[f64; 3]>,
    /// Interpolation of images under `spacing`, `linear` or `cubic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Interpolation", extend("x-default" = "`linear`"))]
    pub interpolation: Option<Interpolation>,
    /// Voxels of the largest volume that is read; a larger one is refused by name before it is
    /// inflated, since a few MB may hold thousands of millions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "usize",
        range(min = 1, max = i64::MAX),
        extend("x-unit" = "voxels", "x-decides" = false, "x-default" = "what `loader.memory_mib` holds of a case")
    )]
    pub max_voxels: Option<usize>,
    /// Preprocessing, which decides the bytes of a case file.
    pub preprocess: PreprocessConfig,
    /// Channels that these settings name.
    #[serde(skip)]
    pub channels: RunChannels,
}

/// Synthetic cases in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyntheticConfig {
    /// Folder of the cases, in a layout that docs/datasets.md names, each with labels.
    #[serde(default)]
    #[schemars(extend("x-decides" = false))]
    pub folder: PathBuf,
    /// Share of samples from synthetic cases, above 0 and below 1; there is no default.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub share: f64,
}

impl DataConfig {
    /// Checks that synthetic cases have a folder, and with pseudo-labelled ones leave samples for the others.
    ///
    /// # Errors
    /// If there is no folder, or the shares come to 1 or more.
    pub fn check_sample_shares(&self) -> Result<(), ConfigError> {
        let Some(SyntheticConfig { folder, share }) = &self.synthetic else { return Ok(()) };
        if folder.as_os_str().is_empty() {
            let (problem, way_out) = ("no folder", "name the folder of the synthetic cases");
            return Err(ConfigError::new("synthetic.folder", "\"\"", problem, way_out));
        }
        let pseudo = self.pseudo.as_ref().and_then(|pseudo| pseudo.share).unwrap_or(0.0);
        if share + pseudo < 1.0 {
            return Ok(());
        }
        let problem = format!("too much beside data.pseudo.share = {pseudo}: no sample is left");
        let way_out = "lower one of the two, so that they come to less than 1";
        Err(ConfigError::new("synthetic.share", share, problem, way_out))
    }

    /// Checks that an interpolation has a voxel size to interpolate to.
    ///
    /// # Errors
    /// If it has none.
    pub fn check_spacing(&self) -> Result<(), ConfigError> {
        let Some(interpolation) = self.interpolation.filter(|_| self.spacing.is_none()) else {
            return Ok(());
        };
        let problem = "without data.spacing, so nothing is interpolated";
        let way_out = "set data.spacing = [1, 1, 1], or leave the interpolation out";
        Err(ConfigError::new("interpolation", interpolation.name(), problem, way_out))
    }

    /// Fills in the fingerprint of a new run's description. One that cannot be read is refused when the
    /// cases are looked for.
    pub fn fill_in_described(&mut self) {
        let found = description_fingerprint(&self.folder, self.description.as_deref());
        if self.described.is_none() {
            self.described = found.ok().flatten();
        }
    }

    /// Checks that a dataset is described as when the run was begun.
    ///
    /// # Errors
    /// If it is described otherwise.
    pub fn check_described(&self, dataset: &Dataset) -> Result<(), CaseError> {
        let now = dataset.description_fingerprint();
        if now == self.described {
            return Ok(());
        }
        let text = |print: Option<Fingerprint>| {
            print.map_or("a built-in layout".to_owned(), |print| print.short_hex(16))
        };
        let problem = format!(
            "is described by {} ({}), and data.described is {}",
            text(now),
            dataset.layout_reason,
            text(self.described)
        );
        let remedy = "bring the description back that the run was begun with, or begin another run; in \
                      a configuration of your own delete data.described";
        Err(CaseError::new(Reason::Format, self.folder.display(), problem, remedy))
    }
}
