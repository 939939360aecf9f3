//! Training loop. It knows no architecture, no file of a case, no thread.

use std::thread;
use std::time::{Duration, Instant};

use burn::tensor::{Tensor, TensorData, Transaction};

use crate::actor::{StopLatch, StopState};
use crate::base::{Fault, Progress, ProgressTask};
use crate::nets::Learner;
use crate::run_folder::{Event, Journal, StepRecord};
use crate::telemetry::health::{self, Health};
use crate::telemetry::{backend_log, catalog};
use crate::train::feed::BatchFeed;
use crate::train::non_finite::{self, RecentSteps};
use crate::train::readback::{PendingReadback, ReadbackReader};
use crate::train::step_metrics::StepMetrics;
use crate::train::{
    LossParts, SchedulePosition, SkipQueue, TrainerConfig, TrainingLoss, TrainingProgress,
};
use crate::volume::RegionSet;

/// Interval at which an artificially slow step checks whether the run is to stop.
const STOP_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Context of the training loop: settings, journal, progress and stop.
pub struct TrainerContext<'a> {
    /// Regions of the network's output.
    pub regions: RegionSet,
    /// True if some voxels of the labels may count in no loss.
    pub has_ignored: bool,
    /// Loss.
    pub loss: &'a dyn TrainingLoss,
    /// Trainer settings.
    pub config: &'a TrainerConfig,
    /// Number of steps in an epoch.
    pub steps_per_epoch: u64,
    /// Journal of the run.
    pub journal: &'a Journal,
    /// Samples that the loader skipped.
    pub skips: SkipQueue,
    /// Progress display, updated at every completed step.
    pub progress: &'a dyn ProgressTask,
    /// Display of the lines that stay.
    pub lines: &'a dyn Progress,
    /// True if the time of a step is to be said once it is known.
    pub tells_pace: bool,
    /// Latch that ends the loop after the current step.
    pub stop: &'a StopLatch,
    /// Health of the run, for steps that are not finite.
    pub health: Health,
    /// Artificial delay of each step, in a drill.
    pub slow_step: Duration,
}

/// Training loop of one process.
pub struct Trainer<'a> {
    context: TrainerContext<'a>,
    metrics: StepMetrics,
    recent: RecentSteps,
    /// Made with the first step, which names the device.
    reader: Option<ReadbackReader>,
}

/// Step whose metrics are still on the device.
struct PendingStep {
    figures: StepReadback,
    record: StepRecord,
    next_batch: u64,
    next_sample: u64,
    started: Instant,
}

impl<'a> Trainer<'a> {
    /// Creates a training loop.
    pub fn new(trainer_context: TrainerContext<'a>) -> Self {
        trainer_context.health.clear_problem(health::STEPS);
        Self {
            context: trainer_context,
            metrics: StepMetrics::default(),
            recent: RecentSteps::default(),
            reader: None,
        }
    }

    /// Number of steps planned.
    pub const fn total_steps(&self) -> u64 {
        self.context.config.epochs * self.context.steps_per_epoch
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
    pub fn train_until(
        &mut self,
        learner: &mut dyn Learner,
        feed: &mut BatchFeed,
        progress: &mut TrainingProgress,
        until: u64,
    ) -> Result<(), Fault> {
        self.metrics.resume_clocks();
        if self.reader.is_none() {
            self.reader = Some(ReadbackReader::for_device(learner.device())?);
        }
        let mut enqueued = progress.step;
        let mut unsettled: Option<PendingStep> = None;
        while enqueued < until && self.context.stop.state() == StopState::Running {
            let Some(pending) = self.enqueue_step(learner, feed, progress, enqueued) else { break };
            enqueued += 1;
            self.delay_step();
            if let Some(earlier) = unsettled.replace(pending) {
                self.settle_step(earlier, progress)?;
            }
        }
        match unsettled {
            Some(last) => self.settle_step(last, progress),
            None => Ok(()),
        }
    }

    /// Enqueues the step after `done` steps and returns without waiting for it; `None` if the feed
    /// ends.
    fn enqueue_step(
        &self,
        learner: &mut dyn Learner,
        feed: &mut BatchFeed,
        progress: &TrainingProgress,
        done: u64,
    ) -> Option<PendingStep> {
        let config = self.context.config;
        let regions = self.context.regions;
        let steps_per_epoch = self.context.steps_per_epoch;
        let moment = SchedulePosition { step: done, total: self.total_steps(), steps_per_epoch };
        let learning_rate = config.learning_rate_at(moment, &progress.plateau);
        let epoch = done / steps_per_epoch;
        let mut record =
            StepRecord { step: done + 1, epoch, learning_rate, ..StepRecord::default() };
        let mut sums: Option<BatchSums> = None;
        let mut next_batch = 0;
        let mut next_sample = 0;
        let mut started = Instant::now();
        for _ in 0..config.accumulate {
            let batch = feed.next_batch()?;
            if sums.is_none() {
                started = Instant::now();
            }
            (next_batch, next_sample) = (batch.number + 1, batch.next_sample);
            let output = learner.forward(batch.images, batch.number);
            let targets = batch.truth.into_regions(regions, self.context.has_ignored);
            let parts = self.context.loss.pass_loss(output, targets);
            sums = Some(BatchSums::add_batch(sums, &parts));
            learner.accumulate_gradients(parts.total);
            record.starved_seconds += batch.starved.as_secs_f64();
            record.samples.extend(batch.keys);
            record.cases.extend(batch.cases);
        }
        let update = learner.optimiser_step(learning_rate);
        let reader = self.reader.as_ref()?;
        let figures = sums?.into_mean(config.accumulate, update.gradient_norm, regions, reader);
        Some(PendingStep { figures, record, next_batch, next_sample, started })
    }

    /// Delays a step as a drill asks, until a stop is requested.
    fn delay_step(&self) {
        let until = Instant::now() + self.context.slow_step;
        while self.context.stop.state() == StopState::Running {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(STOP_POLL_INTERVAL));
        }
    }

