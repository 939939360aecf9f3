//! One training run, from a checked configuration to a scored checkpoint.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::actor::stage::Skip;
use crate::actor::stop::StopState;
use crate::base::error::{CaseError, Fault};
use crate::cache::store::CaseStore;
use crate::experiment::cohort::{self, Cohort};
use crate::experiment::config::CheckedConfig;
use crate::experiment::device::{self, ChosenDevice};
use crate::experiment::evaluate::{self, Evaluation};
use crate::experiment::failure::Failure;
use crate::experiment::prepare::{self, Excluded, Session};
use crate::nets::Learner;
use crate::pipeline::fetch::Fetch;
use crate::pipeline::loader::{self, CaseSource, LoaderParts};
use crate::pipeline::observe::verdict_of;
use crate::pipeline::plan::Plan;
use crate::pipeline::verdict::Verdict;
use crate::telemetry::catalog::{self, RunState};
use crate::train::checkpoint::{self, TrainingState};
use crate::train::feed::BatchFeed;
use crate::train::journal::{Event, Journal};
use crate::train::run_directory::{DATASET_LOCK, DatasetLock, Environment, RunDirectory};
use crate::train::trainer::{Progressed, Trainer};
use crate::volume::case::Split;

/// The run's resolved configuration.
const CONFIG: &str = "config.toml";

/// What came of a run: `summary.json`, and what `train --json` prints.
#[derive(Debug, Serialize)]
pub struct RunSummary {
    /// The run's folder.
    pub run: PathBuf,
    /// The network.
    pub model: String,
    /// Its trained values.
    pub parameters: usize,
    /// Optimiser steps.
    pub steps: u64,
    /// The device.
    pub device: String,
    /// Wall seconds of the training loop.
    pub train_seconds: f64,
    /// Of them, without a batch.
    pub starved_ratio: f64,
    /// What held the loop back.
    pub loader: Verdict,
    /// Wall seconds of everything.
    pub seconds: f64,
    /// Cases trained on.
    pub train_cases: usize,
    /// Cases that could not be used.
    pub excluded: Vec<Excluded>,
    /// What the dataset's folder holds that could not become a case.
    pub problems: Vec<CaseError>,
    /// On the held-out cases; absent when there are none.
    pub evaluation: Option<Evaluation>,
}

/// Trains and evaluates. `place` is the run's folder, or a root and a stem for the next free one.
///
/// # Errors
/// As [`Failure`] tells; a stop on request leaves a checkpoint first.
pub fn train(
    config: &CheckedConfig,
    place: &Place,
    session: &Session,
) -> Result<RunSummary, Failure> {
    let started = Instant::now();
    place.check()?;
    let chosen = device::choose(config.run.device)?;
    let store = prepare::open_store(&config.run.data.cache, &config.run.data.preprocess)?;
    let cohort = cohort::gather(&config.run, &store, session)?;
    let directory = match place {
        Place::Next { root, stem } => RunDirectory::create(root, stem)?,
        Place::Exactly(path) => RunDirectory::create_at(path)?,
    };
    describe(&directory, config, &chosen, &cohort.lock)?;
    let journal = Journal::open(directory.path())?;
    tracing::info!(run = %directory.path().display(), device = %chosen.name, "training");
    let course = Course { config, session, chosen, store, cohort, directory, journal };
    let outcome = carry_out(&course, started);
    let (state, cause) = match &outcome {
        Ok(_) => ("finished", None),
        Err(Failure::Stopped(_) | Failure::Aborted) => ("stopped", None),
        Err(failure) => ("failed", Some(failure.to_string())),
    };
    let step = course.journal.last_step();
    let written = course.journal.write(&Event::Finished { step, state, cause });
    // Of two failures the first is the cause.
    let summary = outcome?;
    written?;
    Ok(summary)
}

/// What the parts of one run share.
struct Course<'a> {
    config: &'a CheckedConfig,
    session: &'a Session,
    chosen: ChosenDevice,
    store: Arc<CaseStore>,
    cohort: Cohort,
    directory: RunDirectory,
    journal: Journal,
}

