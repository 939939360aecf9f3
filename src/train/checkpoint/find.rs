//! Checkpoints by what they say themselves: the latest, the best, the one after a step.

use std::path::{Path, PathBuf};

use super::publish::{BEST, remove_unfinished, settle_pointers};
use super::validated::read_validated;
use super::{folder_name, parse_step, published_names};
use crate::base::{Fault, fs};
use crate::run_folder::CHECKPOINTS;
use crate::run_folder::manifest::{CheckpointManifest, STATE, damaged_checkpoint};
use crate::train::{BestEpoch, TrainingState};

/// Finds the latest intact checkpoint of a run: its folder and state. Damaged ones are logged and
/// skipped.
///
/// # Errors
/// If there is none. If all are damaged, says what is wrong with the latest.
pub fn find_latest(run: &Path) -> Result<(PathBuf, TrainingState), Fault> {
    let root = run.join(CHECKPOINTS);
    let mut first_problem = None;
    for name in published_names(&root)? {
        let folder = root.join(name);
        match read_verified(&folder) {
            Ok(state) => return Ok((folder, state)),
            Err(problem) => {
                tracing::warn!("{problem}");
                first_problem.get_or_insert(problem);
            }
        }
    }
    Err(first_problem
        .map_or_else(|| no_checkpoint(&root), |problem| none_is_intact(&root, problem)))
}

/// Fault of a run all of whose checkpoints are damaged, the latest as `latest` says.
fn none_is_intact(root: &Path, latest: Fault) -> Fault {
    match latest {
        Fault::Environment { subject, problem, .. } => Fault::Environment {
            subject,
            problem: format!("{problem}: of the checkpoints of the run none is intact"),
            remedy: format!(
                "bring back a copy, or remove {}: `gliaflow train --resume` then begins at the first step",
                root.display()
            ),
        },
        other => other,
    }
}

/// Makes the pointers and the folder of a run agree with the checkpoint that it goes on from: an
/// earlier process may have been killed in between. Best is the validation that `state` names; if
/// its checkpoint is damaged or lost, the best of those that are there. But one that went because a
/// later one was better, which is damaged now, stays the measure of those that are made again.
///
/// # Errors
/// If the disk does not take a pointer.
pub fn restore_pointers(run: &Path, state: &mut TrainingState, keep: usize) -> Result<(), Fault> {
    let root = run.join(CHECKPOINTS);
    let latest = published_names(&root)?.into_iter().next().unwrap_or_default();
    if let Some(best) = state.progress.best
        && let Err(problem) = read_verified(&root.join(folder_name(best.step)))
        && (has_folder(run, best.step) || parse_step(&latest) == Some(state.progress.step))
    {
        state.progress.best = best_that_is_intact(&root, state.progress.step)?;
        tracing::warn!("the best checkpoint is lost: {problem}");
    }
    remove_unfinished(run)?;
    settle_pointers(&root, &state.progress, keep)
}

/// Finds the best of the intact checkpoints up to `step` that were the best at their time.
fn best_that_is_intact(root: &Path, step: u64) -> Result<Option<BestEpoch>, Fault> {
    let mut found: Option<BestEpoch> = None;
    for name in published_names(root)?.iter().rev() {
        let own = parse_step(name);
        if own > Some(step) {
            continue;
        }
        let Ok(state) = read_verified(&root.join(name)) else { continue };
        let itself = state.progress.best.filter(|best| Some(best.step) == own);
        found = match (found, itself) {
            (Some(one), Some(other)) if other.dice <= one.dice => Some(one),
            (one, other) => other.or(one),
        };
    }
    Ok(found)
}

