//! Dataset, cache and split of a run.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::fingerprint::Fingerprint;
use crate::base::schema::ConfigError;
use crate::brats::dataset::TumourGrade;
use crate::cache::preprocess::PreprocessConfig;
use crate::volume::case::{CaseId, Split, hold_out_cases};
use crate::volume::fold::Fold;
use crate::volume::fraction::keep_fraction;
use crate::volume::partition::{SplitShares, cross_validation, partition_cohort};
use crate::volume::targets::Targets;

/// Dataset, cache and split of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// A folder in one of the BraTS layouts.
    #[schemars(extend("x-decides" = false, "x-neutral" = ""))]
    pub folder: PathBuf,
    /// The cache root.
    #[schemars(extend("x-decides" = false, "x-neutral" = ""))]
    pub cache: PathBuf,
    /// Share of the cases held out for validation, 0 to 1; at least one case of two or more.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub held_out: f64,
    /// Fold of a cross-validation, such as `0/5`, in place of `held_out`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub fold: Option<Fold>,
    /// Shares of validation, test and hidden labels, in place of `held_out`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SplitShares")]
    pub shares: Option<SplitShares>,
    /// Share of the cases to train on that is trained on, above 0; the others are not used at all.
    #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
    pub labelled_fraction: f64,
    /// A teacher, with whose labels the unlabelled cases are trained on, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PseudoConfig")]
    pub pseudo: Option<PseudoConfig>,
    /// Seed of the division, where it is not the run's: runs of several seeds on the same cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64", range(max = i64::MAX))]
    pub split_seed: Option<u64>,
    /// True if every case is brought into the cache before the first step. Otherwise the first
    /// epoch trains during ingest, and a case that turns out to be bad is skipped, not left out.
    #[schemars(extend("x-decides" = false))]
    pub ingest_first: bool,
    /// Preprocessing, which decides the bytes of a case file.
    pub preprocess: PreprocessConfig,
}

/// Pseudo-labels of the unlabelled cases in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PseudoConfig {
    /// The teacher's fingerprint, as `gliaflow label` prints it.
    #[schemars(with = "String")]
    pub teacher: Fingerprint,
    /// Hard labels, or probabilities.
    #[serde(default)]
    pub targets: Targets,
    /// Share of samples from pseudo-labelled cases; if absent, cases are drawn alike (Lachinov et
    /// al.).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub share: Option<f64>,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("data"),
            cache: PathBuf::from("cache"),
            held_out: 0.2,
            fold: None,
            shares: None,
            labelled_fraction: 1.0,
            pseudo: None,
            split_seed: None,
            ingest_first: false,
            preprocess: PreprocessConfig::default(),
        }
    }
}

impl DataConfig {
    /// Checks settings that depend on each other.
    ///
    /// # Errors
    /// Two ways to divide the cohort, or shares that leave nothing to train on.
    pub fn check_division(&self) -> Result<(), ConfigError> {
        match (self.fold, &self.shares) {
            (Some(fold), Some(_)) => {
                let problem = "a second way to divide the cohort, beside data.shares";
                Err(ConfigError::new("fold", fold, problem, "keep one"))
            }
            (None, Some(shares)) => {
                shares.check_shares().map_err(|error| error.in_section("shares"))
            }
            _ => Ok(()),
        }
    }

    /// Returns the split of each of `cases`, in their order, in a run of seed `seed`. Grades are
    /// spread evenly where the folders tell them.
    ///
    /// # Errors
    /// If there are fewer cases than folds.
    pub fn split_cases(
        &self,
        cases: &[(CaseId, Option<TumourGrade>)],
        seed: u64,
    ) -> Result<Vec<Split>, ConfigError> {
        let seed = self.split_seed.unwrap_or(seed);
        let mut parts = self.split_all_labelled(cases, seed)?;
        keep_fraction(cases, &mut parts, self.labelled_fraction, seed);
        Ok(parts)
    }

    /// Splits the cases with all labelled ones in use.
    fn split_all_labelled(
        &self,
        cases: &[(CaseId, Option<TumourGrade>)],
        seed: u64,
    ) -> Result<Vec<Split>, ConfigError> {
        if let Some(fold) = self.fold {
            let folds = fold.fold_count();
            let found = cases.len();
            if found < folds {
                let problem = format!("too fine: there are {found} cases");
                return Err(ConfigError::new("data.fold", fold, problem, "use fewer folds"));
            }
            return Ok(cross_validation(cases, fold, seed));
        }
        if let Some(shares) = &self.shares {
            return Ok(partition_cohort(cases, shares, seed));
        }
        let ids: Vec<CaseId> = cases.iter().map(|(id, _)| id.clone()).collect();
        Ok(hold_out_cases(&ids, held_out_count(ids.len(), self.held_out), seed))
    }
}

