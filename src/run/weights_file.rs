//! Export of a run's weights, and import of initial weights, as safetensors.

use std::path::Path;

use serde::Serialize;

use crate::base::files::write_atomically;
use crate::nets::Learner;
use crate::nets::exchange::{self, ImportedWeights};
use crate::run::config::{self, CheckedConfig};
use crate::run::ensemble::CheckpointChoice;
use crate::run::failure::Failure;

/// Summary of a written weights file.
#[derive(Debug, Serialize)]
pub struct ExportReport {
    /// The network.
    pub model: String,
    /// Steps that it was trained for.
    pub step: u64,
    /// Tensors in the file.
    pub tensors: usize,
    /// Values in them.
    pub parameters: usize,
    /// Size of the file.
    pub bytes: usize,
}

/// Writes the weights of one of a run's checkpoints into a file, replacing one that is there.
///
/// # Errors
/// If the folder holds no run, its checkpoint is damaged, or the file cannot be written.
pub fn export_weights(
    run: &Path,
    which: CheckpointChoice,
    file: &Path,
) -> Result<ExportReport, Failure> {
    let config = config::load_run_config(run, &[])?;
    let (folder, step) = which.find_in_run(run)?;
    let weights = config.blueprint.load_weights(&folder)?;
    let name = config.blueprint.name();
    let bytes = exchange::to_bytes(&weights, name, &config.blueprint.settings())?;
    write_atomically(file, &bytes)?;
    Ok(ExportReport {
        model: name.to_string(),
        step,
        tensors: weights.len(),
        parameters: weights.iter().map(|weight| weight.values.len()).sum(),
        bytes: bytes.len(),
    })
}

/// Puts the weights of the file that `model.init` names into a new learner, if it names one.
///
/// # Errors
/// If the file does not fit the network.
pub fn load_initial_weights(
    config: &CheckedConfig,
    learner: &mut dyn Learner,
) -> Result<(), Failure> {
    let Some(file) = &config.run.model.init else { return Ok(()) };
    let ImportedWeights { mut values, kept, unused, program } =
        config.blueprint.import_weights(file)?;
    tracing::info!(
        file = %file.display(),
        program,
        loaded = values.len(),
        kept = %kept.join(", "),
        unused = %unused.join(", "),
        "weights to start from"
    );
    learner.initialise_weights(&mut |_, name, _| values.remove(name));
    Ok(())
}
