//! Steps of a study as jobs of a Slurm cluster: submitted, and shown beside their states.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::base::Fault;
use crate::cli::session::SessionOptions;
use crate::cli::study_steps::status_text;
use crate::cli::{CommandOutput, VerbResult};
use crate::experiment::runner::Study;
use crate::experiment::slurm::{QueuedStep, SlurmStudy, StepCommand, Submission};
use crate::experiment::step_state::StepStatus;

/// Command line of a study, which its jobs repeat.
pub(super) struct StudyCommand<'a> {
    /// The study's file.
    pub(super) config: &'a Path,
    /// The study's folder.
    pub(super) out: &'a Path,
    /// Settings over the file's.
    pub(super) assignments: &'a [String],
    /// Options of every long verb.
    pub(super) session: &'a SessionOptions,
}

impl StudyCommand<'_> {
    /// Command that does a step, without the step's name.
    fn to_step_command(&self) -> Result<StepCommand, Fault> {
        let environment = |subject: &str, error: &std::io::Error| Fault::Environment {
            subject: subject.into(),
            problem: error.to_string().to_lowercase(),
            remedy: "call the program by its whole path, in a folder that is there".into(),
        };
        let program =
            std::env::current_exe().map_err(|error| environment("this program", &error))?;
        let folder = std::env::current_dir().map_err(|error| environment("this folder", &error))?;
        let text = |path: &Path| path.display().to_string();
        let mut words = vec![text(&program), "experiment".into(), text(self.config)];
        words.extend(["--out".into(), text(self.out)]);
        for assignment in self.assignments {
            words.extend(["--set".into(), assignment.clone()]);
        }
        words.extend(self.session.to_arguments());
        Ok(StepCommand { words, folder })
    }
}

/// Submits what is neither done nor queued.
pub(super) fn submit_study(study: &Study<'_>, command: &StudyCommand<'_>) -> VerbResult {
    let submission = SlurmStudy { study }.submit_steps(&command.to_step_command()?)?;
    let text = submission_text(&submission);
    Ok(CommandOutput::new(&submission, text))
}

fn submission_text(submission: &Submission) -> String {
    let mut text = String::new();
    for array in &submission.submitted {
        let after =
            array.dependency.as_ref().map_or_else(String::new, |on| format!(", behind {on}"));
        text += &format!("job {}: {}{after}\n", array.job, array.steps.join(", "));
    }
    let Submission { steps, done, queued, folder, .. } = submission;
    text += &format!(
        "{steps} steps submitted, {queued} were queued, {done} are done; scripts and output: {}",
        folder.display()
    );
    text
}

/// State of a step, and its job.
#[derive(Serialize)]
struct StepWithJob<'a> {
    #[serde(flatten)]
    status: &'a StepStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    slurm: Option<&'a QueuedStep>,
}

/// Shows the state of every step, and Slurm's of those that it knows.
pub(super) fn show_status(study: &Study<'_>, all: &[StepStatus]) -> CommandOutput {
    let slurm = SlurmStudy { study };
    let jobs = if slurm.was_submitted() { slurm.queued_steps() } else { Ok(BTreeMap::new()) };
    // The state of the steps is in the study's folder, which may be looked at from anywhere.
    let jobs = jobs.unwrap_or_else(|fault| {
        tracing::warn!("the jobs of the steps are not shown: {fault}");
        BTreeMap::new()
    });
    let with_jobs: Vec<StepWithJob<'_>> = all
        .iter()
        .map(|status| StepWithJob { status, slurm: jobs.get(&status.fingerprint) })
        .collect();
    CommandOutput::new(&with_jobs, status_text(study, all, &jobs))
}
