//! One training run, from a checked configuration to a scored checkpoint.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::base::{write_atomically, write_json};
use crate::cache::CaseStore;
use crate::run::config::{CheckedConfig, RunConfig};
use crate::run::context::RunContext;
use crate::run::device::{self, ChosenDevice};
use crate::run::ending;
use crate::run::evaluate::Evaluation;
use crate::run::training::{TrainingOutcome, train_to_end};
use crate::run::{Failure, Session, cohort, prepare, weights_file};
use crate::run_folder::{
    BestValidation, CONFIG, DATASET_LOCK, DatasetLock, ENDPOINT, ENVIRONMENT, Environment, Journal,
    RunDirectory, RunSummary, SUMMARY, VALIDATION, distinct_run_name, run_name,
};
use crate::telemetry::catalog::{self, RunState};
use crate::train::{BestEpoch, checkpoint};

/// Trains and evaluates. `place` is the run's folder, or a root and a stem for the next free one.
///
/// # Errors
/// As [`Failure`] tells; a stop on request leaves a checkpoint first.
pub fn train(
    config: &CheckedConfig,
    place: &RunDestination,
    session: &Session,
) -> Result<RunSummary, Failure> {
    let started = Instant::now();
    place.check_is_free()?;
    let chosen = device::choose_for_run(&config.run)?;
    chosen.check_precision(config.run.precision)?;
    session.tell_fallback(&chosen);
    let store = open_store(&config.run)?;
    weights_file::read_initial_weights(config)?;
    let cohort = cohort::build_cohort(&config.run, store.as_ref(), session)?;
    cohort.check_has_training_cases()?;
    config.run.loader_memory(cohort.largest)?;
    let expected = place.next_folder();
    let directory = match place {
        RunDestination::Next { root, stem } => RunDirectory::create_numbered(root, stem)?,
        RunDestination::Exactly(path) => RunDirectory::create_at(path)?,
    };
    name_run(session, &expected, directory.path());
    write_json(&directory.path().join(ENDPOINT), &session.endpoint)?;
    write_run_record(&directory, config, &chosen, &cohort.lock)?;
    let journal = Journal::start(directory.path())?;
    session.show_run(directory.path());
    let context = RunContext::new(config, session, chosen, store, cohort, directory, journal)?;
    train_and_record_end(&context, started)
}

/// Has the metrics carry the name of the run in `folder`, where another run took the one `expected` since
/// the endpoint was opened.
fn name_run(session: &Session, expected: &Path, folder: &Path) {
    for name_of in [run_name, distinct_run_name] {
        if folder != expected && session.shown_run.label() == name_of(expected) {
            session.shown_run.rename(&name_of(folder));
        }
    }
}

/// The run's cache, if it has one.
pub(super) fn open_store(run: &RunConfig) -> Result<Option<Arc<CaseStore>>, Failure> {
    if !run.loader.cached {
        return Ok(None);
    }
    Ok(Some(prepare::open_store(&run.data.cache, &run.data.preprocess)?))
}

/// Trains and evaluates, and records in the journal how the run ended.
pub(super) fn train_and_record_end(
    context: &RunContext<'_>,
    started: Instant,
) -> Result<RunSummary, Failure> {
    if context.config.run.train.tensorboard {
        context.journal.export_scalars();
    }
    let run = context.directory.path().display();
    tracing::info!(%run, device = %context.chosen.name, resumed = context.resumed, "training");
    let outcome = train_and_evaluate(context, started);
    let written = ending::record_end(context, &outcome);
    // Of two failures the first is the cause.
    let summary = outcome?;
    written?;
    Ok(summary)
}

