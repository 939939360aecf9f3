//! Figures of an epoch for people: the line that a log has of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::base::{format_digits, format_duration, format_percent};
use crate::run_folder::StepRecord;
use crate::train::BestEpoch;

/// Sums over the steps of an epoch that this process took.
#[derive(Debug, Default)]
pub(super) struct EpochFigures {
    finite: u64,
    loss: f64,
    soft_dice: BTreeMap<String, f64>,
    samples: u64,
    learning_rate: f64,
    seconds: f64,
    starved_seconds: f64,
}

impl EpochFigures {
    /// Adds a step that took `seconds` of wall time.
    pub(super) fn add_step(&mut self, record: &StepRecord, seconds: f64) {
        self.samples += record.samples.len() as u64;
        self.learning_rate = record.learning_rate;
        self.seconds += seconds;
        self.starved_seconds += record.starved_seconds;
        if record.is_finite() {
            self.finite += 1;
            self.loss += record.loss;
            for (region, dice) in &record.soft_dice {
                *self.soft_dice.entry(region.clone()).or_default() += dice;
            }
        }
    }

    /// Describes the epoch `done` of `epochs`, with the best validation so far and the seconds left.
    pub(super) fn describe(
        &self,
        [done, epochs]: [u64; 2],
        best: Option<BestEpoch>,
        left: Option<f64>,
    ) -> String {
        let steps = self.finite as f64;
        let wall = self.seconds.max(f64::MIN_POSITIVE);
        let mut line = format!("epoch {done}/{epochs}: loss {:.4}", self.loss / steps);
        if !self.soft_dice.is_empty() {
            line += ", soft Dice";
        }
        let mut add = |part: std::fmt::Arguments<'_>| {
            line.write_fmt(part).expect("writing to a string cannot fail");
        };
        for (region, sum) in &self.soft_dice {
            add(format_args!(" {region} {:.3}", sum / steps));
        }
        add(format_args!(", learning rate {:.2e}", self.learning_rate));
        add(format_args!(", {} samples/s", format_digits(self.samples as f64 / wall)));
        add(format_args!(", waited {}", format_percent((self.starved_seconds / wall).min(1.0))));
        if let Some(best) = best {
            add(format_args!(", best Dice {:.4} (epoch {})", best.dice, best.epoch));
        }
        if let Some(left) = left {
            add(format_args!(", {} left", format_duration(left)));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SampleKey;

    #[test]
    fn an_epoch_is_a_line_with_all_that_people_ask_for() {
        let mut figures = EpochFigures::default();
        for loss in [1.0, 0.5, f64::NAN] {
            let record = StepRecord {
                loss,
                soft_dice: [("core".to_owned(), loss), ("whole".to_owned(), 0.75)].into(),
                gradient_norm: 1.0,
                learning_rate: 2e-4,
                starved_seconds: 0.5,
                samples: vec![SampleKey { seed: 0, epoch: 0, index: 0 }; 2],
                ..StepRecord::default()
            };
            figures.add_step(&record, 2.0);
        }
        let best = BestEpoch { dice: 0.71239, epoch: 2, step: 4 };
        assert_eq!(
            figures.describe([3, 280], Some(best), Some(3600.0)),
            "epoch 3/280: loss 0.7500, soft Dice core 0.750 whole 0.750, learning rate 2.00e-4, \
             1.00 samples/s, waited 25 %, best Dice 0.7124 (epoch 2), 1 h 0 min left"
        );
        let bare = EpochFigures { finite: 1, loss: 2.0, seconds: 0.01, samples: 3, ..figures };
        assert!(bare.describe([1, 1], None, None).contains(", 300 samples/s"));
    }
}
