//! `evaluate`: a run's network on cases with labels.

use std::path::PathBuf;

use crate::cli::console::Console;
use crate::cli::report::Report;
use crate::cli::session::{Live, LongOptions};
use crate::cli::tables;
use crate::experiment::evaluate::{self, load_run};
use crate::experiment::failure::Failure;
use crate::pipeline::{ingest, whole};
use crate::volume::case::Split;

/// Score a run's network on whole cases
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow evaluate --run runs/unet-001
  gliaflow evaluate --run runs/unet-001 --data data/other --out scores

Without --data it scores the cases that the run held out.")]
pub(super) struct Evaluate {
    /// The run's folder
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    /// A dataset or a case with labels [default: the run's held-out cases]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Where cases.csv and summary.json go [default: the run's validation folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// A setting to override: section.key=value
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    #[command(flatten)]
    long: LongOptions,
}

impl Evaluate {
    pub(super) fn run(self, console: &Console) -> Result<Report, Failure> {
        let trained = load_run(&self.run, &self.set)?;
        let live = Live::start(&self.long, &self.run.display().to_string(), console)?
            .announce(&[&ingest::ACTORS, &whole::CACHE_ACTORS], &[Split::Validation]);
        let scored = live.conduct_run(|session| {
            evaluate::of_run(&trained, &self.run, self.data.as_deref(), session)
        })?;
        let out = match (self.out, self.data) {
            (Some(out), _) => Some(out),
            (None, None) => Some(self.run.join("validation")),
            (None, Some(_)) => None,
        };
        if let Some(out) = &out {
            evaluate::write(out, &scored)?;
        }
        let name = trained.config.blueprint.name();
        let text = format!("{}\nafter {} steps", tables::dice(name, &scored), trained.step);
        let mut result = serde_json::to_value(&scored).expect("scores serialise to JSON");
        result["step"] = trained.step.into();
        Ok(Report::new(&result, text))
    }
}
