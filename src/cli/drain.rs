//! `drain`: the loader's throughput, cost and bottleneck.

use crate::base::{format_digits, format_percent};
use crate::cli::{
    ActiveSession, CommandOutput, Console, LoaderOptions, SessionOptions, VerbResult, parse_workers,
};
use crate::pipeline::{WorkerPlan, ingest, loader};
use crate::run::tools::drain::{self, DrainReport};
use crate::volume::Split;

/// Run the loader into a trainer that learns nothing, and say what holds it back
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow drain --data data/BraTS2020 --profile full
  gliaflow drain --data data/BraTS2020 --cold --batches 20 --json
  gliaflow drain --data data/BraTS2020 --step-ms 250 --workers auto
  gliaflow drain --config run.toml --step-ms 250

With --step-ms the trainer takes that long for a batch without using a core, as a GPU does. Cases \
that are not in the cache are ingested before anything is measured.")]
pub(super) struct Drain {
    #[command(flatten)]
    loader: LoaderOptions,

    /// Threads: auto, a number for the stages that compute, or stage=number,…
    #[arg(long, value_name = "N|auto|STAGE=N,…", value_parser = parse_workers)]
    workers: Option<WorkerPlan>,

    /// Finished batches that may wait for the trainer
    #[arg(long, value_name = "N", default_value_t = 2)]
    prefetch: usize,

    /// Milliseconds that the emulated trainer takes for a batch
    #[arg(long, value_name = "MS", default_value_t = 0.0, allow_negative_numbers = true)]
    step_ms: f64,

    #[command(flatten)]
    long: SessionOptions,
}

impl Drain {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        let workers = self.workers.clone().unwrap_or_default();
        let config = self.loader.drain_config(self.prefetch, workers, self.step_ms)?;
        let live = ActiveSession::start(&self.long, "drain", console)?
            .register_metrics(&[&ingest::ACTORS, &loader::ACTORS], &[Split::Train]);
        let report = live.run_verb(|session| {
            let prepared = drain::prepare_dataset(&config, session)?;
            drain::drain_loader(&config, &prepared, session)
        })?;
        let bad = !report.excluded.is_empty();
        Ok(CommandOutput::new(&report, report_text(&self.loader.describe(&config), &report))
            .with_bad_data(bad)
            .with_stop(report.interrupted))
    }
}

fn report_text(what: &str, report: &DrainReport) -> String {
    let mut text = format!(
        "{what}: {} samples in {:.1} s, {} samples/s{}\n",
        report.samples,
        report.seconds,
        format_digits(report.samples_per_second),
        if report.interrupted { ", until it was stopped" } else { "" }
    );
    let cpu = report.cpu_seconds_per_sample.map_or("unknown".into(), |cpu| format!("{cpu:.4} s"));
    let memory = report
        .peak_anonymous_bytes
        .map_or("unknown".into(), |bytes| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20)));
    text += &format!("CPU per sample {cpu}, peak anonymous memory {memory}\n");
    text += &format!(
        "\n{:<10} {:>7} {:>7} {:>8} {:>9} {:>9}\n",
        "stage", "workers", "items", "busy s", "starved s", "blocked s"
    );
    for stage in &report.stages {
        text += &format!(
            "{:<10} {:>7} {:>7} {:>8.2} {:>9.2} {:>9.2}\n",
            stage.name,
            stage.workers,
            stage.items,
            stage.busy_seconds,
            stage.starved_seconds,
            stage.blocked_seconds
        );
    }
    text += &format!("\ntrainer starved {} of the time", format_percent(report.starved_ratio));
    if let Some(utilization) = report.accelerator_utilization {
        text += &format!(", utilisation {utilization:.3}");
    }
    text += &format!("\n{}", report.verdict);
    for excluded in &report.excluded {
        text += &format!("\n  problem: {}", excluded.error);
    }
    text
}
