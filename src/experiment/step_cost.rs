//! Cost of each step of a study, from its settings, the number and shapes of its cases, and measured
//! steps of its networks.

use serde::Serialize;

use crate::base::Fingerprint;
use crate::eval::Sliding;
use crate::experiment::case_shapes::CaseShapes;
use crate::experiment::config::Repetition;
use crate::experiment::config_file::NetworkSection;
use crate::experiment::graph::step::{EnsembleRef, EpochLength, NetworkRef, TrainWork};
use crate::experiment::graph::{GraphStep, StepWork};
use crate::experiment::plan::find_cost;
use crate::experiment::runner::Study;
use crate::experiment::split_sizes::SplitSizes;
use crate::run::config::CheckedConfig;
use crate::run::tools::bench_step::StepCost;
use crate::run::{DeviceMemory, Failure};
use crate::volume::{Dims, Split};

/// Bytes of a voxel in a case file: four modalities of i16, and a label.
const BYTES_PER_VOXEL: u64 = 9;

/// Passes over a case when it is predicted with all mirrorings.
const MIRRORINGS: u64 = 8;

/// Cost of one step. Figures are bounds, but for windows and bytes of cases of several shapes, which are
/// of their mean.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CostEstimate {
    /// Cases.
    pub cases: usize,
    /// Samples trained on; 0 where nothing is trained.
    pub samples: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Windows predicted, validation of training among them.
    pub windows: u64,
    /// Checkpoints written.
    pub checkpoints: u64,
    /// Bytes on the disk at its end.
    pub disk_bytes: u64,
    /// Bytes of memory: the loader's budget or the case in hand, and the measured memory of a step.
    pub memory_bytes: u64,
    /// Memory of a CUDA GPU in training with own kernels; absent where nothing is trained or it was not counted.
    pub device_memory: Option<DeviceMemory>,
    /// Wall seconds; absent where they were not measured.
    pub seconds: Option<f64>,
}

impl CostEstimate {
    /// The costlier of two, by windows and optimiser steps.
    #[must_use]
    pub fn larger_of(&self, other: &Self) -> Self {
        let size = |cost: &Self| (cost.steps, cost.windows, cost.cases);
        if size(other) > size(self) { other.clone() } else { self.clone() }
    }
}

/// Model of the cost of a study's steps.
pub struct StepCostModel<'a> {
    /// The study.
    pub study: &'a Study<'a>,
    /// Numbers of cases.
    pub parts: &'a SplitSizes,
    /// Shapes of the cases.
    pub shapes: &'a CaseShapes,
    /// Measured steps of networks.
    pub measured: &'a [StepCost],
}

