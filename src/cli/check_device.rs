//! `check-device`: comparison of a device's results with the CPU's.

use crate::cli::{CommandOutput, Console, VerbResult};
use crate::nets;
use crate::run::tools::device_check::{self, Comparison, NetworkSize, OperationSize};
use crate::run::{Failure, device};

/// Compare a device with the CPU, operation by operation and network by network
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow check-device --device cuda
  gliaflow check-device --device wgpu --tiny --json")]
pub(super) struct CheckDevice {
    /// auto, gpu, cpu, cuda or wgpu
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,

    /// own, cubecl or auto: kernels on a CUDA GPU
    #[arg(long, value_name = "KERNELS", default_value = "own")]
    kernels: String,

    /// Convolutions that multiply in f32 on a CUDA GPU, as with precision f32-strict
    #[arg(long)]
    strict: bool,

    /// Shallow networks of two channels, for software that plays a GPU
    #[arg(long)]
    tiny: bool,

    /// The operations alone, on operands of more than one tile of a matrix product
    #[arg(long, conflicts_with = "tiny")]
    tiles: bool,
}

impl CheckDevice {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        let choice = self.device.parse().map_err(Failure::Usage)?;
        let size = if self.tiny { NetworkSize::Tiny } else { NetworkSize::Narrow };
        nets::choose_kernels(self.kernels.parse().map_err(Failure::Usage)?, self.strict);
        let chosen = device::choose_device(choice)?;
        let tell = |compared: &Comparison| console.print_finding(&comparison_line(compared));
        let all = if self.tiles {
            device_check::compare_operations(&chosen.device, OperationSize::Tiles, tell)
        } else {
            device_check::compare_with_cpu(&chosen.device, size, tell)
        };
        let wrong: Vec<&str> = all
            .iter()
            .filter(|one| !one.is_within_tolerance())
            .map(|one| one.name.as_str())
            .collect();
        if !wrong.is_empty() {
            return Err(Failure::Device(format!(
                "{} does not compute what the CPU does: {}; train with --set device=cpu, and \
                 report this with the table above",
                chosen.name,
                wrong.join(", ")
            )));
        }
        let text = format!(
            "{} computes what the CPU does (above: the largest difference, relative to the largest \
             value)",
            chosen.name
        );
        let result =
            serde_json::json!({ "device": chosen.name, "tiny": self.tiny, "compared": all });
        Ok(CommandOutput::new(&result, text))
    }
}

fn comparison_line(compared: &Comparison) -> String {
    let Comparison { name, forward, backward, .. } = compared;
    let verdict = if compared.is_within_tolerance() { "agrees" } else { "DIFFERS" };
    format!("{name:<38} forward {forward:.1e}  backward {backward:.1e}  {verdict}")
}
