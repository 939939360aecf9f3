//! Training loop of a run, from milestone to milestone: the ends of epochs, checkpoints,
//! validations, and the end. Between two of them the trainer is alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::actor::stage::Skip;
use crate::actor::stop::StopState;
use crate::nets::Learner;
use crate::pipeline::bottleneck::Verdict;
use crate::pipeline::loader::{self, LoaderParts};
use crate::pipeline::plan::Plan;
use crate::run::background_ingest::Coming;
use crate::run::context::Course;
use crate::run::evaluate::Evaluation;
use crate::run::failure::Failure;
use crate::run::prepare::{self, Excluded};
use crate::run::pseudo_labels;
use crate::run::weights_file;
use crate::telemetry::catalog::{self, RunState};
use crate::train::checkpoint;
use crate::train::event::Event;
use crate::train::feed::BatchFeed;
use crate::train::settings::TrainerConfig;
use crate::train::skips::Skips;
use crate::train::trainer::{Trainer, Workplace};
use crate::train::training_progress::{Standing, TrainingState};
use crate::volume::case::Split;
use crate::volume::region::Region;

/// Result of the training loop.
pub(super) struct Trained {
    /// The network as it is now.
    pub(super) learner: Box<dyn Learner>,
    /// Progress of the run.
    pub(super) standing: Standing,
    /// Steps planned in all.
    pub(super) steps: u64,
    /// Wall seconds of this process's steps.
    pub(super) seconds: f64,
    /// Seconds of these without a batch.
    pub(super) starved_seconds: f64,
    /// Bottleneck of the steps.
    pub(super) loader: Verdict,
    /// The scores of the network as it is now, if it has been validated.
    pub(super) scores: Option<Evaluation>,
    /// Cases that turned out to be bad while they were being ingested.
    pub(super) excluded: Vec<Excluded>,
}

/// Trains from the run's progress to its end; a stop on request leaves a checkpoint first.
pub(super) fn optimise(course: &Course<'_>) -> Result<Trained, Failure> {
    let run = &course.config.run;
    let session = course.session;
    let cohort = &course.cohort;
    let plan = pseudo_labels::plan(run, Arc::clone(&cohort.train), cohort.annotated);
    let steps_per_epoch = run.train.epoch_steps(plan.epoch_len(), run.loader.batch);
    let steps = run.train.epochs * steps_per_epoch;
    let (mut learner, standing) = begin(course, steps)?;
    let skips = Skips::default();
    let coming = Coming::start(course, plan.cases_from(standing.next_sample))?;
    let parts = LoaderParts {
        loader: run.loader.clone(),
        crop: run.crop.clone(),
        augment: run.augment.clone(),
        plan: plan.clone(),
        first_sample: standing.next_sample,
        first_batch: standing.next_batch,
        cases: course.case_source(),
        preprocess: run.data.preprocess.clone(),
        annotations: cohort.annotations.clone(),
        on_skip: on_skip(course, skips.clone(), plan, standing.next_sample),
        drill: run.drill.clone(),
    };
    let (batches, running) = loader::start(parts, &session.stop, &session.runtime)?;
    let watched = session.board.watch(&running);
    let mut feed = BatchFeed::new(batches, learner.device().clone(), run.precision)?;
    let task = session.progress.begin("train", "steps", steps);
    let trainer = Trainer::new(Workplace {
        loss: &run.loss,
        config: &run.train,
        steps_per_epoch,
        journal: &course.journal,
        skips: skips.clone(),
        progress: task.as_ref(),
        stop: &session.stop,
        slow_step: run.drill.slow_step(),
    });
    let saved = course.start.as_ref().map(|_| standing.step);
    let mut way = Way {
        course,
        trainer,
        standing,
        steps_per_epoch,
        saved,
        scores: None,
        training: Duration::ZERO,
    };
    let outcome = way.walk(learner.as_mut(), &mut feed);
    let Way { standing, scores, training, .. } = way;
    let starved_seconds = feed.starved().as_secs_f64();
    let loader = coming.verdict(&running.observer());
    drop((task, feed, watched));
    let excluded = coming.end();
    let ended = running.join_blocking().map_err(Failure::from).and(outcome);
    if ended.is_err() {
        // They are met again by a run that goes on from a checkpoint; by this one they are known.
        for skipped in skips.ahead_of(u64::MAX) {
            course.journal.write(&skipped)?;
        }
    }
    ended?;
    let seconds = training.as_secs_f64();
    Ok(Trained { learner, standing, steps, seconds, starved_seconds, loader, scores, excluded })
}

