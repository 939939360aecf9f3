//! Steps of a study in text: their plan, their state, the end of one.

use crate::base::{format_bytes, format_duration};
use crate::eval::{in_markdown, with_numbers_right};
use crate::experiment::graph::GraphStep;
use crate::experiment::plan::ExperimentPlan;
use crate::experiment::runner::{StepEnd, Study};
use crate::experiment::step_state::{StepState, StepStatus};
use crate::run::DeviceMemory;

/// Sentence about the end of one step.
pub(super) fn step_text(step: &GraphStep, end: &StepEnd) -> String {
    match end.seconds {
        Some(seconds) => format!("{}: done in {}", step.display_name(), format_duration(seconds)),
        None => format!("{}: was done already", step.display_name()),
    }
}

/// Table of all steps with their states.
pub(super) fn status_text(study: &Study<'_>, all: &[StepStatus]) -> String {
    let mut table = in_markdown();
    table.set_header(["step", "name", "state", "time"]);
    for status in all {
        table.add_row([
            format!("{} {}", status.kind.name(), status.subject),
            status.fingerprint.short_hex(12),
            state_cell(study, &status.state),
            status.seconds.map_or_else(String::new, format_duration),
        ]);
    }
    let done = all.iter().filter(|status| status.state == StepState::Done).count();
    format!("{}\n\n{done} of {} steps are done", with_numbers_right(table, 3), all.len())
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

fn device_memory_cell(device: Option<DeviceMemory>) -> String {
    let Some(DeviceMemory { bytes, smallest_card }) = device else { return "not counted".into() };
    let card = smallest_card
        .map_or_else(|| "no card".to_owned(), |gigabytes| format!("{gigabytes} GB card"));
    format!("{}, {card}", format_bytes(bytes as f64))
}

/// Plan of a study as a table.
pub(super) fn plan_text(plan: &ExperimentPlan) -> String {
    let parts = &plan.parts;
    let mut text = format!(
        "{} labelled cases{}: {} training, {} validation and {} test cases; of the latter two {} \
         are unlabelled, so {} and {} are scored\n\n",
        parts.cases,
        if parts.found { "" } else { " expected" },
        parts.train,
        parts.validation,
        parts.test,
        parts.unlabelled,
        parts.validation_scored,
        parts.test_scored
    );
    let header = [
        "step",
        "times",
        "cases",
        "samples",
        "steps",
        "windows",
        "checkpoints",
        "disk",
        "memory",
        "device memory",
        "time",
    ];
    let mut steps = in_markdown();
    steps.set_header(header);
    for step in &plan.steps {
        steps.add_row([
            step.step.clone(),
            step.times.to_string(),
            step.cases.to_string(),
            step.samples.to_string(),
            step.steps.to_string(),
            step.windows.to_string(),
            step.checkpoints.to_string(),
            format_bytes(step.disk_bytes as f64),
            // What a step takes is known where it was measured.
            if step.seconds.is_none() && step.steps > 0 {
                format!("> {}", format_bytes(step.memory_bytes as f64))
            } else {
                format_bytes(step.memory_bytes as f64)
            },
            if step.steps > 0 { device_memory_cell(step.device_memory) } else { String::new() },
            step.seconds.map_or_else(|| "not measured".into(), format_duration),
        ]);
    }
    let disk: u64 = plan.steps.iter().map(|step| step.disk_bytes).sum();
    let known = plan.steps.iter().filter_map(|step| Some(step.seconds? * step.times as f64));
    let known: f64 = known.fold(0.0, |sum, seconds| sum + seconds);
    text += &format!(
        "{}\n\nin all: at most {} on the disk, {} where it was measured; samples to time are \
         each time, disk is of all times together, a case counts as its whole grid",
        with_numbers_right(steps, 1),
        format_bytes(disk as f64),
        format_duration(known)
    );
    for cost in &plan.measured {
        text += &format!(
            "\nmeasured: {} {:.4} s a step of {} on {}, {:.4} s a pass of inference",
            cost.model, cost.seconds_per_step, cost.batch, cost.device, cost.inference_seconds
        );
    }
    for network in &plan.unmeasured {
        text += &format!("\nnot measured: {network}");
    }
    text
}
