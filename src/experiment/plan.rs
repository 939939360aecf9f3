//! Plan of an experiment before it is run: samples, steps, checkpoints, disk, memory and time.

use std::path::Path;

use serde::Serialize;

use crate::eval::Sliding;
use crate::experiment::config::{ExperimentConfig, Repetition};
use crate::experiment::config_file::NetworkSection;
use crate::experiment::split_sizes::{SplitSizes, split_sizes};
use crate::experiment::student_section::{BEST, StudentSection};
use crate::run::config::CheckedConfig;
use crate::run::tools::bench_step::{self, Repeats, StepCost};
use crate::run::{DeviceMemory, Failure};
use crate::volume::Dims;

/// Bytes of a voxel in a case file: four modalities of i16, and a label.
const BYTES_PER_VOXEL: u64 = 9;

/// Passes over a case when it is predicted with all mirrorings.
const MIRRORINGS: u64 = 8;

/// Step of the experiment, and its cost.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PlannedStep {
    /// `train unet`.
    pub step: String,
    /// Number of times: once a seed, of each network and split.
    pub times: u64,
    /// Cases, each time.
    pub cases: usize,
    /// Samples trained on, each time; 0 where nothing is trained.
    pub samples: u64,
    /// Optimiser steps, each time.
    pub steps: u64,
    /// Windows predicted, each time, validation of training among them; a bound.
    pub windows: u64,
    /// Checkpoints written, each time.
    pub checkpoints: u64,
    /// Bytes on the disk at its end, all times together; a bound.
    pub disk_bytes: u64,
    /// Bytes of memory: the loader's budget or the case in hand, and the measured memory of a step.
    pub memory_bytes: u64,
    /// Memory of a CUDA GPU in training with own kernels; absent where nothing is trained or it was not counted.
    pub device_memory: Option<DeviceMemory>,
    /// Wall seconds, each time; absent where a step time was not measured.
    pub seconds: Option<f64>,
}

/// Plan of an experiment.
#[derive(Debug, Clone, Serialize)]
pub struct ExperimentPlan {
    /// The cases.
    pub parts: SplitSizes,
    /// Repetitions.
    pub seeds: u64,
    /// Steps, in their order.
    pub steps: Vec<PlannedStep>,
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
    experiment: &ExperimentConfig,
    out: &Path,
    mut measured: Vec<StepCost>,
    measure: bool,
) -> Result<ExperimentPlan, Failure> {
    let place = Repetition {
        own_data: experiment.text.cohort.phantoms.as_ref().map(|_| out),
        ..Repetition::default()
    };
    let mut unmeasured = Vec::new();
    for network in &experiment.text.networks {
        let config = experiment.stand_alone_config(network, place)?;
        if cost_of(&config, &measured).is_some() {
            continue;
        }
        if measure {
            measured.push(bench_step::bench_step(
                &config,
                Repeats { warmup: 1, steps: 3, kernel_steps: 0 },
            )?);
        } else {
            let file = experiment.settings_file(network);
            unmeasured.push(how_to_measure(network, file.as_deref(), &config));
        }
    }
    let parts = split_sizes(experiment, place)?;
    let planner = ExperimentPlanner { experiment, place, parts: &parts, measured: &measured };
    let steps = planner.plan_steps()?;
    Ok(ExperimentPlan { parts, seeds: experiment.text.seeds, steps, measured, unmeasured })
}

/// The measured step of a network in its own patch and batch.
fn cost_of<'a>(config: &CheckedConfig, measured: &'a [StepCost]) -> Option<&'a StepCost> {
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

struct ExperimentPlanner<'a> {
    experiment: &'a ExperimentConfig,
    place: Repetition<'a>,
    parts: &'a SplitSizes,
    measured: &'a [StepCost],
}

