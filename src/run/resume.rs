//! Resumption of a run from its last checkpoint: with the cases and the settings that it was begun
//! with, or for more epochs.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::base::{fs, join_path, write_atomically, write_json};
use crate::run::cohort::{self, Cohort};
use crate::run::config::{self, CheckedConfig, RunConfig};
use crate::run::context::RunContext;
use crate::run::restored_cohort::{ReplaceableCases, restore_cohort};
use crate::run::skipped_cases::earlier_skips;
use crate::run::train::{open_store, publish_info, train_and_record_end};
use crate::run::{Failure, Session, device, ending};
use crate::run_folder::{
    CONFIG, CheckpointEvent, DATASET_LOCK, ENDPOINT, Journal, RunDirectory, RunSummary, SUMMARY,
    read_skipped_samples,
};
use crate::train::{SchedulePosition, TrainingProgress, TrainingState, checkpoint};

/// The setting that a resumed run may have another value of, although it decides the result.
const EPOCHS: &str = "train.epochs";

/// Changes that a resumed run may have.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResumeOptions<'a> {
    /// Settings that do not decide the result, and the number of epochs, also of a run that has
    /// ended.
    pub assignments: &'a [String],
    /// True if cases may have other files than the run was begun with. Those of a case that was bad
    /// always may.
    pub accepts_changed: bool,
}

/// Resumes the run in `folder` from its last whole checkpoint.
///
/// # Errors
/// As [`Failure`] tells: if it has ended and is given no more epochs, if another process has it, if
/// its settings or its cases are not what they were.
pub fn resume_run(
    folder: &Path,
    options: ResumeOptions<'_>,
    session: &Session,
) -> Result<RunSummary, Failure> {
    let started = Instant::now();
    let begun = config::load_run_config(folder, &[])?;
    let config = config::load_run_config(folder, options.assignments)?;
    check_same_settings(folder, &begun, &config)?;
    let directory = RunDirectory::lock_existing(folder)?;
    let mut start =
        if checkpoint::exists_in(folder)? { Some(checkpoint::find_latest(folder)?) } else { None };
    if let Some((checkpoint, state)) = &start {
        check_checkpoint_settings(checkpoint, state, &begun)?;
    }
    let standing = start.as_ref().map(|(_, state)| state.progress.clone()).unwrap_or_default();
    // What was trained for stands in the checkpoint: the file may have been given more by hand.
    let planned = start.as_ref().map_or(0, |(_, state)| state.planned_epochs);
    let planned = if planned > 0 { planned } else { begun.run.train.epochs };
    let is_extended = config.run.train.epochs != planned;
    if folder.join(SUMMARY).exists() && !is_extended {
        if let Some(summary) = ending::complete_ended_run(&directory)? {
            return Ok(summary);
        }
        return Err(Failure::Usage(format!(
            "{}: has ended after the {planned} epochs that were asked for; train it for more with \
             --set {EPOCHS}=N",
            folder.display(),
        )));
    }
    let chosen = device::choose_for_run(&config.run)?;
    chosen.check_precision(config.run.precision)?;
    session.tell_fallback(&chosen);
    write_json(&directory.path().join(ENDPOINT), &session.endpoint)?;
    publish_info(&config, &chosen);
    let store = open_store(&config.run)?;
    let lock = cohort::read_lock(folder)?;
    let told = read_skipped_samples(folder)?;
    let next_sample = standing.next_sample;
    let replaceable = ReplaceableCases { told: &told, all: options.accepts_changed, next_sample };
    let replaced = lock.replaced.len();
    let cohort = restore_cohort(&config.run, lock, &replaceable, store.as_ref(), session)?;
    if is_extended {
        let rate = change_epochs(folder, planned, &config.run, &standing, &cohort)?;
        tracing::warn!("{}: {rate}", folder.display());
    }
    if cohort.lock.replaced.len() > replaced {
        write_json(&folder.join(DATASET_LOCK), &cohort.lock)?;
    }
    let earlier_skips = earlier_skips(&told, &cohort.lock, next_sample);
    let journal = match &mut start {
        Some((checkpoint, state)) => {
            checkpoint::restore_pointers(folder, state, config.run.train.checkpoint.keep)?;
            let name = checkpoint.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let told = CheckpointEvent { step: state.progress.step, folder: name, seconds: 0.0 };
            Journal::resume(folder, state.journal, told)?
        }
        None => Journal::start(folder)?,
    };
    session.show_run(folder);
    let context = RunContext::new(&config, session, chosen, store, cohort, directory, journal)?;
    let context = RunContext { resumed: true, start, earlier_skips, ..context };
    train_and_record_end(&context, started)
}

/// Refuses settings that decide the result and differ from the run's, and names them.
fn check_same_settings(
    folder: &Path,
    begun: &CheckedConfig,
    asked: &CheckedConfig,
) -> Result<(), Failure> {
    let mut differences = Vec::new();
    list_differences(&begun.deciding_settings(), &asked.deciding_settings(), "", &mut differences);
    differences.retain(|difference| difference.path != EPOCHS);
    if differences.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = differences.iter().map(SettingDifference::describe).collect();
    Err(Failure::Usage(format!(
        "{}: was begun with other settings, and these would decide the result: {}; leave them as \
         they were, or begin another run",
        folder.display(),
        named.join(", ")
    )))
}