/// Number of held-out cases: a share, but at least one of two or more, and never all.
fn held_out_count(cases: usize, share: f64) -> usize {
    if share == 0.0 || cases < 2 {
        return 0;
    }
    ((cases as f64 * share).round() as usize).clamp(1, cases - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::schema::check_ranges;

    fn cases(count: usize) -> Vec<(CaseId, Option<TumourGrade>)> {
        let grade = |number: usize| {
            Some(if number.is_multiple_of(4) { TumourGrade::Lgg } else { TumourGrade::Hgg })
        };
        (0..count).map(|number| (CaseId::new(format!("case{number}")), grade(number))).collect()
    }

    fn count(parts: &[Split], part: Split) -> usize {
        parts.iter().filter(|own| **own == part).count()
    }

    #[test]
    fn something_is_held_out_and_something_is_left() {
        assert_eq!(held_out_count(10, 0.2), 2);
        assert_eq!(held_out_count(2, 0.01), 1);
        assert_eq!(held_out_count(3, 0.99), 2);
        assert_eq!(held_out_count(1, 0.5), 0);
        assert_eq!(held_out_count(10, 0.0), 0);
    }

    #[test]
    fn folds_take_turns_and_shares_are_the_papers() {
        let all = cases(20);
        let fold = |index| DataConfig { fold: Fold::new(index, 5).ok(), ..Default::default() };
        let mut validated = vec![0; all.len()];
        for index in 0..5 {
            let parts = fold(index).split_cases(&all, 3).unwrap();
            assert_eq!(count(&parts, Split::Validation), 4);
            for (times, part) in validated.iter_mut().zip(parts) {
                *times += usize::from(part == Split::Validation);
            }
        }
        assert_eq!(validated, vec![1; all.len()]);
        let shares = DataConfig { shares: Some(SplitShares::default()), ..Default::default() };
        let parts = shares.split_cases(&cases(592), 3).unwrap();
        let sizes = [Split::Train, Split::Validation, Split::Test, Split::Unlabelled];
        assert_eq!(sizes.map(|part| count(&parts, part)), [335, 33, 153, 71]);
    }

    #[test]
    fn fewer_labelled_cases_change_nothing_but_who_is_trained_on() {
        let all = cases(60);
        let parts = |labelled_fraction| {
            let shares = Some(SplitShares::default());
            let config = DataConfig { shares, labelled_fraction, ..Default::default() };
            config.split_cases(&all, 3).unwrap()
        };
        let (whole, half) = (parts(1.0), parts(0.5));
        assert_eq!((count(&whole, Split::Train), count(&half, Split::Train)), (34, 17));
        assert_eq!(count(&half, Split::Unused), 17);
        for part in [Split::Validation, Split::Test, Split::Unlabelled] {
            assert_eq!(count(&whole, part), count(&half, part));
        }
        for fraction in [0.0, -0.5, 1.5, f64::NAN] {
            let config = DataConfig { labelled_fraction: fraction, ..Default::default() };
            assert!(
                check_ranges(&config).unwrap_err().to_string().starts_with("labelled_fraction ="),
                "{fraction}"
            );
        }
    }

    #[test]
    fn runs_of_several_seeds_can_share_one_division() {
        let all = cases(40);
        for shares in [None, Some(SplitShares::default())] {
            let own = DataConfig { shares, ..Default::default() };
            let shared = DataConfig { split_seed: Some(9), ..own.clone() };
            assert_ne!(own.split_cases(&all, 1), own.split_cases(&all, 2));
            assert_eq!(shared.split_cases(&all, 1), shared.split_cases(&all, 2));
            assert_eq!(shared.split_cases(&all, 1), own.split_cases(&all, 9));
        }
    }

    #[test]
    fn two_ways_at_once_and_too_few_cases_are_refused() {
        let fold = Fold::new(0, 5).ok();
        let both = DataConfig { fold, shares: Some(SplitShares::default()), ..Default::default() };
        assert!(both.check_division().unwrap_err().to_string().contains("keep one"));
        let few = DataConfig { fold, ..Default::default() };
        assert!(few.split_cases(&cases(4), 0).unwrap_err().to_string().contains("use fewer folds"));
        let wrong = SplitShares { test: 1.5, ..SplitShares::default() };
        let wrong = DataConfig { shares: Some(wrong), ..Default::default() };
        assert!(wrong.check_division().unwrap_err().to_string().starts_with("shares.test"));
    }
}
