//! State of each step of a study, read from its folder alone: the journal says nothing about it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::{Fault, Fingerprint, fs};
use crate::experiment::graph::{GraphStep, StepKind};
use crate::experiment::runner::Study;
use crate::experiment::step_outcome::{StepOutcome, input_contents};
use crate::experiment::study_folder::StudyFolder;

/// State of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StepState {
    /// Done: the outcome is published.
    Done,
    /// Locked by a process that is at it.
    Running {
        /// The process and its machine.
        holder: String,
    },
    /// An earlier process has left work of it, and its inputs are done.
    Begun,
    /// Not begun, with all inputs done.
    Ready,
    /// Done of inputs that have other contents now; to be done again.
    Outdated,
    /// Inputs are not done.
    Waiting {
        /// Names of those inputs.
        inputs: Vec<Fingerprint>,
    },
}

/// Step with its state.
#[derive(Debug, Clone, Serialize)]
pub struct StepStatus {
    /// Kind of the step.
    pub kind: StepKind,
    /// Subject of the step.
    pub subject: String,
    /// Name of the step.
    pub fingerprint: Fingerprint,
    /// State.
    #[serde(flatten)]
    pub state: StepState,
    /// Seconds that the last process took to the end of it; absent if it is not done.
    pub seconds: Option<f64>,
}

/// Reads the state of every step, in the order of the graph.
///
/// # Errors
/// If the study's folder cannot be read.
pub fn read_status(study: &Study<'_>) -> Result<Vec<StepStatus>, Fault> {
    let seconds: BTreeMap<Fingerprint, f64> = study.folder.read_seconds()?.into_iter().collect();
    let mut all = Vec::new();
    for step in study.graph.steps() {
        let state = read_state(study, step)?;
        let is_done = state == StepState::Done;
        all.push(StepStatus {
            kind: step.kind,
            subject: step.subject.clone(),
            fingerprint: step.fingerprint,
            seconds: seconds.get(&step.fingerprint).copied().filter(|_| is_done),
            state,
        });
    }
    Ok(all)
}

fn read_state(study: &Study<'_>, step: &GraphStep) -> Result<StepState, Fault> {
    let Study { folder, graph, .. } = study;
    if let Some(holder) = folder.step_holder(step)? {
        return Ok(StepState::Running { holder });
    }
    let Some(contents) = input_contents(folder, graph, step)? else {
        let mut inputs = Vec::new();
        for input in graph.inputs_of(step) {
            if StepOutcome::read(folder, input)?.is_none() {
                inputs.push(input.fingerprint);
            }
        }
        return Ok(StepState::Waiting { inputs });
    };
    Ok(match StepOutcome::read(folder, step)? {
        Some(outcome) if outcome.has_inputs(&contents) => StepState::Done,
        Some(_) => StepState::Outdated,
        None if has_work(folder, step)? => StepState::Begun,
        None => StepState::Ready,
    })
}

/// True if the folder of a step holds anything but its lock.
///
/// # Errors
/// If it cannot be read.
pub fn has_work(study: &StudyFolder, step: &GraphStep) -> Result<bool, Fault> {
    let found = fs::if_present(fs::list_dir(study.step_folder(step)))?.unwrap_or_default();
    let is_hidden = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with('.');
    Ok(found.iter().any(|path| path.file_name().is_some_and(|name| !is_hidden(name))))
}
