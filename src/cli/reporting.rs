//! `report`: curves and page of a run, from the files in its folder, and one page for several.

use std::path::PathBuf;

use crate::cli::runs::{holds_run, missing_run};
use crate::cli::{CommandOutput, Console, VerbResult};
use crate::report;
use crate::run::Failure;

/// Draw the curves and write the page of a run, as its end does
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow report runs/unet-001
  gliaflow report runs/unet-001 runs/unet-002 --out comparison.html

Writes progress.png and report.html into the run's folder, from what is in it: of a run that goes on, that \
was stopped, or that is old. Overlays are drawn when cases are scored, by a run's end or by evaluate. Of \
several runs it writes one page, with their curves over each other and what differs in their settings.")]
pub(super) struct Reporting {
    /// The run's folder, or several to compare
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,

    /// Page of several runs
    #[arg(long, value_name = "FILE", default_value = "comparison.html")]
    out: PathBuf,
}

impl Reporting {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        if let Some(missing) = self.runs.iter().find(|folder| !holds_run(folder)) {
            return Err(missing_run(missing));
        }
        if let [run] = self.runs.as_slice() {
            let written = report::write_report(run)?;
            let text =
                format!("curves: {}\npage: {}", written.progress.display(), written.page.display());
            return Ok(CommandOutput::new(&written, text));
        }
        if self.out.is_dir() {
            return Err(Failure::Usage(format!(
                "--out {}: is a folder; name the page in it",
                self.out.display()
            )));
        }
        let comparison = report::write_comparison(&self.runs, &self.out)?;
        Ok(CommandOutput::new(&comparison, format!("page: {}", self.out.display())))
    }
}
