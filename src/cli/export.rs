//! `export`: a run's network for other programs.

use std::path::{Path, PathBuf};

use crate::cli::{CommandOutput, Console, VerbResult};
use crate::run::weights_file::ExportReport;
use crate::run::{
    CheckpointChoice, Failure, monai_bundle, onnx_file, reference_logits, weights_file,
};

/// Write a run's network for other programs: weights, ONNX, or a bundle of MONAI
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow export --run runs/unet-001 --out unet.safetensors
  gliaflow export --run runs/unet-001 --onnx unet.onnx
  gliaflow export --run runs/resunet_vae-001 --monai-bundle segresnet

docs/weights.md lists the names of the weights; `train --init` reads them, too. docs/export.md says what the \
other files hold and how other programs load them.")]
pub(super) struct Export {
    /// The run's folder
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    /// Weights to use: latest, best for those of the best validation, or those after so many steps
    #[arg(long, value_name = "WHICH", default_value = "latest")]
    checkpoint: CheckpointChoice,

    #[command(flatten)]
    target: ExportTarget,

    /// Extent of the images of --reference along z, y and x [default: the patch of training]
    #[arg(long, value_name = "D,H,W", value_delimiter = ',', requires = "reference")]
    extent: Vec<usize>,
}

/// File or folder to write; one of them.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct ExportTarget {
    /// The weights, as safetensors with PyTorch's shapes
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// The network as ONNX, opset 17: images to region logits
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,

    /// A residual U-Net as a bundle of MONAI, in a folder that is not there yet
    #[arg(long, value_name = "DIR")]
    monai_bundle: Option<PathBuf>,

    /// Drawn images and the network's logits of them, as safetensors, to compare another runtime with
    #[arg(long, value_name = "FILE")]
    reference: Option<PathBuf>,
}

impl Export {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        let (exported, path) = self.write()?;
        let text = format!(
            "{}: {} parameters of {} in {} tensors, after {} steps",
            path.display(),
            exported.parameters,
            exported.model,
            exported.tensors,
            exported.step
        );
        Ok(CommandOutput::new(&exported, text))
    }

    fn write(&self) -> Result<(ExportReport, &Path), Failure> {
        let (run, which) = (&self.run, self.checkpoint);
        match &self.target {
            ExportTarget { out: Some(file), .. } => {
                Ok((weights_file::export_weights(run, which, file)?, file))
            }
            ExportTarget { onnx: Some(file), .. } => {
                Ok((onnx_file::export_onnx(run, which, file)?, file))
            }
            ExportTarget { monai_bundle: Some(folder), .. } => {
                Ok((monai_bundle::export_bundle(run, which, folder)?, folder))
            }
            ExportTarget { reference: Some(file), .. } => {
                let extent = self.extent()?;
                Ok((reference_logits::export_reference(run, which, extent, file)?, file))
            }
            _ => Err(Failure::Usage("nothing to export; name a file by --out or --onnx".into())),
        }
    }

    fn extent(&self) -> Result<Option<[usize; 3]>, Failure> {
        match self.extent[..] {
            [] => Ok(None),
            [d, h, w] => Ok(Some([d, h, w])),
            _ => Err(Failure::Usage("--extent has three axes; write it as 64,64,96".into())),
        }
    }
}
