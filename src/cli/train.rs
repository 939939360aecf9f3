//! `train`: training of a network from a configuration.

use std::path::{Path, PathBuf};

use crate::base::{format_bytes, format_duration, format_percent, memory_limit};
use crate::cli::{ActiveSession, CommandOutput, Console, SessionOptions, VerbResult, tables};
use crate::pipeline::{ingest, loader, whole_case};
use crate::run::config::{self, CheckedConfig};
use crate::run::resume::{self, ResumeOptions};
use crate::run::train::{self, RunDestination};
use crate::run::{DeviceMemory, Failure};
use crate::run_folder::{DATASET_LOCK, RunSummary};
use crate::volume::{Fold, Split};

/// The topologies of a training run, by their actors.
pub(super) const TOPOLOGIES: [&[&str]; 3] =
    [&ingest::ACTORS, &loader::ACTORS, &whole_case::CACHE_ACTORS];

/// Train a network, checkpoint it, score it on the held-out cases
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow train --config configs/unet.toml --set data.folder=data/BraTS2020
  gliaflow train --set data.folder=data --set crop.patch='[64, 64, 64]' --run runs/small
  gliaflow train --resume runs/unet-001
  gliaflow train --resume runs/unet-001 --set train.epochs=400

Ctrl-C, SIGTERM, SIGUSR1 or SIGHUP once finishes the step, writes a checkpoint and exits with 75.")]
pub(super) struct Train {
    /// Settings that differ from the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// A setting to override, after the file's: section.key=value
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    /// Dataset folder; the same as --set data.folder=DIR
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// The run's own folder [default: the next free runs/NETWORK-NNN]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,

    /// Go on with this run where its last checkpoint stands; --set may change what does not decide
    /// the result, such as device, loader.workers or train.non_finite, and train.epochs, which
    /// trains a run for longer, also one that has ended
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "run", "dry_run"])]
    resume: Option<PathBuf>,

    /// Go on with --resume although files of cases are not those that the run was begun with. Files
    /// of a case that was bad, mended since, need no such leave
    #[arg(long, requires = "resume")]
    accept_changed: bool,

    /// Weights to start from: a safetensors file, a run's folder for its latest, or the folder of one
    /// of its checkpoints; the same as --set model.init=…
    #[arg(long, value_name = "FILE|FOLDER")]
    init: Option<PathBuf>,

    /// Number of epochs; the same as --set train.epochs=N
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,

    /// Initial learning rate; the same as --set train.learning_rate=RATE
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,

    /// Samples in a batch; the same as --set loader.batch=N
    #[arg(long, value_name = "N")]
    batch: Option<usize>,

    /// Folder of the case files; the same as --set data.cache=DIR
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    cache: Option<PathBuf>,

    /// auto, gpu, cpu, cuda or wgpu; the same as --set device=…
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,

    /// Validate on one fold and train on the others, such as 0/5; the same as --set data.fold=0/5
    #[arg(long, value_name = "I/K")]
    fold: Option<Fold>,

    /// Keep no case files: decode each sample's case from its own files; the same as
    /// --set loader.cached=false
    #[arg(long)]
    no_cache: bool,

    /// Say what would be used, and stop before anything is read or written
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    long: SessionOptions,
}

impl Train {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        let mut assignments = self.set.clone();
        let paths =
            [("data.folder", &self.data), ("model.init", &self.init), ("data.cache", &self.cache)];
        for (setting, path) in paths {
            assignments.extend(path.iter().map(|path| config::path_assignment(setting, path)));
        }
        assignments.extend(self.epochs.map(|epochs| format!("train.epochs={epochs}")));
        assignments.extend(self.lr.map(|rate| format!("train.learning_rate={rate:?}")));
        assignments.extend(self.batch.map(|batch| format!("loader.batch={batch}")));
        assignments.extend(self.device.as_ref().map(|device| format!("device=\"{device}\"")));
        assignments.extend(self.fold.map(|fold| format!("data.fold=\"{fold}\"")));
        assignments.extend(self.no_cache.then(|| "loader.cached=false".to_string()));
        if let Some(folder) = &self.resume {
            let live = self.start_session(folder, console)?;
            let options =
                ResumeOptions { assignments: &assignments, accepts_changed: self.accept_changed };
            let summary =
                live.run_network_verb(|session| resume::resume_run(folder, options, session))?;
            return Ok(CommandOutput::new(&summary, report_text(&summary)));
        }
        let config = config::load(self.config.as_deref(), &assignments)?;
        if self.dry_run {
            return dry_run(&config);
        }
        let place = RunDestination::new(self.run.clone(), &config);
        let live = self.start_session(&place.next_folder(), console)?;
        let summary = live.run_network_verb(|session| train::train(&config, &place, session))?;
        Ok(CommandOutput::new(&summary, report_text(&summary)))
    }

    fn start_session(&self, folder: &Path, console: &Console) -> Result<ActiveSession, Failure> {
        let live = ActiveSession::start_for_run(&self.long, folder, console)?;
        Ok(live.register_metrics(&TOPOLOGIES, &[Split::Train, Split::Validation]))
    }
}

