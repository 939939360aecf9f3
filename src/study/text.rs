//! A study's file, as it is written. What it means is [`crate::study::recipe`]'s.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Table;

use crate::brats::phantom::PhantomConfig;
use crate::experiment::ensemble::Checkpoint;
use crate::study::paper::PaperRow;
use crate::volume::grid::Dims;
use crate::volume::targets::Targets;

/// The file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeText {
    /// Version of this format.
    pub schema: u32,
    /// The study's name.
    pub name: String,
    /// How often everything is trained, with seeds that follow each other from the base's.
    #[serde(default = "once")]
    pub seeds: u64,
    /// The cases.
    #[serde(default)]
    pub cohort: CohortText,
    /// Settings of every run, as in a run's own file.
    #[serde(default)]
    pub base: Table,
    /// The stand-alone networks, in the order of the table.
    #[serde(rename = "network")]
    pub networks: Vec<NetworkText>,
    /// What is averaged.
    #[serde(default)]
    pub ensemble: EnsembleText,
    /// What learns from the ensemble.
    #[serde(default)]
    pub student: StudentText,
    /// Shares of the labelled training cases: the student's network is trained alone on each of
    /// them as well, which gives its Dice by the amount of data.
    #[serde(default)]
    pub labelled_fractions: Vec<f64>,
    /// Which of a run's checkpoints is scored.
    #[serde(default)]
    pub checkpoint: Checkpoint,
}

const fn once() -> u64 {
    1
}

/// The cases of a study: those of `base.data.folder`, or phantoms that it draws first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CohortText {
    /// How many labelled cases a plan counts with while the folder is not there.
    pub expected_cases: Option<usize>,
    /// Their expected extent, as in a file, fastest axis first.
    pub expected_shape: Option<[usize; 3]>,
    /// Phantoms, into the study's own folder.
    pub phantoms: Option<PhantomsText>,
}

/// Phantoms to draw.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhantomsText {
    /// How many.
    pub cases: u64,
    /// Decides every voxel.
    pub seed: u64,
    /// As in a file, fastest axis first.
    pub shape: [usize; 3],
}

impl PhantomsText {
    /// As the phantoms' room takes it.
    pub fn config(&self) -> PhantomConfig {
        PhantomConfig { dims: Dims::from_nifti(self.shape), seed: self.seed }
    }
}

/// A stand-alone network.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkText {
    /// Its row in the table.
    pub name: String,
    /// The row of the paper's table that it is held against.
    #[serde(default)]
    pub paper: Option<PaperRow>,
    /// A run's file to begin with, relative to the study's.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Settings over the base and the file.
    #[serde(default)]
    pub settings: Table,
}

/// What is averaged.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnsembleText {
    /// Names of networks; all of them where none is named.
    pub members: Vec<String>,
    /// One weight a member; equal where there is none.
    pub weights: Vec<f64>,
    /// Whether each member's answer is averaged over all eight mirrorings.
    pub mirrored: bool,
}

/// What learns from the ensemble.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StudentText {
    /// A network's name, or `best`: the one with the best mean Dice on the validation cases.
    pub network: String,
    /// The ensemble's labels, or its probabilities.
    pub targets: Targets,
    /// Share of the samples that are pseudo-labelled; without it, every case is drawn alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Settings over those of its network, for student and control alike.
    pub settings: Table,
}

/// The value of `student.network` that leaves the choice to the validation cases.
pub const BEST: &str = "best";

impl Default for StudentText {
    fn default() -> Self {
        let settings = Table::new();
        Self { network: BEST.into(), targets: Targets::Hard, share: None, settings }
    }
}
