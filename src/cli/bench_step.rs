//! `bench-step`: time and memory of an optimiser step.

use std::path::{Path, PathBuf};

use crate::cli::{CommandOutput, Console, VerbResult};
use crate::nets::ArchitectureEntry;
use crate::run::tools::bench_step::{self, Repeats, StepCost};
use crate::run::{Failure, config};
use crate::volume::Dims;

/// Kernels in the text, the longest; the JSON document has all.
const KERNELS_SHOWN: usize = 12;

/// Time optimiser steps of a network, without data
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow bench-step --model unet --device cuda --patch 128 --batch 2 --steps 20
  gliaflow bench-step --model unet --device cpu --patch 64 --set model.settings.base_width=8 --json")]
pub(super) struct BenchStep {
    /// unet, resunet_vae or cascaded
    #[arg(long, value_name = "NAME")]
    model: String,

    /// auto, gpu, cpu, cuda or wgpu
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,

    /// f32 or bf16
    #[arg(long, value_name = "P", default_value = "f32")]
    precision: String,

    /// A patch's sides in voxels: 128, or 160x192x128
    #[arg(long, value_name = "N", default_value = "128")]
    patch: Dims,

    /// Samples in a batch
    #[arg(long, value_name = "N", default_value_t = 1)]
    batch: usize,

    /// Steps under the clock
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,

    /// Steps after the first and ahead of the clock
    #[arg(long, value_name = "N", default_value_t = 1)]
    warmup: u64,

    /// Steps after the clock with each kernel timed on its own (CUDA)
    #[arg(long, value_name = "N", default_value_t = 0)]
    kernel_steps: u64,

    /// Settings that differ from the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// A setting to override, after the file's: section.key=value
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl BenchStep {
    /// Configures a few steps of a network on a device, in patches and batches of this size.
    pub(super) fn with_few_steps(
        model: &str,
        device: &str,
        (patch, batch): (Dims, usize),
        set: &[String],
    ) -> Self {
        Self {
            model: model.into(),
            device: device.into(),
            precision: "f32".into(),
            patch,
            batch,
            steps: 3,
            warmup: 1,
            kernel_steps: 0,
            config: None,
            set: set.to_vec(),
        }
    }

    /// Takes the network's settings, optimiser and loss from a configuration, if there is one.
    pub(super) fn of_config(self, file: Option<&Path>) -> Self {
        Self { config: file.map(Path::to_path_buf), ..self }
    }

    pub(super) fn run(self, _: &Console) -> VerbResult {
        let cost = self.measure_step()?;
        Ok(CommandOutput::new(&cost, report_text(&cost)))
    }

    pub(super) fn measure_step(self) -> Result<StepCost, Failure> {
        let entry = ArchitectureEntry::find_by_name(&self.model)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let sides = self.patch.0;
        let mut assignments = vec![
            format!("model.name={}", entry.name),
            format!("device=\"{}\"", self.device),
            format!("precision=\"{}\"", self.precision),
            format!("crop.patch={sides:?}"),
            format!("loader.batch={}", self.batch),
            // There is no loader, so its memory is no reason to refuse.
            "loader.memory_mib=1073741824".into(),
        ];
        if entry.default_blueprint().settings().get("patch").is_some() {
            assignments.push(format!("model.settings.patch={sides:?}"));
        }
        assignments.extend(self.set);
        let config = config::load(self.config.as_deref(), &assignments)?;
        let repeats =
            Repeats { warmup: self.warmup, steps: self.steps, kernel_steps: self.kernel_steps };
        bench_step::bench_step(&config, repeats)
    }
}

fn report_text(cost: &StepCost) -> String {
    let seconds = |value: Option<f64>| value.map_or("unknown".into(), |s| format!("{s:.4} s"));
    let mebibytes = |value: Option<u64>| {
        value.map_or("unknown".into(), |bytes| format!("{:.0} MiB", bytes as f64 / 1_048_576.0))
    };
    let figures = format!(
        "{} ({} parameters), patches of {} in batches of {}, {} on {}\n\
         products   {}\n\
         step       {:.4} s over {} steps, {} of processor time; the first took {:.2} s\n\
         samples    {:.3} a second\n\
         forward    {:.4} s, backward {:.4} s, inference {:.4} s\n\
         memory     {} at most, {} on the device\n\
         loss       {:.4} at first, {:.4} at last",
        cost.model,
        cost.parameters,
        cost.patch,
        cost.batch,
        cost.precision.name(),
        cost.device,
        cost.products,
        cost.seconds_per_step,
        cost.steps,
        seconds(cost.cpu_seconds_per_step),
        cost.first_step_seconds,
        cost.samples_per_second,
        cost.forward_seconds,
        cost.backward_seconds,
        cost.inference_seconds,
        mebibytes(cost.peak_rss_bytes),
        mebibytes(cost.peak_device_bytes),
        cost.first_loss,
        cost.last_loss,
    );
    let kernels = cost.kernels.iter().take(KERNELS_SHOWN).map(|kernel| {
        format!(
            "\nkernel     {:.4} s, {} launches: {}",
            kernel.seconds, kernel.launches, kernel.name
        )
    });
    figures + &kernels.collect::<String>()
}
