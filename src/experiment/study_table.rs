//! Table of a study, of whichever kind.

use serde_json::Value;

use crate::base::CaseError;
use crate::experiment::fold_outcome::FoldOutcome;
use crate::experiment::graph::StepWork;
use crate::experiment::outcome::ExperimentOutcome;
use crate::experiment::runner::Study;
use crate::experiment::{fold_table, table};
use crate::run::Failure;

/// Outcome of a study.
pub enum StudyTable {
    /// The paper's protocol.
    Paper(Box<ExperimentOutcome>),
    /// A cross-validation.
    Folds(Box<FoldOutcome>),
}

impl StudyTable {
    /// Reads the outcome of a study whose steps are done.
    ///
    /// # Errors
    /// If the outcome of a step is gone.
    pub fn read_table(study: &Study<'_>) -> Result<Self, Failure> {
        let mut steps = study.graph.steps().iter();
        let found = steps.find_map(|step| match &step.work {
            StepWork::Table(work) => {
                Some(study.paper_outcome(step, work).map(|found| Self::Paper(Box::new(found))))
            }
            StepWork::FoldTable(work) => {
                Some(study.fold_outcome(step, work).map(|found| Self::Folds(Box::new(found))))
            }
            _ => None,
        });
        found.expect("a study's graph has a table")
    }

    /// Writes the report as Markdown.
    ///
    /// # Errors
    /// If rows were not scored on the same cases.
    pub fn to_markdown(&self) -> Result<String, CaseError> {
        match self {
            Self::Paper(outcome) => table::to_markdown(outcome),
            Self::Folds(outcome) => fold_table::to_markdown(outcome),
        }
    }

    /// Writes JSON for programs.
    ///
    /// # Errors
    /// As [`StudyTable::to_markdown`].
    pub fn to_json(&self) -> Result<Value, CaseError> {
        match self {
            Self::Paper(outcome) => table::to_json(outcome),
            Self::Folds(outcome) => fold_table::to_json(outcome),
        }
    }
}
