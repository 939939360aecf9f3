//! `predict`: label files for cases, with labels or without.

use std::fmt::Write;
use std::path::PathBuf;

use crate::cli::console::Console;
use crate::cli::report::Report;
use crate::cli::session::{Live, LongOptions};
use crate::experiment::evaluate::{self, load_run};
use crate::experiment::failure::Failure;
use crate::experiment::prepare;
use crate::pipeline::whole;

/// Segment cases with a run's network, into NIfTI label files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  gliaflow predict --run runs/unet-001 --data data/BraTS2020 --out predictions

Each file has its source's grid, affine and label values. A case that cannot be read is listed, the \
others go on, and the exit code is 3.")]
pub(super) struct Predict {
    /// The run's folder
    #[arg(long, value_name = "DIR")]
    run: PathBuf,

    /// A case's folder or a dataset's
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// Where CASE.nii.gz are written
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// A setting to override: section.key=value
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,

    #[command(flatten)]
    long: LongOptions,
}

impl Predict {
    pub(super) fn run(self, console: &Console) -> Result<Report, Failure> {
        let trained = load_run(&self.run, &self.set)?;
        let dataset = prepare::look(&self.data)?;
        let live = Live::start(&self.long, &self.run.display().to_string(), console)?
            .announce(&[&whole::FILE_ACTORS], &[]);
        let (written, failed) = live.conduct_run(|session| {
            evaluate::predict(&trained, dataset.cases, &self.out, session)
        })?;
        let problems: Vec<String> =
            dataset.problems.iter().chain(&failed).map(ToString::to_string).collect();
        let mut text = format!("{} cases segmented into {}\n", written.len(), self.out.display());
        for problem in &problems {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "  problem: {problem}");
        }
        let result = serde_json::json!({ "predictions": written, "problems": problems });
        Ok(Report::new(&result, text).with_bad_data(!problems.is_empty()))
    }
}
