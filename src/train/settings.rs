//! Settings of the trainer: length, learning rate, checkpoints, validation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::base::ConfigError;
use crate::train::{Plateau, Schedule, SchedulePosition};

/// Trainer settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct TrainerConfig {
    /// Number of epochs; 280 as Nalwade and Kisa for the U-Net.
    #[schemars(range(min = 1, max = 1 << 30), extend("x-unit" = "epochs"))]
    #[default(280)]
    pub epochs: u64,
    /// Epochs after which the run pauses: it leaves a checkpoint, ends with exit code 75, and goes on where
    /// `--resume` gives another number. Its learning rates stay those of all its epochs. 0 for never.
    // Left out where it is 0: fingerprints of runs before it was there stay theirs.
    #[serde(skip_serializing_if = "is_never")]
    #[schemars(range(max = 1 << 30), extend("x-unit" = "epochs", "default" = 0, "x-decides" = false))]
    pub pause_after: u64,
    /// Steps in an epoch; 0 for as many as visit every case's patches once.
    #[schemars(range(max = 1 << 30), extend("x-unit" = "steps"))]
    pub steps_per_epoch: u64,
    /// Gradient accumulation: batches in a step. Gradients are averaged, so memory is that of one.
    #[schemars(range(min = 1, max = 1 << 20), extend("x-unit" = "batches"))]
    #[default(1)]
    pub accumulate: u64,
    /// Initial learning rate; 2e-4 as Nalwade and Kisa for the U-Net.
    #[schemars(range(max = 1e30), extend("exclusiveMinimum" = 0))]
    #[default(2e-4)]
    pub learning_rate: f64,
    /// Epochs of linear warm-up from 0 to the scheduled rate. A cosine begins where they end; the
    /// other schedules run on from the start.
    #[schemars(range(min = 0, max = 1e9), extend("x-unit" = "epochs"))]
    pub warm_up_epochs: f64,
    /// Parts of the network that stay as they are, such as `["enc"]`: beginnings of the names of its
    /// parameters (docs/weights.md).
    // Left out where it is empty, so that the fingerprints of runs without it stay what they were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// Gradient checkpointing: activations that are cheap to compute are computed again instead of
    /// kept.
    pub gradient_checkpointing: bool,
    /// Policy for steps that are not finite.
    #[schemars(extend("x-decides" = false))]
    pub non_finite: NonFinitePolicy,
    /// Most steps of a run that may be skipped because they were not finite.
    #[schemars(range(max = 1 << 30), extend("x-unit" = "steps", "x-decides" = false))]
    #[default(10)]
    pub non_finite_budget: u64,
    /// Event file for TensorBoard in the run's folder: losses, Dice, learning rate.
    // Left out where it is off: fingerprints of runs before it was there stay theirs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false, "x-decides" = false))]
    pub tensorboard: bool,
    /// Learning rate schedule.
    pub schedule: Schedule,
    /// Checkpoint intervals.
    #[schemars(extend("x-decides" = false))]
    pub checkpoint: CheckpointConfig,
    /// Validation intervals.
    pub validation: ValidationConfig,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_never(epochs: &u64) -> bool {
    *epochs == 0
}

/// Policy for a step that is not finite; such a step never changes the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NonFinitePolicy {
    /// Ends the run, with a report of the samples.
    #[default]
    Stop,
    /// Counts and journals the step; the run goes on within its budget.
    Skip,
}

/// Checkpoint intervals; checkpoints are also written at the end, ahead of each validation and on a
/// signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Epochs between checkpoints; 0 for never.
    #[schemars(range(max = 1 << 30), extend("x-unit" = "epochs"))]
    #[default(1)]
    pub every_epochs: u64,
    /// Steps between checkpoints; 0 for never.
    #[schemars(range(max = 1_i64 << 52), extend("x-unit" = "steps"))]
    pub every_steps: u64,
    /// Number of last checkpoints that are kept besides the best.
    #[schemars(range(min = 1, max = 1 << 20), extend("x-unit" = "checkpoints"))]
    #[default(3)]
    pub keep: usize,
    /// Time for which a full or failing disk is put up with: training goes on, or waits ahead of a
    /// validation and at the end, and the checkpoint is tried again; then the run ends.
    // Left out where it is the default: fingerprints of runs before it was there stay theirs.
    #[serde(skip_serializing_if = "is_default_patience")]
    #[schemars(range(max = 1 << 30), extend("x-unit" = "s", "default" = 600, "x-decides" = false))]
    #[default(CHECKPOINT_PATIENCE)]
    pub patience: u64,
}

/// Seconds for which a disk is put up with where nothing is said.
const CHECKPOINT_PATIENCE: u64 = 600;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_default_patience(seconds: &u64) -> bool {
    *seconds == CHECKPOINT_PATIENCE
}