impl StepCostModel<'_> {
    /// Estimates the cost of a step.
    ///
    /// # Errors
    /// If no run takes its settings.
    pub fn estimate_step(&self, step: &GraphStep) -> Result<CostEstimate, Failure> {
        match &step.work {
            StepWork::Ingest(_) => Ok(self.estimate_ingest()),
            StepWork::Train(work) => self.estimate_training(work),
            StepWork::Score(work) => {
                let cases = self.scored_cases(work.part, &work.predictor);
                self.estimate_prediction(&work.predictor, cases, 0)
            }
            StepWork::Label(work) => {
                let bytes = self.shapes.mean_of(|grid| grid.voxel_count() as u64);
                self.estimate_prediction(&work.teacher, self.parts.unlabelled, bytes)
            }
            StepWork::Choose(_) | StepWork::Table(_) | StepWork::FoldTable(_) => {
                Ok(CostEstimate::default())
            }
        }
    }

    fn estimate_ingest(&self) -> CostEstimate {
        let cases = self.parts.cases;
        let bytes = self.shapes.mean_of(|grid| grid.voxel_count() as u64 * BYTES_PER_VOXEL);
        CostEstimate { cases, disk_bytes: bytes * cases as u64, ..CostEstimate::default() }
    }

    /// Labelled cases that a run trains on, and those that it validates on.
    fn run_cases(&self, work: &TrainWork) -> (usize, usize) {
        let SplitSizes { train, validation_scored, folds, .. } = self.parts;
        let held_out = work.fold.map(|fold| folds[fold.index()]);
        let all = train - held_out.unwrap_or(0);
        let share = work.labelled_fraction.unwrap_or(1.0);
        let trained =
            if share < 1.0 { ((all as f64 * share).round() as usize).max(1) } else { all };
        (trained, held_out.unwrap_or(*validation_scored))
    }

    /// Cases of a part; of runs of a fold, validation is the fold that they hold out.
    fn scored_cases(&self, part: Split, predictor: &EnsembleRef) -> usize {
        let first = predictor.members.first().and_then(|member| self.train_work(member.train));
        let fold = first.and_then(|work| work.fold);
        match (part, fold) {
            (Split::Validation, Some(fold)) => self.parts.folds[fold.index()],
            (Split::Validation, None) => self.parts.validation_scored,
            (Split::Test, _) => self.parts.test_scored,
            (Split::Unlabelled, _) => self.parts.unlabelled,
            (Split::Train, _) => self.parts.train,
            (Split::Unused, _) => 0,
        }
    }

    fn train_work(&self, step: Fingerprint) -> Option<&TrainWork> {
        match &self.study.graph.find_step(step)?.work {
            StepWork::Train(work) => Some(work),
            _ => None,
        }
    }

    /// Settings of a training step; of a network that is yet to be chosen, those of the largest.
    fn run_config(&self, work: &TrainWork) -> Result<CheckedConfig, Failure> {
        let experiment = self.study.experiment;
        let candidates: Vec<&NetworkSection> = match &work.network {
            NetworkRef::Named(name) => experiment.find_network(name).into_iter().collect(),
            NetworkRef::Chosen(_) => experiment.text.networks.iter().collect(),
        };
        let own_data = self.study.own_data;
        let place = Repetition { seed: work.repetition, own_data, fold: work.fold };
        let mut largest: Option<CheckedConfig> = None;
        for network in candidates {
            let config = experiment.run_config(network, &work.settings, place, &[])?;
            let parameters = config.blueprint.parameter_count();
            let known = largest.as_ref().map(|config| config.blueprint.parameter_count());
            if known.is_none_or(|known| parameters >= known) {
                largest = Some(config);
            }
        }
        Ok(largest.expect("a study has a network"))
    }

    fn window_count(&self, config: &CheckedConfig) -> u64 {
        let run = &config.run;
        self.shapes.mean_of(|grid: Dims| {
            Sliding::new(grid, run.crop.patch, &run.evaluation).window_starts().len() as u64
        })
    }

    fn estimate_training(&self, work: &TrainWork) -> Result<CostEstimate, Failure> {
        let config = self.run_config(work)?;
        let run = &config.run;
        let (labelled, validated) = self.run_cases(work);
        let annotated = if work.teaching.is_some() { self.parts.unlabelled } else { 0 };
        let epoch_cases = match work.length {
            EpochLength::OfRun => labelled + annotated,
            EpochLength::OfAllCases => self.parts.train + self.parts.unlabelled,
        };
        let samples = epoch_cases as u64 * run.loader.patches_per_case;
        let steps = run.train.epochs * run.train.epoch_steps(samples, run.loader.batch);
        let every = |epochs: u64| run.train.epochs.checked_div(epochs).unwrap_or(0);
        let validations = every(run.train.validation.every_epochs).max(1);
        let windows = validations * validated as u64 * self.window_count(&config);
        let values = config.blueprint.parameter_count() as u64;
        let checkpoint = 4 * values * (1 + run.optimiser.memory_per_weight());
        let cost = find_cost(&config, self.measured);
        let loader = run.loader_memory(self.shapes.largest())?.bytes as u64;
        let measured_memory = cost.map_or(0, |cost| {
            cost.peak_rss_bytes.unwrap_or(0) + cost.peak_device_bytes.unwrap_or(0)
        });
        Ok(CostEstimate {
            cases: labelled + annotated,
            samples: steps * run.loader.batch as u64 * run.train.accumulate,
            steps,
            windows,
            checkpoints: every(run.train.checkpoint.every_epochs).max(1),
            // The last ones and the best.
            disk_bytes: checkpoint * (run.train.checkpoint.keep as u64 + 1),
            memory_bytes: loader + measured_memory,
            device_memory: DeviceMemory::estimate(run, config.blueprint.as_ref()),
            seconds: cost.map(|cost| {
                let passes = steps * run.train.accumulate;
                passes as f64 * cost.seconds_per_step + windows as f64 * seconds_per_window(cost)
            }),
        })
    }

    /// Estimates a prediction of cases with one or several networks, one after the other, which leaves
    /// `case_bytes` on the disk for each case.
    fn estimate_prediction(
        &self,
        predictor: &EnsembleRef,
        cases: usize,
        case_bytes: u64,
    ) -> Result<CostEstimate, Failure> {
        let passes = if predictor.mirrored { MIRRORINGS } else { 1 };
        let mut windows = 0;
        let mut seconds = Some(0.0);
        for member in &predictor.members {
            let Some(work) = self.train_work(member.train) else { continue };
            let config = self.run_config(work)?;
            let own = passes * cases as u64 * self.window_count(&config);
            let cost = find_cost(&config, self.measured);
            let of_member = cost.map(|cost| own as f64 * seconds_per_window(cost));
            seconds = seconds.zip(of_member).map(|(sum, own)| sum + own);
            windows += own;
        }
        Ok(CostEstimate {
            cases,
            windows,
            disk_bytes: case_bytes * cases as u64,
            // The case as f32, its weighted sums and its probabilities.
            memory_bytes: self.shapes.largest().voxel_count() as u64 * 4 * (4 + 4 + 3),
            seconds,
            ..CostEstimate::default()
        })
    }
}

/// Wall seconds of one window: a measured pass is one of a whole batch.
fn seconds_per_window(cost: &StepCost) -> f64 {
    cost.inference_seconds / cost.batch.max(1) as f64
}
