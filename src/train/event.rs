//! Events of a run in the journal, one JSON line each.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::base::seed::SampleKey;
use crate::volume::case::CaseId;

/// Event in `events.jsonl`.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The trainer starts.
    Started {
        /// First step of this process.
        step: u64,
        /// Steps planned in all.
        steps: u64,
        /// Trainable parameters.
        parameters: usize,
        /// The device.
        device: String,
    },
    /// The trainer resumes from a checkpoint; later events of an earlier process are cut away.
    Resumed {
        /// Steps done.
        step: u64,
        /// The checkpoint, relative to the run; absent if there was none yet.
        checkpoint: Option<String>,
        /// The device.
        device: String,
    },
    /// An optimiser step.
    Step(StepRecord),
    /// A step whose loss or gradient was not finite; it changed nothing.
    NotFinite(StepRecord),
    /// An epoch is complete.
    Epoch {
        /// Index from 0.
        epoch: u64,
        /// Mean total loss over its finite steps; absent if there was none.
        loss: Option<f64>,
        /// Seconds it took this process.
        seconds: f64,
        /// Seconds of them without a batch.
        starved_seconds: f64,
    },
    /// The held-out cases were scored.
    Validation {
        /// Epochs done.
        epoch: u64,
        /// Steps done.
        step: u64,
        /// Mean over the regions.
        mean_dice: f64,
        /// Mean Dice over the cases, by region.
        dice: BTreeMap<&'static str, f64>,
        /// Mean 95 % Hausdorff distance over the cases in mm, by region.
        hd95_mm: BTreeMap<&'static str, f64>,
        /// Best validation so far.
        best: bool,
        /// Seconds it took.
        seconds: f64,
    },
    /// A sample was left out.
    Skipped {
        /// Name given by the planner.
        item: String,
        /// Position in the plan.
        position: u64,
        /// The error, in full.
        error: String,
    },
    /// A checkpoint is safe on disk.
    Checkpoint {
        /// Steps done.
        step: u64,
        /// Folder of the checkpoint, relative to the run.
        folder: String,
        /// Seconds it took.
        seconds: f64,
    },
    /// The run ends.
    Finished {
        /// Steps done.
        step: u64,
        /// `finished`, `stopped` or `failed`.
        state: &'static str,
        /// The cause, if it failed.
        cause: Option<String>,
    },
}

/// Metrics of one step; means over its batches.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepRecord {
    /// Steps done, this one included.
    pub step: u64,
    /// Epoch of the step, from 0.
    pub epoch: u64,
    /// Total loss.
    pub loss: f64,
    /// Soft Dice part.
    pub dice_loss: f64,
    /// Cross-entropy part.
    pub bce: f64,
    /// Soft Dice by region, as the loss computes it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub soft_dice: BTreeMap<&'static str, f64>,
    /// Weighted auxiliary losses by name; empty for most networks.
    #[serde(rename = "penalties", skip_serializing_if = "BTreeMap::is_empty")]
    pub aux_losses: BTreeMap<&'static str, f64>,
    /// L2 norm of the whole gradient, before clipping.
    pub gradient_norm: f64,
    /// Learning rate used.
    pub learning_rate: f64,
    /// Wall seconds from batch to loss on the host.
    pub seconds: f64,
    /// Wall seconds without a batch before it.
    pub starved_seconds: f64,
    /// Keys of the samples, from which each can be generated again.
    pub samples: Vec<SampleKey>,
    /// The case of each sample.
    pub cases: Vec<CaseId>,
}

impl StepRecord {
    /// Creates the record of the step after `done` steps, in epoch `epoch`, without metrics.
    pub(super) const fn before_step(done: u64, epoch: u64, learning_rate: f64) -> Self {
        Self {
            step: done + 1,
            epoch,
            loss: f64::NAN,
            dice_loss: f64::NAN,
            bce: f64::NAN,
            soft_dice: BTreeMap::new(),
            aux_losses: BTreeMap::new(),
            gradient_norm: f64::NAN,
            learning_rate,
            seconds: 0.0,
            starved_seconds: 0.0,
            samples: Vec::new(),
            cases: Vec::new(),
        }
    }

    /// Returns true if loss and gradient are finite, and the step was therefore taken.
    pub const fn is_finite(&self) -> bool {
        self.loss.is_finite() && self.gradient_norm.is_finite()
    }
}
