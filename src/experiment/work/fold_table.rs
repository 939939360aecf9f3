//! The table of a cross-validation, put together from the outcomes of a study's steps.

use crate::base::{Fingerprint, write_atomically, write_json};
use crate::eval::CohortScore;
use crate::experiment::fold_outcome::{FoldOutcome, FoldRow};
use crate::experiment::fold_table;
use crate::experiment::graph::GraphStep;
use crate::experiment::graph::table_work::{FoldRowRef, FoldTableWork};
use crate::experiment::runner::{StepRunner, Study};
use crate::experiment::step_outcome::StepResult;
use crate::run::Failure;

impl StepRunner<'_> {
    /// Writes `table.md`, `table.csv` and `table.json` into the study's folder.
    ///
    /// # Errors
    /// If an outcome is gone, or the disk does not take the files.
    pub(in crate::experiment) fn write_fold_table(
        &self,
        step: &GraphStep,
        work: &FoldTableWork,
    ) -> Result<(Fingerprint, StepResult), Failure> {
        let outcome = self.study.fold_outcome(step, work)?;
        let json = fold_table::to_json(&outcome)?;
        let out = self.study.folder.path();
        write_atomically(&out.join("table.md"), fold_table::to_markdown(&outcome)?.as_bytes())?;
        write_atomically(&out.join("table.csv"), fold_table::to_csv(&outcome)?.as_bytes())?;
        write_json(&out.join("table.json"), &json)?;
        Ok((Fingerprint::of_config(&json), StepResult::Tabled))
    }
}

impl Study<'_> {
    /// Outcome of a cross-validation, whose steps are done.
    ///
    /// # Errors
    /// If an outcome is gone.
    pub fn fold_outcome(
        &self,
        step: &GraphStep,
        work: &FoldTableWork,
    ) -> Result<FoldOutcome, Failure> {
        let text = &self.experiment.text;
        let mut rows = Vec::new();
        for row in &work.rows {
            rows.push(self.fold_row(row)?);
        }
        let counts = self.case_counts(step)?;
        Ok(FoldOutcome {
            name: text.name.clone(),
            phantom: text.cohort.phantoms.is_some(),
            folds: work.folds,
            held_out_cases: rows.first().map_or(0, |row| row.held_out_ids().len()),
            test_cases: if self.listing.has_test_part { counts.test } else { 0 },
            seeds: text.seeds,
            rows,
        })
    }

    fn fold_row(&self, row: &FoldRowRef) -> Result<FoldRow, Failure> {
        let read = |steps: &[Fingerprint]| -> Result<Vec<CohortScore>, Failure> {
            steps.iter().map(|step| self.scores_of(*step)).collect()
        };
        let mut held_out = Vec::new();
        for folds in &row.held_out {
            held_out.push(read(folds)?);
        }
        Ok(FoldRow {
            name: row.name.clone(),
            steps: self.steps_of(row.train)?,
            held_out,
            test: read(&row.test)?,
        })
    }
}