/// Builds the learner, loads the checkpoint or the initial weights, and returns the run's progress.
fn begin(course: &Course<'_>, steps: u64) -> Result<(Box<dyn Learner>, Standing), Failure> {
    let run = &course.config.run;
    let chosen = &course.chosen;
    let device = match run.train.gradient_checkpointing {
        true => chosen.device.clone().autodiff().gradient_checkpointing(),
        false => chosen.device.clone(),
    };
    let mut learner = course.config.blueprint.learner(&run.optimiser, run.seed, &device);
    let standing = match &course.start {
        Some((folder, state)) => {
            learner.load(folder)?;
            state.standing.clone()
        }
        None => {
            weights_file::start_from(course.config, learner.as_mut())?;
            Standing::default()
        }
    };
    catalog::TRAIN_EPOCHS_PLANNED.with([]).set(run.train.epochs as f64);
    publish_best(&standing);
    let device = chosen.name.clone();
    course.journal.write(&match course.resumed {
        true => {
            let checkpoint = course.start.as_ref().and_then(|(folder, _)| folder.file_name());
            let checkpoint = checkpoint.map(|name| name.to_string_lossy().into_owned());
            Event::Resumed { step: standing.step, checkpoint, device }
        }
        false => Event::Started { step: 0, steps, parameters: learner.parameters(), device },
    })?;
    Ok((learner, standing))
}

/// Run between its first and its last step.
struct Way<'a> {
    course: &'a Course<'a>,
    trainer: Trainer<'a>,
    standing: Standing,
    steps_per_epoch: u64,
    /// Steps of the last checkpoint.
    saved: Option<u64>,
    /// Scores of the network as it is now.
    scores: Option<Evaluation>,
    /// Time spent between milestones.
    training: Duration,
}

