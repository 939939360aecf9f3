//! The training of a run from milestone to milestone: the ends of epochs, checkpoints, validations,
//! and the end. Between two of them the trainer is alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::actor::stage::Skip;
use crate::actor::stop::StopState;
use crate::experiment::coming::Coming;
use crate::experiment::course::Course;
use crate::experiment::evaluate::Evaluation;
use crate::experiment::failure::Failure;
use crate::experiment::prepare::{self, Excluded};
use crate::experiment::pseudo;
use crate::experiment::weights_file;
use crate::nets::Learner;
use crate::pipeline::loader::{self, LoaderParts};
use crate::pipeline::plan::Plan;
use crate::pipeline::verdict::Verdict;
use crate::telemetry::catalog::{self, RunState};
use crate::train::checkpoint;
use crate::train::event::Event;
use crate::train::feed::BatchFeed;
use crate::train::settings::TrainerConfig;
use crate::train::skips::Skips;
use crate::train::standing::{Standing, TrainingState};
use crate::train::trainer::{Trainer, Workplace};
use crate::volume::case::Split;
use crate::volume::region::Region;

/// What the training did.
pub(super) struct Trained {
    /// The network as it is now.
    pub(super) learner: Box<dyn Learner>,
    /// Where the run stands.
    pub(super) standing: Standing,
    /// Steps planned in all.
    pub(super) steps: u64,
    /// Wall seconds of this process's steps.
    pub(super) seconds: f64,
    /// Of them, without a batch.
    pub(super) starved_seconds: f64,
    /// What held the steps back.
    pub(super) loader: Verdict,
    /// The scores of the network as it is now, if it has been validated.
    pub(super) scores: Option<Evaluation>,
    /// Cases that turned out to be bad while they were being ingested.
    pub(super) excluded: Vec<Excluded>,
}

/// Trains from where the run stands to its end; a stop on request leaves a checkpoint first.
pub(super) fn optimise(course: &Course<'_>) -> Result<Trained, Failure> {
    let (run, session) = (&course.config.run, course.session);
    let cohort = &course.cohort;
    let plan = pseudo::plan(run, Arc::clone(&cohort.train), cohort.annotated);
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

/// The learner as it was where the run stands, and where that is.
fn begin(course: &Course<'_>, steps: u64) -> Result<(Box<dyn Learner>, Standing), Failure> {
    let (run, chosen, journal) = (&course.config.run, &course.chosen, &course.journal);
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
    journal.write(&match course.resumed {
        true => {
            let checkpoint = course.start.as_ref().and_then(|(folder, _)| folder.file_name());
            let checkpoint = checkpoint.map(|name| name.to_string_lossy().into_owned());
            Event::Resumed { step: standing.step, checkpoint, device }
        }
        false => Event::Started { step: 0, steps, parameters: learner.parameters(), device },
    })?;
    Ok((learner, standing))
}

/// A run on its way.
struct Way<'a> {
    course: &'a Course<'a>,
    trainer: Trainer<'a>,
    standing: Standing,
    steps_per_epoch: u64,
    /// Steps of the last checkpoint.
    saved: Option<u64>,
    /// Of the network as it is now.
    scores: Option<Evaluation>,
    /// Time spent between milestones.
    training: Duration,
}

impl Way<'_> {
    /// From milestone to milestone, until the run is over or stopped. It leaves a checkpoint.
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
        let (settings, step) = (&self.settings().checkpoint, self.standing.step);
        let every = |count: u64, every: u64| every > 0 && count.is_multiple_of(every);
        let by_epoch = self.epochs_done().is_some_and(|done| every(done, settings.every_epochs));
        by_epoch || (step > 0 && every(step, settings.every_steps))
    }

    /// Scores the held-out cases; a checkpoint of the best so far. One that ends early, for
    /// whatever reason but an abort, leaves a checkpoint that is still to be validated.
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
        let summary = |region: Region| evaluation.network.summary(region);
        let by_region = |value: fn(Region, &Evaluation) -> f64| -> BTreeMap<&'static str, f64> {
            Region::ALL.iter().map(|&one| (one.name(), value(one, &evaluation))).collect()
        };
        let dice = Region::ALL.map(|region| summary(region).dice.mean);
        let mean_dice = dice.iter().sum::<f64>() / dice.len() as f64;
        let epoch = self.standing.step / self.steps_per_epoch;
        let best = self.standing.validated(epoch, mean_dice);
        publish_best(&self.standing);
        self.course.journal.write(&Event::Validation {
            epoch,
            step: self.standing.step,
            mean_dice,
            dice: by_region(|region, scored| scored.network.summary(region).dice.mean),
            hd95_mm: by_region(|region, scored| scored.network.summary(region).hd95_mm.mean),
            best,
            seconds: since.elapsed().as_secs_f64(),
        })?;
        self.scores = Some(evaluation);
        if best { self.save(learner, true) } else { Ok(()) }
    }

    /// Publishes a checkpoint, if there is none of this step.
    fn save(&mut self, learner: &dyn Learner, is_best: bool) -> Result<(), Failure> {
        let (step, course) = (self.standing.step, self.course);
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
        let (run, keep) = (course.directory.path(), self.settings().checkpoint.keep);
        let save = |folder: &Path| learner.save(folder);
        let folder = checkpoint::publish(run, &state, is_best, keep, save)?;
        self.saved = Some(step);
        let seconds = since.elapsed().as_secs_f64();
        catalog::TRAIN_CHECKPOINT_TIME.with([]).record(seconds);
        catalog::TRAIN_CHECKPOINTS.with([]).increment(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        catalog::TRAIN_CHECKPOINT_TIMESTAMP.with([]).set(now.as_secs_f64());
        Ok(course.journal.write(&Event::Checkpoint { step, folder, seconds })?)
    }
}

fn publish_best(standing: &Standing) {
    if let Some(best) = standing.best {
        catalog::TRAIN_BEST_DICE.with([]).set(best.dice);
        catalog::TRAIN_BEST_EPOCH.with([]).set(best.epoch as f64);
    }
}

/// Counts and journals what is left out, and remembers its case as bad.
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
