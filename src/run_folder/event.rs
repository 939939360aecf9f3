//! Events of a run: a JSON line each in `events.jsonl`.
//!
//! Every field has a default, so lines of versions without it can be read.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use smart_default::SmartDefault;

use crate::base::SampleKey;
use crate::volume::CaseId;

/// Event, and its time in seconds since the Unix epoch: one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timestamped<T> {
    /// Seconds since the Unix epoch.
    pub time: f64,
    /// The event.
    #[serde(flatten)]
    pub event: T,
}

/// Event of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The trainer starts.
    Started(StartedEvent),
    /// The trainer resumes from a checkpoint; later events of an earlier process are cut away.
    Resumed(ResumedEvent),
    /// An optimiser step.
    Step(StepRecord),
    /// A step whose loss or gradient was not finite; it changed nothing.
    NotFinite(StepRecord),
    /// An epoch is complete.
    Epoch(EpochEvent),
    /// The held-out cases were scored.
    Validation(ValidationEvent),
    /// A sample was left out.
    Skipped(SkippedEvent),
    /// A checkpoint is safe on disk.
    Checkpoint(CheckpointEvent),
    /// The run ends.
    Finished(FinishedEvent),
    /// An event of a later version: read, and never written.
    #[serde(other, skip_serializing)]
    Unknown,
}

impl Event {
    /// Steps done, where the event has them.
    pub const fn steps_done(&self) -> Option<u64> {
        Some(match self {
            Self::Started(event) => event.step,
            Self::Resumed(event) => event.step,
            Self::Step(record) | Self::NotFinite(record) => record.step,
            Self::Validation(event) => event.step,
            Self::Checkpoint(event) => event.step,
            Self::Finished(event) => event.step,
            Self::Epoch(_) | Self::Skipped(_) | Self::Unknown => return None,
        })
    }
}

/// Weights that a run starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InitialWeights {
    /// Run or file that they are from.
    pub source: PathBuf,
    /// Tensors that were loaded.
    pub loaded: usize,
    /// Tensors and parameters that do not fit, each with its reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub misfits: Vec<String>,
}

/// Start of the trainer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StartedEvent {
    /// First step of this process.
    pub step: u64,
    /// Steps planned in all.
    pub steps: u64,
    /// Trainable parameters.
    pub parameters: usize,
    /// The device.
    pub device: String,
    /// Weights that the run starts from, if they are not drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_weights: Option<InitialWeights>,
    /// Parts of the network that are not trained.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frozen: Vec<String>,
}

/// Resumption from a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResumedEvent {
    /// Steps done.
    pub step: u64,
    /// Steps planned in all, which may have changed; 0 in journals of early versions.
    pub steps: u64,
    /// The checkpoint, relative to the run; absent if there was none yet.
    pub checkpoint: Option<String>,
    /// The device.
    pub device: String,
}

/// Metrics of one step; means over its batches. JSON has `null` for one that is not finite; it
/// comes back as NaN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, SmartDefault)]
#[serde(default)]
pub struct StepRecord {
    /// Steps done, this one included.
    pub step: u64,
    /// Epoch of the step, from 0.
    pub epoch: u64,
    /// Total loss.
    #[serde(deserialize_with = "nan_if_null")]
    #[default(f64::NAN)]
    pub loss: f64,
    /// Soft Dice part.
    #[serde(deserialize_with = "nan_if_null")]
    #[default(f64::NAN)]
    pub dice_loss: f64,
    /// Cross-entropy part.
    #[serde(deserialize_with = "nan_if_null")]
    #[default(f64::NAN)]
    pub bce: f64,
    /// Soft Dice by region, as the loss computes it; empty in journals of early versions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "nan_values_if_null")]
    pub soft_dice: BTreeMap<String, f64>,
    /// Weighted auxiliary losses by name; empty for most networks.
    #[serde(
        rename = "penalties",
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "nan_values_if_null"
    )]
    pub aux_losses: BTreeMap<String, f64>,
    /// L2 norm of the whole gradient, before clipping.
    #[serde(deserialize_with = "nan_if_null")]
    #[default(f64::NAN)]
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
    /// The total loss and its parts, by their names in the metrics.
    pub fn loss_parts(&self) -> impl Iterator<Item = (&str, f64)> {
        let parts = [("total", self.loss), ("dice", self.dice_loss), ("bce", self.bce)];
        parts.into_iter().chain(self.aux_losses.iter().map(|(name, loss)| (name.as_str(), *loss)))
    }

    /// Returns true if loss and gradient are finite, and the step was therefore taken.
    pub const fn is_finite(&self) -> bool {
        self.loss.is_finite() && self.gradient_norm.is_finite()
    }
}

/// End of an epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EpochEvent {
    /// Index from 0.
    pub epoch: u64,
    /// Mean total loss over its finite steps; absent if there was none.
    pub loss: Option<f64>,
    /// Wall seconds of its steps, over all processes; of the last one in journals of early versions.
    pub seconds: f64,
    /// Seconds of them without a batch.
    pub starved_seconds: f64,
}

/// Scores of the held-out cases during training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ValidationEvent {
    /// Epochs done.
    pub epoch: u64,
    /// Steps done.
    pub step: u64,
    /// Mean over the regions.
    pub mean_dice: f64,
    /// Mean Dice over the cases, by region.
    pub dice: BTreeMap<String, f64>,
    /// Mean 95 % Hausdorff distance over the cases in mm, by region.
    pub hd95_mm: BTreeMap<String, f64>,
    /// Loss on patches of the held-out cases, the same at every validation; absent where none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Best validation so far.
    pub best: bool,
    /// Seconds it took.
    pub seconds: f64,
}

/// Sample that was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SkippedEvent {
    /// Name given by the planner.
    pub item: String,
    /// Case of the sample; absent in journals of early versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseId>,
    /// Position in the plan.
    pub position: u64,
    /// The error, in full.
    pub error: String,
}

/// Publication of a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckpointEvent {
    /// Steps done.
    pub step: u64,
    /// Folder of the checkpoint, relative to the run.
    pub folder: String,
    /// Seconds it took.
    pub seconds: f64,
}

/// End of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FinishedEvent {
    /// Steps done.
    pub step: u64,
    /// `finished`, `stopped` or `failed`.
    pub state: String,
    /// The cause, if it failed.
    pub cause: Option<String>,
}

fn nan_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

fn nan_values_if_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, f64>, D::Error> {
    let values = BTreeMap::<String, Option<f64>>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect())
}
