//! The training loop, in one screen. It knows no architecture, no file of a case, no thread.

use std::time::{Duration, Instant};

use burn::tensor::{Tensor, TensorData, Transaction};
use serde::{Deserialize, Serialize};

use crate::actor::stop::{StopLatch, StopState};
use crate::base::error::Fault;
use crate::base::progress::Task;
use crate::base::seed::SampleKey;
use crate::nets::Learner;
use crate::telemetry::catalog;
use crate::train::feed::{BatchFeed, DeviceBatch};
use crate::train::journal::{Event, Journal, StepRecord};
use crate::train::loss::{LossConfig, LossParts, region_targets};
use crate::train::schedule::Schedule;

/// How long to train, and how fast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainerConfig {
    /// Epochs.
    pub epochs: u64,
    /// Steps in an epoch; 0 for as many as visit every case's patches once.
    pub steps_per_epoch: u64,
    /// Initial learning rate.
    pub learning_rate: f64,
    /// How it falls.
    pub schedule: Schedule,
}

impl Default for TrainerConfig {
    /// Nalwade and Kisa, for the U-Net: 280 epochs of one patch a case, 2e-4.
    fn default() -> Self {
        Self { epochs: 280, steps_per_epoch: 0, learning_rate: 2e-4, schedule: Schedule::default() }
    }
}

impl TrainerConfig {
    /// What cannot be, or nothing.
    pub fn problem(&self) -> Option<String> {
        if self.epochs == 0 {
            return Some("epochs = 0 trains nothing; write at least 1".into());
        }
        let usable = self.learning_rate.is_finite() && self.learning_rate > 0.0;
        (!usable).then(|| format!("learning_rate = {} must be above 0", self.learning_rate))
    }

    /// Steps in an epoch over `samples` samples in batches of `batch`.
    pub fn epoch_steps(&self, samples: u64, batch: usize) -> u64 {
        match self.steps_per_epoch {
            0 => samples.div_ceil(batch as u64).max(1),
            steps => steps,
        }
    }
}

/// Where a run stands when the loop ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progressed {
    /// Steps done.
    pub step: u64,
    /// Number of the next batch.
    pub next_batch: u64,
    /// Position in the plan of the next sample.
    pub next_sample: u64,
    /// Whether every planned step was done.
    pub finished: bool,
}

/// A network, its loss, and where its steps are written down.
pub struct Trainer<'a> {
    /// The network in training.
    pub learner: &'a mut dyn Learner,
    /// What is minimised.
    pub loss: &'a LossConfig,
    /// How long and how fast.
    pub config: &'a TrainerConfig,
    /// Steps in an epoch, resolved.
    pub steps_per_epoch: u64,
    /// Where steps are written down.
    pub journal: &'a Journal,
    /// Told of every settled step.
    pub progress: &'a dyn Task,
    /// Ends the loop after the step under way.
    pub stop: &'a StopLatch,
}

/// A step whose figures are still on the device.
struct Pending {
    figures: Transaction,
    record: StepRecord,
    started: Instant,
}

impl Trainer<'_> {
    /// Steps planned in all.
    pub const fn total_steps(&self) -> u64 {
        self.config.epochs * self.steps_per_epoch
    }

    /// Trains from `from` until the planned steps are done, the feed ends, or a stop is asked for.
    ///
    /// The loss of a step is read only after the next batch is on its way, so the device never
    /// waits for the host.
    ///
    /// # Errors
    /// If a loss is not finite, or the journal cannot be written.
    pub fn run(&mut self, feed: &mut BatchFeed, from: Progressed) -> Result<Progressed, Fault> {
        let total = self.total_steps();
        let mut at = Progressed { finished: from.step >= total, ..from };
        let mut books = Books::default();
        let mut unsettled: Option<Pending> = None;
        let mut next = if at.finished { None } else { feed.take() };
        while let Some(batch) = next {
            (at.next_batch, at.next_sample) = (batch.number + 1, batch.next_sample);
            let pending = self.step(batch, at.step);
            at.step += 1;
            at.finished = at.step >= total;
            let go_on = !at.finished && self.stop.state() == StopState::Running;
            next = if go_on { feed.take() } else { None };
            if let Some(earlier) = unsettled.replace(pending) {
                self.settle(earlier, &mut books)?;
            }
        }
        if let Some(last) = unsettled {
            self.settle(last, &mut books)?;
        }
        Ok(at)
    }

    /// Enqueues one optimiser step and returns without waiting for it.
    fn step(&mut self, batch: DeviceBatch, step: u64) -> Pending {
        let started = Instant::now();
        let total = self.total_steps();
        let multiplier = self.config.schedule.multiplier(step, total, self.steps_per_epoch);
        let learning_rate = self.config.learning_rate * multiplier;
        let output = self.learner.forward(batch.images, step);
        let parts = self.loss.of(output, region_targets(batch.labels));
        let LossParts { total, dice, bce, .. } = parts;
        let figure = |tensor: &Tensor<1>| tensor.clone().without_autodiff();
        let figures = Transaction::default()
            .register(figure(&total))
            .register(figure(&dice))
            .register(figure(&bce));
        let update = self.learner.update(total, learning_rate);
        let figures = figures.register(update.gradient_norm);
        let record = StepRecord {
            step: step + 1,
            epoch: step / self.steps_per_epoch,
            loss: f64::NAN,
            dice_loss: f64::NAN,
            bce: f64::NAN,
            gradient_norm: f64::NAN,
            learning_rate,
            seconds: 0.0,
            starved_seconds: batch.starved.as_secs_f64(),
            samples: batch.keys,
        };
        Pending { figures, record, started }
    }

    /// Reads a step's figures, writes them down, closes the epoch if it was its last.
    fn settle(&self, pending: Pending, books: &mut Books) -> Result<(), Fault> {
        let Pending { figures, mut record, started } = pending;
        let figures = figures.try_execute().map_err(|error| Fault::Environment {
            subject: format!("step {}", record.step),
            problem: format!("the device failed: {error}"),
            remedy: "see the log; less memory is used with a smaller loader.batch".into(),
        })?;
        let values: Vec<f64> = figures.into_iter().map(scalar).collect();
        [record.loss, record.dice_loss, record.bce, record.gradient_norm] =
            values.try_into().expect("four figures were registered");
        record.seconds = started.elapsed().as_secs_f64();
        if !record.loss.is_finite() {
            catalog::TRAIN_NONFINITE_STEPS.with([]).increment(1);
            return Err(not_finite(&record));
        }
        publish(&record);
        catalog::TRAIN_EPOCH.with([]).set((record.step / self.steps_per_epoch) as f64);
        if let Some(seconds) = books.pace.time_left(record.step, self.total_steps()) {
            catalog::TRAIN_ETA.with([]).set(seconds);
        }
        self.journal.write(&Event::Step(record.clone()))?;
        self.progress.advance_to(record.step, &format!("loss {:.4}", record.loss));
        books.epoch.add(&record);
        if record.step.is_multiple_of(self.steps_per_epoch) {
            self.journal.write(&books.epoch.close(record.epoch))?;
        }
        Ok(())
    }
}

