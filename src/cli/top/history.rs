//! Losses and Dice of a run, in the order of the steps and evaluations.

use crate::telemetry::Scrape;

/// Most losses that are kept: beyond that every second one is dropped. No terminal is that wide.
const MOST: usize = 8192;

/// Losses and Dice over a run.
#[derive(Debug, Clone, Default)]
pub(super) struct TrainingHistory {
    /// Step and total loss, ascending in the step.
    losses: Vec<(u64, f64)>,
    /// Dice by region, one entry an evaluation.
    dice: Vec<Vec<(String, f64)>>,
}

impl TrainingHistory {
    /// Adds a step's loss. A resumed run repeats steps: the later value replaces the earlier ones.
    pub(super) fn add_loss(&mut self, step: u64, loss: f64) {
        if !loss.is_finite() {
            return;
        }
        while self.losses.last().is_some_and(|(last, _)| *last >= step) {
            self.losses.pop();
        }
        self.losses.push((step, loss));
        if self.losses.len() > MOST {
            let mut number = 0;
            self.losses.retain(|_| {
                number += 1;
                number % 2 == 0
            });
        }
    }

    /// Adds the Dice of an evaluation, unless it equals the last.
    pub(super) fn add_dice(&mut self, dice: Vec<(String, f64)>) {
        if !dice.is_empty() && self.dice.last() != Some(&dice) {
            self.dice.push(dice);
        }
    }

    /// Adds the loss and the Dice of a scrape.
    pub(super) fn add_scrape(&mut self, scrape: &Scrape) {
        let total = [("split", "train"), ("part", "total")];
        let step = scrape.first_value("train_step", &[]);
        let loss = scrape.first_value("train_loss", &total);
        if let (Some(step), Some(loss)) = (step, loss) {
            self.add_loss(step as u64, loss);
        }
        let by_region = scrape.values_by_label("train_dice_ratio", "region");
        self.add_dice(by_region.into_iter().map(|(name, dice)| (name.to_owned(), dice)).collect());
    }

    pub(super) fn losses(&self) -> Vec<f64> {
        self.losses.iter().map(|(_, loss)| *loss).collect()
    }

    /// Each region of the last evaluation, with all its scores.
    pub(super) fn dice_by_region(&self) -> Vec<(String, Vec<f64>)> {
        let last = self.dice.last().into_iter().flatten();
        last.map(|(region, _)| (region.clone(), self.of_region(region))).collect()
    }

    fn of_region(&self, region: &str) -> Vec<f64> {
        let all = self.dice.iter().flatten();
        all.filter(|(name, _)| name == region).map(|(_, dice)| *dice).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_told_again_replaces_what_came_after_it() {
        let mut history = TrainingHistory::default();
        for (step, loss) in [(1, 3.0), (2, f64::NAN), (3, 2.0), (4, 1.5), (4, 1.5), (3, 2.5)] {
            history.add_loss(step, loss);
        }
        assert_eq!(history.losses(), [3.0, 2.5]);
        assert_eq!(history.losses.last().unwrap().0, 3);
    }

    #[test]
    fn a_long_history_is_thinned_and_keeps_its_end() {
        let mut history = TrainingHistory::default();
        for step in 0..=MOST as u64 {
            history.add_loss(step, step as f64);
        }
        assert_eq!(history.losses().len(), MOST / 2);
        assert!(history.losses.last().unwrap().0 >= MOST as u64 - 1);
    }

    #[test]
    fn scores_count_once_an_evaluation_and_show_by_region() {
        let mut history = TrainingHistory::default();
        let scrape = |et: f64, wt: f64| {
            let text = format!(
                "train_dice_ratio{{region=\"ET\"}} {et}\ntrain_dice_ratio{{region=\"WT\"}} {wt}\n"
            );
            Scrape::parse(&text).unwrap()
        };
        assert!(history.dice_by_region().is_empty());
        for seen in [scrape(0.1, 0.5), scrape(0.1, 0.5), scrape(0.2, 0.5)] {
            history.add_scrape(&seen);
        }
        assert_eq!(
            history.dice_by_region(),
            [("ET".into(), vec![0.1, 0.2]), ("WT".into(), vec![0.5, 0.5])]
        );
    }
}
