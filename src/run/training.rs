//! Training loop of a run, from milestone to milestone: the ends of epochs, checkpoints,
//! validations, and the end. Between two of them the trainer is alone.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::actor::{SkippedItem, StopState};
use crate::nets::Learner;
use crate::pipeline::loader::{self, LoaderParts};
use crate::pipeline::{BottleneckVerdict, Plan};
use crate::run::background_ingest::BackgroundIngest;
use crate::run::context::RunContext;
use crate::run::evaluate::Evaluation;
use crate::run::{Failure, prepare, pseudo_labels, weights_file};
use crate::run_folder::{
    CheckpointEvent, Event, ExcludedCase, ResumedEvent, StartedEvent, ValidationEvent,
    key_by_region,
};
use crate::telemetry::catalog::{self, RunState};
use crate::train::feed::BatchFeed;
use crate::train::{
    SkipQueue, Trainer, TrainerConfig, TrainerContext, TrainingProgress, TrainingState, checkpoint,
};
use crate::volume::{Region, Split};

/// Result of the training loop.
pub(super) struct TrainingOutcome {
    /// The network as it is now.
    pub(super) learner: Box<dyn Learner>,
    pub(super) standing: TrainingProgress,
    pub(super) steps: u64,
    /// Wall seconds of this process's steps.
    pub(super) seconds: f64,
    /// Seconds of these without a batch.
    pub(super) starved_seconds: f64,
    pub(super) loader: BottleneckVerdict,
    /// The scores of the network as it is now, if it has been validated.
    pub(super) scores: Option<Evaluation>,
    /// Cases that turned out to be bad while they were being ingested.
    pub(super) excluded: Vec<ExcludedCase>,
}

/// Trains from the run's progress to its end; a stop on request leaves a checkpoint first.
pub(super) fn train_to_end(context: &RunContext<'_>) -> Result<TrainingOutcome, Failure> {
    let run = &context.config.run;
    let session = context.session;
    let cohort = &context.cohort;
    let plan = pseudo_labels::sample_plan(run, Arc::clone(&cohort.train), cohort.annotated);
    let steps_per_epoch = run.train.epoch_steps(plan.epoch_len(), run.loader.batch);
    let steps = run.train.epochs * steps_per_epoch;
    let (mut learner, standing) = prepare_learner(context, steps)?;
    let skips = SkipQueue::default();
    let background_ingest =
        BackgroundIngest::start(context, plan.cases_from(standing.next_sample))?;
    let parts = LoaderParts {
        loader: run.loader.clone(),
        crop: run.crop.clone(),
        augment: run.augment.clone(),
        plan: plan.clone(),
        first_sample: standing.next_sample,
        first_batch: standing.next_batch,
        cases: context.case_source(),
        preprocess: run.data.preprocess.clone(),
        annotations: cohort.annotations.clone(),
        on_skip: skip_recorder(context, skips.clone(), plan, standing.next_sample),
        drill: run.drill.clone(),
    };
    let (batches, running) = loader::start_loader(parts, &session.stop, &session.runtime)?;
    let watched = session.board.watch_within(&running, run.drill.health_limits());
    let mut feed = BatchFeed::new(batches, learner.device().clone(), run.precision)?;
    let task = session.progress.begin_task("train", "steps", steps);
    let trainer = Trainer::new(TrainerContext {
        loss: &run.loss,
        config: &run.train,
        steps_per_epoch,
        journal: &context.journal,
        skips: skips.clone(),
        progress: task.as_ref(),
        stop: &session.stop,
        health: session.board.health(),
        slow_step: run.drill.slow_step(),
    });
    let saved = context.start.as_ref().map(|_| standing.step);
    let mut training_run = TrainingRun {
        context,
        trainer,
        standing,
        steps_per_epoch,
        saved,
        scores: None,
        training: Duration::ZERO,
    };
    let outcome = training_run.train_epochs(learner.as_mut(), &mut feed);
    let TrainingRun { standing, scores, training, .. } = training_run;
    let starved_seconds = feed.starved_time().as_secs_f64();
    let loader = background_ingest.loader_verdict(&running.observer());
    drop((task, feed, watched));
    let excluded = background_ingest.stop_and_list_excluded();
    let ended = running.join_blocking().map_err(Failure::from).and(outcome);
    if ended.is_err() {
        // They are met again by a run that goes on from a checkpoint; by this one they are known.
        for skipped in skips.take_before(u64::MAX) {
            context.journal.write_event(&skipped)?;
        }
    }
    ended?;
    let seconds = training.as_secs_f64();
    Ok(TrainingOutcome {
        learner,
        standing,
        steps,
        seconds,
        starved_seconds,
        loader,
        scores,
        excluded,
    })
}

/// Builds the learner, loads the checkpoint or the initial weights, and returns the run's progress.
fn prepare_learner(
    context: &RunContext<'_>,
    steps: u64,
) -> Result<(Box<dyn Learner>, TrainingProgress), Failure> {
    let run = &context.config.run;
    let chosen = &context.chosen;
    let device = match run.train.gradient_checkpointing {
        true => chosen.device.clone().autodiff().gradient_checkpointing(),
        false => chosen.device.clone(),
    };
    let mut learner = context.config.blueprint.new_learner(&run.optimiser, run.seed, &device);
    let standing = match &context.start {
        Some((folder, state)) => {
            learner.load(folder)?;
            state.progress.clone()
        }
        None => {
            weights_file::load_initial_weights(context.config, learner.as_mut())?;
            TrainingProgress::default()
        }
    };
    catalog::TRAIN_EPOCHS_PLANNED.with_labels([]).set(run.train.epochs as f64);
    publish_best(&standing);
    let device = chosen.name.clone();
    context.journal.write_event(&match context.resumed {
        true => {
            let folder = context.start.as_ref().and_then(|(folder, _)| folder.file_name());
            let checkpoint = folder.map(|name| name.to_string_lossy().into_owned());
            let step = standing.step;
            Event::Resumed(ResumedEvent { step, steps, checkpoint, device })
        }
        false => {
            let parameters = learner.parameter_count();
            Event::Started(StartedEvent { step: 0, steps, parameters, device })
        }
    })?;
    Ok((learner, standing))
}

