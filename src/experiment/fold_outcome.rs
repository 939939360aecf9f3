//! Outcome of a cross-validation: every method on cases that it has not seen, the spread over folds,
//! and paired tests between the methods.

use serde::Serialize;

use crate::base::CaseError;
use crate::eval::CohortScore;
use crate::eval::Summary;
use crate::eval::statistics::paired::{MeasureByCase, average_seeds, compare_methods};
use crate::eval::statistics::wilcoxon::Alternative;
use crate::experiment::paired_test::PairedTest;
use crate::volume::{CaseId, RegionSet};

/// Outcome of a cross-validation.
#[derive(Debug, Clone)]
pub struct FoldOutcome {
    /// The study's name.
    pub name: String,
    /// True if the cases are phantoms.
    pub phantom: bool,
    /// Number of folds.
    pub folds: usize,
    /// Cases that are each held out once.
    pub held_out_cases: usize,
    /// Cases that no run has seen.
    pub test_cases: usize,
    /// Repetitions.
    pub seeds: u64,
    /// Methods, in the order of the table.
    pub rows: Vec<FoldRow>,
}

/// Method of a cross-validation, with its scores.
#[derive(Debug, Clone)]
pub struct FoldRow {
    /// Name of the method.
    pub name: String,
    /// Optimiser steps of its first run; absent for what is not trained.
    pub steps: Option<u64>,
    /// Scores of held-out folds, by repetition, then by fold.
    pub held_out: Vec<Vec<CohortScore>>,
    /// Scores of the mean of its folds on the test cases, by repetition.
    pub test: Vec<CohortScore>,
}

/// Cases that methods are compared on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ComparedCases {
    /// Every case that is held out once, predicted by networks that have not seen it.
    HeldOut,
    /// The test cases, predicted by the mean over all folds.
    Test,
}

impl ComparedCases {
    /// Name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HeldOut => "held out",
            Self::Test => "test",
        }
    }
}

/// Comparison of two methods in one region.
#[derive(Debug, Clone, Serialize)]
pub struct FoldComparison {
    /// The cases.
    pub on: ComparedCases,
    /// The first method.
    pub method: String,
    /// The one that it is compared with.
    pub with: String,
    /// Region.
    pub region: String,
    /// Two-sided test; all comparisons on these cases are its family.
    #[serde(flatten)]
    pub test: PairedTest,
}

impl FoldRow {
    /// Dice of a region by case, one map a repetition; none if it was not scored on such cases.
    pub fn dice_by_case(&self, on: ComparedCases, region: &str) -> Vec<MeasureByCase> {
        let of_run = |run: &CohortScore| run.measure_by_case(region, |measures| measures.dice);
        match on {
            ComparedCases::Test => self.test.iter().map(of_run).collect(),
            ComparedCases::HeldOut => {
                let of_folds = |folds: &Vec<CohortScore>| folds.iter().flat_map(of_run).collect();
                self.held_out.iter().map(of_folds).collect()
            }
        }
    }

    /// Spread of its Dice over the cases, each the mean of its repetitions; `None` without cases.
    ///
    /// # Errors
    /// If its repetitions did not score the same cases.
    pub fn dice_summary(
        &self,
        on: ComparedCases,
        region: &str,
    ) -> Result<Option<Summary>, CaseError> {
        let runs = self.dice_by_case(on, region);
        if runs.is_empty() {
            return Ok(None);
        }
        let values: Vec<f64> = average_seeds(&runs)?.into_values().collect();
        Ok(Summary::of_values(&values))
    }

    /// Mean Dice of a region on each held-out fold, over its cases and repetitions.
    pub fn dice_by_fold(&self, region: &str) -> Vec<f64> {
        let folds = self.held_out.first().map_or(0, Vec::len);
        let mean = |fold: usize| {
            let of_run = |folds: &Vec<CohortScore>| {
                folds[fold].summary_by_region().get(region).map(|found| found.dice.mean)
            };
            let means: Vec<f64> = self.held_out.iter().filter_map(of_run).collect();
            means.iter().sum::<f64>() / means.len() as f64
        };
        (0..folds).map(mean).collect()
    }

    /// Standard deviation of the folds' mean Dice in a region.
    pub fn fold_sd(&self, region: &str) -> Option<f64> {
        Summary::of_values(&self.dice_by_fold(region))?.sd
    }

    /// Cases of all held-out folds, each of which stands in one.
    pub fn held_out_ids(&self) -> Vec<CaseId> {
        let runs = self.held_out.iter().take(1).flatten();
        runs.flat_map(|run| run.cases().iter().map(|score| score.case.clone())).collect()
    }
}

impl FoldOutcome {
    /// Names of the regions that methods were scored in.
    pub fn region_names(&self) -> Vec<String> {
        let mut runs = self.rows.iter().flat_map(|row| row.held_out.iter().flatten());
        match runs.next() {
            Some(run) => run.summary_by_region().region_names().map(str::to_owned).collect(),
            None => RegionSet::BRATS.region_names().map(str::to_owned).collect(),
        }
    }

