//! Learning rate schedules. All but one are a pure function of the position in the run: nothing to
//! store, nothing to restore. The plateau depends on losses; its state is in [`Plateau`].
//!
//! Nalwade and Kisa give a "decay rate" (0.60 for the U-Nets, 0.85 for the cascade) and no period.
//! All readings known to us are here; [`Schedule::Step`] is the one in use.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::train::Plateau;

/// Learning rate schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// Constant rate.
    Constant,
    /// Times `factor` every `every_epochs` epochs: our reading of "decay rate", since 0.60 ten times
    /// in 280 epochs comes to what Lachinov's 0.99 an epoch would in his 500.
    #[default]
    Step {
        /// Multiplier of the learning rate, usually below 1.
        #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
        #[default(0.6)]
        factor: f64,
        /// Epochs between drops.
        #[schemars(range(max = 1e9), extend("exclusiveMinimum" = 0, "x-unit" = "epochs"))]
        #[default(28.0)]
        every_epochs: f64,
    },
    /// Exponential decay at every step: `factor ^ (epochs / every_epochs)`.
    Smooth {
        /// Multiplier of the learning rate, usually below 1.
        #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
        factor: f64,
        /// Epochs until the rate has fallen by the factor.
        #[schemars(range(max = 1e9), extend("exclusiveMinimum" = 0, "x-unit" = "epochs"))]
        every_epochs: f64,
    },
    /// Times `factor` every epoch: the literal reading. With 0.60 a network has stopped learning
    /// after a dozen epochs.
    PerEpoch {
        /// Multiplier of the learning rate, usually below 1.
        #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
        factor: f64,
    },
    /// `(1 - progress) ^ power` (Myronenko 2018 and nnU-Net with 0.9, both by epoch; here by step).
    Poly {
        /// Exponent.
        #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
        power: f64,
    },
    /// Half a cosine from 1 at the end of the warm-up to `minimum` at the end of the run (Loshchilov
    /// and Hutter 2017, without restarts).
    Cosine {
        /// Multiplier of the learning rate at the end.
        #[serde(default)]
        #[schemars(range(min = 0, max = 1))]
        minimum: f64,
    },
    /// Times `factor` when the smoothed training loss has not improved for `patience` epochs
    /// (Isensee et al. 2018 with 0.2 and 30).
    Plateau {
        /// Multiplier of the learning rate, usually below 1.
        #[schemars(range(max = 1000), extend("exclusiveMinimum" = 0))]
        factor: f64,
        /// Epochs without improvement before a drop.
        #[schemars(range(max = 1 << 30), extend("x-unit" = "epochs"))]
        patience: u64,
        /// Smallest improvement that counts.
        #[serde(default = "plateau_threshold")]
        #[schemars(range(min = 0, max = 1e9))]
        threshold: f64,
        /// Share of the old value in the exponential mean of the epochs' losses.
        #[serde(default = "plateau_smoothing")]
        #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
        smoothing: f64,
    },
}

/// Default improvement: that of the same authors' code a year later.
const fn plateau_threshold() -> f64 {
    1e-3
}

const fn plateau_smoothing() -> f64 {
    0.9
}

/// Position in a run.
#[derive(Debug, Clone, Copy)]
pub struct SchedulePosition {
    /// Steps done.
    pub step: u64,
    /// Steps planned in all.
    pub total: u64,
    /// Steps in an epoch.
    pub steps_per_epoch: u64,
}

impl SchedulePosition {
    /// Position in the run without its first `steps` steps.
    #[must_use]
    pub fn without_first(self, steps: u64) -> Self {
        let step = self.step.saturating_sub(steps);
        let total = self.total.saturating_sub(steps).max(1);
        Self { step, total, ..self }
    }
}