fn dry_run(config: &CheckedConfig) -> VerbResult {
    let memory = config.loader_memory()?;
    let device = DeviceMemory::estimate(&config.run, config.blueprint.as_ref());
    let text = format!(
        "{}\n# parameters          {}\n# loader memory       {:.0} MiB: {} samples under way, {} \
         batches\n# device memory       {}\n",
        config.to_annotated_toml()?,
        config.blueprint.parameter_count(),
        memory.bytes as f64 / f64::from(1 << 20),
        memory.tickets,
        memory.batches,
        device_memory_text(device)
    ) + &memory_warning(config, memory_limit())
        .map_or_else(String::new, |line| line + "\n");
    let result = serde_json::json!({
        "config": config.run,
        "parameters": config.blueprint.parameter_count(),
        "loader": memory,
        "device_memory": device,
        "memory_limit_bytes": memory_limit(),
    });
    Ok(CommandOutput::new(&result, text))
}

/// Device memory of a run on a CUDA GPU with own kernels, and the cards that hold it.
pub(super) fn device_memory_text(device: Option<DeviceMemory>) -> String {
    let Some(DeviceMemory { bytes, smallest_card }) = device else {
        return "not counted for a network of these settings".into();
    };
    let cards = smallest_card.map_or_else(
        || "no card holds that: lower loader.batch or crop.patch".to_owned(),
        |gigabytes| format!("cards of {gigabytes} GB and more"),
    );
    format!("{} on a CUDA GPU with own kernels: {cards}", format_bytes(bytes as f64))
}

/// Line about a memory budget that the container or job of this process does not hold.
fn memory_warning(config: &CheckedConfig, limit: Option<u64>) -> Option<String> {
    let budget = config.run.loader.memory_bytes() as u64;
    let limit = limit.filter(|limit| *limit < budget)?;
    Some(format!(
        "# memory limit        {} MiB for this container or job, less than loader.memory_mib = {}: \
         lower that, or raise the limit",
        limit >> 20,
        config.run.loader.memory_mib
    ))
}

pub(super) fn report_text(summary: &RunSummary) -> String {
    let scored = summary.evaluation.as_ref().map_or_else(
        || "no case was held out, so nothing was scored".to_string(),
        |evaluation| tables::dice_table(&summary.model, evaluation),
    );
    let incomplete = summary.problems.iter().filter(|problem| problem.names_a_case()).count();
    let mut left_out = match summary.excluded.len() + incomplete {
        0 => String::new(),
        count => format!("\ncases left out: {count}, see {DATASET_LOCK}"),
    };
    if summary.problems.len() > incomplete {
        let count = summary.problems.len() - incomplete;
        left_out += &format!("\nfiles and folders that are no cases: {count}, see {DATASET_LOCK}");
    }
    let early = match summary.steps < summary.planned_steps {
        true => format!(" of {} planned, out of patience", summary.planned_steps),
        false => String::new(),
    };
    let unsound = match summary.unsound_steps {
        0 => String::new(),
        steps => format!("\nsteps skipped because they were not finite: {steps}"),
    };
    let best = summary.best.map_or_else(String::new, |best| {
        format!("\nbest validation: mean Dice {:.4} after epoch {}", best.mean_dice, best.epoch)
    });
    format!(
        "{scored}{best}\n{} steps{early} of {} ({} parameters) on {} in {}, waiting for the \
         loader {}, blocked by checkpoints {} and by validations {}{unsound}{left_out}\nloader: {}\nrun: {}",
        summary.steps,
        summary.model,
        summary.parameters,
        summary.device,
        format_duration(summary.train_seconds),
        format_percent(summary.starved_ratio),
        format_duration(summary.checkpoint_seconds),
        format_duration(summary.validation_seconds),
        summary.loader.as_ref().map_or("", |loader| &loader.sentence),
        summary.run.display()
    )
}