/// Finds the checkpoint of a run's best validation: its folder and state.
///
/// # Errors
/// If there was no validation, or the checkpoint is damaged: no other one can take its place.
pub fn find_best(run: &Path) -> Result<(PathBuf, TrainingState), Fault> {
    let root = run.join(CHECKPOINTS);
    let remedy = "use the latest checkpoint".to_string();
    let advise = |fault: Fault| match fault {
        Fault::Environment { subject, problem, .. } => {
            Fault::Environment { subject, problem, remedy: remedy.clone() }
        }
        other => other,
    };
    let pointed = fs::read_to_string(root.join(BEST)).unwrap_or_default();
    for name in published_names(&root)? {
        let state = match read_verified(&root.join(&name)) {
            Ok(state) => state,
            Err(problem) if name == pointed.trim() => return Err(advise(problem)),
            Err(_) => continue,
        };
        let Some(best) = state.progress.best else {
            let subject = root.display().to_string();
            let problem = "no validation has named a best checkpoint".into();
            return Err(Fault::Environment { subject, problem, remedy });
        };
        let folder = root.join(folder_name(best.step));
        let state = read_verified(&folder).map_err(advise)?;
        return Ok((folder, state));
    }
    find_latest(run)
}

/// Finds the checkpoint of a run after `step` steps: its folder and state.
///
/// # Errors
/// If the run has none after that step, with the steps that it has; or it is damaged.
pub fn find_step(run: &Path, step: u64) -> Result<(PathBuf, TrainingState), Fault> {
    let root = run.join(CHECKPOINTS);
    let names = published_names(&root)?;
    if names.is_empty() {
        return Err(no_checkpoint(&root));
    }
    if let Some(name) = names.iter().find(|name| parse_step(name) == Some(step)) {
        let folder = root.join(name);
        let others = list_steps(names.iter().filter(|other| *other != name));
        return match read_verified(&folder) {
            // The one before is no answer to the question for this one.
            Err(Fault::Environment { subject, problem, .. }) => Err(Fault::Environment {
                subject,
                problem: format!("{problem}: the checkpoint after step {step} is damaged"),
                remedy: match others.is_empty() {
                    true => "the run has no other one; train it again".into(),
                    false => format!("name another one, after {others}, or the latest"),
                },
            }),
            other => other.map(|state| (folder, state)),
        };
    }
    let there = list_steps(names.iter());
    Err(Fault::Environment {
        subject: root.display().to_string(),
        problem: format!("holds no checkpoint after step {step}, but after {there}"),
        remedy: "name one of these; train.checkpoint.keep says how many a run keeps".into(),
    })
}

/// Steps of some of [`published_names`], from the first to the last.
fn list_steps<'a>(names: impl DoubleEndedIterator<Item = &'a String>) -> String {
    let steps: Vec<String> =
        names.rev().filter_map(|name| parse_step(name)).map(|step| step.to_string()).collect();
    steps.join(", ")
}

/// Returns true if a run has a checkpoint, intact or not.
///
/// # Errors
/// If the folder cannot be read.
pub fn exists_in(run: &Path) -> Result<bool, Fault> {
    Ok(!published_names(&run.join(CHECKPOINTS))?.is_empty())
}

/// Returns true if a run has a checkpoint after `step` steps, intact or not.
pub fn has_folder(run: &Path, step: u64) -> bool {
    run.join(CHECKPOINTS).join(folder_name(step)).is_dir()
}

fn no_checkpoint(root: &Path) -> Fault {
    Fault::Environment {
        subject: root.display().to_string(),
        problem: "holds no checkpoint".into(),
        remedy: "name a run folder that has one; `gliaflow train` makes them".into(),
    }
}

/// Checks every file of a checkpoint against its manifest and reads the state, after its validation
/// if there has been one.
fn read_verified(folder: &Path) -> Result<TrainingState, Fault> {
    let bytes = CheckpointManifest::read_verified(folder, STATE)?;
    let saved: TrainingState = serde_json::from_slice(&bytes)
        .map_err(|error| damaged_checkpoint(folder, STATE, &error))?;
    Ok(read_validated(folder, &saved)?.unwrap_or(saved))
}
