//! Publication of checkpoints and of their validations, and the end of those that are superfluous.

use std::path::Path;

use super::validated::write_validated;
use super::{PREFIX, SCORED_CASES, folder_name, list_entries, parse_step, published_names};
use crate::base::{DRAFT_END, Fault, fs, rename_synced, write_atomically, write_json};
use crate::run_folder::CHECKPOINTS;
use crate::run_folder::manifest::{CheckpointManifest, MANIFEST, STATE};
use crate::train::{TrainingProgress, TrainingState};

/// Pointer files.
const LATEST: &str = "latest";
pub(super) const BEST: &str = "best";

/// Publishes a checkpoint under `run/checkpoints` and returns its folder's name; `save` writes the
/// network's files into the folder it is given. Of the earlier ones the last `keep` stay, this one
/// counted, and the best; later ones, left behind by a run resumed from an older checkpoint, are
/// removed.
///
/// # Errors
/// What `save` finds, or if the disk does not take the files.
pub fn publish(
    run: &Path,
    state: &TrainingState,
    keep: usize,
    save: impl FnOnce(&Path) -> Result<(), Fault>,
) -> Result<String, Fault> {
    let root = run.join(CHECKPOINTS);
    remove_unfinished(run)?;
    let name = folder_name(state.progress.step);
    let temporary = root.join(format!(".{name}"));
    fs::create_dir_all(&temporary)?;
    save(&temporary)?;
    write_json(&temporary.join(STATE), state)?;
    let manifest = CheckpointManifest::of_folder(&temporary)?;
    // Without a line's end, so that one cut at any byte is refused.
    let text = serde_json::to_vec_pretty(&manifest).expect("records serialise to JSON");
    write_atomically(&temporary.join(MANIFEST), &text)?;
    // Ahead of the rename: this one is the latest as soon as it is there.
    for name in published_names(&root)? {
        if parse_step(&name) >= Some(state.progress.step) {
            discard(&root, &name)?;
        }
    }
    rename_synced(&temporary, &root.join(&name))?;
    settle_pointers(&root, &state.progress, keep)?;
    Ok(name)
}

/// Records the validation of the checkpoint after `state`'s steps, which knows its outcome.
///
/// # Errors
/// If the disk does not take it.
pub fn record_validation(run: &Path, state: &TrainingState, keep: usize) -> Result<(), Fault> {
    let root = run.join(CHECKPOINTS);
    write_validated(&root.join(folder_name(state.progress.step)), state)?;
    settle_pointers(&root, &state.progress, keep)
}

/// Makes the pointers say what `progress` does, and removes the checkpoints up to its step that are
/// neither among the last `keep` nor the best, and the scored cases of all but the last.
pub(super) fn settle_pointers(
    root: &Path,
    progress: &TrainingProgress,
    keep: usize,
) -> Result<(), Fault> {
    let best = progress.best.map(|best| folder_name(best.step));
    let best = best.filter(|name| root.join(name).is_dir());
    point_to(&root.join(LATEST), Some(&folder_name(progress.step)))?;
    point_to(&root.join(BEST), best.as_deref())?;
    let past = published_names(root)?.into_iter();
    let past = past.filter(|name| parse_step(name) <= Some(progress.step));
    for (place, name) in past.enumerate() {
        if place >= keep && Some(&name) != best.as_ref() {
            discard(root, &name)?;
        } else if place > 0 {
            fs::if_present(fs::remove_dir_all(root.join(name).join(SCORED_CASES)))?;
        }
    }
    Ok(())
}

/// Writes the name of a checkpoint into a pointer, or removes it, unless it says so already.
fn point_to(pointer: &Path, name: Option<&str>) -> Result<(), Fault> {
    let there = fs::if_present(fs::read_to_string(pointer)).unwrap_or_default();
    match name {
        _ if there.as_deref() == name => Ok(()),
        Some(name) => write_atomically(pointer, name.as_bytes()),
        None => Ok(fs::if_present(fs::remove_file(pointer)).map(drop)?),
    }
}

/// Removes the scored cases of a run that has ended.
///
/// # Errors
/// If the disk does not take it.
pub fn remove_scored_cases(run: &Path) -> Result<(), Fault> {
    let root = run.join(CHECKPOINTS);
    for name in published_names(&root)? {
        fs::if_present(fs::remove_dir_all(root.join(name).join(SCORED_CASES)))?;
    }
    Ok(())
}

/// Removes folders and pointers left half written by a killed process or by a disk that was full; the
/// run's lock keeps other processes out.
///
/// # Errors
/// If the disk does not take it.
pub fn remove_unfinished(run: &Path) -> Result<(), Fault> {
    let root = run.join(CHECKPOINTS);
    let unfinished = format!(".{PREFIX}");
    for name in list_entries(&root)? {
        if name.starts_with(&unfinished) {
            fs::if_present(fs::remove_dir_all(root.join(name)))?;
        } else if parse_step(&name).is_some() {
            remove_drafts(&root.join(name))?;
        }
    }
    remove_drafts(&root)
}

/// Removes files that a killed process has not renamed yet.
fn remove_drafts(folder: &Path) -> Result<(), Fault> {
    for name in list_entries(folder)? {
        if name.starts_with('.') && name.ends_with(DRAFT_END) {
            fs::if_present(fs::remove_file(folder.join(name)))?;
        }
    }
    Ok(())
}

/// Removes a checkpoint. A process killed meanwhile leaves none that looks published.
fn discard(root: &Path, name: &str) -> Result<(), Fault> {
    let hidden = root.join(format!(".{name}.old"));
    fs::if_present(fs::remove_dir_all(&hidden))?;
    fs::rename(root.join(name), &hidden)?;
    Ok(fs::remove_dir_all(hidden)?)
}