/// Validation intervals; the held-out cases are also scored at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct ValidationConfig {
    /// Epochs between validations; 0 for never.
    #[schemars(range(max = 1 << 30), extend("x-unit" = "epochs"))]
    #[default(10)]
    pub every_epochs: u64,
    /// Early stopping: epochs without a better validation after which the run ends; 0 for never.
    #[schemars(range(max = 1 << 30), extend("x-unit" = "epochs"))]
    pub patience: u64,
    /// Patches of the held-out cases, the same every time, whose loss stands beside that of training; 0
    /// for none.
    // Left out where it is the default: fingerprints of runs before it was there stay theirs.
    #[serde(skip_serializing_if = "is_default_patches")]
    #[schemars(range(max = 1 << 20), extend("x-unit" = "patches", "default" = 16, "x-decides" = false))]
    #[default(LOSS_PATCHES)]
    pub loss_patches: u64,
}

/// Patches of the validation loss where nothing is said: a few seconds on a GPU.
const LOSS_PATCHES: u64 = 16;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_default_patches(patches: &u64) -> bool {
    *patches == LOSS_PATCHES
}

impl TrainerConfig {
    /// Checks settings that depend on each other.
    ///
    /// # Errors
    /// Early stopping without validations.
    pub fn check_patience(&self) -> Result<(), ConfigError> {
        let ValidationConfig { every_epochs, patience, .. } = self.validation;
        if patience == 0 || every_epochs > 0 {
            return Ok(());
        }
        let (problem, way_out) =
            ("a wait for validations that never come", "set validation.every_epochs");
        Err(ConfigError::new("validation.patience", patience, problem, way_out))
    }

    /// Number of steps in an epoch over `samples` samples in batches of `batch`.
    pub fn epoch_steps(&self, samples: u64, batch: usize) -> u64 {
        match self.steps_per_epoch {
            0 => samples.div_ceil(batch as u64 * self.accumulate).max(1),
            steps => steps,
        }
    }

    /// Learning rate of the step after `moment`.
    pub fn learning_rate_at(&self, moment: SchedulePosition, plateau: &Plateau) -> f64 {
        let warm_up = self.warm_up_epochs * moment.steps_per_epoch as f64;
        let warmth = ((moment.step + 1) as f64 / warm_up.max(1.0)).min(1.0);
        let scheduled = match self.schedule {
            Schedule::Cosine { .. } => moment.without_first(warm_up.ceil() as u64),
            _ => moment,
        };
        self.learning_rate * warmth * self.schedule.rate_multiplier(scheduled, plateau)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::check_ranges;

    #[test]
    fn a_warm_up_rises_in_front_of_any_schedule_and_leaves_its_clock_alone() {
        let rates = |warm_up_epochs, schedule| -> Vec<f64> {
            let learning_rate = 1.0;
            let config =
                TrainerConfig { warm_up_epochs, schedule, learning_rate, ..Default::default() };
            let moment = |step| SchedulePosition { step, total: 12, steps_per_epoch: 4 };
            (0..8).map(|step| config.learning_rate_at(moment(step), &Plateau::default())).collect()
        };
        let step = Schedule::Step { factor: 0.5, every_epochs: 1.0 };
        assert_eq!(rates(0.0, step), [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]);
        assert_eq!(rates(1.0, step), [0.25, 0.5, 0.75, 1.0, 0.5, 0.5, 0.5, 0.5]);
        assert_eq!(rates(0.5, Schedule::Constant)[..3], [0.5, 1.0, 1.0]);
    }

    #[test]
    fn an_epoch_visits_all_samples_in_steps_of_several_batches() {
        let config = TrainerConfig { accumulate: 3, ..Default::default() };
        assert_eq!(config.epoch_steps(335, 2), 56);
        assert_eq!(TrainerConfig::default().epoch_steps(335, 2), 168);
        let fixed = TrainerConfig { steps_per_epoch: 250, ..config };
        assert_eq!(fixed.epoch_steps(335, 2), 250);
    }

    #[test]
    fn what_cannot_be_is_named() {
        let problem = |change: fn(&mut TrainerConfig)| {
            let mut config = TrainerConfig::default();
            change(&mut config);
            check_ranges(&config).and_then(|()| config.check_patience()).unwrap_err().to_string()
        };
        assert!(problem(|c| c.accumulate = 0).contains("accumulate"));
        assert!(problem(|c| c.learning_rate = f64::NAN).contains("learning_rate = NaN"));
        assert!(problem(|c| c.warm_up_epochs = -1.0).contains("warm_up_epochs"));
        assert!(problem(|c| c.checkpoint.keep = 0).contains("checkpoint.keep"));
        let impatient = |c: &mut TrainerConfig| {
            c.validation = ValidationConfig { every_epochs: 0, patience: 3, ..c.validation };
        };
        assert!(problem(impatient).contains("validation.patience = 3"));
        assert_eq!(check_ranges(&TrainerConfig::default()), Ok(()));
        assert_eq!(TrainerConfig::default().check_patience(), Ok(()));
    }
}