    /// Compares every two methods in every region on these cases: the later row with the earlier, as an
    /// ensemble with its networks.
    ///
    /// # Errors
    /// If rows were not scored on the same cases.
    pub fn compare_rows(&self, on: ComparedCases) -> Result<Vec<FoldComparison>, CaseError> {
        let mut compared = Vec::new();
        let mut gains = Vec::new();
        for (place, method) in self.rows.iter().enumerate() {
            for with in &self.rows[..place] {
                for region in self.region_names() {
                    let ours = method.dice_by_case(on, &region);
                    let theirs = with.dice_by_case(on, &region);
                    if ours.is_empty() || theirs.is_empty() {
                        continue;
                    }
                    gains.push(compare_methods(&ours, &theirs, Alternative::TwoSided)?);
                    compared.push((method, with, region));
                }
            }
        }
        let comparison =
            |((method, with, region), test): ((&FoldRow, &FoldRow, String), PairedTest)| {
                let (method, with) = (method.name.clone(), with.name.clone());
                FoldComparison { on, method, with, region, test }
            };
        Ok(compared.into_iter().zip(PairedTest::of_family(gains)).map(comparison).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{ByRegion, CaseScore, Hd95, Measures, RegionScore};

    fn scores(cases: std::ops::Range<usize>, dice: impl Fn(usize) -> f64) -> CohortScore {
        let score = |number: usize| {
            let measures = Measures {
                dice: dice(number),
                hd95_mm: 1.0,
                nsd_half_mm: 1.0,
                nsd_one_mm: 1.0,
                sensitivity: 1.0,
                specificity: 1.0,
            };
            let region = RegionScore { measures, truth_voxels: 1, predicted_voxels: 1 };
            CaseScore {
                case: CaseId::new(format!("case{number:02}")),
                hd95: Hd95::Medpy,
                regions: ByRegion::of_regions(RegionSet::BRATS, |_| region),
            }
        };
        let all: Vec<CaseScore> = cases.map(score).collect();
        let ids: Vec<CaseId> = all.iter().map(|score| score.case.clone()).collect();
        CohortScore::new(&ids, all).unwrap()
    }

    /// Three folds of four cases each; the second fold is worse by 0.3.
    fn row(name: &str, dice: f64) -> FoldRow {
        let fold = |fold: usize| {
            let lost = if fold == 1 { 0.3 } else { 0.0 };
            scores(4 * fold..4 * fold + 4, |number| dice - lost + 1e-3 * (number % 4) as f64)
        };
        let held_out = vec![(0..3).map(fold).collect()];
        FoldRow { name: name.into(), steps: None, held_out, test: Vec::new() }
    }

    #[test]
    fn every_case_is_held_out_once_and_the_spread_is_over_folds_or_over_cases() {
        let row = row("unet", 0.8);
        let found = row.dice_summary(ComparedCases::HeldOut, "WT").unwrap().unwrap();
        assert!((found.mean - (0.8 + 1.5e-3 - 0.1)).abs() < 1e-12, "{found:?}");
        assert_eq!(row.held_out_ids().len(), 12);
        let by_fold = row.dice_by_fold("WT");
        assert!((by_fold[0] - 0.8015).abs() < 1e-12 && (by_fold[1] - 0.5015).abs() < 1e-12);
        assert!((row.fold_sd("WT").unwrap() - 0.3 / 3.0_f64.sqrt()).abs() < 1e-12);
        assert!(row.dice_summary(ComparedCases::Test, "WT").unwrap().is_none());
    }

    #[test]
    fn methods_are_compared_over_all_held_out_cases_and_corrected_together() {
        let rows = vec![row("unet", 0.8), row("vnet", 0.8), row("ensemble", 0.85)];
        let outcome = FoldOutcome {
            name: "x".into(),
            phantom: true,
            folds: 3,
            held_out_cases: 12,
            test_cases: 0,
            seeds: 1,
            rows,
        };
        let all = outcome.compare_rows(ComparedCases::HeldOut).unwrap();
        assert_eq!(all.len(), 3 * 3);
        let equal = &all[0];
        assert_eq!((equal.method.as_str(), equal.with.as_str()), ("vnet", "unet"));
        assert!(!equal.test.significant && equal.test.gain.cases == 12);
        let better = &all[3];
        assert_eq!((better.method.as_str(), better.with.as_str()), ("ensemble", "unet"));
        assert!(
            better.test.significant && (better.test.gain.mean - 0.05).abs() < 1e-12,
            "{better:?}"
        );
        assert!(better.test.adjusted_p > better.test.gain.test.p);
        assert!(outcome.compare_rows(ComparedCases::Test).unwrap().is_empty());
    }
}
