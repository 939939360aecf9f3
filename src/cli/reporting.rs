//! `report`: curves and page of a run, from the files in its folder.

use std::path::PathBuf;

use crate::cli::{CommandOutput, Console, VerbResult};
use crate::report;

/// Draw the curves and write the page of a run, as its end does
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  gliaflow report runs/unet-001

Writes progress.png and report.html into the run's folder, from what is in it: of a run that goes on, that \
was stopped, or that is old. Overlays are drawn when cases are scored, by a run's end or by evaluate.")]
pub(super) struct Reporting {
    /// The run's folder
    #[arg(value_name = "RUN")]
    run: PathBuf,
}

impl Reporting {
    pub(super) fn run(self, _: &Console) -> VerbResult {
        let written = report::write_report(&self.run)?;
        let text =
            format!("curves: {}\npage: {}", written.progress.display(), written.page.display());
        Ok(CommandOutput::new(&written, text))
    }
}