/// Refuses a configuration file that was changed since `checkpoint` was saved. Checkpoints know the
/// epochs that were planned: extending a run must not make its earlier ones useless.
fn check_checkpoint_settings(
    checkpoint: &Path,
    state: &TrainingState,
    begun: &CheckedConfig,
) -> Result<(), Failure> {
    if state.config == begun.fingerprint_for_epochs(state.planned_epochs) {
        return Ok(());
    }
    let name = checkpoint.file_name().unwrap_or_default().to_string_lossy();
    let run = checkpoint.ancestors().nth(2).unwrap_or(checkpoint);
    Err(Failure::Usage(format!(
        "{}: has other settings than the run had when {name} was saved, and they decide the \
         result; put back what was changed there by hand, or begin another run",
        run.join(CONFIG).display()
    )))
}

/// A setting of which two configurations have different values.
struct SettingDifference {
    path: String,
    in_run: Value,
    asked: Value,
}

impl SettingDifference {
    fn describe(&self) -> String {
        let text = |value: &Value| match value {
            Value::Null => "not set".to_string(),
            other => other.to_string(),
        };
        format!(
            "{} is {} in the run, asked is {}",
            self.path,
            text(&self.in_run),
            text(&self.asked)
        )
    }
}

/// Collects the settings below `path` in which `in_run` and `asked` differ.
fn list_differences(in_run: &Value, asked: &Value, path: &str, into: &mut Vec<SettingDifference>) {
    let (Value::Object(old), Value::Object(new)) = (in_run, asked) else {
        if in_run != asked {
            let path = path.to_string();
            into.push(SettingDifference { path, in_run: in_run.clone(), asked: asked.clone() });
        }
        return;
    };
    let added = new.keys().filter(|key| !old.contains_key(*key));
    for key in old.keys().chain(added) {
        let [one, other] = [old, new].map(|table| table.get(key).unwrap_or(&Value::Null));
        list_differences(one, other, &join_path(path, key), into);
    }
}

/// Gives the run in `folder` the number of epochs that was asked for, and returns a sentence about
/// the learning rate. The summary of the run as it was goes first: a process killed in between
/// leaves an unfinished run.
fn change_epochs(
    folder: &Path,
    planned: u64,
    asked: &RunConfig,
    standing: &TrainingProgress,
    cohort: &Cohort,
) -> Result<String, Failure> {
    let plan = cohort.trained_cases().plan_samples(asked);
    let steps_per_epoch = asked.train.epoch_steps(plan.epoch_len(), asked.loader.batch);
    let epochs = [planned, asked.train.epochs];
    let refuse = |problem: String| Err(Failure::Usage(format!("{}: {problem}", folder.display())));
    if standing.step > epochs[1] * steps_per_epoch {
        return refuse(format!(
            "has done {} steps, more than {EPOCHS} = {} comes to; ask for more epochs",
            standing.step, epochs[1]
        ));
    }
    let patience = asked.train.validation.patience;
    if standing.out_of_patience(patience) {
        return refuse(format!(
            "ended because no validation was better for {patience} epochs \
             (train.validation.patience), and more epochs do not change that; begin another run \
             from its weights with --init {}",
            folder.display()
        ));
    }
    fs::if_present(fs::remove_file(folder.join(SUMMARY)))?;
    let kept = config::load_run_config(folder, &[format!("{EPOCHS}={}", epochs[1])])?;
    write_atomically(&folder.join(CONFIG), kept.to_toml()?.as_bytes())?;

    let rates_after = |step: u64| {
        epochs.map(|count| {
            let moment = SchedulePosition { step, total: count * steps_per_epoch, steps_per_epoch };
            asked.train.learning_rate_at(moment, &standing.plateau)
        })
    };
    let rates = rates_after(standing.step);
    // A schedule over all epochs begins alike for any number of them.
    let last_shared = epochs[0].min(epochs[1]) * steps_per_epoch - 1;
    let depends =
        [standing.step, last_shared].map(rates_after).iter().any(|both| both[0] != both[1]);
    let schedule = serde_json::to_value(asked.train.schedule).unwrap_or_default();
    let kind = schedule["kind"].as_str().unwrap_or_default();
    let counts = format!("{EPOCHS} is {} instead of {}", epochs[1], epochs[0]);
    Ok(if depends {
        format!(
            "{counts}; the next learning rate is {:e}, where {} epochs had {:e}: schedule {kind} \
             spans all epochs, and the {} steps so far were taken at the rates of the old number",
            rates[1], epochs[0], rates[0], standing.step
        )
    } else {
        format!(
            "{counts}; the learning rate goes on at {:e}: schedule {kind} does not depend on the \
             number of epochs",
            rates[1]
        )
    })
}
