//! Way of a run from milestone to milestone: the ends of epochs, checkpoints, validations, and the
//! end. Between two of them the trainer is alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::actor::StopState;
use crate::eval::{Measures, Summary};
use crate::nets::Learner;
use crate::run::checkpoint_writer::CheckpointWriter;
use crate::run::context::RunContext;
use crate::run::evaluate::Evaluation;
use crate::run::{Failure, prepare};
use crate::run_folder::{Event, ValidationEvent};
use crate::telemetry::catalog::{self, RunState};
use crate::train::feed::BatchFeed;
use crate::train::{Trainer, TrainerConfig, TrainingProgress, checkpoint};

/// Run between its first and its last step.
pub(super) struct TrainingRun<'a> {
    pub(super) context: &'a RunContext<'a>,
    pub(super) trainer: Trainer<'a>,
    pub(super) standing: TrainingProgress,
    pub(super) steps_per_epoch: u64,
    pub(super) checkpoints: CheckpointWriter<'a>,
    /// Scores of the network as it is now.
    pub(super) scores: Option<Evaluation>,
    /// Time spent between milestones.
    pub(super) training: Duration,
}

impl TrainingRun<'_> {
    /// Trains until the run is over or stopped, and leaves a checkpoint.
    pub(super) fn train_epochs(
        &mut self,
        learner: &mut dyn Learner,
        feed: &mut BatchFeed,
    ) -> Result<(), Failure> {
        let stop = &self.context.session.stop;
        loop {
            if self.validation_is_due() {
                // These weights may be the best: training does not go on without them on the disk.
                self.checkpoints.save_or_wait(learner, &self.standing)?;
            } else if self.checkpoint_is_due() {
                self.checkpoints.save_or_go_on(learner, &self.standing)?;
            }
            if self.validation_is_due() && stop.state() == StopState::Running {
                self.validate_held_out(learner)?;
            }
            if self.is_over() || stop.state() != StopState::Running {
                break;
            }
            let until = self.next_milestone();
            let since = Instant::now();
            self.scores = None;
            self.trainer.train_until(learner, feed, &mut self.standing, until)?;
            self.training += since.elapsed();
            if self.standing.step < until {
                break;
            }
        }
        if stop.state() == StopState::Aborted {
            return Err(Failure::Aborted);
        }
        self.checkpoints.save_or_wait(learner, &self.standing)?;
        prepare::fail_if_stopped(
            stop,
            &self.context.resume_hint(&self.standing, self.trainer.total_steps()),
        )
    }

    const fn trainer_config(&self) -> &TrainerConfig {
        &self.context.config.run.train
    }

    /// Epochs done, if one has just ended.
    fn epochs_done(&self) -> Option<u64> {
        let step = self.standing.step;
        let ended = step > 0 && step.is_multiple_of(self.steps_per_epoch);
        ended.then(|| step / self.steps_per_epoch)
    }

    fn is_over(&self) -> bool {
        self.standing.step >= self.trainer.total_steps()
            || self.standing.out_of_patience(self.trainer_config().validation.patience)
    }

    /// The next step after which there may be something to do.
    fn next_milestone(&self) -> u64 {
        let step = self.standing.step;
        if self.checkpoints.is_failing() {
            return step + 1;
        }
        let next = |every: u64| (step / every + 1) * every;
        let checkpoint = match self.trainer_config().checkpoint.every_steps {
            0 => u64::MAX,
            every => next(every),
        };
        next(self.steps_per_epoch).min(checkpoint).min(self.trainer.total_steps())
    }

    fn validation_is_due(&self) -> bool {
        let every = self.trainer_config().validation.every_epochs;
        let Some(done) = self.epochs_done() else { return false };
        let is_last = self.standing.step >= self.trainer.total_steps();
        every > 0
            && !self.context.cohort.held_out.is_empty()
            && self.standing.validated_epochs < done
            && (done.is_multiple_of(every) || is_last)
    }

    fn checkpoint_is_due(&self) -> bool {
        if self.checkpoints.is_failing() {
            return self.checkpoints.retry_is_due();
        }
        let settings = &self.trainer_config().checkpoint;
        let step = self.standing.step;
        // A setting of 0 turns its checkpoints off: no positive count is a multiple of it.
        self.epochs_done().is_some_and(|done| done.is_multiple_of(settings.every_epochs))
            || (step > 0 && step.is_multiple_of(settings.every_steps))
    }

    /// Scores the held-out cases and records the outcome in the checkpoint, which is there already.
    /// A validation that is stopped is taken up by the next process.
    fn validate_held_out(&mut self, learner: &dyn Learner) -> Result<(), Failure> {
        let since = Instant::now();
        RunState::Evaluating.publish_state();
        let step = self.standing.step;
        let evaluation = match self.context.score_held_out(learner, step) {
            Ok(evaluation) => evaluation,
            Err(Failure::Stopped(_)) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        RunState::Training.publish_state();
        let network = &evaluation.scores.network;
        let by_region = |mean: fn(&Measures<Summary>) -> f64| -> BTreeMap<String, f64> {
            let summary = network.summary_by_region().iter();
            summary.map(|(region, measures)| (region.to_owned(), mean(measures))).collect()
        };
        let dice = by_region(|measures| measures.dice.mean);
        let hd95_mm = by_region(|measures| measures.hd95_mm.mean);
        let mean_dice = dice.values().sum::<f64>() / dice.len() as f64;
        let epoch = step / self.steps_per_epoch;
        let run = self.context.directory.path();
        // Against a checkpoint that is lost nothing else would ever be the best.
        self.standing.best =
            self.standing.best.filter(|best| checkpoint::has_folder(run, best.step));
        let best = self.standing.record_validation(epoch, mean_dice);
        publish_best(&self.standing);
        self.context.journal.write_event(&Event::Validation(ValidationEvent {
            epoch,
            step,
            mean_dice,
            dice,
            hd95_mm,
            best,
            seconds: since.elapsed().as_secs_f64(),
        }))?;
        self.scores = Some(evaluation);
        self.checkpoints.record_validation(&self.standing)
    }
}

/// Shows the best validation in the metrics.
pub(super) fn publish_best(standing: &TrainingProgress) {
    if let Some(best) = standing.best {
        catalog::TRAIN_BEST_DICE.with_labels([]).set(best.dice);
        catalog::TRAIN_BEST_EPOCH.with_labels([]).set(best.epoch as f64);
    }
}
