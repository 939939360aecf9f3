//! Progress after the validation of a checkpoint, in a file that its manifest does not list: the
//! validation comes after the checkpoint.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::base::{Fault, Fingerprint, fs, write_atomically};
use crate::run_folder::manifest::VALIDATED;
use crate::train::TrainingState;

/// Contents of the file. A checkpoint whose file is not what it was has not been validated.
#[derive(Serialize, Deserialize)]
struct ValidatedState {
    /// Fingerprint of the state as JSON.
    fingerprint: Fingerprint,
    state: TrainingState,
}

/// Writes the state after the validation of the checkpoint in `folder`.
///
/// # Errors
/// If the disk does not take it.
pub(super) fn write_validated(folder: &Path, state: &TrainingState) -> Result<(), Fault> {
    let validated = ValidatedState { fingerprint: state_fingerprint(state), state: state.clone() };
    // Without a line's end, so that one cut at any byte is refused.
    let text = serde_json::to_vec_pretty(&validated).expect("records serialise to JSON");
    write_atomically(&folder.join(VALIDATED), &text)
}

/// Reads the state after the validation of the checkpoint in `folder`, which was `saved` before it;
/// `None` if there has been none, or its file is damaged.
///
/// # Errors
/// If the file is there and cannot be read.
pub(super) fn read_validated(
    folder: &Path,
    saved: &TrainingState,
) -> Result<Option<TrainingState>, Fault> {
    let path = folder.join(VALIDATED);
    let Some(bytes) = fs::if_present(fs::read(&path))? else { return Ok(None) };
    let read: Option<ValidatedState> = serde_json::from_slice(&bytes).ok();
    let whole = read.filter(|read| read.fingerprint == state_fingerprint(&read.state));
    let fitting =
        whole.map(|read| read.state).filter(|state| state.progress.step == saved.progress.step);
    if fitting.is_none() {
        tracing::warn!("{}: is damaged; the checkpoint is validated again", path.display());
    }
    Ok(fitting)
}

fn state_fingerprint(state: &TrainingState) -> Fingerprint {
    Fingerprint::of_bytes(&serde_json::to_vec(state).expect("records serialise to JSON"))
}
