//! Metrics of the trainer: clocks of this process, and gauges. Nothing here decides anything.

use std::time::Instant;

use smart_default::SmartDefault;

use crate::base::{format_duration, format_step_time};
use crate::run_folder::{EpochEvent, Event, StepRecord};
use crate::telemetry::catalog;
use crate::train::epoch_figures::EpochFigures;
use crate::train::{BestEpoch, EpochSums};

/// Step rate, epoch time and utilization of one process.
#[derive(Default)]
pub(super) struct StepMetrics {
    pace: StepRate,
    epoch: EpochFigures,
    clock: StepClock,
    measured: Option<UtilizationWindow>,
}

impl StepMetrics {
    /// Restarts the clocks after a pause that was not training.
    pub(super) fn resume_clocks(&mut self) {
        if self.measured.is_some() {
            self.measured = Some(UtilizationWindow::start_now());
        }
        self.clock = StepClock::default();
    }

    /// Records a completed step of `total`, and its time in the sums of its epoch.
    pub(super) fn record_step(&mut self, record: &StepRecord, total: u64, sums: &mut EpochSums) {
        publish_step(record);
        if let Some(seconds) = self.pace.time_left(record.step, total) {
            catalog::TRAIN_ETA.with_labels([]).set(seconds);
        }
        let seconds = self.clock.take_seconds();
        sums.seconds += seconds;
        sums.starved_seconds += record.starved_seconds;
        self.epoch.add_step(record, seconds);
        match &mut self.measured {
            None => self.measured = Some(UtilizationWindow::start_now()),
            Some(measured) => {
                measured.starved_seconds += record.starved_seconds;
                measured.steps += 1;
            }
        }
    }

    /// Describes the pace for people, once there is one.
    pub(super) fn pace_line(&mut self, step: u64, total: u64) -> Option<String> {
        let seconds = self.pace.time_left(step, total)?;
        let each = format_step_time(seconds / total.saturating_sub(step).max(1) as f64);
        Some(format!(
            "a step takes {each} here; the {} to go take {}",
            total - step,
            format_duration(seconds)
        ))
    }

    /// Describes the epoch that has just ended for people: of a resumed one the part of this process.
    pub(super) fn epoch_line(
        &mut self,
        epoch: u64,
        [epochs, step, total]: [u64; 3],
        best: Option<BestEpoch>,
    ) -> String {
        let left = self.pace.time_left(step, total);
        self.epoch.describe([epoch + 1, epochs], best, left)
    }

    pub(super) fn close_epoch(&mut self, epoch: u64, sums: EpochSums) -> Event {
        self.epoch = EpochFigures::default();
        if let Some(measured) = self.measured.replace(UtilizationWindow::start_now()) {
            measured.publish();
        }
        catalog::TRAIN_EPOCH.with_labels([]).set((epoch + 1) as f64);
        Event::Epoch(EpochEvent {
            epoch,
            loss: (sums.steps > 0).then(|| sums.loss / sums.steps as f64),
            seconds: sums.seconds,
            starved_seconds: sums.starved_seconds,
        })
    }
}

fn publish_step(record: &StepRecord) {
    catalog::TRAIN_STEP.with_labels([]).set(record.step as f64);
    catalog::TRAIN_LEARNING_RATE.with_labels([]).set(record.learning_rate);
    catalog::TRAIN_GRADIENT_NORM.with_labels([]).set(record.gradient_norm);
    catalog::TRAIN_SAMPLES.with_labels([]).increment(record.samples.len() as u64);
    catalog::TRAIN_STEP_TIME.with_labels([]).record(record.seconds);
    for (part, value) in record.loss_parts() {
        catalog::TRAIN_LOSS.with_labels(["train", part]).set(value);
    }
    for (region, value) in &record.soft_dice {
        catalog::TRAIN_SOFT_DICE.with_labels([region]).set(*value);
    }
}

/// Rate of completed steps. The first one only starts the clock: it includes initialisation.
#[derive(Default)]
struct StepRate(Option<(u64, Instant)>);

impl StepRate {
    /// Seconds until `total` steps are completed; `None` as long as there is no rate.
    fn time_left(&mut self, step: u64, total: u64) -> Option<f64> {
        let (first, since) = *self.0.get_or_insert_with(|| (step, Instant::now()));
        let settled = step - first;
        let rate = since.elapsed().as_secs_f64() / settled as f64;
        (settled > 0).then(|| rate * (total - step) as f64)
    }
}

/// Clock of the steps: each has the time since the one before it, or since training went on.
#[derive(SmartDefault)]
struct StepClock(#[default(Instant::now())] Instant);

impl StepClock {
    fn take_seconds(&mut self) -> f64 {
        let now = Instant::now();
        (now - std::mem::replace(&mut self.0, now)).as_secs_f64()
    }
}

/// Part of an epoch that utilization is measured over: without the first step of the process.
struct UtilizationWindow {
    since: Instant,
    starved_seconds: f64,
    steps: u64,
}

impl UtilizationWindow {
    fn start_now() -> Self {
        Self { since: Instant::now(), starved_seconds: 0.0, steps: 0 }
    }

    fn publish(&self) {
        let wall = self.since.elapsed().as_secs_f64();
        if self.steps > 0 {
            let utilization = (1.0 - self.starved_seconds / wall).max(0.0);
            catalog::TRAIN_UTILIZATION.with_labels([]).set(utilization);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_told_from_the_second_step_on() {
        let mut pace = StepRate::default();
        assert_eq!(pace.time_left(101, 110), None);
        assert!(pace.time_left(105, 110).is_some_and(|seconds| seconds > 0.0));
        assert_eq!(pace.time_left(110, 110), Some(0.0));
    }

    #[test]
    fn the_mean_of_an_epoch_without_a_sound_step_is_not_told() {
        let mut step_metrics = StepMetrics::default();
        let loss = |event| match event {
            Event::Epoch(EpochEvent { loss, .. }) => loss,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            loss(
                step_metrics
                    .close_epoch(0, EpochSums { loss: 3.0, steps: 2, ..EpochSums::default() })
            ),
            Some(1.5)
        );
        assert_eq!(loss(step_metrics.close_epoch(1, EpochSums::default())), None);
    }
}
