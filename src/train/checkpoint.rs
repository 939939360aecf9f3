//! Checkpoints: a folder of weights, optimiser state and place in the run, published whole.
//!
//! `checkpoints/step-0000123/` is written under a temporary name, every file is fingerprinted in
//! `manifest.json`, the folder is renamed into place, and only then does the pointer file `latest`
//! name it. A reader that follows the pointer and checks the manifest never meets half of one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::error::Fault;
use crate::base::fingerprint::Fingerprint;
use crate::train::run_directory::write_atomically;

/// The pointer file.
const LATEST: &str = "latest";
const MANIFEST: &str = "manifest.json";
const STATE: &str = "state.json";

/// The place in the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingState {
    /// Optimiser steps done.
    pub step: u64,
    /// Batches consumed: the number of the next one.
    pub next_batch: u64,
    /// Position in the plan of the next sample.
    pub next_sample: u64,
    /// The architecture's registered name.
    pub model: String,
    /// Of the resolved configuration.
    pub config: Fingerprint,
}

/// Publishes a checkpoint under `run/checkpoints`; `save` writes the network's files into the
/// folder it is given. Returns the folder's name.
///
/// # Errors
/// What `save` finds, or if the disk does not take the files.
pub fn publish(
    run: &Path,
    state: &TrainingState,
    save: impl FnOnce(&Path) -> Result<(), Fault>,
) -> Result<String, Fault> {
    let root = run.join("checkpoints");
    let name = format!("step-{:07}", state.step);
    let temporary = root.join(format!(".{name}.{}", std::process::id()));
    remove_if_there(&temporary)?;
    fs::create_dir_all(&temporary).map_err(|error| Fault::io(&temporary, &error))?;
    save(&temporary)?;
    let text = serde_json::to_string_pretty(state).expect("the state serialises to JSON");
    write_atomically(&temporary.join(STATE), text.as_bytes())?;
    let manifest = manifest_of(&temporary)?;
    let text = serde_json::to_string_pretty(&manifest).expect("a manifest serialises to JSON");
    write_atomically(&temporary.join(MANIFEST), text.as_bytes())?;
    let published = root.join(&name);
    remove_if_there(&published)?;
    fs::rename(&temporary, &published).map_err(|error| Fault::io(&published, &error))?;
    sync_folder(&root)?;
    write_atomically(&root.join(LATEST), name.as_bytes())?;
    Ok(name)
}

/// The latest checkpoint of a run, verified: its folder and the state in it.
///
/// # Errors
/// If there is none, or a file is missing, torn or changed.
pub fn latest(run: &Path) -> Result<(PathBuf, TrainingState), Fault> {
    let root = run.join("checkpoints");
    let pointer = root.join(LATEST);
    let name = fs::read_to_string(&pointer).map_err(|error| Fault::Environment {
        subject: pointer.display().to_string(),
        problem: error.to_string().to_lowercase(),
        remedy: "name a run folder that has a checkpoint; `gliaflow train` makes one".into(),
    })?;
    let folder = root.join(name.trim());
    let state = verify(&folder)?;
    Ok((folder, state))
}

/// Checks every file of a checkpoint against its manifest.
fn verify(folder: &Path) -> Result<TrainingState, Fault> {
    let broken = |file: &str, problem: &str| Fault::Environment {
        subject: folder.join(file).display().to_string(),
        problem: problem.into(),
        remedy: "the checkpoint is damaged; use an older one of the same run".into(),
    };
    let read = |file: &str| {
        fs::read(folder.join(file)).map_err(|error| broken(file, &error.to_string().to_lowercase()))
    };
    let manifest: BTreeMap<String, Fingerprint> = serde_json::from_slice(&read(MANIFEST)?)
        .map_err(|error| broken(MANIFEST, &error.to_string()))?;
    for (file, expected) in &manifest {
        if Fingerprint::of_bytes(&read(file)?) != *expected {
            return Err(broken(file, "does not match its fingerprint"));
        }
    }
    if !manifest.contains_key(STATE) {
        return Err(broken(MANIFEST, "does not list state.json"));
    }
    serde_json::from_slice(&read(STATE)?).map_err(|error| broken(STATE, &error.to_string()))
}

fn manifest_of(folder: &Path) -> Result<BTreeMap<String, Fingerprint>, Fault> {
    let mut manifest = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(|error| Fault::io(folder, &error))? {
        let path = entry.map_err(|error| Fault::io(folder, &error))?.path();
        let bytes = fs::read(&path).map_err(|error| Fault::io(&path, &error))?;
        sync_folder(&path)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        manifest.insert(name.unwrap_or_default(), Fingerprint::of_bytes(&bytes));
    }
    Ok(manifest)
}

/// Flushes a file or a folder's entries to the disk.
fn sync_folder(path: &Path) -> Result<(), Fault> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| Fault::io(path, &error))
}

fn remove_if_there(folder: &Path) -> Result<(), Fault> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Fault::io(folder, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(step: u64) -> TrainingState {
        TrainingState {
            step,
            next_batch: step,
            next_sample: 2 * step,
            model: "unet".into(),
            config: Fingerprint::of_bytes(b"config"),
        }
    }

    fn publish_bytes(run: &Path, step: u64, bytes: &[u8]) -> String {
        fs::create_dir_all(run.join("checkpoints")).unwrap();
        let save = |folder: &Path| {
            fs::write(folder.join("model.bpk"), bytes).map_err(|error| Fault::io(folder, &error))
        };
        publish(run, &state(step), save).unwrap()
    }

    #[test]
    fn the_latest_is_the_last_published() {
        let run = tempfile::tempdir().unwrap();
        publish_bytes(run.path(), 1, b"one");
        publish_bytes(run.path(), 2, b"two");
        let (folder, found) = latest(run.path()).unwrap();
        assert_eq!(found, state(2));
        assert_eq!(fs::read(folder.join("model.bpk")).unwrap(), b"two");
    }

    #[test]
    fn a_checkpoint_cut_at_any_byte_of_any_file_is_refused() {
        let run = tempfile::tempdir().unwrap();
        let name = publish_bytes(run.path(), 1, b"weights");
        let folder = run.path().join("checkpoints").join(name);
        for file in ["model.bpk", STATE, MANIFEST] {
            let path = folder.join(file);
            let whole = fs::read(&path).unwrap();
            for length in 0..whole.len() {
                fs::write(&path, &whole[..length]).unwrap();
                assert!(latest(run.path()).is_err(), "{file} cut at {length}");
            }
            fs::write(&path, &whole).unwrap();
        }
        assert!(latest(run.path()).is_ok());
    }

    #[test]
    fn a_failed_save_leaves_the_one_before() {
        let run = tempfile::tempdir().unwrap();
        publish_bytes(run.path(), 1, b"one");
        let failed = publish(run.path(), &state(2), |folder| {
            Err(Fault::io(folder, &std::io::Error::other("disk full")))
        });
        assert!(failed.is_err());
        assert_eq!(latest(run.path()).unwrap().1.step, 1);
    }
}
