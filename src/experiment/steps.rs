//! The three kinds of step: a run is trained, cases are scored, cases are annotated. Each resumes
//! what an earlier process has left of it, and is recorded in the journal.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use crate::base::{Fault, ProgressTask, fs, write_atomically};
use crate::eval::assess::{CaseAssessment, ScoringConfig};
use crate::eval::{CaseScore, CohortScore};
use crate::experiment::cohort::ExperimentCohort;
use crate::experiment::ledger::{ExperimentFolder, ExperimentStep};
use crate::run::cohort as run_cohort;
use crate::run::config::CheckedConfig;
use crate::run::evaluate::{WholeCases, score_each_case};
use crate::run::label::{self, LabelReport, LabelRequest};
use crate::run::resume::{self, ResumeOptions};
use crate::run::train::{self, RunDestination};
use crate::run::{Ensemble, Failure, Session, ending};
use crate::run_folder::{self, CONFIG, RunDirectory, RunSummary, SUMMARY, write_cases_csv};
use crate::volume::{CaseId, Split, Targets, Temperature};

/// The folder of scores, a file for each case.
const SCORES: &str = "cases";

/// Context that steps are performed in.
pub struct StepRunner<'a> {
    /// Folder of the experiment.
    pub ledger: &'a ExperimentFolder,
    /// The cases.
    pub cohort: &'a ExperimentCohort,
    /// Stop, progress, life cycles.
    pub session: &'a Session,
    /// Display of progress.
    pub progress: StepProgress<'a>,
}

/// Display of the number of steps done.
pub struct StepProgress<'a> {
    task: &'a dyn ProgressTask,
    done: std::cell::Cell<u64>,
}

impl<'a> StepProgress<'a> {
    /// Starts at no step done.
    pub const fn new(task: &'a dyn ProgressTask) -> Self {
        Self { task, done: std::cell::Cell::new(0) }
    }

    fn begin_step(&self, what: &str) {
        self.task.advance_to(self.done.get(), what);
    }

    fn end_step(&self, what: &str) {
        self.done.set(self.done.get() + 1);
        self.task.advance_to(self.done.get(), what);
    }
}

/// A run that has ended.
#[derive(Debug, Clone)]
pub struct TrainedRun {
    /// Run folder.
    pub folder: PathBuf,
    /// Optimiser steps that it took.
    pub steps: u64,
}

