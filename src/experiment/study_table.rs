//! Tables of a study, of whichever kind.

use serde_json::Value;

use crate::base::CaseError;
use crate::experiment::fold_outcome::FoldOutcome;
use crate::experiment::graph::StepWork;
use crate::experiment::outcome::ExperimentOutcome;
use crate::experiment::runner::Study;
use crate::experiment::tuning_table::{self, TuningOutcome};
use crate::experiment::{fold_table, table};
use crate::run::Failure;

/// Table of a study.
pub enum StudyTable {
    /// Single networks, their average, students and controls.
    Rows(Box<ExperimentOutcome>),
    /// A cross-validation.
    Folds(Box<FoldOutcome>),
    /// A search.
    Tuning(Box<TuningOutcome>),
}

/// Tables of a study, each with the name of its step.
pub struct StudyTables(Vec<(String, StudyTable)>);

impl StudyTables {
    /// Reads the outcomes of a study whose steps are done.
    ///
    /// # Errors
    /// If the outcome of a step is gone.
    pub fn read_tables(study: &Study<'_>) -> Result<Self, Failure> {
        let mut tables = Vec::new();
        for step in study.graph.steps() {
            let table = match &step.work {
                StepWork::Table(work) => {
                    StudyTable::Rows(Box::new(study.paper_outcome(step, work)?))
                }
                StepWork::FoldTable(work) => {
                    StudyTable::Folds(Box::new(study.fold_outcome(step, work)?))
                }
                StepWork::TuningTable(work) => {
                    StudyTable::Tuning(Box::new(study.tuning_outcome(work)?))
                }
                _ => continue,
            };
            tables.push((step.subject.clone(), table));
        }
        // A cross-validation is what its study is about; its students come first in the graph.
        tables.sort_by_key(|(_, table)| !matches!(table, StudyTable::Folds(_)));
        Ok(Self(tables))
    }

    /// Writes the reports as Markdown, one behind the other.
    ///
    /// # Errors
    /// If rows were not scored on the same cases.
    pub fn to_markdown(&self) -> Result<String, CaseError> {
        let texts: Result<Vec<String>, CaseError> =
            self.0.iter().map(|(_, table)| table.to_markdown()).collect();
        Ok(texts?.join("\n"))
    }

    /// Writes JSON for programs: the first table, with the others by their names in it.
    ///
    /// # Errors
    /// As [`StudyTables::to_markdown`].
    pub fn to_json(&self) -> Result<Value, CaseError> {
        let mut tables = self.0.iter();
        let (_, first) = tables.next().expect("a study's graph has a table");
        let mut json = first.to_json()?;
        for (name, table) in tables {
            json[name] = table.to_json()?;
        }
        Ok(json)
    }
}

impl StudyTable {
    fn to_markdown(&self) -> Result<String, CaseError> {
        match self {
            Self::Rows(outcome) => table::to_markdown(outcome),
            Self::Folds(outcome) => fold_table::to_markdown(outcome),
            Self::Tuning(outcome) => Ok(tuning_table::to_markdown(outcome)),
        }
    }

    fn to_json(&self) -> Result<Value, CaseError> {
        match self {
            Self::Rows(outcome) => table::to_json(outcome),
            Self::Folds(outcome) => fold_table::to_json(outcome),
            Self::Tuning(outcome) => Ok(tuning_table::to_json(outcome)),
        }
    }
}
