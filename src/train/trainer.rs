//! Training loop. It knows no architecture, no file of a case, no thread.

use std::thread;
use std::time::{Duration, Instant};

use burn::tensor::{Tensor, TensorData, Transaction};

use crate::actor::stop::{StopLatch, StopState};
use crate::base::error::Fault;
use crate::base::progress::Task;
use crate::nets::Learner;
use crate::telemetry::catalog;
use crate::train::event::{Event, StepRecord};
use crate::train::feed::BatchFeed;
use crate::train::journal::Journal;
use crate::train::loss::{LossConfig, LossParts};
use crate::train::non_finite;
use crate::train::schedule::Moment;
use crate::train::settings::TrainerConfig;
use crate::train::skips::Skips;
use crate::train::step_metrics::Books;
use crate::train::training_progress::Standing;

/// Interval at which an artificially slow step checks whether the run is to stop.
const DAWDLE: Duration = Duration::from_millis(20);

/// Context of the training loop: settings, journal, progress and stop.
pub struct Workplace<'a> {
    /// Loss settings.
    pub loss: &'a LossConfig,
    /// Trainer settings.
    pub config: &'a TrainerConfig,
    /// Number of steps in an epoch.
    pub steps_per_epoch: u64,
    /// Journal of the run.
    pub journal: &'a Journal,
    /// Samples that the loader skipped.
    pub skips: Skips,
    /// Progress display, updated at every completed step.
    pub progress: &'a dyn Task,
    /// Latch that ends the loop after the current step.
    pub stop: &'a StopLatch,
    /// Artificial delay of each step, in a drill.
    pub slow_step: Duration,
}

/// Training loop of one process.
pub struct Trainer<'a> {
    at: Workplace<'a>,
    books: Books,
}

/// Step whose metrics are still on the device.
struct Pending {
    figures: Figures,
    record: StepRecord,
    next_batch: u64,
    next_sample: u64,
    started: Instant,
}

impl<'a> Trainer<'a> {
    /// Creates a training loop.
    pub fn new(trainer_context: Workplace<'a>) -> Self {
        Self { at: trainer_context, books: Books::default() }
    }

    /// Number of steps planned.
    pub const fn total_steps(&self) -> u64 {
        self.at.config.epochs * self.at.steps_per_epoch
    }

    /// Trains until `until` steps are done, the feed ends, or a stop is requested. Every step is
    /// settled when this returns. `until` lies no further than the end of the epoch: the rate of
    /// the next one may depend on it.
    ///
    /// A step's loss is read only after the next step has been enqueued, so the device never waits
    /// for the host. A step for which the feed ends between its batches is not taken; the progress
    /// is ahead of it, so a resumed run takes it whole.
    ///
    /// # Errors
    /// If a step is not finite and the run must not go on, or the journal cannot be written.
    pub fn run(
        &mut self,
        learner: &mut dyn Learner,
        feed: &mut BatchFeed,
        progress: &mut Standing,
        until: u64,
    ) -> Result<(), Fault> {
        self.books.reopen();
        let mut enqueued = progress.step;
        let mut unsettled: Option<Pending> = None;
        while enqueued < until && self.at.stop.state() == StopState::Running {
            let Some(pending) = self.step(learner, feed, progress, enqueued) else { break };
            enqueued += 1;
            self.dawdle();
            if let Some(earlier) = unsettled.replace(pending) {
                self.settle(earlier, progress)?;
            }
        }
        match unsettled {
            Some(last) => self.settle(last, progress),
            None => Ok(()),
        }
    }

    /// Enqueues the step after `done` steps and returns without waiting for it; `None` if the feed
    /// ends.
    fn step(
        &self,
        learner: &mut dyn Learner,
        feed: &mut BatchFeed,
        progress: &Standing,
        done: u64,
    ) -> Option<Pending> {
        let config = self.at.config;
        let steps_per_epoch = self.at.steps_per_epoch;
        let moment = Moment { step: done, total: self.total_steps(), steps_per_epoch };
        let learning_rate = config.rate(moment, &progress.plateau);
        let mut record = StepRecord::planned(done, done / steps_per_epoch, learning_rate);
        let mut sums: Option<Sums> = None;
        let mut next_batch = 0;
        let mut next_sample = 0;
        let mut started = Instant::now();
        for _ in 0..config.accumulate {
            let batch = feed.take()?;
            if sums.is_none() {
                started = Instant::now();
            }
            (next_batch, next_sample) = (batch.number + 1, batch.next_sample);
            let output = learner.forward(batch.images, batch.number);
            let parts = self.at.loss.of(output, batch.truth.regions());
            sums = Some(Sums::add(sums, &parts));
            learner.gather(parts.total);
            record.starved_seconds += batch.starved.as_secs_f64();
            record.samples.extend(batch.keys);
            record.cases.extend(batch.cases);
        }
        let update = learner.step(learning_rate);
        let figures = sums?.mean(config.accumulate, update.gradient_norm);
        Some(Pending { figures, record, next_batch, next_sample, started })
    }

