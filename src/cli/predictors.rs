//! Options that name what predicts, and who chooses what is done to its labels.

use std::path::{Path, PathBuf};

use crate::experiment::ensemble::{Checkpoint, Ensemble, Member, Resolved};
use crate::experiment::failure::Failure;

/// One run, or several whose probabilities are averaged.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Runs {
    /// A run's folder; several times for the mean of their probabilities
    #[arg(long, value_name = "DIR", required = true)]
    run: Vec<PathBuf>,

    /// What the probabilities of each --run count, in their order [default: the same]
    #[arg(long, value_name = "NUMBER")]
    weight: Vec<f64>,

    /// Average over all eight mirrorings of each window
    #[arg(long)]
    mirror: bool,

    /// Which weights: latest, or best for those of the best validation
    #[arg(long, value_name = "WHICH", default_value = "latest")]
    checkpoint: Checkpoint,

    /// A setting to override in every run: section.key=value
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Runs {
    /// Looks at the runs.
    pub(super) fn resolve(&self) -> Result<Resolved, Failure> {
        let (runs, weights) = (self.run.len(), self.weight.len());
        if weights != 0 && weights != runs {
            return Err(Failure::Usage(format!(
                "--weight is given {weights} times and --run {runs} times; give each run its weight, \
                 or none"
            )));
        }
        let weights = self.weight.iter().copied().chain(std::iter::repeat(1.0));
        let members =
            self.run.iter().zip(weights).map(|(run, weight)| Member { run: run.clone(), weight });
        let (which, mirrored) = (self.checkpoint, self.mirror);
        Ensemble { members: members.collect(), which, mirrored }.resolve(&self.set)
    }

    /// The value of the metrics' `run` label.
    pub(super) fn label(&self) -> String {
        let names: Vec<String> = self.run.iter().map(|run| run.display().to_string()).collect();
        names.join("+")
    }

    /// The run whose own evaluation this is, if it is one: its last weights as they are.
    pub(super) fn plain(&self) -> Option<&Path> {
        let plain = !self.mirror && self.checkpoint == Checkpoint::Latest;
        match self.run.as_slice() {
            [only] if plain => Some(only),
            _ => None,
        }
    }
}

/// Who chooses thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum PostProcessing {
    /// Whoever gives --drop-below and --smallest-et
    Given,
    /// The runs' validation cases: those with the highest mean Dice on them
    Tuned,
}