impl Way<'_> {
    /// Trains until the run is over or stopped, and leaves a checkpoint.
    fn walk(&mut self, learner: &mut dyn Learner, feed: &mut BatchFeed) -> Result<(), Failure> {
        let stop = &self.course.session.stop;
        loop {
            if self.validation_is_due() && stop.state() == StopState::Running {
                self.validate(learner)?;
            }
            if self.checkpoint_is_due() {
                self.save(learner, false)?;
            }
            if self.is_over() || stop.state() != StopState::Running {
                break;
            }
            let until = self.next_milestone();
            let since = Instant::now();
            self.scores = None;
            self.trainer.run(learner, feed, &mut self.standing, until)?;
            self.training += since.elapsed();
            if self.standing.step < until {
                break;
            }
        }
        if stop.state() == StopState::Aborted {
            return Err(Failure::Aborted);
        }
        self.save(learner, false)?;
        prepare::stopped_early(stop, &self.course.kept(&self.standing, self.trainer.total_steps()))
    }

    const fn settings(&self) -> &TrainerConfig {
        &self.course.config.run.train
    }

    /// Epochs done, if one has just ended.
    fn epochs_done(&self) -> Option<u64> {
        let step = self.standing.step;
        let ended = step > 0 && step.is_multiple_of(self.steps_per_epoch);
        ended.then(|| step / self.steps_per_epoch)
    }

    fn is_over(&self) -> bool {
        self.standing.step >= self.trainer.total_steps()
            || self.standing.out_of_patience(self.settings().validation.patience)
    }

    /// The next step after which there may be something to do.
    fn next_milestone(&self) -> u64 {
        let step = self.standing.step;
        let next = |every: u64| (step / every + 1) * every;
        let checkpoint = match self.settings().checkpoint.every_steps {
            0 => u64::MAX,
            every => next(every),
        };
        next(self.steps_per_epoch).min(checkpoint).min(self.trainer.total_steps())
    }

    fn validation_is_due(&self) -> bool {
        let every = self.settings().validation.every_epochs;
        let Some(done) = self.epochs_done() else { return false };
        let is_last = self.standing.step >= self.trainer.total_steps();
        every > 0
            && !self.course.cohort.held_out.is_empty()
            && self.standing.validated_epochs < done
            && (done.is_multiple_of(every) || is_last)
    }

    fn checkpoint_is_due(&self) -> bool {
        let settings = &self.settings().checkpoint;
        let step = self.standing.step;
        // A setting of 0 turns its checkpoints off: no positive count is a multiple of it.
        self.epochs_done().is_some_and(|done| done.is_multiple_of(settings.every_epochs))
            || (step > 0 && step.is_multiple_of(settings.every_steps))
    }

    /// Scores the held-out cases, and publishes a checkpoint of the best so far. A validation that
    /// ends early, unless aborted, leaves a checkpoint that is still to be validated.
    fn validate(&mut self, learner: &mut dyn Learner) -> Result<(), Failure> {
        let since = Instant::now();
        RunState::Evaluating.publish();
        let evaluation = match self.course.score(learner) {
            Ok(evaluation) => evaluation,
            Err(Failure::Aborted) => return Err(Failure::Aborted),
            Err(failure) => {
                self.save(learner, false)?;
                return match failure {
                    Failure::Stopped(_) => Ok(()),
                    other => Err(other),
                };
            }
        };
        RunState::Training.publish();
        let dice = Region::ALL.map(|region| evaluation.network.summary(region).dice.mean);
        let hd95_mm = Region::ALL.map(|region| evaluation.network.summary(region).hd95_mm.mean);
        let mean_dice = dice.iter().sum::<f64>() / dice.len() as f64;
        let epoch = self.standing.step / self.steps_per_epoch;
        let best = self.standing.validated(epoch, mean_dice);
        publish_best(&self.standing);
        self.course.journal.write(&Event::Validation {
            epoch,
            step: self.standing.step,
            mean_dice,
            dice: by_region(dice),
            hd95_mm: by_region(hd95_mm),
            best,
            seconds: since.elapsed().as_secs_f64(),
        })?;
        self.scores = Some(evaluation);
        if best { self.save(learner, true) } else { Ok(()) }
    }

    /// Publishes a checkpoint, if there is none of this step.
    fn save(&mut self, learner: &dyn Learner, is_best: bool) -> Result<(), Failure> {
        let step = self.standing.step;
        let course = self.course;
        if self.saved == Some(step) && !is_best {
            return Ok(());
        }
        let since = Instant::now();
        let state = TrainingState {
            model: course.config.blueprint.name().to_string(),
            config: course.config.fingerprint(),
            journal: course.journal.position()?,
            standing: self.standing.clone(),
        };
        let run = course.directory.path();
        let keep = self.settings().checkpoint.keep;
        let folder = checkpoint::publish(run, &state, is_best, keep, |to| learner.save(to))?;
        self.saved = Some(step);
        let seconds = since.elapsed().as_secs_f64();
        catalog::TRAIN_CHECKPOINT_TIME.with([]).record(seconds);
        catalog::TRAIN_CHECKPOINTS.with([]).increment(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        catalog::TRAIN_CHECKPOINT_TIMESTAMP.with([]).set(now.as_secs_f64());
        Ok(course.journal.write(&Event::Checkpoint { step, folder, seconds })?)
    }
}

fn by_region(values: [f64; Region::COUNT]) -> BTreeMap<&'static str, f64> {
    Region::ALL.map(Region::name).into_iter().zip(values).collect()
}

fn publish_best(standing: &Standing) {
    if let Some(best) = standing.best {
        catalog::TRAIN_BEST_DICE.with([]).set(best.dice);
        catalog::TRAIN_BEST_EPOCH.with([]).set(best.epoch as f64);
    }
}

/// Returns the callback that counts and journals a skipped sample, and quarantines its case.
fn on_skip(
    course: &Course<'_>,
    skips: Skips,
    plan: Plan,
    first_sample: u64,
) -> Box<dyn FnMut(&Skip) + Send> {
    let memory = course.bad_cases.clone();
    Box::new(move |skip| {
        catalog::skipped(Split::Train.name(), skip.error.reason).increment(1);
        skips.add(first_sample, skip);
        let planned = plan.sample_at(first_sample + skip.ordinal);
        memory.add(&planned.files().id, &skip.error);
    })
}
