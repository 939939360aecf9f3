//! `export`: a run's weights for other programs.

use std::path::PathBuf;

use crate::cli::{CommandOutput, Console, VerbResult};
use crate::run::{CheckpointChoice, weights_file};

/// Write a run's weights as safetensors, with PyTorch's shapes
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  gliaflow export --run runs/unet-001 --out unet.safetensors

docs/weights.md lists the names and shows how PyTorch reads the file; `train --init` reads it, too.")]
pub(super) struct Export {
    /// The run's folder
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    /// Weights to use: latest, best for those of the best validation, or those after so many steps
    #[arg(long, value_name = "WHICH", default_value = "latest")]
    checkpoint: CheckpointChoice,

    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Export {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        let exported = weights_file::export_weights(&self.run, self.checkpoint, &self.out)?;
        let text = format!(
            "{}: {} parameters of {} in {} tensors, after {} steps",
            self.out.display(),
            exported.parameters,
            exported.model,
            exported.tensors,
            exported.step
        );
        Ok(CommandOutput::new(&exported, text))
    }
}
