//! The learning rate as a pure function of the place in the run: nothing to store, nothing to
//! restore.

use serde::{Deserialize, Serialize};

/// How the learning rate falls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// Times `factor` every `every_epochs` epochs: our reading of "decay rate" in Nalwade and Kisa,
    /// whose 0.60 over 280 epochs comes to what 0.99 an epoch would.
    Step {
        /// Multiplier, 0 to 1.
        factor: f64,
        /// Epochs between drops.
        every_epochs: f64,
    },
    /// `(1 - progress) ^ power` (Myronenko 2018 with 0.9).
    Poly {
        /// Exponent.
        power: f64,
    },
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Step { factor: 0.6, every_epochs: 28.0 }
    }
}

impl Schedule {
    /// Multiplier of the initial rate at `step` of `total`, with `steps_per_epoch` steps an epoch.
    pub fn multiplier(self, step: u64, total: u64, steps_per_epoch: u64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Step { factor, every_epochs } => {
                let epoch = (step / steps_per_epoch) as f64;
                factor.powf((epoch / every_epochs).floor())
            }
            Self::Poly { power } => (1.0 - step as f64 / total as f64).powf(power),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_reading_drops_ten_times_in_280_epochs() {
        let schedule = Schedule::default();
        let at = |epoch: u64| schedule.multiplier(epoch * 10, 2800, 10);
        assert_eq!(at(0), 1.0);
        assert_eq!(at(27), 1.0);
        assert!((at(28) - 0.6).abs() < 1e-12);
        assert!((at(279) - 0.6f64.powi(9)).abs() < 1e-12);
    }

    #[test]
    fn poly_falls_from_one_to_almost_nothing() {
        let schedule = Schedule::Poly { power: 0.9 };
        assert_eq!(schedule.multiplier(0, 100, 10), 1.0);
        let last = schedule.multiplier(99, 100, 10);
        assert!(last > 0.0 && last < 0.02, "{last}");
    }
}
