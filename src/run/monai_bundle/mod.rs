//! Export of a run's residual U-Net as a bundle of MONAI: a folder with the network's definition, its
//! weights, and what MONAI needs to segment cases with it.
//!
//! Files are those of MONAI's bundle specification. Volume axes are x, y, z, as MONAI reads them, so the
//! kernels are turned; channels keep the run's orders, which `metadata.json` names.

use std::path::Path;

use serde_json::Value;

use crate::base::{DRAFT_END, fs, rename_synced, write_atomically, write_json};
use crate::nets::exchange::to_torch_bytes;
use crate::quality::ForegroundRule;
use crate::run::config::{self, CheckedConfig};
use crate::run::weights_file::ExportReport;
use crate::run::{CheckpointChoice, Failure};

mod inference;
mod metadata;
mod readme;

/// Licence of the definitions, which are this program's.
const LICENSE: &str = include_str!("../../../LICENSE-APACHE");

/// Contents of a bundle.
struct BundleRun<'a> {
    config: &'a CheckedConfig,
    /// Steps that the network was trained for.
    step: u64,
    /// `network_def`.
    definition: Value,
}

/// Writes the network of one of a run's checkpoints as a bundle into a folder that is not there yet. The
/// folder appears whole or not at all.
///
/// # Errors
/// If the folder is there, the run's is none, its network is none of MONAI's, its tissue is told from
/// background otherwise than by 0, its checkpoint is damaged, or a file cannot be written.
pub fn export_bundle(
    run: &Path,
    which: CheckpointChoice,
    folder: &Path,
) -> Result<ExportReport, Failure> {
    let config = config::load_run_config(run, &[])?;
    check_bundle(&config, folder)?;
    let (checkpoint, step) = which.find_in_run(run)?;
    let network = config.blueprint.load_for_export(&checkpoint)?;
    let definition = network.define_for_monai()?;
    let weights = network.translate_weights();
    let bundle = BundleRun { config: &config, step, definition };
    let bytes = to_torch_bytes(&weights)?;

    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.with_file_name(format!(".{name}{DRAFT_END}"));
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    fs::create_dir(&draft)?;
    for part in ["configs", "models", "docs"] {
        fs::create_dir(draft.join(part))?;
    }
    write_json(&draft.join("configs/metadata.json"), &metadata::describe_bundle(&bundle))?;
    write_json(&draft.join("configs/inference.json"), &inference::define_inference(&bundle))?;
    write_atomically(&draft.join("models/model.pt"), &bytes)?;
    write_atomically(&draft.join("docs/README.md"), readme::compose_readme(&bundle).as_bytes())?;
    write_atomically(&draft.join("LICENSE"), LICENSE.as_bytes())?;
    rename_synced(&draft, folder)?;
    Ok(ExportReport::of_weights(config.blueprint.name(), step, &weights, bytes.len()))
}

/// Checks that a bundle can be written there, and that MONAI can prepare images as the run does.
fn check_bundle(config: &CheckedConfig, folder: &Path) -> Result<(), Failure> {
    if folder.exists() {
        return Err(Failure::Usage(format!(
            "{}: is there; name a folder that is not, or move it away",
            folder.display()
        )));
    }
    let rule = &config.run.data.foreground;
    if *rule == ForegroundRule::Nonzero {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "data.foreground = {rule}: MONAI has no transform that normalises over this tissue; export the \
         network with --onnx, or its weights with --out"
    )))
}