impl ExperimentPlanner<'_> {
    fn plan_steps(&self) -> Result<Vec<PlannedStep>, Failure> {
        let experiment = self.experiment;
        let parts = self.parts;
        let seeds = experiment.text.seeds;
        let mut steps = vec![self.plan_ingest()];
        let test = parts.test_scored;
        let both = parts.validation_scored + test;
        let mut configs = Vec::new();
        for network in &experiment.text.networks {
            let config = experiment.stand_alone_config(network, self.place)?;
            steps.push(self.plan_training(&network.name, &config, parts.train, seeds)?);
            steps.push(self.plan_prediction("score", &network.name, &[&config], both, seeds));
            configs.push((network, config));
        }
        let members = experiment.ensemble_members();
        let of_ensemble: Vec<&CheckedConfig> = configs
            .iter()
            .filter(|(network, _)| members.iter().any(|member| member.name == network.name))
            .map(|(_, config)| config)
            .collect();
        steps.push(self.plan_prediction("score", "ensemble", &of_ensemble, test, seeds));
        for student in &experiment.text.students {
            self.plan_student(student, &of_ensemble, &mut steps)?;
        }
        Ok(steps)
    }

    /// Plans every round of a student, its control, and the curve if it is the first.
    fn plan_student(
        &self,
        student: &StudentSection,
        of_ensemble: &[&CheckedConfig],
        steps: &mut Vec<PlannedStep>,
    ) -> Result<(), Failure> {
        let (experiment, parts) = (self.experiment, self.parts);
        let test = parts.test_scored;
        let rounds = student.rounds * experiment.text.seeds;
        let seeds = experiment.text.seeds;
        steps.push(self.plan_prediction(
            "label",
            "ensemble",
            of_ensemble,
            parts.unlabelled,
            rounds,
        ));
        let mut configs = Vec::new();
        for network in experiment.possible_networks(student) {
            configs.push((network, experiment.student_config(student, network, self.place)?));
        }
        if student.network.as_slice().iter().any(|name| name == BEST) {
            // The largest of them: the choice falls later, and a plan is a bound.
            configs
                .sort_by_key(|(_, config)| std::cmp::Reverse(config.blueprint.parameter_count()));
        }
        configs.truncate(student.network.as_slice().len());
        let name = &student.name;
        for (network, config) in &configs {
            let told = format!("({})", network.name);
            let cases = parts.train + parts.unlabelled;
            for (role, times) in [(name.clone(), rounds), (format!("control of {name}"), seeds)] {
                steps.push(self.plan_training(&format!("{role} {told}"), config, cases, times)?);
                steps.push(self.plan_prediction("score", &role, &[config], test, times));
            }
            if experiment.text.students[0].name != *name {
                continue;
            }
            for share in &experiment.text.labelled_fractions {
                let cases = ((parts.train as f64 * share).round() as usize).max(1);
                let told = format!("{:.0} % {told}", 100.0 * share);
                steps.push(self.plan_training(&told, config, cases, seeds)?);
                steps.push(self.plan_prediction("score", &told, &[config], test, seeds));
            }
        }
        Ok(())
    }

    fn case_grid(&self) -> Dims {
        let cohort = &self.experiment.text.cohort;
        let phantoms = cohort.phantoms.as_ref().map(|phantoms| phantoms.shape);
        Dims::from_nifti(phantoms.or(cohort.expected_shape).unwrap_or(Dims::BRATS.to_nifti()))
    }

    fn plan_ingest(&self) -> PlannedStep {
        let cases = self.parts.cases;
        let bytes = self.case_grid().voxel_count() as u64 * BYTES_PER_VOXEL;
        PlannedStep {
            step: "ingest".into(),
            times: 1,
            cases,
            disk_bytes: bytes * cases as u64,
            ..PlannedStep::default()
        }
    }

    fn window_count(&self, config: &CheckedConfig) -> u64 {
        let run = &config.run;
        Sliding::new(self.case_grid(), run.crop.patch, &run.evaluation).window_starts().len() as u64
    }

    fn plan_training(
        &self,
        name: &str,
        config: &CheckedConfig,
        cases: usize,
        times: u64,
    ) -> Result<PlannedStep, Failure> {
        let run = &config.run;
        let per_epoch =
            run.train.epoch_steps(cases as u64 * run.loader.patches_per_case, run.loader.batch);
        let steps = run.train.epochs * per_epoch;
        let every = |epochs: u64| run.train.epochs.checked_div(epochs).unwrap_or(0);
        let validated = self.parts.validation_scored as u64;
        let validations = every(run.train.validation.every_epochs).max(1);
        let windows = validations * validated * self.window_count(config);
        let values = config.blueprint.parameter_count() as u64;
        let checkpoint = 4 * values * (1 + run.optimiser.memory_per_weight());
        let cost = cost_of(config, self.measured);
        let loader = run.loader_memory(self.case_grid())?.bytes as u64;
        let measured_memory = cost.map_or(0, |cost| {
            cost.peak_rss_bytes.unwrap_or(0) + cost.peak_device_bytes.unwrap_or(0)
        });
        Ok(PlannedStep {
            step: format!("train {name}"),
            times,
            cases,
            samples: steps * run.loader.batch as u64 * run.train.accumulate,
            steps,
            windows,
            checkpoints: every(run.train.checkpoint.every_epochs).max(1),
            // The last ones and the best.
            disk_bytes: times * checkpoint * (run.train.checkpoint.keep as u64 + 1),
            memory_bytes: loader + measured_memory,
            device_memory: DeviceMemory::estimate(run, config.blueprint.as_ref()),
            seconds: cost.map(|cost| {
                let passes = steps * run.train.accumulate;
                passes as f64 * cost.seconds_per_step + windows as f64 * seconds_per_window(cost)
            }),
        })
    }

    /// Plans a prediction of cases with one or several networks, one after the other.
    fn plan_prediction(
        &self,
        kind: &str,
        name: &str,
        networks: &[&CheckedConfig],
        cases: usize,
        times: u64,
    ) -> PlannedStep {
        let mirrored = self.experiment.text.ensemble.mirrored && name == "ensemble";
        let passes = if mirrored { MIRRORINGS } else { 1 };
        let windows = |config: &CheckedConfig| passes * cases as u64 * self.window_count(config);
        let seconds = networks.iter().map(|config| {
            cost_of(config, self.measured)
                .map(|cost| windows(config) as f64 * seconds_per_window(cost))
        });
        let label_bytes = if kind == "label" { self.case_grid().voxel_count() as u64 } else { 0 };
        PlannedStep {
            step: format!("{kind} {name}"),
            times,
            cases,
            windows: networks.iter().map(|config| windows(config)).sum(),
            disk_bytes: times * label_bytes * cases as u64,
            // The case as f32, its weighted sums and its probabilities.
            memory_bytes: self.case_grid().voxel_count() as u64 * 4 * (4 + 4 + 3),
            seconds: seconds.sum(),
            ..PlannedStep::default()
        }
    }
}

/// Wall seconds of one window: a measured pass is one of a whole batch.
fn seconds_per_window(cost: &StepCost) -> f64 {
    cost.inference_seconds / cost.batch.max(1) as f64
}
