//! Steps of a study in text: their state, and the end of one.

use std::collections::BTreeMap;

use crate::base::{Fingerprint, format_duration};
use crate::eval::{in_markdown, with_numbers_right};
use crate::experiment::graph::GraphStep;
use crate::experiment::runner::{StepEnd, Study};
use crate::experiment::slurm::QueuedStep;
use crate::experiment::step_state::{StepState, StepStatus};

/// Sentence about the end of one step.
pub(super) fn step_text(step: &GraphStep, end: &StepEnd) -> String {
    match end.seconds {
        Some(seconds) => format!("{}: done in {}", step.display_name(), format_duration(seconds)),
        None => format!("{}: was done already", step.display_name()),
    }
}

/// Table of all steps with their states, and with Slurm's of those that it knows.
pub(super) fn status_text(
    study: &Study<'_>,
    all: &[StepStatus],
    jobs: &BTreeMap<Fingerprint, QueuedStep>,
) -> String {
    let mut table = in_markdown();
    let job_header = (!jobs.is_empty()).then_some("job");
    table.set_header(["step", "name", "state", "time"].into_iter().chain(job_header));
    for status in all {
        let cells = [
            format!("{} {}", status.kind.name(), status.subject),
            status.fingerprint.short_hex(12),
            state_cell(study, &status.state),
            status.seconds.map_or_else(String::new, format_duration),
        ];
        let job = jobs.get(&status.fingerprint).map_or_else(String::new, job_cell);
        table.add_row(cells.into_iter().chain(job_header.map(|_| job)));
    }
    let done = all.iter().filter(|status| status.state == StepState::Done).count();
    format!("{}\n\n{done} of {} steps are done", with_numbers_right(table, 3), all.len())
}

fn job_cell(job: &QueuedStep) -> String {
    let QueuedStep { task, state, node, reason } = job;
    let reason = if reason == "None" { String::new() } else { format!(" ({reason})") };
    let node = if node.is_empty() { String::new() } else { format!(" on {node}") };
    format!("{task} {state}{node}{reason}")
}

fn state_cell(study: &Study<'_>, state: &StepState) -> String {
    match state {
        StepState::Done => "done".into(),
        StepState::Running { holder } => format!("running: {holder}"),
        StepState::Begun => "begun".into(),
        StepState::Ready => "ready".into(),
        StepState::Outdated => "outdated: its inputs were done anew".into(),
        StepState::Waiting { inputs } => {
            let first = inputs.first().and_then(|input| study.graph.find_step(*input));
            let first = first.map_or_else(String::new, GraphStep::display_name);
            match inputs.len() {
                0 | 1 => format!("waits for {first}"),
                several => format!("waits for {first} and {} more", several - 1),
            }
        }
    }
}
