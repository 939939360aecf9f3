//! Result of a run: `summary.json`, and what `train --json` prints.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::base::CaseError;
use crate::pipeline::BottleneckVerdict;
use crate::run_folder::EvaluationScores;
use crate::volume::CaseId;

/// Result of a run. Fields that a file of another version lacks have their default.
///
/// ```
/// use gliaflow::prelude::RunSummary;
///
/// # let text = r#"{"model": "unet", "steps": 240, "best": {"mean_dice": 0.81, "epoch": 12, "step": 240}}"#;
/// // The text of `runs/unet-001/summary.json`.
/// let summary: RunSummary = serde_json::from_str(text).expect("a run's summary");
/// let best = summary.best.expect("the run had a validation");
/// println!("{}: Dice {:.4} after epoch {}", summary.model, best.mean_dice, best.epoch);
/// # assert_eq!((summary.steps, best.epoch), (240, 12));
/// ```
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSummary {
    /// The run's folder.
    pub run: PathBuf,
    /// The network.
    pub model: String,
    /// Trained values.
    pub parameters: usize,
    /// Optimiser steps.
    pub steps: u64,
    /// Steps planned; fewer were taken if there was no better validation for too long.
    pub planned_steps: u64,
    /// Steps that were skipped because they were not finite.
    pub unsound_steps: u64,
    /// The device.
    pub device: String,
    /// Wall seconds of the training loop, of the last process.
    pub train_seconds: f64,
    /// Share of the training loop's time without a batch.
    pub starved_ratio: f64,
    /// Wall seconds that checkpoints kept the trainer from training, in the last process.
    pub checkpoint_seconds: f64,
    /// Wall seconds that validations did.
    pub validation_seconds: f64,
    /// Bottleneck of the training loop.
    pub loader: Option<BottleneckVerdict>,
    /// Wall seconds of everything, of the last process.
    pub seconds: f64,
    /// Cases trained on.
    pub train_cases: usize,
    /// Pseudo-labelled ones among `train_cases`.
    pub pseudo_labelled_cases: usize,
    /// Cases that could not be used.
    pub excluded: Vec<ExcludedCase>,
    /// Contents of the dataset's folder that could not become a case.
    pub problems: Vec<CaseError>,
    /// The best validation; the pointer `checkpoints/best` names its checkpoint.
    pub best: Option<BestValidation>,
    /// The last weights on the held-out cases; absent when there are none.
    pub evaluation: Option<EvaluationScores>,
}

/// The best validation of a run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct BestValidation {
    /// Mean over regions and cases.
    pub mean_dice: f64,
    /// Epochs done.
    pub epoch: u64,
    /// Steps done.
    pub step: u64,
}

/// A case that could not be used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExcludedCase {
    /// Name of the case.
    pub case: CaseId,
    /// Cause.
    pub error: CaseError,
}
