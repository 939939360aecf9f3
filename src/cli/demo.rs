//! `demo`: from a phantom cohort to a table of Dice, in minutes on two cores.

use std::path::PathBuf;
use std::time::Instant;

use crate::cli::{ActiveSession, CommandOutput, Console, SessionOptions, VerbResult, train};
use crate::pipeline::whole_case;
use crate::run::{demo_destination, phantoms, run_demo};
use crate::volume::{Region, Split};

/// Make a phantom cohort, ingest it, train a small U-Net, score it, segment with it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow demo
  gliaflow demo --out demo --json

The results are on phantoms: they show that the machinery learns, not how well it segments patients.")]
pub(super) struct Demo {
    /// Folder for data, cache, run and predictions
    #[arg(long, value_name = "DIR", default_value = "runs/demo")]
    out: PathBuf,

    /// A setting to override: section.key=value
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    #[command(flatten)]
    long: SessionOptions,
}

impl Demo {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        let started = Instant::now();
        let training = train::TOPOLOGIES.concat();
        let topologies: [&[&str]; 3] = [&phantoms::ACTORS, &training, &whole_case::FILE_ACTORS];
        let folder = demo_destination(&self.out, &self.set)?.next_folder();
        let live = ActiveSession::start_for_run(&self.long, &folder, console)?
            .register_metrics(&topologies, &[Split::Train, Split::Validation]);
        let done = live.run_network_verb(|session| run_demo(&self.out, &self.set, session))?;
        let seconds = started.elapsed().as_secs_f64();
        let dice: serde_json::Map<String, serde_json::Value> = Region::BRATS
            .into_iter()
            .map(|region| (region.name().to_string(), done.mean_dice(region).into()))
            .collect();
        let text = format!(
            "phantom cohort, {} cases: {}\n{}\ncache: {}\npredictions: {}\n{seconds:.0} s in all",
            done.cases,
            done.data.display(),
            train::report_text(&done.summary),
            done.cache.display(),
            done.predictions.display()
        );
        let result = serde_json::json!({
            "cohort": "phantom",
            "dice": dice,
            "flair_threshold": done.summary.evaluation.as_ref().map(|e| &e.flair_threshold),
            "seconds": seconds,
            "run": done.summary.run,
            "data": done.data,
            "cache": done.cache,
            "predictions": done.predictions,
            "summary": done.summary,
        });
        Ok(CommandOutput::new(&result, text))
    }
}
