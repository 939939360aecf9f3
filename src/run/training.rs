//! Training of a run, from its last checkpoint to its end: the learner, the loader and the trainer
//! are put together here, and taken apart.

use std::time::Duration;

use crate::nets::Learner;
use crate::pipeline::BottleneckVerdict;
use crate::pipeline::loader::{self, LoaderParts};
use crate::run::background_ingest::BackgroundIngest;
use crate::run::checkpoint_writer::CheckpointWriter;
use crate::run::context::RunContext;
use crate::run::evaluate::Evaluation;
use crate::run::milestones::{BlockedTime, TrainingRun, publish_best};
use crate::run::progress_picture::ProgressPicture;
use crate::run::skipped_cases::SkippedCases;
use crate::run::{Failure, weights_file};
use crate::run_folder::{Event, ExcludedCase, ResumedEvent, StartedEvent};
use crate::telemetry::catalog;
use crate::train::feed::BatchFeed;
use crate::train::{SkipQueue, Trainer, TrainerContext, TrainingProgress};
use crate::volume::LabelScheme;

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
    pub(super) blocked: BlockedTime,
    pub(super) loader: BottleneckVerdict,
    /// The scores of the network as it is now, if it has been validated.
    pub(super) scores: Option<Evaluation>,
    /// Cases that turned out to be bad while they were being ingested.
    pub(super) excluded: Vec<ExcludedCase>,
}

/// Trains from the run's progress to its end; a stop on request leaves a checkpoint first.
pub(super) fn train_to_end(context: &RunContext<'_>) -> Result<TrainingOutcome, Failure> {
    let run = &context.config.run;
    let channels = context.config.blueprint.run_channels();
    let session = context.session;
    let loss = run.loss.build_loss()?;
    let mut augment = run.augment.clone();
    augment.complete_own_filters()?;
    let cohort = &context.cohort;
    let plan = cohort.trained_cases().plan_samples(run);
    let steps_per_epoch = run.train.epoch_steps(plan.epoch_len(), run.loader.batch);
    let steps = run.train.epochs * steps_per_epoch;
    let (mut learner, standing) = prepare_learner(context, steps)?;
    let skips = SkipQueue::default();
    let skipped = SkippedCases::of_context(context);
    let background_ingest =
        BackgroundIngest::start(context, plan.cases_from(standing.next_sample))?;
    let parts = LoaderParts {
        loader: run.loader.clone(),
        crop: run.crop.clone(),
        augment,
        plan: plan.clone(),
        first_sample: standing.next_sample,
        first_batch: standing.next_batch,
        cases: context.case_source(),
        preprocess: run.data.preprocess.clone(),
        annotations: cohort.annotations.clone(),
        on_skip: skipped.recorder(context, skips.clone(), plan, standing.next_sample),
        earlier_skips: context.earlier_skips.clone(),
        drill: run.drill.clone(),
    };
    let (batches, running) = loader::start_loader(parts, &session.stop, &session.runtime)?;
    let watched = session.board.watch_within(&running, run.drill.health_limits());
    let mut feed = BatchFeed::new(
        batches,
        learner.device().clone(),
        channels.modalities,
        run.precision,
        cohort.annotations.clone(),
    )?;
    let task = session.progress.begin_task("train", "steps", standing.step..steps);
    let trainer = Trainer::new(TrainerContext {
        regions: channels.regions,
        has_ignored: run.data.labels.is_some_and(LabelScheme::has_ignored),
        loss: loss.as_ref(),
        config: &run.train,
        steps_per_epoch,
        journal: &context.journal,
        skips: skips.clone(),
        progress: task.as_ref(),
        lines: session.progress.as_ref(),
        tells_pace: context.chosen.without_gpu.is_some(),
        stop: &session.stop,
        health: session.board.health(),
        slow_step: run.drill.slow_step(),
    });
    let saved = context.start.as_ref().map(|_| standing.step);
    let checkpoints = CheckpointWriter::new(context, saved);
    let mut training_run = TrainingRun {
        context,
        loss: loss.as_ref(),
        trainer,
        standing,
        steps_per_epoch,
        checkpoints,
        scores: None,
        training: Duration::ZERO,
        blocked: BlockedTime::default(),
        picture: ProgressPicture::of_run(context.run_path()),
    };
    let outcome = training_run.train_epochs(learner.as_mut(), &mut feed);
    let TrainingRun { standing, scores, training, blocked, picture, .. } = training_run;
    drop(picture);
    let starved_seconds = feed.starved_time().as_secs_f64();
    let loader = background_ingest.loader_verdict(&running.observer());
    drop((task, feed, watched));
    let excluded = background_ingest.stop_and_list_excluded();
    let ended = running.join_blocking().map_err(Failure::from).and(outcome);
    if ended.is_err() {
        // They are met again by a run that goes on from a checkpoint; by this one they are known.
        for skip in skips.take_before(u64::MAX) {
            context.journal.write_event(&skip)?;
        }
    }
    ended.map_err(|failure| skipped.explain(failure, context))?;
    let seconds = training.as_secs_f64();
    Ok(TrainingOutcome {
        learner,
        standing,
        steps,
        seconds,
        starved_seconds,
        blocked,
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
    let device = chosen.training_device(run.train.gradient_checkpointing);
    let mut learner = context.config.blueprint.new_learner(&run.optimiser, run.seed, &device);
    learner.freeze_parts(&run.train.freeze);
    let mut initial_weights = None;
    let standing = match &context.start {
        Some((folder, state)) => {
            learner.load(folder)?;
            state.progress.clone()
        }
        None => {
            initial_weights = weights_file::load_initial_weights(context.config, learner.as_mut())?;
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
            let frozen = run.train.freeze.clone();
            Event::Started(StartedEvent {
                step: 0,
                steps,
                parameters,
                device,
                initial_weights,
                frozen,
            })
        }
    })?;
    Ok((learner, standing))
}
