//! Checkpoints: a folder of weights, optimiser state and training progress, published whole.
//!
//! `checkpoints/step-0000123/` is written under a temporary name with the fingerprint of every file
//! in `manifest.json`, flushed and renamed, and only then named by the pointer files `latest` and
//! `best`. A reader that checks the manifest never takes half of one for a whole; it takes the one
//! before.

use std::path::{Path, PathBuf};

use crate::base::{Fault, fs, rename_synced, write_atomically, write_json};
use crate::run_folder::CHECKPOINTS;
use crate::run_folder::manifest::{CheckpointManifest, MANIFEST, STATE, damaged_checkpoint};
use crate::train::TrainingState;

/// Pointer files.
const LATEST: &str = "latest";
const BEST: &str = "best";
const PREFIX: &str = "step-";

/// Publishes a checkpoint under `run/checkpoints` and returns its folder's name; `save` writes the
/// network's files into the folder it is given. `is_best` points `best` to it. Of the earlier ones
/// the last `keep` stay, this one counted, and the best; later ones, left behind by a run resumed
/// from an older checkpoint, are removed.
///
/// # Errors
/// What `save` finds, or if the disk does not take the files.
pub fn publish(
    run: &Path,
    state: &TrainingState,
    is_best: bool,
    keep: usize,
    save: impl FnOnce(&Path) -> Result<(), Fault>,
) -> Result<String, Fault> {
    let root = run.join(CHECKPOINTS);
    remove_unfinished(&root)?;
    let name = format!("{PREFIX}{:07}", state.progress.step);
    let temporary = root.join(format!(".{name}"));
    fs::create_dir_all(&temporary)?;
    save(&temporary)?;
    write_json(&temporary.join(STATE), state)?;
    let manifest = CheckpointManifest::of_folder(&temporary)?;
    // Without a line's end, so that one cut at any byte is refused.
    let text = serde_json::to_vec_pretty(&manifest).expect("records serialise to JSON");
    write_atomically(&temporary.join(MANIFEST), &text)?;
    let published = root.join(&name);
    remove_if_there(&published)?;
    rename_synced(&temporary, &published)?;
    write_atomically(&root.join(LATEST), name.as_bytes())?;
    if is_best {
        write_atomically(&root.join(BEST), name.as_bytes())?;
    }
    remove_old(&root, state.progress.step, keep)?;
    Ok(name)
}

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
    Err(first_problem.unwrap_or_else(|| Fault::Environment {
        subject: root.display().to_string(),
        problem: "holds no checkpoint".into(),
        remedy: "name a run folder that has one; `gliaflow train` makes them".into(),
    }))
}

/// Finds the checkpoint of a run's best validation: its folder and state.
///
/// # Errors
/// If no validation has named one, or it is damaged: no other one can take its place.
pub fn find_best(run: &Path) -> Result<(PathBuf, TrainingState), Fault> {
    let pointer = run.join(CHECKPOINTS).join(BEST);
    let remedy = "use the latest checkpoint".to_string();
    let name = fs::read_to_string(&pointer).map_err(|error| Fault::Environment {
        subject: pointer.display().to_string(),
        problem: match error.is_missing() {
            true => "no validation has named a best checkpoint".into(),
            false => error.cause.to_string().to_lowercase(),
        },
        remedy: remedy.clone(),
    })?;
    let folder = run.join(CHECKPOINTS).join(name.trim());
    match read_verified(&folder) {
        Err(Fault::Environment { subject, problem, .. }) => {
            Err(Fault::Environment { subject, problem, remedy })
        }
        other => other.map(|state| (folder, state)),
    }
}

/// Finds the checkpoint of a run after `step` steps: its folder and state.
///
/// # Errors
/// If the run has none after that step, with the steps that it has; or it is damaged.
pub fn find_step(run: &Path, step: u64) -> Result<(PathBuf, TrainingState), Fault> {
    let root = run.join(CHECKPOINTS);
    let names = published_names(&root)?;
    if names.is_empty() {
        return find_latest(run);
    }
    if let Some(name) = names.iter().find(|name| parse_step(name) == Some(step)) {
        let folder = root.join(name);
        return read_verified(&folder).map(|state| (folder, state));
    }
    let steps = names.iter().rev().filter_map(|name| parse_step(name));
    let there: Vec<String> = steps.map(|step| step.to_string()).collect();
    Err(Fault::Environment {
        subject: root.display().to_string(),
        problem: format!("holds no checkpoint after step {step}, but after {}", there.join(", ")),
        remedy: "name one of these; train.checkpoint.keep says how many a run keeps".into(),
    })
}