/// Trains, then scores what was held out.
fn carry_out(course: &Course<'_>, started: Instant) -> Result<RunSummary, Failure> {
    let Course { config, cohort, directory, .. } = course;
    RunState::Training.publish();
    let (learner, trained) = optimise(course)?;
    let evaluation = match cohort.held_out.is_empty() {
        true => None,
        false => Some(validate(course, learner.as_ref(), &trained)?),
    };
    let summary = RunSummary {
        run: directory.path().to_path_buf(),
        model: config.blueprint.name().to_string(),
        parameters: learner.parameters(),
        steps: trained.step,
        device: course.chosen.name.clone(),
        train_seconds: trained.seconds,
        starved_ratio: trained.starved_seconds / trained.seconds,
        loader: trained.loader.clone(),
        seconds: started.elapsed().as_secs_f64(),
        train_cases: cohort.train.len(),
        excluded: cohort.excluded.clone(),
        problems: cohort.problems.clone(),
        evaluation,
    };
    directory.write_json("summary.json", &summary)?;
    Ok(summary)
}

fn validate(
    course: &Course<'_>,
    learner: &dyn Learner,
    trained: &Trained,
) -> Result<Evaluation, Failure> {
    let Course { config, session, store, cohort, directory, .. } = course;
    RunState::Evaluating.publish();
    let (run, stop) = (&config.run, session.stop.clone());
    let fetch = Fetch::new(Arc::clone(store), run.data.preprocess.clone(), stop);
    let network = learner.network();
    let (cases, window) = (cohort.held_out.clone(), run.crop.patch);
    let scored =
        evaluate::on_cases(network.as_ref(), cases, fetch, window, &run.evaluation, session);
    let scored = scored.map_err(|failure| match failure {
        Failure::Stopped(_) => Failure::Stopped(format!(
            "{}; `gliaflow evaluate --run {}` scores them",
            trained.kept,
            directory.path().display()
        )),
        other => other,
    })?;
    evaluate::write(&directory.path().join("validation"), &scored)?;
    Ok(scored)
}

/// Where a run goes.
pub enum Place {
    /// The next free `root/stem-NNN`.
    Next {
        /// Folder of runs.
        root: PathBuf,
        /// First part of the name.
        stem: String,
    },
    /// Exactly there.
    Exactly(PathBuf),
}

impl Place {
    /// The value of the metrics' `run` label.
    pub fn label(&self) -> String {
        match self {
            Self::Next { stem, .. } => stem.clone(),
            Self::Exactly(path) => path.display().to_string(),
        }
    }

    /// Refuses a folder that holds a run, before any work is done for it.
    fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Exactly(path) if path.join(CONFIG).exists() => Err(Failure::Usage(format!(
                "{}: already holds a run; choose another folder with --run",
                path.display()
            ))),
            _ => Ok(()),
        }
    }
}

fn describe(
    directory: &RunDirectory,
    config: &CheckedConfig,
    chosen: &ChosenDevice,
    lock: &DatasetLock,
) -> Result<(), Failure> {
    directory.write_json(DATASET_LOCK, lock)?;
    let environment = Environment::of_process(&chosen.name, chosen.deterministic);
    directory.write_json("environment.json", &environment)?;
    directory.write_text(CONFIG, &config.to_toml()?)?;
    let fingerprint = config.fingerprint().short(12);
    let labels = [env!("CARGO_PKG_VERSION"), &chosen.name, config.blueprint.name(), &fingerprint];
    catalog::TRAIN_RUN_INFO.with(labels).set(1.0);
    Ok(())
}

/// What the loop did.
struct Trained {
    step: u64,
    seconds: f64,
    starved_seconds: f64,
    loader: Verdict,
    /// What is not lost if the run ends here, in words.
    kept: String,
}

