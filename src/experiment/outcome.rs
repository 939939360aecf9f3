//! ExperimentOutcome of an experiment: rows of scores, and the tests of the paper's claim.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::CaseError;
use crate::eval::statistics::paired::{MeasureByCase, average_seeds};
use crate::eval::{CohortScore, Summary};
use crate::experiment::paper::PaperRow;
use crate::volume::RegionSet;

/// Row of the table: one method and its scores.
#[derive(Debug, Clone)]
pub struct TableRow {
    /// Name of the method.
    pub name: String,
    /// Role of the method.
    pub role: Role,
    /// The row of the paper's table that it is held against.
    pub paper: Option<PaperRow>,
    /// Optimiser steps of one run; absent for what is not trained.
    pub steps: Option<u64>,
    /// Scores of the test cases, one a seed; none if it has not run.
    pub runs: Vec<CohortScore>,
}

/// Role of a method in the experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A network trained on the labelled cases.
    StandAlone,
    /// The average of networks.
    Ensemble,
    /// The student, trained on labelled and pseudo-labelled cases.
    Distilled,
    /// The student's network, trained on the labelled cases alone for as many steps.
    Control,
}

impl TableRow {
    /// Dice of a region by test case, one map a seed.
    pub fn dice_by_case(&self, region: &str) -> Vec<MeasureByCase> {
        self.runs.iter().map(|run| run.measure_by_case(region, |measures| measures.dice)).collect()
    }

    /// Spread of its Dice over the cases, each the mean of its seeds; `None` if it has not run.
    ///
    /// # Errors
    /// If its seeds did not score the same cases.
    pub fn dice_summary(&self, region: &str) -> Result<Option<Summary>, CaseError> {
        if self.runs.is_empty() {
            return Ok(None);
        }
        let values: Vec<f64> = average_seeds(&self.dice_by_case(region))?.into_values().collect();
        Ok(Summary::of_values(&values))
    }

    /// Standard deviation of the mean Dice over seeds; `None` of fewer than two.
    pub fn seed_sd(&self, region: &str) -> Option<f64> {
        let means: Vec<f64> = self
            .runs
            .iter()
            .filter_map(|run| Some(run.summary_by_region().get(region)?.dice.mean))
            .collect();
        Summary::of_values(&means)?.sd
    }
}

/// Names of the regions that rows were scored in; those of BraTS where none has run.
pub fn region_names(rows: &[TableRow]) -> Vec<String> {
    match rows.iter().find_map(|row| row.runs.first()) {
        Some(run) => run.summary_by_region().region_names().map(str::to_owned).collect(),
        None => RegionSet::BRATS.region_names().map(str::to_owned).collect(),
    }
}

/// Number of cases in each split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseCounts {
    /// Labelled, trained on.
    pub train: usize,
    /// Validation cases.
    pub validation: usize,
    /// Test cases.
    pub test: usize,
    /// Cases with hidden labels, annotated by the ensemble.
    pub unlabelled: usize,
}

/// The student's network trained alone on a share of the labelled cases.
#[derive(Debug, Clone, Serialize)]
pub struct CurvePoint {
    /// Share of the labelled training cases.
    pub fraction: f64,
    /// Mean Dice over the test cases and seeds, by region.
    pub dice: BTreeMap<String, f64>,
    /// Standard deviation over the cases, each the mean of its seeds.
    pub sd: BTreeMap<String, Option<f64>>,
}

/// Outcome of an experiment.
#[derive(Debug, Clone)]
pub struct ExperimentOutcome {
    /// The experiment's name.
    pub name: String,
    /// True if the cases are phantoms.
    pub phantom: bool,
    /// Number of cases.
    pub cases: CaseCounts,
    /// Repetitions.
    pub seeds: u64,
    /// The student's network.
    pub student: String,
    /// Mean Dice on the validation cases by network, which the student is chosen by.
    pub validation: BTreeMap<String, f64>,
    /// Rows, in the order of the table.
    pub rows: Vec<TableRow>,
    /// Mean Dice of the pseudo-labels, one a seed, by region: measured, and used for nothing.
    pub pseudo_labels: Vec<BTreeMap<String, f64>>,
    /// Dice by the amount of labelled data, the whole of it last.
    pub curve: Vec<CurvePoint>,
}