    /// Delays a step as a drill asks, until a stop is requested.
    fn dawdle(&self) {
        let until = Instant::now() + self.at.slow_step;
        while self.at.stop.state() == StopState::Running {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(DAWDLE));
        }
    }

    /// Reads a step's metrics and journals them; closes the epoch after its last step.
    fn settle(&mut self, pending: Pending, progress: &mut Standing) -> Result<(), Fault> {
        let Pending { figures, mut record, next_batch, next_sample, started } = pending;
        figures.read_into(&mut record)?;
        record.seconds = started.elapsed().as_secs_f64();
        for skipped in self.at.skips.ahead_of(next_sample) {
            self.at.journal.write(&skipped)?;
        }
        (progress.step, progress.next_batch, progress.next_sample) =
            (record.step, next_batch, next_sample);
        if record.is_sound() {
            progress.epoch.loss += record.loss;
            progress.epoch.steps += 1;
            self.at.journal.write(&Event::Step(record.clone()))?;
        } else {
            progress.unsound_steps += 1;
            catalog::TRAIN_NONFINITE_STEPS.with([]).increment(1);
            self.at.journal.write(&Event::NotFinite(record.clone()))?;
            let folder = self.at.journal.folder();
            non_finite::judge(self.at.config, progress.unsound_steps, &record, &folder)?;
        }
        self.books.add(&record, self.total_steps());
        self.at.progress.advance_to(record.step, &format!("loss {:.4}", record.loss));
        if record.step.is_multiple_of(self.at.steps_per_epoch) {
            self.close_epoch(record.epoch, progress)?;
        }
        Ok(())
    }

    fn close_epoch(&mut self, epoch: u64, progress: &mut Standing) -> Result<(), Fault> {
        let sums = std::mem::take(&mut progress.epoch);
        if sums.steps > 0 {
            let loss = sums.loss / sums.steps as f64;
            progress.plateau.see(self.at.config.schedule, loss);
        }
        self.at.journal.write(&self.books.close(epoch, sums))
    }
}

/// Metrics summed over the batches of a step, on the device, `[1]` each.
struct Sums {
    total: Tensor<1>,
    dice: Tensor<1>,
    bce: Tensor<1>,
    penalties: Vec<(&'static str, Tensor<1>)>,
}

impl Sums {
    fn add(before: Option<Self>, parts: &LossParts) -> Self {
        let value = |tensor: &Tensor<1>| tensor.clone().without_autodiff();
        let batch = Self {
            total: value(&parts.total),
            dice: value(&parts.dice),
            bce: value(&parts.bce),
            penalties: parts.penalties.iter().map(|(name, term)| (*name, value(term))).collect(),
        };
        let Some(before) = before else { return batch };
        let penalties = before.penalties.into_iter().zip(batch.penalties);
        Self {
            total: before.total + batch.total,
            dice: before.dice + batch.dice,
            bce: before.bce + batch.bce,
            penalties: penalties.map(|((name, a), (_, b))| (name, a + b)).collect(),
        }
    }

    /// Starts the read-back of the means over `batches`.
    fn mean(self, batches: u64, gradient_norm: Tensor<1>) -> Figures {
        let mean = |sum: Tensor<1>| if batches == 1 { sum } else { sum / batches as f64 };
        let (names, aux_losses): (Vec<&'static str>, Vec<Tensor<1>>) =
            self.penalties.into_iter().unzip();
        let means = [self.total, self.dice, self.bce].map(mean).into_iter();
        let aux_losses = aux_losses.into_iter().map(mean);
        let values = means.chain([gradient_norm]).chain(aux_losses);
        let transaction = values.fold(Transaction::default(), Transaction::register);
        Figures { transaction, penalties: names }
    }
}

/// Metrics of a step in read-back: loss, Dice, cross-entropy, gradient norm, auxiliary losses.
struct Figures {
    transaction: Transaction,
    penalties: Vec<&'static str>,
}

impl Figures {
    /// Waits for the metrics and writes them into `record`.
    fn read_into(self, record: &mut StepRecord) -> Result<(), Fault> {
        let read = self.transaction.try_execute().map_err(|error| Fault::Environment {
            subject: format!("step {}", record.step),
            problem: format!("the device failed: {error}"),
            remedy: "see the log; less memory is used with a smaller loader.batch".into(),
        })?;
        let mut values = read.into_iter().map(scalar);
        let mut next = || values.next().unwrap_or(f64::NAN);
        [record.loss, record.dice_loss, record.bce, record.gradient_norm] =
            [next(), next(), next(), next()];
        record.penalties = self.penalties.into_iter().zip(values).collect();
        Ok(())
    }
}

fn scalar(data: TensorData) -> f64 {
    data.iter::<f64>().next().unwrap_or(f64::NAN)
}