fn scalar(data: TensorData) -> f64 {
    data.iter::<f64>().next().unwrap_or(f64::NAN)
}

fn not_finite(record: &StepRecord) -> Fault {
    let keys: Vec<String> = record
        .samples
        .iter()
        .map(|SampleKey { epoch, index, .. }| format!("epoch {epoch} index {index}"))
        .collect();
    Fault::Environment {
        subject: format!("step {}", record.step),
        problem: format!("the loss is {} on the samples {}", record.loss, keys.join(", ")),
        remedy: "lower train.learning_rate, or look at these samples".into(),
    }
}

/// A step's figures onto the endpoint.
fn publish(record: &StepRecord) {
    catalog::TRAIN_STEP.with([]).set(record.step as f64);
    catalog::TRAIN_LEARNING_RATE.with([]).set(record.learning_rate);
    catalog::TRAIN_GRADIENT_NORM.with([]).set(record.gradient_norm);
    catalog::TRAIN_SAMPLES.with([]).increment(record.samples.len() as u64);
    catalog::TRAIN_STEP_TIME.with([]).record(record.seconds);
    let starved = Duration::from_secs_f64(record.starved_seconds);
    catalog::TRAIN_STARVED.with([]).add(starved);
    for (part, value) in [("total", record.loss), ("dice", record.dice_loss), ("bce", record.bce)] {
        catalog::TRAIN_LOSS.with(["train", part]).set(value);
    }
}

/// What is kept between steps.
#[derive(Default)]
struct Books {
    epoch: EpochSums,
    pace: Pace,
}

/// How fast steps settle. The first one only starts the clock: it pays for what is made once.
#[derive(Default)]
struct Pace(Option<(u64, Instant)>);

impl Pace {
    /// Seconds until `total` steps are settled; `None` as long as there is no rate to tell from.
    fn time_left(&mut self, step: u64, total: u64) -> Option<f64> {
        let (first, since) = *self.0.get_or_insert_with(|| (step, Instant::now()));
        let settled = step - first;
        let rate = since.elapsed().as_secs_f64() / settled as f64;
        (settled > 0).then(|| rate * (total - step) as f64)
    }
}

/// Sums over the epoch under way.
struct EpochSums {
    started: Instant,
    loss: f64,
    starved_seconds: f64,
    steps: u64,
    measured: Option<Measured>,
}

/// The part of an epoch that utilization is measured over: without the first step of the process.
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

impl Default for EpochSums {
    fn default() -> Self {
        let started = Instant::now();
        Self { started, loss: 0.0, starved_seconds: 0.0, steps: 0, measured: None }
    }
}

impl EpochSums {
    fn add(&mut self, record: &StepRecord) {
        self.loss += record.loss;
        self.starved_seconds += record.starved_seconds;
        self.steps += 1;
        match &mut self.measured {
            None => self.measured = Some(Measured::starting()),
            Some(measured) => {
                measured.starved_seconds += record.starved_seconds;
                measured.steps += 1;
            }
        }
    }

    fn close(&mut self, epoch: u64) -> Event {
        let next = Self { measured: Some(Measured::starting()), ..Self::default() };
        let sums = std::mem::replace(self, next);
        if let Some(measured) = &sums.measured {
            measured.publish();
        }
        Event::Epoch {
            epoch,
            loss: sums.loss / sums.steps as f64,
            seconds: sums.started.elapsed().as_secs_f64(),
            starved_seconds: sums.starved_seconds,
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
}