/// The loop and its checkpoint.
fn optimise(course: &Course<'_>) -> Result<(Box<dyn Learner>, Trained), Failure> {
    let Course { config, session, chosen, store, cohort, directory, journal } = course;
    let run = &config.run;
    let plan = Plan::new(Arc::clone(&cohort.train), run.seed, run.loader.patches_per_case);
    let steps_per_epoch = run.train.epoch_steps(plan.epoch_len(), run.loader.batch);
    let parts = LoaderParts {
        loader: run.loader.clone(),
        crop: run.crop.clone(),
        augment: run.augment.clone(),
        plan,
        first_sample: 0,
        end_sample: None,
        first_batch: 0,
        cases: CaseSource::cache(Arc::clone(store)),
        preprocess: run.data.preprocess.clone(),
        on_skip: on_skip(journal.clone()),
    };
    let mut learner = config.blueprint.learner(&run.optimiser, run.seed, &chosen.device);
    let (batches, running) = loader::start(parts, &session.stop, &session.runtime)?;
    let watched = session.board.watch(&running);
    let mut feed = BatchFeed::new(batches, learner.device().clone());
    let steps = run.train.epochs * steps_per_epoch;
    let task = session.progress.begin("train", "steps", steps);
    catalog::TRAIN_EPOCHS_PLANNED.with([]).set(run.train.epochs as f64);
    let (parameters, device) = (learner.parameters(), chosen.name.clone());
    journal.write(&Event::Started { step: 0, steps, parameters, device })?;
    let started = Instant::now();
    let mut trainer = Trainer {
        learner: learner.as_mut(),
        loss: &run.loss,
        config: &run.train,
        steps_per_epoch,
        journal,
        progress: task.as_ref(),
        stop: &session.stop,
    };
    let from = Progressed { step: 0, next_batch: 0, next_sample: 0, finished: false };
    let progressed = trainer.run(&mut feed, from);
    let seconds = started.elapsed().as_secs_f64();
    let starved_seconds = feed.starved().as_secs_f64();
    let loader = verdict_of(&running.observer());
    drop((task, feed, watched));
    running.join_blocking()?;
    let at = progressed?;
    if session.stop.state() == StopState::Aborted {
        return Err(Failure::Aborted);
    }
    let name = save(config, at, learner.as_ref(), journal, directory)?;
    let kept = checkpoint_text(directory.path(), &name, at, steps);
    prepare::stopped_early(&session.stop, &kept)?;
    Ok((learner, Trained { step: at.step, seconds, starved_seconds, loader, kept }))
}

fn checkpoint_text(run: &Path, name: &str, at: Progressed, steps: u64) -> String {
    let folder = run.join("checkpoints").join(name);
    format!("{} of {steps} steps are safe in {}", at.step, folder.display())
}

fn on_skip(journal: Journal) -> Box<dyn FnMut(&Skip) + Send> {
    Box::new(move |skip| {
        catalog::skipped(Split::Train.name(), skip.error.reason).increment(1);
        let error = skip.error.to_string();
        let item = skip.item.clone();
        let written = journal.write(&Event::Skipped { item, ordinal: skip.ordinal, error });
        if let Err(fault) = written {
            tracing::error!("the journal does not take a skip: {fault}");
        }
    })
}

fn save(
    config: &CheckedConfig,
    at: Progressed,
    learner: &dyn Learner,
    journal: &Journal,
    directory: &RunDirectory,
) -> Result<String, Fault> {
    let state = TrainingState {
        step: at.step,
        next_batch: at.next_batch,
        next_sample: at.next_sample,
        model: config.blueprint.name().to_string(),
        config: config.fingerprint(),
    };
    let started = Instant::now();
    let name = checkpoint::publish(directory.path(), &state, |folder| learner.save(folder))?;
    let seconds = started.elapsed().as_secs_f64();
    catalog::TRAIN_CHECKPOINT_TIME.with([]).record(seconds);
    catalog::TRAIN_CHECKPOINTS.with([]).increment(1);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    catalog::TRAIN_CHECKPOINT_TIMESTAMP.with([]).set(now.as_secs_f64());
    journal.write(&Event::Checkpoint { step: at.step, folder: name.clone(), seconds })?;
    Ok(name)
}
