//! Manifest of a checkpoint: `manifest.json`, which tells a whole checkpoint from half of one.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::{Fault, Fingerprint, fs, sync_to_disk};

/// The manifest's file in a checkpoint.
pub const MANIFEST: &str = "manifest.json";
/// File of the training state in a checkpoint.
pub const STATE: &str = "state.json";
/// File of the training state after the validation of a checkpoint, which the manifest does not list.
pub const VALIDATED: &str = "validation.json";

/// Fingerprints of a checkpoint's files by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CheckpointManifest(BTreeMap<String, Fingerprint>);

impl CheckpointManifest {
    /// Flushes the files in `folder` to the disk and takes their fingerprints.
    ///
    /// # Errors
    /// If a file cannot be read or flushed.
    pub fn of_folder(folder: &Path) -> Result<Self, Fault> {
        let mut files = BTreeMap::new();
        for path in fs::list_dir(folder)? {
            let bytes = fs::read(&path)?;
            sync_to_disk(&path)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.insert(name, Fingerprint::of_bytes(&bytes));
        }
        Ok(Self(files))
    }

    /// Checks every file of a checkpoint against its manifest, and returns the contents of `file`.
    ///
    /// # Errors
    /// If a file is missing or is not what it was, or the manifest does not list `file`.
    pub fn read_verified(folder: &Path, file: &str) -> Result<Vec<u8>, Fault> {
        let read = |name: &str| {
            fs::read(folder.join(name)).map_err(|error| {
                damaged_checkpoint(folder, name, &error.cause.to_string().to_lowercase())
            })
        };
        let Self(files) = serde_json::from_slice(&read(MANIFEST)?)
            .map_err(|error| damaged_checkpoint(folder, MANIFEST, &error))?;
        let mut wanted = None;
        for (name, expected) in files {
            // A name such as ../../x or /dev/zero would have a checkpoint read anything.
            if Path::new(&name).file_name() != Some(name.as_ref()) {
                return Err(damaged_checkpoint(
                    folder,
                    MANIFEST,
                    &format!("names the file {name:?}"),
                ));
            }
            let bytes = read(&name)?;
            if Fingerprint::of_bytes(&bytes) != expected {
                return Err(damaged_checkpoint(folder, &name, &"does not match its fingerprint"));
            }
            if name == file {
                wanted = Some(bytes);
            }
        }
        let missing = format!("does not list {file}");
        wanted.ok_or_else(|| damaged_checkpoint(folder, MANIFEST, &missing))
    }
}

/// Makes the fault of a checkpoint in which `file` is damaged.
pub fn damaged_checkpoint(folder: &Path, file: &str, problem: &dyn Display) -> Fault {
    Fault::Environment {
        subject: folder.join(file).display().to_string(),
        problem: problem.to_string(),
        remedy: "the checkpoint is damaged; an older one of the same run is used, if there is one"
            .into(),
    }
}
