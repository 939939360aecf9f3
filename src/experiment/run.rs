//! One training run, from a checked configuration to a scored checkpoint, in one process or several.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::base::error::CaseError;
use crate::cache::store::CaseStore;
use crate::experiment::cohort;
use crate::experiment::config::{self, CheckedConfig, RUN_FILE, RunConfig};
use crate::experiment::course::Course;
use crate::experiment::device::{self, ChosenDevice};
use crate::experiment::evaluate::{self, Evaluation};
use crate::experiment::failure::Failure;
use crate::experiment::optimise::{Trained, optimise};
use crate::experiment::prepare::{self, Excluded, Session};
use crate::pipeline::verdict::Verdict;
use crate::report;
use crate::telemetry::catalog::{self, RunState};
use crate::telemetry::endpoint::ENDPOINT_FILE;
use crate::train::checkpoint;
use crate::train::event::Event;
use crate::train::journal::Journal;
use crate::train::run_directory::{DATASET_LOCK, DatasetLock, Environment, RunDirectory};
use crate::train::standing::Best;

/// What came of a run, once it has ended.
pub const SUMMARY: &str = "summary.json";

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
    /// Steps planned; fewer were taken if there was no better validation for too long.
    pub planned_steps: u64,
    /// Steps that were skipped because they were not finite.
    pub unsound_steps: u64,
    /// The device.
    pub device: String,
    /// Wall seconds of the training loop, of the last process.
    pub train_seconds: f64,
    /// Of them, without a batch.
    pub starved_ratio: f64,
    /// What held the loop back.
    pub loader: Verdict,
    /// Wall seconds of everything, of the last process.
    pub seconds: f64,
    /// Cases trained on.
    pub train_cases: usize,
    /// Of them, with a teacher's labels.
    pub pseudo_labelled_cases: usize,
    /// Cases that could not be used.
    pub excluded: Vec<Excluded>,
    /// What the dataset's folder holds that could not become a case.
    pub problems: Vec<CaseError>,
    /// The best validation, which the pointer `checkpoints/best` names.
    pub best: Option<BestValidation>,
    /// The last weights on the held-out cases; absent when there are none.
    pub evaluation: Option<Evaluation>,
}

/// The best validation of a run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct BestValidation {
    /// Mean over regions and cases.
    pub mean_dice: f64,
    /// Epochs done.
    pub epoch: u64,
    /// Steps done.
    pub step: u64,
}

impl From<Best> for BestValidation {
    fn from(Best { dice, epoch, step }: Best) -> Self {
        Self { mean_dice: dice, epoch, step }
    }
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
    chosen.check(config.run.precision)?;
    let store = open_store(&config.run)?;
    let cohort = cohort::gather(&config.run, store.as_ref(), session)?;
    config.run.memory(cohort.largest)?;
    let directory = match place {
        Place::Next { root, stem } => RunDirectory::create(root, stem)?,
        Place::Exactly(path) => RunDirectory::create_at(path)?,
    };
    directory.write_json(ENDPOINT_FILE, &session.endpoint)?;
    describe(&directory, config, &chosen, &cohort.lock)?;
    let journal = Journal::start(directory.path())?;
    let course = Course::begun(config, session, chosen, store, cohort, directory, journal)?;
    conduct(&course, started)
}

/// Goes on with the run in `folder` where its last whole checkpoint stands, with the cases and the
/// settings that it was begun with. `assignments` may change settings that do not decide the result.
///
/// # Errors
/// As [`Failure`] tells: if it has ended, if another process has it, if its cases are not what they
/// were.
pub fn resume(
    folder: &Path,
    assignments: &[String],
    session: &Session,
) -> Result<RunSummary, Failure> {
    let started = Instant::now();
    let config = load_config(folder, assignments)?;
    let directory = RunDirectory::open(folder)?;
    if folder.join(SUMMARY).exists() {
        return Err(Failure::Usage(format!(
            "{}: has ended; begin another run, with more train.epochs for a longer one",
            folder.display()
        )));
    }
    let start =
        if checkpoint::is_there(folder)? { Some(checkpoint::latest(folder)?) } else { None };
    if start.as_ref().is_some_and(|(_, state)| state.config != config.fingerprint()) {
        return Err(other_settings(folder));
    }
    let chosen = device::choose(config.run.device)?;
    chosen.check(config.run.precision)?;
    directory.write_json(ENDPOINT_FILE, &session.endpoint)?;
    publish_info(&config, &chosen);
    let store = open_store(&config.run)?;
    let lock = cohort::read_lock(folder)?;
    let cohort = cohort::locked(&config.run, lock, store.as_ref(), session)?;
    let journal = match &start {
        Some((_, state)) => Journal::resume(folder, state.journal, state.standing.step)?,
        None => Journal::start(folder)?,
    };
    let begun = Course::begun(&config, session, chosen, store, cohort, directory, journal)?;
    let course = Course { resumed: true, start, ..begun };
    conduct(&course, started)
}