impl StepRunner<'_> {
    /// Trains a run to its end.
    ///
    /// # Errors
    /// As [`train::train`], and if the run's cases are not the experiment's.
    pub fn train_run(&self, subject: &str, config: &CheckedConfig) -> Result<TrainedRun, Failure> {
        let parts = [Split::Train, Split::Validation, Split::Unlabelled];
        let cases = parts.map(|part| self.cohort.fingerprint_of(part));
        // Whom a run is not trained on and not chosen by, it does not depend on.
        let seen = if config.run.data.pseudo.is_some() { &cases[..] } else { &cases[..2] };
        let step = ExperimentStep::new("train", subject, &(config.fingerprint(), seen));
        let folder = self.ledger.step_folder(&step)?;
        if folder.join(SUMMARY).is_file() {
            ending::complete_ended_run(&RunDirectory::lock_existing(&folder)?)?;
            self.skip_done_step(&step)?;
        } else {
            let is_begun = folder.join(CONFIG).is_file();
            self.perform_step(&step, is_begun, || {
                if is_begun {
                    // It may go on elsewhere; what decides its result is in its folder.
                    let device = json!(config.run.device);
                    let skip_share = json!(config.run.loader.skip_share);
                    let assignments =
                        [format!("device={device}"), format!("loader.skip_share={skip_share}")];
                    let options =
                        ResumeOptions { assignments: &assignments, accepts_changed: false };
                    resume::resume_run(&folder, options, self.session)?;
                } else {
                    let destination = RunDestination::Exactly(folder.clone());
                    train::train(config, &destination, self.session)?;
                }
                Ok(())
            })?;
        }
        self.check_division(&folder)?;
        let file = folder.join(SUMMARY);
        let summary: Option<RunSummary> = run_folder::read_json(&file)?;
        let summary =
            summary.ok_or_else(|| Fault::from_io(&file, &std::io::ErrorKind::NotFound.into()))?;
        Ok(TrainedRun { folder, steps: summary.steps })
    }

    /// Scores every case of a part. A case that an earlier process scored is not scored again.
    ///
    /// # Errors
    /// If weights cannot be read, a case cannot be scored, or the session is stopped.
    pub fn score_split(
        &self,
        subject: &str,
        ensemble: &Ensemble,
        part: Split,
    ) -> Result<CohortScore, Failure> {
        let resolved = ensemble.resolve(&[])?;
        let cases = self.cohort.fingerprint_of(part);
        let subject = format!("{subject} {}", part.name());
        let step = ExperimentStep::new("score", subject, &(resolved.fingerprint()?, cases));
        let folder = self.ledger.step_folder(&step)?;
        let scored = folder.join(SCORES);
        fs::create_dir_all(&scored)?;
        let files = self.cohort.files_of_split(part);
        let ids: Vec<CaseId> = files.iter().map(|files| files.id.clone()).collect();
        let mut scores = read_scores(&scored, &ids)?;
        if scores.len() == ids.len() {
            self.skip_done_step(&step)?;
        } else {
            self.perform_step(&step, !scores.is_empty(), || {
                let source = self.cohort.whole_case_source(self.session);
                let left = WholeCases { files, source, part }
                    .filter_by_id(|id| scores.iter().all(|one| one.case != *id));
                let mut predictor = resolved.build_predictor_in(self.session)?;
                let mut fresh = Vec::new();
                let mut keep = |assessed: CaseAssessment| {
                    write_score(&scored, &assessed)?;
                    fresh.push(assessed.score);
                    Ok(())
                };
                let rules = ScoringConfig::default();
                score_each_case(predictor.as_mut(), left, &rules, self.session, &mut keep)?;
                scores.append(&mut fresh);
                Ok(())
            })?;
        }
        let all = CohortScore::new(&ids, scores)?;
        write_cases_csv(&folder, &all)?;
        Ok(all)
    }

    /// Has the ensemble annotate the unlabelled cases; what has been annotated is kept.
    ///
    /// # Errors
    /// If weights cannot be read, a case cannot be annotated, or the session is stopped.
    pub fn annotate_unlabelled(
        &self,
        subject: &str,
        ensemble: &Ensemble,
        targets: Targets,
    ) -> Result<LabelReport, Failure> {
        let resolved = ensemble.resolve(&[])?;
        let teacher = resolved.fingerprint()?;
        let cases = self.cohort.fingerprint_of(Split::Unlabelled);
        let step = ExperimentStep::new("label", subject, &(teacher, targets, cases));
        let mut report = None;
        self.perform_step(&step, false, || {
            let files = self.cohort.files_of_split(Split::Unlabelled);
            let order = LabelRequest { targets, temperature: Temperature::ONE, nifti: None };
            report = Some(label::annotate_cases(&resolved, &files, order, self.session)?);
            Ok(())
        })?;
        Ok(report.expect("a step that went well has a report"))
    }

    /// Performs a step, and records its begin and its end.
    fn perform_step(
        &self,
        step: &ExperimentStep,
        is_begun: bool,
        work: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let what = format!("{} {}", step.kind, step.subject);
        self.progress.begin_step(&what);
        self.ledger.record_event(step, if is_begun { "resumed" } else { "begun" }, None)?;
        let since = Instant::now();
        work().map_err(|failure| match failure {
            Failure::Stopped(_) => Failure::Stopped(format!(
                "what was done of `{what}` is kept; the same command goes on with it"
            )),
            other => other,
        })?;
        self.ledger.record_event(step, "done", Some(since.elapsed().as_secs_f64()))?;
        self.progress.end_step(&what);
        Ok(())
    }

    fn skip_done_step(&self, step: &ExperimentStep) -> Result<(), Failure> {
        self.ledger.record_event(step, "kept", None)?;
        self.progress.end_step(&format!("{} {}", step.kind, step.subject));
        Ok(())
    }

    /// Refuses a run with its own division: it would be tested on what another was trained on.
    fn check_division(&self, folder: &Path) -> Result<(), Failure> {
        let lock = run_cohort::read_lock(folder)?;
        let study = &self.cohort.lock.cases;
        let mut used = lock.cases.iter().filter(|case| case.split != Split::Unused);
        let moved = used.find(|case| !study.contains(case));
        let Some(case) = moved else { return Ok(()) };
        Err(Failure::Usage(format!(
            "{}: case {} is in its {} part, and not in the study's; the dataset has changed: begin \
             another study with --out",
            folder.display(),
            case.id,
            case.split.name()
        )))
    }
}

/// Reads the scores that are there, in the order of the cases. An unreadable one counts as missing.
fn read_scores(folder: &Path, ids: &[CaseId]) -> Result<Vec<CaseScore>, Fault> {
    let mut scores = Vec::new();
    for id in ids {
        let file = score_file(folder, id);
        let Some(text) = fs::if_present(fs::read_to_string(&file))? else { continue };
        match CaseAssessment::from_text(&text) {
            Ok(assessed) if assessed.score.case == *id => scores.push(assessed.score),
            _ => tracing::warn!("{}: is no score of {id}; it is scored again", file.display()),
        }
    }
    Ok(scores)
}

fn write_score(folder: &Path, assessed: &CaseAssessment) -> Result<(), Fault> {
    write_atomically(&score_file(folder, &assessed.score.case), assessed.to_text().as_bytes())
}

fn score_file(folder: &Path, id: &CaseId) -> PathBuf {
    folder.join(format!("{id}.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{Hd95, score_case};
    use crate::volume::{Dims, RegionSet};

    #[test]
    fn scores_come_back_to_the_bit_and_half_a_file_is_no_score() {
        let folder = tempfile::tempdir().unwrap();
        let ids = ["a", "b", "c"].map(CaseId::new);
        assert!(read_scores(folder.path(), &ids).unwrap().is_empty());
        let truth = [2, 2, 1, 4, 0, 0, 0, 0];
        let score = |id: &CaseId, labels: &[u8]| {
            score_case(
                RegionSet::BRATS,
                Hd95::default(),
                id.clone(),
                &truth,
                labels,
                Dims::cube(2),
                [1.0, 1.0, 3.0],
            )
        };
        let all =
            [score(&ids[0], &[2, 0, 1, 4, 4, 0, 0, 0]), score(&ids[2], &[0, 2, 2, 2, 4, 1, 1, 0])];
        for one in &all {
            let assessed = CaseAssessment { score: one.clone(), lesions: None };
            write_score(folder.path(), &assessed).unwrap();
        }
        assert_eq!(read_scores(folder.path(), &ids).unwrap(), all);
        let file = score_file(folder.path(), &ids[2]);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, &text[..text.len() / 2]).unwrap();
        assert_eq!(read_scores(folder.path(), &ids).unwrap(), all[..1]);
    }
}
