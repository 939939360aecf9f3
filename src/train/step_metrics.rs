//! Metrics of the trainer: clocks of this process, and gauges. Nothing here decides anything.

use std::time::Instant;

use crate::telemetry::catalog;
use crate::train::event::{Event, StepRecord};
use crate::train::training_progress::EpochSums;

/// Step rate, epoch time and utilization of one process.
#[derive(Default)]
pub(super) struct Books {
    pace: Pace,
    epoch: EpochClock,
    measured: Option<Measured>,
}

impl Books {
    /// Restarts the clocks after a pause that was not training.
    pub(super) fn reopen(&mut self) {
        if self.measured.is_some() {
            self.measured = Some(Measured::starting());
        }
        self.epoch.resumed = Instant::now();
    }

    /// Records a completed step of `total`.
    pub(super) fn add(&mut self, record: &StepRecord, total: u64) {
        publish(record);
        if let Some(seconds) = self.pace.time_left(record.step, total) {
            catalog::TRAIN_ETA.with([]).set(seconds);
        }
        self.epoch.starved_seconds += record.starved_seconds;
        match &mut self.measured {
            None => self.measured = Some(Measured::starting()),
            Some(measured) => {
                measured.starved_seconds += record.starved_seconds;
                measured.steps += 1;
            }
        }
    }

    /// Closes an epoch and returns its event.
    pub(super) fn close(&mut self, epoch: u64, sums: EpochSums) -> Event {
        let clock = std::mem::take(&mut self.epoch);
        if let Some(measured) = self.measured.replace(Measured::starting()) {
            measured.publish();
        }
        catalog::TRAIN_EPOCH.with([]).set((epoch + 1) as f64);
        Event::Epoch {
            epoch,
            loss: (sums.steps > 0).then(|| sums.loss / sums.steps as f64),
            seconds: clock.resumed.elapsed().as_secs_f64(),
            starved_seconds: clock.starved_seconds,
        }
    }
}

/// Publishes the metrics of a step.
fn publish(record: &StepRecord) {
    catalog::TRAIN_STEP.with([]).set(record.step as f64);
    catalog::TRAIN_LEARNING_RATE.with([]).set(record.learning_rate);
    catalog::TRAIN_GRADIENT_NORM.with([]).set(record.gradient_norm);
    catalog::TRAIN_SAMPLES.with([]).increment(record.samples.len() as u64);
    catalog::TRAIN_STEP_TIME.with([]).record(record.seconds);
    for (part, value) in [("total", record.loss), ("dice", record.dice_loss), ("bce", record.bce)] {
        catalog::TRAIN_LOSS.with(["train", part]).set(value);
    }
    for (part, value) in &record.penalties {
        catalog::TRAIN_LOSS.with(["train", part]).set(*value);
    }
}

/// Rate of completed steps. The first one only starts the clock: it includes initialisation.
#[derive(Default)]
struct Pace(Option<(u64, Instant)>);

impl Pace {
    /// Seconds until `total` steps are completed; `None` as long as there is no rate.
    fn time_left(&mut self, step: u64, total: u64) -> Option<f64> {
        let (first, since) = *self.0.get_or_insert_with(|| (step, Instant::now()));
        let settled = step - first;
        let rate = since.elapsed().as_secs_f64() / settled as f64;
        (settled > 0).then(|| rate * (total - step) as f64)
    }
}

/// Times of the current epoch.
struct EpochClock {
    resumed: Instant,
    starved_seconds: f64,
}

impl Default for EpochClock {
    fn default() -> Self {
        Self { resumed: Instant::now(), starved_seconds: 0.0 }
    }
}

/// Part of an epoch that utilization is measured over: without the first step of the process.
struct Measured {
    since: Instant,
    starved_seconds: f64,
    steps: u64,
}

impl Measured {
    fn starting() -> Self {
        Self { since: Instant::now(), starved_seconds: 0.0, steps: 0 }
    }

    fn publish(&self) {
        let wall = self.since.elapsed().as_secs_f64();
        if self.steps > 0 {
            let utilization = (1.0 - self.starved_seconds / wall).max(0.0);
            catalog::TRAIN_UTILIZATION.with([]).set(utilization);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_told_from_the_second_step_on() {
        let mut pace = Pace::default();
        assert_eq!(pace.time_left(101, 110), None);
        assert!(pace.time_left(105, 110).is_some_and(|seconds| seconds > 0.0));
        assert_eq!(pace.time_left(110, 110), Some(0.0));
    }

    #[test]
    fn the_mean_of_an_epoch_without_a_sound_step_is_not_told() {
        let mut books = Books::default();
        let loss = |event| match event {
            Event::Epoch { loss, .. } => loss,
            other => panic!("{other:?}"),
        };
        assert_eq!(loss(books.close(0, EpochSums { loss: 3.0, steps: 2 })), Some(1.5));
        assert_eq!(loss(books.close(1, EpochSums::default())), None);
    }
}
