//! `tune`: search for the smallest loader that keeps a trainer busy.

use std::path::PathBuf;

use crate::base::fs;
#[cfg(feature = "train")]
use crate::cli::bench_step::BenchStep;
use crate::cli::{
    ActiveSession, CommandOutput, Console, LoaderOptions, SessionOptions, VerbResult,
};
use crate::pipeline::{WorkerPlan, ingest, loader};
use crate::run::Failure;
use crate::run::tools::drain;
use crate::run::tools::tune::{self, TunedLoader};
use crate::volume::Split;

/// Find the smallest loader that keeps a trainer waiting less than 2 % of the time
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow tune --data data/BraTS2020 --step-ms 250
  gliaflow tune --data data/BraTS2020 --model unet --device cuda --out loader.toml
  gliaflow tune --config run.toml --step-ms 250 --write run.toml

The [loader] section that it prints goes into a run's configuration, and --write puts it there; it decides no \
sample. --config takes data, cache, patches, batches and augmentation from the run that it is for. --model measures what the network \
takes for a batch on its device, as `gliaflow bench-step` does; --step-ms says it. Either way the trainer \
is then emulated without using a core, as one on a GPU is.")]
pub(super) struct Tune {
    #[command(flatten)]
    loader: LoaderOptions,

    /// Milliseconds that the trainer takes for a batch
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    #[cfg_attr(feature = "train", arg(required_unless_present_any = ["model", "config"]))]
    #[cfg_attr(not(feature = "train"), arg(required = true))]
    step_ms: Option<f64>,

    /// Measure that for a network: unet, resunet_vae or cascaded [default: that of --config]
    #[cfg(feature = "train")]
    #[arg(long, value_name = "NAME", conflicts_with = "step_ms")]
    model: Option<String>,

    /// Device for --model: auto, cpu, cuda or wgpu
    #[cfg(feature = "train")]
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    device: String,

    /// A setting of the network: section.key=value
    #[cfg(feature = "train")]
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Write the [loader] section there as well
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Write those settings into a run's configuration, whose comments and other settings stay
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,

    #[command(flatten)]
    long: SessionOptions,
}

impl Tune {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        let config = self.loader.drain_config(2, WorkerPlan::default(), self.step_ms()?)?;
        let live = ActiveSession::start(&self.long, "tune", console)?
            .register_metrics(&[&ingest::ACTORS, &loader::ACTORS], &[Split::Train]);
        let tuned = live.run_verb(|session| {
            let prepared = drain::prepare_dataset(&config, session)?;
            tune::tune_loader(&config, &prepared, session)
        })?;
        let section = tuned.loader.to_section();
        if let Some(path) = &self.out {
            fs::write(path, &section)?;
        }
        if let Some(path) = &self.write {
            tuned.loader.write_into(path)?;
        }
        let mut json = serde_json::to_value(&tuned).expect("reports serialise to JSON");
        json["section"] = section.clone().into();
        Ok(CommandOutput::new(&json, report_text(&self.loader.describe(&config), &tuned, &section)))
    }

    /// Milliseconds that the trainer takes for a batch: given, or measured if there is a network.
    fn step_ms(&self) -> Result<f64, Failure> {
        #[cfg(feature = "train")]
        if self.step_ms.is_none() {
            let run = self.loader.run_config()?;
            let of_run = run.as_ref().map(|run| run.model.name.clone());
            let model = self.model.clone().or(of_run).unwrap_or_default();
            let (patch, batch) = match &run {
                Some(run) => (run.crop.patch, run.loader.batch),
                None => self.loader.patch_and_batch(),
            };
            let step = BenchStep::with_few_steps(&model, &self.device, (patch, batch), &self.set);
            let step = step.of_config(self.loader.config_file());
            return Ok(1e3 * step.measure_step()?.seconds_per_step);
        }
        Ok(self.step_ms.unwrap_or_default())
    }
}

fn report_text(what: &str, tuned: &TunedLoader, section: &str) -> String {
    let mut text = format!("{what}, a batch every {:.1} ms\n\n", tuned.step_ms);
    text += &format!(
        "{:<42} {:>8} {:>10} {:>9}  held back by\n",
        "workers", "prefetch", "memory MiB", "starved %"
    );
    for trial in &tuned.trials {
        let tune::LoaderTrial { workers, prefetch, memory_mib, starved_ratio, bottleneck, .. } =
            trial;
        let named = format!(
            "fetch {} decode {} normalize {} crop {} augment {}",
            workers.fetch, workers.decode, workers.normalize, workers.crop, workers.augment
        );
        let starved = 100.0 * starved_ratio;
        text +=
            &format!("{named:<42} {prefetch:>8} {memory_mib:>10} {starved:>9.1}  {bottleneck}\n");
    }
    let verdict = if tuned.enough { "enough" } else { "not enough" };
    text += &format!("\n{verdict}: {}\n\n{section}", tuned.sentence);
    text
}
