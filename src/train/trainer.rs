//! The training loop, in one screen. It knows no architecture, no file of a case, no thread.

use std::thread;
use std::time::{Duration, Instant};

use burn::tensor::{Tensor, TensorData, Transaction};

use crate::actor::stop::{StopLatch, StopState};
use crate::base::error::Fault;
use crate::base::progress::Task;
use crate::nets::Learner;
use crate::telemetry::{backend_log, catalog};
use crate::train::books::Books;
use crate::train::event::{Event, StepRecord};
use crate::train::feed::BatchFeed;
use crate::train::journal::Journal;
use crate::train::loss::{LossConfig, LossParts};
use crate::train::schedule::Moment;
use crate::train::settings::TrainerConfig;
use crate::train::skips::Skips;
use crate::train::standing::Standing;
use crate::train::unsound;

/// How often a step that is slow on purpose looks whether the run is to stop.
const DAWDLE: Duration = Duration::from_millis(20);

/// Where steps are taken and written down.
pub struct Workplace<'a> {
    /// What is minimised.
    pub loss: &'a LossConfig,
    /// How long and how fast.
    pub config: &'a TrainerConfig,
    /// Steps in an epoch, resolved.
    pub steps_per_epoch: u64,
    /// Where steps are written down.
    pub journal: &'a Journal,
    /// Samples that the loader left out.
    pub skips: Skips,
    /// Told of every settled step.
    pub progress: &'a dyn Task,
    /// Ends the loop after the step under way.
    pub stop: &'a StopLatch,
    /// How much longer each step takes on purpose, in a drill.
    pub slow_step: Duration,
}

/// The training loop of one process.
pub struct Trainer<'a> {
    at: Workplace<'a>,
    books: Books,
}

/// A step whose figures are still on the device.
struct Pending {
    figures: Figures,
    record: StepRecord,
    next_batch: u64,
    next_sample: u64,
    started: Instant,
}

impl<'a> Trainer<'a> {
    /// A loop at its workplace.
    pub fn new(at: Workplace<'a>) -> Self {
        Self { at, books: Books::default() }
    }

    /// Steps planned in all.
    pub const fn total_steps(&self) -> u64 {
        self.at.config.epochs * self.at.steps_per_epoch
    }

    /// Trains on until `until` steps are done, the feed ends, or a stop is asked for. Every step is
    /// settled when this returns. `until` lies no further than the end of the epoch: the rate of
    /// the next one may depend on it.
    ///
    /// A step's loss is read only after the next step has been enqueued, so the device never waits
    /// for the host. A step for which the feed ends between its batches is not taken; the standing
    /// is ahead of it, so a resumed run takes it whole.
    ///
    /// # Errors
    /// If a step is not finite and the run must not go on, or the journal cannot be written.
    pub fn run(
        &mut self,
        learner: &mut dyn Learner,
        feed: &mut BatchFeed,
        standing: &mut Standing,
        until: u64,
    ) -> Result<(), Fault> {
        self.books.reopen();
        let mut enqueued = standing.step;
        let mut unsettled: Option<Pending> = None;
        while enqueued < until && self.at.stop.state() == StopState::Running {
            let Some(pending) = self.step(learner, feed, standing, enqueued) else { break };
            enqueued += 1;
            self.dawdle();
            if let Some(earlier) = unsettled.replace(pending) {
                self.settle(earlier, standing)?;
            }
        }
        match unsettled {
            Some(last) => self.settle(last, standing),
            None => Ok(()),
        }
    }

