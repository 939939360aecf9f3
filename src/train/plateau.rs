//! State of the plateau schedule: how long the smoothed training loss has not improved.

use serde::{Deserialize, Serialize};

use crate::train::{Schedule, lossless_f64};

/// State of [`Schedule::Plateau`]; part of every checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    smoothed: Option<Loss>,
    best: Option<Loss>,
    /// Epochs since the best.
    waited: u64,
    drops: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Loss(#[serde(with = "lossless_f64")] f64);

impl Plateau {
    /// Number of drops of the learning rate.
    pub const fn drop_count(&self) -> u64 {
        self.drops
    }

    /// Adds the mean loss of an epoch; other schedules ignore it.
    pub fn add_epoch_loss(&mut self, schedule: Schedule, loss: f64) {
        let Schedule::Plateau { patience, threshold, smoothing, .. } = schedule else { return };
        let smoothed = match self.smoothed {
            Some(Loss(old)) => old * smoothing + loss * (1.0 - smoothing),
            None => loss,
        };
        self.smoothed = Some(Loss(smoothed));
        let improved = self.best.is_none_or(|Loss(best)| smoothed < best - threshold);
        if improved {
            (self.best, self.waited) = (Some(Loss(smoothed)), 0);
            return;
        }
        self.waited += 1;
        if self.waited >= patience {
            (self.drops, self.waited) = (self.drops + 1, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::SchedulePosition;

    const SCHEDULE: Schedule =
        Schedule::Plateau { factor: 0.5, patience: 2, threshold: 0.01, smoothing: 0.0 };

    #[test]
    fn the_rate_drops_once_for_each_patience_without_improvement() {
        let mut plateau = Plateau::default();
        let mut rates = Vec::new();
        for loss in [1.0, 0.9, 0.895, 0.7, 0.7, 0.7, 0.7, 0.7, 0.69] {
            plateau.add_epoch_loss(SCHEDULE, loss);
            let moment = SchedulePosition { step: 3, total: 9, steps_per_epoch: 1 };
            rates.push(SCHEDULE.rate_multiplier(moment, &plateau));
        }
        // 0.895 is no improvement by a hundredth, and 0.69 is one that comes after two drops.
        assert_eq!(rates, [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
        let text = serde_json::to_string(&plateau).unwrap();
        assert_eq!(serde_json::from_str::<Plateau>(&text).unwrap(), plateau);
    }

    #[test]
    fn losses_are_smoothed_before_they_are_compared() {
        let smooth = Schedule::Plateau { factor: 0.5, patience: 1, threshold: 0.0, smoothing: 0.9 };
        let mut plateau = Plateau::default();
        for loss in [1.0, 0.5, 0.9] {
            plateau.add_epoch_loss(smooth, loss);
        }
        assert_eq!(plateau.drop_count(), 0, "0.9 is above 0.5 and pulls the mean down");
        plateau.add_epoch_loss(smooth, 2.0);
        assert_eq!(plateau.drop_count(), 1);
    }

    #[test]
    fn other_schedules_remember_nothing() {
        let mut plateau = Plateau::default();
        plateau.add_epoch_loss(Schedule::Constant, 1.0);
        assert_eq!(plateau, Plateau::default());
    }
}
