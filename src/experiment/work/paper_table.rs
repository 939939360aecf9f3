//! The paper's table, put together from the outcomes of a study's steps.

use std::collections::BTreeMap;

use crate::base::{Fingerprint, write_atomically, write_json};
use crate::eval::CohortScore;
use crate::experiment::graph::GraphStep;
use crate::experiment::graph::table_work::{CurvePointRef, RowRef, TableWork};
use crate::experiment::outcome::{
    CaseCounts, CurvePoint, ExperimentOutcome, Role, TableRow, region_names,
};
use crate::experiment::runner::{StepRunner, Study};
use crate::experiment::step_outcome::StepResult;
use crate::experiment::table;
use crate::run::Failure;

impl StepRunner<'_> {
    /// Writes `table.md`, `table.csv` and `table.json` into the study's folder.
    ///
    /// # Errors
    /// If an outcome is gone, or the disk does not take the files.
    pub(in crate::experiment) fn write_paper_table(
        &self,
        step: &GraphStep,
        work: &TableWork,
    ) -> Result<(Fingerprint, StepResult), Failure> {
        let outcome = self.study.paper_outcome(step, work)?;
        let json = table::to_json(&outcome)?;
        let out = self.study.folder.path();
        write_atomically(&out.join("table.md"), table::to_markdown(&outcome)?.as_bytes())?;
        write_atomically(&out.join("table.csv"), table::to_csv(&outcome)?.as_bytes())?;
        write_json(&out.join("table.json"), &json)?;
        Ok((Fingerprint::of_config(&json), StepResult::Tabled))
    }
}

impl Study<'_> {
    /// Outcome of the paper's protocol, whose steps are done.
    ///
    /// # Errors
    /// If an outcome is gone.
    pub fn paper_outcome(
        &self,
        step: &GraphStep,
        work: &TableWork,
    ) -> Result<ExperimentOutcome, Failure> {
        let text = &self.experiment.text;
        let mut rows = Vec::new();
        for row in &work.rows {
            rows.push(self.table_row(row)?);
        }
        let mut pseudo_labels = Vec::new();
        for label in &work.labels {
            let StepResult::Labelled { quality, .. } = self.outcome_of(*label)?.result else {
                unreachable!("annotations are asked of steps that annotate");
            };
            pseudo_labels.extend(quality);
        }
        let mut curve = Vec::new();
        for point in &work.curve {
            curve.push(self.curve_point(point)?);
        }
        Ok(ExperimentOutcome {
            name: text.name.clone(),
            phantom: text.cohort.phantoms.is_some(),
            cases: self.case_counts(step)?,
            seeds: text.seeds,
            student: self.network_name(&work.student)?,
            validation: self.mean_dice_of(&work.validation)?,
            rows,
            pseudo_labels,
            curve,
        })
    }

    /// Number of cases in each part, from the ingest, which is the first input of a table.
    ///
    /// # Errors
    /// If its outcome is gone.
    pub(in crate::experiment) fn case_counts(
        &self,
        table: &GraphStep,
    ) -> Result<CaseCounts, Failure> {
        match self.outcome_of(table.inputs[0])?.result {
            StepResult::Ingested(counts) => Ok(counts),
            _ => unreachable!("the first input of a table is the ingest"),
        }
    }

    /// Optimiser steps of the run that a step trained.
    ///
    /// # Errors
    /// If its outcome is gone.
    pub(in crate::experiment) fn steps_of(
        &self,
        train: Option<Fingerprint>,
    ) -> Result<Option<u64>, Failure> {
        let Some(train) = train else { return Ok(None) };
        match self.outcome_of(train)?.result {
            StepResult::Trained { steps } => Ok(Some(steps)),
            _ => unreachable!("optimiser steps are asked of steps that train"),
        }
    }

    fn table_row(&self, row: &RowRef) -> Result<TableRow, Failure> {
        let RowRef { name, role, paper, train, scores } = row;
        let runs: Result<Vec<CohortScore>, Failure> =
            scores.iter().map(|score| self.scores_of(*score)).collect();
        let steps = self.steps_of(*train)?;
        Ok(TableRow { name: name.clone(), role: *role, paper: *paper, steps, runs: runs? })
    }

    /// Dice at one amount of labelled data.
    fn curve_point(&self, point: &CurvePointRef) -> Result<CurvePoint, Failure> {
        let row = self.table_row(&RowRef {
            name: String::new(),
            role: Role::Control,
            paper: None,
            train: None,
            scores: point.scores.clone(),
        })?;
        let mut dice = BTreeMap::new();
        let mut sd = BTreeMap::new();
        for region in region_names(std::slice::from_ref(&row)) {
            let found = row.dice_summary(&region)?.expect("a point has been scored");
            dice.insert(region.clone(), found.mean);
            sd.insert(region, found.sd);
        }
        Ok(CurvePoint { fraction: point.fraction, dice, sd })
    }
}