/// Trains, scores the held-out cases, and writes the summary.
fn train_and_evaluate(context: &RunContext<'_>, started: Instant) -> Result<RunSummary, Failure> {
    let RunContext { config, cohort, directory, .. } = context;
    RunState::Training.publish_state();
    let mut trained = train_to_end(context)?;
    let evaluation = match cohort.held_out.is_empty() {
        true => None,
        false => Some(final_scores(context, &mut trained)?),
    };
    let summary = RunSummary {
        run: directory.path().to_path_buf(),
        model: config.blueprint.name().to_string(),
        parameters: trained.learner.parameter_count(),
        steps: trained.standing.step,
        planned_steps: trained.steps,
        unsound_steps: trained.standing.non_finite_steps,
        device: context.chosen.name.clone(),
        train_seconds: trained.seconds,
        starved_ratio: time_share(trained.starved_seconds, trained.seconds),
        checkpoint_seconds: trained.blocked.checkpoints.as_secs_f64(),
        validation_seconds: trained.blocked.validations.as_secs_f64(),
        loader: Some(trained.loader),
        seconds: started.elapsed().as_secs_f64(),
        train_cases: cohort.train.len(),
        pseudo_labelled_cases: cohort.annotated,
        excluded: [cohort.excluded.as_slice(), trained.excluded.as_slice()].concat(),
        problems: cohort.problems.clone(),
        best: trained.standing.best.map(|BestEpoch { dice, epoch, step }| BestValidation {
            mean_dice: dice,
            epoch,
            step,
        }),
        evaluation: evaluation.map(|scored| scored.scores),
    };
    ending::remove_earlier_report(directory.path());
    write_json(&directory.path().join(SUMMARY), &summary)?;
    // The run has ended: what is left over fails it no more.
    if let Err(fault) = checkpoint::remove_scored_cases(directory.path()) {
        tracing::warn!("scored cases are left over: {fault}");
    }
    Ok(summary)
}

/// Share of a time; 0 of no time.
fn time_share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Writes the scores of the last weights, which are computed unless they have just been.
fn final_scores(
    context: &RunContext<'_>,
    trained: &mut TrainingOutcome,
) -> Result<Evaluation, Failure> {
    RunState::Validating.publish_state();
    let scored = match trained.scores.take() {
        Some(scored) => scored,
        None => {
            let scored = context.score_held_out(trained.learner.as_ref(), trained.standing.step);
            scored.map_err(|failure| match failure {
                Failure::Stopped(_) => {
                    Failure::Stopped(context.resume_hint(&trained.standing, trained.steps))
                }
                other => other,
            })?
        }
    };
    scored.write_to(&context.directory.path().join(VALIDATION))?;
    Ok(scored)
}

/// Destination folder of a run.
pub enum RunDestination {
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

impl RunDestination {
    /// The folder `run`, or the next free `runs/NETWORK-NNN` where none is named.
    pub fn new(run: Option<PathBuf>, config: &CheckedConfig) -> Self {
        let next = || {
            let stem = config.blueprint.name().to_owned();
            Self::Next { root: "runs".into(), stem }
        };
        run.map_or_else(next, Self::Exactly)
    }

    /// Folder that the run would have if it were made now.
    pub fn next_folder(&self) -> PathBuf {
        match self {
            Self::Next { root, stem } => RunDirectory::next_numbered(root, stem),
            Self::Exactly(path) => path.clone(),
        }
    }

    /// Refuses a folder that holds a run, before any work is done for it.
    fn check_is_free(&self) -> Result<(), Failure> {
        match self {
            Self::Exactly(path) if path.join(CONFIG).exists() => Err(Failure::Usage(format!(
                "{}: already holds a run; go on with it with --resume, or choose another folder \
                 with --run",
                path.display()
            ))),
            _ => Ok(()),
        }
    }
}

/// Writes the run's record. The configuration comes last: a folder that has it can be resumed.
fn write_run_record(
    directory: &RunDirectory,
    config: &CheckedConfig,
    chosen: &ChosenDevice,
    lock: &DatasetLock,
) -> Result<(), Failure> {
    write_json(&directory.path().join(DATASET_LOCK), lock)?;
    let products = chosen.products(config.run.precision);
    let environment = Environment::of_process(&chosen.name, products, chosen.deterministic);
    write_json(&directory.path().join(ENVIRONMENT), &environment)?;
    write_atomically(&directory.path().join(CONFIG), config.to_toml()?.as_bytes())?;
    publish_info(config, chosen);
    Ok(())
}

pub(super) fn publish_info(config: &CheckedConfig, chosen: &ChosenDevice) {
    let fingerprint = config.fingerprint().short_hex(12);
    let labels = [env!("CARGO_PKG_VERSION"), &chosen.name, config.blueprint.name(), &fingerprint];
    catalog::show_run_info(labels);
}
