//! Training progress between two steps: all that a resumed run has to know besides weights,
//! configuration and cases.

use serde::{Deserialize, Serialize};

use crate::base::Fingerprint;
use crate::run_folder::JournalPosition;
use crate::train::{Plateau, lossless_f64};

/// Progress of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingProgress {
    /// Optimiser steps done, including skipped ones.
    pub step: u64,
    /// Number of the next batch, which keys the network's random draws.
    pub next_batch: u64,
    /// Position in the plan of the next sample.
    pub next_sample: u64,
    /// Steps that were not finite and changed nothing.
    #[serde(rename = "unsound_steps")]
    pub non_finite_steps: u64,
    /// Sums of the current epoch.
    pub epoch: EpochSums,
    /// State of the plateau schedule.
    pub plateau: Plateau,
    /// Epochs done at the last validation.
    pub validated_epochs: u64,
    /// Validation with the best Dice.
    pub best: Option<BestEpoch>,
}

/// Sums over the finite steps of the current epoch, and its time over all processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochSums {
    /// Sum of total losses.
    #[serde(with = "lossless_f64")]
    pub loss: f64,
    /// Number of steps.
    pub steps: u64,
    /// Wall seconds of its steps; 0 so far in checkpoints of early versions.
    #[serde(default)]
    pub seconds: f64,
    /// Seconds of these without a batch.
    #[serde(default)]
    pub starved_seconds: f64,
}

/// Validation of a run with the best Dice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BestEpoch {
    /// Mean Dice over regions and cases.
    #[serde(with = "lossless_f64")]
    pub dice: f64,
    /// Epochs done.
    pub epoch: u64,
    /// Steps done.
    pub step: u64,
}

/// Training state of a checkpoint: `state.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingState {
    /// The architecture's registered name.
    pub model: String,
    /// Fingerprint of the resolved configuration.
    pub config: Fingerprint,
    /// Epochs planned, which a resumed run may change; 0 in checkpoints of early versions.
    #[serde(default)]
    pub planned_epochs: u64,
    /// Length of the journal.
    pub journal: JournalPosition,
    /// Progress of the run.
    #[serde(rename = "standing")]
    pub progress: TrainingProgress,
}

impl TrainingProgress {
    /// Records a validation after `epoch` epochs; returns true if it is the best so far.
    pub fn record_validation(&mut self, epoch: u64, dice: f64) -> bool {
        self.validated_epochs = epoch;
        let better = self.best.is_none_or(|best| dice > best.dice);
        if better {
            self.best = Some(BestEpoch { dice, epoch, step: self.step });
        }
        better
    }

    /// Returns true if `patience` epochs have been validated since the best; 0 waits for ever.
    pub fn out_of_patience(&self, patience: u64) -> bool {
        let waited = self.best.map_or(0, |best| self.validated_epochs - best.epoch);
        patience > 0 && waited >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_counted_from_the_best_in_epochs() {
        let mut at = TrainingProgress { step: 10, ..TrainingProgress::default() };
        assert!(!at.out_of_patience(1));
        assert!(at.record_validation(2, 0.5));
        assert!(!at.record_validation(4, 0.5), "as good is not better");
        assert!(!at.out_of_patience(4));
        assert!(!at.record_validation(6, 0.1));
        assert!(at.out_of_patience(4) && !at.out_of_patience(0));
        assert_eq!(at.best, Some(BestEpoch { dice: 0.5, epoch: 2, step: 10 }));
        at.step = 30;
        assert!(at.record_validation(8, 0.6) && !at.out_of_patience(4));
        assert_eq!(at.best.unwrap().step, 30);
    }

    #[test]
    fn a_standing_comes_back_bit_for_bit() {
        let mut at = TrainingProgress { step: 3, next_sample: 8, ..TrainingProgress::default() };
        at.epoch = EpochSums { loss: 0.1 + 0.2, steps: 3, seconds: 1.5, starved_seconds: 0.25 };
        at.record_validation(1, 1.0 / 3.0);
        let text = serde_json::to_string(&at).unwrap();
        assert_eq!(serde_json::from_str::<TrainingProgress>(&text).unwrap(), at);
    }
}
