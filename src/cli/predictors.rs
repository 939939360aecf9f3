//! Options that name the predicting networks, and the source of the thresholds for their labels.

use std::path::{Path, PathBuf};

use crate::run::{CheckpointChoice, Ensemble, Failure, Member, ResolvedEnsemble};
use crate::run_folder::run_name;

/// A run, or several whose probabilities are averaged.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PredictorOptions {
    /// A run's folder; several times for the mean of their probabilities
    #[arg(long, value_name = "DIR", required = true)]
    run: Vec<PathBuf>,

    /// Weights of the --run probabilities, in their order [default: the same]
    #[arg(long, value_name = "NUMBER")]
    weight: Vec<f64>,

    /// Average over all eight mirrorings of each window
    #[arg(long)]
    mirror: bool,

    /// Weights to use: latest, best for those of the best validation, or those after so many steps
    #[arg(long, value_name = "WHICH", default_value = "latest")]
    checkpoint: CheckpointChoice,

    /// A setting to override in every run: section.key=value
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl PredictorOptions {
    /// Reads the runs' configurations and checkpoints.
    pub(super) fn resolve_runs(&self) -> Result<ResolvedEnsemble, Failure> {
        self.resolve_with(&self.set)
    }

    /// The same for predictions that others work with: within tissue, unless --set says otherwise.
    pub(super) fn resolve_runs_within_tissue(&self) -> Result<ResolvedEnsemble, Failure> {
        let masked = ["evaluation.within_tissue=true".to_string()];
        self.resolve_with(&[&masked, self.set.as_slice()].concat())
    }

    fn resolve_with(&self, assignments: &[String]) -> Result<ResolvedEnsemble, Failure> {
        let runs = self.run.len();
        let weights = self.weight.len();
        if weights != 0 && weights != runs {
            return Err(Failure::Usage(format!(
                "--weight is given {weights} times and --run {runs} times; give each run its weight, \
                 or none"
            )));
        }
        let weights = self.weight.iter().copied().chain(std::iter::repeat(1.0));
        let members =
            self.run.iter().zip(weights).map(|(run, weight)| Member { run: run.clone(), weight });
        let members = members.collect();
        Ensemble { members, which: self.checkpoint, mirrored: self.mirror }.resolve(assignments)
    }

    /// Value of the metrics' `run` label.
    pub(super) fn metrics_label(&self) -> String {
        let names: Vec<String> = self.run.iter().map(|run| run_name(run)).collect();
        names.join("+")
    }

    /// The run, if it is a single one with its last weights and without mirroring.
    pub(super) fn single_plain_run(&self) -> Option<&Path> {
        let plain = !self.mirror && self.checkpoint == CheckpointChoice::Latest;
        match self.run.as_slice() {
            [only] if plain => Some(only),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ThresholdSource {
    /// Values of --drop-below and --smallest-et
    Given,
    /// The runs' validation cases: those with the highest mean Dice on them
    Tuned,
}