/// The run's cache, if it has one.
fn open_store(run: &RunConfig) -> Result<Option<Arc<CaseStore>>, Failure> {
    if !run.loader.cached {
        return Ok(None);
    }
    Ok(Some(prepare::open_store(&run.data.cache, &run.data.preprocess)?))
}

/// The configuration of a run, with assignments that leave its result alone.
fn load_config(folder: &Path, assignments: &[String]) -> Result<CheckedConfig, Failure> {
    let begun = config::of_run(folder, &[])?.fingerprint();
    let config = config::of_run(folder, assignments)?;
    if config.fingerprint() == begun { Ok(config) } else { Err(other_settings(folder)) }
}

fn other_settings(folder: &Path) -> Failure {
    Failure::Usage(format!(
        "{}: was begun with other settings, and these would decide the result; leave them as they \
         were, or begin another run",
        folder.display()
    ))
}

/// Carries a run out, and writes down how it ended.
fn conduct(course: &Course<'_>, started: Instant) -> Result<RunSummary, Failure> {
    let (run, device) = (course.directory.path().display(), &course.chosen.name);
    tracing::info!(%run, %device, resumed = course.resumed, "training");
    let outcome = carry_out(course, started);
    let (state, cause) = match &outcome {
        Ok(_) => ("finished", None),
        Err(Failure::Stopped(_) | Failure::Aborted) => ("stopped", None),
        Err(failure) => ("failed", Some(failure.to_string())),
    };
    let step = outcome.as_ref().map_or_else(|_| course.journal.last_step(), |done| done.steps);
    let written = course.journal.write(&Event::Finished { step, state, cause });
    if !matches!(outcome, Err(Failure::Aborted)) {
        tell(course.directory.path());
    }
    // Of two failures the first is the cause.
    let summary = outcome?;
    written?;
    Ok(summary)
}

/// The report, which no run fails for.
fn tell(run: &Path) {
    if let Err(fault) = report::write(run) {
        tracing::warn!("no report: {fault}; try `gliaflow report {}`", run.display());
    }
}

/// Trains, then scores what was held out.
fn carry_out(course: &Course<'_>, started: Instant) -> Result<RunSummary, Failure> {
    let Course { config, cohort, directory, .. } = course;
    RunState::Training.publish();
    let mut trained = optimise(course)?;
    let evaluation = match cohort.held_out.is_empty() {
        true => None,
        false => Some(final_scores(course, &mut trained)?),
    };
    let summary = RunSummary {
        run: directory.path().to_path_buf(),
        model: config.blueprint.name().to_string(),
        parameters: trained.learner.parameters(),
        steps: trained.standing.step,
        planned_steps: trained.steps,
        unsound_steps: trained.standing.unsound_steps,
        device: course.chosen.name.clone(),
        train_seconds: trained.seconds,
        starved_ratio: ratio(trained.starved_seconds, trained.seconds),
        loader: trained.loader,
        seconds: started.elapsed().as_secs_f64(),
        train_cases: cohort.train.len(),
        pseudo_labelled_cases: cohort.annotated,
        excluded: [cohort.excluded.as_slice(), trained.excluded.as_slice()].concat(),
        problems: cohort.problems.clone(),
        best: trained.standing.best.map(BestValidation::from),
        evaluation,
    };
    directory.write_json(SUMMARY, &summary)?;
    Ok(summary)
}

/// A share of a time; none of none.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// The scores of the last weights, taken now unless they have just been.
fn final_scores(course: &Course<'_>, trained: &mut Trained) -> Result<Evaluation, Failure> {
    RunState::Evaluating.publish();
    let scored = match trained.scores.take() {
        Some(scored) => scored,
        None => course.score(trained.learner.as_ref()).map_err(|failure| match failure {
            Failure::Stopped(_) => Failure::Stopped(course.kept(&trained.standing, trained.steps)),
            other => other,
        })?,
    };
    evaluate::write(&course.directory.path().join("validation"), &scored)?;
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
            Self::Exactly(path) if path.join(RUN_FILE).exists() => Err(Failure::Usage(format!(
                "{}: already holds a run; go on with it with --resume, or choose another folder \
                 with --run",
                path.display()
            ))),
            _ => Ok(()),
        }
    }
}

/// The configuration comes last: a folder that has it has everything that a run goes on from.
fn describe(
    directory: &RunDirectory,
    config: &CheckedConfig,
    chosen: &ChosenDevice,
    lock: &DatasetLock,
) -> Result<(), Failure> {
    directory.write_json(DATASET_LOCK, lock)?;
    let products = chosen.products(config.run.precision);
    let environment = Environment::of_process(&chosen.name, products, chosen.deterministic);
    directory.write_json("environment.json", &environment)?;
    directory.write_text(RUN_FILE, &config.to_toml()?)?;
    publish_info(config, chosen);
    Ok(())
}

fn publish_info(config: &CheckedConfig, chosen: &ChosenDevice) {
    let fingerprint = config.fingerprint().short(12);
    let labels = [env!("CARGO_PKG_VERSION"), &chosen.name, config.blueprint.name(), &fingerprint];
    catalog::show_run(labels);
}
