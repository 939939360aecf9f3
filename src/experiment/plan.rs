//! Plan of an experiment before it is run: the graph of its steps, and what each takes in samples,
//! optimiser steps, checkpoints, disk, memory and time.

use std::path::Path;

use serde::Serialize;

use crate::base::Fingerprint;
use crate::experiment::case_shapes::CaseShapes;
use crate::experiment::config::Repetition;
use crate::experiment::config_file::NetworkSection;
use crate::experiment::graph::listing::ListingSource;
use crate::experiment::graph::{GraphStep, StepKind, StepWork};
use crate::experiment::runner::Study;
use crate::experiment::split_sizes::{SplitSizes, split_sizes};
use crate::experiment::step_cost::{CostEstimate, StepCostModel};
use crate::run::Failure;
use crate::run::config::CheckedConfig;
use crate::run::tools::bench_step::{self, Repeats, StepCost};

/// Steps of one series, such as the trainings of one network over seeds and folds, and their cost.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedStep {
    /// `train unet`.
    pub step: String,
    /// Number of times: once a seed and a fold.
    pub times: u64,
    /// Cost of each time; of the largest, where folds differ by a case.
    #[serde(flatten)]
    pub cost: CostEstimate,
}

/// Step of the graph, and its cost.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedGraphStep {
    /// Kind of the step.
    pub kind: StepKind,
    /// Subject of the step.
    pub subject: String,
    /// Name of the step.
    pub fingerprint: Fingerprint,
    /// Names of the steps that have to be done before it.
    pub inputs: Vec<Fingerprint>,
    /// Cost.
    #[serde(flatten)]
    pub cost: CostEstimate,
}

/// Plan of an experiment.
#[derive(Debug, Clone, Serialize)]
pub struct ExperimentPlan {
    /// Source of the cases.
    pub source: ListingSource,
    /// The cases.
    pub parts: SplitSizes,
    /// Shapes of the cases.
    pub shapes: CaseShapes,
    /// Repetitions.
    pub seeds: u64,
    /// Steps by series, in their order.
    pub steps: Vec<PlannedStep>,
    /// Steps of the graph, each after its inputs. While the cases are not there, their names are not
    /// those that they will have.
    pub graph: Vec<PlannedGraphStep>,
    /// Measurements that the times are computed from.
    pub measured: Vec<StepCost>,
    /// Networks whose steps were not measured: how to measure them.
    pub unmeasured: Vec<String>,
}

/// Plans an experiment. `measured` are figures of `bench-step`; with `measure`, those that are not
/// among them are taken now, a few steps of each network.
///
/// # Errors
/// If settings do not fit, or a measurement fails.
pub fn plan_experiment(
    study: &Study<'_>,
    mut measured: Vec<StepCost>,
    measure: bool,
) -> Result<ExperimentPlan, Failure> {
    let experiment = study.experiment;
    let place = study.first_place();
    let mut unmeasured = Vec::new();
    for network in &experiment.text.networks {
        let config = experiment.stand_alone_config(network, place_of_any_run(study))?;
        if find_cost(&config, &measured).is_some() {
            continue;
        }
        if measure {
            let repeats = Repeats { warmup: 1, steps: 3, kernel_steps: 0 };
            measured.push(bench_step::bench_step(&config, repeats)?);
        } else {
            let file = experiment.settings_file(network);
            unmeasured.push(how_to_measure(network, file.as_deref(), &config));
        }
    }
    let parts = split_sizes(experiment, place, &study.listing)?;
    let shared = experiment.shared_config(place)?.run;
    let shapes =
        CaseShapes::count_shapes(&study.listing, &shared, &experiment.text.cohort, parts.cases);
    let model = StepCostModel { study, parts: &parts, shapes: &shapes, measured: &measured };
    let mut graph = Vec::new();
    for step in study.graph.steps() {
        graph.push(PlannedGraphStep {
            kind: step.kind,
            subject: step.subject.clone(),
            fingerprint: step.fingerprint,
            inputs: step.inputs.clone(),
            cost: model.estimate_step(step)?,
        });
    }
    let steps = by_series(study.graph.steps(), &graph);
    Ok(ExperimentPlan {
        source: study.listing.source.clone(),
        parts,
        shapes,
        seeds: experiment.text.seeds,
        steps,
        graph,
        measured,
        unmeasured,
    })
}

/// Place of a run of the study, of whichever fold.
fn place_of_any_run<'a>(study: &Study<'a>) -> Repetition<'a> {
    let fold = study.experiment.all_folds().first().copied();
    Repetition { fold, ..study.first_place() }
}

/// Joins the steps that differ in seed and fold alone.
fn by_series(steps: &[GraphStep], graph: &[PlannedGraphStep]) -> Vec<PlannedStep> {
    let mut all: Vec<PlannedStep> = Vec::new();
    for (step, planned) in steps.iter().zip(graph) {
        let name = series_name(step);
        match all.iter_mut().find(|one| one.step == name) {
            Some(known) => {
                known.times += 1;
                known.cost = known.cost.larger_of(&planned.cost);
            }
            None => all.push(PlannedStep { step: name, times: 1, cost: planned.cost.clone() }),
        }
    }
    all
}

fn series_name(step: &GraphStep) -> String {
    let kind = step.kind.name();
    match &step.work {
        StepWork::Ingest(_) => kind.to_owned(),
        StepWork::Score(work) if step.subject.contains("folds") => {
            format!("{kind} {} folds {}", step.series, work.part.name())
        }
        StepWork::Score(work) => format!("{kind} {} {}", step.series, work.part.name()),
        _ => format!("{kind} {}", step.series),
    }
}

/// The measured step of a network in its own patch and batch.
pub fn find_cost<'a>(config: &CheckedConfig, measured: &'a [StepCost]) -> Option<&'a StepCost> {
    let run = &config.run;
    measured.iter().find(|cost| {
        cost.model == config.blueprint.name()
            && cost.patch == run.crop.patch
            && cost.batch == run.loader.batch
            && cost.precision == run.precision
            && cost.parameters == config.blueprint.parameter_count()
    })
}

fn how_to_measure(network: &NetworkSection, file: Option<&Path>, config: &CheckedConfig) -> String {
    let Some(file) = file else {
        return format!("{}: say --measure", network.name);
    };
    let [d, h, w] = config.run.crop.patch.0;
    format!(
        "{}: say --measure, or give --times what this writes where it will run: gliaflow bench-step \
         --model {} --patch {d}x{h}x{w} --batch {} --config {} --json",
        network.name,
        config.blueprint.name(),
        config.run.loader.batch,
        file.display()
    )
}