    /// Reads a step's metrics and journals them; closes the epoch after its last step.
    fn settle_step(
        &mut self,
        pending: PendingStep,
        progress: &mut TrainingProgress,
    ) -> Result<(), Fault> {
        let PendingStep { figures, mut record, next_batch, next_sample, started } = pending;
        let total = self.total_steps();
        figures.wait_into(&mut record)?;
        backend_log::check_kernels()?;
        record.seconds = started.elapsed().as_secs_f64();
        for skipped in self.context.skips.take_before(next_sample) {
            self.context.journal.write_event(&skipped)?;
        }
        (progress.step, progress.next_batch, progress.next_sample) =
            (record.step, next_batch, next_sample);
        self.context.health.set_problem(health::STEPS, self.recent.add_step(record.is_finite()));
        if record.is_finite() {
            progress.epoch.loss += record.loss;
            progress.epoch.steps += 1;
            self.context.journal.write_event(&Event::Step(record.clone()))?;
        } else {
            progress.non_finite_steps += 1;
            catalog::TRAIN_NONFINITE_STEPS.with_labels([]).increment(1);
            self.context.journal.write_event(&Event::NotFinite(record.clone()))?;
            let folder = self.context.journal.run_folder();
            non_finite::skip_or_stop(
                self.context.config,
                progress.non_finite_steps,
                &record,
                &folder,
            )?;
        }
        self.metrics.record_step(&record, total, &mut progress.epoch);
        if self.context.tells_pace
            && let Some(line) = self.metrics.pace_line(record.step, total)
        {
            self.context.tells_pace = false;
            self.context.lines.print_line(&line);
        }
        self.context.progress.advance_to(record.step, &format!("loss {:.4}", record.loss));
        if record.step.is_multiple_of(self.context.steps_per_epoch) {
            self.close_epoch(record.epoch, progress)?;
        }
        Ok(())
    }

    fn close_epoch(&mut self, epoch: u64, progress: &mut TrainingProgress) -> Result<(), Fault> {
        let sums = std::mem::take(&mut progress.epoch);
        if sums.steps > 0 {
            let loss = sums.loss / sums.steps as f64;
            progress.plateau.add_epoch_loss(self.context.config.schedule, loss);
        }
        let [epochs, total] = [self.context.config.epochs, self.total_steps()];
        let line = self.metrics.epoch_line(epoch, [epochs, progress.step, total], progress.best);
        self.context.lines.print_line(&line);
        self.context.journal.write_event(&self.metrics.close_epoch(epoch, sums))
    }
}

/// Metrics summed over the batches of a step, on the device: total loss, Dice loss, cross-entropy
/// (`[1]` each), soft Dice by region (`[k]`), auxiliary losses (`[1]` each).
struct BatchSums {
    sums: Vec<Tensor<1>>,
    aux_names: Vec<&'static str>,
}

impl BatchSums {
    fn add_batch(before: Option<Self>, parts: &LossParts) -> Self {
        let (aux_names, aux_losses): (Vec<&'static str>, Vec<&Tensor<1>>) =
            parts.aux_losses.iter().map(|(name, value)| (*name, value)).unzip();
        let values = [&parts.total, &parts.dice, &parts.bce, &parts.regions].into_iter();
        let values = values.chain(aux_losses).map(|value| value.clone().without_autodiff());
        let sums = match before {
            None => values.collect(),
            Some(before) => before.sums.into_iter().zip(values).map(|(a, b)| a + b).collect(),
        };
        Self { sums, aux_names }
    }

    /// Starts the read-back of the means over `batches`.
    fn into_mean(
        self,
        batches: u64,
        gradient_norm: Tensor<1>,
        regions: RegionSet,
        reader: &ReadbackReader,
    ) -> StepReadback {
        let mean = |sum: Tensor<1>| if batches == 1 { sum } else { sum / batches as f64 };
        let values = [gradient_norm].into_iter().chain(self.sums.into_iter().map(mean));
        let transaction = values.fold(Transaction::default(), Transaction::register);
        StepReadback {
            regions,
            pending: reader.request_tensors(transaction),
            aux_names: self.aux_names,
        }
    }
}

/// Metrics of a step in read-back: gradient norm, then the means in the order of [`BatchSums`].
struct StepReadback {
    regions: RegionSet,
    pending: PendingReadback,
    aux_names: Vec<&'static str>,
}

impl StepReadback {
    /// Waits for the metrics and writes them into `record`.
    fn wait_into(self, record: &mut StepRecord) -> Result<(), Fault> {
        let read = self.pending.wait_for_tensors().map_err(|error| {
            let [problem, remedy] = backend_log::explain_failure(&error);
            Fault::Environment { subject: format!("step {}", record.step), problem, remedy }
        })?;
        let mut values = read.iter().flat_map(TensorData::iter::<f64>);
        let mut next = || values.next().unwrap_or(f64::NAN);
        [record.gradient_norm, record.loss, record.dice_loss, record.bce] =
            [next(), next(), next(), next()];
        let soft_dice = self.regions.region_names().map(|region| (region.to_owned(), next()));
        record.soft_dice = soft_dice.collect();
        record.aux_losses = self.aux_names.into_iter().map(str::to_owned).zip(values).collect();
        Ok(())
    }
}