impl Schedule {
    /// Multiplier of the initial rate for the step after `moment`.
    pub fn rate_multiplier(self, moment: SchedulePosition, plateau: &Plateau) -> f64 {
        let SchedulePosition { step, total, steps_per_epoch } = moment;
        let epoch = (step / steps_per_epoch) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Step { factor, every_epochs } => factor.powf((epoch / every_epochs).floor()),
            Self::Smooth { factor, every_epochs } => {
                factor.powf(step as f64 / steps_per_epoch as f64 / every_epochs)
            }
            Self::PerEpoch { factor } => factor.powf(epoch),
            Self::Poly { power } => (1.0 - step as f64 / total as f64).powf(power),
            Self::Cosine { minimum } => {
                let progress = (step as f64 / total as f64).min(1.0);
                minimum + (1.0 - minimum) * (1.0 + (PI * progress).cos()) / 2.0
            }
            Self::Plateau { factor, .. } => factor.powf(plateau.drop_count() as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::check_ranges;

    fn at(schedule: Schedule, epoch: f64) -> f64 {
        let moment =
            SchedulePosition { step: (epoch * 10.0) as u64, total: 2800, steps_per_epoch: 10 };
        schedule.rate_multiplier(moment, &Plateau::default())
    }

    /// The rates of the readings over 280 epochs, from the same table as the optimisers' oracle.
    #[test]
    fn the_readings_of_decay_rate_fall_as_far_as_they_should() {
        let every_epochs = 28.0;
        let rates =
            |schedule, first: f64| [10.0, 70.0, 140.0, 279.0].map(|e| first * at(schedule, e));
        let near = |found: [f64; 4], expected: [f64; 4]| {
            let worst = found.iter().zip(expected).map(|(a, b)| (a / b - 1.0).abs());
            assert!(worst.fold(0.0, f64::max) < 0.05, "{found:?}");
        };
        let step = |factor| Schedule::Step { factor, every_epochs };
        near(rates(step(0.6), 2e-4), [2e-4, 7.2e-5, 1.555e-5, 2.016e-6]);
        near(rates(step(0.85), 0.1), [0.1, 0.0722, 0.0444, 0.0232]);
        near(
            rates(Schedule::PerEpoch { factor: 0.6 }, 2e-4),
            [1.21e-6, 5.9e-20, 1.72e-35, 2.5e-66],
        );
        near(rates(Schedule::Poly { power: 0.6 }, 2e-4), [1.957e-4, 1.683e-4, 1.32e-4, 6.8e-6]);
        near(rates(Schedule::Poly { power: 0.85 }, 0.1), [0.097, 0.0783, 0.0555, 8.3e-4]);
    }

    #[test]
    fn the_smooth_fall_meets_the_steps_where_they_drop() {
        let (factor, every_epochs) = (0.6, 28.0);
        let (smooth, step) =
            (Schedule::Smooth { factor, every_epochs }, Schedule::Step { factor, every_epochs });
        for drop in 0..10 {
            let epoch = 28.0 * f64::from(drop);
            assert!((at(smooth, epoch) - at(step, epoch)).abs() < 1e-12);
            assert!(at(smooth, epoch + 0.1) < at(step, epoch + 0.1));
        }
    }

    #[test]
    fn poly_falls_from_one_to_almost_nothing() {
        let schedule = Schedule::Poly { power: 0.9 };
        assert_eq!(at(schedule, 0.0), 1.0);
        let last = at(schedule, 279.9);
        assert!(last > 0.0 && last < 0.002, "{last}");
    }

    #[test]
    fn what_cannot_be_is_named() {
        let problem = |schedule: Schedule| check_ranges(&schedule).unwrap_err().to_string();
        assert!(problem(Schedule::PerEpoch { factor: 0.0 }).contains("factor = 0"));
        assert!(
            problem(Schedule::Step { factor: 0.5, every_epochs: -1.0 }).contains("every_epochs")
        );
        let plateau: Schedule =
            serde_json::from_str(r#"{"kind": "plateau", "factor": 0.2, "patience": 30}"#).unwrap();
        assert_eq!(check_ranges(&plateau), Ok(()));
        assert_eq!(check_ranges(&Schedule::default()), Ok(()));
    }
}
