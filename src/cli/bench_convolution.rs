//! `bench-convolution`: what single convolutions cost, pass by pass.

use crate::cli::{CommandOutput, Console, VerbResult};
use crate::nets::{self, Precision};
use crate::run::tools::bench_convolution::{self, BenchOptions, ConvolutionCost, ConvolutionShape};
use crate::run::{Failure, device};

/// Time single 3D convolutions: forward, and each of the two gradients
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A convolution is IN:OUT:SIDE, channels and the side of a cube in voxels, and after it :KERNEL:STRIDE:GROUPS as \
far as they are not 3, 1 and 1.

Examples:
  gliaflow bench-convolution --device cuda --precision bf16 --batch 2 4:30:128 30:30:128 60:30:128
  gliaflow bench-convolution --device cpu 8:16:32:3:2:4 --json")]
pub(super) struct BenchConvolution {
    /// Convolutions, in the order in which they are timed
    #[arg(value_name = "IN:OUT:SIDE", required = true)]
    shapes: Vec<ConvolutionShape>,

    /// auto, gpu, cpu, cuda or wgpu
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,

    /// own, cubecl or auto: kernels on a CUDA GPU
    #[arg(long, value_name = "KERNELS", default_value = "own")]
    kernels: String,

    /// f32 or bf16
    #[arg(long, value_name = "P", default_value = "f32", value_parser = precision)]
    precision: Precision,

    /// Samples in a batch
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,

    /// Passes under the clock, of which the median counts
    #[arg(long, value_name = "N", default_value_t = 5)]
    repeats: usize,
}

impl BenchConvolution {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        nets::choose_kernels(self.kernels.parse().map_err(Failure::Usage)?, false);
        let chosen = device::choose_device(self.device.parse().map_err(Failure::Usage)?)?;
        let options =
            BenchOptions { batch: self.batch, precision: self.precision, repeats: self.repeats };
        let costs =
            bench_convolution::bench_convolutions(&chosen, &self.shapes, options, |cost| {
                console.print_status(&format_cost(cost));
            })?;
        let products = chosen.products(self.precision);
        let lines: Vec<String> = costs.iter().map(format_cost).collect();
        let text = format!(
            "{} convolutions in batches of {}, {} on {}; products in {products}\n{}",
            costs.len(),
            self.batch,
            self.precision.name(),
            chosen.name,
            lines.join("\n")
        );
        let result = serde_json::json!({
            "device": chosen.name, "products": products, "convolutions": costs,
        });
        Ok(CommandOutput::new(&result, text))
    }
}

fn precision(text: &str) -> Result<Precision, String> {
    [Precision::F32, Precision::Bf16]
        .into_iter()
        .find(|precision| precision.name() == text)
        .ok_or_else(|| "write f32 or bf16".to_string())
}

fn format_cost(cost: &ConvolutionCost) -> String {
    let ConvolutionShape { inputs, outputs, side, kernel, stride, groups } = cost.shape;
    let name = format!("{inputs}:{outputs}:{side}:{kernel}:{stride}:{groups}");
    format!(
        "{name:<24} forward {:.5} s  data gradient {:.5} s  weight gradient {:.5} s  first {:.1} s",
        cost.forward_seconds,
        cost.data_gradient_seconds,
        cost.weight_gradient_seconds,
        cost.first_seconds
    )
}
