//! Export of a run's weights, and import of initial weights, as safetensors.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::write_atomically;
use crate::nets::Learner;
use crate::nets::exchange::{self, ImportedWeights, Weight};
use crate::nets::learner::predicting_file;
use crate::run::config::{self, CheckedConfig};
use crate::run::{CheckpointChoice, Failure};
use crate::run_folder::{CONFIG, InitialWeights};

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

impl ExportReport {
    /// Summary of a file of `bytes` bytes that holds `weights`.
    pub(super) fn of_weights(model: &str, step: u64, weights: &[Weight], bytes: usize) -> Self {
        Self {
            model: model.to_owned(),
            step,
            tensors: weights.len(),
            parameters: weights.iter().map(|weight| weight.values.len()).sum(),
            bytes,
        }
    }
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
    Ok(ExportReport::of_weights(name, step, &weights, bytes.len()))
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
    let bytes = exchange::to_bytes(
        &weights,
        name,
        config.blueprint.run_channels(),
        &config.blueprint.settings(),
    )?;
    Ok(RunWeights { name, step, weights, bytes })
}

/// Reads the weights that `model.init` names, if it names any: those of a safetensors file, of a
/// run's latest checkpoint, or of one of its checkpoints.
///
/// # Errors
/// If the weights fill less than half of the network, or have unusable values; the error names them.
pub fn read_initial_weights(config: &CheckedConfig) -> Result<Option<ImportedWeights>, Failure> {
    let Some(source) = &config.run.model.init else { return Ok(None) };
    let Some((run, which)) = find_run_of(source)? else {
        return Ok(Some(config.blueprint.import_weights(source)?));
    };
    let weights = read_run_weights(&run, which)?;
    let subject = format!("{} ({})", source.display(), weights.name);
    let target = config.blueprint.weight_target();
    Ok(Some(exchange::parse_safetensors(&weights.bytes, &subject, &target, None)?))
}

/// Finds the run and the checkpoint that `source` is of: a run's folder, the folder of a checkpoint,
/// or the file in it that its network predicts with. Absent for other files.
fn find_run_of(source: &Path) -> Result<Option<(PathBuf, CheckpointChoice)>, Failure> {
    let refuse = |problem: String| Err(Failure::Usage(format!("{}: {problem}", source.display())));
    let is_module = source.extension().is_some_and(|ending| ending == "bpk");
    if !source.is_dir() && !is_module {
        return Ok(None);
    }
    if source.join(CONFIG).is_file() {
        return Ok(Some((source.to_path_buf(), CheckpointChoice::Latest)));
    }
    let folder = if is_module { source.parent().unwrap_or(Path::new("")) } else { source };
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let step = whole.file_name().and_then(|name| step_of_name(&name.to_string_lossy()));
    let run = whole.ancestors().nth(2).filter(|run| run.join(CONFIG).is_file());
    let (Some(step), Some(run)) = (step, run) else {
        return refuse(
            "holds no run; name a run's folder, one of its checkpoints, or a safetensors file, \
             which `gliaflow export` writes"
                .into(),
        );
    };
    let used = predicting_file(&whole);
    if is_module && !source.ends_with(used) {
        return refuse(format!(
            "is not what this checkpoint's network predicts with; name {used} beside it"
        ));
    }
    Ok(Some((run.to_path_buf(), CheckpointChoice::Step(step))))
}

/// Steps that the checkpoint in a folder of this name was trained for.
fn step_of_name(name: &str) -> Option<u64> {
    name.strip_prefix("step-")?.parse().ok()
}

/// Puts the weights of [`read_initial_weights`] into a new learner, and says which do not fit.
///
/// # Errors
/// As [`read_initial_weights`].
pub fn load_initial_weights(
    config: &CheckedConfig,
    learner: &mut dyn Learner,
) -> Result<Option<InitialWeights>, Failure> {
    let Some(mut weights) = read_initial_weights(config)? else { return Ok(None) };
    if !weights.in_part.is_empty() {
        weights.complete_from(&learner.weights());
    }
    let ImportedWeights { mut values, kept, unused, misfits, program, .. } = weights;
    let source = config.run.model.init.as_deref().unwrap_or(Path::new(""));
    tracing::info!(
        source = %source.display(),
        program,
        loaded = values.len(),
        kept = %kept.join(", "),
        unused = %unused.join(", "),
        "weights to start from"
    );
    if !misfits.is_empty() {
        tracing::warn!(
            "{}: {} tensors are loaded, and what does not fit is left as it was drawn: {}",
            source.display(),
            values.len(),
            misfits.join("; ")
        );
    }
    let loaded = values.len();
    learner.initialise_weights(&mut |_, name, _| values.remove(name));
    Ok(Some(InitialWeights { source: source.to_path_buf(), loaded, misfits }))
}