/// Run between its first and its last step.
struct TrainingRun<'a> {
    context: &'a RunContext<'a>,
    trainer: Trainer<'a>,
    standing: TrainingProgress,
    steps_per_epoch: u64,
    /// Steps of the last checkpoint.
    saved: Option<u64>,
    /// Scores of the network as it is now.
    scores: Option<Evaluation>,
    /// Time spent between milestones.
    training: Duration,
}

impl TrainingRun<'_> {
    /// Trains until the run is over or stopped, and leaves a checkpoint.
    fn train_epochs(
        &mut self,
        learner: &mut dyn Learner,
        feed: &mut BatchFeed,
    ) -> Result<(), Failure> {
        let stop = &self.context.session.stop;
        loop {
            if self.validation_is_due() && stop.state() == StopState::Running {
                self.validate_held_out(learner)?;
            }
            if self.checkpoint_is_due() {
                self.save_checkpoint(learner, false)?;
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
        self.save_checkpoint(learner, false)?;
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
        let settings = &self.trainer_config().checkpoint;
        let step = self.standing.step;
        // A setting of 0 turns its checkpoints off: no positive count is a multiple of it.
        self.epochs_done().is_some_and(|done| done.is_multiple_of(settings.every_epochs))
            || (step > 0 && step.is_multiple_of(settings.every_steps))
    }

    /// Scores the held-out cases, and publishes a checkpoint of the best so far. A validation that
    /// ends early, unless aborted, leaves a checkpoint that is still to be validated.
    fn validate_held_out(&mut self, learner: &mut dyn Learner) -> Result<(), Failure> {
        let since = Instant::now();
        RunState::Evaluating.publish_state();
        let evaluation = match self.context.score_held_out(learner) {
            Ok(evaluation) => evaluation,
            Err(Failure::Aborted) => return Err(Failure::Aborted),
            Err(failure) => {
                self.save_checkpoint(learner, false)?;
                return match failure {
                    Failure::Stopped(_) => Ok(()),
                    other => Err(other),
                };
            }
        };
        RunState::Training.publish_state();
        let network = &evaluation.scores.network;
        let dice = Region::ALL.map(|region| network.region_summary(region).dice.mean);
        let hd95_mm = Region::ALL.map(|region| network.region_summary(region).hd95_mm.mean);
        let mean_dice = dice.iter().sum::<f64>() / dice.len() as f64;
        let epoch = self.standing.step / self.steps_per_epoch;
        let best = self.standing.record_validation(epoch, mean_dice);
        publish_best(&self.standing);
        self.context.journal.write_event(&Event::Validation(ValidationEvent {
            epoch,
            step: self.standing.step,
            mean_dice,
            dice: key_by_region(dice),
            hd95_mm: key_by_region(hd95_mm),
            best,
            seconds: since.elapsed().as_secs_f64(),
        }))?;
        self.scores = Some(evaluation);
        if best { self.save_checkpoint(learner, true) } else { Ok(()) }
    }

    /// Publishes a checkpoint, if there is none of this step.
    fn save_checkpoint(&mut self, learner: &dyn Learner, is_best: bool) -> Result<(), Failure> {
        let (step, context) = (self.standing.step, self.context);
        if self.saved == Some(step) && !is_best {
            return Ok(());
        }
        let since = Instant::now();
        let state = TrainingState {
            model: context.config.blueprint.name().to_string(),
            config: context.config.fingerprint(),
            planned_epochs: context.config.run.train.epochs,
            journal: context.journal.sync_position()?,
            progress: self.standing.clone(),
        };
        let (run, keep) = (context.directory.path(), self.trainer_config().checkpoint.keep);
        let folder = checkpoint::publish(run, &state, is_best, keep, |to| learner.save(to))?;
        self.saved = Some(step);
        let seconds = since.elapsed().as_secs_f64();
        catalog::TRAIN_CHECKPOINT_TIME.with_labels([]).record(seconds);
        catalog::TRAIN_CHECKPOINTS.with_labels([]).increment(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        catalog::TRAIN_CHECKPOINT_TIMESTAMP.with_labels([]).set(now.as_secs_f64());
        let event = Event::Checkpoint(CheckpointEvent { step, folder, seconds });
        Ok(context.journal.write_event(&event)?)
    }
}

fn publish_best(standing: &TrainingProgress) {
    if let Some(best) = standing.best {
        catalog::TRAIN_BEST_DICE.with_labels([]).set(best.dice);
        catalog::TRAIN_BEST_EPOCH.with_labels([]).set(best.epoch as f64);
    }
}

/// Returns the callback that counts and journals a skipped sample, and quarantines its case.
fn skip_recorder(
    context: &RunContext<'_>,
    skips: SkipQueue,
    plan: Plan,
    first_sample: u64,
) -> Box<dyn FnMut(&SkippedItem) + Send> {
    let memory = context.bad_cases.clone();
    Box::new(move |skip| {
        catalog::skipped_samples(Split::Train.name(), skip.error.reason).increment(1);
        skips.add_skip(first_sample, skip);
        let planned = plan.sample_at(first_sample + skip.ordinal);
        memory.record_bad_case(&planned.case_files().id, &skip.error);
    })
}
