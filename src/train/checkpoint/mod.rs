//! Checkpoints: folders of weights, optimiser state and training progress, published whole.
//!
//! `checkpoints/step-0000123/` is written under a temporary name with the fingerprint of every file
//! in `manifest.json`, flushed and renamed. A reader that checks the manifest never takes half of one
//! for a whole; it takes the one before. The score of its validation comes later, in a file of its
//! own beside the others. The best checkpoint is the one that the latest intact one names; the
//! pointer files `latest` and `best` are copies of that for people and scripts.

mod find;
mod publish;
mod validated;

use std::path::{Path, PathBuf};

use crate::base::{Fault, fs};
use crate::run_folder::CHECKPOINTS;

pub use self::find::{exists_in, find_best, find_latest, find_step, has_folder, restore_pointers};
pub use self::publish::{publish, record_validation, remove_scored_cases, remove_unfinished};

const PREFIX: &str = "step-";

/// Folder in a checkpoint: cases that were scored with it, while that may be of use.
const SCORED_CASES: &str = "cases";

/// Folder of the cases that are scored with the checkpoint of `step` steps.
pub fn scored_cases_folder(run: &Path, step: u64) -> PathBuf {
    run.join(CHECKPOINTS).join(folder_name(step)).join(SCORED_CASES)
}

fn folder_name(step: u64) -> String {
    format!("{PREFIX}{step:07}")
}

fn parse_step(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// Lists the published checkpoints, the latest first.
fn published_names(root: &Path) -> Result<Vec<String>, Fault> {
    let mut names = list_entries(root)?;
    names.retain(|name| parse_step(name).is_some());
    names.sort_by_key(|name| std::cmp::Reverse(parse_step(name)));
    Ok(names)
}

fn list_entries(root: &Path) -> Result<Vec<String>, Fault> {
    let entries = fs::if_present(fs::list_dir(root))?.unwrap_or_default();
    let names = entries.iter().filter_map(|path| path.file_name());
    Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
}

#[cfg(test)]
mod tests;
