//! Way of a run from milestone to milestone: the ends of epochs, checkpoints, validations, and the
//! end. Between two of them the trainer is alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::actor::StopState;
use crate::base::format_duration;
use crate::eval::{Measures, Summary};
use crate::nets::Learner;
use crate::run::checkpoint_writer::CheckpointWriter;
use crate::run::context::RunContext;
use crate::run::evaluate::Evaluation;
use crate::run::progress_picture::ProgressPicture;
use crate::run::validation_loss::validation_loss;
use crate::run::{Failure, prepare};
use crate::run_folder::{Event, ValidationEvent};
use crate::telemetry::catalog::{self, RunState};
use crate::train::feed::BatchFeed;
use crate::train::{BestEpoch, Trainer, TrainerConfig, TrainingLoss, TrainingProgress, checkpoint};
use crate::volume::Split;

/// Run between its first and its last step.
pub(super) struct TrainingRun<'a> {
    pub(super) context: &'a RunContext<'a>,
    pub(super) loss: &'a dyn TrainingLoss,
    pub(super) trainer: Trainer<'a>,
    pub(super) standing: TrainingProgress,
    pub(super) steps_per_epoch: u64,
    pub(super) checkpoints: CheckpointWriter<'a>,
    /// Scores of the network as it is now.
    pub(super) scores: Option<Evaluation>,
    /// Time spent between milestones.
    pub(super) training: Duration,
    pub(super) blocked: BlockedTime,
    pub(super) picture: ProgressPicture,
}

/// Time that the trainer of this process stood still.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BlockedTime {
    pub(super) checkpoints: Duration,
    pub(super) validations: Duration,
}

impl BlockedTime {
    fn publish(self) {
        let [checkpoint, validation] = catalog::BLOCK_CAUSES;
        catalog::TRAIN_BLOCKED.with_labels([checkpoint]).set_total(self.checkpoints);
        catalog::TRAIN_BLOCKED.with_labels([validation]).set_total(self.validations);
    }
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
            let since = Instant::now();
            if self.validation_is_due() {
                // These weights may be the best: training does not go on without them on the disk.
                self.checkpoints.save_or_wait(learner, &self.standing)?;
            } else if self.checkpoint_is_due() {
                self.checkpoints.save_or_go_on(learner, &self.standing)?;
            }
            self.blocked.checkpoints += since.elapsed();
            if self.validation_is_due() && stop.state() == StopState::Running {
                let since = Instant::now();
                self.validate_held_out(learner)?;
                self.blocked.validations += since.elapsed();
            }
            self.blocked.publish();
            if self.epochs_done().is_some() {
                self.picture.renew();
            }
            if self.is_over() || self.is_paused() || stop.state() != StopState::Running {
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
        let since = Instant::now();
        self.checkpoints.save_or_wait(learner, &self.standing)?;
        self.blocked.checkpoints += since.elapsed();
        self.blocked.publish();
        let hint = self.context.resume_hint(&self.standing, self.trainer.total_steps());
        prepare::fail_if_stopped(stop, &hint)?;
        match self.is_paused() && !self.is_over() {
            true => Err(Failure::Stopped(format!(
                "train.pause_after has been reached; `gliaflow train --resume {} --set \
                 train.pause_after=0` goes on",
                self.context.run_path().display()
            ))),
            false => Ok(()),
        }
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

    /// True where the settings have the run pause.
    fn is_paused(&self) -> bool {
        let epochs = self.trainer_config().pause_after;
        epochs > 0 && self.standing.step >= epochs.saturating_mul(self.steps_per_epoch)
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
        RunState::Validating.publish_state();
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
        let loss =
            validation_loss(self.context, self.loss, learner).filter(|loss| loss.is_finite());
        if let Some(loss) = loss {
            catalog::TRAIN_LOSS.with_labels([Split::Validation.name(), "total"]).set(loss);
        }
        let seconds = since.elapsed().as_secs_f64();
        let event = ValidationEvent { epoch, step, mean_dice, dice, hd95_mm, loss, best, seconds };
        self.context.session.progress.print_line(&validation_line(&event, self.standing.best));
        self.context.journal.write_event(&Event::Validation(event))?;
        self.scores = Some(evaluation);
        self.checkpoints.record_validation(&self.standing)
    }
}

/// Line of a log about a validation.
fn validation_line(event: &ValidationEvent, best: Option<BestEpoch>) -> String {
    let mut line = format!("validation after epoch {}: Dice", event.epoch);
    for (region, dice) in &event.dice {
        line += &format!(" {region} {dice:.4}");
    }
    line += &format!(", mean {:.4}", event.mean_dice);
    line += &match best {
        _ if event.best => ", the best so far".to_owned(),
        Some(best) => format!(", best {:.4} (epoch {})", best.dice, best.epoch),
        None => String::new(),
    };
    line += &event.loss.map_or_else(String::new, |loss| format!(", loss {loss:.4}"));
    line + &format!(", took {}", format_duration(event.seconds))
}

/// Shows the best validation in the metrics.
pub(super) fn publish_best(standing: &TrainingProgress) {
    if let Some(best) = standing.best {
        catalog::TRAIN_BEST_DICE.with_labels([]).set(best.dice);
        catalog::TRAIN_BEST_EPOCH.with_labels([]).set(best.epoch as f64);
    }
}
