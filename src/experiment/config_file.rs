//! File format of an experiment; [`crate::experiment::config`] gives it its meaning.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::experiment::paper::PaperRow;
use crate::experiment::slurm::SlurmSection;
use crate::experiment::student_section::StudentSection;
use crate::experiment::tuning::section::TuningSection;
use crate::run::CheckpointChoice;
use crate::run::phantoms::PhantomCohort;

/// Contents of an experiment's file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExperimentFile {
    /// Version of this format.
    pub schema: u32,
    /// The experiment's name.
    pub name: String,
    /// Repetitions of everything, with seeds that follow each other from the base's.
    #[serde(default = "once")]
    pub seeds: u64,
    /// Number of folds of a cross-validation, 2 to 100: every network is trained on each and scored on
    /// the cases that it has not seen, and the mean of its folds on the test cases. Without it the study
    /// is the paper's: one division, an ensemble, students and their controls.
    pub folds: Option<usize>,
    /// The cases.
    #[serde(default)]
    pub cohort: CohortSection,
    /// Settings of every run, as in a run's own file.
    #[serde(default)]
    pub base: Table,
    /// The stand-alone networks, in the order of the table.
    #[serde(rename = "network")]
    pub networks: Vec<NetworkSection>,
    /// Networks that are averaged.
    #[serde(default)]
    pub ensemble: EnsembleSection,
    /// Networks that learn from others, in the order of the table; a later one may learn from an earlier.
    #[serde(default, rename = "student")]
    pub students: Vec<StudentSection>,
    /// Search over settings of a network.
    pub tuning: Option<TuningSection>,
    /// Jobs of its steps on a Slurm cluster; decides no result.
    #[serde(default)]
    pub slurm: SlurmSection,
    /// Shares of the labelled training cases: the first student's networks are trained alone on each of
    /// them as well, which gives their Dice by the amount of data.
    #[serde(default)]
    pub labelled_fractions: Vec<f64>,
    /// Checkpoint of each run that is scored.
    #[serde(default)]
    pub checkpoint: CheckpointChoice,
}

const fn once() -> u64 {
    1
}

/// The cases of an experiment: those of `base.data.folder`, or phantoms that it draws first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CohortSection {
    /// Number of labelled cases that a plan assumes while the folder is not there.
    pub expected_cases: Option<usize>,
    /// Expected extent of the cases in file order, fastest axis first.
    pub expected_shape: Option<[usize; 3]>,
    /// Phantoms, into the experiment's own folder.
    pub phantoms: Option<PhantomCohort>,
}

/// A stand-alone network.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSection {
    /// Name of its row in the table.
    pub name: String,
    /// The row of the paper's table that it is held against.
    #[serde(default)]
    pub paper: Option<PaperRow>,
    /// A run's file to begin with, relative to the experiment's.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Settings over the base and the file.
    #[serde(default)]
    pub settings: Table,
}

/// Networks that are averaged.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnsembleSection {
    /// Names of networks; all of them where none is named.
    pub members: Vec<String>,
    /// Weights, one a member; equal where there is none.
    pub weights: Vec<f64>,
    /// True if each member's prediction is averaged over all eight mirrorings.
    pub mirrored: bool,
}
