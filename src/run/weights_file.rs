//! Export of a run's weights, and import of initial weights, as safetensors.

use std::path::Path;

use serde::Serialize;

use crate::base::write_atomically;
use crate::nets::Learner;
use crate::nets::exchange::{self, ImportedWeights, Weight};
use crate::run::config::{self, CheckedConfig};
use crate::run::{CheckpointChoice, Failure};

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
    let RunWeights { name, step, weights, bytes } = read_run_weights(run, which)?;
    write_atomically(file, &bytes)?;
    Ok(ExportReport {
        model: name.to_string(),
        step,
        tensors: weights.len(),
        parameters: weights.iter().map(|weight| weight.values.len()).sum(),
        bytes: bytes.len(),
    })
}

/// Weights of a run's checkpoint.
struct RunWeights {
    /// The network.
    name: &'static str,
    /// Steps that it was trained for.
    step: u64,
    weights: Vec<Weight>,
    /// The same as a safetensors file.
    bytes: Vec<u8>,
}

fn read_run_weights(run: &Path, which: CheckpointChoice) -> Result<RunWeights, Failure> {
    let config = config::load_run_config(run, &[])?;
    let (folder, step) = which.find_in_run(run)?;
    let weights = config.blueprint.load_weights(&folder)?;
    let name = config.blueprint.name();
    let bytes = exchange::to_bytes(&weights, name, &config.blueprint.settings())?;
    Ok(RunWeights { name, step, weights, bytes })
}

/// Puts the weights that `model.init` names into a new learner, if it names any: those of a
/// safetensors file, or of a run's latest checkpoint.
///
/// # Errors
/// If the weights do not fit the network; the error names those that do not.
pub fn load_initial_weights(
    config: &CheckedConfig,
    learner: &mut dyn Learner,
) -> Result<(), Failure> {
    let Some(source) = &config.run.model.init else { return Ok(()) };
    let ImportedWeights { mut values, kept, unused, program } = if source.is_dir() {
        let weights = read_run_weights(source, CheckpointChoice::Latest)?;
        let subject = format!("{} ({})", source.display(), weights.name);
        let parameters = config.blueprint.parameter_shapes();
        exchange::parse_safetensors(&weights.bytes, &subject, &parameters, None)?
    } else {
        config.blueprint.import_weights(source)?
    };
    tracing::info!(
        source = %source.display(),
        program,
        loaded = values.len(),
        kept = %kept.join(", "),
        unused = %unused.join(", "),
        "weights to start from"
    );
    learner.initialise_weights(&mut |_, name, _| values.remove(name));
    Ok(())
}
