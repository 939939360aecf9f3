//! `check-device`: comparison of a device's results with the CPU's.

use crate::cli::console::Console;
use crate::cli::report::Report;
use crate::run::device;
use crate::run::failure::Failure;
use crate::run::tools::device_check::{self, Compared, Size};

/// Compare a device with the CPU, operation by operation and network by network
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow check-device --device cuda
  gliaflow check-device --device wgpu --tiny --json")]
pub(super) struct CheckDevice {
    /// auto, cpu, cuda or wgpu
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,

    /// Shallow networks of two channels, for software that plays a GPU
    #[arg(long)]
    tiny: bool,
}

impl CheckDevice {
    pub(super) fn run(self, console: &Console) -> Result<Report, Failure> {
        let choice = self.device.parse().map_err(Failure::Usage)?;
        let size = if self.tiny { Size::Tiny } else { Size::Narrow };
        let chosen = device::choose(choice)?;
        let all = device_check::compare(&chosen.device, size, |compared| {
            console.say(&line(compared));
        });
        let wrong: Vec<&str> =
            all.iter().filter(|one| !one.agrees()).map(|one| one.name.as_str()).collect();
        if !wrong.is_empty() {
            return Err(Failure::Device(format!(
                "{} does not compute what the CPU does: {}; train with --set device=cpu, and \
                 report this with the table above",
                chosen.name,
                wrong.join(", ")
            )));
        }
        let lines: Vec<String> = all.iter().map(line).collect();
        let text = format!(
            "{} computes what the CPU does\n{}\n(the largest difference, relative to the largest \
             value)",
            chosen.name,
            lines.join("\n")
        );
        let result =
            serde_json::json!({ "device": chosen.name, "tiny": self.tiny, "compared": all });
        Ok(Report::new(&result, text))
    }
}

fn line(compared: &Compared) -> String {
    let Compared { name, forward, backward, .. } = compared;
    let verdict = if compared.agrees() { "agrees" } else { "DIFFERS" };
    format!("{name:<38} forward {forward:.1e}  backward {backward:.1e}  {verdict}")
}