/// Returns true if a run has a checkpoint, intact or not.
///
/// # Errors
/// If the folder cannot be read.
pub fn exists_in(run: &Path) -> Result<bool, Fault> {
    Ok(!published_names(&run.join(CHECKPOINTS))?.is_empty())
}

/// Lists the published checkpoints, the latest first.
fn published_names(root: &Path) -> Result<Vec<String>, Fault> {
    let mut names = list_entries(root)?;
    names.retain(|name| parse_step(name).is_some());
    names.sort_by_key(|name| std::cmp::Reverse(parse_step(name)));
    Ok(names)
}

fn parse_step(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// Removes checkpoints after `step`, and those that are neither among the last `keep` nor the best.
fn remove_old(root: &Path, step: u64, keep: usize) -> Result<(), Fault> {
    let best = fs::read_to_string(root.join(BEST)).unwrap_or_default();
    let is_best = |name: &String| name == best.trim();
    let (beyond, past): (Vec<String>, Vec<String>) =
        published_names(root)?.into_iter().partition(|name| parse_step(name) > Some(step));
    if beyond.iter().any(is_best) {
        fs::remove_file(root.join(BEST))?;
    }
    let superfluous = past.into_iter().skip(keep).filter(|name| !is_best(name));
    for name in beyond.into_iter().chain(superfluous) {
        remove_if_there(&root.join(name))?;
    }
    Ok(())
}

/// Removes folders left half written by a killed process; the run's lock keeps other processes out.
fn remove_unfinished(root: &Path) -> Result<(), Fault> {
    let unfinished = format!(".{PREFIX}");
    for name in list_entries(root)?.into_iter().filter(|name| name.starts_with(&unfinished)) {
        remove_if_there(&root.join(name))?;
    }
    Ok(())
}

fn list_entries(root: &Path) -> Result<Vec<String>, Fault> {
    let entries = fs::if_present(fs::list_dir(root))?.unwrap_or_default();
    let names = entries.iter().filter_map(|path| path.file_name());
    Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
}

/// Checks every file of a checkpoint against its manifest and reads the state.
fn read_verified(folder: &Path) -> Result<TrainingState, Fault> {
    let state = CheckpointManifest::read_verified(folder, STATE)?;
    serde_json::from_slice(&state).map_err(|error| damaged_checkpoint(folder, STATE, &error))
}

fn remove_if_there(folder: &Path) -> Result<(), Fault> {
    fs::if_present(fs::remove_dir_all(folder))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Fingerprint;
    use crate::train::TrainingProgress;

    fn state(step: u64) -> TrainingState {
        TrainingState {
            model: "unet".into(),
            config: Fingerprint::of_bytes(b"config"),
            planned_epochs: 7,
            journal: Default::default(),
            progress: TrainingProgress {
                step,
                next_sample: 2 * step,
                ..TrainingProgress::default()
            },
        }
    }

    fn publish_bytes(run: &Path, step: u64, is_best: bool, bytes: &[u8]) -> PathBuf {
        let save = |folder: &Path| Ok(fs::write(folder.join("weights.bpk"), bytes)?);
        let name = publish(run, &state(step), is_best, 2, save).unwrap();
        run.join(CHECKPOINTS).join(name)
    }

    #[test]
    fn the_latest_is_the_last_published() {
        let run = tempfile::tempdir().unwrap();
        assert!(!exists_in(run.path()).unwrap());
        let none = find_latest(run.path()).unwrap_err().to_string();
        assert!(none.contains("holds no checkpoint"), "{none}");
        publish_bytes(run.path(), 9, false, b"one");
        let last = publish_bytes(run.path(), 10, false, b"two");
        assert_eq!(find_latest(run.path()).unwrap(), (last.clone(), state(10)));
        assert_eq!(fs::read(last.join("weights.bpk")).unwrap(), b"two");
        assert!(exists_in(run.path()).unwrap());
    }

    #[test]
    fn one_cut_at_any_byte_of_any_file_is_refused_and_the_one_before_is_used() {
        let run = tempfile::tempdir().unwrap();
        let before = publish_bytes(run.path(), 1, false, b"one");
        let last = publish_bytes(run.path(), 2, false, b"two");
        for file in ["weights.bpk", STATE, MANIFEST] {
            let path = last.join(file);
            let whole = fs::read(&path).unwrap();
            for length in 0..whole.len() {
                fs::write(&path, &whole[..length]).unwrap();
                let found = find_latest(run.path()).unwrap();
                assert_eq!(found, (before.clone(), state(1)), "{file} cut at {length}");
            }
            fs::remove_file(&path).unwrap();
            assert_eq!(find_latest(run.path()).unwrap().1, state(1), "{file} gone");
            fs::write(&path, &whole).unwrap();
        }
        assert_eq!(find_latest(run.path()).unwrap().1, state(2));
        for folder in [&before, &last] {
            fs::write(folder.join("weights.bpk"), b"xxx").unwrap();
        }
        let all = find_latest(run.path()).unwrap_err().to_string();
        assert!(all.contains("step-0000002/weights.bpk: does not match"), "{all}");
    }

    #[test]
    fn the_last_ones_are_kept_and_the_best() {
        let run = tempfile::tempdir().unwrap();
        for step in 1..=6 {
            publish_bytes(run.path(), step, step == 2 || step == 3, b"bytes");
        }
        let root = run.path().join(CHECKPOINTS);
        let kept = published_names(&root).unwrap();
        assert_eq!(kept, ["step-0000006", "step-0000005", "step-0000003"]);
        assert_eq!(fs::read_to_string(root.join(BEST)).unwrap(), "step-0000003");
        assert_eq!(fs::read_to_string(root.join(LATEST)).unwrap(), "step-0000006");
    }

    #[test]
    fn the_best_is_the_one_named_and_no_other_takes_its_place() {
        let run = tempfile::tempdir().unwrap();
        publish_bytes(run.path(), 1, false, b"one");
        let none = find_best(run.path()).unwrap_err().to_string();
        assert!(none.contains("no validation has named") && none.ends_with("latest checkpoint"));
        let folder = publish_bytes(run.path(), 2, true, b"two");
        publish_bytes(run.path(), 3, false, b"three");
        assert_eq!(find_best(run.path()).unwrap(), (folder.clone(), state(2)));
        fs::write(folder.join("weights.bpk"), b"xxx").unwrap();
        let damaged = find_best(run.path()).unwrap_err().to_string();
        assert!(damaged.contains("step-0000002/weights.bpk: does not match"), "{damaged}");
        assert!(damaged.ends_with("use the latest checkpoint"), "{damaged}");
    }

    #[test]
    fn one_is_found_by_its_step_or_those_that_are_there_are_named() {
        let run = tempfile::tempdir().unwrap();
        publish_bytes(run.path(), 4, false, b"one");
        let folder = publish_bytes(run.path(), 8, false, b"two");
        assert_eq!(find_step(run.path(), 8).unwrap(), (folder.clone(), state(8)));
        let none = find_step(run.path(), 5).unwrap_err().to_string();
        assert!(none.contains("no checkpoint after step 5, but after 4, 8"), "{none}");
        fs::write(folder.join("weights.bpk"), b"xxx").unwrap();
        let damaged = find_step(run.path(), 8).unwrap_err().to_string();
        assert!(damaged.contains("step-0000008/weights.bpk: does not match"), "{damaged}");
    }

    #[test]
    fn those_beyond_a_run_that_went_on_from_an_older_one_go() {
        let run = tempfile::tempdir().unwrap();
        for step in [1, 5, 6, 7] {
            publish_bytes(run.path(), step, step == 7, b"bytes");
        }
        let root = run.path().join(CHECKPOINTS);
        publish_bytes(run.path(), 2, false, b"bytes");
        assert_eq!(published_names(&root).unwrap(), ["step-0000002"]);
        assert!(!root.join(BEST).exists(), "it named one of them");
    }

    #[test]
    fn a_failed_save_leaves_the_one_before_and_goes_with_the_next() {
        let run = tempfile::tempdir().unwrap();
        publish_bytes(run.path(), 1, false, b"one");
        let failed = publish(run.path(), &state(2), false, 2, |folder| {
            Err(Fault::from_io(folder, &std::io::Error::other("disk full")))
        });
        assert!(failed.is_err());
        assert_eq!(find_latest(run.path()).unwrap().1, state(1));
        let root = run.path().join(CHECKPOINTS);
        assert!(root.join(".step-0000002").is_dir(), "as a killed process would leave it");
        publish_bytes(run.path(), 3, false, b"three");
        assert!(!root.join(".step-0000002").exists());
    }
}
