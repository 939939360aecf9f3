//! Plan of a study in text: its cases, its steps by series, and its graph as a picture.

use std::collections::BTreeMap;

use crate::base::{Fingerprint, format_bytes, format_duration};
use crate::eval::{in_markdown, with_numbers_right};
use crate::experiment::graph::dot::to_dot;
use crate::experiment::graph::listing::ListingSource;
use crate::experiment::plan::{ExperimentPlan, PlannedStep};
use crate::experiment::runner::Study;
use crate::experiment::step_cost::CostEstimate;
use crate::run::DeviceMemory;

/// Text of a time that nobody measured.
const NOT_MEASURED: &str = "not measured";

/// Plan of a study as a table.
pub(super) fn plan_text(plan: &ExperimentPlan) -> String {
    let mut text = format!("{}\n\n{}\n\n", cases_text(plan), step_table(&plan.steps));
    let disk: u64 = plan.graph.iter().map(|step| step.cost.disk_bytes).sum();
    let known: Vec<f64> = plan.graph.iter().filter_map(|step| step.cost.seconds).collect();
    let time = match known.is_empty() {
        true => "no step was measured, so that nothing is said of the time".to_owned(),
        false => {
            let seconds = format_duration(known.iter().sum());
            format!(
                "{seconds} for the {} of {} steps that were measured",
                known.len(),
                plan.graph.len()
            )
        }
    };
    text += &format!(
        "in all: {} steps, at most {} on the disk; {time}; columns from samples to time are of one time",
        plan.graph.len(),
        format_bytes(disk as f64)
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

/// Sentences about the cases: how many there are, of what shapes, in which parts.
fn cases_text(plan: &ExperimentPlan) -> String {
    let parts = &plan.parts;
    let expected = if parts.found { "" } else { " expected" };
    let division = match parts.folds.as_slice() {
        [] => format!(
            "{} training, {} validation and {} test cases; of the latter two {} are unlabelled, so {} \
             and {} are scored",
            parts.train,
            parts.validation,
            parts.test,
            parts.unlabelled,
            parts.validation_scored,
            parts.test_scored
        ),
        folds => format!(
            "{} in {} folds of {}, {} test cases and {} unlabelled ones",
            parts.train,
            folds.len(),
            range_text(folds),
            parts.test_scored,
            parts.unlabelled
        ),
    };
    let mut shapes: Vec<String> = Vec::new();
    for one in &plan.shapes.shapes {
        let [x, y, z] = one.shape;
        shapes.push(format!("{} of {x}x{y}x{z}", one.cases));
    }
    let assumed = if plan.shapes.assumed { ", which is assumed" } else { "" };
    let mut text = match &plan.source {
        ListingSource::Absent { folder } => format!(
            "{}: is not there, so that cases and shapes are those that the study expects, and the names \
             of its steps will be others\n",
            folder.display()
        ),
        ListingSource::Found { folder } => format!("cases of {}\n", folder.display()),
        ListingSource::Drawn => "phantoms, which the study draws\n".to_owned(),
    };
    text += &format!("{} labelled cases{expected}: {division}", parts.cases);
    text += &format!("\nshapes: {}{assumed}", shapes.join(", "));
    if plan.shapes.unreadable > 0 {
        text += &format!("; {} cases cannot be read", plan.shapes.unreadable);
    }
    text
}

fn range_text(sizes: &[usize]) -> String {
    let least = sizes.iter().min().copied().unwrap_or(0);
    let most = sizes.iter().max().copied().unwrap_or(0);
    if least == most { least.to_string() } else { format!("{least} to {most}") }
}

fn step_table(steps: &[PlannedStep]) -> String {
    let mut table = in_markdown();
    table.set_header([
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
    ]);
    for PlannedStep { step, times, cost } in steps {
        table.add_row([
            step.clone(),
            times.to_string(),
            count_cell(cost.cases as u64),
            count_cell(cost.samples),
            count_cell(cost.steps),
            count_cell(cost.windows),
            count_cell(cost.checkpoints),
            bytes_cell(cost.disk_bytes),
            memory_cell(cost),
            if cost.steps > 0 { device_memory_cell(cost.device_memory) } else { String::new() },
            cost.seconds.map_or_else(|| NOT_MEASURED.into(), format_duration),
        ]);
    }
    with_numbers_right(table, 1)
}

fn count_cell(count: u64) -> String {
    if count == 0 { String::new() } else { count.to_string() }
}

fn bytes_cell(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { format_bytes(bytes as f64) }
}

fn memory_cell(cost: &CostEstimate) -> String {
    // Memory of a training step is known where it was measured.
    let is_bound = cost.seconds.is_none() && cost.steps > 0;
    format!("{}{}", if is_bound { "> " } else { "" }, bytes_cell(cost.memory_bytes))
}

fn device_memory_cell(device: Option<DeviceMemory>) -> String {
    let Some(DeviceMemory { bytes, smallest_card }) = device else { return "not counted".into() };
    let card = smallest_card
        .map_or_else(|| "no card".to_owned(), |gigabytes| format!("{gigabytes} GB card"));
    format!("{}, {card}", format_bytes(bytes as f64))
}

/// Graph of a study as text of Graphviz, with the time of each step under its name.
pub(super) fn plan_dot(study: &Study<'_>, plan: &ExperimentPlan) -> String {
    let costs: BTreeMap<Fingerprint, &CostEstimate> =
        plan.graph.iter().map(|step| (step.fingerprint, &step.cost)).collect();
    to_dot(&study.graph, &study.experiment.text.name, |step| {
        let Some(cost) = costs.get(&step.fingerprint) else { return String::new() };
        let time = cost.seconds.map_or_else(|| NOT_MEASURED.into(), format_duration);
        match (cost.steps, cost.cases) {
            (0, 0) => String::new(),
            (0, cases) => format!("{cases} cases, {time}"),
            (steps, _) => format!("{steps} steps, {time}"),
        }
    })
}