    /// Enqueues the step after `done` steps and returns without waiting for it; `None` if the feed
    /// ends.
    fn step(
        &self,
        learner: &mut dyn Learner,
        feed: &mut BatchFeed,
        standing: &Standing,
        done: u64,
    ) -> Option<Pending> {
        let (config, steps_per_epoch) = (self.at.config, self.at.steps_per_epoch);
        let moment = Moment { step: done, total: self.total_steps(), steps_per_epoch };
        let learning_rate = config.rate(moment, &standing.plateau);
        let mut record = StepRecord::planned(done, done / steps_per_epoch, learning_rate);
        let mut sums: Option<Sums> = None;
        let (mut next_batch, mut next_sample) = (0, 0);
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

    /// Waits as a drill asks, until a stop is asked for.
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

    /// Reads a step's figures, writes them down, closes the epoch if it was its last.
    fn settle(&mut self, pending: Pending, standing: &mut Standing) -> Result<(), Fault> {
        let Pending { figures, mut record, next_batch, next_sample, started } = pending;
        figures.read_into(&mut record)?;
        backend_log::check()?;
        record.seconds = started.elapsed().as_secs_f64();
        for skipped in self.at.skips.ahead_of(next_sample) {
            self.at.journal.write(&skipped)?;
        }
        (standing.step, standing.next_batch, standing.next_sample) =
            (record.step, next_batch, next_sample);
        if record.is_sound() {
            standing.epoch.loss += record.loss;
            standing.epoch.steps += 1;
            self.at.journal.write(&Event::Step(record.clone()))?;
        } else {
            standing.unsound_steps += 1;
            catalog::TRAIN_NONFINITE_STEPS.with([]).increment(1);
            self.at.journal.write(&Event::NotFinite(record.clone()))?;
            let folder = self.at.journal.folder();
            unsound::judge(self.at.config, standing.unsound_steps, &record, &folder)?;
        }
        self.books.add(&record, self.total_steps());
        self.at.progress.advance_to(record.step, &format!("loss {:.4}", record.loss));
        if record.step.is_multiple_of(self.at.steps_per_epoch) {
            self.close_epoch(record.epoch, standing)?;
        }
        Ok(())
    }

    fn close_epoch(&mut self, epoch: u64, standing: &mut Standing) -> Result<(), Fault> {
        let sums = std::mem::take(&mut standing.epoch);
        if sums.steps > 0 {
            let loss = sums.loss / sums.steps as f64;
            standing.plateau.see(self.at.config.schedule, loss);
        }
        self.at.journal.write(&self.books.close(epoch, sums))
    }
}

/// Sums over the batches of a step, on the device, `[1]` each.
struct Sums {
    total: Tensor<1>,
    dice: Tensor<1>,
    bce: Tensor<1>,
    penalties: Vec<(&'static str, Tensor<1>)>,
}

impl Sums {
    fn add(before: Option<Self>, parts: &LossParts) -> Self {
        let figure = |tensor: &Tensor<1>| tensor.clone().without_autodiff();
        let (total, dice, bce) = (figure(&parts.total), figure(&parts.dice), figure(&parts.bce));
        let penalties = parts.penalties.iter().map(|(name, value)| (*name, figure(value)));
        let Some(before) = before else {
            return Self { total, dice, bce, penalties: penalties.collect() };
        };
        let sum = |((name, a), (_, b)): ((&'static str, Tensor<1>), (_, Tensor<1>))| (name, a + b);
        Self {
            total: before.total + total,
            dice: before.dice + dice,
            bce: before.bce + bce,
            penalties: before.penalties.into_iter().zip(penalties).map(sum).collect(),
        }
    }

    /// The means over `batches`, under way to the host.
    fn mean(self, batches: u64, gradient_norm: Tensor<1>) -> Figures {
        let mean = |sum: Tensor<1>| if batches == 1 { sum } else { sum / batches as f64 };
        let (names, penalties): (Vec<&'static str>, Vec<Tensor<1>>) =
            self.penalties.into_iter().unzip();
        let means = [self.total, self.dice, self.bce].map(mean).into_iter();
        let penalties = penalties.into_iter().map(mean);
        let values = means.chain([gradient_norm]).chain(penalties);
        let transaction = values.fold(Transaction::default(), Transaction::register);
        Figures { transaction, penalties: names }
    }
}

/// A step's figures under way to the host: loss, Dice, cross-entropy, gradient norm, penalties.
struct Figures {
    transaction: Transaction,
    penalties: Vec<&'static str>,
}

impl Figures {
    /// Waits for them.
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
